#include "parallel/shard.h"

#include "base/memory.h"
#include <math.h>
#include <stdlib.h>

enum { PLENTY = 16 }; /* stacks a rank from which no stack is cut */

static int64_t cut(int64_t n, int64_t part, int64_t parts) {
  return n / parts * part + (part < n % parts ? part : n % parts);
}

static int dearest_first(const void *a, const void *b) {
  const tg_shard *x = a, *y = b;
  if (x->cost != y->cost) return x->cost > y->cost ? -1 : 1;
  if (x->model != y->model) return x->model < y->model ? -1 : 1;
  if (x->prompt != y->prompt) return x->prompt < y->prompt ? -1 : 1;
  if (x->level != y->level) return x->level < y->level ? -1 : 1;
  return (x->first > y->first) - (x->first < y->first);
}

static int layers_of(const tg_shard_stack *s) { return s->end - s->first; }

/* Pieces of a stack when no piece should cost more than `most`. */
static int pieces_of(const tg_shard_stack *s, double most) {
  if (s->whole) return 1;
  const double wanted = ceil(layers_of(s) * s->cost / most * (1.0 - 1e-12));
  return wanted < layers_of(s) ? (wanted > 1.0 ? (int)wanted : 1) : layers_of(s);
}

static tg_status cut_all(const tg_shard_stack *stacks, int64_t n_stacks, double most, double boundary,
                         tg_shard_plan *plan) {
  int64_t n = 0;
  for (int64_t a = 0; a < n_stacks; a++) n += layers_of(&stacks[a]) > 0 ? pieces_of(&stacks[a], most) : 0;
  TG_TRY(TG_ALLOC(n, &plan->shards));
  plan->n = 0;
  for (int64_t a = 0; a < n_stacks; a++) {
    const tg_shard_stack *s = &stacks[a];
    const int layers = layers_of(s), pieces = layers > 0 ? pieces_of(s, most) : 0;
    for (int b = 0; b < pieces; b++) {
      const int first = s->first + (int)cut(layers, b, pieces), end = s->first + (int)cut(layers, b + 1, pieces);
      const double cost = s->cost * (end - first + (first > 0 ? boundary : 0.0));
      plan->shards[plan->n++] = (tg_shard){s->model, s->level, first, end, s->prompt, cost};
    }
  }
  qsort(plan->shards, (size_t)plan->n, sizeof *plan->shards, dearest_first);
  return TG_OK;
}

/* Moves the root of a heap of finish times down to its place. */
static void sift(double *heap, int n) {
  for (int a = 0, b; (b = 2 * a + 1) < n; a = b) {
    if (b + 1 < n && heap[b + 1] < heap[b]) b++;
    if (heap[a] <= heap[b]) return;
    const double swap = heap[a];
    heap[a] = heap[b];
    heap[b] = swap;
  }
}

/* When the last rank ends, if every shard goes to the rank that is free first. */
static tg_status simulate(tg_shard_plan *plan, int ranks) {
  double *heap = NULL;
  TG_TRY(TG_ALLOC(ranks, &heap));
  plan->makespan = 0.0;
  for (int64_t a = 0; a < plan->n; a++) {
    heap[0] += plan->shards[a].cost;
    plan->makespan = fmax(plan->makespan, heap[0]);
    sift(heap, ranks);
  }
  free(heap);
  return TG_OK;
}

static tg_status try_pieces(const tg_shard_stack *stacks, int64_t n_stacks, int ranks, double boundary, int pieces,
                            double dearest, tg_shard_plan *plan) {
  tg_shard_plan_free(plan);
  const tg_status st = cut_all(stacks, n_stacks, dearest / pieces, boundary, plan);
  plan->pieces = pieces;
  return st == TG_OK ? simulate(plan, ranks) : st;
}

tg_status tg_shard_cut(const tg_shard_stack *stacks, int64_t n_stacks, int ranks, double boundary, tg_shard_plan *out) {
  double dearest = 0.0, work = 0.0;
  int layers = 1;
  for (int64_t a = 0; a < n_stacks; a++) {
    const double cost = stacks[a].cost * layers_of(&stacks[a]);
    if (layers_of(&stacks[a]) > layers) layers = layers_of(&stacks[a]);
    dearest = fmax(dearest, cost);
    work += cost;
  }
  *out = (tg_shard_plan){0};
  if (dearest == 0.0) dearest = 1.0;
  const int most = n_stacks >= (int64_t)PLENTY * ranks ? 1 : layers;
  double best = INFINITY;
  for (int pieces = 1; pieces <= most; pieces++) { /* the best time there is */
    TG_TRY(try_pieces(stacks, n_stacks, ranks, boundary, pieces, dearest, out));
    best = fmin(best, out->makespan);
    if (out->n >= (int64_t)PLENTY * ranks) break;
  }
  for (int pieces = 1; pieces <= most; pieces++) { /* the fewest pieces that nearly reach it */
    TG_TRY(try_pieces(stacks, n_stacks, ranks, boundary, pieces, dearest, out));
    if (out->makespan <= 1.02 * best) break;
  }
  out->work = work;
  return TG_OK;
}

void tg_shard_plan_free(tg_shard_plan *plan) {
  free(plan->shards);
  plan->shards = NULL;
  plan->n = 0;
}
