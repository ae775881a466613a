"""What the whole-program tests share: running the program, making inputs, comparing files.

The program is $TOKENGEOM (default: build/tokengeom). A test program exits with 77 when all of its tests were skipped."""
import contextlib
import functools
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import unittest

import h5py
import numpy as np

HERE = pathlib.Path(__file__).resolve().parent
SOURCE = HERE.parent.parent
DATA = SOURCE / "tests" / "data"
PROGRAM = os.environ.get("TOKENGEOM", str(SOURCE / "build" / "tokengeom"))
MPIEXEC = os.environ.get("MPIEXEC", "mpirun")
LINKED = subprocess.run(["ldd", PROGRAM], capture_output=True, text=True).stdout
SANITIZED, THREAD_SANITIZED = "libasan" in LINKED, "libtsan" in LINKED
PATIENCE = 6 if SANITIZED or THREAD_SANITIZED else 4  # times longer than on an idle machine is waited, for all that must come

# Exit statuses of the program.
OK, USAGE, BAD_DATA, NO_INPUT, INTERNAL, IO, STOPPED, CONFIG = 0, 64, 65, 66, 70, 74, 75, 78
DONE, WITH_REASONS, BAD = 1, 2, 3  # values of `status`


# ---- running ------------------------------------------------------------------------------------------------------


class Result:
    """A finished process. errors: the program's own lines on stderr, without the launcher's."""

    def __init__(self, command, code, out, err):
        err = err.replace("\0", "")  # Open MPI 5 ends its own word about MPI_Abort with one
        self.command, self.code, self.out, self.err = command, code, out, err
        self.errors = [line[len("tokengeom: "):] for line in err.splitlines()
                       if line.startswith("tokengeom: ") and not line.startswith("tokengeom: warning: ")]

    def __str__(self):
        return f"{' '.join(map(str, self.command))}\nexit status {self.code}\n{self.out}\n{self.err}"


@functools.lru_cache(None)
def launcher_version():
    return subprocess.run([MPIEXEC, "--version"], capture_output=True, text=True).stdout


OPEN_MPI = any(name in launcher_version() for name in ("Open MPI", "OpenRTE"))
KILLED = 128 + signal.SIGKILL if OPEN_MPI else signal.SIGKILL  # what mpirun says of a rank that was
SIGNALED = (STOPPED,) if OPEN_MPI else (STOPPED, OK)  # and when it was sent SIGUSR1: MPICH's loses its ranks' status then, now and then


def launcher(ranks):
    return (MPIEXEC,) + (("--oversubscribe",) if OPEN_MPI else ()) + ("-n", str(ranks))


@functools.lru_cache(None)
def libraries():
    """What the program says of the libraries that it runs with."""
    return subprocess.run([PROGRAM, "--version"], capture_output=True, text=True, env=environment()).stdout


def environment(**extra):
    """Ranks share cores and containers often run as root; what the caller has set stays."""
    wanted = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1", "OMPI_MCA_mpi_yield_when_idle": "1",
              "OMPI_MCA_hwloc_base_binding_policy": "none", "OMPI_MCA_btl_vader_single_copy_mechanism": "none",
              "OPENBLAS_NUM_THREADS": "1"}
    return {**wanted, **os.environ, **extra}


def start(*arguments, ranks=None, wrap=(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, **extra):
    """Starts the program in a process group of its own. ranks: None runs it without a launcher; wrap: a command that
    starts the program it is given."""
    command = (launcher(ranks) if ranks else ()) + tuple(wrap) + (PROGRAM,) + tuple(map(str, arguments))
    return subprocess.Popen(command, stdout=stdout, stderr=stderr, text=True, start_new_session=True,
                            stdin=subprocess.DEVNULL, env=environment(**extra))


def kill_all(process):
    """SIGKILL for the launcher and all its ranks. Ranks lead process groups of their own, so they are looked up first."""
    ids = descendants(process.pid)
    for pid in ids + [process.pid]:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    process.wait(30)


def descendants(pid):
    """Children of a process and theirs."""
    parents = {}
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        with contextlib.suppress(OSError):
            fields = pathlib.Path("/proc", entry, "stat").read_text().rpartition(")")[2].split()
            parents.setdefault(int(fields[1]), []).append(int(entry))
    found, rest = [], [pid]
    while rest:
        children = parents.get(rest.pop(), [])
        found += children
        rest += children
    return found


def ranks_of(process):
    """The processes that run the program, among a process and what it has started."""
    found = []
    for pid in [process.pid, *descendants(process.pid)]:
        with contextlib.suppress(OSError):
            found += [pid] if pathlib.Path(f"/proc/{pid}/exe").resolve() == pathlib.Path(PROGRAM).resolve() else []
    return found


def run(*arguments, ranks=None, wrap=(), timeout=60, **extra):
    process = start(*arguments, ranks=ranks, wrap=wrap, **extra)
    try:
        out, err = process.communicate(timeout=PATIENCE * timeout)
    except subprocess.TimeoutExpired:
        kill_all(process)
        out, err = process.communicate()
        raise AssertionError(f"no end within {PATIENCE * timeout} s: {Result(process.args, None, out, err)}") from None
    return Result(process.args, process.returncode, out, err)


# ---- inputs -------------------------------------------------------------------------------------------------------


def bfloat16():
    """The HDF5 type: 16 bits, sign 15, exponent at 7 of 8 bits, bias 127, mantissa 7 bits."""
    kind = h5py.h5t.IEEE_F32LE.copy()
    kind.set_fields(15, 7, 8, 0, 7)
    kind.set_size(2)
    kind.set_ebias(127)
    return kind


def bfloat16_bits(values):
    """The upper half of each float32; the values must be representable, NaN and Inf are."""
    values = np.ascontiguousarray(values, np.float32)
    bits = values.view(np.uint32)
    assert ((bits & 0xFFFF == 0) | np.isnan(values)).all(), "not representable as bfloat16"
    return (bits >> 16).astype(np.uint16)


def representable(values):
    """Rounds to multiples of 1/64 up to 4: exact in bfloat16 and float16, and squared distances of them in float64."""
    return (np.clip(np.rint(np.asarray(values) * 64), -255, 255) / 64).astype(np.float32)


def create_array(file, name, values, kind, chunks=None, filters=()):
    """A dataset of values as kind (bfloat16, float16, float32, ...). filters: of gzip, shuffle, fletcher32."""
    values = np.asarray(values)
    how = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    if chunks:
        how.set_chunk(tuple(min(a, b) for a, b in zip(chunks, values.shape)))
    if "shuffle" in filters:
        how.set_shuffle()
    if "gzip" in filters:
        how.set_deflate(4)
    if "fletcher32" in filters:
        how.set_fletcher32()
    if kind == "bfloat16":
        stored, raw = bfloat16(), bfloat16_bits(values)
    else:
        raw = np.ascontiguousarray(values.astype(kind))
        stored = h5py.h5t.py_create(raw.dtype)
    dataset = h5py.h5d.create(file.id, name.encode(), stored, h5py.h5s.create_simple(values.shape), how)
    dataset.write(h5py.h5s.ALL, h5py.h5s.ALL, raw, mtype=stored)  # the same type: nothing is converted
    return h5py.Dataset(dataset)


def write_states(path, hidden, kind="bfloat16", ids=None, levels=None, chunks=None, filters=(), normalized=1,
                 model="model", unembedding_kind="float32", **others):
    """A hidden-state file. hidden: (prompt, shuffle, layer, token, width); others: further datasets, None: left out."""
    hidden = np.asarray(hidden)
    others = {"prompt_ids": np.arange(hidden.shape[0]) if ids is None else np.asarray(ids),
              "shuffle_levels": np.arange(hidden.shape[1]) if levels is None else np.asarray(levels), **others}
    kinds = {"prompt_ids": "i8", "shuffle_levels": "i4", "n_tokens": "i4", "token_ids": "i4", "loss": "f4", "entropy": "f4",
             "token_loss": "f4", "logit_metric": "f8", "unembedding": unembedding_kind}
    with h5py.File(path, "w") as file:
        file.attrs["format"] = "tokengeom-hidden-states"
        file.attrs["format_version"] = 1
        if model:
            file.attrs["model"] = model
        states = create_array(file, "hidden_states", hidden, kind, chunks, filters)
        if normalized is not None:
            states.attrs["last_layer_normalized"] = normalized
        for name, values in others.items():
            if values is not None:
                create_array(file, name, values, kinds[name])
    return path


def clouds(prompts=3, levels=2, layers=4, tokens=40, width=24, seed=1):
    """Representable hidden states whose neighborhoods change slowly from layer to layer."""
    random = np.random.default_rng(seed)
    shape = (prompts, levels, layers, tokens, width)
    steps = random.normal(size=shape) * 0.3
    steps[:, :, 0] = random.normal(size=shape[:2] + shape[3:])
    return representable(np.cumsum(steps, axis=2))


def write_config(path, models, **sections):
    """A study as JSON, which is YAML. models: source maps, named model, model1, ...; or maps with a source."""
    models = [m if "source" in m else {"name": "model" if a == 0 else f"model{a}", "source": m} for a, m in enumerate(models)]
    sections = {"output": "results.h5", "models": models, **sections}
    pathlib.Path(path).write_text(json.dumps(sections, indent=1, default=str) + "\n")
    return path


def files(*paths):
    return {"kind": "hdf5", "files": [str(path) for path in paths]}


def synthetic(**keys):
    return {"kind": "synthetic", "prompts": 4, "layers": 4, "tokens": 64, "width": 16, "dimension": 3, **keys}


# ---- outputs ------------------------------------------------------------------------------------------------------


def datasets(group, prefix=""):
    """Path -> dataset for all datasets below a group."""
    found = {}
    group.visititems(lambda name, item: found.__setitem__(prefix + name, item) if isinstance(item, h5py.Dataset) else None)
    return found


def load_models(path):
    """Path -> array for everything under /models of a result file."""
    with h5py.File(path) as file:
        return {name: dataset[...] for name, dataset in datasets(file["models"]).items()}


# Largest error of each dataset against a float64 reference; radius relative, all else absolute. The ID and its error:
# the reference's bisection stops at 1e-7; cosine: sums of a million float32 terms; logits: of a factored metric, whose
# distances are sums of D float64 terms; overlap and reciprocity are ratios of integers.
LIMITS = {
    "intrinsic_dimension/gride/value": 3e-7, "intrinsic_dimension/gride/error": 1e-6, "intrinsic_dimension/gride/radius": 1e-9,
    "intrinsic_dimension/n_points": 0, "neighborhood_overlap/value": 1e-12, "cosine_similarity/mean": 1e-6,
    "cosine_similarity/std": 1e-6, "cosine_similarity/mean_offdiagonal": 1e-6, "neighbor_angle/mean": 1e-8,
    "neighbor_angle/tokens": 1e-8, "neighbor_angle/n_defined": 0, "reciprocity/value": 1e-12, "logits/gride/value": 1e-5,
    "logits/gride/error": 1e-5, "logits/gride/radius": 1e-9, "logits/entropy": 1e-6, "loss": 1e-6, "neighbors/index": 0,
}


def error_of(name, got, expected):
    """Largest error in the measure of LIMITS; infinite where shapes or the places of NaN differ."""
    got, expected = np.asarray(got, float), np.asarray(expected, float)
    if got.shape != expected.shape or (np.isnan(got) != np.isnan(expected)).any():
        return np.inf
    keep = ~np.isnan(expected)
    error = np.abs(got - expected)[keep]
    if name.endswith("radius"):
        error = error / np.abs(expected[keep])
    return error.max() if error.size else 0.0


class Case(unittest.TestCase):
    """A test with a directory of its own, where configs are written to and relative paths start."""

    longMessage = True

    def setUp(self):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="tokengeom-test-"))
        self.addCleanup(shutil.rmtree, self.directory, ignore_errors=True)

    def path(self, name):
        return self.directory / name

    def config(self, *models, name="study.yaml", **sections):
        return write_config(self.path(name), models, **sections)

    @staticmethod
    def end(process):
        if process.poll() is None:
            kill_all(process)
        process.stdout.close()
        process.stderr.close()

    def finish(self, process, timeout=60):
        out, err = process.communicate(timeout=PATIENCE * timeout)
        return Result(process.args, process.returncode, out, err)

    def run_ok(self, *arguments, **options):
        result = run(*arguments, **options)
        self.assertEqual(result.code, OK, result)
        return result

    def study(self, *models, ranks=None, output="results.h5", set=(), timeout=120, **sections):
        """Runs a study; returns everything under /models."""
        config = self.config(*models, name=output + ".yaml", output=str(self.path(output)), **sections)
        options = [part for text in set for part in ("--set", text)]
        self.run_ok("run", config, "--force", *options, ranks=ranks, timeout=timeout)
        return load_models(self.path(output))

    def assert_same_bytes(self, got, expected, message=""):
        """Two results of load_models, dataset by dataset, NaN and all."""
        self.assertEqual(sorted(got), sorted(expected), message)
        for name, values in expected.items():
            self.assertEqual((got[name].dtype, got[name].shape), (values.dtype, values.shape), f"{message} {name}")
            self.assertTrue(got[name].tobytes() == values.tobytes(), f"{message} {name} differs")

    def assert_same_but_deviation(self, got, expected, message=""):
        """The same bytes, but the deviation of cosines, a sum of the fast pass, within 1e-6: for another kernel or type."""
        of_pass = [name for name in expected if "cosine_similarity/std" in name]
        self.assertTrue(of_pass, message)
        for name in of_pass:
            np.testing.assert_allclose(got[name], expected[name], rtol=0, atol=1e-6, err_msg=f"{message} {name}")
        self.assert_same_bytes({n: v for n, v in got.items() if n not in of_pass},
                               {n: v for n, v in expected.items() if n not in of_pass}, message)

    def assert_reference(self, got, reference, model, message="", required=LIMITS):
        """A model's values against path -> float64 values. What the reference has must be there, and within LIMITS."""
        compared = 0
        for name, limit in LIMITS.items():
            if name not in reference or name not in required:
                continue
            self.assertTrue(f"{model}/{name}" in got, f"{message} no {name}")
            self.assertLessEqual(error_of(name, got[f"{model}/{name}"], reference[name]), limit, f"{message} {name}")
            compared += 1
        self.assertGreater(compared, 5, f"{message}: nothing to compare")

    def assert_nothing_left(self, output="results.h5"):
        left = [f.name for f in self.directory.iterdir() if f.name.startswith(output) and f.suffix != ".yaml"]
        self.assertEqual(left, [], "files are left behind")


def main():
    """Runs the tests of the calling program; 77 when every one was skipped."""
    if not os.access(PROGRAM, os.X_OK):
        sys.exit(f"{PROGRAM} is no program; set TOKENGEOM")
    program = unittest.main(module="__main__", exit=False)
    result = program.result
    for test, reason in result.skipped:
        print(f"skipped: {test}: {reason}", file=sys.stderr)
    if not result.wasSuccessful() or result.testsRun == 0:
        sys.exit(1)
    sys.exit(77 if len(result.skipped) == result.testsRun else 0)
