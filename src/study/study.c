#include "study/study.h"

#include "base/memory.h"
#include "geometry/observable.h"
#include <errno.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* angle_layers that the model has; they are ascending. */
static int layers_it_has(const tg_config *config, int n_layers) {
  int count = 0;
  while (count < config->n_angle_layers && config->angle_layers[count] < n_layers) count++;
  return count;
}

uint64_t tg_study_observables(const tg_config *config) {
  return config->measured | (uint64_t)config->neighbors << TG_OBSERVE_NEIGHBORS;
}

static tg_results_model describe_model(const tg_config *config, const tg_source_info *info) {
  tg_results_model model = {.name = info->model,
                            .n_prompts = info->n_prompts,
                            .prompt_ids = info->prompt_ids,
                            .groups = info->groups,
                            .n_levels = info->n_levels,
                            .levels = info->levels,
                            .n_layers = info->n_layers,
                            .shape = {.n_scales = config->n_scales,
                                      .k = config->overlap_k,
                                      .n_tokens = info->n_tokens,
                                      .observables = tg_study_observables(config)},
                            .angle_layers = config->angle_layers,
                            .n_angle_layers = info->measured ? 0 : layers_it_has(config, info->n_layers),
                            .token_ids = info->has_token_ids};
  memcpy(model.shape.scales, config->scales, sizeof config->scales);
  return model;
}

static tg_status check_names(const tg_study *study) {
  for (int a = 0; a < study->n_models; a++)
    for (int b = 0; b < a; b++)
      TG_CHECK(strcmp(study->models[a].name, study->models[b].name) != 0, TG_ECONFIG,
               "%s: models[%d] and models[%d] are both named '%s'; give one another name", study->config->path, b, a,
               study->models[a].name);
  return TG_OK;
}

static tg_status join_identities(tg_study *study) {
  size_t room = 1;
  for (int m = 0; m < study->n_models; m++)
    room += strlen(tg_source_identity(study->sources[m])) + strlen(study->models[m].name) + 3;
  TG_TRY(TG_ALLOC(room, &study->inputs));
  char *at = study->inputs;
  for (int m = 0; m < study->n_models; m++)
    at += sprintf(at, "%s: %s", study->models[m].name, tg_source_identity(study->sources[m]));
  return TG_OK;
}

/* The a-th file that is read while a run goes on. NULL: there are no more. */
static const char *input_file(const tg_study *study, int a) {
  for (int m = 0; m < study->n_models; m++) {
    const tg_source_info *info = tg_source_describe(study->sources[m]);
    if (a < info->n_files) return info->files[a];
    a -= info->n_files;
  }
  return NULL;
}

static tg_status note_files(tg_study *study) {
  int n = 0;
  while (input_file(study, n)) n++;
  TG_TRY(TG_ALLOC(n + 1, &study->files));
  for (int a = 0; a < n; a++)
    TG_CHECK(stat(input_file(study, a), &study->files[a]) == 0, TG_ENOINPUT, "%s: %s", input_file(study, a),
             strerror(errno));
  return TG_OK;
}

tg_status tg_study_check_inputs(const tg_study *study) {
  const char *path;
  for (int a = 0; (path = input_file(study, a)); a++) {
    const struct stat *before = &study->files[a];
    struct stat now;
    TG_CHECK(stat(path, &now) == 0, TG_EDATA, "%s: was removed during the run (%s)", path, strerror(errno));
    TG_CHECK(now.st_size == before->st_size && now.st_mtim.tv_sec == before->st_mtim.tv_sec &&
                 now.st_mtim.tv_nsec == before->st_mtim.tv_nsec,
             TG_EDATA, "%s: was changed during the run (%lld bytes, now %lld): its results cannot be trusted", path,
             (long long)before->st_size, (long long)now.st_size);
  }
  return TG_OK;
}

static int by_size(const void *a, const void *b) {
  const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
  return (x > y) - (x < y);
}

/* The ids of a source's prompts, ascending; how many. */
static int64_t sorted_ids(const tg_source *source, int64_t *ids) {
  const tg_source_info *info = tg_source_describe(source);
  memcpy(ids, info->prompt_ids, (size_t)info->n_prompts * sizeof *ids);
  qsort(ids, (size_t)info->n_prompts, sizeof *ids, by_size);
  return info->n_prompts;
}

/* Every model keeps the prompts that all of them have: each what those before it have, and then all what is left in the last. */
static tg_status keep_common(tg_study *study) {
  int64_t *ids = NULL;
  TG_TRY(TG_ALLOC(tg_source_describe(study->sources[0])->n_prompts, &ids));
  int64_t n = sorted_ids(study->sources[0], ids);
  for (int m = 1; m < study->n_models; m++) {
    tg_source_keep_common(study->sources[m], ids, n);
    n = sorted_ids(study->sources[m], ids);
  }
  for (int m = 0; m < study->n_models; m++) tg_source_keep_common(study->sources[m], ids, n);
  free(ids);
  TG_CHECK(n > 0, TG_EDATA, "%s: prompts: common: no id is among the prompts of every model", study->config->path);
  return TG_OK;
}

/* The config's kernel, or the best one here. */
static tg_status choose_kernel(const tg_config *config, tg_kernel *kernel) {
  *kernel = config->kernel > 0 ? (tg_kernel)(config->kernel - 1) : tg_kernel_best();
  TG_CHECK(tg_kernel_runs(*kernel), TG_ECONFIG,
           "%s: compute.kernel: %s needs a build with oneDNN and a CPU with AVX512-BF16 or AMX", config->path,
           tg_kernel_names[*kernel]);
  return TG_OK;
}

tg_status tg_study_open(const tg_config *config, const tg_token_table *prompts, tg_study *out) {
  *out = (tg_study){.config = config, .n_models = config->n_models};
  TG_TRY(TG_ALLOC(config->n_models, &out->sources));
  TG_TRY(TG_ALLOC(config->n_models, &out->models));
  TG_TRY(choose_kernel(config, &out->kernel));
  for (int m = 0; m < config->n_models; m++)
    TG_TRY(tg_source_create(config, m, prompts && prompts[m].n > 0 ? &prompts[m] : NULL, &out->sources[m]));
  if (config->common_prompts) TG_TRY(keep_common(out));
  for (int m = 0; m < config->n_models; m++)
    out->models[m] = describe_model(config, tg_source_describe(out->sources[m]));
  TG_TRY(check_names(out));
  TG_TRY(note_files(out));
  return join_identities(out);
}

void tg_study_close(tg_study *study) {
  for (int m = 0; study->sources && m < study->n_models; m++) tg_source_destroy(&study->sources[m]);
  free(study->sources);
  free(study->models);
  free(study->inputs);
  free(study->files);
  *study = (tg_study){0};
}

tg_status tg_study_check_directory(const char *output) {
  char *copy = tg_copy_string(output);
  TG_CHECK(copy, TG_EINTERNAL, "no memory");
  struct stat at;
  const char *directory = dirname(copy);
  tg_status st = TG_OK;
  if (stat(directory, &at) != 0 || !S_ISDIR(at.st_mode))
    st = tg_fail(TG_EIO, TG_HERE, "%s: the directory %s does not exist", output, directory);
  free(copy);
  return st;
}

double tg_study_layer_cost(const tg_study *study, int model, int64_t p) {
  const tg_source_info *info = tg_source_describe(study->sources[model]);
  const double n = info->n_tokens_of[p], fixed = 64.0; /* work that grows as n d and n alone counts too */
  return (n + fixed) * (n + fixed) * (info->width + fixed);
}

int64_t tg_study_clouds(const tg_study *study) {
  int64_t clouds = 0;
  for (int m = 0; m < study->n_models; m++)
    clouds += study->models[m].n_prompts * study->models[m].n_levels * study->models[m].n_layers;
  return clouds;
}

/* Appends the runs of one (prompt, level); with stacks = NULL only counts them. */
static int64_t append_runs(const tg_shard_stack *like, const int32_t *status, int n_layers, tg_shard_stack *stacks) {
  int64_t n = 0;
  for (int first = 0, end; first < n_layers; first = end) {
    for (end = first; end < n_layers && (!status || status[end] == TG_STATUS_TODO); end++) {}
    if (end == first) {
      end++;
      continue;
    }
    if (stacks) {
      stacks[n] = *like;
      stacks[n].first = first;
      stacks[n].end = end;
    }
    n++;
  }
  return n;
}

static int64_t all_runs(const tg_study *study, int32_t *const *status, tg_shard_stack *stacks) {
  int64_t n = 0;
  for (int m = 0; m < study->n_models; m++) {
    const tg_results_model *model = &study->models[m];
    for (int64_t p = 0; p < model->n_prompts; p++)
      for (int s = 0; s < model->n_levels; s++) {
        const tg_shard_stack like = {.model = m,
                                     .level = s,
                                     .prompt = p,
                                     .cost = tg_study_layer_cost(study, m, p),
                                     .whole = tg_source_describe(study->sources[m])->forward};
        const int32_t *row = status ? status[m] + (p * model->n_levels + s) * model->n_layers : NULL;
        n += append_runs(&like, row, model->n_layers, stacks ? stacks + n : NULL);
      }
  }
  return n;
}

tg_status tg_study_stacks(const tg_study *study, int32_t *const *status, tg_shard_stack **stacks, int64_t *n_stacks) {
  *n_stacks = all_runs(study, status, NULL);
  TG_TRY(TG_ALLOC(*n_stacks, stacks));
  all_runs(study, status, *stacks);
  return TG_OK;
}
