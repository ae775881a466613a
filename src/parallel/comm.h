/* Ranks agree before they part. Collective: every rank of the communicator calls with the same arguments' shapes. */
#ifndef TG_COMM_H
#define TG_COMM_H

#include "base/status.h"
#include <mpi.h>
#include <stddef.h>

/** Collective. Every rank gets the code of the lowest failing rank, or TG_OK; that rank prints its message. */
tg_status tg_comm_agree(MPI_Comm comm, tg_status mine);

/** Collective. TG_OK when all ranks hold the same bytes, else TG_EINTERNAL naming `what`, on every rank. */
tg_status tg_comm_same(MPI_Comm comm, const void *bytes, size_t size, const char *what);

/** Ends all ranks at once after an error that cannot be agreed on: prints the message and calls MPI_Abort(code). */
_Noreturn void tg_comm_abort(tg_status code);

/** Collective. Ends all ranks after an error that was agreed on, and told by that, with which they cannot go on. */
_Noreturn void tg_comm_abort_all(MPI_Comm comm, tg_status agreed);

#endif
