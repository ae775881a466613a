/* Figure 4: histograms of the neighbor angle, over the tokens of one prompt and over prompts. */
#include "figures/kinds.h"

#include "base/memory.h"
#include <math.h>
#include <stdlib.h>

enum { TURN = 180 };

/* clang-format off */
static const tg_panel_kind
  tokens_kind  = {"fig04", "left",  "Neighbor angles of the tokens of one prompt", "model,prompt,shuffle,layer,bin_low,bin_high,density,mean", "bin_low, bin_high, mean [degree], density [1/degree]"},
  prompts_kind = {"fig04", "right", "Mean neighbor angle over prompts",            "model,shuffle,layer,bin_low,bin_high,density,mean,n",      "bin_low, bin_high, mean [degree], density [1/degree]"};
/* clang-format on */

/* Finite values in bins of `width` degrees: density [180 / width], their mean and number. */
static void count_bins(const tg_array *values, double width, double *density, double *mean, int64_t *n) {
  const int bins = (int)(TURN / width);
  double sum = 0.0;
  *n = 0;
  for (int b = 0; b < bins; b++) density[b] = 0.0;
  for (int64_t a = 0; a < values->count; a++) {
    const double x = values->values[a];
    if (!isfinite(x)) continue;
    const int b = (int)(x / width);
    density[b < bins ? b : bins - 1] += 1.0; /* 180 degrees belong to the last bin */
    sum += x;
    ++*n;
  }
  *mean = *n > 0 ? sum / (double)*n : NAN;
  for (int b = 0; b<bins && * n> 0; b++) density[b] /= width * (double)*n;
}

/* The bins from the first to the last that hold something. */
static void add_bins(tg_panel *panel, const tg_figure_model *m, int64_t s, int64_t layer, bool tokens,
                     const tg_array *values) {
  const double width = tokens ? 2.0 : 0.5;
  double density[2 * TURN], mean;
  int64_t n;
  count_bins(values, width, density, &mean, &n);
  int first = 0, end = (int)(TURN / width);
  while (first < end && density[first] == 0.0) first++;
  while (end > first && density[end - 1] == 0.0) end--;
  for (int b = first; b < end && n > 0; b++) {
    const double low = b * width, high = low + width;
    if (tokens)
      tg_panel_row(panel, "tiiirrrr", m->name, m->prompt_ids[m->example], m->levels[s], layer, low, high, density[b],
                   mean);
    else
      tg_panel_row(panel, "tiirrrri", m->name, m->levels[s], layer, low, high, density[b], mean, n);
  }
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
    add_bins(panel, m, s, layer, tokens, &values);
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
