"""Where `tokengeom figures` writes to, whatever a result file says.

Oracle: the list of CSVs below the test's own directory before and after."""
import os
import re
import shutil
import unittest

import h5py
import support
from figures_case import HAS_MATPLOTLIB, Figures
from support import files


class Place(Figures):
    """Where figures go: a config of one's own says it, a result file's does not."""

    def results(self, **figures):
        self.states(prompts=3, layers=2, levels=1, logits=False)
        self.path("here").mkdir()
        return self.measure(files("a.h5"), figures={"formats": ["csv"], **figures})

    def draw_here(self, *arguments):
        """Figures drawn in the directory here: those that hold CSVs then, from here; the warnings about it."""
        before = set(self.directory.rglob("*.csv"))
        result = self.run_ok("figures", *arguments, wrap=("env", "-C", str(self.path("here"))))
        made = {os.path.relpath(path.parent, self.path("here")) for path in set(self.directory.rglob("*.csv")) - before}
        for directory in made:
            for path in (self.path("here") / directory).glob("*.csv"):
                path.unlink()
        return made, [line for line in result.err.splitlines() if "figures.directory" in line]

    def test_absolute(self):
        """As every run echoes it."""
        elsewhere = self.path("elsewhere")
        elsewhere.mkdir()
        results = self.results(directory=str(elsewhere / "plots"))
        made, said = self.draw_here(results)
        self.assertEqual((made, len(said)), ({"plots"}, 1))
        for text in (str(results), str(elsewhere / "plots"), "writing to plots"):
            self.assertIn(text, said[0])
        self.assertEqual(list(elsewhere.iterdir()), [])

    def test_the_users_own(self):
        """--out and --set are the user's words, and so is a config."""
        results = self.results(directory=str(self.path("own")))
        for option in (("--out", self.path("own")), ("--set", f"figures.directory={self.path('own')}")):
            self.assertEqual(self.draw_here(results, *option), ({"../own"}, []))
        self.assertEqual(self.draw_here(self.path("results.h5.yaml")), ({"../own"}, []))

    def test_nothing_to_say(self):
        """The config's directory is the one below the current directory."""
        results = self.results(directory=str(self.path("here") / "plots"))
        self.assertEqual(self.draw_here(results), ({"plots"}, []))

    def test_any_path_in_a_file(self):
        self.path("x/y/z").mkdir(parents=True)  # none of the paths leads out of the test's own directory
        results = shutil.copy(self.results(), self.path("x/y/z/results.h5"))
        (self.path("here") / "sub").mkdir()
        for wanted, place, said in (("plots", "plots", 0), ("./plots/", "plots", 0), ("sub/plots", "sub/plots", 0),
                                    ("sub/../a", "a", 0), ("sub/..", ".", 0), ("sub//./", "sub", 0), ("..", "figures", 1),
                                    ("../..", "figures", 1), ("../b", "b", 1), ("sub/../../here/c", "c", 1),
                                    (f"{self.directory}/d/", "d", 1), (f"{self.directory}/.", "figures", 1),
                                    (f"{self.directory}/here/sub", "sub", 0), (f"{self.directory}/x/here/sub", "sub", 1),
                                    ("--png", "--png", 0), ("...", "...", 0)):
            with self.subTest(wanted=wanted):
                with h5py.File(results, "r+") as file:
                    text = file["provenance/config"][()].decode()
                    del file["provenance/config"]
                    changed = re.sub(r'figures:\n  directory: ".*"', f'figures:\n  directory: "{wanted}"', text)
                    file["provenance/config"] = changed
                made, lines = self.draw_here(results)
                self.assertEqual((made, len(lines)), ({place}, said), lines)

    @unittest.skipUnless(HAS_MATPLOTLIB, "needs matplotlib")
    def test_a_directory_named_like_an_option(self):
        results = self.results()
        result = self.run_ok("figures", results, "--out=--pdf", "--set", "figures.formats=[csv, png]", timeout=120,
                             wrap=("env", "-C", str(self.path("here"))))
        self.assertTrue((self.path("here") / "--pdf" / "fig03.png").is_file(), result)


if __name__ == "__main__":
    support.main()
