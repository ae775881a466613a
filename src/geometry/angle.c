#include "geometry/angle.h"

#include "base/clones.h"
#include "base/memory.h"
#include "geometry/observable.h"
#include <math.h>
#include <stdlib.h>

/* Both sums of Kahan's formula by direct differences: for angles near 0 and 180, where the dot product cancels. */
TG_CLONES static void kahan_sums(const float *restrict x, const float *restrict a, const float *restrict b, int ld,
                                 double norm_u, double norm_v, double *minus, double *plus) {
  double m[TG_LANES] = {0}, p[TG_LANES] = {0};
  for (int t = 0; t < ld; t += TG_LANES)
    for (int q = 0; q < TG_LANES; q++) {
      const double u = ((double)a[t + q] - (double)x[t + q]) * norm_v,
                   v = ((double)b[t + q] - (double)x[t + q]) * norm_u;
      m[q] = fma(u - v, u - v, m[q]);
      p[q] = fma(u + v, u + v, p[q]);
    }
  *minus = *plus = 0.0;
  for (int q = 0; q < TG_LANES; q++) *minus += m[q], *plus += p[q];
}

/* | u|v| -+ v|u| |^2 = 2 |u||v| (|u||v| -+ u.v): with the cosine below 0.999 in size, rounding of about d eps / 16 in the dot
 * product moves the angle by less than 1e-9 degree (derivative 1 / sin < 23); else the sums are formed directly. */
static double angle_of(const tg_cloud *c, int i, int32_t a, int32_t b, double u2, double v2, double dot,
                       float *buffer) {
  const double product = sqrt(u2) * sqrt(v2);
  double minus = product - dot, plus = product + dot;
  if (fabs(dot) > 0.999 * product)
    kahan_sums(tg_cloud_row(c, i, buffer), tg_cloud_row(c, a, buffer + c->ld), tg_cloud_row(c, b, buffer + 2 * c->ld),
               c->ld, sqrt(u2), sqrt(v2), &minus, &plus);
  return 2.0 * atan2(sqrt(minus), sqrt(plus)) * (180.0 / M_PI);
}

tg_status tg_angle_compute(const tg_cloud *c, const int32_t *index, int stride, const double *d2, int d2_stride,
                           const double *dot, double *degrees, double *mean, int *n_defined) {
  float *buffer = NULL; /* three rows */
  double sum = 0.0;
  TG_TRY(TG_ALLOC(3 * (size_t)c->ld, &buffer));
  *n_defined = 0;
  for (ptrdiff_t i = 0; i < c->n; i++) {
    const double u2 = d2[i * d2_stride], v2 = d2[i * d2_stride + 1];
    degrees[i] = NAN;
    if (!(u2 > 0.0 && v2 > 0.0)) continue;
    degrees[i] = angle_of(c, (int)i, index[i * stride], index[i * stride + 1], u2, v2, dot[i], buffer);
    sum += degrees[i];
    *n_defined += 1;
  }
  *mean = *n_defined > 0 ? sum / *n_defined : NAN;
  free(buffer);
  return TG_OK;
}

static tg_status measure(void *scratch, const tg_view *v, tg_row *row) {
  int32_t *n_defined = tg_row_i32(row, TG_FIELD_ANGLE_DEFINED);
  (void)scratch;
  if (v->cloud->n > 2)
    TG_TRY(tg_angle_compute(v->cloud, v->index, v->stride, v->corner_d2, v->corner_stride, v->dot,
                            tg_row_f64(row, TG_FIELD_ANGLE_TOKENS), tg_row_f64(row, TG_FIELD_ANGLE_MEAN), n_defined));
  if (*n_defined < v->cloud->n) *row->reason |= TG_REASON_ANGLE;
  return TG_OK;
}

const tg_observable tg_observable_angle = {.measure = measure};
