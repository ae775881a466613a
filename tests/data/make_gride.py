"""Writes gride.h, the frozen values of tests/unit/test_gride.c, with DADApy 0.3.4.

python make_gride.py > gride.h
"""

import platform
import sys
from importlib.metadata import version

import numpy as np
from dadapy import Data


def gaussian(n, d, seed):
    """Points that the header can hold: multiples of 2^-10, so that squared distances have no rounding."""
    return np.round(np.random.default_rng(seed).standard_normal((n, d)) * 1024) / 1024


def near_pair():
    """62 points, two of them 2^-10 apart: their ratios are beyond the filter's limit and fewer than 5 %."""
    x = gaussian(62, 4, 11)
    x[1] = x[0] + [2.0**-10, 0, 0, 0]
    return x


def ties():
    """40 points, two squares (r_1 = r_2) and two crosses (r_1 = .. = r_4 at the center), all far from each other."""
    square = np.array([[0, 0], [0, 1], [1, 0], [1, 1]]) / 4
    cross = np.array([[0, 0], [0, 1], [1, 0], [0, -1], [-1, 0]]) / 8
    parts = [gaussian(40, 2, 12), square + [20, 0], square + [0, 30], cross - [25, 0], cross - [0, 40]]
    return np.concatenate(parts)


CASES = {
    "three points": np.array([[0, 0], [1, 0.5], [2.5, -1]]),
    "four points": np.array([[0, 0, 0], [1, 0.5, 0], [2, -1, 0.25], [-0.75, 2, 1]]),
    "five points": np.array([[0, 0, 0], [1, 0.5, 0], [2, -1, 0.25], [-0.75, 2, 1], [0.5, 1.5, -2]]),
    "near pair": near_pair(),
    "ties": ties(),
    "Gaussian": gaussian(100, 5, 13),
}


def estimates(x):
    """Value, error and radius at scales 2, 4, .. that n points have, from distances by direct differences."""
    n = len(x)
    distances = np.sqrt(((x[:, None, :] - x[None, :, :]) ** 2).sum(axis=2))
    order = np.argsort(distances, axis=1, kind="stable")
    nearest = np.take_along_axis(distances, order, axis=1)
    scale = min(32, 2 ** int(np.log2(n - 1)))
    data = Data(distances=(nearest, order), maxk=n - 1)
    return np.array(data.return_id_scaling_gride(range_max=scale)).T, nearest


def effects(nearest, n2):
    """How many points have mu = 1 and how many the filter leaves out."""
    mu = nearest[:, n2] / nearest[:, n2 // 2]
    ones = int((mu == 1).sum())
    mu[mu == 1] += 10 * np.finfo(float).eps
    q95, q50 = np.percentile(mu, [95, 50])
    return ones, int((mu >= 20 * (q95 - q50) + q50).sum())


def main():
    if version("dadapy") != "0.3.4":
        sys.exit("the frozen values are those of DADApy 0.3.4")
    points, cases, rows = [], [], []
    for name, x in CASES.items():
        table, nearest = estimates(x)
        cases.append(f'    {{"{name}", {len(x)}, {x.shape[1]}, {len(points)}, {len(table)}, {len(rows)}}},')
        points += [f"{v:.10f}".rstrip("0").rstrip(".") if v else "0" for v in x.ravel()]
        for step, (value, error, radius) in enumerate(table):
            ones, left_out = effects(nearest, 2 ** (step + 1))
            numbers = ", ".join(float(v).hex() for v in (value, error, radius))
            rows.append(f"    {{{numbers}, {ones}, {left_out}}},")
    print(f"/* Made by make_gride.py with DADApy 0.3.4, NumPy {np.__version__}, Python {platform.python_version()}.")
    print(" * Do not edit; the types are in tests/unit/test_gride.c. */\n\n/* clang-format off */")
    print("static const double frozen_points[] = {")
    for start in range(0, len(points), 8):
        print("    " + ", ".join(points[start : start + 8]) + ",")
    print("};\n\n/* value, error, radius; points with mu = 1; points that the filter leaves out */")
    print("static const frozen_scale frozen_scales[] = {", *rows, "};", sep="\n")
    print("\n/* name, points, coordinates, place of the first coordinate; scales 2, 4, .., place of the first */")
    print("static const frozen_cloud frozen_clouds[] = {", *cases, "};", sep="\n")
    print("/* clang-format on */")


main()
