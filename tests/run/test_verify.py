"""Checksums of clouds, resuming with them, and the command `verify`.

Oracles: XXH64 in plain Python after its specification; files changed byte by byte on purpose; an undisturbed run."""
import struct

import h5py
import numpy as np
import support
from support import BAD_DATA, NO_INPUT, OK, STOPPED, clouds, files, synthetic, write_states

MASK = 2**64 - 1
PRIMES = 11400714785074694791, 14029467366897019727, 1609587929392839161, 9650029242287828579, 2870177450012600261


def rotated(x, bits):
    return (x << bits | x >> 64 - bits) & MASK


def mixed(accumulator, lane):
    return rotated((accumulator + lane * PRIMES[1]) & MASK, 31) * PRIMES[0] & MASK


def xxh64(data, seed=0):
    """github.com/Cyan4973/xxHash, doc/xxhash_spec.md."""
    p1, p2, p3, p4, p5 = PRIMES
    whole = len(data) // 32 * 32
    h = seed + p5
    if whole:
        lanes = [(seed + p1 + p2) & MASK, (seed + p2) & MASK, seed, (seed - p1) & MASK]
        for block in struct.iter_unpack("<4Q", data[:whole]):
            lanes = [mixed(v, lane) for v, lane in zip(lanes, block)]
        h = sum(rotated(v, bits) for v, bits in zip(lanes, (1, 7, 12, 18))) & MASK
        for v in lanes:
            h = ((h ^ mixed(0, v)) * p1 + p4) & MASK
    h = (h + len(data)) & MASK
    rest = data[whole:]
    while len(rest) >= 8:
        h = (rotated(h ^ mixed(0, int.from_bytes(rest[:8], "little")), 27) * p1 + p4) & MASK
        rest = rest[8:]
    if len(rest) >= 4:
        h = (rotated(h ^ int.from_bytes(rest[:4], "little") * p1 & MASK, 23) * p2 + p3) & MASK
        rest = rest[4:]
    for byte in rest:
        h = rotated(h ^ byte * p5 & MASK, 11) * p1 & MASK
    h = (h ^ h >> 33) * p2 & MASK
    h = (h ^ h >> 29) * p3 & MASK
    return h ^ h >> 32


# The order of the file's documentation, and where a cloud's numbers are: by layer, by the pair that ends there, by angle
# layer, or beside the layers, with the last.
FIELDS = (("intrinsic_dimension/gride/value", "layer"), ("intrinsic_dimension/gride/error", "layer"),
          ("intrinsic_dimension/gride/radius", "layer"), ("intrinsic_dimension/n_points", "layer"),
          ("neighborhood_overlap/value", "pair"), ("cosine_similarity/mean", "layer"), ("cosine_similarity/std", "layer"),
          ("cosine_similarity/mean_offdiagonal", "layer"), ("cosine_similarity/n_zero", "layer"),
          ("neighbor_angle/mean", "layer"), ("neighbor_angle/n_defined", "layer"), ("neighbor_angle/tokens", "angle"),
          ("reciprocity/value", "layer"), ("neighbors/index", "layer"), ("norms/mean", "layer"), ("norms/median", "layer"),
          ("norms/max", "layer"), ("norms/max_token", "layer"), ("norms/first", "layer"), ("logits/gride/value", "last"),
          ("logits/gride/error", "last"), ("logits/gride/radius", "last"), ("logits/entropy", "last"), ("loss", "last"),
          ("token_ids", "last"), ("reason", "layer"), ("status", "layer"))


def numbers_of(model, name, where, p, s, l):
    """The numbers of one cloud in one dataset, None where it has none."""
    n_layers = model["status"].shape[2]
    if where == "layer":
        return model[name][p, s, l]
    if where == "pair":
        return model[name][p, s, l - 1] if l > 0 else None
    if where == "angle":
        places = np.flatnonzero(model["angle_layer"][...] == l)
        return model[name][p, s, places[0]] if places.size else None
    return model[name][p, s] if l == n_layers - 1 else None


def checksum(model, p, s, l):
    h = 0
    for name, where in FIELDS:
        numbers = numbers_of(model, name, where, p, s, l) if name in model else None
        if numbers is not None:
            h = xxh64(np.asarray(numbers).tobytes(), h)
    return h or 1


IDS, LEVELS, LAYERS = (30, 10, 20, 50, 40), (0, 3), 4


class Case(support.Case):
    def setUp(self):
        super().setUp()
        hidden = clouds(prompts=5, levels=2, layers=LAYERS, tokens=40, width=12)
        random = np.random.default_rng(7)
        tokens = random.integers(0, 500, (5, 2, 40))
        write_states(self.path("states.h5"), hidden, ids=IDS, levels=LEVELS, token_ids=tokens, loss=random.random((5, 2)),
                     entropy=random.random((5, 2, 40)), n_tokens=[40, 36, 40, 32, 38],
                     logit_metric=np.diag(np.arange(1.0, 13.0)))
        self.results = self.path("results.h5")
        self.study_file = self.config(files("states.h5"), output=str(self.results),
                                      observables={"scales": [2, 4], "overlap_k": 5, "angle_layers": [0, 2], "neighbors": True})

    def finished(self):
        """The finished file's datasets; `restore` gives the file back."""
        self.run_ok("run", self.study_file)
        self.bytes = self.results.read_bytes()
        return support.load_models(self.results)

    def restore(self):
        self.results.write_bytes(self.bytes)

    def flip(self, name, place, byte=0):
        """Changes one bit of one number; place: its index."""
        with h5py.File(self.results, "r+") as file:
            values = file[name][...]
            raw = np.atleast_1d(values).view(np.uint8).reshape(np.atleast_1d(values).shape + (values.dtype.itemsize,))
            raw[place + (byte,) if isinstance(place, tuple) else (place, byte)] ^= 2
            file[name][...] = values

    def places(self):
        """For each dataset of clouds: name, index of a number, and the cloud (p, s, l) that it belongs to."""
        with h5py.File(self.results) as file:
            model = file["models/model"]
            for name, where in FIELDS:
                p, s, place = 1, 1, {"layer": 2, "pair": 1, "angle": 1}.get(where)  # all of layer 2
                shape = model[name].shape
                index = (p, s) + (() if where == "last" else (place,))
                index += tuple(min(1, length - 1) for length in shape[len(index):])
                yield "models/model/" + name, index, (p, s, LAYERS - 1 if where == "last" else 2)
        yield "checksums/model", (0, 1, 3), (0, 1, 3)


class Checksums(Case):
    def test_oracle(self):
        self.assertEqual(xxh64(b""), 0xEF46DB3751D8E999)  # published values
        self.assertEqual(xxh64(b"abc"), 0x44BC2CF5AD770999)

    def test_every_cloud_has_its_checksum(self):
        self.run_ok("run", self.study_file, ranks=2)
        with h5py.File(self.results) as file:
            model, stored = file["models/model"], file["checksums/model"]
            self.assertEqual((stored.shape, stored.dtype), (model["status"].shape, np.uint64))
            self.assertEqual(sorted(stored.attrs), ["long_name", "source", "units"])
            for p, s, l in np.ndindex(*stored.shape):
                self.assertEqual(int(stored[p, s, l]), checksum(model, p, s, l), (p, s, l))

    def test_every_number_belongs_to_a_cloud(self):
        """What FIELDS does not name is an axis, a statistic or a correlation."""
        names = {name.removeprefix("model/") for name in self.finished()}
        rest = {name for name in names - {name for name, _ in FIELDS} if not name.startswith(("statistics/", "correlations/"))}
        self.assertEqual(rest, {"prompt_id", "shuffle", "layer", "layer_pair", "scale", "k", "angle_layer", "token"})

    def test_undone_clouds_have_none(self):
        config = self.config(synthetic(prompts=24, slow_prompt=9, slow_seconds=0.5), name="slow.yaml", output=str(self.results))
        self.assertEqual(support.run("run", config, "--max-hours", "0.00001").code, STOPPED)
        with h5py.File(self.results) as file:
            done, stored = file["models/model/status"][...] > 0, file["checksums/model"][...]
        self.assertTrue(done.any() and not done.all())
        self.assertTrue(((stored != 0) == done).all())


class Resume(Case):
    def resumed(self, ranks=None):
        """Counts that --resume prints: reused, computed again, to compute."""
        result = self.run_ok("run", self.study_file, "--resume", ranks=ranks)
        line, = (line for line in result.err.splitlines() if line.startswith("resume: "))
        words = line.split()
        self.assertIn("computed again because their checksum did not match", line)
        return int(words[1]), int(words[4]), int(words[13])

    def test_each_kind_of_dataset(self):
        expected = self.finished()
        n = int(np.prod(expected["model/status"].shape))
        for turn, (name, index, _) in enumerate(list(self.places())):
            with self.subTest(dataset=name):
                self.restore()
                self.flip(name, index)
                self.assertEqual(self.resumed(ranks=(None, 2)[turn % 2]), (n - 1, 1, 0))
                self.assert_same_bytes(support.load_models(self.results), expected, name)

    def test_many_clouds(self):
        """Each counted once; those that were not done are no damage."""
        expected = self.finished()
        n = int(np.prod(expected["model/status"].shape))
        with h5py.File(self.results, "r+") as file:
            file["models/model/cosine_similarity/mean"][:, 0, 1] = 0.5  # 5 clouds
            file["models/model/cosine_similarity/std"][:, 0, 1] = 0.5
            file["models/model/loss"][2, 1] = 1.0
            file["models/model/status"][0] = 0
        self.assertEqual(self.resumed(ranks=3), (n - 8 - 5, 5, 8))  # prompt 0's bad one is to do already
        self.assert_same_bytes(support.load_models(self.results), expected)
        self.assertEqual(self.resumed(), (n, 0, 0))

    def test_status_of_an_undone_cloud(self):
        """A status without values behind it: as after a power failure that lost the values' blocks."""
        expected = self.finished()
        with h5py.File(self.results, "r+") as file:
            for name, _ in FIELDS[:-2]:
                file["models/model/" + name][...] = np.nan if file["models/model/" + name].dtype.kind == "f" else 0
        self.assertEqual(self.resumed(), (0, expected["model/status"].size, 0))
        self.assert_same_bytes(support.load_models(self.results), expected)

    def test_file_without_checksums(self):
        self.finished()
        with h5py.File(self.results, "r+") as file:
            del file["checksums"]
        result = support.run("run", self.study_file, "--resume", ranks=2)
        self.assertEqual(result.code, BAD_DATA, result)
        self.assertEqual(len(result.errors), 1, result)
        self.assertIn("no /checksums/model", result.err)
        for command in ("info", "report"):
            self.run_ok(command, self.results)
        self.run_ok("export", self.results, "--csv", self.path("csv"))


class Verify(Case):
    def verify(self, code, *says, options=()):
        result = support.run("verify", self.results, *options)
        self.assertEqual(result.code, code, result)
        for text in says:
            self.assertIn(text, result.out + result.err, result)
        self.assertEqual(len(result.errors), code != OK, result)
        return result

    def test_good(self):
        self.finished()
        result = self.verify(OK, "checksums   40 clouds: good", "inputs      as they were")
        self.assertEqual(result.out.count(": good"), result.out.count("\n") - 2, result)
        self.assertEqual(self.results.read_bytes(), self.bytes, "verify only reads")

    def test_each_kind_of_dataset(self):
        self.finished()
        for name, index, (p, s, l) in list(self.places()):
            with self.subTest(dataset=name):
                self.restore()
                self.flip(name, index)
                text = f"model, prompt {IDS[p]}, level {LEVELS[s]}, layer {l}: the checksum is not that of"
                self.assertEqual(self.verify(BAD_DATA, text).out.count("the checksum is not"), 1)

    def test_statistics_axes_and_the_rest(self):
        """Every dataset that holds no cloud's numbers: one bit of one number."""
        expected = self.finished()
        clouds_have = {"model/" + name for name, _ in FIELDS}
        for name in sorted(set(expected) - clouds_have):
            with self.subTest(dataset=name):
                values = expected[name]
                places = np.argwhere(~np.isnan(values.astype(float)))
                if not places.size:  # nothing but NaN: put a number there
                    with h5py.File(self.results, "r+") as file:
                        file["models/" + name][...] = 0.0
                else:
                    self.flip("models/" + name, tuple(places[-1]))
                self.verify(BAD_DATA, "FAILED", name.split("/")[-1])
                self.restore()

    def test_provenance(self):
        self.finished()
        for name, says in (("config", "SHA-256"), ("config_sha256", "SHA-256"), ("config_values", "config_values")):
            with self.subTest(text=name):
                with h5py.File(self.results, "r+") as file:
                    text = file["provenance/" + name][()]
                    file["provenance/" + name][()] = text.replace(b"8", b"9", 1) if b"8" in text else text.replace(b"5", b"9", 1)
                self.verify(BAD_DATA, "provenance", says)
                self.restore()
        with h5py.File(self.results, "r+") as file:
            file["provenance/config"][()] = b"output: ["
        self.verify(BAD_DATA, "config: ")

    def test_config_of_another_study(self):
        """A config with its own right hash, which the datasets do not follow."""
        self.finished()
        other = self.config(files("states.h5"), name="other.yaml", output=str(self.path("other.h5")),
                            observables={"scales": [2, 8], "overlap_k": 5, "angle_layers": [0, 2], "neighbors": True})
        self.run_ok("run", other)
        with h5py.File(self.results, "r+") as file, h5py.File(self.path("other.h5")) as from_file:
            for name in ("config", "config_sha256", "config_values"):
                del file["provenance/" + name]
                from_file.copy("provenance/" + name, file["provenance"])
        self.verify(BAD_DATA, "/models/model/scale is not the config's")

    def test_interrupted(self):
        config = self.config(synthetic(prompts=24, slow_prompt=9, slow_seconds=0.5), name="slow.yaml", output=str(self.results))
        self.assertEqual(support.run("run", config, "--max-hours", "0.00001").code, STOPPED)
        self.verify(STOPPED, "not complete", "statistics  not checked")
        with h5py.File(self.results, "r+") as file:
            done = np.argwhere(file["models/model/status"][...] > 0)
            file["models/model/loss"][tuple(done[0][:2])] = 1.0
        self.verify(BAD_DATA, "checksums   FAILED, 1 fault")
        with h5py.File(self.results, "r+") as file:
            file["complete"][()] = 1
        self.verify(BAD_DATA, "not done, but the file says that it is complete", "more")

    def test_file_of_a_version_that_knew_less(self):
        """With `measure: all` and of another version it may lack an observable, and is good; of this one it is not."""
        self.finished()
        with h5py.File(self.results, "r+") as file:
            for name in ("models/model/norms", "models/model/statistics/norms"):
                del file[name]
            for place in np.ndindex(*file["checksums/model"].shape):
                file["checksums/model"][place] = checksum(file["models/model"], *place)
        self.verify(BAD_DATA, "norms is not there, the config says otherwise")
        with h5py.File(self.results, "r+") as file:
            version = file["provenance/version"][()].decode()
            del file["provenance/version"]
            file["provenance/version"] = "0.0.1 of " + version
        result = self.verify(OK, "observables model: norms was not known to the version that wrote the file")
        self.assertIn("sample      3 clouds", result.out)

    def test_without_inputs(self):
        self.finished()
        moved = self.path("states.h5").rename(self.path("moved.h5"))
        self.verify(OK, "inputs      not compared", "states.h5")
        self.flip("models/model/correlations/id_loss/partial", (0, 1, 0))  # lengths are those of the token ids
        self.verify(BAD_DATA, "id_loss/partial")
        self.restore()
        moved.rename(self.path("states.h5")).touch()
        self.verify(OK, "changed since the run")

    def test_wrong_files(self):
        self.finished()
        self.results.write_bytes(self.bytes[:len(self.bytes) // 2])
        self.verify(BAD_DATA, "truncated")
        self.restore()
        with h5py.File(self.results, "r+") as file:
            del file["checksums"]
        self.verify(BAD_DATA, "no /checksums/model")
        self.restore()
        with h5py.File(self.results, "r+") as file:
            del file["models/model/loss"]
            file["models/model/loss"] = np.zeros((5, 1))
        self.verify(BAD_DATA, "/models/model/loss has another shape")
        self.results.unlink()
        self.verify(NO_INPUT)
        self.path("states.h5").rename(self.results)
        self.verify(BAD_DATA, "hidden states")


class Sample(Case):
    def verify(self, code, says, *options):
        result = support.run("verify", self.results, *options)
        self.assertEqual(result.code, code, result)
        self.assertIn(says, result.out, result)
        return result

    def test_each_kind_of_dataset(self):
        """A wrong number with the right checksum: only measuring again tells. It is off by three
        times the tolerance."""
        self.finished()
        for name, index, (p, s, l) in list(self.places())[:-1]:
            with self.subTest(dataset=name):
                self.restore()
                with h5py.File(self.results, "r+") as file:
                    model, dataset = file["models/model"], file[name]
                    before = dataset[index]
                    by = (1 if dataset.dtype.kind == "i" else 3e-6 if name.endswith("std") else 3e-11 if "cosine" in name else
                          before * (3e-6 if "logits/gride" in name else 3e-9))
                    dataset[index] = before + by
                    self.assertNotEqual(dataset[index], before)
                    file["checksums/model"][p, s, l] = checksum(model, p, s, l)
                text = f"model, prompt {IDS[p]}, level {LEVELS[s]}, layer {l}: {name.removeprefix('models/model/')} is"
                result = self.verify(BAD_DATA, text, "--sample", "100")
                self.assertIn("checksums   40 clouds: good", result.out, result)
                self.assertIn("1 fault in: 40 clouds measured again", result.out, result)
        self.restore()
        self.verify(OK, "40 clouds measured again", "--sample", "100")

    def test_hard_clouds(self):
        """Repeated tokens, zero vectors, NaN, equal tokens, prompts shorter than k, one token: both paths give the same."""
        hidden = clouds(prompts=6, levels=1, layers=3, tokens=12, width=6)
        hidden[0, 0, :, 5:9] = hidden[0, 0, :, 4:5]
        hidden[1, 0, 1, ::3] = 0
        hidden[2, 0, 1, 0, 0] = np.nan
        hidden[3, 0, 2] = hidden[3, 0, 2, :1]
        write_states(self.path("states.h5"), hidden, n_tokens=[12, 12, 12, 12, 4, 1], logit_metric=np.eye(6))
        config = self.config(files("states.h5"), name="hard.yaml", output=str(self.results),
                             observables={"scales": [2, 4, 8], "overlap_k": 7, "angle_layers": [1], "neighbors": True})
        self.run_ok("run", config)
        self.verify(OK, "18 clouds measured again from the inputs in plain float64: good", "--sample", "100")

    def test_unembedding(self):
        """W itself instead of W^T W; no layer but one."""
        random = np.random.default_rng(3)
        write_states(self.path("states.h5"), clouds(prompts=2, levels=1, layers=1, tokens=20, width=8),
                     unembedding=random.normal(size=(1500, 8)))
        config = self.config(files("states.h5"), name="one.yaml", output=str(self.results), observables={"scales": [2, 4]})
        self.run_ok("run", config)
        self.verify(OK, "2 clouds measured again", "--sample", "2")
        with h5py.File(self.results, "r+") as file:
            file["models/model/logits/gride/value"][0, 0, 0] *= 1.00001
            file["checksums/model"][0, 0, 0] = checksum(file["models/model"], 0, 0, 0)
        self.verify(BAD_DATA, "logits/gride/value is", "--sample", "2")

    def stretch(self, axis, length):
        """Makes an axis as long, and everything that goes along it: numbers repeat, or are cut off. 0: all of that is gone."""
        clouds_by = ("prompt_id", "shuffle", "layer")
        with h5py.File(self.results, "r+") as file:
            model = file["models/model"]
            places = {name: [a for a, scale in enumerate(dataset.dims) if axis in scale.keys()]
                      for name, dataset in support.datasets(model).items()} | {axis: [0]}
            parts = [(model, name, where[0]) for name, where in places.items() if where]
            parts += [(file["checksums"], "model", clouds_by.index(axis))] if axis in clouds_by else []
            for group, name, place in parts:
                values = group[name][...]
                del group[name]
                if length:
                    group[name] = np.take(values, np.arange(length) % values.shape[place], axis=place)
            if length:
                model[axis][...] = np.arange(length) + (axis == "k")

    def test_shapes_that_lie(self):
        """Numbers of the inputs, and those measured again, are as many as the inputs say: not as the file does. Axes and datasets
        agree with each other, so that nothing but the inputs or the config tells."""
        hidden = clouds(prompts=5, levels=2, layers=LAYERS, tokens=40, width=12)
        write_states(self.path("states.h5"), hidden, ids=IDS, levels=LEVELS, n_tokens=[40, 36, 40, 32, 38],
                     loss=np.random.default_rng(2).random((5, 2)))
        self.finished()
        for axis, length in (("token", 0), ("token", 3), ("token", 4000), ("prompt_id", 2), ("prompt_id", 20000), ("shuffle", 1),
                             ("shuffle", 50), ("layer", 2), ("layer", 60), ("scale", 1), ("scale", 9), ("k", 1), ("k", 300),
                             ("angle_layer", 1), ("angle_layer", 3)):
            with self.subTest(axis=axis, length=length):
                self.restore()
                self.stretch(axis, length)
                if axis == "layer":
                    self.stretch("layer_pair", length - 1)
                not_checked = "sample      not checked: the shapes are not those of the inputs"
                result = self.verify(BAD_DATA, not_checked, "--sample", "1000")
                self.assertIn("shapes      FAILED", result.out)
                self.assertIn("statistics", result.out)

    def test_choice(self):
        self.finished()
        self.verify(OK, "sample      3 clouds")
        self.assertNotIn("sample", self.verify(OK, "", "--sample", "0").out)
        with h5py.File(self.results, "r+") as file:  # every cloud is wrong: the choice shows
            file["models/model/cosine_similarity/n_zero"][...] = 1
            for place in np.ndindex(*file["checksums/model"].shape):
                file["checksums/model"][place] = checksum(file["models/model"], *place)
        def chosen(seed):
            lines = self.verify(BAD_DATA, "4 faults in: 4 clouds", "--sample", "4", "--seed", seed).out.splitlines()
            return [line.partition(": ")[0] for line in lines if "n_zero is 1" in line]
        choices = [chosen(seed) for seed in (1, 2, 1)]
        self.assertEqual(choices[0], choices[2])
        self.assertNotEqual(choices[0], choices[1])
        self.assertEqual(len(set(choices[0])), 4)

    def test_other_sources(self):
        config = self.config(synthetic(), name="synthetic.yaml", output=str(self.results))
        self.run_ok("run", config)
        self.verify(OK, "5 clouds measured again", "--sample", "5")
        self.path("numbers").mkdir()
        np.save(self.path("numbers/gride.npy"), np.random.default_rng(1).random((2, 3, 3, 2)))
        config = self.config({"kind": "summaries", "directory": str(self.path("numbers"))}, name="published.yaml",
                             output=str(self.results), observables={"scales": [2, 4]})
        self.run_ok("run", config, "--force")
        self.verify(OK, "3 clouds measured again", "--sample", "3")


support.main()
