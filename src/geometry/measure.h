/* All observables of one cloud, over the list of observables. Local: no communication, no files, no globals. */
#ifndef TG_MEASURE_H
#define TG_MEASURE_H

#include "base/status.h"
#include "base/timer.h"
#include "geometry/observable.h"

/* Stages whose time is kept: those below, then the observables. */
enum {
  TG_STAGE_SCAN,
  TG_STAGE_GRAM,
  TG_STAGE_SELECTION,
  TG_STAGE_RECOMPUTE,
  TG_STAGE_OBSERVABLES,
  TG_N_STAGES = TG_STAGE_OBSERVABLES + TG_N_OBSERVABLES
};
const char *tg_stage_name(int stage);

/** Scratch of the measurement of clouds of up to n tokens and width d, and the lists of the layer before. One per thread. */
typedef struct tg_measurer tg_measurer;

/** shape   of the rows it will fill
 *  kernel  of the fast pass
 *  tick    called every few milliseconds
 *  errors  TG_EINTERNAL. Caller destroys */
tg_status tg_measurer_create(const tg_row_shape *shape, int d, tg_kernel kernel, tg_tick tick, tg_measurer **out);
void tg_measurer_destroy(tg_measurer **measurer); /* safe on NULL, leaves NULL */

/** Bytes that it comes to hold, for plans; for float32 clouds or bfloat16 ones. */
double tg_measurer_bytes(const tg_row_shape *shape, int d, tg_kernel kernel, int bfloat16);

/** Forgets the lists of the layer before: the next cloud starts a stack. */
void tg_measure_restart(tg_measurer *m);

/** Measures a cloud of the next layer: all that the shape asks for; what pairs it with the layer measured before is NaN without
 *  one.
 *  metric  of the last layer, for its logit vectors; NULL: other layers, or there is none
 *  row     of the shape
 *  errors  TG_EINTERNAL. A cloud without an answer gives NaN and its reason in row->status and row->reason */
tg_status tg_measure_layer(tg_measurer *m, const tg_cloud *c, const tg_metric *metric, tg_row *row);

/** In place of that for a layer that belongs to another shard, and comes before the first of this one: just what the next layer
 *  needs of it. */
tg_status tg_measure_edge(tg_measurer *m, const tg_cloud *c);

/** Seconds by stage and counts since creation. */
const double *tg_measurer_seconds(const tg_measurer *m);
int64_t tg_measurer_float64_pairs(const tg_measurer *m);

#endif
