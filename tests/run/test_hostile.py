"""Files made to do harm: they end in one clear line and status 65, whatever the command and the number of ranks; libhdf5's own
crashes on them end a child process, not the program; no file leads to another one; and names out of files neither move a
terminal's cursor nor break a row of CSV.

Oracle: the table of exit statuses of the specification (sysexits.h); a canary file whose content must not come out; Python's
csv and unicodedata."""
import csv
import shutil
import unicodedata

import h5py
import numpy as np
import support
from support import BAD_DATA, OK, clouds, files, synthetic, write_states

FOUND = support.SOURCE / "tests" / "fuzz" / "found"  # by fuzzing
# The file was found with HDF5 1.10.8. Later versions read it to its end, and what they find is refused; unit_child crashes whatever
# the version. The address sanitizer catches the signal, and the thread sanitizer makes an endless recursion endless indeed.
CRASHED = ()
if "HDF5: 1.10.8" in support.libraries():
    how = "did not come to an end" if support.THREAD_SANITIZED else f"crashed ({'status 1' if support.SANITIZED else 'signal 11'})"
    CRASHED = (f"libhdf5 {how}", "damaged")


class Hostile(support.Case):
    def refuse(self, *arguments, named, ranks=None, code=BAD_DATA, timeout=60):
        """One line that holds the named texts."""
        result = support.run(*arguments, ranks=ranks, timeout=timeout)
        self.assertEqual(result.code, code, result)
        self.assertEqual(len(result.errors), 1, f"one line is expected\n{result}")
        for name in named:
            self.assertIn(name, result.errors[0])

    def refuse_states(self, *named, name="a.h5"):
        """Every command that takes hidden states."""
        config = self.config(files(name))
        for ranks in (None, 3):
            self.refuse("run", config, named=(name, *named), ranks=ranks)
            self.refuse("extract", config, "--out", self.path("out.h5"), named=(name, *named), ranks=ranks)
        self.refuse("run", config, "--dry-run", named=(name, *named))
        self.refuse("validate", config, named=(name, *named))
        self.refuse("info", self.path(name), named=(name, *named))
        self.assert_nothing_left()
        self.assert_nothing_left("out.h5")

    def refuse_results(self, *named, name="bad.h5"):
        """Every command that takes results."""
        self.refuse("info", self.path(name), named=(name, *named))
        self.refuse("report", self.path(name), named=(name, *named))
        self.refuse("verify", self.path(name), named=(name, *named))
        self.refuse("export", self.path(name), "--csv", self.path("csv"), named=(name, *named))
        self.refuse("figures", self.path(name), "--out", self.path("figures"), named=(name, *named))
        self.assertFalse(self.path("csv").exists() or self.path("figures").exists(), "something is left behind")

    def good_results(self):
        self.study(synthetic(), output="good.h5")
        shutil.copy(self.path("good.h5"), self.path("bad.h5"))
        return self.path("bad.h5")

    def write(self, name="a.h5", **how):
        return write_states(self.path(name), clouds(prompts=2, levels=2, layers=3, tokens=12, width=6), **how)

    # ---- what libhdf5 does not survive

    def test_a_file_that_crashes_libhdf5(self):
        shutil.copy(FOUND / "crash.h5", self.path("a.h5"))
        self.refuse_states(*CRASHED)

    def test_one_of_many_files(self):
        """Each rank looks at some; the line names the bad one."""
        for a in range(5):
            self.write(f"a{a}.h5", ids=[2 * a, 2 * a + 1])
        shutil.copy(FOUND / "crash.h5", self.path("a3.h5"))
        for ranks in (None, 2, 3):
            self.refuse("run", self.config(files("a*.h5")), named=("a3.h5", *CRASHED), ranks=ranks)

    def test_a_file_that_libhdf5_does_not_come_to_an_end_of(self):
        shutil.copy(FOUND / "endless.h5", self.path("a.h5"))
        self.refuse("info", self.path("a.h5"), named=("a.h5", "did not come to an end"), timeout=240)
        self.refuse("verify", self.path("a.h5"), named=("a.h5", "did not come to an end"), timeout=240)

    def test_results_that_crash_libhdf5(self):
        shutil.copy(FOUND / "crash.h5", self.path("bad.h5"))
        self.refuse_results(*CRASHED)
        config = self.config(synthetic(), output=str(self.path("bad.h5")))
        for ranks in (None, 2):
            self.refuse("run", config, "--resume", named=("bad.h5", *CRASHED), ranks=ranks)

    def test_an_input_of_results_that_crashes_libhdf5(self):
        """verify reads the inputs that a result file names: a bad one is no fault of the results."""
        self.write()
        self.study(files("a.h5"))
        shutil.copy(FOUND / "crash.h5", self.path("a.h5"))
        result = self.run_ok("verify", self.path("results.h5"))
        self.assertIn("inputs      not compared: ", result.out)
        for said in ("a.h5", *CRASHED):
            self.assertIn(said, result.out)

    # ---- other files

    def test_external_link_to_hidden_states(self):
        self.write("other.h5")
        self.write()
        with h5py.File(self.path("a.h5"), "a") as file:
            del file["hidden_states"]
            file["hidden_states"] = h5py.ExternalLink(str(self.path("other.h5")), "hidden_states")
        self.refuse_states("hidden_states", "a link to another file")

    def test_external_link_nobody_asks_for(self):
        self.write()
        with h5py.File(self.path("a.h5"), "a") as file:
            file["deep/er/link"] = h5py.ExternalLink("/etc/passwd", "/")
        self.refuse_states("deep/er/link", "a link to another file")

    def test_soft_links_inside_are_fine(self):
        self.write()
        with h5py.File(self.path("a.h5"), "a") as file:
            file["kept"] = file["hidden_states"]
            del file["hidden_states"]
            file["hidden_states"] = h5py.SoftLink("/kept")
            file["dangling"] = h5py.SoftLink("/none")
            file["cycle"] = h5py.SoftLink("/cycle")
            file.create_group("group")["up"] = file["/"]  # a hard link upward
        self.study(files("a.h5"))

    def test_external_storage(self):
        self.path("canary").write_bytes(np.arange(2 * 2 * 3 * 12 * 6, dtype="f4").tobytes())
        self.write()
        with h5py.File(self.path("a.h5"), "a") as file:
            del file["hidden_states"]
            how = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
            how.set_external(str(self.path("canary")).encode(), 0, 2 * 2 * 3 * 12 * 6 * 4)
            h5py.h5d.create(file.id, b"hidden_states", h5py.h5t.IEEE_F32LE, h5py.h5s.create_simple((2, 2, 3, 12, 6)), how)
        self.refuse_states("hidden_states", "external storage")

    def test_virtual_dataset(self):
        self.write("other.h5", kind="float32")
        self.write()
        layout = h5py.VirtualLayout((2, 2, 3, 12, 6), "f4")
        layout[:] = h5py.VirtualSource(str(self.path("other.h5")), "hidden_states", (2, 2, 3, 12, 6))
        with h5py.File(self.path("a.h5"), "a") as file:
            del file["hidden_states"]
            file.create_virtual_dataset("hidden_states", layout)
        self.refuse_states("hidden_states", "virtual dataset")

    def test_results_that_lead_elsewhere(self):
        with h5py.File(self.good_results(), "a") as file:
            file["models/other"] = h5py.ExternalLink(str(self.path("good.h5")), "/models/model")
        self.refuse_results("models/other", "a link to another file")

    def test_model_that_leads_out_of_the_directory(self):
        """A link's name may hold what no path may: '..' in place of 'xx'."""
        with h5py.File(self.good_results(), "a") as file:
            file.move("models/model", "models/xxqq")
        data = self.path("bad.h5").read_bytes()
        for name in (b"..\0\0", b"x/qq", b"x\nqq", b"../q"):
            with self.subTest(name=name):
                self.assertIn(b"xxqq", data)
                self.path("bad.h5").write_bytes(data.replace(b"xxqq", name))
                self.refuse_results("cannot be opened" if b"/" in name and b".." not in name else "name")

    # ---- sizes

    def test_sizes_that_the_file_cannot_hold(self):
        for name, shape, kind in (("hidden_states", (1, 1, 3, 2**20, 2**20), "f4"), ("hidden_states", (2**30, 1, 3, 12, 6), "f4"),
                                  ("hidden_states", (2**40, 2**10, 2**10, 2**20, 2**20), "f4"), ("loss", (2**30, 2**30), "f8"),
                                  ("unembedding", (10**12, 6), "f4"), ("unheard_of", (10**12,), "i8"), ("text", (), "S100000000")):
            with self.subTest(name=name, shape=shape):
                self.write()
                with h5py.File(self.path("a.h5"), "a") as file:
                    if name in file:
                        del file[name]
                    how = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
                    space = h5py.h5s.create_simple(shape) if shape else h5py.h5s.create(h5py.h5s.SCALAR)
                    if name != "text" and shape:
                        how.set_chunk((1,) * (len(shape) - 1) + (6,))  # unallocated: as small as a file can be
                    h5py.h5d.create(file.id, name.encode(), h5py.h5t.py_create(np.dtype(kind)), space, how)
                self.refuse_states(name, "claims")

    def test_results_that_claim_more_than_they_hold(self):
        with h5py.File(self.good_results(), "a") as file:
            del file["models/model/loss"]
            file.create_dataset("models/model/loss", (2**40, 1), "f8", chunks=(1, 1))
        self.refuse_results("models/model/loss", "claims")

    def test_results_whose_shapes_disagree(self):
        """Each would be read behind its end, or divided by."""
        self.good_results()
        for name, shape in (("scale", (0,)), ("prompt_id", (3,)), ("layer_pair", (1,)), ("loss", (4, 3)), ("status", (4, 2)),
                            ("statistics/neighborhood_overlap/value/mean", (1, 9, 32)), ("correlations/id_loss/pearson", (1, 40, 8)),
                            ("correlations/id_loss/pearson_p", (1, 3, 8)), ("intrinsic_dimension/gride/value", (4, 1, 4, 9))):
            with self.subTest(name=name):
                shutil.copy(self.path("good.h5"), self.path("bad.h5"))
                with h5py.File(self.path("bad.h5"), "a") as file:
                    kind = file["models/model"][name].dtype
                    del file["models/model"][name]
                    file["models/model"].create_dataset(name, data=np.ones(shape, kind))
                for command, *out in (("report",), ("figures", "--out", self.path("out")), ("export", "--csv", self.path("out"))):
                    result = support.run(command, self.path("bad.h5"), *out)
                    self.assertEqual((result.code, len(result.errors)), (BAD_DATA, 1), f"{name} {result}")
                    self.assertRegex(result.errors[0], "shape|axis|axes", result)

    # ---- numbers

    def csv_of_figures(self, results, *options, warnings=0):
        """Name -> rows, as dictionaries; comments are in rows of their own."""
        settings = [part for text in ("figures.formats=[csv]", *options) for part in ("--set", text)]
        result = self.assert_clean("figures", results, "--out", self.path("figures"), *settings)
        self.assertEqual(result.err.count("tokengeom: warning: "), warnings, result)
        found = {}
        for path in self.path("figures").glob("*.csv"):
            lines = path.read_text().splitlines()
            found[path.stem] = list(csv.DictReader(line for line in lines if line[0] != "#"))
            found[path.stem + "#"] = [line for line in lines if line[0] == "#"]
        return found

    def test_angles_that_are_none(self):
        """Oracle: numpy.histogram of those that are angles."""
        odd = [-1, -1e-9, np.nextafter(180, 200), 1e9, 1e300, -1e300, np.inf, -np.inf, np.nan, 0, 180, 90]
        self.study(synthetic(prompts=len(odd), tokens=40), output="bad.h5", observables={"angle_layers": [2], "scales": [2, 4]})
        with h5py.File(self.path("bad.h5"), "a") as file:
            angles = file["models/model/neighbor_angle"]
            angles["tokens"][0, 0, 0, :len(odd)] = odd
            angles["mean"][:, 0, 2] = odd
            tokens, means = angles["tokens"][0, 0, 0], angles["mean"][:, 0, 2]
        found = self.csv_of_figures(self.path("bad.h5"), "figures.angle_layer=2", warnings=2)
        for name, values, bins in (("fig04_left", tokens, 90), ("fig04_right", means, 360)):
            kept = values[(values >= 0) & (values <= 180)]
            density, edges = np.histogram(kept, bins, (0, 180), density=True)
            rows = {float(row["bin_low"]): row for row in found[name]}
            self.assertEqual([float(rows[low]["density"]) if low in rows else 0 for low in edges[:-1]], list(density))
            self.assertTrue(all(abs(float(row["mean"]) - kept.mean()) < 1e-9 for row in rows.values()))
            dataset = "tokens" if name == "fig04_left" else "mean"
            self.assertIn(f"# left out: 8 numbers of /models/model/neighbor_angle/{dataset}, shuffle 0, outside 0..180 degrees",
                          found[name + "#"])
        self.assertEqual({row["n"] for row in found["fig04_right"]}, {"3"})

    def test_no_angles_at_all(self):
        self.study(synthetic(), output="bad.h5", observables={"angle_layers": [2], "scales": [2, 4]})
        with h5py.File(self.path("bad.h5"), "a") as file:
            file["models/model/neighbor_angle/tokens"][...] = np.nan
            file["models/model/neighbor_angle/mean"][...] = -5e8
        self.assertNotIn("fig04_left", found := self.csv_of_figures(self.path("bad.h5"), "figures.angle_layer=2", warnings=1))
        self.assertNotIn("fig04_right", found)

    def test_counts_that_are_none(self):
        """Of another type, as numbers that no integer holds."""
        for value, shown in ((np.nan, "nan"), (1e300, "nan"), (-np.inf, "nan"), (2.0**53, "nan"), (7.0, "7")):
            with self.subTest(value=value), h5py.File(self.good_results(), "a") as file:
                for name, dataset in support.datasets(file["models/model"]).items():
                    if name.endswith("/n"):
                        shape, where = dataset.shape, dataset.parent
                        del where["n"]
                        where["n"] = np.full(shape, value)
                file.close()
                found = self.csv_of_figures(self.path("bad.h5"))
                for name in ("fig02_right", "fig03_right", "fig05_right", "fig06", "fig20", "table1"):
                    self.assertEqual({row["n"] for row in found[name] if row["model"] == "model"}, {shown}, name)

    def test_axes_that_do_not_count(self):
        with h5py.File(self.good_results(), "a") as file:
            del file["models/model/layer_pair"]
            file["models/model/layer_pair"] = np.full(3, 2**63 - 1)
        for command, *out in (("report",), ("figures", "--out", self.path("out"))):
            self.refuse(command, self.path("bad.h5"), *out, named=("layer_pair", "does not count from 0"))

    # ---- names

    def assert_clean(self, *arguments, shows=(), code=None):
        """What is printed has no control character but line breaks."""
        result = support.run(*arguments)
        self.assertEqual(result.code, OK if code is None else code, result)
        printed = result.out + result.err
        self.assertEqual([c for c in printed if unicodedata.category(c) == "Cc" and c != "\n"], [], repr(printed))
        for text in shows:
            self.assertIn(text, printed)
        return result

    def named_results(self, name):
        """Results whose model has another name; HDF5 lets it have any."""
        with h5py.File(self.good_results(), "a") as file:
            file.move("models/model", "models/" + name)
            file.move("checksums/model", "checksums/" + name)
        return self.path("bad.h5")

    def test_names_on_a_terminal(self):
        """U+009B begins an escape sequence as ESC [ does."""
        results = self.named_results("m\x9b31mred\x9d0;title\x9c")
        with h5py.File(results, "a") as file:
            del file["provenance/cpu"]
            file["provenance/cpu"] = "first\n\x1b]0;title\x07second\x7f\x9b2J"
            file["provenance/a\x9b1mb"] = "text"
        shown = "m?31mred?0;title?"
        self.assert_clean("info", results, shows=(f"model {shown}: 4 prompts", "  ?]0;title?second??2J\n", "a?1mb: text"))
        self.assert_clean("report", results, shows=(f"{shown}: 4 prompts",))
        self.assert_clean("verify", results, shows=(f"/models/{shown} is not among",), code=BAD_DATA)
        self.assert_clean("figures", results, "--out", self.path("figures"), "--set", "figures.formats=[csv]")
        with h5py.File(results, "a") as file:
            del file["models/m\x9b31mred\x9d0;title\x9c/layer"]
        for command, *out in (("report",), ("export", "--csv", self.path("csv")), ("figures", "--out", self.path("out"))):
            self.assert_clean(command, results, *out, code=BAD_DATA)

    def test_texts_of_hidden_states_on_a_terminal(self):
        self.write(model="a\x1b[31m\nb", unheard=None)
        self.assert_clean("info", self.path("a.h5"), shows=("hidden states of a?[31m?b, format",))
        with h5py.File(self.path("a.h5"), "a") as file:
            file.attrs["format"] = "x\x1b[2J\ny"
        result = self.assert_clean("info", self.path("a.h5"), shows=("is 'x?[2J?y', expected",), code=BAD_DATA)
        self.assertEqual(len(result.err.splitlines()), 1, result)
        self.write(name="b.h5", model="a\x1b[31m\nb")
        config = self.config({"source": files("b.h5")})
        result = self.assert_clean("validate", config, shows=("'a?[31m?b' is no name",), code=support.CONFIG)
        self.assertEqual(len(result.err.splitlines()), 1, result)

    def test_paths_on_a_terminal(self):
        self.write("a\x9b31m.h5")
        self.assert_clean("validate", self.config(files("a*.h5")), shows=("/a?31m.h5: ",))
        self.assert_clean("info", self.path("none\x1b[1m.h5"), shows=("none?[1m.h5: No such",), code=support.NO_INPUT)

    def test_names_in_csv(self):
        """A cell stays a cell, and text."""
        for name, cell in (('=HYPERLINK("x","y")', """'=HYPERLINK("x","y")"""), ("a,b", "a,b"), ("+1", "'+1"), ("-x", "'-x"),
                           ("@x", "'@x"), ('"', '"'), ("plain=1", "plain=1"), ("m\x9b\x85x", "m\x9b\x85x")):
            with self.subTest(name=name):
                results = self.named_results(name)
                shutil.rmtree(self.path("figures"), ignore_errors=True)
                self.assert_clean("figures", results, "--out", self.path("figures"), "--set", "figures.formats=[csv]")
                self.assertGreater(len(list(self.path("figures").glob("*.csv"))), 10)
                for path in self.path("figures").glob("*.csv"):
                    self.check_csv(path, cell)
                self.assert_clean("export", results, "--csv", self.path("csv"))
                for path in (self.path("csv") / name).glob("*.csv"):
                    self.check_csv(path, None)

    def check_csv(self, path, model):
        """Comments first, without control characters; then rows as wide as the header, whose model is this."""
        lines = path.read_bytes().decode().removesuffix("\n").split("\n")
        comments = [line for line in lines if line.startswith("#")]
        self.assertEqual(lines[:len(comments)], comments, path)
        self.assertFalse([c for c in "".join(comments) if unicodedata.category(c) == "Cc"], path)
        header, *rows = csv.reader(lines[len(comments):])
        self.assertTrue(rows and all(len(row) == len(header) for row in rows), path)
        if model and header[0] == "model":
            self.assertLessEqual({row[0] for row in rows}, {model, "OPT-6.7B"}, path)


if __name__ == "__main__":
    support.main()
