/* Squared distances by direct differences in float64: the definition, with a fixed order of summation.
 * Local: no communication, no files, no allocation but the workspace's. */
#ifndef TG_DISTANCE_H
#define TG_DISTANCE_H

#include "geometry/cloud.h"
#include "geometry/expansion.h"
#include <stddef.h>
#include <stdint.h>

/* Coordinates summed at a time: a block of 1024 tokens as float32 stays in the second-level cache. */
enum { TG_DISTANCE_BLOCK = 256 };

/** A pair of tokens whose squared distance is wanted, and the answer. */
typedef struct {
  int32_t i, j;
  double d2;
} tg_pair;

/** A token and two others, and the answer: dot = (x_a - x_i) . (x_b - x_i). */
typedef struct {
  int32_t i, a, b;
  double dot;
} tg_corner;

/** Fills pairs[p].d2 = sum_t (x_it - x_jt)^2 in one pass over the cloud.
 *  panel   [n][TG_DISTANCE_BLOCK] scratch, 64-byte aligned
 *  dots    a number for every run of pairs with the same i, in their order: (x_a - x_i) . (x_b - x_i) for the first two
 *          pairs (i, a) and (i, b) of the run, which must have two; NULL: not wanted
 *  error   relative below 2 d eps for d2; below 2 d eps |x_a - x_i| |x_b - x_i| for dots
 *  Sums run over blocks of TG_DISTANCE_BLOCK coordinates, in each over TG_LANES lanes, then over a binary tree: the value
 *  depends on the rows alone. Pairs sorted by i are fastest. */
void tg_distance_batch(const tg_cloud *c, float *panel, tg_pair *pairs, size_t n_pairs, double *dots);

/** The same bits for a few, without scratch and without touching other rows. */
void tg_distance_pair(const tg_cloud *c, tg_pair *pair);
void tg_distance_corner(const tg_cloud *c, tg_corner *corner);

/** The same for a float64 cloud. */
void tg_distance_pairs64(const tg_cloud64 *c, tg_pair *pairs, size_t n_pairs);

/** Unevaluated sum of two float64: about 106 bits. */
typedef struct {
  double hi, lo;
} tg_double2;

/** The squared distance in double-double (error-free differences and products: Dekker 1971, Ogita, Rump, Oishi 2005). */
tg_double2 tg_distance_double2(const tg_cloud *c, int i, int j);
tg_double2 tg_distance_double2_64(const tg_cloud64 *c, int i, int j);

/** The squared distance without any rounding. */
void tg_distance_exact(const tg_cloud *c, int i, int j, tg_expansion *out);
void tg_distance_exact64(const tg_cloud64 *c, int i, int j, tg_expansion *out);

#endif
