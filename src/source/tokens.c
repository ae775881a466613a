#include "source/tokens.h"

#include "base/memory.h"
#include "source/llama_log.h"
#include "source/prompts.h"
#include <ctype.h>
#include <inttypes.h>
#include <llama.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { MIN_STACK = 16 << 20, STACK_PER_BYTE = 2048, MAX_STRETCH = 4 << 20 }; /* bytes */

/* What reading needs from one prompt to the next. */
typedef struct {
  const tg_source_config *config;
  const tg_model_file *file;
  struct llama_model *model; /* the vocabulary alone; loaded for the first text */
  int64_t blocks, room;
  int longest;
  tg_token_table *out;
} reading;

/* The vocabulary alone, to tokenize with. */
static tg_status load_vocabulary(reading *r) {
  const char *path = r->config->model_file;
  struct llama_model_params params = llama_model_default_params();
  params.vocab_only = true;
  TG_CHECK(tg_model_file_describe(r->file)->has_tokenizer, TG_EDATA,
           "%s: the model file has no tokenizer, so prompts must give token_ids", path);
  TG_CHECK(tg_model_file_describe(r->file)->names_splitter, TG_EDATA,
           "%s: the model file does not say by which rules its tokenizer splits a text (tokenizer.ggml.pre), and "
           "libllama would guess; "
           "convert the model again with a newer convert_hf_to_gguf.py, or give token_ids",
           path);
  r->model = llama_model_load_from_file(path, params);
  TG_CHECK(r->model, TG_EDATA, "%s: the tokenizer cannot be loaded (%s)", path, tg_llama_reason());
  return TG_OK;
}

/* A text on its way through libllama. */
typedef struct {
  const struct llama_vocab *vocabulary;
  const tg_prompt *prompt;
  bool split_special;
  int32_t *token_ids; /* room for one a byte, and some that a tokenizer puts in */
  int room, n;
} tokenizing;

static void *tokenize_text(void *opaque) {
  tokenizing *t = opaque;
  const tg_prompt *p = t->prompt;
  t->n = llama_tokenize(t->vocabulary, p->text, (int32_t)p->length, t->token_ids, t->room, false, !t->split_special);
  return NULL;
}

/* Bytes of the longest stretch of white space or of anything else: no rule of a tokenizer takes more at once. */
static size_t longest_stretch(const tg_prompt *prompt) {
  size_t longest = 0;
  for (size_t from = 0, to; from < prompt->length; from = to) {
    const bool space = isspace((unsigned char)prompt->text[from]);
    for (to = from + 1; to < prompt->length && !isspace((unsigned char)prompt->text[to]) == !space;) to++;
    if (to - from > longest) longest = to - from;
  }
  return longest;
}

/* On a thread whose stack is large enough: std::regex, by which libllama splits a text, calls itself once for each character that it
 * takes (322 bytes of stack each, measured with the rules of 12 tokenizers). */
static tg_status tokenize_on_thread(tokenizing *t) {
  const size_t stretch = longest_stretch(t->prompt), stack = MIN_STACK + STACK_PER_BYTE * stretch;
  pthread_attr_t attributes;
  pthread_t thread;
  TG_CHECK(stretch <= MAX_STRETCH, TG_EDATA,
           "%s: %zu bytes follow one another without white space, or are nothing else; at most %d can be tokenized",
           tg_prompt_place(t->prompt), stretch, MAX_STRETCH);
  pthread_attr_init(&attributes);
  bool runs = pthread_attr_setstacksize(&attributes, stack) == 0;
  runs = runs && pthread_create(&thread, &attributes, tokenize_text, t) == 0;
  pthread_attr_destroy(&attributes);
  TG_CHECK(runs, TG_EINTERNAL, "%s: no memory for a stack of %zu bytes to tokenize on", tg_prompt_place(t->prompt),
           stack);
  pthread_join(thread, NULL);
  return TG_OK;
}

/* All tokens of a text; none is put before or behind it. */
static tg_status tokenize(const reading *r, tg_prompt *prompt) {
  tokenizing t = {llama_model_get_vocab(r->model), prompt, r->config->split_special_tokens, NULL,
                  (int)prompt->length + 8,         -1};
  while (t.n < 0 && t.n != INT32_MIN) { /* a negative answer says how many tokens want room */
    if (t.token_ids) t.room = -t.n;
    free(prompt->token_ids);
    prompt->token_ids = NULL;
    TG_TRY(TG_ALLOC(t.room, &prompt->token_ids));
    t.token_ids = prompt->token_ids;
    TG_TRY(tokenize_on_thread(&t));
  }
  TG_CHECK(t.n > 0, TG_EDATA, "%s: the tokenizer gives no tokens", tg_prompt_place(prompt));
  prompt->n_token_ids = t.n;
  return TG_OK;
}

static tg_status check_tokens(const reading *r, const tg_prompt *prompt) {
  const int64_t vocabulary = tg_model_file_describe(r->file)->vocabulary;
  for (int i = 0; i < prompt->n_token_ids; i++)
    TG_CHECK(prompt->token_ids[i] < vocabulary, TG_EDATA,
             "%s: token_ids[%d] is %d, outside the model's vocabulary of %" PRId64, tg_prompt_place(prompt), i,
             prompt->token_ids[i], vocabulary);
  return TG_OK;
}

/* Tokens that are used of a prompt of n, 0: it is left out. */
static int used_length(const reading *r, int n) {
  if (n >= r->config->tokens) return r->config->tokens;
  const int whole = (int)(n / r->blocks * r->blocks);
  return r->config->keep_short && whole >= 2 ? whole : 0;
}

/* Room for one more prompt; it grows by halves. */
static tg_status reserve(reading *r) {
  tg_token_table *t = r->out;
  if (t->n < r->room) return TG_OK;
  const size_t room = (size_t)r->room + (size_t)r->room / 2 + 64;
  int64_t *ids = realloc(t->ids, room * sizeof *ids);
  if (ids) t->ids = ids;
  int32_t *lengths = realloc(t->lengths, room * sizeof *lengths);
  if (lengths) t->lengths = lengths;
  int32_t *tokens = realloc(t->tokens, room * (size_t)t->width * sizeof *tokens);
  if (tokens) t->tokens = tokens;
  char **groups = realloc(t->groups, room * sizeof *groups);
  if (groups) t->groups = groups;
  TG_CHECK(ids && lengths && tokens && groups, TG_EINTERNAL, "no memory for %zu prompts of %d tokens", room, t->width);
  r->room = (int64_t)room;
  return TG_OK;
}

static tg_status take(void *context, tg_prompt *prompt) {
  reading *r = context;
  tg_token_table *t = r->out;
  if (prompt->text && !r->model) TG_TRY(load_vocabulary(r));
  TG_TRY(prompt->text ? tokenize(r, prompt) : check_tokens(r, prompt));
  const int n = used_length(r, prompt->n_token_ids);
  if (prompt->n_token_ids > r->longest) r->longest = prompt->n_token_ids;
  t->n_left_out += n == 0;
  if (n == 0) return TG_OK;
  TG_TRY(reserve(r));
  t->ids[t->n] = prompt->id;
  t->lengths[t->n] = n;
  t->groups[t->n] = prompt->group;
  prompt->group = NULL;
  memcpy(t->tokens + t->n * t->width, prompt->token_ids, (size_t)n * sizeof *t->tokens);
  memset(t->tokens + t->n * t->width + n, 0, (size_t)(t->width - n) * sizeof *t->tokens);
  t->n++;
  return TG_OK;
}

tg_status tg_tokens_read(const tg_source_config *config, const tg_model_file *file, int64_t blocks,
                         tg_token_table *out) {
  reading r = {.config = config, .file = file, .blocks = blocks, .out = out};
  *out = (tg_token_table){.width = config->tokens};
  tg_status st = tg_prompts_each(config->files, config->n_files, take, &r);
  if (r.model) llama_model_free(r.model);
  if (st == TG_OK && out->n == 0)
    st = tg_fail(TG_EDATA, TG_HERE, "%s: no prompt has %d tokens, the longest of %" PRId64 " has %d; %s",
                 config->files[0], config->keep_short ? (int)blocks : config->tokens, out->n_left_out, r.longest,
                 config->keep_short ? "one block of the largest level needs that many"
                                    : "take fewer tokens, or short_prompts: keep");
  return st;
}

void tg_tokens_free(tg_token_table *table) {
  free(table->ids);
  free(table->lengths);
  free(table->tokens);
  for (int64_t p = 0; table->groups && p < table->n; p++) free(table->groups[p]);
  free(table->groups);
  *table = (tg_token_table){0};
}
