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
PACKAGE = pathlib.Path("/usr/share/bash-completion/bash_completion")


def said(*arguments):
    return support.run(*arguments).out


def commands():
    return re.findall(r"^  ([a-z]+) +(?:CONFIG|RESULTS|FILE)", said("--help"), re.M)


def page(name):
    """As source, without the escapes of hyphens."""
    return (SHARE / f"man/man{name[-1]}" / name).read_text().replace("\\-", "-")


def examples(name):
    return re.search(r"^\.SH EXAMPLES\n\.nf\n\.RS\n(.*)\n\.RE\n\.fi\n", page(name), re.M | re.S)[1].replace("\\(ti", "~")


def meaning(entry, of):
    """The text below an entry, up to roff's next request."""
    found = re.search(rf"\\fB{re.escape(entry)}\\fR\n((?:[^.].*\n)+)", page(of))
    return " ".join(found[1].replace("\\&", "").split()) if found else ""


def paths_of(file):
    """Every dataset of a result file whose one model is called model."""
    paths = []
    file.visititems(lambda name, item: paths.append(name) if isinstance(item, h5py.Dataset) else None)
    return paths


class Pages(support.Case):
    def assert_entry(self, name, of):
        self.assertIn(f"\\fB{name}\\fR\n", page(of))

    def test_commands_and_options(self):
        self.assertEqual(len(commands()), 8)
        for command in commands():
            self.assertIn(f"\\fB{command}\\fR", page("tokengeom.1"))
            self.assertRegex(page(f"tokengeom-{command}.1"), rf"(?m)^\.SH NAME\ntokengeom-{command} - [a-z]")
            options = set(re.findall(r"--[a-z-]+", said(command, "--help"))) - {"--usage", "--version"}
            self.assertIn("--help", options)
            for option in options:
                self.assertRegex(page(f"tokengeom-{command}.1"), rf"\\fB{option}=?\\fR")

    def test_keys(self):
        """With what help says of them, however its lines are broken."""
        keys = re.findall(r"^([a-z_.\[\]]+) +(.*)", said("run", "--help-config"), re.M)
        self.assertGreater(len(keys), 40)
        text = " ".join(page("tokengeom-config.5").replace("\\&", "").replace("\\(aq", "'").split())
        for key, meaning in keys:
            self.assertIn(f"\\fB{key}\\fR {' '.join(meaning.split())}. ", text)

    def test_datasets(self):
        self.study(synthetic(), observables={"neighbors": True, "angle_layers": [1]})
        with h5py.File(self.path("results.h5")) as file:
            paths = paths_of(file)
            self.check_axes(file["models/model"])
        self.assertGreater(len(paths), 150)
        results = page("tokengeom-results.5")
        moments = re.search(r"^\.SH STATISTICS\n(.*?)\n\.SH", results, re.M | re.S)[1]
        for path in paths:
            top, _, name = path.replace("models/model/", "").partition("/")
            if top == "statistics":
                of, _, moment = name.rpartition("/")
                self.assertRegex(moments, rf"\s{moment}[,.]")
                self.assertIn("With statistics over prompts.", meaning(of, "tokengeom-results.5"), of)
            elif top == "correlations":
                of, _, number = name.partition("/")
                self.assert_entry(f"correlations/{of}/", "tokengeom-results.5")
                self.assert_entry(number, "tokengeom-results.5")
            elif top in ("checksums", "provenance", "complete"):
                self.assertIn(f"/{top}", results)
            else:
                self.assert_entry(path.replace("models/model/", ""), "tokengeom-results.5")

    def check_axes(self, model):
        """Of datasets over prompts, with type, source and whether there are statistics."""
        checked = 0
        for name, dataset in support.datasets(model).items():
            axes = [axis[0].name.rpartition("/")[2] for axis in dataset.dims if len(axis)]
            if axes[:1] == ["prompt_id"]:
                text, source = meaning(name, "tokengeom-results.5"), dataset.attrs["source"].decode()
                self.assertTrue(text.startswith(f"({', '.join(axes)}), {dataset.dtype}, "), text)
                self.assertTrue(text.endswith(f"Source: {source}." + " With statistics over prompts." * (f"statistics/{name}" in model)), text)
                checked += 1
        self.assertGreater(checked, 20)

    def test_values(self):
        """Of status and reason: those of the program's header."""
        header = (support.SOURCE / "src/geometry/row.h").read_text()
        listed = re.search(r"^\.SS status\n(.*)\n\.SS reason\n(.*?)\n\.SH", page("tokengeom-results.5"), re.M | re.S)
        for name, text in zip(("STATUS", "REASON"), listed.groups()):
            values = re.findall(rf"TG_{name}_\w+ = (\d+)", header)
            self.assertGreater(len(values), 3)
            self.assertEqual(re.findall(r"\\fB(\d+)\\fR\n\w", text), values, name)

    def test_exit_statuses(self):
        for status in (support.OK, support.USAGE, support.BAD_DATA, support.NO_INPUT, support.INTERNAL, support.IO, support.STOPPED,
                       support.CONFIG):
            self.assert_entry(status, "tokengeom.1")
            self.assertRegex(said("--help"), rf"(?m)^ +{status}  \w")
        for status, able in ((support.STOPPED, {"run", "extract", "verify"}), (support.CONFIG, {"run", "extract", "validate", "figures"})):
            self.assertEqual({command for command in commands() if meaning(str(status), f"tokengeom-{command}.1")}, able)
        for command in commands():  # of itself only, and with options that it has
            stopped = meaning(str(support.STOPPED), f"tokengeom-{command}.1")
            for option in re.findall(r"--[a-z-]+", stopped):
                self.assertIn(option, said(command, "--help"), command)
            self.assertLessEqual(page(f"tokengeom-{command}.1").count(f"\\fB{support.STOPPED}\\fR"), 1, command)

    def test_environment(self):
        """Whatever the program asks for; names of launchers stand in a list of their own."""
        asked = set()
        for source in (support.SOURCE / "src").rglob("*.c"):
            text = source.read_text()
            if "getenv(" in text:
                asked |= set(re.findall(r'getenv\("(\w+)"', text) + re.findall(r'"((?:OMPI|PMIX?|SLURM)_\w+)"', text))
        self.assertGreater(len(asked), 5)
        for name in asked:
            self.assertIn(name, page("tokengeom.1"))
            self.assertIn(name, said("--help"))

    def test_examples(self):
        """The study is one, and commands have the options that they are shown with."""
        support.write_states(self.path("states-0.h5"), support.clouds(levels=2), levels=[0, 5])
        self.path("study.yaml").write_text(examples("tokengeom-config.5"))
        self.run_ok("validate", self.path("study.yaml"))
        shown = [line for command in commands() for line in examples(f"tokengeom-{command}.1").splitlines()]
        self.assertGreater(len(shown), 8)
        for line in shown + examples("tokengeom.1").splitlines():
            command, rest = re.search(r"tokengeom (\w+) (.*)", line).groups()
            for option in re.findall(r"--[a-z-]+", rest):
                self.assertIn(option, said(command, "--help"))

    def assert_clean(self, *command, but="(?!)"):
        pages = sorted(SHARE.glob("man/man?/*"))
        self.assertEqual(len(pages), 11)
        for path in pages:
            done = subprocess.run([*command, path], capture_output=True, text=True)
            said = [line for line in (done.stderr + done.stdout).splitlines() if not re.search(but, line)]
            self.assertEqual(said, [], path)

    @unittest.skipUnless(shutil.which("groff"), "no groff")
    def test_groff_has_no_warning(self):
        self.assert_clean("groff", "-man", "-Tutf8", "-ww", "-z")

    @unittest.skipUnless(shutil.which("mandoc"), "no mandoc")
    def test_mandoc_has_no_warning(self):
        """But for the date: pages have none, so that every build makes the same."""
        self.assert_clean("mandoc", "-Tlint", but='missing date, using "": TH')


@unittest.skipUnless(shutil.which("bash"), "no bash")
class Completion(support.Case):
    """In a bash that has read no other file, with the COMP_WORDBREAKS that it starts with."""
    source = COMPLETION

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
            os.environ.update(PS1="> ", TERM="dumb", INPUTRC="/dev/null", HISTFILE="/dev/null", XDG_DATA_DIRS=str(SHARE))
            os.execvp("bash", ["bash", "--norc", "--noprofile", "-i"])
        self.addCleanup(os.waitpid, child, 0)
        self.addCleanup(os.close, terminal)
        # Control-G says what readline holds. The prompt is set by the shell itself, so that its echo is not taken for it.
        os.write(terminal, (r"""bind 'set bell-style none'; bind -x '"\C-g": printf "\n[%s]\n" "$READLINE_LINE"'; """
                            f"source '{self.source}'; PS1='read''y> '\n").encode())
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
        self.assert_line("tokengeom run --set models[0].source.to", "tokengeom run --set models[0].source.tokens=")
        self.assert_line("tokengeom validate --get observables.ov", "tokengeom validate --get observables.overlap_k ")
        self.assert_offered("tokengeom validate --get mod")

    def test_values_of_keys(self):
        self.assert_line("tokengeom run --set observables.neighbors=t", "tokengeom run --set observables.neighbors=true ")
        self.assert_line("tokengeom validate --set=compute.kernel=s", "tokengeom validate --set=compute.kernel=split ")
        self.assert_offered("tokengeom run --set output=", "results.h5", "my", "folder/")
        self.assert_line("tokengeom run --set figures.directory=", "tokengeom run --set figures.directory=folder/")
        self.assert_offered("tokengeom run --set statistics.seed=")
        self.assert_offered("tokengeom run --set compute.kernel=", "auto", "float32", "bfloat16", "split")
        self.assert_line("tokengeom run --set shuffle.levels=", "tokengeom run --set shuffle.levels=all ")
        self.assert_line("tokengeom run --set models[1].source.kind=l", "tokengeom run --set models[1].source.kind=llama ")

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


@unittest.skipUnless(PACKAGE.exists(), "no bash-completion")
class FoundByThePackage(Completion):
    """The same where Debian's bash-completion looks for the script by the program's name."""
    source = PACKAGE


support.main()
