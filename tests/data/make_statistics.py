"""Writes statistics.h, the frozen values of tests/unit/test_reduce.c, with NumPy, SciPy and mpmath.

python make_statistics.py > statistics.h
"""

import math
import platform
import sys
import warnings

import mpmath as mp
import numpy as np
import scipy
from scipy import stats

mp.mp.dps = 60
NAN, INF = math.nan, math.inf


# --- Oracles ----------------------------------------------------------------------------------------------------


def exact_p(r, dof):
    """Two-sided p of the double r: I_{1-r^2}(dof/2, 1/2) as a hypergeometric series in 60 digits."""
    if math.isnan(r):
        return NAN
    r, a, half = mp.mpf(r), mp.mpf(dof) / 2, mp.mpf(1) / 2
    x = (1 - r) * (1 + r)
    if x <= 0 or a * mp.log(x) < -800:
        return 0.0
    front = mp.exp(a * mp.log(x) - mp.loggamma(a) - mp.loggamma(half) + mp.loggamma(a + half)) * abs(r)
    if r * r * dof < 3:
        p = 1 - 2 * front * mp.hyp2f1(1, a + half, 3 * half, r * r)
    else:
        p = front / a * mp.hyp2f1(1, a + half, a + 1, x)
    return float(p) if p >= mp.mpf("1e-300") else 0.0


def exact_r(x, y):
    """Pearson's r in 60 digits, returned in them."""
    x, y = [mp.mpf(float(a)) for a in x], [mp.mpf(float(a)) for a in y]
    mx, my = mp.fsum(x) / len(x), mp.fsum(y) / len(y)
    u, v = [a - mx for a in x], [a - my for a in y]
    return mp.fdot(u, v) / mp.sqrt(mp.fdot(u, u) * mp.fdot(v, v))


def near(a, b, bound):
    return a == b or abs(a - b) <= bound * max(abs(a), abs(b))


def is_constant(x):
    return len(x) == 0 or bool(np.all(x == x[0]))


def correlation(x, y, z, wide):
    """The nine numbers and n. SciPy where it is accurate; `wide` cases, where it is not, in 60 digits."""
    out = dict(n=0, **{name: NAN for name in FIELDS})
    keep = np.isfinite(x) & np.isfinite(y)
    a, b = x[keep], y[keep]
    n = out["n"] = len(a)
    if n >= 3 and not is_constant(a) and not is_constant(b):
        r = exact_r(a, b)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            pearson, spearman = stats.pearsonr(a, b), stats.spearmanr(a, b)
        ranks = exact_r(stats.rankdata(a), stats.rankdata(b))
        assert near(spearman.statistic, float(ranks), 1e-13) and abs(r) <= 1
        out.update(
            pearson=float(r), pearson_p=exact_p(r, n - 2), spearman=float(ranks), spearman_p=exact_p(ranks, n - 2)
        )
        if not wide:
            assert near(pearson.pvalue, out["pearson_p"], 1e-10) and near(spearman.pvalue, out["spearman_p"], 1e-10)
            out.update(pearson=pearson.statistic, pearson_p=pearson.pvalue)
            out.update(spearman=spearman.statistic, spearman_p=spearman.pvalue)
        if n >= 4:
            if abs(r) == 1:
                out.update(pearson_low=float(r), pearson_high=float(r))
            else:
                half = mp.mpf("1.959963984540054235524594430520551527955") / mp.sqrt(n - 3)
                low, high = float(mp.tanh(mp.atanh(r) - half)), float(mp.tanh(mp.atanh(r) + half))
                if not wide:
                    ci = pearson.confidence_interval(0.95)
                    assert near(ci.low, low, 1e-12) and near(ci.high, high, 1e-12)
                out.update(pearson_low=low, pearson_high=high)
    if z is not None:
        keep &= np.isfinite(z)
        a, b, c = x[keep], y[keep], z[keep]
        n = len(a)
        if n >= 4 and not is_constant(a) and not is_constant(b) and not is_constant(c):
            xy, xz, yz = exact_r(a, b), exact_r(a, c), exact_r(b, c)
            rest = (1 - xz**2) * (1 - yz**2)
            if rest > mp.mpf(10) ** -50:
                r = (xy - xz * yz) / mp.sqrt(rest)
                out.update(partial=float(r), partial_p=exact_p(r, n - 3))
    return out


FIELDS = ("pearson", "pearson_p", "pearson_low", "pearson_high", "spearman", "spearman_p", "partial", "partial_p")


def draws(n, seed, b):
    key, counter = np.array([seed, 0], dtype=np.uint64), np.array([0, 0, 0, b], dtype=np.uint64)
    return np.array([int(w) * n >> 64 for w in np.random.Philox(key=key, counter=counter).random_raw(n)], dtype=int)


def bootstrap_values(x, y, count, seed):
    """r of every resample; the definition in two passes, and in 60 digits where the sides are nearly constant."""
    values = []
    for b in range(count):
        d = draws(len(x), seed, b)
        d = d[np.isfinite(x[d]) & np.isfinite(y[d])]
        a, c = x[d], y[d]
        if is_constant(a) or is_constant(c):
            values.append(NAN)
        elif len(d) > 500:
            u, v = a - math.fsum(a) / len(a), c - math.fsum(c) / len(c)
            values.append(math.fsum(u * v) / math.sqrt(math.fsum(u * u) * math.fsum(v * v)))
        else:
            values.append(float(exact_r(a, c)))
    return np.array(values)


def bootstrap_deviation(x, y, count, seed):
    keep = np.isfinite(x) & np.isfinite(y)
    if keep.sum() < 3 or is_constant(x[keep]) or is_constant(y[keep]):
        return NAN
    r = bootstrap_values(x, y, count, seed)
    r = r[np.isfinite(r)]
    return float(np.std(r)) if len(r) else NAN


# --- Inputs ----------------------------------------------------------------------------------------------------


def uniform(n, seed):
    """The same numbers as `uniform` of test_reduce.c: the top 53 bits of a congruential generator."""
    state, out = seed, []
    for _ in range(n):
        state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
        out.append((state >> 11) * 2.0**-53)
    return np.array(out)


def long_series(n):
    x = uniform(n, 1)
    return x, 0.25 * x + uniform(n, 2), x * 0.5 + uniform(n, 3)


def correlation_cases():
    g = np.random.Generator(np.random.Philox(20250117))
    array = lambda *values: np.array(values, dtype=float)
    x, y, z = g.standard_normal((3, 40))
    y, z = y + 0.6 * x, z - 0.4 * x + 0.3 * y
    gaps_x, gaps_y, gaps_z = x.copy(), y.copy(), z.copy()
    gaps_x[[0, 7]], gaps_y[[7, 12, 39]], gaps_z[[3, 12, 20]] = [NAN, INF], [NAN, -INF, NAN], NAN
    tied_x, tied_y = g.integers(0, 5, (2, 40)).astype(float)
    outlier = x.copy()
    outlier[11] = 1e6
    lone = np.zeros(40)
    lone[5] = 1.0
    two = np.where(np.arange(12) < 9, 1.0, 2.0)
    steps = g.integers(0, 4, 24)
    bits = 1e6 + steps * 2.0**-33  # neighbors of 1e6 are 2^-33 apart
    one = np.full(12, 0.1)
    one_nan = np.where(np.arange(12) == 4, NAN, x[:12])
    const_but = np.where(np.arange(12) == 4, 3.0, 0.1)
    # name, x, y, z, wide: SciPy is not accurate there
    return [
        ("random", x, y, z, False),
        ("random_no_z", x, y, None, False),
        ("negative", x, -y, z, False),
        ("gaps", gaps_x, gaps_y, gaps_z, False),
        ("gaps_no_z", gaps_x, gaps_y, None, False),
        ("ties", tied_x, tied_y + (tied_x > 2), z, False),
        ("n0", x[:0], y[:0], z[:0], False),
        ("n1", x[:1], y[:1], z[:1], False),
        ("n2", x[:2], y[:2], z[:2], False),
        ("n3", x[:3], y[:3], z[:3], False),
        ("n4", x[:4], y[:4], z[:4], False),
        ("n5", x[:5], y[:5], z[:5], False),
        ("n3_of_5", array(1, NAN, 2, 4, 5), array(3, 4, 5, INF, 1), array(1, 2, 3, 4, 4), False),
        ("no_pair", array(1, NAN, 2, NAN), array(NAN, 4, INF, 4), array(1, 2, 3, 4), False),
        ("constant_x", one, x[:12], z[:12], False),
        ("constant_y", x[:12], one, z[:12], False),
        ("constant_z", x[:12], y[:12], one, False),
        ("constant_by_gap", const_but, one_nan, z[:12], False),
        ("z_gaps_leave_3", x[:6], y[:6], array(1, NAN, 2, NAN, 3.5, NAN), False),
        ("z_is_x", x, y, x, False),
        ("z_is_linear_in_x", array(1, 2, 3, 4, 5), array(2, 1, 4, 3, 7), array(3, 5, 7, 9, 11), False),
        ("equal", x, x, z, True),
        ("opposite", x, -x, None, True),
        ("monotone", np.arange(1.0, 21.0), np.exp(np.arange(1.0, 21.0)), None, True),
        ("offset_1e6", 1e6 + 1e-3 * x, 1e6 - 1e-3 * y, z, True),
        ("offset_1e9", 1e9 + x, y, None, True),
        ("last_bits", bits, (steps % 2 + 0.25 * g.standard_normal(24)), None, True),
        ("outlier", outlier, y, z, True),
        ("lone_point", lone, y, None, False),
        ("two_values", two, x[:12], None, False),
        ("huge", 1e300 * x, 1e300 * y, None, True),
        ("full_range", np.where(np.arange(40) % 2, 1.7e308, -1.7e308) * uniform(40, 9), y, None, True),
        ("tiny", 1e-310 * x, 1e-300 * y, None, True),
    ]


def design_cases():
    """a, b, n with r known: sides of +-1 that are orthogonal, y = a x + b w, so that r = a / sqrt(a^2 + b^2)."""
    sizes = (4, 8, 12, 40, 100, 300, 1000, 2244, 10000, 100000)
    small = [(a, b, n) for n in sizes for a, b in ((0, 1), (1, 10**5), (1, 1000), (1, 30))]
    middle = [(a, b, n) for n in sizes[:7] for a, b in ((3, 4), (1, 1), (4, 3), (12, 5), (1000, 1), (10**5, 1))]
    deep = [
        (3, 4, 3080),
        (3, 4, 3088),
        (3, 4, 3092),
        (1, 1, 1984),
        (1, 1, 1988),
        (1, 1, 2000),
        (1, 10, 100000),
        (-3, 4, 2000),
    ]
    deep += [
        (1, 8, 88000),
        (1, 8, 88400),
        (1, 9, 100000),
        (1, 100, 199996),
        (1, 100, 200000),
        (1, 100, 200004),
        (1, 20, 400000),
    ]
    deep += [(10**6, 1, 44), (10**6, 1, 52), (3 * 10**6, 1, 48), (1, 18, 440000), (1, 18, 460000)]
    rows = []
    for a, b, n in small + middle + deep:
        r = n * a / math.sqrt(n * (n * (a * a + b * b)))
        assert n % 4 == 0 and n * (a * a + b * b) < 2**53  # every sum is exact, so that C gets the same r
        rows.append((a, b, n, r, exact_p(r, n - 2)))
    return rows


def moments_cases():
    g = np.random.Generator(np.random.Philox(7))
    x = g.standard_normal(41)
    gaps = x.copy()
    gaps[[0, 8, 40]] = [NAN, INF, -INF]
    return [
        ("random_odd", x),
        ("random_even", x[:40]),
        ("n0", x[:0]),
        ("n1", x[:1]),
        ("n2", x[:2]),
        ("n3", x[:3]),
        ("n4", x[:4]),
        ("gaps", gaps),
        ("nothing_finite", np.array([NAN, INF, -INF])),
        ("one_finite", np.array([NAN, 0.1, -INF])),
        ("constant", np.full(9, 0.1)),
        ("ties", g.integers(0, 4, 30).astype(float)),
        ("offset", 1e6 + 1e-3 * x),
        ("skewed", np.exp(5 * x)),
    ]


def moments(x):
    x = x[np.isfinite(x)]
    if len(x) == 0:
        return 0, [NAN] * 5
    exact = [mp.mpf(float(a)) for a in x]
    mean = mp.fsum(exact) / len(x)
    std = mp.sqrt(mp.fsum((a - mean) ** 2 for a in exact) / len(x))
    assert near(float(mean), np.mean(x), 1e-13) and abs(float(std) - np.std(x)) <= 1e-12 * (
        float(std) + abs(float(mean)) * 1e-3
    )
    return len(x), [float(mean), float(std), np.median(x), *np.percentile(x, [25, 75])]


def adjust_cases():
    g = np.random.Generator(np.random.Philox(11))
    p = g.random(32) ** 3
    gaps = p.copy()
    gaps[[0, 5, 31]] = NAN
    return [
        ("random", p),
        ("gaps", gaps),
        ("ties", np.round(p, 1)),
        ("zeros", np.array([0.0, 1e-299, 0.0, 0.5, 1.0])),
        ("ones", np.ones(4)),
        ("descending", np.array([0.9, 0.05, 0.04, 0.03, 0.02])),
        ("one", np.array([0.02])),
        ("nothing", np.array([NAN, NAN])),
        ("n0", p[:0]),
    ]


def adjusted(p):
    out = np.full(len(p), NAN)
    keep = np.isfinite(p)
    if keep.any():
        out[keep] = stats.false_discovery_control(p[keep], method="bh")
    return out


# --- Output ----------------------------------------------------------------------------------------------------


def number(value):
    value = float(value)
    if math.isnan(value):
        return "NAN"
    return ("-" if value < 0 else "") + "INFINITY" if math.isinf(value) else value.hex()


def wrapped(items, indent="    "):
    lines, line = [], indent
    for item in items:
        if len(line) + len(item) + 2 > 118:
            lines.append(line.rstrip())
            line = indent
        line += item + ", "
    return "\n".join(lines + [line.rstrip()])


class Pool:
    """All inputs one after another; a case knows where its own begin."""

    def __init__(self):
        self.values, self.seen = [], {}

    def add(self, array):
        if array is None:
            return -1
        key = array.tobytes()
        if key not in self.seen:
            self.seen[key] = len(self.values)
            self.values.extend(array)
        return self.seen[key]


def main():
    pool, out = Pool(), []
    out.append("static const frozen_correlation frozen_correlations[] = {")
    cases = correlation_cases()
    for name, x, y, z, wide in cases:
        c = correlation(x, y, z, wide)
        boots = [(10, 1), (101, 7), (64, 2**64 - 1)]
        deviations = [bootstrap_deviation(x, y, count, seed) for count, seed in boots]
        fields = ", ".join(number(c[f]) for f in FIELDS)
        out.append(
            f'    {{"{name}", {len(x)}, {pool.add(x)}, {pool.add(y)}, {pool.add(z)}, {c["n"]},\n     {{{fields}}},'
        )
        out.append("     {" + ", ".join(map(number, deviations)) + "}},")
    out.append("};\n")

    out.append("static const frozen_design frozen_designs[] = {")
    out += [f"    {{{a}, {b}, {n}, {number(r)}, {number(p)}}}," for a, b, n, r, p in design_cases()]
    out.append("};\n")

    out.append("static const frozen_moments frozen_moment_cases[] = {")
    for name, x in moments_cases():
        n, values = moments(x)
        out.append(f'    {{"{name}", {len(x)}, {pool.add(x)}, {n},\n     {{{", ".join(map(number, values))}}}}},')
    out.append("};\n")

    out.append("static const frozen_adjust frozen_adjust_cases[] = {")
    out += [f'    {{"{name}", {len(p)}, {pool.add(p)}, {pool.add(adjusted(p))}}},' for name, p in adjust_cases()]
    out.append("};\n")

    n = 2244
    x, y, z = long_series(n)
    c = correlation(x, y, z, False)
    out.append(
        "/* Of the series that the test builds from uniform(n, 1), (n, 2), (n, 3); 1000 resamples with seed 1. */"
    )
    out.append(f'static const frozen_correlation frozen_long = {{\n    "long", {n}, -1, -1, -1, {c["n"]},')
    out.append(f"    {{{', '.join(number(c[f]) for f in FIELDS)}}},")
    out.append(f"    {{{number(bootstrap_deviation(x, y, 1000, 1))}, NAN, NAN}}}};\n")

    out.append(
        '/* r of resample b of the case "random" with seed 7; two of them give |r_0 - r_1| / 2 as deviation. */'
    )
    r = bootstrap_values(cases[0][1], cases[0][2], 2, 7)
    out.append(f"static const double frozen_two_resamples = {number(np.std(r))};\n")

    versions = f"NumPy {np.__version__}, SciPy {scipy.__version__}, mpmath {mp.__version__}"
    versions += f", Python {platform.python_version()}"
    print(
        f"/* Made by make_statistics.py with {versions}.\n * Do not edit; the types are in tests/unit/test_reduce.c. */"
    )
    print("#include <math.h>\n\n/* clang-format off */")
    print("static const double frozen_inputs[] = {\n" + wrapped([number(v) for v in pool.values]) + "\n};\n")
    print("\n".join(out) + "/* clang-format on */")


if __name__ == "__main__":
    sys.exit(main())
