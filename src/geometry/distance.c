#include "geometry/distance.h"

#include "geometry/distance_kernels.h"
#include <math.h>

static int block_length(int ld, int first) { return ld - first < TG_DISTANCE_BLOCK ? ld - first : TG_DISTANCE_BLOCK; }

void tg_distance_pairs(const tg_cloud *c, tg_pair *pairs, size_t n_pairs) {
  for (int first = 0; first < c->ld; first += TG_DISTANCE_BLOCK)
    tg_pairs_block(c, first, block_length(c->ld, first), pairs, n_pairs);
}

void tg_distance_pairs64(const tg_cloud64 *c, tg_pair *pairs, size_t n_pairs) {
  for (int first = 0; first < c->ld; first += TG_DISTANCE_BLOCK)
    tg_pairs_block64(c, first, block_length(c->ld, first), pairs, n_pairs);
}

void tg_distance_dots(const tg_cloud *c, const int32_t *a_of, const int32_t *b_of, ptrdiff_t stride, double *dots) {
  for (int first = 0; first < c->ld; first += TG_DISTANCE_BLOCK)
    tg_dots_block(c, first, block_length(c->ld, first), a_of, b_of, stride, dots);
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
  const float *a = c->x + (ptrdiff_t)i * c->ld, *b = c->x + (ptrdiff_t)j * c->ld;
  tg_double2 sum = {0.0, 0.0};
  for (int t = 0; t < c->d; t++) sum = add(sum, squared_difference(a[t], b[t]));
  return sum;
}

tg_double2 tg_distance_double2_64(const tg_cloud64 *c, int i, int j) {
  const double *a = c->x + (ptrdiff_t)i * c->ld, *b = c->x + (ptrdiff_t)j * c->ld;
  tg_double2 sum = {0.0, 0.0};
  for (int t = 0; t < c->d; t++) sum = add(sum, squared_difference(a[t], b[t]));
  return sum;
}
