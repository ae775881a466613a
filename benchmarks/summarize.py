#!/usr/bin/env python3
"""Medians over repeats of bench_cloud's and bench_python's CSV files as tables in milliseconds.

usage: summarize.py CSV [CSV ...]"""
import csv
import statistics
import sys

for path in sys.argv[1:]:
    rows = list(csv.DictReader(open(path)))
    clouds = sorted({row["cloud"] for row in rows}, key=int)
    kernels = list(dict.fromkeys(row["kernel"] for row in rows))
    print(f"\n{path}: median of {len({row['repeat'] for row in rows})} repeats, ms\n")
    print("| stage | " + " | ".join("cloud " + c for c in clouds) + " |\n|---|" + "---|" * len(clouds))
    median = {(k, c): 1e3 * statistics.median(float(r["seconds"]) for r in rows if (r["kernel"], r["cloud"]) == (k, c))
              for k in kernels for c in clouds}
    for k in kernels:
        print(f"| {k} | " + " | ".join(f"{median[k, c]:.2f}" for c in clouds) + " |")
    if "ssyrk" in kernels:  # pair by pair, so that the machine's speed cancels
        pair = {(r["cloud"], r["repeat"], r["kernel"]): float(r["seconds"]) for r in rows}
        ratios = [statistics.median(pair[c, n, "all"] / pair[c, n, "ssyrk"] for (d, n, k) in pair if d == c and k == "ssyrk")
                  for c in clouds]
        print("| all / ssyrk | " + " | ".join(f"{ratio:.2f}" for ratio in ratios) + " |")
