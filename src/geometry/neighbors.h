/* Exact nearest neighbors of every token: ordered lists, and distances at given ranks. The Gram matrix proposes with its
 * bound, float64 on the stored vectors decides. Local: no communication, no files. */
#ifndef TG_NEIGHBORS_H
#define TG_NEIGHBORS_H

#include "base/status.h"
#include "geometry/cloud.h"
#include "geometry/gram.h"
#include <stdint.h>

/** What is asked of a cloud. `tokens` are those that take part, as rows and as neighbors. */
typedef struct {
  const int32_t *tokens; /* [m] ascending; NULL: all, m = n */
  int m;
  int k;            /* length of the ordered lists, 0 <= k <= m - 1 */
  const int *ranks; /* [n_ranks] ascending, 1 <= rank <= m - 1: whose squared distances are wanted */
  int n_ranks;
} tg_neighbors_query;

/** Scratch of the search, grown as needed and used again; one per thread. */
typedef struct tg_neighbors_scratch tg_neighbors_scratch;
tg_status tg_neighbors_scratch_create(tg_neighbors_scratch **out);
void tg_neighbors_scratch_destroy(tg_neighbors_scratch **scratch); /* safe on NULL, leaves NULL */

/** Searches for the neighbors of those tokens whose rows `gram` holds; the other rows of the outputs are left alone.
 *  gram    the fast pass of the cloud
 *  c, c64  the cloud itself, one of them, the other NULL
 *  index   [m][k] out: tokens by ascending exact distance, self left out; ties by lower index; NULL when k = 0
 *  d2      [m][n_ranks] out: squared distances, relative error below 2 d eps
 *  dot     [m] out: (x_nn1 - x_i) . (x_nn2 - x_i), error below 2 d eps of the product of the lengths; NULL: not wanted;
 *          only of a cloud c, with k >= 2 and the ranks 1 and 2
 *  tick    called every few milliseconds
 *  errors  TG_EINTERNAL without memory; then the outputs are undefined
 *  cost    n comparisons a token in some ten vectorised passes, plus the pairs that enter a result or that the bound
 *          leaves open in float64
 *  source  r_k of Denti et al., Sci. Rep. 12, 20005 (2022); order: squared distances, those nearer to each other than
 *          4 d eps relative in double-double or, where that is too little, without rounding (ties.h) */
tg_status tg_neighbors_find(const tg_gram *gram, const tg_cloud *c, const tg_cloud64 *c64,
                            const tg_neighbors_query *query, tg_neighbors_scratch *scratch, tg_tick tick,
                            int32_t *index, double *d2, double *dot);

/** Pairs a row that would go to float64, from some 32 of the rows that `gram` holds. errors TG_EINTERNAL */
tg_status tg_neighbors_sample(const tg_gram *gram, const tg_neighbors_query *query, tg_neighbors_scratch *scratch,
                              double *pairs_a_row);

/** What the latest search did, for logs and benchmarks: pairs computed in float64 and in double-double; seconds. */
typedef struct {
  int64_t float64_pairs, double2_pairs;
  double selecting, recomputing;
} tg_neighbors_counts;
tg_neighbors_counts tg_neighbors_count(const tg_neighbors_scratch *scratch);

#endif
