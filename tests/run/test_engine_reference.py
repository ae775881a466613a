"""A real model in the process against Hugging Face transformers: SmolLM2-135M-Instruct (Q4_1) on four texts of 256 tokens.

Oracle: tests/data/smollm2-engine.h5, float32 from the dequantized weights (tests/data/make_llama_reference.py), its states stored as bfloat16
(2^-9 a number, 0.003 at most here). By BLAS libllama multiplies dequantized weights with activations as they are; what is left are float16 keys
and values (2^-11 a number, 30 blocks), and nothing where weights: float32 makes them float32 too. tests/oracle/dequantize.c is another way to the
same weights.
The model is $TG_SMOLLM2; skipped without it."""
import json
import os
import pathlib
import subprocess
import unittest

import h5py
import numpy as np
import support

MODEL = pathlib.Path(os.environ.get("TG_SMOLLM2", "absent"))
DEQUANTIZE = os.environ.get("TG_DEQUANTIZE", "")


@unittest.skipUnless(MODEL.is_file(), "no model; set TG_SMOLLM2 to SmolLM2-135M-Instruct.Q4_1.gguf")
class EngineReference(support.Case):
    @classmethod
    def setUpClass(cls):
        with h5py.File(support.DATA / "smollm2-engine.h5") as file:
            cls.reference = {name: np.asarray(file[name][...]) for name in file}

    def compare(self, model, limits, last, loss, **keys):
        """Extracts the states of the reference's tokens; limits: relative Frobenius norm of layers 0, 1..L-1; last: of L."""
        reference, out = self.reference, self.path("states.h5")
        with open(self.path("prompts.jsonl"), "w") as file:
            for place, ids in enumerate(reference["token_ids"]):
                file.write(json.dumps({"id": place, "token_ids": ids.tolist()}) + "\n")
        source = {"kind": "llama", "model": str(model), "prompts": "prompts.jsonl", "tokens": 256, **keys}
        config = self.config(source, shuffle={"levels": [0]})
        self.run_ok("extract", config, "--out", out, "--type", "float32", ranks=2, timeout=300)
        with h5py.File(out) as file:
            states = file["hidden_states"][:, 0][:, :, reference["positions"]].astype(float)
            got = {name: file[name][:, 0] for name in ("loss", "token_loss", "entropy", "token_ids")}
            self.assertEqual(file["hidden_states"].attrs["last_layer_normalized"], 1)
        expected = reference["hidden_states"].astype(float)
        errors = np.sqrt(((states - expected) ** 2).sum((2, 3)) / (expected**2).sum((2, 3)))
        means = reference["entropy"].mean(1, dtype=float)
        loss_error = np.abs(got["loss"] / reference["loss"] - 1).max()
        entropy_error = np.abs(got["entropy"].mean(1, dtype=float) / means - 1).max()
        print(f"\n{model.name}: states {errors[:, 0].max():.4f}, {errors[:, 1:-1].max():.4f}, last {errors[:, -1].max():.4f}; "
              f"loss {loss_error:.4f}, entropy {entropy_error:.4f}", end=" ")
        self.assertTrue((got["token_ids"] == reference["token_ids"]).all())
        self.assertLess(errors[:, 0].max(), limits[0])
        self.assertLess(errors[:, 1:-1].max(), limits[1])
        self.assertLess(errors[:, -1].max(), last)
        self.assertLess(loss_error, loss)
        self.assertLess(entropy_error, loss)
        self.assertLess(np.abs(got["token_loss"].mean(1, dtype=float) - got["loss"]).max(), 1e-6)

    def test_quantized_weights(self):
        self.compare(MODEL, (0.003, 0.005), 0.005, 0.001)

    def test_weights_made_float32(self):
        folder = self.path("weights")
        folder.mkdir()
        self.compare(MODEL, (0.003, 0.005), 0.003, 1e-4, weights="float32", weights_directory=str(folder))

    @unittest.skipUnless(DEQUANTIZE, "set TG_DEQUANTIZE")
    def test_the_same_weights_as_float32(self):
        subprocess.run([DEQUANTIZE, MODEL, self.path("float32.gguf")], check=True, capture_output=True)
        self.compare(self.path("float32.gguf"), (0.003, 0.005), 0.005, 0.001)


if __name__ == "__main__":
    support.main()
