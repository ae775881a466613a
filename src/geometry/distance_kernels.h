/* Inside of distance.c: its hot loops, one block of coordinates at a time, for each instruction set; the best one that the
 * CPU has runs, and all give the same bytes. */
#ifndef TG_DISTANCE_KERNELS_H
#define TG_DISTANCE_KERNELS_H

#include "geometry/distance.h"

/* Coordinates first..first+length-1 (whole lanes) of every pair; added to d2 unless first = 0. */
void tg_pairs_block(const tg_cloud *c, int first, int length, tg_pair *pairs, size_t n_pairs);
void tg_pairs_block64(const tg_cloud64 *c, int first, int length, tg_pair *pairs, size_t n_pairs);

/* The same for dots[i] of tg_distance_dots. */
void tg_dots_block(const tg_cloud *c, int first, int length, const int32_t *a_of, const int32_t *b_of, ptrdiff_t stride,
                   double *dots);

#endif
