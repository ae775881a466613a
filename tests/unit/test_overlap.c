/* Overlap and reciprocity against sets compared element by element. All numbers are ratios of whole numbers, rounded
 * once: equal to the bit. */
#include "../oracle/oracle.h"
#include "../oracle/suite.h"
#include "geometry/overlap.h"

#include <stdlib.h>
#include <string.h>

enum { MOST_K = 70 };

static int32_t *random_lists(oracle_random *r, int n, int k, int stride) {
  int32_t *lists = oracle_memory((double)n * stride, sizeof *lists), *order = oracle_memory(n, sizeof *order);
  for (int i = 0; i < n; i++) {
    oracle_permutation(r, n, order);
    int count = 0;
    for (int a = 0; count < k; a++)
      if (order[a] != i) lists[i * stride + count++] = order[a];
    for (; count < stride; count++) lists[i * stride + count] = -1;
  }
  free(order);
  return lists;
}

static const struct {
  int n, k, stride;
} shapes[] = {{2, 1, 1}, {5, 4, 4}, {20, 7, 9}, {40, 32, 32}, {71, 70, 70}, {150, 33, 40}};
enum { N_SHAPES = sizeof shapes / sizeof *shapes };

static void overlap_matches_the_definition(void) {
  oracle_random r = {1};
  double got[MOST_K], expected[MOST_K];
  for (int s = 0; s < N_SHAPES; s++) {
    const int n = shapes[s].n, k = shapes[s].k, stride = shapes[s].stride;
    int32_t *a = random_lists(&r, n, k, stride), *b = random_lists(&r, n, k, stride);
    tg_overlap(a, b, n, stride, k, got);
    oracle_overlap(a, b, n, stride, k, expected);
    CU_ASSERT(memcmp(got, expected, (size_t)k * sizeof *got) == 0);
    tg_overlap(b, a, n, stride, k, got); /* symmetric */
    CU_ASSERT(memcmp(got, expected, (size_t)k * sizeof *got) == 0);
    free(a);
    free(b);
  }
}

static void reciprocity_matches_the_definition(void) {
  oracle_random r = {2};
  double got[MOST_K], expected[MOST_K];
  for (int s = 0; s < N_SHAPES; s++) {
    const int n = shapes[s].n, k = shapes[s].k, stride = shapes[s].stride;
    int32_t *a = random_lists(&r, n, k, stride);
    tg_reciprocity(a, n, stride, k, got);
    oracle_reciprocity(a, n, stride, k, expected);
    CU_ASSERT(memcmp(got, expected, (size_t)k * sizeof *got) == 0);
    free(a);
  }
}

/* The same on lists of clouds, where edges are often mutual, and of two clouds that are alike. */
static void lists_of_clouds_match_the_definition(void) {
  enum { N = 80, K = 32 };
  double got[K], expected[K], d2[N * K];
  static int32_t a[N * K], b[N * K];
  for (int kind = 0; kind < ORACLE_N_KINDS; kind++) {
    tg_cloud near = oracle_cloud((oracle_kind)kind, N, 20, 3), other = oracle_cloud((oracle_kind)kind, N, 21, 4);
    oracle_lists(&near, K, a, d2);
    oracle_lists(&other, K, b, d2);
    tg_overlap(a, b, N, K, K, got);
    oracle_overlap(a, b, N, K, K, expected);
    CU_ASSERT(memcmp(got, expected, sizeof got) == 0);
    tg_reciprocity(a, N, K, K, got);
    oracle_reciprocity(a, N, K, K, expected);
    CU_ASSERT(memcmp(got, expected, sizeof got) == 0);
    oracle_cloud_destroy(&near);
    oracle_cloud_destroy(&other);
  }
}

/* Closed form: lists that are equal, also in another order within the first k; lists without a common token; tokens on
 * a circle, each beside the next: its two neighbors are mutual. k = 0 writes nothing. */
static void extremes_are_exact(void) {
  enum { N = 30 };
  int32_t next[2 * N], before[2 * N], far[2 * N];
  double value[3] = {-1.0, -1.0, -1.0};
  for (int i = 0; i < N; i++) {
    next[2 * i] = before[2 * i + 1] = (i + 1) % N;
    next[2 * i + 1] = before[2 * i] = (i + N - 1) % N;
    far[2 * i] = (i + 10) % N;
    far[2 * i + 1] = (i + 11) % N;
  }
  tg_overlap(next, next, N, 2, 2, value);
  CU_ASSERT(value[0] == 1.0 && value[1] == 1.0);
  tg_overlap(next, before, N, 2, 2, value);
  CU_ASSERT(value[0] == 0.0 && value[1] == 1.0);
  tg_overlap(next, far, N, 2, 2, value);
  CU_ASSERT(value[0] == 0.0 && value[1] == 0.0);
  tg_reciprocity(next, N, 2, 2, value);
  CU_ASSERT(value[0] == 0.0 && value[1] == 1.0);
  tg_reciprocity(far, N, 2, 2, value);
  CU_ASSERT(value[0] == 0.0 && value[1] == 0.0);
  tg_overlap(next, far, N, 2, 0, value + 2);
  tg_reciprocity(next, N, 2, 0, value + 2);
  CU_ASSERT(value[2] == -1.0);
}

int main(void) {
  CU_TestInfo tests[] = {{"overlap matches the definition", overlap_matches_the_definition},
                         {"reciprocity matches the definition", reciprocity_matches_the_definition},
                         {"lists of clouds match the definition", lists_of_clouds_match_the_definition},
                         {"extremes are exact", extremes_are_exact},
                         CU_TEST_INFO_NULL};
  return suite_run("overlap", tests);
}
