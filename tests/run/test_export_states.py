"""jobs/export_states.py on tiny models of random weights and prompts of token ids: no download, no tokenizer.

Oracle: the model itself, run text by text; loss and entropy in float64 NumPy from its logits; Philox in Python integers;
W^T W in float64 NumPy; byte equality of stopped, killed and undisturbed runs; the table of exit statuses.
Skipped where torch or transformers are missing."""
import contextlib
import importlib.util
import io
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest
from unittest import mock

import h5py
import numpy as np
import support
from support import BAD_DATA, CONFIG, IO, NO_INPUT, OK, STOPPED, USAGE, files

SCRIPT = support.SOURCE / "jobs" / "export_states.py"
MISSING = [name for name in ("torch", "transformers") if importlib.util.find_spec(name) is None]
if not MISSING:
    import torch
    import transformers

TOKENS, VOCABULARY, SEED = 64, 101, 20250117
LENGTHS = {3218: 64, -5: 70, 7: 64, 2**63 - 1: 40, 0: 64}  # id -> tokens


def load_script():
    spec = importlib.util.spec_from_file_location("export_states", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def philox_words(key, level, count):
    """Philox4x64-10 (Salmon et al., SC11) at counters (1, 0, 0, level), (2, 0, 0, level), ..."""
    mask, words = 2**64 - 1, []
    for block in range(1, (count + 3) // 4 + 1):
        c, k = [block, 0, 0, level], [key[0] & mask, key[1] & mask]
        for _ in range(10):
            a, b = 0xD2E7470EE14C6C93 * c[0], 0xCA5A826395121157 * c[2]
            c = [(b >> 64) ^ c[1] ^ k[0], b & mask, (a >> 64) ^ c[3] ^ k[1], a & mask]
            k = [(k[0] + 0x9E3779B97F4A7C15) & mask, (k[1] + 0xBB67AE8584CAA73B) & mask]
        words += c
    return words[:count]


def shuffled(tokens, prompt_id, level):
    """Place b holds block order[b], blocks in the order of their words."""
    if level == 0:
        return list(tokens)
    blocks, size = 4**level, len(tokens) // 4**level
    words = philox_words((SEED, prompt_id), level, blocks)
    order = sorted(range(blocks), key=lambda b: (words[b], b))
    return [token for b in order for token in tokens[b * size:(b + 1) * size]]


def make_models(directory):
    """OPT, one like OPT-350m (no final norm, narrow embedding), and GPT-NeoX, each of three layers."""
    torch.manual_seed(1)
    opt = dict(vocab_size=VOCABULARY, hidden_size=24, num_hidden_layers=3, ffn_dim=48, num_attention_heads=4, max_position_embeddings=80,
               init_std=0.3)
    neox = dict(vocab_size=VOCABULARY, hidden_size=24, num_hidden_layers=3, intermediate_size=48, num_attention_heads=4,
                max_position_embeddings=80, initializer_range=0.3)
    transformers.OPTForCausalLM(transformers.OPTConfig(word_embed_proj_dim=24, **opt)).save_pretrained(directory / "opt")
    transformers.OPTForCausalLM(transformers.OPTConfig(word_embed_proj_dim=12, do_layer_norm_before=False, **opt)).save_pretrained(directory / "narrow")
    transformers.GPTNeoXForCausalLM(transformers.GPTNeoXConfig(**neox)).save_pretrained(directory / "neox")


def write_prompts(path, lengths, seed=1):
    random = np.random.default_rng(seed)
    prompts = {i: random.integers(0, VOCABULARY, n).tolist() for i, n in lengths.items()}
    path.write_text("".join(json.dumps({"id": i, "token_ids": tokens}) + "\n" for i, tokens in prompts.items()))
    return prompts


@unittest.skipIf(MISSING, f"not installed: {', '.join(MISSING)}")
class Export(support.Case):
    @classmethod
    def setUpClass(cls):
        cls.shared = pathlib.Path(tempfile.mkdtemp(prefix="tokengeom-test-"))
        cls.addClassCleanup(shutil.rmtree, cls.shared)
        transformers.utils.logging.disable_progress_bar()
        torch.set_num_threads(1)
        make_models(cls.shared)
        cls.script = load_script()

    def setUp(self):
        super().setUp()
        self.prompts = write_prompts(self.path("p.jsonl"), LENGTHS)

    def arguments(self, out, model="neox", prompts="p.jsonl", **options):
        named = {"model": self.shared / model, "prompts": self.path(prompts), "out": self.path(out), "tokens": TOKENS, "device": "cpu", **options}
        flags = [("--" + name.replace("_", "-"), str(value)) for name, value in named.items() if value is not None]
        return [part for flag in flags for part in flag]

    def export(self, out, *more, code=OK, says=(), slurm={}, **options):
        """Runs the script inside this process, where torch is loaded already."""
        errors, handlers = io.StringIO(), [(number, signal.getsignal(number)) for number in (signal.SIGTERM, signal.SIGUSR1)]
        with mock.patch.object(sys, "argv", ["export_states.py", *self.arguments(out, **options), *more]), \
             mock.patch.dict(os.environ, slurm), contextlib.redirect_stderr(errors):
            got = self.script.main()
        for number, handler in handlers:
            signal.signal(number, handler)
        self.assertEqual(got, code, errors.getvalue())
        for text in says:
            self.assertIn(text, errors.getvalue().strip().split("\n")[-1] if code else errors.getvalue())
        return self.path(out)

    def read(self, path):
        with h5py.File(path) as file:
            return {name: dataset[...] for name, dataset in file.items()}

    # ---- values

    def expected(self, model, tokens):
        """States [layer, token, width], loss of each next token, entropy of each position."""
        with torch.inference_mode():
            out = model(torch.tensor([tokens]), output_hidden_states=True)
        logits = out.logits[0].double().numpy()
        top = logits.max(axis=1, keepdims=True)
        logp = logits - top - np.log(np.exp(logits - top).sum(axis=1, keepdims=True))
        loss = -logp[np.arange(len(tokens) - 1), tokens[1:]]
        return out.hidden_states, loss, -(np.exp(logp) * logp).sum(axis=1)

    def check_values(self, name, levels, got, **from_config):
        """Float32 against the model's own run: states to the bit. Loss and entropy: some 2^-24 of logits below 16, sums of 101."""
        model = transformers.AutoModelForCausalLM.from_pretrained(self.shared / name).eval()
        for p, prompt_id in enumerate(got["prompt_ids"].tolist()):
            for s, level in enumerate(levels):
                tokens = shuffled(self.prompts[prompt_id][:TOKENS], prompt_id, level)
                self.assertEqual(got["token_ids"][p, s].tolist(), tokens)
                states, loss, entropy = self.expected(model, tokens)
                for layer, state in enumerate(states):
                    if state.shape[-1] == got["hidden_states"].shape[-1]:
                        self.assertTrue((got["hidden_states"][p, s, layer] == state[0].numpy()).all(), (p, s, layer))
                self.assertLess(np.abs(got["token_loss"][p, s] - loss).max(), 2e-5)
                self.assertLess(np.abs(got["entropy"][p, s] - entropy).max(), 2e-5)
                self.assertLess(abs(got["loss"][p, s] - got["token_loss"][p, s].astype("f8").mean()), 1e-14)
        self.assertGreater(got["entropy"].std(), 0.1, "logits that tell nothing test nothing")
        return model

    def test_values(self):
        levels = [0, 2, 1]
        for name in ("opt", "neox"):
            path = self.export("a.h5", "--force", model=name, levels="0,2,1", store="float32", says=("1 of 5 prompts left out",))
            got = self.read(path)
            self.assertEqual(got["prompt_ids"].tolist(), [3218, -5, 7, 0])
            self.assertEqual(got["shuffle_levels"].tolist(), levels)
            self.assertEqual(got["hidden_states"].shape, (4, 3, 4, TOKENS, 24))
            model = self.check_values(name, levels, got)
            weight = model.get_output_embeddings().weight.detach().double().numpy()
            self.assertLess(np.abs(got["logit_metric"] - weight.T @ weight).max(), 1e-11)
            self.assertTrue((got["logit_metric"] == got["logit_metric"].T).all())
            with h5py.File(path) as file:
                self.assertEqual(file["hidden_states"].attrs["last_layer_normalized"], 1)
                self.assertEqual((file.attrs["format"], file.attrs["format_version"], file.attrs["model"]), ("tokengeom-hidden-states", 1, name))
            self.assertEqual(sorted(f.name for f in self.directory.iterdir()), ["a.h5", "p.jsonl"])

    def test_no_final_norm_and_a_narrow_embedding(self):
        """The last state is taken before its projection to the width of the embedding, which gives the logits."""
        path = self.export("a.h5", model="narrow", levels="0,1", store="float32", says=("no logit_metric",))
        got = self.read(path)
        self.assertNotIn("logit_metric", got)
        self.assertEqual(got["hidden_states"].shape, (4, 2, 4, TOKENS, 24))
        model = self.check_values("narrow", [0, 1], got)
        with torch.inference_mode():
            logits = model.lm_head(model.model.decoder.project_out(torch.tensor(got["hidden_states"][0, 0, -1])))
            self.assertLess((logits - model(torch.tensor(got["token_ids"][0, :1])).logits[0]).abs().max(), 1e-4)
        with h5py.File(path) as file:
            self.assertEqual(file["hidden_states"].attrs["last_layer_normalized"], 0)

    def test_bfloat16(self):
        """Rounded to the nearest, ties to even; the same bits as torch."""
        wide, narrow = (self.export(f"{store}.h5", levels="0,1", store=store) for store in ("float32", "bfloat16"))
        expected = torch.tensor(self.read(wide)["hidden_states"]).to(torch.bfloat16).float().numpy()
        with h5py.File(narrow) as file:
            self.assertEqual(file["hidden_states"].id.get_type().get_size(), 2)
            self.assertTrue((file["hidden_states"][...] == expected).all())

    def test_logit_metric_is_exact(self):
        """Weights of 8 bits within 2^20 of the largest: every product and sum is exact, whatever the order; against Python integers."""
        random = np.random.default_rng(2)
        shape = (5000, 6)
        whole = random.integers(-255, 256, shape) * 2**random.integers(0, 21, shape)
        metric = self.script.logit_metric(torch.tensor(whole * 2.0**-24, dtype=torch.float32))
        exact = [[sum(int(a) * int(b) for a, b in zip(whole[:, i], whole[:, j])) for j in range(6)] for i in range(6)]
        got = metric * 2.0**48
        for i in range(6):
            for j in range(6):
                self.assertLessEqual(abs(int(got[i, j]) - exact[i][j]), abs(exact[i][j]) * 2**-50)
        order = random.permutation(shape[0])
        self.assertTrue((self.script.logit_metric(torch.tensor(whole[order] * 2.0**-24, dtype=torch.float32)) == metric).all())

    def test_known_permutation(self):
        self.assertEqual(philox_words((7, 3218), 2, 1)[0], 0x054990B5280C46AE)
        for prompt_id in (3218, -1, -2**63):
            words = philox_words((7, prompt_id), 3, 64)
            self.assertEqual(self.script.block_order(7, prompt_id, 3).tolist(), sorted(range(64), key=words.__getitem__))

    # ---- prompts and parts

    def test_short_prompts(self):
        path = self.export("a.h5", short_prompts="keep", levels="0,1")
        got = self.read(path)
        self.assertEqual(got["n_tokens"].tolist(), [64, 64, 64, 40, 64])
        self.assertEqual(got["token_ids"][3, 1, :40].tolist(), shuffled(self.prompts[2**63 - 1], 2**63 - 1, 1))
        self.assertTrue((got["token_ids"][3, :, 40:] == -1).all() and np.isnan(got["entropy"][3, :, 40:]).all())
        self.assertTrue(np.isfinite(got["entropy"][3, :, :40]).all() and np.isnan(got["token_loss"][3, :, 39:]).all())
        self.export("b.h5", short_prompts="keep", levels="0,3", says=("1 of 5 prompts left out",))
        self.assertEqual(self.read(self.path("b.h5"))["n_tokens"].tolist(), [64] * 4)

    def test_array_parts_are_the_whole(self):
        whole = self.read(self.export("whole.h5", levels="0,1,2"))
        self.export("part-{index}.h5", levels="0,1,2", array="0/2")
        self.export("part-{index}.h5", levels="0,1,2", slurm={"SLURM_ARRAY_TASK_ID": "6", "SLURM_ARRAY_TASK_MIN": "5", "SLURM_ARRAY_TASK_MAX": "6"})
        parts = [self.read(self.path(f"part-{index}.h5")) for index in range(2)]
        for name, values in whole.items():
            if name in ("shuffle_levels", "logit_metric"):
                self.assertTrue(all((part[name] == values).all() for part in parts), name)
            else:
                self.assertEqual(np.concatenate([part[name] for part in parts]).tobytes(), values.tobytes(), name)
        self.export("none-{index}.h5", array="11/12", says=("nothing to write",))

    def test_tokengeom_reads_it(self):
        self.export("a-{index}.h5", levels="0,1", short_prompts="keep", array="0/2")
        self.export("a-{index}.h5", levels="0,1", short_prompts="keep", array="1/2")
        got = self.study(files(self.path("a-*.h5")))
        stored = [self.read(self.path(f"a-{index}.h5")) for index in range(2)]
        self.assertEqual(got["model/loss"].tobytes(), np.concatenate([part["loss"] for part in stored]).tobytes())
        self.assertTrue(np.isin(got["model/status"], (support.DONE, support.WITH_REASONS)).all())
        self.assertEqual(got["model/intrinsic_dimension/n_points"][3, :, 1:].tolist(), [[40] * 3] * 2)
        self.assertTrue(np.isfinite(got["model/logits/gride/value"][:, :, 0]).all())
        self.assertTrue(np.isfinite(got["model/logits/entropy"]).all())

    # ---- stopping

    def start_and_signal(self, arguments, number, at_least):
        """Starts the script, signals it once so many prompts are done, and returns its exit status."""
        with open(self.path("log"), "a") as log:
            process = subprocess.Popen([sys.executable, SCRIPT, *arguments], stderr=log, env={**os.environ, "OMP_NUM_THREADS": "1"})
            end = time.monotonic() + support.PATIENCE * 120
            while time.monotonic() < end and process.poll() is None:
                with contextlib.suppress(FileNotFoundError):
                    if self.path("a.h5.progress").read_text().count("done") >= at_least:
                        break
                time.sleep(0.005)
            process.send_signal(number)
            return process.wait(support.PATIENCE * 60)

    def test_stopped_and_killed(self):
        write_prompts(self.path("many.jsonl"), {i: TOKENS for i in range(300)})
        options = dict(prompts="many.jsonl", levels="0,1,2,3", store="bfloat16")
        whole = self.export("whole.h5", **options)
        arguments = self.arguments("a.h5", **options)
        for number, at_least, code in ((signal.SIGTERM, 2, STOPPED), (signal.SIGKILL, 20, -signal.SIGKILL), (signal.SIGUSR1, 40, STOPPED)):
            self.assertEqual(self.start_and_signal(arguments, number, at_least), code, self.path("log").read_text())
            self.assertFalse(self.path("a.h5").exists())
            with h5py.File(self.path("a.h5.part")) as file:
                self.assertTrue((file["loss"][:at_least] > 0).all())
        with open(self.path("a.h5.progress"), "a") as log:
            log.write("don")  # a line that was cut short
        self.export("a.h5", code=CONFIG, says=("a.h5.part", "levels", "[0, 1]"), **{**options, "levels": "0,1"})
        self.export("a.h5", code=CONFIG, says=("prompts",), **{**options, "prompts": "p.jsonl"})
        self.export("a.h5", **options)
        self.assertTrue(self.path("a.h5").read_bytes() == whole.read_bytes())
        self.assertFalse(self.path("a.h5.part").exists() or self.path("a.h5.progress").exists())

    # ---- what is refused

    def test_outputs(self):
        self.path("a.h5").write_text("precious")
        self.export("a.h5", code=IO, says=("a.h5 exists", "--force"))
        self.assertEqual(self.path("a.h5").read_text(), "precious")
        self.export("a.h5", "--force")
        self.export("none/a.h5", code=IO, says=("none",))
        self.path("b.h5.part").write_text("of another program")
        self.export("b.h5", code=IO, says=("b.h5.part",))

    def test_options(self):
        for more in (["--tokens", "x"], ["--tokens", "1"], ["--levels", "0,a"], ["--levels", "-1"], ["--array", "2/2"], ["--shuffle-seed", "-1"],
                     ["--name", "a b"], ["--nonsense"], ["--batch", "0"]):
            self.export("a.h5", *more, code=USAGE)
        for more, named in ((["--levels", "4"], "4^4"), (["--levels", "1,1"], "twice"), (["--tokens", "96"], "80"),
                            (["--tokens", "60", "--levels", "all"], "4^2"), (["--out", "a{index}.h5"], "{index}")):
            self.export("a.h5", *more, code=CONFIG, says=(named,))
        self.assertEqual(sorted(f.name for f in self.directory.iterdir()), ["p.jsonl"])

    def test_missing_inputs(self):
        self.export("a.h5", prompts="none.jsonl", code=NO_INPUT, says=("none.jsonl",))
        self.export("a.h5", prompts=".", code=NO_INPUT, says=("directory",))
        with mock.patch.dict(os.environ, {"HF_HUB_OFFLINE": "1"}):
            self.export("a.h5", model="none", code=NO_INPUT, says=("none",))

    def test_bad_prompts(self):
        for line, named in (('{"id": 2, "token_ids": [1]', "JSON"), ("[1]", "id"), ('{"token_ids": [1]}', "id"), ('{"id": 2.5, "token_ids": [1]}', "id"),
                            ('{"id": true, "token_ids": [1]}', "id"), (f'{{"id": {2**63}, "token_ids": [1]}}', "id"), ('{"id": 2}', "token_ids"),
                            ('{"id": 2, "text": "a", "token_ids": [1]}', "either"), ('{"id": 2, "text": 5}', "text"),
                            ('{"id": 2, "text": "\\ud800"}', "Unicode"), ('{"id": 2, "token_ids": 5}', "list"),
                            (f'{{"id": 2, "token_ids": [1, {VOCABULARY}]}}', "token_ids[1]"), ('{"id": 2, "token_ids": [-1]}', "token_ids[0]"),
                            ('{"id": 1, "token_ids": [1]}', "1 already"), (b"\xff", "UTF-8")):
            with self.subTest(line=line):
                line = line if isinstance(line, bytes) else line.encode()
                self.path("bad.jsonl").write_bytes(b'{"id": 1, "token_ids": [1]}\n\n' + line + b"\n")
                self.export("a.h5", prompts="bad.jsonl", code=BAD_DATA, says=("bad.jsonl:3", named))
        self.path("bad.jsonl").write_text('{"id": 1, "token_ids": [1]}\n')
        self.export("a.h5", prompts="bad.jsonl", code=BAD_DATA, says=("no prompt",))
        self.path("bad.txt").write_bytes(b"a\nb\xff\n")
        self.export("a.h5", prompts="bad.txt", code=BAD_DATA, says=("bad.txt:2", "UTF-8"))
        self.export("a.h5", "--prompts", str(self.path("p.jsonl")), str(self.path("bad.txt")), code=CONFIG, says=("together",))


support.main()
