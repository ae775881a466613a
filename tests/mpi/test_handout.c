/* Every ticket goes to one rank, and nobody waits for long. Every check is made on all ranks before CUnit sees it. */
#include "mpi_suite.h"
#include "base/timer.h"
#include "parallel/handout.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum { MAX_TICKETS = 600 };

/* What a rank got from one hand-out. */
typedef struct {
  int64_t n, tickets[MAX_TICKETS];
  int64_t done, given; /* on rank 0: what the hand-out says */
  bool went_on;        /* something came after the first -1 */
  double seconds;
} harvest;

/* Works for a while: rank 0 answers the others meanwhile. */
static void work(tg_handout *handout, double seconds) {
  for (const double end = tg_seconds() + seconds; tg_seconds() < end; nanosleep(&(struct timespec){0, 500000}, NULL))
    tg_handout_poll(handout);
}

static bool everywhere(bool mine) {
  MPI_Allreduce(MPI_IN_PLACE, &mine, 1, MPI_C_BOOL, MPI_LAND, MPI_COMM_WORLD);
  return mine;
}

/* Works until a condition holds on all ranks. Whether it did within a minute. Collective. */
static bool work_until(tg_handout *handout, int (*condition)(tg_handout *)) {
  bool holds = false, late = false;
  for (const double end = tg_seconds() + 60.0; !holds && !late;) {
    work(handout, 0.005);
    holds = everywhere(condition(handout));
    late = !everywhere(tg_seconds() < end);
  }
  return holds;
}

/* On a busy machine a rank may stand still for a while. What depends on that is tried up to five times: a fault of the hand-out
 * shows each time. Collective. */
static bool in_one_of_five(bool (*holds)(void)) {
  for (int a = 0; a < 5; a++)
    if (everywhere(holds())) return true;
  return false;
}

/* All ranks take what they get. A ticket is ticket % 7 + 1 units of work.
 * seconds     that a ticket takes this rank
 * stop_after  rank 0 stops after so many tickets of its own; -1: never */
static harvest take_all(int64_t n_tickets, double seconds, int stop_after) {
  harvest h = {0};
  tg_handout *handout = NULL;
  MPI_Barrier(MPI_COMM_WORLD);
  const double start = tg_seconds();
  ASSERT_ON_ALL(tg_handout_create(MPI_COMM_WORLD, n_tickets, &handout) == TG_OK);
  int64_t units = 0;
  if (rank == 0 && stop_after == 0) tg_handout_stop(handout);
  for (int64_t ticket; (ticket = tg_handout_next(handout, units)) >= 0 && h.n < MAX_TICKETS;) {
    h.tickets[h.n++] = ticket;
    units = ticket % 7 + 1;
    if (seconds > 0.0) work(handout, seconds);
    if (rank == 0 && stop_after == h.n) tg_handout_stop(handout);
  }
  for (int a = 0; a < 3; a++) h.went_on = h.went_on || tg_handout_next(handout, 0) != -1;
  tg_handout_finish(handout, 0, (tg_tick){NULL, NULL});
  h.done = tg_handout_done(handout);
  h.given = tg_handout_given(handout);
  MPI_Barrier(MPI_COMM_WORLD);
  h.seconds = tg_seconds() - start;
  tg_handout_destroy(&handout);
  ASSERT_ON_ALL(handout == NULL);
  return h;
}

/* Whether tickets 0..n-1 were given out once each over all ranks, to each rank in ascending order. Collective. */
static bool once_each(const harvest *h, int64_t n) {
  static int times[MAX_TICKETS];
  bool good = !h->went_on;
  memset(times, 0, sizeof times);
  for (int64_t a = 0; a < h->n; a++) {
    good = good && h->tickets[a] >= 0 && h->tickets[a] < n && (a == 0 || h->tickets[a] > h->tickets[a - 1]);
    if (good) times[h->tickets[a]]++;
  }
  MPI_Allreduce(MPI_IN_PLACE, times, MAX_TICKETS, MPI_INT, MPI_SUM, MPI_COMM_WORLD);
  for (int64_t a = 0; a < n; a++) good = good && times[a] == 1;
  return good;
}

static int64_t units_up_to(int64_t n) {
  int64_t sum = 0;
  for (int64_t a = 0; a < n; a++) sum += a % 7 + 1;
  return sum;
}

/* Oracle: counting. Zero tickets, fewer than ranks, and many; at full speed, when every rank asks at once. */
static void every_ticket_is_given_once(void) {
  static const int numbers[] = {0, 1, 2, 3, 4, 5, 7, 9, 10, 11, 50, MAX_TICKETS};
  for (size_t a = 0; a < sizeof numbers / sizeof *numbers; a++) {
    const harvest h = take_all(numbers[a], 0.0, -1);
    ASSERT_ON_ALL(once_each(&h, numbers[a]));
    ASSERT_ON_ALL(rank > 0 || h.given == numbers[a]);
    ASSERT_ON_ALL(rank > 0 || h.done == units_up_to(numbers[a]));
    ASSERT_ON_ALL(ranks > 1 || h.n == numbers[a]); /* with the ascending order of once_each: 0, 1, 2, .. on one rank */
  }
}

/* Oracle: counting, while ranks take 0, 1, 2, .. ms for a ticket. */
static void ranks_of_different_speed_share_the_tickets(void) {
  const harvest h = take_all(40 * ranks, 0.001 * rank, -1);
  ASSERT_ON_ALL(once_each(&h, 40 * ranks));
  ASSERT_ON_ALL(rank > 0 || h.done == units_up_to(40 * ranks));
}

/* Whether the tickets of all ranks are different ones, `given` of them, of `done` units together. Collective. */
static bool are_those_given(const harvest *h) {
  static int times[MAX_TICKETS];
  int64_t sums[2] = {h->n, 0};
  bool good = !h->went_on;
  memset(times, 0, sizeof times);
  for (int64_t a = 0; a < h->n && good; a++) {
    good = h->tickets[a] >= 0 && h->tickets[a] < MAX_TICKETS;
    if (good) times[h->tickets[a]]++;
    sums[1] += h->tickets[a] % 7 + 1;
  }
  MPI_Allreduce(MPI_IN_PLACE, times, MAX_TICKETS, MPI_INT, MPI_SUM, MPI_COMM_WORLD);
  MPI_Allreduce(MPI_IN_PLACE, sums, 2, MPI_INT64_T, MPI_SUM, MPI_COMM_WORLD);
  for (int a = 0; a < MAX_TICKETS; a++) good = good && times[a] <= 1;
  return good && (rank > 0 || (sums[0] == h->given && sums[1] == h->done));
}

/* Oracle: counting. What was begun before the stop is worked off by whoever has it, and nothing else. */
static bool nothing_is_given_after(int64_t n_tickets, int stop_after) {
  const harvest h = take_all(n_tickets, 0.002, stop_after);
  const bool in_time =
      everywhere(rank > 0 || h.given < MAX_TICKETS); /* else rank 0 stood still while the others took all */
  ASSERT_ON_ALL(!in_time || rank > 0 || h.n == stop_after);
  const bool good = are_those_given(&h);
  ASSERT_ON_ALL(!in_time || good);
  return in_time;
}
static bool nothing_is_given_after_a_stop(void) {
  bool good = true;
  for (int stop_after = 0; stop_after <= 4; stop_after += 2)
    for (int huge = 0; huge < 2; huge++)
      good = nothing_is_given_after(huge ? INT64_MAX : MAX_TICKETS, stop_after) && good;
  return good;
}
static void after_a_stop_nothing_is_given(void) { ASSERT_ON_ALL(in_one_of_five(nothing_is_given_after_a_stop)); }

/* Oracle: counting. Every rank has begun a ticket, and holds the next one, which rank 0 has given ahead; then `who` is asked to
 * stop. Nobody begins another.
 * taken  the ranks have taken the next one too, as one does to read it ahead, and give it back by themselves */
static void stop_with_tickets_held(int who, bool taken) {
  tg_handout *handout = NULL;
  ASSERT_ON_ALL(tg_handout_create(MPI_COMM_WORLD, 100 * ranks, &handout) == TG_OK);
  ASSERT_ON_ALL(tg_handout_next(handout, 0) >= 0);
  for (int phase = 0; phase < 1 + taken; phase++) {
    ASSERT_ON_ALL(work_until(handout, tg_handout_ready));
    if (taken && phase == 0) ASSERT_ON_ALL(tg_handout_next(handout, 0) >= 0);
  }
  ASSERT_ON_ALL(!tg_handout_stopped(handout));
  for (int a = 0; rank == who && a < 3; a++) tg_handout_stop(handout);
  ASSERT_ON_ALL(work_until(handout, tg_handout_stopped)); /* rank 0 hears of it, and tells the others */
  if (taken) tg_handout_give_back(handout);
  const int64_t next[2] = {tg_handout_next(handout, 1), tg_handout_next(handout, 0)};
  tg_handout_finish(handout, 10, (tg_tick){NULL, NULL}); /* in which rank 0 answers the others */
  ASSERT_ON_ALL(next[0] == -1 && next[1] == -1);
  ASSERT_ON_ALL(rank > 0 || tg_handout_given(handout) == ranks);
  ASSERT_ON_ALL(rank > 0 || tg_handout_done(handout) == 11 * ranks);
  tg_handout_destroy(&handout);
}

static void tickets_held_at_a_stop_are_given_back(void) {
  for (int who = 0; who < ranks; who++)
    for (int taken = 0; taken < 2; taken++) stop_with_tickets_held(who, taken);
}

/* Oracle: the same by a hand-out for everybody else. The last rank sleeps 0.6 s over a ticket, the others 20 ms; from the
 * start there are fewer tickets left than are given ahead, so the sleeper has only the one it sleeps over. With a second
 * one the run would last 1.2 s. */
static bool a_sleeper_sleeps_once(void) {
  const bool sleeps = rank == ranks - 1;
  const harvest h = take_all(2 * ranks - 1, sleeps ? 0.6 : 0.02, -1);
  ASSERT_ON_ALL(once_each(&h, 2 * ranks - 1));
  return (!sleeps || h.n <= 1) && h.seconds < 1.1;
}
static void a_sleeper_keeps_no_ticket_near_the_end(void) {
  ASSERT_ON_ALL(ranks == 1 || in_one_of_five(a_sleeper_sleeps_once));
}

/* Oracle: a static cut would give the sleeper 20 tickets of 0.2 s, 4 s. It gets the one it sleeps over and the one given
 * ahead (a third if the others are held up by the machine). */
static bool a_sleeper_gets_few(void) {
  const bool sleeps = rank == ranks - 1;
  const harvest h = take_all(20 * ranks, sleeps ? 0.2 : 0.002, -1);
  ASSERT_ON_ALL(once_each(&h, 20 * ranks));
  return (!sleeps || h.n <= 3) && h.seconds < 1.5;
}
static void a_slow_rank_gets_fewer_tickets(void) { ASSERT_ON_ALL(ranks == 1 || in_one_of_five(a_sleeper_gets_few)); }

/* Oracle: rank 0 has answered nothing, then a ticket ahead, and once that is taken another one. */
static void the_next_ticket_is_there_when_it_is_asked_for(void) {
  tg_handout *handout = NULL;
  ASSERT_ON_ALL(tg_handout_create(MPI_COMM_WORLD, 100 * ranks, &handout) == TG_OK);
  ASSERT_ON_ALL(tg_handout_ready(handout)); /* the one of its own from the start */
  if (rank > 0) tg_handout_next(handout, 0);
  MPI_Barrier(MPI_COMM_WORLD); /* rank 0 has not answered anything */
  ASSERT_ON_ALL(tg_handout_ready(handout) == (rank == 0));
  for (int phase = 0; phase < 2; phase++) { /* two tickets given ahead, one after the other */
    const bool ready = on_all(work_until(handout, tg_handout_ready), __LINE__);
    CU_ASSERT(ready);
    if (ready) ASSERT_ON_ALL(tg_handout_next(handout, 0) >= 0);
  }
  tg_handout_stop(handout);
  while (tg_handout_next(handout, 0) >= 0) continue;
  tg_handout_finish(handout, 0, (tg_tick){NULL, NULL});
  ASSERT_ON_ALL(!tg_handout_ready(handout)); /* nothing is left to be taken */
  tg_handout_destroy(&handout);
  tg_handout_destroy(&handout); /* safe on NULL */
}

static void count_call(void *calls) { ++*(int *)calls; }

/* Oracle: counting. The last rank comes for its -1 late: rank 0 waits for it and calls back about every 0.2 ms. */
static bool rank_0_calls_back(void) {
  tg_handout *handout = NULL;
  int calls = 0;
  ASSERT_ON_ALL(tg_handout_create(MPI_COMM_WORLD, ranks, &handout) == TG_OK);
  const double start = tg_seconds();
  while (tg_handout_next(handout, 0) >= 0)
    if (rank > 0 && rank == ranks - 1) work(handout, 0.2);
  tg_handout_finish(handout, 0, (tg_tick){count_call, &calls});
  const double waited = tg_seconds() - start;
  ASSERT_ON_ALL((rank == 0 && ranks > 1) || calls == 0);
  tg_handout_destroy(&handout);
  /* a rank that is served late may get no ticket, and then it does not sleep */
  return waited < 2.0 && (rank > 0 || ranks == 1 || waited < 0.2 || calls >= 5);
}
static void rank_0_calls_back_while_it_waits_for_the_others(void) { ASSERT_ON_ALL(in_one_of_five(rank_0_calls_back)); }

/* Oracle: counting. Nothing of a hand-out is left for the next one. (Between them a barrier: a question does not say which
 * hand-out it belongs to.) */
static void handouts_in_a_row_do_not_mix(void) {
  int64_t counts[20] = {0};
  for (int a = 0; a < 20; a++) {
    tg_handout *handout = NULL;
    if (tg_handout_create(MPI_COMM_WORLD, 3 * ranks, &handout) != TG_OK) continue;
    while (tg_handout_next(handout, 0) >= 0) counts[a]++;
    tg_handout_finish(handout, 0, (tg_tick){NULL, NULL});
    tg_handout_destroy(&handout);
  }
  MPI_Allreduce(MPI_IN_PLACE, counts, 20, MPI_INT64_T, MPI_SUM, MPI_COMM_WORLD);
  for (int a = 0; a < 20; a++) ASSERT_ON_ALL(counts[a] == 3 * ranks);
}

static void sleep_and_look(tg_handout *handout) {
  nanosleep(&(struct timespec){0, 200000000}, NULL);
  tg_handout_poll(handout);
}

/* Oracle: counting. All begin with a ticket and ask for the next one; the first look answers that, the second what is asked
 * then, which arrives while rank 0 is outside MPI. */
static bool one_look_answers_all(void) {
  tg_handout *handout = NULL;
  const tg_status made = tg_handout_create(MPI_COMM_WORLD, MAX_TICKETS, &handout);
  for (int a = 0; rank > 0 && a < 2; a++) tg_handout_next(handout, 0);
  for (int a = 0; rank == 0 && a < 2; a++) sleep_and_look(handout);
  const bool answered = rank > 0 || tg_handout_given(handout) == 3 * (ranks - 1);
  if (rank == 0) tg_handout_stop(handout);
  while (tg_handout_next(handout, 0) >= 0) continue;
  tg_handout_finish(handout, 0, (tg_tick){NULL, NULL});
  tg_handout_destroy(&handout);
  ASSERT_ON_ALL(made == TG_OK);
  return answered;
}
static void one_look_answers_all_that_have_asked(void) { ASSERT_ON_ALL(in_one_of_five(one_look_answers_all)); }

/* Oracle: counting. Rank 0 neither looks nor takes anything, and yet all others have a ticket each, where there are enough. */
static void all_others_begin_with_a_ticket(void) {
  for (int n = 0; n <= ranks + 1; n++) {
    tg_handout *handout = NULL;
    ASSERT_ON_ALL(tg_handout_create(MPI_COMM_WORLD, n, &handout) == TG_OK);
    const int64_t first = rank > 0 ? tg_handout_next(handout, 0) : 0;
    MPI_Barrier(MPI_COMM_WORLD);
    ASSERT_ON_ALL(rank == 0 || first == (rank <= n ? rank - 1 : -1));
    ASSERT_ON_ALL(rank > 0 || tg_handout_given(handout) == (n < ranks - 1 ? n : ranks - 1));
    while (tg_handout_next(handout, 0) >= 0) continue;
    tg_handout_finish(handout, 0, (tg_tick){NULL, NULL});
    tg_handout_destroy(&handout);
  }
}

int main(int argc, char **argv) {
  mpi_suite_begin(&argc, &argv);
  CU_TestInfo tests[] = {
      {"every ticket is given once", every_ticket_is_given_once},
      {"ranks of different speed share the tickets", ranks_of_different_speed_share_the_tickets},
      {"after a stop nothing is given", after_a_stop_nothing_is_given},
      {"tickets held at a stop are given back", tickets_held_at_a_stop_are_given_back},
      {"a sleeper keeps no ticket near the end", a_sleeper_keeps_no_ticket_near_the_end},
      {"a slow rank gets fewer tickets", a_slow_rank_gets_fewer_tickets},
      {"the next ticket is there when it is asked for", the_next_ticket_is_there_when_it_is_asked_for},
      {"rank 0 calls back while it waits", rank_0_calls_back_while_it_waits_for_the_others},
      {"hand-outs in a row do not mix", handouts_in_a_row_do_not_mix},
      {"all others begin with a ticket", all_others_begin_with_a_ticket},
      {"one look answers all that have asked", one_look_answers_all_that_have_asked},
      CU_TEST_INFO_NULL};
  int failed = mpi_suite_run("handout", tests);
  MPI_Finalize();
  return failed;
}
