"""Wrong inputs, outputs and configs: one clear line on stderr that names what and where, the exit status that the
specification gives it, nothing left behind, and no rank that hangs.

Oracle: the table of exit statuses of the specification (sysexits.h); the definition of status 3 and reason 32."""
import contextlib
import os
import pathlib
import subprocess
import unittest

import h5py
import numpy as np
import support
from support import BAD, BAD_DATA, CONFIG, IO, NO_INPUT, OK, clouds, files, synthetic, write_states

RANKS = (None, 3)  # without a launcher, and on 3 ranks


class Refused(support.Case):
    def setUp(self):
        super().setUp()
        self.hidden = clouds(prompts=2, levels=2, layers=3, tokens=12, width=6)
        self.good = {"loss": np.ones((2, 2)), "entropy": np.ones((2, 2, 12)), "token_ids": np.ones((2, 2, 12))}

    def refuse(self, code, *named, source=None, ranks=(None,), output="results.h5", config=None, left=(), **sections):
        """The study ends with this code, one line that holds the named texts, and leaves nothing."""
        config = config or self.config(source or files("a.h5"), output=output, **sections)
        for r in ranks:
            for old in {f.name for f in self.directory.glob("results*")} - set(left):  # of a case that failed
                self.path(old).unlink()
            result = support.run("run", config, ranks=r, timeout=60)
            self.assertEqual(result.code, code, result)
            self.assertEqual(len(result.errors), 1, f"one line is expected\n{result}")
            if r is None:
                self.assertEqual(len(result.err.splitlines()), 1, result)
            for name in named:
                self.assertIn(name, result.errors[0])
            self.assertEqual(sorted(f.name for f in self.directory.iterdir() if f.name.startswith("results")), sorted(left), result)

    def write(self, name="a.h5", hidden=None, **how):
        return write_states(self.path(name), self.hidden if hidden is None else hidden, **{**self.good, **how})

    def spoil(self, change, name="a.h5"):
        """A good file with one change."""
        self.write(name)
        with h5py.File(self.path(name), "a") as file:
            change(file)

    def replace(self, name, values):
        """A good file with another dataset of this name; None: without it."""
        def change(file):
            if name in file:
                del file[name]
            if values is not None:
                file[name] = values
        self.spoil(change)

    # ---- no file, no HDF5 file

    def test_missing_file(self):
        self.refuse(NO_INPUT, "a.h5", "No such file", ranks=RANKS)
        self.refuse(NO_INPUT, "*.h5", source=files("*.h5"))

    def test_missing_config(self):
        self.refuse(NO_INPUT, "none.yaml", config=self.path("none.yaml"), ranks=RANKS)

    def test_unreadable_things(self):
        self.path("a.h5").mkdir()
        config = self.config(files("a.h5"))
        result = support.run("run", config)
        self.assertIn(result.code, (CONFIG, NO_INPUT), result)
        self.assertEqual(len(result.errors), 1, result)
        self.assertIn("a.h5 is a directory", result.errors[0])
        self.assert_nothing_left()
        self.refuse(NO_INPUT, "is a directory", config=self.directory)

    def test_empty_file(self):
        self.path("a.h5").write_bytes(b"")
        self.refuse(BAD_DATA, "a.h5", "empty", ranks=RANKS)

    def test_not_hdf5(self):
        self.path("a.h5").write_text("prompt,loss\n" * 100)
        self.refuse(BAD_DATA, "a.h5", "HDF5", ranks=RANKS)

    def test_truncated(self):
        whole = self.write().read_bytes()
        for share in (0.9, 0.5, 0.1):
            self.path("a.h5").write_bytes(whole[:int(len(whole) * share)])
            self.refuse(BAD_DATA, "a.h5")
        self.refuse(BAD_DATA, "a.h5", ranks=(3,))

    def test_damaged_inside(self):
        """A flipped byte in a checksummed chunk is found while the run goes on: an error that names it, and no hanging rank."""
        self.write(chunks=(1, 1, 1, 12, 6), filters=("fletcher32",))
        with h5py.File(self.path("a.h5")) as file:
            place = file["hidden_states"].id.get_chunk_info(5).byte_offset
        data = bytearray(self.path("a.h5").read_bytes())
        data[place + 3] ^= 0x40
        self.path("a.h5").write_bytes(data)
        for ranks in RANKS:
            with contextlib.suppress(FileNotFoundError):
                self.path("results.h5").unlink()
            result = support.run("run", self.config(files("a.h5")), ranks=ranks, timeout=60)
            self.assertEqual(result.code, BAD_DATA, result)
            self.assertEqual(len(result.errors), 1, result)
            self.assertIn("a.h5: hidden_states[", result.errors[0])

    # ---- wrong datasets

    def test_wrong_shape_of_hidden_states(self):
        for shape in ((2, 2, 3, 12), (2, 2, 3, 12, 6, 1), (0, 2, 3, 12, 6), (2, 2, 0, 12, 6), (2, 2, 3, 0, 6), (2, 2, 3, 12, 0)):
            self.replace("hidden_states", np.zeros(shape, "f4"))
            self.refuse(BAD_DATA, "a.h5", "hidden_states")
        self.replace("hidden_states", np.float32(1))
        self.refuse(BAD_DATA, "a.h5", "hidden_states")

    def test_wrong_shapes_of_the_others(self):
        wrong = {"prompt_ids": [(3,), (1,), (2, 1), ()], "shuffle_levels": [(3,), (1,), (2, 2)], "loss": [(2,), (2, 3), (3, 2), (2, 2, 1)],
                 "entropy": [(2, 2), (2, 2, 11), (2, 1, 12)], "token_ids": [(2, 2), (2, 2, 13)], "n_tokens": [(1,), (2, 2)],
                 "logit_metric": [(6,), (5, 5), (6, 7)], "unembedding": [(6,), (20, 5), (0, 6)]}
        for name, shapes in wrong.items():
            for shape in shapes:
                with self.subTest(name=name, shape=shape):
                    self.replace(name, np.zeros(shape, "f4" if name in ("loss", "entropy", "unembedding") else
                                                "f8" if name == "logit_metric" else "i4"))
                    self.refuse(BAD_DATA, "a.h5", name)
        self.replace("loss", np.zeros((2, 3), "f4"))
        self.refuse(BAD_DATA, "loss", ranks=(3,))

    def test_wrong_element_types(self):
        for kind, name in (("f8", "float64"), (">f4", "big-endian float32"), (">f2", "big-endian float16"), ("i2", "int16"),
                           ("u4", "uint32"), ("S4", "a string"), ("?", "a boolean or an enumeration"), ("c8", "compound")):
            with self.subTest(kind=kind):
                self.replace("hidden_states", np.zeros((2, 2, 3, 12, 6), kind))
                self.refuse(BAD_DATA, f"a.h5: hidden_states is {name}, expected bfloat16, float16 or float32")
        self.replace("unembedding", np.zeros((20, 6), "f8"))
        self.refuse(BAD_DATA, "a.h5", "unembedding")

    def test_wrong_types_of_the_others(self):
        """Texts and fractions where numbers of another kind belong."""
        for name, values in (("prompt_ids", np.array([b"a", b"b"])), ("prompt_ids", np.array([0.5, 1.5])), ("loss", np.full((2, 2), b"x")),
                             ("shuffle_levels", np.array([0.25, 1.0])), ("n_tokens", np.array([3.5, 4.0]))):
            with self.subTest(name=name, kind=values.dtype):
                self.replace(name, values)
                self.refuse(BAD_DATA, f"a.h5: {name} is {'a string' if values.dtype.kind == 'S' else 'float64'}, expected ")

    def test_missing_datasets(self):
        for name in ("hidden_states", "prompt_ids", "shuffle_levels"):
            self.replace(name, None)
            self.refuse(BAD_DATA, "a.h5", name)
        self.replace("hidden_states", None)
        self.refuse(BAD_DATA, "hidden_states", ranks=(3,))

    def test_a_group_in_place_of_a_dataset(self):
        def change(file):
            del file["hidden_states"]
            file.create_group("hidden_states")
        self.spoil(change)
        self.refuse(BAD_DATA, "a.h5", "hidden_states")

    def test_unknown_format(self):
        for attribute, value in (("format", "safetensors"), ("format", 7), ("format_version", 2), ("format_version", "1"),
                                 ("format_version", 1.0)):
            self.spoil(lambda file: file.attrs.__setitem__(attribute, value))
            self.refuse(BAD_DATA, f"a.h5: root attribute format is " if attribute == "format" else f"a.h5: format_version is {value!r}, expected")
        for attribute in ("format", "format_version"):
            self.spoil(lambda file: file.attrs.__delitem__(attribute))
            self.refuse(BAD_DATA, "a.h5", attribute)

    def test_whether_the_last_layer_is_normalized(self):
        for value, shown in (("yes", "'yes'"), (2, "2"), (1.0, "1.0"), ([1, 1], "of another kind")):
            self.spoil(lambda file: file["hidden_states"].attrs.__setitem__("last_layer_normalized", value))
            self.refuse(BAD_DATA, f"a.h5: hidden_states: last_layer_normalized is {shown}, expected 0, 1 or -1")
        for value, says in ((True, "normalized"), (np.int8(0), "not normalized"), (-1, "not said to be normalized or not")):
            self.spoil(lambda file: file["hidden_states"].attrs.__setitem__("last_layer_normalized", value))
            self.run_ok("run", self.config(files("a.h5")), "--force")
            with h5py.File(self.path("results.h5")) as file:
                self.assertIn(f"last layer {says}\n", file["provenance/models"].asstr()[()])

    def test_labels(self):
        for values, named in ((np.arange(2), "prompt_group cannot be read"), (np.array([b"a"]), "a text for each of 2 prompts"),
                              (np.array([[b"a", b"b"]]), "a text for each of 2 prompts"),
                              (np.array([b"a", b"b" * 501]), r"prompt_group[1] has 501 bytes, expected 500 at most")):
            self.replace("prompt_group", values)
            self.refuse(BAD_DATA, "a.h5: ", named)
        for values in (np.array([b"a", b"bc"]), np.array(["a", "bc"], dtype=h5py.string_dtype())):
            self.replace("prompt_group", values)
            self.run_ok("run", self.config(files("a.h5")), "--force")
            with h5py.File(self.path("results.h5")) as file:
                self.assertEqual(file["models/model/prompt_group"][()].tolist(), [b"a", b"bc"])

    def test_prompt_ids_twice(self):
        self.write(ids=[4, 4])
        self.refuse(BAD_DATA, "4", "twice", ranks=RANKS)
        self.write("a.h5", ids=[4, 5])
        self.write("b.h5", ids=[6, 5])
        self.refuse(BAD_DATA, "5", "twice", source=files("a.h5", "b.h5"), ranks=RANKS)
        self.refuse(CONFIG, "a.h5", "twice", source=files("a.h5", "a.h5"))

    def test_levels_twice(self):
        self.write(levels=[1, 1])
        self.refuse(BAD_DATA, "a.h5", "shuffle_levels")

    def test_files_that_disagree(self):
        h, metric = self.hidden, np.eye(6)
        other = metric.copy()
        other[2, 2] = 2
        w = np.ones((9, 6), "f4")
        cases = {
            "shuffle level": ({}, {"hidden": h[:, :1], "loss": None, "entropy": None, "token_ids": None}),
            "shuffle_levels": ({}, {"levels": [0, 2]}),
            "layer": ({}, {"hidden": h[:, :, :2]}),
            "width": ({}, {"hidden": h[..., :5]}),
            "last_layer_normalized": ({}, {"normalized": 0}),
            "logit_metric": ({"logit_metric": metric}, {}),
            "logit_metric ": ({}, {"logit_metric": metric}),
            "logit_metric differs": ({"logit_metric": metric}, {"logit_metric": other}),
            "vocabulary": ({"unembedding": w}, {"unembedding": w[:8]}),
            "unembedding": ({"unembedding": w}, {"unembedding": 2 * w}),
            "model is 'another', but 'model' in": ({}, {"model": "another"}),
            "model is '(absent)', but 'model' in": ({}, {"model": None}),
        }
        for what, (first, second) in cases.items():
            with self.subTest(what=what):
                self.write("a.h5", ids=[1, 2], **first)
                self.write("b.h5", ids=[3, 4], **second)
                self.refuse(BAD_DATA, "b.h5", what.strip(), source=files("a.h5", "b.h5"))
        self.write("b.h5", hidden=h[:, :, :2], ids=[3, 4])
        self.refuse(BAD_DATA, "b.h5", "layer", source=files("a.h5", "b.h5"), ranks=(3,))

    def test_integers_that_do_not_fit(self):
        """HDF5 would make each the nearest one that does."""
        for name, values, place, value in (("prompt_ids", np.array([4, 2**63 + 5], "u8"), "[1]", 2**63 + 5),
                                           ("shuffle_levels", np.array([2**32 + 1, 0]), "[0]", 2**32 + 1),
                                           ("n_tokens", np.array([12, 2**32 + 8]), "[1]", 2**32 + 8),
                                           ("n_tokens", np.array([12, -2**40]), "[1]", -2**40)):
            with self.subTest(name=name):
                self.spoil(self.replacement(name, values))
                self.refuse(BAD_DATA, "a.h5", f"{name}{place} is {value}, which is no integer of", ranks=RANKS)
        tokens = np.zeros(self.hidden.shape[:2] + (12,), "i8")
        tokens[1, 1, 7] = 3_000_000_000
        self.spoil(self.replacement("token_ids", tokens))
        result = support.run("run", self.config(files("a.h5")), ranks=2)
        self.assertEqual(result.code, BAD_DATA, result)
        self.assertIn("token_ids[1, 1][7] is 3000000000, which is no integer of 32 bits", result.errors[0])

    @staticmethod
    def replacement(name, values):
        def change(file):
            if name in file:
                del file[name]
            file[name] = values
        return change

    def test_n_tokens_out_of_range(self):
        for n in (0, -1, 13, 2**31 - 1):
            self.write(n_tokens=[12, n])
            self.refuse(BAD_DATA, "a.h5", "n_tokens", str(n))
        self.refuse(BAD_DATA, "n_tokens", ranks=(3,))

    def test_bad_metric(self):
        skew, nan, negative = np.eye(6), np.eye(6), np.eye(6)
        skew[1, 3], nan[2, 2], negative[4, 4] = 0.5, np.nan, -1
        for name, metric in (("symmetric", skew), ("nan", nan), ("semidefinite", negative)):
            with self.subTest(metric=name):
                self.write(logit_metric=metric)
                self.refuse(BAD_DATA, "a.h5", "logit_metric", name, ranks=RANKS)
        w = np.ones((9, 6), "f4")
        w[3, 3] = np.inf
        self.write(unembedding=w)
        self.refuse(BAD_DATA, "a.h5", "unembedding", ranks=RANKS)

    # ---- config

    def test_absent_ids_and_levels(self):
        self.write()
        self.refuse(CONFIG, "77", "prompts", prompts=[0, 77], ranks=RANKS)
        self.refuse(CONFIG, "3", "shuffle.levels", shuffle={"levels": [3]}, ranks=RANKS)

    def test_two_models_of_one_name(self):
        self.write()
        self.write("b.h5", ids=[5, 6])
        for models in ([{"name": "m", "source": files("a.h5")}, {"name": "m", "source": files("b.h5")}],
                       [{"source": files("a.h5")}, {"source": files("b.h5")}], [{"source": files("a.h5")}, {"name": "model", "source": synthetic()}]):
            config = self.config(*models)
            self.refuse(CONFIG, "m", config=config, ranks=RANKS)

    def test_a_model_without_a_usable_name(self):
        for name in (None, "a/b", "", ".", "../up", 300 * "b"):
            with self.subTest(name=name):
                self.write(model=name)
                self.refuse(CONFIG, "name", config=self.config({"source": files("a.h5")}))

    def test_all_mistakes_of_a_config_at_once(self):
        text = """outputs: results.h5
models:
  - name: has space
    source: {kind: synthetic, tokens: 12x, width: 0, dimension: 2.5, seed: -1, promts: 3, slow_seconds: nan}
  - name: a
    source: {kind: hdf5, files: [nowhere/*.h5, missing.h5]}
  - name: a
    source: {kind: hdf5, files: []}
  - source: {kind: lamma}
  - name: b
    source: {files: x.h5}
  - name: c
prompts: [1, one, 1]
shuffle: {levels: some, seed: 1.0}
observables: {scales: [2, 3, 0], overlap_k: 0, neighbors: perhaps, angle_layers: 10, angel_layers: [1]}
statistics: {bootstrap: 1e3, seed: 0x10}
figures: {formats: [csv, gif], prompts: 0}
compute: yes
shufle: {seed: 2}
"""
        self.path("wrong.yaml").write_text(text)
        for ranks in RANKS:
            result = support.run("run", self.path("wrong.yaml"), ranks=ranks)
            self.assertEqual(result.code, CONFIG, result)
            self.assert_nothing_left()
            lines = [line for line in result.err.splitlines() if "wrong.yaml" in line]
            wanted = {  # line of the file -> texts of its mistakes
                1: ["outputs", "did you mean 'output'"], 3: ["models[0].name", "has space"],
                4: ["'12x'", "width: '0'", "'2.5'", "'-1'", "did you mean 'prompts'", "'nan'"],
                6: ["nowhere/*.h5", "missing.h5"], 8: ["empty"], 9: ["lamma"], 11: ["kind: is missing"], 12: ["source: is missing"],
                13: ["'one'", "1 is listed twice"], 14: ["'some'", "'1.0'"],
                15: ["3 is odd", "scales: '0' is out of range", "overlap_k: '0'", "'perhaps'", "'10' is not a list", "did you mean 'angle_layers'"],
                16: ["'1e3'", "'0x10'"], 17: ["'gif'", "figures.prompts: '0'"], 18: ["compute", "expected a map"],
                19: ["did you mean 'shuffle'"]}
            for number, texts in wanted.items():
                for text in texts:
                    self.assertTrue(any(f"wrong.yaml:{number}:" in line and text in line for line in lines), f"{number}: {text}\n{result.err}")
            self.assertTrue(any("output: is missing" in line for line in lines), result.err)
            self.assertTrue(any("'a'" in line and "models[2]" in line for line in lines), result.err)
            for line in lines:
                self.assertEqual(line.count("wrong.yaml"), 1, line)
            self.assertLessEqual(len(lines), 40, "no mistake is told twice")

    def test_yaml_that_is_none(self):
        for text in ("output: [a\n", "a: b: c\n", "\t- x\n", "", "just text\n", "- a\n- b\n", "output: a\noutput: b\n", "a: *b\n", "? [a]\n: b\n",
                     "output: \"\\0\"\n", "\xff\xfe\x00"):
            with self.subTest(text=text):
                self.path("wrong.yaml").write_bytes(text.encode("latin-1"))
                result = support.run("run", self.path("wrong.yaml"))
                self.assertEqual(result.code, CONFIG, result)
                self.assertIn("wrong.yaml", result.err)
        bomb = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(f"{chr(98 + i)}: &{chr(98 + i)} [{', '.join(['*' + chr(97 + i)] * 10)}]\n" for i in range(9))
        self.path("wrong.yaml").write_text(bomb)
        self.assertEqual(support.run("run", self.path("wrong.yaml"), timeout=10).code, CONFIG)

    def test_synthetic_contradictions(self):
        self.refuse(CONFIG, "width", source=synthetic(dimension=10, spread=8, width=16), ranks=RANKS)
        self.refuse(CONFIG, "dimension - spread", source=synthetic(dimension=2, spread=2))
        result = support.run("run", self.config(synthetic(files=["x"])))
        self.assertEqual(result.code, CONFIG, result)

    # ---- output

    def test_output_exists(self):
        self.path("results.h5").write_text("mine\n")
        self.refuse(IO, "results.h5", "exists", source=synthetic(), ranks=RANKS, left=["results.h5"])
        self.assertEqual(self.path("results.h5").read_text(), "mine\n")

    def test_output_that_is_an_input(self):
        """By its name, another name, a link, or what the output is called while it is made; --force or not."""
        self.write()
        config = self.config(files("a.h5"))
        os.link(self.path("a.h5"), self.path("other.h5"))
        self.path("link.h5").symlink_to("a.h5")
        os.link(self.path("a.h5"), self.path("states.h5.part"))
        before = {name: self.path(name).read_bytes() for name in ("a.h5", config.name)}
        for name in ("a.h5", "other.h5", "link.h5", "states.h5", config.name):
            for command in (("extract", config, "--out", self.path(name), "--force"), ("run", config, "--set", f"output={self.path(name)}", "--force")):
                result = support.run(*command)
                self.assertEqual((result.code, len(result.errors)), (CONFIG, 1), result)
                self.assertIn("is the config itself" if name == config.name else "is also an input, of models[0]", result.errors[0])
        self.assertEqual({name: self.path(name).read_bytes() for name in before}, before)

    def test_output_that_is_a_link(self):
        """What it leads to is written, there or not; the link stays one."""
        self.path("scratch").mkdir()
        for name in ("results.h5", "states.h5"):
            self.path(name).symlink_to(f"scratch/{name}")
        for force in ((), ("--force",)):
            self.run_ok("run", self.config(synthetic()), *force)
            self.run_ok("extract", self.config(synthetic()), "--out", self.path("states.h5"), *force)
            for name in ("results.h5", "states.h5"):
                self.assertTrue(self.path(name).is_symlink())
                self.assertTrue(h5py.is_hdf5(self.path("scratch") / name))
            self.assertEqual(sorted(path.name for path in self.path("scratch").iterdir()), ["results.h5", "states.h5"])

    def test_stars_for_directories(self):
        """Which would be one level here, and any number for Python, git and bash."""
        self.write()
        self.refuse(CONFIG, "** goes through no directories here", source=files("**/*.h5"))

    def test_output_directory_is_missing(self):
        self.refuse(IO, "nowhere", source=synthetic(), output="nowhere/results.h5", ranks=RANKS)

    def test_output_is_a_directory(self):
        self.path("results.h5").mkdir()
        self.refuse(IO, "results.h5", source=synthetic(), ranks=RANKS, left=["results.h5"])
        result = support.run("run", self.config(synthetic()), "--force")
        self.assertEqual(result.code, IO, result)
        self.assertTrue(self.path("results.h5").is_dir())

    def test_resume_of_foreign_files(self):
        self.path("results.h5").write_text("mine\n")
        self.resume_refused("not an HDF5 file")
        self.write("results.h5")
        self.resume_refused("holds hidden states, no results")

    def resume_refused(self, text):
        before = self.path("results.h5").read_bytes()
        result = support.run("run", self.config(synthetic()), "--resume")
        self.assertEqual(result.code, BAD_DATA, result)
        self.assertEqual(len(result.errors), 1, result)
        self.assertIn(text, result.errors[0])
        self.assertEqual(self.path("results.h5").read_bytes(), before)

    def test_an_unwritable_directory(self):
        if os.geteuid() == 0:
            self.skipTest("root may write everywhere")
        folder = self.path("closed")
        folder.mkdir(mode=0o500)
        self.refuse(IO, "closed", source=synthetic(), output="closed/results.h5")
        self.assertEqual(list(folder.iterdir()), [])

    def test_full_disk(self):
        """The whole file is reserved before the run: a disk that is too small is found at once."""
        disk = self.path("disk")
        disk.mkdir()
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "none", str(disk)], capture_output=True, text=True)
        if mounted.returncode != 0:
            self.skipTest(f"a small file system cannot be mounted: {mounted.stderr.strip()}")
        self.addCleanup(subprocess.run, ["umount", str(disk)])
        for ranks in RANKS:
            result = support.run("run", self.config(synthetic(prompts=200), output=str(disk / "results.h5")), ranks=ranks)
            self.assertEqual(result.code, IO, result)
            self.assertEqual(len(result.errors), 1, result)
            self.assertIn(str(disk), result.errors[0])
            self.assertEqual(list(disk.iterdir()), [])


class BadClouds(support.Case):
    """Bad numbers in some clouds are no reason to stop."""

    def spoiled(self, value):
        hidden = clouds(prompts=3, levels=2, layers=5, tokens=40, width=8)
        spoiled = hidden.copy()
        spoiled[1, 0, 2, 39, 7] = value
        return hidden, spoiled

    def test_one_bad_cloud(self):
        loss = np.arange(6.0).reshape(3, 2)
        for value, kind in ((np.nan, "bfloat16"), (np.inf, "float16"), (-np.inf, "float32"), (np.nan, "float32")):
            hidden, spoiled = self.spoiled(value)
            good = self.study(files(write_states(self.path("good.h5"), hidden, kind, loss=loss)), observables={"neighbors": True})
            write_states(self.path("a.h5"), spoiled, kind, loss=loss)
            for ranks in (None, 3):
                with self.subTest(value=value, kind=kind, ranks=ranks):
                    config = self.config(files("a.h5"), observables={"neighbors": True})
                    result = support.run("run", config, "--force", ranks=ranks)
                    self.assertEqual(result.code, OK, result)
                    warning = [line for line in result.err.splitlines() if "NaN or Inf" in line]
                    self.assertEqual(len(warning), 1, result)
                    self.assertIn("warning: 1 cloud", warning[0])
                    self.check(support.load_models(self.path("results.h5")), good)

    def check(self, got, good):
        bad = (1, 0, 2)
        self.assertEqual((got["model/status"] == BAD).sum(), 1)
        self.assertEqual((got["model/status"][bad], got["model/reason"][bad]), (BAD, 32))
        overlap = np.isnan(got["model/neighborhood_overlap/value"][..., 0])
        self.assertEqual(sorted(map(tuple, np.argwhere(overlap))), [(1, 0, 1), (1, 0, 2)])
        for name, values in good.items():
            if name.startswith(("model/statistics", "model/correlations")) or values.ndim < 3 or "logits" in name or "token" in name:
                continue
            now = got[name].copy()
            if values.dtype.kind == "f":
                self.assertTrue(np.isnan(now[bad]).all(), name)
            now[bad] = values[bad]
            if "overlap" in name:
                now[1, 0, 1] = values[1, 0, 1]
            self.assertTrue(now.tobytes() == values.tobytes(), f"{name}: another cloud is changed")
        self.assertEqual(got["model/statistics/intrinsic_dimension/gride/value/n"][0, :, 0].tolist(), [3, 3, 2, 3, 3])
        self.assertEqual(got["model/statistics/intrinsic_dimension/n_points/n"][0].tolist(), [3, 3, 2, 3, 3])
        self.assertEqual(got["model/statistics/intrinsic_dimension/n_points/mean"][0].tolist(), [40] * 5)
        self.assertEqual(got["model/correlations/id_loss/n"][0, :, 0].tolist(), [3, 3, 2, 3, 3])

    def test_first_and_last_layer(self):
        """A bad last layer leaves logits undefined; loss and entropy stay."""
        hidden = clouds(prompts=2, levels=1, layers=3, tokens=40, width=8)
        hidden[0, 0, 0, 0, 0] = np.nan
        hidden[1, 0, 2, 0, 0] = np.nan
        write_states(self.path("a.h5"), hidden, loss=[[1], [2]], entropy=np.ones((2, 1, 40)), logit_metric=np.eye(8))
        got = self.study(files("a.h5"), ranks=2)
        self.assertEqual(got["model/status"][:, 0].tolist(), [[BAD, 2, 2], [2, 2, BAD]])
        value = got["model/logits/gride/value"][:, 0, 0]
        self.assertTrue(np.isfinite(value[0]) and np.isnan(value[1]))
        self.assertEqual(got["model/loss"].ravel().tolist(), [1, 2])
        self.assertEqual(got["model/logits/entropy"].ravel().tolist(), [1, 1])

    def test_all_clouds_bad(self):
        write_states(self.path("a.h5"), np.full((2, 1, 3, 10, 4), np.nan, "f4"), loss=[[1], [2]])
        for ranks in RANKS:
            result = support.run("run", self.config(files("a.h5")), "--force", ranks=ranks)
            self.assertEqual(result.code, BAD_DATA, result)
            self.assertEqual(len(result.errors), 1, result)
            self.assertIn("6", result.errors[0])

    def test_all_tokens_equal(self):
        write_states(self.path("a.h5"), np.ones((2, 1, 3, 40, 4), "f4"), loss=[[1], [2]])
        got = self.study(files("a.h5"), ranks=2)
        self.assertTrue((got["model/intrinsic_dimension/n_points"] == 1).all())
        self.assertTrue(np.isnan(got["model/intrinsic_dimension/gride/value"]).all())
        self.assertTrue((got["model/reason"] & 1 == 1).all() and (got["model/reason"] & 8 == 8).all())
        self.assertTrue((got["model/status"] == 2).all())
        self.assertTrue((got["model/neighborhood_overlap/value"] == 1).all())
        self.assertTrue((got["model/neighbor_angle/n_defined"] == 0).all())
        self.assertLess(np.abs(got["model/cosine_similarity/mean"] - 1).max(), 1e-6)

    def test_bad_loss(self):
        """A loss that is NaN or Inf: NaN, with a reason in every layer; left out of the correlations, which say so in n."""
        write_states(self.path("a.h5"), clouds(6, 1, 3, 30), loss=[[1], [2], [np.nan], [4], [np.inf], [3]])
        alone = self.study(files("a.h5"), output="alone.h5")
        got = self.study(files("a.h5"), ranks=5)  # each has a part of the layers, the loss stands with the last
        self.assert_same_bytes(got, alone)
        self.run_ok("verify", self.path("results.h5"), "--sample", 18)
        bad = np.array([False, False, True, False, True, False])
        self.assertTrue((np.isnan(got["model/loss"][:, 0]) == bad).all())
        self.assertTrue((((got["model/reason"][:, 0] & 64) != 0) == bad[:, None]).all())
        self.assertTrue((got["model/status"][bad] == 2).all())
        self.assertTrue((got["model/correlations/id_loss/n"][:, :, 0] == 4).all())
        self.assertTrue((got["model/statistics/loss/n"] == 4).all())
        self.assertTrue(np.isfinite(got["model/correlations/id_loss/pearson"][:, :, 0]).all())


support.main()
