#include "verify/plain.h"

#include "base/memory.h"
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- distances and neighbors ---- */

double tg_plain_d2(const tg_cloud *c, int i, int j) {
  const float *a = c->x + (ptrdiff_t)i * c->ld, *b = c->x + (ptrdiff_t)j * c->ld;
  double sum = 0.0;
  for (int t = 0; t < c->d; t++) {
    const double u = (double)a[t] - (double)b[t];
    sum += u * u;
  }
  return sum;
}

double tg_plain_norm2(const tg_cloud *c, int i) {
  double sum = 0.0;
  for (int t = 0; t < c->d; t++) sum += (double)c->x[(ptrdiff_t)i * c->ld + t] * (double)c->x[(ptrdiff_t)i * c->ld + t];
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
static void add_shifted(tg_plain_integer *sum, int64_t m, int shift) {
  const int64_t sign = m < 0 ? -1 : 1;
  const uint64_t bits = (uint64_t)(sign * m) << (shift % 32);
  sum->digit[shift / 32] += sign * (int64_t)(bits & 0xffffffffu);
  sum->digit[shift / 32 + 1] += sign * (int64_t)(bits >> 32);
}

static void add_product(tg_plain_integer *sum, whole a, whole b, int64_t factor) {
  const int64_t high = b.m / 4096, low = b.m % 4096; /* factors of 24 + 12 + 1 bits would be too long together */
  const int64_t m_high = a.m / 4096, m_low = a.m % 4096;
  add_shifted(sum, factor * m_low * low, a.shift + b.shift);
  add_shifted(sum, factor * m_low * high, a.shift + b.shift + 12);
  add_shifted(sum, factor * m_high * low, a.shift + b.shift + 12);
  add_shifted(sum, factor * m_high * high, a.shift + b.shift + 24);
}

/* Carries done: digits 0..2^32-1. */
static tg_plain_integer carried(tg_plain_integer sum) {
  for (int q = 0; q + 1 < TG_PLAIN_DIGITS; q++) {
    const int64_t digit = sum.digit[q] & 0xffffffff;
    sum.digit[q + 1] += (sum.digit[q] - digit) / 4294967296;
    sum.digit[q] = digit;
  }
  return sum;
}

tg_plain_integer tg_plain_d2_exact(const tg_cloud *c, int i, int j) {
  const float *x = c->x + (ptrdiff_t)i * c->ld, *y = c->x + (ptrdiff_t)j * c->ld;
  tg_plain_integer sum = {{0}};
  for (int t = 0; t < c->d; t++) {
    if (x[t] == y[t]) continue;
    const whole a = whole_of(x[t]), b = whole_of(y[t]);
    add_product(&sum, a, a, 1);
    add_product(&sum, a, b, -2);
    add_product(&sum, b, b, 1);
  }
  return carried(sum);
}

tg_plain_integer tg_plain_norm2_exact(const tg_cloud *c, int i) {
  tg_plain_integer sum = {{0}};
  for (int t = 0; t < c->d; t++) {
    const whole a = whole_of(c->x[(ptrdiff_t)i * c->ld + t]);
    add_product(&sum, a, a, 1);
  }
  return carried(sum);
}

int tg_plain_compare(const tg_plain_integer *a, const tg_plain_integer *b) {
  for (int q = TG_PLAIN_DIGITS - 1; q >= 0; q--)
    if (a->digit[q] != b->digit[q]) return a->digit[q] < b->digit[q] ? -1 : 1;
  return 0;
}

typedef struct {
  double d2;
  tg_plain_integer exact;
  int32_t j;
} neighbor;

static int by_d2(const void *a, const void *b) {
  const neighbor *x = a, *y = b;
  if (x->d2 != y->d2) return x->d2 < y->d2 ? -1 : 1;
  return (x->j > y->j) - (x->j < y->j);
}

static int by_exact(const void *a, const void *b) {
  const neighbor *x = a, *y = b;
  const int order = tg_plain_compare(&x->exact, &y->exact);
  return order ? order : (x->j > y->j) - (x->j < y->j);
}

static bool same_token(const tg_cloud *c, int i, int j) {
  for (int t = 0; t < c->d; t++)
    if (c->x[(ptrdiff_t)i * c->ld + t] != c->x[(ptrdiff_t)j * c->ld + t]) return false;
  return true;
}

static void order_exactly(const tg_cloud *c, int i, neighbor *e, int count) {
  for (int a = 0; a < count; a++) {
    const bool repeated = a > 0 && same_token(c, e[a].j, e[a - 1].j); /* saves time */
    e[a].exact = repeated ? e[a - 1].exact : tg_plain_d2_exact(c, i, e[a].j);
  }
  qsort(e, (size_t)count, sizeof *e, by_exact);
}

tg_status tg_plain_order(const tg_cloud *c, const int32_t *tokens, int m, int row, int32_t *order, double *d2) {
  neighbor *e = NULL;
  TG_TRY(TG_ALLOC(m, &e));
  const int i = tokens ? tokens[row] : row;
  int count = 0;
  for (int a = 0; a < m; a++) {
    const int32_t j = tokens ? tokens[a] : a;
    if (a != row) e[count++] = (neighbor){tg_plain_d2(c, i, j), {{0}}, j};
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
  return TG_OK;
}

int tg_plain_distinct(const tg_cloud *c, int32_t *first) {
  int count = 0;
  for (int i = 0; i < c->n; i++) {
    bool is_new = true;
    for (int a = 0; a < count && is_new; a++) is_new = !same_token(c, i, first[a]);
    if (is_new) first[count++] = i;
  }
  return count;
}

/* ---- lists ---- */

void tg_plain_overlap(const int32_t *a, const int32_t *b, int n, int stride, int k, double *value) {
  for (int q = 1; q <= k; q++) {
    double common = 0.0;
    for (ptrdiff_t i = 0; i < n; i++)
      for (int s = 0; s < q; s++)
        for (int t = 0; t < q; t++) common += a[i * stride + s] == b[i * stride + t];
    value[q - 1] = common / ((double)n * q);
  }
}

void tg_plain_reciprocity(const int32_t *index, int n, int stride, int k, double *value) {
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

static long double cosine_of(const tg_cloud *c, const long double *norm, int i, int j) {
  return norm[i] > 0 && norm[j] > 0 ? dot(c, i, j) / (norm[i] * norm[j]) : 0;
}

/* Twice over the pairs, as a matrix of them would have the square of the tokens. */
tg_status tg_plain_cosine(const tg_cloud *c, tg_cosine *out) {
  const int n = c->n;
  const long double all = (long double)n * (long double)n;
  long double *norm = NULL, sum = 0, diagonal = 0, squares = 0;
  int n_zero = 0;
  TG_TRY(TG_ALLOC(n, &norm));
  for (int i = 0; i < n; i++) {
    norm[i] = sqrtl(dot(c, i, i));
    n_zero += norm[i] == 0;
    diagonal += cosine_of(c, norm, i, i);
    for (int j = 0; j < i; j++) sum += 2 * cosine_of(c, norm, i, j);
  }
  const long double mean = (sum + diagonal) / all;
  for (int i = 0; i < n; i++)
    for (int j = 0; j <= i; j++) {
      const long double difference = cosine_of(c, norm, i, j) - mean;
      squares += (i == j ? 1 : 2) * difference * difference;
    }
  free(norm);
  *out = (tg_cosine){(double)mean, (double)sqrtl(squares / all), n > 1 ? (double)(sum / (all - (long double)n)) : NAN,
                     n_zero};
  return TG_OK;
}

/* ---- angles ---- */

double tg_plain_angle(const tg_cloud *c, int i, int a, int b) {
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
    if (isinf(mu[i])) continue; /* the limit of the term is 0 */
    const long double log_mu = logl((long double)mu[i]), power = expl(-d * log_mu);
    const long double ratio = log_mu / fmaxl(-expm1l(-d * log_mu), 5 * (long double)DBL_EPSILON);
    sum += (n2 - n2 / 2 - 1) * ratio * ratio * power;
  }
  return (double)(1 / sqrtl(sum));
}

tg_status tg_plain_gride(const double *inner2, const double *outer2, int n, int n2, tg_plain_grides *out) {
  double *mu = NULL, radius = 0.0;
  TG_TRY(TG_ALLOC(2 * (size_t)n, &mu));
  double *sorted = mu + n;
  for (int i = 0; i < n; i++) {
    mu[i] = outer2[i] == inner2[i] ? 1.0 : sqrt(outer2[i]) / sqrt(inner2[i]); /* both may be 0 among logits */
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
  *out = (tg_plain_grides){d, isnan(d) ? NAN : error_of(mu, n, n2, d), radius};
  free(mu);
  return TG_OK;
}
