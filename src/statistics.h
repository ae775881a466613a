/* The reduce stage: statistics and correlations over prompts, from the rows in the result file, in data-set order. */
#ifndef TG_STATISTICS_H
#define TG_STATISTICS_H

#include "results/results.h"
#include "study.h"
#include <mpi.h>

/** Collective. Computes and writes statistics/ and correlations/ of one model. Every (dataset, level) is one task for one
 *  rank; a task's result does not depend on who does it. errors: agreed on */
tg_status tg_statistics_run(MPI_Comm comm, const tg_study *study, int model, tg_results *results);

#endif
