"""Published summaries: per-prompt numbers that others measured, from NumPy's arrays to a result file.

Oracle: the arrays themselves, NumPy's mean and standard deviation (1e-12), SciPy's correlations (1e-9), byte equality for
any number of ranks; for wrong inputs the exit status and the message."""
import os
import warnings

import h5py
import numpy as np
import scipy.stats
import support
from support import BAD_DATA, CONFIG, DONE, NO_INPUT, OK, WITH_REASONS

NO_LOSS, UNPUBLISHED = 64, 128  # bits of `reason`
L, SCALES, K = 4, [2, 4, 8], 5  # layers 0..L, scales and largest k of the arrays


def arrays(prompts=7, levels=3, seed=1):
    """A directory of summaries as name -> array; correlated with the loss, so that r is not all noise."""
    random = np.random.default_rng(seed)
    rows = prompts * levels
    losses = random.normal(3.0, 0.5, rows).astype("f4")
    gride = random.uniform(2.0, 12.0, (rows, L, 3, len(SCALES)))
    gride[:, :, 0] += 4.0 * losses[:, None, None]
    overlap = random.uniform(size=(rows, L - 1, K + 1))
    overlap[:, :, 0] = 0.0
    reciprocity = random.uniform(size=(rows, L, K + 2))
    reciprocity[:, :, [0, -1]] = 0.0
    return {"gride": gride, "mnos": overlap, "csn_sim": random.uniform(size=(rows, 2, L + 1)).astype("f4"), "losses": losses,
            "reciprocities": reciprocity}


def expected(given, prompts, levels):
    """What the result file's datasets must hold, with NaN for what is not in the arrays."""
    def put(name, start, *shape):
        out = np.full((prompts, levels, *shape), np.nan)
        if name in given:
            values = given[name].astype("f8").reshape(prompts, levels, *given[name].shape[1:])
            out[start] = np.where(np.isfinite(values), values, np.nan)
        return out
    gride = put("gride", np.s_[:, :, 1:], L + 1, 3, len(SCALES))
    overlap = put("mnos", np.s_[:, :, 1:], L, K + 1)
    cosine = put("csn_sim", np.s_[:], 2, L + 1)
    reciprocity = put("reciprocities", np.s_[:, :, 1:], L + 1, K + 2)
    return {**{f"intrinsic_dimension/gride/{n}": gride[:, :, :, a] for a, n in enumerate(("value", "error", "radius"))},
            "neighborhood_overlap/value": overlap[..., 1:], "cosine_similarity/mean": cosine[:, :, 0],
            "cosine_similarity/std": cosine[:, :, 1], "reciprocity/value": reciprocity[..., 1:-1],
            "loss": put("losses", np.s_[:]), "neighbor_angle/mean": np.full((prompts, levels, L + 1), np.nan),
            "cosine_similarity/mean_offdiagonal": np.full((prompts, levels, L + 1), np.nan),
            "logits/entropy": np.full((prompts, levels), np.nan)}


def correlation(x, y):
    """SciPy's numbers over complete pairs; NaN below three of them or with a constant side."""
    keep = np.isfinite(x) & np.isfinite(y)
    x, y = x[keep], y[keep]
    if len(x) < 3 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return dict.fromkeys(("pearson", "pearson_p", "spearman", "spearman_p"), np.nan) | {"n": len(x)}
    pearson, spearman = scipy.stats.pearsonr(x, y), scipy.stats.spearmanr(x, y)
    return {"pearson": pearson[0], "pearson_p": pearson[1], "spearman": spearman[0], "spearman_p": spearman[1], "n": len(x)}


class Summaries(support.Case):
    def write(self, given, ids=None, name="summaries"):
        """Writes arrays and, where given, ids; returns a source."""
        folder = self.path(name)
        folder.mkdir(exist_ok=True)
        for old in folder.iterdir():
            old.unlink()
        for array, values in given.items():
            np.save(folder / f"{array}.npy", values)
        source = {"kind": "summaries", "directory": name}
        if ids is not None:
            np.save(folder / "ids.npy", ids)
            source["prompt_ids"] = f"{name}/ids.npy"
        return source

    def measure(self, source, ranks=None, **options):
        options.setdefault("observables", {"scales": SCALES, "overlap_k": K})
        got = self.study({"name": "m", "source": source}, ranks=ranks, **options)
        return {name[len("m/"):]: values for name, values in got.items()}

    def assert_values(self, got, wanted, message=""):
        for name, values in wanted.items():
            self.assertTrue(np.array_equal(got[name], values, equal_nan=True), f"{message} {name}")

    def assert_statistics(self, got, wanted):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # NumPy warns of means of nothing
            for name, values in wanted.items():
                if name.endswith("error"):
                    continue
                at = f"statistics/{name}"
                self.assertTrue(np.array_equal(got[f"{at}/n"], np.isfinite(values).sum(0)), name)
                for number, reduced in (("mean", np.nanmean(values, 0)), ("std", np.nanstd(values, 0)), ("median", np.nanmedian(values, 0))):
                    np.testing.assert_allclose(got[f"{at}/{number}"], reduced, rtol=1e-12, atol=1e-12, err_msg=f"{name} {number}")

    def assert_correlations(self, got, wanted):
        values, loss = wanted["intrinsic_dimension/gride/value"], wanted["loss"]
        for group, ids in (("id_loss", np.log(values)), ("id_loss_raw", values)):
            for place in np.ndindex(ids.shape[1:]):
                for name, number in correlation(ids[(slice(None), *place)], loss[:, place[0]]).items():
                    np.testing.assert_allclose(got[f"correlations/{group}/{name}"][place], number, rtol=1e-9, atol=1e-9,
                                               err_msg=f"{group} {name} {place}")

    # ---- what is right

    def test_values_statistics_and_correlations(self):
        given, ids = arrays(), [587, 3218, 9, 4000000000000, -2, 1, 8]
        source, wanted = self.write(given, ids), expected(given, 7, 3)
        first = None
        for ranks in (None, 1, 2, 3):
            got = self.measure(source, ranks=ranks)
            self.assert_same_bytes(got, first or got, f"{ranks} ranks:")
            first = first or got
        self.assert_values(got, wanted)
        self.assert_statistics(got, wanted)
        self.assert_correlations(got, wanted)
        self.assertEqual(got["prompt_id"].tolist(), ids)
        self.assertEqual(got["shuffle"].tolist(), [0, 1, 2])
        self.assertTrue((got["status"] == DONE).all() and (got["reason"] == 0).all())
        self.assertFalse({"token", "neighbor_angle/tokens", "neighbors/index", "token_ids"} & set(got), "there are no tokens")

    def test_any_type_and_order(self):
        given = arrays()
        plain = self.measure(self.write(given, range(7)), output="plain.h5")
        stored = {"gride": np.asfortranarray(given["gride"]), "mnos": given["mnos"].astype(">f8"), "losses": given["losses"].astype("f8"),
                  "csn_sim": np.asfortranarray(given["csn_sim"].astype(">f4")), "reciprocities": given["reciprocities"]}
        self.assert_same_bytes(self.measure(self.write(stored, np.arange(7, dtype=">u2"))), plain)

    def test_levels(self):
        """Without ids a row is a prompt, unless `shuffles` says otherwise; ids give the number of levels."""
        given = arrays()
        for keys, prompts, levels in (({}, 21, 1), ({"shuffles": 3}, 7, 3), ({"shuffles": 7}, 3, 7)):
            got = self.measure({**self.write(given), **keys})
            self.assert_values(got, expected(given, prompts, levels), str(keys))
            self.assertEqual(got["prompt_id"].tolist(), list(range(prompts)))
            self.assertEqual(got["shuffle"].tolist(), list(range(levels)))
        got = self.measure({**self.write(given, range(7)), "shuffles": 3})
        self.assert_values(got, expected(given, 7, 3))

    def test_a_part_of_prompts_and_levels(self):
        given = arrays()
        got = self.measure(self.write(given, [5, 4, 3, 2, 1, 0, 9]), prompts=[2, 4, 9], shuffle={"levels": [0, 2]})
        self.assertEqual(got["prompt_id"].tolist(), [4, 2, 9])
        self.assert_values(got, {name: values[[1, 3, 6]][:, [0, 2]] for name, values in expected(given, 7, 3).items()})

    def test_missing_arrays(self):
        """What an absent array would give is NaN and no reason of its own; only an absent loss is one, as for states."""
        given = arrays()
        for absent in (("gride",), ("mnos",), ("csn_sim",), ("losses",), ("reciprocities",), ("gride", "mnos", "reciprocities"),
                       ("losses", "mnos", "csn_sim", "reciprocities")):
            some = {name: values for name, values in given.items() if name not in absent}
            got, wanted = self.measure(self.write(some, range(7))), expected(some, 7, 3)
            self.assert_values(got, wanted, str(absent))
            self.assert_statistics(got, wanted)
            self.assert_correlations(got, wanted)
            reason = NO_LOSS if "losses" in absent else 0
            self.assertTrue((got["reason"] == reason).all(), str(absent))
            self.assertTrue((got["status"] == (WITH_REASONS if reason else DONE)).all(), str(absent))

    def test_missing_numbers(self):
        """NaN and Inf in the arrays are NaN with a reason, for that cloud alone; statistics leave them out."""
        given = arrays()
        for name, values in given.items():
            values.reshape(7, 3, *values.shape[1:])[2] = np.nan  # one prompt
        for name in ("mnos", "reciprocities"):
            given[name].reshape(7, 3, *given[name].shape[1:])[2, ..., 0] = 0.0
        given["gride"][0, 1, 2, 1] = np.inf  # radius of layer 2
        given["mnos"][4, 0, 3] = -np.inf     # pair (1, 2), row 4: prompt 1, level 1
        given["csn_sim"][20, 1, 0] = np.nan  # embedding
        given["losses"][9] = np.inf          # prompt 3, level 0
        got, wanted = self.measure(self.write(given, range(7)), ranks=2), expected(given, 7, 3)
        self.assert_values(got, wanted)
        self.assert_statistics(got, wanted)
        self.assert_correlations(got, wanted)
        reason = np.zeros((7, 3, L + 1), int)
        reason[2] = NO_LOSS | UNPUBLISHED
        reason[0, 0, 2] |= UNPUBLISHED
        reason[1, 1, 2] |= UNPUBLISHED
        reason[6, 2, 0] |= UNPUBLISHED
        reason[3, 0] |= NO_LOSS
        self.assertTrue(np.array_equal(got["reason"], reason))
        self.assertTrue(np.array_equal(got["status"], np.where(reason, WITH_REASONS, DONE)))

    def test_more_is_asked_for_than_there_is(self):
        """Scales and k that the arrays lack are NaN; layers of which the arrays hold nothing miss nothing."""
        given = arrays()
        got, wanted = self.measure(self.write(given, range(7)), observables={"scales": [4, 6, 8, 16], "overlap_k": K + 2}), expected(given, 7, 3)
        for name in ("value", "error", "radius"):
            values = got[f"intrinsic_dimension/gride/{name}"]
            np.testing.assert_array_equal(values[..., [0, 2]], wanted[f"intrinsic_dimension/gride/{name}"][..., 1:])
            self.assertTrue(np.isnan(values[..., [1, 3]]).all())
        for name in ("neighborhood_overlap/value", "reciprocity/value"):
            np.testing.assert_array_equal(got[name][..., :K], wanted[name])
            self.assertTrue(np.isnan(got[name][..., K:]).all(), name)
        self.assertTrue((got["reason"][:, :, 0] == 0).all() and (got["reason"][:, :, 1:] == UNPUBLISHED).all())
        fewer = self.measure(self.write(given, range(7)), observables={"scales": [2], "overlap_k": 2})
        np.testing.assert_array_equal(fewer["reciprocity/value"], wanted["reciprocity/value"][..., :2])
        self.assertTrue((fewer["status"] == DONE).all())

    def test_two_prompts(self):
        """Two points make no correlation."""
        given = arrays(prompts=2, levels=1)
        got, wanted = self.measure(self.write(given), ranks=3), expected(given, 2, 1)
        self.assert_values(got, wanted)
        self.assert_statistics(got, wanted)
        self.assertTrue((got["correlations/id_loss/n"][:, 1:] == 2).all())
        self.assertTrue(np.isnan(got["correlations/id_loss/pearson"]).all())

    def test_beside_another_source(self):
        """Shards of both kinds in one run, on any number of ranks."""
        source, first = self.write(arrays(), range(7)), None
        for ranks in (1, 2, 3):
            got = self.study({"name": "a", "source": support.synthetic()}, {"name": "b", "source": source},
                             {"name": "c", "source": support.synthetic(seed=2)}, ranks=ranks, observables={"neighbors": True, "angle_layers": [1], "overlap_k": K})
            first = first or got
            self.assert_same_bytes(got, first, f"{ranks} ranks:")
        for name in ("neighbors/index", "neighbor_angle/tokens", "angle_layer", "token"):
            self.assertIn(f"a/{name}", got)
            self.assertNotIn(f"b/{name}", got)

    # ---- commands

    def test_commands(self):
        source = {**self.write(arrays(), range(7)), "shuffles": 3}
        config = self.config({"name": "m", "source": source})
        out = self.run_ok("validate", config).out
        for text in ("kind: summaries", "shuffles: 3", "/ids.npy\"", "gride.npy: ", "reciprocities.npy: ", "the config is valid"):
            self.assertIn(text, out)
        self.path("again.yaml").write_text(out)
        self.assertEqual(self.run_ok("validate", self.path("again.yaml")).out, out, "the resolved config reads back")
        out = self.run_ok("run", config, "--dry-run").out
        self.assertIn("105", out)  # clouds
        self.assertNotIn("nan", out)
        self.run_ok("run", config)
        out = self.run_ok("info", self.path("results.h5")).out
        for text in ("7 prompts, 5 layers", "published summaries", "losses.npy", "complete"):
            self.assertIn(text, out)
        self.run_ok("export", self.path("results.h5"), "--csv", self.path("csv"))
        result = support.run("extract", config, "--out", self.path("states.h5"), ranks=2)
        self.assertEqual(result.code, CONFIG, result)
        self.assertIn("hold no hidden states", result.errors[0])
        self.assertFalse([f for f in self.directory.iterdir() if f.name.startswith("states")])

    def test_resume(self):
        """What is not done is done again, to the same bytes; a changed or new array is refused."""
        given = arrays()
        config = self.config({"name": "m", "source": self.write(given, range(7))}, output=str(self.path("results.h5")))
        self.run_ok("run", config)
        whole = support.load_models(self.path("results.h5"))
        with h5py.File(self.path("results.h5"), "a") as file:
            file["models/m/status"][3:, 1:, 2:] = 0
            file["models/m/intrinsic_dimension/gride/value"][3:, 1:, 2:] = -1.0
            file["models/m/loss"][3:, 1:] = -1.0
        self.run_ok("run", config, "--resume", ranks=2)
        self.assert_same_bytes(support.load_models(self.path("results.h5")), whole)
        losses = self.path("summaries") / "losses.npy"
        for change in (lambda: np.save(losses, given["losses"] + 1), losses.unlink):
            change()
            result = support.run("run", config, "--resume")
            self.assertEqual(result.code, CONFIG, result)
            self.assertIn("the inputs changed", result.errors[0])

    # ---- what is wrong

    def refuse(self, code, *named, source=None, ranks=None, **sections):
        source = source or {"kind": "summaries", "directory": "summaries"}
        result = support.run("run", self.config({"name": "m", "source": source}, **sections), ranks=ranks)
        self.assertEqual(result.code, code, result)
        self.assertEqual(len(result.errors), 1, result)
        for text in named:
            self.assertIn(text, result.errors[0])
        self.assert_nothing_left()

    def spoil(self, **changed):
        given = {**arrays(), **changed}
        return self.write({name: values for name, values in given.items() if values is not None}, range(7))

    def test_shapes_that_disagree(self):
        given = arrays()
        self.spoil(gride=given["gride"][0])
        self.refuse(BAD_DATA, "gride.npy: has 3 axes, expected 4 (row, layer 1..L, [value, error, radius], scale)", ranks=3)
        self.spoil(gride=given["gride"][:, :, :2])
        self.refuse(BAD_DATA, "gride.npy: has length 2 on axis 2, expected 3")
        self.spoil(csn_sim=given["csn_sim"].transpose(0, 2, 1))
        self.refuse(BAD_DATA, "csn_sim.npy: has length 5 on axis 1, expected 2 (row, [mean, std], layer 0..L)")
        self.spoil(losses=given["losses"][:-1])
        self.refuse(BAD_DATA, "losses.npy: has 20 rows, but the arrays before it 21")
        self.spoil(losses=given["losses"][:0])
        self.refuse(BAD_DATA, "losses.npy: has 0 rows, expected 1 to")
        self.spoil(mnos=given["mnos"][:, :-1])
        self.refuse(BAD_DATA, "mnos.npy: has length 2 on axis 1", "layers 0..3, but the arrays before it have 0..4")
        self.spoil(mnos=given["mnos"][:, :, :0])
        self.refuse(BAD_DATA, "mnos.npy: has length 0 on axis 2, expected at least 1")
        self.spoil(reciprocities=given["reciprocities"][:, :, :1])
        self.refuse(BAD_DATA, "reciprocities.npy: has length 1 on axis 2, expected at least 2")
        self.write({"csn_sim": np.zeros((3, 2, 0))})
        self.refuse(BAD_DATA, "csn_sim.npy: has length 0 on axis 2, expected 1 to 4096")

    def test_another_count_of_k(self):
        """Arrays whose k begins at 1 would be read one off."""
        given = arrays()
        self.spoil(mnos=given["mnos"][:, :, 1:])
        self.refuse(BAD_DATA, "mnos.npy: [0, 0, 0] is 0.", "expected 0: nothing belongs to k = 0")
        self.spoil(reciprocities=given["reciprocities"][:, :, :-1])
        self.refuse(BAD_DATA, "reciprocities.npy: [0, 0, 5] is 0.", "nothing belongs to k = 5")

    def test_numbers_of_levels_that_disagree(self):
        source = self.spoil()
        self.refuse(CONFIG, "has 21 rows, expected a multiple of shuffles = 4", source={"kind": "summaries", "directory": "summaries", "shuffles": 4})
        self.refuse(CONFIG, "has 21 rows for the 7 ids", ": 3 levels, but shuffles is 6", source={**source, "shuffles": 6})
        for n in (4, 22):
            np.save(self.path("summaries") / "ids.npy", np.arange(n))
            self.refuse(BAD_DATA, f"has 21 rows, expected a multiple of the {n} ids", source=source)
        self.refuse(CONFIG, "shuffles: '65' is out of range", source={**source, "shuffles": 65})
        self.refuse(CONFIG, "level 3 is not in m", source=self.spoil(), shuffle={"levels": [3]})

    def test_ids(self):
        source = self.spoil()
        for ids, text in ((np.arange(7.0), "its type is f8, expected integers"), (np.zeros(7, bool), "its type is b1"),
                          (np.zeros((7, 1), int), "has 2 axes"), (np.zeros(0, int), "0 numbers, expected one axis of 1 to"),
                          (np.array([0, 1, 2, 3, 4, 5, 2**63], "u8"), "[6] is 9223372036854775808, expected an id below 2^63"),
                          (np.array([0, 1, 2, 3, 4, 5, 1]), "prompt id 1 occurs twice (prompts 1 and 6)")):
            np.save(self.path("summaries") / "ids.npy", ids)
            self.refuse(BAD_DATA, text, source=source)
        np.save(self.path("summaries") / "ids.npy", np.arange(7))
        self.refuse(CONFIG, "id 9 is not in m", source=source, prompts=[9])

    def test_files_that_are_no_arrays(self):
        source, gride = self.spoil(), self.path("summaries") / "gride.npy"
        whole = gride.read_bytes()
        for data, text in ((whole[:-1], "is truncated"), (whole + b"x", "1 bytes follow the array"), (b"", "is no .npy file"),
                           (whole.replace(b"<f8", b"|V8"), "descr is '|V8'")):
            gride.write_bytes(data)
            self.refuse(BAD_DATA, "gride.npy", text, source=source, ranks=2)
        np.save(gride, np.array([{}]), allow_pickle=True)
        self.refuse(BAD_DATA, "gride.npy: descr is '|O', Python objects", source=source)
        gride.unlink()
        gride.mkdir()
        self.refuse(BAD_DATA, "gride.npy: is no file", source=source)
        gride.rmdir()
        gride.symlink_to("nowhere")
        self.refuse(NO_INPUT, "gride.npy: No such file", source=source)

    def test_directories(self):
        self.write({})
        self.refuse(NO_INPUT, "summaries: holds none of gride.npy, mnos.npy")
        self.refuse(NO_INPUT, "directory: ", "nowhere: No such file", source={"kind": "summaries", "directory": "nowhere"}, ranks=2)
        self.refuse(CONFIG, "study.yaml is a file, expected a directory", source={"kind": "summaries", "directory": "study.yaml"})
        self.refuse(CONFIG, "models[0].source.directory: is missing", source={"kind": "summaries"})
        self.refuse(CONFIG, "a list is not a path", source={"kind": "summaries", "directory": ["summaries"]})
        self.refuse(CONFIG, "a source of kind summaries has no such key", source={"kind": "summaries", "directory": "summaries", "files": ["a"]})
        self.refuse(NO_INPUT, "prompt_ids: ", "none.npy", source={"kind": "summaries", "directory": "summaries", "prompt_ids": "none.npy"})
        self.write({"losses": arrays()["losses"]})
        self.refuse(BAD_DATA, "no array but losses.npy, expected one with layers")

    def test_inputs_are_not_overwritten(self):
        source = self.spoil()
        for name in ("ids.npy", "csn_sim.npy"):
            before = (self.path("summaries") / name).read_bytes()
            config = self.config({"name": "m", "source": source}, output=f"summaries/{name}")
            result = support.run("run", config, "--force")
            self.assertEqual(result.code, CONFIG, result)
            self.assertIn("is also an input, of models[0]", result.errors[0])
            self.assertEqual((self.path("summaries") / name).read_bytes(), before)


support.main()
