/* A study's hand-out without its arithmetic: the plan of the real code, times of its shards, and a discrete-event simulation of
 * src/run/worker.c and src/parallel/handout.c on any number of ranks. Local. */
#ifndef HANDOUT_MODEL_H
#define HANDOUT_MODEL_H

#include "parallel/shard.h"

typedef struct {
  int prompts, levels, layers;
} study_size;

/* Seconds of a cloud: `mean`, log-normal with standard deviation `spread` * mean, the same for the same cloud and seed. Where
 * `measured` is given, drawn from these n_measured times instead. */
typedef struct {
  double mean, spread;
  const double *measured;
  int n_measured;
  uint64_t seed;
} cloud_times;

/* Seconds. tick: between two looks of rank 0 for questions; probe: of a look that finds none; service: of an answer;
 * latency: of a message, one way; rest: between two looks of a waiting rank for its answer. */
typedef struct {
  double tick, probe, service, latency, rest;
} handout_costs;

typedef struct {
  double makespan, busy, answering; /* seconds; busy: of all ranks; answering: of rank 0, with looking */
  int64_t requests;
} simulated;

/* The plan of a study on ranks, as src/run/pipeline.c makes it. out: caller frees with tg_shard_plan_free */
tg_status plan_study(const study_size *study, int ranks, tg_shard_plan *out);

/* Seconds of a shard, and of its last layer alone. */
double seconds_of_shard(const cloud_times *times, const study_size *study, const tg_shard *shard, double *last_layer);

/* errors TG_EINTERNAL without memory */
tg_status simulate_handout(const study_size *study, const tg_shard_plan *plan, int ranks, const cloud_times *times,
                           const handout_costs *costs, simulated *out);

#endif
