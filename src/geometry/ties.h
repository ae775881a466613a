/* Distances that float64 sums cannot order. Local. */
#ifndef TG_TIES_H
#define TG_TIES_H

#include "base/status.h"
#include "geometry/cloud.h"
#include <stdint.h>

/* What of a cloud's sums of squares has no rounding: nothing, those in double-double, those in float64 too. */
typedef enum { TG_EXACT_UNKNOWN, TG_EXACT_NOTHING, TG_EXACT_DOUBLE2, TG_EXACT_SUMS } tg_exactness;

/** The cloud, one of the two, the other NULL; and what is found out about it on the way. */
typedef struct {
  const tg_cloud *c;
  const tg_cloud64 *c64;
  tg_exactness exact;
  int64_t double2_pairs; /* that were computed */
} tg_ties;

/** A token whose distance is to be put in order: d2 is the float64 sum, as are hi at first, lo = 0, the keys. */
typedef struct {
  double hi, lo, d2;
  int32_t j;
} tg_decided;

/** Puts tokens in the order of their exact distances from token i, ties by lower index. Sums nearer to each other than 4 d eps, twice
 *  their error, are computed in double-double; of those, the ones that are nearer than its error without any rounding. A float64 cloud
 *  with numbers outside 2^-149 .. 2^128 stays with double-double.
 *  errors  TG_EINTERNAL without memory
 *  cost    a sort; a near tie d steps of some 20 operations, one of double-double d times some 100 */
tg_status tg_ties_order(tg_ties *t, int32_t i, tg_decided *e, int count);

#endif
