#include "geometry/distance.h"

#include "geometry/distance_kernels.h"
#include <math.h>

static int block_length(int ld, int first) { return ld - first < TG_DISTANCE_BLOCK ? ld - first : TG_DISTANCE_BLOCK; }

void tg_distance_batch(const tg_cloud *c, float *panel, tg_pair *pairs, size_t n_pairs, double *dots) {
  for (int first = 0; first < c->ld; first += TG_DISTANCE_BLOCK) {
    const int length = block_length(c->ld, first);
    tg_cloud_block(c, 0, c->n, first, length, panel, TG_DISTANCE_BLOCK);
    tg_pairs_block(panel, length, first > 0, pairs, n_pairs, dots);
  }
}

void tg_distance_pair(const tg_cloud *c, tg_pair *pair) {
  float panel[2 * TG_DISTANCE_BLOCK] __attribute__((aligned(64)));
  tg_pair here = {0, 1, 0.0};
  for (int first = 0; first < c->ld; first += TG_DISTANCE_BLOCK) {
    const int length = block_length(c->ld, first);
    tg_cloud_block(c, pair->i, 1, first, length, panel, TG_DISTANCE_BLOCK);
    tg_cloud_block(c, pair->j, 1, first, length, panel + TG_DISTANCE_BLOCK, TG_DISTANCE_BLOCK);
    tg_pairs_block(panel, length, first > 0, &here, 1, NULL);
  }
  pair->d2 = here.d2;
}

void tg_distance_corner(const tg_cloud *c, tg_corner *corner) {
  float panel[3 * TG_DISTANCE_BLOCK] __attribute__((aligned(64)));
  tg_pair here[2] = {{0, 1, 0.0}, {0, 2, 0.0}};
  const int32_t rows[3] = {corner->i, corner->a, corner->b};
  for (int first = 0; first < c->ld; first += TG_DISTANCE_BLOCK) {
    const int length = block_length(c->ld, first);
    for (int a = 0; a < 3; a++)
      tg_cloud_block(c, rows[a], 1, first, length, panel + a * TG_DISTANCE_BLOCK, TG_DISTANCE_BLOCK);
    tg_pairs_block(panel, length, first > 0, here, 2, &corner->dot);
  }
}

void tg_distance_pairs64(const tg_cloud64 *c, tg_pair *pairs, size_t n_pairs) {
  for (int first = 0; first < c->ld; first += TG_DISTANCE_BLOCK)
    tg_pairs_block64(c, first, block_length(c->ld, first), pairs, n_pairs);
}

static inline tg_double2 two_sum(double a, double b) {
  const double s = a + b, v = s - a;
  return (tg_double2){s, (a - (s - v)) + (b - v)};
}

static inline tg_double2 fast_two_sum(double a, double b) { /* |a| >= |b| */
  const double s = a + b;
  return (tg_double2){s, b - (s - a)};
}

/* (a - b)^2 without loss but for 2 ulp of the double-double product. */
static inline tg_double2 squared_difference(double a, double b) {
  const tg_double2 u = two_sum(a, -b);
  const double p = u.hi * u.hi;
  const double e = fma(u.hi, u.hi, -p) + (2.0 * u.hi * u.lo + u.lo * u.lo);
  return fast_two_sum(p, e);
}

/* Accurate double-double addition (both low parts with their own two_sum). */
static inline tg_double2 add(tg_double2 a, tg_double2 b) {
  tg_double2 s = two_sum(a.hi, b.hi), e = two_sum(a.lo, b.lo);
  s = fast_two_sum(s.hi, s.lo + e.hi);
  return fast_two_sum(s.hi, s.lo + e.lo);
}

tg_double2 tg_distance_double2(const tg_cloud *c, int i, int j) {
  float a[TG_DISTANCE_BLOCK], b[TG_DISTANCE_BLOCK];
  tg_double2 sum = {0.0, 0.0};
  for (int first = 0; first < c->ld; first += TG_DISTANCE_BLOCK) {
    const int length = block_length(c->ld, first);
    tg_cloud_block(c, i, 1, first, length, a, TG_DISTANCE_BLOCK);
    tg_cloud_block(c, j, 1, first, length, b, TG_DISTANCE_BLOCK);
    for (int t = 0; t < length; t++) sum = add(sum, squared_difference(a[t], b[t]));
  }
  return sum;
}

void tg_distance_exact(const tg_cloud *c, int i, int j, tg_expansion *out) {
  float a[TG_DISTANCE_BLOCK], b[TG_DISTANCE_BLOCK];
  out->n = 0;
  for (int first = 0; first < c->ld; first += TG_DISTANCE_BLOCK) {
    const int length = block_length(c->ld, first);
    tg_cloud_block(c, i, 1, first, length, a, TG_DISTANCE_BLOCK);
    tg_cloud_block(c, j, 1, first, length, b, TG_DISTANCE_BLOCK);
    for (int t = 0; t < length; t++)
      if (a[t] != b[t]) tg_expansion_add_square(out, a[t], b[t]);
  }
}

tg_double2 tg_distance_double2_64(const tg_cloud64 *c, int i, int j) {
  const double *a = c->x + (ptrdiff_t)i * c->ld, *b = c->x + (ptrdiff_t)j * c->ld;
  tg_double2 sum = {0.0, 0.0};
  for (int t = 0; t < c->d; t++) sum = add(sum, squared_difference(a[t], b[t]));
  return sum;
}

void tg_distance_exact64(const tg_cloud64 *c, int i, int j, tg_expansion *out) {
  const double *a = c->x + (ptrdiff_t)i * c->ld, *b = c->x + (ptrdiff_t)j * c->ld;
  out->n = 0;
  for (int t = 0; t < c->d; t++)
    if (a[t] != b[t]) tg_expansion_add_square(out, a[t], b[t]);
}
