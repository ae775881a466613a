#include "inputs.h"

#include "base/memory.h"
#include "hdf5/look.h"
#include <stdlib.h>

static int number_of(const char *name, int fallback) {
  const char *text = getenv(name);
  return text && *text ? atoi(text) : fallback;
}

/* Open MPI's mpirun; SLURM's srun; others that follow PMI. mpirun's come first: its ranks may stand in a job of SLURM. */
void tg_inputs_rank(int *rank, int *ranks) {
  static const char *const names[][2] = {
      {"OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"}, {"PMIX_RANK", "SLURM_NTASKS"}, {"PMI_RANK", "PMI_SIZE"}};
  *rank = 0;
  *ranks = 1;
  for (size_t a = 0; a < sizeof names / sizeof names[0]; a++)
    if (getenv(names[a][0])) {
      *rank = number_of(names[a][0], 0);
      *ranks = number_of(names[a][1], 1);
      return;
    }
}

tg_status tg_inputs_look(const tg_config *config) {
  const char **paths = NULL;
  int rank, ranks, n = 0, place = 0, room = 0;
  tg_inputs_rank(&rank, &ranks);
  for (int m = 0; m < config->n_models; m++) room += config->models[m].source.n_files;
  TG_TRY(TG_ALLOC(room, &paths));
  for (int m = 0; m < config->n_models; m++) {
    const tg_source_config *source = &config->models[m].source;
    for (int a = 0; source->kind == TG_SOURCE_HDF5 && a < source->n_files; a++, place++)
      if (rank >= ranks || place % ranks == rank) paths[n++] = source->files[a]; /* a size not known: all of them */
  }
  const tg_status st = tg_h5_look(paths, n);
  free(paths);
  return st;
}

tg_status tg_inputs_look_before(const char *path, const char *const *overrides, int n_overrides, bool resume) {
  tg_config *config = NULL;
  int rank, ranks;
  tg_inputs_rank(&rank, &ranks);
  if (tg_config_read(path, overrides, n_overrides, &config) != TG_OK) return TG_OK;
  tg_status st = tg_inputs_look(config);
  if (st == TG_OK && resume && rank == 0) st = tg_h5_look((const char *const[]){config->output}, 1);
  tg_config_destroy(&config);
  return st;
}
