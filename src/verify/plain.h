/* What the definitions are made of, in plain loops: every pair, a full sort, bisection, in float64 or more. They share the
 * plain structs of a cloud and of a row with src/geometry, and no code: what the fast path gives is held against them, by the
 * tests and by `tokengeom verify`. Local: no communication, no files. Symbols as in geometry/cloud.h. errors: TG_EINTERNAL without memory */
#ifndef TG_PLAIN_H
#define TG_PLAIN_H

#include "base/status.h"
#include "geometry/cloud.h"
#include "geometry/cosine.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** sum_t (x_it - x_jt)^2, t ascending: relative error below (d + 2) 2^-53. */
double tg_plain_d2(const tg_cloud *c, int i, int j);
double tg_plain_norm2(const tg_cloud *c, int i); /* sum_t x_it^2 likewise */

/* A sum of squares as an integer multiple of 2^-298, in digits of 32 bits, the lowest first: no rounding at all. */
enum { TG_PLAIN_DIGITS = 20 };
typedef struct {
  int64_t digit[TG_PLAIN_DIGITS];
} tg_plain_integer;
tg_plain_integer tg_plain_d2_exact(const tg_cloud *c, int i, int j);
tg_plain_integer tg_plain_norm2_exact(const tg_cloud *c, int i);
int tg_plain_compare(const tg_plain_integer *a, const tg_plain_integer *b); /* -1, 0, 1 */

/** The other tokens of row `row` of `tokens` [m] (NULL: all) by exact distance, ties by lower index.
 *  order, d2  [m - 1] out
 *  Float64 sums are sorted; those nearer to each other than twice their error are ordered by exact integers. */
tg_status tg_plain_order(const tg_cloud *c, const int32_t *tokens, int m, int row, int32_t *order, double *d2);

/** First of every kind of token, all pairs compared; returns their number. */
int tg_plain_distinct(const tg_cloud *c, int32_t *first);

/** chi_1..chi_k and the reciprocity of neighbor lists, sets compared element by element for each k. */
void tg_plain_overlap(const int32_t *a, const int32_t *b, int n, int stride, int k, double *value);
void tg_plain_reciprocity(const int32_t *index, int n, int stride, int k, double *value);

/** From x_i.x_j / (|x_i| |x_j|) of all pairs in long double: the mean, then the deviations from it. Memory: n numbers. */
tg_status tg_plain_cosine(const tg_cloud *c, tg_cosine *out);

/** Kahan's formula in long double: degrees at token i between a and b; NaN where undefined. */
double tg_plain_angle(const tg_cloud *c, int i, int a, int b);

typedef struct {
  double value, error, radius;
} tg_plain_grides;
/** GRIDE's condition by bisection of [0.001, 1000] in long double, from squared distances; NaN without a root. */
tg_status tg_plain_gride(const double *inner2, const double *outer2, int n, int n2, tg_plain_grides *out);

#endif
