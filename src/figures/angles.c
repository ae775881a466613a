/* Figure 4: histograms of the neighbor angle, over the tokens of one prompt and over prompts. */
#include "figures/kinds.h"

#include "base/memory.h"
#include "base/text.h"
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

enum { TURN = 180 };

/* clang-format off */
static const tg_panel_kind
  tokens_kind  = {"fig04", "left",  "Neighbor angles of the tokens of one prompt", "model,prompt,shuffle,layer,bin_low,bin_high,density,mean", "bin_low, bin_high, mean [degree], density [1/degree]"},
  prompts_kind = {"fig04", "right", "Mean neighbor angle over prompts",            "model,shuffle,layer,bin_low,bin_high,density,mean,n",      "bin_low, bin_high, mean [degree], density [1/degree]"};
/* clang-format on */

typedef struct {
  int bins; /* of width degrees each */
  double width, density[2 * TURN], mean;
  int64_t n, outside; /* values in the bins, and those that are no angles: left out. NaN: there is none */
} histogram;

static histogram count_bins(const tg_array *values, double width) {
  histogram h = {.bins = (int)(TURN / width), .width = width};
  double sum = 0.0;
  for (int64_t a = 0; a < values->count; a++) {
    const double x = values->values[a];
    if (isnan(x)) continue;
    if (!(x >= 0.0 && x <= TURN)) {
      h.outside++;
      continue;
    }
    const int b = (int)(x / width);
    h.density[b < h.bins ? b : h.bins - 1] += 1.0; /* 180 degrees belong to the last bin */
    sum += x;
    h.n++;
  }
  h.mean = h.n > 0 ? sum / (double)h.n : NAN;
  for (int b = 0; b < h.bins && h.n > 0; b++) h.density[b] /= width * (double)h.n;
  return h;
}

/* The bins from the first to the last that hold something. */
static void add_bins(tg_panel *panel, const tg_figure_model *m, int64_t s, int64_t layer, bool tokens,
                     const histogram *h) {
  int first = 0, end = h->bins;
  while (first < end && h->density[first] == 0.0) first++;
  while (end > first && h->density[end - 1] == 0.0) end--;
  for (int b = first; b < end && h->n > 0; b++) {
    const double low = b * h->width, high = low + h->width;
    if (tokens)
      tg_panel_row(panel, "tiiirrrr", m->name, m->prompt_ids[m->example], m->levels[s], layer, low, high, h->density[b],
                   h->mean);
    else
      tg_panel_row(panel, "tiirrrri", m->name, m->levels[s], layer, low, high, h->density[b], h->mean, h->n);
  }
}

/* Results that a run wrote have none; here they must not vanish unsaid. */
static void say_outside(tg_panel *panel, const tg_figure_model *m, const char *path, int64_t s, const histogram *h) {
  if (h->outside == 0) return;
  tg_panel_comment(panel, "left out: %" PRId64 " numbers of /models/%s/%s, shuffle %" PRId64 ", outside 0..180 degrees",
                   h->outside, m->name, path, m->levels[s]);
  tg_text_print(stderr,
                "tokengeom: warning: %s: %" PRId64 " numbers of /models/%s/%s, shuffle %" PRId64
                ", are outside 0..180 degrees and left out\n",
                m->path, h->outside, m->name, path, m->levels[s]);
}

static tg_status add_model(const tg_figure_set *set, tg_panel *panel, const tg_figure_model *m, bool tokens) {
  const char *path = tokens ? "neighbor_angle/tokens" : "neighbor_angle/mean";
  const int64_t layer = set->options->angle_layer;
  const int64_t place = tokens ? tg_figure_place(m->angle_layers, m->n_angle_layers, layer) : layer;
  if (place < 0 || layer >= m->n_layers) {
    tg_panel_caption(panel, " %s has no angles of tokens at layer %lld.", m->name, (long long)layer);
    return TG_OK;
  }
  for (int64_t s = 0; s < m->n_levels; s++) {
    if (s != m->low && s != m->high) continue;
    tg_array values;
    TG_TRY(tg_figure_part(m, path, tokens ? 4 : 3, (const int64_t[]){tokens ? m->example : TG_ALL, s, place, TG_ALL},
                          &values));
    const histogram h = count_bins(&values, tokens ? 2.0 : 0.5);
    add_bins(panel, m, s, layer, tokens, &h);
    say_outside(panel, m, path, s, &h);
    tg_array_free(&values);
  }
  tg_panel_source(panel, m, path);
  return TG_OK;
}

tg_status tg_figures_angles(tg_figure_set *set) {
  for (int tokens = 1; tokens >= 0; tokens--) {
    tg_panel *panel;
    TG_TRY(tg_panel_begin(tokens ? &tokens_kind : &prompts_kind, &panel));
    tg_panel_caption(
        panel,
        "Angle at a token between its two nearest neighbors, layer %d, structured (lowest level) and shuffled "
        "(highest): %s. ",
        set->options->angle_layer,
        tokens ? "tokens of one prompt, bins of 2 degrees" : "means of the prompts, bins of 0.5 degrees");
    tg_figure_say_models(set, panel, tokens);
    for (int m = 0; m < set->n_models; m++) TG_TRY(add_model(set, panel, &set->models[m], tokens));
    TG_TRY(
        tg_figure_end(set, &panel, "the results have no angles there (observables.angle_layers; summaries have none)"));
  }
  return TG_OK;
}
