"""`tokengeom figures` and `report`: every CSV against an independent recomputation from the per-prompt values
(figures_oracle.py, to 1e-9: sums of at most a few hundred terms, moments near 1), cases with missing data, exit statuses, and
the pictures that jobs/plot_figures.py draws from the CSVs (same bytes twice)."""
import html.parser
import math
import os
import re
import shutil
import subprocess
import sys
import unittest

import figures_oracle as oracle
import h5py
import numpy as np
import support
from figures_case import HAS_MATPLOTLIB, Figures, read_csv
from support import clouds, files, write_states

SCRIPT = support.SOURCE / "jobs" / "plot_figures.py"


class Data(Figures):
    def two_models(self):
        """One of 32 clouds with a NaN prompt, one of 12 clouds with other prompts and no logits."""
        self.states("a.h5", bad=(3, 0, 5), model="alpha")
        self.states("b.h5", prompts=9, layers=12, seed=2, logits=False, ids=np.arange(9) + 50, model="beta")
        return {"name": "alpha", "source": files("a.h5")}, {"name": "beta", "source": files("b.h5")}

    def test_two_models(self):
        """Everything; the note on the example prompt that one model lacks; the result file is not touched."""
        results = self.measure(*self.two_models())
        before, when = results.read_bytes(), results.stat().st_mtime_ns
        os.chmod(results, 0o444)
        _, found = self.draw(results)
        self.assertEqual(len(found), 31)
        self.check([results], found)
        self.assertEqual((results.read_bytes() == before, results.stat().st_mtime_ns), (True, when))
        for name in ("fig02_left", "fig03_left", "fig04_left", "fig05_left", "fig09_a", "fig12_left", "fig14_b"):
            self.assertIn("alpha, prompt 3218; beta, prompt 50 (the first one: there is no prompt 3218)", self.caption(found[name]))
        for name in ("fig02_right", "fig06", "fig08", "fig20", "table1"):
            self.assertIn("alpha, 12 prompts; beta, 9 prompts", self.caption(found[name]))

    def test_same_bytes(self):
        """For any number of ranks; from the config; from the config when its inputs are gone."""
        models = self.two_models()
        one = self.measure(*models)
        _, first = self.draw(one)
        three = self.measure(*models, ranks=3, output="three.h5")
        _, second = self.draw(three, out="second")
        _, third = self.draw(self.path("results.h5.yaml"), out="third")
        for name in ("a.h5", "b.h5"):
            self.path(name).unlink()
        _, fourth = self.draw(self.path("results.h5.yaml"), out="fourth")
        for other in (second, third, fourth):
            self.assertEqual(sorted(other), sorted(first))
            for name, path in first.items():
                self.assertTrue(path.read_bytes() == other[name].read_bytes(), name)

    def test_choice_of_what_is_shown(self):
        """Scale, k, angle layer and prompts of the config; listed prompts come in data-set order, absent ones are named. One
        prompt has no logit ID: its point is left out, and the line is that of the others."""
        self.states(bad=(3, 0, 31))
        results = self.measure(files("a.h5"), observables={"scales": [2, 4, 8, 16], "overlap_k": 8, "angle_layers": [3, 10]})
        settings = ("scale=4", "k=3", "angle_layer=3", "prompts=[3239, 3211, 99]", "example_prompt=3225")
        _, found = self.draw(results, *[part for text in settings for part in ("--set", f"figures.{text}")])
        self.check([results], found, scale=4, k=3, angle_layer=3, prompts=[3239, 3211], example=3225)
        self.assertIn("model has no prompt 99.", self.caption(found["fig08"]))

    def test_levels_out_of_order(self):
        """The lowest and the highest level are so by value, wherever they stand."""
        write_states(self.path("a.h5"), clouds(6, 3, 12, 24, 8), levels=[4, 0, 2], loss=np.random.default_rng(3).random((6, 3)))
        results = self.measure(files("a.h5"))
        _, found = self.draw(results)
        self.check([results], found)
        self.assertEqual({row[1] for row in read_csv(found["fig10"])[2]}, {"0", "4"})
        self.assertEqual({row[2] for row in read_csv(found["fig14_a"])[2]}, {"4"})

    def test_six_prompts(self):
        """The seeded choice: six different ones, the same every time, other ones for another seed; all when there are fewer."""
        self.states(prompts=40, layers=3, levels=1)
        results = self.measure(files("a.h5"), shuffle={"seed": 5})
        _, found = self.draw(results)
        _, again = self.draw(results, out="again")
        chosen = list(dict.fromkeys(row[1] for row in read_csv(found["fig08"])[2]))
        self.assertEqual(len(chosen), 6)
        self.assertTrue(found["fig08"].read_bytes() == again["fig08"].read_bytes())
        self.check([results], found, seed=5)
        other = self.measure(files("a.h5"), shuffle={"seed": 6}, output="other.h5")
        _, found = self.draw(other, out="other")
        self.check([other], found, seed=6)
        self.assertNotEqual(chosen, list(dict.fromkeys(row[1] for row in read_csv(found["fig08"])[2])))
        _, found = self.draw(results, "--set", "figures.prompts=1000", out="all")
        self.assertEqual(len({row[1] for row in read_csv(found["fig08"])[2]}), 40)

    def test_several_files(self):
        """Models in the order of the files."""
        self.two_models()
        b = self.measure({"name": "beta", "source": files("b.h5")}, output="b-results.h5")
        a = self.measure({"name": "alpha", "source": files("a.h5")}, output="a-results.h5")
        _, found = self.draw(b, a)
        self.check([b, a], found)
        self.assertEqual(list(dict.fromkeys(row[0] for row in read_csv(found["fig02_right"])[2])), ["beta", "alpha"])


class Missing(Figures):
    def left_out(self, result):
        return {line.split()[0] for line in result.err.splitlines() if " is left out: " in line}

    def test_one_level(self):
        self.states(levels=1)
        results = self.measure(files("a.h5"))
        result, found = self.draw(results)
        self.assertEqual(self.left_out(result), {"fig14_a"})
        self.check([results], found)
        self.assertEqual({row[-1] for row in read_csv(found["fig05_right"])[2]}, {"0"})

    def test_two_prompts(self):
        """No correlation is defined; scatter plots have points and a line, and r and p are nan."""
        self.states(prompts=2)
        results = self.measure(files("a.h5"))
        result, found = self.draw(results)
        self.assertEqual(self.left_out(result), {"fig06", "fig17", "fig20", "table1"})
        self.check([results], found)
        self.assertEqual({row[5] for row in read_csv(found["fig07_left"])[2]}, {"nan"})

    def test_no_logits(self):
        self.states(logits=False)
        results = self.measure(files("a.h5"))
        result, found = self.draw(results)
        self.assertEqual(self.left_out(result), {"fig07_left", "fig07_right", "fig18"})
        self.check([results], found)

    def test_no_loss(self):
        self.states(loss=None)
        results = self.measure(files("a.h5"))
        result, found = self.draw(results)
        self.assertEqual(self.left_out(result), {"fig06", "fig07_right", "fig17", "fig20", "table1"})
        self.check([results], found)

    def test_absent_example(self):
        self.states(ids=np.arange(12))
        results = self.measure(files("a.h5"))
        _, found = self.draw(results)
        self.check([results], found)
        self.assertIn("model, prompt 0 (the first one: there is no prompt 3218)", self.caption(found["fig03_left"]))

    def test_angle_layer_not_stored(self):
        self.states()
        results = self.measure(files("a.h5"), observables={"scales": [2, 4], "overlap_k": 3, "angle_layers": [4]})
        result, found = self.draw(results)
        self.assertEqual(self.left_out(result), {"fig04_left"})
        self.check([results], found)

    def test_few_layers(self):
        """Layers 10, 12, 19, 25 and 29 are not there."""
        self.states(layers=5)
        results = self.measure(files("a.h5"))
        result, found = self.draw(results)
        self.assertEqual(self.left_out(result), {"fig04_left", "fig04_right", "fig14_c"})
        self.check([results], found)

    def test_a_later_run_removes_what_it_lacks(self):
        self.states()
        full = self.measure(files("a.h5"))
        self.assertTrue("fig18" in self.draw(full)[1])
        self.states("b.h5", logits=False)
        self.assertFalse("fig18" in self.draw(self.measure(files("b.h5"), output="less.h5"))[1])


class Grey(Figures):
    """Figure 5's run: contiguous, around the layer where the shuffled ID peaks, where shuffled lies below structured."""

    def set_curves(self, results, ids, difference):
        """Mean shuffled ID by layer, shuffled minus structured overlap by pair: in values and statistics alike."""
        with h5py.File(results, "r+") as file:
            model = file["models/model"]
            for path, curve in ((oracle.ID, np.array(ids)), (oracle.OVERLAP, 0.5 + np.array(difference))):
                values = curve[None, :, None]
                full = np.broadcast_to(values, model[path].shape[:1] + model[path].shape[2:])
                model[path][:, 1] = full
                model[f"statistics/{path}/mean"][1] = full[0]
                model[f"statistics/{path}/std"][1] = 0
                if path == oracle.OVERLAP:
                    model[path][:, 0] = model[f"statistics/{path}/mean"][0] = 0.5
                    model[f"statistics/{path}/std"][0] = 0

    def test_edges(self):
        nan = math.nan
        cases = [  # ID of layers 0..7, difference of pairs 0..6, the run
            ([9, 1, 2, 3, 9, 3, 2, 1], [0, -1, 1, -1, -1, -1, 1], [3, 4, 5]),     # runs elsewhere do not count
            ([9, 1, 2, 3, 9, 3, 2, 1], [-1, -1, -1, -1, -1, -1, -1], [1, 2, 3, 4, 5, 6]),  # pair 0 is not drawn
            ([9, 1, 2, 3, 9, 3, 2, 1], [0, -1, -1, -1, 1, -1, -1], [1, 2, 3]),    # the peak's pair with the layer before
            ([9, 1, 2, 3, 9, 3, 2, 1], [0, -1, -1, 1, 1, -1, -1], []),            # runs beside the peak only
            ([9, 1, 2, 3, 9, 3, 2, 1], [0, 1, 1, 0, 0, 1, 1], []),                # equal is not below
            ([9, 8, 2, 3, 4, 3, 2, 1], [-1, -1, -1, 1, 1, 1, 1], [1, 2]),         # peak at the first layer, not at the embedding
            ([9, 8, 2, 3, 4, 3, 2, 1], [-1, 1, -1, 1, 1, 1, 1], []),
            ([0, 1, 2, 3, 4, 5, 6, 7], [0, 1, 1, 1, 1, -1, -1], [5, 6]),          # peak at the last layer, which has no pair
            ([0, 1, 2, 3, 4, 5, 6, 7], [0, -1, -1, -1, -1, -1, 1], []),
            ([9, 1, 2, 3, 9, 3, 2, 1], [0, -1, -1, nan, -1, nan, -1], [4]),       # an undefined pair ends it
            ([9, 1, nan, 3, 4, 9, nan, 1], [0, 1, -1, -1, 1, -1, -1], [5, 6]),
            ([9, nan, nan, nan, nan, nan, nan, nan], [0, -1, -1, -1, -1, -1, -1], []),
            ([0, 1, 9, 3, 9, 3, 2, 1], [0, 1, -1, 1, -1, 1, 1], [2]),             # of two peaks the first
        ]
        self.states(layers=8, levels=2, prompts=4)
        results = self.measure(files("a.h5"))
        for ids, difference, run in cases:
            self.set_curves(results, ids, [d * 0.1 for d in difference])
            _, found = self.draw(results)
            for name, mark, layer in (("fig05_left", 6, 3), ("fig05_right", 7, 2)):
                rows = read_csv(found[name])[2]
                self.assertEqual(sorted({int(row[layer]) for row in rows if row[mark] == "1"}), run, (name, ids, difference))
            self.assertEqual(oracle.grey_run(oracle.load([results])[0], oracle.DEFAULTS), run)
            said = re.findall(r"Grey in model: pairs (\d+)\.\.(\d+),", self.caption(found["fig05_right"]))
            self.assertEqual(said, [(str(run[0]), str(run[-1]))] if run else [])


class Errors(Figures):
    def fails(self, code, message, *arguments):
        result = support.run("figures", *arguments)
        self.assertEqual(result.code, code, result)
        self.assertTrue(any(re.search(message, line) for line in result.errors), result)

    def test_inputs(self):
        self.states()
        results = self.measure(files("a.h5"))
        twin = shutil.copy(results, self.path("twin.h5"))
        out = ("--out", self.path("figures"))
        self.fails(support.BAD_DATA, r"twin\.h5.*model.*results\.h5", results, twin, *out)
        self.fails(support.BAD_DATA, r"a\.h5: holds hidden states, no results", self.path("a.h5"), *out)
        self.fails(support.BAD_DATA, r"a\.h5: holds hidden states, no results", results, self.path("a.h5"), *out)
        self.fails(support.NO_INPUT, r"none\.h5: No such file", self.path("none.h5"), *out)
        self.fails(support.NO_INPUT, r"none\.h5: No such file", results, self.path("none.h5"), *out)
        self.fails(support.USAGE, "one config, or result files", self.path("results.h5.yaml"), results, *out)
        self.fails(support.USAGE, "one config, or result files", self.path("results.h5.yaml"), self.path("results.h5.yaml"), *out)
        self.fails(support.IO, r"absent/figures: No such file", results, "--out", self.path("absent/figures"))
        self.fails(support.CONFIG, "example_promt", results, "--set", "figures.example_promt=1", *out)
        self.path("file").write_text("")
        self.fails(support.IO, "file", results, "--out", self.path("file"))

    def test_config_without_results(self):
        self.states()
        self.fails(support.NO_INPUT, r"results\.h5", self.config(files("a.h5")), "--out", self.path("figures"))

    def test_incomplete_file(self):
        """r without p: refused, by name."""
        self.states(prompts=4, layers=3, levels=1)
        results = self.measure(files("a.h5"))
        with h5py.File(results, "r+") as file:
            del file["models/model/correlations/id_loss/pearson_p"]
        self.fails(support.BAD_DATA, "pearson_p", results, "--out", self.path("figures"))


class Report(Figures):
    def test_what_stands_out(self):
        """Peak, dip and strongest r equal the oracle's, of the lowest and of the highest level."""
        self.states(bad=(3, 0, 5))
        results = self.measure(files("a.h5"))
        text = self.run_ok("report", results).out
        model = oracle.load([results])[0]
        for place in (model.low, model.high):
            part = text.split(f"\nS = {model.levels[place]}\n")[1].split("\nS = ")[0]
            (peak, dimension), (dip, overlap), (layer, r, p, n) = oracle.extremes(model, place)
            low, high = oracle.interval(r, n)
            self.assertIn(f"ID peaks at layer {peak} ({dimension:.2f})\n", part)
            self.assertIn(f"overlap is lowest from layer {dip} to {dip + 1} ({overlap:.3f})\n", part)
            self.assertIn(f"r = {r:.3f} at layer {layer}, 95 % in [{low:.3f}, {high:.3f}], p = {p:.2g}\n", part)
            table = [line.split() for line in part.splitlines() if re.match(r" +\d+ ", line)]
            self.assertEqual([int(row[0]) for row in table], list(range(32)))
            for row in table[1:]:
                self.assertAlmostEqual(float(row[1]), oracle.moments(model.get(oracle.ID)[:, place, int(row[0]), 0])[0], delta=5.1e-4)

    def test_nothing_stands_out(self):
        """One prompt: no r, no crash; a hidden-state file is none."""
        self.states(prompts=1, layers=2, levels=1)
        text = self.run_ok("report", self.measure(files("a.h5"))).out
        self.assertIn("ID peaks at layer 1", text)
        self.assertNotIn("strongest", text)
        result = support.run("report", self.path("a.h5"))
        self.assertEqual(result.code, support.BAD_DATA, result)


def plot(*arguments, **environment):
    return subprocess.run([sys.executable, str(SCRIPT), *map(str, arguments)], capture_output=True, text=True,
                          env={**os.environ, "MPLCONFIGDIR": os.environ.get("MPLCONFIGDIR", "/tmp"), **environment})


class Page(html.parser.HTMLParser):
    """What a page refers to, and its tags opened and closed."""

    def __init__(self):
        super().__init__()
        self.links, self.images, self.open, self.scripts = [], [], [], 0

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.scripts += tag == "script"
        if tag == "a":
            self.links.append(attributes["href"])
        if tag == "img":
            self.images.append((attributes["src"], attributes["alt"]))
        if tag not in ("img", "meta", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, tag


@unittest.skipUnless(HAS_MATPLOTLIB, "needs matplotlib")
class Pictures(Figures):
    def figures(self):
        self.states("a.h5", bad=(3, 0, 5), model="alpha")
        self.states("b.h5", prompts=9, layers=12, seed=2, logits=False, ids=np.arange(9) + 50, model="beta")
        results = self.measure({"name": "Llama-3-8B", "source": files("a.h5")}, {"name": "other", "source": files("b.h5")})
        self.draw(results)
        return self.path("figures")

    def test_every_figure(self):
        """One picture a figure and one a further model, the same bytes twice; a page that shows them all."""
        directory = self.figures()
        first = plot(directory, "--png", "--pdf")
        self.assertEqual((first.returncode, first.stderr), (0, ""), first)
        pictures = {path.name: path.read_bytes() for path in directory.iterdir() if path.suffix in (".png", ".pdf")}
        every = [f"fig{a:02d}" for a in (*range(1, 19), 20)] + ["table1"]
        further = [f"fig{a:02d}_other" for a in (2, 3, 4, 5, 8, 10, 11)]
        self.assertEqual(sorted(pictures), sorted(f"{name}.{kind}" for name in every + further for kind in ("png", "pdf")))
        self.assertTrue(all(bytes_[:4] in (b"\x89PNG", b"%PDF") for bytes_ in pictures.values()))
        page = (directory / "index.html").read_bytes()
        self.assertEqual(plot(directory, "--png", "--pdf").returncode, 0)
        for name, before in pictures.items():
            self.assertTrue((directory / name).read_bytes() == before, f"{name} differs")
        self.assertTrue((directory / "index.html").read_bytes() == page)
        self.check_page(directory, page.decode(), pictures)

    def check_page(self, directory, text, pictures):
        page = Page()
        page.feed(text)
        self.assertEqual((page.open, page.scripts), ([], 0))
        self.assertEqual(sorted(source for source, _ in page.images), sorted(name for name in pictures if name.endswith(".png")))
        self.assertTrue(all(alt for _, alt in page.images))
        local = {link for link in page.links if not link.startswith(("#", "https://arxiv.org/"))}
        self.assertEqual(local, set(pictures) | {path.name for path in directory.glob("*.csv")})
        for path in directory.glob("*.csv"):
            self.assertIn(html.escape(self.caption(path)), text)

    def test_names_that_are_no_words(self):
        """No mathematics, no rows broken at U+0085, and names of pictures that every file system takes."""
        self.states("a.h5", layers=4, prompts=4)
        results = self.measure(*({"name": name, "source": files("a.h5")} for name in "abc"))
        with h5py.File(results, "r+") as file:
            for name, odd in (("a", "$\\frac$"), ("b", "x:\x85y"), ("c", "x,:y")):
                file.move(f"models/{name}", f"models/{odd}")
        self.draw(results)
        result = plot(self.path("figures"))
        self.assertEqual(result.returncode, 0, result)
        pictures = {path.name for path in self.path("figures").glob("fig03*.png")}
        self.assertEqual(pictures, {"fig03.png", "fig03_x__y.png", "fig03_x__y_2.png"})

    def test_the_program_draws(self):
        """figures.formats decides; nothing but the CSVs is read."""
        directory = self.figures()
        formats = ("--set", "figures.formats=[csv, png]")
        result = self.run_ok("figures", self.path("results.h5"), "--out", directory, *formats, timeout=120)
        self.assertTrue((directory / "fig03.png").is_file() and not (directory / "fig03.pdf").exists(), result)

    def test_missing_panels(self):
        """A figure is drawn with the panels that are there, and not at all without any; old pictures go."""
        directory = self.figures()
        self.assertEqual(plot(directory).returncode, 0)
        for path in directory.glob("*.csv"):
            if path.stem not in ("fig03_left", "fig05_right", "fig04_right", "fig09_b", "fig14_c", "fig15_normalized", "fig07_right",
                                 "fig12_left"):
                path.unlink()
        self.assertEqual(plot(directory).returncode, 0)
        names = ["fig03", "fig04", "fig05", "fig07", "fig09", "fig12", "fig14", "fig15"]
        self.assertEqual(sorted(path.stem for path in directory.glob("*.png")),
                         sorted(names + ["fig03_other", "fig04_other", "fig05_other"]))

    def test_exit_statuses(self):
        directory = self.figures()
        self.assertEqual(plot().returncode, support.USAGE)
        self.assertEqual(plot(directory, "--svg").returncode, support.USAGE)
        self.assertEqual(plot(self.path("absent")).returncode, support.NO_INPUT)
        self.path("empty").mkdir()
        self.assertEqual(plot(self.path("empty")).returncode, support.NO_INPUT)
        fake = self.path("without")
        (fake / "matplotlib").mkdir(parents=True)
        (fake / "matplotlib" / "__init__.py").write_text("raise ImportError('none here')\n")
        result = plot(directory, PYTHONPATH=str(fake))
        self.assertEqual(result.returncode, 69, result)
        self.assertIn("apt install python3-matplotlib", result.stderr)

    def test_broken_files(self):
        """The file and the line are named."""
        directory = self.figures()
        path = directory / "fig03_left.csv"
        lines = path.read_text().splitlines()
        header = next(a for a, line in enumerate(lines) if line[0] != "#")
        breaks = [(lines[:header], header + 1), (lines[:header + 1], header + 2),
                  (lines[:header] + ["x"] + lines[header + 1:], header + 1),
                  (lines[:-1] + [lines[-1] + ",1"], len(lines)), (lines[:-1] + ["a,b"], len(lines)),
                  (lines[:-1] + [lines[-1].rpartition(",")[0] + ",1.5x"], len(lines)),
                  (lines[:-1] + [lines[-1].rpartition(",")[0] + ",inf"], len(lines)), ([], 1)]
        for text, line in breaks:
            path.write_text("\n".join(text) + "\n" if text else "")
            result = plot(directory)
            self.assertEqual(result.returncode, support.BAD_DATA, result)
            self.assertIn(f"fig03_left.csv:{line}: ", result.stderr)
        path.write_bytes(b"# title: \xff\n")
        self.assertEqual(plot(directory).returncode, support.BAD_DATA)


if __name__ == "__main__":
    support.main()
