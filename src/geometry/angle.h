/* The angle at a token between its two nearest neighbors. Local. */
#ifndef TG_ANGLE_H
#define TG_ANGLE_H

#include "base/status.h"
#include "geometry/cloud.h"
#include <stdint.h>

/** index    [n][stride] neighbor lists, stride >= 2
 *  d2       [n][2] squared distances of the first and the second neighbor, [i * d2_stride] and [i * d2_stride + 1]
 *  dot      [n] dot products of the differences to them, of tg_neighbors_find
 *  degrees  [n] out: 2 atan2(| u|v| - v|u| |, | u|v| + v|u| |) for u = x_nn1 - x_i, v = x_nn2 - x_i, in degrees 0..180,
 *           within 1e-9; NaN where u or v is zero
 *  mean, n_defined  over the tokens where it is defined, in token order; mean NaN where none is
 *  errors   TG_EINTERNAL without memory
 *  source   Kahan's formula, stable at 0 and 180; arXiv 2501.10573, section 5 (neighbor angle) */
tg_status tg_angle_compute(const tg_cloud *c, const int32_t *index, int stride, const double *d2, int d2_stride,
                           const double *dot, double *degrees, double *mean, int *n_defined);

#endif
