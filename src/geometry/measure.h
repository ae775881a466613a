/* All observables of one cloud, in the order of the paper. Local: no communication, no files, no globals. */
#ifndef TG_MEASURE_H
#define TG_MEASURE_H

#include "base/status.h"
#include "base/timer.h"
#include "geometry/cloud.h"
#include "geometry/gram.h"
#include "geometry/row.h"

/** W^T W of a model's unembedding, factored: U with U^T U = W^T W, rank x d, so that |W (h_i - h_j)| = |U (h_i - h_j)|. */
typedef struct {
  int d, rank;
  double *factor; /* [rank][d], row-major, upper trapezoid times a permutation */
} tg_metric;

/** Factors a symmetric positive semidefinite matrix by Cholesky with pivots (LAPACK dpstrf).
 *  matrix  [d][d], float64, borrowed
 *  out     caller destroys
 *  errors  TG_EDATA when it is not finite, not symmetric to 1e-6 or has a clearly negative direction; TG_EINTERNAL */
tg_status tg_metric_create(const double *matrix, int d, tg_metric **out);
void tg_metric_destroy(tg_metric **metric); /* safe on NULL, leaves NULL */

/* Stages whose time is kept. */
enum {
  TG_STAGE_SCAN,
  TG_STAGE_GRAM,
  TG_STAGE_SELECTION,
  TG_STAGE_RECOMPUTE,
  TG_STAGE_GRIDE,
  TG_STAGE_COSINE,
  TG_STAGE_ANGLE,
  TG_STAGE_LISTS,
  TG_STAGE_LOGITS,
  TG_N_STAGES
};
extern const char *const tg_stage_names[TG_N_STAGES];

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

/** Measures a cloud of the next layer: all of `row` but the logits; `overlap` with the layer measured before, NaN without one.
 *  only_lists  the layer belongs to another shard: just its lists are found, `row` may be NULL
 *  errors  TG_EINTERNAL. A cloud without an answer gives NaN and its reason in row->status and row->reason */
tg_status tg_measure_layer(tg_measurer *m, const tg_cloud *c, int only_lists, tg_row *row);

/** Measures the logit vectors of the last layer's cloud, which has just been measured: row->logits_*. */
tg_status tg_measure_logits(tg_measurer *m, const tg_cloud *c, const tg_metric *metric, tg_row *row);

/** Seconds by stage and counts since creation. */
const double *tg_measurer_seconds(const tg_measurer *m);
int64_t tg_measurer_float64_pairs(const tg_measurer *m);

#endif
