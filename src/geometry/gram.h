/* The fast pass: a float32 Gram matrix of the centered cloud, with a proved bound on every squared distance that it
 * implies. It proposes; float64 decides. Local: no communication, no files. */
#ifndef TG_GRAM_H
#define TG_GRAM_H

#include "base/status.h"
#include "base/tick.h"
#include "geometry/cloud.h"

/** In units of the cloud times `scale` (a power of two that keeps float32 from overflow):
 *  y_i = float32(scale (x_i - c)), c the mean of the tokens, g_ij = y_i . y_j, half_i = half of norm2_i.
 *
 *  Bound: with e_i = bound * norm2_i + tiny,
 *      | scale^2 |x_i - x_j|^2 - (norm2_i + norm2_j - 2 g_ij) | <= e_i + e_j   for float32 evaluation of the bracket.
 *  Proof. (1) Rounding of y: |y_i - scale (x_i - c)| <= w |y_i| + sqrt(d) 2^-149, w = 2^-24 (1 + 2^-20), so by the
 *  triangle inequality the squared distance of the y differs by at most (2 w + w^2) (|y_i| + |y_j|)^2 + ...
 *  <= 5 w (norm2_i + norm2_j) + tiny. (2) Gram: the coordinates are summed in blocks of at most b, each by BLAS in an
 *  unknown order (Higham, Accuracy and Stability, 2nd ed., section 3.1: error gamma_b sum_t |y_it y_jt| in any order, with
 *  or without fma), and the B block sums one after another: gamma_(b + B) |y_i| |y_j|, doubled for 2 g, at most
 *  gamma_(b + B) (norm2_i + norm2_j). Products that underflow add 2^-149 each. (3) Float32 evaluation of the bracket and
 *  of norm2: 4 roundings of numbers below 2 (norm2_i + norm2_j). bound = gamma_(b + B) + 5 w + 8 u, u = 2^-24. */
typedef struct {
  int n, d, ld;
  float *y;      /* [n][ld] */
  int gld;       /* row stride of g */
  float *g;      /* [n][gld], symmetric */
  float *block;  /* [n][gld], one block's sums; NULL where one block is all */
  float *norm2;  /* [n] */
  double *inner; /* [n] mean . y_i, float64 */
  double *norm;  /* [n] |scale x_i|, float64; 0 for a zero vector */
  double *mean;  /* [ld] scale c, float64 */
  double scale;
  double mean_norm2; /* |scale c|^2 */
  float bound, tiny;
} tg_gram;

/** Allocates for clouds of up to n tokens and width d. errors TG_EINTERNAL. Caller destroys. */
tg_status tg_gram_create(int n, int d, tg_gram **out);
void tg_gram_destroy(tg_gram **gram); /* safe on NULL, leaves NULL */

/** Fills all fields from a finite cloud that fits; tick is called every few milliseconds. cost: n^2 d / 2 multiply-adds in BLAS, four passes over the cloud. */
void tg_gram_compute(tg_gram *gram, const tg_cloud *c, tg_tick tick);

/** The same for a float64 cloud; `norm` and `inner` are of no use there. */
void tg_gram_compute64(tg_gram *gram, const tg_cloud64 *c, tg_tick tick);

#endif
