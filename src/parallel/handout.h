/* Who gets which ticket next. Rank 0 keeps the counter and works too; the others have a first ticket from the start and ask
 * for more, one ahead, by ordinary messages, which rank 0 answers whenever it polls. Near the end tickets are no longer given
 * ahead, so that no rank sits on one while another is idle.
 * A stop that any one rank was asked for reaches the others by way of rank 0, and what they have not begun they give back. */
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

/** Collective, once every rank has got -1. Rank 0 answers until all others have got it too; tick is called meanwhile.
 *  done  units of work finished since the last tg_handout_next; rank 0 then knows of all */
void tg_handout_finish(tg_handout *handout, int64_t done, tg_tick tick);

void tg_handout_destroy(tg_handout **handout); /* safe on NULL, leaves NULL */

/** Local on rank 0; else waits for rank 0's answer. The next ticket, or -1: nothing left, or a stop was asked for.
 *  done  units of work finished since the last call, for rank 0's progress */
int64_t tg_handout_next(tg_handout *handout, int64_t done);

/** Whether a ticket is there to be taken ahead. */
int tg_handout_ready(tg_handout *handout);

/** Rank 0: answers what has arrived; call every few milliseconds. Others: nothing. */
void tg_handout_poll(tg_handout *handout);

/** Local. Nothing more is begun: on this rank at once, elsewhere from the next tg_handout_next on, when the message is there. May be
 *  called again and again. */
void tg_handout_stop(tg_handout *handout);

/** Local. Whether a stop was asked for, here or elsewhere. */
int tg_handout_stopped(tg_handout *handout);

/** Local. The ticket that this rank was given last is not begun and never will be: after a stop, before the next tg_handout_next. */
void tg_handout_give_back(tg_handout *handout);

/** Rank 0: units of work reported so far; tickets given out and not given back, of all ranks after tg_handout_finish. */
int64_t tg_handout_done(const tg_handout *handout);
int64_t tg_handout_given(const tg_handout *handout);

#endif
