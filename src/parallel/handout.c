#include "parallel/handout.h"

#include "base/memory.h"
#include "parallel/comm.h"
#include <stdlib.h>
#include <time.h>

enum { TAG_ASK = 71, TAG_TICKET = 72 };
enum { NOTHING_LEFT = -1, NOT_AHEAD = -2 };

/* A worker's question: whether it is idle, what it has finished since the last one, whether it was asked to stop. */
typedef struct {
  int64_t idle, done, stop;
} question;

struct tg_handout {
  MPI_Comm comm;
  int rank, ranks;
  /* rank 0 */
  int64_t n_tickets, next, done;
  int dismissed; /* workers that were told that nothing is left */
  int stopped;   /* on other ranks: rank 0 hears of it with the next question */
  /* others */
  question asked;
  int64_t answer;
  MPI_Request sending, receiving;
  int waiting, finished;
};

static void ask(tg_handout *h, int idle, int64_t done) {
  h->asked = (question){idle, done, h->stopped};
  MPI_Irecv(&h->answer, 1, MPI_INT64_T, 0, TAG_TICKET, h->comm, &h->receiving);
  MPI_Isend(&h->asked, 3, MPI_INT64_T, 0, TAG_ASK, h->comm, &h->sending);
  h->waiting = 1;
}

tg_status tg_handout_create(MPI_Comm comm, int64_t n_tickets, tg_handout **out) {
  TG_TRY(tg_comm_agree(comm, TG_ALLOC(1, out)));
  tg_handout *h = *out;
  h->comm = comm;
  h->n_tickets = n_tickets;
  MPI_Comm_rank(comm, &h->rank);
  MPI_Comm_size(comm, &h->ranks);
  h->next = n_tickets < h->ranks - 1 ? n_tickets : h->ranks - 1;
  h->dismissed = h->ranks - 1 - (int)h->next;
  h->answer = h->rank - 1 < h->next ? h->rank - 1 : NOTHING_LEFT; /* as if it had come */
  h->sending = h->receiving = MPI_REQUEST_NULL;
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
  question asked;
  MPI_Recv(&asked, 3, MPI_INT64_T, asker, TAG_ASK, h->comm, MPI_STATUS_IGNORE);
  h->done += asked.done;
  h->stopped |= asked.stop != 0;
  const int64_t answer = ticket_for(h, (int)asked.idle);
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

int64_t tg_handout_next(tg_handout *handout, int64_t done) {
  tg_handout *h = handout;
  if (h->rank == 0) {
    h->done += done;
    tg_handout_poll(h);
    return h->stopped || h->next >= h->n_tickets ? NOTHING_LEFT : h->next++;
  }
  if (h->finished) return NOTHING_LEFT;
  int64_t ticket = h->waiting ? wait_for_answer(h) : NOT_AHEAD;
  if (ticket == NOT_AHEAD) {
    ask(h, 1, done);
    done = 0;
    ticket = wait_for_answer(h);
  }
  if (ticket == NOTHING_LEFT)
    h->finished = 1;
  else
    ask(h, 0, done);
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

void tg_handout_stop(tg_handout *handout) { handout->stopped = 1; }
int64_t tg_handout_done(const tg_handout *handout) { return handout->done; }
int64_t tg_handout_given(const tg_handout *handout) { return handout->next; }

void tg_handout_finish(tg_handout *handout, tg_tick tick) {
  tg_handout *h = handout;
  while (h->rank == 0 && h->dismissed < h->ranks - 1) {
    tg_handout_poll(h);
    tg_tick_call(tick);
    rest();
  }
  MPI_Barrier(h->comm); /* questions of a next hand-out come after this one has ended */
}

void tg_handout_destroy(tg_handout **handout) {
  free(*handout);
  *handout = NULL;
}
