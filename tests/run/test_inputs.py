"""Every way that a hidden-state file may be written, and every part of it that may be absent.

Oracles: the same values stored in another way must give equal bytes under /models; numbers against oracle.py, the
definitions in NumPy (limits in support.py)."""
import itertools
import json

import h5py
import numpy as np
import oracle
import support
from support import DONE, WITH_REASONS, clouds, files, representable, write_states

OBSERVABLES = {"angle_layers": [1], "neighbors": True}


def extras(hidden, seed=3):
    """Optional datasets for some clouds."""
    p, s, _, n, d = np.asarray(hidden).shape
    random = np.random.default_rng(seed)
    half = random.normal(size=(d, d))
    return {"loss": random.uniform(2, 4, (p, s)), "entropy": random.uniform(1, 5, (p, s, n)),
            "token_ids": random.integers(0, 49152, (p, s, n)), "logit_metric": half.T @ half}


class Encodings(support.Case):
    def setUp(self):
        super().setUp()
        self.hidden = clouds(prompts=3, levels=2, layers=4, tokens=37, width=24)
        self.extras = extras(self.hidden)
        self.expected = self.measure("plain.h5")

    def write(self, name, **how):
        return write_states(self.path(name), self.hidden, **{**self.extras, **how})

    def measure(self, name, ranks=None, **how):
        return self.study(files(self.write(name, **how)), ranks=ranks, observables=OBSERVABLES)

    def test_values_are_those_of_the_definitions(self):
        expected = oracle.measure(self.hidden, angle_layers=[1],
                                  metric_factor=np.linalg.cholesky(self.extras["logit_metric"]).T)
        expected["loss"] = self.extras["loss"].astype("f4")
        expected["logits/entropy"] = self.extras["entropy"].astype("f4").mean(axis=2, dtype=float)
        self.assert_reference(self.expected, expected, "model")
        self.assertTrue((self.expected["model/token_ids"] == self.extras["token_ids"]).all())

    def test_element_types(self):
        for kind in ("float16", "float32"):
            self.assert_same_but_deviation(self.measure(f"{kind}.h5", kind=kind), self.expected, kind)

    def test_types_of_the_small_datasets(self):
        path = self.write("wide.h5", loss=None, prompt_ids=None, shuffle_levels=None)
        with support.h5py.File(path, "a") as file:
            file["loss"] = self.extras["loss"].astype("f4").astype("f8")
            file["prompt_ids"] = np.arange(3, dtype=">i4")
            file["shuffle_levels"] = np.arange(2, dtype="i8")
        self.assert_same_bytes(self.study(files(path), observables=OBSERVABLES), self.expected)

    def test_chunks_and_filters(self):
        chunks = {"contiguous": None, "a cloud": (1, 1, 1, 37, 24), "across layers": (1, 2, 3, 37, 24),
                  "odd blocks of tokens": (2, 1, 1, 7, 5), "everything": (3, 2, 4, 37, 24), "single vectors": (1, 1, 1, 1, 24)}
        filters = {"a cloud": ("gzip", "shuffle"), "across layers": ("gzip",), "odd blocks of tokens": ("fletcher32",),
                   "everything": ("shuffle", "gzip", "fletcher32"), "single vectors": (), "contiguous": ()}
        for name, chunk in chunks.items():
            for kind, ranks in (("bfloat16", None), ("float16", 2)):
                with self.subTest(layout=name, kind=kind):
                    got = self.measure("chunked.h5", ranks=ranks, kind=kind, chunks=chunk, filters=filters[name])
                    same = self.assert_same_bytes if kind == "bfloat16" else self.assert_same_but_deviation
                    same(got, self.expected)

    def test_older_and_newer_hdf5_objects(self):
        for version in ("earliest", "latest"):
            path = self.write("plain.h5")
            with support.h5py.File(path) as source, support.h5py.File(self.path("v.h5"), "w", libver=version) as target:
                target.attrs.update(source.attrs)
                for name in source:
                    source.copy(name, target)
            self.assert_same_bytes(self.study(files(self.path("v.h5")), observables=OBSERVABLES), self.expected, version)

    def split(self, names, orders, kinds=("bfloat16", "float32", "float16")):
        """The prompts one to a file."""
        for name, p, kind in zip(names, orders, kinds):
            cut = {n: v if n == "logit_metric" else v[[p]] for n, v in self.extras.items()}
            write_states(self.path(name), self.hidden[[p]], kind, ids=[p], **cut)

    def test_several_files_of_different_types(self):
        self.split(["x.h5", "y.h5", "z.h5"], [0, 1, 2])
        for ranks in (None, 3):
            got = self.study(files(*map(self.path, ("x.h5", "y.h5", "z.h5"))), ranks=ranks, observables=OBSERVABLES)
            self.assert_same_but_deviation(got, self.expected)

    def test_files_in_the_listed_order_and_globs_in_bytewise_order(self):
        self.split(["s-10.h5", "s-9.h5", "s-B.h5"], [0, 1, 2])  # bytewise: '1' < '9' < 'B'; a locale could differ
        self.assert_same_but_deviation(self.study(files("s-*.h5"), observables=OBSERVABLES), self.expected)
        self.split(["b.h5", "s-Z.h5", "s-a.h5"], [0, 1, 2])  # 'Z' < 'a' bytewise
        self.path("s-10.h5").unlink(), self.path("s-9.h5").unlink(), self.path("s-B.h5").unlink()
        self.assert_same_but_deviation(self.study(files("b.h5", "s-[Za].h5"), observables=OBSERVABLES), self.expected)

    def test_other_names_of_a_file(self):
        """Linked files and directories, as data sets on clusters and Debian's documents have: a file is taken once, and that is said."""
        for name, prompt in (("v1", 0), ("v2", 1), ("v3", 2)):
            self.path(name).mkdir()
            self.split([f"{name}/s.h5"], [prompt])
        self.path("w-latest").symlink_to("v3")
        self.path("w-hard").mkdir()
        support.os.link(self.path("v2/s.h5"), self.path("w-hard/s.h5"))
        config = self.config(files("*/s.h5"), observables=OBSERVABLES)
        result = self.run_ok("run", config, "--force", ranks=2)
        self.assertIn("warning: 2 matches of globs are other names of files that are taken already, as ", result.err)
        self.assert_same_but_deviation(support.load_models(self.path("results.h5")), self.expected)
        self.assertIn("# 2 matches of globs are other names", self.run_ok("validate", config).out)

    def test_a_part_that_is_missing(self):
        """jobs/export_states.py writes into each file of an array which part it is: said by run, validate and in the provenance."""
        def write(part, parts):
            path = write_states(self.path(f"s-{part:02}.h5"), clouds(1, 1, 2, 30), ids=[part])
            with h5py.File(path, "a") as file:
                file.attrs["exporter_settings"] = json.dumps({"model": "m", "array": [part, parts] if parts else None})
        for parts, there, expected in ((3, (0, 2), "1 of 0..2"), (3, (0, 1, 2), None), (4, (2,), "0, 1, 3 of 0..3"), (None, (0,), None),
                                       (20, (3,), "0, 1, 2, 4, 5, 6, 7, 8, 9, 10, ... of 0..19")):
            with self.subTest(parts=parts, there=there):
                for path in self.directory.glob("s-*.h5"):
                    path.unlink()
                for part in there:
                    write(part, parts)
                config = self.config(files("s-*.h5"), observables={"angle_layers": [0]})
                said = f"model: warning: parts of its hidden states are missing: {expected}\n"
                result = self.run_ok("run", config, "--force", ranks=2)
                self.assertEqual((result.err.count(said), result.err.count("are missing")), (1, 1) if expected else (0, 0), result)
                self.assertEqual(self.run_ok("validate", config).out.count("# " + said), 1 if expected else 0)
                with h5py.File(self.path("results.h5")) as file:
                    self.assertEqual(said in file["provenance/models"].asstr()[()], bool(expected))

    def test_a_star_in_a_name_and_a_single_text(self):
        self.write("odd*name.h5")
        self.write("oddXname.h5", ids=[7, 8, 9])
        source = {"kind": "hdf5", "files": "odd*name.h5"}
        self.assert_same_bytes(self.study(source, observables=OBSERVABLES), self.expected)

    def test_files_of_different_lengths(self):
        """The token axis is the longest; shorter rows are filled."""
        self.split(["x.h5", "y.h5"], [0, 1])
        cut = {n: v if n == "logit_metric" else v[[2]][:, :, :20] if v.ndim == 3 else v[[2]] for n, v in self.extras.items()}
        write_states(self.path("z.h5"), self.hidden[[2], :, :, :20], ids=[2], **cut)
        got = self.study(files("x.h5", "y.h5", "z.h5"), observables=OBSERVABLES)
        self.assertEqual(got["model/token"].tolist(), list(range(37)))
        self.assertTrue((got["model/token_ids"][2, :, 20:] == -1).all())
        self.assertTrue(np.isnan(got["model/neighbor_angle/tokens"][2, :, :, 20:]).all())
        expected = oracle.measure(self.hidden, angle_layers=[1], n_tokens=[37, 37, 20],
                                  metric_factor=np.linalg.cholesky(self.extras["logit_metric"]).T)
        self.assert_reference(got, expected, "model")

    def test_selection_of_prompts_and_levels_in_any_order(self):
        """Results follow the data set's order, whatever the lists' order."""
        for prompts, levels in (([2, 0], [1]), ([1], [1, 0]), ([2, 1, 0], [0, 1]), ([0, 2], [0])):
            got = self.study(files("plain.h5"), prompts=prompts, shuffle={"levels": levels}, observables=OBSERVABLES)
            self.assertEqual(got["model/prompt_id"].tolist(), sorted(prompts))
            self.assertEqual(got["model/shuffle"].tolist(), sorted(levels))
            for name, values in self.expected.items():
                if name.startswith(("model/statistics", "model/correlations")) or values.ndim < 2:
                    continue
                self.assertTrue(got[name].tobytes() == values[sorted(prompts)][:, sorted(levels)].tobytes(), name)

    def test_ids_and_levels_are_labels(self):
        """Large, negative and unordered ids; levels in any order."""
        self.write("labels.h5", ids=[2**53 + 1, -5, 3], levels=[4, 0])
        got = self.study(files("labels.h5"), observables=OBSERVABLES)
        self.assertEqual(got["model/prompt_id"].tolist(), [2**53 + 1, -5, 3])
        self.assertEqual(got["model/shuffle"].tolist(), [4, 0])
        for name, values in self.expected.items():
            if name not in ("model/prompt_id", "model/shuffle"):
                self.assertTrue(got[name].tobytes() == values.tobytes(), name)
        got = self.study(files("labels.h5"), prompts=[3, 2**53 + 1], shuffle={"levels": [0]})
        self.assertEqual(got["model/prompt_id"].tolist(), [2**53 + 1, 3])
        self.assertEqual(got["model/intrinsic_dimension/gride/value"].tobytes(),
                         self.expected["model/intrinsic_dimension/gride/value"][[0, 2]][:, [1]].tobytes())


class Absent(support.Case):
    def test_optional_datasets(self):
        """Without each of them, and without all; what does not need it stays the same, to the bit."""
        hidden = clouds(prompts=5, levels=1, layers=2, tokens=30)
        all_extras = extras(hidden)
        whole = self.study(files(write_states(self.path("all.h5"), hidden, **all_extras)))
        self.assertTrue((whole["model/correlations/id_loss/n"][:, :, :4] == 5).all())
        touched = {"loss": ("loss", "correlations/id_loss", "correlations/entropy_loss", "statistics/loss", "status", "reason"),
                   "entropy": ("logits/entropy", "correlations/logit_id", "correlations/entropy_loss", "statistics/logits/entropy"),
                   "token_ids": ("token_ids",), "logit_metric": ("logits/gride", "correlations/logit_id", "statistics/logits/gride")}
        for gone in [("loss",), ("entropy",), ("token_ids",), ("logit_metric",), tuple(all_extras)]:
            with self.subTest(gone=gone):
                kept = {n: v for n, v in all_extras.items() if n not in gone}
                got = self.study(files(write_states(self.path("part.h5"), hidden, **kept)))
                changed = tuple("model/" + name for name in itertools.chain(*(touched[g] for g in gone)))
                for name, values in whole.items():
                    if not name.startswith(changed):
                        self.assertTrue(got[name].tobytes() == values.tobytes(), name)
                if "loss" in gone:
                    self.assertTrue((got["model/reason"] & 64 == 64).all() and (got["model/status"] == WITH_REASONS).all())
                    self.assertTrue(np.isnan(got["model/loss"]).all())
                    self.assertTrue(np.isnan(got["model/correlations/id_loss/pearson"]).all())
                    self.assertTrue((got["model/correlations/id_loss/n"] == 0).all())
                if "entropy" in gone:
                    self.assertTrue(np.isnan(got["model/logits/entropy"]).all())
                if "token_ids" in gone:
                    self.assertFalse("model/token_ids" in got)
                if "logit_metric" in gone:
                    self.assertTrue(np.isnan(got["model/logits/gride/value"]).all())

    def test_model_name(self):
        """From the file, or the config, which wins."""
        write_states(self.path("a.h5"), clouds(1, 1, 2, 20), model="file-name")
        got = self.study({"source": files("a.h5")})
        self.assertTrue("file-name/status" in got)
        got = self.study({"name": "config-name", "source": files("a.h5")})
        self.assertTrue("config-name/status" in got)
        self.assertFalse("file-name/status" in got)


class Unembedding(support.Case):
    def test_either_way_and_any_vocabulary(self):
        hidden = clouds(prompts=2, levels=1, layers=2, tokens=60, width=24)
        for vocabulary, kind in itertools.product((7, 24, 3000), ("float32", "bfloat16")):
            with self.subTest(vocabulary=vocabulary, kind=kind):
                w = representable(np.random.default_rng(vocabulary).normal(size=(vocabulary, 24)))
                expected = oracle.measure(hidden, angle_layers=[1], metric_factor=w)
                write_states(self.path("w.h5"), hidden, unembedding=w, unembedding_kind=kind)
                one = self.study(files("w.h5"), ranks=1, observables=OBSERVABLES)
                self.assert_reference(one, expected, "model")
                self.assertTrue(np.isfinite(one["model/logits/gride/value"][..., :5]).all())
                self.assert_same_bytes(self.study(files("w.h5"), ranks=3, observables=OBSERVABLES), one)
                write_states(self.path("m.h5"), hidden, logit_metric=w.astype(float).T @ w.astype(float))
                stored = self.study(files("m.h5"))
                for field in ("value", "error", "radius"):
                    name = f"logits/gride/{field}"
                    self.assertLessEqual(support.error_of(name, stored["model/" + name], expected[name]), support.LIMITS[name])


class Lengths(support.Case):
    def test_short_prompts(self):
        """What stands beyond a prompt's end is not read: NaN there changes nothing. Lengths that differ: partial correlations."""
        hidden = clouds(prompts=7, levels=2, layers=3, tokens=50)
        lengths = [50, 31, 44, 12, 3, 50, 27]
        spoiled = hidden.copy()
        more = extras(hidden)
        entropy = more["entropy"].copy()
        for p, n in enumerate(lengths):
            spoiled[p, :, :, n:] = np.nan
            entropy[p, :, n:] = np.nan
        write_states(self.path("a.h5"), spoiled, n_tokens=lengths, **{**more, "entropy": entropy})
        got = self.study(files("a.h5"), observables=OBSERVABLES)
        expected = oracle.measure(hidden, angle_layers=[1], n_tokens=lengths,
                                  metric_factor=np.linalg.cholesky(more["logit_metric"]).T)
        expected["logits/entropy"] = np.array([[more["entropy"][p, s, :n].astype("f4").mean(dtype=float) for s in range(2)]
                                               for p, n in enumerate(lengths)])
        self.assert_reference(got, expected, "model")
        self.assertTrue((got["model/status"] != support.BAD).all())
        self.assertTrue((got["model/reason"][:, :, 0] & 1).all())  # scale 256 > n - 1 for all
        self.assertEqual((got["model/reason"][:, 0, 0] & 4 > 0).tolist(), [n - 1 < 32 for n in lengths])
        for p, n in enumerate(lengths):
            self.assertTrue((got["model/token_ids"][p, :, n:] == -1).all())
            self.assertTrue((got["model/token_ids"][p, :, :n] == more["token_ids"][p, :, :n]).all())
        zeros = np.where(np.isnan(spoiled), 0, spoiled)
        write_states(self.path("b.h5"), zeros, n_tokens=lengths, **more)
        for ranks in (1, 5):
            self.assert_same_bytes(self.study(files("b.h5"), ranks=ranks, observables=OBSERVABLES), got)
        self.check_partial(got, lengths)

    def check_partial(self, got, lengths):
        """Oracle: the correlation of what a straight line in ln length leaves of ln ID and loss; p from Student's t, n - 3."""
        from scipy import stats
        value, loss = got["model/intrinsic_dimension/gride/value"], got["model/loss"]
        length = np.log(lengths)
        partial, p = (got[f"model/correlations/id_loss/{name}"] for name in ("partial", "partial_p"))
        checked = 0
        for s, l, c in np.ndindex(partial.shape):
            x, y = np.log(value[:, s, l, c]), loss[:, s]
            keep = np.isfinite(x)
            n = keep.sum()
            if n < 5:
                continue
            line = np.stack([length[keep], np.ones(n)], 1)
            u, v = (a[keep] - line @ np.linalg.lstsq(line, a[keep], rcond=None)[0] for a in (x, y))
            r = (u * v).sum() / np.sqrt((u * u).sum() * (v * v).sum())
            self.assertAlmostEqual(partial[s, l, c], r, delta=1e-9)
            t = r * np.sqrt((n - 3) / (1 - r * r))
            self.assertAlmostEqual(p[s, l, c], 2 * stats.t.sf(abs(t), n - 3), delta=1e-8)
            checked += 1
        self.assertGreater(checked, 10)

    def test_equal_lengths_have_no_partial_correlation(self):
        write_states(self.path("a.h5"), clouds(5, 1, 2, 30), n_tokens=[20] * 5, loss=np.linspace(1, 2, 5)[:, None])
        got = self.study(files("a.h5"))
        self.assertTrue(np.isnan(got["model/correlations/id_loss/partial"]).all())
        self.assertTrue(np.isfinite(got["model/correlations/id_loss/pearson"][:, :, 0]).all())

    def test_one_and_two_and_three_tokens(self):
        for n in (1, 2, 3):
            with self.subTest(tokens=n):
                hidden = clouds(prompts=2, levels=1, layers=3, tokens=n, width=5)
                write_states(self.path("a.h5"), hidden, loss=[[1], [2]], logit_metric=np.eye(5))
                got = self.study(files("a.h5"), ranks=2, observables=OBSERVABLES)
                expected = oracle.measure(hidden, angle_layers=[1], metric_factor=np.eye(5))
                if n < 3:  # mu of fewer than two points, or of no second neighbor
                    self.assertTrue(np.isnan(got["model/intrinsic_dimension/gride/value"]).all())
                    self.assertTrue(np.isnan(got["model/neighbor_angle/mean"]).all())
                self.assert_reference(got, {name: v for name, v in expected.items() if "gride" not in name}, "model")
                self.assertTrue((got["model/status"] == WITH_REASONS).all())
                self.assertTrue((got["model/reason"] & 1 == 1).all() and (got["model/reason"] & 4 == 4).all())

    def test_one_layer(self):
        hidden = clouds(prompts=2, levels=2, layers=1, tokens=300, width=8)
        write_states(self.path("a.h5"), hidden, loss=np.ones((2, 2)))
        got = self.study(files("a.h5"), ranks=3, observables={"angle_layers": [0], "neighbors": True})
        self.assertFalse("model/neighborhood_overlap/value" in got)
        self.assertFalse("model/layer_pair" in got)
        self.assert_reference(got, oracle.measure(hidden, angle_layers=[0]), "model", required=set(support.LIMITS) - {"logits/gride/value", "logits/gride/error", "logits/gride/radius"})
        self.assertTrue((got["model/status"] == DONE).all())

    def test_few_and_many_neighbors(self):
        hidden = clouds(prompts=2, levels=1, layers=3, tokens=20, width=8)
        write_states(self.path("a.h5"), hidden, loss=[[1], [2]])
        for k in (1, 2, 19, 20, 64):
            with self.subTest(k=k):
                observables = {"overlap_k": k, "scales": [2, 4], "neighbors": True, "angle_layers": []}
                got = self.study(files("a.h5"), observables=observables)
                expected = oracle.measure(hidden, scales=(2, 4), overlap_k=k)
                expected = {n: v for n, v in expected.items() if not n.startswith("logits") and "tokens" not in n}
                self.assert_reference(got, expected, "model")
                self.assertEqual(np.isnan(got["model/reciprocity/value"][0, 0, 0]).sum(), max(0, k - 19))
                self.assertTrue((got["model/reason"] == (4 if k > 19 else 0)).all())

    def test_a_stack_that_is_cut(self):
        """One prompt on five ranks: the overlap across the cuts is there."""
        hidden = clouds(prompts=1, levels=1, layers=11, tokens=120, width=16)
        write_states(self.path("a.h5"), hidden, chunks=(1, 1, 3, 50, 16), **extras(hidden))
        one = self.study(files("a.h5"), ranks=1, observables=OBSERVABLES)
        self.assertTrue(np.isfinite(one["model/neighborhood_overlap/value"]).all())
        for ranks in (2, 5, 13):
            self.assert_same_bytes(self.study(files("a.h5"), ranks=ranks, observables=OBSERVABLES), one, f"{ranks} ranks:")


class Unusual(support.Case):
    def test_equal_tokens_zero_vectors_and_signed_zeros(self):
        """Reasons 2, 8, 16; n_points and n_zero; -0 equals +0."""
        hidden = clouds(prompts=2, levels=1, layers=2, tokens=40, width=6)
        hidden[0, 0, :, 5:9] = hidden[0, 0, :, 4:5]  # one token five times
        hidden[1, 0, :, 3] = 0.0
        hidden[1, 0, :, 17] = -0.0
        write_states(self.path("a.h5"), hidden, loss=[[1], [2]])
        observables = {**OBSERVABLES, "scales": [2, 4, 8], "overlap_k": 10}
        got = self.study(files("a.h5"), observables=observables)
        expected = oracle.measure(hidden, scales=(2, 4, 8), overlap_k=10, angle_layers=[1])
        self.assert_reference(got, {n: v for n, v in expected.items() if not n.startswith("logits")}, "model")
        self.assertEqual(got["model/intrinsic_dimension/n_points"][:, 0, 0].tolist(), [36, 39])
        self.assertEqual(got["model/cosine_similarity/n_zero"][:, 0, 0].tolist(), [0, 2])
        self.assertTrue((got["model/reason"][0] == 8).all())
        self.assertTrue((got["model/reason"][1] & 16 == 16).all())

    def test_massive_activations(self):
        """A few coordinates a thousand times the rest, as in real models: the lists stay exact."""
        hidden = np.random.default_rng(5).normal(size=(1, 1, 2, 200, 64)).astype("f4")
        hidden[..., 7] += 3000
        hidden[..., 0, 30] = 20000
        write_states(self.path("a.h5"), hidden, "float32", loss=[[1]])
        got = self.study(files("a.h5"), observables=OBSERVABLES)
        expected = oracle.measure(hidden, angle_layers=[1])
        self.assert_reference(got, {n: v for n, v in expected.items() if not n.startswith("logits")}, "model")


support.main()
