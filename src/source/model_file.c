#include "source/model_file.h"

#include "base/memory.h"
#include "source/llama_log.h"
#include <errno.h>
#include <fcntl.h>
#include <ggml.h>
#include <gguf.h>
#include <limits.h>
#include <llama.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MAX_PARTS = 1000 };

typedef struct {
  struct gguf_context *header;
  unsigned char *map;
  size_t size;
} part;

struct tg_model_file {
  part *parts;
  int n_parts;
  tg_model_info info;
  const unsigned char *unembedding;
  enum ggml_type type;
};

/* ---- the header ---- */

const tg_model_info *tg_model_file_describe(const tg_model_file *file) { return &file->info; }

/* An unsigned number of the header, the first one of a list; 0: not there. */
static uint64_t number(const struct gguf_context *g, const char *key) {
  const int64_t id = gguf_find_key(g, key);
  if (id < 0) return 0;
  /* clang-format off */
  switch (gguf_get_kv_type(g, id)) {
  case GGUF_TYPE_UINT16: return gguf_get_val_u16(g, id);
  case GGUF_TYPE_UINT32: return gguf_get_val_u32(g, id);
  case GGUF_TYPE_INT32:  return (uint64_t)gguf_get_val_i32(g, id);
  case GGUF_TYPE_UINT64: return gguf_get_val_u64(g, id);
  case GGUF_TYPE_ARRAY:  break;
  default:               return 0;
  }
  /* clang-format on */
  if (gguf_get_arr_n(g, id) == 0) return 0;
  if (gguf_get_arr_type(g, id) == GGUF_TYPE_UINT32) return *(const uint32_t *)gguf_get_arr_data(g, id);
  return gguf_get_arr_type(g, id) == GGUF_TYPE_INT32 ? (uint64_t) * (const int32_t *)gguf_get_arr_data(g, id) : 0;
}

static const char *text_of(const struct gguf_context *g, const char *key) {
  const int64_t id = gguf_find_key(g, key);
  return id >= 0 && gguf_get_kv_type(g, id) == GGUF_TYPE_STRING ? gguf_get_val_str(g, id) : NULL;
}

/* A number "<architecture>.<what>" that fits an int. */
static int property(const tg_model_file *f, const char *what) {
  char key[256];
  snprintf(key, sizeof key, "%.100s.%.100s", f->info.architecture, what);
  const uint64_t value = number(f->parts[0].header, key);
  return value <= INT_MAX ? (int)value : 0;
}

/* Whether there is a "<architecture>.<what>" that says no. */
static bool is_false(const tg_model_file *f, const char *what) {
  char key[256];
  snprintf(key, sizeof key, "%.100s.%.100s", f->info.architecture, what);
  const struct gguf_context *g = f->parts[0].header;
  const int64_t id = gguf_find_key(g, key);
  return id >= 0 && gguf_get_kv_type(g, id) == GGUF_TYPE_BOOL && !gguf_get_val_bool(g, id);
}

static tg_status map_part(const char *path, part *p) {
  struct stat at;
  const int fd = open(path, O_RDONLY | O_CLOEXEC);
  TG_CHECK(fd >= 0, TG_ENOINPUT, "%s: %s", path, strerror(errno));
  const bool regular = fstat(fd, &at) == 0 && S_ISREG(at.st_mode);
  p->size = regular && at.st_size > 0 ? (size_t)at.st_size : 0;
  if (p->size > 0) p->map = mmap(NULL, p->size, PROT_READ, MAP_SHARED, fd, 0);
  close(fd);
  if (p->map == MAP_FAILED) p->map = NULL;
  TG_CHECK(regular, TG_ENOINPUT, "%s: is no file", path);
  TG_CHECK(p->size == 0 || p->map, TG_EINTERNAL, "%s: cannot be mapped: %s", path, strerror(errno));
  return TG_OK;
}

/* Opens one part; every tensor must lie inside the file. */
static tg_status open_part(const char *path, part *p) {
  TG_TRY(map_part(path, p));
  TG_CHECK(p->size >= 4 && memcmp(p->map, "GGUF", 4) == 0, TG_EDATA, "%s: is no GGUF model file", path);
  p->header = gguf_init_from_file(path, (struct gguf_init_params){.no_alloc = true, .ctx = NULL});
  TG_CHECK(p->header, TG_EDATA, "%s: the GGUF header is damaged or truncated (%s)", path, tg_llama_reason());
  const size_t data = gguf_get_data_offset(p->header);
  for (int64_t t = 0; t < gguf_get_n_tensors(p->header); t++) {
    const size_t offset = gguf_get_tensor_offset(p->header, t), size = gguf_get_tensor_size(p->header, t);
    TG_CHECK(data <= p->size && offset <= p->size - data && size <= p->size - data - offset, TG_EDATA,
             "%s: truncated: tensor %s ends at byte %zu, the file at %zu", path, gguf_get_tensor_name(p->header, t),
             data + offset + size, p->size);
  }
  return TG_OK;
}

/* One more part, for which there is room; it is closed with the others, open or not. */
static tg_status add_part(const char *path, tg_model_file *f) {
  part *p = &f->parts[f->n_parts++];
  *p = (part){0};
  f->info.files[f->info.n_files] = tg_copy_string(path);
  TG_CHECK(f->info.files[f->info.n_files++], TG_EINTERNAL, "no memory");
  return open_part(path, p);
}

static tg_status open_parts(const char *path, tg_model_file *f) {
  char prefix[4096], name[4096];
  TG_TRY(TG_ALLOC(1, &f->parts));
  TG_TRY(TG_ALLOC(MAX_PARTS, &f->info.files));
  TG_TRY(add_part(path, f));
  const uint64_t count = number(f->parts[0].header, "split.count"), place = number(f->parts[0].header, "split.no");
  if (count <= 1) return TG_OK;
  TG_CHECK(count <= MAX_PARTS && place == 0 && llama_split_prefix(prefix, sizeof prefix, path, 0, (int)count) > 0,
           TG_EDATA, "%s: is part %d of %d of a model file; name the first one (...-00001-of-%05d.gguf)", path,
           (int)place + 1, (int)count, (int)count);
  part *parts = realloc(f->parts, (size_t)count * sizeof *parts);
  TG_CHECK(parts, TG_EINTERNAL, "%s: no memory", path);
  f->parts = parts;
  while (f->n_parts < (int)count) {
    llama_split_path(name, sizeof name, prefix, f->n_parts, (int)count);
    TG_TRY(add_part(name, f));
  }
  return TG_OK;
}

/* ---- the unembedding ---- */

static bool find_tensor(const tg_model_file *f, const char *name, const part **in, int64_t *id) {
  for (int a = 0; a < f->n_parts; a++)
    if ((*id = gguf_find_tensor(f->parts[a].header, name)) >= 0) {
      *in = &f->parts[a];
      return true;
    }
  return false;
}

static tg_status find_unembedding(const char *path, tg_model_file *f) {
  const part *in;
  int64_t id;
  TG_CHECK(find_tensor(f, "output.weight", &in, &id) || find_tensor(f, "token_embd.weight", &in, &id), TG_EDATA,
           "%s: neither a tensor output.weight nor token_embd.weight", path);
  const int64_t *shape = gguf_get_tensor_ne(in->header, id);
  TG_CHECK(shape[0] == f->info.width && shape[1] >= 1 && shape[1] <= INT_MAX && shape[2] == 1, TG_EDATA,
           "%s: %s has shape %lld x %lld, expected a vocabulary of width %d", path,
           gguf_get_tensor_name(in->header, id), (long long)shape[1], (long long)shape[0], f->info.width);
  f->type = gguf_get_tensor_type(in->header, id);
  TG_CHECK(f->type == GGML_TYPE_F32 || ggml_get_type_traits(f->type)->to_float, TG_EDATA,
           "%s: %s is of type %s, which cannot be made float32", path, gguf_get_tensor_name(in->header, id),
           ggml_type_name(f->type));
  f->unembedding = in->map + gguf_get_data_offset(in->header) + gguf_get_tensor_offset(in->header, id);
  f->info.vocabulary = shape[1];
  return TG_OK;
}

void tg_model_file_unembedding(const tg_model_file *file, int64_t first, int64_t count, float *rows) {
  const int64_t width = file->info.width;
  const unsigned char *from = file->unembedding + ggml_row_size(file->type, width) * (size_t)first;
  if (file->type == GGML_TYPE_F32)
    memcpy(rows, from, (size_t)(count * width) * sizeof *rows);
  else
    ggml_get_type_traits(file->type)->to_float(from, rows, count * width);
}

/* ---- opening ---- */

static void count_elements(tg_model_file *f) {
  for (int a = 0; a < f->n_parts; a++)
    for (int64_t t = 0; t < gguf_get_n_tensors(f->parts[a].header); t++) {
      const int64_t *shape = gguf_get_tensor_ne(f->parts[a].header, t);
      const double elements = (double)shape[0] * (double)shape[1] * (double)shape[2] * (double)shape[3];
      *(shape[1] > 1 ? &f->info.matrix_elements : &f->info.vector_elements) += elements;
    }
}

static tg_status describe(const char *path, tg_model_file *f) {
  const struct gguf_context *g = f->parts[0].header;
  tg_model_info *info = &f->info;
  info->architecture = text_of(g, "general.architecture");
  info->name = text_of(g, "general.name");
  const char *type = text_of(g, "general.type");
  TG_CHECK(!type || strcmp(type, "model") == 0, TG_EDATA,
           "%s: is a GGUF of type '%s' (an adapter, a projector or the like), expected a language model", path, type);
  TG_CHECK(info->architecture, TG_EDATA, "%s: the header names no architecture", path);
  TG_CHECK(strcmp(info->architecture, "clip") != 0, TG_EDATA,
           "%s: is the projector of a model that sees (architecture clip), expected the language model", path);
  info->blocks = property(f, "block_count");
  info->width = property(f, "embedding_length");
  const int ahead = property(f, "nextn_predict_layers"); /* behind the last block, and not run */
  if (ahead < info->blocks) info->blocks -= ahead;
  info->context = property(f, "context_length");
  info->feed_forward = property(f, "feed_forward_length");
  info->heads = property(f, "attention.head_count");
  info->key_heads = property(f, "attention.head_count_kv");
  TG_CHECK(info->blocks > 0 && info->width > 0 && info->context > 0, TG_EDATA,
           "%s: the header gives no block_count, embedding_length or context_length for architecture '%s'", path,
           info->architecture);
  TG_CHECK(!is_false(f, "attention.causal"), TG_EDATA,
           "%s: is no causal language model: attention.causal is false in its header", path);
  const char *tokenizer = text_of(g, "tokenizer.ggml.model");
  info->has_tokenizer = tokenizer && strcmp(tokenizer, "none") != 0 && strcmp(tokenizer, "no_vocab") != 0;
  const char *splitter = text_of(g, "tokenizer.ggml.pre");
  info->names_splitter = !tokenizer || strcmp(tokenizer, "gpt2") != 0 || (splitter && *splitter);
  count_elements(f);
  for (int a = 0; a < f->n_parts; a++) info->bytes += (double)f->parts[a].size;
  return find_unembedding(path, f);
}

tg_status tg_model_file_open(const char *path, tg_model_file **out) {
  tg_model_file *f = NULL;
  *out = NULL;
  TG_TRY(TG_ALLOC(1, &f));
  tg_status st = open_parts(path, f);
  if (st == TG_OK) st = describe(path, f);
  if (st != TG_OK) tg_model_file_close(&f);
  *out = f;
  return st;
}

void tg_model_file_close(tg_model_file **file) {
  tg_model_file *f = *file;
  if (!f) return;
  for (int a = 0; a < f->n_parts; a++) {
    if (f->parts[a].header) gguf_free(f->parts[a].header);
    if (f->parts[a].map) munmap(f->parts[a].map, f->parts[a].size);
  }
  for (int a = 0; a < f->info.n_files; a++) free(f->info.files[a]);
  free(f->info.files);
  free(f->parts);
  free(f);
  *file = NULL;
}
