/* The change of metric that makes distances of logit vectors out of those of hidden states. Local. */
#ifndef TG_METRIC_H
#define TG_METRIC_H

#include "base/status.h"

/** W^T W of a model's unembedding, factored: U with U^T U = W^T W, rank x d, so that |W (h_i - h_j)| = |U (h_i - h_j)|. */
typedef struct {
  int d, rank;
  double *factor; /* [rank][d], row-major, upper trapezoid times a permutation */
} tg_metric;

/** Factors a symmetric positive semidefinite matrix by Cholesky with pivots (LAPACK dpstrf).
 *  matrix  [d][d], float64, borrowed
 *  out     caller destroys
 *  errors  TG_EDATA when it is not finite, not symmetric to 1e-6 or has a clearly negative direction; TG_EINTERNAL */
tg_status tg_metric_create(const double *matrix, int d, tg_metric **out);
void tg_metric_destroy(tg_metric **metric); /* safe on NULL, leaves NULL */

#endif
