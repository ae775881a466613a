#include "geometry/ties.h"

#include "base/memory.h"
#include "geometry/distance.h"
#include <float.h>
#include <math.h>
#include <stdlib.h>

static int width_of(const tg_ties *t) { return t->c ? t->c->d : t->c64->d; }

/* ---- what has no rounding ---- */

/* Widens lowest..highest to the bits that the numbers x use. */
static void widen_bits(const float *x, int count, int *lowest, int *highest) {
  for (int t = 0; t < count; t++) {
    if (x[t] == 0.0f) continue;
    int exponent;
    const int32_t digits = (int32_t)ldexpf(frexpf(x[t], &exponent), FLT_MANT_DIG);
    const int last = exponent - FLT_MANT_DIG + __builtin_ctz((unsigned)digits);
    *lowest = last < *lowest ? last : *lowest;
    *highest = exponent > *highest ? exponent : *highest;
  }
}

/* What of this cloud's arithmetic has no rounding. All values are multiples of q, their differences below 2^b q in size: with d (2^b)^2
 * <= 2^53 the float64 sums are exact, and with 6 d times that <= 2^106 the double-double ones, whose error of less than 3 d 2^-106 of
 * the sum is less than half of q^2, of which all that happens on the way is a multiple. */
static tg_exactness exactness_of(const tg_cloud *c) {
  int lowest = 1024, highest = -1074;
  float x[TG_DISTANCE_BLOCK];
  for (int i = 0; i < c->n; i++)
    for (int first = 0; first < c->ld; first += TG_DISTANCE_BLOCK) {
      const int length = c->ld - first < TG_DISTANCE_BLOCK ? c->ld - first : TG_DISTANCE_BLOCK;
      tg_cloud_block(c, i, 1, first, length, x, TG_DISTANCE_BLOCK);
      widen_bits(x, length, &lowest, &highest);
      if (highest - lowest > 52) return TG_EXACT_NOTHING;
    }
  const double bits = highest < lowest ? 0.0 : 2.0 * (highest - lowest + 1) + log2(c->d);
  return bits <= 53.0 ? TG_EXACT_SUMS : bits + log2(6.0 * c->d) <= 106.0 ? TG_EXACT_DOUBLE2 : TG_EXACT_NOTHING;
}

static int by_distance(const void *a, const void *b) {
  const tg_decided *x = a, *y = b;
  if (x->hi != y->hi) return x->hi < y->hi ? -1 : 1;
  if (x->lo != y->lo) return x->lo < y->lo ? -1 : 1;
  return (x->j > y->j) - (x->j < y->j);
}

/* Whether a run is of one vector, repeated: then its order is that of the tokens, as it stands. */
static int is_one_vector(const tg_cloud *c, const tg_decided *e, int count) {
  for (int b = 1; b < count; b++)
    if (!tg_cloud_same(c, e[b].j, e[0].j)) return 0;
  return 1;
}

/* Whether the sums without rounding have room for a float64 cloud's numbers. */
static tg_exactness exactness_of64(const tg_cloud64 *c) {
  for (ptrdiff_t a = 0; a < (ptrdiff_t)c->n * c->ld; a++)
    if (c->x[a] != 0.0 && !(fabs(c->x[a]) >= 0x1p-149 && fabs(c->x[a]) < 0x1p128)) return TG_EXACT_DOUBLE2;
  return TG_EXACT_NOTHING;
}

/* ---- ties ---- */

/* A tie of which double-double knows nothing. */
typedef struct {
  tg_expansion d2;
  tg_decided entry;
} tied;

static int by_expansion(const void *a, const void *b) {
  const tied *x = a, *y = b;
  const int order = tg_expansion_compare(&x->d2, &y->d2);
  return order ? order : (x->entry.j > y->entry.j) - (x->entry.j < y->entry.j);
}

static tg_status settle_exactly(tg_ties *t, int32_t i, tg_decided *e, int count) {
  tied *ties = NULL;
  TG_TRY(TG_ALLOC(count, &ties));
  for (int b = 0; b < count; b++) {
    ties[b].entry = e[b];
    if (t->c)
      tg_distance_exact(t->c, i, e[b].j, &ties[b].d2);
    else
      tg_distance_exact64(t->c64, i, e[b].j, &ties[b].d2);
  }
  qsort(ties, (size_t)count, sizeof *ties, by_expansion);
  for (int b = 0; b < count; b++) e[b] = ties[b].entry;
  free(ties);
  return TG_OK;
}

/* A run in the order of double-double, whose error is below (3 d + 8) 2^-106 of a value; nearer ones are ordered without any. */
static tg_status settle_by_double2(tg_ties *t, int32_t i, tg_decided *e, int count) {
  const double limit = 2.0 * (3.0 * width_of(t) + 8.0) * 0x1p-106;
  t->double2_pairs += count;
  for (int b = 0; b < count; b++) {
    const tg_double2 x = t->c ? tg_distance_double2(t->c, i, e[b].j) : tg_distance_double2_64(t->c64, i, e[b].j);
    e[b].hi = x.hi;
    e[b].lo = x.lo;
  }
  qsort(e, (size_t)count, sizeof *e, by_distance);
  if (t->exact == TG_EXACT_DOUBLE2) return TG_OK;
  for (int a = 0, end; a < count; a = end) {
    for (end = a + 1; end < count && (e[end].hi - e[end - 1].hi) + (e[end].lo - e[end - 1].lo) <= limit * e[end].hi;
         end++) {}
    if (end - a > 1 && !(t->c && is_one_vector(t->c, e + a, end - a))) TG_TRY(settle_exactly(t, i, e + a, end - a));
  }
  return TG_OK;
}

/* Runs of values nearer to each other than 4 d eps are put in order by double-double and, where that knows too little, without any
 * rounding; unless the sums are exact as they are. */
static tg_status settle_near_ties(tg_ties *t, int32_t i, tg_decided *e, int count) {
  const double limit = 4.0 * width_of(t) * DBL_EPSILON;
  for (int a = 0, end; a < count; a = end) {
    for (end = a + 1; end < count && e[end].hi - e[end - 1].hi <= limit * e[end].hi; end++) {}
    if (end - a == 1 || e[end - 1].hi == 0.0 || (t->c && is_one_vector(t->c, e + a, end - a))) continue;
    if (t->exact == TG_EXACT_UNKNOWN) t->exact = t->c ? exactness_of(t->c) : exactness_of64(t->c64);
    if (t->exact != TG_EXACT_SUMS) TG_TRY(settle_by_double2(t, i, e + a, end - a));
  }
  return TG_OK;
}

tg_status tg_ties_order(tg_ties *t, int32_t i, tg_decided *e, int count) {
  if (count == 1) return TG_OK;
  qsort(e, (size_t)count, sizeof *e, by_distance);
  return settle_near_ties(t, i, e, count);
}
