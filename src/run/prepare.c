#include "run/prepare.h"

#include "parallel/comm.h"
#include "study/inputs.h"
#include <sched.h>
#include <stdio.h>

/* A node as its ranks see it. */
typedef struct {
  int rank, ranks, cores; /* cores: that any of them may use, 0: not known */
  int on_one;             /* most ranks that are bound to one core and the same */
  char name[MPI_MAX_PROCESSOR_NAME];
} node_load;

/* Collective. The node that this rank is on. */
static node_load node_of(MPI_Comm comm) {
  node_load load = {0};
  int bound[CPU_SETSIZE] = {0}, length;
  cpu_set_t mine, any;
  MPI_Comm node;
  CPU_ZERO(&mine);
  if (sched_getaffinity(0, sizeof mine, &mine) != 0) CPU_ZERO(&mine); /* more cores than a set has room for */
  for (size_t c = 0; c < CPU_SETSIZE; c++) bound[c] = CPU_COUNT(&mine) == 1 && CPU_ISSET(c, &mine);
  MPI_Comm_split_type(comm, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &node);
  MPI_Comm_rank(node, &load.rank);
  MPI_Comm_size(node, &load.ranks);
  MPI_Allreduce(&mine, &any, (int)sizeof mine, MPI_BYTE, MPI_BOR, node);
  MPI_Allreduce(MPI_IN_PLACE, bound, CPU_SETSIZE, MPI_INT, MPI_SUM, node);
  MPI_Comm_free(&node);
  load.cores = CPU_COUNT(&any);
  for (int c = 0; c < CPU_SETSIZE; c++) load.on_one = bound[c] > load.on_one ? bound[c] : load.on_one;
  MPI_Get_processor_name(load.name, &length);
  return load;
}

/* Threads a rank computes with, at most. */
static int threads_of(const tg_study *study) {
  int threads = study->config->blas_threads;
  for (int m = 0; m < study->n_models; m++) {
    const int wanted = study->config->models[m].source.threads;
    if (tg_source_describe(study->sources[m])->forward && wanted > threads) threads = wanted;
  }
  return threads;
}

/* Threads that wait for a core on a node; where ranks are bound to one core and the same, some do. */
static int waiting(const node_load *load, int threads) {
  const int over = load->cores > 0 ? load->ranks * threads - load->cores : 0;
  return over < 1 && load->on_one > 1 ? 1 : over;
}

static void say(const node_load *load, int threads) {
  if (load->ranks * threads > load->cores)
    fprintf(stderr, "tokengeom: warning: %s: %d rank%s x %d thread%s share %d core%s\n", load->name, load->ranks,
            load->ranks == 1 ? "" : "s", threads, threads == 1 ? "" : "s", load->cores, load->cores == 1 ? "" : "s");
  else
    fprintf(stderr, "tokengeom: warning: %s: %d ranks are bound to one core: mpirun --bind-to core, or none\n",
            load->name, load->on_one);
}

/* Collective. Threads that share too few cores are slow, and nothing else tells. Rank 0 says so of its own binding, or of the
 * worst node. */
static void warn_of_sharing(MPI_Comm comm, int threads, node_load load) {
  cpu_set_t mine;
  const int cores = sched_getaffinity(0, sizeof mine, &mine) == 0 ? CPU_COUNT(&mine) : threads;
  int rank;
  MPI_Comm_rank(comm, &rank);
  struct {
    int waiting, rank;
  } worst = {waiting(&load, threads), rank};
  MPI_Allreduce(MPI_IN_PLACE, &worst, 1, MPI_2INT, MPI_MAXLOC, comm);
  MPI_Bcast(&load, (int)sizeof load, MPI_BYTE, worst.rank, comm);
  if (rank == 0 && threads > cores)
    fprintf(
        stderr,
        "tokengeom: warning: %d threads a rank, but a rank may use %d cores only: mpirun --bind-to none, or --map-by "
        "slot:PE=%d\n",
        threads, cores, threads);
  else if (rank == 0 && worst.waiting > 0)
    say(&load, threads);
}

tg_status tg_prepare_sources(MPI_Comm comm, tg_study *study) {
  const node_load node = node_of(comm);
  const int threads = threads_of(study);
  int rank;
  MPI_Comm_rank(comm, &rank);
  if (rank == 0) tg_inputs_print_aliases(stderr, "tokengeom: warning: ", study->config);
  for (int m = 0; m < study->n_models; m++) {
    if (rank == 0) tg_inputs_print_left_out(stderr, "", tg_source_describe(study->sources[m]));
    TG_TRY(tg_comm_agree(comm, node.rank == 0 ? tg_source_convert(study->sources[m]) : TG_OK));
    TG_TRY(tg_comm_agree(comm, tg_source_prepare(study->sources[m], node.rank, node.ranks)));
  }
  if (rank == 0) tg_inputs_print_engine_warnings(stderr, "tokengeom: warning: ");
  warn_of_sharing(comm, threads, node);
  return TG_OK;
}
