/* The prompts of a study as token ids: texts are read, tokenized and cut one after another, so that what is kept of a prompt is what
 * is run. Local. Only in builds with libllama, whose tokenizer is used. */
#ifndef TG_TOKENS_H
#define TG_TOKENS_H

#include "config/config.h"
#include "source/model_file.h"
#include "source/source.h"

/** Takes the first `tokens` tokens of every prompt that has so many; with short_prompts: keep also shorter ones, cut to whole blocks.
 *  config  names the prompts' files; blocks: of the largest level
 *  file    the model: its tokenizer, and its vocabulary for ids that are given
 *  out     caller frees with tg_tokens_free, also after an error
 *  errors  TG_ENOINPUT, TG_EDATA: a broken prompt, an id outside the vocabulary, not one prompt that is long enough */
tg_status tg_tokens_read(const tg_source_config *config, const tg_model_file *file, int64_t blocks,
                         tg_token_table *out);
void tg_tokens_free(tg_token_table *table);

#endif
