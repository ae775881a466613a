"""Commands, options, and what they print.

Oracle: the specification's section on the command line; h5py for exported numbers; config/small.yaml for the keys."""
import csv
import json
import os
import pathlib
import platform
import re
import subprocess

import h5py
import numpy as np
import support
from support import CONFIG, IO, NO_INPUT, OK, USAGE, clouds, files, synthetic, write_states

COMMANDS = ("run", "validate", "info", "export", "verify")


def keys_of(name):
    """Full names of the keys in a config. small.yaml has them all, but those of a model that is run, in smollm2.yaml,
    and of published summaries, in published.yaml."""
    path, names = [], set()
    for line in (support.SOURCE / "config" / name).read_text().splitlines():
        match = re.match(r"( *)(- )?([a-z_]+):(.*)", line.partition(" #")[0])
        if not match:
            continue
        depth = len(match[1]) + (2 if match[2] else 0)
        path = [item for item in path if item[0] < depth] + [(depth, match[3])]
        if match[4].strip():
            names.add(".".join(name for _, name in path))
    return names


class Usage(support.Case):
    def refuse(self, *arguments, says=(), ranks=None):
        result = support.run(*arguments, ranks=ranks)
        self.assertEqual(result.code, USAGE, result)
        for text in says:
            self.assertIn(text, result.err)
        self.assertEqual(result.out if ranks is None else "", "", "errors go to stderr")
        return result

    def test_help(self):
        for arguments in (["--help"], ["help"]):
            out = self.run_ok(*arguments).out
            for command in COMMANDS:
                self.assertRegex(out, rf"(?m)^ *{command} ")
            self.assertIn("mpirun", out)
        for command in COMMANDS:
            out = self.run_ok(command, "--help").out
            self.assertIn(f"tokengeom {command}", out)
        out = self.run_ok("run", "--help").out
        for option in ("--set", "--dry-run", "--resume", "--force", "--max-hours", "--stop-status", "--ranks", "--help-config"):
            self.assertIn(option, out)

    def test_version(self):
        out = self.run_ok("--version").out
        self.assertRegex(out, r"^tokengeom \d+\.\d+\.\d+ ")
        for part in ("MPI", "HDF5", "BLAS", "CPU", "kernel", "compiler"):
            self.assertIn(part, out)
        self.assertNotIn("devices", out)  # asking libllama for them runs code for one CPU

    def test_core_of_openblas(self):
        """A CPU with AVX2 is no Prescott, however new it is for OpenBLAS; what the user chose stays. Oracle: the flags of /proc/cpuinfo."""
        flags = re.search(r"(?m)^flags\s*:(.*)", pathlib.Path("/proc/cpuinfo").read_text())
        if not flags or not {"avx2", "fma"} <= set(flags[1].split()):
            self.skipTest("no AVX2")
        environment = {key: value for key, value in support.environment().items() if key != "OPENBLAS_CORETYPE"}
        for chosen in (None, "Prescott", "Nehalem"):
            for threads in (None, "1"):
                extra = {key: value for key, value in (("OPENBLAS_CORETYPE", chosen), ("OPENBLAS_NUM_THREADS", threads)) if value}
                keep = {key: value for key, value in environment.items() if key != "OPENBLAS_NUM_THREADS"}
                said = subprocess.run((support.PROGRAM, "--version"), capture_output=True, text=True, env={**keep, **extra}, check=True).stdout
                core = re.search(r"OpenBLAS: (\w+)\)", said)[1]
                self.assertTrue(core == chosen if chosen else core != "Prescott", said)

    def test_wrong_commands(self):
        self.refuse(says=["Usage"])
        self.refuse("ruin", says=["ruin"])
        self.refuse("--unknown", says=["unknown"])
        for ranks in (2,):
            result = self.refuse("ruin", ranks=ranks)
            self.assertEqual(len(result.errors), 1, result)

    def test_wrong_options_and_arguments(self):
        config = self.config(synthetic())
        self.refuse("run", says=["argument"])
        self.refuse("run", config, "more", says=["more"])
        self.refuse("run", config, "--frobnicate", says=["frobnicate"])
        self.refuse("validate", config, "--resume", says=["resume"])
        self.refuse("run", config, "--set", says=["set"])
        self.refuse("run", config, "--set", "no-equal", says=["no-equal"])
        for option, values in (("--max-hours", ("0", "-1", "1h", "", "nan", "inf")), ("--stop-status", ("256", "-1", "x", "")),
                               ("--ranks", ("0", "-2", "2.5"))):
            for value in values:
                self.refuse("run", config, f"{option}={value}", says=[option])
        self.refuse("run", config, "--ranks=3", says=["--ranks", "mpirun"])  # it would run on one rank
        self.refuse("export", config, says=["--csv"])
        self.assert_nothing_left()
        result = self.refuse("run", config, "--frobnicate", ranks=3)
        self.assertEqual(len([line for line in result.err.splitlines() if "frobnicate" in line]), 1, result)

    def test_processes_that_are_no_ranks(self):
        """The launcher of another MPI, or srun without PMI, starts N programs that are alone: one line of the first of them, and no result."""
        config = self.config(synthetic(prompts=1))
        for rank, size in (("PMI_RANK", "PMI_SIZE"), ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"), ("SLURM_PROCID", "SLURM_STEP_NUM_TASKS")):
            for command in (("run", config), ("extract", config, "--out", self.path("results.h5"))):
                for number in ("0", "1"):
                    with self.subTest(size=size, number=number):
                        environment = {key: value for key, value in support.environment().items() if not key.startswith(("OMPI_COMM", "PMI"))}
                        result = subprocess.run((support.PROGRAM, *command), capture_output=True, text=True, timeout=support.PATIENCE * 60,
                                                env={**environment, rank: number, size: "4"})
                        self.assertEqual((result.returncode, len(result.stderr.splitlines())), (USAGE, 1 - int(number)), result)
                        if number == "0":
                            self.assertIn(f"one of 4 processes ({size}), but MPI has 1 rank", result.stderr)
                        self.assert_nothing_left()

    def test_help_config_lists_every_key(self):
        keys = keys_of("small.yaml") | keys_of("smollm2.yaml") | keys_of("published.yaml")
        self.assertGreater(len(keys), 25)
        for command in ("run", "validate"):
            lines = self.run_ok(command, "--help-config").out.splitlines()
            listed = {line.split()[0].replace("[]", "") for line in lines}
            self.assertEqual(keys - listed, set(), "not listed")
            self.assertEqual(listed - keys - {"models", "models.source", "models.source.files"}, set(), "in no config")
            for line in lines:
                self.assertTrue("default" in line or "required" in line, line)

    def test_small_yaml_shows_the_defaults(self):
        """The comment at a key of config/small.yaml begins with the default that --help-config tells."""
        told = {}
        for line in self.run_ok("run", "--help-config").out.splitlines():
            if "; default " in line:
                told[line.split()[0].replace("[]", "").rpartition(".")[2]] = line.rpartition("; default ")[2].rstrip(")")
        checked = 0
        for line in (support.SOURCE / "config" / "small.yaml").read_text().splitlines():
            match = re.match(r" *([a-z_]+): (\[.*?\]|[^ ]+) +# (\[.*?\]|[^ ;,]+)", line)
            if match and match[1] not in ("name", "seed", "prompts", "kind", "output"):
                self.assertEqual(match[2] if match[3] == "these" else match[3], told[match[1]], line)
                checked += 1
        self.assertGreater(checked, 15)


class WithoutMpi(support.Case):
    def test_only_run_starts_mpi(self):
        """With an environment in which MPI_Init cannot succeed, what computes nothing works, and `run` fails."""
        config = self.config(synthetic())
        self.run_ok("run", config)
        broken = {"OMPI_MCA_pml": "none_such", "OMPI_MCA_btl": "none_such"}
        results = self.path("results.h5")
        for arguments in (("--help",), ("--version",), ("validate", config), ("info", results), ("run", "--help"), ("run", "--help-config"),
                          ("export", results, "--csv", self.path("csv"))):
            self.run_ok(*arguments, **broken)
        if "Open MPI" in self.run_ok("--version").out:
            self.assertNotEqual(support.run("run", config, "--force", **broken).code, OK, "this environment breaks no MPI")

    def test_they_are_quick(self):
        config = self.config(synthetic())
        def spent():  # on a busy machine, too
            times = os.times()
            return times.children_user + times.children_system
        before = spent()
        self.run_ok("validate", config)
        self.assertLess(spent() - before, 2.0)


class Set(support.Case):
    def resolved(self, *options, source=None):
        return self.run_ok("validate", self.config(source or synthetic()), *options).out

    def test_overrides(self):
        out = self.resolved("--set", "observables.overlap_k=7", "--set", "models.0.name=other", "--set", "models.0.source.tokens=99",
                            "--set", "observables.scales=[2, 4]", "--set", "prompts=[3, 1]", "--set=statistics.bootstrap=5",
                            "--set", "output=/tmp/elsewhere.h5")
        for text in ("overlap_k: 7", "tokens: 99", "scales: [2, 4]", "prompts: [1, 3]", "bootstrap: 5", "/tmp/elsewhere.h5"):
            self.assertIn(text, out)
        self.assertRegex(out, r"name: .?other\b")
        self.assertIn("overlap_k: 9", self.resolved("--set", "observables.overlap_k=8", "--set", "observables.overlap_k=9"), "the last one wins")

    def test_they_change_the_run(self):
        config = self.config(synthetic())
        self.run_ok("run", config, "--set", "models.0.name=other", "--set", "observables.overlap_k=7", ranks=2)
        with h5py.File(self.path("results.h5")) as file:
            self.assertEqual(file["models/other/k"].shape, (7,))

    def test_mistakes(self):
        config = self.config(synthetic())
        for text, says in (("observables.overlap_k=many", "many"), ("observables.overlap=7", "overlap_k"), ("models.1.name=x", "models.1"),
                           ("models.x.name=y", "models.x"), ("=3", "KEY=VALUE"), ("observables=3", "map"), ("output=[", "output="),
                           ("observables.overlap_k.deep=3", "overlap_k"), ("..=1", "..=1"), ("models=", "models")):
            with self.subTest(text=text):
                result = support.run("validate", config, "--set", text)
                self.assertEqual(result.code, CONFIG, result)
                self.assertIn("--set " + text, result.err)
                self.assertIn(says, result.err)
        result = support.run("validate", config, "--set", "observables.overlap_k=x", "--set", "prompts=y")
        self.assertEqual(len(result.err.splitlines()), 2, result)


class Validate(support.Case):
    def test_prints_the_whole_study(self):
        """Every key with its value; the output is a config that gives itself."""
        write_states(self.path("a.h5"), clouds())
        config = self.config(files("a.h5"), synthetic())
        out = self.run_ok("validate", config).out
        for key in keys_of("small.yaml") - {"models.name"}:
            self.assertRegex(out, rf"(?m)^ *(- )?{key.rpartition('.')[2]}:", key)
        self.assertIn("a.h5", out)
        self.path("again.yaml").write_text(out)
        self.assertEqual(self.run_ok("validate", self.path("again.yaml")).out, out)
        self.assert_nothing_left()

    def test_finds_what_run_would(self):
        self.assertEqual(support.run("validate", self.config(files("none.h5"))).code, NO_INPUT)
        self.path("bad.h5").write_text("x")
        self.assertEqual(support.run("validate", self.config(files("bad.h5"))).code, support.BAD_DATA)
        write_states(self.path("a.h5"), clouds())
        self.assertEqual(support.run("validate", self.config(files("a.h5"), prompts=[77])).code, CONFIG)
        self.assertEqual(support.run("validate", self.path("none.yaml")).code, NO_INPUT)
        result = support.run("validate", self.path("a.h5"))
        self.assertEqual(result.code, CONFIG)
        self.assertIn("HDF5", result.errors[0])
        nowhere = self.config(synthetic(), output="nowhere/results.h5")
        for command in (("validate",), ("run", "--dry-run"), ("run",)):
            result = support.run(*command, nowhere)
            self.assertEqual(result.code, IO, result)
            self.assertIn("nowhere does not exist", result.errors[0])

    def test_one_value(self):
        """As it is: what a script reads."""
        folder = self.path("a \"quoted\" \\ path")
        folder.mkdir()
        config = self.config(synthetic(), output=str(folder / "r.h5"), compute={"kernel": "float32"})
        self.assertEqual(self.run_ok("validate", config, "--get", "output").out, f"{folder}/r.h5\n")
        self.assertEqual(self.run_ok("validate", config, "--get", "compute.kernel").out, "float32\n")
        self.assertEqual(self.run_ok("validate", config, "--get", "figures.k", "--set", "figures.k=3").out, "3\n")
        for key in ("nothing", "models", "output.x", ""):
            result = support.run("validate", config, "--get", key)
            self.assertEqual((result.code, len(result.errors)), (USAGE, 1), result)

    def test_odd_paths(self):
        """Quotes, spaces, colons and hashes in a path. MPICH takes a colon for the end of a file system's name."""
        folder = self.path("it's: a #1 \"dir\"" if support.OPEN_MPI else "it's a #1 \"dir\"")
        folder.mkdir()
        write_states(folder / "a.h5", clouds(1, 1, 2, 20))
        config = self.config(files(folder / "a.h5"), output=str(folder / "r.h5"))
        self.path("again.yaml").write_text(self.run_ok("validate", config).out)
        self.run_ok("run", self.path("again.yaml"))
        self.assertTrue((folder / "r.h5").exists())

    def test_paths_start_at_the_config(self):
        folder = self.path("deep")
        folder.mkdir()
        write_states(self.path("a.h5"), clouds(1, 1, 2, 20))
        support.write_config(folder / "study.yaml", [files("../a.h5")], output="../results.h5")
        self.run_ok("run", folder / "study.yaml")
        self.assertTrue(self.path("results.h5").exists())


class Info(support.Case):
    def test_both_kinds_of_file(self):
        write_states(self.path("a.h5"), clouds(prompts=3, levels=2, layers=4), model="tiny", loss=np.ones((3, 2)))
        out = self.run_ok("info", self.path("a.h5")).out
        for part in ("hidden states", "tiny", "hidden_states", "3 x 2 x 4 x 40 x 24", "loss"):
            self.assertIn(part, out)
        self.run_ok("run", self.config(files("a.h5"), synthetic()))
        out = self.run_ok("info", self.path("results.h5")).out
        for part in ("tokengeom results", "complete", "model model", "3 prompts", "4 layers", "24 done with reasons", "model1", "version", "kernel", "inputs"):
            self.assertIn(part, out)
        self.assertNotIn("not complete", out)

    def test_other_files(self):
        self.assertEqual(support.run("info", self.path("none.h5")).code, NO_INPUT)
        self.path("a.h5").write_text("x")
        self.assertEqual(support.run("info", self.path("a.h5")).code, support.BAD_DATA)
        with h5py.File(self.path("b.h5"), "w") as file:
            file["x"] = 1
        for command in (("info", self.path("b.h5")), ("export", self.path("b.h5"), "--csv", self.path("csv"))):
            result = support.run(*command)
            self.assertEqual(result.code, support.BAD_DATA, result)
            self.assertEqual(len(result.err.splitlines()), 1, result)


class Export(support.Case):
    def setUp(self):
        super().setUp()
        write_states(self.path("a.h5"), clouds(prompts=3, levels=2, layers=3, tokens=12, width=8), ids=[2**53 + 1, -4, 9], levels=[0, 5],
                     token_ids=np.arange(72).reshape(3, 2, 12), loss=np.ones((3, 2)))
        self.run_ok("run", self.config(files("a.h5"), synthetic(layers=2), observables={"neighbors": True, "overlap_k": 4, "scales": [2, 4, 8, 16], "angle_layers": [1]}))
        self.results = self.path("results.h5")

    def test_every_number(self):
        """One file a dataset; each row names its place by axis values; numbers are equal to the last bit."""
        self.run_ok("export", self.results, "--csv", self.path("csv"))
        axes = {"prompt_id", "shuffle", "layer", "layer_pair", "scale", "k", "angle_layer", "token"}
        with h5py.File(self.results) as file:
            for model in file["models"]:
                found = {f.name for f in self.path("csv").joinpath(model).iterdir()}
                expected = {name for name in support.datasets(file["models"][model]) if name not in axes}
                self.assertEqual(found, {name.replace("/", "_") + ".csv" for name in expected})
                for name in expected:
                    self.check(file["models"][model][name], self.path("csv") / model / (name.replace("/", "_") + ".csv"))

    def check(self, dataset, path):
        comments, rows = [], []
        with open(path, newline="") as text:
            for line in text:
                (comments if line.startswith("#") else rows).append(line)
        self.assertTrue(any("units" in line for line in comments) and any(dataset.name in line for line in comments), comments)
        table = list(csv.DictReader(rows))
        names = [dimension[0].name.rpartition("/")[2] for dimension in dataset.dims]
        self.assertEqual(list(table[0]), names + ["value"])
        self.assertEqual(len(table), dataset.size)
        values = np.array([float(row["value"]) for row in table]).reshape(dataset.shape)
        self.assertTrue(np.array_equal(values, dataset[...].astype(float), equal_nan=True), dataset.name)
        for place, row in zip(np.ndindex(dataset.shape), table):
            for dimension, index, name in zip(dataset.dims, place, names):
                self.assertEqual(int(row[name]), int(dimension[0][index]), f"{dataset.name} {name}")

    def test_where_to(self):
        for _ in range(2):  # into a directory that exists, too
            self.run_ok("export", self.results, "--csv", self.path("csv"))
        self.path("file").write_text("x")
        for directory in (self.path("file"), self.path("no/such")):
            result = support.run("export", self.results, "--csv", directory)
            self.assertEqual(result.code, IO, result)
            self.assertEqual(len(result.err.splitlines()), 1, result)


class DryRun(support.Case):
    def plan(self, *options, **keys):
        out = self.run_ok("run", self.config(synthetic(**keys)), "--dry-run", *options).out
        self.assert_nothing_left()
        return out

    def test_plan(self):
        out = self.plan(prompts=6, shuffles=2, layers=9, tokens=100, width=32)
        for part in ("shards", "memory a rank", "to read", "time", "result file"):
            self.assertIn(part, out)
        self.assertRegex(out, r"ranks +1\b")
        self.assertRegex(out, r"shards +12\b")
        self.assertRegex(out, r"(?m)^model +6 +2 +9 +100 +32 +108 ")

    def test_json(self):
        """The plan for programs. Oracle: counting, and the plan for people."""
        keys = {"prompts": 6, "shuffles": 2, "layers": 9, "tokens": 100, "width": 32}
        plan = json.loads(self.plan("--json", "--ranks", "4", **keys))
        self.assertEqual((plan["ranks"], plan["clouds"], plan["shared_bytes"], plan["bytes_to_read"]), (4, 108, 0, 0))
        said = self.plan("--ranks", "4", **keys)
        self.assertAlmostEqual(plan["rank_bytes"] / 1e6, int(re.search(r"memory a rank +about (\d+) MB", said)[1]), delta=4)
        self.assertEqual(plan["shards"], int(re.search(r"shards +(\d+)", said)[1]))
        self.assertAlmostEqual(plan["result_bytes"] / 1e9, float(re.search(r"result file +([\d.]+) GB", said)[1]), delta=1e-3)
        result = support.run("run", self.config(synthetic()), "--json")
        self.assertEqual(result.code, USAGE, result)
        self.assertIn("--json prints the plan of --dry-run", result.err)

    def test_more_ranks_than_stacks(self):
        """Two stacks of 33 layers on 64 ranks are cut into layers."""
        out = self.plan("--ranks", "64", prompts=2, layers=33, tokens=100, width=32)
        self.assertRegex(out, r"ranks +64\b")
        shards = int(re.search(r"shards +(\d+)", out)[1])
        self.assertGreaterEqual(shards, 60)
        self.assertLessEqual(shards, 66)
        self.assertLessEqual(int(re.search(r"of up to (\d+) layers", out)[1]), 2)

    def test_ranks_of_the_launcher(self):
        out = self.run_ok("run", self.config(synthetic()), "--dry-run", ranks=3).out
        self.assertEqual(len(re.findall(r"ranks +3\b", out)), 1, "rank 0 alone prints")

    def test_sizes(self):
        """Bytes to read and of the result file, by counting."""
        write_states(self.path("a.h5"), clouds(prompts=4, levels=2, layers=3, tokens=200, width=64), loss=np.ones((4, 2)))
        config = self.config(files("a.h5"))
        out = self.run_ok("run", config, "--dry-run").out
        self.assertAlmostEqual(float(re.search(r"to read +([\d.]+) GB", out)[1]), 4 * 2 * 3 * 200 * 64 * 2 / 1e9, delta=0.006)
        self.run_ok("run", config)
        self.assertAlmostEqual(float(re.search(r"result file +([\d.]+) GB", out)[1]), self.path("results.h5").stat().st_size / 1e9, delta=0.001)

    def test_memory_of_several_models(self):
        """A rank may keep the scratch of every model: the plan adds them up."""
        models = [{"name": f"m{a}", "source": synthetic(prompts=1, layers=2, tokens=600, width=1024)} for a in range(3)]
        memory = [float(re.search(r"about (\d+) MB", self.run_ok("run", self.config(*models[:n]), "--dry-run").out)[1]) for n in (1, 2, 3)]
        self.assertGreater(memory[1] - memory[0], 5)
        self.assertAlmostEqual(memory[2] - memory[1], memory[1] - memory[0], delta=2)

    def test_an_output_that_exists_is_no_obstacle(self):
        config = self.config(synthetic())
        self.run_ok("run", config)
        before = self.path("results.h5").read_bytes()
        self.run_ok("run", config, "--dry-run")
        self.assertEqual(self.path("results.h5").read_bytes(), before)


class Output(support.Case):
    def test_what_a_run_prints(self):
        """Results on stdout once, by rank 0; progress and warnings on stderr."""
        result = self.run_ok("run", self.config(synthetic(prompts=5, shuffles=2)), ranks=3)
        self.assertEqual(result.out.count("results: "), 1)
        self.assertIn(str(self.path("results.h5")), result.out)
        for column in ("layer", "ID(n2=2)", "chi(k=2)", "cosine"):
            self.assertIn(column, result.out)
        for level in (0, 1):
            self.assertIn(f"S = {level}", result.out)
        self.assertIn("100.0 %", result.err)
        self.assertEqual(len(re.findall(r"rank +\d+ +busy", result.err)), 3)
        self.assertNotIn("\x1b", result.err, "no terminal, no control characters")

    def test_ranks_that_share_a_core(self):
        """One line, by rank 0, however the ranks are held to too few cores; none where each has its own. Oracle: counting."""
        core, *more = sorted(os.sched_getaffinity(0))
        config = self.config(synthetic(prompts=1))
        held = ("taskset", "-c", str(core))
        node = re.escape(platform.node())
        pinned = self.path("pinned.sh")
        pinned.write_text(f'[ "${{OMPI_COMM_WORLD_RANK:-$PMI_RANK}}" = 2 ] && core={(more or [core])[0]} || core={core}\n'
                          'exec taskset -c $core "$@"\n')
        cases = [(1, held, (), r""), (2, held, (), rf"{node}: 2 ranks x 1 thread share 1 core"),
                 (1, held, ("--set", "compute.blas_threads=2"), r"2 threads a rank, but a rank may use 1 cores only: .*")]
        if more:
            pair = ("taskset", "-c", f"{core},{more[0]}")
            cases += [(2, pair, (), r""), (3, pair, (), rf"{node}: 3 ranks x 1 thread share 2 cores"),
                      (2, pair, ("--set", "compute.blas_threads=2"), rf"{node}: 2 ranks x 2 threads share 2 cores"),
                      (3, ("bash", pinned), (), rf"{node}: 3 ranks x 1 thread share 2 cores")]
        if len(more) > 1:
            pinned.write_text(f'[ "${{OMPI_COMM_WORLD_RANK:-$PMI_RANK}}" = 2 ] && core={more[0]},{more[1]} || core={core}\n'
                              'exec taskset -c $core "$@"\n')
            cases += [(3, ("bash", pinned), (), rf"{node}: 2 ranks are bound to one core: .*")]
        for ranks, prefix, options, expected in cases:
            with self.subTest(ranks=ranks, prefix=prefix, options=options):
                command = (*support.launcher(ranks), *prefix, support.PROGRAM, "run", config, "--force", *options)
                result = subprocess.run(command, capture_output=True, text=True, env=support.environment(), timeout=support.PATIENCE * 60)
                said = re.findall(r"tokengeom: warning: (.*(?:core|thread).*)", result.stderr)
                self.assertEqual((result.returncode, len(said)), (OK, 1 if expected else 0), result)
                self.assertRegex("".join(said), rf"^{expected}$")

    def test_force_replaces(self):
        config = self.config(synthetic())
        self.run_ok("run", config)
        first = self.path("results.h5").stat().st_ino
        self.run_ok("run", config, "--force", "--set", "observables.overlap_k=3")
        self.assertNotEqual(self.path("results.h5").stat().st_ino, first)
        with h5py.File(self.path("results.h5")) as file:
            self.assertEqual(file["models/model/k"].shape, (3,))


support.main()
