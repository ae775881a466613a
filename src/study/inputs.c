#include "study/inputs.h"

#include "base/memory.h"
#include "base/text.h"
#include "hdf5/look.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { LARGE_CLOUD = 64 << 20 }; /* bytes; one that a look does not read */

static int number_of(const char *name, int fallback) {
  const char *text = getenv(name);
  return text && *text ? atoi(text) : fallback;
}

/* Open MPI's mpirun; SLURM's srun with PMIx; others that follow PMI; srun alone. mpirun's come first: its ranks may stand in a job of
 * SLURM. */
const char *tg_inputs_rank(int *rank, int *ranks) {
  static const char *const names[][2] = {{"OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"},
                                         {"PMIX_RANK", "SLURM_NTASKS"},
                                         {"PMI_RANK", "PMI_SIZE"},
                                         {"SLURM_PROCID", "SLURM_STEP_NUM_TASKS"}};
  *rank = 0;
  *ranks = 1;
  for (size_t a = 0; a < sizeof names / sizeof names[0]; a++)
    if (getenv(names[a][0])) {
      *rank = number_of(names[a][0], 0);
      *ranks = number_of(names[a][1], 1);
      return getenv(names[a][1]) ? names[a][1] : NULL;
    }
  return NULL;
}

/* Clouds and numbers of the first and the last prompt and level. Failures are the reader's to report. */
static tg_status read_ends(tg_source *source, void *raw, tg_source_scalars *scalars) {
  const tg_source_info *info = tg_source_describe(source);
  for (int a = 0; a < 2; a++) {
    const int64_t p = a ? info->n_prompts - 1 : 0;
    const int s = a ? info->n_levels - 1 : 0;
    TG_TRY(tg_source_read(source, p, s, 0, raw));
    TG_TRY(tg_source_read(source, p, s, info->n_layers - 1, raw));
    TG_TRY(tg_source_read_scalars(source, p, s, scalars));
  }
  return TG_OK;
}

void tg_inputs_try(const char *path) {
  char *files[] = {(char *)path};
  tg_model_config model = {(char *)"model", {.kind = TG_SOURCE_HDF5, .files = files, .n_files = 1}};
  const tg_config config = {
      .path = (char *)path, .models = &model, .n_models = 1, .all_prompts = true, .all_levels = true};
  tg_source *source = NULL;
  if (tg_source_create(&config, 0, NULL, &source) != TG_OK) return;
  const tg_source_info *info = tg_source_describe(source);
  const size_t n = info->cloud_bytes <= LARGE_CLOUD ? (size_t)info->n_tokens : 0;
  void *raw = n ? malloc(info->cloud_bytes) : NULL;
  tg_source_scalars scalars = {.token_ids = calloc(n + 1, sizeof *scalars.token_ids),
                               .token_loss = calloc(n + 1, sizeof *scalars.token_loss),
                               .token_entropy = calloc(n + 1, sizeof *scalars.token_entropy)};
  if (raw && scalars.token_ids && scalars.token_loss && scalars.token_entropy) read_ends(source, raw, &scalars);
  free(scalars.token_ids);
  free(scalars.token_loss);
  free(scalars.token_entropy);
  free(raw);
  tg_source_destroy(&source);
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
  const tg_status st = tg_h5_look(paths, n, tg_inputs_try);
  free(paths);
  return st;
}

tg_status tg_inputs_look_before(const char *path, const char *const *overrides, int n_overrides, bool resume) {
  tg_config *config = NULL;
  int rank, ranks;
  tg_inputs_rank(&rank, &ranks);
  if (tg_config_read(path, overrides, n_overrides, &config) != TG_OK) return TG_OK;
  tg_status st = tg_inputs_look(config);
  if (st == TG_OK && resume && rank == 0) st = tg_h5_look((const char *const[]){config->output}, 1, NULL);
  tg_config_destroy(&config);
  return st;
}

void tg_inputs_print_aliases(FILE *out, const char *prefix, const tg_config *config) {
  if (config->n_aliases > 0)
    tg_text_print(out, "%s%" PRId64 " matches of globs are other names of files that are taken already, as %s is\n",
                  prefix, config->n_aliases, config->alias);
}

void tg_inputs_print_left_out(FILE *out, const char *prefix, const tg_source_info *info) {
  if (info->missing_parts)
    fprintf(out, "%s%s: warning: parts of its hidden states are missing: %s\n", prefix, info->model,
            info->missing_parts);
  if (info->n_left_out > 0)
    fprintf(out, "%s%s: %" PRId64 " of %" PRId64 " prompts left out, with too few tokens\n", prefix, info->model,
            info->n_left_out, info->n_left_out + info->n_read);
  if (info->n_not_common > 0)
    fprintf(out, "%s%s: %" PRId64 " of %" PRId64 " prompts left out, which another model does not have\n", prefix,
            info->model, info->n_not_common, info->n_not_common + info->n_prompts);
}

void tg_inputs_print_engine_warnings(FILE *out, const char *prefix) {
  for (const char *line = tg_source_engine_warnings(); *line; line += strcspn(line, "\n") + 1)
    tg_text_print(out, "%slibllama: %.*s\n", prefix, (int)strcspn(line, "\n"), line);
}
