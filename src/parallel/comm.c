#include "parallel/comm.h"

#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

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
  uint64_t range[2] = {hash, ~hash}; /* right also for MPICH 4.0, which compares unsigned integers as if they had a sign */
  MPI_Allreduce(MPI_IN_PLACE, range, 2, MPI_UINT64_T, MPI_MAX, comm);
  if (range[0] == ~range[1]) return TG_OK;
  int rank;
  MPI_Comm_rank(comm, &rank);
  tg_fail(TG_EINTERNAL, TG_HERE, "the ranks differ in %s: do all nodes see the same files?", what);
  return TG_EINTERNAL;
}

void tg_comm_abort(tg_status code) {
  int rank;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  fprintf(stderr, "tokengeom: rank %d: %s\n", rank, tg_last_error());
  fflush(stderr);
  MPI_Abort(MPI_COMM_WORLD, (int)code);
  abort();
}
