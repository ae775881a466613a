"""Wrong models and prompts: one clear line that names what and where, the exit status that the specification gives it,
nothing left behind, no rank that hangs.

Oracle: the table of exit statuses of the specification."""
import numpy as np
import support
from llama_case import TOKENS, Case, token_rows
from support import BAD_DATA, CONFIG, INTERNAL, NO_INPUT
from tiny_models import CONTEXT, Llama


class Refused(Case):
    def setUp(self):
        super().setUp()
        self.model = Llama()
        self.good = self.source(self.model)
        self.gguf = self.path("tiny.gguf")

    def refuse(self, code, *named, source=None, ranks=(None,), commands=("run",), **sections):
        """The study ends with this code and one line that holds the named texts, and leaves nothing."""
        config = self.config(source or self.good, **sections)
        for command in commands:
            options = ("--out", self.path("results.h5")) if command == "extract" else ()
            for r in ranks:
                result = support.run(command, config, *options, ranks=r, timeout=60)
                self.assertEqual(result.code, code, result)
                self.assertEqual(len(result.errors), 1, f"one line is expected\n{result}")
                if r is None:
                    self.assertEqual(len(result.err.splitlines()), 1, result)
                for name in named:
                    self.assertIn(name, result.errors[0])
                self.assert_nothing_left()

    def prompts(self, text, name="tiny.jsonl"):
        self.path(name).write_bytes(text if isinstance(text, bytes) else text.encode())

    # ---- the model file

    def test_missing_model(self):
        self.gguf.unlink()
        self.refuse(NO_INPUT, "tiny.gguf", "No such file", ranks=(None, 2), commands=("run", "extract"))
        self.refuse(NO_INPUT, "tiny.gguf", "No such file", commands=("validate",))

    def test_missing_prompts(self):
        self.path("tiny.jsonl").unlink()
        self.refuse(NO_INPUT, "tiny.jsonl", "No such file")
        self.refuse(NO_INPUT, "*.txt", source={**self.good, "prompts": "*.txt"})

    def test_directories(self):
        self.gguf.unlink()
        self.gguf.mkdir()
        result = support.run("run", self.config(self.good))
        self.assertIn(result.code, (CONFIG, NO_INPUT), result)
        self.assertEqual(len(result.errors), 1, result)
        self.assertIn("tiny.gguf", result.errors[0])

    def test_no_model_file(self):
        self.gguf.write_text("GGML is a tensor library\n" * 100)
        self.refuse(BAD_DATA, "tiny.gguf: is no GGUF model file", ranks=(None, 3), commands=("run", "extract"))
        self.gguf.write_bytes(b"")
        self.refuse(BAD_DATA, "tiny.gguf")

    def test_truncated_model(self):
        """Inside the signature, the key values, the tensors' descriptions and the tensors' data."""
        whole = self.gguf.read_bytes()
        first = whole.index(b"token_embd.weight")
        data = len(whole) - sum(t.nbytes + -t.nbytes % 32 for t in self.model.tensors.values())
        self.assertTrue(300 < first < data < 5000)
        for size in (3, 4, 10, 23, 24, 30, 200, first - 1, first + 5, data - 40, data - 1):
            with self.subTest(size=size):
                self.gguf.write_bytes(whole[:size])
                self.refuse(BAD_DATA, "tiny.gguf")
        for size in (data, data + 1, (data + len(whole)) // 2, len(whole) - 33):
            with self.subTest(size=size):
                self.gguf.write_bytes(whole[:size])
                self.refuse(BAD_DATA, "tiny.gguf: truncated: tensor ", f"the file at {size}")
        self.gguf.write_bytes(whole[:-1000])
        self.refuse(BAD_DATA, "tiny.gguf: truncated", ranks=(3,))

    def test_header_without_its_numbers(self):
        for missing, named in (("general.architecture", "names no architecture"), ("llama.block_count", "block_count"),
                               ("llama.embedding_length", "embedding_length"),
                               ("llama.context_length", "context_length")):
            with self.subTest(missing=missing):
                keys = {key: value for key, value in self.model.keys.items() if key != missing}
                keys, self.model.keys = self.model.keys, keys
                self.model.write(self.gguf)
                self.model.keys = keys
                self.refuse(BAD_DATA, "tiny.gguf", named)

    def test_numbers_that_libllama_gives_up_on(self):
        """libllama ends the process itself: one line and the status, and a lock that nobody holds."""
        self.model.keys["llama.block_count"] = 100000
        self.model.write(self.gguf)
        for _ in range(2):
            result = support.run("run", self.config(self.good))
            self.assertEqual((result.code, len(result.err.splitlines())), (BAD_DATA, 1), result)
            self.assertIn("libllama gave up", result.err)
            self.assertFalse(self.path("results.h5").exists())

    def test_a_tensor_is_missing(self):
        for name, named in (("token_embd.weight", "token_embd.weight"), ("blk.1.ffn_up.weight", "blk.1.ffn_up.weight")):
            tensor = self.model.tensors.pop(name)
            if name == "token_embd.weight":
                output = self.model.tensors.pop("output.weight")
            self.model.write(self.gguf)
            self.refuse(BAD_DATA, "tiny.gguf", named, commands=("run", "extract"))
            self.model.tensors[name] = tensor
            if name == "token_embd.weight":
                self.model.tensors["output.weight"] = output

    def test_a_tensor_of_another_shape(self):
        shapes = {"output.weight": (200, 63), "blk.0.attn_q.weight": (64, 32), "output_norm.weight": (63,)}
        for name, shape in shapes.items():
            with self.subTest(name=name):
                tensor = self.model.tensors[name]
                self.model.tensors[name] = np.zeros(shape, "f4")
                self.model.write(self.gguf)
                self.model.tensors[name] = tensor
                self.refuse(BAD_DATA, "tiny.gguf", name, ranks=(None, 2))

    def test_an_unknown_architecture(self):
        self.model.keys = {key.replace("llama.", "unheard."): value for key, value in self.model.keys.items()}
        self.model.write(self.gguf, **{"general.architecture": "unheard"})
        self.refuse(BAD_DATA, "tiny.gguf", "unheard", ranks=(None, 2))

    def test_an_architecture_that_names_its_tensors_otherwise(self):
        """EuroBERT, an encoder: its layers' outputs have no name, its last norm is result_embd."""
        model = Llama("eurobert", tied=True)
        model.write(self.gguf)
        self.refuse(BAD_DATA, "tiny.gguf: no tensor for layer 1 of 0..3", "l_out-0", "seen were:", " ffn_out,",
                    " result_embd", ranks=(None, 2), commands=("run", "extract"))

    def test_an_encoder_whose_tensors_are_named_alike(self):
        """Llama-embed: a llama that reads in both directions and predicts nothing."""
        model = Llama("llama-embed", tied=True)
        model.write(self.gguf)
        self.refuse(BAD_DATA, "tiny.gguf: is no causal language model", commands=("run", "extract"))

    def test_models_that_read_backwards(self):
        """Every token sees the whole text: by the header, by the architecture (LLaDA, masked diffusion)."""
        self.model.write(self.gguf, **{"llama.attention.causal": False})
        self.refuse(BAD_DATA, "tiny.gguf: is no causal language model: attention.causal is false", ranks=(None, 2))
        Llama("llada").write(self.gguf)
        self.refuse(BAD_DATA, "tiny.gguf: is no causal language model", commands=("run", "extract"))

    def test_files_that_are_no_model(self):
        """A LoRA adapter, a projector, an importance matrix: GGUF files all of them."""
        for kind in ("adapter", "mmproj", "imatrix"):
            self.model.write(self.gguf, **{"general.type": kind})
            self.refuse(BAD_DATA, f"tiny.gguf: is a GGUF of type '{kind}'")
        self.model.write(self.gguf, **{"general.architecture": "clip"})
        self.refuse(BAD_DATA, "tiny.gguf: is the projector of a model that sees")
        self.model.write(self.gguf, **{"general.type": "model"})
        self.run_ok("validate", self.config(self.good))

    def test_too_little_memory(self):
        """A feed-forward width of 2^30 in the header: activations of 2 x 2^30 numbers a token, and a matrix of 64 x 2^30 for BLAS."""
        self.model.write(self.gguf, **{"llama.feed_forward_length": 2**30})
        self.refuse(INTERNAL, "tiny.gguf: too little memory: 1 ranks on this node need 824.6 GB", "available",
                    commands=("run", "extract"))
        self.refuse(INTERNAL, "3 ranks on this node need 2473.9 GB", "824.6 GB each", ranks=(3,))

    # ---- prompts

    def test_texts_without_a_tokenizer(self):
        self.prompts('{"id": 1, "text": "some words"}\n')
        self.refuse(BAD_DATA, "tiny.gguf: the model file has no tokenizer", "token_ids", ranks=(None, 3))
        self.prompts("some words\n", "a.txt")
        self.refuse(BAD_DATA, "tiny.gguf: the model file has no tokenizer", source={**self.good, "prompts": "*.txt"})

    def test_a_broken_line(self):
        good = self.path("tiny.jsonl").read_text()
        for line, named in (('{"id": 1, "token_ids": [1, 2', "not JSON"), ('{"id": 1}', "neither"),
                            ('{"token_ids": [1]}', "no 'id'"),
                            ('{"id": 1.5, "token_ids": [1]}', "no integer"), ('{"id": 1, "token_ids": []}', "no list"),
                            ('{"id": 1, "text": " \\n"}', "the text is empty")):
            with self.subTest(line=line):
                self.prompts(good + "\n" + line + "\n")
                self.refuse(BAD_DATA, "tiny.jsonl:5: ", named)
        self.refuse(BAD_DATA, "tiny.jsonl:5: ", ranks=(3,), commands=("run", "extract"))

    def test_no_prompts(self):
        self.prompts("\n\n")
        self.refuse(BAD_DATA, "tiny.jsonl: no prompts")
        self.prompts("  \n", "a.txt")
        self.refuse(BAD_DATA, "a.txt: the text is empty", source={**self.good, "prompts": "a.txt"})

    def test_mixed_kinds_of_prompts(self):
        self.prompts("some words\n", "a.txt")
        both = {**self.good, "prompts": ["a.txt", "tiny.jsonl"]}
        self.refuse(BAD_DATA, "tiny.jsonl is JSON lines", "a.txt", source=both)

    def test_ids_that_occur_twice(self):
        self.write_prompts(token_rows(200), ids=[5, 6, 5], name="tiny.jsonl")
        self.refuse(BAD_DATA, "prompt id 5 occurs twice", ranks=(None, 2))
        self.write_prompts(token_rows(200), name="a.jsonl")
        self.write_prompts(token_rows(200), ids=[1, 2, 11], name="tiny.jsonl")
        self.refuse(BAD_DATA, "prompt id 11 occurs twice", source={**self.good, "prompts": ["a.jsonl", "tiny.jsonl"]})

    def test_tokens_outside_the_vocabulary(self):
        for token, ranks in ((200, (None, 2)), (2**31 - 1, (None,))):
            rows = token_rows(200)
            rows[1][63] = token
            self.write_prompts(rows, name="tiny.jsonl")
            self.refuse(BAD_DATA, f"tiny.jsonl:2: token_ids[63] is {token}, outside the model's vocabulary of 200",
                        ranks=ranks)
        rows[1][63] = -1
        self.write_prompts(rows, name="tiny.jsonl")
        self.refuse(BAD_DATA, "tiny.jsonl:2: token_ids[63] is no token id")

    # ---- the study

    def test_more_tokens_than_the_context(self):
        self.write_prompts(token_rows(200, (80, 80)), name="tiny.jsonl")
        longer = {**self.good, "tokens": CONTEXT + 1}
        self.refuse(CONFIG, "tokens is 65", f"ends at {CONTEXT}", source=longer, ranks=(None, 3),
                    commands=("run", "extract"))

    def test_a_level_that_does_not_divide_the_tokens(self):
        odd = {**self.good, "tokens": 62}
        self.refuse(CONFIG, "level 1 cuts a prompt into 4^1 blocks, which do not divide 62", source=odd,
                    shuffle={"levels": [0, 1]}, ranks=(None, 3), commands=("run", "extract"))
        self.refuse(CONFIG, "level 4 cuts a prompt into 4^4 blocks, which do not divide 64", shuffle={"levels": [4]})
        self.refuse(CONFIG, "level 1", "62", source=odd)
        self.refuse(CONFIG, "levels", shuffle={"levels": [30]})

    def test_an_id_that_is_absent(self):
        self.refuse(CONFIG, "id 99 is not in", prompts=[10, 99], ranks=(None, 2))

    def test_keys_of_other_kinds(self):
        for key, value, named in (("files", ["a.h5"], "files"), ("tokens", 1, "tokens"), ("threads", 0, "threads"),
                                  ("short_prompts", "cut", "expected leave_out or keep"), ("width", 64, "width")):
            with self.subTest(key=key):
                self.refuse(CONFIG, named, source={**self.good, key: value})
        for missing in ("model", "prompts"):
            source = {key: value for key, value in self.good.items() if key != missing}
            self.refuse(CONFIG, missing, source=source)


class Damaged(Case):
    def test_any_byte_of_the_header(self):
        """Whatever a changed byte of the header does, the program says so, or runs; it does not crash."""
        model = Llama()
        config = self.config(self.source(model, token_rows(200, (TOKENS,))), shuffle={"levels": [0]})
        gguf = self.path("tiny.gguf")
        whole = gguf.read_bytes()
        size = len(whole) - sum(t.nbytes + -t.nbytes % 32 for t in model.tensors.values())
        random = np.random.default_rng(1)
        codes = []
        for place in random.choice(size, 24, replace=False):
            data = bytearray(whole)
            data[place] ^= 1 << random.integers(8)
            gguf.write_bytes(data)
            result = support.run("run", config, "--force")
            with self.subTest(place=int(place), was=bytes(whole[place - 8:place + 8])):
                self.assertIn(result.code, (0, BAD_DATA, INTERNAL, CONFIG), result)
                self.assertEqual(len(result.errors), result.code != 0, result)
            codes.append(result.code)
        self.assertGreater(codes.count(BAD_DATA), 6)


support.main()
