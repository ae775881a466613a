#!/usr/bin/env python3
"""Draws every figure of the paper from the CSVs that `tokengeom figures` writes, and an index.html that shows them.

    python3 jobs/plot_figures.py DIRECTORY [--png] [--pdf]      PNG when neither is asked for

One picture a figure, with all of its panels; figures of a single model are drawn for the first model, and for each further one
in a picture that carries its name (fig03_NAME.png). The same CSVs give the same bytes. Needs matplotlib 3.6 or newer.
Exit status: 0 done; 64 usage; 65 a CSV is broken; 66 no directory or no CSV there; 69 no matplotlib; 74 cannot write."""
import argparse
import csv
import html
import math
import pathlib
import re
import sys

try:
    import matplotlib
    matplotlib.use("Agg")
    import numpy as np
    from matplotlib import cm, colors, pyplot
    from matplotlib.lines import Line2D
    from matplotlib.ticker import MaxNLocator
except ImportError as error:
    print(f"plot_figures: {sys.executable}: {error}: apt install python3-matplotlib", file=sys.stderr)
    sys.exit(69)

OK, USAGE, BAD_DATA, NO_INPUT, IO = 0, 64, 65, 66, 74
WIDE, NARROW = 6.9, 3.4  # inches: two columns of a page, one
STYLE = {"font.size": 8, "axes.titlesize": 8, "axes.labelsize": 8, "legend.fontsize": 8, "xtick.labelsize": 8, "ytick.labelsize": 8,
         "lines.linewidth": 1.3, "lines.markersize": 3.2, "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True,
         "grid.color": "0.9", "grid.linewidth": 0.5, "axes.axisbelow": True, "legend.frameon": False, "legend.handlelength": 2.6,
         "text.parse_math": False, "figure.dpi": 200, "savefig.dpi": 200, "pdf.fonttype": 42}
STRUCTURED, SHUFFLED, GREY = "#0072b2", "#ef8a17", "0.86"
LEVELS = colors.LinearSegmentedColormap.from_list("levels", [STRUCTURED, "#6d5fb0", "#b0579c", "#d9576f", "#e8703f", SHUFFLED])
FAMILIES = {"llama": "#e69f00", "mistral": "#d0219b", "pythia": "#0072b2"}
OTHERS = ["#009e73", "#000000", "#882255", "#56b4e9", "#999933", "#777777"]
DASHES = ["-", (0, (5, 1.5)), (0, (4, 1.2, 1, 1.2)), (0, (1.2, 1)), (0, (7, 1, 1, 1, 1, 1)), (0, (2.5, 1))]
MARKERS = ["o", "s", "^", "D", "v", "P", "X"]
ID, OVERLAP, COSINE = "intrinsic dimension", "neighborhood overlap", "mean cosine similarity"


# ---- reading ------------------------------------------------------------------------------------------------------


class Broken(Exception):
    """A CSV that is not what tokengeom writes; the message starts with file:line."""


class Rows:
    """Columns of equal length by name: text for `model`, `prompt` (64 bits) and `x` of table 1, numbers else."""

    def __init__(self, columns):
        self.columns = columns

    def __getitem__(self, name):
        return self.columns[name]

    def __len__(self):
        return len(next(iter(self.columns.values())))

    def where(self, **wanted):
        keep = np.ones(len(self), bool)
        for name, value in wanted.items():
            keep &= self[name] == value
        return Rows({name: column[keep] for name, column in self.columns.items()})

    def values(self, name):
        """The different values, in the order of the rows."""
        return list(dict.fromkeys(self[name].tolist()))


class Panel:
    """One CSV: comments (key -> lines) and rows."""

    def __init__(self, path, columns, texts):
        self.path, self.comments = path, {}
        try:
            with path.open(encoding="utf-8", newline="") as file:
                lines = file.read().removesuffix("\n").split("\n")
        except UnicodeDecodeError as wrong:
            raise Broken(f"{path}:1: not text in UTF-8 ({wrong.reason})") from None
        start = 0
        while start < len(lines) and lines[start].startswith("#"):
            key, _, value = lines[start][1:].strip().partition(":")
            self.comments.setdefault(key.strip(), []).append(value.strip())
            start += 1
        if start == len(lines):
            raise Broken(f"{path}:{start + 1}: ends before the line of column names")
        names = lines[start].split(",")
        missing = [name for name in columns.split(",") if name not in names]
        if missing or len(set(names)) < len(names):
            raise Broken(f"{path}:{start + 1}: expected the columns {columns}, found {lines[start][:200]!r}")
        self.rows = self.parse(names, lines, start + 1, texts)

    def parse(self, names, lines, start, texts):
        rows, reader = [], csv.reader(line + "\n" for line in lines[start:])
        for fields in reader:
            number = start + reader.line_num
            if len(fields) != len(names):
                raise Broken(f"{self.path}:{number}: expected {len(names)} fields, found {len(fields)}")
            rows.append([field if name in texts else self.number(field, name, number) for name, field in zip(names, fields)])
        if not rows:
            raise Broken(f"{self.path}:{start + 1}: expected at least one row")
        return Rows({name: np.array(column, object if name in texts else float) for name, column in zip(names, zip(*rows))})

    def number(self, field, name, line):
        try:
            value = float(field)
        except ValueError:
            value = math.inf
        if math.isinf(value):
            raise Broken(f"{self.path}:{line}: {name}: expected a number or nan, found {field[:80]!r}")
        return value

    def say(self, key):
        return " ".join(self.comments.get(key, []))


# ---- colors -------------------------------------------------------------------------------------------------------


def mix(color, other, share):
    """color with a share of another."""
    return tuple((1 - share) * np.array(colors.to_rgb(color)) + share * np.array(colors.to_rgb(other)))


def shades(color, n):
    """n shades of a color, from dark to light."""
    at = np.linspace(-0.45, 0.5, n) if n > 1 else [0.0]
    return [mix(color, "white", a) if a > 0 else mix(color, "black", -a) for a in at]


def model_styles(models):
    """Model -> color, line style, marker. The paper's families have the paper's colors, once."""
    styles, families, others = {}, dict(FAMILIES), OTHERS * len(models)
    for place, model in enumerate(models):
        family = next((name for name in families if name in model.lower()), None)
        styles[model] = {"color": families.pop(family) if family else others.pop(0), "linestyle": DASHES[place % len(DASHES)],
                         "marker": MARKERS[place % len(MARKERS)]}
    return styles


def level_colors(levels):
    return {level: LEVELS(a / max(1, len(levels) - 1)) for a, level in enumerate(levels)}


# ---- parts of panels ----------------------------------------------------------------------------------------------


def grid(rows, columns, height=2.1, width=None, sharex=True, sharey=True):
    width = width or (WIDE if columns > 1 else NARROW)
    return pyplot.subplots(rows, columns, figsize=(width, height * rows), squeeze=False, sharex=sharex, sharey=sharey,
                           layout="constrained")


def label(axes, x=None, y=None, layers=True):
    """Labels at the left and lower edge of a grid of axes."""
    for row in axes:
        row[0].set_ylabel(y)
    for axis in axes[-1]:
        axis.set_xlabel(x)
    for axis in axes.flat:
        if layers:
            axis.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=7, steps=[1, 2, 5, 10]))


def trim(axes, n):
    """Hides the last places of a grid that n panels do not fill; those above them get the labels of the x axis."""
    for axis in axes.flat[n:]:
        axis.set_visible(False)
    for axis in axes.flat[max(0, n - axes.shape[1]):n]:
        axis.tick_params(labelbottom=True)
        axis.set_xlabel(axes[-1][0].get_xlabel())


def curve(axis, x, y, std=None, every=4, **style):
    """A curve with a band of a deviation around it."""
    axis.plot(x, y, markevery=every, **style)
    if std is not None:
        axis.fill_between(x, y - std, y + std, color=style["color"], alpha=0.18, linewidth=0)


def level_bar(figure, axes, levels, shade):
    """A color bar with one field a level."""
    scale = cm.ScalarMappable(colors.BoundaryNorm(np.arange(len(levels) + 1) - 0.5, len(levels)),
                              colors.ListedColormap([shade[level] for level in levels]))
    bar = figure.colorbar(scale, ax=axes, ticks=range(len(levels)), pad=0.02, aspect=25, label="shuffle level S")
    bar.ax.set_yticklabels([f"{level:g}" for level in levels])
    bar.ax.minorticks_off()
    bar.outline.set_visible(False)


def every_level(axis, rows, shade):
    """One prompt at every level; the lowest and the highest level differ in line style too."""
    levels = sorted(rows.values("shuffle"))
    for level in levels:
        part = rows.where(shuffle=level)
        ends = {levels[0]: ("-", "o"), levels[-1]: (DASHES[1], "s")}
        dashes, marker = ends.get(level, ("-", None)) if len(levels) > 1 else ("-", "o")
        curve(axis, part["layer"], part["value"], color=shade[level], linestyle=dashes, marker=marker,
              linewidth=1.5 if marker else 0.9)


def level_name(level, lowest):
    return f"{'structured' if level == lowest else 'shuffled'} (S = {level:g})"


def two_levels(axis, rows, shade=None):
    """Mean and band of the structured and of the shuffled prompts. shade: two colors, dark to light"""
    levels = sorted(rows.values("shuffle"))
    for a, level in enumerate(levels):
        part = rows.where(shuffle=level)
        curve(axis, part["layer"], part["mean"], part["std"], label=level_name(level, levels[0]),
              color=(shade or [STRUCTURED, SHUFFLED])[a], linestyle=DASHES[a], marker="os"[a])


def each_model(axis, rows, styles, y="mean", std="std"):
    for model in rows.values("model"):
        part = rows.where(model=model)
        curve(axis, part["layer"], part[y], part[std] if std else None, label=model, **styles[model])


def significance(axis, rows, styles):
    """Layers with p >= 0.01: crosses beside the curve's own markers."""
    for model in rows.values("model"):
        part = rows.where(model=model, marked=1)
        axis.plot(part["layer"], part["value"], linestyle="", marker="x", markersize=5, markeredgewidth=1.1,
                  color=mix(styles[model]["color"], "black", 0.35))
    axis.axhline(0, color="0.45", linewidth=0.7)


def below(figure, axes, extra=(), columns=None, color=None):
    """One legend for all panels, under them. color: of its lines, where those of the panels differ"""
    lines = {name: handle for axis in axes.flat[::-1] for handle, name in zip(*axis.get_legend_handles_labels())}
    order = {name: None for axis in axes.flat for name in axis.get_legend_handles_labels()[1]}
    handles = [lines[name] for name in order] + list(extra)
    if color:
        handles = [Line2D([], [], color=shade, linestyle=line.get_linestyle(), marker=line.get_marker(), label=line.get_label())
                   for line, shade in zip(handles, shades(color, len(handles)))]
    names = [handle.get_label() for handle in handles]
    columns = columns or min(len(names), 4 if figure.get_figwidth() == WIDE else 2)
    height = (0.06 + 0.17 * -(-len(names) // columns)) / figure.get_figheight()
    figure.get_layout_engine().set(rect=(0, height, 1, 1 - height))
    figure.legend(handles, names, loc="lower center", ncol=columns, borderaxespad=0.1)


def cross(color="0.3"):
    return Line2D([], [], linestyle="", marker="x", color=color, markersize=5, label="p ≥ 0.01")


def number_text(p):
    """A p-value as people write it."""
    if not math.isfinite(p):
        return "–"
    return f"{p:.2g}" if p >= 1e-4 else "0" if p == 0 else f"{p:.0e}".replace("e-0", "e-")


# ---- figures: f(panels by side, styles of the models) -> figure -----------------------------------------------------


def draw_shuffle(panels, styles):
    """Figure 1: the algorithm's text over three rows of 16 boxes, colored by block at S = 1."""
    panel = panels["shuffle"]
    figure = pyplot.figure(figsize=(WIDE, 2.9))
    text, boxes = figure.add_axes([0.08, 0.62, 0.9, 0.36]), figure.add_axes([0.08, 0.02, 0.9, 0.56])
    lines = panel.comments.get("algorithm", [])
    for a, line in enumerate(lines):
        text.text(0, 1 - (a + 0.5) / max(1, len(lines)), line, va="center", weight="bold" if a == 0 else "normal")
    rows = panel.rows
    tokens = int(rows["token"].max()) + 1
    for a, level in enumerate(rows.values("shuffle")):
        boxes.text(-0.4, -a, f"S = {level:g}", ha="right", va="center")
        for _, position, token, _ in zip(*(rows.where(shuffle=level)[n] for n in ("shuffle", "position", "token", "block"))):
            place = token / max(1, tokens - 1)
            boxes.add_patch(pyplot.Rectangle((position + 0.05, -a - 0.34), 0.9, 0.68, facecolor=LEVELS(place), edgecolor="0.3",
                                             linewidth=0.5))
            boxes.text(position + 0.5, -a, f"{token:g}", ha="center", va="center", color="white" if place < 0.5 else "black")
    boxes.set(xlim=(-0.1, tokens), ylim=(0.5 - len(rows.values("shuffle")), 0.5))
    for axis in (text, boxes):
        axis.axis("off")
    return figure


def draw_profiles(panels, styles, y=ID):
    """Figures 2, 3, 5: the example prompt at every level beside the means of two levels."""
    figure, axes = grid(1, len(panels), height=2.5)
    for axis, (side, panel) in zip(axes[0], panels.items()):
        rows = panel.rows
        if "marked" in rows.columns and rows["marked"].any():
            grey = rows.where(marked=1)["layer"]
            axis.axvspan(grey.min() - 0.5, grey.max() + 0.5, color=GREY, zorder=0, linewidth=0)
        if side == "left":
            levels = sorted(rows.values("shuffle"))
            every_level(axis, rows, level_colors(levels))
            level_bar(figure, axis, levels, level_colors(levels))
            axis.set_title(f"prompt {rows['prompt'][0]}")
        else:
            two_levels(axis, rows)
            axis.set_title(f"mean over {rows['n'].max():.0f} prompts")
            axis.legend(loc="best")
    label(axes, "layer l (pair l, l + 1)" if y == OVERLAP else "layer", y)
    return figure


def draw_cosine(panels, styles):
    return draw_profiles(panels, styles, COSINE)


def draw_overlap(panels, styles):
    return draw_profiles(panels, styles, OVERLAP)


def draw_angles(panels, styles):
    """Figure 4: histograms with their means dotted."""
    figure, axes = grid(1, len(panels), height=2.5, sharex=False, sharey=False)
    for axis, (side, panel) in zip(axes[0], panels.items()):
        rows = panel.rows
        levels = sorted(rows.values("shuffle"))
        for a, level in enumerate(levels):
            part, color = rows.where(shuffle=level), (STRUCTURED, SHUFFLED)[a]
            axis.stairs(part["density"], np.append(part["bin_low"], part["bin_high"][-1]), fill=True, color=color, alpha=0.3)
            axis.stairs(part["density"], np.append(part["bin_low"], part["bin_high"][-1]), color=color, linestyle=DASHES[a],
                        label=level_name(level, levels[0]))
            if side == "left":
                axis.plot([part["mean"][0]] * 2, [0, 1.08 * np.nanmax(rows["density"])], color=mix(color, "black", 0.3),
                          linestyle=":", linewidth=1.6, label=f"mean {part['mean'][0]:.1f}°")
        axis.set_title(f"tokens of prompt {rows['prompt'][0]}" if side == "left" else
                       f"means of {rows['n'].max():.0f} prompts")
        axis.set_ylim(0, (1.75 if side == "left" else 1.4) * np.nanmax(rows["density"]))
        axis.legend(loc="upper left", ncol=1)
    label(axes, f"angle between nearest neighbors, layer {rows['layer'][0]:.0f} [degree]", "density [1/degree]", layers=False)
    return figure


def draw_correlation(panels, styles):
    """Figures 6 and 17: r by layer of each model, a panel a scale."""
    rows = panels[""].rows
    scales = rows.values("scale")
    figure, axes = grid(1, len(scales), height=2.5)
    for axis, scale in zip(axes[0], scales):
        part = rows.where(scale=scale)
        each_model(axis, part, styles, "value")
        significance(axis, part, styles)
        axis.set_title(f"scale {scale:g}")
    label(axes, "layer", "Pearson r of ln ID and loss")
    below(figure, axes, [cross()] if rows["marked"].any() else [])
    return figure


def draw_scatter(axis, rows, color):
    x, y = rows["x"], rows["y"]
    axis.plot(x, y, linestyle="", marker="o", color=color, alpha=0.8, markeredgewidth=0)
    ends = np.array([np.nanmin(x), np.nanmax(x)])
    if math.isfinite(rows["slope"][0]):
        axis.plot(ends, rows["slope"][0] * ends + rows["intercept"][0], color="0.2", linestyle="--")
    axis.margins(y=0.2)
    axis.text(0.04, 0.97, f"r = {rows['value'][0]:.2f}, p = {number_text(rows['p'][0])}, n = {rows['n'][0]:.0f}",
              transform=axis.transAxes, va="top")


def draw_entropies(panels, styles):
    """Figure 7."""
    figure, axes = grid(1, len(panels), height=2.5, sharex=False, sharey=False)
    names = {"left": ("contextual entropy [nat]", "ln ID of the logits"), "right": ("loss [nat]", "contextual entropy [nat]")}
    for axis, (side, panel) in zip(axes[0], panels.items()):
        draw_scatter(axis, panel.rows, styles[panel.rows["model"][0]]["color"])
        axis.set(xlabel=names[side][0], ylabel=names[side][1])
        if side == "left":
            axis.set_title(f"scale {panel.rows['scale'][0]:g}")
    return figure


def draw_logit_scales(panels, styles):
    """Figure 18."""
    rows = panels[""].rows
    scales = sorted(rows.values("scale"))
    figure, axes = grid(1, len(scales))
    for axis, scale in zip(axes[0], scales):
        draw_scatter(axis, rows.where(scale=scale), styles[rows["model"][0]]["color"])
        axis.set_title(f"scale {scale:g}")
    label(axes, "contextual entropy [nat]", "ln ID of the logits", layers=False)
    return figure


def draw_prompts(panels, styles):
    """Figure 8: a panel a prompt."""
    rows = panels[""].rows
    prompts = rows.values("prompt")
    columns = min(3, len(prompts))
    figure, axes = grid(-(-len(prompts) // columns), columns, height=1.9)
    levels = sorted(rows.values("shuffle"))
    for axis, prompt in zip(axes.flat, prompts):
        every_level(axis, rows.where(prompt=prompt), level_colors(levels))
        axis.set_title(f"prompt {prompt}")
    label(axes, "layer", ID)
    trim(axes, len(prompts))
    level_bar(figure, axes, levels, level_colors(levels))
    return figure


def draw_model_levels(panels, styles):
    """Figure 9: a column a model, a and b below each other (beside each other for one model)."""
    models = list(dict.fromkeys(model for panel in panels.values() for model in panel.rows.values("model")))
    alone = len(models) == 1
    figure, axes = grid(*((1, len(panels)) if alone else (len(panels), len(models))), height=2.4)
    places = axes.T if alone else axes  # [panel][model]
    levels = sorted({level for panel in panels.values() for level in panel.rows.values("shuffle")})
    for row, (side, panel) in zip(places, panels.items()):
        for axis, model in zip(row, models):
            rows, shade = panel.rows.where(model=model), dict(zip(levels, shades(styles[model]["color"], len(levels))))
            if len(rows) and side == "a":
                every_level(axis, rows, shade)
            elif len(rows):
                two_levels(axis, rows, [shade[level] for level in sorted(rows.values("shuffle"))])
            what = "" if not len(rows) else (f"prompt {rows['prompt'][0]}" if side == "a" else
                                             f"mean over {rows['n'].max():.0f} prompts")
            axis.set_title(f"({side}) {model}{', ' if alone else chr(10)}{what}")
    label(axes, "layer", ID)
    if "a" in panels:
        level_bar(figure, axes, levels, dict(zip(levels, shades(styles[models[0]]["color"] if alone else "0.45", len(levels)))))
    if "b" in panels:
        below(figure, places[-1], color=None if alone else "0.45")
    return figure


def draw_two_levels(panels, styles, by="scale", y=ID):
    """Figures 10 and 11: a panel a scale or k."""
    rows = panels[""].rows
    values = rows.values(by)
    columns = min(3, len(values))
    figure, axes = grid(-(-len(values) // columns), columns, height=1.9)
    for axis, value in zip(axes.flat, values):
        two_levels(axis, rows.where(**{by: value}))
        axis.set_title(f"{by} {'= ' if by == 'k' else ''}{value:g}")
    label(axes, "layer l (pair l, l + 1)" if by == "k" else "layer", y)
    trim(axes, len(values))
    below(figure, axes)
    return figure


def draw_two_levels_overlap(panels, styles):
    return draw_two_levels(panels, styles, "k", OVERLAP)


def draw_models(panels, styles, y=ID):
    """Figures 12 and 13: the models' example prompts beside their means."""
    figure, axes = grid(1, len(panels), height=2.5)
    for axis, (side, panel) in zip(axes[0], panels.items()):
        each_model(axis, panel.rows, styles, *(("value", None) if side == "left" else ("mean", "std")))
        prompts = panel.rows.values("prompt") if side == "left" else []
        counts = sorted({panel.rows.where(model=m)["n"].max() for m in panel.rows.values("model")}) if not prompts else []
        axis.set_title(" / ".join(f"prompt {p}" for p in prompts) if prompts else
                       f"mean over {' / '.join(f'{n:.0f}' for n in counts)} prompts")
    label(axes, "layer l (pair l, l + 1)" if y == OVERLAP else "layer", y)
    below(figure, axes)
    return figure


def draw_models_overlap(panels, styles):
    return draw_models(panels, styles, OVERLAP)


def draw_scale_analysis(panels, styles):
    """Figure 14: ID against scale, a row a model; early layers light, late ones dark."""
    models = list(dict.fromkeys(model for panel in panels.values() for model in panel.rows.values("model")))
    figure, axes = grid(len(models), len(panels), height=2.4, sharey="row")
    names = {"a": "(a) prompt {}, shuffled", "b": "(b) prompt {}, structured", "c": "(c) mean, structured"}
    for row, model in zip(axes, models):
        for axis, (side, panel) in zip(row, panels.items()):
            rows = panel.rows.where(model=model)
            layers = rows.values("layer")
            for a, (layer, color) in enumerate(zip(layers, shades(styles[model]["color"], len(layers))[::-1])):
                part = rows.where(layer=layer)
                curve(axis, part["scale"], part["value" if side != "c" else "mean"], part["std"] if side == "c" else None, every=1,
                      color=color, linestyle=DASHES[a % 4], marker=MARKERS[a % 7], label=f"layer {layer:.0f}")
            axis.set_xscale("log", base=2)
            axis.set_title(names[side].format(rows["prompt"][0] if side != "c" and len(rows) else 0), loc="left")
            if len(rows):
                axis.legend(loc="upper left", handlelength=2.2)
        row[0].set_ylim(0, 1.6 * row[0].get_ylim()[1])  # room for the legends
        row[0].set_ylabel(f"{model}\n{ID}" if len(models) > 1 else ID)
    for axis in axes[-1]:
        axis.set_xlabel("scale (neighbor rank)")
        axis.set_xticks(np.unique(rows["scale"]), [f"{scale:.0f}" for scale in np.unique(rows["scale"])])
        axis.minorticks_off()
    return figure


def draw_mean_scales(panels, styles, by="scale", y=ID):
    """Figures 15 and 16: a panel a scale or k, a curve a model; below them, for ID, the same over its median."""
    values = sorted({value for panel in panels.values() for value in panel.rows.values(by)})
    figure, axes = grid(len(panels), len(values), sharey="row")
    for row, (side, panel) in zip(axes, panels.items()):
        for axis, value in zip(row, values):
            each_model(axis, panel.rows.where(**{by: value}), styles)
            axis.set_title(f"{by} {'= ' if by == 'k' else ''}{value:g}")
    label(axes, "layer l (pair l, l + 1)" if by == "k" else "layer", y)
    for row, side in zip(axes, panels):
        row[0].set_ylabel("ID / median over layers" if side == "normalized" else y)
    below(figure, axes)
    return figure


def draw_mean_scales_overlap(panels, styles):
    return draw_mean_scales(panels, styles, "k", OVERLAP)


def draw_spearman(panels, styles):
    """Figure 20: a panel a model, a curve a scale."""
    rows = panels[""].rows
    models, scales = rows.values("model"), sorted(rows.values("scale"))
    columns = min(3, len(models))
    figure, axes = grid(-(-len(models) // columns), columns, height=2.7, width=WIDE if columns > 1 else NARROW + 1)
    shade = dict(zip(scales, LEVELS(np.linspace(0, 1, len(scales)))))
    for axis, model in zip(axes.flat, models):
        for a, scale in enumerate(scales):
            part = rows.where(model=model, scale=scale)
            curve(axis, part["layer"], part["value"], color=shade[scale], linestyle=DASHES[a % len(DASHES)],
                  marker=MARKERS[a % len(MARKERS)], label=f"scale {scale:g}")
        axis.axhline(0, color="0.45", linewidth=0.7)
        axis.set_title(model)
    label(axes, "layer", "Spearman ρ of ID and loss")
    trim(axes, len(models))
    below(figure, axes, columns=4)
    return figure


def table_columns(rows):
    """What stands in table 1: (heading, x, scale) of each column."""
    prompt = [x for x in rows.values("x") if x.startswith("prompt level")]
    scales = sorted(set(rows.where(x="token level")["scale"]))
    return ([(f"Prompt level\n({x[len('prompt level'):].strip(' ,')})", x, None) for x in prompt] +
            [(f"Token level\n({'2NN' if scale == 2 else f'scale {scale:.0f}'})", "token level", scale) for scale in scales])


def draw_table(panels, styles):
    """Table 1: the paper's columns, quoted at prompt level and ours at token level; four lines a model."""
    rows = panels[""].rows
    columns, names, cells = table_columns(rows), [], []
    quoted = [x for x in rows.values("x") if x != "token level"]
    models = [(model, "token level") for model in rows.where(x="token level").values("model")]
    if quoted:
        models.insert(0, (rows.where(x=quoted[0])["model"][0], "prompt level"))
    for model, level in models:
        for name, column in (("Spearman ρ", "value"), ("p", "p"), ("p adjusted", "p_adjusted"), ("layer", "layer")):
            line = []
            for _, x, scale in columns:
                part = rows.where(model=model, x=x, **({} if scale is None else {"scale": scale}))
                value = part[column][0] if len(part) and x.startswith(level) else math.nan
                line.append("" if math.isnan(value) else f"{value:.2f}" if column == "value" else
                            f"{value:.0f}" if column == "layer" else number_text(value))
            if any(line):
                cells.append(line)
                names.append(f"{model}{' (quoted)' if level != 'token level' else ''}\n{name}" if column == "value" else name)
    figure = pyplot.figure(figsize=(WIDE, 0.6 + 0.27 * len(cells)))
    axis = figure.add_axes([0.2, 0, 0.8, 1])
    axis.axis("off")
    table = axis.table(cells, rowLabels=names, colLabels=[heading for heading, _, _ in columns], loc="center", cellLoc="center",
                       edges="horizontal")
    table.auto_set_font_size(False)
    table.set_fontsize(8)
    for (row, _), cell in table.get_celld().items():
        tall = row == 0 or "\n" in names[row - 1]
        cell.set_height((1.7 if tall else 1) / (sum("\n" in name for name in names) * 0.7 + len(cells) + 2))
        cell.set_linewidth(0.5)
    return figure


EACH_S, EACH_K = "model,prompt,shuffle,layer,scale,value", "model,prompt,shuffle,layer,k,value"
MEAN_S, MEAN_K = "model,shuffle,layer,scale,mean,std,n", "model,shuffle,layer,k,mean,std,n"
BY_MODEL_S, BY_MODEL_K = "model,layer,scale,mean,std,n", "model,layer,k,mean,std,n"
CORRELATION, SCATTER = "model,shuffle,layer,scale,value,std,p,n,marked", "model,prompt,x,y,value,p,n,slope,intercept"
# Figure, title, its panels with the columns that are drawn, the function; single: of one model, others in pictures of their own.
FIGURES = [
    ("fig01", "The shuffle", {"shuffle": "shuffle,position,token,block"}, draw_shuffle, "all"),
    ("fig02", "Average cosine similarity", {"left": "model,prompt,shuffle,layer,value", "right": "model,shuffle,layer,mean,std,n"},
     draw_cosine, "single"),
    ("fig03", "Intrinsic dimension", {"left": EACH_S, "right": MEAN_S}, draw_profiles, "single"),
    ("fig04", "Angles between nearest neighbors", {"left": "model,prompt,shuffle,layer,bin_low,bin_high,density,mean",
                                                   "right": "model,shuffle,layer,bin_low,bin_high,density,n"}, draw_angles, "single"),
    ("fig05", "Neighborhood overlap", {"left": EACH_K + ",marked", "right": MEAN_K + ",marked"}, draw_overlap, "single"),
    ("fig06", "Correlation of intrinsic dimension and loss", {"": CORRELATION}, draw_correlation, "all"),
    ("fig07", "Logit intrinsic dimension, contextual entropy and loss", {"left": SCATTER + ",scale", "right": SCATTER},
     draw_entropies, "single"),
    ("fig08", "Intrinsic dimension of single prompts", {"": EACH_S}, draw_prompts, "single"),
    ("fig09", "Intrinsic dimension under shuffling, each model", {"a": EACH_S, "b": MEAN_S}, draw_model_levels, "all"),
    ("fig10", "Structured and shuffled intrinsic dimension by scale", {"": MEAN_S}, draw_two_levels, "single"),
    ("fig11", "Structured and shuffled overlap by k", {"": MEAN_K}, draw_two_levels_overlap, "single"),
    ("fig12", "Intrinsic dimension of the models", {"left": "model,prompt,layer,scale,value", "right": BY_MODEL_S},
     draw_models, "all"),
    ("fig13", "Neighborhood overlap of the models", {"left": "model,prompt,layer,k,value", "right": BY_MODEL_K},
     draw_models_overlap, "all"),
    ("fig14", "Intrinsic dimension against scale", {"a": EACH_S, "b": EACH_S, "c": MEAN_S}, draw_scale_analysis, "all"),
    ("fig15", "Mean intrinsic dimension by scale", {"": BY_MODEL_S, "normalized": BY_MODEL_S + ",normalized"},
     draw_mean_scales, "all"),
    ("fig16", "Mean neighborhood overlap by k", {"": BY_MODEL_K}, draw_mean_scales_overlap, "all"),
    ("fig17", "Correlation of intrinsic dimension and loss by scale", {"": CORRELATION}, draw_correlation, "all"),
    ("fig18", "Logit intrinsic dimension and contextual entropy by scale", {"": SCATTER + ",scale"}, draw_logit_scales, "single"),
    ("fig20", "Spearman correlation of intrinsic dimension and loss", {"": "model,layer,scale,value,p,n"}, draw_spearman, "all"),
    ("table1", "Spearman correlations at prompt and token level", {"": "model,x,layer,scale,value,p,p_adjusted,n"},
     draw_table, "all"),
]


# ---- all of them --------------------------------------------------------------------------------------------------


def load_panels(directory):
    """Figure -> side -> panel, of the CSVs that are there."""
    found = {}
    for name, _, sides, _, _ in FIGURES:
        for side, columns in sides.items():
            path = directory / f"{name}{'_' if side else ''}{side}.csv"
            if path.is_file():
                found.setdefault(name, {})[side] = Panel(path, columns, {"model", "x" if name == "table1" else "prompt"})
    return found


def all_models(found):
    """Every model, in the order of the files; table 1 quotes models that are not in the results."""
    names = {}
    for figure, panels in found.items():
        for panel in panels.values():
            if "model" in panel.rows.columns and figure != "table1":
                names.update(dict.fromkeys(panel.rows.values("model")))
    return list(names)


def of_model(panels, model):
    """The panels' rows of one model; panels without any are left out."""
    kept = {}
    for side, panel in panels.items():
        rows = panel.rows.where(model=model)
        if len(rows):
            kept[side] = Panel.__new__(Panel)
            kept[side].path, kept[side].comments, kept[side].rows = panel.path, panel.comments, rows
    return kept


def settle(figure):
    """Lets the layout be found once and rounds it: its solver goes by addresses, and a last bit can move a pixel."""
    figure.draw_without_rendering()
    places = [axes.get_position().bounds for axes in figure.axes]
    figure.set_layout_engine("none")
    for axes, place in zip(figure.axes, places):
        axes.set_position([round(number, 4) for number in place])


def save(figure, directory, name, formats):
    """Without dates and versions, so that equal data gives equal bytes."""
    settle(figure)
    without = {"png": {"Software": None}, "pdf": {"CreationDate": None, "Creator": None, "Producer": None}}
    for kind in formats:
        figure.savefig(directory / f"{name}.{kind}", metadata=without[kind], bbox_inches="tight", pad_inches=0.04)
    pyplot.close(figure)


def picture_name(model, before):
    """A model as part of a file's name, and no other model's."""
    plain = lambda name: re.sub(r"[^A-Za-z0-9._-]", "_", name)
    same = sum(plain(other) == plain(model) for other in before)
    return plain(model) + (f"_{same + 1}" if same else "")


def draw_all(directory, found, formats):
    """Figure -> names of its pictures."""
    styles, pictures = model_styles(all_models(found)), {}
    for name, _, _, draw, kind in FIGURES:
        if name not in found:
            continue
        models = [m for m in styles if of_model(found[name], m)] if kind == "single" else [None]
        for place, model in enumerate(models):
            figure = draw(of_model(found[name], model) if model else found[name], styles)
            picture = name if place == 0 else f"{name}_{picture_name(model, models[:place])}"
            if model and len(styles) > 1:
                figure.suptitle(model, fontsize=8, weight="bold")
            save(figure, directory, picture, formats)
            pictures.setdefault(name, []).append((picture, model))
    return pictures


def remove_old(directory, pictures, formats):
    """Pictures of earlier runs with other data, which would be taken for these."""
    current = {f"{picture}.{kind}" for names in pictures.values() for picture, _ in names for kind in formats}
    ours = re.compile(rf"(fig\d\d|table1)(_[A-Za-z0-9._-]+)?\.({'|'.join(formats)})")
    for path in directory.iterdir():
        if ours.fullmatch(path.name) and path.name not in current:
            path.unlink()


# ---- index.html ---------------------------------------------------------------------------------------------------

PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Geometry of token representations: figures</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 0 auto; padding: 1rem; color: #222; background: #fff; }}
nav a {{ display: inline-block; margin-right: 0.9rem; }}
figure {{ margin: 2rem 0; border-top: 1px solid #ccc; padding-top: 0.5rem; }}
h2 {{ font-size: 1.15rem; margin: 0.5rem 0; }}
img {{ max-width: 100%; height: auto; display: block; margin: 0.7rem auto; }}
figcaption {{ font-size: 0.92rem; }}
.files {{ font-size: 0.85rem; color: #555; }}
a {{ color: #0b559f; }}
</style>
</head>
<body>
<h1>Geometry of token representations</h1>
<p>{models}. Figures of <a href="https://arxiv.org/abs/2501.10573">arXiv 2501.10573</a>, drawn from the CSVs beside this page.</p>
<nav>{contents}</nav>
{figures}
</body>
</html>
"""


def number_of(name):
    return "Table 1" if name == "table1" else f"Figure {int(name[3:])}"


def shown_width(path):
    """Pixels of a page for a PNG, so that letters are equally large in all pictures. Its width stands in bytes 16..19."""
    return round(0.65 * int.from_bytes(path.read_bytes()[16:20], "big"))


def write_figure(directory, name, title, panels, pictures, formats):
    """One figure as HTML."""
    escape, parts = html.escape, []
    for picture, model in pictures:
        alt = f"{number_of(name)}: {title}{', ' + model if model else ''}"
        if "png" in formats:
            width = shown_width(directory / f"{picture}.png")
            parts.append(f'<img src="{escape(picture)}.png" alt="{escape(alt)}" style="width: min(100%, {width}px)">')
    captions = []
    for side, panel in panels.items():
        where = f"<b>{side.capitalize() + '.' if len(side) > 1 else f'({side})'}</b> " if side and len(panels) > 1 else ""
        captions.append(where + escape(panel.say("caption")))
    parts.append("<figcaption>" + "<br>\n".join(captions) + "</figcaption>")
    files = [panel.path.name for panel in panels.values()]
    files += [f"{picture}.{kind}" for picture, _ in pictures for kind in formats]
    links = " · ".join(f'<a href="{escape(file)}">{escape(file)}</a>' for file in files)
    return (f'<figure id="{name}">\n<h2>{number_of(name)}. {escape(title)}</h2>\n' + "\n".join(parts) +
            f'\n<p class="files">{links}</p>\n</figure>')


def write_index(directory, found, pictures, formats):
    shown = [(name, title) for name, title, *_ in FIGURES if name in pictures]
    page = PAGE.format(models=html.escape(", ".join(all_models(found)) or "No model"),
                       contents=" ".join(f'<a href="#{name}">{number_of(name)}</a>' for name, _ in shown),
                       figures="\n".join(write_figure(directory, name, title, found[name], pictures[name], formats)
                                         for name, title in shown))
    (directory / "index.html").write_text(page, encoding="utf-8")


# ---- program ------------------------------------------------------------------------------------------------------


def stop(status, message):
    print(f"plot_figures: {message}", file=sys.stderr)
    return status


def main(arguments):
    parser = argparse.ArgumentParser(description="Draw every figure from the CSVs of `tokengeom figures`.")
    parser.add_argument("directory", type=pathlib.Path, metavar="DIRECTORY", help="where the CSVs lie and the pictures go")
    parser.add_argument("--png", action="store_true", help="write PNGs (also when neither is asked for)")
    parser.add_argument("--pdf", action="store_true", help="write PDFs")
    parser.error = lambda message: parser.exit(USAGE, f"{parser.format_usage()}plot_figures: {message}\n")
    options = parser.parse_args(arguments)
    formats = [kind for kind in ("png", "pdf") if getattr(options, kind)] or ["png"]
    if not options.directory.is_dir():
        return stop(NO_INPUT, f"{options.directory}: no such directory")
    matplotlib.rcdefaults()
    matplotlib.rcParams.update(STYLE)
    try:
        found = load_panels(options.directory)
        if not found:
            return stop(NO_INPUT, f"{options.directory}: no CSV of a figure; tokengeom figures writes them")
        pictures = draw_all(options.directory, found, formats)
        remove_old(options.directory, pictures, formats)
        write_index(options.directory, found, pictures, formats)
    except Broken as wrong:
        return stop(BAD_DATA, wrong)
    except OSError as wrong:
        return stop(IO, wrong)
    print(f"pictures: {sum(map(len, pictures.values()))} in {options.directory}, see index.html there")
    return OK


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
