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


repeats = int(sys.argv[2]) if len(sys.argv) > 2 else 1
name = sys.argv[1].rsplit("/", 1)[-1]
print("kernel,file,cloud,n,d,k,ranks,threads,repeat,seconds,verified,versions")
versions = f"numpy {np.__version__} scikit-learn {sklearn.__version__} DADApy 0.3.4"
with h5py.File(sys.argv[1]) as f:
    states = f["hidden_states"]
    for repeat in range(repeats):
        cloud = 0
        for p in range(states.shape[0]):
            for s in range(states.shape[1]):
                before = None
                for l in range(states.shape[2]):
                    x = states[p, s, l].astype(np.float64)
                    total = 0.0
                    for stage, value in stages(x, before):
                        if stage == "lists":
                            before = value
                            continue
                        total += value
                        print(f"{stage},{name},{cloud},{x.shape[0]},{x.shape[1]},{K},1,1,{repeat},{value:.6f},no,{versions}")
                    print(f"all,{name},{cloud},{x.shape[0]},{x.shape[1]},{K},1,1,{repeat},{total:.6f},no,{versions}")
                    cloud += 1
