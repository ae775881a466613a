/* Clouds as stored and as generated: conversion, hidden-state files, reading ahead, synthetic clouds. */
#include "../oracle/suite.h"
#include "base/timer.h"
#include "hdf5/h5.h"
#include "source/reader.h"
#include "source/source_impl.h"

#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { GARBAGE = 7 };

static char directory[] = "/tmp/test_source_XXXXXX";

/* ---- conversion ---- */

/* The value of a bit pattern with so many exponent and mantissa bits: (-1)^s 2^(e - bias) (1 + m / 2^bits), denormals and the
 * largest exponent as in IEEE 754. Exact: ldexp of integers of at most 24 bits. Zeros lose their sign. */
static float value_of(uint32_t pattern, int exponent_bits, int mantissa_bits) {
  const int largest = (1 << exponent_bits) - 1, bias = largest / 2;
  const int e = (int)(pattern >> mantissa_bits) & largest, m = (int)(pattern & ((1u << mantissa_bits) - 1));
  const float sign = pattern >> (exponent_bits + mantissa_bits) & 1 ? -1.0f : 1.0f;
  if (e == largest) return m ? NAN : sign * INFINITY;
  if (e == 0) return m ? sign * ldexpf((float)m, 1 - bias - mantissa_bits) : 0.0f;
  return sign * ldexpf((float)(m + (1 << mantissa_bits)), e - bias - mantissa_bits);
}

static float value_of_element(tg_element element, uint32_t pattern) {
  return element == TG_BFLOAT16  ? value_of(pattern, 8, 7)
         : element == TG_FLOAT16 ? value_of(pattern, 5, 10)
                                 : value_of(pattern, 8, 23);
}

/* The same value and the same sign of zero; any NaN is as good as another. */
static bool same(float a, float b) { return isnan(b) ? isnan(a) : memcmp(&a, &b, sizeof a) == 0; }

/* Oracle: value_of. All 65536 patterns of both types, in rows of several lengths, so that whole vectors and the rest behind
 * them are both met; columns beyond the width become zeros, rows beyond n stay as they are. */
static void all_16_bit_patterns_are_converted(void) {
  static const int widths[] = {1, 31, 32, 33, 64, 100, 4096};
  static uint16_t raw[65536];
  static float out[65536 * 32 + 4200];
  for (uint32_t a = 0; a < 65536; a++) raw[a] = (uint16_t)a;
  for (tg_element element = TG_BFLOAT16; element <= TG_FLOAT16; element++)
    for (size_t w = 0; w < sizeof widths / sizeof *widths; w++) {
      const int d = widths[w], n = 65536 / d, ld = tg_cloud_stride(d);
      int64_t wrong = 0;
      for (ptrdiff_t a = 0; a < (ptrdiff_t)n * ld + 32; a++) out[a] = GARBAGE;
      tg_convert(element, raw, n, d, ld, out);
      for (ptrdiff_t i = 0; i < n; i++)
        for (ptrdiff_t t = 0; t < ld; t++)
          wrong += !same(out[i * ld + t], t < d ? value_of_element(element, raw[i * d + t]) : 0.0f);
      for (ptrdiff_t a = (ptrdiff_t)n * ld; a < (ptrdiff_t)n * ld + 32; a++) wrong += !same(out[a], GARBAGE);
      CU_ASSERT(wrong == 0);
    }
  CU_ASSERT(tg_element_size(TG_BFLOAT16) == 2 && tg_element_size(TG_FLOAT16) == 2 && tg_element_size(TG_FLOAT32) == 4);
}

/* Oracle: value_of, for every 65521st pattern: denormals, infinities and NaN among them. */
static void float32_patterns_are_kept(void) {
  enum { N = 65552, D = 48, LD = 64 };
  static uint32_t raw[N];
  static float out[N / D * LD + 32];
  int64_t wrong = 0;
  for (uint32_t a = 0; a < N; a++) raw[a] = a * 65521u;
  raw[1] = 0x80000000u, raw[2] = 0x80000001u, raw[3] = 1, raw[4] = 0x7f800000u, raw[5] = 0xff800000u,
  raw[6] = 0x7fc00001u;
  tg_convert(TG_FLOAT32, raw, N / D, D, LD, out);
  for (ptrdiff_t i = 0; i < N / D; i++)
    for (ptrdiff_t t = 0; t < LD; t++)
      wrong += !same(out[i * LD + t], t < D ? value_of_element(TG_FLOAT32, raw[i * D + t]) : 0.0f);
  CU_ASSERT(wrong == 0);
}

/* ---- hidden-state files made with plain HDF5 calls ---- */

/* What is wrong with a file on purpose. */
typedef enum {
  NOTHING,
  REVERSED,
  INTEGERS,
  FOUR_AXES,
  NO_STATES,
  NO_IDS,
  TOO_FEW_IDS,
  LEVEL_TWICE,
  LENGTH_0,
  LENGTH_TOO_LARGE,
  OTHER_FORMAT,
  OTHER_VERSION,
  SHORT_LOSS,
  METRIC_NOT_SQUARE,
  UNEMBEDDING_TOO_WIDE,
  NO_TOKENS,
  N_FAULTS
} fault;

/* One file. Its numbers follow from value_at and the functions below it. */
typedef struct {
  const char *name;
  tg_element element;
  int n_prompts, n_levels, n_layers, n_tokens, width;
  int64_t first_id;
  const int32_t *levels, *lengths; /* lengths NULL: no n_tokens */
  hsize_t chunk[5];                /* chunk[0] = 0: contiguous */
  bool deflate, beside, metric;    /* beside: loss, entropy, token ids */
  int vocabulary, normalized;      /* normalized -1: no attribute */
  const char *model;
  fault fault;
} states_file;

static uint32_t mixed(uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e) {
  uint64_t h = a;
  const uint64_t parts[] = {b, c, d, e};
  for (int k = 0; k < 4; k++) h = (h ^ parts[k] ^ h >> 29) * 0x9e3779b97f4a7c15u + 0x632be59bd9b4e019u;
  h = (h ^ h >> 32) * 0xd6e8feb86659fd93u;
  return (uint32_t)(h >> 32);
}

/* The bit pattern of (prompt id, level label, layer, token, coordinate); everything from denormals to NaN. */
static uint32_t pattern_at(tg_element element, int64_t id, int level, int l, int i, int t) {
  const uint32_t word = mixed((uint64_t)id, (uint64_t)level, (uint64_t)l, (uint64_t)i, (uint64_t)t);
  return element == TG_FLOAT32 ? word : word & 0xffff;
}
static double loss_at(int64_t id, int level) { return 1.0 + (double)id / 64 + level / 1024.0; } /* exact in float32 */
static double entropy_at(int64_t id, int level, int i) { return (double)(id * 8 + level + i) / 16; }
static int32_t token_at(int64_t id, int level, int i) {
  return (int32_t)(mixed((uint64_t)id, (uint64_t)level, 3, (uint64_t)i, 4) >> 1);
}
static double metric_at(int a, int b) { return 1.0 / (1 + a + 2 * b); }
static uint32_t unembedding_at(tg_element element, int v, int t) { return pattern_at(element, 77, 0, 0, v, t); }

static hid_t type_of(tg_element element) {
  const hid_t type = H5Tcopy(H5T_IEEE_F32LE);
  if (element == TG_FLOAT32) return type;
  if (element == TG_BFLOAT16)
    H5Tset_fields(type, 15, 7, 8, 0, 7);
  else
    H5Tset_fields(type, 15, 10, 5, 0, 10);
  H5Tset_size(type, 2);
  H5Tset_ebias(type, element == TG_BFLOAT16 ? 127 : 15);
  return type;
}

static void write_dataset(hid_t file, const char *name, hid_t type, hid_t memory, int rank, const hsize_t *shape,
                          const void *data) {
  const hid_t space = H5Screate_simple(rank, shape, NULL);
  const hid_t dataset = H5Dcreate2(file, name, type, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
  if (data) H5Dwrite(dataset, memory, H5S_ALL, H5S_ALL, H5P_DEFAULT, data);
  H5Dclose(dataset);
  H5Sclose(space);
}

static void write_attribute(hid_t object, const char *name, hid_t type, const void *value) {
  const hid_t space = H5Screate(H5S_SCALAR),
              attribute = H5Acreate2(object, name, type, space, H5P_DEFAULT, H5P_DEFAULT);
  H5Awrite(attribute, type, value);
  H5Aclose(attribute);
  H5Sclose(space);
}

static void write_text(hid_t object, const char *name, const char *text) {
  const hid_t type = H5Tcopy(H5T_C_S1);
  H5Tset_size(type, strlen(text) + 1);
  write_attribute(object, name, type, text);
  H5Tclose(type);
}

static void write_states(hid_t file, const states_file *f) {
  const hsize_t shape[5] = {(hsize_t)f->n_prompts, (hsize_t)f->n_levels, (hsize_t)f->n_layers,
                            f->fault == NO_TOKENS ? 0 : (hsize_t)f->n_tokens, (hsize_t)f->width};
  const size_t size = tg_element_size(f->element),
               count = (size_t)(f->n_prompts * f->n_levels * f->n_layers * f->n_tokens * f->width);
  unsigned char *data = malloc(count * size), *at = data;
  for (int p = 0; p < f->n_prompts; p++)
    for (int s = 0; s < f->n_levels; s++)
      for (int l = 0; l < f->n_layers; l++)
        for (int i = 0; i < f->n_tokens; i++)
          for (int t = 0; t < f->width; t++, at += size) {
            const uint32_t pattern = pattern_at(f->element, f->first_id + p, f->levels[s], l, i, t);
            memcpy(at, &pattern, size); /* little endian */
          }
  hid_t type = type_of(f->element), space = H5Screate_simple(f->fault == FOUR_AXES ? 4 : 5, shape, NULL),
        how = H5Pcreate(H5P_DATASET_CREATE);
  if (f->fault == REVERSED) H5Tset_order(type, H5T_ORDER_BE);
  if (f->fault == INTEGERS) H5Tclose(type), type = H5Tcopy(size == 2 ? H5T_STD_U16LE : H5T_STD_U32LE);
  if (f->chunk[0]) H5Pset_chunk(how, 5, f->chunk);
  if (f->deflate) H5Pset_shuffle(how), H5Pset_deflate(how, 1);
  const hid_t dataset = H5Dcreate2(file, "hidden_states", type, space, H5P_DEFAULT, how, H5P_DEFAULT);
  H5Dwrite(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, data);
  if (f->normalized >= 0) write_attribute(dataset, "last_layer_normalized", H5T_NATIVE_INT, &f->normalized);
  H5Dclose(dataset);
  H5Pclose(how);
  H5Sclose(space);
  H5Tclose(type);
  free(data);
}

static void write_beside(hid_t file, const states_file *f) {
  const int P = f->n_prompts, S = f->n_levels, N = f->n_tokens;
  const hsize_t pairs[3] = {(hsize_t)P, (hsize_t)(f->fault == SHORT_LOSS ? S + 1 : S), (hsize_t)N};
  float *loss = calloc((size_t)(P * (S + 1)), sizeof *loss), *entropy = calloc((size_t)(P * S * N), sizeof *entropy);
  int32_t *tokens = calloc((size_t)(P * S * N), sizeof *tokens);
  for (int p = 0; p < P; p++)
    for (int s = 0; s < S; s++) {
      loss[p * S + s] = (float)loss_at(f->first_id + p, f->levels[s]);
      for (int i = 0; i < N; i++) {
        entropy[(p * S + s) * N + i] = (float)entropy_at(f->first_id + p, f->levels[s], i);
        tokens[(p * S + s) * N + i] = token_at(f->first_id + p, f->levels[s], i);
      }
    }
  write_dataset(file, "loss", H5T_IEEE_F32LE, H5T_NATIVE_FLOAT, 2, pairs, loss);
  if (f->fault != SHORT_LOSS) {
    write_dataset(file, "entropy", H5T_IEEE_F32LE, H5T_NATIVE_FLOAT, 3, pairs, entropy);
    write_dataset(file, "token_ids", H5T_STD_I32LE, H5T_NATIVE_INT32, 3, pairs, tokens);
  }
  free(loss);
  free(entropy);
  free(tokens);
}

static void write_logits(hid_t file, const states_file *f) {
  if (f->metric) {
    const hsize_t shape[2] = {(hsize_t)f->width, (hsize_t)(f->fault == METRIC_NOT_SQUARE ? f->width + 1 : f->width)};
    double *metric = calloc(shape[0] * shape[1], sizeof *metric);
    for (int a = 0; a < f->width * f->width; a++) metric[a] = metric_at(a / f->width, a % f->width);
    write_dataset(file, "logit_metric", H5T_IEEE_F64LE, H5T_NATIVE_DOUBLE, 2, shape, metric);
    free(metric);
  }
  if (f->vocabulary) {
    const int width = f->fault == UNEMBEDDING_TOO_WIDE ? f->width + 1 : f->width;
    const hsize_t shape[2] = {(hsize_t)f->vocabulary, (hsize_t)width};
    const size_t size = tg_element_size(f->element);
    unsigned char *rows = malloc((size_t)(f->vocabulary * width) * size);
    for (int a = 0; a < f->vocabulary * width; a++) {
      const uint32_t pattern = unembedding_at(f->element, a / width, a % width);
      memcpy(rows + (size_t)a * size, &pattern, size);
    }
    const hid_t type = type_of(f->element);
    write_dataset(file, "unembedding", type, type, 2, shape, rows);
    H5Tclose(type);
    free(rows);
  }
}

static void path_of(const char *name, char path[256]) { snprintf(path, 256, "%s/%s", directory, name); }

static void make_file(const states_file *f) {
  char path[256];
  path_of(f->name, path);
  const hid_t file = H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
  const hsize_t prompts = (hsize_t)(f->n_prompts - (f->fault == TOO_FEW_IDS)), levels = (hsize_t)f->n_levels;
  const int version = f->fault == OTHER_VERSION ? 2 : 1;
  int64_t ids[64];
  int32_t labels[8], lengths[64];
  for (int p = 0; p < f->n_prompts; p++) ids[p] = f->first_id + p;
  for (int p = 0; p < f->n_prompts && f->lengths; p++) lengths[p] = f->lengths[p];
  for (int s = 0; s < f->n_levels; s++) labels[s] = f->levels[f->fault == LEVEL_TWICE ? 0 : s];
  if (f->fault == LENGTH_0) lengths[1] = 0;
  if (f->fault == LENGTH_TOO_LARGE) lengths[1] = f->n_tokens + 1;
  write_text(file, "format", f->fault == OTHER_FORMAT ? "tokengeom-results" : "tokengeom-hidden-states");
  write_attribute(file, "format_version", H5T_NATIVE_INT, &version);
  if (f->model) write_text(file, "model", f->model);
  if (f->fault != NO_STATES) write_states(file, f);
  if (f->fault != NO_IDS) write_dataset(file, "prompt_ids", H5T_STD_I64LE, H5T_NATIVE_INT64, 1, &prompts, ids);
  write_dataset(file, "shuffle_levels", H5T_STD_I32LE, H5T_NATIVE_INT32, 1, &levels, labels);
  if (f->lengths) write_dataset(file, "n_tokens", H5T_STD_I32LE, H5T_NATIVE_INT32, 1, &prompts, lengths);
  if (f->beside) write_beside(file, f);
  write_logits(file, f);
  H5Fclose(file);
}

/* A config of one model with these files. The texts are static. */
static tg_config config_of(const char *const *names, int n_files) {
  static char paths[4][256];
  static char *files[4];
  static tg_model_config model;
  for (int a = 0; a < n_files; a++) path_of(names[a], paths[a]), files[a] = paths[a];
  model = (tg_model_config){.source = {.kind = TG_SOURCE_HDF5, .files = files, .n_files = n_files}};
  return (tg_config){.path = (char *)(uintptr_t) "study.yaml",
                     .models = &model,
                     .n_models = 1,
                     .all_prompts = true,
                     .all_levels = true};
}

/* A view's number, -0 as +0. */
static float at(const tg_cloud *c, ptrdiff_t i, int t) {
  if (c->x) return c->x[i * c->ld + t] + 0.0f;
  const uint32_t bits = (uint32_t)c->half[i * c->ld + t] << 16;
  float x;
  memcpy(&x, &bits, sizeof x);
  return x + 0.0f;
}

/* Whether a cloud is what a file's numbers say. */
static bool cloud_is(const tg_cloud *c, tg_element element, int64_t id, int level, int l) {
  for (int i = 0; i < c->n; i++)
    for (int t = 0; t < c->ld; t++)
      if (!same(at(c, i, t), t < c->d ? value_of_element(element, pattern_at(element, id, level, l, i, t)) : 0.0f))
        return false;
  return true;
}

/* A reader's memory, made by hand. */
typedef struct {
  void *raw;
  float *x;
} room;

static room make_room(const tg_source_info *info) {
  const size_t count = (size_t)info->n_tokens * (size_t)tg_cloud_stride(info->width);
  return (room){aligned_alloc(64, (info->cloud_bytes + 63) / 64 * 64), aligned_alloc(64, count * sizeof(float))};
}
static void free_room(room *r) {
  free(r->raw);
  free(r->x);
}

static tg_status read_directly(tg_source *source, int64_t p, int s, int l, room *r, tg_cloud *c) {
  memset(r->raw, GARBAGE, tg_source_describe(source)->cloud_bytes);
  TG_TRY(tg_source_read(source, p, s, l, r->raw));
  tg_source_view(source, p, r->raw, r->x, c);
  return TG_OK;
}

/* Whether all clouds of a source are right, read from the last to the first so that files and chunks change often. */
static bool all_clouds_are(tg_source *source, tg_element first_element, tg_element other_element,
                           int64_t other_from_id) {
  const tg_source_info *info = tg_source_describe(source);
  room r = make_room(info);
  bool good = true;
  tg_cloud c;
  for (int l = info->n_layers - 1; l >= 0; l--)
    for (int s = info->n_levels - 1; s >= 0; s--)
      for (int64_t p = info->n_prompts - 1; p >= 0; p--) {
        const int64_t id = info->prompt_ids[p];
        good = good && read_directly(source, p, s, l, &r, &c) == TG_OK && c.n == info->n_tokens_of[p] &&
               c.d == info->width && c.ld == tg_cloud_width(c.d) && !c.x != !c.half &&
               cloud_is(&c, id >= other_from_id ? other_element : first_element, id, info->levels[s], l);
      }
  free_room(&r);
  return good;
}

static const int32_t labels[] = {0, 5, 2}, lengths[] = {9, 1, 4, 8, 9};
static const states_file plain = {.name = "plain.h5",
                                  .element = TG_BFLOAT16,
                                  .n_prompts = 5,
                                  .n_levels = 3,
                                  .n_layers = 4,
                                  .n_tokens = 9,
                                  .width = 37,
                                  .first_id = 100,
                                  .levels = labels,
                                  .lengths = lengths,
                                  .beside = true,
                                  .metric = true,
                                  .normalized = 1,
                                  .model = "tiny-1.0"};

/* Oracle: the numbers that were written. Layouts: contiguous; one cloud a chunk; pieces of clouds; several clouds and whole
 * stacks a chunk; a chunk larger than the data set. */
static void clouds_are_read_from_any_layout(void) {
  static const hsize_t chunks[][5] = {{0},
                                      {1, 1, 1, 9, 37},
                                      {1, 1, 1, 4, 16},
                                      {1, 1, 4, 9, 37},
                                      {2, 3, 4, 9, 37},
                                      {5, 3, 4, 9, 37},
                                      {3, 2, 3, 5, 7},
                                      {1, 1, 1, 1, 1}};
  for (size_t a = 0; a < sizeof chunks / sizeof *chunks; a++)
    for (int deflate = 0; deflate <= (a > 0); deflate++)
      for (tg_element element = TG_BFLOAT16; element <= TG_FLOAT32; element++) {
        states_file f = plain;
        f.element = element;
        f.deflate = deflate;
        memcpy(f.chunk, chunks[a], sizeof f.chunk);
        make_file(&f);
        const tg_config config = config_of(&f.name, 1);
        tg_source *source = NULL;
        CU_ASSERT(tg_source_create(&config, 0, NULL, &source) == TG_OK);
        if (source) CU_ASSERT(all_clouds_are(source, element, element, 0));
        tg_source_destroy(&source);
        CU_ASSERT(source == NULL);
      }
}

/* Oracle: what was written. */
static void a_file_is_described(void) {
  make_file(&plain);
  const tg_config config = config_of(&plain.name, 1);
  tg_source *source = NULL;
  CU_ASSERT(tg_source_create(&config, 0, NULL, &source) == TG_OK);
  if (!source) return;
  const tg_source_info *info = tg_source_describe(source);
  CU_ASSERT(strcmp(info->model, "tiny-1.0") == 0);
  CU_ASSERT(info->n_prompts == 5 && info->n_levels == 3 && info->n_layers == 4 && info->n_tokens == 9 &&
            info->width == 37);
  for (int p = 0; p < 5; p++) CU_ASSERT(info->prompt_ids[p] == 100 + p && info->n_tokens_of[p] == lengths[p]);
  for (int s = 0; s < 3; s++) CU_ASSERT(info->levels[s] == labels[s]);
  CU_ASSERT(info->last_layer_normalized == 1);
  CU_ASSERT(info->has_loss && info->has_entropy && info->has_token_ids && info->has_metric && info->vocabulary == 0);
  CU_ASSERT(info->cloud_bytes == 9 * 37 * 2 && info->read_ahead);
  char path[256];
  path_of("plain.h5", path);
  CU_ASSERT(strstr(tg_source_identity(source), path) != NULL);
  tg_source_destroy(&source);
}

/* Oracle: what was written; NaN and -1 where a file has nothing. float32 numbers and their means are exact here. */
static void scalars_come_with_the_clouds(void) {
  states_file bare = plain;
  bare.name = "bare.h5", bare.beside = false, bare.first_id = 900;
  make_file(&plain);
  make_file(&bare);
  const char *const names[] = {"plain.h5", "bare.h5"};
  const tg_config config = config_of(names, 2);
  tg_source *source = NULL;
  CU_ASSERT(tg_source_create(&config, 0, NULL, &source) == TG_OK);
  for (int p = 0; source && p < 10; p++)
    for (int s = 0; s < 3; s++) {
      const int64_t id = tg_source_describe(source)->prompt_ids[p];
      double mean = 0.0;
      int32_t tokens[9] = {GARBAGE};
      float steps[8] = {GARBAGE}, entropies[9] = {GARBAGE};
      bool good = true;
      tg_source_scalars got = {GARBAGE, GARBAGE, tokens, steps, entropies};
      CU_ASSERT(tg_source_read_scalars(source, p, s, &got) == TG_OK);
      for (int i = 0; i < 9; i++)
        good = good && tokens[i] == (p < 5 && i < lengths[p] ? token_at(id, labels[s], i) : -1);
      for (int i = 0; i < 9; i++)
        good = good &&
               (p < 5 && i < lengths[p] ? entropies[i] == (float)entropy_at(id, labels[s], i) : isnan(entropies[i]));
      for (int i = 0; i < 8; i++) good = good && isnan(steps[i]); /* no file has token_loss */
      for (int i = 0; i < lengths[p % 5]; i++) mean += entropy_at(id, labels[s], i) / lengths[p % 5];
      CU_ASSERT(good);
      CU_ASSERT(p < 5 ? got.loss == loss_at(id, labels[s]) : isnan(got.loss));
      CU_ASSERT(p < 5 ? fabs(got.entropy - mean) <= 1e-12 * mean : isnan(got.entropy));
    }
  tg_source_destroy(&source);
}

/* Oracle: what was written. The second file has another element type, fewer prompts, and a shorter token axis. */
static void files_are_joined_in_the_order_listed(void) {
  states_file second = plain;
  second.name = "second.h5", second.element = TG_FLOAT32, second.n_prompts = 2, second.n_tokens = 6,
  second.lengths = NULL;
  second.first_id = 200;
  memcpy(second.chunk, (const hsize_t[]){1, 1, 1, 6, 37}, sizeof second.chunk);
  make_file(&plain);
  make_file(&second);
  for (int turned = 0; turned < 2; turned++) {
    const char *const names[] = {turned ? "second.h5" : "plain.h5", turned ? "plain.h5" : "second.h5"};
    const tg_config config = config_of(names, 2);
    tg_source *source = NULL;
    CU_ASSERT(tg_source_create(&config, 0, NULL, &source) == TG_OK);
    if (!source) continue;
    const tg_source_info *info = tg_source_describe(source);
    static const int64_t ids[2][7] = {{100, 101, 102, 103, 104, 200, 201}, {200, 201, 100, 101, 102, 103, 104}};
    CU_ASSERT(info->n_prompts == 7 && info->n_tokens == 9 && info->cloud_bytes == 6 * 37 * 4);
    for (int p = 0; p < 7; p++) CU_ASSERT(info->prompt_ids[p] == ids[turned][p]);
    CU_ASSERT(info->n_tokens_of[turned ? 0 : 5] == 6);
    CU_ASSERT(all_clouds_are(source, TG_BFLOAT16, TG_FLOAT32, 200));
    tg_source_destroy(&source);
  }
}

/* Oracle: the whole source. Selected prompts and levels keep the files' order. */
static void prompts_and_levels_are_selected(void) {
  int64_t ids[] = {101, 104};
  int32_t levels[] = {2, 5};
  make_file(&plain);
  tg_config config = config_of(&plain.name, 1);
  config.all_prompts = config.all_levels = false;
  config.prompt_ids = ids, config.n_prompt_ids = 2, config.levels = levels, config.n_levels = 2;
  tg_source *source = NULL;
  CU_ASSERT(tg_source_create(&config, 0, NULL, &source) == TG_OK);
  if (source) {
    const tg_source_info *info = tg_source_describe(source);
    CU_ASSERT(info->n_prompts == 2 && info->prompt_ids[0] == 101 && info->prompt_ids[1] == 104);
    CU_ASSERT(info->n_tokens_of[0] == 1 && info->n_tokens_of[1] == 9 && info->n_tokens == 9);
    CU_ASSERT(info->n_levels == 2 && info->levels[0] == 5 && info->levels[1] == 2);
    CU_ASSERT(all_clouds_are(source, TG_BFLOAT16, TG_BFLOAT16, 0));
    int32_t tokens[9];
    tg_source_scalars got = {.token_ids = tokens};
    CU_ASSERT(tg_source_read_scalars(source, 1, 0, &got) == TG_OK && got.loss == loss_at(104, 5));
  }
  tg_source_destroy(&source);
  ids[1] = 105; /* is not there */
  CU_ASSERT(tg_source_create(&config, 0, NULL, &source) == TG_ECONFIG && source == NULL &&
            strstr(tg_last_error(), "105"));
  ids[1] = 104, levels[0] = 3;
  CU_ASSERT(tg_source_create(&config, 0, NULL, &source) == TG_ECONFIG && source == NULL &&
            strstr(tg_last_error(), "level 3"));
}

/* Oracle: what was written. */
static void logit_matrices_are_read(void) {
  tg_source *source = NULL;
  double metric[37 * 37];
  float rows[11 * 37];
  make_file(&plain);
  tg_config config = config_of(&plain.name, 1);
  CU_ASSERT(tg_source_create(&config, 0, NULL, &source) == TG_OK);
  if (source) {
    bool good = tg_source_read_metric(source, metric) == TG_OK;
    for (int a = 0; a < 37 * 37; a++) good = good && metric[a] == metric_at(a / 37, a % 37);
    CU_ASSERT(good);
    CU_ASSERT(tg_source_check_metrics(source) == TG_OK);
  }
  tg_source_destroy(&source);
  for (tg_element element = TG_BFLOAT16; element <= TG_FLOAT32; element++) {
    states_file f = plain;
    f.metric = false, f.vocabulary = 11, f.element = element;
    make_file(&f);
    CU_ASSERT(tg_source_create(&config, 0, NULL, &source) == TG_OK);
    if (!source) continue;
    CU_ASSERT(tg_source_describe(source)->vocabulary == 11 && !tg_source_describe(source)->has_metric);
    for (int first = 0; first < 11; first += 4) {
      const int count = first + 4 < 11 ? 4 : 11 - first;
      bool good = tg_source_read_unembedding(source, first, count, rows) == TG_OK;
      for (int a = 0; a < count * 37; a++)
        good = good && same(rows[a], value_of_element(element, unembedding_at(element, first + a / 37, a % 37)));
      CU_ASSERT(good);
    }
    tg_source_destroy(&source);
  }
}

/* Oracle: the code, and a word of the message, for each thing that is wrong. No source is left. */
static void wrong_files_are_refused(void) {
  static const struct {
    fault fault;
    const char *word;
  } wrong[] = {{REVERSED, "is big-endian"},   {INTEGERS, "is uint16"},    {FOUR_AXES, "4 axes"},
               {NO_STATES, "hidden_states"},  {NO_IDS, "prompt_ids"},     {TOO_FEW_IDS, "prompt_ids"},
               {LEVEL_TWICE, "twice"},        {LENGTH_0, "n_tokens[1]"},  {LENGTH_TOO_LARGE, "n_tokens[1] is 10"},
               {OTHER_FORMAT, "format"},      {OTHER_VERSION, "version"}, {SHORT_LOSS, "loss"},
               {METRIC_NOT_SQUARE, "metric"}, {NO_TOKENS, "0 tokens"},    {UNEMBEDDING_TOO_WIDE, "unembedding"}};
  for (size_t a = 0; a < sizeof wrong / sizeof *wrong; a++) {
    states_file f = plain;
    tg_source *source = NULL;
    f.name = "wrong.h5", f.fault = wrong[a].fault, f.vocabulary = 3;
    make_file(&f);
    const tg_config config = config_of(&f.name, 1);
    const bool good = tg_source_create(&config, 0, NULL, &source) == TG_EDATA && !source &&
                      strstr(tg_last_error(), wrong[a].word) && strstr(tg_last_error(), "wrong.h5");
    if (!good) printf("\n    fault %d: %s ", (int)wrong[a].fault, tg_last_error());
    CU_ASSERT(good);
    tg_source_destroy(&source);
  }
}

static tg_status open_pair(const states_file *second) {
  const char *const names[] = {"plain.h5", second->name};
  const tg_config config = config_of(names, 2);
  tg_source *source = NULL;
  make_file(second);
  const tg_status st = tg_source_create(&config, 0, NULL, &source);
  CU_ASSERT((source != NULL) == (st == TG_OK));
  tg_source_destroy(&source);
  return st;
}

/* Oracle: a file that fits, changed in one thing at a time. */
static void files_that_do_not_fit_are_refused(void) {
  static const int32_t others[] = {0, 5, 3};
  states_file fits = plain;
  fits.name = "other.h5", fits.first_id = 105;
  make_file(&plain);
  CU_ASSERT(open_pair(&fits) == TG_OK);
  states_file f = fits;
  f.first_id = 104;
  CU_ASSERT(open_pair(&f) == TG_EDATA && strstr(tg_last_error(), "prompt id 104 occurs twice"));
  f = fits, f.width = 36;
  CU_ASSERT(open_pair(&f) == TG_EDATA && strstr(tg_last_error(), "the width is 36, but 37"));
  f = fits, f.n_layers = 5;
  CU_ASSERT(open_pair(&f) == TG_EDATA && strstr(tg_last_error(), "layers"));
  f = fits, f.n_levels = 2;
  CU_ASSERT(open_pair(&f) == TG_EDATA && strstr(tg_last_error(), "levels"));
  f = fits, f.levels = others;
  CU_ASSERT(open_pair(&f) == TG_EDATA && strstr(tg_last_error(), "shuffle_levels[2] is 3, but 2"));
  f = fits, f.normalized = 0;
  CU_ASSERT(open_pair(&f) == TG_EDATA && strstr(tg_last_error(), "last_layer_normalized"));
  f = fits, f.metric = false;
  CU_ASSERT(open_pair(&f) == TG_EDATA && strstr(tg_last_error(), "logit_metric"));
}

/* Oracle: the metric of one file changed in its last bit. */
static void metrics_are_compared(void) {
  states_file second = plain;
  second.name = "other.h5", second.first_id = 105;
  make_file(&plain);
  make_file(&second);
  char path[256];
  path_of(second.name, path);
  for (int changed = 0; changed < 2; changed++) {
    if (changed) {
      const double value = nextafter(metric_at(36, 36), 2.0);
      const hid_t file = H5Fopen(path, H5F_ACC_RDWR, H5P_DEFAULT),
                  dataset = H5Dopen2(file, "logit_metric", H5P_DEFAULT);
      const hid_t space = H5Dget_space(dataset), memory = H5Screate(H5S_SCALAR);
      H5Sselect_elements(space, H5S_SELECT_SET, 1, (const hsize_t[]){36, 36});
      H5Dwrite(dataset, H5T_NATIVE_DOUBLE, memory, space, H5P_DEFAULT, &value);
      H5Sclose(memory);
      H5Sclose(space);
      H5Dclose(dataset);
      H5Fclose(file);
    }
    const char *const names[] = {"plain.h5", "other.h5"};
    const tg_config config = config_of(names, 2);
    tg_source *source = NULL;
    CU_ASSERT(tg_source_create(&config, 0, NULL, &source) == TG_OK);
    if (source) CU_ASSERT(tg_source_check_metrics(source) == (changed ? TG_EDATA : TG_OK));
    tg_source_destroy(&source);
  }
}

/* Oracle: the name that is expected. A model without a usable name needs one from the config. */
static void a_model_has_a_name(void) {
  static const char *const names[] = {NULL, "", "no/slash", "no space"};
  states_file f = plain;
  tg_source *source = NULL;
  f.name = "named.h5";
  tg_config config = config_of(&f.name, 1);
  for (int a = 0; a < 4; a++) {
    f.model = names[a];
    make_file(&f);
    config.models[0].name = NULL;
    CU_ASSERT(tg_source_create(&config, 0, NULL, &source) == TG_ECONFIG && strstr(tg_last_error(), "models[0].name"));
    config.models[0].name = (char *)(uintptr_t) "mine";
    CU_ASSERT(tg_source_create(&config, 0, NULL, &source) == TG_OK);
    if (source) CU_ASSERT(strcmp(tg_source_describe(source)->model, "mine") == 0);
    tg_source_destroy(&source);
  }
}

/* Oracle: what the files are. */
static void what_is_no_hdf5_file_is_refused(void) {
  static const struct {
    const char *name, *text;
    tg_status code;
  } files[] = {{"absent.h5", NULL, TG_ENOINPUT}, {"empty.h5", "", TG_EDATA}, {"text.h5", "hidden states", TG_EDATA}};
  for (int a = 0; a < 3; a++) {
    char path[256];
    path_of(files[a].name, path);
    FILE *file = files[a].text ? fopen(path, "w") : NULL;
    if (file) fputs(files[a].text, file), fclose(file);
    const tg_config config = config_of(&files[a].name, 1);
    tg_source *source = NULL;
    CU_ASSERT(tg_source_create(&config, 0, NULL, &source) == files[a].code && !source && strstr(tg_last_error(), path));
  }
  make_file(&plain);
  char path[256];
  path_of(plain.name, path);
  CU_ASSERT(truncate(path, 4000) == 0);
  const tg_config config = config_of(&plain.name, 1);
  tg_source *source = NULL;
  CU_ASSERT(tg_source_create(&config, 0, NULL, &source) == TG_EDATA && !source);
}

/* ---- reading ahead ---- */

static void count_call(void *calls) { ++*(int *)calls; }

static bool equal_clouds(const tg_cloud *a, const tg_cloud *b) {
  bool equal = a->n == b->n && a->d == b->d && a->ld == b->ld;
  for (ptrdiff_t i = 0; equal && i < a->n; i++)
    for (int t = 0; t < a->ld; t++) equal = equal && same(at(a, i, t), at(b, i, t));
  return equal;
}

/* Oracle: direct reads by another source of the same files, byte for byte; also when a read is settled before it is waited
 * for. */
static void the_reader_gives_what_direct_reads_give(void) {
  states_file f = plain;
  memcpy(f.chunk, (const hsize_t[]){1, 1, 2, 9, 37}, sizeof f.chunk);
  f.deflate = true;
  make_file(&f);
  const tg_config config = config_of(&f.name, 1);
  tg_source *source = NULL, *other = NULL;
  tg_reader *reader = NULL;
  CU_ASSERT(tg_source_create(&config, 0, NULL, &source) == TG_OK &&
            tg_source_create(&config, 0, NULL, &other) == TG_OK);
  if (!source || !other) return;
  const tg_source_info *info = tg_source_describe(source);
  CU_ASSERT(tg_reader_create(source, &reader) == TG_OK);
  room r = make_room(info);
  int64_t bytes = 0;
  bool good = true;
  for (int a = 0; a < 5 * 3 * 4; a++) {
    const int p = a * 7 % 5, s = a * 2 % 3, l = a / 5 % 4;
    tg_cloud ahead, direct;
    tg_reader_start(reader, p, s, l);
    if (a % 2) tg_reader_settle(reader, (tg_tick){NULL, NULL});
    good = good && tg_reader_wait(reader, (tg_tick){NULL, NULL}, &ahead) == TG_OK;
    good = good && read_directly(other, p, s, l, &r, &direct) == TG_OK && equal_clouds(&ahead, &direct);
    bytes += lengths[p] * 37 * 2;
  }
  CU_ASSERT(good);
  CU_ASSERT(tg_reader_report(reader).bytes == bytes);
  tg_reader_start(reader, 0, 0, 0);
  tg_reader_destroy(&reader); /* waits for the read under way */
  CU_ASSERT(reader == NULL);
  tg_reader_destroy(&reader);
  free_room(&r);
  tg_source_destroy(&source);
  tg_source_destroy(&other);
}

/* Puts garbage over the stored chunk of one cloud. */
static void spoil(const char *name, const hsize_t offset[5]) {
  char path[256];
  unsigned char garbage[64];
  haddr_t address = HADDR_UNDEF;
  hsize_t size = 0;
  unsigned mask;
  path_of(name, path);
  const hid_t file = H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT), dataset = H5Dopen2(file, "hidden_states", H5P_DEFAULT);
  H5Dget_chunk_info_by_coord(dataset, offset, &mask, &address, &size);
  H5Dclose(dataset);
  H5Fclose(file);
  memset(garbage, 0xa5, sizeof garbage);
  const int descriptor = open(path, O_WRONLY);
  CU_ASSERT(size >= sizeof garbage && pwrite(descriptor, garbage, sizeof garbage, (off_t)address) == sizeof garbage);
  close(descriptor);
}

/* Oracle: a direct read's code and message. The thread's message arrives, and the reader goes on with the next cloud. */
static void the_reader_reports_a_failing_read(void) {
  states_file f = plain;
  memcpy(f.chunk, (const hsize_t[]){1, 1, 1, 9, 37}, sizeof f.chunk);
  f.deflate = true, f.name = "spoilt.h5";
  make_file(&f);
  spoil(f.name, (const hsize_t[]){2, 1, 3, 0, 0});
  const tg_config config = config_of(&f.name, 1);
  tg_source *source = NULL;
  tg_reader *reader = NULL;
  tg_cloud c;
  char message[1024];
  CU_ASSERT(tg_source_create(&config, 0, NULL, &source) == TG_OK);
  if (!source) return;
  CU_ASSERT(tg_reader_create(source, &reader) == TG_OK);
  room r = make_room(tg_source_describe(source));
  CU_ASSERT(tg_source_read(source, 2, 1, 3, r.raw) == TG_EDATA);
  snprintf(message, sizeof message, "%s", tg_last_error());
  CU_ASSERT(strstr(message, "spoilt.h5: hidden_states[2, 1, 3] cannot be read (") != NULL);
  for (int a = 0; a < 3; a++) {
    tg_fail(TG_EIO, TG_HERE, "something older");
    tg_reader_start(reader, 2, 1, 3);
    CU_ASSERT(tg_reader_wait(reader, (tg_tick){NULL, NULL}, &c) == TG_EDATA);
    CU_ASSERT(strcmp(tg_last_error(), message) == 0);
    tg_reader_start(reader, 2, 1, 2);
    CU_ASSERT(tg_reader_wait(reader, (tg_tick){NULL, NULL}, &c) == TG_OK && cloud_is(&c, TG_BFLOAT16, 102, 5, 2));
  }
  free_room(&r);
  tg_reader_destroy(&reader);
  tg_source_destroy(&source);
}

/* ---- synthetic clouds ---- */

static tg_model_config synthetic_model = {.source = {.kind = TG_SOURCE_SYNTHETIC,
                                                     .prompts = 4,
                                                     .shuffles = 2,
                                                     .layers = 3,
                                                     .tokens = 40,
                                                     .width = 96,
                                                     .dimension = 5,
                                                     .spread = 2,
                                                     .seed = 1,
                                                     .slow_prompt = -1}};

static tg_source *synthetic_of(const tg_model_config *model) {
  tg_model_config copy = *model;
  const tg_config config = {.path = (char *)(uintptr_t) "study.yaml",
                            .models = &copy,
                            .n_models = 1,
                            .all_prompts = true,
                            .all_levels = true};
  tg_source *source = NULL;
  CU_ASSERT(tg_source_create(&config, 0, NULL, &source) == TG_OK);
  return source;
}

/* Oracle: the clock and counting. A slow read is waited for with a call every two milliseconds. */
static void waiting_for_a_slow_read_calls_back(void) {
  tg_model_config model = synthetic_model;
  model.source.slow_prompt = 1, model.source.slow_seconds = 0.2;
  tg_source *source = synthetic_of(&model);
  tg_reader *reader = NULL;
  tg_cloud c;
  int calls = 0;
  CU_ASSERT(tg_source_describe(source)->read_ahead);
  CU_ASSERT(tg_reader_create(source, &reader) == TG_OK);
  double start = tg_seconds();
  tg_reader_start(reader, 1, 0, 0);
  CU_ASSERT(tg_seconds() - start < 0.15); /* does not wait */
  CU_ASSERT(tg_reader_wait(reader, (tg_tick){count_call, &calls}, &c) == TG_OK);
  CU_ASSERT(tg_seconds() - start >= 0.199);
  CU_ASSERT(calls >= 5);
  CU_ASSERT(tg_reader_report(reader).waited >= 0.04 && tg_reader_report(reader).reading >= 0.199);
  start = tg_seconds();
  tg_reader_start(reader, 1, 0, 1); /* only layer 0 is slow */
  CU_ASSERT(tg_reader_wait(reader, (tg_tick){NULL, NULL}, &c) == TG_OK && tg_seconds() - start < 0.19);
  tg_reader_destroy(&reader);
  tg_source_destroy(&source);
}

/* Oracle: another source, asked in another order, with other numbers of prompts, levels, layers and tokens, wider, and
 * through a reader without a thread: what both have is equal to the bit. */
static void a_cloud_does_not_depend_on_who_asks(void) {
  tg_model_config larger = synthetic_model;
  larger.source.prompts = 9, larger.source.shuffles = 4, larger.source.layers = 7, larger.source.tokens = 51,
  larger.source.width = 160;
  tg_source *one = synthetic_of(&synthetic_model), *two = synthetic_of(&larger);
  tg_reader *reader = NULL;
  CU_ASSERT(!tg_source_describe(one)->read_ahead);
  CU_ASSERT(tg_reader_create(one, &reader) == TG_OK);
  room r = make_room(tg_source_describe(two));
  bool equal = true;
  for (int a = 4 * 2 * 3 - 1; a >= 0; a--) {
    const int p = a % 4, s = a / 4 % 2, l = a / 8;
    tg_cloud x, y;
    CU_ASSERT(read_directly(two, (p + 3) % 9, 3 - s, 6 - l, &r, &y) == TG_OK); /* some other one before */
    CU_ASSERT(read_directly(two, p, s, l, &r, &y) == TG_OK);
    tg_reader_start(reader, p, s, l);
    CU_ASSERT(tg_reader_wait(reader, (tg_tick){NULL, NULL}, &x) == TG_OK);
    CU_ASSERT(x.n == 40 && x.d == 96 && y.n == 51 && y.d == 160);
    for (int i = 0; i < 40; i++) equal = equal && memcmp(x.x + i * x.ld, y.x + i * y.ld, 96 * sizeof *x.x) == 0;
  }
  CU_ASSERT(equal);
  free_room(&r);
  tg_reader_destroy(&reader);
  tg_source_destroy(&one);
  tg_source_destroy(&two);
}

/* Oracle: they are independent, so no token is the same in two clouds that differ in seed, prompt, level or layer. */
static void clouds_differ_where_anything_differs(void) {
  tg_model_config other = synthetic_model;
  other.source.seed = 2;
  tg_source *one = synthetic_of(&synthetic_model), *two = synthetic_of(&other);
  room r = make_room(tg_source_describe(one)), q = make_room(tg_source_describe(two));
  static const int places[][3] = {{0, 0, 0}, {1, 0, 0}, {0, 1, 0}, {0, 0, 1}};
  for (int a = 0; a < 4; a++) {
    tg_cloud x, y;
    int equal = 0;
    CU_ASSERT(read_directly(one, 0, 0, 0, &r, &x) == TG_OK);
    CU_ASSERT(read_directly(a == 0 ? two : one, places[a][0], places[a][1], places[a][2], &q, &y) == TG_OK);
    for (int i = 0; i < x.n; i++) equal += memcmp(x.x + i * x.ld, y.x + i * y.ld, (size_t)x.d * sizeof *x.x) == 0;
    CU_ASSERT(equal == 0);
  }
  free_room(&r);
  free_room(&q);
  tg_source_destroy(&one);
  tg_source_destroy(&two);
}

/* Rank of a cloud about the origin: elimination with full pivoting, in float64. */
static int rank_of(const tg_cloud *c) {
  double *a = calloc((size_t)(c->n * c->d), sizeof *a), largest = 1.0;
  int rank = 0;
  for (int i = 0; i < c->n; i++)
    for (int t = 0; t < c->d; t++) a[i * c->d + t] = c->x[i * c->ld + t];
  for (; rank < c->n && rank < c->d; rank++) {
    int row = 0, column = 0;
    for (int i = 0; i < c->n; i++)
      for (int t = 0; t < c->d; t++)
        if (fabs(a[i * c->d + t]) > fabs(a[row * c->d + column])) row = i, column = t;
    const double pivot = a[row * c->d + column];
    if (rank == 0) largest = fabs(pivot);
    if (fabs(pivot) <= 1e-4 * largest) break;
    for (int i = 0; i < c->n; i++) {
      const double factor = a[i * c->d + column] / pivot;
      for (int t = 0; t < c->d && i != row; t++) a[i * c->d + t] -= factor * a[row * c->d + t];
    }
    for (int t = 0; t < c->d; t++) a[row * c->d + t] = 0.0;
  }
  free(a);
  return rank;
}

/* Oracle: Gauss. The cloud of prompt id spans dimension + (id mod (2 spread + 1)) - spread directions, odd and even. (float32
 * leaves about 1e-6 of the largest number where there is nothing more.) */
static void the_rank_of_a_cloud_is_its_dimension(void) {
  tg_model_config model = synthetic_model;
  model.source.prompts = 11, model.source.dimension = 6, model.source.spread = 3;
  tg_source *source = synthetic_of(&model);
  room r = make_room(tg_source_describe(source));
  for (int p = 0; p < 11; p++)
    for (int l = 0; l < 3; l++) {
      tg_cloud c;
      CU_ASSERT(read_directly(source, p, 1, l, &r, &c) == TG_OK);
      CU_ASSERT(rank_of(&c) == 6 + p % 7 - 3);
    }
  free_room(&r);
  tg_source_destroy(&source);
}

/* Oracle: the cube. In one dimension x = +-u at every coordinate; in two x = +-u +-v, so that the largest coordinate is
 * u + v and the smallest magnitude |u - v| (96 random pairs of signs hold all four). u is uniform in [0, 1]: mean 1/2 and
 * variance 1/12 within 6 deviations of N independent tokens. A layer moves u by 0.025 at most, some of them by nearly that.
 * Bound 1e-6: the sum of two float32 numbers. */
static void latent_points_fill_the_cube(void) {
  enum { N = 4000 };
  static float before[N];
  for (int dimension = 1; dimension <= 2; dimension++) {
    tg_model_config model = synthetic_model;
    model.source.tokens = N, model.source.dimension = dimension, model.source.spread = 0;
    tg_source *source = synthetic_of(&model);
    room r = make_room(tg_source_describe(source));
    for (int l = 0; l < 3; l++) {
      tg_cloud c;
      double sum = 0.0, squares = 0.0, jump = 0.0, low = 1.0, high = 0.0;
      CU_ASSERT(read_directly(source, 2, 1, l, &r, &c) == TG_OK);
      for (int i = 0; i < N; i++) {
        double most = 0.0, least = 2.0;
        for (int t = 0; t < c.d; t++)
          most = fmax(most, fabs(c.x[i * c.ld + t])), least = fmin(least, fabs(c.x[i * c.ld + t]));
        const double u = dimension == 1 ? most : (most + least) / 2, v = dimension == 1 ? least : (most - least) / 2;
        low = fmin(low, fmin(u, v)), high = fmax(high, fmax(u, v));
        sum += (u + v) / 2, squares += (u - 0.5) * (u - 0.5) / 2 + (v - 0.5) * (v - 0.5) / 2;
        if (dimension == 1 && l > 0) jump = fmax(jump, fabs(u - before[i]));
        before[i] = (float)u;
      }
      CU_ASSERT(low >= -1e-6 && low < 0.01 && high <= 1.0 + 1e-6 && high > 0.99);
      CU_ASSERT(fabs(sum / N - 0.5) <= 6.0 * sqrt(1.0 / 12 / N));
      CU_ASSERT(fabs(squares / N - 1.0 / 12) <= 6.0 * sqrt(1.0 / 180 / N)); /* the variance of (u - 1/2)^2 is 1/180 */
      if (dimension == 1 && l > 0) CU_ASSERT(jump <= 0.025 + 1e-6 && jump > 0.015);
    }
    free_room(&r);
    tg_source_destroy(&source);
  }
}

/* Oracle: the formula in synthetic.c, 1 + 0.1 dimension + 0.05 level + 0.02 z. Each z within 6 (5e-6 of all runs would have one
 * beyond), their mean within 6 / sqrt(n) of 0, their variance within 6 sqrt(2 / n) of 1. */
static void the_loss_follows_the_dimension(void) {
  enum { P = 2000, S = 3 };
  tg_model_config model = synthetic_model;
  model.source.prompts = P, model.source.shuffles = S, model.source.tokens = 4, model.source.width = 8;
  tg_source *source = synthetic_of(&model);
  double sum = 0.0, squares = 0.0, most = 0.0;
  bool nothing_else = true;
  for (int p = 0; p < P; p++)
    for (int s = 0; s < S; s++) {
      int32_t tokens[4];
      tg_source_scalars got = {.token_ids = tokens};
      CU_ASSERT(tg_source_read_scalars(source, p, s, &got) == TG_OK);
      const double z = (got.loss - (1.0 + 0.1 * (5 + p % 5 - 2) + 0.05 * s)) / 0.02;
      sum += z, squares += z * z, most = fmax(most, fabs(z));
      nothing_else = nothing_else && isnan(got.entropy) && tokens[0] == -1 && tokens[3] == -1;
    }
  CU_ASSERT(most <= 6.0 && most > 3.0);
  CU_ASSERT(fabs(sum / (P * S)) <= 6.0 / sqrt(P * S));
  CU_ASSERT(fabs(squares / (P * S) - 1.0) <= 6.0 * sqrt(2.0 / (P * S)));
  CU_ASSERT(nothing_else);
  CU_ASSERT(tg_source_describe(source)->has_loss && !tg_source_describe(source)->has_metric);
  tg_source_destroy(&source);
}

int main(void) {
  CU_TestInfo tests[] = {{"all 16-bit patterns are converted", all_16_bit_patterns_are_converted},
                         {"float32 patterns are kept", float32_patterns_are_kept},
                         {"clouds are read from any layout", clouds_are_read_from_any_layout},
                         {"a file is described", a_file_is_described},
                         {"scalars come with the clouds", scalars_come_with_the_clouds},
                         {"files are joined in the order listed", files_are_joined_in_the_order_listed},
                         {"prompts and levels are selected", prompts_and_levels_are_selected},
                         {"logit matrices are read", logit_matrices_are_read},
                         {"wrong files are refused", wrong_files_are_refused},
                         {"files that do not fit are refused", files_that_do_not_fit_are_refused},
                         {"metrics are compared", metrics_are_compared},
                         {"a model has a name", a_model_has_a_name},
                         {"what is no HDF5 file is refused", what_is_no_hdf5_file_is_refused},
                         {"the reader gives what direct reads give", the_reader_gives_what_direct_reads_give},
                         {"the reader reports a failing read", the_reader_reports_a_failing_read},
                         {"waiting for a slow read calls back", waiting_for_a_slow_read_calls_back},
                         {"a cloud does not depend on who asks", a_cloud_does_not_depend_on_who_asks},
                         {"clouds differ where anything differs", clouds_differ_where_anything_differs},
                         {"the rank of a cloud is its dimension", the_rank_of_a_cloud_is_its_dimension},
                         {"latent points fill the cube", latent_points_fill_the_cube},
                         {"the loss follows the dimension", the_loss_follows_the_dimension},
                         CU_TEST_INFO_NULL};
  static const char *const files[] = {"plain.h5", "bare.h5",  "second.h5", "wrong.h5", "other.h5",
                                      "named.h5", "empty.h5", "text.h5",   "spoilt.h5"};
  if (!mkdtemp(directory)) return EXIT_FAILURE;
  tg_h5_prepare();
  const int verdict = suite_run("source", tests);
  for (size_t a = 0; a < sizeof files / sizeof *files; a++) {
    char path[256];
    path_of(files[a], path);
    unlink(path);
  }
  rmdir(directory);
  return verdict;
}
