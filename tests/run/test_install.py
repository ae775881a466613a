"""The installed tree: complete, moved, and without a look at the folders that it was built from.

Oracle: strace's list of files that were opened; byte equality with the results of the program that is not installed."""
import os
import pathlib
import re
import shutil
import subprocess
import unittest

import support
from figures_case import HAS_MATPLOTLIB

BUILD = pathlib.Path(support.PROGRAM).parent
STUDY = "quickstart.yaml"


def cmake_cache(name):
    return re.search(rf"^{name}:\w+=(.*)$", (BUILD / "CMakeCache.txt").read_text(), re.M)[1]


class Installed(support.Case):
    def setUp(self):
        super().setUp()
        first = self.path("first")
        done = subprocess.run([cmake_cache("CMAKE_COMMAND"), "--install", BUILD, "--prefix", first], capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.prefix = first.rename(self.path("a moved place"))
        self.program = self.prefix / "bin/tokengeom"

    def start(self, *command, traced=False):
        """Runs a command to its good end; traced: no file below the folders that it was built from is opened."""
        log = self.path("opened")
        trace = ["strace", "-f", "-qq", "-e", "trace=open,openat,execve", "-o", str(log)] if traced else []
        done = subprocess.run([*trace, *map(str, command)], cwd=self.directory, capture_output=True, text=True, timeout=300,
                              env=support.environment(TOKENGEOM=""))
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        if traced:
            opened = re.findall(r'"([^"]*)".* = \d+$', log.read_text(), re.M)
            self.assertGreater(len(opened), 10)
            self.assertEqual([path for path in opened if path.startswith((str(support.SOURCE) + "/", str(BUILD) + "/"))], [])
        return done.stdout

    def test_the_tree(self):
        """What the documents promise."""
        for name in ("bin/tokengeom", "libexec/tokengeom/plot_figures.py", "libexec/tokengeom/export_states.py",
                     "libexec/tokengeom/make_prompts.py", "libexec/tokengeom/restartable.sh", "share/tokengeom/config/small.yaml",
                     "share/tokengeom/jobs/node.sbatch", "share/tokengeom/jobs/submit_study.sh", "share/man/man1/tokengeom-run.1",
                     "share/man/man5/tokengeom-config.5", "share/bash-completion/completions/tokengeom"):
            self.assertTrue((self.prefix / name).is_file(), name)
        for path in self.prefix.rglob("*"):
            if path.is_file() and path.suffix != ".md" and not (support.SANITIZED and path.name == "tokengeom"):  # which has debug information
                for folder in (support.SOURCE, BUILD):
                    self.assertFalse(os.fsencode(folder) + b"/" in path.read_bytes(), f"{path} names {folder}")
        for folder in ("bin", "libexec/tokengeom", "share/tokengeom/jobs"):
            for path in (self.prefix / folder).iterdir():
                self.assertEqual(os.access(path, os.X_OK), path.name not in ("program.sh", "restartable.sh", "launcher.sh"), path)

    def test_quickstart(self):
        """A study from share/ through the installed script: the same bytes as from the project's folder, and figures."""
        quickstart = self.prefix / "share/tokengeom/jobs/quickstart.sh"
        out = self.start("bash", quickstart)
        self.assertIn(f"{self.program} verify", out)
        self.assertIn("Where to look next", out)
        made = self.path("tokengeom-quickstart/results-quickstart.h5")
        own = self.path("own.h5")
        self.run_ok("run", support.SOURCE / "config" / STUDY, "--set", f"output={own}", ranks=2)
        self.assert_same_bytes(support.load_models(made), support.load_models(own))
        self.assertTrue(any(made.parent.glob("figures-quickstart/*.csv")))
        self.assertEqual(any(made.parent.glob("figures-quickstart/*.png")), HAS_MATPLOTLIB)
        self.assertNotIn("measuring anew", self.start("bash", quickstart))  # what is there is taken

    @unittest.skipUnless(shutil.which("strace"), "no strace")
    def test_nothing_of_the_build_is_opened(self):
        shutil.copytree(self.prefix / "share/tokengeom", self.path("study"))
        config = self.path("study/config") / STUDY
        self.start(self.program, "run", config, traced=True)
        self.start(self.program, "verify", self.path("study/results-quickstart.h5"), traced=True)
        self.start(self.program, "figures", config, traced=True)

    def test_recipes(self):
        """Spack's recipe builds with the options of the script that is tried."""
        options = [set(re.findall(r"-D(?:BUILD|TG)_\w+=OFF", (support.SOURCE / "packaging" / name).read_text()))
                   for name in ("build.sh", "spack/package.py")]
        self.assertEqual(options[0], options[1])
        self.assertEqual(len(options[0]), 2)

    @unittest.skipUnless(shutil.which("tclsh"), "no tclsh")
    def test_modulefile(self):
        """Loaded by a Tcl that knows what a modulefile says: the paths are those of the tree where it lies."""
        module = next((self.prefix / "share/tokengeom/modulefiles/tokengeom").iterdir())
        script = f"""proc module-whatis text {{}}; proc conflict name {{}}; proc prepend-path {{name path}} {{puts "$name $path"}}
                     set ModulesCurrentModulefile {{{module}}}; source $ModulesCurrentModulefile"""
        said = subprocess.run(["tclsh"], input=script, capture_output=True, text=True, check=True).stdout
        self.assertEqual(said.splitlines(), [f"PATH {self.prefix}/bin", f"MANPATH {self.prefix}/share/man"])

    def test_workstation_script(self):
        """Finds the program of its own tree, as nothing else says where it is."""
        self.assertIsNone(shutil.which("tokengeom"))
        config = self.config(support.synthetic(prompts=2, layers=2, tokens=16, width=4))
        out = self.start("bash", self.prefix / "share/tokengeom/jobs/workstation.sh", config)
        self.assertIn(" complete: ", out)


if __name__ == "__main__":
    support.main()
