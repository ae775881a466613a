#include "geometry/cosine.h"

#include "base/clones.h"
#include "base/memory.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* |y_i| / |scale x_i| up to which a float32 product of centered rows is good enough: its error, about 2^-23 times the
 * square of this, stays below 1e-6. */
static const double WORST_RATIO = 2.0;

/* unit += x_i / |x_i| for all tokens, in token order. */
TG_CLONES static void add_units(const tg_cloud *c, double scale, const double *restrict inverse,
                                double *restrict unit) {
  for (ptrdiff_t i = 0; i < c->n; i++) {
    const double factor = scale * inverse[i];
    for (int t = 0; t < c->ld; t++) unit[t] = fma(factor, (double)c->x[i * c->ld + t], unit[t]);
  }
}

/* cos_ij - mean, squared and summed over j < count; cos_ij from the centered Gram matrix. */
TG_CLONES static double deviations(const float *restrict g, const double *restrict inner,
                                   const double *restrict inverse, double own, double own_inverse, double mean,
                                   int count) {
  double lane[TG_LANES] = {0};
  int j = 0;
  for (; j + TG_LANES <= count; j += TG_LANES)
    for (int q = 0; q < TG_LANES; q++) {
      const double u = (((double)g[j + q] + inner[j + q]) + own) * (inverse[j + q] * own_inverse) - mean;
      lane[q] = fma(u, u, lane[q]);
    }
  for (int q = 0; j < count; j++, q++) {
    const double u = (((double)g[j] + inner[j]) + own) * (inverse[j] * own_inverse) - mean;
    lane[q] = fma(u, u, lane[q]);
  }
  double sum = 0.0;
  for (int q = 0; q < TG_LANES; q++) sum += lane[q];
  return sum;
}

TG_CLONES static double dot(const float *restrict a, const float *restrict b, int ld, double scale) {
  double lane[TG_LANES] = {0}, sum = 0.0;
  for (int t = 0; t < ld; t += TG_LANES)
    for (int q = 0; q < TG_LANES; q++) lane[q] = fma(scale * (double)a[t + q], scale * (double)b[t + q], lane[q]);
  for (int q = 0; q < TG_LANES; q++) sum += lane[q];
  return sum;
}

static int is_poor(const tg_gram *g, int i, const double *inverse) {
  return sqrt((double)g->norm2[i]) * inverse[i] > WORST_RATIO;
}

/* Pairs i < j with a poor row, in float64; the fast pass took their cosine for 0. */
static double poor_pairs(const tg_gram *g, const tg_cloud *c, const double *inverse, double mean) {
  double sum = 0.0;
  for (ptrdiff_t i = 0; i < c->n; i++)
    for (ptrdiff_t j = 0; j < i; j++) {
      if (!is_poor(g, (int)i, inverse) && !is_poor(g, (int)j, inverse)) continue;
      const double cosine = dot(c->x + i * c->ld, c->x + j * c->ld, c->ld, g->scale) * inverse[i] * inverse[j];
      sum += (cosine - mean) * (cosine - mean) - mean * mean;
    }
  return sum;
}

/* Sum over all n^2 pairs of (cos_ij - mean)^2. fast [n]: scratch for the inverse norms of the rows that are not poor. */
static double sum_of_deviations(const tg_gram *g, const tg_cloud *c, const double *inverse, double mean, double *fast) {
  double sum = 0.0;
  int poor = 0;
  for (int i = 0; i < c->n; i++) {
    fast[i] = is_poor(g, i, inverse) ? 0.0 : inverse[i];
    poor += is_poor(g, i, inverse);
  }
  for (int i = 0; i < c->n; i++) {
    const double diagonal = (inverse[i] > 0.0 ? 1.0 : 0.0) - mean;
    sum += diagonal * diagonal + 2.0 * deviations(g->g + (ptrdiff_t)i * g->gld, g->inner, fast,
                                                  g->inner[i] + g->mean_norm2, fast[i], mean, i);
  }
  if (poor > 0) sum += 2.0 * poor_pairs(g, c, inverse, mean);
  return sum > 0.0 ? sum : 0.0;
}

tg_status tg_cosine_compute(const tg_gram *gram, const tg_cloud *c, tg_cosine *out) {
  double *inverse = NULL, *fast = NULL, *unit = NULL;
  const double n = c->n;
  tg_status st = TG_ALLOC(c->n, &inverse);
  if (st == TG_OK) st = TG_ALLOC(c->n, &fast);
  if (st == TG_OK) st = TG_ALLOC(c->ld, &unit);
  if (st == TG_OK) {
    *out = (tg_cosine){0};
    for (int i = 0; i < c->n; i++) {
      inverse[i] = gram->norm[i] > 0.0 ? 1.0 / gram->norm[i] : 0.0;
      out->n_zero += gram->norm[i] == 0.0;
    }
    add_units(c, gram->scale, inverse, unit);
    double total = 0.0; /* sum of all n^2 cosines */
    for (int t = 0; t < c->d; t++) total += unit[t] * unit[t];
    out->mean = total / (n * n);
    out->mean_offdiagonal = c->n > 1 ? (total - (n - out->n_zero)) / (n * (n - 1.0)) : NAN;
    out->std = sqrt(sum_of_deviations(gram, c, inverse, out->mean, fast) / (n * n));
  }
  free(inverse);
  free(fast);
  free(unit);
  return st;
}
