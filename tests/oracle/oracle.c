#include "oracle.h"

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

void oracle_negate_zeros(tg_cloud *c, uint64_t seed) {
  float *x = (float *)(uintptr_t)c->x;
  oracle_random r = {seed};
  for (ptrdiff_t i = 0; i < c->n; i++)
    for (int t = 0; t < c->d; t++)
      if (x[i * c->ld + t] == 0.0f && oracle_below(&r, 3) == 0) x[i * c->ld + t] = -0.0f;
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

/* A test has nothing to do without memory. */
static void expect(tg_status st) {
  if (st == TG_OK) return;
  fprintf(stderr, "%s\n", tg_last_error());
  exit(EXIT_FAILURE);
}

void oracle_order(const tg_cloud *c, const int32_t *tokens, int m, int row, int32_t *order, double *d2) {
  expect(tg_plain_order(c, tokens, m, row, order, d2));
}

oracle_cosines oracle_cosine(const tg_cloud *c) {
  oracle_cosines out;
  expect(tg_plain_cosine(c, &out));
  return out;
}

oracle_grides oracle_gride(const double *inner2, const double *outer2, int n, int n2) {
  oracle_grides out;
  expect(tg_plain_gride(inner2, outer2, n, n2, &out));
  return out;
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
