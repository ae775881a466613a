/* How work is cut: properties of every plan, by brute force over many shapes. */
#include "../oracle/suite.h"
#include "parallel/shard.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

enum { MAX_STACKS = 1200, MAX_LAYERS = 40, MAX_RANKS = 70, MAX_SHARDS = MAX_STACKS * MAX_LAYERS, PLENTY = 16 };

/* One problem. */
typedef struct {
  int n_stacks, ranks;
  double boundary;
  tg_shard_stack stacks[MAX_STACKS];
} problem;

static uint64_t step(uint64_t *state) { return *state = *state * 6364136223846793005u + 1442695040888963407u; }
static int below(uint64_t *state, int n) { return (int)((step(state) >> 33) % (uint64_t)n); }

typedef enum { EQUAL, UNEQUAL, FROM_THE_MIDDLE, SOME_EMPTY, ONE_DEAR, N_KINDS } shape;

static void fill(problem *q, shape kind, int n_stacks, int layers, int ranks, double boundary, uint64_t seed) {
  *q = (problem){.n_stacks = n_stacks, .ranks = ranks, .boundary = boundary};
  for (int a = 0; a < n_stacks; a++) {
    tg_shard_stack *s = &q->stacks[a];
    *s = (tg_shard_stack){.model = a / 11, .level = a % 3, .prompt = a % 11 / 3, .end = layers, .cost = 1e9};
    if (kind != EQUAL) s->cost *= 1.0 + below(&seed, 1000) / 137.0;
    if (kind == FROM_THE_MIDDLE)
      s->first = below(&seed, layers), s->end = s->first + 1 + below(&seed, layers - s->first);
    if (kind == SOME_EMPTY && below(&seed, 2)) s->first = s->end = below(&seed, layers + 1);
    if (kind == ONE_DEAR && a == n_stacks / 2) s->cost *= 300.0;
  }
}

/* Calls `check` on the plans of many problems. */
static void on_many_problems(void (*check)(const problem *, const tg_shard_plan *)) {
  static const int stacks[] = {1, 2, 3, 7, 24, 48, 150, 1121}, layers[] = {1, 2, 5, 33},
                   ranks[] = {1, 2, 3, 4, 5, 7, 8, 13, 16, 24, 33, 64, 70};
  static problem q;
  for (int k = 0; k < N_KINDS; k++)
    for (size_t a = 0; a < sizeof stacks / sizeof *stacks; a++)
      for (size_t b = 0; b < sizeof layers / sizeof *layers; b++)
        for (size_t c = 0; c < sizeof ranks / sizeof *ranks; c++) {
          tg_shard_plan plan;
          fill(&q, (shape)k, stacks[a], layers[b], ranks[c], (int)(c % 3) * 0.35, (uint64_t)k + 7);
          CU_ASSERT(tg_shard_cut(q.stacks, q.n_stacks, q.ranks, q.boundary, &plan) == TG_OK);
          check(&q, &plan);
          tg_shard_plan_free(&plan);
        }
}

static int layers_of(const tg_shard_stack *s) { return s->end > s->first ? s->end - s->first : 0; }

static const tg_shard_stack *stack_of(const problem *q, const tg_shard *shard) {
  for (int a = 0; a < q->n_stacks; a++)
    if (q->stacks[a].model == shard->model && q->stacks[a].prompt == shard->prompt &&
        q->stacks[a].level == shard->level)
      return &q->stacks[a];
  return NULL;
}

/* Oracle: counting. */
static void check_cover(const problem *q, const tg_shard_plan *plan) {
  static int times[MAX_STACKS][MAX_LAYERS];
  memset(times, 0, sizeof times);
  bool inside = true, once = true;
  for (int64_t a = 0; a < plan->n; a++) {
    const tg_shard *shard = &plan->shards[a];
    const tg_shard_stack *s = stack_of(q, shard);
    inside = inside && s && shard->first >= s->first && shard->first < shard->end && shard->end <= s->end;
    for (int l = shard->first; inside && l < shard->end; l++) times[s - q->stacks][l]++;
  }
  for (int a = 0; a < q->n_stacks; a++)
    for (int l = 0; l < MAX_LAYERS; l++)
      once = once && times[a][l] == (l >= q->stacks[a].first && l < q->stacks[a].end);
  CU_ASSERT(inside);
  CU_ASSERT(once);
}
static void every_layer_is_in_one_shard(void) { on_many_problems(check_cover); }

/* Oracle: the header's sentence. Bound: one product and one sum. */
static void check_costs(const problem *q, const tg_shard_plan *plan) {
  bool right = true;
  double work = 0.0;
  for (int64_t a = 0; a < plan->n; a++) {
    const tg_shard *shard = &plan->shards[a];
    const tg_shard_stack *s = stack_of(q, shard);
    const double cost =
        s ? (shard->end - shard->first) * s->cost + (shard->first > 0 ? q->boundary * s->cost : 0.0) : NAN;
    right = right && fabs(shard->cost - cost) <= 4e-16 * cost;
  }
  for (int a = 0; a < q->n_stacks; a++) work += layers_of(&q->stacks[a]) * q->stacks[a].cost;
  CU_ASSERT(right);
  CU_ASSERT(fabs(plan->work - work) <= 1e-12 * work);
}
static void a_boundary_layer_costs_where_first_is_above_zero(void) { on_many_problems(check_costs); }

static bool comes_after(const tg_shard *x, const tg_shard *y) {
  if (x->cost != y->cost) return x->cost > y->cost;
  if (x->model != y->model) return x->model < y->model;
  if (x->prompt != y->prompt) return x->prompt < y->prompt;
  return x->level != y->level ? x->level < y->level : x->first < y->first;
}

/* Oracle: comparing neighbors. */
static void check_order(const problem *q, const tg_shard_plan *plan) {
  bool sorted = true;
  (void)q;
  for (int64_t a = 1; a < plan->n; a++) sorted = sorted && comes_after(&plan->shards[a - 1], &plan->shards[a]);
  CU_ASSERT(sorted);
}
static void the_dearest_come_first(void) { on_many_problems(check_order); }

/* When the last rank ends: each shard, in the table's order, to the rank that is free first. */
static double simulate(const double *costs, int64_t n, int ranks) {
  double ends[MAX_RANKS] = {0}, last = 0.0;
  for (int64_t a = 0; a < n; a++) {
    int free_first = 0;
    for (int r = 1; r < ranks; r++)
      if (ends[r] < ends[free_first]) free_first = r;
    ends[free_first] += costs[a];
    last = fmax(last, ends[free_first]);
  }
  return last;
}

/* Oracle: the same by plain search for the free rank, equal to the bit (which of equally free ranks is taken makes no
 * difference); and what no schedule can beat. */
static void check_makespan(const problem *q, const tg_shard_plan *plan) {
  static double costs[MAX_SHARDS];
  double dearest = 0.0;
  for (int64_t a = 0; a < plan->n; a++) costs[a] = plan->shards[a].cost, dearest = fmax(dearest, costs[a]);
  CU_ASSERT(plan->makespan == simulate(costs, plan->n, q->ranks));
  CU_ASSERT(plan->makespan >= plan->work / q->ranks * (1.0 - 1e-12));
  CU_ASSERT(plan->makespan >= dearest);
}
static void the_makespan_is_that_of_a_plain_simulation(void) { on_many_problems(check_makespan); }

static int descending(const void *a, const void *b) {
  const double x = *(const double *)a, y = *(const double *)b;
  return (x < y) - (x > y);
}

/* Costs of the shards when no piece of a stack may cost more than 1 / m of the dearest stack: pieces as equal as they go,
 * the longer ones first. */
static int64_t plain_cut(const problem *q, int m, double *costs) {
  double dearest = 0.0;
  int64_t n = 0;
  for (int a = 0; a < q->n_stacks; a++) dearest = fmax(dearest, q->stacks[a].cost * layers_of(&q->stacks[a]));
  for (int a = 0; a < q->n_stacks; a++) {
    const tg_shard_stack *s = &q->stacks[a];
    const int layers = layers_of(s);
    int pieces = 1, l = s->first;
    while (pieces < layers && s->cost * layers / pieces > dearest / m * (1.0 + 1e-9)) pieces++;
    for (int b = 0; layers > 0 && b < pieces; b++) {
      const int length = layers / pieces + (b < layers % pieces);
      costs[n++] = s->cost * (length + (l > 0 ? q->boundary : 0.0));
      l += length;
    }
  }
  qsort(costs, (size_t)n, sizeof *costs, descending);
  return n;
}

/* Oracle: all numbers of pieces tried in plain code, up to the one that gives every rank 16 shards. The plan has the fewest
 * pieces that come within 2 % of the best (1e-6 is for sums in another order). Where ranks are left without a shard, no
 * finer cut helps. */
static void check_choice(const problem *q, const tg_shard_plan *plan) {
  static double costs[MAX_SHARDS];
  double best = INFINITY, times[MAX_LAYERS + 1] = {0};
  int64_t counts[MAX_LAYERS + 1] = {0};
  int most = 1, tried = 0;
  for (int a = 0; a < q->n_stacks; a++)
    if (layers_of(&q->stacks[a]) > most) most = layers_of(&q->stacks[a]);
  if (q->n_stacks >= PLENTY * q->ranks) most = 1;
  for (int m = 1; m <= most; m++) {
    counts[m] = plain_cut(q, m, costs);
    times[m] = simulate(costs, counts[m], q->ranks);
    best = fmin(best, times[m]);
    tried = m;
    if (counts[m] >= PLENTY * q->ranks) break;
  }
  CU_ASSERT(plan->makespan <= 1.02 * best * (1.0 + 1e-6));
  CU_ASSERT(plan->pieces >= 1 && plan->pieces <= tried);
  if (plan->pieces < 1 || plan->pieces > tried) return;
  CU_ASSERT(plan->n == counts[plan->pieces]);
  bool fewest = true;
  for (int m = 1; m < plan->pieces; m++) fewest = fewest && times[m] > 1.02 * best * (1.0 - 1e-6);
  CU_ASSERT(fewest);
}
static void the_fewest_pieces_that_nearly_reach_the_best_time(void) { on_many_problems(check_choice); }

/* Oracle: counting. Where all layers cost the same and a boundary costs nothing, a rank goes without a shard only when its
 * getting one would not end the run earlier: no plan is faster than ceil(layers / ranks) layers one after another. */
static void ranks_are_idle_only_where_that_costs_nothing(void) {
  static problem q;
  for (int n_stacks = 1; n_stacks <= 9; n_stacks++)
    for (int layers = 1; layers <= 33; layers++)
      for (int ranks = 1; ranks <= MAX_RANKS; ranks++) {
        tg_shard_plan plan;
        fill(&q, EQUAL, n_stacks, layers, ranks, 0.0, 1);
        CU_ASSERT(tg_shard_cut(q.stacks, n_stacks, ranks, 0.0, &plan) == TG_OK);
        const int total = n_stacks * layers, least = total < ranks ? total : ranks;
        const double bound = (total + ranks - 1) / ranks * 1e9;
        if (plan.n < least) CU_ASSERT(plan.makespan <= 1.02 * bound);
        if (total <= ranks) CU_ASSERT(plan.n == total);
        if (n_stacks == 1 && layers % ranks == 0) CU_ASSERT(plan.makespan <= 1.02 * bound);
        tg_shard_plan_free(&plan);
      }
}

/* Oracle: the table of stacks itself, with no stack cut. */
static void plenty_of_stacks_are_not_cut(void) {
  static problem q;
  for (int k = 0; k < N_KINDS; k++)
    for (int ranks = 1; ranks <= MAX_RANKS; ranks++) {
      tg_shard_plan plan;
      int64_t wanted = 0;
      fill(&q, (shape)k, PLENTY * ranks, 5, ranks, 0.35, 3);
      for (int a = 0; a < q.n_stacks; a++) wanted += layers_of(&q.stacks[a]) > 0;
      CU_ASSERT(tg_shard_cut(q.stacks, q.n_stacks, ranks, q.boundary, &plan) == TG_OK);
      CU_ASSERT(plan.n == wanted && plan.pieces == 1);
      bool whole = true;
      for (int64_t a = 0; a < plan.n; a++) {
        const tg_shard_stack *s = stack_of(&q, &plan.shards[a]);
        whole = whole && s && plan.shards[a].first == s->first && plan.shards[a].end == s->end;
      }
      CU_ASSERT(whole);
      tg_shard_plan_free(&plan);
    }
}

/* Oracle: the first call. The table is the same to the byte, also for the stacks in another order: its order is total. */
static void check_repeat(const problem *q, const tg_shard_plan *plan) {
  static tg_shard_stack reversed[MAX_STACKS];
  tg_shard_plan again, other;
  for (int a = 0; a < q->n_stacks; a++) reversed[a] = q->stacks[q->n_stacks - 1 - a];
  CU_ASSERT(tg_shard_cut(q->stacks, q->n_stacks, q->ranks, q->boundary, &again) == TG_OK);
  CU_ASSERT(tg_shard_cut(reversed, q->n_stacks, q->ranks, q->boundary, &other) == TG_OK);
  CU_ASSERT(again.n == plan->n && again.makespan == plan->makespan && again.work == plan->work);
  CU_ASSERT(again.n == plan->n && memcmp(again.shards, plan->shards, (size_t)plan->n * sizeof *plan->shards) == 0);
  CU_ASSERT(other.n == plan->n && other.makespan == plan->makespan);
  CU_ASSERT(other.n == plan->n && memcmp(other.shards, plan->shards, (size_t)plan->n * sizeof *plan->shards) == 0);
  tg_shard_plan_free(&again);
  tg_shard_plan_free(&other);
}
static void the_same_stacks_give_the_same_table(void) { on_many_problems(check_repeat); }

/* Oracle: there is nothing to cut. */
static void no_work_gives_no_shards(void) {
  const tg_shard_stack done[] = {{.first = 7, .end = 7, .cost = 1e9}, {.cost = 1e9}};
  for (int ranks = 1; ranks <= MAX_RANKS; ranks++)
    for (int n = 0; n <= 2; n++) {
      tg_shard_plan plan;
      CU_ASSERT(tg_shard_cut(done, n, ranks, 0.35, &plan) == TG_OK);
      CU_ASSERT(plan.n == 0 && plan.makespan == 0.0);
      tg_shard_plan_free(&plan);
      tg_shard_plan_free(&plan); /* safe on a plan that was freed */
      CU_ASSERT(plan.shards == NULL);
    }
}

int main(void) {
  CU_TestInfo tests[] = {
      {"every layer is in one shard", every_layer_is_in_one_shard},
      {"a boundary layer costs where first > 0", a_boundary_layer_costs_where_first_is_above_zero},
      {"the dearest come first", the_dearest_come_first},
      {"the makespan is that of a plain simulation", the_makespan_is_that_of_a_plain_simulation},
      {"the fewest pieces that nearly reach the best time", the_fewest_pieces_that_nearly_reach_the_best_time},
      {"ranks are idle only where that costs nothing", ranks_are_idle_only_where_that_costs_nothing},
      {"plenty of stacks are not cut", plenty_of_stacks_are_not_cut},
      {"the same stacks give the same table", the_same_stacks_give_the_same_table},
      {"no work gives no shards", no_work_gives_no_shards},
      CU_TEST_INFO_NULL};
  return suite_run("shard", tests);
}
