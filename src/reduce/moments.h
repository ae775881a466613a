/* Moments over prompts of one number (GSL). Local: no communication, no files.
 * Definitions: NumPy's mean, std (population), median and percentiles (linear interpolation) of the finite values. */
#ifndef TG_MOMENTS_H
#define TG_MOMENTS_H

#include <stddef.h>

typedef struct {
  int n;                              /* finite values */
  double mean, std, median, q25, q75; /* NaN for n = 0; std = 0 for n = 1 */
} tg_moments;

/** values   values[p * stride], p = 0..n-1, in data-set order; NaN and Inf are left out
 *  scratch  room for n numbers */
tg_moments tg_moments_of(const double *values, int n, ptrdiff_t stride, double *scratch);

#endif
