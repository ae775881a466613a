/* Tokens whose stored vectors are equal are one point for the intrinsic dimension. Local. */
#ifndef TG_DISTINCT_H
#define TG_DISTINCT_H

#include "base/status.h"
#include "geometry/cloud.h"
#include <stdint.h>

/** Finds the distinct tokens, each the first of its kind.
 *  hash     [n] of tg_scan: equal for equal rows
 *  first    [n] out: ascending token indices, n_first of them
 *  errors   TG_EINTERNAL without memory
 *  cost     a sort of the hashes; rows are compared only where hashes are equal */
tg_status tg_distinct_find(const tg_cloud *c, const uint64_t *hash, int32_t *first, int *n_first);

#endif
