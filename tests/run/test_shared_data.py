"""Stored activations of a real model, all 31 layers, several prompts and levels, from the data beside the checkout.

Oracle: its reference-*.h5, float64 with NumPy and DADApy 0.3.4; limits in support.py. Then invariances: the order
of prompts and levels in the file, a part of it, and float32 instead of bfloat16 change no number of a cloud.
Directory: $TG_SHARED_DATA, default ../shared/data beside the checkout. Skipped where that is absent."""
import os
import pathlib
import unittest

import h5py
import support

FOLDER = pathlib.Path(os.environ.get("TG_SHARED_DATA", support.SOURCE.parent / "shared" / "data")) / "smollm2"
PARTS = ("256", "1024")


def reference(part):
    with h5py.File(FOLDER / f"reference-{part}.h5") as file:
        return {name: dataset[...] for name, dataset in support.datasets(file).items()}


@unittest.skipUnless(FOLDER.is_dir(), f"{FOLDER} is absent; set TG_SHARED_DATA")
class SharedData(support.Case):
    def test_two_models_on_1_2_and_3_ranks(self):
        first = None
        for ranks in (1, 2, 3):
            got = self.study(*({"name": part, "source": support.files(FOLDER / f"states-{part}.h5")} for part in PARTS),
                             ranks=ranks, observables={"neighbors": True})
            for part in PARTS:
                expected = reference(part)
                angles = expected.pop("neighbor_angle/tokens")[:, :, [10]]
                self.assert_reference(got, expected, part, f"{part}, {ranks} ranks:")
                self.assertTrue(f"{part}/neighbors/index" in got)
                self.assertLessEqual(support.error_of("neighbor_angle/tokens", got[f"{part}/neighbor_angle/tokens"], angles), 1e-8)
            first = first or got
            self.assert_same_bytes(got, first, f"{ranks} ranks:")

    def copy(self, name, prompts, levels, layers, kind):
        """Part of states-256.h5 in another order."""
        with h5py.File(FOLDER / "states-256.h5") as file:
            cut = {n: file[n][...][prompts] for n in ("prompt_ids", "loss", "entropy", "token_ids")}
            return support.write_states(
                self.path(name), file["hidden_states"][...][prompts][:, levels][:, :, layers], kind, cut["prompt_ids"],
                file["shuffle_levels"][...][levels], loss=cut["loss"][:, levels], entropy=cut["entropy"][:, levels],
                token_ids=cut["token_ids"][:, levels], logit_metric=file["logit_metric"][...], chunks=(1, 1, 2, 100, 576))

    def compare_clouds(self, path, prompts, levels, layers, as_stored=True):
        """Every number of a cloud equals that of the whole file, to the bit."""
        observables = {"neighbors": True, "angle_layers": []}
        whole = self.study({"name": "m", "source": support.files(FOLDER / "states-256.h5")}, ranks=2, observables=observables)
        part = self.study({"name": "m", "source": support.files(path)}, ranks=2, observables=observables)
        last = layers[-1] == 30
        parts, expectations = {}, {}
        for name, values in whole.items():
            if name.startswith(("m/statistics", "m/correlations")) or values.ndim < 2 or (name.startswith("m/logits/gride") and not last):
                continue
            expected = values[prompts][:, levels]
            if "overlap" in name:
                expected = expected[:, :, layers[:-1]]
            elif expected.ndim > 2 and expected.shape[2] == 31:
                expected = expected[:, :, layers]
            parts[name], expectations[name] = part[name], expected
        self.assertGreater(len(parts), 15)
        same = self.assert_same_bytes if as_stored else self.assert_same_but_deviation
        same(parts, expectations)

    def test_another_order_of_prompts_and_levels(self):
        prompts, levels, layers = [1, 0], [2, 0, 1], list(range(31))
        self.compare_clouds(self.copy("a.h5", prompts, levels, layers, "bfloat16"), prompts, levels, layers)

    def test_a_part_as_float32(self):
        prompts, levels, layers = [1], [2, 0], list(range(20, 31))
        self.compare_clouds(self.copy("a.h5", prompts, levels, layers, "float32"), prompts, levels, layers, as_stored=False)

    def test_every_kernel(self):
        models = [{"name": part, "source": support.files(FOLDER / f"states-{part}.h5")} for part in PARTS]
        first = None
        for kernel in ("float32", "bfloat16", "split"):
            config = self.config(*models, name="try.yaml", output=str(self.path("try.h5")), compute={"kernel": kernel})
            if support.run("validate", config).code == support.CONFIG:
                self.assertNotEqual(kernel, "float32")
                continue # not on this CPU
            got = self.study(*models, ranks=2, observables={"neighbors": True}, compute={"kernel": kernel})
            first = first or got
            self.assert_same_but_deviation(got, first, kernel)

    def test_middle_layers_only(self):
        prompts, levels, layers = [0, 1], [1], list(range(7, 15))
        self.compare_clouds(self.copy("a.h5", prompts, levels, layers, "bfloat16"), prompts, levels, layers)


support.main()
