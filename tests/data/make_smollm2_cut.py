#!/usr/bin/env python3
"""Cut the stored activations that come with the project out of a larger hidden-state file, and make float64 reference
values for the cut with NumPy and DADApy 0.3.4.

usage: make_smollm2_cut.py STATES.h5 MAKE_REFERENCE   (a hidden-state file with 31 layers; the script that makes references)

Writes smollm2-states.h5 and smollm2-reference.h5 beside this script: the first prompt, S = 0 and 4, ten of the 31 layers.
The model is SmolLM2-135M-Instruct (Hugging Face, Apache-2.0), the text a document of a Debian system."""
import pathlib
import subprocess
import sys

import h5py
import numpy as np

LAYERS = [0, 1, 5, 10, 15, 20, 25, 28, 29, 30]
LEVELS = [0, 4]
here = pathlib.Path(__file__).parent
states = here / "smollm2-states.h5"

with h5py.File(sys.argv[1]) as f, h5py.File(states, "w") as out:
    levels = list(f["shuffle_levels"][...])
    s = [levels.index(level) for level in LEVELS]
    for name, value in f.attrs.items():
        out.attrs[name] = value
    out.attrs["origin"] = ("SmolLM2-135M-Instruct, Hugging Face, Apache-2.0; activations of one Debian document; "
                           "layers " + ", ".join(map(str, LAYERS)) + " of 0..30")
    source = f["hidden_states"]
    cut = out.create_dataset("hidden_states", (1, len(s), len(LAYERS)) + source.shape[3:], dtype=source.id.get_type(),
                             chunks=(1, 1, 1) + source.shape[3:], shuffle=True, compression="gzip", compression_opts=9)
    for a, level in enumerate(s):
        for b, layer in enumerate(LAYERS):
            raw = np.empty(source.shape[3:], np.uint16)  # bfloat16 bits, moved without conversion
            file_space = source.id.get_space()
            file_space.select_hyperslab((0, level, layer, 0, 0), (1, 1, 1) + raw.shape)
            memory = h5py.h5s.create_simple((1, 1, 1) + raw.shape)
            source.id.read(memory, file_space, raw, mtype=source.id.get_type())
            cut_space = cut.id.get_space()
            cut_space.select_hyperslab((0, a, b, 0, 0), (1, 1, 1) + raw.shape)
            cut.id.write(memory, cut_space, raw, mtype=source.id.get_type())
    cut.attrs["last_layer_normalized"] = source.attrs["last_layer_normalized"]
    out["prompt_ids"] = f["prompt_ids"][:1]
    out["shuffle_levels"] = np.array(LEVELS, np.int32)
    for name in ("loss", "token_loss", "entropy", "token_ids"):
        out[name] = f[name][:1][:, s]
    metric = f["logit_metric"][...]
    out.create_dataset("logit_metric", data=metric, shuffle=True, compression="gzip", compression_opts=9)

with h5py.File(sys.argv[1]) as f, h5py.File(states) as out:
    for a, level in enumerate(s):
        for b, layer in enumerate(LAYERS):
            assert (f["hidden_states"][0, level, layer] == out["hidden_states"][0, a, b]).all()
subprocess.run([sys.executable, sys.argv[2], states, here / "smollm2-reference.h5"], check=True)
