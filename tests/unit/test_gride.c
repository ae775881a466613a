/* GRIDE against its closed form, bisection, and DADApy 0.3.4's frozen answers (tests/data/make_gride.py). */
#include "../oracle/oracle.h"
#include "../oracle/suite.h"
#include "geometry/gride.h"

#include <float.h>
#include <math.h>
#include <stdio.h>

typedef struct {
  double value, error, radius;
  int ones, left_out; /* points with mu = 1, points that the filter leaves out */
} frozen_scale;

typedef struct {
  const char *name;
  int n, d, first_coordinate;
  int n_scales, first_scale;
} frozen_cloud;

#include "../data/gride.h"

enum { MOST = 600 };
static double inner2[MOST], outer2[MOST], scratch[3 * MOST];

/* Squared distances of the neighbors n2 / 2 and n2 of every token. */
static void fill(const tg_cloud *c, int n2) {
  int32_t order[MOST];
  double d2[MOST];
  for (int i = 0; i < c->n; i++) {
    oracle_order(c, NULL, c->n, i, order, d2);
    inner2[i] = d2[n2 / 2 - 1];
    outer2[i] = d2[n2 - 1];
  }
}

static tg_gride fit(int n, int n2) { return tg_gride_fit(inner2, outer2, 1, n, n2, scratch); }

/* Ratios mu of points of dimension d at scale 2: Pareto, P(mu > m) = m^-d. */
static void pareto(oracle_random *r, int n, double d) {
  for (int i = 0; i < n; i++) {
    inner2[i] = 0.5 + oracle_uniform(r);
    outer2[i] = inner2[i] * pow(1.0 - oracle_uniform(r), -2.0 / d);
  }
}

/* Closed form: for n1 = 1 the condition reads sum ln mu = (M - 1) / d, and J = n / d^2. Bound: n = 600 logarithms, each
 * off by an ulp, and a root found to 4 eps: 600 eps = 1.4e-13 at worst, 2e-13. q50 + 20 (q95 - q50) is far above the
 * largest of 600 such ratios and far below 1e6, to which `far` of them are set: these are left out of the root, not of
 * the error. */
static void scale_two_has_a_closed_form(void) {
  const double dimensions[] = {5.0, 2.0, 80.0};
  oracle_random r = {1};
  for (int a = 0; a < 3; a++)
    for (int far = 0; far < 20; far += 19) {
      double sum = 0.0, radius = 0.0;
      pareto(&r, MOST, dimensions[a]);
      for (int i = 0; i < MOST; i++) {
        if (i < far)
          outer2[i] = inner2[i] * 1e12;
        else
          sum += log(sqrt(outer2[i]) / sqrt(inner2[i]));
        radius += (sqrt(inner2[i]) + sqrt(outer2[i])) / 2.0 / MOST;
      }
      const tg_gride got = fit(MOST, 2);
      CU_ASSERT(oracle_near("value", got.value, (MOST - far - 1) / sum, 0.0, 2e-13));
      CU_ASSERT(oracle_near("error", got.error, got.value / sqrt(MOST), 0.0, 2e-13));
      CU_ASSERT(oracle_near("radius", got.radius, radius, 0.0, 2e-13));
    }
}

/* Oracle: bisection in long double. Bound: sums of n <= 300 terms in float64 are off by n eps of their size, and the
 * root by as much times the ratio of terms to slope, below 10 here: 300 * 10 eps = 7e-13, so 1e-12; the error's formula
 * is smoother. */
static void every_scale_matches_bisection(void) {
  const oracle_kind kinds[] = {ORACLE_GAUSSIAN, ORACLE_LINEAR, ORACLE_CLUSTERS, ORACLE_MASSIVE,
                               ORACLE_LARGEST,  ORACLE_GRID,   ORACLE_BFLOAT16};
  const int widths[] = {3, 60};
  for (int a = 0; a < 7; a++)
    for (int w = 0; w < 2; w++) {
      tg_cloud c = oracle_cloud(kinds[a], 300, widths[w], 5);
      for (int n2 = 2; n2 <= 256; n2 *= 2) {
        fill(&c, n2);
        const oracle_grides expected = oracle_gride(inner2, outer2, c.n, n2);
        const tg_gride got = fit(c.n, n2);
        CU_ASSERT(oracle_near(oracle_kind_names[kinds[a]], got.value, expected.value, 0.0, 1e-12));
        CU_ASSERT(oracle_near("error", got.error, expected.error, 0.0, 1e-12));
        CU_ASSERT(oracle_near("radius", got.radius, expected.radius, 0.0, 1e-12));
        CU_ASSERT(got.no_root == (isnan(expected.value) != 0));
      }
      oracle_cloud_destroy(&c);
    }
}

static tg_cloud frozen_cloud_of(const frozen_cloud *f) {
  float *x;
  const tg_cloud c = oracle_cloud_zeros(f->n, f->d, &x);
  for (int i = 0; i < f->n; i++)
    for (int t = 0; t < f->d; t++) x[i * c.ld + t] = (float)frozen_points[f->first_coordinate + i * f->d + t];
  return c;
}

/* Oracle: DADApy 0.3.4. Bounds: it bisects until its bracket is 1e-7 wide: 3e-7 for value and error (error < value
 * there). Its 1 - mu^-d cancels for mu = 1 + 10 eps: off by eps / 2 of 10 d eps, 1 / (20 d) relative, twice that in the
 * error's square at most for the share of such points; the factor n2 - n1 - 1 is 0 at scale 2. Radius: sums, 1e-13. */
static void answers_match_dadapy(void) {
  int ones = 0, left_out = 0;
  for (size_t f = 0; f < sizeof frozen_clouds / sizeof *frozen_clouds; f++) {
    const frozen_cloud *cloud = &frozen_clouds[f];
    tg_cloud c = frozen_cloud_of(cloud);
    for (int s = 0, n2 = 2; s < cloud->n_scales; s++, n2 *= 2) {
      const frozen_scale *expected = &frozen_scales[cloud->first_scale + s];
      fill(&c, n2);
      const tg_gride got = fit(c.n, n2);
      const double share = n2 > 2 ? (double)expected->ones / c.n / (10.0 * expected->value) : 0.0;
      CU_ASSERT(oracle_near(cloud->name, got.value, expected->value, 3e-7, 0.0));
      CU_ASSERT(oracle_near(cloud->name, got.error, expected->error, 3e-7, share));
      CU_ASSERT(oracle_near(cloud->name, got.radius, expected->radius, 0.0, 1e-13));
      CU_ASSERT(got.no_root == 0);
      ones += expected->ones;
      left_out += expected->left_out;
    }
    oracle_cloud_destroy(&c);
  }
  CU_ASSERT(ones > 0 && left_out > 0); /* the special cases are among them */
}

/* Closed form: where all ratios are equal, mu < q50 + 20 * 0 holds for no point: no root, but a radius. */
static void equal_ratios_have_no_root(void) {
  tg_cloud simplex = oracle_cloud(ORACLE_SIMPLEX, 40, 40, 1), grid = oracle_cloud(ORACLE_GRID, 64, 3, 1);
  for (int n2 = 2; n2 <= 32; n2 *= 2) {
    fill(&simplex, n2);
    const tg_gride got = fit(simplex.n, n2);
    CU_ASSERT(isnan(got.value) && isnan(got.error) && got.no_root == 1);
    CU_ASSERT(oracle_near("radius", got.radius, sqrt(2.0), 0.0, 40 * DBL_EPSILON));
  }
  fill(&grid, 2);
  const tg_gride got = fit(grid.n, 2);
  CU_ASSERT(isnan(got.value) && isnan(got.error) && got.no_root == 1 && got.radius == 1.0);
  oracle_cloud_destroy(&simplex);
  oracle_cloud_destroy(&grid);
}

/* Closed form: of 21 ratios 1.5 (19 times), 2 and 11.5 the percentiles are the 11th and the 20th, so the limit is
 * 1.5 + 20 (2 - 1.5) = 11.5, without rounding; a ratio at the limit is left out: d = 19 / (19 ln 1.5 + ln 2). */
static void a_ratio_at_the_limit_is_left_out(void) {
  for (int i = 0; i < 21; i++) {
    const double mu = i == 3 ? 2.0 : i == 12 ? 11.5 : 1.5;
    inner2[i] = 1.0;
    outer2[i] = mu * mu;
  }
  const tg_gride got = fit(21, 2);
  CU_ASSERT(oracle_near("value", got.value, 19.0 / (19.0 * log(1.5) + log(2.0)), 0.0, 21 * DBL_EPSILON));
  CU_ASSERT(oracle_near("error", got.error, got.value / sqrt(21.0), 0.0, 21 * DBL_EPSILON));
}

/* Closed form: for ratios 2 and 4 q50 = 3 and q95 = 3.9, so the limit is 21: both stay and d = 1 / ln 8, to some
 * roundings. Two equal ratios, or a single one, have no root. */
static void few_points_are_enough(void) {
  inner2[0] = inner2[1] = 1.0;
  outer2[0] = 4.0, outer2[1] = 16.0;
  tg_gride got = fit(2, 2);
  CU_ASSERT(oracle_near("two points", got.value, 1.0 / log(8.0), 0.0, 8 * DBL_EPSILON));
  CU_ASSERT(oracle_near("two points", got.error, got.value / sqrt(2.0), 0.0, 8 * DBL_EPSILON));
  CU_ASSERT(got.radius == 2.0); /* (1 + 2) / 2 and (1 + 4) / 2 */
  outer2[0] = outer2[1] = 4.0;
  got = fit(2, 2);
  CU_ASSERT(got.no_root == 1 && isnan(got.value));
  got = fit(1, 2);
  CU_ASSERT(got.no_root == 1 && isnan(got.value) && got.radius == 1.5);
}

/* Limit: inner distances of 0 (distinct tokens may have equal logits) are what inner distances of 1e-300 tend to: left out
 * of the root, a term of 0 in the error; and where both distances are 0 the ratio is 1. */
static void coinciding_points_are_a_limit(void) {
  oracle_random r = {9};
  pareto(&r, MOST, 5.0);
  for (int n2 = 2; n2 <= 8; n2 *= 2) {
    inner2[0] = inner2[1] = 1e-300;
    const tg_gride expected = fit(MOST, n2);
    inner2[0] = inner2[1] = 0.0;
    const tg_gride got = fit(MOST, n2);
    CU_ASSERT(oracle_near("value", got.value, expected.value, 0.0, 1e-14));
    CU_ASSERT(oracle_near("error", got.error, expected.error, 0.0, 1e-14));
  }
  const double kept = outer2[0];
  outer2[0] = 0.0;
  const tg_gride both = fit(MOST, 4);
  inner2[0] = outer2[0] = 1.0;
  const tg_gride one = fit(MOST, 4);
  CU_ASSERT(both.value == one.value && both.error == one.error);
  outer2[0] = kept;
}

/* Invariance: a power of two as unit of length changes the radius alone, and numbers may lie apart. */
static void units_and_strides_do_not_matter(void) {
  static double apart[4 * MOST];
  tg_cloud c = oracle_cloud(ORACLE_GAUSSIAN, 100, 12, 9);
  fill(&c, 8);
  const tg_gride got = fit(c.n, 8);
  for (int i = 0; i < c.n; i++) {
    apart[4 * i] = inner2[i] * 0x1p40;
    apart[4 * i + 3] = outer2[i] * 0x1p40;
  }
  const tg_gride scaled = tg_gride_fit(apart, apart + 3, 4, c.n, 8, scratch);
  CU_ASSERT(scaled.value == got.value && scaled.error == got.error && scaled.radius == got.radius * 0x1p20);
  oracle_cloud_destroy(&c);
}

/* Statistics: over 10 clouds of 500 points uniform on a 3-dimensional torus of side 1 in 6 coordinates, the estimate at
 * scale 2 lies within 4 standard errors of 3 on average; curvature at 500 points is below that (the mean distance is
 * 0.1). */
static void the_dimension_of_a_torus_is_found(void) {
  double sum = 0.0, errors = 0.0;
  oracle_random r = {17};
  for (int seed = 0; seed < 10; seed++) {
    float *x;
    tg_cloud c = oracle_cloud_zeros(500, 6, &x);
    for (int i = 0; i < c.n; i++)
      for (int s = 0; s < 3; s++) {
        const double angle = 2.0 * M_PI * oracle_uniform(&r);
        x[i * c.ld + 2 * s] = (float)cos(angle);
        x[i * c.ld + 2 * s + 1] = (float)sin(angle);
      }
    fill(&c, 2);
    const tg_gride got = fit(c.n, 2);
    sum += got.value / 10.0;
    errors += got.error / 10.0;
    oracle_cloud_destroy(&c);
  }
  CU_ASSERT(fabs(sum - 3.0) <= 4.0 * errors / sqrt(10.0));
}

int main(void) {
  CU_TestInfo tests[] = {{"scale two has a closed form", scale_two_has_a_closed_form},
                         {"every scale matches bisection", every_scale_matches_bisection},
                         {"answers match DADApy", answers_match_dadapy},
                         {"equal ratios have no root", equal_ratios_have_no_root},
                         {"a ratio at the limit is left out", a_ratio_at_the_limit_is_left_out},
                         {"few points are enough", few_points_are_enough},
                         {"coinciding points are a limit", coinciding_points_are_a_limit},
                         {"units and strides do not matter", units_and_strides_do_not_matter},
                         {"the dimension of a torus is found", the_dimension_of_a_torus_is_found},
                         CU_TEST_INFO_NULL};
  return suite_run("gride", tests);
}
