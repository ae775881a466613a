"""The shape of the paper's study, 2244 prompts x 6 levels x 33 clouds, with tiny clouds: it completes on two ranks.

Oracle: what must be there, by counting; the program's own plan for the file's size. Time, memory and size are printed."""
import resource
import time

import h5py
import numpy as np
import support


class FullShape(support.Case):
    def test_it_completes(self):
        output = self.path("results.h5")
        config = support.SOURCE / "config" / "full-shape.yaml"
        plan = self.run_ok("run", config, "--set", f"output={output}", "--dry-run", "--ranks", "2").out
        start = time.monotonic()
        self.run_ok("run", config, "--set", f"output={output}", ranks=2, timeout=2700)
        seconds = time.monotonic() - start
        memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024  # of the largest process, a rank
        size = output.stat().st_size
        print(f"\n444312 clouds on 2 ranks: {seconds:.1f} s, {memory:.0f} MiB in the largest rank, result file {size / 1e6:.1f} MB")
        planned = float(plan.split("result file")[1].split()[0]) * 1e9
        self.assertLess(abs(size / planned - 1), 0.05, plan)
        with h5py.File(output) as file:
            model = file["models/full-shape"]
            self.assertEqual(file["complete"][()], 1)
            status = model["status"][...]
            self.assertEqual(status.shape, (2244, 6, 33))
            self.assertTrue((status == support.WITH_REASONS).all())  # 32 tokens: scales of 32 and more are undefined
            self.assertTrue((model["reason"][...] == 1 + 4).all())
            value = model["intrinsic_dimension/gride/value"][..., 0]
            self.assertTrue(np.isfinite(value).all())
            self.assertTrue(np.isfinite(model["neighborhood_overlap/value"][..., :31]).all())
            statistics = model["statistics/intrinsic_dimension/gride/value"]
            self.assertTrue((statistics["n"][..., 0] == 2244).all())
            self.assertLess(np.abs(statistics["mean"][..., 0] - value.mean(axis=0)).max(), 1e-12)
            self.assertTrue((model["correlations/id_loss/n"][..., 0] == 2244).all())
            self.assertTrue((model["correlations/id_loss/pearson_p"][..., 0] < 1e-10).all())


support.main()
