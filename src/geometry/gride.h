/* Intrinsic dimension by GRIDE at one scale. Local: arithmetic only. */
#ifndef TG_GRIDE_H
#define TG_GRIDE_H

#include "geometry/neighbors.h"
#include "geometry/row.h"

typedef struct {
  double value, error, radius; /* NaN where there is no answer; radius in the units of the cloud */
  int no_root;                 /* fewer than two points kept or no sign change on [0.001, 1000] */
} tg_gride;

/** inner2, outer2  [n], stride apart: squared distances of the neighbors of rank n1 and n2 = 2 n1 over distinct points
 *  scratch  room for 3 n numbers
 *  The root d of sum_i [ (1 - n2 + n1) / (1 - mu_i^-d) + n2 - 1 ] ln mu_i = (M - 1) / d and its error, with the conventions
 *  of DADApy 0.3.4, `return_id_scaling_gride`: mu = 1 becomes 1 + 10 eps; mu >= q50 + 20 (q95 - q50) is left out of the root,
 *  not of the error; 1 - mu^-d is held above 2e-7 (root) and 5 eps (error). DADApy bisects to 1e-7, this to rounding.
 *  source  Denti, Doimo, Laio, Mira, Sci. Rep. 12, 20005 (2022), eq. 4 to 8 */
tg_gride tg_gride_fit(const double *inner2, const double *outer2, int stride, int n, int n2, double *scratch);

/** Adds the ranks n1 and n2 of the shape's scales that so many points have to `ranks`, which stay ascending and distinct.
 *  ranks    room for TG_GRIDE_RANKS
 *  returns  how many there are now */
enum { TG_GRIDE_RANKS = 40 }; /* n1 and n2 of 16 scales, and a few more */
int tg_gride_add_ranks(const tg_row_shape *shape, int points, int *ranks, int n_ranks);
int tg_gride_add_rank(int *ranks, int n_ranks, int rank);

/** GRIDE at every scale of the shape.
 *  q        the search that gave d2 [m][n_ranks], over distinct points, for the ranks of these scales at least
 *  scratch  room for 3 m numbers
 *  value, error, radius  [n_scales] out; left alone where a scale is too large
 *  returns  bits of the reason */
int tg_gride_fit_scales(const tg_row_shape *shape, const tg_neighbors_query *q, const double *d2, double *scratch,
                        double *value, double *error, double *radius);

#endif
