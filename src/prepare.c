#include "prepare.h"

#include "parallel/comm.h"
#include <inttypes.h>
#include <sched.h>
#include <stdio.h>

static int ranks_of_node(MPI_Comm comm) {
  MPI_Comm node;
  int ranks;
  MPI_Comm_split_type(comm, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &node);
  MPI_Comm_size(node, &ranks);
  MPI_Comm_free(&node);
  return ranks;
}

/* A rank whose threads share too few cores is slow, and nothing else tells. */
static void warn_of_threads(int threads, int ranks) {
  cpu_set_t mine;
  const int cores = sched_getaffinity(0, sizeof mine, &mine) == 0 ? CPU_COUNT(&mine) : threads;
  const long all = ranks * (long)threads;
  if (threads > cores)
    fprintf(
        stderr,
        "tokengeom: warning: %d threads a rank, but a rank may use %d cores only: mpirun --bind-to none, or --map-by "
        "slot:PE=%d\n",
        threads, cores, threads);
  else if (cores > 1 && all > cores)
    fprintf(stderr, "tokengeom: warning: %d ranks x %d threads share %d cores\n", ranks, threads, cores);
}

tg_status tg_prepare_sources(MPI_Comm comm, tg_study *study) {
  const int ranks = ranks_of_node(comm);
  int rank;
  MPI_Comm_rank(comm, &rank);
  for (int m = 0; m < study->n_models; m++) {
    const tg_source_info *info = tg_source_describe(study->sources[m]);
    if (rank == 0 && info->n_left_out > 0)
      fprintf(stderr, "%s: %" PRId64 " of %" PRId64 " prompts left out, with too few tokens\n", info->model,
              info->n_left_out, info->n_left_out + info->n_prompts);
    if (rank == 0 && info->forward) warn_of_threads(study->config->models[m].source.threads, ranks);
    TG_TRY(tg_comm_agree(comm, tg_source_prepare(study->sources[m], ranks)));
  }
  return TG_OK;
}
