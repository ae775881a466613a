/* Cosine similarity of all pairs of tokens: mean and spread. Local. */
#ifndef TG_COSINE_H
#define TG_COSINE_H

#include "base/status.h"
#include "base/tick.h"
#include "geometry/cloud.h"
#include "geometry/gram.h"
#include "geometry/scan.h"

typedef struct {
  double mean, std;        /* over all n^2 pairs, diagonal included; population deviation */
  double mean_offdiagonal; /* over the n (n - 1) pairs i != j; NaN for n = 1 */
  int n_zero;              /* zero vectors: their cosine with everything is 0 */
} tg_cosine;

/** The sum over the pairs while rows of the Gram matrix come and go; one per thread. */
typedef struct tg_cosine_sum tg_cosine_sum;

/** For clouds of up to n tokens and width d. errors TG_EINTERNAL. Caller destroys. */
tg_status tg_cosine_create(int n, int d, tg_cosine_sum **out);
void tg_cosine_destroy(tg_cosine_sum **sum); /* safe on NULL, leaves NULL */

/** Three steps: start, add for every set of rows that `gram` holds in turn, end.
 *  scan  of c. The means are exact: sum_ij cos_ij = |sum_i x_i / |x_i||^2 in float64
 *  gram  the fast pass of c. The deviation is a sum over the float32 Gram matrix; by the triangle inequality its error is at
 *        most the root mean square of the errors of the cosines: 1e-8 on activations. Rows whose centered vector is so much
 *        longer than the vector itself that this would fail are computed in float64. Errors that add up, as where all products of a
 *        pair round the same way or few vectors come many times, are looked for in a sample of the pairs, the same in every run:
 *        where its mean error, with four times the uncertainty of that, says that the deviation could be off by 1e-6, every pair is
 *        computed in float64, which takes some half a second at 1024 x 4096.
 *  source arXiv 2501.10573, section 3 */
void tg_cosine_start(tg_cosine_sum *sum, const tg_cloud *c, const tg_scan *scan);
void tg_cosine_add(tg_cosine_sum *sum, const tg_gram *gram, const tg_cloud *c);
tg_cosine tg_cosine_end(tg_cosine_sum *sum, const tg_cloud *c, tg_tick tick);

#endif
