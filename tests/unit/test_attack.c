/* Clouds made to break the fast pass: errors of the Gram matrix that come near their bound, one way for the true neighbors of a token
 * and the other way for tokens a little farther, so that every use of the bound has to be as wide as its proof.
 * usage: test_attack [CLOUDS]   so many, 3000 unless said */
#include "../oracle/oracle.h"
#include "../oracle/suite.h"
#include "geometry/neighbors.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const tg_tick no_tick = {NULL, NULL};
static int n_clouds = 3000;

/* ---- clouds ---- */

typedef enum { ONES, STEPS, RESIDUALS, TIES, MIXED, N_FAMILIES } family;
static const char *const family_names[N_FAMILIES] = {"ones", "steps", "residuals", "ties", "mixed"};

static int between(oracle_random *r, int low, int high) { return low + oracle_below(r, high - low + 1); }

/* Coordinates 0, period, 2 period, ... of a token are +-1 and the others a common value near 2^-12: a product of two is near 2^-24,
 * half of the last place of the sum of ones that it is added to. One token's product with itself is just that, and is lost; with a
 * lower one's it is lost too, with higher ones' it is rounded up, every time. All negatives too, so that the mean is 0. */
static void fill_ones(oracle_random *r, int period, double step, int n_low, tg_cloud *c) {
  float *x = (float *)(uintptr_t)c->x;
  for (int i = 0; i < c->n; i++) {
    const int which = i / 2;
    const double place = which == 0 ? 0.0 : which <= n_low ? -0.5 * which : which - n_low;
    const double value = 0x1p-12 * (1.0 + place * step), sign = i % 2 ? -1.0 : 1.0;
    for (int t = 0; t < c->d; t++) x[i * c->ld + t] = (float)(sign * (t % period ? value : 1.0));
  }
  (void)r;
}

/* The same with values that are drawn from a few near the tie, for every coordinate anew. */
static void fill_steps(oracle_random *r, int period, double step, tg_cloud *c) {
  float *x = (float *)(uintptr_t)c->x;
  for (int i = 0; i + 1 < c->n; i += 2) {
    const int spread = between(r, 1, 4);
    for (int t = 0; t < c->d; t++) {
      const double value = t % period ? 0x1p-12 * (1.0 + step * (oracle_below(r, 2 * spread + 1) - spread)) : 1.0;
      x[i * c->ld + t] = (float)value;
      x[(i + 1) * c->ld + t] = (float)-value;
    }
  }
}

/* Tokens that have one value in all coordinates, within 2^-7 of 1: what two bfloat16 parts leave of it has the same sign
 * everywhere. */
static void fill_residuals(oracle_random *r, tg_cloud *c) {
  float *x = (float *)(uintptr_t)c->x;
  for (int i = 0; i + 1 < c->n; i += 2) {
    const double part = ldexp(1.0, -between(r, 7, 18)) * (between(r, 0, 1) ? 1.0 : -1.0);
    const float value = (float)(1.0 + part * (1.0 + 0x1p-8 * between(r, -2, 2)) + 0x1p-17 * between(r, -3, 3));
    for (int t = 0; t < c->d; t++) {
      x[i * c->ld + t] = value;
      x[(i + 1) * c->ld + t] = -value;
    }
  }
}

/* Tokens that have the same numbers in another order, spread over many powers of two: all are as far from the zero vector, the first
 * token, as the others, and no sum of their squares, in whatever order, has all of their bits. */
static void fill_ties(oracle_random *r, tg_cloud *c) {
  float *x = (float *)(uintptr_t)c->x, *kept = oracle_memory(c->d, sizeof *kept);
  int32_t *order = oracle_memory(c->d, sizeof *order);
  const int spread = between(r, 5, 60);
  for (int t = 0; t < c->d; t++) kept[t] = oracle_bfloat16(ldexp(oracle_normal(r), between(r, -spread, spread)));
  for (int i = 1; i < c->n; i++) {
    oracle_permutation(r, c->d, order);
    for (int t = 0; t < c->d; t++) x[i * c->ld + t] = kept[order[t]];
  }
  free(order);
  free(kept);
}

/* Turns coordinates around, the same for all tokens, scales by a power of two and shuffles the tokens: no distance changes its rank. */
static tg_cloud disguise(oracle_random *r, tg_cloud *c) {
  int32_t *order = oracle_memory(c->n, sizeof *order);
  float *x = (float *)(uintptr_t)c->x;
  const double scale = ldexp(1.0, between(r, -20, 20));
  for (int t = 0; t < c->d; t++) {
    const double sign = oracle_below(r, 2) ? scale : -scale;
    for (int i = 0; i < c->n; i++) x[i * c->ld + t] = (float)(sign * x[i * c->ld + t]);
  }
  oracle_permutation(r, c->n, order);
  const tg_cloud out = oracle_cloud_reordered(c, order, c->n);
  oracle_cloud_destroy(c);
  free(order);
  return out;
}

/* half: all values are bfloat16 numbers */
static tg_cloud draw_cloud(oracle_random *r, family f, bool half) {
  static const int widths[] = {64, 100, 128, 200, 256, 257, 512, 600};
  float *x;
  const int d = widths[oracle_below(r, 8)], n_high = between(r, 8, 40), n_low = between(r, 1, 3);
  const int n = 2 * (1 + n_low + n_high), period = oracle_below(r, 2) ? 256 : d;
  const double step = half ? 0x1p-7 : ldexp(1.0, -between(r, 7, 23));
  tg_cloud c = oracle_cloud_zeros(n, d, &x);
  if (f == ONES) fill_ones(r, period, step, n_low, &c);
  if (f == STEPS) fill_steps(r, period, step, &c);
  if (f == RESIDUALS) fill_residuals(r, &c);
  if (f == TIES) fill_ties(r, &c);
  if (f == MIXED) {
    oracle_cloud_destroy(&c);
    c = oracle_cloud((oracle_kind)oracle_below(r, ORACLE_N_KINDS), between(r, 3, 60), between(r, 1, 300),
                     oracle_bits(r));
    if (half) oracle_round(&c);
    return c;
  }
  if (half) oracle_round(&c);
  return disguise(r, &c);
}

/* ---- a search, and how near its errors come to the bound ---- */

typedef struct {
  const char *name;
  tg_kernel kernel;
  bool half, center;
  double worst; /* error of a distance over its bound */
  int wrong;    /* clouds */
} way;

static way ways[] = {{"float32", TG_KERNEL_FLOAT32, false, false, 0.0, 0},
                     {"split", TG_KERNEL_SPLIT, false, false, 0.0, 0},
                     {"bfloat16", TG_KERNEL_BFLOAT16, true, false, 0.0, 0},
                     {"bfloat16, split", TG_KERNEL_SPLIT, true, true, 0.0, 0}};
enum { N_WAYS = sizeof ways / sizeof *ways };

/* | scale^2 |x_i - x_j|^2 - (norm2_i + norm2_j - 2 g_ij) | / (e_i + e_j), the largest of all pairs of a row. c: float32 */
static double worst_of_row(const tg_gram *g, const tg_cloud *c, int i) {
  double worst = 0.0;
  for (int j = 0; j < c->n; j++) {
    if (i == j) continue;
    const double exact = (double)(oracle_d2_quad(c, i, j) * (oracle_quad)g->scale * (oracle_quad)g->scale);
    const double got = (double)g->norm2[i] + g->norm2[j] - 2.0 * (double)tg_gram_row(g, i)[j];
    const double bound = (double)g->bound * ((double)g->norm2[i] + g->norm2[j]) + 2.0 * g->tiny;
    if (bound > 0.0) worst = fmax(worst, fabs(exact - got) / bound);
  }
  return worst;
}

typedef struct {
  tg_gram *gram;
  tg_scan *scan;
  tg_neighbors_scratch *scratch;
  int32_t *index, *order;
  double *d2, *all;
} bench;

static bench create_bench(const tg_cloud *c, tg_kernel kernel) {
  bench b = {0};
  CU_ASSERT_FATAL(tg_gram_create(c->n, c->d, kernel, &b.gram) == TG_OK);
  CU_ASSERT_FATAL(tg_scan_create(c->n, c->d, &b.scan) == TG_OK);
  CU_ASSERT_FATAL(tg_neighbors_scratch_create(&b.scratch) == TG_OK);
  b.index = oracle_memory((double)c->n * c->n, sizeof *b.index);
  b.d2 = oracle_memory((double)c->n * c->n, sizeof *b.d2);
  b.order = oracle_memory(c->n, sizeof *b.order);
  b.all = oracle_memory(c->n, sizeof *b.all);
  return b;
}

static void destroy_bench(bench *b) {
  tg_gram_destroy(&b->gram);
  tg_scan_destroy(&b->scan);
  tg_neighbors_scratch_destroy(&b->scratch);
  free(b->index);
  free(b->order);
  free(b->d2);
  free(b->all);
}

/* The lists and the distances at ranks, against the exact order. truth: the same values as float32 */
static bool is_right(way *w, bench *b, const tg_cloud *truth, const tg_neighbors_query *q, oracle_random *r) {
  bool right = true;
  for (int i = 0; i < truth->n; i++) {
    oracle_order(truth, NULL, truth->n, i, b->order, b->all);
    right = right && memcmp(b->index + (ptrdiff_t)i * q->k, b->order, (size_t)q->k * sizeof *b->order) == 0;
    for (int a = 0; a < q->n_ranks; a++) {
      const double expected = b->all[q->ranks[a] - 1];
      right = right && fabs(b->d2[(ptrdiff_t)i * q->n_ranks + a] - expected) <= 1e-12 * expected;
    }
  }
  for (int a = 0; a < 3; a++) w->worst = fmax(w->worst, worst_of_row(b->gram, truth, oracle_below(r, truth->n)));
  return right;
}

static void attack(way *w, const tg_cloud *truth, oracle_random *r) {
  if (!tg_kernel_runs(w->kernel)) return;
  tg_cloud half = w->half ? oracle_half(truth, 7) : (tg_cloud){0};
  const tg_cloud *c = w->half ? &half : truth;
  const int k = between(r, 1, truth->n > 9 ? 8 : truth->n - 1);
  int ranks[8], n_ranks = 0;
  for (int rank = 1; rank < truth->n && n_ranks < 7; rank *= 2) ranks[n_ranks++] = rank;
  const tg_neighbors_query q = {NULL, truth->n, k, ranks, between(r, 0, n_ranks)};
  bench b = create_bench(truth, w->kernel);
  tg_scan_cloud(b.scan, c);
  tg_gram_start(b.gram, c, b.scan);
  if (w->center) tg_gram_center(b.gram);
  CU_ASSERT(tg_gram_rows(b.gram, 0, no_tick) == TG_OK);
  CU_ASSERT(tg_neighbors_find(b.gram, c, NULL, &q, b.scratch, no_tick, b.index, b.d2, NULL) == TG_OK);
  w->wrong += !is_right(w, &b, truth, &q, r);
  destroy_bench(&b);
  if (w->half) oracle_cloud_destroy(&half);
}

/* Oracle: float64 sums, sorted, those near to each other by exact integers, ties by index: equal. Every way to search is attacked by
 * every family of clouds. */
static void no_neighbor_is_lost(void) {
  for (int f = 0; f < N_FAMILIES; f++)
    for (int a = 0; a < N_WAYS; a++) {
      ways[a].worst = 0.0;
      ways[a].wrong = 0;
      for (int cloud = 0; cloud < n_clouds / (N_FAMILIES * N_WAYS); cloud++) {
        oracle_random r = {(uint64_t)cloud * 16 + (uint64_t)f};
        tg_cloud c = draw_cloud(&r, (family)f, ways[a].half);
        attack(&ways[a], &c, &r);
        oracle_cloud_destroy(&c);
      }
      printf("\n    %-10s %-16s errors up to %.2f of the bound, %d clouds wrong ", family_names[f], ways[a].name,
             ways[a].worst, ways[a].wrong);
      CU_ASSERT(ways[a].wrong == 0);
      CU_ASSERT(ways[a].worst <= 1.0);
    }
}

int main(int argc, char **argv) {
  CU_TestInfo tests[] = {{"no neighbor is lost", no_neighbor_is_lost}, CU_TEST_INFO_NULL};
  if (argc > 1) n_clouds = atoi(argv[1]);
  return suite_run("attack", tests);
}
