/* Who gets which ticket next. Rank 0 keeps the counter and works too; the others have a first ticket from the start and ask
 * for more, one ahead, by ordinary messages, which rank 0 answers whenever it polls. Near the end tickets are no longer given
 * ahead, so that no rank sits on one while another is idle. */
#ifndef TG_HANDOUT_H
#define TG_HANDOUT_H

#include "base/status.h"
#include "base/tick.h"
#include <mpi.h>
#include <stdint.h>

typedef struct tg_handout tg_handout;

/** Collective. Tickets 0..n_tickets-1, given out in this order, the first ones to ranks 1, 2, ... at once.
 *  out  caller destroys. errors TG_EINTERNAL, agreed on */
tg_status tg_handout_create(MPI_Comm comm, int64_t n_tickets, tg_handout **out);

/** Collective, once every rank has got -1. Rank 0 answers until all others have got it too; tick is called meanwhile. */
void tg_handout_finish(tg_handout *handout, tg_tick tick);

void tg_handout_destroy(tg_handout **handout); /* safe on NULL, leaves NULL */

/** Local on rank 0; else waits for rank 0's answer. The next ticket, or -1: nothing left.
 *  done  units of work finished since the last call, for rank 0's progress */
int64_t tg_handout_next(tg_handout *handout, int64_t done);

/** Whether a ticket is there to be taken ahead. */
int tg_handout_ready(tg_handout *handout);

/** Rank 0: answers what has arrived; call every few milliseconds. Others: nothing. */
void tg_handout_poll(tg_handout *handout);

/** Local. Nothing more is given out: on rank 0 at once, else from this rank's next question on. */
void tg_handout_stop(tg_handout *handout);

/** Rank 0: units of work reported so far, tickets given out. */
int64_t tg_handout_done(const tg_handout *handout);
int64_t tg_handout_given(const tg_handout *handout);

#endif
