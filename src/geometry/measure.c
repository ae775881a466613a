#include "geometry/measure.h"

#include "base/memory.h"
#include "geometry/distance.h"
#include "geometry/distinct.h"
#include "geometry/gride.h"
#include <math.h>
#include <stdlib.h>

/* Centering makes squared lengths 1 - (mean cosine) times what they are, about, and the bound with them. It costs two raw
 * Gram matrices, as many as 30 pairs a row in float64. So: center at once, or if so many pairs go to float64. */
static const double CENTER_AT_ONCE = 1.0 / 64.0, CENTER_IF_OPEN = 1.0 / 4.0, MOST_PAIRS = 100.0;

/* Neighbor lists of one layer. */
typedef struct {
  int32_t *index; /* [n][stride] */
  int n, stride;  /* n = 0: none */
} lists;

struct tg_measurer {
  tg_row_shape shape;
  unsigned needs; /* of all that the shape asks for */
  int d;
  tg_tick tick;
  tg_scan *scan;
  tg_gram *gram;
  tg_neighbors_scratch *scratch;
  lists before, now;
  int32_t *distinct;
  int n_distinct;
  double *d2;      /* [n][TG_GRIDE_RANKS] of the distinct tokens */
  double *d2_all;  /* [n][TG_GRIDE_RANKS] of all tokens */
  double *dot;     /* [n] of the differences to the first two neighbors */
  double *numbers; /* [3 n] scratch */
  void *scratch_of[TG_N_OBSERVABLES];
  double seconds[TG_N_STAGES];
  int64_t float64_pairs;
};

const char *tg_stage_name(int stage) {
  static const char *const names[TG_STAGE_OBSERVABLES] = {"scan", "Gram matrix", "selection", "recompute"};
  return stage < TG_STAGE_OBSERVABLES ? names[stage] : tg_observables[stage - TG_STAGE_OBSERVABLES].name;
}

/* Length of the lists of a long cloud: what is asked for, and two for the corners. */
static int list_length(const tg_row_shape *shape, unsigned needs) {
  const int k = needs & TG_NEED_LISTS ? shape->k : 0;
  return needs & TG_NEED_CORNERS && k < 2 ? 2 : k;
}

static tg_status create_observables(tg_measurer *m) {
  for (int o = 0; o < TG_N_OBSERVABLES; o++)
    if (tg_is_observed(&m->shape, o) && tg_observables[o].how->create)
      TG_TRY(tg_observables[o].how->create(&m->shape, m->d, &m->scratch_of[o]));
  return TG_OK;
}

tg_status tg_measurer_create(const tg_row_shape *shape, int d, tg_kernel kernel, tg_tick tick, tg_measurer **out) {
  tg_measurer *m = NULL;
  *out = NULL;
  TG_TRY(TG_ALLOC(1, &m));
  m->shape = *shape;
  m->needs = tg_needs_of(shape);
  m->d = d;
  m->tick = tick;
  const size_t n = (size_t)shape->n_tokens, k = (size_t)list_length(shape, m->needs);
  tg_status st = tg_scan_create(shape->n_tokens, d, &m->scan);
  if (st == TG_OK) st = tg_gram_create(shape->n_tokens, d, kernel, &m->gram);
  if (st == TG_OK) st = tg_neighbors_scratch_create(&m->scratch);
  if (st == TG_OK) st = TG_ALLOC(n * k, &m->before.index);
  if (st == TG_OK) st = TG_ALLOC(n * k, &m->now.index);
  if (st == TG_OK) st = TG_ALLOC(n, &m->distinct);
  if (st == TG_OK) st = TG_ALLOC(n * TG_GRIDE_RANKS, &m->d2);
  if (st == TG_OK) st = TG_ALLOC(n * TG_GRIDE_RANKS, &m->d2_all);
  if (st == TG_OK) st = TG_ALLOC(n, &m->dot);
  if (st == TG_OK) st = TG_ALLOC(n * 3, &m->numbers);
  if (st == TG_OK) st = create_observables(m);
  if (st != TG_OK) tg_measurer_destroy(&m);
  *out = m;
  return st;
}

void tg_measurer_destroy(tg_measurer **measurer) {
  tg_measurer *m = *measurer;
  if (!m) return;
  tg_scan_destroy(&m->scan);
  tg_gram_destroy(&m->gram);
  tg_neighbors_scratch_destroy(&m->scratch);
  for (int o = 0; o < TG_N_OBSERVABLES; o++)
    if (tg_observables[o].how->destroy) tg_observables[o].how->destroy(m->scratch_of[o]);
  free(m->before.index);
  free(m->now.index);
  free(m->distinct);
  free(m->d2);
  free(m->d2_all);
  free(m->dot);
  free(m->numbers);
  free(m);
  *measurer = NULL;
}

double tg_measurer_bytes(const tg_row_shape *shape, int d, tg_kernel kernel, int bfloat16) {
  const double n = shape->n_tokens, ld = tg_cloud_stride(d), k = list_length(shape, tg_needs_of(shape));
  const double search = n * (4.0 * TG_DISTANCE_BLOCK + 28.0) + 1024.0 * (shape->k + 300.0) * 24.0;
  double bytes = tg_gram_bytes(shape->n_tokens, d, kernel, bfloat16) + search + 20.0 * ld +
                 n * (8.0 * k + 16.0 * TG_GRIDE_RANKS + 64.0);
  for (int o = 0; o < TG_N_OBSERVABLES; o++)
    if (tg_is_observed(shape, o) && tg_observables[o].how->bytes) bytes += tg_observables[o].how->bytes(shape, d);
  return bytes;
}

void tg_measure_restart(tg_measurer *m) { m->before.n = m->now.n = 0; }
const double *tg_measurer_seconds(const tg_measurer *m) { return m->seconds; }
int64_t tg_measurer_float64_pairs(const tg_measurer *m) { return m->float64_pairs; }

/* ---- what the observables need ---- */

/* What a cloud is asked for: lists of all tokens, and distances at ranks, of the distinct tokens in a query of their own
 * where some are repeated. */
typedef struct {
  tg_neighbors_query all, distinct;
  int ranks[TG_GRIDE_RANKS], distinct_ranks[TG_GRIDE_RANKS];
} queries;

static tg_status search(tg_measurer *m, const tg_cloud *c, const tg_neighbors_query *query, int32_t *index, double *d2,
                        double *dot) {
  TG_TRY(tg_neighbors_find(m->gram, c, NULL, query, m->scratch, m->tick, index, d2, dot));
  const tg_neighbors_counts counts = tg_neighbors_count(m->scratch);
  m->float64_pairs += counts.float64_pairs;
  m->seconds[TG_STAGE_SELECTION] += counts.selecting;
  m->seconds[TG_STAGE_RECOMPUTE] += counts.recomputing;
  return TG_OK;
}

static void make_queries(tg_measurer *m, const tg_cloud *c, unsigned needs, queries *q) {
  const int last = c->n - 1, k = list_length(&m->shape, needs), all_distinct = m->n_distinct == c->n;
  m->now.n = c->n;
  m->now.stride = k < last ? k : last;
  q->all = (tg_neighbors_query){NULL, c->n, m->now.stride, q->ranks, 0};
  q->distinct = (tg_neighbors_query){m->distinct, m->n_distinct, 0, q->distinct_ranks, 0};
  if (needs & TG_NEED_CORNERS)
    for (int rank = 1; rank <= 2 && rank <= last; rank++) q->ranks[q->all.n_ranks++] = rank;
  if (!(needs & TG_NEED_POINTS)) return;
  if (all_distinct)
    q->all.n_ranks = tg_gride_add_ranks(&m->shape, c->n, q->ranks, q->all.n_ranks);
  else
    q->distinct.n_ranks = tg_gride_add_ranks(&m->shape, m->n_distinct, q->distinct_ranks, 0);
}

/* The first rows of the Gram matrix; centered where the raw one decides too little and centering helps. */
static tg_status first_rows(tg_measurer *m, const tg_cloud *c, const queries *q) {
  const double n = c->n, gain = 1.0 - tg_scan_cosines(m->scan, c) / (n * n);
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

static void show_rows(tg_measurer *m, const tg_view *v) {
  double last = tg_seconds();
  for (int o = 0; o < TG_N_OBSERVABLES; o++) {
    if (!tg_is_observed(&m->shape, o) || !tg_observables[o].how->rows) continue;
    tg_observables[o].how->rows(m->scratch_of[o], v);
    tg_lap(&last, &m->seconds[TG_STAGE_OBSERVABLES + o]);
  }
}

/* Everything that is made of the Gram matrix, by as many of its rows as it holds at a time.
 * v  what observables that want its rows are shown; NULL: none are */
static tg_status visit_rows(tg_measurer *m, const tg_cloud *c, const queries *q, const tg_view *v) {
  TG_TRY(first_rows(m, c, q));
  for (int first = 0; first < c->n; first += m->gram->rows) {
    double last = tg_seconds();
    if (first > 0) TG_TRY(tg_gram_rows(m->gram, first, m->tick));
    tg_lap(&last, &m->seconds[TG_STAGE_GRAM]);
    if (v) show_rows(m, v);
    TG_TRY(search(m, c, &q->all, m->now.index, m->d2_all, v && v->dot ? m->dot : NULL));
    if (q->distinct.n_ranks > 0) TG_TRY(search(m, c, &q->distinct, NULL, m->d2, NULL));
  }
  return TG_OK;
}

/* ---- a cloud ---- */

static tg_view view_of(tg_measurer *m, const tg_cloud *c, const tg_metric *metric, const queries *q) {
  const int all_distinct = m->n_distinct == c->n;
  return (tg_view){.shape = &m->shape,
                   .cloud = c,
                   .scan = m->scan,
                   .gram = m->gram,
                   .index = m->now.index,
                   .stride = m->now.stride,
                   .before = m->before.n == c->n ? m->before.index : NULL,
                   .corner_d2 = m->d2_all,
                   .corner_stride = q->all.n_ranks,
                   .dot = m->needs & TG_NEED_CORNERS ? m->dot : NULL,
                   .n_distinct = m->n_distinct,
                   .distinct = m->distinct,
                   .points = all_distinct ? &q->all : &q->distinct,
                   .point_d2 = all_distinct ? m->d2_all : m->d2,
                   .metric = metric,
                   .search = m->scratch,
                   .tick = m->tick,
                   .float64_pairs = &m->float64_pairs,
                   .numbers = m->numbers};
}

/* Scans the next layer. finite: out; the scan of a cloud that is not is of no use */
static tg_status begin(tg_measurer *m, const tg_cloud *c, bool *finite) {
  TG_CHECK(c->n >= 1 && c->n <= m->shape.n_tokens && c->ld <= tg_cloud_stride(m->d), TG_EINTERNAL,
           "a cloud of %d x %d does not fit a measurer of %d x %d", c->n, c->d, m->shape.n_tokens, m->d);
  const lists recycled = m->before;
  double last = tg_seconds();
  m->before = m->now;
  m->now = (lists){recycled.index, 0, 0};
  tg_scan_cloud(m->scan, c);
  *finite = !isinf(m->scan->largest);
  tg_lap(&last, &m->seconds[TG_STAGE_SCAN]);
  return TG_OK;
}

/* Every observable that is asked for, of a finite cloud. */
static tg_status observe(tg_measurer *m, const tg_view *v, tg_row *row) {
  for (int o = 0; o < TG_N_OBSERVABLES; o++) {
    if (!tg_is_observed(&m->shape, o)) continue;
    double last = tg_seconds();
    TG_TRY(tg_observables[o].how->measure(m->scratch_of[o], v, row));
    tg_lap(&last, &m->seconds[TG_STAGE_OBSERVABLES + o]);
  }
  return TG_OK;
}

tg_status tg_measure_layer(tg_measurer *m, const tg_cloud *c, const tg_metric *metric, tg_row *row) {
  bool finite = false;
  queries q;
  tg_row_clear(&m->shape, row);
  TG_TRY(begin(m, c, &finite));
  if (!finite) {
    *row->status = TG_STATUS_BAD;
    *row->reason = TG_REASON_NOT_FINITE;
    return TG_OK;
  }
  double last = tg_seconds();
  TG_TRY(tg_distinct_find(c, m->scan->hash, m->distinct, &m->n_distinct));
  make_queries(m, c, m->needs, &q);
  const tg_view v = view_of(m, c, metric, &q);
  for (int o = 0; o < TG_N_OBSERVABLES; o++)
    if (tg_is_observed(&m->shape, o) && tg_observables[o].how->start)
      tg_observables[o].how->start(m->scratch_of[o], &v);
  tg_lap(&last, &m->seconds[TG_STAGE_SCAN]);
  if (m->needs & ~(unsigned)TG_NEED_METRIC) TG_TRY(visit_rows(m, c, &q, &v));
  TG_TRY(observe(m, &v, row));
  tg_row_done(row);
  return TG_OK;
}

tg_status tg_measure_edge(tg_measurer *m, const tg_cloud *c) {
  bool finite = false;
  queries q;
  TG_TRY(begin(m, c, &finite));
  if (!finite || !(m->needs & TG_NEED_BEFORE)) return TG_OK;
  m->n_distinct = c->n; /* of no use here */
  make_queries(m, c, TG_NEED_LISTS | (m->needs & TG_NEED_CORNERS), &q);
  q.all.n_ranks = 0;
  return visit_rows(m, c, &q, NULL);
}
