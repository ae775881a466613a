/* The angle between the two nearest neighbors against Kahan's formula in long double. */
#include "../oracle/oracle.h"
#include "../oracle/suite.h"
#include "geometry/angle.h"
#include "geometry/distance.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 200 };
static int32_t lists[2 * MOST];
static double d2[2 * MOST], dot[MOST], degrees[MOST];

/* Angles of a cloud whose lists stand in `lists`; squared distances as the search gives them. */
static double angles_of(const tg_cloud *c, int *n_defined) {
  double mean = -1.0;
  for (int p = 0; p < 2 * c->n; p++) {
    tg_pair pair = {p / 2, lists[p], NAN};
    tg_distance_pair(c, &pair);
    d2[p] = pair.d2;
  }
  for (int i = 0; i < c->n; i++) {
    tg_corner corner = {i, lists[2 * i], lists[2 * i + 1], NAN};
    tg_distance_corner(c, &corner);
    dot[i] = corner.dot;
  }
  CU_ASSERT(tg_angle_compute(c, lists, 2, d2, 2, dot, degrees, &mean, n_defined) == TG_OK);
  return mean;
}

/* Oracle: Kahan's formula in long double. Bound: 1e-9 degree, from angle.h; the mean is a sum in token order: equal up
 * to its own rounding. */
static void all_kinds_match_the_definition(void) {
  const int widths[] = {1, 2, 3, 32, 33, 600, 1100};
  for (int kind = 0; kind < ORACLE_N_KINDS; kind++)
    for (int w = 0; w < 7; w++) {
      tg_cloud c = oracle_cloud((oracle_kind)kind, 60, widths[w], 5);
      double sum = 0.0;
      int n_defined = -1, expected_defined = 0;
      oracle_lists(&c, 2, lists, d2);
      const double mean = angles_of(&c, &n_defined);
      bool ok = true;
      for (int i = 0; i < c.n; i++) {
        const double expected = oracle_angle(&c, i, lists[2 * i], lists[2 * i + 1]);
        ok = oracle_near(oracle_kind_names[kind], degrees[i], expected, 1e-9, 0.0) && ok;
        ok = ok && !(degrees[i] < 0.0 || degrees[i] > 180.0);
        if (!isnan(expected)) sum += expected, expected_defined++;
      }
      CU_ASSERT(ok);
      CU_ASSERT(n_defined == expected_defined);
      CU_ASSERT(oracle_near("mean", mean, expected_defined ? sum / expected_defined : NAN, 2e-9, 0.0));
      oracle_cloud_destroy(&c);
    }
}

/* Three tokens: x, x + u, x + v in coordinates that are spread over 64. Angle at the first. */
static double angle_between(const double u[2], const double v[2], double x) {
  enum { WIDTH = 64 };
  float *rows;
  tg_cloud c = oracle_cloud_zeros(3, WIDTH, &rows);
  const double from[2] = {x, -x};
  for (int t = 0; t < 2; t++) {
    rows[31 * t + 5] = (float)from[t];
    rows[c.ld + 31 * t + 5] = (float)(from[t] + u[t]);
    rows[2 * c.ld + 31 * t + 5] = (float)(from[t] + v[t]);
  }
  const int32_t others[] = {1, 2, 0, 2, 0, 1};
  memcpy(lists, others, sizeof others);
  int n_defined;
  angles_of(&c, &n_defined);
  oracle_cloud_destroy(&c);
  return degrees[0];
}

/* Closed form: the angle between (1, 0) and (1, s) is atan s, that between (1, 0) and (-1, s) is 180 degrees less that.
 * Bounds: 1e-9 degree, and for small angles 1e-13 of the angle: the directions enter through differences. An arccosine
 * of a dot product is off by 1e-6 degree there. */
static void tiny_and_flat_angles_are_exact(void) {
  for (int step = 0; step < 60; step++) {
    const double s = (double)(float)pow(10.0, -0.25 * step), angle = atan(s) * 180.0 / M_PI;
    CU_ASSERT(oracle_near("small", angle_between((double[]){1, 0}, (double[]){1, s}, 0.0), angle, 0.0,
                          s < 0.04 ? 1e-13 : 1e-11));
    CU_ASSERT(oracle_near("flat", angle_between((double[]){1, 0}, (double[]){-1, s}, 0.0), 180.0 - angle, 1e-9, 0.0));
  }
  CU_ASSERT(oracle_near("straight", angle_between((double[]){1, 2}, (double[]){2, 4}, 8.0), 0.0, 1e-9, 0.0));
  CU_ASSERT(oracle_near("opposite", angle_between((double[]){1, 2}, (double[]){-2, -4}, 8.0), 180.0, 1e-9, 0.0));
  CU_ASSERT(oracle_near("right", angle_between((double[]){1, 2}, (double[]){-4, 2}, 8.0), 90.0, 1e-9, 0.0));
  CU_ASSERT(angle_between((double[]){1, 0}, (double[]){-1, 0}, 0.0) == 180.0);
}

/* Oracle: long double, at angles on both sides of every place where a formula might change over, in 1100 coordinates
 * that all take part. Bound: 1e-9 degree. */
static void angles_are_continuous(void) {
  enum { WIDTH = 1100 };
  oracle_random r = {6};
  float *rows;
  tg_cloud c = oracle_cloud_zeros(3, WIDTH, &rows);
  const int32_t others[] = {1, 2, 0, 2, 0, 1};
  for (int step = 0; step < 180; step++) {
    const double angle = (step + 0.5) * M_PI / 180.0 * (step % 2 ? 1.0 : 0.1);
    for (int t = 0; t < WIDTH; t++) {
      const double a = oracle_normal(&r), b = oracle_normal(&r);
      rows[t] = (float)oracle_normal(&r);
      rows[c.ld + t] = (float)(rows[t] + a);
      rows[2 * c.ld + t] = (float)(rows[t] + cos(angle) * a + sin(angle) * b);
    }
    memcpy(lists, others, sizeof others);
    int n_defined;
    angles_of(&c, &n_defined);
    for (int i = 0; i < 3; i++)
      CU_ASSERT(oracle_near("angle", degrees[i], oracle_angle(&c, i, lists[2 * i], lists[2 * i + 1]), 1e-9, 0.0));
  }
  oracle_cloud_destroy(&c);
}

/* Closed form: where nn1 and nn2 are one vector the angle is exactly 0; where nn1 is the token itself there is none. */
static void repeated_tokens_have_angle_zero_or_none(void) {
  float *x;
  tg_cloud c = oracle_cloud_zeros(5, 40, &x);
  oracle_random r = {7};
  for (int t = 0; t < c.d; t++) {
    const float a = (float)oracle_normal(&r), far = a + 100.0f * (float)oracle_normal(&r);
    x[t] = a;
    x[c.ld + t] = x[2 * c.ld + t] = a + (float)oracle_normal(&r); /* 1 and 2 are one vector */
    x[3 * c.ld + t] = far;
    x[4 * c.ld + t] = far + (float)oracle_normal(&r);
  }
  int n_defined;
  oracle_lists(&c, 2, lists, d2);
  const double mean = angles_of(&c, &n_defined);
  CU_ASSERT(lists[0] == 1 && lists[1] == 2 && degrees[0] == 0.0);
  CU_ASSERT(isnan(degrees[1]) && isnan(degrees[2]) && n_defined == 3);
  CU_ASSERT(mean == (degrees[0] + degrees[3] + degrees[4]) / 3);
  tg_cloud equal = oracle_cloud(ORACLE_EQUAL, 5, 40, 1);
  oracle_lists(&equal, 2, lists, d2);
  CU_ASSERT(isnan(angles_of(&equal, &n_defined)) && n_defined == 0);
  oracle_cloud_destroy(&equal);
  oracle_cloud_destroy(&c);
}

/* Invariance: coordinates in another order and mirrored (an orthogonal map without rounding) move angles by rounding
 * alone, 1e-9 degree; tokens in another order move no bit. */
static void rotations_and_token_order_do_not_matter(void) {
  enum { N = 100, WIDTH = 90 };
  tg_cloud c = oracle_cloud(ORACLE_LINEAR, N, WIDTH, 8);
  int32_t coordinates[WIDTH], tokens[N];
  oracle_random r = {9};
  float *x;
  tg_cloud turned = oracle_cloud_zeros(N, WIDTH, &x);
  oracle_permutation(&r, WIDTH, coordinates);
  oracle_permutation(&r, N, tokens);
  for (int i = 0; i < N; i++)
    for (int t = 0; t < WIDTH; t++) x[i * c.ld + t] = (t % 3 ? 1.0f : -1.0f) * c.x[i * c.ld + coordinates[t]] + 0.0f;
  tg_cloud moved = oracle_cloud_reordered(&c, tokens, N);
  double expected[N];
  int n_defined;
  oracle_lists(&c, 2, lists, d2);
  angles_of(&c, &n_defined);
  memcpy(expected, degrees, sizeof expected);
  angles_of(&turned, &n_defined);
  for (int i = 0; i < N; i++) CU_ASSERT(oracle_near("rotated", degrees[i], expected[i], 1e-9, 0.0));
  oracle_lists(&moved, 2, lists, d2);
  angles_of(&moved, &n_defined);
  for (int i = 0; i < N; i++) CU_ASSERT(degrees[i] == expected[tokens[i]]);
  oracle_cloud_destroy(&c);
  oracle_cloud_destroy(&turned);
  oracle_cloud_destroy(&moved);
}

int main(void) {
  CU_TestInfo tests[] = {{"all kinds match the definition", all_kinds_match_the_definition},
                         {"tiny and flat angles are exact", tiny_and_flat_angles_are_exact},
                         {"angles are continuous", angles_are_continuous},
                         {"repeated tokens have angle zero or none", repeated_tokens_have_angle_zero_or_none},
                         {"rotations and token order do not matter", rotations_and_token_order_do_not_matter},
                         CU_TEST_INFO_NULL};
  return suite_run("angle", tests);
}
