/* Cuts prompts x levels x layers into shards. Pure: same input, same table on every rank. Local. */
#ifndef TG_SHARD_H
#define TG_SHARD_H

#include "base/status.h"
#include <stdbool.h>
#include <stdint.h>

/** A run of layers first..end-1 of one (model, prompt, level). A shard with first > 0 also finds the lists of layer
 *  first - 1, so that the overlap across the cut is computed by the shard that owns its second layer. */
typedef struct {
  int32_t model, level, first, end;
  int64_t prompt;
  double cost; /* in the unit of tg_shard_stack.cost, with the boundary layer */
} tg_shard;

/** All layers of one (model, prompt, level) that are to be computed, and what one layer costs. */
typedef struct {
  int32_t model, level;
  int64_t prompt;
  int32_t first, end; /* layers wanted */
  double cost;        /* of one layer, e.g. n^2 d */
  bool whole;         /* never cut: its layers come from one forward pass */
} tg_shard_stack;

typedef struct {
  tg_shard *shards; /* most expensive first; equal ones in data-set order */
  int64_t n;
  int pieces;      /* that the most expensive stack was cut into */
  double makespan; /* of handing them out to the ranks as these become free, in units of cost */
  double work;     /* sum of the costs without boundary layers */
} tg_shard_plan;

/** Cuts stacks for a number of ranks: as few pieces a stack as give every rank work to within 2 % of the best time found.
 *  stacks    borrowed
 *  boundary  cost of finding only the lists of a layer, relative to measuring it
 *  out       caller frees with tg_shard_plan_free
 *  errors    TG_EINTERNAL without memory */
tg_status tg_shard_cut(const tg_shard_stack *stacks, int64_t n_stacks, int ranks, double boundary, tg_shard_plan *out);
void tg_shard_plan_free(tg_shard_plan *plan);

#endif
