/* W^T W of each model, factored, on every rank. */
#ifndef TG_LOGIT_METRIC_H
#define TG_LOGIT_METRIC_H

#include "geometry/measure.h"
#include "source/source.h"
#include <mpi.h>

/** Collective. W^T W itself, [width][width], on rank 0; caller frees. NULL elsewhere and where the source has neither.
 *  errors  agreed on: TG_EDATA, TG_EINTERNAL */
tg_status tg_logit_metric_matrix(MPI_Comm comm, tg_source *source, double **out);

/** Collective. From the stored metric, or formed from the stored unembedding by all ranks, panels of columns each; factored by
 *  rank 0, so that all ranks hold the same bytes whatever their number.
 *  out     caller destroys; NULL where the source has neither
 *  errors  agreed on: TG_EDATA, TG_EINTERNAL */
tg_status tg_logit_metric_create(MPI_Comm comm, tg_source *source, tg_metric **out);

#endif
