"""Manual pages and completion: whole, clean, and what a terminal gets.

Oracle: the program's own help and the datasets of a result file; groff's and mandoc's warnings; bash in a pseudo terminal."""
import os
import pathlib
import pty
import re
import select
import shutil
import subprocess
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
    """In a bash that has read no other file, with the COMP_WORDBREAKS that it starts with."""

    def setUp(self):
        super().setUp()
        for name in ("study.yaml", "other.yml", "results.h5", "my results.h5", "notes.txt"):
            self.path(name).touch()
        self.path("folder").mkdir()

    def complete(self, typed, tabs=1):
        """The line after tabs, and the words that were offered below it."""
        child, terminal = pty.fork()
        if child == 0:
            os.chdir(self.directory)
            os.environ.update(PS1="> ", TERM="dumb", INPUTRC="/dev/null", HISTFILE="/dev/null")
            os.execvp("bash", ["bash", "--norc", "--noprofile", "-i"])
        self.addCleanup(os.waitpid, child, 0)
        self.addCleanup(os.close, terminal)
        # Control-G says what readline holds. The prompt is set by the shell itself, so that its echo is not taken for it.
        os.write(terminal, (r"""bind 'set bell-style none'; bind -x '"\C-g": printf "\n[%s]\n" "$READLINE_LINE"'; """
                            f"source '{COMPLETION}'; PS1='read''y> '\n").encode())
        self.read(terminal, "ready> ")
        os.write(terminal, typed.encode() + b"\t" * tabs + b"\a")
        out = self.read(terminal, "]\r\n")
        offered, line = re.fullmatch(r"(.*)\r\n\[(.*)\]\r\n.*", out, re.S).groups()
        return line, set(offered.replace("ready> ", "").replace(typed, "").split())

    def read(self, terminal, until):
        out = ""
        while until not in out:
            self.assertTrue(select.select([terminal], [], [], support.PATIENCE * 30)[0], f"no {until!r} in {out!r}")
            out += os.read(terminal, 4096).decode()
        return out

    def assert_line(self, typed, expected):
        self.assertEqual(self.complete(typed)[0], expected)

    def assert_offered(self, typed, *expected):
        self.assertEqual(self.complete(typed, tabs=2), (typed, set(expected)))

    def test_commands(self):
        self.assert_line("tokengeom ver", "tokengeom verify ")
        self.assert_offered("tokengeom r", "run", "report")

    def test_keys(self):
        self.assert_line("tokengeom run --set obs", "tokengeom run --set observables.")
        self.assert_line("tokengeom run --set observables.ov", "tokengeom run --set observables.overlap_k=")
        self.assert_line("tokengeom run --set=observables.ov", "tokengeom run --set=observables.overlap_k=")

    def test_values_of_keys(self):
        self.assert_line("tokengeom run --set observables.neighbors=t", "tokengeom run --set observables.neighbors=true ")
        self.assert_line("tokengeom validate --set=compute.kernel=s", "tokengeom validate --set=compute.kernel=split ")
        self.assert_offered("tokengeom run --set output=", "results.h5", "my", "folder/")
        self.assert_line("tokengeom run --set figures.directory=", "tokengeom run --set figures.directory=folder/")
        self.assert_offered("tokengeom run --set statistics.seed=")

    def test_options(self):
        self.assert_line("tokengeom run --ma", "tokengeom run --max-hours ")
        self.assert_offered("tokengeom run --max-hours ")
        self.assert_offered("tokengeom verify --", "--help", "--sample", "--seed")
        self.assert_line("tokengeom extract --type fl", "tokengeom extract --type float32 ")
        self.assert_line("tokengeom export results.h5 --csv ", "tokengeom export results.h5 --csv folder/")
        self.assert_offered("tokengeom extract study.yaml --out ", "results.h5", "my", "folder/")

    def test_arguments(self):
        self.assert_offered("tokengeom run ", "study.yaml", "other.yml", "folder/")
        self.assert_offered("tokengeom info ", "results.h5", "my", "folder/")
        self.assert_offered("tokengeom figures ", "study.yaml", "other.yml", "results.h5", "my", "folder/")
        self.assert_line("tokengeom info re", "tokengeom info results.h5 ")
        self.assert_line("tokengeom info m", "tokengeom info my\\ results.h5 ")
        self.assert_line("tokengeom info 'my r", "tokengeom info 'my results.h5' ")


support.main()
