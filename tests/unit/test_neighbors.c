/* Neighbor lists and distances at ranks: equal to exact arithmetic's on easy and on adversarial clouds; the bound that
 * they rest on. */
#include "../oracle/oracle.h"
#include "../oracle/suite.h"
#include "geometry/neighbors.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const tg_tick no_tick = {NULL, NULL};

static void count_tick(void *context) { ++*(int *)context; }

/* What a search answered, beside the oracle's answer. */
typedef struct {
  int32_t *index;
  double *d2;
} answer;

static answer create_answer(const tg_neighbors_query *q) {
  return (answer){oracle_memory((double)q->m * (q->k + 1), sizeof(int32_t)),
                  oracle_memory((double)q->m * (q->n_ranks + 1), sizeof(double))};
}

static void destroy_answer(answer *a) {
  free(a->index);
  free(a->d2);
}

static bool row_matches(const tg_cloud *c, const tg_neighbors_query *q, int row, const answer *got, int32_t *order,
                        double *d2) {
  const int32_t *list = got->index + (ptrdiff_t)row * q->k;
  oracle_order(c, q->tokens, q->m, row, order, d2);
  bool ok = memcmp(list, order, (size_t)q->k * sizeof *order) == 0;
  for (int r = 0; r < q->n_ranks; r++) {
    const double expected = d2[q->ranks[r] - 1];
    ok = ok && fabs(got->d2[(ptrdiff_t)row * q->n_ranks + r] - expected) <= 1e-12 * expected;
  }
  return ok;
}

static bool answer_matches(const tg_cloud *c, const tg_neighbors_query *q, const answer *got) {
  int32_t *order = oracle_memory(c->n, sizeof *order);
  double *d2 = oracle_memory(c->n, sizeof *d2);
  int wrong = 0;
  for (int row = 0; row < q->m; row++) wrong += !row_matches(c, q, row, got, order, d2);
  if (wrong > 0) printf("\n    %d of %d lists differ (n %d, d %d, k %d) ", wrong, q->m, c->n, c->d, q->k);
  free(order);
  free(d2);
  return wrong == 0;
}

/* What searches a cloud: a kernel, and whether it must center. */
typedef struct {
  tg_kernel kernel;
  bool center;
} way;

static int n_raw, n_split, n_centered; /* searches by each pass */

/* One search, by as many rows of the Gram matrix at a time as it holds. */
static void search_by(way by, const tg_cloud *c, const tg_cloud64 *c64, const tg_neighbors_query *q, answer *got) {
  tg_gram *gram = NULL;
  tg_scan *scan = NULL;
  tg_neighbors_scratch *scratch = NULL;
  const int n = c ? c->n : c64->n, d = c ? c->d : c64->d;
  CU_ASSERT_FATAL(tg_gram_create(n, d, by.kernel, &gram) == TG_OK && tg_scan_create(n, d, &scan) == TG_OK);
  CU_ASSERT_FATAL(tg_neighbors_scratch_create(&scratch) == TG_OK);
  if (c) {
    tg_scan_cloud(scan, c);
    tg_gram_start(gram, c, scan);
    if (by.center) tg_gram_center(gram);
  } else
    tg_gram_start64(gram, c64);
  for (int first = 0; first < n; first += gram->rows) {
    CU_ASSERT(tg_gram_rows(gram, first, no_tick) == TG_OK);
    if (first == 0) *(gram->split ? &n_split : gram->centered ? &n_centered : &n_raw) += 1;
    CU_ASSERT(tg_neighbors_find(gram, c, c64, q, scratch, no_tick, q->k ? got->index : NULL, got->d2, NULL) == TG_OK);
  }
  tg_neighbors_scratch_destroy(&scratch);
  tg_scan_destroy(&scan);
  tg_gram_destroy(&gram);
}

/* Whether another way to search gives the same bits. */
static bool same_by(way by, const tg_cloud *c, const tg_cloud64 *c64, const tg_neighbors_query *q,
                    const answer *first) {
  if (!tg_kernel_runs(by.kernel)) return true;
  answer got = create_answer(q);
  search_by(by, c, c64, q, &got);
  const bool ok = memcmp(first->index, got.index, (size_t)q->m * (size_t)q->k * sizeof *got.index) == 0 &&
                  memcmp(first->d2, got.d2, (size_t)q->m * (size_t)q->n_ranks * sizeof *got.d2) == 0;
  if (!ok)
    printf("\n    %s, %s%s differs ", tg_kernel_names[by.kernel], by.center ? "centered, " : "",
           c64       ? "float64"
           : c->half ? "bfloat16"
                     : "float32");
  destroy_answer(&got);
  return ok;
}

/* Searches the cloud in every way and compares with the oracle. */
static bool search_is_exact(const tg_cloud *c, const tg_neighbors_query *q) {
  tg_cloud64 c64 = oracle_cloud64(c);
  answer got = create_answer(q);
  search_by((way){TG_KERNEL_FLOAT32, false}, c, NULL, q, &got);
  const bool ok = answer_matches(c, q, &got) && same_by((way){TG_KERNEL_SPLIT, false}, c, NULL, q, &got) &&
                  same_by((way){TG_KERNEL_FLOAT32, false}, NULL, &c64, q, &got) &&
                  same_by((way){TG_KERNEL_SPLIT, false}, NULL, &c64, q, &got);
  destroy_answer(&got);
  oracle_cloud64_destroy(&c64);
  return ok;
}

/* The same for a cloud whose values are bfloat16 numbers, as bfloat16. */
static bool half_search_is_exact(const tg_cloud *c, const tg_neighbors_query *q) {
  tg_cloud half = oracle_half(c, 77);
  answer got = create_answer(q);
  search_by((way){TG_KERNEL_FLOAT32, false}, &half, NULL, q, &got);
  const bool ok = answer_matches(c, q, &got) && same_by((way){TG_KERNEL_BFLOAT16, false}, &half, NULL, q, &got) &&
                  same_by((way){TG_KERNEL_BFLOAT16, true}, &half, NULL, q, &got) &&
                  same_by((way){TG_KERNEL_SPLIT, true}, &half, NULL, q, &got);
  destroy_answer(&got);
  oracle_cloud_destroy(&half);
  return ok;
}

/* Ranks 1, 2, 4, ... and the last. */
static int some_ranks(int m, int *ranks) {
  int count = 0;
  for (int rank = 1; rank < m - 1; rank *= 2) ranks[count++] = rank;
  ranks[count++] = m - 1;
  return count;
}

static int some_tokens(oracle_random *r, int n, int32_t *tokens) {
  int m = 0;
  for (int i = 0; i < n; i++)
    if (oracle_below(r, 3) > 0 || n - i <= 2 - m) tokens[m++] = i;
  return m;
}

/* The cloud and, rounded in place, a cloud of bfloat16 numbers. */
static void check_cloud(tg_cloud *c, const char *name, oracle_random *r) {
  int32_t *tokens = oracle_memory(c->n, sizeof *tokens);
  int ranks[32], subset_ranks[32];
  const int n_ranks = some_ranks(c->n, ranks), m = some_tokens(r, c->n, tokens);
  const int n_subset_ranks = some_ranks(m, subset_ranks), k = c->n - 1 < 32 ? c->n - 1 : 32;
  const tg_neighbors_query all = {NULL, c->n, k, ranks, n_ranks},
                           some = {tokens, m, oracle_below(r, m), subset_ranks, n_subset_ranks};
  bool ok = search_is_exact(c, &all) && search_is_exact(c, &some);
  oracle_round(c);
  ok = half_search_is_exact(c, &all) && half_search_is_exact(c, &some) && ok;
  if (!ok) printf("[%s] ", name);
  CU_ASSERT(ok);
  free(tokens);
}

/* Oracle: float64 sums, sorted, near ties by exact integers, ties by index. Lists are equal. Squared distances at
 * ranks: 1e-12 relative, above 2 d eps (the kernel, 5e-13 at d = 1100) plus d eps / 2 (the oracle). The float64 route
 * on the same values gives the same bits, since its differences and sums are the same. */
static void lists_are_exact_on_every_kind_of_cloud(void) {
  const int sizes[] = {2, 3, 5, 33, 100}, widths[] = {1, 3, 31, 32, 33, 600, 1100};
  oracle_random r = {1};
  for (int kind = 0; kind < ORACLE_N_KINDS; kind++)
    for (int s = 0; s < 5; s++)
      for (int w = 0; w < 7; w++) {
        if (sizes[s] == 100 && widths[w] == 600) continue; /* takes long and differs little from 1100 */
        tg_cloud c = oracle_cloud((oracle_kind)kind, sizes[s], widths[w], (uint64_t)(7 * s + w));
        check_cloud(&c, oracle_kind_names[kind], &r);
        oracle_cloud_destroy(&c);
      }
}

/* The same for larger clouds: 257 tokens for every kind, 400 for those where the bound decides least. */
static void lists_are_exact_on_larger_clouds(void) {
  const struct {
    int kind, n, d;
  } hard[] = {{ORACLE_CLUSTERS, 400, 600},  {ORACLE_MASSIVE, 400, 100}, {ORACLE_NEAR_TIES, 400, 33},
              {ORACLE_GRID, 400, 3},        {ORACLE_REPEATED, 400, 31}, {ORACLE_LINEAR, 400, 32},
              {ORACLE_BFLOAT16, 400, 1100}, {ORACLE_GAUSSIAN, 1030, 3}}; /* 1030: more than one panel of rows */
  oracle_random r = {2};
  for (int kind = 0; kind < ORACLE_N_KINDS; kind++) {
    tg_cloud c = oracle_cloud((oracle_kind)kind, 257, 33, 11);
    check_cloud(&c, oracle_kind_names[kind], &r);
    oracle_cloud_destroy(&c);
  }
  for (size_t h = 0; h < sizeof hard / sizeof *hard; h++) {
    tg_cloud c = oracle_cloud((oracle_kind)hard[h].kind, hard[h].n, hard[h].d, 12);
    check_cloud(&c, oracle_kind_names[hard[h].kind], &r);
    oracle_cloud_destroy(&c);
  }
}

/* Two kinds side by side: each token has the coordinates of both, and some tokens are repeated. */
static tg_cloud mixed_cloud(oracle_random *r, int n, int d) {
  tg_cloud a = oracle_cloud((oracle_kind)oracle_below(r, ORACLE_N_KINDS), n, d, oracle_bits(r));
  tg_cloud b = oracle_cloud((oracle_kind)oracle_below(r, ORACLE_N_KINDS), n, d, oracle_bits(r));
  float *x;
  const tg_cloud c = oracle_cloud_zeros(n, 2 * d, &x);
  const int repeats = oracle_below(r, 3);
  for (int i = 0; i < n; i++) {
    const int from = repeats == 0 && i > 0 && oracle_below(r, 4) == 0 ? oracle_below(r, i) : i;
    memcpy(x + i * c.ld, a.x + from * a.ld, (size_t)d * sizeof *x);
    memcpy(x + i * c.ld + d, b.x + from * b.ld, (size_t)d * sizeof *x);
  }
  oracle_cloud_destroy(&a);
  oracle_cloud_destroy(&b);
  return c;
}

/* Oracle and bounds as above, on 200 clouds of mixed kinds; some, with coordinates of size 1 and of size 1e-20, have distances that
 * differ by less than double-double resolves, (4 d + 16) 2^-106. */
static void lists_are_exact_on_mixed_clouds(void) {
  oracle_random r = {3};
  for (int step = 0; step < 200; step++) {
    const bool large = step % 2; /* enough to be split */
    const int n = large ? 64 + oracle_below(&r, 30) : 2 + oracle_below(&r, 70);
    tg_cloud c = mixed_cloud(&r, n, large ? 64 + oracle_below(&r, 20) : 1 + oracle_below(&r, 50));
    check_cloud(&c, "mixed", &r);
    oracle_cloud_destroy(&c);
  }
}

/* Oracle as above. Lists without ranks and ranks without lists take ways of their own. */
static void lists_and_ranks_can_be_asked_for_alone(void) {
  const int ranks[] = {1, 2, 3, 30, 59};
  for (int kind = 0; kind < ORACLE_N_KINDS; kind++) {
    tg_cloud c = oracle_cloud((oracle_kind)kind, 60, 40, 21);
    CU_ASSERT(search_is_exact(&c, &(tg_neighbors_query){NULL, 60, 5, NULL, 0}));
    CU_ASSERT(search_is_exact(&c, &(tg_neighbors_query){NULL, 60, 59, NULL, 0}));
    CU_ASSERT(search_is_exact(&c, &(tg_neighbors_query){NULL, 60, 0, ranks, 5}));
    CU_ASSERT(search_is_exact(&c, &(tg_neighbors_query){NULL, 60, 3, ranks, 5}));
    CU_ASSERT(search_is_exact(&c, &(tg_neighbors_query){NULL, 60, 0, NULL, 0}));
    oracle_cloud_destroy(&c);
  }
}

/* Tokens on a sphere around token 0: coordinates of one vector in other orders and with other signs, one of them off in
 * its last place. Exact ties and near ties at the same time. Oracle: exact integers; a double-double holds these sums
 * without rounding, so that ties are seen as ties. */
static void ties_go_to_the_lower_index(void) {
  enum { TOKENS = 64, WIDTH = 40 };
  oracle_random r = {4};
  float *x, base[WIDTH];
  tg_cloud c = oracle_cloud_zeros(TOKENS, WIDTH, &x);
  for (int t = 0; t < WIDTH; t++) base[t] = (float)(0x1p-20 + oracle_uniform(&r) * (t % 2 ? 1.0 : 0x1p-20));
  for (int i = 1; i < TOKENS; i++) {
    int32_t order[WIDTH];
    oracle_permutation(&r, WIDTH, order);
    for (int t = 0; t < WIDTH; t++) {
      const float moved = i % 4 == 0 && order[t] == 8 ? nextafterf(base[8], 1.0f) : base[order[t]];
      x[i * c.ld + t] = oracle_below(&r, 2) ? moved : -moved;
    }
  }
  check_cloud(&c, "sphere", &r);
  oracle_cloud_destroy(&c);
}

/* Pairs that a Gram matrix has farther off than its bound says. */
static int pairs_outside(way by, const tg_cloud *c, const tg_cloud *as) {
  tg_gram *g = NULL;
  tg_scan *scan = NULL;
  int outside = 0;
  CU_ASSERT_FATAL(tg_gram_create(c->n, c->d, by.kernel, &g) == TG_OK && tg_scan_create(c->n, c->d, &scan) == TG_OK);
  tg_scan_cloud(scan, as);
  tg_gram_start(g, as, scan);
  if (by.center) tg_gram_center(g);
  CU_ASSERT(tg_gram_rows(g, 0, no_tick) == TG_OK);
  for (int i = 0; i < c->n; i++)
    for (int j = 0; j < c->n; j++) {
      const double e_i = (double)g->bound * (double)g->norm2[i] + (double)g->tiny;
      const double e_j = (double)g->bound * (double)g->norm2[j] + (double)g->tiny;
      const float bracket = (g->norm2[i] + g->norm2[j]) - 2.0f * tg_gram_row(g, i)[j];
      outside += !(fabs(g->scale * g->scale * oracle_d2(c, i, j) - (double)bracket) <= e_i + e_j) && i != j;
      outside += tg_gram_row(g, i)[j] != tg_gram_row(g, j)[i];
    }
  tg_scan_destroy(&scan);
  tg_gram_destroy(&g);
  return outside;
}

/* Oracle: oracle_d2. Bound: the one that gram.h proves, element by element; the test's own rounding, 2 d eps of the
 * distance, is far inside the slack of one percent of it that no real sum uses. In every kernel, raw and centered. */
static void the_bound_holds_for_every_pair(void) {
  const int widths[] = {1, 3, 31, 32, 33, 257, 600, 1100};
  for (int kind = 0; kind < ORACLE_N_KINDS; kind++)
    for (int w = 0; w < 8; w++)
      for (tg_kernel kernel = 0; kernel < TG_N_KERNELS; kernel++) {
        if (!tg_kernel_runs(kernel)) continue;
        tg_cloud c = oracle_cloud((oracle_kind)kind, 70, widths[w], 31);
        int outside = pairs_outside((way){kernel, true}, &c, &c);
        oracle_round(&c);
        tg_cloud half = oracle_half(&c, 5);
        outside += pairs_outside((way){kernel, false}, &c, &half) + pairs_outside((way){kernel, true}, &c, &half);
        if (outside > 0)
          printf("\n    [%s] %s, d %d: %d pairs outside ", oracle_kind_names[kind], tg_kernel_names[kernel], c.d,
                 outside);
        CU_ASSERT(outside == 0);
        oracle_cloud_destroy(&half);
        oracle_cloud_destroy(&c);
      }
}

/* Of a number a split into two bfloat16 parts: what the products h h + 2 h l lack of a a, relative. */
static double lost_by_split(float a) {
  const float h = oracle_bfloat16(a), l = oracle_bfloat16(a - h);
  return 1.0 - (double)h * ((double)h + 2.0 * (double)l) / ((double)a * (double)a);
}

/* The sharp case of the bound of split clouds: coordinates +-a with one a, that loses most, so that all errors add up. Tokens
 * of one vector then have the distance that was lost: more than 9/10 of what the bound allows for splitting, 2^-15. */
static void the_bound_of_split_clouds_is_sharp(void) {
  enum { N = 70, D = 128 };
  float worst = 1.0f, *x;
  for (int step = 0; step < 1 << 17; step++) {
    const float a = 1.0f + (float)step * 0x1p-23f; /* below the first tie of bfloat16 and above it */
    if (fabs(lost_by_split(a)) > fabs(lost_by_split(worst))) worst = a;
  }
  CU_ASSERT(fabs(lost_by_split(worst)) > 0.9 * 0x1p-15);
  tg_cloud c = oracle_cloud_zeros(N, D, &x);
  for (int i = 0; i < N; i++)
    for (int t = 0; t < D; t++) /* two vectors, as often as their negatives: the mean is 0 */
      x[i * c.ld + t] = ((i % 4 < 2 ? t : t / 2) + i) % 2 && i < N - 2 ? -worst : worst;
  for (int t = 0; t < D; t++) x[(N - 1) * c.ld + t] = -x[(N - 2) * c.ld + t];
  if (tg_kernel_runs(TG_KERNEL_SPLIT)) CU_ASSERT(pairs_outside((way){TG_KERNEL_SPLIT, true}, &c, &c) == 0);
  oracle_cloud_destroy(&c);
}

/* The sharp case of gamma: behind a 1 come products just below half of its last place, which a sum in order loses, each of
 * them. Two coordinates are 1, at the ends of the sums of raw clouds; some tokens are the same vector. Every kernel. */
static void lost_products_are_within_the_bound(void) {
  enum { N = 10, D = 512 };
  float *x;
  tg_cloud c = oracle_cloud_zeros(N, D, &x);
  for (int i = 0; i < N; i++)
    for (int t = 0; t < D; t++) x[i * c.ld + t] = t % 256 == 0 ? 1.0f : 0x1.fep-13f * (float)(1 + i / 8);
  tg_cloud half = oracle_half(&c, 1);
  for (tg_kernel kernel = 0; kernel < TG_N_KERNELS; kernel++)
    if (tg_kernel_runs(kernel)) CU_ASSERT(pairs_outside((way){kernel, false}, &c, &half) == 0);
  oracle_cloud_destroy(&half);
  oracle_cloud_destroy(&c);
}

/* Closed form: a scale is the power of two that brings the largest coordinate to 1/2..1, norms are those of the definition
 * to d eps, a raw cloud keeps its scale. The bound decides most of a Gaussian cloud: of 199 pairs a row fewer than 60 go to
 * float64. The tick is called. */
static void the_fast_pass_is_what_it_says(void) {
  tg_cloud c = oracle_cloud(ORACLE_GAUSSIAN, 200, 64, 41);
  tg_gram *g = NULL;
  tg_scan *scan = NULL;
  tg_neighbors_scratch *scratch = NULL;
  int ticks = 0;
  const int ranks[] = {1, 2};
  const tg_neighbors_query q = {NULL, c.n, 16, ranks, 2};
  answer got = create_answer(&q);
  oracle_round(&c);
  tg_cloud half = oracle_half(&c, 1);
  CU_ASSERT_FATAL(tg_gram_create(c.n, c.d, tg_kernel_best(), &g) == TG_OK && tg_scan_create(c.n, c.d, &scan) == TG_OK);
  CU_ASSERT_FATAL(tg_neighbors_scratch_create(&scratch) == TG_OK);
  tg_scan_cloud(scan, &half);
  tg_gram_start(g, &half, scan);
  CU_ASSERT(g->centered == (tg_kernel_best() == TG_KERNEL_FLOAT32) && (g->centered || g->scale == 1.0));
  tg_scan_cloud(scan, &c);
  tg_gram_start(g, &c, scan);
  CU_ASSERT(g->centered && tg_gram_rows(g, 0, (tg_tick){count_tick, &ticks}) == TG_OK);
  float largest = 0.0f;
  for (int t = 0; t < c.n * c.ld; t++) largest = fmaxf(largest, fabsf(c.x[t]));
  CU_ASSERT(scan->largest == (double)largest);
  CU_ASSERT(g->scale * (double)largest >= 0.5 && g->scale * (double)largest < 1.0);
  float *origin;
  tg_cloud two = oracle_cloud_zeros(2, c.d, &origin);
  for (int i = 0; i < c.n; i++) {
    memcpy(origin, c.x + i * c.ld, (size_t)c.ld * sizeof *origin);
    CU_ASSERT(oracle_near("norm", sqrt(scan->norm2[i]), sqrt(oracle_d2(&two, 0, 1)), 0.0, 64 * 0x1p-52));
  }
  CU_ASSERT(tg_neighbors_find(g, &c, NULL, &q, scratch, (tg_tick){count_tick, &ticks}, got.index, got.d2, NULL) ==
            TG_OK);
  CU_ASSERT(ticks > 2);
  CU_ASSERT(tg_neighbors_count(scratch).float64_pairs >= 2 * 200 &&
            tg_neighbors_count(scratch).float64_pairs < 60 * 200);
  destroy_answer(&got);
  oracle_cloud_destroy(&two);
  oracle_cloud_destroy(&half);
  oracle_cloud_destroy(&c);
  tg_scan_destroy(&scan);
  tg_gram_destroy(&g);
  tg_gram_destroy(&g);
  tg_neighbors_scratch_destroy(&scratch);
  tg_neighbors_scratch_destroy(&scratch);
}

/* Closed form: in one dimension g_ij = y_i y_j. A matrix made for larger clouds, which come by rows, takes one that is kept
 * whole. */
static void a_matrix_for_larger_clouds_takes_smaller_ones(void) {
  enum { N = TG_GRAM_WHOLE };
  float *x;
  tg_cloud c = oracle_cloud_zeros(N, 1, &x);
  tg_gram *g = NULL;
  tg_scan *scan = NULL;
  int wrong = 0;
  for (int i = 0; i < N; i++) x[i * c.ld] = (float)(i - N / 2) + 0.5f; /* mean 0, scale 1 / N */
  CU_ASSERT_FATAL(tg_gram_create(N + 1, 1, TG_KERNEL_FLOAT32, &g) == TG_OK && tg_scan_create(N, 1, &scan) == TG_OK);
  tg_scan_cloud(scan, &c);
  tg_gram_start(g, &c, scan);
  CU_ASSERT(tg_gram_rows(g, 0, no_tick) == TG_OK && g->rows == N);
  for (int i = 0; i < N; i++)
    for (int j = 0; j < N; j++)
      wrong += tg_gram_row(g, i)[j] != (float)(g->scale * (double)x[i * c.ld] * g->scale * (double)x[j * c.ld]);
  CU_ASSERT(wrong == 0);
  tg_scan_destroy(&scan);
  tg_gram_destroy(&g);
  oracle_cloud_destroy(&c);
}

/* What the tests above went through. */
static void every_pass_was_tried(void) {
  printf("\n    searches: %d raw, %d split, %d centered as float32 ", n_raw, n_split, n_centered);
  CU_ASSERT(n_centered > 200 && (!tg_kernel_runs(TG_KERNEL_SPLIT) || (n_raw > 200 && n_split > 200)));
}

/* Oracle as above, for a cloud too large for its matrix to be kept whole. */
static void lists_are_exact_where_the_matrix_comes_by_rows(void) {
  enum { N = TG_GRAM_WHOLE + 200 };
  oracle_random r = {5};
  tg_cloud c = oracle_cloud(ORACLE_REPEATED, N, 40, 3);
  check_cloud(&c, "more than one panel", &r);
  oracle_cloud_destroy(&c);
}

int main(void) {
  CU_TestInfo tests[] = {
      {"lists are exact on every kind of cloud", lists_are_exact_on_every_kind_of_cloud},
      {"lists are exact on larger clouds", lists_are_exact_on_larger_clouds},
      {"lists are exact on mixed clouds", lists_are_exact_on_mixed_clouds},
      {"lists and ranks can be asked for alone", lists_and_ranks_can_be_asked_for_alone},
      {"ties go to the lower index", ties_go_to_the_lower_index},
      {"the bound holds for every pair", the_bound_holds_for_every_pair},
      {"the fast pass is what it says", the_fast_pass_is_what_it_says},
      {"lists are exact where the matrix comes by rows", lists_are_exact_where_the_matrix_comes_by_rows},
      {"a matrix for larger clouds takes smaller ones", a_matrix_for_larger_clouds_takes_smaller_ones},
      {"the bound of split clouds is sharp", the_bound_of_split_clouds_is_sharp},
      {"lost products are within the bound", lost_products_are_within_the_bound},
      {"every pass was tried", every_pass_was_tried},
      CU_TEST_INFO_NULL};
  return suite_run("neighbors", tests);
}
