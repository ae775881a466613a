/* Clouds from a model that is run here: prompts in, hidden states out, nothing stored.
 *
 * Every rank tokenizes all prompts, so that all agree on what there is. A (prompt, level) is one forward pass (engine.h),
 * whose layers are read in ascending order; with the last one loss and entropy are formed from W h in tiles, W being the
 * model file's own unembedding, dequantized. Where the model's graph does more than that product (it scales, caps or shifts the
 * logits), the engine's own logits are taken. */
#include "source/source_impl.h"
#include "source/tokens.h"

#include "base/available.h"
#include "base/memory.h"
#include "base/timer.h"
#include "source/engine.h"
#include "source/identity.h"
#include "source/llama_log.h"
#include "source/model_file.h"
#include "source/next_token.h"
#include "source/shuffle.h"
#include "source/weights.h"
#include <cblas.h>
#include <inttypes.h>
#include <llama.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

enum { TILE = 1024, TRIED = 8 }; /* words of the vocabulary at a time; tokens that the logits are tried on */

typedef struct {
  const tg_source_config *config;
  uint64_t seed;
  int n_levels, n_layers, width;
  tg_token_table read;     /* of this process, unless another's was given */
  const tg_token_table *t; /* the prompts */
  tg_model_file *file;
  tg_model_file *converted; /* the weights that are run, NULL: those of file */
  tg_engine *engine;
  bool tiles;        /* logits are formed here */
  int32_t *shuffled; /* [config.tokens] of the latest job */
  tg_next_token *positions;
  float *loss, *entropy, *rows, *logits; /* [tokens], [tokens], [TILE][width], [tokens][TILE] */
  int64_t predicted;                     /* the job that loss and entropy are of, -1: none */
  tg_source_times times;
} state;

static void destroy(void *opaque) {
  state *s = opaque;
  tg_engine_destroy(&s->engine);
  tg_model_file_close(&s->file);
  tg_model_file_close(&s->converted);
  tg_tokens_free(&s->read);
  void *const memory[] = {s->shuffled, s->positions, s->loss, s->entropy, s->rows, s->logits};
  for (size_t a = 0; a < sizeof memory / sizeof memory[0]; a++) free(memory[a]);
  free(s);
}

static const tg_model_file *weights_of(const state *s) { return s->converted ? s->converted : s->file; }

/* Bytes of the weights that are run. */
static double weights_bytes(const state *s) {
  return s->config->weights == TG_WEIGHTS_FILE ? tg_model_file_describe(s->file)->bytes
                                               : tg_weights_bytes(s->config, s->file);
}

/* With one thread the pass and the measuring would share a core. */
static bool may_overlap(const state *s) { return s->config->threads > 1 || s->config->gpu_layers > 0; }

/* ---- prompts ---- */

/* ---- levels ---- */

/* Blocks of the largest level that is to be measured; each level's must divide the tokens. */
static tg_status largest_blocks(const tg_config *config, int tokens, int64_t *blocks) {
  const int n = config->all_levels ? tg_shuffle_levels(tokens) + 1 : config->n_levels;
  *blocks = 1;
  for (int a = 0; a < n; a++) {
    const int level = config->all_levels ? a : config->levels[a];
    const bool whole = level <= tg_shuffle_levels(tokens) && tokens % tg_shuffle_blocks(level) == 0;
    TG_CHECK(whole, TG_ECONFIG,
             "%s: shuffle.levels: level %d cuts a prompt into 4^%d blocks, which do not divide %d tokens", config->path,
             level, level, tokens);
    if (tg_shuffle_blocks(level) > *blocks) *blocks = tg_shuffle_blocks(level);
  }
  return TG_OK;
}

/* ---- reading ---- */

static int64_t job_of(const state *s, int64_t p, int level) { return p * s->n_levels + level; }

static tg_status shuffle_prompt(const state *s, int64_t p, int level, int32_t *out) {
  return tg_shuffle(s->seed, s->t->ids[p], level, s->t->lengths[p], s->t->tokens + p * s->t->width, out);
}

/* Logits of n last hidden states for the words from `first` on, a tile of them, through the unembedding: s->logits [n][TILE].
 * Returns how many words. */
static int form_tile(state *s, int n, const float *h, int64_t first) {
  const int64_t left = tg_model_file_describe(s->file)->vocabulary - first;
  const int count = (int)(left < TILE ? left : TILE);
  tg_model_file_unembedding(weights_of(s), first, count, s->rows);
  cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, n, count, s->width, 1.0f, h, s->width, s->rows, s->width, 0.0f,
              s->logits, TILE);
  return count;
}

static void predict_by_tiles(state *s, int n, const float *h, const int32_t *tokens) {
  const int64_t vocabulary = tg_model_file_describe(s->file)->vocabulary;
  for (int64_t first = 0; first < vocabulary; first += TILE) {
    const int count = form_tile(s, n, h, first);
    tg_next_token_add(n, s->logits, TILE, first, count, tokens, s->positions);
  }
}

static void predict(state *s, int n, const float *h, const int32_t *tokens) {
  const int64_t vocabulary = tg_model_file_describe(s->file)->vocabulary;
  const double start = tg_seconds();
  tg_next_token_start(n, s->positions);
  if (s->tiles)
    predict_by_tiles(s, n, h, tokens);
  else
    tg_next_token_add(n, tg_engine_logits(s->engine), vocabulary, 0, (int)vocabulary, tokens, s->positions);
  tg_next_token_finish(n, s->positions, s->loss, s->entropy);
  s->times.next_token += tg_seconds() - start;
}

static tg_status read_cloud(void *opaque, int64_t p, int level, int l, int n, void *raw) {
  state *s = opaque;
  const int64_t job = job_of(s, p, level);
  const double start = tg_seconds();
  TG_TRY(shuffle_prompt(s, p, level, s->shuffled));
  TG_TRY(tg_engine_layer(s->engine, job, s->shuffled, n, l, raw));
  s->times.forward += tg_seconds() - start;
  if (l < s->n_layers - 1) return TG_OK;
  predict(s, n, raw, s->shuffled);
  s->predicted = job;
  return TG_OK;
}

static tg_element element_of(void *opaque, int64_t p) {
  (void)opaque, (void)p;
  return TG_FLOAT32;
}

static double mean(const float *x, int n) {
  double sum = 0.0;
  for (int i = 0; i < n; i++) sum += x[i];
  return sum / n;
}

static tg_status read_scalars(void *opaque, int64_t p, int level, int n, tg_source_scalars *out) {
  state *s = opaque;
  TG_CHECK(s->predicted == job_of(s, p, level), TG_EINTERNAL, "loss of prompt %" PRId64 " asked before its last layer",
           s->t->ids[p]);
  out->loss = mean(s->loss, n - 1);
  out->entropy = mean(s->entropy, n);
  if (out->token_loss) memcpy(out->token_loss, s->loss, (size_t)(n - 1) * sizeof *s->loss);
  if (out->token_entropy) memcpy(out->token_entropy, s->entropy, (size_t)n * sizeof *s->entropy);
  return shuffle_prompt(s, p, level, out->token_ids);
}

static tg_status no_metric(void *opaque, double *matrix) {
  (void)opaque, (void)matrix;
  return tg_fail(TG_EINTERNAL, TG_HERE, "a model file stores no metric");
}

static tg_status read_unembedding(void *opaque, int64_t first, int64_t count, float *rows) {
  const state *s = opaque;
  tg_model_file_unembedding(weights_of(s), first, count, rows);
  return TG_OK;
}

static tg_status check_metrics(void *opaque) {
  (void)opaque;
  return TG_OK;
}

static tg_source_times report(void *opaque) { return ((const state *)opaque)->times; }

/* ---- making ready ---- */

/* Keys and values in float32, and all scores of a layer's attention at once. */
static bool has_exact_attention(const state *s) { return s->config->weights == TG_WEIGHTS_FLOAT32; }

/* Memory that the engine of one rank takes beside the weights: keys and values, scores, a matrix that BLAS wants as float32,
 * activations of a pass, logits that libllama reserves at first. */
static double engine_bytes(const state *s) {
  const tg_model_info *m = tg_model_file_describe(s->file);
  const bool exact = has_exact_attention(s);
  const double n = s->config->tokens, heads = m->heads > 0 ? m->heads : 1;
  const double key_heads = m->key_heads > 0 ? m->key_heads : heads, scores = exact ? 2.0 * 4.0 * n * n * heads : 0.0;
  const double keys = (exact ? 2.0 : 1.0) * 2.0 * 2.0 * m->blocks * n * m->width * key_heads / heads;
  const double matrix = exact || !tg_llama_has_blas() ? 0.0 : 4.0 * m->width * m->feed_forward;
  return keys + scores + matrix + 4.0 * n * (2.0 * m->feed_forward + 8.0 * m->width) + 4.0 * n * (double)m->vocabulary;
}

static tg_status check_memory(const state *s, int ranks) {
  const double each = engine_bytes(s), have = tg_available_bytes();
  const double weights = s->config->gpu_layers > 0 ? 0.0 : weights_bytes(s);
  TG_CHECK(weights + ranks * each <= have, TG_EINTERNAL,
           "%s: too little memory: %d ranks on this node need %.1f GB (%.1f GB of weights, shared, and %.1f GB each), "
           "%.1f GB are available; use fewer ranks",
           s->config->model_file, ranks, (weights + ranks * each) / 1e9, weights / 1e9, each / 1e9, have / 1e9);
  return TG_OK;
}

/* Whether W h gives the model's logits but for the rounding of quantized products. The graph says so; that the file's unembedding is the
 * one in use is tried on a few tokens. That rounding is a per cent or so of a logit and averages out in the slope. */
static void try_tiles(state *s, int n, const float *h) {
  const bool plain = tg_engine_logits_are_plain(s->engine);
  const tg_model_info *m = tg_model_file_describe(s->file);
  const float *logits = tg_engine_logits(s->engine);
  double difference = 0.0, size = 0.0, product = 0.0;
  for (int64_t first = 0; plain && logits && first < m->vocabulary; first += TILE) {
    const int count = form_tile(s, n, h, first);
    for (int i = 0; i < n; i++)
      for (int j = 0; j < count; j++) {
        const double theirs = logits[i * m->vocabulary + first + j], ours = s->logits[(ptrdiff_t)i * TILE + j];
        difference += (ours - theirs) * (ours - theirs);
        size += theirs * theirs;
        product += ours * theirs;
      }
  }
  s->tiles = plain && difference <= 0.05 * 0.05 * size && fabs(product - size) <= 0.005 * size;
}

/* Whether what a token becomes depends on those before it alone: another last token must not change the others. What is left of them
 * is the order of sums, a millionth or so. h: [n][width], of the first n tokens; other: room for as much. */
static tg_status try_causality(state *s, int n, const float *h, float *other) {
  int32_t tokens[TRIED];
  double difference = 0.0, size = 0.0;
  memcpy(tokens, s->t->tokens, (size_t)n * sizeof *tokens);
  tokens[n - 1] = (int32_t)((tokens[n - 1] + 1) % tg_model_file_describe(s->file)->vocabulary);
  TG_TRY(tg_engine_layer(s->engine, -2, tokens, n, s->n_layers - 1, other));
  for (ptrdiff_t a = 0; a < (ptrdiff_t)(n - 1) * s->width; a++) {
    difference += (double)(other[a] - h[a]) * (double)(other[a] - h[a]);
    size += (double)h[a] * (double)h[a];
  }
  TG_CHECK(difference <= 1e-4 * 1e-4 * size, TG_EDATA,
           "%s: is no causal language model: what a token becomes depends on the tokens behind it",
           s->config->model_file);
  return TG_OK;
}

/* What must hold of a model, or changes how it is used, tried on a few tokens. */
static tg_status try_model(state *s) {
  const int n = s->t->lengths[0] < TRIED ? s->t->lengths[0] : TRIED;
  float *h = NULL;
  TG_TRY(TG_ALLOC(2 * (size_t)n * (size_t)s->width, &h));
  tg_status st = tg_engine_layer(s->engine, -1, s->t->tokens, n, s->n_layers - 1, h);
  if (st == TG_OK) try_tiles(s, n, h);
  if (st == TG_OK) st = try_causality(s, n, h, h + (ptrdiff_t)n * s->width);
  free(h);
  return st;
}

static tg_status convert(void *opaque) {
  const state *s = opaque;
  return s->config->weights == TG_WEIGHTS_FILE ? TG_OK : tg_weights_convert(s->config, s->file);
}

/* Opens the converted weights, which another process may have made. */
static tg_status open_converted(state *s) {
  char *path = tg_weights_path(s->config);
  tg_status st = path ? TG_OK : tg_fail(TG_EINTERNAL, TG_HERE, "no memory");
  if (st == TG_OK && !tg_weights_are_there(s->config, s->file))
    st = tg_fail(TG_EIO, TG_HERE, "%s: was not made, or is not seen from this machine", path);
  if (st == TG_OK) st = tg_model_file_open(path, &s->converted);
  free(path);
  return st;
}

/* The GPU of a rank, whole: the one of its number on its node, of those listed or all. */
static tg_status choose_gpu(const state *s, int rank, int ranks, int *number) {
  const tg_source_config *c = s->config;
  const int there = tg_llama_n_gpus(), n = c->n_devices > 0 ? c->n_devices : there;
  *number = -1;
  if (c->gpu_layers == 0) return TG_OK;
  TG_CHECK(there > 0, TG_ECONFIG, "%s: gpu_layers is %d, but libllama has no GPU here", c->model_file, c->gpu_layers);
  for (int a = 0; a < c->n_devices; a++)
    TG_CHECK(c->devices[a] < there, TG_ECONFIG, "%s: devices: there is no GPU %d here, but %s", c->model_file,
             c->devices[a], tg_llama_gpus());
  char text[100];
  snprintf(text, sizeof text, "devices: %d ranks of a node share %d GPU%s", ranks, n, n > 1 ? "s" : "");
  if (ranks > n) tg_llama_warn(text);
  *number = c->n_devices > 0 ? c->devices[rank % n] : rank % n;
  return TG_OK;
}

static tg_status prepare(void *opaque, int rank_on_node, int ranks_on_node) {
  state *s = opaque;
  int gpu;
  TG_TRY(choose_gpu(s, rank_on_node, ranks_on_node, &gpu));
  TG_TRY(check_memory(s, ranks_on_node));
  if (s->config->weights != TG_WEIGHTS_FILE) TG_TRY(open_converted(s));
  const tg_engine_options options = {.model = tg_model_file_describe(weights_of(s))->files[0],
                                     .tokens = s->config->tokens,
                                     .threads = s->config->threads,
                                     .gpu_layers = s->config->gpu_layers,
                                     .gpu = gpu,
                                     .layers = s->n_layers,
                                     .width = s->width,
                                     .vocabulary = tg_model_file_describe(s->file)->vocabulary,
                                     .exact_attention = has_exact_attention(s),
                                     .ahead = may_overlap(s)};
  TG_TRY(TG_ALLOC(options.tokens, &s->shuffled));
  TG_TRY(TG_ALLOC(options.tokens, &s->positions));
  TG_TRY(TG_ALLOC(options.tokens, &s->loss));
  TG_TRY(TG_ALLOC(options.tokens, &s->entropy));
  TG_TRY(TG_ALLOC((size_t)TILE * (size_t)s->width, &s->rows));
  TG_TRY(TG_ALLOC((size_t)TILE * (size_t)options.tokens, &s->logits));
  TG_TRY(tg_engine_create(&options, &s->engine));
  tg_engine_keep_logits(s->engine, true);
  TG_TRY(try_model(s));
  tg_engine_keep_logits(s->engine, !s->tiles);
  return TG_OK;
}

static const tg_source_kind_calls calls = {destroy,   read_cloud,       element_of,    read_scalars,
                                           no_metric, read_unembedding, check_metrics, convert,
                                           prepare,   report,           NULL};

/* ---- opening ---- */

/* Where one prompt has a label, those without have an empty one. */
static tg_status copy_groups(const tg_token_table *t, tg_source_info *info) {
  int64_t labelled = 0;
  for (int64_t p = 0; t->groups && p < t->n; p++) labelled += t->groups[p] != NULL;
  if (labelled == 0) return TG_OK;
  TG_TRY(TG_ALLOC(t->n, &info->groups));
  for (int64_t p = 0; p < t->n; p++) {
    info->groups[p] = tg_copy_string(t->groups[p] ? t->groups[p] : "");
    TG_CHECK(info->groups[p], TG_EINTERNAL, "no memory for the prompts' labels");
  }
  return TG_OK;
}

static tg_status describe(const state *s, tg_source_info *info) {
  const tg_model_info *m = tg_model_file_describe(s->file);
  const size_t n = (size_t)s->t->n;
  info->model = tg_copy_string(m->name ? m->name : "");
  for (char *c = info->model; c && *c; c++)
    if (*c == ' ') *c = '-';
  info->n_prompts = s->t->n;
  info->n_left_out = s->t->n_left_out;
  info->n_levels = s->n_levels;
  info->n_layers = s->n_layers;
  info->width = s->width;
  info->last_layer_normalized = 1;
  info->has_loss = info->has_token_loss = info->has_entropy = info->has_token_ids = true;
  info->vocabulary = m->vocabulary;
  info->metric_origin = s->config->model_file;
  info->files = m->files; /* the prompts are in memory by now */
  info->n_files = m->n_files;
  info->read_ahead = info->forward = info->float32 = true;
  info->overlap = may_overlap(s);
  info->gpus = s->config->gpu_layers > 0 ? tg_llama_gpus() : NULL;
  info->shared_bytes = (size_t)weights_bytes(s) + n * (4 * (size_t)s->t->width + 12);
  info->cache_bytes = (size_t)engine_bytes(s);
  TG_TRY(TG_ALLOC(n, &info->prompt_ids));
  TG_TRY(TG_ALLOC(n, &info->n_tokens_of));
  TG_TRY(TG_ALLOC(s->n_levels, &info->levels));
  memcpy(info->prompt_ids, s->t->ids, n * sizeof *s->t->ids);
  memcpy(info->n_tokens_of, s->t->lengths, n * sizeof *s->t->lengths);
  TG_TRY(copy_groups(s->t, info));
  for (int64_t p = 0; p < s->t->n; p++)
    if (s->t->lengths[p] > info->n_tokens) info->n_tokens = s->t->lengths[p];
  for (int level = 0; level < s->n_levels; level++) info->levels[level] = level;
  info->cloud_bytes = (size_t)info->n_tokens * (size_t)s->width * sizeof(float);
  return TG_OK;
}

/* Of what is run: ids, lengths and tokens. Two lists of prompts may be files of one size and time. */
static uint64_t hash_prompts(const tg_token_table *t) {
  const size_t n = (size_t)t->n;
  uint64_t hash = XXH64(t->ids, n * sizeof *t->ids, 0);
  hash = XXH64(t->lengths, n * sizeof *t->lengths, hash);
  return XXH64(t->tokens, n * (size_t)t->width * sizeof *t->tokens, hash);
}

static tg_status describe_identity(const state *s, char **identity) {
  char *text = NULL;
  size_t size = 0;
  FILE *out = open_memstream(&text, &size);
  TG_CHECK(out, TG_EINTERNAL, "no memory for the inputs' names");
  const tg_model_info *m = tg_model_file_describe(s->file);
  tg_status st = TG_OK;
  for (int a = 0; st == TG_OK && a < m->n_files; a++) st = tg_source_print_file(out, m->files[a]);
  for (int a = 0; st == TG_OK && a < s->config->n_files; a++) st = tg_source_print_file(out, s->config->files[a]);
  fprintf(out, "%" PRId64 " prompts of up to %d tokens (%016" PRIx64 "), %d clouds of width %d\n", s->t->n,
          s->config->tokens, hash_prompts(s->t), s->n_layers, s->width);
  fclose(out);
  *identity = text;
  return st;
}

tg_status tg_source_llama_create(const tg_config *config, const tg_source_config *from, const tg_token_table *tokens,
                                 tg_source_parts *out) {
  state *s = NULL;
  int64_t blocks;
  TG_TRY(TG_ALLOC(1, &s));
  out->calls = &calls;
  out->state = s;
  s->config = from;
  s->seed = config->shuffle_seed;
  s->predicted = -1;
  tg_llama_prepare();
  TG_TRY(tg_model_file_open(from->model_file, &s->file));
  const tg_model_info *m = tg_model_file_describe(s->file);
  s->width = m->width;
  s->n_layers = m->blocks + 1;
  s->n_levels = tg_shuffle_levels(from->tokens) + 1;
  TG_CHECK(from->tokens <= m->context, TG_ECONFIG, "%s: tokens is %d, but the context of %s ends at %d", config->path,
           from->tokens, from->model_file, m->context);
  TG_TRY(largest_blocks(config, from->tokens, &blocks));
  s->t = out->tokens = tokens ? tokens : &s->read;
  if (!tokens) TG_TRY(tg_tokens_read(from, s->file, blocks, &s->read));
  TG_TRY(describe(s, &out->info));
  return describe_identity(s, &out->identity);
}
