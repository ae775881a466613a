"""Manual pages and completion: whole, clean, and what a terminal gets.

Oracle: the program's own help and the datasets of a result file; groff's and mandoc's warnings; bash in a pseudo terminal."""
import os
import pathlib
import pty
import re
import select
import shutil
import subprocess
import time
import unittest

import h5py
import support
from support import synthetic

SHARE = pathlib.Path(support.PROGRAM).parent / "share"
COMPLETION = SHARE / "bash-completion/completions/tokengeom"


def said(*arguments):
    return support.run(*arguments).out


def commands():
    return re.findall(r"^  ([a-z]+) +(?:CONFIG|RESULTS|FILE)", said("--help"), re.M)


def page(name):
    """As source, without the escapes of hyphens."""
    return (SHARE / f"man/man{name[-1]}" / name).read_text().replace("\\-", "-")


class Pages(support.Case):
    def test_commands_and_options(self):
        self.assertEqual(len(commands()), 8)
        for command in commands():
            self.assertIn(f"\\fB{command}\\fR", page("tokengeom.1"))
            options = re.findall(r"--[a-z-]+", said(command, "--help"))
            self.assertGreater(len(options), 1)
            for option in options:
                if option not in ("--usage", "--version"):
                    self.assertRegex(page(f"tokengeom-{command}.1"), rf"\\fB{option}=?\\fR")

    def test_keys(self):
        keys = re.findall(r"^([a-z_.\[\]]+) ", said("run", "--help-config"), re.M)
        self.assertGreater(len(keys), 40)
        for key in keys:
            self.assertIn(f"\\fB{key}\\fR\n", page("tokengeom-config.5"))

    def test_datasets(self):
        self.study(synthetic(), observables={"neighbors": True})
        paths = []
        with h5py.File(self.path("results.h5")) as file:
            file["models/model"].visititems(lambda name, item: paths.append(name) if isinstance(item, h5py.Dataset) else None)
        paths = [name for name in paths if not name.startswith(("statistics/", "correlations/"))]
        self.assertGreater(len(paths), 20)
        for name in paths:
            self.assertIn(f"\\fB{name}\\fR\n", page("tokengeom-results.5"))

    def test_exit_statuses(self):
        for status in (support.OK, support.USAGE, support.BAD_DATA, support.NO_INPUT, support.INTERNAL, support.IO, support.STOPPED,
                       support.CONFIG):
            self.assertIn(f"\\fB{status}\\fR\n", page("tokengeom.1"))
            self.assertRegex(said("--help"), rf"(?m)^ +{status}  \w")

    @unittest.skipUnless(shutil.which("groff"), "no groff")
    def test_groff_has_no_warning(self):
        pages = sorted(SHARE.glob("man/man?/*"))
        self.assertEqual(len(pages), 11)
        for path in pages:
            done = subprocess.run(["groff", "-man", "-Tutf8", "-ww", path], capture_output=True, text=True)
            self.assertEqual((done.returncode, done.stderr), (0, ""), path)


@unittest.skipUnless(shutil.which("bash"), "no bash")
class Completion(support.Case):
    def setUp(self):
        super().setUp()
        for name in ("study.yaml", "other.yml", "results.h5", "notes.txt"):
            self.path(name).touch()
        self.path("folder").mkdir()

    def complete(self, typed, tabs=1):
        """What stands on the terminal after tabs: the line, and below it what was offered."""
        child, terminal = pty.fork()
        if child == 0:
            os.chdir(self.directory)
            os.environ.update(PS1="> ", TERM="dumb", INPUTRC="/dev/null")
            os.execvp("bash", ["bash", "--norc", "--noprofile", "-i"])
        self.addCleanup(os.waitpid, child, 0)
        self.addCleanup(os.close, terminal)
        # The prompt is set by the shell itself, so that its echo is not taken for it.
        os.write(terminal, f"bind 'set bell-style none'; source '{COMPLETION}'; PS1='read''y> '\n".encode())
        self.read(terminal, "ready> ")
        os.write(terminal, typed.encode() + b"\t" * tabs)
        return self.read(terminal)

    @staticmethod
    def read(terminal, until=None):
        out, end = "", time.monotonic() + support.PATIENCE * 30
        while time.monotonic() < end and (until is None or until not in out):
            if not select.select([terminal], [], [], 1.5 if until is None else 30)[0]:
                break
            out += os.read(terminal, 4096).decode()
        return out

    def test_commands(self):
        self.assertIn("tokengeom verify ", self.complete("tokengeom ver"))
        self.assertTrue({"run", "report"} <= set(self.complete("tokengeom r", tabs=3).split()))

    def test_keys(self):
        self.assertIn("--set observables.", self.complete("tokengeom run --set obs"))
        self.assertTrue(self.complete("tokengeom run --set observables.ov").endswith("observables.overlap_k="))
        self.assertTrue(self.complete("tokengeom run --set=observables.ov").endswith("observables.overlap_k="))
        self.assertIn("observables.neighbors=true ", self.complete("tokengeom run --set observables.neighbors=t"))
        self.assertIn("compute.kernel=split ", self.complete("tokengeom validate --set compute.kernel=s"))

    def test_options(self):
        self.assertIn("--max-hours ", self.complete("tokengeom run --ma"))
        self.assertIn("--type float32 ", self.complete("tokengeom extract --type fl"))

    def test_files(self):
        offered = set(self.complete("tokengeom run ", tabs=3).split())
        self.assertTrue({"study.yaml", "other.yml", "folder/"} <= offered)
        self.assertFalse({"results.h5", "notes.txt"} & offered)
        self.assertIn("tokengeom info results.h5 ", self.complete("tokengeom info re"))
        self.assertIn("--csv folder/", self.complete("tokengeom export results.h5 --csv fo"))


support.main()
