#include "geometry/measure.h"

#include "base/clones.h"
#include "base/memory.h"
#include "geometry/angle.h"
#include "geometry/cosine.h"
#include "geometry/distinct.h"
#include "geometry/gride.h"
#include "geometry/neighbors.h"
#include "geometry/overlap.h"
#include <cblas.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

const char *const tg_stage_names[TG_N_STAGES] = {"Gram matrix", "selection", "recompute",    "GRIDE",
                                                 "cosine",      "angle",     "list overlap", "logits"};

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
  tg_gram *gram;
  tg_neighbors_scratch *scratch;
  lists before, now;
  int32_t *distinct;
  int n_distinct;
  double *d2;           /* [n][MAX_RANKS] of the distinct tokens */
  double *d2_all;       /* [n][2]: first and second neighbor of every token */
  double *numbers;      /* [3 n] scratch */
  double *centered, *z; /* [n][d]: logits only, made on first use */
  double seconds[TG_N_STAGES];
  int64_t float64_pairs;
};

tg_status tg_measurer_create(const tg_row_shape *shape, int d, tg_tick tick, tg_measurer **out) {
  tg_measurer *m = NULL;
  *out = NULL;
  TG_TRY(TG_ALLOC(1, &m));
  m->shape = *shape;
  m->d = d;
  m->tick = tick;
  const size_t n = (size_t)shape->n_tokens, k = (size_t)(shape->k > 2 ? shape->k : 2);
  tg_status st = tg_gram_create(shape->n_tokens, d, &m->gram);
  if (st == TG_OK) st = tg_neighbors_scratch_create(&m->scratch);
  if (st == TG_OK) st = TG_ALLOC(n * k, &m->before.index);
  if (st == TG_OK) st = TG_ALLOC(n * k, &m->now.index);
  if (st == TG_OK) st = TG_ALLOC(n, &m->distinct);
  if (st == TG_OK) st = TG_ALLOC(n * MAX_RANKS, &m->d2);
  if (st == TG_OK) st = TG_ALLOC(n * 2, &m->d2_all);
  if (st == TG_OK) st = TG_ALLOC(n * 3, &m->numbers);
  if (st != TG_OK) tg_measurer_destroy(&m);
  *out = m;
  return st;
}

void tg_measurer_destroy(tg_measurer **measurer) {
  tg_measurer *m = *measurer;
  if (!m) return;
  tg_gram_destroy(&m->gram);
  tg_neighbors_scratch_destroy(&m->scratch);
  free(m->before.index);
  free(m->now.index);
  free(m->distinct);
  free(m->d2);
  free(m->d2_all);
  free(m->numbers);
  free(m->centered);
  free(m->z);
  free(m);
  *measurer = NULL;
}

double tg_measurer_bytes(const tg_row_shape *shape, int d) {
  const double n = shape->n_tokens, ld = tg_cloud_stride(d), k = shape->k > 2 ? shape->k : 2;
  return 4.0 * n * ld + 8.0 * n * (n + 24.0) + 8.0 * n * k + n * (8.0 * MAX_RANKS + 8.0 * 5 + 40.0);
}

void tg_measure_restart(tg_measurer *m) { m->before.n = m->now.n = 0; }
const double *tg_measurer_seconds(const tg_measurer *m) { return m->seconds; }
int64_t tg_measurer_float64_pairs(const tg_measurer *m) { return m->float64_pairs; }

/* NaN and Inf have all exponent bits set. */
TG_CLONES static int is_finite(const tg_cloud *c) {
  uint32_t largest[TG_LANES] = {0}, all = 0;
  for (ptrdiff_t i = 0; i < c->n; i++)
    for (int t = 0; t < c->ld; t += TG_LANES)
      for (int q = 0; q < TG_LANES; q++) {
        uint32_t bits;
        memcpy(&bits, c->x + i * c->ld + t + q, sizeof bits);
        bits &= 0x7fffffffu;
        largest[q] = bits > largest[q] ? bits : largest[q];
      }
  for (int q = 0; q < TG_LANES; q++) all = largest[q] > all ? largest[q] : all;
  return all < 0x7f800000u;
}

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

static tg_status search(tg_measurer *m, points p, const tg_neighbors_query *query, int32_t *index, double *d2) {
  TG_TRY(tg_neighbors_find(m->gram, p.c, p.c64, query, m->scratch, m->tick, index, d2));
  const tg_neighbors_counts counts = tg_neighbors_count(m->scratch);
  m->float64_pairs += counts.float64_pairs;
  if (p.c) { /* those of the logits belong to their own stage */
    m->seconds[TG_STAGE_SELECTION] += counts.selecting;
    m->seconds[TG_STAGE_RECOMPUTE] += counts.recomputing;
  }
  return TG_OK;
}

/* Lists of all tokens, and the distances that GRIDE wants of the distinct ones: one search where all are distinct. */
static tg_status find_neighbors(tg_measurer *m, const tg_cloud *c, int only_lists, int *ranks, int *n_ranks) {
  double lap = tg_seconds();
  TG_TRY(tg_distinct_find(c, m->distinct, &m->n_distinct));
  tg_lap(&lap, &m->seconds[TG_STAGE_SELECTION]);
  const int last = c->n - 1, k = m->shape.k > 2 ? m->shape.k : 2;
  const int all_distinct = m->n_distinct == c->n;
  int list_ranks[MAX_RANKS], n_list_ranks = 0;
  m->now.n = c->n;
  m->now.stride = k < last ? k : last;
  if (!only_lists)
    for (int rank = 1; rank <= 2 && rank <= last; rank++) list_ranks[n_list_ranks++] = rank;
  if (!only_lists && all_distinct) n_list_ranks = add_scale_ranks(&m->shape, c->n, list_ranks, n_list_ranks);
  TG_TRY(search(m, (points){c, NULL}, &(tg_neighbors_query){NULL, c->n, m->now.stride, list_ranks, n_list_ranks},
                m->now.index, m->d2));
  if (only_lists) return TG_OK;
  for (ptrdiff_t i = 0; i < c->n; i++)
    for (int r = 0; r < 2 && r < last; r++) m->d2_all[2 * i + r] = m->d2[i * n_list_ranks + r];
  *n_ranks = all_distinct ? n_list_ranks : 0;
  memcpy(ranks, list_ranks, sizeof list_ranks);
  if (all_distinct) return TG_OK;
  *n_ranks = add_scale_ranks(&m->shape, m->n_distinct, ranks, 0);
  return search(m, (points){c, NULL}, &(tg_neighbors_query){m->distinct, m->n_distinct, 0, ranks, *n_ranks}, NULL,
                m->d2);
}

/* GRIDE at every scale from d2 [n_points][n_ranks]. */
static int fit_scales(const tg_measurer *m, int n_points, const int *ranks, int n_ranks, double *value, double *error,
                      double *radius) {
  int reason = 0;
  for (int s = 0; s < m->shape.n_scales; s++) {
    const int n2 = m->shape.scales[s];
    if (n2 > n_points - 1) {
      reason |= TG_REASON_SCALE;
      continue;
    }
    const tg_gride g =
        tg_gride_fit(m->d2 + place_of(ranks, n2 / 2), m->d2 + place_of(ranks, n2), n_ranks, n_points, n2, m->numbers);
    value[s] = g.value;
    error[s] = g.error;
    radius[s] = g.radius;
    if (g.no_root) reason |= TG_REASON_NO_ROOT;
  }
  return reason;
}

static tg_status measure_angles(tg_measurer *m, const tg_cloud *c, tg_row *row) {
  row->angle_defined = 0;
  if (c->n > 2)
    TG_TRY(tg_angle_compute(c, m->now.index, m->now.stride, m->d2_all, 2, row->angles, &row->angle_mean,
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

/* Everything of a finite cloud whose Gram matrix is there. */
static tg_status measure_all(tg_measurer *m, const tg_cloud *c, tg_row *row, double *last) {
  int ranks[MAX_RANKS], n_ranks = 0;
  TG_TRY(find_neighbors(m, c, 0, ranks, &n_ranks));
  *last = tg_seconds();
  row->n_points = m->n_distinct;
  row->reason |= fit_scales(m, m->n_distinct, ranks, n_ranks, row->gride_value, row->gride_error, row->gride_radius);
  tg_lap(last, &m->seconds[TG_STAGE_GRIDE]);
  TG_TRY(measure_angles(m, c, row));
  tg_lap(last, &m->seconds[TG_STAGE_ANGLE]);
  measure_lists(m, c, row);
  tg_lap(last, &m->seconds[TG_STAGE_LISTS]);
  return TG_OK;
}

tg_status tg_measure_layer(tg_measurer *m, const tg_cloud *c, int only_lists, tg_row *row) {
  TG_CHECK(c->n >= 1 && c->n <= m->shape.n_tokens && c->ld <= tg_cloud_stride(m->d), TG_EINTERNAL,
           "a cloud of %d x %d does not fit a measurer of %d x %d", c->n, c->d, m->shape.n_tokens, m->d);
  double last = tg_seconds();
  const lists recycled = m->before;
  m->before = m->now;
  m->now = (lists){recycled.index, 0, 0};
  if (row) tg_row_clear(&m->shape, row);
  if (!is_finite(c)) {
    if (row) row->status = TG_STATUS_BAD, row->reason = TG_REASON_NOT_FINITE;
    return TG_OK;
  }
  tg_gram_compute(m->gram, c, m->tick);
  tg_lap(&last, &m->seconds[TG_STAGE_GRAM]);
  if (only_lists) {
    int ranks[MAX_RANKS], n_ranks;
    return find_neighbors(m, c, 1, ranks, &n_ranks);
  }
  TG_TRY(tg_cosine_compute(m->gram, c, &row->cosine));
  if (row->cosine.n_zero > 0) row->reason |= TG_REASON_ZERO;
  tg_lap(&last, &m->seconds[TG_STAGE_COSINE]);
  TG_TRY(measure_all(m, c, row, &last));
  row->status = row->reason ? TG_STATUS_REASONS : TG_STATUS_DONE;
  return TG_OK;
}

/* z = (x - center) U^T in float64, the center in float32, so that x - center is exact or nearly so. */
static tg_status transform(tg_measurer *m, const tg_cloud *c, const tg_metric *metric, tg_cloud64 *out) {
  const size_t n = (size_t)m->shape.n_tokens, ld = (size_t)tg_cloud_stride(m->d);
  if (!m->centered) TG_TRY(TG_ALLOC(n * ld, &m->centered));
  if (!m->z) TG_TRY(TG_ALLOC(n * ld, &m->z));
  for (ptrdiff_t i = 0; i < c->n; i++)
    for (int t = 0; t < c->d; t++)
      m->centered[i * c->d + t] = (double)c->x[i * c->ld + t] - (double)(float)(m->gram->mean[t] / m->gram->scale);
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
  tg_cloud64 z;
  TG_TRY(transform(m, c, metric, &z));
  tg_gram_compute64(m->gram, &z, m->tick);
  TG_TRY(
      search(m, (points){NULL, &z}, &(tg_neighbors_query){m->distinct, m->n_distinct, 0, ranks, n_ranks}, NULL, m->d2));
  row->reason |= fit_scales(m, m->n_distinct, ranks, n_ranks, row->logits_value, row->logits_error, row->logits_radius);
  row->status = row->reason ? TG_STATUS_REASONS : TG_STATUS_DONE;
  tg_lap(&last, &m->seconds[TG_STAGE_LOGITS]);
  return TG_OK;
}
