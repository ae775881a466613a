/* Moments, correlations, bootstrap and adjusted p-values against frozen values (tests/data/make_statistics.py). */
#include "../oracle/suite.h"
#include "reduce/correlation.h"
#include "reduce/moments.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

typedef struct {
  const char *name;
  int n, x, y, z; /* where the sides begin in frozen_inputs; z = -1: none */
  int complete;
  double fields[8];     /* pearson, p, low, high, spearman, p, partial, p */
  double deviations[3]; /* with the resamples of bootstrap_sizes */
} frozen_correlation;

typedef struct {
  int a, b, n;
  double r, p;
} frozen_design;

typedef struct {
  const char *name;
  int n, x, finite;
  double values[5]; /* mean, std, median, q25, q75 */
} frozen_moments;

typedef struct {
  const char *name;
  int n, p, adjusted;
} frozen_adjust;

#include "../data/statistics.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

static const struct {
  int count;
  uint64_t seed;
} bootstrap_sizes[3] = {{10, 1}, {101, 7}, {64, UINT64_MAX}};

/* |a - b| <= absolute + relative |b|, or both NaN. Names the number that is off. */
static bool near(const char *name, const char *field, double a, double b, double absolute, double relative) {
  const bool ok = isnan(b) ? isnan(a) : a == b || fabs(a - b) <= absolute + relative * fabs(b);
  if (!ok) printf("\n    %s %s: %.17g, expected %.17g ", name, field, a, b);
  return ok;
}

/* The same numbers as `uniform` of make_statistics.py: a congruential generator's top 53 bits as a fraction. */
static void uniform(int n, uint64_t state, double *out) {
  for (int i = 0; i < n; i++) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    out[i] = (double)(state >> 11) * 0x1p-53;
  }
}

static const double *inputs(int first) { return first < 0 ? NULL : frozen_inputs + first; }

static tg_correlation correlate(const frozen_correlation *c, const tg_resamples *resamples) {
  tg_correlation out;
  CU_ASSERT(tg_correlation_of(inputs(c->x), inputs(c->y), inputs(c->z), c->n, resamples, &out) == TG_OK);
  return out;
}

static bool fields_match(const char *name, const tg_correlation *got, const double *expected) {
  bool ok = near(name, "pearson", got->pearson, expected[0], 1e-12, 0);
  ok = near(name, "pearson_p", got->pearson_p, expected[1], 0, 1e-10) && ok;
  ok = near(name, "pearson_low", got->pearson_low, expected[2], 1e-12, 0) && ok;
  ok = near(name, "pearson_high", got->pearson_high, expected[3], 1e-12, 0) && ok;
  ok = near(name, "spearman", got->spearman, expected[4], 1e-12, 0) && ok;
  ok = near(name, "spearman_p", got->spearman_p, expected[5], 0, 1e-10) && ok;
  ok = near(name, "partial", got->partial, expected[6], 1e-12, 0) && ok;
  return near(name, "partial_p", got->partial_p, expected[7], 0, 1e-10) && ok;
}

/* Oracle: SciPy's pearsonr and spearmanr, and 60 digits (mpmath) where SciPy's own rounding is larger than the bound.
 * Bounds: r sums n <= 2244 products, each off by a few 2^-53 of the sum of magnitudes: below n 2^-52 = 5e-13 at worst,
 * so 1e-12. d ln p / dr = -n r / (1 - r^2), below 1e4 in these cases, times the 1e-15 that r is off in fact: 1e-10. */
static void correlations_match_scipy(void) {
  for (size_t i = 0; i < COUNT(frozen_correlations); i++) {
    const frozen_correlation *c = &frozen_correlations[i];
    const tg_correlation got = correlate(c, NULL);
    CU_ASSERT(got.n == c->complete);
    CU_ASSERT(fields_match(c->name, &got, c->fields));
    CU_ASSERT(isnan(got.pearson_boot_std));
  }
}

/* Oracle: the contract. A perfect line is exactly +-1, its p exactly 0, its interval the point. */
static void perfect_lines_are_exact(void) {
  const double x[] = {-2, -1, 0, 1, 2}, up[] = {1, 3, 5, 7, 9}, down[] = {4, 2, 0, -2, -4};
  tg_correlation c;
  for (int n = 3; n <= 5; n += 2) {
    CU_ASSERT(tg_correlation_of(x, up, NULL, n, NULL, &c) == TG_OK);
    CU_ASSERT(c.pearson == 1 && c.pearson_p == 0 && c.spearman == 1 && c.spearman_p == 0);
    CU_ASSERT(n == 3 ? isnan(c.pearson_low) && isnan(c.pearson_high) : c.pearson_low == 1 && c.pearson_high == 1);
    CU_ASSERT(tg_correlation_of(x, down, NULL, n, NULL, &c) == TG_OK);
    CU_ASSERT(c.pearson == -1 && c.pearson_p == 0 && c.spearman == -1 && c.spearman_p == 0);
    CU_ASSERT(n == 3 ? isnan(c.pearson_low) && isnan(c.pearson_high) : c.pearson_low == -1 && c.pearson_high == -1);
  }
}

/* r of y with a side that is 1 at `place` and 0 elsewhere: (y_place - mean) / (deviation sqrt(n - 1)). */
static double pearson_with_one(const double *y, int n, int place) {
  double sum = 0, squares = 0;
  for (int i = 0; i < n; i++) sum += y[i];
  for (int i = 0; i < n; i++) squares += (y[i] - sum / n) * (y[i] - sum / n);
  return (y[place] - sum / n) / sqrt(squares / n * (n - 1));
}

/* Oracle: the contract. Whatever the mean rounds to, equal values are constant and values an ulp apart are not: there
 * the closed form, to 1e-12 as above. */
static void a_side_is_constant_when_its_values_are_equal(void) {
  enum { N = 400 };
  const double values[] = {0.1, 1.0 / 3, 1e6 / 7, -1e-9};
  double x[N], y[N];
  uniform(N, 5, y);
  for (size_t k = 0; k < COUNT(values); k++)
    for (int n = 4; n <= N; n++) {
      tg_correlation c;
      for (int i = 0; i < n; i++) x[i] = values[k];
      CU_ASSERT(tg_correlation_of(x, y, x, n, NULL, &c) == TG_OK);
      CU_ASSERT(isnan(c.pearson) && isnan(c.pearson_p) && isnan(c.spearman) && isnan(c.partial));
      CU_ASSERT(tg_correlation_of(y, x, NULL, n, NULL, &c) == TG_OK);
      CU_ASSERT(isnan(c.pearson) && isnan(c.pearson_low) && isnan(c.spearman_p) && c.n == n);
      x[n / 2] = nextafter(values[k], INFINITY);
      CU_ASSERT(tg_correlation_of(x, y, NULL, n, NULL, &c) == TG_OK);
      CU_ASSERT(isfinite(c.pearson) && near("ulp", "pearson", c.pearson, pearson_with_one(y, n, n / 2), 1e-12, 0));
    }
}

/* Oracle: the contract. A side that is linear in z but for rounding leaves nothing to correlate. */
static void a_side_that_z_fixes_has_no_partial_correlation(void) {
  double x[40], y[40], z[40];
  uniform(40, 5, x);
  uniform(40, 6, y);
  for (int i = 0; i < 40; i++) z[i] = 3.7 * x[i] + 0.1;
  for (int n = 4; n <= 40; n++) {
    tg_correlation c;
    CU_ASSERT(tg_correlation_of(x, y, z, n, NULL, &c) == TG_OK);
    CU_ASSERT(isfinite(c.pearson) && isnan(c.partial) && isnan(c.partial_p));
    CU_ASSERT(tg_correlation_of(y, x, z, n, NULL, &c) == TG_OK);
    CU_ASSERT(isfinite(c.pearson) && isnan(c.partial) && isnan(c.partial_p));
  }
}

/* x = +1 +1 -1 -1 .., w = +1 -1 +1 -1 .. are orthogonal, so a x + b w has r = a / sqrt(a^2 + b^2) with x; all sums are
 * integers below 2^53, so r here is the double that the maker took.
 * Oracle: I_{1-r^2}((n-2)/2, 1/2) of that double in 60 digits; p < 1e-300 is 0. Bound: 1e-10, ten times the worst that
 * GSL shows against the same series (7e-12, at 2e5 degrees of freedom). */
static void p_values_match_sixty_digits(void) {
  for (size_t i = 0; i < COUNT(frozen_designs); i++) {
    const frozen_design *d = &frozen_designs[i];
    double *x = malloc((size_t)d->n * sizeof *x), *y = malloc((size_t)d->n * sizeof *y);
    for (int k = 0; k < d->n; k++) {
      x[k] = k % 4 < 2 ? 1 : -1;
      y[k] = d->a * x[k] + (k % 2 ? -d->b : d->b);
    }
    tg_correlation c;
    CU_ASSERT(tg_correlation_of(x, y, NULL, d->n, NULL, &c) == TG_OK);
    CU_ASSERT(near("design", "r", c.pearson, d->r, 0, 0));
    if (!near("design", "p", c.pearson_p, d->p, 0, 1e-10)) {
      printf("(a %d, b %d, n %d) ", d->a, d->b, d->n);
      CU_FAIL("p");
    }
    free(x);
    free(y);
  }
}

/* Oracle: the definition over NumPy's Philox draws, in 60 digits, so that the words, their order, the gaps and the
 * constant resamples must all be the same. Bound: 1e-12 as for r, since a deviation moves no more than its values.
 * Seed 2^64 - 1 fills the key; 10 and 101 are no multiples of the group that is summed at once. */
static void bootstrap_matches_numpy_draws(void) {
  for (size_t i = 0; i < COUNT(frozen_correlations); i++)
    for (size_t k = 0; k < 3; k++) {
      const frozen_correlation *c = &frozen_correlations[i];
      tg_resamples *resamples;
      CU_ASSERT(tg_resamples_create(bootstrap_sizes[k].count, c->n, bootstrap_sizes[k].seed, &resamples) == TG_OK);
      const tg_correlation got = correlate(c, resamples);
      CU_ASSERT(near(c->name, "boot_std", got.pearson_boot_std, c->deviations[k], 1e-12, 0));
      CU_ASSERT(fields_match(c->name, &got, c->fields)); /* the bootstrap leaves the other numbers alone */
      tg_resamples_destroy(&resamples);
      CU_ASSERT(resamples == NULL);
    }
}

/* Oracle: no resample has no deviation, one has 0, two have |r_0 - r_1| / 2 (frozen, 60 digits); bound as above. */
static void few_resamples_have_the_right_deviation(void) {
  const double expected[] = {NAN, 0, frozen_two_resamples};
  for (int count = 0; count <= 2; count++) {
    tg_resamples *resamples;
    CU_ASSERT(tg_resamples_create(count, frozen_correlations[0].n, 7, &resamples) == TG_OK);
    const tg_correlation got = correlate(&frozen_correlations[0], resamples);
    CU_ASSERT(near("random", "boot_std", got.pearson_boot_std, expected[count], 1e-12, 0));
    tg_resamples_destroy(&resamples);
  }
}

static void resamples_of_another_size_are_refused(void) {
  tg_resamples *resamples = NULL;
  tg_correlation out;
  CU_ASSERT(tg_resamples_create(-1, 3, 1, &resamples) == TG_EINTERNAL && resamples == NULL);
  CU_ASSERT(tg_resamples_create(3, -1, 1, &resamples) == TG_EINTERNAL && resamples == NULL);
  CU_ASSERT(tg_resamples_create(3, 4, 1, &resamples) == TG_OK);
  CU_ASSERT(tg_correlation_of(frozen_inputs, frozen_inputs, NULL, 5, resamples, &out) == TG_EINTERNAL);
  CU_ASSERT(isnan(out.pearson) && out.n == 0);
  tg_resamples_destroy(&resamples);
  tg_resamples_destroy(&resamples);
  tg_resamples_destroy(NULL);
}

/* The paper's size: 2244 prompts, 1000 resamples. Oracles and bounds as above; here n 2^-52 = 5e-13. The second call
 * must give the same bytes. */
static void a_series_of_the_papers_size_matches(void) {
  enum { N = 2244 };
  static double x[N], y[N], z[N], noise[N];
  uniform(N, 1, x);
  uniform(N, 2, noise);
  for (int i = 0; i < N; i++) y[i] = 0.25 * x[i] + noise[i];
  uniform(N, 3, noise);
  for (int i = 0; i < N; i++) z[i] = x[i] * 0.5 + noise[i];
  tg_resamples *resamples;
  tg_correlation got, again;
  CU_ASSERT(tg_resamples_create(1000, N, 1, &resamples) == TG_OK);
  CU_ASSERT(tg_correlation_of(x, y, z, N, resamples, &got) == TG_OK);
  CU_ASSERT(got.n == N && fields_match("long", &got, frozen_long.fields));
  CU_ASSERT(near("long", "boot_std", got.pearson_boot_std, frozen_long.deviations[0], 1e-12, 0));
  CU_ASSERT(tg_correlation_of(x, y, z, N, resamples, &again) == TG_OK);
  CU_ASSERT(again.pearson_boot_std == got.pearson_boot_std && again.pearson_p == got.pearson_p);
  tg_resamples_destroy(&resamples);
}

/* Oracle: NumPy's median and percentiles, mean and deviation in 60 digits. Bound: 1e-12 of the number, and for the
 * deviation also of n 2^-53 times the mean, which the centering may round by. Values lie 3 apart, as in a table. */
static void moments_match_numpy(void) {
  for (size_t i = 0; i < COUNT(frozen_moment_cases); i++) {
    const frozen_moments *c = &frozen_moment_cases[i];
    double strided[3 * 64], scratch[64];
    for (int k = 0; k < 3 * 64; k++) strided[k] = 1e9;
    for (int k = 0; k < c->n; k++) strided[3 * k] = frozen_inputs[c->x + k];
    const tg_moments m = tg_moments_of(strided, c->n, 3, scratch);
    CU_ASSERT(m.n == c->finite);
    CU_ASSERT(near(c->name, "mean", m.mean, c->values[0], 1e-15, 1e-12));
    CU_ASSERT(near(c->name, "std", m.std, c->values[1], 0x1p-53 * fabs(m.mean), 1e-12));
    CU_ASSERT(near(c->name, "median", m.median, c->values[2], 0, 1e-12));
    CU_ASSERT(near(c->name, "q25", m.q25, c->values[3], 0, 1e-12));
    CU_ASSERT(near(c->name, "q75", m.q75, c->values[4], 0, 1e-12));
    CU_ASSERT(c->finite != 1 || m.std == 0);
  }
}

/* Oracle: scipy.stats.false_discovery_control(method="bh") of the finite ones. Bound: one product and one quotient,
 * 2 x 2^-53, so 4e-16. Numbers between the strides stay as they are. */
static void adjusted_p_values_match_scipy(void) {
  for (size_t i = 0; i < COUNT(frozen_adjust_cases); i++) {
    const frozen_adjust *c = &frozen_adjust_cases[i];
    double p[2 * 32 + 1], out[2 * 32 + 1];
    for (int k = 0; k < 2 * 32 + 1; k++) p[k] = out[k] = -7;
    for (int k = 0; k < c->n; k++) p[2 * k] = frozen_inputs[c->p + k];
    CU_ASSERT(tg_adjust_bh(p, c->n, 2, out) == TG_OK);
    for (int k = 0; k < c->n; k++) {
      CU_ASSERT(near(c->name, "adjusted", out[2 * k], frozen_inputs[c->adjusted + k], 0, 4e-16));
      CU_ASSERT(out[2 * k + 1] == -7);
    }
  }
}

int main(void) {
  CU_TestInfo tests[] = {{"moments match NumPy", moments_match_numpy},
                         {"correlations match SciPy", correlations_match_scipy},
                         {"perfect lines are exact", perfect_lines_are_exact},
                         {"a side is constant when its values are equal", a_side_is_constant_when_its_values_are_equal},
                         {"a side that z fixes has no partial r", a_side_that_z_fixes_has_no_partial_correlation},
                         {"p-values match sixty digits", p_values_match_sixty_digits},
                         {"bootstrap matches NumPy's draws", bootstrap_matches_numpy_draws},
                         {"few resamples have the right deviation", few_resamples_have_the_right_deviation},
                         {"resamples of another size are refused", resamples_of_another_size_are_refused},
                         {"a series of the paper's size matches", a_series_of_the_papers_size_matches},
                         {"adjusted p-values match SciPy", adjusted_p_values_match_scipy},
                         CU_TEST_INFO_NULL};
  return suite_run("reduce", tests);
}
