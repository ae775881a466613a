/* Squared distances, dot products and double-double sums against 113-bit arithmetic. */
#include "../oracle/oracle.h"
#include "../oracle/suite.h"
#include "geometry/distance.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const int widths[] = {1, 3, 31, 32, 33, 512, 513, 600, 1100};
enum { N_WIDTHS = sizeof widths / sizeof *widths, N = 12, N_PAIRS = N * N };

static void all_pairs(tg_pair *pairs) {
  for (int p = 0; p < N_PAIRS; p++) pairs[p] = (tg_pair){p / N, p % N, -1.0};
}

/* As the search asks for them. */
static void compute(const tg_cloud *c, tg_pair *pairs, double *dots) {
  float *panel = oracle_memory((double)c->n * TG_DISTANCE_BLOCK, sizeof *panel);
  tg_distance_batch(c, panel, pairs, N_PAIRS, dots);
  free(panel);
}

static double size_of(oracle_quad x) { return fabs((double)x); }

/* Oracle: the definition with 113 bits, exact but for 2^-102 relative here. Bound, from distance.h: relative 2 d eps.
 * (A difference of float32 numbers is exact in float64 or off by half an ulp, fma and the additions of d / 32 + 5
 * levels by half an ulp each: the bound has room to spare only for large d, so d = 1 and 3 are the sharp cases.) */
static void pairs_match_the_definition(void) {
  tg_pair pairs[N_PAIRS];
  for (int w = 0; w < N_WIDTHS; w++)
    for (int kind = 0; kind < ORACLE_N_KINDS; kind++) {
      tg_cloud c = oracle_cloud((oracle_kind)kind, N, widths[w], 1);
      double worst = 0.0;
      all_pairs(pairs);
      compute(&c, pairs, NULL);
      for (int p = 0; p < N_PAIRS; p++) {
        const oracle_quad exact = oracle_d2_quad(&c, pairs[p].i, pairs[p].j);
        worst = fmax(worst, size_of((oracle_quad)pairs[p].d2 - exact) - 2.0 * c.d * DBL_EPSILON * size_of(exact));
      }
      CU_ASSERT(worst <= 0.0);
      oracle_cloud_destroy(&c);
    }
}

/* The same for float64 clouds with all 53 bits in use: the difference is rounded too, which the bound counts. */
static void float64_pairs_match_the_definition(void) {
  tg_pair pairs[N_PAIRS];
  oracle_random r = {2};
  for (int w = 0; w < N_WIDTHS; w++) {
    tg_cloud c = oracle_cloud(ORACLE_GAUSSIAN, N, widths[w], 2);
    tg_cloud64 c64 = oracle_cloud64(&c);
    double *x = (double *)(uintptr_t)c64.x, worst = 0.0;
    for (int i = 0; i < N; i++)
      for (int t = 0; t < c.d; t++) x[i * c.ld + t] = oracle_normal(&r) + (t % 3 == 0 ? 1e6 : 0.0);
    all_pairs(pairs);
    tg_distance_pairs64(&c64, pairs, N_PAIRS);
    for (int p = 0; p < N_PAIRS; p++) {
      const oracle_quad exact = oracle_d2_quad64(&c64, pairs[p].i, pairs[p].j);
      const tg_double2 twice = tg_distance_double2_64(&c64, pairs[p].i, pairs[p].j);
      const double bound = (4.0 * c.d + 16.0) * 0x1p-106 * size_of(exact);
      worst = fmax(worst, size_of((oracle_quad)pairs[p].d2 - exact) - 2.0 * c.d * DBL_EPSILON * size_of(exact));
      worst = fmax(worst, size_of((oracle_quad)twice.hi + (oracle_quad)twice.lo - exact) - bound);
    }
    CU_ASSERT(worst <= 0.0);
    oracle_cloud64_destroy(&c64);
    oracle_cloud_destroy(&c);
  }
}

/* Oracle: the same. Bound: an accurate addition is off by 3 2^-106 relative (Joldes, Muller, Popescu 2017, theorem
 * 3.1), a squared difference by less than 16 2^-106, and all terms are positive: (4 d + 16) 2^-106. */
static void double2_has_a_hundred_bits(void) {
  for (int w = 0; w < N_WIDTHS; w++)
    for (int kind = 0; kind < ORACLE_N_KINDS; kind++) {
      tg_cloud c = oracle_cloud((oracle_kind)kind, N, widths[w], 3);
      double worst = 0.0;
      for (int p = 0; p < N_PAIRS; p++) {
        const oracle_quad exact = oracle_d2_quad(&c, p / N, p % N);
        const tg_double2 got = tg_distance_double2(&c, p / N, p % N);
        const double bound = (4.0 * c.d + 16.0) * 0x1p-106 * size_of(exact);
        worst = fmax(worst, size_of((oracle_quad)got.hi + (oracle_quad)got.lo - exact) - bound);
        CU_ASSERT(got.hi + got.lo == got.hi);
      }
      CU_ASSERT(worst <= 0.0);
      oracle_cloud_destroy(&c);
    }
}

/* Oracle: 113 bits. Bound: d + 2 roundings of terms whose magnitudes sum to at most |u| |v|: 2 d eps |u| |v|. One alone has
 * the bits that it has in a batch. */
static void dots_match_the_definition(void) {
  for (int w = 0; w < N_WIDTHS; w++) {
    tg_cloud c = oracle_cloud(ORACLE_CLUSTERS, N, widths[w], 4);
    tg_pair pairs[N_PAIRS];
    double dots[N], worst = 0.0;
    for (int p = 0; p < N_PAIRS; p++) pairs[p] = (tg_pair){p / N, (p / N + 3 + 5 * (p % N)) % N, -1.0};
    compute(&c, pairs, dots);
    for (int i = 0; i < N; i++) {
      tg_corner alone = {i, pairs[i * N].j, pairs[i * N + 1].j, NAN};
      oracle_quad exact = 0;
      for (int t = 0; t < c.d; t++) {
        const oracle_quad x = c.x[i * c.ld + t];
        exact += ((oracle_quad)c.x[alone.a * c.ld + t] - x) * ((oracle_quad)c.x[alone.b * c.ld + t] - x);
      }
      const double sizes = sqrt(oracle_d2(&c, i, alone.a) * oracle_d2(&c, i, alone.b));
      worst = fmax(worst, size_of((oracle_quad)dots[i] - exact) - 2.0 * c.d * DBL_EPSILON * sizes);
      tg_distance_corner(&c, &alone);
      CU_ASSERT(alone.dot == dots[i]);
    }
    CU_ASSERT(worst <= 0.0);
    oracle_cloud_destroy(&c);
  }
}

/* Oracle: the same pair alone. Equal to the bit whatever else is in the batch, in whatever order, whichever end comes
 * first, however far the rows are padded and whatever type they have. */
static void a_pair_does_not_depend_on_its_batch(void) {
  for (int w = 0; w < N_WIDTHS; w++) {
    tg_cloud c = oracle_cloud(ORACLE_BFLOAT16, N, widths[w], 5);
    float *x;
    tg_cloud wide = oracle_cloud_zeros(N, c.ld + 2 * TG_DISTANCE_BLOCK, &x);
    for (int i = 0; i < N; i++) memcpy(x + i * wide.ld, c.x + i * c.ld, (size_t)c.ld * sizeof *x);
    tg_pair sorted[N_PAIRS], mixed[N_PAIRS], padded[N_PAIRS];
    int32_t order[N_PAIRS];
    oracle_random r = {6};
    oracle_permutation(&r, N_PAIRS, order);
    all_pairs(sorted);
    all_pairs(padded);
    for (int p = 0; p < N_PAIRS; p++) mixed[p] = (tg_pair){order[p] % N, order[p] / N, 7.0};
    tg_cloud half = oracle_half(&c, 9); /* of bfloat16 numbers: the same distances */
    compute(&c, sorted, NULL);
    compute(&half, mixed, NULL);
    compute(&wide, padded, NULL);
    for (int p = 0; p < N_PAIRS; p++) {
      tg_pair alone = {sorted[p].i, sorted[p].j, NAN};
      tg_distance_pair(&c, &alone);
      CU_ASSERT(alone.d2 == sorted[p].d2 && alone.d2 == padded[p].d2);
      CU_ASSERT(mixed[p].d2 == sorted[order[p]].d2);
    }
    oracle_cloud_destroy(&wide);
    oracle_cloud_destroy(&half);
    oracle_cloud_destroy(&c);
  }
}

int main(void) {
  CU_TestInfo tests[] = {{"pairs match the definition", pairs_match_the_definition},
                         {"float64 pairs match the definition", float64_pairs_match_the_definition},
                         {"double-double has a hundred bits", double2_has_a_hundred_bits},
                         {"dots match the definition", dots_match_the_definition},
                         {"a pair does not depend on its batch", a_pair_does_not_depend_on_its_batch},
                         CU_TEST_INFO_NULL};
  return suite_run("distance", tests);
}
