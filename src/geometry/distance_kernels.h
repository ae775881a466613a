/* Inside of distance.c: its hot loops, one block of coordinates at a time, for each instruction set; the best one that the
 * CPU has runs, and all give the same bytes. */
#ifndef TG_DISTANCE_KERNELS_H
#define TG_DISTANCE_KERNELS_H

#include "geometry/distance.h"

/* One block of `length` coordinates (whole lanes) of every pair, and of the dots of tg_distance_batch unless NULL; panel
 * [rows][TG_DISTANCE_BLOCK] holds them for all tokens. add: to what the answers hold, else in place of it. */
void tg_pairs_block(const float *panel, int length, int add, tg_pair *pairs, size_t n_pairs, double *dots);

/* Coordinates first..first+length-1 of every pair; added to d2 unless first = 0. */
void tg_pairs_block64(const tg_cloud64 *c, int first, int length, tg_pair *pairs, size_t n_pairs);

#endif
