/* The method in order: config -> sources -> shards -> geometry -> results -> statistics. */
#ifndef TG_PIPELINE_H
#define TG_PIPELINE_H

#include "base/status.h"
#include <stdbool.h>

typedef struct {
  const char *config;
  const char *const *overrides;
  int n_overrides;
  bool dry_run, json, resume, force, partial_statistics;
  int ranks;        /* of a dry run; 0: those there are */
  double max_hours; /* 0: no limit */
} tg_run_options;

/** Collective over MPI_COMM_WORLD, MPI initialized. Runs (or plans) a study; prints its errors.
 *  The code is the same on every rank: TG_OK; TG_ESTOPPED; TG_EDATA also when not one cloud was good; other errors. */
tg_status tg_pipeline_run(const tg_run_options *options);

#endif
