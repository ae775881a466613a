"""Stored activations of a real model, measured on 1, 2, 3 and 5 ranks.

Oracle: tests/data/smollm2-reference.h5, float64 with NumPy and DADApy 0.3.4 (made by tests/data/make_smollm2_cut.py);
limits in support.py. Between rank counts: equal bytes."""
import re

import h5py
import support


class Reference(support.Case):
    def test_all_rank_counts_give_the_reference_and_the_same_bytes(self):
        with h5py.File(support.DATA / "smollm2-reference.h5") as file:
            reference = {name: dataset[...] for name, dataset in support.datasets(file).items()}
        config = support.SOURCE / "config" / "quickstart.yaml"
        first = None
        for ranks in (1, 2, 3, 5):
            output = self.path(f"results-{ranks}.h5")
            self.run_ok("run", config, "--set", f"output={output}", ranks=ranks)
            got = support.load_models(output)
            self.assertTrue("SmolLM2-135M/neighbors/index" in got)
            self.assert_reference(got, {n: v for n, v in reference.items() if n != "neighbor_angle/tokens"}, "SmolLM2-135M",
                                  f"{ranks} ranks:")
            self.assertLessEqual(support.error_of("neighbor_angle/tokens", got["SmolLM2-135M/neighbor_angle/tokens"],
                                                  reference["neighbor_angle/tokens"][:, :, [3]]), 1e-8)
            first = first or got
            self.assert_same_bytes(got, first, f"{ranks} ranks:")

    def test_without_a_launcher(self):
        config = support.SOURCE / "config" / "quickstart.yaml"
        self.run_ok("run", config, "--set", f"output={self.path('a.h5')}")
        self.run_ok("run", config, "--set", f"output={self.path('b.h5')}", ranks=1)
        self.assert_same_bytes(support.load_models(self.path("a.h5")), support.load_models(self.path("b.h5")))


class Readme(support.Case):
    def test_its_python_lines(self):
        """The README's lines for xarray pick by prompt id, level and scale; oracle: the same number by place, through h5py.
        The README's study takes minutes; the one that comes with the project has another prompt and another level."""
        output = self.path("results-quickstart.h5")
        self.run_ok("run", support.SOURCE / "config" / "quickstart.yaml", "--set", f"output={output}")
        lines = (support.SOURCE / "README.md").read_text().splitlines()
        first = lines.index("    import xarray")
        code = lines[first:lines.index("", first)]
        picked = re.match(r"gride\.value\.sel\(.*\)", code.pop().strip())[0]
        self.assertIn("prompt_id=0, shuffle=5, scale=2", picked)
        picked = picked.replace("prompt_id=0, shuffle=5", "prompt_id=510, shuffle=4")
        names = {}
        exec("\n".join(line.strip() for line in code).replace("results-smollm2.h5", str(output)), names)
        with h5py.File(output) as file:
            model = file["models/SmolLM2-135M"]
            place = [list(model["prompt_id"]).index(510), list(model["shuffle"]).index(4), slice(None), list(model["scale"]).index(2)]
            expected = model["intrinsic_dimension/gride/value"][tuple(place)]
        self.assertTrue((eval(picked, names).values == expected).all())


support.main()
