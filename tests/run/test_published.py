"""The numbers that the paper's authors published for Llama-3-8B, from the data beside the checkout: 50 prompts at six
shuffle levels, and the cosine and loss of all 2244 prompts.

Oracle: the arrays, with NumPy's mean and standard deviation (1e-12) and SciPy's correlations (1e-9); then facts of them,
made with NumPy 1.24.2 and SciPy 1.10.1 straight from the arrays, to the digits that are written here.
Directory: $TG_SHARED_DATA, default ../shared/data beside the checkout. Skipped where that is absent."""
import os
import pathlib
import unittest

import numpy as np
import scipy.stats
import support
from support import DONE

FOLDER = pathlib.Path(os.environ.get("TG_SHARED_DATA", support.SOURCE.parent / "shared" / "data")) / "llama-3-8b"
PROMPTS, LEVELS, L = 50, 6, 32
OBSERVABLES = {"overlap_k": 31}  # the largest k that the arrays have


def load(name):
    """An array as prompt, level, ... float64."""
    values = np.load(FOLDER / f"{name}.npy").astype("f8")
    return values.reshape(PROMPTS, LEVELS, *values.shape[1:])


@unittest.skipUnless(FOLDER.is_dir(), f"{FOLDER} is absent; set TG_SHARED_DATA")
class Published(support.Case):
    @classmethod
    def setUpClass(cls):
        """One study of both data sets, which no test changes."""
        case = cls("run_both")
        case.setUp()
        cls.addClassCleanup(case.doCleanups)
        cls.got = case.run_both()

    def run_both(self):
        def source(folder, ids):
            return {"kind": "summaries", "directory": str(FOLDER / folder), "prompt_ids": str(FOLDER / ids)}
        return self.study({"name": "Llama", "source": source("", "subset_indices.npy")},
                          {"name": "structured", "source": source("structured", "filtered_indices.npy")}, ranks=2, observables=OBSERVABLES)

    def of(self, name, model="Llama"):
        return self.got[f"{model}/{name}"]

    def assert_close(self, got, wanted, bound, message=""):
        np.testing.assert_allclose(got, wanted, rtol=bound, atol=bound, err_msg=message)

    def assert_statistics(self, name, values, model="Llama", first=0):
        """Mean and deviation of every level, layer, scale and k; the layers before `first` have no number."""
        start = (slice(None), slice(first, None))
        self.assert_close(self.of(f"statistics/{name}/mean", model)[start], values.mean(0), 1e-12, name)
        self.assert_close(self.of(f"statistics/{name}/std", model)[start], values.std(0), 1e-12, name)
        self.assertTrue((self.of(f"statistics/{name}/n", model)[start] == len(values)).all(), name)
        self.assertTrue(np.isnan(self.of(f"{name}", model)[:, :, :first]).all(), name)

    def test_values(self):
        gride = load("gride")
        for a, name in enumerate(("value", "error", "radius")):
            np.testing.assert_array_equal(self.of(f"intrinsic_dimension/gride/{name}")[:, :, 1:], gride[:, :, :, a])
        np.testing.assert_array_equal(self.of("neighborhood_overlap/value")[:, :, 1:], load("mnos")[..., 1:])
        np.testing.assert_array_equal(self.of("reciprocity/value")[:, :, 1:], load("reciprocities")[..., 1:-1])
        np.testing.assert_array_equal(self.of("loss"), load("losses"))
        for a, name in enumerate(("mean", "std")):
            np.testing.assert_array_equal(self.of(f"cosine_similarity/{name}"), load("csn_sim")[:, :, a])
        for model in ("Llama", "structured"):
            self.assertTrue((self.of("status", model) == DONE).all() and (self.of("reason", model) == 0).all(), model)

    def test_means_and_deviations(self):
        gride, cosine = load("gride"), load("csn_sim")
        self.assert_statistics("intrinsic_dimension/gride/value", gride[:, :, :, 0], first=1)
        self.assert_statistics("intrinsic_dimension/gride/radius", gride[:, :, :, 2], first=1)
        self.assert_statistics("neighborhood_overlap/value", load("mnos")[..., 1:], first=1)
        self.assert_statistics("reciprocity/value", load("reciprocities")[..., 1:-1], first=1)
        self.assert_statistics("cosine_similarity/mean", cosine[:, :, 0])
        self.assert_statistics("cosine_similarity/std", cosine[:, :, 1])
        self.assert_close(self.of("statistics/loss/mean"), load("losses").mean(0), 1e-12)

    def test_correlations(self):
        values, loss = load("gride")[:, :, :, 0], load("losses")
        for group, ids in (("id_loss", np.log(values)), ("id_loss_raw", values)):
            got = {name: self.of(f"correlations/{group}/{name}") for name in ("pearson", "pearson_p", "spearman", "spearman_p", "n")}
            self.assertTrue((got["n"][:, 1:] == PROMPTS).all() and (got["n"][:, 0] == 0).all())
            self.assertTrue(np.isnan(got["pearson"][:, 0]).all(), "the embedding has no dimension")
            for level, layer, scale in np.ndindex(ids.shape[1:]):
                at, x, y = (level, layer + 1, scale), ids[:, level, layer, scale], loss[:, level]
                self.assert_close([got[n][at] for n in ("pearson", "pearson_p")], scipy.stats.pearsonr(x, y)[:2], 1e-9, f"{group} {at}")
                self.assert_close([got[n][at] for n in ("spearman", "spearman_p")], scipy.stats.spearmanr(x, y)[:2], 1e-9, f"{group} {at}")

    def test_all_prompts_unshuffled(self):
        """Cosine and loss of 2244 prompts; the 50 are among them with the same numbers."""
        cosine = np.load(FOLDER / "structured" / "csn_sim.npy").astype("f8")[:, None]
        self.assert_statistics("cosine_similarity/mean", cosine[:, :, 0], "structured")
        self.assert_statistics("cosine_similarity/std", cosine[:, :, 1], "structured")
        ids = self.of("prompt_id", "structured")
        self.assertEqual(len(ids), 2244)
        places = [ids.tolist().index(i) for i in self.of("prompt_id")]
        for name in ("loss", "cosine_similarity/mean", "cosine_similarity/std"):
            np.testing.assert_array_equal(self.of(name, "structured")[places, 0], self.of(name)[:, 0], name)
        self.assertTrue(np.isnan(self.of("intrinsic_dimension/gride/value", "structured")).all())

    def test_facts(self):
        self.assertEqual(self.of("prompt_id")[14], 3218)
        mean = self.of("statistics/intrinsic_dimension/gride/value/mean")[:, :, 0]
        for level, wanted in ((0, (3.0608, 9.2084, 9.5498, 7.2325, 6.4172)), (2, (3.1843, 9.8667, 10.2712, 7.7190, 6.9515)),
                              (5, (5.3480, 13.8862, 12.4707, 6.7678, 6.5055))):
            self.assert_close(mean[level, [1, 10, 13, 20, 32]], wanted, 2e-5, f"level {level}")
        self.assertEqual(np.nanargmax(mean, 1).tolist(), [13, 13, 13, 12, 11, 10], "the peak moves forward")
        r = self.of("correlations/id_loss/pearson")[0, :, 0]
        self.assertEqual(np.nanargmax(r), 7)
        self.assertAlmostEqual(r[7], 0.768329, 6)
        rho = self.of("correlations/id_loss/spearman")[0, :, 0]
        self.assertEqual(np.nanargmax(rho), 6)
        self.assertAlmostEqual(rho[6], 0.728788, 6)
        overlap = self.of("statistics/neighborhood_overlap/value/mean")[:, :, 1]  # k = 2
        lower = overlap[5] < overlap[0]
        self.assertEqual([l for l in range(7, 14) if lower[l]], [8, 9, 10, 11, 12], "pairs around the peak of level 5")
        self.assert_close(self.of("statistics/cosine_similarity/mean/mean")[5, [0, 16, 32]], [0.098847, 0.457621, 0.827525], 1e-6)
        self.assert_close(self.of("statistics/loss/mean"), [1.870634, 1.990459, 2.344804, 3.236910, 5.122555, 7.486216], 1e-6)
        self.assert_close(self.of("statistics/loss/mean", "structured"), [1.832559], 1e-6)


support.main()
