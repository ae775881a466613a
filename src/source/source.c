#include "source/source_impl.h"

#include "base/memory.h"
#include "source/llama_log.h"
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

struct tg_source {
  tg_source_parts parts;
  int64_t *prompt_place; /* [n_prompts]: selected prompt -> place in the whole source */
  int *level_place;      /* [n_levels] */
};

const tg_source_info *tg_source_describe(const tg_source *source) { return &source->parts.info; }
const char *tg_source_identity(const tg_source *source) { return source->parts.identity; }

typedef struct {
  int64_t id, place;
} keyed_id;

static int by_id(const void *a, const void *b) {
  const keyed_id *x = a, *y = b;
  return (x->id > y->id) - (x->id < y->id);
}

static bool contains(const int64_t *ascending, int64_t n, int64_t value) {
  int64_t low = 0, high = n;
  while (low < high) {
    const int64_t middle = low + (high - low) / 2;
    if (ascending[middle] < value)
      low = middle + 1;
    else
      high = middle;
  }
  return low < n && ascending[low] == value;
}

static tg_status check_ids(const tg_source_info *info) {
  keyed_id *ids = NULL;
  tg_status st = TG_ALLOC(info->n_prompts, &ids);
  for (int64_t p = 0; st == TG_OK && p < info->n_prompts; p++) ids[p] = (keyed_id){info->prompt_ids[p], p};
  if (st == TG_OK) qsort(ids, (size_t)info->n_prompts, sizeof *ids, by_id);
  for (int64_t p = 1; st == TG_OK && p < info->n_prompts; p++)
    if (ids[p].id == ids[p - 1].id)
      st = tg_fail(TG_EDATA, TG_HERE, "%s: prompt id %" PRId64 " occurs twice (prompts %" PRId64 " and %" PRId64 ")",
                   info->model, ids[p].id, ids[p - 1].place, ids[p].place);
  free(ids);
  return st;
}

/* Keeps the prompts of these ids [n], ascending, in the source's order. */
static void keep(tg_source *source, const int64_t *ids, int64_t n) {
  tg_source_info *info = &source->parts.info;
  int64_t kept = 0;
  for (int64_t p = 0; p < info->n_prompts; p++) {
    if (!contains(ids, n, info->prompt_ids[p])) continue;
    source->prompt_place[kept] = source->prompt_place[p];
    info->prompt_ids[kept] = info->prompt_ids[p];
    if (info->groups) { /* those of prompts that are left out move behind: they are freed with the others */
      char *group = info->groups[kept];
      info->groups[kept] = info->groups[p];
      info->groups[p] = group;
    }
    info->n_tokens_of[kept++] = info->n_tokens_of[p];
  }
  info->n_prompts = kept;
}

void tg_source_keep_common(tg_source *source, const int64_t *ids, int64_t n) {
  tg_source_info *info = &source->parts.info;
  const int64_t before = info->n_prompts;
  keep(source, ids, n);
  info->n_not_common += before - info->n_prompts;
}

/* Every listed id must be there. */
static tg_status select_prompts(const tg_config *config, tg_source *source) {
  tg_source_info *info = &source->parts.info;
  TG_TRY(TG_ALLOC(info->n_prompts, &source->prompt_place));
  for (int64_t p = 0; p < info->n_prompts; p++) source->prompt_place[p] = p;
  info->n_read = info->n_prompts;
  if (config->all_prompts) return TG_OK;
  keep(source, config->prompt_ids, config->n_prompt_ids);
  const int64_t kept = info->n_prompts;
  if (kept == config->n_prompt_ids) return TG_OK;
  for (int64_t a = 0; a < config->n_prompt_ids; a++) {
    bool found = false;
    for (int64_t p = 0; p < kept && !found; p++) found = info->prompt_ids[p] == config->prompt_ids[a];
    TG_CHECK(found || info->n_left_out == 0, TG_ECONFIG,
             "%s: prompts: id %" PRId64 " is not among the %" PRId64 " prompts of %s that have enough tokens; %" PRId64
             " have too few",
             config->path, config->prompt_ids[a], info->n_read, info->model, info->n_left_out);
    TG_CHECK(found, TG_ECONFIG, "%s: prompts: id %" PRId64 " is not in %s", config->path, config->prompt_ids[a],
             info->model);
  }
  return TG_OK;
}

static tg_status select_levels(const tg_config *config, tg_source *source) {
  tg_source_info *info = &source->parts.info;
  TG_TRY(TG_ALLOC(info->n_levels, &source->level_place));
  for (int a = 0; !config->all_levels && a < config->n_levels; a++) {
    bool found = false;
    for (int s = 0; s < info->n_levels && !found; s++) found = info->levels[s] == config->levels[a];
    TG_CHECK(found, TG_ECONFIG, "%s: shuffle.levels: level %d is not in %s", config->path, config->levels[a],
             info->model);
  }
  int kept = 0;
  for (int s = 0; s < info->n_levels; s++) {
    bool wanted = config->all_levels;
    for (int a = 0; a < config->n_levels && !wanted; a++) wanted = config->levels[a] == info->levels[s];
    if (!wanted) continue;
    source->level_place[kept] = s;
    info->levels[kept++] = info->levels[s];
  }
  info->n_levels = kept;
  return TG_OK;
}

static tg_status name_model(const tg_config *config, int model, tg_source_info *info) {
  const char *name = config->models[model].name;
  if (name) {
    free(info->model);
    info->model = tg_copy_string(name);
  }
  TG_CHECK(info->model && info->model[0], TG_ECONFIG,
           "%s: models[%d]: the source does not name its model, so models[%d].name is needed", config->path, model,
           model);
  for (const char *c = info->model; *c; c++)
    TG_CHECK(strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-", *c), TG_ECONFIG,
             "%s: models[%d]: the source's model '%s' is no name for a group ([A-Za-z0-9._-]+), so models[%d].name is "
             "needed",
             config->path, model, info->model, model);
  TG_CHECK(
      strlen(info->model) <= 200, TG_ECONFIG,
      "%s: models[%d]: the source's model has a name of %zu characters, more than 200, so models[%d].name is needed",
      config->path, model, strlen(info->model), model);
  TG_CHECK(strcmp(info->model, ".") != 0 && strcmp(info->model, "..") != 0, TG_ECONFIG,
           "%s: models[%d]: the source's model '%s' is no name for a group, so models[%d].name is needed", config->path,
           model, info->model, model);
  return TG_OK;
}

static tg_status create_kind(const tg_config *config, int model, const tg_token_table *tokens, tg_source_parts *out) {
  const tg_source_config *from = &config->models[model].source;
  switch (from->kind) {
  case TG_SOURCE_HDF5:
    return tg_source_hdf5_create(from, out);
  case TG_SOURCE_LLAMA:
#ifdef TG_WITH_LLAMA
    return tg_source_llama_create(config, from, tokens, out);
#else
    (void)tokens;
    return tg_fail(TG_ECONFIG, TG_HERE,
                   "%s: models[%d].source.kind: llama is not part of this build (cmake -DTG_WITH_LLAMA=ON)",
                   config->path, model);
#endif
  case TG_SOURCE_SUMMARIES:
    return tg_source_summaries_create(from, out);
  default:
    return tg_source_synthetic_create(from, out);
  }
}

const tg_token_table *tg_source_tokens(const tg_source *source) { return source->parts.tokens; }

tg_status tg_source_create(const tg_config *config, int model, const tg_token_table *tokens, tg_source **out) {
  tg_source *source = NULL;
  *out = NULL;
  TG_TRY(TG_ALLOC(1, &source));
  tg_status st = create_kind(config, model, tokens, &source->parts);
  if (st == TG_OK) st = name_model(config, model, &source->parts.info);
  if (st == TG_OK) st = check_ids(&source->parts.info);
  if (st == TG_OK) st = select_prompts(config, source);
  if (st == TG_OK) st = select_levels(config, source);
  if (st != TG_OK) tg_source_destroy(&source);
  *out = source;
  return st;
}

static void free_groups(tg_source_info *info) {
  const int64_t n =
      info->n_read > info->n_prompts ? info->n_read : info->n_prompts; /* before any are selected, and after */
  for (int64_t p = 0; info->groups && p < n; p++) free(info->groups[p]);
  free(info->groups);
}

void tg_source_destroy(tg_source **source) {
  tg_source *s = *source;
  if (!s) return;
  if (s->parts.calls && s->parts.state) s->parts.calls->destroy(s->parts.state);
  free(s->parts.info.model);
  free(s->parts.info.prompt_ids);
  free_groups(&s->parts.info);
  free(s->parts.info.missing_parts);
  free(s->parts.info.levels);
  free(s->parts.info.n_tokens_of);
  free(s->parts.identity);
  free(s->prompt_place);
  free(s->level_place);
  free(s);
  *source = NULL;
}

tg_status tg_source_read(tg_source *source, int64_t p, int s, int l, void *raw) {
  const tg_source_parts *parts = &source->parts;
  return parts->calls->read(parts->state, source->prompt_place[p], source->level_place[s], l,
                            parts->info.n_tokens_of[p], raw);
}

/* Whether clouds are viewed where they were read: rows of whole lanes, of a type that geometry takes. */
static bool is_in_place(const tg_source_info *info) {
  return (info->bfloat16 || info->float32) && info->width % TG_LANES == 0;
}

size_t tg_source_view_bytes(const tg_source *source) {
  const tg_source_info *info = &source->parts.info;
  if (is_in_place(info)) return 0;
  return (size_t)info->n_tokens * (size_t)tg_cloud_width(info->width) * (info->bfloat16 ? 2 : 4);
}

/* bfloat16 rows with zeros behind them. */
static void pad(const uint16_t *raw, int n, int d, int ld, uint16_t *out) {
  for (ptrdiff_t i = 0; i < n; i++) {
    memcpy(out + i * ld, raw + i * d, (size_t)d * sizeof *out);
    memset(out + i * ld + d, 0, (size_t)(ld - d) * sizeof *out);
  }
}

void tg_source_view(const tg_source *source, int64_t p, const void *raw, void *x, tg_cloud *out) {
  const tg_source_parts *parts = &source->parts;
  const tg_source_info *info = &parts->info;
  const int n = info->n_tokens_of[p], d = info->width, ld = tg_cloud_width(d);
  const void *rows = is_in_place(info) ? raw : x;
  if (!is_in_place(info) && info->bfloat16)
    pad(raw, n, d, ld, x);
  else if (!is_in_place(info))
    tg_convert(parts->calls->element_of(parts->state, source->prompt_place[p]), raw, n, d, ld, x);
  *out = (tg_cloud){n, d, ld, info->bfloat16 ? NULL : rows, info->bfloat16 ? rows : NULL};
}

void tg_source_read_row(tg_source *source, int64_t p, int s, int l, const tg_row_shape *shape, tg_row *row) {
  const tg_source_parts *parts = &source->parts;
  parts->calls->read_row(parts->state, source->prompt_place[p], source->level_place[s], l, shape, row);
}

tg_status tg_source_convert(tg_source *source) {
  const tg_source_parts *parts = &source->parts;
  return parts->calls->convert ? parts->calls->convert(parts->state) : TG_OK;
}

tg_status tg_source_prepare(tg_source *source, int rank_on_node, int ranks_on_node) {
  const tg_source_parts *parts = &source->parts;
  return parts->calls->prepare ? parts->calls->prepare(parts->state, rank_on_node, ranks_on_node) : TG_OK;
}

tg_status tg_source_read_scalars(tg_source *source, int64_t p, int s, tg_source_scalars *out) {
  const tg_source_parts *parts = &source->parts;
  out->loss = out->entropy = NAN;
  for (int i = 0; i < parts->info.n_tokens; i++) {
    out->token_ids[i] = -1;
    if (out->token_loss && i + 1 < parts->info.n_tokens) out->token_loss[i] = NAN;
    if (out->token_entropy) out->token_entropy[i] = NAN;
  }
  TG_TRY(parts->calls->read_scalars(parts->state, source->prompt_place[p], source->level_place[s],
                                    parts->info.n_tokens_of[p], out));
  if (!isfinite(out->loss)) out->loss = NAN;
  if (!isfinite(out->entropy)) out->entropy = NAN;
  return TG_OK;
}

tg_status tg_source_has_loss(tg_source *source, int64_t p, int s, bool *out) {
  const tg_source_info *info = &source->parts.info;
  tg_source_scalars scalars = {0};
  void *raw = NULL;
  *out = false;
  if (!info->has_loss) return TG_OK;
  tg_status st = TG_ALLOC(info->n_tokens, &scalars.token_ids);
  if (st == TG_OK && info->forward) {
    st = tg_alloc_bytes(info->cloud_bytes, 1, &raw);
    if (st == TG_OK) st = tg_source_read(source, p, s, info->n_layers - 1, raw);
  }
  if (st == TG_OK) st = tg_source_read_scalars(source, p, s, &scalars);
  *out = st == TG_OK && isfinite(scalars.loss);
  free(raw);
  free(scalars.token_ids);
  return st;
}

tg_status tg_source_fill_row(tg_source *source, int64_t p, int s, tg_row *row) {
  tg_source_scalars scalars = {.token_ids = tg_row_i32(row, TG_FIELD_TOKEN_IDS)};
  TG_TRY(tg_source_read_scalars(source, p, s, &scalars));
  *tg_row_f64(row, TG_FIELD_LOSS) = scalars.loss;
  *tg_row_f64(row, TG_FIELD_ENTROPY) = scalars.entropy;
  return TG_OK;
}

tg_source_times tg_source_report(const tg_source *source) {
  const tg_source_parts *parts = &source->parts;
  return parts->calls->report ? parts->calls->report(parts->state) : (tg_source_times){0.0, 0.0};
}

tg_status tg_source_read_metric(tg_source *source, double *matrix) {
  return source->parts.calls->read_metric(source->parts.state, matrix);
}

tg_status tg_source_read_unembedding(tg_source *source, int64_t first, int64_t count, float *rows) {
  return source->parts.calls->read_unembedding(source->parts.state, first, count, rows);
}

tg_status tg_source_check_metrics(tg_source *source) { return source->parts.calls->check_metrics(source->parts.state); }

const char *tg_source_engine(void) {
#ifdef TG_WITH_LLAMA
  return tg_llama_version();
#else
  return NULL;
#endif
}

const char *tg_source_engine_warnings(void) {
#ifdef TG_WITH_LLAMA
  return tg_llama_warnings();
#else
  return "";
#endif
}
