#include "geometry/expansion.h"

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

int tg_expansion_sign(const tg_expansion *e) {
  const double largest = e->n > 0 ? e->part[e->n - 1] : 0.0;
  return (largest > 0.0) - (largest < 0.0);
}
