"""SIGKILL at random moments of runs on two ranks, each followed by --resume; and at each system call that makes the file.

Oracle: an undisturbed run. After every kill there is no result file, or one that opens, whose done rows have the undisturbed
bytes; no cloud that was done is computed again; and in the end everything under /models has the undisturbed bytes.
TG_KILLS is the number of random kills (default 10), TG_KILL_CALLS how many of the system calls (default 12; 0: all)."""
import contextlib
import os
import pathlib
import random
import re
import signal
import time

import h5py
import numpy as np
import support
from faults import inject, needs_strace
from support import synthetic

KILLS, CALLS = int(os.environ.get("TG_KILLS", "10")), int(os.environ.get("TG_KILL_CALLS", "12"))
SEED = 20250117
STUDY = dict(prompts=120, shuffles=2, layers=4, tokens=500, width=64)
SMALL = dict(prompts=2, layers=2, tokens=30, width=8)
SECTIONS = {"observables": {"scales": [2, 4], "overlap_k": 8}, "statistics": {"bootstrap": 50}}
AT_ONCE = {"OMPI_MCA_odls_base_sigkill_timeout": "0"}  # mpirun waits two seconds otherwise before it ends the other ranks
NAMES = ("intrinsic_dimension/gride/value", "cosine_similarity/mean", "reciprocity/value")


class Kills(support.Case):
    def prepare(self, **source):
        """An undisturbed run, and a config for the others. Returns what to expect and how long it took."""
        start = time.monotonic()
        self.expected = self.study(synthetic(**source), output="undisturbed.h5", ranks=2, **SECTIONS)
        self.seconds = time.monotonic() - start
        self.results = self.path("results.h5")
        self.study_file = self.config(synthetic(**source), output=str(self.results), **SECTIONS)

    def remove(self):
        for path in self.directory.glob("results.h5*"):
            path.unlink()

    def done(self, message):
        """How many clouds are done in what a kill has left, which must be right; 0 without a file."""
        if not self.results.exists():
            return 0
        with h5py.File(self.results) as file:
            group = file["models/model"]
            done = group["status"][...] > 0
            if file["complete"][()] == 1:
                self.assertTrue(done.all(), message)
            for name in NAMES:
                self.assertTrue(group[name][...][done].tobytes() == self.expected["model/" + name][done].tobytes(), f"{message} {name}")
        return int(done.sum())

    def before(self, err, message):
        """What a run has found done, from its log; None: it did not come so far."""
        found = re.search(r"^(\d+) clouds, (\d+) done before;", err, re.M)
        if found:
            self.assertEqual(int(found.group(1)), self.expected["model/status"].size, message)
        return int(found.group(2)) if found else None

    def finish_and_compare(self, done, message):
        result = self.run_ok("run", self.study_file, "--resume", ranks=2)
        self.assertEqual(self.before(result.err, message), done, f"{message}: done work was not taken over")
        measured = sum(int(n) for n in re.findall(r" (\d+) clouds$", result.err, re.M))
        self.assertEqual(measured, self.expected["model/status"].size - done, f"{message}: clouds were done twice")
        self.assert_same_bytes(support.load_models(self.results), self.expected, message)
        self.assertEqual([f.name for f in self.directory.glob("results.h5*")], ["results.h5"], message)

    def test_random_kills(self):
        """One rank or all at once, at moments spread over a run's time; now and then two or three kills before the end."""
        choose = random.Random(SEED)
        self.prepare(**STUDY)
        phases = {"no file": 0, "some": 0, "all": 0}
        done = 0
        for kill in range(KILLS):
            delay, who = choose.uniform(0, self.seconds), choose.choice(("rank 0", "rank 1", "all", "mpirun"))
            again = choose.random() < 0.3
            message = f"seed {SEED}, kill {kill} of {who} after {delay:.3f} s"
            process = support.start("run", self.study_file, "--resume", ranks=2, **AT_ONCE)
            time.sleep(delay)
            self.kill(process, who)
            _, err = process.communicate(timeout=support.PATIENCE * 30)
            before, now = self.before(err, message), self.done(message)
            self.assertIn(before, (None, done), message)
            self.assertGreaterEqual(now, done, f"{message}: done work is gone")
            phases["no file" if not self.results.exists() else "all" if now == self.expected["model/status"].size else "some"] += 1
            done = now
            if not again or kill == KILLS - 1:
                self.finish_and_compare(done, message)
                self.remove()
                done = 0
        print(f"{KILLS} kills, seed {SEED}: {phases}")
        if KILLS >= 10:
            self.assertGreater(phases["some"], 0, "no kill hit a run at work")

    @staticmethod
    def kill(process, who):
        """SIGKILL for a rank, for all and mpirun, or for mpirun alone, whose ranks end by themselves."""
        below = support.descendants(process.pid)
        ranks = {}
        for pid in below:
            with contextlib.suppress(OSError):
                found = re.search(rb"(?:OMPI_COMM_WORLD|PMI)_RANK=(\d)", pathlib.Path(f"/proc/{pid}/environ").read_bytes())
                if found:
                    ranks[f"rank {found.group(1).decode()}"] = pid
        if who == "all" or who not in (*ranks, "mpirun"):
            support.kill_all(process)
            return
        os.kill(ranks.get(who, process.pid), signal.SIGKILL)
        end = time.monotonic() + support.PATIENCE * 20  # nobody may still write when the file is looked at
        while any(os.path.exists(f"/proc/{pid}") for pid in below) and time.monotonic() < end:
            process.poll()
            time.sleep(0.05)

    @needs_strace
    def test_kill_at_each_call(self):
        """Each system call with which rank 0 makes the file, and each with which the ranks open it, is the last one."""
        self.prepare(**SMALL)
        paths = [self.results, self.path("results.h5.part"), self.path("results.h5.lock"), self.directory]
        places = [(rank, call, n) for rank in (0, 1) for call, count in self.calls_of(rank, paths).items() for n in range(1, count + 1)]
        self.assertGreater(len(places), 100)
        if CALLS:
            few = [place for place in places if place[1] != "pwrite64"]
            writes = [place for place in places if place[1] == "pwrite64"]
            random.Random(SEED).shuffle(few), random.Random(SEED).shuffle(writes)
            places = few[:CALLS - CALLS // 3] + writes[:CALLS // 3]
        outcomes = {"no file": 0, "a file": 0}
        for rank, call, n in places:
            message = f"rank {rank} killed at {call} {n}"
            self.remove()
            result = support.run("run", self.study_file, ranks=2, timeout=30, **AT_ONCE,
                                 wrap=inject(f"{call}:signal=KILL:when={n}", on=paths, rank=rank))
            if result.code == support.OK:
                continue  # the count differs a little from run to run
            self.assertEqual(result.code, support.KILLED, f"{message}\n{result}")
            outcomes["a file" if self.results.exists() else "no file"] += 1
            self.finish_and_compare(self.done(message), message)
        print(f"{len(places)} system calls: {outcomes}")
        self.assertGreater(min(outcomes.values()), 0)

    @needs_strace
    def test_kill_while_clouds_are_taken_back(self):
        """A complete file with damaged clouds is resumed, and killed at writes and at the first flush: it is called complete
        only as long as no cloud was taken back, and then that is so on the disk before."""
        self.prepare(**{**SMALL, "prompts": 8})
        self.run_ok("run", self.study_file, ranks=2)
        with h5py.File(self.results, "a") as file:
            file["models/model/cosine_similarity/mean"][:, 0, 1] = 7.0
            status = file["models/model/status"].id.get_offset()
        damaged, log, seen = self.results.read_bytes(), self.path("calls"), set()
        self.run_ok("run", self.study_file, "--resume", ranks=2, wrap=inject("pwrite64", on=[self.results], rank=0, log=log))
        places = [int(place) for place in re.findall(r" (\d+)\) += \d+$", log.read_text(), re.M)]
        first = next(a for a, place in enumerate(places) if status <= place < status + 4 * 16) + 1
        for rank, call, n in [(0, "pwrite64", n) for n in (1, 2, 3, first // 2, first, first + 1, first + 5)] + [(0, "fsync", 1), (1, "fsync", 1)]:
            message = f"rank {rank} killed at {call} {n}"
            self.results.write_bytes(damaged)
            result = support.run("run", self.study_file, "--resume", ranks=2, timeout=30, **AT_ONCE,
                                 wrap=inject(f"{call}:signal=KILL:when={n}", on=[self.results], rank=rank))
            self.assertEqual(result.code, support.KILLED, f"{message}\n{result}")
            with h5py.File(self.results) as file:
                complete, end = file["complete"][()] == 1, file["provenance/end"][()].rstrip(b"\0 ")
                all_done = (file["models/model/status"][...] > 0).all()
                counts = file["models/model/statistics/loss/n"][...]
            self.assertTrue(all_done or not complete, f"{message}: a file that lacks clouds is called complete")
            self.assertTrue(all_done or call != "fsync", f"{message}: a cloud was taken back before the disk had that the file is not complete")
            self.assertEqual(end == b"(not ended)" and (counts == 0).all() or all_done, True, f"{message}: {end} {counts}")
            self.assertEqual("not complete" in self.run_ok("info", self.results).out, not complete, message)
            seen.add((bool(complete), bool(all_done)))
            self.run_ok("run", self.study_file, "--resume", ranks=2)
            self.assert_same_bytes(support.load_models(self.results), self.expected, message)
        self.assertEqual(seen, {(True, True), (False, True), (False, False)})

    def calls_of(self, rank, paths):
        """How often a rank makes each kind of call that opens, writes, keeps, renames or closes."""
        log = self.path("calls")
        self.remove()
        self.run_ok("run", self.study_file, ranks=2,
                    wrap=inject("openat", "pwrite64", "fallocate", "fsync", "rename", "ftruncate", "unlink", "close", on=paths, rank=rank, log=log))
        names = re.findall(r"^\d+ +(\w+)\(", log.read_text(), re.M)
        return {name: names.count(name) for name in sorted(set(names))}


support.main()
