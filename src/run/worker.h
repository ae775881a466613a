/* The measuring stage: every rank takes shards as it becomes free, measures them and writes their rows. */
#ifndef TG_WORKER_H
#define TG_WORKER_H

#include "geometry/measure.h"
#include "parallel/shard.h"
#include "results/results.h"
#include "study/study.h"
#include <mpi.h>

/** What one rank did; plain numbers, so that ranks can be added up. */
typedef struct {
  double busy, idle;                  /* seconds inside shards; waiting for one */
  double waited, reading, converting; /* of reader.h */
  double writing, forward, next_token;
  double stages[TG_N_STAGES];
  double peak_bytes; /* of memory */
  double bytes_read, shards, clouds, bad_clouds, reason_clouds, float64_pairs;
} tg_worker_report;

typedef struct {
  MPI_Comm comm;
  const tg_study *study;
  const tg_shard_plan *plan;
  tg_metric **metrics; /* [n_models], NULL entries: no logits */
  tg_results *results;
  int64_t clouds_before; /* done by an earlier run, for the progress */
  double max_seconds;    /* stop handing out after this long, 0: never */
} tg_worker_job;

/** Collective. A failing read, write or allocation ends all ranks with MPI_Abort: what status calls done stays valid.
 *  report   this rank's
 *  stopped  whether the run was stopped before everything was handed out; the same on all ranks
 *  errors   TG_EINTERNAL before the first shard, agreed on */
tg_status tg_worker_run(const tg_worker_job *job, tg_worker_report *report, int *stopped);

#endif
