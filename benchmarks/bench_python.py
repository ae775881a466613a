#!/usr/bin/env python3
"""The same observables of the same clouds through scikit-learn and DADApy, in the way of the paper's notebooks.

usage: bench_python.py STATES.h5 [REPEATS]     OMP_NUM_THREADS=1 for one core

Rows as those of bench_cloud. Needs NumPy, h5py, scikit-learn, DADApy 0.3.4."""
import sys
import time

import dadapy
import h5py
import numpy as np
import sklearn
from sklearn.metrics import pairwise_distances
from sklearn.metrics.pairwise import cosine_similarity

K, SCALES = 32, 256
VERSIONS = f"numpy {np.__version__} scikit-learn {sklearn.__version__} DADApy 0.3.4"


def angles(x, lists):
    u, v = x[lists[:, 0]] - x, x[lists[:, 1]] - x
    cosine = (u * v).sum(1) / np.linalg.norm(u, axis=1) / np.linalg.norm(v, axis=1)
    return np.degrees(np.arccos(np.clip(cosine, -1, 1)))


def reciprocity(lists):
    n = len(lists)
    edges = np.zeros((n, n), bool)
    shares = []
    for k in range(K):
        edges[np.arange(n), lists[:, k]] = True
        shares.append((edges & edges.T).sum() / (n * (k + 1)))
    return shares


def overlap(a, b):
    return [np.mean([len(np.intersect1d(p[:k], q[:k])) for p, q in zip(a, b)]) / k for k in range(1, K + 1)]


def stages(x, before):
    """Yields (stage, seconds); the last is the neighbor lists."""
    start = time.perf_counter()

    def lap():
        nonlocal start
        seconds = time.perf_counter() - start
        start = time.perf_counter()
        return seconds

    distances = pairwise_distances(x)
    yield "distances", lap()
    order = distances.argsort(1)[:, 1:K + 1]
    yield "sorting", lap()
    data = dadapy.Data(distances=distances, maxk=300)
    data.return_id_scaling_gride(range_max=SCALES)
    yield "GRIDE", lap()
    cosines = cosine_similarity(x)
    cosines.mean(), cosines.std()
    yield "cosine", lap()
    angles(x, order)
    yield "angle", lap()
    reciprocity(order)
    overlap(before if before is not None else order, order)
    yield "list overlap", lap()
    yield "lists", order


def read_cloud(states, p, s, l, kind=np.float64):
    """A cloud of a hidden-state file. NumPy has no bfloat16: its bits are the upper half of a float32's."""
    if states.dtype.itemsize != 2 or states.id.get_type().get_fields()[1] != 7:
        return states[p, s, l].astype(kind)
    bits = np.empty(states.shape[3:], np.uint16)
    place = states.id.get_space()
    place.select_hyperslab((p, s, l, 0, 0), (1, 1, 1) + bits.shape)
    states.id.read(h5py.h5s.create_simple((1, 1, 1) + bits.shape), place, bits, mtype=states.id.get_type())
    return (bits.astype(np.uint32) << 16).view(np.float32).astype(kind)


def main():
    repeats = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    name = sys.argv[1].rsplit("/", 1)[-1]
    print("kernel,file,cloud,n,d,k,ranks,threads,repeat,seconds,verified,versions")
    with h5py.File(sys.argv[1]) as f:
        states = f["hidden_states"]
        for repeat in range(repeats):
            for cloud, (p, s, l) in enumerate(np.ndindex(states.shape[:3])):
                before = before if l > 0 else None
                x = read_cloud(states, p, s, l)
                total = 0.0
                for stage, value in stages(x, before):
                    if stage == "lists":
                        before = value
                        continue
                    total += value
                    print(f"{stage},{name},{cloud},{x.shape[0]},{x.shape[1]},{K},1,1,{repeat},{value:.6f},no,{VERSIONS}")
                print(f"all,{name},{cloud},{x.shape[0]},{x.shape[1]},{K},1,1,{repeat},{total:.6f},no,{VERSIONS}")


if __name__ == "__main__":
    main()
