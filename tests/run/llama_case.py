"""What the tests of source kind llama share: tiny models, prompts and extracted states."""
import json

import h5py
import numpy as np
import support
import tiny_models

SEED = 20250117  # the default of shuffle.seed
TOKENS = tiny_models.CONTEXT
OBSERVABLES = {"neighbors": True, "angle_layers": [1, 2]}


def token_rows(vocabulary, lengths=(TOKENS,) * 3, seed=4):
    random = np.random.default_rng(seed)
    return [random.integers(0, vocabulary, n).tolist() for n in lengths]


def read_file(path):
    """Path -> array of a hidden-state file; bfloat16 as h5py reads it."""
    with h5py.File(path) as file:
        return {name: dataset[...] for name, dataset in support.datasets(file).items()}


class Case(support.Case):
    def write_prompts(self, rows, ids=None, name="prompts.jsonl"):
        ids = range(10, 10 + len(rows)) if ids is None else ids
        key = {str: "text", list: "token_ids"}
        lines = [json.dumps({"id": i, key[type(row)]: row}) for i, row in zip(ids, rows)]
        self.path(name).write_text("\n".join(lines) + "\n")
        return name

    def source(self, model, rows=None, name="tiny", **keys):
        """A model file and prompts of token ids for it. model: a tiny one, or the name of a file."""
        if not isinstance(model, str):
            model.write(self.path(f"{name}.gguf"))
            prompts = self.write_prompts(token_rows(model.vocabulary) if rows is None else rows, name=f"{name}.jsonl")
            keys = {"prompts": prompts, **keys}
            model = f"{name}.gguf"
        return {"kind": "llama", "model": model, "tokens": TOKENS, **keys}

    def extract(self, *models, out="states.h5", kind="float32", ranks=None, options=("--force",), **sections):
        config = self.config(*models, name=out + ".yaml", **sections)
        self.run_ok("extract", config, "--out", self.path(out), "--type", kind, *options, ranks=ranks)
        return read_file(self.path(out))

    def assert_same_files(self, got, expected, message="", but=()):
        keep = {name: values for name, values in expected.items() if name not in but}
        self.assert_same_bytes({name: values for name, values in got.items() if name not in but}, keep, message)
