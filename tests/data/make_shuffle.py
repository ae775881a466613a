"""Writes shuffle.h, the frozen permutations of tests/unit/test_shuffle.c, with NumPy's Philox.

python make_shuffle.py > shuffle.h
"""

import numpy as np

SEEDS = (0, 7, 20250117, 2**63 + 12345, 2**64 - 1)
IDS = (0, 3218, -1, 2**63 - 1, -(2**63))
LEVELS = (1, 2, 3)
LARGE = ((20250117, 3218, 4), (2**64 - 1, -(2**63), 5), (7, -1, 5))  # levels of a thousand tokens


def order(seed, prompt_id, level):
    """Which block stands where, as the specification defines it."""
    philox = np.random.Philox(key=np.array([seed, int(prompt_id) % 2**64], np.uint64),
                              counter=np.array([0, 0, 0, level], np.uint64))
    return np.argsort(philox.random_raw(4**level), kind="stable")


def main():
    assert np.random.Philox(key=[7, 3218], counter=[0, 0, 0, 2]).random_raw(1)[0] == 0x054990B5280C46AE
    cases = [(s, i, level) for level in LEVELS for s in SEEDS for i in IDS] + list(LARGE)
    print(f"/* Made by make_shuffle.py with NumPy {np.__version__}: the block that stands at each place.")
    print(" * Do not edit. */\n")
    print("/* clang-format off */")
    print("static const struct {\n  uint64_t seed;\n  int64_t id;\n  int level;")
    print("  const uint16_t *order;\n} cases[] = {")
    for seed, prompt_id, level in cases:
        shown = "INT64_MIN" if prompt_id == -(2**63) else f"{prompt_id}"
        numbers = [str(b) for b in order(seed, prompt_id, level)]
        lines, line = [], ""
        for a, number in enumerate(numbers):
            piece = number + (", " if a < len(numbers) - 1 else "")
            if len(line) + len(piece) > 110:
                lines.append(line.rstrip())
                line = ""
            line += piece
        lines.append(line)
        body = "\n      ".join(lines)
        print(f"    {{{seed}u, {shown}, {level},\n     (const uint16_t[]){{{body}}}}},")
    print("};\n/* clang-format on */")


main()
