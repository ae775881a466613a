"""Disks, files, ranks and clocks that fail in the middle of a run.

Oracle: an undisturbed run. After each fault there is no file, or one that opens, is not called complete, and holds the
undisturbed numbers wherever `status` says done; --resume then gives the same bytes. docs/faults.md has a row for each test
here: the test of the table compares the names. Those of `extract` stand in test_extract_faults.py."""
import contextlib
import os
import pathlib
import re
import shutil
import signal
import tempfile
import time
import unittest

import faults
import h5py
import numpy as np
import support
from faults import inject, needs_strace
from support import BAD_DATA, IO, OK, STOPPED, clouds, files, synthetic, write_states

AT_ONCE = {"OMPI_MCA_odls_base_sigkill_timeout": "0"}  # mpirun waits two seconds otherwise before it ends the other ranks
SECTIONS = {"observables": {"scales": [2, 4], "overlap_k": 8}, "statistics": {"bootstrap": 50}}
SLOW = dict(prompts=24, shuffles=2, layers=4, tokens=60, width=12, slow_prompt=9, slow_seconds=1.0)
INPUTS = pathlib.Path(tempfile.mkdtemp(prefix="tokengeom-faults-"))
expected = {}  # name -> everything under /models of an undisturbed run


def setUpModule():
    random = np.random.default_rng(3)
    for name, prompts in (("a.h5", 12), ("b.h5", 2)):
        write_states(INPUTS / name, clouds(prompts, 2, 4, 60, 64), ids=np.arange(prompts) + 100 * (name == "b.h5"),
                     chunks=(1, 1, 1, 60, 64), filters=("gzip", "fletcher32"), loss=random.random((prompts, 2)))
    for name, source in (("states", files(INPUTS / "a.h5", INPUTS / "b.h5")), ("slow", synthetic(**{**SLOW, "slow_seconds": 0}))):
        config = support.write_config(INPUTS / f"{name}.yaml", [source], output=str(INPUTS / f"{name}.h5"), **SECTIONS)
        result = support.run("run", config, ranks=2)
        assert result.code == OK, result
        expected[name] = support.load_models(INPUTS / f"{name}.h5")


def tearDownModule():
    shutil.rmtree(INPUTS, ignore_errors=True)


class Case(support.Case):
    study_name = "states"

    def setUp(self):
        super().setUp()
        self.results = self.path("results.h5")
        self.states = [self.path(name) for name in ("a.h5", "b.h5")]
        for path in self.states:
            shutil.copy2(INPUTS / path.name, path)
        self.use({"states": files(*self.states), "slow": synthetic(**SLOW)}[self.study_name])

    def use(self, source, name=None):
        """The study of the test, with the results to expect."""
        self.study_name = name or self.study_name
        self.study_file = self.config(source, output=str(self.results), **SECTIONS)

    def fails(self, code, *named, ranks=2, options=(), arguments=None, **how):
        """A run that ends with `code` and one line that has these words."""
        result = support.run(*(arguments or ("run", self.study_file, *options)), ranks=ranks, **AT_ONCE, **how)
        self.assertEqual(result.code, code, result)
        self.assertEqual(len(result.errors), 1, result)
        for name in named:
            self.assertIn(str(name), result.errors[0], result)
        return result

    def check_file(self, complete=0):
        """What is there opens and is true."""
        with h5py.File(self.results) as file:
            self.assertEqual(file["complete"][()], complete)
        got, whole = support.load_models(self.results), expected[self.study_name]
        done = got["model/status"] > 0
        for name in ("intrinsic_dimension/gride/value", "cosine_similarity/mean", "reciprocity/value"):
            self.assertTrue(got["model/" + name][done].tobytes() == whole["model/" + name][done].tobytes(), name)
        return int(done.sum())

    def goes_on(self, ranks=2, config=None):
        result = self.run_ok("run", config or self.study_file, "--resume", ranks=ranks)
        self.assert_same_bytes(support.load_models(self.results), expected[self.study_name], "resumed:")
        self.assertEqual(self.check_file(complete=1), expected[self.study_name]["model/status"].size)
        self.assertEqual(sorted(f.name for f in self.directory.glob("results.h5*")), ["results.h5"])
        return int(re.search(r"(\d+) done before", result.err).group(1))

    def start(self, *options, ranks=None, wrap=(), at_least=5, **extra):
        """A run in the background in which some, and not all, clouds are done."""
        process = support.start("run", self.study_file, *options, ranks=ranks, wrap=wrap, **extra)
        self.addCleanup(self.end, process)
        stop = time.monotonic() + support.PATIENCE * 30
        while time.monotonic() < stop:
            self.assertIsNone(process.poll(), "the run has ended already")
            with contextlib.suppress(OSError, KeyError), h5py.File(self.results) as file:
                if (file["models/model/status"][...] > 0).sum() >= at_least:
                    return process
            time.sleep(0.02)
        self.fail("no cloud is done after 30 s")

    def rank_of(self, process, rank):
        """The process of a rank."""
        for pid in [process.pid, *support.descendants(process.pid)]:
            with contextlib.suppress(OSError):
                settings = pathlib.Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
                mine = any(f"{name}={rank}".encode() in settings for name in ("OMPI_COMM_WORLD_RANK", "PMI_RANK"))
                if mine and pathlib.Path(f"/proc/{pid}/exe").resolve() == pathlib.Path(support.PROGRAM).resolve():
                    return pid
        self.fail(f"no rank {rank}")


# ---- somebody looks -----------------------------------------------------------------------------------------------------


class Looked(Case):
    def test_input_that_is_locked(self):
        """By a program that writes to it."""
        with h5py.File(self.states[0], "r+"):
            self.fails(IO, "a.h5: is locked: another program has it open for writing")
        self.results.unlink(missing_ok=True)
        self.run_ok("run", self.study_file)

    @needs_strace
    def test_no_locks(self):
        """A file system that has none, for our own lock or HDF5's: a line says so, and the run goes on."""
        for number, setting in (("ENOLCK", {}), ("ENOSYS", {}), ("EOPNOTSUPP", {"HDF5_USE_FILE_LOCKING": "BEST_EFFORT"})):
            with self.subTest(number=number):
                self.results.unlink(missing_ok=True)
                wrap = inject(f"flock:error={number}", f"fcntl:error={number}", on=[*self.states, f"{self.results}.part", f"{self.results}.lock"])
                result = self.run_ok("run", self.study_file, wrap=wrap, **setting)
                self.assertIn("this file system has no locks", result.err)
                self.check_file(complete=1)

    @needs_strace
    def test_file_that_is_locked(self):
        """Another process has opened, and so locked, the file in the moment in which it is made."""
        result = self.run_ok("run", self.study_file, wrap=inject("flock:error=EAGAIN", on=[f"{self.results}.part"]), ranks=2)
        self.assertEqual(result.errors, [])


# ---- the disk is full ---------------------------------------------------------------------------------------------------


class Full(Case):
    def test_disk_full_at_the_start(self):
        """Space for the whole file is asked for before anything is measured."""
        for size in ("16k", "96k"):  # too small for the numbers; for them, but not for their descriptions
            with self.subTest(size=size), faults.small_disk(self.path("disk" + size), size) as disk:
                config = self.config(files(*self.states), output=str(disk / "results.h5"), **SECTIONS)
                self.fails(IO, "results.h5.part", "No space left on device", arguments=("run", config))
                self.assertEqual(os.listdir(disk), [])

    def test_disk_full_by_others(self):
        """What a run needs is its own from the start: that others fill the disk then does not matter."""
        with faults.small_disk(self.path("disk"), "4m") as disk:
            self.results = disk / "results.h5"
            self.use(synthetic(**SLOW), "slow")
            process = self.start(ranks=2)
            faults.fill(disk)
            with self.assertRaises(OSError):
                pathlib.Path(disk, "more").write_bytes(bytes(4096))
            self.assertEqual(self.finish(process).code, OK)
            self.assert_same_bytes(support.load_models(self.results), expected["slow"])

    @needs_strace
    def test_disk_full_in_mid_run(self):
        """A file system that does not keep what it has promised."""
        for rank in (0, 1):
            with self.subTest(rank=rank):
                self.results.unlink(missing_ok=True)
                self.fails(IO, f"rank {rank}", "results.h5: /models/model/", "cannot be written",
                           wrap=inject("pwrite64:error=ENOSPC:when=15+", on=[self.results], rank=rank))
                done = self.check_file()
                self.assertGreaterEqual(self.goes_on(), done)

    @needs_strace
    def test_no_reservation(self):
        """A file system that cannot reserve space: nothing is written for that, and the bytes are the same. (A page is 4 KiB.)"""
        log = self.path("calls")
        process = self.start(ranks=None, wrap=inject("fallocate:error=EOPNOTSUPP", "pwrite64", on=[self.path("results.h5.part")], log=log))
        self.assertEqual(self.finish(process).code, OK)
        self.assert_same_bytes(support.load_models(self.results), expected[self.study_name])
        single = [line for line in log.read_text().splitlines() if "pwrite64" in line and re.search(r", 1, \d+\) += 1", line)]
        self.assertLess(len(single), self.results.stat().st_size / 4096 / 10)

    @needs_strace
    def test_limit_on_file_sizes(self):
        """What `ulimit -f` does to a write; the limit itself would hit mpirun's own files first."""
        self.fails(IO, "results.h5.part: File too large", wrap=inject("fallocate:error=EFBIG:signal=XFSZ", on=[self.path("results.h5.part")]))
        self.assert_nothing_left()
        self.fails(IO, "results.h5: /models/model/", "cannot be written",
                   wrap=inject("pwrite64:error=EFBIG:signal=XFSZ:when=9+", on=[self.results], rank=0))
        self.check_file()
        self.goes_on()

    def test_disk_full_for_csv(self):
        """export and figures: the file that did not fit is named, and not left half-made."""
        with faults.small_disk(self.path("disk"), "64k") as disk:
            for command in (("export", INPUTS / "states.h5", "--csv", disk / "csv"),
                            ("figures", INPUTS / "states.h5", "--out", disk / "figures")):
                result = self.fails(IO, disk, "No space left on device", ranks=None, arguments=command)
                name = re.search(r"\S+\.csv", result.errors[0]).group()
                self.assertFalse(os.path.exists(name), result)
                self.assertFalse(os.path.exists(name + ".part"), result)
                for path in disk.iterdir():
                    shutil.rmtree(path)

    def test_standard_output_full(self):
        for command in (("report", INPUTS / "states.h5"), ("info", INPUTS / "states.h5"), ("validate", self.study_file)):
            with open("/dev/full", "w") as full:
                process = support.start(*command, stdout=full)
            result = self.finish(process)
            self.assertEqual((result.code, result.errors), (IO, ["standard output: No space left on device"]), result)


# ---- calls that fail -----------------------------------------------------------------------------------------------------


@needs_strace
class Broken(Case):
    def test_write_error(self):
        for rank in (0, 1):
            with self.subTest(rank=rank):
                self.results.unlink(missing_ok=True)
                self.fails(IO, f"rank {rank}", "results.h5: /models/model/", "cannot be written",
                           wrap=inject("pwrite64:error=EIO:when=9", on=[self.results], rank=rank))
                done = self.check_file()
                self.assertGreaterEqual(self.goes_on(), done)

    def test_write_error_at_the_start(self):
        """While the file is made: an older one stays as it was."""
        self.results.write_bytes(b"older")
        for rule in ("pwrite64:error=ENOSPC:when=200", "pwrite64:error=EIO:when=1", "fallocate:error=EIO", "fsync:error=EIO:when=1",
                     "fsync:error=EIO:when=2", "rename:error=EIO"):
            with self.subTest(rule=rule):
                self.fails(IO, "results.h5", {"EIO": "Input/output error", "ENOSPC": "No space left on device"}[rule.split("=")[1].split(":")[0]],
                           options=("--force",), wrap=inject(rule, on=[self.path("results.h5.part")], rank=0))
                self.assertEqual([(f.name, f.read_bytes()) for f in self.directory.glob("results.h5*")], [("results.h5", b"older")])

    def test_write_error_in_statistics(self):
        """All clouds are done: the writes that follow are those of the statistics."""
        for rank in (0, 1):
            with self.subTest(rank=rank):
                shutil.copy(INPUTS / "states.h5", self.results)
                with h5py.File(self.results, "a") as file:
                    file["complete"][()] = 0
                self.study_file = INPUTS / "states.yaml"
                options = ("--resume", "--set", f"output={self.results}")
                self.fails(IO, "statistics of model cannot be written", options=options,
                           wrap=inject("pwrite64:error=EIO:when=3", on=[self.results], rank=rank))
                self.check_file()
                self.run_ok("run", self.study_file, *options, ranks=2)
                self.assert_same_bytes(support.load_models(self.results), expected["states"])

    def test_fsync_error(self):
        """Where the disk cannot keep what was written, nothing is called complete; on any rank, at any of the three times."""
        for rank, when in ((0, 1), (1, 2), (1 if support.OPEN_MPI else 0, 3)):  # MPICH flushes at the end from one rank alone
            with self.subTest(rank=rank, when=when):
                self.results.unlink(missing_ok=True)
                self.fails(IO, "results.h5 cannot be flushed", wrap=inject(f"fsync:error=EIO:when={when}", on=[self.results], rank=rank))
                self.check_file()
                self.goes_on()

    def test_open_error(self):
        """One rank alone cannot open the results; so it looks before the open in which all take part."""
        self.fails(IO, "results.h5: cannot be opened for writing (Permission denied)",
                   wrap=inject("openat:error=EACCES:when=1", on=[self.results], rank=1))
        self.check_file()
        self.goes_on()

    def test_read_error(self):
        """An input's disk fails at the start and in mid-run."""
        for ranks, rank, when, words in ((2, 0, 5, ["a.h5"]), (2, 1, 5, ["a.h5"]), (None, 0, "150+", ["h5: hidden_states["])):
            with self.subTest(rank=rank, when=when):
                self.assertFalse(self.results.exists())
                self.fails(BAD_DATA, *words, "Input/output error", ranks=ranks, wrap=inject(f"pread64:error=EIO:when={when}", on=self.states, rank=rank))
        self.assertGreater(self.check_file(), 0)
        self.goes_on()

    def test_read_error_of_results(self):
        """A result file that cannot be read to go on with is left alone."""
        shutil.copy(INPUTS / "states.h5", self.results)
        before = self.results.read_bytes()
        result = support.run("run", self.study_file, "--resume", ranks=2, wrap=inject("pread64:error=EIO:when=9+", on=[self.results], rank=0))
        self.assertIn(result.code, (BAD_DATA, IO), result)
        self.assertEqual(len(result.errors), 1, result)
        self.assertIn("results.h5", result.errors[0])
        self.assertEqual(self.results.read_bytes(), before)


# ---- inputs and outputs that change ----------------------------------------------------------------------------------------


@needs_strace
class Changed(Case):
    def start_slowly(self):
        """Every read of a cloud takes 10 ms more. (strace counts the calls of each thread.)"""
        return self.start(ranks=2, **AT_ONCE, wrap=inject("pread64:delay_enter=10000:when=20+", on=self.states))

    def test_input_truncated(self):
        process = self.start_slowly()
        os.truncate(self.states[0], 30000)
        result = self.finish(process)
        self.assertEqual(result.code, BAD_DATA, result)
        for line in result.errors:  # of each rank that has come to the missing part
            self.assertRegex(line, r"^rank \d: \S+h5: (hidden_states\[\d+, \d+, \d+\] cannot be read|damaged)", result)
        self.check_file()
        shutil.copy2(INPUTS / "a.h5", self.states[0])
        self.goes_on()

    def test_input_replaced(self):
        """By a good file of other numbers: the run cannot know which rows come from which, so it is never called complete."""
        process = self.start_slowly()
        other = self.path("other.h5")
        write_states(other, clouds(12, 2, 4, 60, 64, seed=9), chunks=(1, 1, 1, 60, 64), loss=np.ones((12, 2)))
        other.rename(self.states[0])
        result = self.finish(process)
        self.assertEqual(result.code, BAD_DATA, result)
        self.assertEqual(len(result.errors), 1, result)
        self.assertIn("a.h5: was changed during the run", result.errors[0])
        with h5py.File(self.results) as file:
            self.assertEqual(file["complete"][()], 0)
        self.fails(support.CONFIG, "the inputs changed", options=("--resume",))

    def test_unreadable_chunk(self):
        """Bytes that fail their checksum: named, what is done stays, a resumed run gets no further, a repaired input does."""
        with h5py.File(self.states[0]) as file:
            where = file["hidden_states"].id.get_chunk_info_by_coord((7, 1, 2, 0, 0)).byte_offset
        times = os.stat(self.states[0])
        with open(self.states[0], "r+b") as file:
            file.seek(where + 9)
            byte = file.read(1)
            file.seek(where + 9)
            file.write(bytes([byte[0] ^ 255]))
        os.utime(self.states[0], ns=(times.st_atime_ns, times.st_mtime_ns))
        done = []
        for options in ((), ("--resume",)):
            self.fails(BAD_DATA, "a.h5: hidden_states[7, 1, 2] cannot be read", options=options)
            done.append(self.check_file())
        self.assertGreater(done[0], 0)
        self.assertGreaterEqual(done[1], done[0])
        shutil.copy2(INPUTS / "a.h5", self.states[0])
        self.assertGreaterEqual(self.goes_on(), done[1])


class Output(Case):
    study_name = "slow"

    def test_output_removed(self):
        for ranks in (None, 2):
            with self.subTest(ranks=ranks):
                process = self.start(ranks=ranks, **AT_ONCE)
                self.results.rename(self.path("elsewhere.h5"))
                result = self.finish(process)
                self.assertEqual(result.code, IO, result)
                self.assertIn("results.h5: was removed or renamed during the run", result.errors[0])
                self.assertFalse(self.results.exists())
                self.path("elsewhere.h5").rename(self.results)
                self.check_file()
                self.assertGreater(self.goes_on(), 0)
                self.results.unlink()

    def test_output_replaced(self):
        """Another file takes its place, or it is removed and one is made again: the run cannot end well, the other file stays."""
        for ranks, how in ((None, "renamed over"), (2, "renamed over"), (2, "made again")):
            with self.subTest(ranks=ranks, how=how):
                process = self.start(ranks=ranks, **AT_ONCE)
                other = self.path("other") if how == "renamed over" else self.results
                with faults.standing_still(support.ranks_of(process)):  # or one looks while it is gone
                    self.results.unlink() if how == "made again" else None
                    other.write_text("mine\n")
                    other.replace(self.results)
                result = self.finish(process)
                self.assertEqual(result.code, IO, result)
                self.assertIn("results.h5: was replaced by another file during the run", result.errors[0])
                self.assertEqual(self.results.read_text(), "mine\n")
                self.results.unlink()

    def test_directory_removed(self):
        self.path("out").mkdir()
        self.results = self.path("out") / "results.h5"
        self.use(synthetic(**SLOW))
        process = self.start(ranks=2)
        shutil.rmtree(self.path("out"))
        result = self.finish(process)
        self.assertEqual(result.code, IO, result)
        self.assertIn("results.h5: was removed or renamed during the run", result.errors[0])

    def test_read_only_directory(self):
        with faults.small_disk(self.path("disk"), "4m") as disk, faults.read_only(disk):
            config = self.config(synthetic(**SLOW), output=str(disk / "results.h5"), **SECTIONS)
            self.fails(IO, "results.h5.lock: cannot be created: Read-only file system", arguments=("run", config))

    def test_output_not_writable(self):
        """An older result file that may be read, not written."""
        shutil.copy(INPUTS / "slow.h5", self.results)
        before = self.results.read_bytes()
        self.use(synthetic(**{**SLOW, "slow_seconds": 0}))
        with faults.read_only_file(self.results):
            for ranks in (None, 2):
                result = support.run("run", self.study_file, "--resume", ranks=ranks)
                self.assertEqual(result.code, IO, result)
                self.assertIn("results.h5: cannot be opened for writing", result.err)
        self.assertEqual(self.results.read_bytes(), before)
        self.goes_on()

    def test_stale_lock(self):
        """A lock file that nobody holds, whoever left it, is no lock."""
        self.path("results.h5.lock").write_text("left behind")
        self.path("results.h5.part").write_text("left behind")
        self.use(synthetic(**{**SLOW, "slow_seconds": 0}))
        self.run_ok("run", self.study_file, ranks=2)
        self.assertEqual(sorted(f.name for f in self.directory.glob("results.h5*")), ["results.h5"])
        self.assert_same_bytes(support.load_models(self.results), expected["slow"])

    def test_several_runs_at_once(self):
        """Started together with --resume: each does the work or says who does; in the end it is done once, and right."""
        self.use(synthetic(**{**SLOW, "slow_seconds": 0.3}))
        processes = [support.start("run", self.study_file, "--resume") for _ in range(4)]
        results = [self.finish(process) for process in processes]
        for result in results:
            self.assertIn(result.code, (OK, IO), result)
            if result.code == IO:
                self.assertIn("another run is writing this file", result.errors[0])
        self.assertIn(OK, [result.code for result in results])
        self.assert_same_bytes(support.load_models(self.results), expected["slow"])
        measured = sum(192 - int(re.search(r"(\d+) done before", r.err).group(1)) for r in results if r.code == OK)
        self.assertEqual(measured, 192, "each cloud once")


# ---- ranks and clocks --------------------------------------------------------------------------------------------------------


class Ranks(Case):
    study_name = "slow"

    def test_killed_rank(self):
        for rank in (0, 1):
            with self.subTest(rank=rank):
                self.results.unlink(missing_ok=True)
                process = self.start(ranks=2, **AT_ONCE)
                os.kill(self.rank_of(process, rank), signal.SIGKILL)
                self.assertEqual(self.finish(process, timeout=20).code, support.KILLED)
                done = self.check_file()
                self.assertGreaterEqual(self.goes_on(), done)

    @needs_strace
    def test_killed_rank_in_a_collective(self):
        """The others wait at the start (the config is read), when the file is opened, in the flush, in the statistics."""
        shutil.copy(INPUTS / "slow.h5", self.results)
        self.use(synthetic(**{**SLOW, "slow_seconds": 0}))
        for rank, call, path, when in ((1, "openat", self.study_file, 1), (0, "openat", self.study_file, 1), (1, "openat", self.results, 1),
                                       (1, "fsync", self.results, 1), (0, "fsync", self.results, 2), (1, "pwrite64", self.results, 5)):
            with self.subTest(rank=rank, call=call, when=when):
                result = support.run("run", self.study_file, "--resume", ranks=2, timeout=20, **AT_ONCE,
                                     wrap=inject(f"{call}:signal=KILL:when={when}", on=[path], rank=rank))
                self.assertEqual(result.code, support.KILLED, result)
                self.check_file(complete=1)
        self.goes_on()

    @needs_strace
    def test_signals(self):
        """To mpirun, to any one rank, to a run without mpirun. mpirun waits a second, gives its ranks another one and ends
        with 1; Open MPI 5's passes on SIGUSR1 alone and kills its ranks at the others, after which what is done is right; MPICH's
        passes on all and ends as its ranks do, or with 0.
        Each write takes 10 ms here, so that a shard takes 0.2 s."""
        self.use(synthetic(**{**SLOW, "slow_seconds": 0}))
        slowly = inject("pwrite64:delay_enter=10000", on=[self.results])
        cases = [(number, None, None) for number in (signal.SIGUSR1, signal.SIGTERM, signal.SIGINT)]
        cases += [(signal.SIGUSR1, 2, 0), (signal.SIGUSR1, 2, 1), (signal.SIGTERM, 2, 1)]
        cases += [(number, 2, "mpirun") for number in (signal.SIGUSR1, signal.SIGTERM, signal.SIGINT)]
        for number, ranks, to in cases:
            with self.subTest(signal=number.name, ranks=ranks, to=to):
                self.results.unlink(missing_ok=True)
                process = self.start("--max-hours", "1", ranks=ranks, wrap=slowly)
                os.kill(self.rank_of(process, to) if to in (0, 1) else process.pid, number)
                result = self.finish(process)
                to_mpirun = to == "mpirun" and number != signal.SIGUSR1
                if not (to_mpirun and "Open MPI) 5" in support.launcher_version()):
                    allowed = support.SIGNALED if to == "mpirun" else (STOPPED,)
                    self.assertIn(result.code, (1,) if to_mpirun and support.OPEN_MPI else allowed, result)
                    self.assertIn("stopped early", result.err)
                self.assertEqual(result.errors, [], result)
                self.assertLess(self.check_file(), 192)
        self.goes_on()

    def test_stop_in_a_shard(self):
        """Shards of 0.3 s: after a stop each rank finishes the one in hand, at most, whatever was given to it ahead. The ranks stand
        still while what is done is counted and the signal is sent, so nothing is between the two."""
        slow = dict(prompts=1, shuffles=24, layers=2, tokens=60, width=12, slow_prompt=0)
        self.use(synthetic(**slow, slow_seconds=0))
        self.run_ok("run", self.study_file)
        expected["levels"] = support.load_models(self.results)
        self.use(synthetic(**slow, slow_seconds=0.3), "levels")
        for ranks in (2, 3):
            with self.subTest(ranks=ranks):
                self.results.unlink()
                process = self.start(ranks=ranks)
                before = faults.ask_to_stop([self.rank_of(process, rank) for rank in range(ranks)], self.check_file)
                result = self.finish(process)
                self.assertEqual((result.code, result.errors), (STOPPED, []), result)
                done = self.check_file()
                self.assertEqual(done % 2, 0, "a shard is two layers")
                self.assertLessEqual(done // 2 - before // 2, ranks, f"shards were begun after the stop\n{result}")
                self.assertIn(f" {done} of 48 clouds", result.err)
                self.assertIn(f"stopped early: {48 - done} clouds are left", result.err)
                self.assertEqual(self.goes_on(), done)

    def test_more_ranks_than_cores(self):
        self.use(synthetic(**{**SLOW, "slow_seconds": 0}))
        self.run_ok("run", self.study_file, ranks=16, timeout=120)
        self.assert_same_bytes(support.load_models(self.results), expected["slow"])

    @unittest.skipIf(support.THREAD_SANITIZED, "libfaketime takes waits on conditions away from it, which then look like races")
    def test_clock_that_jumps(self):
        """The time of day goes back a day and on by ten years during a run: limits and waits do not look at it."""
        found = list(pathlib.Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))
        if not found or b"libasan" in pathlib.Path(support.PROGRAM).read_bytes():
            self.skipTest("needs libfaketime, and a program without the address sanitizer, which wants to be loaded first")

        def set_clock(text):
            """In one step: libfaketime 0.9.10 ends a program that finds the file empty."""
            self.path("next").write_text(text)
            self.path("next").replace(self.path("now"))

        set_clock("+0\n")
        process = self.start("--max-hours", "1", LD_PRELOAD=str(found[0]), FAKETIME_TIMESTAMP_FILE=str(self.path("now")),
                             FAKETIME_NO_CACHE="1", FAKETIME_DONT_FAKE_MONOTONIC="1")
        for text in ("-1d\n", "+10y\n"):
            set_clock(text)
            time.sleep(0.2)
        result = self.finish(process)
        self.assertEqual(result.code, OK, result)
        self.assert_same_bytes(support.load_models(self.results), expected["slow"])
        with h5py.File(self.results) as file:
            years = [int(file["provenance/" + name][()][:4]) for name in ("start", "end")]
        self.assertEqual(years[1] - years[0], 10, "the clock did jump")


class Table(unittest.TestCase):
    def test_names_in_the_table(self):
        """docs/faults.md has a row for each test here, in test_extract_faults.py and in test_kills.py, and each row a test that exists."""
        rows = [line for line in (support.SOURCE / "docs/faults.md").read_text().splitlines() if re.match(r"\| (?!fault )", line)]
        named = [re.findall(r"`(test_\w+)`", row.split("|")[-2]) for row in rows]
        self.assertEqual([row for row, names in zip(rows, named) if not names], [])
        tests = {file.name: re.findall(r"^    def (test_\w+)", file.read_text(), re.M) for file in support.HERE.glob("test_*.py")}
        there = {name for file in ("test_faults.py", "test_extract_faults.py", "test_kills.py") for name in tests[file]}
        named = {name for names in named for name in names}
        self.assertEqual(named - {name for names in tests.values() for name in names}, set(), "no such test")
        self.assertEqual(there - named, {"test_names_in_the_table"}, "not in the table")


support.main()
