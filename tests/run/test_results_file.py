"""The result file: every dataset with its axes, texts and types; how other programs see it; statistics and correlations.

Oracles: the tables of the specification, written down here once more; NumPy and SciPy for the numbers made over prompts
(1e-12; p-values 1e-10 relative); NumPy's Philox for the bootstrap."""
import hashlib
import importlib
import warnings

import h5py
import numpy as np
import support
from scipy import stats
from support import clouds, datasets, files, synthetic, write_states

P, S, L, PAIR, SCALE, K, ANGLE, TOKEN = "prompt_id", "shuffle", "layer", "layer_pair", "scale", "k", "angle_layer", "token"
F, I = np.dtype("<f8"), np.dtype("<i4")
FIELDS = {
    "intrinsic_dimension/gride/value": (F, (P, S, L, SCALE)), "intrinsic_dimension/gride/error": (F, (P, S, L, SCALE)),
    "intrinsic_dimension/gride/radius": (F, (P, S, L, SCALE)), "intrinsic_dimension/n_points": (I, (P, S, L)),
    "neighborhood_overlap/value": (F, (P, S, PAIR, K)), "cosine_similarity/mean": (F, (P, S, L)),
    "cosine_similarity/std": (F, (P, S, L)), "cosine_similarity/mean_offdiagonal": (F, (P, S, L)),
    "cosine_similarity/n_zero": (I, (P, S, L)), "neighbor_angle/mean": (F, (P, S, L)), "neighbor_angle/n_defined": (I, (P, S, L)),
    "neighbor_angle/tokens": (F, (P, S, ANGLE, TOKEN)), "reciprocity/value": (F, (P, S, L, K)),
    "neighbors/index": (I, (P, S, L, TOKEN, K)), "logits/gride/value": (F, (P, S, SCALE)), "logits/gride/error": (F, (P, S, SCALE)),
    "norms/mean": (F, (P, S, L)), "norms/median": (F, (P, S, L)), "norms/max": (F, (P, S, L)), "norms/max_token": (I, (P, S, L)),
    "norms/first": (F, (P, S, L)), "logits/gride/radius": (F, (P, S, SCALE)), "logits/entropy": (F, (P, S)), "loss": (F, (P, S)), "token_ids": (I, (P, S, TOKEN)),
    "status": (I, (P, S, L)), "reason": (I, (P, S, L)),
}
# Observables of which there are statistics.
REDUCED = ("intrinsic_dimension/gride/value", "intrinsic_dimension/gride/radius", "intrinsic_dimension/n_points",
           "neighborhood_overlap/value", "cosine_similarity/mean", "cosine_similarity/std", "cosine_similarity/mean_offdiagonal",
           "neighbor_angle/mean", "reciprocity/value", "norms/mean", "norms/median", "norms/max", "norms/first", "logits/gride/value", "loss", "logits/entropy")
MOMENTS = ("n", "mean", "std", "median", "q25", "q75")
GROUPS = {"id_loss": (S, L, SCALE), "id_loss_raw": (S, L, SCALE), "logit_id_entropy": (S, SCALE), "entropy_loss": (S,)}
NUMBERS = ("pearson", "pearson_p", "pearson_low", "pearson_high", "pearson_boot_std", "pearson_p_bh", "spearman", "spearman_p",
           "spearman_p_bh", "partial", "partial_p", "n")
BOOTSTRAP, SEED = 100, 7


def expected_datasets():
    """Path -> type, axes."""
    found = dict(FIELDS)
    for name in REDUCED:
        for moment in MOMENTS:
            found[f"statistics/{name}/{moment}"] = (I if moment == "n" else F, FIELDS[name][1][1:])
    for group, axes in GROUPS.items():
        for number in NUMBERS:
            found[f"correlations/{group}/{number}"] = (I if number == "n" else F, axes)
    return found


class Layout(support.Case):
    """One small file with everything in it."""

    def setUp(self):
        super().setUp()
        self.hidden = clouds(prompts=6, levels=2, layers=4, tokens=40, width=10)
        random = np.random.default_rng(4)
        write_states(self.path("a.h5"), self.hidden, ids=[30, 10, 20, 60, 50, 40], levels=[0, 3], loss=random.random((6, 2)),
                     entropy=random.random((6, 2, 40)), token_ids=np.ones((6, 2, 40)), logit_metric=np.eye(10), model="tiny")
        self.sections = {"observables": {"neighbors": True, "angle_layers": [1, 3, 9], "overlap_k": 5, "scales": [2, 4, 8]},
                         "statistics": {"bootstrap": BOOTSTRAP, "seed": SEED}}
        self.config({"source": files("a.h5")}, {"name": "other.1", "source": synthetic(layers=2)}, **self.sections)
        self.run_ok("run", self.path("study.yaml"), ranks=2)
        self.results = self.path("results.h5")

    def test_datasets_and_axes(self):
        axes = {P: [30, 10, 20, 60, 50, 40], S: [0, 3], L: range(4), PAIR: range(3), SCALE: [2, 4, 8], K: range(1, 6), ANGLE: [1, 3],
                TOKEN: range(40)}
        with h5py.File(self.results) as file:
            self.assertEqual(sorted(file), ["checksums", "complete", "models", "provenance"])
            self.assertEqual(sorted(file["models"]), ["other.1", "tiny"])
            model = file["models/tiny"]
            expected = expected_datasets()
            self.assertEqual(sorted(datasets(model)), sorted(list(expected) + list(axes)))
            for name, values in axes.items():
                self.assertEqual(model[name][...].tolist(), list(values))
                self.assertTrue(h5py.h5ds.is_scale(model[name].id), name)
                self.assertEqual(model[name].dtype, np.dtype("<i8") if name == P else I)
            for name, (kind, named) in expected.items():
                dataset = model[name]
                self.assertEqual(dataset.dtype, kind, name)
                self.assertEqual(dataset.shape, tuple(len(axes[a]) for a in named), name)
                scales = [dimension[0].name.rpartition("/")[2] for dimension in dataset.dims]
                self.assertEqual(scales, list(named), name)

    def test_texts_of_every_dataset(self):
        with h5py.File(self.results) as file:
            for name, dataset in datasets(file["models"]).items():
                for attribute in ("units", "long_name", "source"):
                    self.assertTrue(len(dataset.attrs.get(attribute, b"")) > 0, f"{name}: {attribute}")
            model = file["models/tiny"]
            units = {n: model[n].attrs["units"].decode() if isinstance(model[n].attrs["units"], bytes) else model[n].attrs["units"]
                     for n in FIELDS}
            self.assertEqual({n for n, u in units.items() if u == "degree"}, {"neighbor_angle/mean", "neighbor_angle/tokens"})
            self.assertEqual({n for n, u in units.items() if u == "nat"}, {"loss", "logits/entropy"})
            self.assertIn("activation", units["intrinsic_dimension/gride/radius"])
            self.assertIn("logit", units["logits/gride/radius"])

    def test_root_and_provenance(self):
        with h5py.File(self.results) as file:
            self.assertEqual((file.attrs["format"], file.attrs["format_version"], file["complete"][()]), (b"tokengeom-results", 1, 1))
            text = {name: file["provenance"][name][()].decode() for name in file["provenance"]}
        for name in ("version", "commit", "config", "config_sha256", "inputs", "models", "libraries", "cpu", "kernel", "ranks", "start",
                     "end", "seeds"):
            self.assertTrue(text.get(name, "").strip(), name)
        self.assertEqual(text["config_sha256"], hashlib.sha256(text["config"].encode()).hexdigest())
        for part in ("overlap_k: 5", "scales: [2, 4, 8]", "bootstrap: 100", "kind: synthetic", "a.h5"):
            self.assertIn(part, text["config"])
        self.assertIn(str(self.path("a.h5")), text["inputs"])
        self.assertIn(str(self.path("a.h5").stat().st_size), text["inputs"])
        self.assertIn("tiny", text["models"])
        self.assertIn("width 10", text["models"])
        for part in ("MPI", "HDF5", "BLAS", "GSL"):
            self.assertIn(part, text["libraries"])
        self.assertIn("2 ranks", text["ranks"])
        for name in ("start", "end"):
            self.assertRegex(text[name].rstrip("\0 "), r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")
        self.assertLessEqual(text["start"], text["end"])
        self.assertIn(str(SEED), text["seeds"])

    def test_the_recorded_config_is_one(self):
        """It can be run as it is, and gives the same numbers."""
        with h5py.File(self.results) as file:
            self.path("again.yaml").write_text(file["provenance/config"][()].decode())
        before = support.load_models(self.results)
        self.run_ok("run", self.path("again.yaml"), "--set", f"output={self.path('again.h5')}")
        self.assert_same_bytes(support.load_models(self.path("again.h5")), before)

    def test_format_of_the_file(self):
        """Superblock 0, objects in the earliest format, contiguous and uncompressed numbers."""
        data = self.results.read_bytes()
        self.assertEqual(data[:8], b"\x89HDF\r\n\x1a\n")
        self.assertEqual(data[8], 0, "superblock version")
        self.assertNotIn(b"OHDR", data, "object headers of version 2")
        with h5py.File(self.results) as file:
            for name, dataset in datasets(file).items():
                self.assertIsNone(dataset.chunks, name)
                self.assertNotEqual(dataset.dtype, np.float16, name)

    def test_xarray(self):
        for engine in ("h5netcdf", "netcdf4"):
            with self.subTest(engine=engine):
                module = "netCDF4" if engine == "netcdf4" else engine
                for needed in ("xarray", module):
                    try:
                        importlib.import_module(needed)
                    except ImportError:
                        self.skipTest(f"{needed} is not installed")
                self.check_xarray(engine)

    def check_xarray(self, engine):
        """Reading tools see named axes with their values, also of groups below the one that holds the axes."""
        import xarray
        with warnings.catch_warnings(), h5py.File(self.results) as file:
            warnings.simplefilter("ignore")
            with xarray.open_dataset(self.results, group="models/tiny", engine=engine) as top:
                self.assertEqual(top["loss"].dims, (P, S))
                self.assertEqual(top["status"].dims, (P, S, L))
                self.assertEqual(float(top["loss"].sel({P: 20, S: 3})), file["models/tiny/loss"][2, 1])
                self.assertEqual(top["loss"].attrs["units"], "nat")
            for name in ("intrinsic_dimension/gride/value", "neighborhood_overlap/value", "neighbors/index",
                         "statistics/intrinsic_dimension/gride/value/mean", "correlations/id_loss/pearson_p_bh"):
                group, _, last = name.rpartition("/")
                with xarray.open_dataset(self.results, group=f"models/tiny/{group}", engine=engine) as data:
                    self.assertEqual(data[last].dims, expected_datasets()[name][1], name)
                    self.assertTrue(np.array_equal(data[last].values, file[f"models/tiny/{name}"][...], equal_nan=True), name)
                    self.assertTrue(data[last].attrs["long_name"], name)

    def test_netcdf4(self):
        try:
            import netCDF4
        except ImportError:
            self.skipTest("netCDF4 is not installed")
        with netCDF4.Dataset(self.results) as file:
            model = file["models/tiny"]
            self.assertEqual(model["reciprocity/value"].dimensions, (P, S, L, K))
            self.assertEqual(list(model["shuffle"][:]), [0, 3])

    def test_a_model_with_one_layer_and_few_extras(self):
        """Absent: neighbors, token ids; layers that a model does not have are skipped."""
        with h5py.File(self.results) as file:
            other = file["models/other.1"]
            self.assertNotIn("token_ids", other)
            self.assertIn("neighbors", other)
            self.assertEqual(other[ANGLE][...].tolist(), [1])
            self.assertEqual(other[PAIR][...].tolist(), [0])

    def test_no_angle_layer_at_all(self):
        got = self.study(synthetic(layers=2), observables={"angle_layers": [10]}, output="b.h5")
        self.assertFalse("model/neighbor_angle/tokens" in got)
        self.assertFalse("model/angle_layer" in got)
        self.assertFalse("model/neighbors/index" in got)


class Asked(support.Case):
    """observables.measure: what is not asked for is not there, what is has the same bytes, and every command does with it."""

    def setUp(self):
        super().setUp()
        hidden = clouds(prompts=5, levels=2, layers=4, tokens=40, width=10)
        write_states(self.path("a.h5"), hidden, loss=np.random.default_rng(4).random((5, 2)), logit_metric=np.eye(10))
        self.all = self.study(files("a.h5"), ranks=2, output="all.h5")

    def measured(self, names, ranks=None):
        return self.study(files("a.h5"), ranks=ranks, observables={"measure": names}, output="some.h5")

    def test_each_alone(self):
        paths = {"gride": "intrinsic_dimension", "overlap": "neighborhood_overlap", "cosine": "cosine_similarity",
                 "angle": "neighbor_angle", "reciprocity": "reciprocity", "logits": "logits/gride", "norms": "norms"}
        for ranks, (name, path) in enumerate(paths.items()):
            with self.subTest(name):
                got = self.measured([name], ranks % 3 + 1)
                kept = [p for p in self.all if all(f"/{other}/" not in p for n, other in paths.items() if n != name)]
                kept = [p for p in kept if name == "gride" or "/correlations/id_loss" not in p]
                kept = [p for p in kept if name == "logits" or "/correlations/logit_id" not in p]
                self.assertTrue(any(f"/{path}/" in p for p in kept))
                bits = {p for p in kept if p.endswith(("/reason", "/status"))}
                self.assert_same_bytes({p: v for p, v in got.items() if p not in bits}, {p: self.all[p] for p in kept if p not in bits})

    def test_every_command(self):
        for names in (["gride"], ["cosine", "overlap"], ["logits"]):
            with self.subTest(names):
                self.measured(names)
                for command in ("info", "report", "verify"):
                    self.run_ok(command, self.path("some.h5"))
                self.run_ok("figures", self.path("some.h5"), "--out", self.path("figures"), "--set", "figures.formats=[csv]")
                self.run_ok("export", self.path("some.h5"), "--csv", self.path("csv"))

    def test_resume_wants_the_same(self):
        self.measured(["gride"])
        result = support.run("run", self.path("some.h5.yaml"), "--resume", "--set", "observables.measure=[gride, cosine]")
        self.assertEqual(result.code, support.CONFIG, result)
        self.assertIn("measure: [gride]", result.err)

    def test_mistakes(self):
        for value, message in (("[grid]", "'grid' is unknown, expected cosine, gride, angle"), ("[]", "an empty list"),
                               ("[gride, gride]", "'gride' is listed twice"), ("[neighbors]", "'neighbors' is unknown"),
                               ("some", "'some', expected 'all' or some names")):
            result = support.run("validate", self.path("all.h5.yaml"), "--set", f"observables.measure={value}")
            self.assertEqual(result.code, support.CONFIG, result)
            self.assertIn(message, result.err)


class Numbers(support.Case):
    """Statistics and correlations of 24 prompts, some numbers of which are NaN."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        case = cls("study")
        case.setUp()
        cls.addClassCleanup(case.doCleanups)
        random = np.random.default_rng(2)
        hidden = clouds(prompts=24, levels=2, layers=5, tokens=70, width=10, seed=9)
        hidden[:8, :, 2:, 1] = hidden[:8, :, 2:, 0]
        hidden[5, 1, 2, 0, 0] = np.nan  # one bad cloud
        loss = random.uniform(2, 4, (24, 2))
        loss[7, 0] = np.nan
        loss[8:11, 1] = loss[8, 1]  # ties
        write_states(case.path("a.h5"), hidden, loss=loss, entropy=random.random((24, 2, 70)), logit_metric=np.diag(np.arange(1.0, 11)))
        cls.got = case.study(files("a.h5"), ranks=2, observables={"overlap_k": 6, "scales": [2, 4, 8, 16, 128]},
                             statistics={"bootstrap": BOOTSTRAP, "seed": SEED})
        cls.got = {name[len("model/"):]: values for name, values in cls.got.items()}

    def assert_close(self, got, expected, limit, relative=False, message=""):
        self.assertTrue((np.isnan(got) == np.isnan(expected)).all(), f"{message}: places of NaN")
        error = np.abs(got - expected)
        if relative:
            error = error / np.abs(expected)
        self.assertLessEqual(np.nanmax(error, initial=0), limit, message)

    def test_statistics(self):
        for name in REDUCED:
            values = self.got[name].astype(float)
            if name == "intrinsic_dimension/n_points":
                values[self.got["status"] == support.BAD] = np.nan
            moments = {m: self.got[f"statistics/{name}/{m}"] for m in MOMENTS}
            scale = max(1.0, np.nanmax(np.abs(values), initial=0))
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # slices of NaN only
                expected = {"n": np.isfinite(values).sum(axis=0), "mean": np.nanmean(values, axis=0), "std": np.nanstd(values, axis=0)}
                expected["q25"], expected["median"], expected["q75"] = np.nanpercentile(values, [25, 50, 75], axis=0)
            for moment in MOMENTS:
                self.assert_close(moments[moment].astype(float), expected[moment], 1e-12 * scale, message=f"{name}/{moment}")
        self.assertTrue((self.got["statistics/intrinsic_dimension/gride/value/n"][..., 4] == 0).all())
        self.assertEqual(self.got["statistics/intrinsic_dimension/gride/value/n"][1, 2, 0], 23)

    def series(self, group):
        """Place in the axes -> x, y."""
        value = {"id_loss": np.log(self.got["intrinsic_dimension/gride/value"]), "id_loss_raw": self.got["intrinsic_dimension/gride/value"],
                 "logit_id_entropy": np.log(self.got["logits/gride/value"]), "entropy_loss": self.got["logits/entropy"]}[group]
        other = self.got["logits/entropy" if group == "logit_id_entropy" else "loss"]
        for place in np.ndindex(value.shape[1:]):
            yield place, value[(slice(None),) + place], other[:, place[0]]

    def test_correlations(self):
        for group in GROUPS:
            got = {name: self.got[f"correlations/{group}/{name}"] for name in NUMBERS}
            checked = 0
            for place, x, y in self.series(group):
                keep = np.isfinite(x) & np.isfinite(y)
                n = keep.sum()
                self.assertEqual(got["n"][place], n)
                if n < 3:
                    for name in NUMBERS[:-1]:
                        self.assertTrue(np.isnan(got[name][place]), f"{group} {place} {name}")
                    continue
                r, p = stats.pearsonr(x[keep], y[keep])
                rho, rho_p = stats.spearmanr(x[keep], y[keep])
                z, half = np.arctanh(r), stats.norm.ppf(0.975) / np.sqrt(n - 3)
                for name, expected in (("pearson", r), ("spearman", rho), ("pearson_low", np.tanh(z - half)), ("pearson_high", np.tanh(z + half)),
                                       ("pearson_boot_std", self.bootstrap(x, y))):
                    self.assertLessEqual(abs(got[name][place] - expected), 1e-12, f"{group} {place} {name}")
                for name, expected in (("pearson_p", p), ("spearman_p", rho_p)):
                    self.assertLessEqual(abs(got[name][place] / expected - 1), 1e-10, f"{group} {place} {name}")
                self.assertTrue(np.isnan(got["partial"][place]) and np.isnan(got["partial_p"][place]))
                checked += 1
            self.assertGreater(checked, 1)
            for kind in ("pearson_p", "spearman_p"):
                self.check_adjusted(got[kind], got[kind + "_bh"], group)

    def bootstrap(self, x, y):
        """Draw i of resample b is prompt floor(w n / 2^64), w the i-th word of Philox4x64 at counter (0, 0, 0, b); complete
        pairs; population deviation over finite values."""
        n, r = len(x), []
        for b in range(BOOTSTRAP):
            words = np.random.Philox(key=[SEED, 0], counter=[0, 0, 0, b]).random_raw(n)
            draw = [int(w) * n >> 64 for w in words]
            u, v = x[draw], y[draw]
            keep = np.isfinite(u) & np.isfinite(v)
            u, v = u[keep] - u[keep].mean(), v[keep] - v[keep].mean()
            r.append((u * v).sum() / np.sqrt((u * u).sum() * (v * v).sum()))
        return np.nanstd(r)

    def check_adjusted(self, p, adjusted, group):
        """Benjamini-Hochberg over layers 1..L with a finite p, for each level and scale; layer 0 has none."""
        if "id_loss" in group:
            self.assertTrue(np.isnan(adjusted[:, 0]).all())
            families = [(p[s, 1:, c], adjusted[s, 1:, c]) for s in range(p.shape[0]) for c in range(p.shape[2])]
        else:  # a p-value without layers is a family of one
            families = [(np.array([a]), np.array([b])) for a, b in zip(p.ravel(), adjusted.ravel())]
        for family, found in families:
            kept = sorted((value, place) for place, value in enumerate(family) if np.isfinite(value))
            expected = np.full(len(family), np.nan)
            for rank in range(len(kept), 0, -1):
                value, place = kept[rank - 1]
                above = [kept[later - 1][0] * len(kept) / later for later in range(rank, len(kept) + 1)]
                expected[place] = min(1.0, min(above))
            self.assert_close(found, expected, 1e-12, message=group)

    def test_few_prompts(self):
        """n = 1: deviation 0; n < 3: no r; n = 3: no interval."""
        for prompts in (1, 2, 3):
            got = self.study(synthetic(prompts=prompts, layers=2, tokens=50), statistics={"bootstrap": 10})
            name = "model/statistics/intrinsic_dimension/gride/value/"
            self.assertTrue((got[name + "n"][..., 0] == prompts).all())
            if prompts == 1:
                self.assertTrue((got[name + "std"][..., 0] == 0).all())
                self.assertTrue((got[name + "median"][..., 0] == got["model/intrinsic_dimension/gride/value"][0, ..., 0]).all())
            self.assertEqual(np.isnan(got["model/correlations/id_loss/pearson"][..., 0]).all(), prompts < 3)
            self.assertTrue(np.isnan(got["model/correlations/id_loss/pearson_low"]).all())

    def test_a_constant_side(self):
        """r and p are NaN, never +-1."""
        write_states(self.path("a.h5"), clouds(5, 1, 2, 40), loss=np.full((5, 1), 0.1))
        got = self.study(files("a.h5"))
        for name in ("pearson", "pearson_p", "spearman", "spearman_p", "pearson_low", "pearson_boot_std", "pearson_p_bh"):
            self.assertTrue(np.isnan(got[f"model/correlations/id_loss/{name}"]).all(), name)
        self.assertTrue((got["model/correlations/id_loss/n"][..., 0] == 5).all())


support.main()
