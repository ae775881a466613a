/* What the MPI tests share: checks that are made on all ranks before CUnit sees them, and one verdict. */
#ifndef TG_MPI_SUITE_H
#define TG_MPI_SUITE_H

#include "../oracle/suite.h"

#include <mpi.h>
#include <stdbool.h>
#include <stdio.h>

static int rank, ranks;

/* Whether something holds on all ranks; names those where it does not. */
static inline bool on_all(bool mine, int line) {
  int all = mine;
  MPI_Allreduce(MPI_IN_PLACE, &all, 1, MPI_INT, MPI_MIN, MPI_COMM_WORLD);
  if (!mine) fprintf(stderr, "rank %d of %d: line %d does not hold\n", rank, ranks, line);
  return all;
}
#define ASSERT_ON_ALL(condition) CU_ASSERT(on_all(condition, __LINE__))

/* Starts MPI; rank and ranks are set from here on. */
static inline void mpi_suite_begin(int *argc, char ***argv) {
  MPI_Init(argc, argv);
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &ranks);
  if (rank > 0 && !freopen("/dev/null", "w", stdout))
    MPI_Abort(MPI_COMM_WORLD, EXIT_FAILURE); /* one report is enough */
}

/* Runs the tests; the verdict is the same on all ranks. */
static inline int mpi_suite_run(const char *name, CU_TestInfo *tests) {
  int failed = suite_run(name, tests);
  MPI_Allreduce(MPI_IN_PLACE, &failed, 1, MPI_INT, MPI_MAX, MPI_COMM_WORLD);
  return failed;
}

#endif
