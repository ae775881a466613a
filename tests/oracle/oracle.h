/* The definitions in plain loops (src/verify/plain.c), and clouds whose geometry is known or hard. For tests only: slow, simple, and
 * sharing no code with src/geometry but the struct of a cloud. Symbols as in geometry/cloud.h. */
#ifndef TG_ORACLE_H
#define TG_ORACLE_H

#include "verify/plain.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* At least 113 bits of mantissa: the sums of this project's tests have no rounding that could matter in it. */
#ifdef __SIZEOF_FLOAT128__
__extension__ typedef __float128 oracle_quad;
#else
typedef long double oracle_quad;
#endif

/* ---- numbers that look random: splitmix64 (Steele, Lea, Flood 2014) ---- */

typedef struct {
  uint64_t state;
} oracle_random;

uint64_t oracle_bits(oracle_random *r);
double oracle_uniform(oracle_random *r);   /* [0, 1) */
double oracle_normal(oracle_random *r);    /* Box and Muller */
int oracle_below(oracle_random *r, int n); /* 0..n-1 */
float oracle_bfloat16(double x);           /* nearest bfloat16 of the nearest float32, ties to even */
void oracle_permutation(oracle_random *r, int n, int32_t *out);

/* ---- clouds ---- */

typedef enum {
  ORACLE_GAUSSIAN,  /* independent standard normal coordinates */
  ORACLE_LINEAR,    /* uniform in at most 3 dimensions, mapped linearly into d */
  ORACLE_OFFSET,    /* 2000 added to three coordinates of all, neighbors about 16 apart: cosines near 1 */
  ORACLE_CLUSTERS,  /* +2000 or -2000 there: the Gram matrix cancels, neighbors about 16 apart */
  ORACLE_REPEATED,  /* about a third as many vectors as tokens */
  ORACLE_MASSIVE,   /* one token 20000 times as long as the others */
  ORACLE_NEAR_TIES, /* squared distances that are integers plus about 2^-54: float64 sums cannot order them */
  ORACLE_SIMPLEX,   /* orthogonal unit vectors, the next d tokens twice as long, ... */
  ORACLE_GRID,      /* integer grid in at most 3 coordinates */
  ORACLE_DENORMAL,  /* multiples of 2^-149 up to 50 of them */
  ORACLE_LARGEST,   /* bfloat16 values up to 3.38e38 */
  ORACLE_EQUAL,     /* all tokens are one vector */
  ORACLE_BFLOAT16,  /* Gaussian rounded to bfloat16, coordinates of unequal spread */
  ORACLE_ZEROS,     /* every third token is the zero vector */
  ORACLE_SPREAD,    /* 1 in the first coordinate, 1e-20 in the others: products underflow in float32 */
  ORACLE_N_KINDS
} oracle_kind;

extern const char *const oracle_kind_names[ORACLE_N_KINDS];

/** A cloud of a kind; the same numbers for the same arguments. Ends the program without memory. Caller destroys. */
tg_cloud oracle_cloud(oracle_kind kind, int n, int d, uint64_t seed);
/** A cloud of zeros, to be filled through the pointer. */
tg_cloud oracle_cloud_zeros(int n, int d, float **x);
/** Token a of the new cloud is token `order[a]` of the old, a < n. */
tg_cloud oracle_cloud_reordered(const tg_cloud *c, const int32_t *order, int n);
/** Rounds all values to bfloat16. */
void oracle_round(tg_cloud *c);
/** Makes some of its zeros -0. */
void oracle_negate_zeros(tg_cloud *c, uint64_t seed);
/** A cloud of bfloat16 values as bfloat16, with some of its zeros as -0. Caller destroys. */
tg_cloud oracle_half(const tg_cloud *c, uint64_t seed);
/** The same values in float64. */
tg_cloud64 oracle_cloud64(const tg_cloud *c);
void oracle_cloud_destroy(tg_cloud *c);
void oracle_cloud64_destroy(tg_cloud64 *c);
/** malloc that ends the program without memory. */
void *oracle_memory(double count, double size);

/* ---- definitions: those of src/verify/plain.c, ending the program without memory, and what only tests want ---- */

typedef tg_plain_integer oracle_integer;
typedef tg_cosine oracle_cosines;
typedef tg_plain_grides oracle_grides;

static inline double oracle_d2(const tg_cloud *c, int i, int j) { return tg_plain_d2(c, i, j); }
static inline oracle_integer oracle_d2_exact(const tg_cloud *c, int i, int j) { return tg_plain_d2_exact(c, i, j); }
static inline int oracle_compare(const oracle_integer *a, const oracle_integer *b) { return tg_plain_compare(a, b); }
static inline int oracle_distinct(const tg_cloud *c, int32_t *first) { return tg_plain_distinct(c, first); }
static inline double oracle_angle(const tg_cloud *c, int i, int a, int b) { return tg_plain_angle(c, i, a, b); }
static inline void oracle_overlap(const int32_t *a, const int32_t *b, int n, int stride, int k, double *value) {
  tg_plain_overlap(a, b, n, stride, k, value);
}
static inline void oracle_reciprocity(const int32_t *index, int n, int stride, int k, double *value) {
  tg_plain_reciprocity(index, n, stride, k, value);
}

/** sum_t (x_it - x_jt)^2 with 113 bits. */
oracle_quad oracle_d2_quad(const tg_cloud *c, int i, int j);
oracle_quad oracle_d2_quad64(const tg_cloud64 *c, int i, int j);

void oracle_order(const tg_cloud *c, const int32_t *tokens, int m, int row, int32_t *order, double *d2);
/** Lists of all tokens: index [n][k], d2 [n][k]. */
void oracle_lists(const tg_cloud *c, int k, int32_t *index, double *d2);
oracle_cosines oracle_cosine(const tg_cloud *c);
oracle_grides oracle_gride(const double *inner2, const double *outer2, int n, int n2);
/** The same from a cloud, over the distinct tokens; NaN where n2 is too large. */
oracle_grides oracle_cloud_gride(const tg_cloud *c, int n2);

/** |a - b| <= absolute + relative |b|, or both NaN. Says what is off. */
bool oracle_near(const char *what, double a, double b, double absolute, double relative);

#endif
