/* Hidden-state files (format version 1): several files make one data set, prompts one after another.
 * One file is open at a time. Activations are read with the file's own type, so HDF5 converts nothing. */
#include "source/source_impl.h"

#include "base/memory.h"
#include "hdf5/h5.h"
#include "source/dataset.h"
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { MAX_TOKENS = 1 << 20, MAX_WIDTH = 1 << 20, MAX_LAYERS = 4096 };

typedef struct {
  const char *path; /* borrowed from the config */
  int64_t first, n_prompts;
  int n_tokens; /* this file's token axis */
  tg_element element;
  bool has_loss, has_token_loss, has_entropy, has_token_ids, has_metric;
  int64_t vocabulary;
  int part, parts; /* of what jobs/export_states.py wrote as an array; parts 0: it does not say */
} stored_file;

typedef struct {
  stored_file *files;
  int n_files, n_levels, n_layers, width;
  int open;     /* the file that is open, -1: none */
  size_t cache; /* of its chunks, bytes */
  hid_t file, states;
} state;

/* ---- opening ---- */

static void close_file(state *s) {
  if (s->states >= 0) H5Dclose(s->states);
  if (s->file >= 0) H5Fclose(s->file);
  s->states = s->file = -1;
  s->open = -1;
}

static void destroy(void *opaque) {
  state *s = opaque;
  close_file(s);
  free(s->files);
  free(s);
}

static tg_status open_file(state *s, int which) {
  if (s->open == which) return TG_OK;
  close_file(s);
  const char *path = s->files[which].path;
  TG_TRY(tg_h5_open_input(path, &s->file));
  TG_TRY(tg_dataset_open_states(path, s->file, &s->states, &s->cache));
  s->open = which;
  return TG_OK;
}

/* ---- checking ---- */

/* The first file says whose states these are, or does not. */
static tg_status check_model(const state *s, const char *path, hid_t file, char **model) {
  char *name = tg_h5_string_attribute(file, "model");
  if (s->open == 0) {
    *model = name;
    return TG_OK;
  }
  const bool same = name ? *model && strcmp(name, *model) == 0 : !*model;
  const tg_status st =
      same ? TG_OK
           : tg_fail(TG_EDATA, TG_HERE, "%s: model is '%s', but '%s' in %s; the files of one data set must agree", path,
                     name ? name : "(absent)", *model ? *model : "(absent)", s->files[0].path);
  free(name);
  return st;
}

static tg_status check_format(const char *path, hid_t file) {
  char *format = tg_h5_string_attribute(file, "format");
  const long version = tg_h5_integer_attribute(file, "format_version", -1);
  const bool right = format && strcmp(format, "tokengeom-hidden-states") == 0;
  tg_status st = TG_OK;
  if (!right)
    st = tg_fail(TG_EDATA, TG_HERE, "%s: root attribute format is '%s', expected 'tokengeom-hidden-states'", path,
                 format ? format : "(absent)");
  else if (version != 1)
    st = tg_fail(TG_EDATA, TG_HERE, "%s: format_version is %s, expected the integer 1", path,
                 tg_h5_shown_attribute(file, "format_version"));
  free(format);
  return st;
}

static tg_status check_axis(const char *path, const char *what, hsize_t length, hsize_t most) {
  TG_CHECK(length >= 1 && length <= most, TG_EDATA, "%s: hidden_states has %llu %s, expected 1 to %llu", path,
           (unsigned long long)length, what, (unsigned long long)most);
  return TG_OK;
}

static tg_status read_states_header(state *s, stored_file *f, hsize_t shape[TG_STATES_AXES]) {
  TG_TRY(tg_dataset_shape(f->path, s->states, "hidden_states", "prompt, shuffle, layer, token, width", TG_STATES_AXES,
                          shape));
  TG_TRY(check_axis(f->path, "prompts", shape[0], 1u << 30));
  TG_TRY(check_axis(f->path, "shuffle levels", shape[1], 1024));
  TG_TRY(check_axis(f->path, "layers", shape[2], MAX_LAYERS));
  TG_TRY(check_axis(f->path, "tokens", shape[3], MAX_TOKENS));
  TG_TRY(check_axis(f->path, "coordinates", shape[4], MAX_WIDTH));
  const hid_t type = H5Dget_type(s->states);
  const tg_status st = tg_dataset_element(f->path, "hidden_states", type, &f->element);
  H5Tclose(type);
  f->n_prompts = (int64_t)shape[0];
  f->n_tokens = (int)shape[3];
  return st;
}

static tg_status read_unembedding_header(state *s, stored_file *f, const hsize_t shape[TG_STATES_AXES]) {
  const hid_t dataset = H5Dopen2(s->file, "unembedding", H5P_DEFAULT), type = dataset >= 0 ? H5Dget_type(dataset) : -1;
  hsize_t rows[2] = {0};
  tg_element element;
  tg_status st = tg_dataset_shape(f->path, dataset, "unembedding", "vocabulary, width", 2, rows);
  if (st == TG_OK) st = tg_dataset_element(f->path, "unembedding", type, &element);
  if (type >= 0) H5Tclose(type);
  if (dataset >= 0) H5Dclose(dataset);
  TG_TRY(st);
  TG_CHECK(rows[1] == shape[4], TG_EDATA, "%s: unembedding has width %llu, expected %llu as in hidden_states", f->path,
           (unsigned long long)rows[1], (unsigned long long)shape[4]);
  TG_CHECK(rows[0] >= 1, TG_EDATA, "%s: unembedding has no rows, expected one for each word of the vocabulary",
           f->path);
  f->vocabulary = (int64_t)rows[0];
  return TG_OK;
}

/* Which optional datasets a file has, their shapes checked. */
static tg_status read_optional_headers(state *s, stored_file *f, const hsize_t shape[TG_STATES_AXES]) {
  const hsize_t pairs[3] = {shape[0], shape[1], shape[3]}, square[2] = {shape[4], shape[4]};
  const hsize_t steps[3] = {shape[0], shape[1], shape[3] - 1};
  f->has_loss = tg_h5_has(s->file, "loss");
  f->has_token_loss = tg_h5_has(s->file, "token_loss");
  f->has_entropy = tg_h5_has(s->file, "entropy");
  f->has_token_ids = tg_h5_has(s->file, "token_ids");
  f->has_metric = tg_h5_has(s->file, "logit_metric");
  if (f->has_loss)
    TG_TRY(tg_dataset_read(f->path, s->file, "loss", "prompt, shuffle", 2, pairs, H5T_NATIVE_DOUBLE, NULL));
  if (f->has_token_loss)
    TG_TRY(tg_dataset_read(f->path, s->file, "token_loss", "prompt, shuffle, token - 1", 3, steps, H5T_NATIVE_FLOAT,
                           NULL));
  if (f->has_entropy)
    TG_TRY(tg_dataset_read(f->path, s->file, "entropy", "prompt, shuffle, token", 3, pairs, H5T_NATIVE_DOUBLE, NULL));
  if (f->has_token_ids)
    TG_TRY(tg_dataset_read(f->path, s->file, "token_ids", "prompt, shuffle, token", 3, pairs, H5T_NATIVE_INT32, NULL));
  if (f->has_metric)
    TG_TRY(tg_dataset_read(f->path, s->file, "logit_metric", "width, width", 2, square, H5T_NATIVE_DOUBLE, NULL));
  return tg_h5_has(s->file, "unembedding") ? read_unembedding_header(s, f, shape) : TG_OK;
}

/* ---- parts of an array ---- */

enum { MOST_PARTS = 100000 };

/* The part that a file is, by the settings that the exporter wrote into it. */
static void note_part(hid_t file, stored_file *f) {
  char *text = tg_h5_string_attribute(file, "exporter_settings");
  json_t *settings = text ? json_loads(text, 0, NULL) : NULL;
  const json_t *array = json_object_get(settings, "array");
  const json_int_t part = json_integer_value(json_array_get(array, 0)),
                   parts = json_integer_value(json_array_get(array, 1));
  if (parts > 1 && parts <= MOST_PARTS && part >= 0 && part < parts) {
    f->part = (int)part;
    f->parts = (int)parts;
  }
  json_decref(settings);
  free(text);
}

/* Names the parts that are not among the files, where all files are parts of one array. */
static tg_status name_missing_parts(const state *s, char **names) {
  const int parts = s->files[0].parts;
  bool *there = NULL;
  size_t size = 0;
  int missing = parts;
  for (int a = 0; a < s->n_files; a++)
    if (s->files[a].parts != parts || parts == 0) return TG_OK;
  TG_TRY(TG_ALLOC(parts, &there));
  for (int a = 0; a < s->n_files; a++) {
    missing -= !there[s->files[a].part];
    there[s->files[a].part] = true;
  }
  FILE *out = missing > 0 ? open_memstream(names, &size) : NULL;
  for (int part = 0, named = 0; out && part < parts && named < 10; part++)
    if (!there[part]) fprintf(out, "%s%d", named++ ? ", " : "", part);
  if (out) fprintf(out, "%s of 0..%d", missing > 10 ? ", ..." : "", parts - 1);
  if (out) fclose(out);
  free(there);
  return TG_OK;
}

/* ---- joining files ---- */

/* Room for `more` further prompts. */
static tg_status append_prompts(tg_source_info *info, int64_t more) {
  int64_t *ids = NULL;
  int32_t *lengths = NULL;
  tg_status st = TG_ALLOC(info->n_prompts + more, &ids);
  if (st == TG_OK) st = TG_ALLOC(info->n_prompts + more, &lengths);
  if (st != TG_OK) {
    free(ids);
    return st;
  }
  if (info->n_prompts > 0) {
    memcpy(ids, info->prompt_ids, (size_t)info->n_prompts * sizeof *ids);
    memcpy(lengths, info->n_tokens_of, (size_t)info->n_prompts * sizeof *lengths);
  }
  free(info->prompt_ids);
  free(info->n_tokens_of);
  info->prompt_ids = ids;
  info->n_tokens_of = lengths;
  return TG_OK;
}

/* Labels of the prompts from `first` on, as this file has them. */
static tg_status read_labels(state *s, const stored_file *f, char **labels) {
  const hid_t dataset = H5Dopen2(s->file, "prompt_group", H5P_DEFAULT);
  TG_CHECK(dataset >= 0, TG_EDATA, "%s: prompt_group is no dataset", f->path);
  tg_status st = tg_h5_check_storage(f->path, "prompt_group", dataset);
  if (st == TG_OK && !tg_h5_read_texts(dataset, f->n_prompts, labels))
    st = tg_fail(TG_EDATA, TG_HERE, "%s: prompt_group cannot be read, expected a text for each of %" PRId64 " prompts",
                 f->path, f->n_prompts);
  H5Dclose(dataset);
  for (int64_t p = 0; st == TG_OK && p < f->n_prompts; p++)
    if (strlen(labels[p]) > TG_MAX_GROUP)
      st = tg_fail(TG_EDATA, TG_HERE, "%s: prompt_group[%" PRId64 "] has %zu bytes, expected %d at most", f->path, p,
                   strlen(labels[p]), TG_MAX_GROUP);
  return st;
}

/* Labels of the prompts that were added last; where one file has them, those of the others are empty. */
static tg_status read_groups(state *s, const stored_file *f, tg_source_info *info) {
  const bool has = tg_h5_has(s->file, "prompt_group");
  if (!has && !info->groups) return TG_OK;
  const int64_t first = info->n_prompts - f->n_prompts, known = info->groups ? first : 0;
  char **groups = realloc(info->groups, (size_t)info->n_prompts * sizeof *groups);
  TG_CHECK(groups, TG_EINTERNAL, "%s: no memory for the prompts' labels", f->path);
  info->groups = groups;
  memset(groups + known, 0, (size_t)(info->n_prompts - known) * sizeof *groups);
  if (has) TG_TRY(read_labels(s, f, groups + first));
  for (int64_t p = known; p < info->n_prompts; p++) {
    if (!groups[p]) groups[p] = tg_copy_string("");
    TG_CHECK(groups[p], TG_EINTERNAL, "%s: no memory for the prompts' labels", f->path);
  }
  return TG_OK;
}

static tg_status read_prompts(state *s, const stored_file *f, tg_source_info *info) {
  const hsize_t count = (hsize_t)f->n_prompts;
  TG_TRY(append_prompts(info, f->n_prompts));
  int32_t *lengths = info->n_tokens_of + info->n_prompts;
  TG_TRY(tg_dataset_read(f->path, s->file, "prompt_ids", "prompt", 1, &count, H5T_NATIVE_INT64,
                         info->prompt_ids + info->n_prompts));
  for (int64_t p = 0; p < f->n_prompts; p++) lengths[p] = f->n_tokens;
  if (tg_h5_has(s->file, "n_tokens")) {
    TG_TRY(tg_dataset_read(f->path, s->file, "n_tokens", "prompt", 1, &count, H5T_NATIVE_INT32, lengths));
    for (int64_t p = 0; p < f->n_prompts; p++)
      TG_CHECK(lengths[p] >= 1 && lengths[p] <= f->n_tokens, TG_EDATA,
               "%s: n_tokens[%" PRId64 "] is %d, expected 1 to %d", f->path, p, lengths[p], f->n_tokens);
  }
  info->n_prompts += f->n_prompts;
  return read_groups(s, f, info);
}

static tg_status read_levels(state *s, const stored_file *f, int n_levels, int32_t *levels) {
  const hsize_t count = (hsize_t)n_levels;
  TG_TRY(tg_dataset_read(f->path, s->file, "shuffle_levels", "shuffle", 1, &count, H5T_NATIVE_INT32, levels));
  for (int a = 0; a < n_levels; a++)
    for (int b = 0; b < a; b++)
      TG_CHECK(levels[a] != levels[b], TG_EDATA, "%s: shuffle_levels holds %d twice", f->path, levels[a]);
  return TG_OK;
}

#define SAME(f, first, what, a, b)                                                                                     \
  TG_CHECK((a) == (b), TG_EDATA, "%s: %s is %lld, but %lld in %s; the files of one data set must agree", (f)->path,    \
           what, (long long)(a), (long long)(b), (first)->path)

static tg_status first_file(state *s, stored_file *f, const hsize_t shape[TG_STATES_AXES], int normalized,
                            tg_source_info *info) {
  s->n_levels = info->n_levels = (int)shape[1];
  s->n_layers = info->n_layers = (int)shape[2];
  s->width = info->width = (int)shape[4];
  info->last_layer_normalized = normalized;
  info->has_metric = f->has_metric;
  info->vocabulary = f->has_metric ? 0 : f->vocabulary;
  info->metric_origin = f->path;
  info->has_loss = info->has_token_loss = info->has_entropy = info->has_token_ids = false;
  TG_TRY(TG_ALLOC(info->n_levels, &info->levels));
  return read_levels(s, f, info->n_levels, info->levels);
}

static tg_status next_file(state *s, stored_file *f, const hsize_t shape[TG_STATES_AXES], int normalized,
                           tg_source_info *info) {
  const stored_file *first = &s->files[0];
  SAME(f, first, "the number of shuffle levels", (int)shape[1], info->n_levels);
  SAME(f, first, "the number of layers", (int)shape[2], info->n_layers);
  SAME(f, first, "the width", (int)shape[4], info->width);
  SAME(f, first, "last_layer_normalized", normalized, info->last_layer_normalized);
  SAME(f, first, "the presence of logit_metric", f->has_metric, first->has_metric);
  SAME(f, first, "the vocabulary", f->vocabulary, first->vocabulary);
  int32_t *levels = NULL;
  TG_TRY(TG_ALLOC(info->n_levels, &levels));
  tg_status st = read_levels(s, f, info->n_levels, levels);
  for (int a = 0; st == TG_OK && a < info->n_levels; a++)
    if (levels[a] != info->levels[a])
      st =
          tg_fail(TG_EDATA, TG_HERE, "%s: shuffle_levels[%d] is %d, but %d in %s; the files of one data set must agree",
                  f->path, a, levels[a], info->levels[a], first->path);
  free(levels);
  return st;
}

static tg_status add_file(state *s, int which, const char *path, tg_source_info *info) {
  stored_file *f = &s->files[which];
  hsize_t shape[TG_STATES_AXES];
  *f = (stored_file){.path = path, .first = info->n_prompts};
  TG_TRY(tg_h5_open_input(path, &s->file));
  s->open = which;
  TG_TRY(check_format(path, s->file));
  TG_TRY(check_model(s, path, s->file, &info->model));
  note_part(s->file, f);
  TG_TRY(tg_dataset_open_states(path, s->file, &s->states, &s->cache));
  TG_TRY(read_states_header(s, f, shape));
  TG_TRY(read_optional_headers(s, f, shape));
  const bool said = H5Aexists(s->states, "last_layer_normalized") > 0;
  const long normalized = tg_h5_integer_attribute(s->states, "last_layer_normalized", said ? 2 : -1);
  TG_CHECK(normalized >= -1 && normalized <= 1, TG_EDATA,
           "%s: hidden_states: last_layer_normalized is %s, expected 0, 1 or -1 (not known)", path,
           tg_h5_shown_attribute(s->states, "last_layer_normalized"));
  TG_TRY(which == 0 ? first_file(s, f, shape, (int)normalized, info) : next_file(s, f, shape, (int)normalized, info));
  TG_TRY(read_prompts(s, f, info));
  const size_t bytes = (size_t)f->n_tokens * (size_t)s->width * tg_element_size(f->element);
  info->cloud_bytes = bytes > info->cloud_bytes ? bytes : info->cloud_bytes;
  info->cache_bytes = s->cache > info->cache_bytes ? s->cache : info->cache_bytes;
  info->bfloat16 = f->element == TG_BFLOAT16 && (which == 0 || info->bfloat16);
  info->float32 = f->element == TG_FLOAT32 && (which == 0 || info->float32);
  info->n_tokens = f->n_tokens > info->n_tokens ? f->n_tokens : info->n_tokens;
  info->has_loss |= f->has_loss;
  info->has_token_loss |= f->has_token_loss;
  info->has_entropy |= f->has_entropy;
  info->has_token_ids |= f->has_token_ids;
  close_file(s);
  return TG_OK;
}

static tg_status describe_identity(const state *s, char **identity) {
  size_t room = 1, used = 0;
  for (int a = 0; a < s->n_files; a++) room += strlen(s->files[a].path) + 256;
  TG_TRY(TG_ALLOC(room, identity));
  for (int a = 0; a < s->n_files; a++) {
    const stored_file *f = &s->files[a];
    struct stat at;
    TG_CHECK(stat(f->path, &at) == 0, TG_ENOINPUT, "%s: cannot be examined", f->path);
    used += (size_t)snprintf(*identity + used, room - used,
                             "%s: %lld bytes, modified %lld.%09ld, %lld x %d x %d x %d x %d, %zu bytes an element\n",
                             f->path, (long long)at.st_size, (long long)at.st_mtim.tv_sec, at.st_mtim.tv_nsec,
                             (long long)f->n_prompts, s->n_levels, s->n_layers, f->n_tokens, s->width,
                             tg_element_size(f->element));
  }
  return TG_OK;
}

/* ---- reading ---- */

static int file_of(const state *s, int64_t p) {
  int low = 0, high = s->n_files - 1;
  while (low < high) {
    const int middle = (low + high + 1) / 2;
    if (s->files[middle].first <= p)
      low = middle;
    else
      high = middle - 1;
  }
  return low;
}

static tg_element element_of(void *opaque, int64_t p) {
  const state *s = opaque;
  return s->files[file_of(s, p)].element;
}

static tg_status read_cloud(void *opaque, int64_t p, int level, int l, int n, void *raw) {
  state *s = opaque;
  const int which = file_of(s, p);
  const stored_file *f = &s->files[which];
  TG_TRY(open_file(s, which));
  const hsize_t start[TG_STATES_AXES] = {(hsize_t)(p - f->first), (hsize_t)level, (hsize_t)l, 0, 0};
  const hsize_t count[TG_STATES_AXES] = {1, 1, 1, (hsize_t)n, (hsize_t)s->width};
  char name[80];
  snprintf(name, sizeof name, "hidden_states[%" PRId64 ", %d, %d]", p - f->first, level, l);
  return tg_dataset_read_block(f->path, name, s->states, TG_STATES_AXES, start, count, 0, raw);
}

/* One prompt's and level's part of an optional dataset. */
static tg_status read_part(state *s, const stored_file *f, const char *name, int rank, int64_t p, int level, int n,
                           hid_t type, void *out) {
  const hsize_t start[3] = {(hsize_t)(p - f->first), (hsize_t)level, 0}, count[3] = {1, 1, (hsize_t)n};
  const hid_t dataset = H5Dopen2(s->file, name, H5P_DEFAULT);
  char place[80];
  snprintf(place, sizeof place, "%s[%" PRId64 ", %d]", name, p - f->first, level);
  const tg_status st = dataset >= 0 ? tg_dataset_read_block(f->path, place, dataset, rank, start, count, type, out)
                                    : tg_fail(TG_EDATA, TG_HERE, "%s: %s cannot be opened", f->path, name);
  if (dataset >= 0) H5Dclose(dataset);
  return st;
}

static tg_status read_entropy(state *s, const stored_file *f, int64_t p, int level, int n, tg_source_scalars *out) {
  double *values = NULL, sum = 0.0;
  TG_TRY(TG_ALLOC(n, &values));
  const tg_status st = read_part(s, f, "entropy", 3, p, level, n, H5T_NATIVE_DOUBLE, values);
  for (int i = 0; i < n; i++) {
    sum += values[i];
    if (out->token_entropy) out->token_entropy[i] = (float)values[i];
  }
  out->entropy = sum / n;
  free(values);
  return st;
}

static tg_status read_scalars(void *opaque, int64_t p, int level, int n, tg_source_scalars *out) {
  state *s = opaque;
  const int which = file_of(s, p);
  const stored_file *f = &s->files[which];
  TG_TRY(open_file(s, which));
  if (f->has_loss) TG_TRY(read_part(s, f, "loss", 2, p, level, 1, H5T_NATIVE_DOUBLE, &out->loss));
  if (f->has_token_loss && out->token_loss && n > 1)
    TG_TRY(read_part(s, f, "token_loss", 3, p, level, n - 1, H5T_NATIVE_FLOAT, out->token_loss));
  if (f->has_entropy) TG_TRY(read_entropy(s, f, p, level, n, out));
  if (f->has_token_ids) TG_TRY(read_part(s, f, "token_ids", 3, p, level, n, H5T_NATIVE_INT32, out->token_ids));
  return TG_OK;
}

static tg_status read_metric_of(state *s, int which, double *matrix) {
  const hsize_t shape[2] = {(hsize_t)s->width, (hsize_t)s->width};
  TG_TRY(open_file(s, which));
  return tg_dataset_read(s->files[which].path, s->file, "logit_metric", "width, width", 2, shape, H5T_NATIVE_DOUBLE,
                         matrix);
}

static tg_status read_metric(void *opaque, double *matrix) { return read_metric_of(opaque, 0, matrix); }

static tg_status read_unembedding_of(state *s, int which, int64_t first, int64_t count, float *rows) {
  const char *path = s->files[which].path;
  TG_TRY(open_file(s, which));
  const hid_t dataset = H5Dopen2(s->file, "unembedding", H5P_DEFAULT), type = dataset >= 0 ? H5Dget_type(dataset) : -1;
  tg_element element = TG_FLOAT32;
  void *raw = NULL;
  tg_status st = dataset >= 0 ? tg_dataset_element(path, "unembedding", type, &element)
                              : tg_fail(TG_EDATA, TG_HERE, "%s: unembedding cannot be opened", path);
  if (st == TG_OK) st = tg_alloc_bytes((size_t)count * (size_t)s->width, tg_element_size(element), &raw);
  const hsize_t start[2] = {(hsize_t)first, 0}, block[2] = {(hsize_t)count, (hsize_t)s->width};
  if (st == TG_OK) st = tg_dataset_read_block(path, "unembedding", dataset, 2, start, block, 0, raw);
  if (st == TG_OK) tg_convert(element, raw, (int)count, s->width, s->width, rows);
  free(raw);
  if (type >= 0) H5Tclose(type);
  if (dataset >= 0) H5Dclose(dataset);
  return st;
}

static tg_status read_unembedding(void *opaque, int64_t first, int64_t count, float *rows) {
  return read_unembedding_of(opaque, 0, first, count, rows);
}

static tg_status differs(const state *s, int which, const char *name) {
  return tg_fail(TG_EDATA, TG_HERE, "%s: %s differs from that of %s; the files of one data set must agree",
                 s->files[which].path, name, s->files[0].path);
}

static tg_status compare_metrics(state *s, double *first, double *other) {
  TG_TRY(read_metric_of(s, 0, first));
  for (int a = 1; a < s->n_files; a++) {
    TG_TRY(read_metric_of(s, a, other));
    if (memcmp(first, other, (size_t)s->width * (size_t)s->width * sizeof *first) != 0)
      return differs(s, a, "logit_metric");
  }
  return TG_OK;
}

static tg_status compare_unembeddings(state *s, float *first, float *other) {
  const int64_t vocabulary = s->files[0].vocabulary;
  for (int a = 1; a < s->n_files; a++)
    for (int64_t v = 0; v < vocabulary; v += s->width) { /* as many rows at a time as a metric has */
      const int64_t n = vocabulary - v < s->width ? vocabulary - v : s->width;
      TG_TRY(read_unembedding_of(s, 0, v, n, first));
      TG_TRY(read_unembedding_of(s, a, v, n, other));
      if (memcmp(first, other, (size_t)n * (size_t)s->width * sizeof *first) != 0) return differs(s, a, "unembedding");
    }
  return TG_OK;
}

static tg_status check_metrics(void *opaque) {
  state *s = opaque;
  const size_t count = (size_t)s->width * (size_t)s->width;
  double *first = NULL, *other = NULL;
  if (s->n_files < 2 || (!s->files[0].has_metric && s->files[0].vocabulary == 0)) return TG_OK;
  tg_status st = TG_ALLOC(count, &first);
  if (st == TG_OK) st = TG_ALLOC(count, &other);
  if (st == TG_OK)
    st = s->files[0].has_metric ? compare_metrics(s, first, other)
                                : compare_unembeddings(s, (float *)first, (float *)other);
  free(first);
  free(other);
  return st;
}

static const tg_source_kind_calls calls = {
    destroy,       read_cloud, element_of, read_scalars, read_metric, read_unembedding,
    check_metrics, NULL,       NULL,       NULL,         NULL};

tg_status tg_source_hdf5_create(const tg_source_config *config, tg_source_parts *out) {
  state *s = NULL;
  TG_TRY(TG_ALLOC(1, &s));
  out->calls = &calls;
  out->state = s;
  out->info.read_ahead = out->info.overlap = true;
  out->info.files = config->files;
  out->info.n_files = config->n_files;
  s->file = s->states = -1;
  s->open = -1;
  s->n_files = config->n_files;
  TG_TRY(TG_ALLOC(config->n_files, &s->files));
  for (int a = 0; a < config->n_files; a++) TG_TRY(add_file(s, a, config->files[a], &out->info));
  TG_TRY(name_missing_parts(s, &out->info.missing_parts));
  return describe_identity(s, &out->identity);
}
