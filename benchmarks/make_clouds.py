#!/usr/bin/env python3
"""Write a hidden-state file of benchmark clouds: one prompt, one level, one cloud a layer.

usage: make_clouds.py OUT.h5 [--tokens 1024] [--width 4096] [--type bfloat16|float32] [--copies 1] KIND [KIND ...]

Kinds: gaussian (iid), plane10 (10-dimensional, linearly embedded), offset (gaussian plus 2000 in three coordinates),
activations (like those of a language model: a spectrum that falls as 1 / rank, a common mean that makes the mean cosine about
one half, two coordinates 30 times as large as the others, a first token 50 times as long).
Needs NumPy and h5py."""
import argparse

import h5py
import numpy as np

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("out")
parser.add_argument("kinds", nargs="+", choices=["gaussian", "plane10", "offset", "activations"])
parser.add_argument("--tokens", type=int, default=1024)
parser.add_argument("--width", type=int, default=4096)
parser.add_argument("--type", choices=["bfloat16", "float32"], default="bfloat16")
parser.add_argument("--copies", type=int, default=1, help="clouds of each kind")
args = parser.parse_args()
rng = np.random.default_rng(1)
n, d = args.tokens, args.width


def cloud(kind):
    if kind == "plane10":
        return rng.random((n, 10)) @ rng.normal(size=(10, d))
    if kind == "activations":
        rank = np.arange(1, 257)
        x = (rng.normal(size=(n, 256)) / rank) @ rng.normal(size=(256, d)) + 0.3 * rng.normal(size=(n, d))
        x += rng.normal(size=d) * np.sqrt((x**2).mean())
        x[:, :2] *= 30
        x[0] *= 50
        return x
    x = rng.normal(size=(n, d))
    if kind == "offset":
        x[:, :3] += 2000.0
    return x


def to_bfloat16(x):
    """Bits of the nearest bfloat16, ties to even."""
    bits = x.astype(np.float32).view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)


layers = [kind for kind in args.kinds for _ in range(args.copies)]
with h5py.File(args.out, "w") as f:
    f.attrs["format"], f.attrs["format_version"], f.attrs["model"] = "tokengeom-hidden-states", 1, "bench"
    f["prompt_ids"], f["shuffle_levels"] = np.array([0], np.int64), np.array([0], np.int32)
    f["loss"] = np.zeros((1, 1), np.float32)
    if args.type == "float32":
        f["hidden_states"] = np.stack([cloud(kind) for kind in layers]).astype(np.float32)[None, None]
    else:
        kind_of = h5py.h5t.IEEE_F32LE.copy()
        kind_of.set_fields(15, 7, 8, 0, 7)
        kind_of.set_size(2)
        kind_of.set_ebias(127)
        space = h5py.h5s.create_simple((1, 1, len(layers), n, d))
        raw = h5py.h5d.create(f.id, b"hidden_states", kind_of, space)
        raw.write(h5py.h5s.ALL, h5py.h5s.ALL, np.stack([to_bfloat16(cloud(kind)) for kind in layers])[None, None], mtype=kind_of)
