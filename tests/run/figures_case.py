"""What tests of figures share: small studies, CSVs read and held against figures_oracle.py."""
import csv
import hashlib
import importlib.util
import math

import figures_oracle as oracle
import h5py
import numpy as np
import support
from support import clouds, write_states

TOLERANCE = 1e-9
BOOTSTRAP = 50
KEYS = ["figure", "panel", "title", "caption", "units"]
HAS_MATPLOTLIB = importlib.util.find_spec("matplotlib") is not None


def read_csv(path):
    """Comments (key, text) in order, columns, rows of text."""
    lines = path.read_text().splitlines()
    comments = [line[2:].partition(": ")[::2] if ": " in line else (line[2:].rstrip(":"), "") for line in lines if line[0] == "#"]
    rest = lines[len(comments):]
    return comments, rest[0], list(csv.reader(rest[1:]))


def same_cell(text, expected):
    if isinstance(expected, (set, frozenset)):  # any of these
        return any(same_cell(text, one) for one in expected)
    if isinstance(expected, str):
        return text == expected
    if isinstance(expected, (int, np.integer)):
        return text == str(expected)
    if not math.isfinite(expected):
        return text == "nan"
    return abs(float(text) - expected) <= TOLERANCE * max(1.0, abs(expected))


class Figures(support.Case):
    """Small studies of stored states."""

    def states(self, name="a.h5", prompts=12, levels=3, layers=32, seed=1, ids=None, logits=True, bad=None, **others):
        """12 prompts, 32 clouds of 24 tokens. bad: (prompt, level, layer) that is NaN"""
        random, tokens, width = np.random.default_rng(seed), 24, 8
        hidden = clouds(prompts, levels, layers, tokens, width, seed)
        if bad:
            hidden[bad] = np.nan
        if logits:
            others.setdefault("entropy", random.random((prompts, levels, tokens)) + 1)
            others.setdefault("unembedding", random.normal(size=(20, width)))
            others.setdefault("token_ids", random.integers(0, 20, (prompts, levels, tokens)))
        others.setdefault("loss", random.random((prompts, levels)) + 2)
        return write_states(self.path(name), hidden, ids=np.arange(prompts) * 7 + 3211 if ids is None else ids, **others)

    def measure(self, *models, ranks=None, output="results.h5", **sections):
        sections = {"statistics": {"bootstrap": BOOTSTRAP, "seed": 1},
                    "observables": {"scales": [2, 4, 8, 16], "overlap_k": 8, "angle_layers": [10]},
                    "figures": {"formats": ["csv"]}, **sections}
        config = self.config(*models, name=output + ".yaml", output=str(self.path(output)), **sections)
        self.run_ok("run", config, "--force", ranks=ranks, timeout=120)
        return self.path(output)

    def draw(self, *arguments, out="figures", **options):
        result = self.run_ok("figures", *arguments, "--out", self.path(out), "--set", "figures.formats=[csv]", **options)
        return result, {path.stem: path for path in sorted(self.path(out).glob("*.csv"))}

    def check(self, paths, found, **options):
        """All CSVs against the oracle: which there are, comments, columns, rows."""
        expected = oracle.panels(paths, bootstrap=BOOTSTRAP, **options)
        self.assertEqual(sorted(found), sorted(expected))
        for name, (columns, rows) in expected.items():
            comments, header, got = read_csv(found[name])
            self.check_comments(name, comments, paths)
            self.assertEqual(header, columns, name)
            self.assertEqual(len(got), len(rows), name)
            for number, (row, wanted) in enumerate(zip(got, rows)):
                self.assertTrue(len(row) == len(wanted) and all(map(same_cell, row, wanted)), f"{name} row {number}: {row} {wanted}")

    def check_comments(self, name, comments, paths):
        keys = [key for key, _ in comments]
        panel = name.split("_", 1) if "_" in name else [name, ""]
        self.assertEqual(keys[:5] + keys[-1:], KEYS + ["config_sha256"], name)
        self.assertEqual([comments[0][1], comments[1][1]], panel)
        self.assertTrue(all(text for _, text in comments[2:]), name)
        self.assertLessEqual(set(keys[5:-1]), {"source", "algorithm"}, name)
        with h5py.File(paths[0]) as file:
            self.assertEqual(comments[-1][1], hashlib.sha256(file["provenance/config_values"][()]).hexdigest())
        sources = [text for key, text in comments if key == "source"]
        self.assertEqual(len(sources), len(set(sources)), name)
        self.assertTrue(sources or name == "fig01_shuffle", name)
        for source in sources:
            held = 0
            for path in paths:
                with h5py.File(path) as file:
                    held += source in file
            self.assertEqual(held, 1, f"{name}: {source}")

    def caption(self, path):
        return dict(read_csv(path)[0])["caption"]
