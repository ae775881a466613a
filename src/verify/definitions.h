/* The observables by their definitions: each of observables.def once more, in plain loops (plain.h) that share no code with
 * src/geometry. Local: no communication, no files. Symbols as in geometry/cloud.h. errors: TG_EINTERNAL without memory */
#ifndef TG_DEFINITIONS_H
#define TG_DEFINITIONS_H

#include "base/status.h"
#include "geometry/cloud.h"
#include "geometry/row.h"

/** Length of the lists of a cloud of n tokens: the shape's k, at least 2, at most n - 1. */
int tg_plain_stride(const tg_row_shape *shape, int n);

/** The lists alone, [n][stride]. finite: out, false: there are none */
tg_status tg_plain_lists(const tg_cloud *c, const tg_row_shape *shape, int32_t *index, bool *finite);

/** All that the shape asks for of a cloud, its status and its reason.
 *  c       float32
 *  matrix  W^T W [d][d], of the last layer; NULL: other layers, or there is none
 *  before  the lists of the layer before, NULL where there is none or it is not finite
 *  row     of that shape */
tg_status tg_plain_measure(const tg_cloud *c, const tg_row_shape *shape, const double *matrix, const int32_t *before,
                           tg_row *row);

#endif
