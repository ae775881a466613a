"""A real model with its tokenizer: texts in, results out. The model is $TG_SMOLLM2; skipped without it.

Oracle: the same study given the token ids that the first one stored; on two ranks; byte by byte. The loss of English
text that a model of this size knows or does not know lies between 0.1 (a license learned by heart) and 6 nats, and
shuffled text is harder. test_engine_reference.py holds the numbers against another engine."""
import json
import os
import pathlib
import unittest

import h5py
import numpy as np
import support
from llama_case import SEED, Case
from support import BAD_DATA, CONFIG
from tiny_models import shuffled

MODEL = pathlib.Path(os.environ.get("TG_SMOLLM2", "absent"))
LICENSES = [pathlib.Path("/usr/share/common-licenses", name) for name in ("Apache-2.0", "Artistic")]
LEVELS, TOKENS = [0, 2], 64


@unittest.skipUnless(MODEL.is_file(), "no model; set TG_SMOLLM2 to SmolLM2-135M-Instruct.Q4_1.gguf")
@unittest.skipUnless(all(path.is_file() for path in LICENSES), "no license texts in /usr/share/common-licenses")
class Real(Case):
    def real(self, prompts, **keys):
        return {"kind": "llama", "model": str(MODEL), "prompts": prompts, "tokens": TOKENS, **keys}

    def run_study(self, prompts, ranks=None):
        return self.study(self.real(prompts), shuffle={"levels": LEVELS}, ranks=ranks, timeout=300)

    def test_texts(self):
        texts = [path.read_bytes()[:1500].decode() for path in LICENSES]
        for a, text in enumerate(texts):
            self.path(f"{a}.txt").write_text(" \n\u3000" + text + "\n\t ")
        got = self.run_study("*.txt")
        self.assertEqual(got["model/prompt_id"].tolist(), [0, 1])
        self.assertEqual(got["model/layer"].tolist(), list(range(31)))
        loss, ids = got["model/loss"], got["model/token_ids"]
        self.assertTrue((loss > 0.1).all() and (loss[:, 0] < 6).all(), loss)
        self.assertTrue((loss[:, 1] > loss[:, 0] + 0.3).all(), loss)
        self.assertTrue((got["model/logits/entropy"] > 0).all() and (got["model/logits/entropy"] < np.log(49152)).all())
        self.assertTrue((ids >= 0).all() and (ids < 49152).all() and len(np.unique(ids)) > 40)
        for p in range(2):
            self.assertEqual(ids[p, 1].tolist(), shuffled(ids[p, 0], SEED, p, 2).tolist())
        value = got["model/intrinsic_dimension/gride/value"][..., 0]
        self.assertTrue(((value > 1) & (value < 60)).all())

        self.write_prompts([text.strip() for text in texts], ids=[0, 1], name="texts.jsonl")
        self.assert_same_bytes(self.run_study("texts.jsonl"), got, "texts as JSON lines, stripped:")
        self.write_prompts([row.tolist() for row in ids[:, 0]], ids=[0, 1], name="ids.jsonl")
        self.assert_same_bytes(self.run_study("ids.jsonl", ranks=2), got, "token ids, 2 ranks:")

    def ids_of(self, text, tokens=16, model=MODEL, **keys):
        self.path("a.jsonl").write_text(json.dumps({"id": 1, "text": text}) + "\n")
        source = {**self.real("a.jsonl", tokens=tokens, **keys), "model": str(model)}
        self.study(source, shuffle={"levels": [0]}, output="a.h5", timeout=300)
        return support.load_models(self.path("a.h5"))["model/token_ids"].ravel().tolist()

    def test_special_tokens_in_a_text(self):
        """Hugging Face's tokenizer(text, add_special_tokens=False): what a text spells out is the token, and nothing is put before it. With
        split_special_tokens it is text like any other; the special tokens are 0, 1 and 2."""
        text = "<|im_start|>user<|im_end|>" * 20
        self.assertEqual(self.ids_of(text), ([1, 4093, 2] * 6)[:16])
        split = self.ids_of(text, split_special_tokens=True)
        self.assertTrue(min(split) > 2, split)

    def with_tokenizer(self, name, old, new):
        """The model with these bytes of its header changed."""
        data = bytearray(MODEL.read_bytes())
        place = data.index(old, data.index(b"tokenizer.ggml.pre"))
        data[place:place + len(old)] = new
        self.path(name).write_bytes(data)
        return self.path(name)

    def test_a_tokenizer_that_would_be_guessed(self):
        """Without the name of its rules libllama takes others, and 234 of 256 ids of a text differ: refused for texts. Ids that are given
        are right, and what libllama warns of is said once and kept."""
        model = self.with_tokenizer("other.gguf", b"tokenizer.ggml.pre", b"tokenizer.ggml.old")
        self.path("a.jsonl").write_text(json.dumps({"id": 1, "text": "some words " * 40}) + "\n")
        source = {**self.real("a.jsonl", tokens=16), "model": str(model)}
        for command in ("run", "validate"):
            result = support.run(command, self.config(source))
            self.assertEqual((result.code, len(result.errors)), (BAD_DATA, 1), result)
            self.assertIn("other.gguf: the model file does not say by which rules its tokenizer splits a text", result.errors[0])
            self.assert_nothing_left()
        self.write_prompts([list(range(16))], name="a.jsonl")
        result = self.run_ok("run", self.config(source, shuffle={"levels": [0]}), ranks=2, timeout=300)
        warned = [line for line in result.err.splitlines() if "missing pre-tokenizer" in line]
        self.assertEqual(len(warned), 1, result)
        self.assertIn("warning: libllama: load: missing", warned[0])
        self.assertEqual(result.err.count("warning: libllama: load"), 3, result)  # what, and what that means
        with h5py.File(self.path("results.h5")) as file:
            self.assertIn("missing pre-tokenizer", file["provenance/engine_warnings"].asstr()[()])

    def test_long_runs_of_one_character(self):
        """libllama's regular expressions call themselves once a character: 26 326 of them ended the process on a stack of 8 MB."""
        words = "The quick brown fox. " * 40
        for rules in (b"gpt-4o", b"tekken"):
            model = self.with_tokenizer("other.gguf", b"smollm", rules)
            plain = self.ids_of(words, tokens=64, model=model)
            for run in ("A", " ", "=", "7", "\n", "\u4e2d"):
                with self.subTest(rules=rules, run=run):
                    self.assertEqual(self.ids_of(words + run * 150000 + "x", tokens=64, model=model), plain)
        self.path("a.jsonl").write_text(json.dumps({"id": 0, "text": "a"}) + "\n" + json.dumps({"id": 1, "text": "a b" + "A" * (1 << 22)}) + "\n")
        result = support.run("run", self.config(self.real("a.jsonl")))
        self.assertEqual((result.code, len(result.errors)), (BAD_DATA, 1), result)
        self.assertIn("a.jsonl:2: 4194305 bytes follow one another without white space", result.errors[0])
        self.assert_nothing_left()

    def test_refusals(self):
        self.path("a.txt").write_text("short\n")
        for source, code, named in ((self.real("a.txt"), BAD_DATA, "no prompt has 64 tokens"),
                                    (self.real("a.txt", tokens=10000), CONFIG, "ends at 8192")):
            result = support.run("run", self.config(source))
            self.assertEqual((result.code, len(result.errors)), (code, 1), result)
            self.assertIn(named, result.errors[0])
            self.assert_nothing_left()


support.main()
