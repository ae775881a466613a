/* Tables for people: the plan of a run, what its ranks did, what came out. */
#ifndef TG_SUMMARY_H
#define TG_SUMMARY_H

#include "parallel/shard.h"
#include "study/study.h"
#include "run/worker.h"
#include <mpi.h>

/** Prints the plan of a run on `ranks` ranks (--dry-run): shards, bytes to read, memory a rank, an estimate of the time from
 *  measuring one random cloud of each model's shape here. program_bytes: what the program took before it opened the study.
 *  json: as one JSON object, a key a line, bytes and seconds. Local. */
tg_status tg_summary_plan(const tg_study *study, const tg_shard_plan *plan, int ranks, double program_bytes, bool json);

/** Collective. Rank 0 prints what every rank did: busy seconds, shards, stages. */
void tg_summary_ranks(MPI_Comm comm, const tg_worker_report *report, double wall_seconds);

/** Prints a table per model of a result file: per layer ID, overlap, cosine, r of the lowest and the highest level.
 *  Local; opens the file for reading. */
tg_status tg_summary_results(const char *path);

#endif
