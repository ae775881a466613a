/* The fast pass: a float32 Gram matrix of the cloud, with a proved bound on every squared distance that it implies. It
 * proposes; float64 decides. Local: no communication, no files. */
#ifndef TG_GRAM_H
#define TG_GRAM_H

#include "base/status.h"
#include "base/tick.h"
#include "geometry/cloud.h"
#include "geometry/scan.h"
#include "geometry/tiles.h"

/** Which products a run uses; all ranks of a run the same one. */
typedef enum {
  TG_KERNEL_FLOAT32,  /* centered cloud, float32 products by OpenBLAS */
  TG_KERNEL_BFLOAT16, /* bfloat16 clouds as they are, bfloat16 products by oneDNN; other clouds as above */
  TG_KERNEL_SPLIT,    /* the same; other clouds centered and split into two bfloat16 parts, unless they are small */
  TG_N_KERNELS
} tg_kernel;
extern const char *const tg_kernel_names[TG_N_KERNELS];

/** The fastest kernel of this build on this CPU, and whether it can run a kernel at all. */
tg_kernel tg_kernel_best(void);
int tg_kernel_runs(tg_kernel kernel);

/* Up to this many tokens the whole matrix is kept, of larger clouds this many rows at a time. */
enum { TG_GRAM_WHOLE = 2048, TG_GRAM_PANEL = 1024 };

/** The matrix is that of vectors y_i, in units of the cloud times `scale`, a power of two:
 *    raw       y_i = x_i, scale 1; bfloat16 clouds whose largest coordinate lies in 2^-30 .. 2^50
 *    centered  y_i = float32(scale (x_i - c)), c the mean of the tokens, scale times the largest coordinate in 1/2 .. 1
 *  g_ij = y_i . y_j, norm2_i = |y_i|^2.
 *  Small is a cloud of n < 64 tokens, or with n d' < 64^2 for its variances v_t, d' = (sum v)^2 / sum v^2 being the number of
 *  coordinates that count: the errors of split numbers, 2^-17 of a coordinate, would not average out in its cosines.
 *
 *  Bound: with e_i = bound * norm2_i + tiny,
 *      | scale^2 |x_i - x_j|^2 - (norm2_i + norm2_j - 2 g_ij) | <= e_i + e_j   for float32 evaluation of the bracket.
 *  Proof; u = 2^-24, gamma_m = m u / (1 - m u).
 *  (1) Gram. The coordinates are summed in B blocks, each made of one to three sums of at most b products by a library, in
 *  an order that nobody documents; we add those (a additions), and the blocks one after another. A sum of b products is
 *  off by at most gamma_b sum_t |y_it y_jt| whatever the order, with fma, rounded products, or exact products as those of
 *  bfloat16 are (Higham, Accuracy and Stability of Numerical Algorithms, 2nd ed., section 3.1, equation 3.5), and our
 *  additions make it gamma_m |y_i| |y_j|, m = b + a + B; doubled for 2 g, at most gamma_m (norm2_i + norm2_j). Raw: blocks
 *  of 512 as two sums of 256; float32: blocks of 512; split: blocks of 256 as three sums of 256.
 *  (2) Underflow. The bfloat16 instructions take denormal operands, products and sums for zero: at most
 *  2 2^-126 largest + 2 2^-126 a term, 2^-125 (1 + largest) d together; float32 products lose less. It is part of
 *  `tiny`. Overflow: d largest^2 < 2^127.
 *  (3) Float32 evaluation of the bracket and of norm2: 4 roundings of numbers below 2 (norm2_i + norm2_j): 8 u.
 *  (4) Centered only. w = 2^-24 (1 + 2^-20), |y_i - scale (x_i - c)| <= w |y_i| + sqrt(d) 2^-149, so by the triangle
 *  inequality the squared distance of the y differs by at most (2 w + w^2) (|y_i| + |y_j|)^2 + ... <= 5 w (norm2_i +
 *  norm2_j) + tiny.
 *  (5) Split only. y = h + l + r with h = bfloat16(y), l = bfloat16(y - h), each of 8 digits: |l| <= 2^-8 |y| and
 *  |r| <= 2^-17 |y| in each coordinate, and g is made of h.h + (h.l + l.h). What is left out, l.l + r.y + (h + l).r, is at
 *  most 2^-15 (1 + 2^-16) |y_i| |y_j|, and sum |h h'| + |h l'| + |l h'| <= (1 + 2^-5) |y_i| |y_j|.
 *  bound = gamma_m + 8 u                                  raw
 *          gamma_m + 8 u + 5 w                            centered, float32
 *          (gamma_m + 2^-15) (1 + 2^-5) + 8 u + 5 w       centered, split */
typedef struct {
  int n, d, ld; /* ld: width in whole lanes */
  int centered, split;
  int first, rows; /* rows that g holds */
  int gld;         /* row stride of g */
  float *g;        /* [rows][gld], all n columns: tg_gram_row */
  float *norm2;    /* [n] */
  double *inner;   /* [n] mean . y_i, float64; zeros where raw */
  double *mean;    /* [ld] scale c, float64; zeros where raw */
  double scale;
  double mean_norm2; /* |scale c|^2 */
  float bound, tiny;
  struct tg_gram_work *work;
} tg_gram;

/** Allocates for clouds of up to n tokens and width d. errors TG_EINTERNAL. Caller destroys. */
tg_status tg_gram_create(int n, int d, tg_kernel kernel, tg_gram **out);
void tg_gram_destroy(tg_gram **gram); /* safe on NULL, leaves NULL */

/** Bytes that it comes to hold, for float32 clouds or for bfloat16 ones that need not be centered. */
double tg_gram_bytes(int n, int d, tg_kernel kernel, int bfloat16);

/** Takes a finite cloud that fits, with its scan; both stay the caller's and are used until the next cloud. */
void tg_gram_start(tg_gram *gram, const tg_cloud *c, const tg_scan *scan);

/** The same for a float64 cloud; `inner` is of no use there. */
void tg_gram_start64(tg_gram *gram, const tg_cloud64 *c);

/** Centers a raw cloud after all, which makes the bound smaller where the tokens lie far from the origin. Rows have to be
 *  computed again. */
void tg_gram_center(tg_gram *gram);

/** Fills g with rows `first`.. : all of them up to TG_GRAM_WHOLE tokens, else TG_GRAM_PANEL or what is left; and norm2 and
 *  inner of all tokens. tick is called every few milliseconds. errors TG_EINTERNAL
 *  cost: 2 d flops an element, half of them saved where the matrix is kept whole */
tg_status tg_gram_rows(tg_gram *gram, int first, tg_tick tick);

/** Row i, which must be one of those that g holds. */
static inline const float *tg_gram_row(const tg_gram *gram, int i) {
  return gram->g + (long)(i - gram->first) * gram->gld;
}

#endif
