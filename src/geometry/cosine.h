/* Cosine similarity of all pairs of tokens: mean and spread. Local. */
#ifndef TG_COSINE_H
#define TG_COSINE_H

#include "base/status.h"
#include "geometry/cloud.h"
#include "geometry/gram.h"

typedef struct {
  double mean, std;        /* over all n^2 pairs, diagonal included; population deviation */
  double mean_offdiagonal; /* over the n (n - 1) pairs i != j; NaN for n = 1 */
  int n_zero;              /* zero vectors: their cosine with everything is 0 */
} tg_cosine;

/** gram  the fast pass of c. The means are exact: sum_ij cos_ij = |sum_i x_i / |x_i||^2 in float64. The deviation is a sum
 *        over the float32 Gram matrix; by the triangle inequality its error is at most the root mean square of the errors
 *        of the cosines: 1e-8 on activations, and below 1e-6 unless all products of a pair round the same way, as where
 *        all coordinates are equal in size. Rows whose centered vector is so much longer than the vector itself that this
 *        would fail are computed in float64.
 *  errors TG_EINTERNAL without memory
 *  source arXiv 2501.10573, section 3 */
tg_status tg_cosine_compute(const tg_gram *gram, const tg_cloud *c, tg_cosine *out);

#endif
