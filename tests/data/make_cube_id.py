#!/usr/bin/env python3
"""The plain 2NN estimate (Facco et al., Sci. Rep. 7, 12140 (2017), maximum likelihood) of 1024 uniform points in a cube:
mean and standard deviation over 200 NumPy seeds, the frozen values of tests/run/test_synthetic.py. The 2NN estimate
is GRIDE at scale 2. At 10 and 20 dimensions most points are near the cube's boundary and the estimate is biased low.

usage: make_cube_id.py   (a minute; prints one line a dimension)"""
import numpy as np
from scipy.spatial import cKDTree

POINTS, SEEDS, DIMENSIONS = 1024, 200, (2, 5, 10, 20)


def two_nn(x):
    """(M - 1) / sum ln mu; mu of the points below GRIDE's limit q50 + 20 (q95 - q50)."""
    distances = cKDTree(x).query(x, 3)[0]
    mu = distances[:, 2] / distances[:, 1]
    q50, q95 = np.percentile(mu, [50, 95])
    mu = mu[mu < q50 + 20 * (q95 - q50)]
    return (len(mu) - 1) / np.log(mu).sum()


if __name__ == "__main__":
    print(f"# NumPy {np.__version__}, {POINTS} points, {SEEDS} seeds: dimension, mean, standard deviation")
    for d in DIMENSIONS:
        values = [two_nn(np.random.default_rng([d, seed]).uniform(size=(POINTS, d))) for seed in range(SEEDS)]
        print(f"{d}: ({np.mean(values):.6f}, {np.std(values, ddof=1):.6f}),")
