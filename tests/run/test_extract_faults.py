"""Disks, files and ranks that fail in the middle of an extraction.

Oracle: an undisturbed extraction. After each fault there is no FILE, and one that is made by the same command when what was
wrong has been repaired has the undisturbed bytes. docs/faults.md has a row for each test here: a test of test_faults.py
compares the names."""
import contextlib
import os
import pathlib
import shutil
import signal
import tempfile
import time

import faults
import h5py
import numpy as np
import support
from faults import inject, needs_strace
from support import BAD_DATA, CONFIG, INTERNAL, IO, NO_INPUT, OK, STOPPED, clouds, files, write_states

AT_ONCE = {"OMPI_MCA_odls_base_sigkill_timeout": "0"}  # mpirun waits two seconds otherwise before it ends the other ranks
PROMPTS, LEVELS, LAYERS = 12, 2, 4
INPUTS = pathlib.Path(tempfile.mkdtemp(prefix="tokengeom-extract-faults-"))


def setUpModule():
    random = np.random.default_rng(3)
    write_states(INPUTS / "a.h5", clouds(PROMPTS, LEVELS, LAYERS, 60, 64), loss=random.random((PROMPTS, LEVELS)),
                 token_ids=random.integers(0, 99, (PROMPTS, LEVELS, 60)))
    config = support.write_config(INPUTS / "study.yaml", [files(INPUTS / "a.h5")])
    result = support.run("extract", config, "--out", INPUTS / "expected.h5", ranks=2)
    assert result.code == OK, result


def tearDownModule():
    shutil.rmtree(INPUTS, ignore_errors=True)


def read(path):
    """Path -> array of everything in a hidden-state file."""
    with h5py.File(path) as file:
        return {name: dataset[...] for name, dataset in support.datasets(file).items()}


class Case(support.Case):
    def setUp(self):
        super().setUp()
        self.study_file, self.out, self.part = INPUTS / "study.yaml", self.path("states.h5"), self.path("states.h5.part")

    def command(self):
        return ("extract", self.study_file, "--out", self.out)

    def fails(self, code, *named, ranks=2, **how):
        """An extraction that ends with `code` and one line that has these words, and without a FILE."""
        result = support.run(*self.command(), ranks=ranks, **AT_ONCE, **how)
        self.assertEqual((result.code, len(result.errors)), (code, 1), result)
        for name in named:
            self.assertIn(str(name), result.errors[0], result)
        self.assertFalse(self.out.exists(), result)
        return result

    def goes_on(self, ranks=2):
        result = self.run_ok(*self.command(), ranks=ranks)
        self.assert_same_bytes(read(self.out), read(INPUTS / "expected.h5"), "made after a fault:")
        self.assertEqual(sorted(f.name for f in self.directory.glob("states.h5*")), ["states.h5"])
        self.out.unlink()
        return result

    def start_slowly(self, at_least=1):
        """An extraction each write of which takes 10 ms more, in which some, and not all, is done."""
        process = support.start(*self.command(), ranks=2, wrap=inject("pwrite64:delay_enter=10000", on=[self.part]), **AT_ONCE)
        self.addCleanup(self.end, process)
        stop = time.monotonic() + support.PATIENCE * 30
        while time.monotonic() < stop:
            self.assertIsNone(process.poll(), "it has ended already" if process.poll() is None else process.communicate())
            with contextlib.suppress(OSError, KeyError), h5py.File(self.part) as file:
                if (file["done"][...] != 0).sum() >= at_least:
                    return process
            time.sleep(0.02)
        self.fail("nothing is done after 30 s")


class Full(Case):
    def test_disk_full_at_the_start_of_extract(self):
        with faults.small_disk(self.path("disk"), "64k") as disk:
            self.out = disk / "states.h5"
            self.fails(IO, "states.h5.part: No space left on device", "the file needs")
            self.assertEqual(os.listdir(disk), [])


@needs_strace
class Broken(Case):
    def test_part_that_is_locked(self):
        """Another process has opened, and so locked, the file in the moment in which it is made."""
        self.run_ok(*self.command(), ranks=2, wrap=inject("flock:error=EAGAIN", on=[self.part]))

    def test_extract_fsync_error(self):
        """The disk cannot keep what was written, on any rank: 1 and 2 of rank 0 are those with which FILE.part is made, the
        last one comes before the rename."""
        for rank, when in ((0, 1), (0, 2), (0, 3), (0, 4), (1, 1)):
            with self.subTest(rank=rank, when=when):
                self.fails(IO, "states.h5.part", wrap=inject(f"fsync:error=EIO:when={when}", on=[self.part], rank=rank), timeout=20)
                self.goes_on()

    def test_extract_write_error(self):
        """A write that fails on one rank, in the first shard, the only one that each has for certain: nine writes of rank 0 make FILE.part."""
        for rank, when in ((0, 12), (1, 3)):
            with self.subTest(rank=rank):
                self.fails(IO, f"rank {rank}", "states.h5.part: prompt", "cannot be written",
                           wrap=inject(f"pwrite64:error=EIO:when={when}", on=[self.part], rank=rank))
                self.goes_on()

    def test_extract_open_error(self):
        """One rank alone cannot open FILE.part; so it looks before the open in which all take part."""
        self.fails(IO, "states.h5.part: cannot be opened for writing (Permission denied)",
                   wrap=inject("openat:error=EACCES:when=1", on=[self.part], rank=1), timeout=20)
        self.goes_on()


class Ranks(Case):
    def test_extract_ranks_that_differ(self):
        """Nodes that see other files under the same names: the line says whether it is the config or the inputs. So does `run`."""
        places = [self.path(name) for name in ("one", "other")]
        for place in places:
            place.mkdir()
            shutil.copy2(INPUTS / "a.h5", place)
        for name in ("study.yaml", "a.h5"):
            self.path(name).symlink_to(f"/proc/self/cwd/{name}")  # each rank's own
        apart = ("sh", "-c", f'[ "${{OMPI_COMM_WORLD_RANK:-$PMI_RANK}}" = 0 ] && cd {places[0]} || cd {places[1]}; exec "$@"', "sh")
        for seed, modified, words in ((1, 1e9, "differ in the inputs"), (2, 2e9, "differ in the config")):
            for place, value in zip(places, (1, seed)):
                support.write_config(place / "study.yaml", [files(self.path("a.h5"))], statistics={"seed": value})
                os.utime(place / "a.h5", (2e9, 2e9 if place == places[0] else modified))
            for command in (("extract", self.path("study.yaml"), "--out", self.out), ("run", self.path("study.yaml"))):
                with self.subTest(words=words, command=command[0]):
                    result = support.run(*command, ranks=2, wrap=apart, **AT_ONCE)
                    self.assertEqual((result.code, len(result.errors)), (INTERNAL, 1), result)
                    self.assertIn(words, result.errors[0])


class Stop(Case):
    def marked(self):
        with h5py.File(self.part) as file:
            return int((file["done"][...] != 0).sum())

    def test_extract_stop_in_a_prompt(self):
        """Prompts and levels of 0.3 s: after a stop each rank finishes the one in hand, at most. They stand still while it is sent."""
        source = dict(prompts=1, shuffles=24, layers=2, tokens=60, width=12, slow_prompt=0)
        for ranks in (2, 3):
            with self.subTest(ranks=ranks):
                self.study_file = self.config(support.synthetic(**source, slow_seconds=0.3))
                process = support.start(*self.command(), ranks=ranks)
                self.addCleanup(self.end, process)
                stop = time.monotonic() + support.PATIENCE * 30
                while time.monotonic() < stop:
                    with contextlib.suppress(OSError, KeyError):
                        if self.marked() >= 3:
                            break
                    time.sleep(0.02)
                pids = support.ranks_of(process)
                self.assertEqual(len(pids), ranks)
                before = faults.ask_to_stop(pids, self.marked)
                result = self.finish(process)
                self.assertEqual((result.code, result.errors), (STOPPED, []), result)
                self.assertLessEqual(self.marked() - before, ranks, result)
                self.assertIn(f" {2 * self.marked()} of 48 clouds", result.err)
                self.run_ok(*self.command(), ranks=ranks)
                self.out.unlink()


class Lost(Case):
    """What a disk has lost of FILE.part since it was written, after a power failure say."""

    def stopped(self, at_least=8):
        """A FILE.part with some, and not all, done; returns how much."""
        process = self.start_slowly(at_least)
        support.kill_all(process)
        process.communicate()
        self.path("states.h5.lock").unlink(missing_ok=True)
        with h5py.File(self.part) as file:
            done = file["done"][...] != 0
        self.assertFalse(done.all())
        return np.argwhere(done)

    def lose(self, name, *place):
        """A block of zeros, as a file system gives for what it has not kept."""
        with h5py.File(self.part, "a") as file:
            self.assertTrue(np.any(file[name][place]), "something was there")
            file[name][place] = 0

    @needs_strace
    def test_extract_lost_blocks(self):
        """Clouds and numbers that are marked as done and are not there are found and written again; a line says how many."""
        for ranks in (2, None):
            with self.subTest(ranks=ranks):
                done = self.stopped()
                self.lose("hidden_states", *done[0], 2, slice(20, 40))
                self.lose("loss", *done[2])
                self.lose("token_ids", *done[3])
                self.lose("hidden_states", *done[-1], LAYERS - 1, 59, 63)
                result = self.goes_on(ranks=ranks)
                self.assertIn(f"states.h5.part: {len(done) - 4} prompts and levels reused, 4 written again because their checksum did "
                              f"not match, {PROMPTS * LEVELS - len(done)} to write", result.err)

    @needs_strace
    def test_extract_marks_without_clouds(self):
        """A mark that reached the disk before what it stands for did."""
        done = self.stopped()
        with h5py.File(self.part, "a") as file:
            file["done"][...] = np.where(file["done"][...] == 0, 77, file["done"][...])
        result = self.goes_on()
        self.assertIn(f"{len(done)} prompts and levels reused, {PROMPTS * LEVELS - len(done)} written again", result.err)

    @needs_strace
    def test_extract_nothing_lost(self):
        done = self.stopped()
        self.assertIn(f"{len(done)} prompts and levels reused, 0 written again", self.goes_on(ranks=3).err)

    @needs_strace
    def test_extract_stop_while_checking(self):
        """Reading back what is there may take long: a signal ends that too, and nothing has changed."""
        self.stopped()
        before = self.part.read_bytes()
        process = support.start(*self.command(), ranks=2, wrap=inject("pread64:delay_enter=50000", on=[self.part]))
        self.addCleanup(self.end, process)
        stop = time.monotonic() + support.PATIENCE * 30
        while not self.path("states.h5.lock").exists() and time.monotonic() < stop:
            time.sleep(0.01)
        process.send_signal(signal.SIGUSR1)
        result = self.finish(process)
        self.assertIn(result.code, support.SIGNALED, result)
        self.assertEqual(result.errors, [], result)
        self.assertIn("the same command goes on", result.err)
        self.assertEqual(self.part.read_bytes(), before)
        self.goes_on()

    @needs_strace
    def test_extract_marks_of_an_earlier_version(self):
        """Which had no checksums: nothing can be said about what is there."""
        self.stopped()
        with h5py.File(self.part, "a") as file:
            del file["done"]
            file["done"] = np.ones((PROMPTS, LEVELS), "i4")
        before = self.part.read_bytes()
        self.fails(CONFIG, "states.h5.part: is left from an earlier version, without checksums; remove it")
        self.assertEqual(self.part.read_bytes(), before)

    @needs_strace
    def test_extract_part_of_another_program(self):
        """States of two engines, or of two ways to compute them, do not come into one file."""
        self.stopped()
        with h5py.File(self.part, "a") as file:
            origin = file["origin"][()].decode()
            self.assertTrue(origin.startswith("program: ") and "\nengine: " in origin, origin)
            del file["origin"]
            file["origin"] = origin.replace("engine: ", "engine: old ")
        before = self.part.read_bytes()
        self.fails(CONFIG, "states.h5.part: is left from another extraction, with 'engine: old ", "remove it")
        self.assertEqual(self.part.read_bytes(), before)

    @needs_strace
    def test_extract_part_that_cannot_be_read(self):
        """It may be whole: nothing is made in its place."""
        self.stopped()
        before = self.part.read_bytes()
        self.fails(NO_INPUT, "states.h5.part: Input/output error", wrap=inject("read:error=EIO:when=1", on=[self.part], rank=0))
        self.assertEqual(self.part.read_bytes(), before)
        self.goes_on()

    @needs_strace
    def test_extract_input_changed(self):
        """An input that is written to meanwhile: what was written is of either content, so no FILE comes of it."""
        shutil.copy2(INPUTS / "a.h5", self.path("a.h5"))
        self.study_file = self.config(files(self.path("a.h5")))
        process = self.start_slowly()
        os.utime(self.path("a.h5"), (2e9, 2e9))
        result = self.finish(process)
        self.assertEqual((result.code, len(result.errors)), (BAD_DATA, 1), result)
        self.assertIn("a.h5: was changed during the run", result.errors[0])
        self.fails(CONFIG, "is left from another extraction")


class Output(Case):
    @needs_strace
    def test_extract_output_removed(self):
        """Nothing empty comes in its place."""
        process = self.start_slowly()
        self.part.unlink()
        result = self.finish(process)
        self.assertEqual(result.code, IO, result)
        self.assertEqual(list(self.directory.glob("states.h5")) + list(self.directory.glob("states.h5.part")), [], result)

    @needs_strace
    def test_extract_output_replaced(self):
        """Another file takes the place of FILE.part, or one that was removed is made again: it stays as it is, and no FILE comes of it."""
        for how in ("renamed over", "made again"):
            with self.subTest(how=how):
                process = self.start_slowly()
                self.replace(how)
                self.ends_with_the_other(process)

    @needs_strace
    def test_extract_output_replaced_at_the_end(self):
        """The same while rank 1 waits for the disk, with everything written."""
        process = support.start(*self.command(), ranks=2, wrap=inject("fsync:delay_enter=2000000", on=[self.part], rank=1), **AT_ONCE)
        self.addCleanup(self.end, process)
        stop = time.monotonic() + support.PATIENCE * 30
        while time.monotonic() < stop:
            with contextlib.suppress(OSError, KeyError), h5py.File(self.part) as file:
                if (file["done"][...] != 0).all():
                    break
            time.sleep(0.02)
        self.replace("renamed over")
        self.ends_with_the_other(process)

    def replace(self, how):
        other = self.part if how == "made again" else self.path("other")
        self.part.unlink() if how == "made again" else None
        other.write_text("mine\n")
        other.replace(self.part)

    def ends_with_the_other(self, process):
        result = self.finish(process)
        self.assertEqual(result.code, IO, result)
        self.assertIn("states.h5.part: was replaced by another file during the run", result.errors[0])
        self.assertFalse(self.out.exists(), result)
        self.assertEqual(self.part.read_text(), "mine\n")
        self.part.unlink()


support.main()
