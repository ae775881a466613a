/* A few clouds of a result file, measured again from their source by the definitions in plain loops (verify/plain.h). Local. */
#ifndef TG_VERIFY_SAMPLE_H
#define TG_VERIFY_SAMPLE_H

#include "results/results.h"
#include "study/study.h"

typedef struct {
  const tg_study *study; /* its inputs are there */
  tg_results *results;
  const tg_results_layout *layout; /* of the results */
  int n;                           /* how many clouds */
  uint64_t seed;
  void (*fault)(void *context, const tg_results_model *model, int64_t cloud, const char *what);
  void *context;
} tg_sample_job;

/** Draws clouds among those that are done, without repetition and in the order of the file, and reports every dataset of
 *  theirs that differs by more than its tolerance. A model that is run is run again, one forward pass a cloud.
 *  n_checked  out
 *  errors     of the source, TG_EIO, TG_EINTERNAL */
tg_status tg_sample_check(const tg_sample_job *job, int *n_checked);

#endif
