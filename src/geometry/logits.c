/* Intrinsic dimension of the logit vectors W h_i, from the hidden states of the last layer: |W (h_i - h_j)| = |U (h_i - h_j)| with
 * U^T U = W^T W (metric.h), so the cloud of U h_i has their distances in at most d dimensions. A fast pass and a search of its own,
 * in float64: about two layers' cost, once a (prompt, level).
 * A cloud with a distance whose digits float64 loses on the way has no answer.
 * source: GRIDE as in gride.h, over the distinct tokens of the last layer */
#include "base/memory.h"
#include "geometry/gride.h"
#include "geometry/observable.h"
#include <cblas.h>
#include <float.h>
#include <stdlib.h>
#include <string.h>

/* Made on first use: most layers have no logits. */
typedef struct {
  size_t n, ld;
  double *centered, *z; /* [n][ld] */
  double *d2;           /* [n][TG_GRIDE_RANKS] */
  double *column2;      /* [ld] of the metric */
} logits;

static tg_status create(const tg_row_shape *shape, int d, void **scratch) {
  TG_TRY(TG_ALLOC(1, (logits **)scratch));
  *(logits *)*scratch = (logits){.n = (size_t)shape->n_tokens, .ld = (size_t)tg_cloud_stride(d)};
  return TG_OK;
}

static double bytes(const tg_row_shape *shape, int d) {
  return 8.0 * shape->n_tokens * (2.0 * tg_cloud_stride(d) + TG_GRIDE_RANKS) + 8.0 * tg_cloud_stride(d);
}

static void destroy(void *scratch) {
  logits *l = scratch;
  if (!l) return;
  free(l->centered);
  free(l->z);
  free(l->d2);
  free(l->column2);
  free(l);
}

static tg_status reserve(logits *l) {
  if (!l->centered) TG_TRY(TG_ALLOC(l->n * l->ld, &l->centered));
  if (!l->z) TG_TRY(TG_ALLOC(l->n * l->ld, &l->z));
  if (!l->d2) TG_TRY(TG_ALLOC(l->n * TG_GRIDE_RANKS, &l->d2));
  if (!l->column2) TG_TRY(TG_ALLOC(l->ld, &l->column2));
  return TG_OK;
}

/* z = (x - center) U^T in float64, the center in float32, so that x - center is exact or nearly so. */
static tg_cloud64 transform(const logits *l, const tg_view *v) {
  const tg_cloud *c = v->cloud;
  const tg_metric *metric = v->metric;
  double *mean = l->z; /* until z is there */
  tg_cloud_mean(c, v->scan->buffer, mean, NULL);
  for (int i = 0; i < c->n; i++) {
    const float *x = tg_cloud_row(c, i, v->scan->buffer);
    double *to = l->centered + (ptrdiff_t)i * c->d;
    for (int t = 0; t < c->d; t++) to[t] = (double)x[t] - (double)(float)mean[t];
  }
  const int stride = tg_cloud_stride(metric->rank);
  memset(l->z, 0, l->n * (size_t)stride * sizeof *l->z);
  cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasTrans, c->n, metric->rank, c->d, 1.0, l->centered, c->d, metric->factor,
              c->d, 0.0, l->z, stride);
  return (tg_cloud64){c->n, metric->rank, stride, l->z};
}

/* (W^T W)_tt */
static void square_columns(logits *l, const tg_metric *metric) {
  for (int t = 0; t < metric->d; t++) l->column2[t] = 0.0;
  for (ptrdiff_t r = 0; r < metric->rank; r++)
    for (int t = 0; t < metric->d; t++)
      l->column2[t] += metric->factor[r * metric->d + t] * metric->factor[r * metric->d + t];
}

/* Whether some nearest distance is so small beside what it is a difference of that the rounding of z = U (x - c), some 8 eps times
 * (sum_t (W^T W)_tt (x - c)_t^2)^1/2, is more than 1e-6 of it: W then shortens that difference 10^9 times against its coordinates. */
static int digits_are_lost(const logits *l, const tg_view *v, int n_ranks) {
  const double limit = 1e6 * 8.0 * DBL_EPSILON;
  for (ptrdiff_t a = 0; a < v->n_distinct && n_ranks > 0; a++) {
    const double *y = l->centered + (ptrdiff_t)v->distinct[a] * v->cloud->d;
    double size2 = 0.0;
    for (int t = 0; t < v->cloud->d; t++) size2 += l->column2[t] * y[t] * y[t];
    if (l->d2[a * n_ranks] < limit * limit * size2) return 1;
  }
  return 0;
}

/* d2 of the points at the ranks. */
static tg_status search(logits *l, const tg_view *v, const tg_neighbors_query *q) {
  const tg_cloud64 z = transform(l, v);
  tg_gram_start64(v->gram, &z);
  for (int first = 0; first < z.n; first += v->gram->rows) {
    TG_TRY(tg_gram_rows(v->gram, first, v->tick));
    TG_TRY(tg_neighbors_find(v->gram, NULL, &z, q, v->search, v->tick, NULL, l->d2, NULL));
    *v->float64_pairs += tg_neighbors_count(v->search).float64_pairs;
  }
  square_columns(l, v->metric);
  return TG_OK;
}

static tg_status measure(void *scratch, const tg_view *v, tg_row *row) {
  logits *l = scratch;
  if (!v->metric || v->cloud->n < 2) return TG_OK;
  TG_TRY(reserve(l));
  int ranks[TG_GRIDE_RANKS];
  const int n_ranks = tg_gride_add_ranks(v->shape, v->n_distinct, ranks, 0);
  const tg_neighbors_query q = {v->distinct, v->n_distinct, 0, ranks, n_ranks};
  const bool zero = v->metric->rank == 0; /* all logits are 0 */
  if (zero) memset(l->d2, 0, l->n * TG_GRIDE_RANKS * sizeof *l->d2);
  if (!zero) TG_TRY(search(l, v, &q));
  if (!zero && digits_are_lost(l, v, n_ranks)) {
    *row->reason |= TG_REASON_LOGITS;
    return TG_OK;
  }
  *row->reason |= tg_gride_fit_scales(v->shape, &q, l->d2, v->numbers, tg_row_f64(row, TG_FIELD_LOGITS_VALUE),
                                      tg_row_f64(row, TG_FIELD_LOGITS_ERROR), tg_row_f64(row, TG_FIELD_LOGITS_RADIUS));
  return TG_OK;
}

const tg_observable tg_observable_logits = {create, destroy, bytes, NULL, NULL, measure};
