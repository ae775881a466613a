#include "source/weights.h"

#include "base/files.h"
#include "base/memory.h"
#include "base/text.h"
#include "source/identity.h"
#include "source/llama_log.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <llama.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

/* ---- names ---- */

char *tg_weights_path(const tg_source_config *config) {
  const char *folder = config->weights_directory;
  char *path = NULL, *copy = tg_copy_string(config->model_file);
  if (!copy) return NULL;
  const char *name = folder ? basename(copy) : copy;
  const size_t length = strlen(name),
               stem = length > 5 && strcmp(name + length - 5, ".gguf") == 0 ? length - 5 : length;
  if (asprintf(&path, "%s%s%.*s.%s.gguf", folder ? folder : "", folder ? "/" : "", (int)stem, name,
               tg_weights_names[config->weights]) < 0)
    path = NULL;
  free(copy);
  return path;
}

/* PATH with an ending; caller frees. */
static char *with_ending(const char *path, const char *ending) {
  char *text = NULL;
  return asprintf(&text, "%s%s", path, ending) >= 0 ? text : NULL;
}

/* ---- what stands beside the file: its checksum, and what it was made from ---- */

/* What the file is made from: the type, the engine, and the model's parts by name, size and time, a line each. Caller frees. */
static char *origin_of(const tg_source_config *config, const tg_model_file *file) {
  const tg_model_info *m = tg_model_file_describe(file);
  const char *engine = tg_llama_version();
  char *text = NULL;
  size_t size = 0;
  FILE *out = open_memstream(&text, &size);
  if (!out) return NULL;
  fprintf(out, "%s by %.*s\n", tg_weights_names[config->weights], (int)strcspn(engine, ";"), engine);
  tg_status st = TG_OK;
  for (int a = 0; st == TG_OK && a < m->n_files; a++) st = tg_source_print_file(out, m->files[a]);
  fclose(out);
  if (text) tg_text_drop_directories(text);
  return text;
}

/* The checksum of a file's bytes. */
static tg_status hash_file(const char *path, uint64_t *hash) {
  struct stat at;
  const int fd = open(path, O_RDONLY | O_CLOEXEC);
  const bool good = fd >= 0 && fstat(fd, &at) == 0 && at.st_size > 0;
  void *bytes = good ? mmap(NULL, (size_t)at.st_size, PROT_READ, MAP_SHARED, fd, 0) : MAP_FAILED;
  if (fd >= 0) close(fd);
  TG_CHECK(bytes != MAP_FAILED, TG_EIO, "%s: cannot be read: %s", path, strerror(errno));
  *hash = XXH64(bytes, (size_t)at.st_size, 0);
  munmap(bytes, (size_t)at.st_size);
  return TG_OK;
}

/* Whether what stands beside the file names this origin; its checksum. */
static bool read_origin(const char *path, const char *origin, uint64_t *hash) {
  char *name = with_ending(path, ".origin"), *text = NULL;
  size_t room = 0;
  int length = 0;
  FILE *in = name ? fopen(name, "r") : NULL;
  const bool good = in && getdelim(&text, &room, '\0', in) > 0 && sscanf(text, "%" SCNx64 " %n", hash, &length) == 1 &&
                    strcmp(text + length, origin) == 0;
  if (in) fclose(in);
  free(text);
  free(name);
  return good;
}

static tg_status write_origin(const char *path, const char *origin, uint64_t hash) {
  char *name = with_ending(path, ".origin"), *part = with_ending(path, ".origin.part");
  FILE *out = part ? fopen(part, "w") : NULL;
  bool good = out && fprintf(out, "%016" PRIx64 " %s", hash, origin) > 0;
  good = out && fflush(out) == 0 && fsync(fileno(out)) == 0 && good;
  if (out) good = fclose(out) == 0 && good;
  tg_status st = good ? TG_OK : tg_fail(TG_EIO, TG_HERE, "%s.origin: cannot be written: %s", path, strerror(errno));
  if (st == TG_OK) st = tg_file_put_in_place(part, name);
  if (st != TG_OK && part) unlink(part);
  free(part);
  free(name);
  return st;
}

bool tg_weights_are_there(const tg_source_config *config, const tg_model_file *file) {
  char *path = tg_weights_path(config), *origin = origin_of(config, file);
  uint64_t hash;
  const bool there = path && origin && access(path, R_OK) == 0 && read_origin(path, origin, &hash);
  free(path);
  free(origin);
  return there;
}

/* ---- converting ---- */

/* Takes the lock on FILE.part, which whoever held it before may have renamed. The descriptor holds it; -1: it cannot be made. */
static int lock_part(const char *part) {
  for (;;) {
    struct stat mine, named;
    const int fd = open(part, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (fd < 0) return -1;
    flock(fd, LOCK_EX); /* a file system without locks: more than one may convert, to the same bytes */
    if (fstat(fd, &mine) == 0 && stat(part, &named) == 0 && mine.st_ino == named.st_ino) return fd;
    close(fd);
  }
}

static tg_status quantize(const tg_source_config *config, const char *part) {
  static const enum llama_ftype types[] = {0, LLAMA_FTYPE_MOSTLY_BF16, LLAMA_FTYPE_MOSTLY_F16, LLAMA_FTYPE_ALL_F32};
  struct llama_model_quantize_params params = llama_model_quantize_default_params();
  params.ftype = types[config->weights];
  params.allow_requantize = true;
  tg_llama_reason();
  TG_CHECK(llama_model_quantize(config->model_file, part, &params) == 0, TG_EDATA,
           "%s: libllama cannot convert it to %s, as %s (%s)", config->model_file, tg_weights_names[config->weights],
           part, tg_llama_reason());
  return TG_OK;
}

static bool is_whole(const char *path, const char *origin) {
  uint64_t expected, got;
  return read_origin(path, origin, &expected) && hash_file(path, &got) == TG_OK && got == expected;
}

static tg_status make(const tg_source_config *config, const char *path, const char *part, const char *origin) {
  uint64_t hash;
  fprintf(stderr, "%s: weights become %s, as %s\n", config->model_file, tg_weights_names[config->weights], path);
  TG_TRY(quantize(config, part));
  TG_TRY(tg_file_reserve(part, 0.0)); /* to the disk */
  TG_TRY(hash_file(part, &hash));
  TG_TRY(tg_file_put_in_place(part, path));
  return write_origin(path, origin, hash);
}

tg_status tg_weights_convert(const tg_source_config *config, const tg_model_file *file) {
  char *path = tg_weights_path(config), *origin = origin_of(config, file),
       *part = path ? with_ending(path, ".part") : NULL;
  tg_status st = part && origin ? TG_OK : tg_fail(TG_EINTERNAL, TG_HERE, "no memory");
  if (st == TG_OK && !is_whole(path, origin)) {
    const int lock = lock_part(part);
    if (lock < 0)
      st = tg_fail(TG_EIO, TG_HERE, "%s: cannot be made: %s; models[].source.weights_directory names another folder",
                   part, strerror(errno));
    if (st == TG_OK && !is_whole(path, origin)) st = make(config, path, part, origin);
    if (lock >= 0) {
      unlink(part); /* what is left of a failure, or of waiting for another who made it */
      close(lock);
    }
  }
  free(path);
  free(origin);
  free(part);
  return st;
}

double tg_weights_bytes(const tg_source_config *config, const tg_model_file *file) {
  const tg_model_info *m = tg_model_file_describe(file);
  return m->matrix_elements * (config->weights == TG_WEIGHTS_FLOAT32 ? 4.0 : 2.0) + m->vector_elements * 4.0;
}
