"""A cloud of more than 2^31 bytes, which HDF5's MPI driver cannot move in one piece. Needs 9 GB of memory and 5 GB of disk.

Oracle: the numbers that were written, byte for byte."""
import h5py
import numpy as np
import support
from support import files

TOKENS, WIDTH = 65536, 8193  # float32: 2^31 + 2^18 bytes
PANEL = 4096


def panel(first):
    """Numbers that differ from place to place, for rows first..first+PANEL-1."""
    rows = np.arange(first, first + PANEL, dtype=np.uint32)[:, None]
    return ((rows * np.uint32(2654435761) + np.arange(WIDTH, dtype=np.uint32) * np.uint32(40503)) >> np.uint32(8)).astype("f4")


class Large(support.Case):
    def test_a_cloud_above_two_gigabytes(self):
        """Read as a run reads it and written as extract does; the same on the way from a file in chunks."""
        for chunks in (None, (1, 1, 1, 1024, WIDTH)):
            with self.subTest(chunks=chunks), h5py.File(self.path("a.h5"), "w") as file:
                file.attrs.update({"format": "tokengeom-hidden-states", "format_version": np.int32(1), "model": "model"})
                states = file.create_dataset("hidden_states", (1, 1, 1, TOKENS, WIDTH), "<f4", chunks=chunks)
                file["prompt_ids"], file["shuffle_levels"] = np.array([3]), np.array([0], "i4")
                for first in range(0, TOKENS, PANEL):
                    states[0, 0, 0, first:first + PANEL] = panel(first)
            out = self.path("out.h5")
            self.run_ok("extract", self.config(files("a.h5")), "--out", out, "--type", "float32", "--force", ranks=1, timeout=300)
            with h5py.File(out) as file:
                for first in range(0, TOKENS, PANEL):
                    self.assertTrue((file["hidden_states"][0, 0, 0, first:first + PANEL] == panel(first)).all(), first)


support.main()
