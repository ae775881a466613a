"""What every CSV of `tokengeom figures` must hold, from the per-prompt values of result files alone (never from their
statistics and correlations), with NumPy and SciPy: moments and medians of NumPy, correlations of SciPy, Philox of NumPy."""
import functools
import math
import warnings

import h5py
import numpy as np
from scipy import stats

COSINE, ID, OVERLAP = "cosine_similarity/mean", "intrinsic_dimension/gride/value", "neighborhood_overlap/value"
FIRST_LAYER = {COSINE: 0, ID: 1, OVERLAP: 1}
LAST_AXIS = {COSINE: None, ID: "scale", OVERLAP: "k"}
DEFAULTS = {"example": 3218, "scale": 2, "k": 2, "angle_layer": 10, "prompts": 6, "seed": 20250117, "bootstrap": 1000,
            "bootstrap_seed": 1}
COUNTERS = 1 << 256


class Model:
    """A model's axes and datasets; a dataset that is not there is None."""

    def __init__(self, name, group):
        self.name = name
        self.data = {}
        group.visititems(lambda path, item: self.data.__setitem__(path, item[...]) if isinstance(item, h5py.Dataset) else None)
        self.ids, self.levels = self.data["prompt_id"].tolist(), self.data["shuffle"].tolist()
        self.low, self.high = self.levels.index(min(self.levels)), self.levels.index(max(self.levels))

    def get(self, path):
        return self.data.get(path)

    def axis(self, name):
        return self.data[name].tolist() if name in self.data else []

    def example(self, options):
        return self.ids.index(options["example"]) if options["example"] in self.ids else 0


def load(paths):
    models = []
    for path in paths:
        with h5py.File(path) as file:
            models += [Model(name, file["models"][name]) for name in sorted(file["models"])]
    return models


# ---- observables by layer -----------------------------------------------------------------------------------------


def moments(values):
    finite = values[np.isfinite(values)]
    return (finite.mean(), finite.std(), finite.size) if finite.size else (math.nan, math.nan, 0)


def wanted_levels(model, which):
    both = sorted({model.low, model.high})
    return {"every": list(range(len(model.levels))), "both": both, "low": [model.low],
            "high": [model.high] if model.high != model.low else []}[which]


def places(model, what, layers, lasts):
    """(layer, last value, index into [layer][last]) in the order of rows."""
    n_layers = model.get(what).shape[2]
    last = model.axis(LAST_AXIS[what]) if LAST_AXIS[what] else [None]
    for l in range(FIRST_LAYER[what], n_layers):
        if layers and l not in layers:
            continue
        for a, value in enumerate(last):
            if lasts == "all" or value is None or value in lasts:
                yield l, value, ((l, a) if value is not None else (l,))


def each(model, options, what, prompts, which, lasts, layers=None, marked=None):
    for p in prompts:
        for s in wanted_levels(model, which):
            for l, last, at in places(model, what, layers, lasts):
                yield ((model.name, model.ids[p], model.levels[s], l) + (() if last is None else (last,)) +
                       (float(model.get(what)[(p, s) + at]),) + (() if marked is None else (int(l in marked),)))


def means(model, options, what, which, lasts, layers=None, marked=None):
    for s in wanted_levels(model, which):
        for l, last, at in places(model, what, layers, lasts):
            mean, std, n = moments(model.get(what)[(slice(None), s) + at])
            yield ((model.name, model.levels[s], l) + (() if last is None else (last,)) + (mean, std, n) +
                   (() if marked is None else (int(l in marked),)))


def grey_run(model, options):
    """Pairs of the run around the peak of the shuffled ID where shuffled lies below structured: of the run that holds the
    peak's pair with the layer after it, else with the layer before."""
    if model.low == model.high or options["scale"] not in model.axis("scale") or options["k"] not in model.axis("k"):
        return []
    ids = model.get(ID)[:, model.high, :, model.axis("scale").index(options["scale"])]
    overlaps = model.get(OVERLAP)[..., model.axis("k").index(options["k"])]
    mean_id = [moments(ids[:, l])[0] for l in range(ids.shape[1])]
    below = [moments(overlaps[:, model.high, l])[0] < moments(overlaps[:, model.low, l])[0] for l in range(overlaps.shape[2])]
    finite = [l for l in range(1, len(mean_id)) if math.isfinite(mean_id[l])]
    if not finite:
        return []
    peak, runs = max(finite, key=lambda l: (mean_id[l], -l)), []
    for l in range(1, len(below)):
        if below[l] and runs and runs[-1][-1] == l - 1:
            runs[-1].append(l)
        elif below[l]:
            runs.append([l])
    return next((run for pair in (peak, peak - 1) for run in runs if pair in run), [])


def chosen_prompts(model, options):
    """Those listed, or draws of word 0 of Philox at counter i with key (seed, 8), modulo the number of prompts, until there
    are enough different ones; in data-set order."""
    if isinstance(options["prompts"], list):
        return [p for p, number in enumerate(model.ids) if number in options["prompts"]]
    found, draw = set(), 0
    while len(found) < min(options["prompts"], len(model.ids)):
        words = np.random.Philox(key=[options["seed"], 8], counter=(draw - 1) % COUNTERS).random_raw(4)  # it steps before a block
        found.add(int(words[0]) % len(model.ids))
        draw += 1
    return sorted(found)


def normalized(model, options):
    ids = model.get(ID)[:, model.low]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ratio = ids / np.nanmedian(ids[:, 1:], axis=1, keepdims=True)
    for l in range(1, ids.shape[1]):
        for a, scale in enumerate(model.axis("scale")):
            if scale in (2, 4, 8):
                yield (model.name, l, scale) + moments(ratio[:, l, a]) + (1,)


# ---- angles, shuffle ----------------------------------------------------------------------------------------------


def bins(values, width):
    """(low, high, density) from the first to the last bin that holds something, and the mean; 180 is in the last bin."""
    finite = values[np.isfinite(values)]
    if not finite.size:
        return [], math.nan, 0
    density, edges = np.histogram(finite, np.arange(0, 180 + width, width), density=True)
    used = np.flatnonzero(density)
    return [(edges[b], edges[b + 1], density[b]) for b in range(used[0], used[-1] + 1)], finite.mean(), finite.size


def angles_of_tokens(model, options):
    layers = model.axis("angle_layer")
    for s in wanted_levels(model, "both") if options["angle_layer"] in layers else []:
        p = model.example(options)
        rows, mean, _ = bins(model.get("neighbor_angle/tokens")[p, s, layers.index(options["angle_layer"])], 2.0)
        for row in rows:
            yield (model.name, model.ids[p], model.levels[s], options["angle_layer"]) + row + (mean,)


def angles_of_prompts(model, options):
    angles = model.get("neighbor_angle/mean")
    for s in wanted_levels(model, "both") if angles is not None and options["angle_layer"] < angles.shape[2] else []:
        rows, mean, n = bins(angles[:, s, options["angle_layer"]], 0.5)
        for row in rows:
            yield (model.name, model.levels[s], options["angle_layer"]) + row + (mean, n)


def shuffle(models, options):
    prompt = models[0].ids[models[0].example(options)]
    for level in range(3):
        blocks = 4**level
        order = np.zeros(1, int) if level == 0 else np.argsort(
            np.random.Philox(key=[options["seed"], prompt], counter=[0, 0, 0, level]).random_raw(blocks), kind="stable")
        for position, token in enumerate(np.arange(16).reshape(blocks, -1)[order].ravel()):
            yield level, position, int(token), int(token) // (16 // blocks)


# ---- correlations -------------------------------------------------------------------------------------------------


def correlate(x, y, rank=False):
    """r or rho, p, n of the complete pairs; NaN for fewer than three or a constant side."""
    keep = np.isfinite(x) & np.isfinite(y)
    x, y = x[keep], y[keep]
    if len(x) < 3 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return math.nan, math.nan, len(x)
    return tuple(map(float, (stats.spearmanr if rank else stats.pearsonr)(x, y))) + (len(x),)


def interval(r, n):
    if n < 4 or not math.isfinite(r):
        return math.nan, math.nan
    return tuple(np.tanh(np.arctanh(r) + sign * stats.norm.ppf(0.975) / math.sqrt(n - 3)) for sign in (-1, 1))


@functools.lru_cache(None)
def draws(resamples, seed, n):
    """Draw i of resample b: prompt floor(w n / 2^64), w the i-th word of Philox at counter (0, 0, 0, b), key (seed, 0)."""
    words = [np.random.Philox(key=[seed, 0], counter=[0, 0, 0, b]).random_raw(n) for b in range(resamples)]
    return np.array([[int(word) * n >> 64 for word in row] for row in words])


def bootstrap(x, y, options):
    """Population deviation of r over resamples, of the complete pairs of each."""
    drawn = draws(options["bootstrap"], options["bootstrap_seed"], len(x))
    u, v = x[drawn], y[drawn]
    bad = ~(np.isfinite(u) & np.isfinite(v))
    u, v = np.ma.array(u, mask=bad), np.ma.array(v, mask=bad)
    u, v = u - u.mean(1, keepdims=True), v - v.mean(1, keepdims=True)
    with np.errstate(all="ignore"):
        r = ((u * v).sum(1) / np.ma.sqrt((u * u).sum(1) * (v * v).sum(1))).filled(np.nan)
    return r[np.isfinite(r)].std()


def ids_and_loss(model, scales):
    """(layer, scale, IDs of the prompts, losses) at the lowest level."""
    ids, loss = model.get(ID)[:, model.low], model.get("loss")
    loss = np.full(len(model.ids), math.nan) if loss is None else loss[:, model.low]
    for l in range(1, ids.shape[1]):
        for a, scale in enumerate(model.axis("scale")):
            if scales == "all" or scale in scales:
                yield l, scale, ids[:, l, a], loss


def pearson(model, options, scales):
    for l, scale, ids, loss in ids_and_loss(model, scales):
        r, p, n = correlate(np.log(ids), loss)
        std = bootstrap(np.log(ids), loss, options) if math.isfinite(r) else math.nan
        yield (model.name, model.levels[model.low], l, scale, r, std) + interval(r, n) + (p, n, int(p >= 0.01))


def spearman(model, options):
    for l, scale, ids, loss in ids_and_loss(model, "all"):
        yield (model.name, l, scale) + correlate(ids, loss, rank=True)


def token_level(model, options):
    """The largest absolute rho; which layer where several are as large within rounding is open: a set."""
    for scale in (2, 8):
        found = [(l, *correlate(ids, loss, rank=True)) for l, _, ids, loss in ids_and_loss(model, [scale])]
        found = [row for row in found if math.isfinite(row[1])]
        if not found:
            continue
        adjusted = benjamini_hochberg([row[2] for row in found])
        best = max(abs(row[1]) for row in found)
        layers = {row[0] for row in found if abs(row[1]) > best - 1e-12}
        at = [row[0] for row in found].index(min(layers))
        yield model.name, "token level", layers, scale, found[at][1], found[at][2], adjusted[at], found[at][3]


def benjamini_hochberg(p):
    """Adjusted p: min over larger p of p n / rank."""
    order = np.argsort(p, kind="stable")
    raised = np.array(p)[order] * len(p) / np.arange(1, len(p) + 1)
    out = np.empty(len(p))
    out[order] = np.minimum(1, np.minimum.accumulate(raised[::-1])[::-1])
    return out


def table(models, options):
    rows = [row for model in models for row in token_level(model, options)]
    quoted = (("prompt level ESS", 0.51, 0.01), ("prompt level 2NN", 0.13, 0.5), ("prompt level high scaling", -0.46, 0.09))
    return rows + [("OPT-6.7B", what, math.nan, math.nan, rho, p, math.nan, math.nan) for what, rho, p in quoted] if rows else []


def scatter(model, x, sets):
    """x: by prompt; sets: (scale or None, y by prompt). Rows by prompt, then scale."""
    lines = []
    for _, values in sets:
        keep = np.isfinite(x) & np.isfinite(values)
        slope, intercept = np.polyfit(x[keep], values[keep], 1) if keep.sum() > 1 and np.ptp(x[keep]) > 0 else (math.nan, math.nan)
        lines.append(correlate(x, values) + (slope, intercept))
    for p, number in enumerate(model.ids):
        for (scale, values), line in zip(sets, lines):
            if math.isfinite(x[p]) and math.isfinite(values[p]):
                yield (model.name, number) + (() if scale is None else (scale,)) + (float(x[p]), float(values[p])) + line


def logit_scatter(model, options, scales):
    entropy, gride = model.get("logits/entropy"), model.get("logits/gride/value")
    if entropy is None or gride is None:
        return []
    sets = [(scale, np.log(gride[:, model.low, a])) for a, scale in enumerate(model.axis("scale")) if scale in scales]
    return scatter(model, entropy[:, model.low], sets)


def loss_scatter(model, options):
    entropy, loss = model.get("logits/entropy"), model.get("loss")
    if entropy is None or loss is None:
        return []
    return scatter(model, loss[:, model.low], [(None, entropy[:, model.low])])


# ---- all panels ---------------------------------------------------------------------------------------------------

EACH_C, MEAN_C = "model,prompt,shuffle,layer,value", "model,shuffle,layer,mean,std,n"
EACH_S, MEAN_S = "model,prompt,shuffle,layer,scale,value", "model,shuffle,layer,scale,mean,std,n"
EACH_K, MEAN_K = "model,prompt,shuffle,layer,k,value", "model,shuffle,layer,k,mean,std,n"
PEARSON = "model,shuffle,layer,scale,value,std,low,high,p,n,marked"


def single(what, which, lasts=None, layers=None, marked=False):
    """The example prompt."""
    return lambda m, o: each(m, o, what, [m.example(o)], which, lasts or [o[LAST_AXIS[what]]] if LAST_AXIS[what] else None, layers,
                             grey_run(m, o) if marked else None)


def mean(what, which, lasts=None, layers=None, marked=False):
    return lambda m, o: means(m, o, what, which, lasts or [o[LAST_AXIS[what]]] if LAST_AXIS[what] else None, layers,
                              grey_run(m, o) if marked else None)


# Panel: columns, rows of one model.
PANELS = {
    "fig02_left": (EACH_C, single(COSINE, "every")),
    "fig02_right": (MEAN_C, mean(COSINE, "both")),
    "fig03_left": (EACH_S, single(ID, "every")),
    "fig03_right": (MEAN_S, mean(ID, "both")),
    "fig04_left": ("model,prompt,shuffle,layer,bin_low,bin_high,density,mean", angles_of_tokens),
    "fig04_right": ("model,shuffle,layer,bin_low,bin_high,density,mean,n", angles_of_prompts),
    "fig05_left": (EACH_K + ",marked", single(OVERLAP, "every", marked=True)),
    "fig05_right": (MEAN_K + ",marked", mean(OVERLAP, "both", marked=True)),
    "fig06": (PEARSON, lambda m, o: pearson(m, o, [o["scale"]])),
    "fig07_left": ("model,prompt,scale,x,y,value,p,n,slope,intercept", lambda m, o: logit_scatter(m, o, [o["scale"]])),
    "fig07_right": ("model,prompt,x,y,value,p,n,slope,intercept", loss_scatter),
    "fig08": (EACH_S, lambda m, o: each(m, o, ID, chosen_prompts(m, o), "every", [o["scale"]])),
    "fig09_a": (EACH_S, single(ID, "every")),
    "fig09_b": (MEAN_S, mean(ID, "both")),
    "fig10": (MEAN_S, mean(ID, "both", [2, 4, 8])),
    "fig11": (MEAN_K, mean(OVERLAP, "both", [1, 2, 3, 4, 5, 6])),
    "fig12_left": (EACH_S, single(ID, "low")),
    "fig12_right": (MEAN_S, mean(ID, "low")),
    "fig13_left": (EACH_K, single(OVERLAP, "low")),
    "fig13_right": (MEAN_K, mean(OVERLAP, "low")),
    "fig14_a": (EACH_S, single(ID, "high", "all", [1, 10, 19, 29])),
    "fig14_b": (EACH_S, single(ID, "low", "all", [1, 10, 19, 29])),
    "fig14_c": (MEAN_S, mean(ID, "low", "all", [5, 12, 25])),
    "fig15": (MEAN_S, mean(ID, "low", [2, 4, 8])),
    "fig15_normalized": ("model,layer,scale,mean,std,n,normalized", normalized),
    "fig16": (MEAN_K, mean(OVERLAP, "low", [2, 4, 8])),
    "fig17": (PEARSON, lambda m, o: pearson(m, o, [2, 4, 8])),
    "fig18": ("model,prompt,scale,x,y,value,p,n,slope,intercept", lambda m, o: logit_scatter(m, o, [2, 4, 8])),
    "fig20": ("model,layer,scale,value,p,n", spearman),
}


def panels(paths, **options):
    """Panel -> columns, rows. A panel without a finite real number is not there."""
    models, options = load(paths), {**DEFAULTS, **options}
    found = {name: (columns, [row for model in models for row in rows(model, options)]) for name, (columns, rows) in PANELS.items()}
    found = {name: value for name, value in found.items()
             if any(isinstance(cell, float) and math.isfinite(cell) for row in value[1] for cell in row)}
    found["fig01_shuffle"] = ("shuffle,position,token,block", list(shuffle(models, options)))
    rows = table(models, options)
    return {**found, "table1": ("model,x,layer,scale,value,p,p_adjusted,n", rows)} if rows else found


def extremes(model, s, scale=0, k=1):
    """Layer and mean of the ID's peak, pair and mean of the lowest overlap, layer and value of the strongest r of ln ID and
    loss at a level: what `report` says."""
    ids = [moments(model.get(ID)[:, s, l, scale])[0] for l in range(model.get(ID).shape[2])]
    overlaps = [moments(model.get(OVERLAP)[:, s, l, k])[0] for l in range(model.get(OVERLAP).shape[2])]
    loss = model.get("loss")[:, s]
    r = [correlate(np.log(model.get(ID)[:, s, l, scale]), loss) for l in range(len(ids))]
    peak, dip = 1 + int(np.nanargmax(ids[1:])), 1 + int(np.nanargmin(overlaps[1:]))
    strongest = 1 + int(np.nanargmax(np.abs([one[0] for one in r[1:]])))
    return (peak, ids[peak]), (dip, overlaps[dip]), (strongest,) + r[strongest]
