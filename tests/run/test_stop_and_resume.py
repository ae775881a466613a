"""Runs that end early, by request or by force, and go on later.

Oracle: an undisturbed run; everything under /models must have its bytes. The synthetic source's slow_prompt gives the
time to interfere."""
import contextlib
import os
import re
import shutil
import signal
import time

import h5py
import numpy as np
import support
from support import BAD_DATA, CONFIG, IO, OK, STOPPED, clouds, files, synthetic, write_states

# 24 prompts x 4 levels; reading layer 0 of prompt 9 takes half a second, at each level. These are more shards than any test has
# ranks: a limit of less than half a second is over before the last of them can be begun, however fast the rest is.
SLOW = dict(prompts=24, shuffles=4, layers=5, tokens=80, width=12, slow_prompt=9, slow_seconds=0.5)
MODEL = "model/"


class Case(support.Case):
    def undisturbed(self, **sections):
        return self.study(synthetic(**{**SLOW, "slow_seconds": 0}), output="undisturbed.h5", **sections)

    def status(self):
        with h5py.File(self.path("results.h5")) as file:
            return file["models/model/status"][...]

    def wait_for_rows(self, process, at_least=1):
        """Until some, and not all, clouds are done and the slow prompt is on."""
        end = time.monotonic() + support.PATIENCE * 30
        while time.monotonic() < end:
            self.assertIsNone(process.poll(), "the run has ended already")
            try:
                if (self.status() > 0).sum() >= at_least:
                    return
            except (OSError, KeyError):  # not there yet
                pass
            time.sleep(0.02)
        self.fail("no cloud is done after 30 s")

    def start(self, config, ranks=None):
        """A run from the start, in the background."""
        for name in ("results.h5", "results.h5.part", "results.h5.lock"):
            with contextlib.suppress(FileNotFoundError):
                self.path(name).unlink()
        process = support.start("run", config, ranks=ranks)
        self.addCleanup(self.end, process)
        return process

    def check_stopped_file(self):
        """It opens, says that it is not complete, holds what status calls done, and no statistics."""
        status = self.status()
        self.assertTrue((status > 0).any() and (status == 0).any(), "stopped in the middle")
        with h5py.File(self.path("results.h5")) as file:
            self.assertEqual(file["complete"][()], 0)
            value = file["models/model/intrinsic_dimension/gride/value"][..., 0]
            self.assertTrue((np.isfinite(value) == (status > 0)).all())
            for name, dataset in support.datasets(file["models/model/statistics"]).items():
                values = dataset[...]
                self.assertTrue(np.isnan(values).all() if values.dtype.kind == "f" else (values == 0).all(), name)
            for name, dataset in support.datasets(file["models/model/correlations"]).items():
                values = dataset[...]
                self.assertTrue(np.isnan(values).all() if values.dtype.kind == "f" else (values == 0).all(), name)
        self.assertIn("not complete", self.run_ok("info", self.path("results.h5")).out)

    def resume(self, config, expected, ranks=None):
        self.run_ok("run", config, "--resume", ranks=ranks)
        self.assert_same_bytes(support.load_models(self.path("results.h5")), expected, f"resumed on {ranks} ranks:")
        with h5py.File(self.path("results.h5")) as file:
            self.assertEqual(file["complete"][()], 1)
        self.assertFalse(self.path("results.h5.lock").exists())


class Stop(Case):
    def test_time_limit_and_resume_on_other_rank_counts(self):
        expected = self.undisturbed()
        config = self.config(synthetic(**SLOW))
        for ranks, others in ((None, 3), (3, None)):
            result = support.run("run", config, "--force", "--max-hours", "0.00001", ranks=ranks)
            self.assertEqual(result.code, STOPPED, result)
            self.assertEqual(result.errors, [], result)
            self.assertIn("--resume", result.err)
            self.check_stopped_file()
            self.resume(config, expected, others)

    def test_many_stops(self):
        """A limit again and again gets there."""
        expected = self.undisturbed()
        config = self.config(synthetic(**SLOW))
        before = 0
        for attempt in range(100):
            result = support.run("run", config, "--resume", "--max-hours", "0.00002")
            self.assertIn(result.code, (OK, STOPPED), result)
            if result.code == OK:
                break
            now = (self.status() > 0).sum()
            self.assertGreater(now, before, "a run that does nothing never ends")
            before = now
        self.assert_same_bytes(support.load_models(self.path("results.h5")), expected)
        self.assertGreater(attempt, 0)

    def test_signals(self):
        expected = self.undisturbed()
        config = self.config(synthetic(**SLOW))
        for number, ranks in ((signal.SIGUSR1, None), (signal.SIGUSR1, 2), (signal.SIGTERM, None)):
            with self.subTest(signal=number.name, ranks=ranks):
                process = self.start(config, ranks=ranks)
                self.wait_for_rows(process)
                process.send_signal(number)
                result = self.finish(process)
                self.assertIn(result.code, support.SIGNALED if ranks else (STOPPED,), result)
                self.check_stopped_file()
                self.resume(config, expected, 2)

    def test_stop_status(self):
        """For launchers that punish a non-zero end."""
        config = self.config(synthetic(**SLOW))
        for status in (0, 3):
            result = support.run("run", config, "--force", "--max-hours", "0.00001", "--stop-status", status, ranks=2)
            self.assertEqual(result.code, status, result)
            self.assertTrue((self.status() == 0).any())
        result = support.run("run", config, "--resume", "--stop-status", "3")  # an end that is no stop
        self.assertEqual(result.code, OK, result)

    def test_partial_statistics(self):
        config = self.config(synthetic(**SLOW))
        result = support.run("run", config, "--max-hours", "0.00001", "--partial-statistics")
        self.assertEqual(result.code, STOPPED, result)
        got = support.load_models(self.path("results.h5"))
        done = got["model/status"] > 0
        value = got["model/intrinsic_dimension/gride/value"]
        self.assertTrue((got["model/statistics/intrinsic_dimension/gride/value/n"][..., 0] == done.sum(axis=0)).all())
        with np.errstate(all="ignore"):
            mean = np.nanmean(np.where(done[..., None], value, np.nan)[..., 0], axis=0)
        found = got["model/statistics/intrinsic_dimension/gride/value/mean"][..., 0]
        self.assertTrue((np.isnan(found) == np.isnan(mean)).all())
        self.assertLess(np.nanmax(np.abs(found - mean)), 1e-12)
        self.assertTrue((got["model/statistics/intrinsic_dimension/n_points/n"] == done.sum(axis=0)).all())
        result = support.run("run", config, "--resume", "--max-hours", "0.00001")
        self.assertEqual(result.code, STOPPED, result)
        self.check_stopped_file()  # statistics of fewer clouds than are there would be wrong
        self.resume(config, self.undisturbed())


class Kill(Case):
    def test_kill_in_mid_run(self):
        """SIGKILL of all ranks: the file opens, what status calls done is, and a resumed run gets the same bytes."""
        expected = self.undisturbed()
        config = self.config(synthetic(**SLOW))
        for ranks, others in ((None, 2), (3, 2), (2, None)):
            with self.subTest(ranks=ranks):
                process = self.start(config, ranks=ranks)
                self.wait_for_rows(process, at_least=8)
                support.kill_all(process)
                process.communicate()
                status = self.status()
                self.assertTrue((status == 0).any() and (status > 0).any())
                got = support.load_models(self.path("results.h5"))
                done = status > 0
                for name in ("intrinsic_dimension/gride/value", "cosine_similarity/mean", "reciprocity/value"):
                    self.assertTrue(got[MODEL + name][done].tobytes() == expected[MODEL + name][done].tobytes(), name)
                self.assertIn("not complete", self.run_ok("info", self.path("results.h5")).out)
                self.resume(config, expected, others)

    def test_kill_during_creation(self):
        """Whatever is there after a kill within the first moments, the next run copes with it."""
        expected = self.undisturbed()
        config = self.config(synthetic(**SLOW))
        for delay in (0.03, 0.06, 0.1, 0.15, 0.2):
            process = self.start(config)
            time.sleep(delay)
            support.kill_all(process)
            process.communicate()
            self.run_ok("run", config, "--resume")
            self.assert_same_bytes(support.load_models(self.path("results.h5")), expected, f"{delay} s:")

    def test_holes_in_status(self):
        """Any set of clouds that are not done: rows are made again, the pairs with their neighbors too."""
        source = synthetic(prompts=8, shuffles=2, layers=6, tokens=50, width=12)
        expected = self.study(source, output="whole.h5")
        config = self.config(source)
        for seed in range(3):
            shutil.copy(self.path("whole.h5"), self.path("results.h5"))
            with h5py.File(self.path("results.h5"), "a") as file:
                group = file["models/model"]
                status = group["status"][...]
                holes = np.random.default_rng(seed).random(status.shape) < 0.3
                status[holes] = 0
                group["status"][...] = status
                file["complete"][()] = 0
                overlap = group["neighborhood_overlap/value"][...]
                overlap[holes[:, :, 1:]] = 7
                group["neighborhood_overlap/value"][...] = overlap
                for name in ("reciprocity/value", "intrinsic_dimension/gride/error"):
                    values = group[name][...]
                    values[holes] = 7
                    group[name][...] = values
            self.resume_of_copy(config, expected, (None, 3, 2)[seed])

    def resume_of_copy(self, config, expected, ranks):
        self.run_ok("run", config, "--resume", ranks=ranks)
        self.assert_same_bytes(support.load_models(self.path("results.h5")), expected)

    def test_hdf5_source(self):
        """Resumed from a hidden-state file with logits, token ids and a bad cloud."""
        hidden = clouds(prompts=6, levels=2, layers=5, tokens=60, width=12)
        hidden[2, 1, 3, 4, 5] = np.nan
        random = np.random.default_rng(1)
        write_states(self.path("a.h5"), hidden, loss=random.random((6, 2)), entropy=random.random((6, 2, 60)),
                     token_ids=np.ones((6, 2, 60)), logit_metric=np.eye(12))
        observables = {"neighbors": True, "angle_layers": [2]}
        expected = self.study(files("a.h5"), observables=observables)
        config = self.config(files("a.h5"), observables=observables)
        self.path("results.h5").unlink()
        codes = []
        for attempt in range(40):
            codes.append(support.run("run", config, "--resume", "--max-hours", "0.0000005", ranks=(None, 2, 3)[attempt % 3]).code)
            if codes[-1] == OK:
                break
        self.assertEqual(set(codes[:-1]) | {OK}, {STOPPED, OK} if len(codes) > 1 else {OK})
        self.assertGreater(len(codes), 1, "never stopped")
        self.assert_same_bytes(support.load_models(self.path("results.h5")), expected)


class Refused(Case):
    def setUp(self):
        super().setUp()
        hidden = clouds(prompts=4, levels=2, layers=3, tokens=30, width=8)
        write_states(self.path("a.h5"), hidden, loss=np.ones((4, 2)))
        self.sections = {"observables": {"overlap_k": 8, "scales": [2, 4]}, "statistics": {"bootstrap": 50}}
        self.config(files("a.h5"), **self.sections)
        result = support.run("run", self.path("study.yaml"))
        self.assertEqual(result.code, OK, result)
        with h5py.File(self.path("results.h5"), "a") as file:  # as a stopped run leaves it
            file["models/model/status"][3] = 0
            file["complete"][()] = 0

    def resume_refused(self, *named, ranks=None, **sections):
        before = self.path("results.h5").read_bytes()
        config = self.config(sections.pop("source", files("a.h5")), **{**self.sections, **sections})
        result = support.run("run", config, "--resume", ranks=ranks)
        self.assertEqual(result.code, CONFIG, result)
        self.assertEqual(len(result.errors), 1, result)
        for name in named:
            self.assertIn(name, result.errors[0])
        self.assertTrue(self.path("results.h5").read_bytes() == before, "the file was touched")
        self.assertFalse(self.path("results.h5.lock").exists())

    def test_a_key_that_changes_values(self):
        self.resume_refused("overlap_k", "8", "9", observables={"overlap_k": 9, "scales": [2, 4]}, ranks=2)
        self.resume_refused("scales", observables={"overlap_k": 8, "scales": [2, 4, 8]})
        self.resume_refused("neighbors", observables={"overlap_k": 8, "scales": [2, 4], "neighbors": True})
        self.resume_refused("bootstrap", "50", "60", statistics={"bootstrap": 60})
        self.resume_refused("prompts", prompts=[0, 1])
        self.resume_refused("levels", shuffle={"levels": [0]})

    def test_another_model_or_source(self):
        self.resume_refused("other", source={"name": "other", "source": files("a.h5")})
        shutil.copy(self.path("a.h5"), self.path("b.h5"))
        self.resume_refused("b.h5", source=files("b.h5"))
        self.resume_refused("synthetic", source=synthetic())

    def test_another_input_of_the_same_name(self):
        with h5py.File(self.path("a.h5"), "a") as file:
            file["loss"][0, 0] = 3
        os.utime(self.path("a.h5"), (1e9, 1e9))
        self.resume_refused("inputs", "a.h5")

    def test_what_may_change(self):
        """Figures' keys, threads and rank counts."""
        config = self.config(files("a.h5"), **self.sections, figures={"directory": "elsewhere", "prompts": 2, "example_prompt": 1},
                             compute={"blas_threads": 2})
        self.run_ok("run", config, "--resume", ranks=2)
        self.assertTrue((self.status() > 0).all())

    def test_a_complete_run(self):
        """Resumed once more: nothing to do, and the same bytes. Without an output: a run from the start."""
        config = self.config(files("a.h5"), **self.sections)
        self.run_ok("run", config, "--resume")
        first = support.load_models(self.path("results.h5"))
        self.run_ok("run", config, "--resume", ranks=2)
        self.assert_same_bytes(support.load_models(self.path("results.h5")), first)
        self.path("results.h5").unlink()
        self.run_ok("run", config, "--resume", ranks=2)
        self.assert_same_bytes(support.load_models(self.path("results.h5")), first)

    def provenance(self, name, change=None):
        with h5py.File(self.path("results.h5"), "r+") as file:
            text = file[f"provenance/{name}"][()]
            if change:
                file[f"provenance/{name}"][()] = change(text)
        return text.decode()

    def test_another_program_or_engine(self):
        """Of which the clouds that are there know nothing: an update in the middle is not mixed in without a word."""
        self.assertEqual(self.provenance("engine"), "none")
        self.provenance("version", lambda text: text.replace(b"0.", b"9.", 1))
        self.resume_refused("the program changed: it was '9.", ranks=2)
        self.provenance("version", lambda text: text.replace(b"9.", b"0.", 1))
        self.provenance("engine", lambda text: b"nine")
        self.resume_refused("the engine changed: it was 'nine', is now 'none'")

    def test_the_kernel_stays(self):
        """A resumed run takes the kernel of the clouds that are there, unless the config names another."""
        kernel = self.provenance("kernel").split(":")[0]
        if kernel != "float32":  # which all have
            self.resume_refused(f"compute.kernel is float32 and its clouds were measured with {kernel}", compute={"kernel": "float32"})
        self.provenance("kernel", lambda text: text.replace(kernel.encode(), b"float32", 1))
        self.run_ok("run", self.config(files("a.h5"), **self.sections), "--resume", ranks=2)
        self.assertEqual(self.provenance("sessions").splitlines()[1].split("  ")[2], "float32")

    def test_each_session_has_its_line(self):
        version = self.provenance("version")
        self.run_ok("run", self.path("study.yaml"), "--resume", ranks=3)
        lines = self.provenance("sessions").splitlines()
        self.assertEqual(len(lines), 2, lines)
        for line in lines:
            self.assertRegex(line, r"^20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ  " + re.escape(version) + "  ")
        self.assertIn("3 ranks x 1 BLAS threads", lines[1])
        self.assertIn(lines[1], self.run_ok("info", self.path("results.h5")).out)

    def test_force_and_resume_together(self):
        result = support.run("run", self.path("study.yaml"), "--resume", "--force")
        self.assertEqual(result.code, support.USAGE, result)

    def test_a_damaged_result_file(self):
        data = self.path("results.h5").read_bytes()
        self.path("results.h5").write_bytes(data[:len(data) // 3])
        result = support.run("run", self.path("study.yaml"), "--resume", ranks=2)
        self.assertIn(result.code, (BAD_DATA, IO), result)
        self.assertEqual(len(result.errors), 1, result)
        self.assertIn("results.h5", result.errors[0])


class Together(Case):
    def test_a_second_run_on_the_same_file(self):
        expected = self.undisturbed()
        config = self.config(synthetic(**{**SLOW, "slow_seconds": 4.0}))
        process = self.start(config, ranks=2)
        self.wait_for_rows(process)
        for option, ranks in (("--resume", 2), ("--force", None)):
            result = support.run("run", config, option, ranks=ranks)
            self.assertEqual(result.code, IO, result)
            self.assertEqual(len(result.errors), 1, result)
            self.assertIn("another run", result.errors[0])
        self.assertIsNone(process.poll(), "the first run was over too early for this test")
        self.assertEqual(self.finish(process).code, OK)
        self.assert_same_bytes(support.load_models(self.path("results.h5")), expected)

    def test_a_slow_shard(self):
        """While one rank is held up for three seconds, whichever it is, also the one that hands out the work, the others do
        all else; no rank waits for a shard as long as that."""
        for slow in (0, 1, 25):
            with self.subTest(slow_prompt=slow):
                source = synthetic(prompts=60, layers=3, tokens=128, width=32, slow_prompt=slow, slow_seconds=3.0)
                result = self.run_ok("run", self.config(source), "--force", ranks=3)
                lines = re.findall(r"rank +(\d+) +busy +([\d.]+) s +idle +([\d.]+) s.*?([\d]+) shards +(\d+) clouds", result.err)
                self.assertEqual(len(lines), 3, result)
                busy, idle = ([float(line[a]) for line in lines] for a in (1, 2))
                clouds_of = [int(line[4]) for line in lines]
                held = int(np.argmax(busy))
                self.assertEqual(sum(clouds_of), 180)
                self.assertGreater(busy[held], 2.9, result)
                self.assertLess(max(idle), 1.0, f"a rank that has work to do or is through need not wait\n{result}")
                self.assertGreater(sum(clouds_of) - clouds_of[held], 100, result)
                self.assertLess(max(b + i for b, i in zip(busy, idle)), 5.0, result)

    def test_many_slow_shards(self):
        """Eight shards of half a second on two ranks: both have work all the time."""
        source = synthetic(prompts=4, shuffles=8, layers=2, tokens=40, width=8, slow_prompt=2, slow_seconds=0.5)
        result = self.run_ok("run", self.config(source), "--force", ranks=2)
        idle = [float(text) for text in re.findall(r"rank +\d+ .* idle +([\d.]+) s", result.err)]
        self.assertEqual(len(idle), 2, result)
        self.assertLess(max(idle), 0.3, result)


class Moved(support.Case):
    def test_a_study_that_was_moved(self):
        """What its inputs hold is what they are, not where they lie; a touched or renamed one is refused, with what differs."""
        study = self.path("study")
        study.mkdir()
        support.write_states(study / "a.h5", support.clouds(2, 1, 2, 30))
        (study / "study.yaml").write_text("output: r.h5\nmodels:\n  - source: {kind: hdf5, files: a.h5}\nobservables: {angle_layers: [1]}\n")
        self.run_ok("run", study / "study.yaml")
        moved = study.rename(self.path("another place"))
        self.run_ok("run", moved / "study.yaml", "--resume", ranks=2)
        (moved / "a.h5").touch()
        result = support.run("run", moved / "study.yaml", "--resume")
        self.assertEqual(result.code, CONFIG, result)
        self.assertRegex(result.errors[0], r"the inputs changed: .*was '.*a\.h5: .* modified .*', is now '.*modified .*'; --force starts anew")
        (moved / "a.h5").rename(moved / "b.h5")
        result = support.run("run", moved / "study.yaml", "--resume", "--set", "models.0.source.files=b.h5")
        self.assertEqual(result.code, CONFIG, result)


support.main()
