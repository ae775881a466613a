#include "geometry/measure.h"

#include "base/memory.h"
#include "geometry/angle.h"
#include "geometry/cosine.h"
#include "geometry/distance.h"
#include "geometry/distinct.h"
#include "geometry/gride.h"
#include "geometry/neighbors.h"
#include "geometry/overlap.h"
#include "geometry/scan.h"
#include <cblas.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

const char *const tg_stage_names[TG_N_STAGES] = {"scan",   "Gram matrix", "selection",    "recompute", "GRIDE",
                                                 "cosine", "angle",       "list overlap", "logits"};

/* Centering makes squared lengths 1 - (mean cosine) times what they are, about, and the bound with them. It costs two raw
 * Gram matrices, as many as 30 pairs a row in float64. So: center at once, or if so many pairs go to float64. */
static const double CENTER_AT_ONCE = 1.0 / 64.0, CENTER_IF_OPEN = 1.0 / 4.0, MOST_PAIRS = 100.0;

enum { MAX_RANKS = 40 }; /* n1 and n2 of 16 scales, 1 and 2 */

/* Neighbor lists of one layer. */
typedef struct {
  int32_t *index; /* [n][stride] */
  int n, stride;  /* n = 0: none */
} lists;

struct tg_measurer {
  tg_row_shape shape;
  int d;
  tg_tick tick;
  tg_scan *scan;
  tg_gram *gram;
  tg_cosine_sum *cosine;
  tg_neighbors_scratch *scratch;
  lists before, now;
  int32_t *distinct;
  int n_distinct;
  double *d2;           /* [n][MAX_RANKS] of the distinct tokens */
  double *d2_all;       /* [n][MAX_RANKS] of all tokens */
  double *dot;          /* [n] of the differences to the first two neighbors */
  double *numbers;      /* [3 n] scratch */
  double *centered, *z; /* [n][d]: logits only, made on first use */
  double seconds[TG_N_STAGES];
  int64_t float64_pairs;
};

tg_status tg_measurer_create(const tg_row_shape *shape, int d, tg_kernel kernel, tg_tick tick, tg_measurer **out) {
  tg_measurer *m = NULL;
  *out = NULL;
  TG_TRY(TG_ALLOC(1, &m));
  m->shape = *shape;
  m->d = d;
  m->tick = tick;
  const size_t n = (size_t)shape->n_tokens, k = (size_t)(shape->k > 2 ? shape->k : 2);
  tg_status st = tg_scan_create(shape->n_tokens, d, &m->scan);
  if (st == TG_OK) st = tg_gram_create(shape->n_tokens, d, kernel, &m->gram);
  if (st == TG_OK) st = tg_cosine_create(shape->n_tokens, d, &m->cosine);
  if (st == TG_OK) st = tg_neighbors_scratch_create(&m->scratch);
  if (st == TG_OK) st = TG_ALLOC(n * k, &m->before.index);
  if (st == TG_OK) st = TG_ALLOC(n * k, &m->now.index);
  if (st == TG_OK) st = TG_ALLOC(n, &m->distinct);
  if (st == TG_OK) st = TG_ALLOC(n * MAX_RANKS, &m->d2);
  if (st == TG_OK) st = TG_ALLOC(n * MAX_RANKS, &m->d2_all);
  if (st == TG_OK) st = TG_ALLOC(n, &m->dot);
  if (st == TG_OK) st = TG_ALLOC(n * 3, &m->numbers);
  if (st != TG_OK) tg_measurer_destroy(&m);
  *out = m;
  return st;
}

void tg_measurer_destroy(tg_measurer **measurer) {
  tg_measurer *m = *measurer;
  if (!m) return;
  tg_scan_destroy(&m->scan);
  tg_gram_destroy(&m->gram);
  tg_cosine_destroy(&m->cosine);
  tg_neighbors_scratch_destroy(&m->scratch);
  free(m->before.index);
  free(m->now.index);
  free(m->distinct);
  free(m->d2);
  free(m->d2_all);
  free(m->dot);
  free(m->numbers);
  free(m->centered);
  free(m->z);
  free(m);
  *measurer = NULL;
}

double tg_measurer_bytes(const tg_row_shape *shape, int d, tg_kernel kernel, int bfloat16) {
  const double n = shape->n_tokens, ld = tg_cloud_stride(d), k = shape->k > 2 ? shape->k : 2;
  const double search = n * (4.0 * TG_DISTANCE_BLOCK + 28.0) + 1024.0 * (shape->k + 300.0) * 24.0;
  return tg_gram_bytes(shape->n_tokens, d, kernel, bfloat16) + search + 28.0 * ld +
         n * (8.0 * k + 16.0 * MAX_RANKS + 80.0);
}

void tg_measure_restart(tg_measurer *m) { m->before.n = m->now.n = 0; }
const double *tg_measurer_seconds(const tg_measurer *m) { return m->seconds; }
int64_t tg_measurer_float64_pairs(const tg_measurer *m) { return m->float64_pairs; }

static int add_rank(int *ranks, int n_ranks, int rank) {
  int at = n_ranks;
  for (int r = 0; r < n_ranks; r++)
    if (ranks[r] == rank) return n_ranks;
  for (; at > 0 && ranks[at - 1] > rank; at--) ranks[at] = ranks[at - 1];
  ranks[at] = rank;
  return n_ranks + 1;
}

/* Ascending ranks n1 and n2 of the scales that m points have, after those there already. */
static int add_scale_ranks(const tg_row_shape *shape, int points, int *ranks, int n_ranks) {
  for (int s = 0; s < shape->n_scales && shape->scales[s] <= points - 1; s++) {
    n_ranks = add_rank(ranks, n_ranks, shape->scales[s] / 2);
    n_ranks = add_rank(ranks, n_ranks, shape->scales[s]);
  }
  return n_ranks;
}

static int place_of(const int *ranks, int rank) {
  int r = 0;
  while (ranks[r] != rank) r++;
  return r;
}

typedef struct {
  const tg_cloud *c;     /* one of */
  const tg_cloud64 *c64; /* these */
} points;

/* What a cloud is asked for: lists of all tokens, and distances at ranks, of the distinct tokens in a query of their own
 * where some are repeated. */
typedef struct {
  tg_neighbors_query all, distinct;
  int ranks[MAX_RANKS], distinct_ranks[MAX_RANKS];
} queries;

static tg_status search(tg_measurer *m, points p, const tg_neighbors_query *query, int32_t *index, double *d2,
                        double *dot) {
  TG_TRY(tg_neighbors_find(m->gram, p.c, p.c64, query, m->scratch, m->tick, index, d2, dot));
  const tg_neighbors_counts counts = tg_neighbors_count(m->scratch);
  m->float64_pairs += counts.float64_pairs;
  if (p.c) { /* those of the logits belong to their own stage */
    m->seconds[TG_STAGE_SELECTION] += counts.selecting;
    m->seconds[TG_STAGE_RECOMPUTE] += counts.recomputing;
  }
  return TG_OK;
}

static void make_queries(tg_measurer *m, const tg_cloud *c, int only_lists, queries *q) {
  const int last = c->n - 1, k = m->shape.k > 2 ? m->shape.k : 2, all_distinct = m->n_distinct == c->n;
  m->now.n = c->n;
  m->now.stride = k < last ? k : last;
  q->all = (tg_neighbors_query){NULL, c->n, m->now.stride, q->ranks, 0};
  q->distinct = (tg_neighbors_query){m->distinct, m->n_distinct, 0, q->distinct_ranks, 0};
  if (only_lists) return;
  for (int rank = 1; rank <= 2 && rank <= last; rank++) q->ranks[q->all.n_ranks++] = rank;
  if (all_distinct)
    q->all.n_ranks = add_scale_ranks(&m->shape, c->n, q->ranks, q->all.n_ranks);
  else
    q->distinct.n_ranks = add_scale_ranks(&m->shape, m->n_distinct, q->distinct_ranks, 0);
}

/* The first rows of the Gram matrix; centered where the raw one decides too little and centering helps. */
static tg_status first_rows(tg_measurer *m, const tg_cloud *c, const queries *q) {
  const double gain = 1.0 - tg_cosine_mean(m->cosine);
  double last = tg_seconds(), pairs;
  tg_gram_start(m->gram, c, m->scan);
  if (!m->gram->centered && gain < CENTER_AT_ONCE) tg_gram_center(m->gram);
  TG_TRY(tg_gram_rows(m->gram, 0, m->tick));
  if (!m->gram->centered && gain < CENTER_IF_OPEN) {
    TG_TRY(tg_neighbors_sample(m->gram, &q->all, m->scratch, &pairs));
    if (pairs > MOST_PAIRS) {
      tg_gram_center(m->gram);
      TG_TRY(tg_gram_rows(m->gram, 0, m->tick));
    }
  }
  tg_lap(&last, &m->seconds[TG_STAGE_GRAM]);
  return TG_OK;
}

/* Everything that is made of the Gram matrix, by as many of its rows as it holds at a time. */
static tg_status visit_rows(tg_measurer *m, const tg_cloud *c, int only_lists, const queries *q) {
  const points p = {c, NULL};
  double last;
  TG_TRY(first_rows(m, c, q));
  for (int first = 0; first < c->n; first += m->gram->rows) {
    last = tg_seconds();
    if (first > 0) TG_TRY(tg_gram_rows(m->gram, first, m->tick));
    tg_lap(&last, &m->seconds[TG_STAGE_GRAM]);
    if (!only_lists) tg_cosine_add(m->cosine, m->gram);
    tg_lap(&last, &m->seconds[TG_STAGE_COSINE]);
    TG_TRY(search(m, p, &q->all, m->now.index, m->d2_all, only_lists ? NULL : m->dot));
    if (q->distinct.n_ranks > 0) TG_TRY(search(m, p, &q->distinct, NULL, m->d2, NULL));
  }
  return TG_OK;
}

/* GRIDE at every scale from d2 [n_points][ranks]. */
static int fit_scales(const tg_measurer *m, const tg_neighbors_query *q, const double *d2, double *value, double *error,
                      double *radius) {
  const int n_points = q->m;
  int reason = 0;
  for (int s = 0; s < m->shape.n_scales; s++) {
    const int n2 = m->shape.scales[s];
    if (n2 > n_points - 1) {
      reason |= TG_REASON_SCALE;
      continue;
    }
    const tg_gride g = tg_gride_fit(d2 + place_of(q->ranks, n2 / 2), d2 + place_of(q->ranks, n2), q->n_ranks, n_points,
                                    n2, m->numbers);
    value[s] = g.value;
    error[s] = g.error;
    radius[s] = g.radius;
    if (g.no_root) reason |= TG_REASON_NO_ROOT;
  }
  return reason;
}

static tg_status measure_angles(tg_measurer *m, const tg_cloud *c, int d2_stride, tg_row *row) {
  row->angle_defined = 0;
  if (c->n > 2)
    TG_TRY(tg_angle_compute(c, m->now.index, m->now.stride, m->d2_all, d2_stride, m->dot, row->angles, &row->angle_mean,
                            &row->angle_defined));
  if (row->angle_defined < c->n) row->reason |= TG_REASON_ANGLE;
  return TG_OK;
}

static void measure_lists(tg_measurer *m, const tg_cloud *c, tg_row *row) {
  const int stride = m->now.stride, k = m->shape.k < stride ? m->shape.k : stride;
  if (k < m->shape.k) row->reason |= TG_REASON_K;
  tg_reciprocity(m->now.index, c->n, stride, k, row->reciprocity);
  if (m->before.n == c->n) tg_overlap(m->before.index, m->now.index, c->n, stride, k, row->overlap);
  for (ptrdiff_t i = 0; m->shape.neighbors && i < c->n; i++)
    memcpy(row->neighbors + i * m->shape.k, m->now.index + i * stride, (size_t)k * sizeof *row->neighbors);
}

/* Everything of a finite cloud whose neighbors are there. */
static tg_status measure_all(tg_measurer *m, const tg_cloud *c, const queries *q, tg_row *row) {
  const int all_distinct = m->n_distinct == c->n;
  double last = tg_seconds();
  row->cosine = tg_cosine_end(m->cosine, c);
  if (row->cosine.n_zero > 0) row->reason |= TG_REASON_ZERO;
  tg_lap(&last, &m->seconds[TG_STAGE_COSINE]);
  row->n_points = m->n_distinct;
  row->reason |= fit_scales(m, all_distinct ? &q->all : &q->distinct, all_distinct ? m->d2_all : m->d2,
                            row->gride_value, row->gride_error, row->gride_radius);
  tg_lap(&last, &m->seconds[TG_STAGE_GRIDE]);
  TG_TRY(measure_angles(m, c, q->all.n_ranks, row));
  tg_lap(&last, &m->seconds[TG_STAGE_ANGLE]);
  measure_lists(m, c, row);
  tg_lap(&last, &m->seconds[TG_STAGE_LISTS]);
  return TG_OK;
}

tg_status tg_measure_layer(tg_measurer *m, const tg_cloud *c, int only_lists, tg_row *row) {
  TG_CHECK(c->n >= 1 && c->n <= m->shape.n_tokens && c->ld <= tg_cloud_stride(m->d), TG_EINTERNAL,
           "a cloud of %d x %d does not fit a measurer of %d x %d", c->n, c->d, m->shape.n_tokens, m->d);
  double last = tg_seconds();
  const lists recycled = m->before;
  queries q;
  m->before = m->now;
  m->now = (lists){recycled.index, 0, 0};
  if (row) tg_row_clear(&m->shape, row);
  tg_scan_cloud(m->scan, c);
  if (isinf(m->scan->largest)) {
    if (row) row->status = TG_STATUS_BAD, row->reason = TG_REASON_NOT_FINITE;
    return TG_OK;
  }
  TG_TRY(tg_distinct_find(c, m->scan->hash, m->distinct, &m->n_distinct));
  make_queries(m, c, only_lists, &q);
  tg_cosine_start(m->cosine, c, m->scan);
  tg_lap(&last, &m->seconds[TG_STAGE_SCAN]);
  TG_TRY(visit_rows(m, c, only_lists, &q));
  if (only_lists) return TG_OK;
  TG_TRY(measure_all(m, c, &q, row));
  row->status = row->reason ? TG_STATUS_REASONS : TG_STATUS_DONE;
  return TG_OK;
}

/* z = (x - center) U^T in float64, the center in float32, so that x - center is exact or nearly so. */
static tg_status transform(tg_measurer *m, const tg_cloud *c, const tg_metric *metric, tg_cloud64 *out) {
  const size_t n = (size_t)m->shape.n_tokens, ld = (size_t)tg_cloud_stride(m->d);
  if (!m->centered) TG_TRY(TG_ALLOC(n * ld, &m->centered));
  if (!m->z) TG_TRY(TG_ALLOC(n * ld, &m->z));
  double *mean = m->z; /* until z is there */
  tg_cloud_mean(c, m->scan->buffer, mean, NULL);
  for (int i = 0; i < c->n; i++) {
    const float *x = tg_cloud_row(c, i, m->scan->buffer);
    double *to = m->centered + (ptrdiff_t)i * c->d;
    for (int t = 0; t < c->d; t++) to[t] = (double)x[t] - (double)(float)mean[t];
  }
  const int stride = tg_cloud_stride(metric->rank);
  memset(m->z, 0, n * (size_t)stride * sizeof *m->z);
  cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasTrans, c->n, metric->rank, c->d, 1.0, m->centered, c->d, metric->factor,
              c->d, 0.0, m->z, stride);
  *out = (tg_cloud64){c->n, metric->rank, stride, m->z};
  return TG_OK;
}

tg_status tg_measure_logits(tg_measurer *m, const tg_cloud *c, const tg_metric *metric, tg_row *row) {
  if (row->status == TG_STATUS_BAD || c->n < 2 || metric->rank == 0) return TG_OK;
  double last = tg_seconds();
  int ranks[MAX_RANKS];
  const int n_ranks = add_scale_ranks(&m->shape, m->n_distinct, ranks, 0);
  const tg_neighbors_query q = {m->distinct, m->n_distinct, 0, ranks, n_ranks};
  tg_cloud64 z;
  TG_TRY(transform(m, c, metric, &z));
  tg_gram_start64(m->gram, &z);
  for (int first = 0; first < c->n; first += m->gram->rows) {
    TG_TRY(tg_gram_rows(m->gram, first, m->tick));
    TG_TRY(search(m, (points){NULL, &z}, &q, NULL, m->d2, NULL));
  }
  row->reason |= fit_scales(m, &q, m->d2, row->logits_value, row->logits_error, row->logits_radius);
  row->status = row->reason ? TG_STATUS_REASONS : TG_STATUS_DONE;
  tg_lap(&last, &m->seconds[TG_STAGE_LOGITS]);
  return TG_OK;
}
