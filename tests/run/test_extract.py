"""Hidden states of a study written to a file (tokengeom extract) from sources that run no model.

Oracle: the table of exit statuses; the source's own arrays; a study of the copy against the study of the source, byte
by byte. test_llama.py has what is about models."""
import numpy as np
import support
from llama_case import OBSERVABLES, Case, read_file
from support import CONFIG, IO, clouds, files, synthetic, write_states


class Extract(Case):
    """Where extract writes, and what it refuses."""

    def refuse(self, code, *named, config=None, options=(), ranks=(None, 2), out="states.h5"):
        for r in ranks:
            study = config or self.config(synthetic())
            result = support.run("extract", study, "--out", self.path(out), *options, ranks=r)
            self.assertEqual((result.code, len(result.errors)), (code, 1), result)
            for name in named:
                self.assertIn(name, result.errors[0])
            self.assertFalse(self.path(out + ".part").exists() or self.path(out + ".lock").exists())

    def test_an_output_that_exists(self):
        self.path("states.h5").write_text("mine\n")
        self.refuse(IO, "states.h5: exists", "--force")
        self.assertEqual(self.path("states.h5").read_text(), "mine\n")
        self.run_ok("extract", self.config(synthetic()), "--out", self.path("states.h5"), "--force")
        self.assertEqual(read_file(self.path("states.h5"))["hidden_states"].shape, (4, 1, 4, 64, 16))

    def test_a_directory_that_is_missing(self):
        self.refuse(IO, "nowhere", out="nowhere/states.h5")

    def test_two_models(self):
        self.refuse(CONFIG, "one model", config=self.config(synthetic(), synthetic(seed=2)))

    def test_no_output_named(self):
        result = support.run("extract", self.config(synthetic()))
        self.assertEqual(result.code, support.USAGE, result)
        self.assertIn("--out", result.err)

    def test_an_unknown_type(self):
        result = support.run("extract", self.config(synthetic()), "--out", self.path("a.h5"), "--type", "float16")
        self.assertEqual(result.code, support.USAGE, result)

    def test_a_copy_of_a_file(self):
        """Everything that the source holds, for the prompts and levels that are selected."""
        hidden = clouds(prompts=3, levels=3, layers=4, tokens=40, width=24)
        random = np.random.default_rng(1)
        more = {"loss": random.random((3, 3)).astype("f4"), "entropy": random.random((3, 3, 40)).astype("f4"),
                "token_ids": random.integers(0, 99, (3, 3, 40)).astype("i4"), "n_tokens": np.array([40, 30, 40], "i4")}
        metric = np.eye(24) + 0.01
        write_states(self.path("a.h5"), hidden, ids=[7, -1, 9], levels=[0, 2, 5], logit_metric=metric, **more)
        expected = self.study(files("a.h5"), observables=OBSERVABLES)
        for kind, ranks in (("bfloat16", None), ("float32", 3)):  # the clouds are exact in bfloat16
            copy = self.extract(files("a.h5"), kind=kind, ranks=ranks)
            self.assert_same_but_deviation(self.study(files("states.h5"), observables=OBSERVABLES), expected, kind)
        self.assertTrue((copy["hidden_states"][0] == hidden[0]).all() and (copy["logit_metric"] == metric).all())
        self.assertTrue((copy["entropy"][2] == more["entropy"][2]).all() and (copy["loss"] == more["loss"]).all())
        self.assertTrue((copy["token_ids"][1, :, :30] == more["token_ids"][1, :, :30]).all())
        some = self.extract(files("a.h5"), prompts=[9, 7], shuffle={"levels": [5]})
        self.assertEqual((some["prompt_ids"].tolist(), some["shuffle_levels"].tolist()), ([7, 9], [5]))
        self.assertTrue((some["hidden_states"][:, 0] == hidden[[0, 2], 2]).all())

    def test_token_losses_are_copied(self):
        loss = np.random.default_rng(1).random((3, 2, 39)).astype("f4")
        write_states(self.path("a.h5"), clouds(), loss=loss.mean(axis=2), token_loss=loss)
        copy = self.extract(files("a.h5"))
        self.assertTrue("token_loss" in copy and (copy["token_loss"] == loss).all())

    def test_a_copy_of_synthetic_clouds(self):
        source = synthetic(prompts=5, shuffles=2)
        expected = self.study(source, observables=OBSERVABLES)
        copy = self.extract(source, ranks=2)
        self.assertNotIn("token_ids", copy)
        self.assert_same_bytes(self.study(files("states.h5"), observables=OBSERVABLES), expected)

    def test_a_copy_of_bad_numbers(self):
        """NaN and Inf stay what they are, also the NaN that rounding would carry over into the sign."""
        hidden = clouds(prompts=2, levels=1, layers=2, tokens=8, width=4)
        hidden[0, 0, 0, 0] = [np.nan, np.inf, -np.inf, 3e38]
        hidden.view(np.uint32)[0, 0, 0, 1] = [0x7FFFFFFF, 0xFFFFFFFF, 0x7F800001, 0xFFFF8000]
        write_states(self.path("a.h5"), hidden, kind="float32")
        with np.errstate(over="ignore"):
            got = self.extract(files("a.h5"), kind="bfloat16")["hidden_states"]
        self.assertTrue(np.isnan(got[0, 0, 0, 0, 0]) and np.isnan(got[0, 0, 0, 1]).all())
        self.assertEqual(got[0, 0, 0, 0, 1:3].tolist(), [np.inf, -np.inf])
        self.assertLess(abs(got[0, 0, 0, 0, 3] / 3e38 - 1), 2.0**-8)


support.main()
