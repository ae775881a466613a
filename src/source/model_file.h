/* A model file (GGUF, of one or more parts): what its header says, and the unembedding as float32. Local.
 * Only in builds with libllama, whose gguf.h reads the header; the weights are mapped, not copied. */
#ifndef TG_MODEL_FILE_H
#define TG_MODEL_FILE_H

#include "base/status.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct tg_model_file tg_model_file;

/** What the header says; 0 or NULL where it says nothing. Owned by the file. */
typedef struct {
  const char *architecture, *name;
  int blocks, width, context, feed_forward, heads, key_heads;
  int64_t vocabulary;                      /* rows of the unembedding */
  bool has_tokenizer, names_splitter;      /* the rules by which it splits a text first, where its kind has any */
  double bytes;                            /* of all parts */
  double matrix_elements, vector_elements; /* of all tensors, by their axes */
  char **files;                            /* [n_files] the parts' paths */
  int n_files;
} tg_model_info;

/** Opens and checks a model file: every tensor must lie inside it.
 *  out     caller closes; NULL after an error
 *  errors  TG_ENOINPUT missing, TG_EDATA no GGUF, truncated, or a header without the numbers above */
tg_status tg_model_file_open(const char *path, tg_model_file **out);
void tg_model_file_close(tg_model_file **file); /* safe on NULL, leaves NULL */

const tg_model_info *tg_model_file_describe(const tg_model_file *file);

/** Rows first..first+count-1 of the unembedding (the embedding where the model has no other) as float32 [count][width]. */
void tg_model_file_unembedding(const tg_model_file *file, int64_t first, int64_t count, float *rows);

#endif
