/* Lengths of token vectors: closed forms, and ties that float64 sums cannot see. */
#include "../oracle/oracle.h"
#include "../oracle/suite.h"
#include "geometry/measure.h"

#include <math.h>

static const tg_tick no_tick = {NULL, NULL};

typedef struct {
  double mean, median, max, first;
  int max_token;
} norms;

/* Norms alone: no list is searched for. */
static norms norms_of(const tg_cloud *c) {
  const tg_row_shape shape = {1, {2}, 1, c->n, (uint64_t)1 << TG_OBSERVE_NORMS};
  tg_measurer *measurer = NULL;
  tg_row row;
  CU_ASSERT_FATAL(tg_measurer_create(&shape, c->d, TG_KERNEL_FLOAT32, no_tick, &measurer) == TG_OK);
  CU_ASSERT_FATAL(tg_row_create(&shape, &row) == TG_OK);
  CU_ASSERT(tg_measure_layer(measurer, c, NULL, &row) == TG_OK);
  CU_ASSERT(tg_measurer_seconds(measurer)[TG_STAGE_GRAM] == 0.0);
  const norms out = {*tg_row_f64(&row, TG_FIELD_NORM_MEAN), *tg_row_f64(&row, TG_FIELD_NORM_MEDIAN),
                     *tg_row_f64(&row, TG_FIELD_NORM_MAX), *tg_row_f64(&row, TG_FIELD_NORM_FIRST),
                     *tg_row_i32(&row, TG_FIELD_NORM_MAX_TOKEN)};
  tg_row_free(&row);
  tg_measurer_destroy(&measurer);
  return out;
}

/* Closed form: token i is 3 (i + 1), 4 (i + 1), 0, ...: its length is 5 (i + 1). The median of an even number of tokens is the mean
 * of the two in the middle; of equal ones the first is named; one token; zeros. */
static void lengths_are_those_of_right_triangles(void) {
  float *x;
  for (int n = 1; n <= 6; n++) {
    tg_cloud c = oracle_cloud_zeros(n, 7, &x);
    for (int i = 0; i < n; i++) x[i * c.ld + 2] = 3.0f * (float)(n - i), x[i * c.ld + 5] = -4.0f * (float)(n - i);
    const norms down = norms_of(&c);
    CU_ASSERT(down.mean == 2.5 * (n + 1) && down.median == 2.5 * (n + 1) && down.max == 5.0 * n);
    CU_ASSERT(down.first == 5.0 * n && down.max_token == 0);
    for (int i = 0; i < n; i++) x[i * c.ld + 2] = x[(n - 1) * c.ld + 2], x[i * c.ld + 5] = x[(n - 1) * c.ld + 5];
    const norms equal = norms_of(&c);
    CU_ASSERT(equal.mean == 5.0 && equal.median == 5.0 && equal.max == 5.0 && equal.max_token == 0);
    oracle_cloud_destroy(&c);
    c = oracle_cloud_zeros(n, 7, &x);
    const norms zero = norms_of(&c);
    CU_ASSERT(zero.mean == 0.0 && zero.max == 0.0 && zero.max_token == 0);
    oracle_cloud_destroy(&c);
  }
}

/* Closed form: two tokens of the same coordinates in another order are equally long, however their float64 sums round, and one that
 * is longer by 2^-96 of the square is the longest, whatever they say. */
static void the_longest_is_told_exactly(void) {
  enum { N = 40, WIDTH = 100 };
  float *x;
  oracle_random r = {4};
  tg_cloud c = oracle_cloud_zeros(N, WIDTH, &x);
  int32_t order[WIDTH];
  for (int t = 0; t < WIDTH - 1; t++) x[t] = (float)(oracle_normal(&r) * exp(3.0 * oracle_normal(&r)));
  for (int i = 1; i < N; i++) {
    oracle_permutation(&r, WIDTH, order);
    for (int t = 0; t < WIDTH; t++) x[i * c.ld + t] = x[order[t]];
  }
  CU_ASSERT(norms_of(&c).max_token == 0);
  const int longer = 27;
  for (int t = 0; t < WIDTH; t++)
    if (x[longer * c.ld + t] == 0.0f) x[longer * c.ld + t] = 0x1p-45f;
  CU_ASSERT(norms_of(&c).max_token == longer);
  oracle_cloud_destroy(&c);
}

int main(void) {
  CU_TestInfo tests[] = {{"lengths are those of right triangles", lengths_are_those_of_right_triangles},
                         {"the longest is told exactly", the_longest_is_told_exactly},
                         CU_TEST_INFO_NULL};
  return suite_run("norms", tests);
}
