#include "verify/definitions.h"

#include "base/memory.h"
#include "geometry/observable.h"
#include "verify/plain.h"
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* A finite cloud with all that its definitions want of it. */
typedef struct {
  const tg_cloud *c;
  const tg_row_shape *shape;
  const double *matrix;    /* W^T W [d][d]; NULL: none, or not the last layer */
  const int32_t *before;   /* [n][stride] lists of the layer before; NULL: none */
  int stride;              /* of the lists */
  int32_t *index;          /* [n][stride] */
  int32_t *first;          /* [n_points] the first of each kind of token */
  bool *is_first;          /* [n] */
  int n_points;            /* how many kinds there are */
  double *inner2, *outer2; /* [n_scales][n_points] squared distances of rank n1 and n2 among them */
} plain;

#define OBSERVABLE(id, name, needs) static tg_status plain_##name(const plain *h, tg_row *row);
#include "geometry/observables.def"
#undef OBSERVABLE

static tg_status (*const definitions[TG_N_OBSERVABLES])(const plain *h, tg_row *row) = {
#define OBSERVABLE(id, name, needs) plain_##name,
#include "geometry/observables.def"
#undef OBSERVABLE
};

/* ---- intrinsic dimension ---- */

/* Squared distances of rank n1 and n2 of one point, from those to all tokens (order) or to all points, ascending. */
static void keep_ranks(const plain *h, int point, const int32_t *order, const double *d2, int count, double *inner2,
                       double *outer2) {
  for (int a = 0, rank = 0; a < count; a++) {
    if (order && !h->is_first[order[a]]) continue;
    rank++;
    for (int s = 0; s < h->shape->n_scales; s++) {
      if (rank == h->shape->scales[s] / 2) inner2[s * h->n_points + point] = d2[a];
      if (rank == h->shape->scales[s]) outer2[s * h->n_points + point] = d2[a];
    }
  }
}

static tg_status gride_of(const plain *h, const double *inner2, const double *outer2, double *value, double *error,
                          double *radius, int32_t *reason) {
  for (int s = 0; s < h->shape->n_scales; s++) {
    tg_plain_grides g;
    if (h->shape->scales[s] > h->n_points - 1) {
      *reason |= TG_REASON_SCALE;
      continue;
    }
    TG_TRY(tg_plain_gride(inner2 + s * h->n_points, outer2 + s * h->n_points, h->n_points, h->shape->scales[s], &g));
    value[s] = g.value;
    error[s] = g.error;
    radius[s] = g.radius;
    if (isnan(g.value)) *reason |= TG_REASON_NO_ROOT;
  }
  return TG_OK;
}

static tg_status plain_gride(const plain *h, tg_row *row) {
  *tg_row_i32(row, TG_FIELD_N_POINTS) = h->n_points;
  return gride_of(h, h->inner2, h->outer2, tg_row_f64(row, TG_FIELD_GRIDE_VALUE), tg_row_f64(row, TG_FIELD_GRIDE_ERROR),
                  tg_row_f64(row, TG_FIELD_GRIDE_RADIUS), row->reason);
}

/* ---- cosines, angles, lists ---- */

static tg_status plain_cosine(const plain *h, tg_row *row) {
  tg_cosine cosine;
  TG_TRY(tg_plain_cosine(h->c, &cosine));
  *tg_row_f64(row, TG_FIELD_COSINE_MEAN) = cosine.mean;
  *tg_row_f64(row, TG_FIELD_COSINE_STD) = cosine.std;
  *tg_row_f64(row, TG_FIELD_COSINE_OFFDIAGONAL) = cosine.mean_offdiagonal;
  *tg_row_i32(row, TG_FIELD_COSINE_ZERO) = cosine.n_zero;
  if (cosine.n_zero > 0) *row->reason |= TG_REASON_ZERO;
  return TG_OK;
}

static tg_status plain_angle(const plain *h, tg_row *row) {
  double sum = 0.0, *angles = tg_row_f64(row, TG_FIELD_ANGLE_TOKENS);
  int32_t *n_defined = tg_row_i32(row, TG_FIELD_ANGLE_DEFINED);
  for (int i = 0; h->c->n > 2 && i < h->c->n; i++) {
    const int32_t *list = h->index + (ptrdiff_t)i * h->stride;
    angles[i] = tg_plain_angle(h->c, i, list[0], list[1]);
    if (isnan(angles[i])) continue;
    ++*n_defined;
    sum += angles[i];
  }
  if (*n_defined > 0) *tg_row_f64(row, TG_FIELD_ANGLE_MEAN) = sum / *n_defined;
  if (*n_defined < h->c->n) *row->reason |= TG_REASON_ANGLE;
  return TG_OK;
}

/* How long the lists are. */
static int list_length(const plain *h, tg_row *row) {
  const int k = h->shape->k < h->c->n - 1 ? h->shape->k : h->c->n - 1;
  if (k < h->shape->k) *row->reason |= TG_REASON_K;
  return k;
}

static tg_status plain_reciprocity(const plain *h, tg_row *row) {
  tg_plain_reciprocity(h->index, h->c->n, h->stride, list_length(h, row), tg_row_f64(row, TG_FIELD_RECIPROCITY));
  return TG_OK;
}

static tg_status plain_overlap(const plain *h, tg_row *row) {
  const int k = list_length(h, row);
  if (h->before) tg_plain_overlap(h->before, h->index, h->c->n, h->stride, k, tg_row_f64(row, TG_FIELD_OVERLAP));
  return TG_OK;
}

static tg_status plain_neighbors(const plain *h, tg_row *row) {
  const int k = list_length(h, row);
  for (ptrdiff_t i = 0; i < h->c->n; i++)
    for (int a = 0; a < k; a++) tg_row_i32(row, TG_FIELD_NEIGHBORS)[i * h->shape->k + a] = h->index[i * h->stride + a];
  return TG_OK;
}

/* ---- lengths ---- */

static int ascending(const void *a, const void *b) {
  const double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static tg_status plain_norms(const plain *h, tg_row *row) {
  const int n = h->c->n;
  int longest = 0;
  double sum = 0.0, *norm = NULL;
  TG_TRY(TG_ALLOC(n, &norm));
  for (int i = 0; i < n; i++) {
    norm[i] = sqrt(tg_plain_norm2(h->c, i));
    sum += norm[i];
    const tg_plain_integer most = tg_plain_norm2_exact(h->c, longest), this = tg_plain_norm2_exact(h->c, i);
    if (tg_plain_compare(&this, &most) > 0) longest = i;
  }
  *tg_row_f64(row, TG_FIELD_NORM_MEAN) = sum / n;
  *tg_row_f64(row, TG_FIELD_NORM_FIRST) = norm[0];
  *tg_row_f64(row, TG_FIELD_NORM_MAX) = norm[longest];
  *tg_row_i32(row, TG_FIELD_NORM_MAX_TOKEN) = longest;
  qsort(norm, (size_t)n, sizeof *norm, ascending);
  *tg_row_f64(row, TG_FIELD_NORM_MEDIAN) = (norm[(n - 1) / 2] + norm[n / 2]) / 2.0;
  free(norm);
  return TG_OK;
}

/* ---- logits ---- */

/* x - mean and its product with the matrix, [n][d] each: |W (x_i - x_j)|^2 = (x_i - x_j)^T W^T W (x_i - x_j). */
static void transform(const tg_cloud *c, const double *matrix, double *x, double *y) {
  const ptrdiff_t n = c->n, d = c->d;
  for (ptrdiff_t t = 0; t < d; t++) {
    double mean = 0.0;
    for (ptrdiff_t i = 0; i < n; i++) mean += (double)c->x[i * c->ld + t] / (double)n;
    for (ptrdiff_t i = 0; i < n; i++) x[i * d + t] = (double)c->x[i * c->ld + t] - mean;
  }
  for (ptrdiff_t i = 0; i < n; i++)
    for (ptrdiff_t t = 0; t < d; t++) {
      y[i * d + t] = 0.0;
      for (ptrdiff_t u = 0; u < d; u++) y[i * d + t] += matrix[t * d + u] * x[i * d + u];
    }
}

/* Whether a squared distance of point i is too small beside its vector: below (8 eps 10^6)^2 sum_t (W^T W)_tt (x_i - mean)_t^2. */
static bool is_lost(const plain *h, int i, const double *x, double d2) {
  const ptrdiff_t d = h->c->d, at = h->first[i] * d;
  double size2 = 0.0;
  for (ptrdiff_t t = 0; t < d; t++) size2 += h->matrix[t * d + t] * x[at + t] * x[at + t];
  return d2 < 64.0 * DBL_EPSILON * DBL_EPSILON * 1e12 * size2;
}

/* Squared distances of point i to all other points, ascending. */
static void logit_distances(const plain *h, int i, const double *x, const double *y, double *d2) {
  const int d = h->c->d;
  int count = 0;
  for (int a = 0; a < h->n_points; a++) {
    const ptrdiff_t j = (ptrdiff_t)h->first[a] * d, at = (ptrdiff_t)h->first[i] * d;
    double sum = 0.0;
    for (int t = 0; t < d; t++) sum += (x[at + t] - x[j + t]) * (y[at + t] - y[j + t]);
    if (a != i) d2[count++] = sum > 0.0 ? sum : 0.0;
  }
  qsort(d2, (size_t)count, sizeof *d2, ascending);
}

static tg_status plain_logits(const plain *h, tg_row *row) {
  const size_t all = (size_t)h->c->n * (size_t)h->c->d, ranks = (size_t)h->shape->n_scales * (size_t)h->n_points;
  double *x = NULL, *y = NULL, *d2 = NULL, *inner2 = NULL, *outer2 = NULL;
  const int first = h->shape->scales[0];
  bool lost = false;
  if (!h->matrix || h->c->n < 2) return TG_OK;
  tg_status st = TG_ALLOC(all, &x);
  if (st == TG_OK) st = TG_ALLOC(all, &y);
  if (st == TG_OK) st = TG_ALLOC(h->c->n, &d2);
  if (st == TG_OK) st = TG_ALLOC(ranks, &inner2);
  if (st == TG_OK) st = TG_ALLOC(ranks, &outer2);
  if (st == TG_OK) transform(h->c, h->matrix, x, y);
  for (int i = 0; st == TG_OK && i < h->n_points; i++) {
    logit_distances(h, i, x, y, d2);
    lost = lost || (first <= h->n_points - 1 && is_lost(h, i, x, d2[first / 2 - 1]));
    keep_ranks(h, i, NULL, d2, h->n_points - 1, inner2, outer2);
  }
  if (lost) *row->reason |= TG_REASON_LOGITS;
  if (st == TG_OK && !lost)
    st = gride_of(h, inner2, outer2, tg_row_f64(row, TG_FIELD_LOGITS_VALUE), tg_row_f64(row, TG_FIELD_LOGITS_ERROR),
                  tg_row_f64(row, TG_FIELD_LOGITS_RADIUS), row->reason);
  free(x);
  free(y);
  free(d2);
  free(inner2);
  free(outer2);
  return st;
}

/* ---- one cloud ---- */

static bool is_finite(const tg_cloud *c) {
  for (ptrdiff_t i = 0; i < c->n; i++)
    for (int t = 0; t < c->d; t++)
      if (!isfinite(c->x[i * c->ld + t])) return false;
  return true;
}

int tg_plain_stride(const tg_row_shape *shape, int n) {
  const int k = shape->k > 2 ? shape->k : 2; /* angles want two */
  return k < n - 1 ? k : n - 1;
}

static tg_status create(plain *h) {
  const size_t ranks = (size_t)h->shape->n_scales * (size_t)h->c->n;
  h->stride = tg_plain_stride(h->shape, h->c->n);
  TG_TRY(TG_ALLOC((size_t)h->c->n * (size_t)(h->stride + 1), &h->index));
  TG_TRY(TG_ALLOC(h->c->n, &h->first));
  TG_TRY(TG_ALLOC(h->c->n, &h->is_first));
  h->n_points = tg_plain_distinct(h->c, h->first);
  for (int a = 0; a < h->n_points; a++) h->is_first[h->first[a]] = true;
  TG_TRY(TG_ALLOC(ranks, &h->inner2));
  return TG_ALLOC(ranks, &h->outer2);
}

static void destroy(plain *h) {
  free(h->index);
  free(h->first);
  free(h->is_first);
  free(h->inner2);
  free(h->outer2);
}

/* The lists, and the distances that GRIDE wants. */
static tg_status order_all(const plain *h) {
  const int n = h->c->n;
  int32_t *order = NULL;
  double *d2 = NULL;
  tg_status st = TG_ALLOC(n, &order);
  if (st == TG_OK) st = TG_ALLOC(n, &d2);
  for (int i = 0, point = 0; st == TG_OK && i < n; i++) {
    st = tg_plain_order(h->c, NULL, n, i, order, d2);
    if (st != TG_OK) break;
    memcpy(h->index + (ptrdiff_t)i * h->stride, order, (size_t)h->stride * sizeof *order);
    if (h->is_first[i]) keep_ranks(h, point++, order, d2, n - 1, h->inner2, h->outer2);
  }
  free(order);
  free(d2);
  return st;
}

tg_status tg_plain_lists(const tg_cloud *c, const tg_row_shape *shape, int32_t *index, bool *finite) {
  plain h = {.c = c, .shape = shape};
  *finite = is_finite(c);
  if (!*finite) return TG_OK;
  tg_status st = create(&h);
  if (st == TG_OK) st = order_all(&h);
  if (st == TG_OK) memcpy(index, h.index, (size_t)c->n * (size_t)h.stride * sizeof *index);
  destroy(&h);
  return st;
}

tg_status tg_plain_measure(const tg_cloud *c, const tg_row_shape *shape, const double *matrix, const int32_t *before,
                           tg_row *row) {
  plain h = {.c = c, .shape = shape, .matrix = matrix, .before = before};
  tg_row_clear(shape, row);
  if (!is_finite(c)) {
    *row->status = TG_STATUS_BAD;
    *row->reason = TG_REASON_NOT_FINITE;
    return TG_OK;
  }
  tg_status st = create(&h);
  if (st == TG_OK) st = order_all(&h);
  for (int o = 0; st == TG_OK && o < TG_N_OBSERVABLES; o++)
    if (tg_is_observed(shape, o)) st = definitions[o](&h, row);
  if (st == TG_OK) tg_row_done(row);
  destroy(&h);
  return st;
}
