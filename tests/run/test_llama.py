"""Models that are run in the process (source kind llama), in studies and extractions.

Oracle: a plain float64 forward pass in NumPy over tiny random models (tiny_models.py); NumPy's Philox for the shuffle;
a study from memory against the same study from an extracted file, on any number of ranks, byte by byte."""
import json
import os
import shutil
import signal
import time
import unittest

import faults
import gguf_file
import h5py
import numpy as np
import support
from faults import inject, needs_strace
from llama_case import OBSERVABLES, SEED, TOKENS, Case, read_file, token_rows
from support import BAD_DATA, CONFIG, IO, STOPPED, clouds, files, write_states
from tiny_models import BLOCKS, WIDTH, Llama, NeoX, gemma, granite, loss_and_entropy, shuffled

SOFTWARE_GPUS = os.environ.get("TG_SOFTWARE_GPUS", "")  # oracle/software_gpus.c
U = 2.0**-24  # half a unit in the last place of float32


def relative(got, expected):
    return np.linalg.norm(got - expected) / np.linalg.norm(expected)


class States(Case):
    """Clouds, loss and entropy of one pass against NumPy.

    The engine keeps keys and values as float16 (2^-11 = 5e-4 relative), GPT-NeoX's GELU is a table of float16, all else
    is float32. Attention averages over these; three blocks add up: 2.5e-5 (Granite, whose residuals are scaled) to 8e-4
    was measured, 2e-3 is allowed. A cloud taken a block too early or late, or without its norm, is off by 0.3."""

    LIMIT = 2e-3

    def check(self, model, **keys):
        rows = token_rows(model.vocabulary)
        got = self.extract(self.source(model, rows, **keys))
        self.assertEqual(got["hidden_states"].shape, (3, 4, BLOCKS + 1, TOKENS, WIDTH))
        self.assertEqual(got["prompt_ids"].tolist(), [10, 11, 12])
        self.assertEqual(got["shuffle_levels"].tolist(), [0, 1, 2, 3])
        for p, row in enumerate(rows):
            for level in range(4):
                with self.subTest(model=model.architecture, prompt=p, level=level):
                    tokens = shuffled(row, SEED, 10 + p, level)
                    self.assertEqual(got["token_ids"][p, level].tolist(), tokens.tolist())
                    expected, logits = model.forward(tokens)
                    states = got["hidden_states"][p, level]
                    self.check_clouds(model, states.astype(float), expected)
                    if getattr(model, "embedding_scale", 1.0) == 1.0:  # else a product, rounded to float32
                        self.assertTrue((states[0] == model.tensors["token_embd.weight"][tokens]).all(), "not exact")
                    values = {name: got[name][p, level] for name in ("token_loss", "entropy", "loss")}
                    self.check_prediction(model, values, states[-1].astype(float), logits, tokens)
        metric = model.unembedding.T @ model.unembedding
        self.assertLess(np.abs(got["logit_metric"] - metric).max(), 1e-12 * np.abs(metric).max())
        with h5py.File(self.path("states.h5")) as file:
            self.assertEqual(file["hidden_states"].attrs["last_layer_normalized"], 1)
            self.assertEqual(bytes(file.attrs["model"]), b"model")

    def check_clouds(self, model, got, expected):
        for l, (cloud, wanted) in enumerate(zip(got, expected)):
            self.assertLess(relative(cloud, wanted), self.LIMIT if l > 0 else U, f"layer {l}")
            for other in range(BLOCKS + 1):
                if other != l:
                    self.assertGreater(relative(cloud, expected[other]), 0.1, f"layers {l} and {other} look the same")
        self.assertGreater(relative(got[-1], model.before_norm), 0.1, "the norm cannot be seen")

    def check_prediction(self, model, got, last, logits, tokens):
        """Tightly from the last states as given: a logit is a float32 sum of WIDTH products, off by at most
        d = (WIDTH + 2) u sum |w h|; the loss then by 2 d, the entropy by 2 H d (its gradient is -p (ln p + H)); the
        exponentials add 2e-7 each (test_next_token.c), the terms of a lane u each. Loosely from NumPy's own pass: the
        logits have the relative error of the states."""
        scale = getattr(model, "scales", {}).get("logit", 1.0)
        mine = last @ model.unembedding.T / scale
        size = np.abs(last) @ np.abs(model.unembedding.T) / scale
        d = (WIDTH + 2) * U * size.max(axis=1)
        loss, entropy = loss_and_entropy(mine, tokens)
        sums = 2e-7 + (model.vocabulary / 16 + 15) * U
        wide = mine.max(axis=1) - mine.min(axis=1)  # bounds |mean y|
        self.assertTrue((np.abs(got["token_loss"] - loss) <= 2 * d[:-1] + sums + U * (loss + wide[:-1])).all())
        bound = 2 * (entropy + 0.1) * d + (sums + U * wide) * (1 + 2 * wide)
        self.assertTrue((np.abs(got["entropy"] - entropy) <= bound).all())
        self.assertLess(np.abs(got["loss"] - got["token_loss"].astype(float).mean()), 1e-14 * got["loss"])
        loss, entropy = loss_and_entropy(logits, tokens)
        self.assertLess(np.abs(got["loss"] - loss.mean()), self.LIMIT * np.abs(logits).max())
        self.assertLess(np.abs(got["entropy"].mean() - entropy.mean()), self.LIMIT * np.abs(logits).max())

    def test_llama(self):
        """A vocabulary that is larger than a tile of logits (1024)."""
        self.check(Llama(vocabulary=1100))

    def test_llama_tied_float16(self):
        """No unembedding of its own; weights as float16."""
        self.check(Llama(tied=True, kind="f2", seed=5))

    def test_gptneox(self):
        self.check(NeoX())

    def test_gemma(self):
        """Layer 0 is the scaled embedding, not the one that is looked up."""
        self.check(gemma())

    def test_granite(self):
        """Its logits are W h / 4: the engine's own are to be taken."""
        self.check(granite())

    def test_granite_whose_logits_are_nearly_the_product(self):
        """W h / 1.02 differs by no more than rounded products may: the slope tells."""
        self.check(granite(logit=1.02))

    def test_soft_cap_of_few_tokens(self):
        """Gemma 2: logits are 30 tanh(W h / 30). Those of one word alone are large, and it stands behind the first tokens of a prompt.
        Oracle: the loss from the last states as they are given."""
        random, cap = np.random.default_rng(6), 30.0
        shapes = {"attn_norm": (64,), "attn_q": (64, 64), "attn_k": (64, 64), "attn_v": (64, 64), "attn_output": (64, 64),
                  "post_attention_norm": (64,), "ffn_norm": (64,), "ffn_gate": (96, 64), "ffn_up": (96, 64), "ffn_down": (64, 96),
                  "post_ffw_norm": (64,)}
        tensors = {"token_embd.weight": random.normal(size=(200, 64)).astype("f4") / 20, "output_norm.weight": np.ones(64, "f4")}
        tensors["token_embd.weight"][:, 5] = 0
        tensors["token_embd.weight"][7, 5] = 100
        for l in range(2):
            tensors.update({f"blk.{l}.{name}.weight": (random.normal(size=shape) / 1000 * (len(shape) > 1) + (len(shape) == 1) / 10).astype("f4")
                            for name, shape in shapes.items()})
        keys = {"general.architecture": "gemma2", "general.name": "tiny", "tokenizer.ggml.model": "no_vocab",
                **{f"gemma2.{key}": value for key, value in {
                    "vocab_size": 200, "block_count": 2, "context_length": 64, "embedding_length": 64, "feed_forward_length": 96,
                    "attention.head_count": 4, "attention.head_count_kv": 4, "attention.layer_norm_rms_epsilon": 1e-5,
                    "attention.key_length": 16, "attention.value_length": 16, "rope.freq_base": 10000.0,
                    "attention.sliding_window": 64, "final_logit_softcapping": cap}.items()}}
        gguf_file.write(self.path("tiny.gguf"), keys, tensors)
        ids = random.permutation(np.setdiff1d(np.arange(200), 7))[:64]
        ids[20::8] = 7
        self.write_prompts([ids.tolist()], name="tiny.jsonl")
        got = self.extract({"kind": "llama", "model": "tiny.gguf", "prompts": "tiny.jsonl", "tokens": 64}, shuffle={"levels": [0]})
        product = got["hidden_states"][0, 0, -1].astype(float) @ tensors["token_embd.weight"].astype(float).T
        self.assertGreater(np.abs(product).max(), cap)
        self.assertLess(np.abs(product[:8]).max(), cap / 5)
        loss, entropy = loss_and_entropy(cap * np.tanh(product / cap), ids)
        self.assertLess(np.abs(got["token_loss"][0, 0] - loss).max(), 1e-4)
        self.assertLess(np.abs(got["entropy"][0, 0] - entropy).max(), 1e-4)

    def test_blocks_that_are_not_run(self):
        """A head that predicts two tokens ahead counts as a block in the header (GLM-4.5): the clouds are those without it."""
        random = np.random.default_rng(5)

        def block(l, *more):
            shapes = {"attn_norm": (64,), "attn_q": (64, 64), "attn_k": (64, 64), "attn_v": (64, 64), "attn_output": (64, 64),
                      "post_attention_norm": (64,), "ffn_norm": (64,), "ffn_up": (192, 64), "ffn_down": (64, 96), "post_ffw_norm": (64,)}
            return {f"blk.{l}.{name}.weight": (random.normal(size=shape) / 8 + (len(shape) == 1)).astype("f4")
                    for name, shape in {**shapes, **dict(more)}.items()}

        tensors = {"token_embd.weight": random.normal(size=(200, 64)).astype("f4"), "output_norm.weight": np.ones(64, "f4"),
                   "output.weight": random.normal(size=(200, 64)).astype("f4"), **block(0), **block(1)}
        ahead = block(2, ("nextn.eh_proj", (64, 128)), ("nextn.enorm", (64,)), ("nextn.hnorm", (64,)))
        keys = {"general.architecture": "glm4", "general.name": "tiny", "tokenizer.ggml.model": "no_vocab",
                **{f"glm4.{key}": value for key, value in {
                    "vocab_size": 200, "block_count": 2, "context_length": 64, "embedding_length": 64, "feed_forward_length": 96,
                    "attention.head_count": 4, "attention.head_count_kv": 4, "attention.layer_norm_rms_epsilon": 1e-5,
                    "rope.dimension_count": 16, "rope.freq_base": 10000.0}.items()}}
        got = []
        for name, more, others in (("plain", {}, {}), ("ahead", {"glm4.block_count": 3, "glm4.nextn_predict_layers": 1}, ahead)):
            gguf_file.write(self.path(f"{name}.gguf"), {**keys, **more}, {**tensors, **others})
            rows = [{"id": 1, "token_ids": random.permutation(200)[:64].tolist()}] if not got else None
            if rows:
                self.path("tiny.jsonl").write_text(json.dumps(rows[0]) + "\n")
            got.append(self.study({"kind": "llama", "model": f"{name}.gguf", "prompts": "tiny.jsonl", "tokens": 64}, shuffle={"levels": [0]}))
        self.assertEqual(got[0]["model/layer"].tolist(), [0, 1, 2])
        self.assert_same_bytes(got[1], got[0])

    def test_threads(self):
        self.check(Llama(seed=6), threads=2)

    def test_bfloat16_is_rounded_to_nearest_even(self):
        """Oracle: NumPy on the float32 states: half of the last kept place is added, one bit less where it is even."""
        source = self.source(Llama())
        exact = self.extract(source)["hidden_states"].view(np.uint32).astype(np.uint64)
        rounded = ((exact + 0x7FFF + (exact >> 16 & 1)) >> 16).astype(np.uint16)
        self.extract(source, out="short.h5", kind="bfloat16")
        with h5py.File(self.path("short.h5")) as file:
            dataset = file["hidden_states"]
            self.assertEqual(dataset.id.get_type().get_size(), 2)
            raw = np.empty(dataset.shape, np.uint16)
            dataset.id.read(h5py.h5s.ALL, h5py.h5s.ALL, raw, mtype=dataset.id.get_type())
            self.assertTrue((raw == rounded).all())
            self.assertTrue((dataset[...].view(np.uint32) == rounded.astype(np.uint32) << 16).all())


class Same(Case):
    """Different ways to the same bytes."""

    def test_memory_file_and_ranks(self):
        for model in (Llama(vocabulary=1100), NeoX(), granite()):
            with self.subTest(model=model.architecture):
                source = self.source(model)
                states = self.extract(source)
                expected = self.study(files("states.h5"), observables=OBSERVABLES)
                for ranks in (None, 2, 3) if model.architecture == "llama" else (2,):
                    got = self.study(source, observables=OBSERVABLES, ranks=ranks)
                    self.assert_same_bytes(got, expected, f"{ranks} ranks:")
                    self.assert_same_files(self.extract(source, out="again.h5", ranks=ranks), states, f"{ranks} ranks:")
                self.assertTrue(np.isfinite(expected["model/logits/gride/value"][..., 0]).all())
                self.assertEqual(expected["model/token_ids"].tolist(), states["token_ids"].tolist())
                self.assertTrue((expected["model/status"] > 0).all())

    def test_verify(self):
        """All clouds measured again from forward passes of their own, each begun at the layer before."""
        self.study(self.source(Llama(vocabulary=1100)), observables=OBSERVABLES, ranks=2)
        result = self.run_ok("verify", self.path("results.h5"), "--sample", "1000")
        self.assertIn(f"{3 * 4 * (BLOCKS + 1)} clouds measured again from the inputs in plain float64: good", result.out)

    def test_levels(self):
        """A list of levels gives what `all` gives there."""
        source = self.source(Llama())
        whole = self.study(source)
        some = self.study(source, shuffle={"levels": [3, 0]})
        self.assertEqual(some["model/shuffle"].tolist(), [0, 3])
        for name in ("intrinsic_dimension/gride/value", "neighborhood_overlap/value", "loss", "logits/entropy",
                     "token_ids"):
            self.assertTrue(some[f"model/{name}"].tobytes() == whole[f"model/{name}"][:, [0, 3]].tobytes(), name)
        other = self.study(source, shuffle={"levels": [0, 3], "seed": 5})
        self.assertTrue((other["model/token_ids"][:, 0] == some["model/token_ids"][:, 0]).all())
        row = token_rows(200)[1]
        self.assertEqual(other["model/token_ids"][1, 1].tolist(), shuffled(row, 5, 11, 3).tolist())

    def test_prompts_by_id(self):
        source = self.source(Llama())
        whole = self.study(source)
        some = self.study(source, prompts=[12, 10])
        self.assertEqual(some["model/prompt_id"].tolist(), [10, 12])
        for name in ("intrinsic_dimension/gride/value", "loss", "token_ids"):
            self.assertTrue(some[f"model/{name}"].tobytes() == whole[f"model/{name}"][[0, 2]].tobytes(), name)
        got = self.extract(source, prompts=[11])
        self.assertEqual(got["prompt_ids"].tolist(), [11])
        self.assertEqual(got["token_ids"][0].tolist(), whole["model/token_ids"][1].tolist())

    def test_extreme_ids(self):
        """Ids are the second word of the shuffle's key, as they stand in two's complement."""
        model, ids = Llama(), [-1, 2**63 - 1, -(2**63)]
        rows = token_rows(model.vocabulary)
        source = self.source(model, rows)
        self.write_prompts(rows, ids, name="tiny.jsonl")
        got = self.extract(source, shuffle={"levels": [2]})
        self.assertEqual(got["prompt_ids"].tolist(), ids)
        for p in range(3):
            self.assertEqual(got["token_ids"][p, 0].tolist(), shuffled(rows[p], SEED, ids[p], 2).tolist())

    @needs_strace
    def test_prompts_are_read_once_a_node(self):
        """By the first of its ranks; the others have the same tokens. Oracle: the system calls, and a run on one rank."""
        source = self.source(Llama())
        alone = self.study(source)
        for rank, reads in ((0, True), (1, False), (2, False)):
            log = self.path(f"calls-{rank}")
            wrap = inject("openat", on=[self.path("tiny.jsonl")], rank=rank, log=log)
            result = support.run("run", self.path("results.h5.yaml"), "--force", ranks=3, wrap=wrap)
            self.assertEqual(result.code, support.OK, result)
            self.assertEqual("tiny.jsonl" in log.read_text(), reads, log.read_text())
            self.assert_same_bytes(support.load_models(self.path("results.h5")), alone)

    def test_split_model(self):
        model = Llama()
        whole = self.extract(self.source(model))
        first, *others = model.write_split(self.path("parts"), 3)
        source = self.source(first.name, prompts="tiny.jsonl")
        self.assert_same_files(self.extract(source, out="parts.h5"), whole, but=("origin",))
        result = support.run("run", self.config(self.source(others[0].name, prompts="tiny.jsonl")))
        self.assertEqual(result.code, BAD_DATA, result)
        self.assertIn("name the first one (...-00001-of-00003.gguf)", result.errors[0])
        self.study(source)
        named = support.run("validate", self.config(source)).out
        for part in (first, *others):
            self.assertIn(f"{part.name}: {part.stat().st_size} bytes", named)
        os.utime(others[0], (1, 1))  # as another file of the same size has it
        result = support.run("run", self.config(source), "--resume")
        self.assertEqual(result.code, support.CONFIG, result)
        self.assertIn("the inputs changed", result.errors[0])
        self.assertIn("parts-00002-of-00003.gguf", result.errors[0])
        others[1].unlink()
        result = support.run("run", self.config(source), ranks=2)
        self.assertEqual((result.code, len(result.errors)), (support.NO_INPUT, 1), result)
        self.assertIn("parts-00003-of-00003.gguf", result.errors[0])

    def test_several_models_and_sources(self):
        first, second = self.source(Llama()), self.source(NeoX(), name="neox")
        write_states(self.path("a.h5"), clouds(), loss=np.ones((3, 2)))
        alone = [self.study(first), self.study(files("a.h5")), self.study(second)]
        got = self.study(first, files("a.h5"), second, ranks=2)
        for name, expected in zip(("model", "model1", "model2"), alone):
            mine = {path.replace(name + "/", "model/", 1): v for path, v in got.items() if path.startswith(name + "/")}
            self.assert_same_bytes(mine, expected, name)

    def test_short_prompts(self):
        """Kept ones are cut to whole blocks of the largest level; their passes are those of the shorter prompt."""
        model = Llama()
        rows = token_rows(model.vocabulary, (64, 37, 16, 3, 70, 15))
        source = self.source(model, rows, short_prompts="keep")
        got = self.extract(source, shuffle={"levels": [0, 1]})
        self.assertEqual(got["prompt_ids"].tolist(), [10, 11, 12, 14, 15])
        self.assertEqual(got["n_tokens"].tolist(), [64, 36, 16, 64, 12])
        for p, row in enumerate((rows[0], rows[1], rows[2], rows[4], rows[5])):
            n = got["n_tokens"][p]
            for s in range(2):
                tokens = shuffled(row[:n], SEED, got["prompt_ids"][p], s)
                self.assertEqual(got["token_ids"][p, s].tolist(), tokens.tolist() + [-1] * (64 - n))
                expected, _ = model.forward(tokens)
                for l in range(BLOCKS + 1):
                    self.assertLess(relative(got["hidden_states"][p, s, l, :n], expected[l]), States.LIMIT)
                self.assertTrue((got["hidden_states"][p, s, :, n:] == 0).all())
                self.assertTrue((np.isnan(got["entropy"][p, s]) == (np.arange(64) >= n)).all())
                self.assertTrue(np.isnan(got["token_loss"][p, s, n - 1:]).all())
                self.assertLess(abs(got["loss"][p, s] - got["token_loss"][p, s, :n - 1].mean(dtype=float)), 1e-14 * 20)
        expected = self.study(files("states.h5"), observables=OBSERVABLES)
        for ranks in (None, 3):
            got = self.study(source, observables=OBSERVABLES, shuffle={"levels": [0, 1]}, ranks=ranks)
            self.assert_same_bytes(got, expected, f"{ranks} ranks:")

    def test_short_prompts_are_left_out(self):
        model = Llama()
        rows = token_rows(model.vocabulary, (64, 37, 63, 70))
        config = self.config(self.source(model, rows))
        result = self.run_ok("run", config, ranks=2)
        self.assertEqual(result.err.count("2 of 4 prompts left out, with too few tokens"), 1, result)
        got = support.load_models(self.path("results.h5"))
        self.assertEqual(got["model/prompt_id"].tolist(), [10, 13])
        self.assertEqual(got["model/token_ids"][1, 0].tolist(), rows[3][:64])
        result = self.run_ok("extract", config, "--out", self.path("states.h5"))
        self.assertIn("2 of 4 prompts left out", result.err)
        result = self.run_ok("run", config, "--set", "prompts=[10]", "--force")  # counted over all, whatever is chosen
        self.assertIn("2 of 4 prompts left out", result.err)
        result = support.run("run", config, "--set", "prompts=[10, 11]", "--force")
        self.assertEqual(result.code, CONFIG, result)
        self.assertIn("id 11 is not among the 2 prompts of model that have enough tokens; 2 have too few", result.errors[0])
        for keys, ranks in (({}, 2), ({"short_prompts": "keep"}, None)):
            config = self.config(self.source(model, token_rows(200, (5, 63)), **keys))
            result = support.run("run", config, "--force", ranks=ranks)
            self.assertEqual((result.code, len(result.errors)), (BAD_DATA, 1), result)
            self.assertIn("tiny.jsonl: no prompt has 64 tokens, the longest of 2 has 63", result.errors[0])

    def test_converted_weights(self):
        """Oracle: the model whose matrices were rounded so in its file. Made once, for all ranks; made again where the file is damaged, cut, of
        another model, or without its line."""
        model = Llama(vocabulary=320)
        source = self.source(model)
        rounded = Llama(vocabulary=320)
        bits = {name: t.view("u4").astype("u8") for name, t in rounded.tensors.items()}
        rounded.tensors = {name: ((b + 0x7FFF + (b >> 16 & 1)) >> 16 << 16).astype("u4").view("f4") if b.ndim > 1 else rounded.tensors[name]
                           for name, b in bits.items()}
        rounded.write(self.path("rounded.gguf"))
        made = self.path("tiny.bfloat16.gguf")
        expected = self.extract({**source, "model": "rounded.gguf"}, out="rounded.h5")
        got = self.extract({**source, "weights": "bfloat16"}, ranks=2)
        self.assertTrue(made.is_file())
        for l in range(BLOCKS + 1):  # products of bfloat16 numbers round the other factor too, 2^-9
            self.assertLess(relative(got["hidden_states"][..., l, :, :], expected["hidden_states"][..., l, :, :]), 0.01)
        self.assertEqual(relative(got["hidden_states"][..., 0, :, :], expected["hidden_states"][..., 0, :, :]), 0)
        exact = self.extract({**source, "weights": "float32"}, out="float32.h5")  # with keys and values in float32 too
        for p, row in enumerate(exact["token_ids"][:, 0]):
            for got_cloud, wanted in zip(exact["hidden_states"][p, 0], model.forward(row)[0]):
                self.assertLess(relative(got_cloud, wanted), 64 * U)
        good, line = made.read_bytes(), self.path("tiny.bfloat16.gguf.origin")
        config = self.config({**source, "weights": "bfloat16"})
        result = self.run_ok("run", config)
        self.assertNotIn("weights become", result.err)
        results = support.load_models(self.path("results.h5"))
        self.run_ok("verify", self.path("results.h5"))
        spoils = {"damaged": lambda: made.write_bytes(good[:-5] + b"?" + good[-4:]), "cut": lambda: made.write_bytes(good[:-100]),
                  "gone": made.unlink, "without its line": line.unlink, "another's line": lambda: line.write_text("0123456789abcdef x\n"),
                  "interrupted": lambda: (line.unlink(), made.with_suffix(".gguf.part").write_bytes(b"x" * 10**6))}
        for ranks, (name, spoil) in zip((1, 2, 1, 3, 1, 2), spoils.items()):
            with self.subTest(name):
                spoil()
                result = self.run_ok("run", config, "--force", ranks=ranks)
                self.assertEqual(result.err.count("tiny.gguf: weights become bfloat16, as "), 1, result)
                self.assertTrue(made.read_bytes() == good)
                self.assertEqual(list(self.directory.glob("*.part")), [])
                self.assert_same_bytes(support.load_models(self.path("results.h5")), results)
        folder = self.path("folder")
        folder.mkdir()
        self.run_ok("run", config, "--force", "--set", "models.0.source.weights_directory=folder")
        self.assertTrue((folder / "tiny.bfloat16.gguf").read_bytes() == good)
        result = support.run("run", config, "--force", "--set", "models.0.source.weights_directory=/proc/self", ranks=2)
        self.assertEqual((result.code, len(result.errors)), (IO, 1), result)
        self.assertIn("/proc/self/tiny.bfloat16.gguf.part: cannot be made", result.errors[0])
        result = support.run("run", config, "--resume", "--set", "models.0.source.weights=file")
        self.assertEqual(result.code, CONFIG, result)
        self.assertIn("weights: bfloat16", result.errors[0])

    def test_a_gpu_that_is_not_there(self):
        for ranks in (None, 2):
            result = support.run("run", self.config(self.source(Llama(), gpu_layers=99)), ranks=ranks)
            self.assertEqual((result.code, len(result.errors)), (CONFIG, 1), result)
            self.assertIn("tiny.gguf: gpu_layers is 99, but libllama has no GPU here", result.errors[0])
            self.assert_nothing_left()

    @unittest.skipUnless(SOFTWARE_GPUS, "libllama has no RPC back end (-DGGML_RPC=ON), whose devices stand for GPUs")
    def test_software_gpus(self):
        """Two devices: ranks take one each by their numbers, whole; the clouds are those of the CPU but for the order of sums."""
        config, wrap = self.config(self.source(Llama(), gpu_layers=99)), ("env", f"LD_PRELOAD={SOFTWARE_GPUS}", "SOFTWARE_GPUS=2")
        self.run_ok("run", config, "--set", "models.0.source.gpu_layers=0")
        expected = support.load_models(self.path("results.h5"))["model/norms/mean"]
        for ranks, devices in ((None, "auto"), (2, "auto"), (2, "[1]")):
            with self.subTest(ranks=ranks, devices=devices):
                result = support.run("run", config, "--force", "--set", f"models.0.source.devices={devices}", ranks=ranks, wrap=wrap)
                self.assertEqual(result.code, 0, result)
                self.assertEqual("devices: 2 ranks of a node share 1 GPU" in result.err, devices == "[1]", result.err)
                got = support.load_models(self.path("results.h5"))["model/norms/mean"]
                self.assertLess(np.abs(got / expected - 1).max(), 2e-3)  # float16 keys and values, as in States
                with h5py.File(self.path("results.h5")) as file:
                    self.assertIn("GPUs: 0 (RPC0), 1 (RPC1)", str(file["provenance/engine"][()]))
        self.assertIn("GPUs of this node: 0 (RPC0), 1 (RPC1)", support.run("run", config, "--dry-run", wrap=wrap).out)
        result = support.run("run", config, "--force", "--set", "models.0.source.devices=[0, 2]", wrap=wrap)
        self.assertEqual(result.code, CONFIG, result)
        self.assertIn("tiny.gguf: devices: there is no GPU 2 here, but 0 (RPC0), 1 (RPC1)", result.err)

    def test_prompts_of_the_same_size_and_time(self):
        """Other prompts in a file of the same name, size and time are other prompts."""
        model = Llama()
        source, path = self.source(model), self.path("tiny.jsonl")
        config = self.config(source)
        self.run_ok("run", config)
        at, text = path.stat(), path.read_text()
        self.run_ok("run", config, "--resume")
        path.write_text(text.replace("[145,", "[154,", 1))
        os.utime(path, ns=(at.st_atime_ns, at.st_mtime_ns))
        self.assertTrue(path.stat().st_size == at.st_size and path.read_text() != text)
        for ranks in (None, 2):
            result = support.run("run", config, "--resume", ranks=ranks)
            self.assertEqual(result.code, CONFIG, result)
            self.assertRegex(result.errors[0], r"the inputs changed: .*was '3 prompts of up to 64 tokens \(\w{16}\), .*', is now '3 prompts")

    def test_labels_of_prompts(self):
        """The Pile's own records: places are ids, pile_set_name is a label; in results, in extracted states, and from there in results."""
        model = Llama()
        source = self.source(model)
        rows = token_rows(model.vocabulary, (64, 37, 64, 64))
        labels = ["Pile-CC", "Github", "\u4e2d", None]
        records = [{"token_ids": row, "meta": {"pile_set_name": label}} if label else {"token_ids": row} for row, label in zip(rows, labels)]
        self.path("tiny.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
        expected = self.study(source)
        self.assertEqual(expected["model/prompt_id"].tolist(), [0, 2, 3])
        self.assertEqual([label.decode() for label in expected["model/prompt_group"]], ["Pile-CC", "\u4e2d", ""])
        self.assert_same_bytes(self.study(source, ranks=3), expected, "3 ranks:")
        self.extract(source, ranks=2)
        self.assert_same_bytes(self.study(files("states.h5"), ranks=2), expected, "from a file:")
        got = self.study(source, prompts=[2, 3])
        self.assertEqual([label.decode() for label in got["model/prompt_group"]], ["\u4e2d", ""])
        with h5py.File(self.path("results.h5")) as file:
            self.assertEqual(file["models/model/prompt_group"].dims[0][0], file["models/model/prompt_id"])
        self.path("tiny.jsonl").write_text("".join(json.dumps({"token_ids": row}) + "\n" for row in rows))
        self.assertNotIn("model/prompt_group", self.study(source))

    def test_prompts_that_all_models_can_use(self):
        """Three models whose tokenizers make more or fewer tokens of the prompts; a stored one in another order."""
        rows = token_rows(200, (64, 40, 64, 20, 64, 64))
        long, short = self.source(Llama(), rows, name="long"), self.source(Llama(seed=2), rows, name="short", tokens=32)
        self.extract(long)
        with h5py.File(self.path("states.h5"), "a") as file:  # ids 10, 12, 14, 15
            file["prompt_ids"][...] = [15, 14, 10, 11]
        for ranks in (None, 3):
            config = self.config(long, short, files("states.h5"), prompts="common", shuffle={"levels": [0]})
            result = self.run_ok("run", config, "--force", ranks=ranks)
            for line in ("2 of 6 prompts left out, with too few tokens", "1 of 4 prompts left out, which another model does not have",
                         "2 of 5 prompts left out, which another model does not have"):
                self.assertIn(line, result.err)
            got = support.load_models(self.path("results.h5"))
            self.assertEqual([got[f"model{m}/prompt_id"].tolist() for m in ("", 1, 2)], [[10, 14, 15], [10, 14, 15], [15, 14, 10]])
            ids = [got[f"model{m}/prompt_id"].tolist() for m in ("", 1)]
            for m, source in enumerate((long, short)):
                alone = self.study(source, prompts=ids[m], shuffle={"levels": [0]}, output="alone.h5")
                name = ("model", "model1")[m]
                mine = {path.replace(name + "/", "model/", 1): v for path, v in got.items() if path.startswith(name + "/")}
                self.assert_same_bytes(mine, alone, name)
        self.run_ok("run", config, "--resume")
        self.assertIn("# model1: 2 of 5 prompts left out, which another", self.run_ok("validate", config, "--set", "output=other.h5").out)
        with h5py.File(self.path("states.h5"), "a") as file:
            file["prompt_ids"][...] = [1, 2, 3, 4]
        result = support.run("run", config, "--force", ranks=2)
        self.assertEqual((result.code, len(result.errors)), (BAD_DATA, 1), result)
        self.assertIn("prompts: common: no id is among the prompts of every model", result.errors[0])

    def test_dry_run(self):
        model = Llama()
        result = self.run_ok("run", self.config(self.source(model)), "--dry-run", "--ranks", "2")
        self.assertRegex(result.out, r"a forward pass takes [\d.]+ s")
        megabytes = self.path("tiny.gguf").stat().st_size / 1e6
        self.assertIn(f"{megabytes:.0f} MB of weights or prompts that the ranks of a node share", result.out)
        self.assert_nothing_left()

    def test_times_of_the_forward_pass(self):
        result = self.run_ok("run", self.config(self.source(Llama())), ranks=2)
        self.assertRegex(result.err, r"forward pass [\d.]+ s, loss and entropy [\d.]+ s, geometry [\d.]+ s")


class Interrupted(Case):
    """Runs and extractions that end early go on to the bytes of undisturbed ones. A large vocabulary gives the time to
    interfere: a prompt and level takes several milliseconds, most of it for the loss."""

    PROMPTS = 160

    def setUp(self):
        super().setUp()
        self.model = Llama(vocabulary=16000)
        self.llama = self.source(self.model, token_rows(self.model.vocabulary, (TOKENS,) * self.PROMPTS))
        self.out = self.path("states.h5")
        self.part = self.path("states.h5.part")

    def done(self, path, name):
        with h5py.File(path, "r", locking=False) as file:  # a lock would stop whoever makes the file
            return (file[name][...] > 0).sum()

    def wait(self, process, path, name, at_least):
        """Until some are done while the process goes on."""
        end = time.monotonic() + support.PATIENCE * 30
        while time.monotonic() < end:
            self.assertIsNone(process.poll(), "it has ended already")
            try:
                if self.done(path, name) >= at_least:
                    return
            except (OSError, KeyError, RuntimeError):  # not there yet
                pass
            time.sleep(0.005)
        self.fail("nothing is done after 30 s")

    def interrupt(self, process, number, path, name, at_least=1):
        """Ends a process by SIGUSR1 or SIGKILL to all its ranks; returns its end."""
        try:
            self.wait(process, path, name, at_least)
            if number == signal.SIGKILL:
                support.kill_all(process)
            else:  # to the ranks themselves: mpirun takes its time, and they may be through by then
                faults.ask_to_stop(support.ranks_of(process), lambda: None)
            out, err = process.communicate(timeout=support.PATIENCE * 60)
        finally:
            if process.poll() is None:
                support.kill_all(process)
        return support.Result(process.args, process.returncode, out, err)

    def test_runs(self):
        sections = {"shuffle": {"levels": [0, 2]}, "observables": {"overlap_k": 4, "scales": [2]},
                    "statistics": {"bootstrap": 10}}
        expected = self.study(self.llama, output="undisturbed.h5", **sections)
        config = self.config(self.llama, **sections)
        status = "models/model/status"
        for number, ranks, others in ((signal.SIGUSR1, None, 2), (signal.SIGUSR1, 2, None), (signal.SIGKILL, 2, 3)):
            with self.subTest(signal=number.name, ranks=ranks):
                self.path("results.h5").unlink(missing_ok=True)
                process = support.start("run", config, ranks=ranks)
                result = self.interrupt(process, number, self.path("results.h5"), status)
                if number == signal.SIGUSR1:
                    self.assertEqual(result.code, STOPPED, result)
                done = self.done(self.path("results.h5"), status)
                self.assertTrue(0 < done < self.PROMPTS * 2 * (BLOCKS + 1), f"{done} clouds")
                self.run_ok("run", config, "--resume", ranks=others)
                self.assert_same_bytes(support.load_models(self.path("results.h5")), expected)
        result = support.run("run", config, "--force", "--max-hours", "0.00001")
        self.assertEqual(result.code, STOPPED, result)
        self.run_ok("run", config, "--resume")
        self.assert_same_bytes(support.load_models(self.path("results.h5")), expected)

    def test_holes(self):
        """Layers that are missing here and there are made by passes of their own."""
        source = self.source(self.model)
        expected = self.study(source)
        config = self.config(source)
        for seed, ranks in ((1, None), (2, 3)):
            self.study(source)
            with h5py.File(self.path("results.h5"), "a") as file:
                group = file["models/model"]
                status = group["status"][...]
                holes = np.random.default_rng(seed).random(status.shape) < 0.4
                holes[0, 0] = [False, False, False, True]  # the last layer alone
                holes[0, 1] = [True, False, True, False]  # not the last one
                status[holes] = 0
                group["status"][...] = status
                values = group["intrinsic_dimension/gride/value"][...]
                values[holes] = 7
                group["intrinsic_dimension/gride/value"][...] = values
                for name in ("loss", "logits/entropy"):
                    values = group[name][...]
                    values[holes[:, :, -1]] = 7
                    group[name][...] = values
                file["complete"][()] = 0
            self.run_ok("run", config, "--resume", ranks=ranks)
            self.assert_same_bytes(support.load_models(self.path("results.h5")), expected, f"{ranks} ranks:")

    def test_extractions(self):
        expected = self.extract(self.llama, out="undisturbed.h5")
        config = self.config(self.llama)
        command = ("extract", config, "--out", self.out, "--type", "float32")
        for number, ranks, others in ((signal.SIGUSR1, None, None), (signal.SIGUSR1, 2, None), (signal.SIGKILL, 2, 3)):
            with self.subTest(signal=number.name, ranks=ranks):
                self.out.unlink(missing_ok=True)
                result = self.interrupt(support.start(*command, ranks=ranks), number, self.part, "done")
                self.assertFalse(self.out.exists())
                if number == signal.SIGUSR1:
                    self.assertEqual((result.code, result.errors), (STOPPED, []), result)
                    self.assertIn("the same command goes on", result.err)
                done = self.done(self.part, "done")
                self.assertTrue(0 < done < self.PROMPTS * 4, f"{done} prompts and levels")
                self.spoil_what_is_not_done()
                self.run_ok(*command, ranks=others)
                self.assertFalse(self.part.exists())
                self.assert_same_files(read_file(self.out), expected)

    def spoil_what_is_not_done(self):
        """Whatever a killed run may have left in unfinished rows is written over."""
        with h5py.File(self.part, "a") as file:
            done = file["done"][...]
            states = file["hidden_states"]
            for p, s in np.argwhere(done == 0)[:50]:
                states[p, s] = 7
                file["loss"][p, s] = 7

    def test_stop_status(self):
        config = self.config(self.llama)
        process = support.start("extract", config, "--out", self.out, "--stop-status", "3")
        result = self.interrupt(process, signal.SIGUSR1, self.part, "done")
        self.assertEqual(result.code, 3, result)

    def test_left_from_another_extraction(self):
        config = self.config(self.llama)
        process = support.start("extract", config, "--out", self.out)
        self.interrupt(process, signal.SIGUSR1, self.part, "done")
        before = self.part.read_bytes()
        other = self.config(self.llama, name="other.yaml", shuffle={"levels": "all", "seed": 3})
        for study, options in ((other, ()), (config, ("--type", "float32"))):
            result = support.run("extract", study, "--out", self.out, *options, ranks=2)
            self.assertEqual((result.code, len(result.errors)), (CONFIG, 1), result)
            self.assertIn("states.h5.part: is left from another extraction", result.errors[0])
            self.assertTrue(self.part.read_bytes() == before)
        self.run_ok("extract", config, "--out", self.out)
        self.assertFalse(self.part.exists())

    def test_an_extraction_that_was_moved(self):
        expected = self.extract(self.llama, out="undisturbed.h5")
        study = self.path("study")
        study.mkdir()
        for name in ("tiny.gguf", "tiny.jsonl"):
            shutil.copy2(self.path(name), study / name)
        config = self.config(self.llama)
        shutil.copy(config, study / "study.yaml")
        self.out, self.part = study / "states.h5", study / "states.h5.part"
        process = support.start("extract", study / "study.yaml", "--out", self.out, "--type", "float32")
        self.interrupt(process, signal.SIGUSR1, self.part, "done")
        done = self.done(self.part, "done")
        moved = study.rename(self.path("another place"))
        result = self.run_ok("extract", moved / "study.yaml", "--out", moved / "states.h5", "--type", "float32", ranks=2)
        self.assertTrue(0 < done < self.PROMPTS * 4, result)
        self.assertRegex(result.err, rf"{done} prompts and levels reused, 0 written again")
        self.assertNotIn("warning", result.err)
        self.assert_same_files(read_file(moved / "states.h5"), expected, but=("origin",))

    def test_what_is_no_extraction(self):
        """A FILE.part that a kill left before it was whole is made anew."""
        source = self.source(self.model)
        expected = self.extract(source, kind="bfloat16")
        self.out.unlink()
        for data in (b"", b"\x89HDF\r\n\x1a\n" + bytes(100)):
            self.part.write_bytes(data)
            self.assert_same_files(self.extract(source, kind="bfloat16", options=()), expected)
            self.out.unlink()


support.main()
