#include "oracle.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- random numbers ---- */

uint64_t oracle_bits(oracle_random *r) {
  uint64_t z = (r->state += 0x9e3779b97f4a7c15u);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

double oracle_uniform(oracle_random *r) { return (double)(oracle_bits(r) >> 11) * 0x1p-53; }

double oracle_normal(oracle_random *r) {
  const double radius = sqrt(-2.0 * log(1.0 - oracle_uniform(r)));
  return radius * cos(2.0 * M_PI * oracle_uniform(r));
}

int oracle_below(oracle_random *r, int n) { return (int)(oracle_bits(r) % (uint64_t)n); }

float oracle_bfloat16(double x) {
  float value = (float)x;
  uint32_t bits;
  memcpy(&bits, &value, sizeof bits);
  bits = (bits + 0x7fffu + ((bits >> 16) & 1u)) & 0xffff0000u;
  memcpy(&value, &bits, sizeof value);
  return value;
}

void oracle_permutation(oracle_random *r, int n, int32_t *out) {
  for (int i = 0; i < n; i++) out[i] = i;
  for (int i = n - 1; i > 0; i--) {
    const int j = oracle_below(r, i + 1);
    const int32_t moved = out[i];
    out[i] = out[j];
    out[j] = moved;
  }
}

/* ---- clouds ---- */

const char *const oracle_kind_names[ORACLE_N_KINDS] = {"Gaussian", "linear",    "offset",   "clusters", "repeated",
                                                       "massive",  "near ties", "simplex",  "grid",     "denormal",
                                                       "largest",  "equal",     "bfloat16", "zeros",    "spread"};

void *oracle_memory(double count, double size) {
  const size_t bytes = ((size_t)(count * size) / 64 + 1) * 64;
  void *memory = aligned_alloc(64, bytes);
  if (!memory) {
    fprintf(stderr, "no memory for a test\n");
    exit(EXIT_FAILURE);
  }
  return memset(memory, 0, bytes);
}

tg_cloud oracle_cloud_zeros(int n, int d, float **x) {
  const int ld = tg_cloud_stride(d);
  *x = oracle_memory((double)n * ld, sizeof **x);
  return (tg_cloud){n, d, ld, *x, NULL};
}

void oracle_round(tg_cloud *c) {
  float *x = (float *)(uintptr_t)c->x;
  for (int t = 0; t < c->n * c->ld; t++) x[t] = oracle_bfloat16(x[t]) + 0.0f;
}

tg_cloud oracle_half(const tg_cloud *c, uint64_t seed) {
  const int ld = tg_cloud_width(c->d);
  uint16_t *half = oracle_memory((double)c->n * ld, sizeof *half);
  oracle_random r = {seed};
  for (int i = 0; i < c->n; i++)
    for (int t = 0; t < c->d; t++) {
      uint32_t bits;
      memcpy(&bits, &c->x[i * c->ld + t], sizeof bits);
      half[i * ld + t] = (uint16_t)(bits == 0 && oracle_below(&r, 3) == 0 ? 0x8000u : bits >> 16);
    }
  return (tg_cloud){c->n, c->d, ld, NULL, half};
}

void oracle_cloud_destroy(tg_cloud *c) {
  free((void *)(uintptr_t)c->x);
  free((void *)(uintptr_t)c->half);
  c->x = NULL;
  c->half = NULL;
}

void oracle_cloud64_destroy(tg_cloud64 *c) {
  free((void *)(uintptr_t)c->x);
  c->x = NULL;
}

tg_cloud oracle_cloud_reordered(const tg_cloud *c, const int32_t *order, int n) {
  float *x;
  const tg_cloud out = oracle_cloud_zeros(n, c->d, &x);
  for (ptrdiff_t i = 0; i < n; i++)
    memcpy(x + i * c->ld, c->x + (ptrdiff_t)order[i] * c->ld, (size_t)c->ld * sizeof *x);
  return out;
}

tg_cloud64 oracle_cloud64(const tg_cloud *c) {
  double *x = oracle_memory((double)c->n * c->ld, sizeof *x);
  for (ptrdiff_t t = 0; t < (ptrdiff_t)c->n * c->ld; t++) x[t] = c->x[t];
  return (tg_cloud64){c->n, c->d, c->ld, x};
}

/* Points of a grid with the fewest equal sides that hold n, in at most 3 coordinates. */
static double grid_coordinate(int n, int d, int i, int t) {
  const int dims = d < 3 ? d : 3;
  int side = 1, place = i;
  while (pow(side, dims) < n) side++;
  for (int s = 0; s < t; s++) place /= side;
  return t < dims ? place % side : 0.0;
}

/* x = sum_s u_s a_s: u uniform for each token, the same three vectors a for all. */
static double linear_coordinate(uint64_t seed, int d, int i, int t) {
  double x = 0.0;
  for (int s = 0; s < 3 && s < d; s++) {
    oracle_random u = {seed ^ (uint64_t)(3 * i + s) << 20}, a = {~seed ^ (uint64_t)(3 * t + s) << 20};
    x += oracle_uniform(&u) * oracle_normal(&a);
  }
  return x;
}

static double coordinate(oracle_kind kind, oracle_random *r, uint64_t seed, int n, int d, int i, int t) {
  switch (kind) {
  case ORACLE_LINEAR:
    return linear_coordinate(seed, d, i, t);
  case ORACLE_OFFSET:
    return 16.0 / sqrt(2.0 * d) * oracle_normal(r) + (t < 3 ? 2000.0 : 0.0);
  case ORACLE_CLUSTERS:
    return 16.0 / sqrt(2.0 * d) * oracle_normal(r) + (t < 3 ? (oracle_bits(r) & 1 ? 2000.0 : -2000.0) : 0.0);
  case ORACLE_MASSIVE:
    return (i == n / 2 ? 20000.0 : 1.0) * oracle_normal(r);
  case ORACLE_NEAR_TIES:
    return t < (d + 2) / 3 ? oracle_below(r, 3) - 1 : 0x1p-27 * oracle_normal(r);
  case ORACLE_SIMPLEX:
    return t == i % d ? 1 + i / d : 0.0;
  case ORACLE_GRID:
    return grid_coordinate(n, d, i, t);
  case ORACLE_DENORMAL:
    return (oracle_below(r, 101) - 50) * 0x1p-149;
  case ORACLE_LARGEST:
    return oracle_bfloat16((2.0 * oracle_uniform(r) - 1.0) * 3.38e38);
  case ORACLE_BFLOAT16:
    return oracle_bfloat16(oracle_normal(r) * exp(sin(t)));
  case ORACLE_SPREAD:
    return t == 0 ? 1.0 : 1e-20 * oracle_normal(r);
  default:
    return oracle_normal(r);
  }
}

/* The token whose vector token i takes, itself for most kinds; -1: zero. */
static int original(oracle_kind kind, oracle_random *r, int n, int i) {
  if (kind == ORACLE_EQUAL) return 0;
  if (kind == ORACLE_ZEROS && i % 3 == 1) return -1;
  return kind == ORACLE_REPEATED && i > n / 3 ? oracle_below(r, n / 3 + 1) : i;
}

tg_cloud oracle_cloud(oracle_kind kind, int n, int d, uint64_t seed) {
  oracle_random r = {seed * 1000003u + (uint64_t)kind};
  float *x;
  const tg_cloud c = oracle_cloud_zeros(n, d, &x);
  for (ptrdiff_t i = 0; i < n; i++) {
    const int from = original(kind, &r, n, (int)i);
    for (int t = 0; from == i && t < d; t++) /* adding 0 turns -0 into +0 */
      x[i * c.ld + t] = (float)coordinate(kind, &r, seed, n, d, (int)i, t) + 0.0f;
    if (from >= 0 && from != i) memcpy(x + i * c.ld, x + (ptrdiff_t)from * c.ld, (size_t)c.ld * sizeof *x);
  }
  return c;
}

/* ---- distances and neighbors ---- */

double oracle_d2(const tg_cloud *c, int i, int j) {
  const float *a = c->x + (ptrdiff_t)i * c->ld, *b = c->x + (ptrdiff_t)j * c->ld;
  double sum = 0.0;
  for (int t = 0; t < c->d; t++) {
    const double u = (double)a[t] - (double)b[t];
    sum += u * u;
  }
  return sum;
}

oracle_quad oracle_d2_quad(const tg_cloud *c, int i, int j) {
  const float *a = c->x + (ptrdiff_t)i * c->ld, *b = c->x + (ptrdiff_t)j * c->ld;
  oracle_quad sum = 0;
  for (int t = 0; t < c->d; t++) {
    if (a[t] == b[t]) continue;
    const oracle_quad u = (oracle_quad)a[t] - (oracle_quad)b[t];
    sum += u * u;
  }
  return sum;
}

oracle_quad oracle_d2_quad64(const tg_cloud64 *c, int i, int j) {
  const double *a = c->x + (ptrdiff_t)i * c->ld, *b = c->x + (ptrdiff_t)j * c->ld;
  oracle_quad sum = 0;
  for (int t = 0; t < c->d; t++) {
    const oracle_quad u = (oracle_quad)a[t] - (oracle_quad)b[t];
    sum += u * u;
  }
  return sum;
}

/* A float32 is m 2^(shift - 149) with a whole number m below 2^24 in size. */
typedef struct {
  int64_t m;
  int shift;
} whole;

static whole whole_of(float x) {
  int exponent;
  const double fraction = frexp((double)x, &exponent);
  const int shift = exponent - 24 < -149 ? 0 : exponent - 24 + 149;
  return (whole){(int64_t)ldexp(fraction, exponent + 149 - shift), shift};
}

/* sum += m 2^shift, |m| < 2^32; carries wait. */
static void add_shifted(oracle_integer *sum, int64_t m, int shift) {
  const int64_t sign = m < 0 ? -1 : 1;
  const uint64_t bits = (uint64_t)(sign * m) << (shift % 32);
  sum->digit[shift / 32] += sign * (int64_t)(bits & 0xffffffffu);
  sum->digit[shift / 32 + 1] += sign * (int64_t)(bits >> 32);
}

static void add_product(oracle_integer *sum, whole a, whole b, int64_t factor) {
  const int64_t high = b.m / 4096, low = b.m % 4096; /* factors of 24 + 12 + 1 bits would be too long together */
  const int64_t m_high = a.m / 4096, m_low = a.m % 4096;
  add_shifted(sum, factor * m_low * low, a.shift + b.shift);
  add_shifted(sum, factor * m_low * high, a.shift + b.shift + 12);
  add_shifted(sum, factor * m_high * low, a.shift + b.shift + 12);
  add_shifted(sum, factor * m_high * high, a.shift + b.shift + 24);
}

oracle_integer oracle_d2_exact(const tg_cloud *c, int i, int j) {
  const float *x = c->x + (ptrdiff_t)i * c->ld, *y = c->x + (ptrdiff_t)j * c->ld;
  oracle_integer sum = {{0}};
  for (int t = 0; t < c->d; t++) {
    if (x[t] == y[t]) continue;
    const whole a = whole_of(x[t]), b = whole_of(y[t]);
    add_product(&sum, a, a, 1);
    add_product(&sum, a, b, -2);
    add_product(&sum, b, b, 1);
  }
  for (int q = 0; q + 1 < ORACLE_DIGITS; q++) {
    const int64_t digit = sum.digit[q] & 0xffffffff;
    sum.digit[q + 1] += (sum.digit[q] - digit) / 4294967296;
    sum.digit[q] = digit;
  }
  return sum;
}

int oracle_compare(const oracle_integer *a, const oracle_integer *b) {
  for (int q = ORACLE_DIGITS - 1; q >= 0; q--)
    if (a->digit[q] != b->digit[q]) return a->digit[q] < b->digit[q] ? -1 : 1;
  return 0;
}

double oracle_gap(const oracle_integer *a, const oracle_integer *b) {
  double gap = 0.0, size = 0.0; /* in units of 2^-298: at most 2^640 */
  for (int q = ORACLE_DIGITS - 1; q >= 0; q--) {
    gap += ldexp((double)(a->digit[q] - b->digit[q]), 32 * q);
    size += ldexp((double)b->digit[q], 32 * q);
  }
  return gap == 0.0 ? 0.0 : fabs(gap) / size;
}

typedef struct {
  double d2;
  oracle_integer exact;
  int32_t j;
} neighbor;

static int by_d2(const void *a, const void *b) {
  const neighbor *x = a, *y = b;
  if (x->d2 != y->d2) return x->d2 < y->d2 ? -1 : 1;
  return (x->j > y->j) - (x->j < y->j);
}

static int by_exact(const void *a, const void *b) {
  const neighbor *x = a, *y = b;
  const int order = oracle_compare(&x->exact, &y->exact);
  return order ? order : (x->j > y->j) - (x->j < y->j);
}

static bool same_token(const tg_cloud *c, int i, int j) {
  return memcmp(c->x + (ptrdiff_t)i * c->ld, c->x + (ptrdiff_t)j * c->ld, (size_t)c->d * sizeof *c->x) == 0;
}

static void order_exactly(const tg_cloud *c, int i, neighbor *e, int count) {
  for (int a = 0; a < count; a++) {
    const bool repeated = a > 0 && same_token(c, e[a].j, e[a - 1].j); /* saves time */
    e[a].exact = repeated ? e[a - 1].exact : oracle_d2_exact(c, i, e[a].j);
  }
  qsort(e, (size_t)count, sizeof *e, by_exact);
}

void oracle_order(const tg_cloud *c, const int32_t *tokens, int m, int row, int32_t *order, double *d2) {
  neighbor *e = oracle_memory(m, sizeof *e);
  const int i = tokens ? tokens[row] : row;
  int count = 0;
  for (int a = 0; a < m; a++) {
    const int32_t j = tokens ? tokens[a] : a;
    if (a != row) e[count++] = (neighbor){oracle_d2(c, i, j), {{0}}, j};
  }
  qsort(e, (size_t)count, sizeof *e, by_d2);
  const double limit = 2.0 * (c->d + 2) * DBL_EPSILON;
  for (int a = 0, end; a < count; a = end) {
    for (end = a + 1; end < count && e[end].d2 - e[end - 1].d2 <= limit * e[end].d2; end++) {}
    if (end - a > 1) order_exactly(c, i, e + a, end - a);
  }
  for (int a = 0; a < count; a++) {
    order[a] = e[a].j;
    d2[a] = e[a].d2;
  }
  free(e);
}

void oracle_lists(const tg_cloud *c, int k, int32_t *index, double *d2) {
  int32_t *order = oracle_memory(c->n, sizeof *order);
  double *all = oracle_memory(c->n, sizeof *all);
  for (ptrdiff_t i = 0; i < c->n; i++) {
    oracle_order(c, NULL, c->n, (int)i, order, all);
    memcpy(index + i * k, order, (size_t)k * sizeof *order);
    memcpy(d2 + i * k, all, (size_t)k * sizeof *all);
  }
  free(order);
  free(all);
}

int oracle_distinct(const tg_cloud *c, int32_t *first) {
  int count = 0;
  for (int i = 0; i < c->n; i++) {
    bool is_new = true;
    for (int a = 0; a < count && is_new; a++) is_new = !same_token(c, i, first[a]);
    if (is_new) first[count++] = i;
  }
  return count;
}

/* ---- lists ---- */

void oracle_overlap(const int32_t *a, const int32_t *b, int n, int stride, int k, double *value) {
  for (int q = 1; q <= k; q++) {
    double common = 0.0;
    for (ptrdiff_t i = 0; i < n; i++)
      for (int s = 0; s < q; s++)
        for (int t = 0; t < q; t++) common += a[i * stride + s] == b[i * stride + t];
    value[q - 1] = common / ((double)n * q);
  }
}

void oracle_reciprocity(const int32_t *index, int n, int stride, int k, double *value) {
  for (int q = 1; q <= k; q++) {
    double both = 0.0;
    for (ptrdiff_t i = 0; i < n; i++)
      for (int s = 0; s < q; s++)
        for (int t = 0; t < q; t++) both += index[(ptrdiff_t)index[i * stride + s] * stride + t] == i;
    value[q - 1] = both / ((double)n * q);
  }
}

/* ---- cosines ---- */

static long double dot(const tg_cloud *c, int i, int j) {
  const float *a = c->x + (ptrdiff_t)i * c->ld, *b = c->x + (ptrdiff_t)j * c->ld;
  long double sum = 0;
  for (int t = 0; t < c->d; t++) sum += (long double)a[t] * (long double)b[t];
  return sum;
}

oracle_cosines oracle_cosine(const tg_cloud *c) {
  const ptrdiff_t n = c->n;
  long double *cosine = oracle_memory((double)n * (double)n, sizeof *cosine), *norm = oracle_memory(c->n, sizeof *norm);
  long double sum = 0, diagonal = 0, squares = 0;
  int n_zero = 0;
  for (int i = 0; i < n; i++) {
    norm[i] = sqrtl(dot(c, i, i));
    n_zero += norm[i] == 0;
    for (int j = 0; j <= i; j++) {
      const long double value = norm[i] > 0 && norm[j] > 0 ? dot(c, i, j) / (norm[i] * norm[j]) : 0;
      cosine[i * n + j] = cosine[j * n + i] = value;
      sum += i == j ? value : 2 * value;
      diagonal += i == j ? value : 0;
    }
  }
  const long double all = (long double)n * (long double)n, mean = sum / all;
  for (ptrdiff_t p = 0; p < n * n; p++) squares += (cosine[p] - mean) * (cosine[p] - mean);
  free(cosine);
  free(norm);
  return (oracle_cosines){(double)mean, (double)sqrtl(squares / all),
                          n > 1 ? (double)((sum - diagonal) / (all - (long double)n)) : NAN, n_zero};
}

/* ---- angles ---- */

double oracle_angle(const tg_cloud *c, int i, int a, int b) {
  const float *x = c->x + (ptrdiff_t)i * c->ld, *y = c->x + (ptrdiff_t)a * c->ld, *z = c->x + (ptrdiff_t)b * c->ld;
  long double u2 = 0, v2 = 0, minus = 0, plus = 0;
  for (int t = 0; t < c->d; t++) {
    const long double u = (long double)y[t] - (long double)x[t], v = (long double)z[t] - (long double)x[t];
    u2 += u * u;
    v2 += v * v;
  }
  if (u2 == 0 || v2 == 0) return NAN;
  const long double norm_u = sqrtl(u2), norm_v = sqrtl(v2);
  for (int t = 0; t < c->d; t++) {
    const long double u = ((long double)y[t] - (long double)x[t]) / norm_u;
    const long double v = ((long double)z[t] - (long double)x[t]) / norm_v;
    minus += (u - v) * (u - v);
    plus += (u + v) * (u + v);
  }
  return (double)(2 * atan2l(sqrtl(minus), sqrtl(plus)) * 180 / acosl(-1.0L));
}

/* ---- GRIDE ---- */

static int ascending(const void *a, const void *b) {
  const double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static double percentile(const double *sorted, int n, double q) {
  const double place = q * (n - 1);
  const int below = (int)floor(place), above = below + 1 < n ? below + 1 : below;
  return sorted[below] + (place - below) * (sorted[above] - sorted[below]);
}

/* sum_i [ (1 - n2 + n1) / (1 - mu^-d) + n2 - 1 ] ln mu - (M - 1) / d, 1 - mu^-d above 2e-7 */
static long double condition(const double *mu, int count, int n2, long double d) {
  long double sum = 0;
  for (int i = 0; i < count; i++) {
    const long double log_mu = logl((long double)mu[i]), rest = -expm1l(-d * log_mu);
    sum += ((1 - n2 + n2 / 2) / fmaxl(rest, 2e-7L) + n2 - 1) * log_mu;
  }
  return sum - (count - 1) / d;
}

static double bisect(const double *mu, int count, int n2) {
  long double low = 0.001L, high = 1000;
  if (count < 2 || !(condition(mu, count, n2, low) <= 0 && condition(mu, count, n2, high) > 0)) return NAN;
  for (int step = 0; step < 70; step++) {
    const long double middle = (low + high) / 2;
    if (condition(mu, count, n2, middle) > 0)
      high = middle;
    else
      low = middle;
  }
  return (double)low;
}

static double error_of(const double *mu, int n, int n2, double d) {
  long double sum = n / ((long double)d * d);
  for (int i = 0; i < n; i++) {
    const long double log_mu = logl((long double)mu[i]), power = expl(-d * log_mu);
    const long double ratio = log_mu / fmaxl(-expm1l(-d * log_mu), 5 * (long double)DBL_EPSILON);
    sum += (n2 - n2 / 2 - 1) * ratio * ratio * power;
  }
  return (double)(1 / sqrtl(sum));
}

oracle_grides oracle_gride(const double *inner2, const double *outer2, int n, int n2) {
  double *mu = oracle_memory(n, sizeof *mu), *sorted = oracle_memory(n, sizeof *sorted), radius = 0.0;
  for (int i = 0; i < n; i++) {
    mu[i] = sqrt(outer2[i]) / sqrt(inner2[i]);
    if (mu[i] == 1.0) mu[i] += 10.0 * DBL_EPSILON;
    sorted[i] = mu[i];
    radius += (sqrt(inner2[i]) + sqrt(outer2[i])) / 2.0 / n;
  }
  qsort(sorted, (size_t)n, sizeof *sorted, ascending);
  const double q50 = percentile(sorted, n, 0.5), limit = q50 + 20.0 * (percentile(sorted, n, 0.95) - q50);
  int kept = 0;
  for (int i = 0; i < n; i++)
    if (mu[i] < limit) sorted[kept++] = mu[i];
  const double d = bisect(sorted, kept, n2);
  const oracle_grides out = {d, isnan(d) ? NAN : error_of(mu, n, n2, d), radius};
  free(mu);
  free(sorted);
  return out;
}

oracle_grides oracle_cloud_gride(const tg_cloud *c, int n2) {
  int32_t *first = oracle_memory(c->n, sizeof *first), *order = oracle_memory(c->n, sizeof *order);
  double *d2 = oracle_memory(c->n, sizeof *d2), *inner2 = oracle_memory(c->n, sizeof *inner2),
         *outer2 = oracle_memory(c->n, sizeof *outer2);
  const int m = oracle_distinct(c, first);
  oracle_grides out = {NAN, NAN, NAN};
  if (n2 <= m - 1) {
    for (int a = 0; a < m; a++) {
      oracle_order(c, first, m, a, order, d2);
      inner2[a] = d2[n2 / 2 - 1];
      outer2[a] = d2[n2 - 1];
    }
    out = oracle_gride(inner2, outer2, m, n2);
  }
  free(first);
  free(order);
  free(d2);
  free(inner2);
  free(outer2);
  return out;
}

bool oracle_near(const char *what, double a, double b, double absolute, double relative) {
  const bool ok = isnan(b) ? isnan(a) : a == b || fabs(a - b) <= absolute + relative * fabs(b);
  if (!ok) printf("\n    %s: %.17g, expected %.17g ", what, a, b);
  return ok;
}
