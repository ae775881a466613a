"""Stored activations of a real model, measured on 1, 2, 3 and 5 ranks.

Oracle: tests/data/smollm2-reference.h5, float64 with NumPy and DADApy 0.3.4 (made by tests/data/make_smollm2_cut.py);
limits in support.py. Between rank counts: equal bytes."""
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


support.main()
