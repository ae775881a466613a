#include "run/share.h"

#include "base/memory.h"
#include "parallel/comm.h"
#include <stdlib.h>
#include <string.h>

/* The arrays of a table one after another, the widest numbers first. */
static void lay_out(void *memory, tg_token_table *table) {
  table->ids = memory;
  table->lengths = (int32_t *)(table->ids + table->n);
  table->tokens = table->lengths + table->n;
}

static size_t bytes_of(const tg_token_table *table) {
  return (size_t)table->n *
         (sizeof *table->ids + sizeof *table->lengths + (size_t)table->width * sizeof *table->tokens);
}

static void copy(const tg_token_table *from, tg_token_table *to) {
  memcpy(to->ids, from->ids, (size_t)from->n * sizeof *from->ids);
  memcpy(to->lengths, from->lengths, (size_t)from->n * sizeof *from->lengths);
  memcpy(to->tokens, from->tokens, (size_t)from->n * (size_t)from->width * sizeof *from->tokens);
}

/* Collective over a node. Whether a model's prompts now stand in `table` for all its ranks; mine: those of rank 0. */
static bool share_table(MPI_Comm node, const tg_token_table *mine, tg_token_table *table, MPI_Win *window) {
  int rank, unit;
  void *memory = NULL;
  MPI_Aint size;
  MPI_Comm_rank(node, &rank);
  int64_t shape[3] = {mine ? mine->n : 0, mine ? mine->n_left_out : 0, mine ? mine->width : 0};
  MPI_Bcast(shape, 3, MPI_INT64_T, 0, node);
  *table = (tg_token_table){.n = shape[0], .n_left_out = shape[1], .width = (int)shape[2]};
  if (table->n == 0) return false;
  const MPI_Aint bytes = rank == 0 ? (MPI_Aint)bytes_of(table) : 0;
  int good = MPI_Win_allocate_shared(bytes, 1, MPI_INFO_NULL, node, &memory, window) == MPI_SUCCESS;
  MPI_Allreduce(MPI_IN_PLACE, &good, 1, MPI_INT, MPI_MIN, node);
  if (!good) {              /* too little shared memory: each rank reads for itself */
    *window = MPI_WIN_NULL; /* where some have it: all would have to free it */
    return false;
  }
  MPI_Win_shared_query(*window, 0, &size, &unit, &memory);
  lay_out(memory, table);
  MPI_Win_fence(0, *window);
  if (rank == 0) copy(mine, table);
  MPI_Win_fence(0, *window);
  return true;
}

/* Collective over a node. */
static void share_all(MPI_Comm node, const tg_study *study, tg_shared_prompts *shared) {
  int rank;
  MPI_Comm_rank(node, &rank);
  MPI_Comm_set_errhandler(node, MPI_ERRORS_RETURN);
  for (int m = 0; m < shared->n; m++) {
    const tg_token_table *mine = rank == 0 ? tg_source_tokens(study->sources[m]) : NULL;
    if (!share_table(node, mine, &shared->tables[m], &shared->windows[m])) shared->tables[m] = (tg_token_table){0};
  }
}

static tg_status create(const tg_config *config, tg_shared_prompts *shared) {
  *shared = (tg_shared_prompts){0};
  TG_TRY(TG_ALLOC(config->n_models, &shared->tables));
  TG_TRY(TG_ALLOC(config->n_models, &shared->windows));
  shared->n = config->n_models;
  for (int m = 0; m < shared->n; m++) shared->windows[m] = MPI_WIN_NULL;
  return TG_OK;
}

tg_status tg_shared_open(MPI_Comm comm, const tg_config *config, tg_study *study, tg_shared_prompts *shared) {
  MPI_Comm node;
  int rank, ranks;
  *study = (tg_study){0};
  TG_TRY(tg_comm_agree(comm, create(config, shared)));
  tg_status st = tg_comm_same(comm, config->resolved, strlen(config->resolved), "the config");
  TG_TRY(tg_comm_agree(comm, st)); /* before what goes over its models */
  MPI_Comm_split_type(comm, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &node);
  MPI_Comm_rank(node, &rank);
  MPI_Comm_size(node, &ranks);
  st = tg_comm_agree(comm, rank == 0 ? tg_study_open(config, NULL, study) : TG_OK);
  if (st == TG_OK && ranks > 1) share_all(node, study, shared);
  if (st == TG_OK) st = tg_comm_agree(comm, rank > 0 ? tg_study_open(config, shared->tables, study) : TG_OK);
  MPI_Comm_free(&node);
  if (st != TG_OK) return st;
  return tg_comm_agree(comm, tg_comm_same(comm, study->inputs, strlen(study->inputs), "the inputs"));
}

void tg_shared_free(tg_shared_prompts *shared) {
  for (int m = 0; m < shared->n; m++)
    if (shared->windows[m] != MPI_WIN_NULL) MPI_Win_free(&shared->windows[m]);
  free(shared->tables);
  free(shared->windows);
  *shared = (tg_shared_prompts){0};
}
