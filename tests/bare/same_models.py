#!/usr/bin/env python3
"""Whether two result files of one study, of builds with other libraries or compilers, hold the same numbers under /models.

    same_models.py ONE.h5 OTHER.h5

Every dataset has the same bytes, but what the README says may differ in its last digits with another kernel or library:
cosine_similarity/std within 1e-6, logits, and what is computed from them."""
import sys

import h5py
import numpy as np

MAY_DIFFER = ("cosine_similarity/std", "logits/gride")


def datasets(path):
    found = {}
    with h5py.File(path) as file:
        file["models"].visititems(lambda name, item: found.update({name: item[()]} if isinstance(item, h5py.Dataset) else {}))
    return found


def is_same(name, one, other):
    if one.shape != other.shape or one.dtype != other.dtype:
        return False
    if one.tobytes() == other.tobytes():
        return True
    return any(part in name for part in MAY_DIFFER) and np.allclose(one, other, rtol=0, atol=1e-6, equal_nan=True)


def main():
    one, other = map(datasets, sys.argv[1:])
    wrong = sorted(set(one) ^ set(other)) + [name for name in sorted(set(one) & set(other)) if not is_same(name, one[name], other[name])]
    moved = [name for name in one if name in other and one[name].tobytes() != other[name].tobytes()]
    print(f"{sys.argv[2]}: {len(one)} datasets, {len(one) - len(moved)} the same bytes as in {sys.argv[1]}; others: {', '.join(moved) or 'none'}")
    if wrong or not one:
        sys.exit(f"not the same: {', '.join(wrong) or 'nothing to compare'}")


if __name__ == "__main__":
    main()
