#!/usr/bin/env python3
"""Pictures of the benchmarks, drawn from their CSV files alone.

usage: plot.py --series series.csv --peers peers.csv [--out docs]

stages.png: stages of a cloud beside ssyrk, the clouds of 1024 tokens; ratio.png: all / ssyrk, pair by pair, over N for each D;
peers.png: seconds a cloud of other programs. Medians over clouds and repeats, one rank. Needs matplotlib."""
import argparse
import csv
import pathlib
import statistics

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

NOT_STAGES = {"all", "ssyrk"}


def load(path):
    with open(path) as file:
        return list(csv.DictReader(file))


def median_ms(rows, **wanted):
    """Median over the rows whose columns are as wanted; 0 where there are none."""
    found = [float(row["seconds"]) for row in rows if all(row[name] == str(value) for name, value in wanted.items())]
    return 1e3 * statistics.median(found) if found else 0.0


def numbers(rows, name):
    return sorted({int(row[name]) for row in rows})


def save(figure, path):
    figure.tight_layout()
    figure.savefig(path, dpi=120, metadata={"Software": None})
    plt.close(figure)
    print(path)


def draw_stages(rows, out):
    rows = [row for row in rows if row["ranks"] == "1" and row["n"] == "1024"]
    widths = numbers(rows, "d")
    figure, axes = plt.subplots(figsize=(7, 4))
    below = [0.0] * len(widths)
    for stage in dict.fromkeys(row["kernel"] for row in rows if row["kernel"] not in NOT_STAGES):
        heights = [median_ms(rows, kernel=stage, d=d) for d in widths]
        axes.bar([a - 0.2 for a in range(len(widths))], heights, 0.38, below, label=stage)
        below = [a + b for a, b in zip(below, heights)]
    axes.bar([a + 0.2 for a in range(len(widths))], [median_ms(rows, kernel="ssyrk", d=d) for d in widths], 0.38,
             color="white", edgecolor="black", hatch="//", label="cblas_ssyrk alone")
    axes.set_xticks(range(len(widths)), [f"1024 x {d}" for d in widths])
    axes.set_ylabel("ms a cloud, one core")
    axes.legend(fontsize=8)
    save(figure, out / "stages.png")


def ratio(rows, n, d):
    """Median of all / ssyrk of the same cloud and repeat, so that the machine's speed cancels; None without rows."""
    pairs = {}
    for row in rows:
        if (row["n"], row["d"]) == (str(n), str(d)) and row["kernel"] in NOT_STAGES:
            pairs.setdefault((row["cloud"], row["repeat"]), {})[row["kernel"]] = float(row["seconds"])
    found = [pair["all"] / pair["ssyrk"] for pair in pairs.values() if len(pair) == 2]
    return statistics.median(found) if found else None


def draw_ratios(rows, out):
    rows = [row for row in rows if row["ranks"] == "1"]
    figure, axes = plt.subplots(figsize=(6, 4))
    for d in numbers(rows, "d"):
        points = [(n, ratio(rows, n, d)) for n in numbers(rows, "n")]
        points = [point for point in points if point[1] is not None]
        axes.plot(*zip(*points), "o-", label=f"D = {d}")
    axes.set_xscale("log")
    axes.set_xticks(numbers(rows, "n"), numbers(rows, "n"), minor=False)
    axes.minorticks_off()
    axes.set_yscale("log")
    axes.axhline(1.0, color="0.6", lw=0.8)
    axes.set_xlabel("tokens N")
    axes.set_ylabel("everything / cblas_ssyrk")
    axes.legend()
    save(figure, out / "ratio.png")


def draw_peers(rows, out):
    names = {"ssyrk": "cblas_ssyrk (Gram matrix alone)", "all": "tokengeom, everything", "faiss": "FAISS exact, lists of 256 alone",
             "sklearn": "scikit-learn brute force, lists of 256 alone", "published": "scikit-learn + DADApy, everything"}
    bars = [(f"{text}, {row['threads']} thread" + "s" * (row["threads"] != "1"), median_ms(rows, kernel=kernel, threads=row["threads"]))
            for kernel, text in names.items()
            for row in {r["threads"]: r for r in rows if r["kernel"] == kernel}.values()]
    figure, axes = plt.subplots(figsize=(8, 0.5 + 0.45 * len(bars)))
    drawn = axes.barh([name for name, _ in bars], [value for _, value in bars], color="C0")
    axes.bar_label(drawn, fmt="%.3g", padding=3)
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.margins(x=0.15)
    axes.set_xlabel(f"ms a cloud of {rows[0]['n']} x {rows[0]['d']}")
    save(figure, out / "peers.png")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--series", type=pathlib.Path)
    parser.add_argument("--peers", type=pathlib.Path, nargs="+")
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("docs"))
    args = parser.parse_args()
    if args.series:
        draw_stages(load(args.series), args.out)
        draw_ratios(load(args.series), args.out)
    if args.peers:
        draw_peers([row for path in args.peers for row in load(path)], args.out)


if __name__ == "__main__":
    main()
