#include "geometry/overlap.h"

#include "base/clones.h"
#include "geometry/observable.h"
#include <string.h>

/* Place of `token` in a list, 1..k, or 0. Lists hold a token once. */
static inline int place_in(const int32_t *restrict list, int k, int32_t token) {
  int place = 0;
  for (int q = 0; q < k; q++) place += list[q] == token ? q + 1 : 0;
  return place;
}

/* value[q-1] = (pairs that both lists hold within their first q) / (n q), from the number that q is the first to hold. */
static void accumulate(double *value, int n, int k) {
  double held = 0.0;
  for (int q = 1; q <= k; q++) {
    held += value[q - 1];
    value[q - 1] = held / ((double)n * q);
  }
}

TG_CLONES void tg_overlap(const int32_t *a, const int32_t *b, int n, int stride, int k, double *value) {
  for (int q = 0; q < k; q++) value[q] = 0.0;
  for (ptrdiff_t i = 0; i < n; i++)
    for (int p = 0; p < k; p++) {
      const int other = place_in(b + i * stride, k, a[i * stride + p]);
      if (other > 0) value[(other > p + 1 ? other : p + 1) - 1] += 1.0;
    }
  accumulate(value, n, k);
}

TG_CLONES void tg_reciprocity(const int32_t *index, int n, int stride, int k, double *value) {
  for (int q = 0; q < k; q++) value[q] = 0.0;
  for (ptrdiff_t i = 0; i < n; i++)
    for (int p = 0; p < k; p++) {
      const int back = place_in(index + (ptrdiff_t)index[i * stride + p] * stride, k, (int32_t)i);
      if (back > 0) value[(back > p + 1 ? back : p + 1) - 1] += 1.0;
    }
  accumulate(value, n, k);
}

/* ---- the observables ---- */

/* How long the lists are. */
static int length_of(const tg_view *v, tg_row *row) {
  const int k = v->shape->k < v->stride ? v->shape->k : v->stride;
  if (k < v->shape->k) *row->reason |= TG_REASON_K;
  return k;
}

static tg_status measure_reciprocity(void *scratch, const tg_view *v, tg_row *row) {
  (void)scratch;
  tg_reciprocity(v->index, v->cloud->n, v->stride, length_of(v, row), tg_row_f64(row, TG_FIELD_RECIPROCITY));
  return TG_OK;
}

static tg_status measure_overlap(void *scratch, const tg_view *v, tg_row *row) {
  const int k = length_of(v, row);
  (void)scratch;
  if (v->before) tg_overlap(v->before, v->index, v->cloud->n, v->stride, k, tg_row_f64(row, TG_FIELD_OVERLAP));
  return TG_OK;
}

static tg_status keep_lists(void *scratch, const tg_view *v, tg_row *row) {
  const int k = length_of(v, row);
  (void)scratch;
  for (ptrdiff_t i = 0; i < v->cloud->n; i++)
    memcpy(tg_row_i32(row, TG_FIELD_NEIGHBORS) + i * v->shape->k, v->index + i * v->stride,
           (size_t)k * sizeof *v->index);
  return TG_OK;
}

const tg_observable tg_observable_reciprocity = {.measure = measure_reciprocity};
const tg_observable tg_observable_overlap = {.measure = measure_overlap};
const tg_observable tg_observable_neighbors = {.measure = keep_lists};
