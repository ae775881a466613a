#!/usr/bin/env python3
"""Seconds a cloud of tokengeom and of its peers on the same clouds in the same run.

usage: compare_peers.py STATES.h5 [--build build] [--threads 1] [--repeats 3] [--clouds 8] > peers.csv

Rows as those of bench_cloud. faiss: exact flat index, float32, the nearest 256 and the token itself; sklearn: the same by
NearestNeighbors(brute); published: scikit-learn's distances, DADApy's GRIDE, cosine, angles, overlap of consecutive layers and
reciprocity for k = 1..32 (bench_python.py); ssyrk, all and the stages: bench_cloud, one thread; program: a run's wall time less
that of a run on one tiny cloud, by the number of clouds. Ratios and the two wall times come on stderr.
Needs NumPy, h5py, scikit-learn, DADApy 0.3.4, faiss-cpu."""
import argparse
import csv
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("states", type=pathlib.Path)
parser.add_argument("--build", type=pathlib.Path, default=pathlib.Path("build"))
parser.add_argument("--threads", type=int, default=1, help="of the peers; the ranks of the program are 1 and 2")
parser.add_argument("--repeats", type=int, default=3)
parser.add_argument("--clouds", type=int, default=8, help="the peers take the first ones only")
args = parser.parse_args()
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ[name] = str(args.threads)  # before NumPy is loaded
CORES = sorted(os.sched_getaffinity(0))

import bench_python
import faiss
import h5py
import numpy as np
from sklearn.neighbors import NearestNeighbors

HERE = pathlib.Path(__file__).resolve().parent
COLUMNS = "kernel,file,cloud,n,d,k,ranks,threads,repeat,seconds,verified,commit,cpu,blas".split(",")
NEIGHBORS = 257


def seconds_of(call):
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def search_faiss(x):
    index = faiss.IndexFlatL2(x.shape[1])
    index.add(x)
    index.search(x, min(NEIGHBORS, len(x)))


def search_sklearn(x):
    NearestNeighbors(n_neighbors=min(NEIGHBORS, len(x)), algorithm="brute").fit(x).kneighbors(x)


def peers(states, repeat):
    """Rows of all peers on the first clouds."""
    before = None
    for cloud, (p, s, l) in enumerate(np.ndindex(states.shape[:3])):
        if cloud == args.clouds:
            return
        x = bench_python.read_cloud(states, p, s, l, np.float32)
        found = {"faiss": seconds_of(lambda: search_faiss(x)), "sklearn": seconds_of(lambda: search_sklearn(x))}
        stages = dict(bench_python.stages(x.astype(np.float64), before if l > 0 else None))
        before = stages.pop("lists")
        found["published"] = sum(stages.values())
        found |= {f"published {stage}": value for stage, value in stages.items()}
        for kernel, value in found.items():
            k = NEIGHBORS if kernel in ("faiss", "sklearn") else bench_python.K
            yield {"kernel": kernel, "cloud": cloud, "n": x.shape[0], "d": x.shape[1], "k": k, "ranks": 1,
                   "threads": args.threads, "repeat": repeat, "seconds": f"{value:.6f}", "verified": "no",
                   "blas": f"{bench_python.VERSIONS} faiss {faiss.__version__}"}


def bench_cloud():
    """One repeat of bench_cloud, after its warming up."""
    out = subprocess.run([args.build / "benchmarks" / "bench_cloud", args.states, "1"], capture_output=True, text=True, check=True)
    return list(csv.DictReader(out.stdout.splitlines()))


def wall_time(states, ranks, directory):
    config = directory / "study.yaml"
    config.write_text(json.dumps({"output": str(directory / "results.h5"), "models": [
        {"name": "bench", "source": {"kind": "hdf5", "files": [str(states.resolve())]}}]}))
    command = ["mpirun", "--oversubscribe", "--bind-to", "none", "-n", str(ranks), args.build / "tokengeom", "run", config, "--force"]
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    return seconds_of(lambda: subprocess.run(command, capture_output=True, check=True, env=environment))


def program(shape, repeat, directory):
    """Rows of the whole program on 1 and 2 ranks."""
    tiny = directory / "tiny.h5"
    if not tiny.exists():
        subprocess.run([sys.executable, HERE / "make_clouds.py", tiny, "gaussian", "--tokens", "32", "--width", "16"], check=True)
    clouds = int(np.prod(shape[:3]))
    for ranks in (1, 2):
        os.sched_setaffinity(0, CORES[:ranks])
        run, start = wall_time(args.states, ranks, directory), wall_time(tiny, ranks, directory)
        print(f"{ranks} ranks: {run:.2f} s for {clouds} clouds, {start:.2f} s for a tiny one", file=sys.stderr)
        yield {"kernel": "program", "cloud": -1, "n": shape[3], "d": shape[4], "k": bench_python.K, "ranks": ranks,
               "threads": 1, "repeat": repeat, "seconds": f"{(run - start) / clouds:.6f}", "verified": "no"}


def print_ratios(rows):
    """Medians over clouds and repeats, beside tokengeom's on the clouds that the peers had."""
    groups = {}
    for row in rows:
        if int(row["cloud"]) < args.clouds:
            groups.setdefault((row["kernel"], int(row["ranks"]), int(row["threads"])), []).append(float(row["seconds"]))
    own = statistics.median(groups["all", 1, 1])
    print("\n| | ranks | threads | ms a cloud | by tokengeom's |\n|---|---|---|---|---|", file=sys.stderr)
    for (kernel, ranks, threads), values in groups.items():
        middle = statistics.median(values)
        print(f"| {kernel} | {ranks} | {threads} | {1e3 * middle:.2f} | {middle / own:.2f} |", file=sys.stderr)


def main():
    os.sched_setaffinity(0, CORES[:args.threads])
    faiss.omp_set_num_threads(args.threads)
    rows = []
    out = csv.DictWriter(sys.stdout, COLUMNS, restval="")
    out.writeheader()
    with h5py.File(args.states) as file, tempfile.TemporaryDirectory() as directory:
        states = file["hidden_states"]
        for repeat in range(args.repeats):
            os.sched_setaffinity(0, CORES[:args.threads])
            own = [{**row, "repeat": repeat} for row in bench_cloud()]
            others = [*peers(states, repeat), *program(states.shape, repeat, pathlib.Path(directory))]
            fixed = {"file": args.states.name, "commit": own[0]["commit"], "cpu": own[0]["cpu"]}
            rows += own + [{"blas": own[0]["blas"], **row, **fixed} for row in others]
        out.writerows(rows)
    print_ratios(rows)


if __name__ == "__main__":
    main()
