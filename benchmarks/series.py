#!/usr/bin/env python3
"""bench_cloud over tokens N and width D, on one core and on two at once; exponents of N and D; hours of the full study.

usage: series.py [--build build] [--tokens 256 512 ...] [--width 576 2048 ...] [--most 7e10] [--repeats 3] > series.csv
       series.py --fit series.csv          exponents and hours from rows that are there

Rows as those of bench_cloud; ranks 2: two processes at once, a core each. Clouds: gaussian, plane10, offset, bfloat16. Sizes with
N * N * D above --most are left out. Exponents: least squares in the logarithm over all rows of a kernel, for one rank.
Needs NumPy and h5py."""
import argparse
import csv
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile

import numpy as np

HERE = pathlib.Path(__file__).resolve().parent
KINDS = ["gaussian", "plane10", "offset"]
CLOUDS, CLOUD_BYTES = 2244 * 6 * 33, 1024 * 4096 * 2  # of the full study


def start(build, states, repeats, core):
    return subprocess.Popen(["taskset", "-c", str(core), build / "benchmarks" / "bench_cloud", states, str(repeats)],
                            stdout=subprocess.PIPE, text=True, env={**os.environ, "OPENBLAS_NUM_THREADS": "1"})


def measure(build, states, repeats, cores):
    """Rows of bench_cloud on these cores at once."""
    running = [start(build, states, repeats, core) for core in cores]
    rows = [row for process in running for row in csv.DictReader(process.communicate()[0].splitlines())]
    if any(process.returncode != 0 for process in running):
        sys.exit(f"bench_cloud failed on {states}")
    return [{**row, "ranks": len(cores)} for row in rows]


def run_series(args):
    cores = sorted(os.sched_getaffinity(0))[:2]
    out = None
    with tempfile.TemporaryDirectory() as directory:
        for n, d in [(n, d) for d in args.width for n in args.tokens if n * n * d <= args.most]:
            states = pathlib.Path(directory) / f"{n}x{d}.h5"
            subprocess.run([sys.executable, HERE / "make_clouds.py", states, *KINDS, "--tokens", str(n), "--width", str(d)], check=True)
            for used in (cores[:1], cores):
                for row in measure(args.build, states, args.repeats, used):
                    if out is None:
                        out = csv.DictWriter(sys.stdout, list(row))
                        out.writeheader()
                    out.writerow(row)
                    yield row
            states.unlink()


def print_exponents(rows):
    print("\n| kernel | ~ N^ | D^ | largest residual |\n|---|---|---|---|", file=sys.stderr)
    for kernel in dict.fromkeys(row["kernel"] for row in rows):
        chosen = [row for row in rows if row["kernel"] == kernel and int(row["ranks"]) == 1 and float(row["seconds"]) > 0]
        matrix = np.array([[1.0, np.log(int(row["n"])), np.log(int(row["d"]))] for row in chosen])
        values = np.log([float(row["seconds"]) for row in chosen])
        if np.linalg.matrix_rank(matrix) < 3:
            continue
        fit = np.linalg.lstsq(matrix, values, rcond=None)[0]
        worst = np.exp(abs(matrix @ fit - values).max())
        print(f"| {kernel} | {fit[1]:.2f} | {fit[2]:.2f} | x {worst:.2f} |", file=sys.stderr)


def busy_shares(path):
    """Ranks -> share of their time that the simulated hand-out lets ranks work on the full study."""
    with open(path) as file:
        return {int(row["ranks"]): float(row["useful_share"]) for row in csv.DictReader(file) if row["study"] == "full"}


def print_hours(rows):
    """Arithmetic of the full study, from clouds of 1024 x 4096 with as many ranks at once as were measured."""
    chosen = [row for row in rows if row["kernel"] == "all" and (int(row["n"]), int(row["d"])) == (1024, 4096)]
    if not chosen:
        print("no clouds of 1024 x 4096: no hours", file=sys.stderr)
        return
    seconds = {ranks: statistics.median(float(row["seconds"]) for row in chosen if int(row["ranks"]) == ranks)
               for ranks in {int(row["ranks"]) for row in chosen}}
    print(f"\nfull study: {CLOUDS} clouds, {CLOUDS * CLOUD_BYTES / 1e12:.2f} TB to read\n"
          "| cores | ms a cloud | busy | hours | GB/s to read |\n|---|---|---|---|---|", file=sys.stderr)
    shares = busy_shares(HERE / "results" / "handout-simulated.csv")
    for cores in (1, 16, 192):
        each = seconds[max(ranks for ranks in seconds if ranks <= cores)]
        whole = CLOUDS * each / cores / shares[cores]
        print(f"| {cores} | {1e3 * each:.1f} | {100 * shares[cores]:.1f} % | {whole / 3600:.3g} | {CLOUDS * CLOUD_BYTES / 1e9 / whole:.2g} |",
              file=sys.stderr)
    print("Cores beyond the measured ones are taken to be as fast as those: memory and files must keep up.", file=sys.stderr)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=pathlib.Path, default=pathlib.Path("build"))
    parser.add_argument("--tokens", type=int, nargs="+", default=[256, 512, 1024, 2048, 4096, 8192])
    parser.add_argument("--width", type=int, nargs="+", default=[576, 2048, 4096, 8192])
    parser.add_argument("--most", type=float, default=7e10)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--fit", type=pathlib.Path)
    args = parser.parse_args()
    rows = list(csv.DictReader(open(args.fit))) if args.fit else list(run_series(args))
    print_exponents(rows)
    print_hours(rows)


if __name__ == "__main__":
    main()
