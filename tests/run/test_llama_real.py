"""A real model with its tokenizer: texts in, results out. The model is $TG_SMOLLM2; skipped without it.

Oracle: the same study given the token ids that the first one stored; on two ranks; byte by byte. The loss of English
text that a model of this size knows or does not know lies between 0.1 (a license learned by heart) and 6 nats, and
shuffled text is harder. test_engine_reference.py holds the numbers against another engine."""
import json
import os
import pathlib
import unittest

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

    def test_no_special_tokens(self):
        """Names of special tokens are text like any other; the model's own would be 0, 1 and 2."""
        self.path("a.jsonl").write_text(json.dumps({"id": 1, "text": "<|im_start|>user<|im_end|>" * 20}) + "\n")
        self.study(self.real("a.jsonl", tokens=16), shuffle={"levels": [0]}, output="a.h5")
        ids = support.load_models(self.path("a.h5"))["model/token_ids"].ravel()
        self.assertTrue((ids > 2).all(), ids)

    def test_refusals(self):
        self.path("a.txt").write_text("short\n")
        for source, code, named in ((self.real("a.txt"), BAD_DATA, "no prompt has 64 tokens"),
                                    (self.real("a.txt", tokens=10000), CONFIG, "ends at 8192")):
            result = support.run("run", self.config(source))
            self.assertEqual((result.code, len(result.errors)), (code, 1), result)
            self.assertIn(named, result.errors[0])
            self.assert_nothing_left()


support.main()
