/* Correlation over prompts of two numbers (GSL, Random123). Local: no communication, no files.
 * Definitions: SciPy's pearsonr and spearmanr; intervals by Fisher's z; adjusted p by Benjamini and Hochberg (1995). */
#ifndef TG_CORRELATION_H
#define TG_CORRELATION_H

#include "base/status.h"
#include <stddef.h>
#include <stdint.h>

typedef struct {
  int n; /* complete pairs: both finite (and z, where given, for partial) */
  double pearson, pearson_p, pearson_low, pearson_high; /* r, two-sided p (Student, n - 2), 95 % interval */
  double pearson_boot_std;                              /* population deviation of r over the resamples */
  double spearman, spearman_p;                          /* average ranks */
  double partial, partial_p;                            /* r given z, Student with n - 3; NaN without z */
} tg_correlation;

/* The same resamples of prompts for every layer: how often each prompt is drawn. */
typedef struct tg_resamples tg_resamples;

/** Draws n_resamples (0 is legal: boot_std is NaN) resamples of n prompts: draw i of resample b is prompt
 *  floor(w n / 2^64), w = word i mod 4 of Philox4x64-10 at counter (1 + i div 4, 0, 0, b) with key (seed, 0).
 *  out  caller destroys */
tg_status tg_resamples_create(int n_resamples, int n, uint64_t seed, tg_resamples **out);
void tg_resamples_destroy(tg_resamples **resamples); /* safe on NULL, leaves NULL */

/** x, y, z  [n] in data-set order, pairs with a NaN or Inf are left out; z (ln length) may be NULL
 *  resamples  of n prompts; pairs that are left out are left out of each resample too
 *  out        NaN where undefined: n < 3 or a constant side: all but n; n < 4: the interval; p < 1e-300 is 0
 *  errors     TG_EINTERNAL without memory */
tg_status tg_correlation_of(const double *x, const double *y, const double *z, int n, const tg_resamples *resamples,
                            tg_correlation *out);

/** Benjamini-Hochberg over the finite p[i * stride], i = 0..n-1; NaN stays NaN. adjusted has the same stride. */
tg_status tg_adjust_bh(const double *p, int n, ptrdiff_t stride, double *adjusted);

#endif
