#include "parallel/handout.h"

#include "base/memory.h"
#include "parallel/comm.h"
#include <stdlib.h>
#include <time.h>

enum { TAG_ASK = 71, TAG_TICKET = 72, TAG_STOP = 73 };
enum { NOTHING_LEFT = -1, NOT_AHEAD = -2 };

/* What a worker sends: a question for a ticket, when it has none or one ahead, or only that it was asked to stop. With it what
 * it has finished since the last one, and tickets that it gives back. */
enum { IDLE, AHEAD, NO_QUESTION };
typedef struct {
  int64_t kind, done, back, stop;
} message;
enum { MESSAGE = sizeof(message) / sizeof(int64_t) };

struct tg_handout {
  MPI_Comm comm;
  int rank, ranks;
  int stopped, finished;
  int64_t back; /* tickets given back: of all ranks on rank 0, elsewhere those that rank 0 does not know of */
  /* rank 0 */
  int64_t n_tickets, next, done;
  int dismissed;        /* workers that were told that nothing is left */
  MPI_Request *telling; /* [ranks - 1], of the stop */
  /* others */
  message asked, notice;
  int64_t answer;
  MPI_Request sending, receiving, noticing;
  int waiting, told; /* told: has heard of the stop from rank 0 */
};

static void ask(tg_handout *h, int kind, int64_t done) {
  h->asked = (message){kind, done, h->back, h->stopped};
  h->back = 0;
  MPI_Irecv(&h->answer, 1, MPI_INT64_T, 0, TAG_TICKET, h->comm, &h->receiving);
  MPI_Isend(&h->asked, MESSAGE, MPI_INT64_T, 0, TAG_ASK, h->comm, &h->sending);
  h->waiting = 1;
}

tg_status tg_handout_create(MPI_Comm comm, int64_t n_tickets, tg_handout **out) {
  int ranks;
  MPI_Comm_size(comm, &ranks);
  tg_status st = TG_ALLOC(1, out);
  if (st == TG_OK) st = TG_ALLOC(ranks, &(*out)->telling);
  TG_TRY(tg_comm_agree(comm, st));
  tg_handout *h = *out;
  h->comm = comm;
  h->n_tickets = n_tickets;
  h->ranks = ranks;
  MPI_Comm_rank(comm, &h->rank);
  h->next = n_tickets < h->ranks - 1 ? n_tickets : h->ranks - 1;
  h->dismissed = h->ranks - 1 - (int)h->next;
  h->answer = h->rank - 1 < h->next ? h->rank - 1 : NOTHING_LEFT; /* as if it had come */
  h->finished = h->rank > 0 && h->answer == NOTHING_LEFT;
  h->sending = h->receiving = h->noticing = MPI_REQUEST_NULL;
  h->waiting = 1;
  return TG_OK;
}

/* What a worker gets: while tickets are scarce only idle ranks are served. */
static int64_t ticket_for(tg_handout *h, int idle) {
  if (h->stopped || h->next >= h->n_tickets) return idle ? NOTHING_LEFT : NOT_AHEAD;
  if (!idle && h->n_tickets - h->next < 2 * (int64_t)h->ranks) return NOT_AHEAD;
  return h->next++;
}

static void answer(tg_handout *h, int asker) {
  message asked;
  MPI_Recv(&asked, MESSAGE, MPI_INT64_T, asker, TAG_ASK, h->comm, MPI_STATUS_IGNORE);
  h->done += asked.done;
  h->back += asked.back;
  if (asked.stop) tg_handout_stop(h);
  if (asked.kind == NO_QUESTION) return;
  const int64_t answer = ticket_for(h, asked.kind == IDLE);
  h->dismissed += answer == NOTHING_LEFT;
  MPI_Send(&answer, 1, MPI_INT64_T, asker, TAG_TICKET, h->comm);
}

/* Open MPI looks at the network after a probe has found nothing, so what has arrived is found by the next probe. */
void tg_handout_poll(tg_handout *handout) {
  tg_handout *h = handout;
  if (h->rank != 0) return;
  for (int in_vain = 0; in_vain < 2;) {
    MPI_Status status;
    int arrived = 0;
    MPI_Iprobe(MPI_ANY_SOURCE, TAG_ASK, h->comm, &arrived, &status);
    in_vain = arrived ? 0 : in_vain + 1;
    if (arrived) answer(h, status.MPI_SOURCE);
  }
}

/* Waiting without burning a core that another rank may need. */
static void rest(void) { nanosleep(&(struct timespec){0, 200000}, NULL); }

static int64_t wait_for_answer(tg_handout *h) {
  for (int arrived = 0;; rest()) {
    MPI_Test(&h->receiving, &arrived, MPI_STATUS_IGNORE);
    if (arrived) break;
  }
  MPI_Wait(&h->sending, MPI_STATUS_IGNORE);
  h->waiting = 0;
  return h->answer;
}

/* A worker looks whether rank 0 has told it to stop; twice, as above. */
static void listen(tg_handout *h) {
  for (int look = 0, arrived = 0; look < 2 && !h->told; look++) {
    MPI_Iprobe(0, TAG_STOP, h->comm, &arrived, MPI_STATUS_IGNORE);
    if (!arrived) continue;
    MPI_Recv(NULL, 0, MPI_INT, 0, TAG_STOP, h->comm, MPI_STATUS_IGNORE);
    h->stopped = h->told = 1;
  }
}

int tg_handout_stopped(tg_handout *handout) {
  if (handout->rank == 0)
    tg_handout_poll(handout);
  else if (!handout->finished)
    listen(handout);
  return handout->stopped;
}

void tg_handout_give_back(tg_handout *handout) { handout->back++; }

/* A worker's ticket is not begun once a stop was asked for: it goes back with the next question. */
static int64_t unless_stopped(tg_handout *h, int64_t ticket) {
  if (ticket < 0 || !tg_handout_stopped(h)) return ticket;
  tg_handout_give_back(h);
  return NOT_AHEAD;
}

int64_t tg_handout_next(tg_handout *handout, int64_t done) {
  tg_handout *h = handout;
  if (h->rank == 0) {
    h->done += done;
    tg_handout_poll(h);
    return h->stopped || h->next >= h->n_tickets ? NOTHING_LEFT : h->next++;
  }
  if (h->finished) return NOTHING_LEFT;
  int64_t ticket = unless_stopped(h, h->waiting ? wait_for_answer(h) : NOT_AHEAD);
  for (; ticket == NOT_AHEAD; done = 0) {
    ask(h, IDLE, done);
    ticket = unless_stopped(h, wait_for_answer(h));
  }
  if (ticket == NOTHING_LEFT)
    h->finished = 1;
  else
    ask(h, AHEAD, done);
  return ticket;
}

int tg_handout_ready(tg_handout *handout) {
  tg_handout *h = handout;
  int arrived = 0;
  if (h->rank == 0) return !h->stopped && h->n_tickets - h->next >= 2 * (int64_t)h->ranks; /* none ahead near the end */
  if (h->finished || !h->waiting) return 0;
  MPI_Request_get_status(h->receiving, &arrived, MPI_STATUS_IGNORE);
  return arrived && h->answer >= 0;
}

void tg_handout_stop(tg_handout *handout) {
  tg_handout *h = handout;
  if (h->stopped) return;
  h->stopped = 1;
  if (h->finished) return;
  h->notice = (message){NO_QUESTION, 0, 0, 1};
  if (h->rank > 0) MPI_Isend(&h->notice, MESSAGE, MPI_INT64_T, 0, TAG_ASK, h->comm, &h->noticing);
  for (int a = 1; h->rank == 0 && a < h->ranks; a++)
    MPI_Isend(NULL, 0, MPI_INT, a, TAG_STOP, h->comm, &h->telling[a - 1]);
}

int64_t tg_handout_done(const tg_handout *handout) { return handout->done; }
int64_t tg_handout_given(const tg_handout *handout) { return handout->next - handout->back; }

void tg_handout_finish(tg_handout *handout, int64_t done, tg_tick tick) {
  tg_handout *h = handout;
  int64_t all_done = 0;
  while (h->rank == 0 && h->dismissed < h->ranks - 1) {
    tg_handout_poll(h);
    tg_tick_call(tick);
    rest();
  }
  int stopped = h->stopped;
  h->finished = 1;
  MPI_Reduce(&done, &all_done, 1, MPI_INT64_T, MPI_SUM, 0, h->comm);
  h->done += all_done;
  MPI_Bcast(&stopped, 1, MPI_INT, 0, h->comm); /* whether rank 0 has told the others */
  if (h->rank == 0 && stopped) MPI_Waitall(h->ranks - 1, h->telling, MPI_STATUSES_IGNORE);
  if (h->rank > 0 && stopped && !h->told) MPI_Recv(NULL, 0, MPI_INT, 0, TAG_STOP, h->comm, MPI_STATUS_IGNORE);
  MPI_Wait(&h->noticing, MPI_STATUS_IGNORE);
  MPI_Barrier(h->comm); /* questions of a next hand-out come after this one has ended */
}

void tg_handout_destroy(tg_handout **handout) {
  if (*handout) free((*handout)->telling);
  free(*handout);
  *handout = NULL;
}
