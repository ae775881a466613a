#!/usr/bin/env python3
"""Loss, entropy and intrinsic dimension by prompt and shuffle level, from a result file, as CSV; facts about them on stderr.

    mpirun -n 2 build/tokengeom run config/smollm2.yaml --set shuffle.levels=all --set 'prompts=[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]'
    benchmarks/levels.py results-smollm2.h5 > benchmarks/results/smollm2-levels.csv"""
import sys

import h5py
import numpy as np


def main():
    with h5py.File(sys.argv[1]) as file:
        (model,) = file["models"].values()
        prompts, levels = model["prompt_id"][...], model["shuffle"][...]
        loss, entropy = model["loss"][...], model["logits/entropy"][...]
        gride = model["intrinsic_dimension/gride/value"][..., 0]
        logit = model["logits/gride/value"][..., 0]
    n_layers = gride.shape[2]
    print("prompt,shuffle,loss,entropy,logit_id," + ",".join(f"id_{layer}" for layer in range(n_layers)))
    for p, prompt in enumerate(prompts):
        for s, level in enumerate(levels):
            numbers = [loss[p, s], entropy[p, s], logit[p, s], *gride[p, s]]
            print(f"{prompt},{level}," + ",".join(f"{x:.6g}" for x in numbers))
    upper = gride[:, :, n_layers // 2:]
    say = lambda text: print(text, file=sys.stderr)
    say(f"mean loss by level {levels}: {loss.mean(0).round(3)}")
    say(f"prompts whose loss grows with every level: {(np.diff(loss, axis=1) > 0).all(1).sum()} of {len(prompts)}")
    say(f"mean ID over layers {n_layers // 2}..{n_layers - 1} by level: {upper.mean((0, 2)).round(3)}")
    say(f"layers of these whose mean ID is larger at S = {levels[-1]} than at S = {levels[0]}: "
        f"{(upper[:, -1].mean(0) > upper[:, 0].mean(0)).sum()} of {upper.shape[2]}")


if __name__ == "__main__":
    main()
