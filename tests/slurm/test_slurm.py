"""The job scripts on a real SLURM: a private one of two virtual nodes with four CPUs each, started by slurm_up.sh.

Oracle: an undisturbed run without SLURM; everything under /models must have its bytes. Restarts are forced by the signals that
SLURM itself would send; TG_SLURM_LONG=1 waits for real time limits. Exits with 77 where SLURM is missing or does not start.
A watcher ends everything when this process ends, however it does."""
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
import unittest

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "run"))
import support  # noqa: E402
import tiny_models  # noqa: E402
from support import synthetic  # noqa: E402

JOBS = support.SOURCE / "jobs"
LONG = unittest.skipUnless(os.environ.get("TG_SLURM_LONG"), "waits for real time limits: TG_SLURM_LONG=1")
# 24 prompts x 12 levels; of prompt 9 each level takes a second longer: six seconds on two ranks.
SLOW = dict(prompts=24, shuffles=12, layers=4, tokens=64, width=12, slow_prompt=9, slow_seconds=1.0)
cluster = {}  # environment of everything that speaks to SLURM


def cluster_start():
    os.environ["PATH"] += ":/usr/sbin:/sbin"
    missing = [tool for tool in ("munged", "slurmctld", "slurmd", "sbatch") if not shutil.which(tool)]
    if missing:
        return f"{', '.join(missing)} not found (Debian: slurm-wlm, munge)"
    directory = tempfile.mkdtemp(prefix="tg-slurm-")
    watch = f"while kill -0 {os.getpid()}; do sleep 0.5; done; bash '{HERE}/slurm_down.sh' {directory}; rm -rf {directory}"
    subprocess.run(["bash", "-c", f'setsid bash -c "{watch}" </dev/null >/dev/null 2>&1 &'], check=True)  # not our child
    for name in [name for name in os.environ if name.startswith(("SLURM_", "SBATCH_", "TOKENGEOM_DIR", "RANKS", "LAUNCHER"))]:
        del os.environ[name]
    with open(f"{directory}/up.log", "w") as log:
        up = subprocess.run(["bash", HERE / "slurm_up.sh", directory, "2", "4"], stdout=subprocess.PIPE, stderr=log, text=True)
    if up.returncode:
        return "the private SLURM does not start:\n" + pathlib.Path(directory, "up.log").read_text()
    cluster.update(line.split("=", 1) for line in up.stdout.splitlines())
    cluster["OPENBLAS_NUM_THREADS"] = "1"
    cluster["TOKENGEOM"] = support.PROGRAM
    cluster["directory"] = directory


def cluster_stop():
    """Whatever was started must be gone."""
    if "directory" not in cluster:
        return True
    down = subprocess.run(["bash", HERE / "slurm_down.sh", cluster["directory"]])
    shutil.rmtree(cluster["directory"], ignore_errors=True)
    return down.returncode == 0


def slurm(*command, check=True, cwd=support.SOURCE, **extra):
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, cwd=cwd, env={**os.environ, **cluster, **extra},
                          timeout=support.PATIENCE * 60)
    if check and done.returncode:
        raise AssertionError(f"{command}: {done.returncode}\n{done.stdout}\n{done.stderr}")
    return done


class Case(support.Case):
    def setUp(self):
        super().setUp()
        self.addCleanup(self.cancel_all)

    def cancel_all(self):
        for node in ("n1", "n2"):
            slurm("scontrol", "update", f"nodename={node}", "state=resume", check=False)
        slurm("scancel", "-f", "-s", "KILL", "-u", os.getuid(), check=False)
        slurm("scancel", "-u", os.getuid(), check=False)
        self.wait_until(lambda: not slurm("squeue", "-h").stdout, "jobs do not end")

    def undisturbed(self, source=SLOW):
        return self.study(synthetic(**{**source, "slow_seconds": 0}), output="undisturbed.h5")

    def submit(self, script, *arguments, options=(), cwd=support.SOURCE, **extra):
        """From the project's folder, where the scripts find the rest by themselves."""
        return slurm("sbatch", "--parsable", f"--output={self.directory}/%x-%j.out", *options, JOBS / script, *arguments, cwd=cwd,
                     **extra).stdout.strip()

    def log(self, job):
        found = sorted(self.directory.glob(f"*-{job}.out"))
        return found[0].read_text() if found else ""

    def field(self, job, name):
        return re.search(rf"\b{name}=(\S+)", slurm("scontrol", "show", "job", job).stdout)[1]

    def wait_until(self, condition, message, seconds=40):
        end = time.monotonic() + support.PATIENCE * seconds
        while not condition():
            if time.monotonic() > end:
                self.fail(f"{message() if callable(message) else message} after {support.PATIENCE * seconds} s")
            time.sleep(0.05)

    def wait_for_go(self, job, number=1):
        """Until the program's number-th start has read what is done and measures."""
        def message():
            return f"no start {number} of job {job} ({self.field(job, 'JobState')}, {self.field(job, 'Reason')}):\n{self.log(job)}"
        self.wait_until(lambda: len(re.findall(r"clouds, \d+ done before", self.log(job))) >= number, message)
        time.sleep(0.3)

    def wait_for_end(self, job, expected="COMPLETED", seconds=60):
        over = ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "OUT_OF_MEMORY", "PREEMPTED")
        self.wait_until(lambda: self.field(job, "JobState") in over, lambda: f"job {job} does not end:\n{self.log(job)}", seconds)
        self.assertEqual(self.field(job, "JobState"), expected, self.log(job))
        return self.log(job)

    def assert_undisturbed(self, source=SLOW, output="results.h5"):
        self.assert_same_bytes(support.load_models(self.path(output)), self.undisturbed(source))

    def assert_goes_on(self, log, restarts):
        """Every start but the first finds what the ones before it did."""
        before = [int(text) for text in re.findall(r"clouds, (\d+) done before", log)]
        self.assertEqual(len(before), restarts + 1, log)
        self.assertEqual(before[0], 0, log)
        self.assertTrue(all(a < b for a, b in zip(before, before[1:])), f"{before}\n{log}")
        self.assertEqual((log.count(": start: "), log.count(": resume: "), log.count(": complete: ")), (1, restarts, 1), log)


    def check_real_limit(self, script, least_restarts, signal_at="B:USR1@20", slow_seconds=6, **extra):
        """A study of minutes, mostly asleep, under a limit of one."""
        source = {**SLOW, "shuffles": 64, "slow_seconds": slow_seconds, "prompts": 12}
        name = f"{script}-{least_restarts}"
        config = self.config(synthetic(**source), output=str(self.path(name + ".h5")), name=name + ".yaml")
        job = self.submit(script, config, options=("--time=1", f"--signal={signal_at}"), **extra)
        log = self.wait_for_end(job, seconds=900)
        self.assertRegex(log, "(?s): start: .*clouds are left; requeue.*: resume: .*: complete: ")
        self.assertGreaterEqual(int(self.field(job, "Restarts")), least_restarts, log)
        self.assert_undisturbed(source, name + ".h5")


class OneNode(Case):
    def test_warned_three_times(self):
        """The warning before the time limit: saved, requeued by the job itself, gone on with, three times."""
        job = self.submit("node.sbatch", self.config(synthetic(**SLOW)), RANKS="2")
        for go in (1, 2, 3):
            self.wait_for_go(job, go)
            slurm("scancel", "-b", "--signal=USR1", job)
        log = self.wait_for_end(job)
        self.assert_goes_on(log, 3)
        self.assertEqual(log.count("clouds are left; requeue"), 3, log)
        self.assertEqual(self.field(job, "Restarts"), "3")
        self.assert_undisturbed()

    def test_warned_at_once_and_options(self):
        """A warning may come before anything is done. One rank a core, options reach the program. From another
        folder it finds the rest by where the script lies; a copy of the script alone says what it lacks."""
        source = {**SLOW, "slow_seconds": 0}
        config = self.config(synthetic(**source))
        job = self.submit("node.sbatch", config, "--set", f"output={self.path('other.h5')}")
        self.wait_until(lambda: self.field(job, "JobState") == "RUNNING", "not started")
        time.sleep(0.1)
        slurm("scancel", "-b", "--signal=USR1", job)
        elsewhere = self.submit("node.sbatch", config, "--set", f"output={self.path('elsewhere.h5')}", cwd=self.directory)
        copy = shutil.copy(JOBS / "node.sbatch", self.path("mine.sbatch"))
        refused = [self.submit("node.sbatch", config, "--force"), self.submit(copy, config, cwd=self.directory),
                   self.submit("node.sbatch", self.path("none.yaml"))]
        log = self.wait_for_end(job)
        self.assertIn(": complete: ", log)
        physical = len({line for line in subprocess.run(["lscpu", "-p=CORE,SOCKET"], capture_output=True, text=True).stdout.split() if line[0].isdigit()})
        self.assertIn(f"on {min(4, physical)} ranks", log)
        self.assert_undisturbed(source, "other.h5")
        self.assertIn(": complete: ", self.wait_for_end(elsewhere))
        self.assert_undisturbed(source, "elsewhere.h5")
        for job, code, text in zip(refused, (64, 66, 66), ("--force", "TOKENGEOM_DIR", "none.yaml")):
            log = self.wait_for_end(job, "FAILED")
            self.assertEqual(self.field(job, "ExitCode"), f"{code}:0", log)
            self.assertIn(text, log)
        self.assertFalse(self.path("results.h5").exists())

    def test_node_failure(self):
        """SLURM itself submits the job again, which goes on where another node is left."""
        job = self.submit("node.sbatch", self.config(synthetic(**SLOW)), RANKS="2")
        self.wait_for_go(job)
        node = self.field(job, "NodeList")
        slurm("scontrol", "update", f"nodename={node}", "state=drain", "reason=test")  # or it comes back by itself
        slurm("scontrol", "update", f"nodename={node}", "state=down", "reason=test")
        self.wait_for_go(job, 2)
        self.assertNotEqual(self.field(job, "NodeList"), node)
        log = self.wait_for_end(job)
        self.assertEqual(self.field(job, "Restarts"), "1")
        self.assertEqual((log.count(": resume: "), log.count(": complete: "), log.count("left; requeue")), (1, 1, 0), log)
        self.assert_undisturbed()

    def test_killed_rank(self):
        """A rank that somebody kills, as the system does for want of memory: requeued."""
        job = self.submit("node.sbatch", self.config(synthetic(**SLOW)), RANKS="2")
        self.wait_for_go(job)
        found = subprocess.run(["pgrep", "-f", f"^{support.PROGRAM} run {self.directory}"], capture_output=True, text=True).stdout.split()
        self.assertEqual(len(found), 2, found)
        os.kill(int(found[1]), signal.SIGKILL)
        log = self.wait_for_end(job)
        self.assertRegex(log, "(?s): start: .*stop: status 137, [0-9]+ clouds are left; requeue.*: resume: .*: complete: ")
        self.assertEqual(self.field(job, "Restarts"), "1")
        self.assert_undisturbed()

    def test_cancelled(self):
        """scancel saves what is done and ends; the next submission goes on."""
        config = self.config(synthetic(**SLOW))
        job = self.submit("node.sbatch", config, RANKS="2")
        self.wait_for_go(job)
        slurm("scancel", job)
        self.wait_for_end(job, "CANCELLED")
        self.wait_until(lambda: re.search(r"stop: ended from outside, status \d+, \d+ clouds are left", self.log(job)),
                        lambda: f"no word of the end in {self.log(job)}")
        self.wait_until(lambda: not slurm("squeue", "-h").stdout, "still in the queue")
        self.assertNotIn("left; requeue", self.log(job))
        self.assertEqual(self.field(job, "Restarts"), "0")
        self.assertIn("not complete", self.run_ok("info", self.path("results.h5")).out)
        job = self.submit("node.sbatch", config, RANKS="2")
        log = self.wait_for_end(job)
        self.assertGreater(int(re.search(r"clouds, (\d+) done before", log)[1]), 0, log)
        self.assertRegex(log, "(?s): resume: .*: complete: ")
        self.assert_undisturbed()

    def test_failing_run(self):
        """A program that fails is not started again and again."""
        config = self.config(synthetic(**{**SLOW, "slow_seconds": 0}))
        self.path("results.h5").write_bytes(b"no HDF5")
        job = self.submit("node.sbatch", config, RANKS="2")
        log = self.wait_for_end(job, "FAILED")
        self.assertRegex(log, r"failed: exit status \d+")
        self.assertEqual(self.field(job, "Restarts"), "0")

    @LONG
    def test_real_time_limits(self):
        """--time of one minute: the real warning."""
        self.check_real_limit("node.sbatch", 3, slow_seconds=6, RANKS="2")

    @LONG
    def test_real_end(self):
        """The real end of a job that was not warned. SLURM looks every 30 s: the first start lasts 60 to 90 s of 102, the second one
        must not last a minute."""
        self.check_real_limit("node.sbatch", 1, signal_at="B:USR1@0", slow_seconds=3.2, RANKS="2")


class TwoNodes(Case):
    @LONG
    def test_real_time_limits(self):
        self.check_real_limit("multinode.sbatch", 3, slow_seconds=12, RANKS_PER_NODE="2")

    def test_srun_and_mpirun(self):
        source = {**SLOW, "shuffles": 32}  # four ranks have two shards each in hand
        config = self.config(synthetic(**source))
        job = self.submit("multinode.sbatch", config, RANKS_PER_NODE="2")
        self.wait_for_go(job)
        slurm("scancel", "-b", "--signal=USR1", job)
        self.wait_for_go(job, 2)
        slurm("scancel", job)
        self.wait_for_end(job, "CANCELLED")
        self.wait_until(lambda: "ended from outside" in self.log(job), lambda: f"no word of the end in {self.log(job)}")
        log = self.log(job)
        self.assertRegex(log, "(?s): start: .* srun .*on 4 ranks.*left; requeue.*: resume: .*on 4 ranks.*ended from outside")
        self.assertEqual(self.field(job, "NumNodes"), "2")
        self.assertIn(self.field(job, "Restarts"), "1234")  # Open MPI's start between nodes crashes now and then, test_killed_rank
        job = self.submit("multinode.sbatch", config, RANKS_PER_NODE="1", LAUNCHER="mpirun")
        log = self.wait_for_end(job)
        self.assertRegex(log, "(?s): resume: .* mpirun .*on 2 ranks.*: complete: ")
        self.assert_undisturbed(source)


class Chain(Case):
    """The array and what comes after it."""

    def python(self, text):
        path = self.path("python")
        path.write_text(f"#!{sys.executable}\n" + textwrap.dedent(text))
        path.chmod(0o755)
        return str(path)

    def chain(self, config, *options, parts=2, **extra):
        done = slurm(JOBS / "submit_study.sh", config, "--parts", parts, "--export", "--model", "model", "--prompts", "prompts.jsonl",
                     "--out", "part-{index}.h5", *options, cwd=self.directory, **extra)
        return re.search(r"array of \d+: job (\d+)", done.stdout)[1], re.search(r"analysis: job (\d+)", done.stdout)[1], done.stdout

    def test_without_torch(self):
        """Every part says what is missing, and the analysis is not started."""
        (self.path("broken")).mkdir()
        self.path("broken/torch.py").write_text("raise ImportError('no torch here')\n")
        self.path("prompts.jsonl").write_text('{"id": 1, "token_ids": [1, 2, 3]}\n')
        array, analysis, said = self.chain(self.config(support.files("part-*.h5")), PYTHONPATH=str(self.path("broken")), PYTHON=sys.executable)
        self.assertIn("not started", said)
        for part in ("0", "1"):
            self.wait_for_end(f"{array}_{part}", "FAILED")
            self.assertEqual(self.field(f"{array}_{part}", "ExitCode"), "69:0")
            self.assertIn("torch", self.log(f"{array}-{part}"))
        self.wait_for_end(analysis, "CANCELLED")
        self.assertEqual(self.log(analysis), "", "the analysis was started")
        self.assertFalse(self.path("results.h5").exists())

    def test_stopped_part(self):
        """A part that is stopped goes back into the queue; the analysis waits for it. A writer of hidden states stands in for the
        model."""
        python = self.python(f"""
            import os, pathlib, signal, sys
            sys.path.insert(0, {str(HERE.parent / "run")!r})
            import support
            part = int(os.environ["SLURM_ARRAY_TASK_ID"])
            if part == 1 and "SLURM_RESTART_COUNT" not in os.environ:
                signal.signal(signal.SIGUSR1, lambda *_: sys.exit(75))
                print("waiting", flush=True)
                while True:
                    signal.pause()
            support.write_states(f"part-{{part}}.h5", support.clouds(seed=part), ids=[10 * part + a for a in range(3)])
            """)
        array, analysis, _ = self.chain(self.config(support.files("part-*.h5")), parts=2, PYTHON=python)
        self.wait_until(lambda: "waiting" in self.log(f"{array}-1"), lambda: "not started: " + self.log(f"{array}-1"))
        slurm("scancel", "-b", "--signal=USR1", f"{array}_1")
        log = self.wait_for_end(analysis)
        self.assertRegex(self.log(f"{array}-1"), "(?s)part 1 of .*requeue.*restart 1.*complete: part-1.h5")
        self.assertIn("means over prompts", log)
        self.assertTrue(self.path("results-figures/index.html").exists() or "figures" in log, log)
        self.assert_same_bytes(support.load_models(self.path("results.h5")),
                               self.study(support.files(self.path("part-0.h5"), self.path("part-1.h5")), output="undisturbed.h5"))
        job = slurm("sbatch", "--parsable", "--array=0-1", JOBS / "extract_array.sbatch", "--out", "part-{index}.h5", cwd=self.directory,
                    TOKENGEOM_DIR=str(support.SOURCE), PYTHON="/bin/false").stdout.strip()
        for part in ("0", "1"):
            self.wait_for_end(f"{job}_{part}")
            self.assertIn("was there", self.log(f"{job}-{part}"))

    def test_real_model(self):
        try:
            import torch
            import transformers
        except ImportError as error:
            self.skipTest(str(error))
        torch.manual_seed(1)
        shape = transformers.OPTConfig(vocab_size=101, hidden_size=24, num_hidden_layers=3, ffn_dim=48, num_attention_heads=4,
                                       max_position_embeddings=80, word_embed_proj_dim=24, init_std=0.3)
        transformers.OPTForCausalLM(shape).save_pretrained(self.path("model"))
        self.path("prompts.jsonl").write_text("".join(
            f'{{"id": {p}, "token_ids": {[(7 * p + 13 * t * t + t) % 101 for t in range(64)]}}}\n' for p in range(5)))
        options = ("--tokens", "64", "--store", "float32", "--device", "cpu")
        array, analysis, _ = self.chain(self.config(support.files("part-*.h5")), *options, PYTHON=sys.executable)
        self.wait_for_end(analysis, seconds=120)
        got = support.load_models(self.path("results.h5"))
        subprocess.run([sys.executable, JOBS / "export_states.py", "--model", "model", "--prompts", "prompts.jsonl", "--out", "whole.h5", *options],
                       cwd=self.directory, check=True, capture_output=True)
        self.assert_same_bytes(got, self.study(support.files(self.path("whole.h5")), output="undisturbed.h5"))

    def test_study(self):
        """submit_study.sh without an array: sizes from the plan, one node or two."""
        source = {**SLOW, "slow_seconds": 0}
        config = self.config(synthetic(**source))
        for nodes, script in ((1, "node"), (2, "multinode")):
            done = slurm(JOBS / "submit_study.sh", config, "--nodes", nodes, "--ranks", 2, "--set", f"output={self.path(script)}.h5",
                         cwd=self.directory)
            plan = self.run_ok("run", "--dry-run", "--ranks", 2 * nodes, config).out
            memory = int(re.search(rf"sizes: {nodes} x 2 ranks, (\d+) MB a rank", done.stdout)[1])
            planned = int(re.search(r"memory a rank +about (\d+) MB", plan)[1])
            self.assertAlmostEqual(memory, planned, delta=4, msg="measured each time")
            job = re.search(r"study: job (\d+)", done.stdout)[1]
            log = self.wait_for_end(job)
            self.assertIn(f"on {2 * nodes} ranks", log)
            self.assertEqual(self.field(job, "TimeLimit"), "01:00:00")
            self.assertEqual(self.field(job, "MinMemoryNode"), f"{2 * memory * 6 // 5 + 512}M")
            self.assert_undisturbed(source, f"{script}.h5")
        if "libllama: not" not in support.libraries():  # whose weights the ranks of a node share
            model = tiny_models.Llama(vocabulary=40000)
            model.write(self.path("tiny.gguf"))
            rows = [list(range(64)), list(range(64, 128))]
            self.path("tiny.jsonl").write_text("".join(json.dumps({"id": i, "token_ids": row}) + "\n" for i, row in enumerate(rows)))
            config = self.config({"kind": "llama", "model": "tiny.gguf", "prompts": "tiny.jsonl", "tokens": 64}, name="tiny.yaml")
            done = slurm(JOBS / "submit_study.sh", config, "--ranks", 2, "--set", "output=tiny.h5", cwd=self.directory)
            memory, shared = map(int, re.search(r"(\d+) MB a rank and (\d+) MB a node", done.stdout).groups())
            self.assertAlmostEqual(shared, self.path("tiny.gguf").stat().st_size / 1e6, delta=2)
            self.assertGreater(memory, 40)
            job = re.search(r"study: job (\d+)", done.stdout)[1]
            self.assertEqual(self.field(job, "MinMemoryNode"), f"{(2 * memory + shared) * 6 // 5 + 512}M")
            self.wait_for_end(job)
            self.run_ok("verify", self.path("tiny.h5"))
        self.assertIn("--ranks N    ranks a node", slurm(JOBS / "submit_study.sh", "--help").stdout)
        for arguments, code in (((self.path("none.yaml"),), 66), ((config, "--nodes", "two"), 64), ((config, "--set", "x.y=1"), 78)):
            done = slurm(JOBS / "submit_study.sh", *arguments, check=False, cwd=self.directory)
            self.assertEqual(done.returncode, code, done.stdout + done.stderr)
            self.assertIn("submit_study.sh: ", done.stderr)


class Workstation(Case):
    def test_odd_path(self):
        """Quotes and backslashes in the output's path: the script knows when it is complete."""
        folder = self.path("a \"quoted\" \\ path")
        folder.mkdir()
        config = self.config(synthetic(prompts=2, layers=2, tokens=16, width=4), output=str(folder / "r.h5"))
        done = subprocess.run([JOBS / "workstation.sh", config], capture_output=True, text=True,
                              env=support.environment(TOKENGEOM=support.PROGRAM, RANKS="1"), timeout=support.PATIENCE * 60)
        self.assertEqual(done.returncode, 0, done)
        self.assertIn(f" complete: {folder}/r.h5", done.stdout)

    def test_stop_and_go_on(self):
        """Without SLURM: TERM, INT and USR1 stop cleanly with 75, the same command goes on."""
        config = self.config(synthetic(**SLOW))
        command = [JOBS / "workstation.sh", str(config)]
        environment = support.environment(TOKENGEOM=support.PROGRAM, RANKS="2")
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment,
                                       start_new_session=True, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler))
            self.addCleanup(support.kill_all, process)
            out = ""
            while "done before" not in out:
                line = process.stdout.readline()
                self.assertTrue(line, out)
                out += line
            time.sleep(0.3)
            os.killpg(process.pid, number) if number == signal.SIGINT else process.send_signal(number)
            out += process.communicate(timeout=support.PATIENCE * 30)[0]
            self.assertEqual(process.returncode, support.STOPPED, f"{number}: {out}")
            self.assertRegex(out, r"stop: status 0, \d+ clouds are left")
        done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=support.PATIENCE * 60)
        self.assertEqual(done.returncode, 0, done)
        self.assertRegex(done.stdout, "(?s)resume: .*complete: ")
        self.assert_undisturbed()


signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))
problem = cluster_start()
if problem:
    print(f"skipped: {problem}", file=sys.stderr)
    sys.exit(77)
try:
    support.main()
finally:
    if not cluster_stop():
        sys.exit("processes are left")
