/* Lengths of the token vectors |x_i|: their mean, median, the longest and whose it is, and that of the first token, on which models
 * with an attention sink pile theirs. All tokens count, repeated ones too. No pair is looked at: from the scan's float64 sums of
 * squares, relative error below D 2^-54; tokens too near to each other for those are told apart exactly.
 * cost    n square roots and a sort, some 50 us
 * source  of the use for this: Sun, Chen, Kolter, Liu, COLM 2024 (massive activations) */
#include "geometry/expansion.h"
#include "geometry/observable.h"
#include <float.h>
#include <math.h>
#include <stdlib.h>

/* |x_i|^2 - |x_j|^2: squares of float32 are exact in float64. */
static int is_longer(const tg_cloud *c, int i, int j, float *buffer) {
  tg_expansion difference = {0};
  for (int side = 0; side < 2; side++) {
    const float *x = tg_cloud_row(c, side ? j : i, buffer);
    for (int t = 0; t < c->d; t++)
      tg_expansion_add(&difference, side ? -((double)x[t] * (double)x[t]) : (double)x[t] * (double)x[t]);
  }
  return tg_expansion_sign(&difference) > 0;
}

/* The longest token, of several the first. */
static int longest(const tg_view *v) {
  const double *norm2 = v->scan->norm2, error = 2.0 * v->cloud->d * DBL_EPSILON;
  int best = 0;
  for (int i = 1; i < v->cloud->n; i++) {
    const double gap = norm2[i] - norm2[best];
    if (fabs(gap) > error * norm2[best])
      best = gap > 0.0 ? i : best;
    else if (!tg_cloud_same(v->cloud, i, best) && is_longer(v->cloud, i, best, v->scan->buffer))
      best = i;
  }
  return best;
}

static int ascending(const void *a, const void *b) {
  const double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static tg_status measure(void *scratch, const tg_view *v, tg_row *row) {
  const int n = v->cloud->n;
  double sum = 0.0, *norm = v->numbers;
  (void)scratch;
  for (int i = 0; i < n; i++) sum += norm[i] = sqrt(v->scan->norm2[i]);
  *tg_row_f64(row, TG_FIELD_NORM_FIRST) = norm[0];
  qsort(norm, (size_t)n, sizeof *norm, ascending);
  *tg_row_f64(row, TG_FIELD_NORM_MEAN) = sum / n;
  *tg_row_f64(row, TG_FIELD_NORM_MEDIAN) = (norm[(n - 1) / 2] + norm[n / 2]) / 2.0;
  *tg_row_f64(row, TG_FIELD_NORM_MAX) = norm[n - 1];
  *tg_row_i32(row, TG_FIELD_NORM_MAX_TOKEN) = longest(v);
  return TG_OK;
}

const tg_observable tg_observable_norms = {.measure = measure};
