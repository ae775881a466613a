/* Sums run in data-set order, and nothing here depends on the vector width of the machine: the same bytes everywhere.
 * Compile with -ffp-contract=off. GSL's error handler is switched off wherever GSL is entered: the default one aborts
 * on an underflow. The setting belongs to the process, and setting it again is free. */
#include "reduce/correlation.h"

#include "base/memory.h"
#include <Random123/philox.h>
#include <gsl/gsl_cdf.h>
#include <gsl/gsl_errno.h>
#include <gsl/gsl_sort.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

/* Scratch of one call, every array [n]. */
typedef struct {
  double *block;           /* what the arrays of numbers are cut from */
  double *x, *y, *z;       /* complete pairs, one after another */
  double *u, *v;           /* x and y centered */
  double *rank_x, *rank_y; /* also the drawn pairs of one resample */
  size_t *order;           /* for sorting */
} workspace;

static tg_status workspace_create(int n, workspace *w) {
  *w = (workspace){0};
  const size_t size = (size_t)n;
  tg_status st = TG_ALLOC(7 * size, &w->block);
  if (st == TG_OK) st = TG_ALLOC(size, &w->order);
  if (st != TG_OK) return st;
  double **const arrays[7] = {&w->x, &w->y, &w->z, &w->u, &w->v, &w->rank_x, &w->rank_y};
  for (size_t i = 0; i < 7; i++) *arrays[i] = w->block + i * size;
  return TG_OK;
}

static void workspace_destroy(workspace *w) {
  free(w->block);
  free(w->order);
}

/* --- One coefficient ---------------------------------------------------------------------------------------------- */

static bool is_constant(const double *x, int n) { /* also when there is nothing to compare */
  for (int i = 1; i < n; i++)
    if (x[i] != x[0]) return false;
  return true;
}

/* Multiplies by the power of two that brings the largest magnitude to about 1: exact, and no square can overflow. */
static void scale(double *u, int n) {
  double largest = 0;
  for (int i = 0; i < n; i++)
    if (fabs(u[i]) > largest) largest = fabs(u[i]);
  int exponent;
  (void)frexp(largest, &exponent);
  const double factor = ldexp(1.0, exponent > -1023 ? -exponent : 1023); /* 2^1024 would be Inf */
  for (int i = 0; i < n; i++) u[i] *= factor;
}

static void subtract_mean(double *u, int n) {
  double sum = 0;
  for (int i = 0; i < n; i++) sum += u[i];
  const double mean = sum / n;
  for (int i = 0; i < n; i++) u[i] -= mean;
}

/* The second subtraction takes away the rounding of the first mean, which matters when x differs in its last bits. */
static void center(const double *x, int n, double *u) {
  for (int i = 0; i < n; i++) u[i] = x[i];
  scale(u, n);
  subtract_mean(u, n);
  subtract_mean(u, n);
  scale(u, n);
}

static double clamp(double r) { return r > 1 ? 1 : r < -1 ? -1 : r; } /* NaN stays */

/* Pearson's r; NaN when a side is constant. Leaves the centered sides in u and v. */
static double pearson(const double *x, const double *y, int n, double *u, double *v) {
  if (is_constant(x, n) || is_constant(y, n)) return NAN;
  center(x, n, u);
  center(y, n, v);
  double uu = 0, uv = 0, vv = 0;
  for (int i = 0; i < n; i++) {
    uu += u[i] * u[i];
    uv += u[i] * v[i];
    vv += v[i] * v[i];
  }
  return clamp(uv / sqrt(uu * vv)); /* one root: r of a side with itself is exactly 1 */
}

/* Average ranks, from 1. */
static void rank(const double *x, int n, size_t *order, double *ranks) {
  gsl_sort_index(order, x, 1, (size_t)n);
  for (int first = 0, end; first < n; first = end) {
    for (end = first + 1; end < n && x[order[end]] == x[order[first]];) end++;
    for (int i = first; i < end; i++) ranks[order[i]] = 0.5 * (first + 1 + end);
  }
}

/* Two-sided p of r by Student's t with `dof` degrees of freedom: I_{1-r^2}(dof/2, 1/2).
 * Below r^2 = 1/2 the complement I_{r^2}(1/2, dof/2) is asked for, because 1 - r^2 forgets a small r. Against 60 digits
 * both are right to 7e-12 up to 2e5 degrees of freedom; above that GSL changes to an expansion that fails here, but its
 * Cornish-Fisher t (off by up to 3e-7 at 313 degrees of freedom) is right to 3e-13. */
static double student_p(double r, double dof) {
  if (isnan(r) || dof < 1) return NAN;
  const double rest = (1 - r) * (1 + r);
  if (rest <= 0) return 0;
  double p;
  if (dof >= 2e5)
    p = 2 * gsl_cdf_tdist_Q(fabs(r) * sqrt(dof / rest), dof);
  else if (r * r < 0.5)
    p = gsl_cdf_beta_Q(r * r, 0.5, dof / 2);
  else
    p = gsl_cdf_beta_P(rest, dof / 2, 0.5);
  return p < 1e-300 ? 0 : p;
}

static void fisher_interval(double r, int n, double *low, double *high) {
  *low = *high = NAN;
  if (isnan(r) || n < 4) return;
  const double half_width = 1.959963984540054 / sqrt(n - 3.0); /* the normal's 97.5 % point */
  *low = tanh(atanh(r) - half_width);
  *high = tanh(atanh(r) + half_width);
}

/* r of x and y given z, from the three plain ones. A side that z fixes to the last digits has nothing left over:
 * below 1e-14 the remainder is the rounding of r. */
static double partial_of(double xy, double xz, double yz) {
  const double left_x = (1 - xz) * (1 + xz), left_y = (1 - yz) * (1 + yz);
  if (!(left_x > 1e-14 && left_y > 1e-14)) return NAN;
  return clamp((xy - xz * yz) / sqrt(left_x * left_y));
}

/* --- Bootstrap ---------------------------------------------------------------------------------------------------- */

enum { GROUP = 4 }; /* resamples that are summed side by side, to hide the latency of an addition */

/* The drawn prompts of a resample are sorted and kept with repetition: summing over them needs no product, and walks
 * through memory in order. */
struct tg_resamples {
  int count, n;
  uint32_t *draws; /* [ceil(count / GROUP)][n][GROUP]; surplus lanes of the last group draw prompt 0 */
};

/* drawn [n]: how often resample b draws each prompt. */
static void draw(uint64_t seed, int b, int n, uint32_t *drawn) {
  for (int i = 0; i < n; i++) drawn[i] = 0;
  const philox4x64_key_t key = {{seed, 0}};
  for (int i = 0; i < n; i += 4) {
    const philox4x64_ctr_t counter = {{1 + (uint64_t)i / 4, 0, 0, (uint64_t)b}};
    const philox4x64_ctr_t words = philox4x64_R(10, counter, key);
    for (int j = 0; j < 4 && i + j < n; j++) { /* floor(word n / 2^64) by halves, as n < 2^32 */
      const uint64_t word = words.v[j], size = (uint64_t)n;
      drawn[((word >> 32) * size + ((word & 0xffffffffu) * size >> 32)) >> 32]++;
    }
  }
}

tg_status tg_resamples_create(int n_resamples, int n, uint64_t seed, tg_resamples **out) {
  *out = NULL;
  TG_CHECK(n_resamples >= 0 && n >= 0, TG_EINTERNAL, "%d resamples of %d prompts", n_resamples, n);
  const size_t groups = ((size_t)n_resamples + GROUP - 1) / GROUP;
  tg_resamples *r = NULL;
  uint32_t *drawn = NULL;
  tg_status st = TG_ALLOC(1, &r);
  if (st == TG_OK) st = TG_ALLOC(groups * GROUP * (size_t)n, &r->draws);
  if (st == TG_OK) st = TG_ALLOC(n, &drawn);
  if (st == TG_OK) {
    r->count = n_resamples;
    r->n = n;
    for (int b = 0; b < n_resamples; b++) {
      uint32_t *next = r->draws + (size_t)(b / GROUP) * (size_t)n * GROUP + b % GROUP;
      draw(seed, b, n, drawn);
      for (int p = 0; p < n; p++)
        for (uint32_t k = 0; k < drawn[p]; k++, next += GROUP) *next = (uint32_t)p;
    }
    *out = r;
    r = NULL;
  }
  free(drawn);
  tg_resamples_destroy(&r);
  return st;
}

void tg_resamples_destroy(tg_resamples **resamples) {
  if (resamples == NULL || *resamples == NULL) return;
  free((*resamples)->draws);
  free(*resamples);
  *resamples = NULL;
}

/* What one drawn prompt adds to the sums of its resample; all zero for an incomplete pair. Pairs, because every 64-bit
 * CPU adds two doubles at once and compilers do not find this by themselves at every setting. */
typedef double pair __attribute__((vector_size(16)));
typedef struct {
  pair u_v, uu_vv, uv_one;
} terms;

/* draws [n][GROUP], table [prompt] -> sums [GROUP] */
static void sum_group(const uint32_t *draws, const terms *table, int n, terms *sums) {
  terms s[GROUP] = {0};
  for (ptrdiff_t i = 0; i < n; i++)
    for (int j = 0; j < GROUP; j++) {
      const terms *t = table + draws[i * GROUP + j];
      s[j].u_v += t->u_v;
      s[j].uu_vv += t->uu_vv;
      s[j].uv_one += t->uv_one;
    }
  for (int j = 0; j < GROUP; j++) sums[j] = s[j];
}

/* r from the sums. False where a difference of sums would lose more than two digits, as with a constant side or
 * when an outlier that pulled the mean is not drawn. */
static bool pearson_from_sums(const terms *s, double *r) {
  const double n = s->uv_one[1], u = s->u_v[0], v = s->u_v[1], uu = s->uu_vv[0], vv = s->uu_vv[1];
  const double spread_u = uu - u * u / n, spread_v = vv - v * v / n;
  if (!(spread_u > uu / 64 && spread_v > vv / 64)) return false;
  *r = clamp((s->uv_one[0] - u * v / n) / sqrt(spread_u * spread_v));
  return true;
}

/* r of one resample by its definition: list the drawn complete pairs, center, sum. */
static double pearson_of_draws(const uint32_t *draws, const double *x, const double *y, int n, const terms *table,
                               const workspace *w) {
  int kept = 0;
  for (ptrdiff_t i = 0; i < n; i++) {
    const uint32_t p = draws[i * GROUP];
    if (table[p].uv_one[1] == 0) continue;
    w->rank_x[kept] = x[p];
    w->rank_y[kept++] = y[p];
  }
  return pearson(w->rank_x, w->rank_y, kept, w->u, w->v);
}

/* Two passes over the finite values of r [count]. */
static double population_deviation(const double *r, int count) {
  double sum = 0, squares = 0;
  int kept = 0;
  for (int b = 0; b < count; b++)
    if (!isnan(r[b])) sum += r[b], kept++;
  if (kept == 0) return NAN;
  for (int b = 0; b < count; b++)
    if (!isnan(r[b])) squares += (r[b] - sum / kept) * (r[b] - sum / kept);
  return sqrt(squares / kept);
}

/* x, y  [n], with gaps;  w->u, w->v  centered complete pairs, overwritten */
static tg_status bootstrap(const double *x, const double *y, int n, const tg_resamples *resamples, const workspace *w,
                           double *deviation) {
  terms *table = NULL;
  double *r = NULL;
  tg_status st = TG_ALLOC(n, &table);
  if (st == TG_OK) st = TG_ALLOC(resamples->count, &r);
  if (st == TG_OK) {
    for (int p = 0, i = 0; p < n; p++) {
      if (!isfinite(x[p]) || !isfinite(y[p])) continue;
      const double u = w->u[i], v = w->v[i++];
      table[p] = (terms){{u, v}, {u * u, v * v}, {u * v, 1}};
    }
    for (int b = 0; b < resamples->count; b += GROUP) {
      const uint32_t *draws = resamples->draws + (size_t)b * (size_t)n;
      terms sums[GROUP];
      sum_group(draws, table, n, sums);
      for (int j = 0; j < GROUP && b + j < resamples->count; j++)
        if (!pearson_from_sums(&sums[j], &r[b + j])) r[b + j] = pearson_of_draws(draws + j, x, y, n, table, w);
    }
    *deviation = population_deviation(r, resamples->count);
  }
  free(table);
  free(r);
  return st;
}

/* --- One series --------------------------------------------------------------------------------------------------- */

/* Copies the complete pairs into w->x and w->y (and w->z), in order; returns how many. z may be NULL. */
static int gather_complete(const double *x, const double *y, const double *z, int n, const workspace *w) {
  int kept = 0;
  for (int p = 0; p < n; p++) {
    if (!isfinite(x[p]) || !isfinite(y[p]) || (z && !isfinite(z[p]))) continue;
    w->x[kept] = x[p];
    w->y[kept] = y[p];
    w->z[kept++] = z ? z[p] : 0;
  }
  return kept;
}

static void correlate_given(const double *x, const double *y, const double *z, int n, const workspace *w,
                            tg_correlation *out) {
  const int kept = gather_complete(x, y, z, n, w);
  if (kept < 4) return;
  out->partial = partial_of(pearson(w->x, w->y, kept, w->u, w->v), pearson(w->x, w->z, kept, w->u, w->v),
                            pearson(w->y, w->z, kept, w->u, w->v));
  out->partial_p = student_p(out->partial, kept - 3.0);
}

static tg_status correlate(const double *x, const double *y, const double *z, int n, const tg_resamples *resamples,
                           const workspace *w, tg_correlation *out) {
  if (z) correlate_given(x, y, z, n, w, out);

  out->n = gather_complete(x, y, NULL, n, w);
  if (out->n < 3) return TG_OK;
  rank(w->x, out->n, w->order, w->rank_x);
  rank(w->y, out->n, w->order, w->rank_y);
  out->spearman = pearson(w->rank_x, w->rank_y, out->n, w->u, w->v);
  out->spearman_p = student_p(out->spearman, out->n - 2.0);

  out->pearson = pearson(w->x, w->y, out->n, w->u, w->v);
  out->pearson_p = student_p(out->pearson, out->n - 2.0);
  fisher_interval(out->pearson, out->n, &out->pearson_low, &out->pearson_high);
  if (isnan(out->pearson) || resamples == NULL) return TG_OK;
  return bootstrap(x, y, n, resamples, w, &out->pearson_boot_std);
}

tg_status tg_correlation_of(const double *x, const double *y, const double *z, int n, const tg_resamples *resamples,
                            tg_correlation *out) {
  *out = (tg_correlation){.pearson = NAN,
                          .pearson_p = NAN,
                          .pearson_low = NAN,
                          .pearson_high = NAN,
                          .pearson_boot_std = NAN,
                          .spearman = NAN,
                          .spearman_p = NAN,
                          .partial = NAN,
                          .partial_p = NAN};
  TG_CHECK(n >= 0, TG_EINTERNAL, "correlation of %d prompts", n);
  TG_CHECK(resamples == NULL || resamples->n == n, TG_EINTERNAL, "resamples of %d prompts for %d", resamples->n, n);
  gsl_set_error_handler_off();
  workspace w;
  tg_status st = workspace_create(n, &w);
  if (st == TG_OK) st = correlate(x, y, z, n, resamples, &w, out);
  workspace_destroy(&w);
  return st;
}

/* --- Many tests --------------------------------------------------------------------------------------------------- */

/* finite [kept] are p in the order of `place`; from the largest p down, the smallest p kept / rank so far. */
static void step_up(const double *finite, const size_t *order, const int *place, int kept, ptrdiff_t stride,
                    double *adjusted) {
  double smallest = 1;
  for (int i = kept - 1; i >= 0; i--) {
    smallest = fmin(smallest, finite[order[i]] * ((double)kept / (i + 1)));
    adjusted[place[order[i]] * stride] = smallest;
  }
}

tg_status tg_adjust_bh(const double *p, int n, ptrdiff_t stride, double *adjusted) {
  TG_CHECK(n >= 0, TG_EINTERNAL, "adjusting %d p-values", n);
  gsl_set_error_handler_off();
  double *finite = NULL;
  size_t *order = NULL;
  int *place = NULL;
  tg_status st = TG_ALLOC(n, &finite);
  if (st == TG_OK) st = TG_ALLOC(n, &order);
  if (st == TG_OK) st = TG_ALLOC(n, &place);
  if (st == TG_OK) {
    int kept = 0;
    for (int i = 0; i < n; i++) {
      const double value = p[i * stride];
      adjusted[i * stride] = NAN;
      if (!isfinite(value)) continue;
      place[kept] = i;
      finite[kept++] = value;
    }
    gsl_sort_index(order, finite, 1, (size_t)kept);
    step_up(finite, order, place, kept, stride, adjusted);
  }
  free(finite);
  free(order);
  free(place);
  return st;
}
