/* Neighborhood overlap of two layers and reciprocity of one, for all k at once, from neighbor lists. Local. */
#ifndef TG_OVERLAP_H
#define TG_OVERLAP_H

#include <stdint.h>

/** a, b   [n][stride] neighbor lists of the same tokens at two layers, stride >= k
 *  value  [k] out: chi_1..chi_k, chi_q = (1/n) sum_i |a_i(1..q) intersect b_i(1..q)| / q
 *  cost   n k^2 comparisons, vectorised
 *  source Doimo et al., NeurIPS 2020 (neighborhood overlap); arXiv 2501.10573, section 4 */
void tg_overlap(const int32_t *a, const int32_t *b, int n, int stride, int k, double *value);

/** index  [n][stride] neighbor lists, stride >= k
 *  value  [k] out: share of the directed q-neighbor edges i -> j whose reverse is one too, q = 1..k */
void tg_reciprocity(const int32_t *index, int n, int stride, int k, double *value);

#endif
