#include "geometry/expansion.h"

#include <math.h>

void tg_expansion_add(tg_expansion *e, double x) {
  int n = 0;
  for (int a = 0; a < e->n; a++) { /* the sum of x and a part, and what rounding took from it */
    const double sum = x + e->part[a], taken = sum - x;
    const double error = (x - (sum - taken)) + (e->part[a] - taken);
    if (error != 0.0) e->part[n++] = error;
    x = sum;
  }
  if (x != 0.0) e->part[n++] = x;
  e->n = n;
}

static void add_product(tg_expansion *e, double a, double b) {
  const double product = a * b;
  tg_expansion_add(e, fma(a, b, -product));
  tg_expansion_add(e, product);
}

void tg_expansion_add_square(tg_expansion *e, double a, double b) {
  const double u = a - b, taken = u - a, rest = (a - (u - taken)) - (b + taken); /* a - b = u + rest */
  if (rest != 0.0) {
    add_product(e, rest, rest);
    add_product(e, 2.0 * u, rest);
  }
  add_product(e, u, u);
}

int tg_expansion_compare(const tg_expansion *a, const tg_expansion *b) {
  tg_expansion difference = *a;
  for (int q = 0; q < b->n; q++) tg_expansion_add(&difference, -b->part[q]);
  return tg_expansion_sign(&difference);
}

int tg_expansion_sign(const tg_expansion *e) {
  const double largest = e->n > 0 ? e->part[e->n - 1] : 0.0;
  return (largest > 0.0) - (largest < 0.0);
}
