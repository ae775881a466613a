/* What one pass over a cloud gives before any pair is looked at. Local. */
#ifndef TG_SCAN_H
#define TG_SCAN_H

#include "base/status.h"
#include "geometry/cloud.h"
#include <stdint.h>

/** Arrays belong to the scan. */
typedef struct {
  double *norm2;  /* [n] |x_i|^2, float64 */
  uint64_t *hash; /* [n] equal for equal rows */
  double *unit;   /* [ld] sum of x_i / |x_i| over the tokens that are not zero, in token order, float64 */
  float *buffer;  /* [ld] and more: scratch for a row */
  float *weight;  /* [ld] of the hash */
  double largest; /* |coordinate|; INFINITY where there is a NaN or an Inf */
  int n_zero;     /* zero vectors */
} tg_scan;

/** For clouds of up to n tokens and width d. errors TG_EINTERNAL. Caller destroys. */
tg_status tg_scan_create(int n, int d, tg_scan **out);
void tg_scan_destroy(tg_scan **scan); /* safe on NULL, leaves NULL */

/** Fills everything; of a cloud that is not finite only `largest` is of use. */
void tg_scan_cloud(tg_scan *scan, const tg_cloud *c);

/** Sum of the cosines of all n^2 pairs, a zero vector's being 0: |sum_i x_i / |x_i||^2. */
double tg_scan_cosines(const tg_scan *scan, const tg_cloud *c);

#endif
