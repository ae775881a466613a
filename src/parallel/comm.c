#include "parallel/comm.h"

#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

tg_status tg_comm_agree(MPI_Comm comm, tg_status mine) {
  int rank;
  MPI_Comm_rank(comm, &rank);
  struct {
    int rank, code;
  } first = {mine ? rank : INT_MAX, (int)mine};
  MPI_Allreduce(MPI_IN_PLACE, &first, 1, MPI_2INT, MPI_MINLOC, comm);
  if (first.rank == INT_MAX) return TG_OK;
  if (first.rank == rank) fprintf(stderr, "tokengeom: %s\n", tg_last_error());
  return (tg_status)first.code;
}

tg_status tg_comm_same(MPI_Comm comm, const void *bytes, size_t size, const char *what) {
  uint64_t hash = 14695981039346656037u;
  for (size_t a = 0; a < size; a++) hash = (hash ^ ((const unsigned char *)bytes)[a]) * 1099511628211u;
  uint64_t range[2] = {hash, ~hash}; /* right also with a sign, which MPICH 4.0 takes them to have */
  MPI_Allreduce(MPI_IN_PLACE, range, 2, MPI_UINT64_T, MPI_MAX, comm);
  if (range[0] == ~range[1]) return TG_OK;
  int rank;
  MPI_Comm_rank(comm, &rank);
  tg_fail(TG_EINTERNAL, TG_HERE, "the ranks differ in %s: do all nodes see the same files?", what);
  return TG_EINTERNAL;
}

/* Until the launcher has read what was said: MPICH's may hear of the end first and read no more. A second at most. */
static void wait_until_read(void) {
  const struct timespec pause = {.tv_nsec = 1000000};
  int left = 0;
  fflush(stderr);
  for (int a = 0; a < 1000 && ioctl(STDERR_FILENO, FIONREAD, &left) == 0 && left > 0; a++) nanosleep(&pause, NULL);
}

void tg_comm_abort(tg_status code) {
  int rank;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  fprintf(stderr, "tokengeom: rank %d: %s\n", rank, tg_last_error());
  wait_until_read();
  MPI_Abort(MPI_COMM_WORLD, (int)code);
  abort();
}

void tg_comm_abort_all(MPI_Comm comm, tg_status agreed) {
  wait_until_read();
  MPI_Barrier(comm);
  MPI_Abort(comm, (int)agreed);
  abort();
}
