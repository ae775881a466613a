/* Sums of float64 numbers without any rounding, for comparisons that nothing else can decide (Shewchuk, Discrete Comput. Geom. 18,
 * 305 (1997), theorem 10). Local: arithmetic only. */
#ifndef TG_EXPANSION_H
#define TG_EXPANSION_H

/* Parts have no bits in common, so sums of squared differences of float64 numbers in 2^-149 .. 2^128, multiples of 2^-402 below
 * 2^290, have no more. */
enum { TG_EXPANSION_PARTS = 704 };

/** The sum of `n` parts, of ascending size and none of them 0; n = 0: the number 0. */
typedef struct {
  int n;
  double part[TG_EXPANSION_PARTS];
} tg_expansion;

/** Adds x, exactly. No sum may overflow. */
void tg_expansion_add(tg_expansion *e, double x);

/** Adds (a - b)^2, exactly. */
void tg_expansion_add_square(tg_expansion *e, double a, double b);

/** -1, 0 or 1. */
int tg_expansion_sign(const tg_expansion *e);
int tg_expansion_compare(const tg_expansion *a, const tg_expansion *b);

#endif
