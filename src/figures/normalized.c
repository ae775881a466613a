/* Figure 15's extra: each prompt's intrinsic dimension divided by its median over layers, so that prompts of different
 * dimension can be averaged. */
#include "figures/kinds.h"

#include "base/memory.h"
#include <math.h>
#include <stdlib.h>

static const tg_panel_kind kind = {"fig15", "normalized", "Intrinsic dimension over its median, scales 2, 4, 8",
                                   "model,layer,scale,mean,std,n,normalized",
                                   "layer [1], scale [neighbor rank], mean, std [1]"};

static int ascending(const void *a, const void *b) {
  const double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

/* Median of the finite values of layers 1..L of one prompt; scratch [layers]. NaN when there is none. */
static double median_of(const double *values, int64_t layers, int64_t stride, double *scratch) {
  int64_t n = 0;
  for (int64_t l = 1; l < layers; l++)
    if (isfinite(values[l * stride])) scratch[n++] = values[l * stride];
  if (n == 0) return NAN;
  qsort(scratch, (size_t)n, sizeof *scratch, ascending);
  return 0.5 * (scratch[(n - 1) / 2] + scratch[n / 2]);
}

/* Mean, population deviation and number over prompts of the finite values x / median, at one layer and scale. */
static void moments(const tg_figure_model *m, const double *x, const double *medians, double *mean, double *std,
                    int64_t *count) {
  const int64_t step = m->n_layers * m->n_scales;
  double sum = 0.0, squares = 0.0;
  *count = 0;
  for (int64_t p = 0; p < m->n_prompts; p++) {
    const double y = x[p * step] / medians[p * m->n_scales];
    if (isfinite(y)) sum += y, ++*count;
  }
  *mean = *count > 0 ? sum / (double)*count : NAN;
  for (int64_t p = 0; p < m->n_prompts; p++) {
    const double y = x[p * step] / medians[p * m->n_scales] - *mean;
    if (isfinite(y)) squares += y * y;
  }
  *std = *count > 0 ? sqrt(squares / (double)*count) : NAN;
}

/* medians [prompts][scales] of each prompt's layers; scratch [layers] */
static void take_medians(const tg_figure_model *m, const tg_array *ids, double *medians, double *scratch) {
  for (int64_t p = 0; p < m->n_prompts; p++)
    for (int64_t k = 0; k < m->n_scales; k++)
      medians[p * m->n_scales + k] =
          median_of(ids->values + p * m->n_layers * m->n_scales + k, m->n_layers, m->n_scales, scratch);
}

static void add_rows(tg_panel *panel, const tg_figure_model *m, const tg_array *ids, const double *medians) {
  double mean, std;
  int64_t n;
  for (int64_t l = 1; l < m->n_layers; l++)
    for (int64_t k = 0; k < m->n_scales; k++) {
      if (m->scales[k] != 2 && m->scales[k] != 4 && m->scales[k] != 8) continue;
      moments(m, ids->values + l * m->n_scales + k, medians + k, &mean, &std, &n);
      tg_panel_row(panel, "tiirrii", m->name, l, m->scales[k], mean, std, n, (int64_t)1);
    }
}

static tg_status add_model(tg_panel *panel, const tg_figure_model *m) {
  static const char path[] = "intrinsic_dimension/gride/value";
  tg_array ids;
  double *medians = NULL, *scratch = NULL;
  TG_TRY(tg_figure_part(m, path, 4, (const int64_t[]){TG_ALL, m->low, TG_ALL, TG_ALL}, &ids));
  tg_status st = TG_ALLOC(m->n_prompts * m->n_scales + 1, &medians);
  if (st == TG_OK) st = TG_ALLOC(m->n_layers, &scratch);
  if (st == TG_OK && ids.count > 0 && ids.count == m->n_prompts * m->n_layers * m->n_scales) {
    take_medians(m, &ids, medians, scratch);
    add_rows(panel, m, &ids, medians);
    tg_panel_source(panel, m, path);
  }
  tg_array_free(&ids);
  free(medians);
  free(scratch);
  return st;
}

tg_status tg_figures_normalized(tg_figure_set *set) {
  tg_panel *panel;
  TG_TRY(tg_panel_begin(&kind, &panel));
  tg_panel_caption(panel,
                   "Intrinsic dimension of each prompt divided by its median over layers 1..L, structured; mean and "
                   "population standard deviation over prompts. ");
  tg_figure_say_models(set, panel, false);
  for (int m = 0; m < set->n_models; m++) TG_TRY(add_model(panel, &set->models[m]));
  return tg_figure_end(set, &panel, "the results have no finite intrinsic dimension");
}
