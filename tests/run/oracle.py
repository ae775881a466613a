"""The definitions in plain NumPy and SciPy, float64, by direct differences: slow and without a trick.

Sources: Denti et al., Sci. Rep. 12, 20005 (2022) with the conventions of DADApy 0.3.4 for the intrinsic dimension; the
paper (arXiv 2501.10573) for all else."""
import numpy as np
from scipy.optimize import bisect

EPS = np.finfo(float).eps


def neighbor_lists(x):
    """Distances and neighbors in ascending order, (n, n) with the point itself first; ties by the lower index."""
    squares = np.empty((len(x), len(x)))
    for i in range(len(x)):
        squares[i] = ((x - x[i]) ** 2).sum(axis=1)
    np.fill_diagonal(squares, -1)  # the point itself first, whatever equals it
    order = np.argsort(squares, axis=1, kind="stable")
    return np.sqrt(np.maximum(np.take_along_axis(squares, order, axis=1), 0)), order


def distinct(x):
    """The first of each set of equal rows, in order (-0 = +0)."""
    return x[np.sort(np.unique(x + 0.0, axis=0, return_index=True)[1])]


def gride(distances, n2):
    """Value, error and radius from the ordered distances of distinct points; NaN where undefined."""
    n, n1 = len(distances), n2 // 2
    if n2 > n - 1:
        return np.nan, np.nan, np.nan
    r1, r2 = distances[:, n1], distances[:, n2]
    mu = r2 / r1
    mu[mu == 1] += 10 * EPS
    q50, q95 = np.percentile(mu, [50, 95])
    kept = np.log(mu[mu < q50 + 20 * (q95 - q50)])

    def equation(d):
        below = np.maximum(1 - np.exp(-d * kept), 2e-7)
        return (((1 - n2 + n1) / below + n2 - 1) * kept).sum() - (len(kept) - 1) / d

    radius = ((r1 + r2) / 2).mean()
    if len(kept) < 2 or equation(0.001) * equation(1000) >= 0:
        return np.nan, np.nan, radius
    d = bisect(equation, 0.001, 1000, xtol=1e-13, rtol=4 * EPS)
    power = mu**-d
    information = n / d**2 + (n2 - n1 - 1) * ((np.log(mu) / np.maximum(1 - power, 5 * EPS)) ** 2 * power).sum()
    return d, information**-0.5, radius


def angles(x, order):
    """Degrees between the two nearest neighbors of each token, NaN where one of them is at distance 0."""
    if len(x) < 3:
        return np.full(len(x), np.nan)
    u, v = x[order[:, 1]] - x, x[order[:, 2]] - x
    a, b = np.sqrt((u * u).sum(1)), np.sqrt((v * v).sum(1))
    p, q = u * b[:, None], v * a[:, None]
    angle = np.degrees(2 * np.arctan2(np.sqrt(((p - q) ** 2).sum(1)), np.sqrt(((p + q) ** 2).sum(1))))
    return np.where((a > 0) & (b > 0), angle, np.nan)


def cosines(x):
    norms = np.sqrt((x * x).sum(1))
    unit = np.divide(x, norms[:, None], out=np.zeros_like(x), where=norms[:, None] > 0)
    c = unit @ unit.T
    n = len(x)
    off = (c.sum() - np.trace(c)) / (n * (n - 1)) if n > 1 else np.nan
    return c.mean(), c.std(), off, int((norms == 0).sum())


def edges(order, k):
    """[i, j]: whether j is among the k nearest of i."""
    table = np.zeros(order.shape, bool)
    np.put_along_axis(table, order[:, 1:k + 1], True, axis=1)
    return table


def measure(hidden, scales=(2, 4, 8, 16, 32, 64, 128, 256), overlap_k=32, n_tokens=None, angle_layers=(), metric_factor=None):
    """All observables of (prompt, shuffle, layer, token, width) under the result file's names.
    metric_factor: W of the logits W h."""
    hidden = np.asarray(hidden, float)
    p, s, layers, tokens, _ = hidden.shape
    n_tokens = [tokens] * p if n_tokens is None else n_tokens
    shapes = {"intrinsic_dimension/gride/value": (layers, len(scales)), "intrinsic_dimension/gride/error": (layers, len(scales)),
              "intrinsic_dimension/gride/radius": (layers, len(scales)), "intrinsic_dimension/n_points": (layers,),
              "neighborhood_overlap/value": (layers - 1, overlap_k), "cosine_similarity/mean": (layers,),
              "cosine_similarity/std": (layers,), "cosine_similarity/mean_offdiagonal": (layers,), "cosine_similarity/n_zero": (layers,),
              "neighbor_angle/mean": (layers,), "neighbor_angle/n_defined": (layers,), "reciprocity/value": (layers, overlap_k),
              "neighbor_angle/tokens": (len(angle_layers), tokens), "logits/gride/value": (len(scales),),
              "logits/gride/error": (len(scales),), "logits/gride/radius": (len(scales),)}
    out = {name: np.full((p, s) + shape, np.nan) for name, shape in shapes.items()}
    out["neighbors/index"] = np.full((p, s, layers, tokens, overlap_k), -1)
    for a in range(p):
        for b in range(s):
            measure_stack(hidden[a, b, :, :n_tokens[a]], {name: values[a, b] for name, values in out.items()}, scales, overlap_k,
                          list(angle_layers), metric_factor)
    if layers == 1:
        del out["neighborhood_overlap/value"]
    return out


def measure_stack(stack, out, scales, overlap_k, angle_layers, metric_factor):
    before = None
    for l, x in enumerate(stack):
        n = len(x)
        _, order = neighbor_lists(x)
        points = distinct(x)
        out["intrinsic_dimension/n_points"][l] = len(points)
        fit(points, scales, out, "intrinsic_dimension/gride/", l)
        (out["cosine_similarity/mean"][l], out["cosine_similarity/std"][l], out["cosine_similarity/mean_offdiagonal"][l],
         out["cosine_similarity/n_zero"][l]) = cosines(x)
        angle = angles(x, order)
        out["neighbor_angle/n_defined"][l] = np.isfinite(angle).sum()
        if np.isfinite(angle).any():
            out["neighbor_angle/mean"][l] = np.nanmean(angle)
        if l in angle_layers:
            out["neighbor_angle/tokens"][angle_layers.index(l), :n] = angle
        now = [edges(order, k) for k in range(1, min(overlap_k, n - 1) + 1)]
        for k, table in enumerate(now, 1):
            out["reciprocity/value"][l, k - 1] = (table & table.T).sum() / (n * k)
            if before:
                out["neighborhood_overlap/value"][l - 1, k - 1] = (table & before[k - 1]).sum() / (n * k)
        before = now
        out["neighbors/index"][l, :n, :len(now)] = order[:, 1:len(now) + 1]
    if metric_factor is not None:
        fit(points @ np.asarray(metric_factor, float).T, scales, out, "logits/gride/", ())


def fit(points, scales, out, path, place):
    distances, _ = neighbor_lists(points)
    for c, scale in enumerate(scales):
        at = (c,) if place == () else (place, c)
        out[path + "value"][at], out[path + "error"][at], out[path + "radius"][at] = gride(distances, scale)
