/* The reduce stage: statistics and correlations over prompts, from the rows in the result file, in data-set order. */
#ifndef TG_STATISTICS_H
#define TG_STATISTICS_H

#include "results/results.h"
#include "study/study.h"
#include <mpi.h>

/** Takes what was made of one (dataset, level). numbers: `which` counts them
 *  moments  true: moment `which` of tg_fields[what]; false: number `which` of tg_correlation_fields[what]
 *  values   [the axes after shuffle], count of them; borrowed */
typedef tg_status (*tg_statistics_take)(void *context, bool moments, int what, int which, int s, const double *values,
                                        int64_t count);

typedef struct {
  tg_results *results; /* rows are read from it */
  int model;
  const tg_results_model *m;
  const int32_t *n_tokens_of; /* [n_prompts]; NULL: all prompts are equally long */
  int bootstrap;
  uint64_t seed;
  tg_statistics_take take;
  void *context;
} tg_statistics_job;

/** Local. Computes every `ranks`-th task from `rank` on. errors: of reading, of take, TG_EINTERNAL */
tg_status tg_statistics_compute(const tg_statistics_job *job, int rank, int ranks);

/** Collective. Computes and writes statistics/ and correlations/ of one model. Every (dataset, level) is one task for one
 *  rank; a task's result does not depend on who does it. errors: agreed on */
tg_status tg_statistics_run(MPI_Comm comm, const tg_study *study, int model, tg_results *results);

/** Collective. Makes statistics/ and correlations/ of one model as those of a new file: its rows are no longer what they were made
 *  of. errors TG_EIO, TG_EINTERNAL, agreed on */
tg_status tg_statistics_clear(MPI_Comm comm, const tg_study *study, int model, tg_results *results);

#endif
