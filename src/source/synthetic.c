/* Clouds of known dimension: points uniform in a cube, embedded linearly.
 *
 * Token i of (prompt, level) has latent coordinates theta_it + l step_it on a circle of length 2, folded to [0, 1]: at
 * every layer the points are independent and uniform in the cube of the prompt's dimension, and from layer to layer
 * they move a little, so that neighborhoods overlap. x = sum_t u_t A_t, with rows A_t of random signs: a linear map that is
 * nearly a similarity when the width is much larger than the dimension.
 *
 * Loss, nats: 1 + 0.1 dimension + 0.05 level + 0.02 z, z a standard normal number of (prompt, level). */
#include "source/source_impl.h"

#include "base/clones.h"
#include "base/memory.h"
#include <Random123/philox.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef struct {
  tg_source_config config;
  int max_dimension;
  float *signs;  /* [max_dimension][width]: +-1 */
  float *latent; /* [max_dimension] of one token */
} state;

/* Four random words for a place of a stream; stream 0 latent points, 1 signs, 2 loss. */
static philox4x64_ctr_t words(const state *s, int stream, uint64_t prompt, uint64_t level, uint64_t place) {
  const philox4x64_ctr_t counter = {{place, level, (uint64_t)stream, 0}};
  const philox4x64_key_t key = {{s->config.seed, prompt}};
  return philox4x64(counter, key);
}

static double uniform(uint64_t word) { return ((double)(word >> 11) + 0.5) * 0x1p-53; }

static int dimension_of(const state *s, int64_t id) {
  return s->config.dimension + (int)(id % (2 * s->config.spread + 1)) - s->config.spread;
}

static void destroy(void *opaque) {
  state *s = opaque;
  free(s->signs);
  free(s->latent);
  free(s);
}

TG_CLONES static void embed(const float *restrict latent, const float *restrict signs, int dimension, int width,
                            float *restrict x) {
  memset(x, 0, (size_t)width * sizeof *x);
  for (int a = 0; a < dimension; a++)
    for (int t = 0; t < width; t++) x[t] += latent[a] * signs[(ptrdiff_t)a * width + t];
}

static void wait_if_slow(const state *s, int64_t p, int l) {
  if (p != s->config.slow_prompt || l != 0) return;
  const double seconds = s->config.slow_seconds, whole = floor(seconds);
  nanosleep(&(struct timespec){(time_t)whole, (long)((seconds - whole) * 1e9)}, NULL);
}

static tg_status read_cloud(void *opaque, int64_t p, int level, int l, int n, void *raw) {
  state *s = opaque;
  const int dimension = dimension_of(s, p), width = s->config.width;
  wait_if_slow(s, p, l);
  for (int i = 0; i < n; i++) {
    for (int a = 0; a < dimension; a += 2) { /* two coordinates from one block: place and speed */
      const philox4x64_ctr_t w = words(s, 0, (uint64_t)p, (uint64_t)level, (uint64_t)i * 65536 + (uint64_t)a);
      for (int b = 0; b < 2 && a + b < dimension; b++) {
        const double theta = 2.0 * uniform(w.v[2 * b]) + 0.05 * l * (uniform(w.v[2 * b + 1]) - 0.5) + 2.0 * l;
        s->latent[a + b] = (float)fabs(fmod(theta, 2.0) - 1.0);
      }
    }
    embed(s->latent, s->signs, dimension, width, (float *)raw + (ptrdiff_t)i * width);
  }
  return TG_OK;
}

static tg_element element_of(void *opaque, int64_t p) {
  (void)opaque, (void)p;
  return TG_FLOAT32;
}

static tg_status read_scalars(void *opaque, int64_t p, int level, int n, tg_source_scalars *out) {
  const state *s = opaque;
  (void)n;
  const philox4x64_ctr_t w = words(s, 2, (uint64_t)p, (uint64_t)level, 0);
  const double normal = sqrt(-2.0 * log(uniform(w.v[0]))) * cos(2.0 * M_PI * uniform(w.v[1]));
  out->loss = 1.0 + 0.1 * dimension_of(s, p) + 0.05 * level + 0.02 * normal;
  return TG_OK;
}

static tg_status no_metric(void *opaque, double *matrix) {
  (void)opaque, (void)matrix;
  return tg_fail(TG_EINTERNAL, TG_HERE, "a synthetic source has no metric");
}

static tg_status no_unembedding(void *opaque, int64_t first, int64_t count, float *rows) {
  (void)first, (void)count, (void)rows;
  return no_metric(opaque, NULL);
}

static tg_status check_metrics(void *opaque) {
  (void)opaque;
  return TG_OK;
}

static const tg_source_kind_calls calls = {
    destroy, read_cloud, element_of, read_scalars, no_metric, no_unembedding, check_metrics, NULL, NULL, NULL, NULL};

static tg_status describe(const tg_source_config *config, tg_source_info *info) {
  *info = (tg_source_info){.n_prompts = config->prompts,
                           .n_levels = config->shuffles,
                           .n_layers = config->layers,
                           .n_tokens = config->tokens,
                           .width = config->width,
                           .last_layer_normalized = 0,
                           .has_loss = true,
                           .float32 = true,
                           .read_ahead = config->slow_seconds > 0.0,
                           .overlap = true,
                           .cloud_bytes = (size_t)config->tokens * (size_t)config->width * sizeof(float)};
  info->model = tg_copy_string("synthetic");
  TG_TRY(TG_ALLOC(config->prompts, &info->prompt_ids));
  TG_TRY(TG_ALLOC(config->prompts, &info->n_tokens_of));
  TG_TRY(TG_ALLOC(config->shuffles, &info->levels));
  for (int64_t p = 0; p < config->prompts; p++) {
    info->prompt_ids[p] = p;
    info->n_tokens_of[p] = config->tokens;
  }
  for (int level = 0; level < config->shuffles; level++) info->levels[level] = level;
  return TG_OK;
}

static tg_status describe_identity(const tg_source_config *c, char **identity) {
  TG_TRY(TG_ALLOC(256, identity));
  snprintf(*identity, 256, "synthetic %lld x %d x %d x %d x %d, dimension %d +- %d, seed %llu\n", (long long)c->prompts,
           c->shuffles, c->layers, c->tokens, c->width, c->dimension, c->spread, (unsigned long long)c->seed);
  return TG_OK;
}

tg_status tg_source_synthetic_create(const tg_source_config *config, tg_source_parts *out) {
  state *s = NULL;
  TG_TRY(TG_ALLOC(1, &s));
  out->calls = &calls;
  out->state = s;
  s->config = *config;
  s->max_dimension = config->dimension + config->spread;
  TG_TRY(TG_ALLOC((size_t)s->max_dimension * (size_t)config->width, &s->signs));
  TG_TRY(TG_ALLOC(s->max_dimension, &s->latent));
  for (ptrdiff_t a = 0; a < s->max_dimension; a++)
    for (ptrdiff_t t = 0; t < config->width; t++)
      s->signs[a * config->width + t] =
          (words(s, 1, 0, (uint64_t)a, (uint64_t)(t / 64)).v[0] >> (t % 64)) & 1 ? 1.0f : -1.0f;
  TG_TRY(describe(config, &out->info));
  return describe_identity(config, &out->identity);
}
