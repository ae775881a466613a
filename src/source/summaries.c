/* Published summaries: per-prompt numbers in the layout of the authors of arXiv 2501.10573, one .npy array a quantity.
 * Rows are prompt-major: row = prompt * levels + level. The arrays are small beside activations (7 MB for 50 prompts at six
 * levels), so each rank holds all of them. What an array does not have is NaN; the embedding has nothing but its cosine. */
#include "source/source_impl.h"

#include "base/memory.h"
#include "source/identity.h"
#include "source/npy.h"
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

enum { MAX_ROWS = 1 << 30, MAX_LAYERS = 4096, MAX_LEVELS = 1024, NO_AXIS = -1 };

/* What the axes of each file are; axis 0 counts rows. */
typedef struct {
  const char *axes;
  int n_axes;
  int layer_axis, layers_less; /* it is that much shorter than 0..L; NO_AXIS: it has none */
  int few_axis, few;           /* an axis of fixed length */
  int k_axis;                  /* k from 0, which is empty */
  bool last_k_empty;
} layout;

static const layout layouts[TG_N_SUMMARIES] = {
    [TG_SUMMARY_GRIDE] = {"row, layer 1..L, [value, error, radius], scale", 4, 1, 1, 2, 3, NO_AXIS, false},
    [TG_SUMMARY_OVERLAP] = {"row, pair (1,2)..(L-1,L), k", 3, 1, 2, NO_AXIS, 0, 2, false},
    [TG_SUMMARY_COSINE] = {"row, [mean, std], layer 0..L", 3, 2, 0, 1, 2, NO_AXIS, false},
    [TG_SUMMARY_LOSS] = {"row", 1, NO_AXIS, 0, NO_AXIS, 0, NO_AXIS, false},
    [TG_SUMMARY_RECIPROCITY] = {"row, layer 1..L, k", 3, 1, 1, NO_AXIS, 0, 2, true},
};

typedef struct {
  char *paths[TG_N_SUMMARIES]; /* NULL: there is no such file */
  tg_npy arrays[TG_N_SUMMARIES], ids;
  int64_t n_rows;
  int n_levels, n_layers;
} state;

static void destroy(void *opaque) {
  state *s = opaque;
  for (int a = 0; a < TG_N_SUMMARIES; a++) {
    free(s->paths[a]);
    tg_npy_free(&s->arrays[a]);
  }
  tg_npy_free(&s->ids);
  free(s);
}

/* ---- opening ---- */

static tg_status check_shape(const char *path, const layout *what, const tg_npy *a) {
  TG_CHECK(a->n_axes == what->n_axes, TG_EDATA, "%s: has %d axes, expected %d (%s)", path, a->n_axes, what->n_axes,
           what->axes);
  TG_CHECK(a->shape[0] >= 1 && a->shape[0] <= MAX_ROWS, TG_EDATA, "%s: has %" PRId64 " rows, expected 1 to %d", path,
           a->shape[0], MAX_ROWS);
  if (what->few_axis != NO_AXIS)
    TG_CHECK(a->shape[what->few_axis] == what->few, TG_EDATA, "%s: has length %" PRId64 " on axis %d, expected %d (%s)",
             path, a->shape[what->few_axis], what->few_axis, what->few, what->axes);
  if (what->k_axis != NO_AXIS)
    TG_CHECK(a->shape[what->k_axis] >= 1 + what->last_k_empty, TG_EDATA,
             "%s: has length %" PRId64 " on axis %d, expected at least %d (%s)", path, a->shape[what->k_axis],
             what->k_axis, 1 + what->last_k_empty, what->axes);
  return TG_OK;
}

/* Zeros or NaN are all that is at this k: another number means that k is counted otherwise. */
static tg_status check_empty(const char *path, const tg_npy *a, int64_t k) {
  for (int64_t row = 0; row < a->shape[0]; row++)
    for (int64_t l = 0; l < a->shape[1]; l++) {
      const double number = tg_npy_real(a, (int64_t[]){row, l, k});
      TG_CHECK(number == 0.0 || isnan(number), TG_EDATA,
               "%s: [%" PRId64 ", %" PRId64 ", %" PRId64 "] is %g, expected 0: nothing belongs to k = %" PRId64, path,
               row, l, k, number, k);
    }
  return TG_OK;
}

/* All arrays have the same rows and layers. */
static tg_status agree(state *s, const char *path, const layout *what, const tg_npy *a) {
  TG_CHECK(s->n_rows == 0 || a->shape[0] == s->n_rows, TG_EDATA,
           "%s: has %" PRId64 " rows, but the arrays before it %" PRId64, path, a->shape[0], s->n_rows);
  s->n_rows = a->shape[0];
  if (what->layer_axis == NO_AXIS) return TG_OK;
  const int64_t length = a->shape[what->layer_axis], layers = length + what->layers_less;
  TG_CHECK(length <= MAX_LAYERS && layers >= 1, TG_EDATA,
           "%s: has length %" PRId64 " on axis %d, expected 1 to %d (%s)", path, length, what->layer_axis, MAX_LAYERS,
           what->axes);
  TG_CHECK(s->n_layers == 0 || layers == s->n_layers, TG_EDATA,
           "%s: has length %" PRId64 " on axis %d (%s), which makes layers 0..%" PRId64
           ", but the arrays before it have 0..%d",
           path, length, what->layer_axis, what->axes, layers - 1, s->n_layers - 1);
  s->n_layers = (int)layers;
  return TG_OK;
}

static tg_status load_array(state *s, const char *directory, int which) {
  const layout *what = &layouts[which];
  struct stat at;
  tg_npy *a = &s->arrays[which];
  TG_CHECK(asprintf(&s->paths[which], "%s/%s", directory, tg_summary_files[which]) >= 0, TG_EINTERNAL, "no memory");
  const char *path = s->paths[which];
  if (lstat(path, &at) != 0 && errno == ENOENT) { /* a link to nowhere, or what cannot be looked at, is not absent */
    free(s->paths[which]);
    s->paths[which] = NULL;
    return TG_OK;
  }
  TG_TRY(tg_npy_load(path, a));
  TG_TRY(check_shape(path, what, a));
  if (what->k_axis != NO_AXIS) TG_TRY(check_empty(path, a, 0));
  if (what->last_k_empty) TG_TRY(check_empty(path, a, a->shape[what->k_axis] - 1));
  return agree(s, path, what, a);
}

static tg_status load_arrays(state *s, const char *directory) {
  for (int a = 0; a < TG_N_SUMMARIES; a++) TG_TRY(load_array(s, directory, a));
  TG_CHECK(s->n_rows > 0, TG_ENOINPUT, "%s: holds none of %s, %s, %s, %s, %s", directory, tg_summary_files[0],
           tg_summary_files[1], tg_summary_files[2], tg_summary_files[3], tg_summary_files[4]);
  TG_CHECK(s->n_layers > 0, TG_EDATA, "%s: no array but %s, expected one with layers", directory,
           tg_summary_files[TG_SUMMARY_LOSS]);
  return TG_OK;
}

/* How many levels the rows of a prompt are. */
static tg_status count_levels(state *s, const tg_source_config *config) {
  const int64_t n_ids = s->ids.count, rows = s->n_rows;
  const int64_t levels = config->shuffles > 0 ? config->shuffles : n_ids > 0 ? rows / n_ids : 1;
  if (n_ids > 0) {
    TG_CHECK(rows % n_ids == 0, TG_EDATA, "%s: has %" PRId64 " rows, expected a multiple of the %" PRId64 " ids of %s",
             config->directory, rows, n_ids, config->prompt_ids_file);
    TG_CHECK(rows / n_ids == levels, TG_ECONFIG,
             "%s: has %" PRId64 " rows for the %" PRId64 " ids of %s: %" PRId64 " levels, but shuffles is %d",
             config->directory, rows, n_ids, config->prompt_ids_file, rows / n_ids, config->shuffles);
  }
  TG_CHECK(rows % levels == 0, TG_ECONFIG, "%s: has %" PRId64 " rows, expected a multiple of shuffles = %" PRId64,
           config->directory, rows, levels);
  TG_CHECK(levels <= MAX_LEVELS, TG_EDATA, "%s: its rows are %" PRId64 " levels of each prompt, expected up to %d",
           config->directory, levels, MAX_LEVELS);
  s->n_levels = (int)levels;
  return TG_OK;
}

static tg_status load_ids(state *s, const char *path) {
  if (!path) return TG_OK;
  TG_TRY(tg_npy_load(path, &s->ids));
  TG_CHECK(s->ids.n_axes == 1 && s->ids.count >= 1 && s->ids.count <= MAX_ROWS, TG_EDATA,
           "%s: has %d axes and %" PRId64 " numbers, expected one axis of 1 to %d ids", path, s->ids.n_axes,
           s->ids.count, MAX_ROWS);
  TG_CHECK(s->ids.kind != 'f' && s->ids.kind != 'b', TG_EDATA, "%s: its type is %c%d, expected integers", path,
           s->ids.kind, s->ids.size);
  return TG_OK;
}

static tg_status fill_ids(const state *s, const char *path, tg_source_info *info) {
  for (int64_t p = 0; p < info->n_prompts; p++) {
    info->prompt_ids[p] = p;
    if (path)
      TG_CHECK(tg_npy_integer(&s->ids, &p, &info->prompt_ids[p]), TG_EDATA,
               "%s: [%" PRId64 "] is %.0f, expected an id below 2^63", path, p, tg_npy_real(&s->ids, &p));
  }
  return TG_OK;
}

static tg_status describe(const state *s, const char *ids_path, tg_source_info *info) {
  *info = (tg_source_info){.n_prompts = s->n_rows / s->n_levels,
                           .n_levels = s->n_levels,
                           .n_layers = s->n_layers,
                           .last_layer_normalized = -1,
                           .has_loss = s->paths[TG_SUMMARY_LOSS] != NULL,
                           .measured = true};
  for (int a = 0; a < TG_N_SUMMARIES; a++) info->cache_bytes += (size_t)s->arrays[a].count * (size_t)s->arrays[a].size;
  TG_TRY(TG_ALLOC(info->n_prompts, &info->prompt_ids));
  TG_TRY(TG_ALLOC(info->n_prompts, &info->n_tokens_of));
  TG_TRY(TG_ALLOC(info->n_levels, &info->levels));
  for (int level = 0; level < info->n_levels; level++) info->levels[level] = level;
  return fill_ids(s, ids_path, info);
}

static tg_status describe_identity(const state *s, const char *ids_path, char **identity) {
  size_t size = 0;
  FILE *out = open_memstream(identity, &size);
  TG_CHECK(out, TG_EINTERNAL, "no memory");
  tg_status st = TG_OK;
  for (int a = 0; st == TG_OK && a < TG_N_SUMMARIES; a++)
    if (s->paths[a]) st = tg_source_print_file(out, s->paths[a]);
  if (st == TG_OK && ids_path) st = tg_source_print_file(out, ids_path);
  fclose(out);
  return st;
}

/* ---- reading ---- */

/* NaN for what is not finite. */
static double number_at(const tg_npy *a, const int64_t *place) {
  const double number = tg_npy_real(a, place);
  return isfinite(number) ? number : NAN;
}

/* The place of n2 = 2, 4, 8, ... on an axis of scales; -1 where it has none. */
static int scale_place(int n2, int64_t n_scales) {
  const int place = __builtin_ctz((unsigned)n2) - 1;
  return n2 == 2 << place && place < n_scales ? place : -1;
}

/* The three below fill what an array has of a row; the result is how many of the numbers asked for are missing in it. An
 * array that is absent, or has nothing of the embedding by its layout, misses nothing. */

static int read_gride(const tg_npy *a, int64_t row, int l, const tg_row_shape *shape, tg_row *out) {
  double *const numbers[] = {tg_row_f64(out, TG_FIELD_GRIDE_VALUE), tg_row_f64(out, TG_FIELD_GRIDE_ERROR),
                             tg_row_f64(out, TG_FIELD_GRIDE_RADIUS)};
  int missing = 0;
  for (int scale = 0; l >= 1 && scale < shape->n_scales; scale++) {
    const int place = scale_place(shape->scales[scale], a->shape[3]);
    for (int which = 0; which < 3; which++) {
      if (place >= 0) numbers[which][scale] = number_at(a, (int64_t[]){row, l - 1, which, place});
      missing += isnan(numbers[which][scale]);
    }
  }
  return missing;
}

/* Places 1..end-1 of the k axis at layer place l. */
static int read_k(const tg_npy *a, int64_t row, int64_t l, int64_t end, int n, double *out) {
  int missing = 0;
  for (int k = 1; l >= 0 && k <= n; k++) {
    if (k < end) out[k - 1] = number_at(a, (int64_t[]){row, l, k});
    missing += isnan(out[k - 1]);
  }
  return missing;
}

static int read_cosine(const tg_npy *a, int64_t row, int l, tg_row *out) {
  double *mean = tg_row_f64(out, TG_FIELD_COSINE_MEAN), *std = tg_row_f64(out, TG_FIELD_COSINE_STD);
  *mean = number_at(a, (int64_t[]){row, 0, l});
  *std = number_at(a, (int64_t[]){row, 1, l});
  return isnan(*mean) + isnan(*std);
}

static double loss_of(const state *s, int64_t row) {
  return s->paths[TG_SUMMARY_LOSS] ? number_at(&s->arrays[TG_SUMMARY_LOSS], &row) : NAN;
}

/* Whether there are numbers of a field, and somebody asks for them. */
static bool has(const state *s, int array, const tg_row_shape *shape, int field) {
  return s->paths[array] && tg_row_has(shape, field);
}

static void read_row(void *opaque, int64_t p, int level, int l, const tg_row_shape *shape, tg_row *out) {
  const state *s = opaque;
  const int64_t row = p * s->n_levels + level;
  const tg_npy *overlap = &s->arrays[TG_SUMMARY_OVERLAP], *reciprocity = &s->arrays[TG_SUMMARY_RECIPROCITY];
  int missing = 0;
  if (has(s, TG_SUMMARY_GRIDE, shape, TG_FIELD_GRIDE_VALUE))
    missing += read_gride(&s->arrays[TG_SUMMARY_GRIDE], row, l, shape, out);
  if (has(s, TG_SUMMARY_OVERLAP, shape, TG_FIELD_OVERLAP)) /* the pair (l - 1, l); that of (1, 2) is the first */
    missing += read_k(overlap, row, l - 2, overlap->shape[2], shape->k, tg_row_f64(out, TG_FIELD_OVERLAP));
  if (has(s, TG_SUMMARY_COSINE, shape, TG_FIELD_COSINE_MEAN))
    missing += read_cosine(&s->arrays[TG_SUMMARY_COSINE], row, l, out);
  if (has(s, TG_SUMMARY_RECIPROCITY, shape, TG_FIELD_RECIPROCITY))
    missing +=
        read_k(reciprocity, row, l - 1, reciprocity->shape[2] - 1, shape->k, tg_row_f64(out, TG_FIELD_RECIPROCITY));
  *out->reason = (missing > 0 ? TG_REASON_UNPUBLISHED : 0) | (isnan(loss_of(s, row)) ? TG_REASON_NO_LOSS : 0);
  tg_row_done(out);
}

static tg_status read_scalars(void *opaque, int64_t p, int level, int n, tg_source_scalars *out) {
  const state *s = opaque;
  (void)n;
  out->loss = loss_of(s, p * s->n_levels + level);
  return TG_OK;
}

static const tg_source_kind_calls calls = {.destroy = destroy, .read_scalars = read_scalars, .read_row = read_row};

tg_status tg_source_summaries_create(const tg_source_config *config, tg_source_parts *out) {
  state *s = NULL;
  TG_TRY(TG_ALLOC(1, &s));
  out->calls = &calls;
  out->state = s;
  TG_TRY(load_ids(s, config->prompt_ids_file));
  TG_TRY(load_arrays(s, config->directory));
  TG_TRY(count_levels(s, config));
  TG_TRY(describe(s, config->prompt_ids_file, &out->info));
  return describe_identity(s, config->prompt_ids_file, &out->identity);
}
