/* A search has three steps: `propose_row` orders what the bound can order and notes which pairs it cannot;
 * tg_distance_batch computes those in float64, for a panel of rows at a time; `decide_row` puts both together. */
#include "geometry/neighbors.h"

#include "base/memory.h"
#include "base/timer.h"
#include "geometry/collect.h"
#include "geometry/distance.h"
#include "geometry/selection.h"
#include "geometry/ties.h"
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { PANEL = 1024, TICK_ROWS = 64, SMALL = 96, SAMPLE = 32 };

/* A neighbor proposed for a list. */
typedef struct {
  float v;
  int32_t j;    /* column */
  int32_t pair; /* its place among the pairs, -1: not computed */
  int32_t open; /* the bound does not separate it from the one before */
} entry;

/* One rank beyond the list: the exact value is the (rank - below)-th of `count` pairs. */
typedef struct {
  size_t first_pair;
  int below, count;
} window;

typedef struct {
  size_t first_entry;
  int n_entries;
} row_plan;

struct tg_neighbors_scratch {
  int capacity; /* columns */
  float *norm2, *g, *v, *low, *near_v;
  int32_t *near_j, *places;
  row_plan *plan;  /* [PANEL] */
  window *windows; /* [PANEL][n_ranks] */
  int windows_capacity;
  entry *entries;
  size_t n_entries, entries_capacity;
  tg_pair *pairs;
  size_t n_pairs, pairs_capacity;
  double *dots; /* [PANEL] */
  float *panel; /* [panel_rows][TG_DISTANCE_BLOCK] */
  int panel_rows;
  tg_ties ties;
  tg_neighbors_counts counts;
};

/* The search as its steps see it. */
typedef struct {
  const tg_gram *gram;
  const tg_cloud *c;
  const tg_cloud64 *c64;
  const tg_neighbors_query *query;
  tg_neighbors_scratch *s;
  int dots; /* wanted */
} search;

tg_status tg_neighbors_scratch_create(tg_neighbors_scratch **out) {
  TG_TRY(TG_ALLOC(1, out));
  tg_status st = TG_ALLOC(PANEL, &(*out)->plan);
  if (st == TG_OK) st = TG_ALLOC(PANEL, &(*out)->dots);
  if (st != TG_OK) tg_neighbors_scratch_destroy(out);
  return st;
}

static void free_columns(tg_neighbors_scratch *s) {
  free(s->norm2);
  free(s->g);
  free(s->v);
  free(s->low);
  free(s->near_v);
  free(s->near_j);
  free(s->places);
  s->norm2 = s->g = s->v = s->low = s->near_v = NULL;
  s->near_j = s->places = NULL;
  s->capacity = 0;
}

void tg_neighbors_scratch_destroy(tg_neighbors_scratch **scratch) {
  if (!*scratch) return;
  free_columns(*scratch);
  free((*scratch)->plan);
  free((*scratch)->dots);
  free((*scratch)->panel);
  free((*scratch)->windows);
  free((*scratch)->entries);
  free((*scratch)->pairs);
  free(*scratch);
  *scratch = NULL;
}

tg_neighbors_counts tg_neighbors_count(const tg_neighbors_scratch *scratch) {
  tg_neighbors_counts counts = scratch->counts;
  counts.double2_pairs = scratch->ties.double2_pairs;
  return counts;
}

static tg_status reserve_panel(tg_neighbors_scratch *s, int n) {
  if (n <= s->panel_rows) return TG_OK;
  free(s->panel);
  s->panel = NULL;
  s->panel_rows = 0;
  TG_TRY(TG_ALLOC((size_t)n * TG_DISTANCE_BLOCK, &s->panel));
  s->panel_rows = n;
  return TG_OK;
}

static tg_status reserve_columns(tg_neighbors_scratch *s, int m, int n_ranks) {
  if (n_ranks > s->windows_capacity) {
    free(s->windows);
    s->windows_capacity = 0;
    TG_TRY(TG_ALLOC((size_t)PANEL * (size_t)n_ranks, &s->windows));
    s->windows_capacity = n_ranks;
  }
  if (m <= s->capacity) return TG_OK;
  free_columns(s);
  tg_status st = TG_ALLOC(m, &s->norm2);
  if (st == TG_OK) st = TG_ALLOC(m, &s->g);
  if (st == TG_OK) st = TG_ALLOC(m, &s->v);
  if (st == TG_OK) st = TG_ALLOC(m, &s->low);
  if (st == TG_OK) st = TG_ALLOC(m, &s->near_v);
  if (st == TG_OK) st = TG_ALLOC(m, &s->near_j);
  if (st == TG_OK) st = TG_ALLOC(m, &s->places);
  if (st == TG_OK) s->capacity = m;
  return st;
}

/* Doubles an array until `more` items fit behind the `used` ones. */
static tg_status grow(void **array, size_t item, size_t used, size_t more, size_t *capacity) {
  if (used + more <= *capacity) return TG_OK;
  size_t wanted = *capacity ? *capacity : 65536;
  while (wanted < used + more) wanted *= 2;
  void *larger = realloc(*array, wanted * item);
  TG_CHECK(larger, TG_EINTERNAL, "no memory for %zu items of %zu bytes", wanted, item);
  *array = larger;
  *capacity = wanted;
  return TG_OK;
}

/* ---- step 1: propose ---- */

static tg_status note_pair(tg_neighbors_scratch *s, int32_t i, int32_t j, int32_t *place) {
  TG_TRY(grow((void **)&s->pairs, sizeof *s->pairs, s->n_pairs, 1, &s->pairs_capacity));
  *place = (int32_t)s->n_pairs;
  s->pairs[s->n_pairs++] = (tg_pair){i, j, 0.0};
  return TG_OK;
}

static int32_t token_of(const search *w, int32_t column) {
  return w->query->tokens ? w->query->tokens[column] : column;
}

static int by_proposal(const void *a, const void *b) {
  const entry *x = a, *y = b;
  if (x->v != y->v) return x->v < y->v ? -1 : 1;
  return (x->j > y->j) - (x->j < y->j);
}

/* The candidates at s->places, by ascending proposal, ties by column (as they come). */
static void order_entries(tg_neighbors_scratch *s, int count, entry *list) {
  if (count > SMALL) {
    for (int a = 0; a < count; a++) list[a] = (entry){s->near_v[s->places[a]], s->near_j[s->places[a]], -1, 0};
    qsort(list, (size_t)count, sizeof *list, by_proposal);
    return;
  }
  float v[SMALL] = {0};
  int32_t place[SMALL];
  for (int a = 0; a < count; a++) v[a] = s->near_v[s->places[a]];
  tg_select_order(v, count, place);
  for (int a = 0; a < count; a++) list[place[a]] = (entry){v[a], s->near_j[s->places[a]], -1, 0};
}

/* Entries that need float64: those in a group that the bound leaves open and that reaches into the list, and those at a
 * wanted rank. */
static tg_status note_list_pairs(const search *w, int32_t i, entry *e, int count) {
  const tg_neighbors_query *q = w->query;
  int next_rank = 0;
  for (int a = 0, end; a < count && a < q->k; a = end) {
    for (end = a + 1; end < count && e[end].open; end++) {}
    int wanted = end - a > 1;
    for (; next_rank < q->n_ranks && q->ranks[next_rank] <= end; next_rank++) wanted = 1;
    for (int b = a; wanted && b < end; b++) TG_TRY(note_pair(w->s, i, token_of(w, e[b].j), &e[b].pair));
  }
  return TG_OK;
}

/* The ordered list: all columns that may belong to it. At least k have v <= t, so by (4) the k-th smallest E is at most t + e, and a
 * column with v > t + 2 e has a larger one. In the order of v, a gap of more than 2 e separates all before it from all behind it; what
 * no such gap separates is a group, and open: float64 orders it. */
static tg_status propose_list(const search *w, int32_t i, const float *near_v, int n_near, float low, float high,
                              double e, row_plan *plan) {
  tg_neighbors_scratch *s = w->s;
  const float t = tg_select_bracket(near_v, n_near, w->query->k, 4, low, high).top;
  const float limit = nextafterf((float)((double)t + 2.0 * e), INFINITY);
  TG_TRY(grow((void **)&s->entries, sizeof *s->entries, s->n_entries, (size_t)n_near, &s->entries_capacity));
  entry *list = s->entries + s->n_entries;
  const int count = tg_collect(near_v, n_near, -INFINITY, limit, s->places);
  order_entries(s, count, list);
  for (int a = 1; a < count; a++) list[a].open = (double)list[a].v - (double)list[a - 1].v <= 2.0 * e;
  *plan = (row_plan){s->n_entries, count};
  s->n_entries += (size_t)count;
  return note_list_pairs(w, i, list, count);
}

/* One rank beyond the list. With v the rank-th smallest proposal, the rank-th smallest E lies in v - e .. v + e: `rank` columns have
 * E <= v + e by (4), and only the fewer than `rank` with a proposal below v can have E < v - e (a column that is no candidate is
 * farther than k_max >= rank others). So a column with a proposal below v - 2 e is nearer than the rank-th, one above v + 2 e is
 * farther, and among those between, put in order by float64, it is the one that the number of nearer ones leaves. */
static tg_status propose_rank(const search *w, int32_t i, int rank, const float *near_v, int n_near, float low,
                              float high, double e, window *out) {
  tg_neighbors_scratch *s = w->s;
  const double v = (double)tg_select_kth(near_v, n_near, rank, low, high, s->places);
  const float first = nextafterf((float)(v - 2.0 * e), -INFINITY), last = nextafterf((float)(v + 2.0 * e), INFINITY);
  *out = (window){s->n_pairs, tg_select_count_below(near_v, n_near, first),
                  tg_collect(near_v, n_near, first, last, s->places)};
  TG_TRY(grow((void **)&s->pairs, sizeof *s->pairs, s->n_pairs, (size_t)out->count, &s->pairs_capacity));
  for (int a = 0; a < out->count; a++) s->pairs[s->n_pairs++] = (tg_pair){i, token_of(w, s->near_j[s->places[a]]), 0.0};
  return TG_OK;
}

/* Candidates of one row: every column that can be among the `k_max` nearest, and the row's common error e.
 *
 * What is compared is E_j = scale^2 |x_i - x_j|^2 - norm2_i, of which v_j is the proposal. With own = bound norm2_i + 2 tiny the
 * theorem of gram.h is
 *     (1)  | E_j - v_j | <= own + bound norm2_j.
 * At least k_max columns have v_j <= t. With N the largest norm2 among those, by (1) each has E_j <= t + own + bound N, so
 *     (2)  the k_max-th smallest E is at most T = t + own + bound N.
 * For every column, by (1) again, with low_j = v_j - bound norm2_j,
 *     (3)  E_j >= low_j - own.
 * So a column with low_j - own > T is farther than the k_max nearest, whatever rounding did, and is left out: all with
 * low_j <= t + 2 own + bound N stay. Both sides have the row's own error: it is not the same for two columns.
 * Of those that stay, with M the largest norm2 among them,
 *     (4)  | E_j - v_j | <= e = own + bound M,
 * which is all that the steps behind this one use: two columns with v_b - v_a > 2 e have E_a < E_b.
 *
 * Rounding of low_j, at most u (2 norm2_j + norm2_i), takes the place of the fourth of gram.h's four roundings of the bracket, the
 * sum with norm2_i, which is never formed here. The margin of 1/1000 is for the rest, and far above the rounding of float64 sums
 * (2 d eps of the distance, against e >= 13/2 2^-24 of it): what the bound separates, the sums separate too, so that not even a
 * last bit depends on the fast pass. */
static int candidates(const search *w, int row, int k_max, float *low, float *high, double *e) {
  const tg_gram *gram = w->gram;
  tg_neighbors_scratch *s = w->s;
  const int m = w->query->m;
  const int32_t i = token_of(w, row);
  const float *g = tg_gram_row(gram, i), *norm2 = gram->norm2;
  if (w->query->tokens) {
    tg_select_gather(g, w->query->tokens, m, s->g);
    g = s->g;
    norm2 = s->norm2;
  }
  tg_select_values(g, norm2, gram->bound, m, s->v, s->low);
  s->v[row] = s->v[row == 0 ? m - 1 : 0]; /* self left out */
  tg_select_range(s->v, m, low, high);
  s->v[row] = s->low[row] = INFINITY;
  const float t = tg_select_bracket(s->v, m, k_max, k_max / 16 + 4, *low, *high).top;
  const double bound = 1.001 * (double)gram->bound, own = bound * gram->norm2[i] + 2.002 * (double)gram->tiny;
  const double limit = (double)t + 2.0 * own + bound * tg_select_largest_norm(s->v, norm2, m, t);
  const int n_near = tg_collect(s->low, m, -INFINITY, nextafterf((float)limit, INFINITY), s->near_j);
  const float largest = tg_select_gather_near(s->v, norm2, s->near_j, n_near, s->near_v, high);
  *e = own + bound * largest;
  return n_near;
}

static int k_max_of(const tg_neighbors_query *q) {
  const int last = q->n_ranks > 0 ? q->ranks[q->n_ranks - 1] : 0;
  return last > q->k ? last : q->k;
}

static tg_status propose_row(const search *w, int row, row_plan *plan, window *windows) {
  const tg_neighbors_query *q = w->query;
  float low, high;
  double e;
  const int n_near = candidates(w, row, k_max_of(q), &low, &high, &e);
  const int32_t i = token_of(w, row);
  *plan = (row_plan){0, 0};
  if (q->k > 0) TG_TRY(propose_list(w, i, w->s->near_v, n_near, low, high, e, plan));
  for (int r = 0; r < q->n_ranks; r++)
    if (q->ranks[r] > q->k) TG_TRY(propose_rank(w, i, q->ranks[r], w->s->near_v, n_near, low, high, e, windows + r));
  return TG_OK;
}

/* ---- step 3: decide ---- */

/* The group list[a..end) in exact order; a group of one is in order. */
static tg_status decide_group(const search *w, int32_t i, const entry *list, int count, tg_decided *out) {
  for (int b = 0; b < count; b++) {
    const double d2 = list[b].pair < 0 ? NAN : w->s->pairs[list[b].pair].d2;
    out[b] = (tg_decided){d2, 0.0, d2, token_of(w, list[b].j)};
  }
  return tg_ties_order(&w->s->ties, i, out, count);
}

static tg_status decide_list(const search *w, int row, const row_plan *plan, tg_decided *order, int32_t *index,
                             double *d2) {
  const tg_neighbors_query *q = w->query;
  const entry *list = w->s->entries + plan->first_entry;
  for (int a = 0, end; a < plan->n_entries && a < q->k; a = end) {
    for (end = a + 1; end < plan->n_entries && list[end].open; end++) {}
    TG_TRY(decide_group(w, token_of(w, row), list + a, end - a, order + a));
  }
  for (int k = 0; k < q->k; k++) index[k] = order[k].j;
  for (int r = 0; r < q->n_ranks && q->ranks[r] <= q->k; r++) d2[r] = order[q->ranks[r] - 1].d2;
  return TG_OK;
}

static int by_pair_distance(const void *a, const void *b) {
  const double x = ((const tg_pair *)a)->d2, y = ((const tg_pair *)b)->d2;
  return (x > y) - (x < y);
}

static double decide_rank(const search *w, int rank, const window *at) {
  tg_pair *pairs = w->s->pairs + at->first_pair;
  if (at->count > 1) qsort(pairs, (size_t)at->count, sizeof *pairs, by_pair_distance);
  return pairs[rank - at->below - 1].d2;
}

/* ---- the search ---- */

static tg_status propose_panel(const search *w, int first, int rows, tg_tick tick) {
  const tg_neighbors_query *q = w->query;
  tg_neighbors_scratch *s = w->s;
  s->n_entries = s->n_pairs = 0;
  for (int a = 0; a < rows; a++) {
    TG_TRY(propose_row(w, first + a, s->plan + a, s->windows + (ptrdiff_t)a * q->n_ranks));
    if (a % TICK_ROWS == 0) tg_tick_call(tick);
  }
  return TG_OK;
}

static void compute_panel(const search *w) {
  tg_neighbors_scratch *s = w->s;
  if (w->c)
    tg_distance_batch(w->c, s->panel, s->pairs, s->n_pairs, w->dots ? s->dots : NULL);
  else
    tg_distance_pairs64(w->c64, s->pairs, s->n_pairs);
  s->counts.float64_pairs += (int64_t)s->n_pairs;
}

/* The dot product of row first + a, whose list stands; computed again where the proposal had other tokens in front. */
static double decide_dot(const search *w, int first, int a, const int32_t *list) {
  const entry *proposed = w->s->entries + w->s->plan[a].first_entry;
  const int32_t x = token_of(w, proposed[0].j), y = token_of(w, proposed[1].j);
  if ((x == list[0] && y == list[1]) || (x == list[1] && y == list[0])) return w->s->dots[a];
  tg_corner corner = {token_of(w, first + a), list[0], list[1], 0.0};
  tg_distance_corner(w->c, &corner);
  return corner.dot;
}

static tg_status decide_panel(const search *w, int first, int rows, tg_decided *order, int32_t *index, double *d2,
                              double *dot) {
  const tg_neighbors_query *q = w->query;
  tg_neighbors_scratch *s = w->s;
  for (int a = 0; a < rows; a++) {
    const ptrdiff_t row = first + a;
    if (q->k > 0) TG_TRY(decide_list(w, first + a, s->plan + a, order, index + row * q->k, d2 + row * q->n_ranks));
    for (int r = 0; r < q->n_ranks; r++)
      if (q->ranks[r] > q->k)
        d2[row * q->n_ranks + r] = decide_rank(w, q->ranks[r], s->windows + (ptrdiff_t)a * q->n_ranks + r);
    if (w->dots) dot[row] = decide_dot(w, first, a, index + row * q->k);
  }
  return TG_OK;
}

static tg_status find_panel(const search *w, int first, int rows, tg_decided *order, tg_tick tick, int32_t *index,
                            double *d2, double *dot) {
  tg_neighbors_counts *counts = &w->s->counts;
  double last = tg_seconds();
  TG_TRY(propose_panel(w, first, rows, tick));
  tg_lap(&last, &counts->selecting);
  compute_panel(w);
  tg_tick_call(tick);
  tg_lap(&last, &counts->recomputing);
  TG_TRY(decide_panel(w, first, rows, order, index, d2, dot));
  tg_lap(&last, &counts->selecting);
  return TG_OK;
}

/* The first token of the query that is not before a row of the matrix. */
static int first_from(const tg_neighbors_query *q, int row) {
  if (!q->tokens) return row < q->m ? row : q->m;
  int a = 0;
  while (a < q->m && q->tokens[a] < row) a++;
  return a;
}

static tg_status prepare(const search *w) {
  tg_neighbors_scratch *s = w->s;
  s->counts = (tg_neighbors_counts){0};
  s->ties = (tg_ties){w->c, w->c64, TG_EXACT_UNKNOWN, 0};
  TG_TRY(reserve_columns(s, w->query->m, w->query->n_ranks));
  if (w->c) TG_TRY(reserve_panel(s, w->gram->n));
  for (int a = 0; w->query->tokens && a < w->query->m; a++) s->norm2[a] = w->gram->norm2[w->query->tokens[a]];
  return TG_OK;
}

tg_status tg_neighbors_find(const tg_gram *gram, const tg_cloud *c, const tg_cloud64 *c64,
                            const tg_neighbors_query *query, tg_neighbors_scratch *scratch, tg_tick tick,
                            int32_t *index, double *d2, double *dot) {
  const search w = {gram, c, c64, query, scratch, dot && c && query->k >= 2};
  tg_decided *order = NULL;
  if (query->m < 2 || k_max_of(query) == 0) {
    scratch->counts = (tg_neighbors_counts){0};
    return TG_OK;
  }
  tg_status st = prepare(&w);
  if (st == TG_OK) st = TG_ALLOC(query->m, &order);
  const int end = first_from(query, gram->first + gram->rows);
  for (int a = first_from(query, gram->first); st == TG_OK && a < end; a += PANEL)
    st = find_panel(&w, a, end - a < PANEL ? end - a : PANEL, order, tick, index, d2, dot);
  free(order);
  return st;
}

tg_status tg_neighbors_sample(const tg_gram *gram, const tg_neighbors_query *query, tg_neighbors_scratch *scratch,
                              double *pairs_a_row) {
  const search w = {gram, NULL, NULL, query, scratch, 0};
  int rows = 0;
  *pairs_a_row = 0.0;
  if (query->m < 2 || k_max_of(query) == 0) return TG_OK;
  TG_TRY(prepare(&w));
  const int first = first_from(query, gram->first), end = first_from(query, gram->first + gram->rows);
  const int step = end - first > SAMPLE ? (end - first) / SAMPLE : 1;
  scratch->n_entries = scratch->n_pairs = 0;
  for (int a = first; a < end; a += step, rows++) TG_TRY(propose_row(&w, a, scratch->plan, scratch->windows));
  *pairs_a_row = rows > 0 ? (double)scratch->n_pairs / rows : 0.0;
  return TG_OK;
}
