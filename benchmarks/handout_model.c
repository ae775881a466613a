#include "handout_model.h"

#include "base/memory.h"
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

static const double BOUNDARY = 0.8; /* of src/run/pipeline.c */

/* ---- the plan and its times ---- */

tg_status plan_study(const study_size *study, int ranks, tg_shard_plan *out) {
  tg_shard_stack *stacks = NULL;
  const int64_t n = (int64_t)study->prompts * study->levels;
  TG_TRY(TG_ALLOC(n, &stacks));
  for (int64_t a = 0; a < n; a++)
    stacks[a] = (tg_shard_stack){
        .prompt = a / study->levels, .level = (int32_t)(a % study->levels), .end = study->layers, .cost = 1.0};
  const tg_status st = tg_shard_cut(stacks, n, ranks, BOUNDARY, out);
  free(stacks);
  return st;
}

/* splitmix64 */
static uint64_t mix(uint64_t x) {
  x += 0x9E3779B97F4A7C15u;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
  return x ^ (x >> 31);
}

static double uniform(uint64_t x) { return ((double)(mix(x) >> 11) + 0.5) * 0x1p-53; }

static double seconds_of_cloud(const cloud_times *times, uint64_t cloud) {
  const uint64_t draw = 2 * (mix(times->seed) + cloud);
  if (times->measured) return times->measured[(int)(uniform(draw) * times->n_measured)];
  const double sigma2 = log1p(times->spread * times->spread);
  const double normal = sqrt(-2.0 * log(uniform(draw))) * cos(2.0 * M_PI * uniform(draw + 1));
  return times->mean * exp(sqrt(sigma2) * normal - 0.5 * sigma2);
}

double seconds_of_shard(const cloud_times *times, const study_size *study, const tg_shard *shard, double *last_layer) {
  *last_layer = 0.0;
  const uint64_t stack = (uint64_t)(shard->prompt * study->levels + shard->level) * (uint64_t)study->layers;
  double sum = shard->first > 0 ? BOUNDARY * seconds_of_cloud(times, stack + (uint64_t)shard->first - 1) : 0.0;
  for (int l = shard->first; l < shard->end; l++) {
    *last_layer = seconds_of_cloud(times, stack + (uint64_t)l);
    sum += *last_layer;
  }
  return sum;
}

/* ---- events, the earliest first ---- */

typedef enum { ROOT_LOOKS, QUESTION_ARRIVES, ANSWER_ARRIVES, ANSWER_SEEN, LAST_LAYER, SHARD_ENDS } event_kind;

typedef struct {
  double at;
  int64_t number; /* of equally early ones the older is first */
  event_kind kind;
  int rank;
  int64_t value; /* of a question: whether the rank is idle; of an answer: the ticket */
} event;

typedef struct {
  event *heap;
  int64_t n, room, made;
} agenda;

static bool earlier(const event *a, const event *b) { return a->at != b->at ? a->at < b->at : a->number < b->number; }

static void push(agenda *g, double at, event_kind kind, int rank, int64_t value) {
  int64_t a = g->n++;
  const event new = {at, g->made++, kind, rank, value};
  for (; a > 0 && earlier(&new, &g->heap[(a - 1) / 2]); a = (a - 1) / 2) g->heap[a] = g->heap[(a - 1) / 2];
  g->heap[a] = new;
}

static event pop(agenda *g) {
  const event first = g->heap[0], last = g->heap[--g->n];
  int64_t a = 0;
  for (int64_t b; (b = 2 * a + 1) < g->n; a = b) {
    if (b + 1 < g->n && earlier(&g->heap[b + 1], &g->heap[b])) b++;
    if (!earlier(&g->heap[b], &last)) break;
    g->heap[a] = g->heap[b];
  }
  g->heap[a] = last;
  return first;
}

/* ---- the ranks ---- */

enum { NOTHING_LEFT = -1, NOT_AHEAD = -2, NONE = -3 };

/* A rank other than 0. */
typedef struct {
  int64_t answer, next; /* NONE: not there */
  bool blocked;
  double since; /* when it began to wait */
} worker;

typedef struct {
  const study_size *study;
  const tg_shard_plan *plan;
  const cloud_times *times;
  const handout_costs *costs;
  int ranks, dismissed;
  int64_t given; /* tickets */
  worker *workers;
  agenda agenda;
  int *queue; /* [ranks] ring of ranks whose questions have arrived; a rank has one at most */
  bool *idle; /* [ranks] what the question says */
  int64_t first, arrived;
  int64_t root_next; /* taken ahead */
  double root_left, root_last;
  simulated out;
} simulation;

static void ask(simulation *s, int rank, bool idle, double now) {
  s->workers[rank].answer = NONE;
  push(&s->agenda, now + s->costs->latency, QUESTION_ARRIVES, rank, idle);
}

static double take(simulation *s, int64_t ticket, double *last_layer) {
  const double seconds = seconds_of_shard(s->times, s->study, &s->plan->shards[ticket], last_layer);
  s->out.busy += seconds;
  return seconds;
}

static void begin(simulation *s, int rank, int64_t ticket, double now) {
  double last;
  const double end = now + take(s, ticket, &last);
  push(&s->agenda, end - last, LAST_LAYER, rank, 0);
  push(&s->agenda, end, SHARD_ENDS, rank, 0);
}

static void wait_for_answer(worker *w, double now) {
  w->blocked = true;
  w->since = now;
}

/* tg_handout_next, once the answer is there. */
static void take_answer(simulation *s, int rank, double now) {
  worker *w = &s->workers[rank];
  const int64_t ticket = w->answer;
  w->blocked = false;
  if (ticket == NOTHING_LEFT) return;
  ask(s, rank, ticket == NOT_AHEAD, now);
  if (ticket == NOT_AHEAD)
    wait_for_answer(w, now);
  else
    begin(s, rank, ticket, now);
}

static void start_last_layer(simulation *s, int rank, double now) {
  worker *w = &s->workers[rank];
  if (w->answer < 0) return;
  w->next = w->answer;
  ask(s, rank, false, now);
}

static void end_shard(simulation *s, int rank, double now) {
  worker *w = &s->workers[rank];
  const int64_t next = w->next;
  w->next = NONE;
  s->out.makespan = fmax(s->out.makespan, now);
  if (next >= 0)
    begin(s, rank, next, now);
  else if (w->answer != NONE)
    take_answer(s, rank, now);
  else
    wait_for_answer(w, now);
}

static void hear_answer(simulation *s, const event *e) {
  worker *w = &s->workers[e->rank];
  const double rest = s->costs->rest;
  w->answer = e->value;
  if (!w->blocked) return;
  const double seen = rest > 0.0 ? w->since + ceil((e->at - w->since) / rest) * rest : e->at;
  push(&s->agenda, seen, ANSWER_SEEN, e->rank, 0);
}

/* ---- rank 0 ---- */

static bool plenty(const simulation *s) { return s->plan->n - s->given >= 2 * (int64_t)s->ranks; }

static int64_t ticket_for(simulation *s, bool idle) {
  if (s->given >= s->plan->n) return idle ? NOTHING_LEFT : NOT_AHEAD;
  return idle || plenty(s) ? s->given++ : NOT_AHEAD;
}

static void answer_one(simulation *s, double now) {
  const int rank = s->queue[s->first++ % s->ranks];
  const int64_t ticket = ticket_for(s, s->idle[rank]);
  const double sent = now + s->costs->service;
  s->dismissed += ticket == NOTHING_LEFT;
  s->out.requests++;
  s->out.answering += s->costs->service;
  push(&s->agenda, sent + s->costs->latency, ANSWER_ARRIVES, rank, ticket);
  push(&s->agenda, sent, ROOT_LOOKS, 0, 0);
}

/* Rank 0 between two looks: a little of its own shard, or nothing. */
static void root_works(simulation *s, double now) {
  if (s->root_left <= 0.0) {
    const int64_t ticket = s->root_next >= 0 ? s->root_next : s->given < s->plan->n ? s->given++ : NONE;
    s->root_next = NONE;
    if (ticket >= 0) s->root_left = take(s, ticket, &s->root_last);
  }
  if (s->root_left <= 0.0) {
    if (s->dismissed < s->ranks - 1) push(&s->agenda, now + s->costs->rest, ROOT_LOOKS, 0, 0);
    return;
  }
  if (s->root_left <= s->root_last && s->root_next < 0 && plenty(s)) s->root_next = s->given++;
  const double step = fmin(s->costs->tick, s->root_left);
  s->root_left = step < s->root_left ? s->root_left - step : 0.0;
  s->out.answering += s->costs->probe;
  s->out.makespan = fmax(s->out.makespan, now + step);
  push(&s->agenda, now + step + s->costs->probe, ROOT_LOOKS, 0, 0);
}

static void hear_question(simulation *s, const event *e) {
  s->idle[e->rank] = e->value;
  s->queue[s->arrived++ % s->ranks] = e->rank;
}

/* ---- the run ---- */

static void happen(simulation *s, const event *e) {
  switch (e->kind) {
  case ROOT_LOOKS:
    s->first < s->arrived ? answer_one(s, e->at) : root_works(s, e->at);
    break;
  case QUESTION_ARRIVES:
    hear_question(s, e);
    break;
  case ANSWER_ARRIVES:
    hear_answer(s, e);
    break;
  case ANSWER_SEEN:
    take_answer(s, e->rank, e->at);
    break;
  case LAST_LAYER:
    start_last_layer(s, e->rank, e->at);
    break;
  case SHARD_ENDS:
    end_shard(s, e->rank, e->at);
    break;
  }
}

tg_status simulate_handout(const study_size *study, const tg_shard_plan *plan, int ranks, const cloud_times *times,
                           const handout_costs *costs, simulated *out) {
  simulation s = {.study = study, .plan = plan, .times = times, .costs = costs, .ranks = ranks, .root_next = NONE};
  tg_status st = TG_ALLOC(ranks, &s.workers);
  if (st == TG_OK) st = TG_ALLOC(ranks, &s.queue);
  if (st == TG_OK) st = TG_ALLOC(ranks, &s.idle);
  if (st == TG_OK)
    st = TG_ALLOC(4 * (int64_t)ranks + 4, &s.agenda.heap); /* a rank: question or answer, seen, two of a shard */
  if (st == TG_OK) push(&s.agenda, 0.0, ROOT_LOOKS, 0, 0);
  s.given = plan->n < ranks - 1 ? plan->n : ranks - 1;
  s.dismissed = ranks - 1 - (int)s.given;
  for (int rank = 1; st == TG_OK && rank < ranks; rank++) {
    s.workers[rank] = (worker){.answer = rank - 1 < s.given ? rank - 1 : NOTHING_LEFT, .next = NONE};
    take_answer(&s, rank, 0.0);
  }
  while (st == TG_OK && s.agenda.n > 0) {
    const event e = pop(&s.agenda);
    happen(&s, &e);
  }
  *out = s.out;
  free(s.workers);
  free(s.queue);
  free(s.idle);
  free(s.agenda.heap);
  return st;
}
