#include "geometry/distance.h"

#include "base/clones.h"
#include <math.h>

/* Sum of the lanes as a binary tree: ((0+16)+(8+24))+... in an order fixed by the code, not by the vector width. */
static inline double sum_lanes(double lane[TG_LANES]) {
  for (int half = TG_LANES / 2; half > 0; half /= 2)
    for (int q = 0; q < half; q++) lane[q] += lane[q + half];
  return lane[0];
}

#define SQUARED_DISTANCE(a, b, length)                                                                                 \
  double lane[TG_LANES] = {0};                                                                                         \
  for (int t = 0; t < (length); t += TG_LANES)                                                                         \
    for (int q = 0; q < TG_LANES; q++) {                                                                               \
      const double u = (double)(a)[t + q] - (double)(b)[t + q];                                                        \
      lane[q] = fma(u, u, lane[q]);                                                                                    \
    }

/* One block of coordinates of all pairs, added to what the blocks before it gave. */
#define PAIRS_BLOCK(name, cloud)                                                                                       \
  TG_CLONES static void name(const cloud *c, int first, int length, tg_pair *restrict pairs, size_t n_pairs) {         \
    for (size_t p = 0; p < n_pairs; p++) {                                                                             \
      SQUARED_DISTANCE(c->x + (ptrdiff_t)pairs[p].i * c->ld + first, c->x + (ptrdiff_t)pairs[p].j * c->ld + first,     \
                       length)                                                                                         \
      const double sum = sum_lanes(lane);                                                                              \
      pairs[p].d2 = first == 0 ? sum : pairs[p].d2 + sum;                                                              \
    }                                                                                                                  \
  }
PAIRS_BLOCK(pairs_block, tg_cloud)
PAIRS_BLOCK(pairs_block64, tg_cloud64)

static int block_length(int ld, int first) { return ld - first < TG_DISTANCE_BLOCK ? ld - first : TG_DISTANCE_BLOCK; }

void tg_distance_pairs(const tg_cloud *c, tg_pair *pairs, size_t n_pairs) {
  for (int first = 0; first < c->ld; first += TG_DISTANCE_BLOCK)
    pairs_block(c, first, block_length(c->ld, first), pairs, n_pairs);
}

void tg_distance_pairs64(const tg_cloud64 *c, tg_pair *pairs, size_t n_pairs) {
  for (int first = 0; first < c->ld; first += TG_DISTANCE_BLOCK)
    pairs_block64(c, first, block_length(c->ld, first), pairs, n_pairs);
}

TG_CLONES static void dots_block(const tg_cloud *c, int first, int length, const int32_t *a_of, const int32_t *b_of,
                                 ptrdiff_t stride, double *restrict dots) {
  for (ptrdiff_t i = 0; i < c->n; i++) {
    const float *x = c->x + i * c->ld + first;
    const float *a = c->x + (ptrdiff_t)a_of[i * stride] * c->ld + first;
    const float *b = c->x + (ptrdiff_t)b_of[i * stride] * c->ld + first;
    double lane[TG_LANES] = {0};
    for (int t = 0; t < length; t += TG_LANES)
      for (int q = 0; q < TG_LANES; q++) {
        const double u = (double)a[t + q] - (double)x[t + q], v = (double)b[t + q] - (double)x[t + q];
        lane[q] = fma(u, v, lane[q]);
      }
    const double sum = sum_lanes(lane);
    dots[i] = first == 0 ? sum : dots[i] + sum;
  }
}

void tg_distance_dots(const tg_cloud *c, const int32_t *a_of, const int32_t *b_of, ptrdiff_t stride, double *dots) {
  for (int first = 0; first < c->ld; first += TG_DISTANCE_BLOCK)
    dots_block(c, first, block_length(c->ld, first), a_of, b_of, stride, dots);
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
