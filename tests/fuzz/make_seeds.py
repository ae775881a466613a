"""Makes the HDF5 seeds of the fuzzing: hidden-state files of every layout and file format, as small as they can be.

    /usr/bin/python3 tests/fuzz/make_seeds.py        # needs h5py, NumPy; writes tests/fuzz/seeds/*.h5"""
import pathlib
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
        file["group/up"] = file["/"]


seed("contiguous.h5", kind="bfloat16", **scalars)
seed("chunked.h5", kind="float16", chunks=(1, 1, 1, 3, 2), filters=("shuffle", "gzip", "fletcher32"), loss=np.ones((2, 2)))
seed("metric.h5", kind="float32", logit_metric=np.eye(3))
seed("unembedding.h5", kind="float32", chunks=(1, 2, 1, 5, 3), unembedding=np.ones((4, 3)))
modern("v18.h5", ("earliest", "v108"), chunks=(1, 1, 2, 5, 3), compression="gzip")
modern("v110.h5", "v110", chunks=(1, 1, 1, 5, 3), maxshape=(None, 2, 2, 5, 3), fletcher32=True)
modern("latest.h5", "v110", chunks=(1, 1, 1, 2, 3), maxshape=(None, None, 2, 5, 3))
