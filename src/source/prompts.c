#include "source/prompts.h"

#include "base/memory.h"
#include "source/stream.h"
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { MAX_TEXT = 1 << 26 }; /* bytes of a line or a text: ten million tokens, and parsed 2 GB at most */

const char *tg_prompt_place(const tg_prompt *prompt) {
  static _Thread_local char text[600];
  if (prompt->line > 0)
    snprintf(text, sizeof text, "%.560s:%d", prompt->path, prompt->line);
  else
    snprintf(text, sizeof text, "%.560s", prompt->path);
  return text;
}

/* ---- texts ---- */

/* Code points that str.strip() takes away beside the control characters below. */
static bool is_wide_space(uint32_t c) {
  return c == 0x85 || c == 0xA0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 ||
         c == 0x202F || c == 0x205F || c == 0x3000;
}

/* Bytes of the white-space character that text [length] begins with, 0: none. */
static size_t space_at(const unsigned char *text, size_t length) {
  if (length == 0) return 0;
  if (text[0] < 0x80) return (text[0] >= 9 && text[0] <= 13) || (text[0] >= 0x1C && text[0] <= 0x20);
  if (length >= 2 && text[0] == 0xC2) return is_wide_space(0x80u | (text[1] & 0x3Fu)) ? 2 : 0;
  if (length < 3 || (text[0] & 0xF0) != 0xE0) return 0;
  const uint32_t c = (text[0] & 0x0Fu) << 12 | (text[1] & 0x3Fu) << 6 | (text[2] & 0x3Fu);
  return is_wide_space(c) ? 3 : 0;
}

/* A stripped copy of UTF-8 text. */
static tg_status take_text(const char *text, size_t length, tg_prompt *prompt) {
  const unsigned char *from = (const unsigned char *)text, *end = from + length;
  for (size_t space; (space = space_at(from, (size_t)(end - from))) > 0;) from += space;
  while (end > from) {
    size_t back = 1;
    while (back < 3 && end - back > from && (end[-(ptrdiff_t)back] & 0xC0) == 0x80) back++;
    if (space_at(end - back, back) != back) break;
    end -= back;
  }
  TG_CHECK(end > from, TG_EDATA, "%s: the text is empty", tg_prompt_place(prompt));
  prompt->length = (size_t)(end - from);
  TG_TRY(TG_ALLOC(prompt->length + 1, &prompt->text));
  memcpy(prompt->text, from, prompt->length);
  return TG_OK;
}

/* ---- JSON lines ---- */

static tg_status take_token_ids(const json_t *list, tg_prompt *prompt) {
  const char *place = tg_prompt_place(prompt);
  TG_CHECK(json_is_array(list) && json_array_size(list) > 0 && json_array_size(list) < MAX_TEXT, TG_EDATA,
           "%s: token_ids is no list of token ids", place);
  prompt->n_token_ids = (int)json_array_size(list);
  TG_TRY(TG_ALLOC(prompt->n_token_ids, &prompt->token_ids));
  for (int i = 0; i < prompt->n_token_ids; i++) {
    const json_t *item = json_array_get(list, (size_t)i);
    const bool good = json_is_integer(item) && json_integer_value(item) >= 0 && json_integer_value(item) <= INT32_MAX;
    TG_CHECK(good, TG_EDATA, "%s: token_ids[%d] is no token id", place, i);
    prompt->token_ids[i] = (int32_t)json_integer_value(item);
  }
  return TG_OK;
}

/* A copy of a label, cut between two characters where it is long. */
static tg_status copy_group(const char *text, tg_prompt *prompt) {
  size_t length = strlen(text);
  if (length > TG_MAX_GROUP)
    for (length = TG_MAX_GROUP; length > 0 && (text[length] & 0xC0) == 0x80;) length--;
  TG_TRY(TG_ALLOC(length + 1, &prompt->group));
  memcpy(prompt->group, text, length);
  return TG_OK;
}

/* The label of a record: `group`; else `meta`, of The Pile's records its pile_set_name, of others' as JSON. */
static tg_status take_group(const json_t *object, tg_prompt *prompt) {
  const json_t *group = json_object_get(object, "group"), *meta = json_object_get(object, "meta");
  const json_t *pile = json_object_get(meta, "pile_set_name"), *label = group                  ? group
                                                                        : json_is_string(pile) ? pile
                                                                                               : meta;
  TG_CHECK(!group || json_is_string(group), TG_EDATA, "%s: 'group' is no string", tg_prompt_place(prompt));
  if (!label || json_is_null(label)) return TG_OK;
  if (json_is_string(label)) return copy_group(json_string_value(label), prompt);
  char *text = json_dumps(label, JSON_COMPACT | JSON_SORT_KEYS | JSON_ENCODE_ANY);
  TG_CHECK(text, TG_EINTERNAL, "%s: no memory for 'meta'", tg_prompt_place(prompt));
  const tg_status st = copy_group(text, prompt);
  free(text);
  return st;
}

/* prompt->id: what a record without an id gets. first: it decides whether they have one. */
static tg_status take_object(const json_t *object, bool first, bool *without_ids, tg_prompt *prompt) {
  const char *place = tg_prompt_place(prompt);
  const json_t *id = json_object_get(object, "id"), *text = json_object_get(object, "text"),
               *token_ids = json_object_get(object, "token_ids");
  TG_CHECK(json_is_object(object), TG_EDATA, "%s: no JSON object with 'id' and 'text' or 'token_ids'", place);
  if (first) *without_ids = !id;
  TG_CHECK(!id == *without_ids, TG_EDATA,
           id ? "%s: an 'id', and none in the records before" : "%s: no 'id', as the records before have", place);
  TG_CHECK(!id || json_is_integer(id), TG_EDATA, "%s: 'id' is no integer of 64 bits", place);
  TG_CHECK(text || token_ids, TG_EDATA, "%s: neither 'text' nor 'token_ids'", place);
  TG_CHECK(!text || !token_ids, TG_EDATA, "%s: both 'text' and 'token_ids', expected one of them", place);
  TG_CHECK(!text || json_is_string(text), TG_EDATA, "%s: 'text' is no string", place);
  if (id) prompt->id = json_integer_value(id);
  TG_TRY(take_group(object, prompt));
  return text ? take_text(json_string_value(text), json_string_length(text), prompt)
              : take_token_ids(token_ids, prompt);
}

static tg_status take_line(const char *line, size_t length, bool first, bool *without_ids, tg_prompt *prompt) {
  json_error_t problem;
  json_t *object = json_loadb(line, length, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY | JSON_ALLOW_NUL, &problem);
  TG_CHECK(object, TG_EDATA, "%s: not JSON: %s (column %d)", tg_prompt_place(prompt), problem.text, problem.column);
  const tg_status st = take_object(object, first, without_ids, prompt);
  json_decref(object);
  return st;
}

/* ---- files ---- */

/* Where prompts go. */
typedef struct {
  tg_status (*visit)(void *context, tg_prompt *prompt);
  void *context;
  int64_t n;        /* so far */
  bool without_ids; /* the first record has none: each has its place */
} reading;

/* Shows a prompt, unless it could not be read, and frees it. */
static tg_status show(reading *r, tg_prompt *prompt, tg_status st) {
  if (st == TG_OK) st = r->visit(r->context, prompt);
  free(prompt->text);
  free(prompt->token_ids);
  free(prompt->group);
  r->n++;
  return st;
}

/* A line as getline reads it, but no longer than MAX_TEXT. *length 0: the file's end. */
static tg_status next_line(tg_stream *file, const char *path, int number, char **line, size_t *room, size_t *length) {
  int c = 0;
  for (*length = 0; c != '\n' && (c = tg_stream_next(file)) != EOF;) {
    if (*length + 1 >= *room) { /* and a zero behind it */
      TG_CHECK(*length < MAX_TEXT, TG_EDATA, "%s:%d: the line is longer than %d bytes", path, number, MAX_TEXT);
      *room = *room ? 2 * *room : 4096;
      char *more = realloc(*line, *room);
      TG_CHECK(more, TG_EINTERNAL, "%s:%d: no memory for a line of %zu bytes", path, number, *room);
      *line = more;
    }
    (*line)[(*length)++] = (char)c;
  }
  if (*length) (*line)[*length] = '\0';
  return TG_OK;
}

static tg_status read_lines(tg_stream *file, const char *path, reading *r) {
  char *line = NULL;
  size_t room = 0, length;
  tg_status st = TG_OK;
  for (int number = 1; st == TG_OK; number++) {
    st = next_line(file, path, number, &line, &room, &length);
    if (st != TG_OK || length == 0) break;
    if (strspn(line, " \t\r\n") == length) continue;
    tg_prompt prompt = {.path = path, .line = number, .id = r->n};
    st = take_line(line, length, r->n == 0, &r->without_ids, &prompt);
    st = show(r, &prompt, st);
  }
  free(line);
  return st;
}

/* Whether a text begins with a line that would be a prompt in JSON lines. */
static bool looks_like_lines(const char *text, size_t length) {
  const char *end = memchr(text, '\n', length);
  json_t *object = json_loadb(text, end ? (size_t)(end - text) : length, 0, NULL);
  const bool does = json_object_get(object, "text") || json_object_get(object, "token_ids");
  json_decref(object);
  return does;
}

static tg_status check_text(const char *text, size_t length, const char *path) {
  TG_CHECK(length < 4 || memcmp(text, "PAR1", 4) != 0, TG_EDATA,
           "%s: is a Parquet file, neither text nor JSON lines; README says how it becomes JSON lines", path);
  TG_CHECK(!looks_like_lines(text, length), TG_EDATA,
           "%s: is JSON lines by its first line and a text by its name; call it .jsonl", path);
  json_t *checked = json_stringn(text, length);
  json_decref(checked);
  TG_CHECK(checked, TG_EDATA, "%s: not UTF-8", path);
  return TG_OK;
}

/* All that is left of a file, a zero behind it. */
static tg_status read_all(tg_stream *file, const char *path, char **text, size_t *length) {
  size_t room = 1 << 16;
  int c;
  TG_TRY(TG_ALLOC(room, text));
  for (*length = 0; (c = tg_stream_next(file)) != EOF; (*text)[(*length)++] = (char)c) {
    if (*length + 1 < room) continue;
    TG_CHECK(*length < MAX_TEXT, TG_EDATA, "%s: larger than %d bytes, no text", path, MAX_TEXT);
    char *more = realloc(*text, room *= 2);
    TG_CHECK(more, TG_EINTERNAL, "%s: no memory for a text of %zu bytes", path, room);
    *text = more;
  }
  (*text)[*length] = '\0';
  return TG_OK;
}

static tg_status read_text(tg_stream *file, const char *path, reading *r) {
  char *text = NULL;
  size_t length;
  tg_prompt prompt = {.id = r->n, .path = path};
  tg_status st = read_all(file, path, &text, &length);
  if (st == TG_OK) st = tg_stream_check(file);
  if (st == TG_OK) st = check_text(text, length, path);
  if (st == TG_OK) st = take_text(text, length, &prompt);
  free(text);
  return show(r, &prompt, st);
}

/* Whether a name ends so, in letters of any case. */
static bool ends_with(const char *name, size_t length, const char *ending) {
  const size_t n = strlen(ending);
  return length > n && strncasecmp(name + length - n, ending, n) == 0;
}

/* By its name, without the ending of a compression. */
static bool is_json(const char *path) {
  static const char *const packed[] = {".gz", ".zst", ".xz", ".bz2"}, *const lines[] = {".jsonl", ".jsonlines",
                                                                                        ".ndjson", ".json"};
  size_t length = strlen(path);
  for (size_t a = 0; a < sizeof packed / sizeof *packed; a++)
    if (ends_with(path, length, packed[a])) {
      length -= strlen(packed[a]);
      break;
    }
  for (size_t a = 0; a < sizeof lines / sizeof *lines; a++)
    if (ends_with(path, length, lines[a])) return true;
  return false;
}

static tg_status read_file(const char *path, reading *r) {
  tg_stream *file = NULL;
  TG_TRY(tg_stream_open(path, &file));
  tg_status st = is_json(path) ? read_lines(file, path, r) : read_text(file, path, r);
  if (st == TG_OK) st = tg_stream_check(file);
  tg_stream_close(&file);
  return st;
}

tg_status tg_prompts_each(char *const *files, int n_files, tg_status (*visit)(void *context, tg_prompt *prompt),
                          void *context) {
  reading r = {visit, context, 0, false};
  for (int a = 1; a < n_files; a++)
    TG_CHECK(is_json(files[a]) == is_json(files[0]), TG_EDATA,
             "%s is JSON lines and %s is not; prompts are either all texts or all JSON lines (.jsonl)",
             files[is_json(files[0]) ? 0 : a], files[is_json(files[0]) ? a : 0]);
  for (int a = 0; a < n_files; a++) TG_TRY(read_file(files[a], &r));
  TG_CHECK(r.n > 0, TG_EDATA, "%s: no prompts", files[0]);
  return TG_OK;
}
