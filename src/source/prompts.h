/* Prompts from files: JSON lines (.jsonl, .json, .ndjson), each with `id` and `text` or `token_ids`, or plain texts, whose
 * ids are their places in the list. Texts are UTF-8 and stripped as Python's str.strip() does. Local. */
#ifndef TG_PROMPTS_H
#define TG_PROMPTS_H

#include "source/source.h"
#include <stddef.h>
#include <stdint.h>

typedef struct {
  int64_t id;
  char *text; /* NULL: token_ids are given */
  size_t length;
  int32_t *token_ids;
  int n_token_ids;
  char *group;      /* its label, TG_MAX_GROUP bytes at most, cut to that; NULL: it has none */
  const char *path; /* borrowed; line 0: the whole file */
  int line;
} tg_prompt;

/** Reads the prompts of all files one after another. Blank lines of JSON lines are skipped.
 *  files   [n_files], all JSON lines or all texts
 *  visit   is shown each prompt, which is freed behind it; what it takes over it sets to NULL. Its errors end the reading
 *  errors  TG_ENOINPUT; TG_EDATA with file and line for a broken line, an empty text, an id that is no int64; those of visit */
tg_status tg_prompts_each(char *const *files, int n_files, tg_status (*visit)(void *context, tg_prompt *prompt),
                          void *context);

/** "FILE" or "FILE:LINE" of a prompt, for messages. Valid until the next call of this thread. */
const char *tg_prompt_place(const tg_prompt *prompt);

#endif
