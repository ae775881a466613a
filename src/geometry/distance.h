/* Squared distances by direct differences in float64: the definition, with a fixed order of summation.
 * Local: no communication, no files, no allocation but the workspace's. */
#ifndef TG_DISTANCE_H
#define TG_DISTANCE_H

#include "geometry/cloud.h"
#include <stddef.h>
#include <stdint.h>

/* Coordinates summed at a time: a block of 1024 tokens stays in the second-level cache. */
enum { TG_DISTANCE_BLOCK = 512 };

/** A pair of tokens whose squared distance is wanted, and the answer. */
typedef struct {
  int32_t i, j;
  double d2;
} tg_pair;

/** Fills pairs[p].d2 = sum_t (x_it - x_jt)^2, p = 0..n_pairs-1; relative error below 2 d eps.
 *  Sums run over blocks of TG_DISTANCE_BLOCK coordinates, in each over TG_LANES lanes, then over a binary tree: the value
 *  depends on the two rows alone. Pairs sorted by i are fastest. */
void tg_distance_pairs(const tg_cloud *c, tg_pair *pairs, size_t n_pairs);
void tg_distance_pairs64(const tg_cloud64 *c, tg_pair *pairs, size_t n_pairs);

/** dots[i] = (x_a - x_i) . (x_b - x_i) for a = a_of[i * stride], b = b_of[i * stride], i = 0..n-1; the same order of
 *  summation as above. */
void tg_distance_dots(const tg_cloud *c, const int32_t *a_of, const int32_t *b_of, ptrdiff_t stride, double *dots);

/** Unevaluated sum of two float64: about 106 bits. */
typedef struct {
  double hi, lo;
} tg_double2;

/** The squared distance in double-double (error-free differences and products: Dekker 1971, Ogita, Rump, Oishi 2005). */
tg_double2 tg_distance_double2(const tg_cloud *c, int i, int j);
tg_double2 tg_distance_double2_64(const tg_cloud64 *c, int i, int j);

#endif
