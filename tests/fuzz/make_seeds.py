"""Makes seeds of the fuzzing: hidden-state files of every layout and file format, as small as they can be, and prompts of every kind.

    /usr/bin/python3 tests/fuzz/make_seeds.py        # needs h5py, NumPy, zstd; writes tests/fuzz/seeds/*.h5, prompts-*"""
import bz2
import gzip
import lzma
import pathlib
import subprocess
import sys

import h5py
import numpy as np

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "run"))
import support  # noqa: E402

sys.dont_write_bytecode = True
SHAPE = (2, 2, 2, 5, 3)
hidden = support.clouds(*SHAPE)
scalars = {"loss": np.ones(SHAPE[:2]), "entropy": np.ones((2, 2, 5)), "token_ids": np.ones((2, 2, 5)),
           "token_loss": np.ones((2, 2, 4)), "n_tokens": np.array([5, 4])}


def seed(name, **how):
    return support.write_states(HERE / "seeds" / name, hidden, **how)


def modern(name, libver, **how):
    """The same in a newer file format, with dense attributes, variable strings, links and a fill value."""
    with h5py.File(HERE / "seeds" / name, "w", libver=libver) as file:
        file.attrs["format"] = "tokengeom-hidden-states"
        file.attrs["format_version"] = 1
        file.attrs["model"] = "model"
        for a in range(12):
            file.attrs[f"a{a}"] = a
        states = file.create_dataset("kept", data=hidden, **how)
        states.attrs["last_layer_normalized"] = 1
        states.make_scale("states")
        file["hidden_states"] = h5py.SoftLink("/kept")
        for key, values in {"prompt_ids": np.arange(2), "shuffle_levels": np.arange(2, dtype="i4"), "loss": np.ones((2, 2)),
                            "text": "some text", "texts": np.array([b"a", b"bc"])}.items():
            file[key] = values
        file["prompt_group"] = np.array(["Pile-CC", ""], dtype=h5py.string_dtype())
        file["group/up"] = file["/"]


seed("contiguous.h5", kind="bfloat16", **scalars)
seed("chunked.h5", kind="float16", chunks=(1, 1, 1, 3, 2), filters=("shuffle", "gzip", "fletcher32"), loss=np.ones((2, 2)))
with h5py.File(seed("metric.h5", kind="float32", logit_metric=np.eye(3)), "a") as file:
    file["prompt_group"] = np.array([b"Pile-CC", b"a"])
seed("unembedding.h5", kind="float32", chunks=(1, 2, 1, 5, 3), unembedding=np.ones((4, 3)))
modern("v18.h5", ("earliest", "v108"), chunks=(1, 1, 2, 5, 3), compression="gzip")
modern("v110.h5", "v110", chunks=(1, 1, 1, 5, 3), maxshape=(None, 2, 2, 5, 3), fletcher32=True)
modern("latest.h5", "v110", chunks=(1, 1, 1, 2, 3), maxshape=(None, None, 2, 5, 3))

# The first byte is the name's: odd JSON lines, even a text.
pile = b'{"text": "some words", "meta": {"pile_set_name": "Pile-CC"}}\n{"token_ids": [1, 2], "meta": [1, {"a": "\\u4e2d"}]}\n{"text": "b", "group": "g"}\n'
zstd = subprocess.run(["zstd", "-c"], input=pile, stdout=subprocess.PIPE, check=True).stdout
for name, first, data in (("pile", b"1", pile), ("gz", b"1", gzip.compress(pile, mtime=0)), ("zst", b"1", zstd), ("xz", b"1", lzma.compress(pile)),
                          ("bz2", b"0", bz2.compress(b"a text\n")), ("bom", b"0", b"\xef\xbb\xbf a text\n"), ("parquet", b"0", b"PAR1 and more")):
    (HERE / "seeds" / f"prompts-{name}").write_bytes(first + data)
