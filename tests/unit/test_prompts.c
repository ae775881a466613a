/* Prompts from JSON lines and texts: what is taken, what is refused, and where the message says it is. */
#include "../oracle/suite.h"
#include "source/prompts.h"

#include <archive.h>
#include <archive_entry.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char directory[] = "/tmp/test_prompts_XXXXXX";

/* ---- files of a test ---- */

enum { MOST_FILES = 4, ROOM = 200 };

static char paths[MOST_FILES][ROOM];
static char *files[MOST_FILES];

/* A file of these bytes; its place among the files. */
static void put(int place, const char *name, const void *data, size_t size) {
  snprintf(paths[place], ROOM, "%s/%s", directory, name);
  files[place] = paths[place];
  FILE *file = fopen(paths[place], "wb");
  CU_ASSERT_FATAL(file && fwrite(data, 1, size, file) == size && fclose(file) == 0);
}

static void put_text(int place, const char *name, const char *text) { put(place, name, text, strlen(text)); }

/* All prompts at once. */
typedef struct {
  tg_prompt *items;
  int64_t n;
} prompt_list;

static tg_status keep(void *context, tg_prompt *prompt) {
  prompt_list *all = context;
  tg_prompt *more = realloc(all->items, (size_t)(all->n + 1) * sizeof *more);
  CU_ASSERT_FATAL(more != NULL);
  all->items = more;
  all->items[all->n++] = *prompt;
  prompt->text = NULL;
  prompt->token_ids = NULL;
  prompt->group = NULL;
  return TG_OK;
}

static tg_status read_prompts(int n_files, prompt_list *out) {
  *out = (prompt_list){NULL, 0};
  return tg_prompts_each(files, n_files, keep, out);
}

static void free_prompts(prompt_list *prompts) {
  for (int64_t p = 0; p < prompts->n; p++) {
    free(prompts->items[p].text);
    free(prompts->items[p].token_ids);
    free(prompts->items[p].group);
  }
  free(prompts->items);
  *prompts = (prompt_list){NULL, 0};
}

static prompt_list read_good(int n_files) {
  prompt_list prompts;
  const tg_status st = read_prompts(n_files, &prompts);
  if (st != TG_OK) printf("%s\n", tg_last_error());
  CU_ASSERT_FATAL(st == TG_OK);
  return prompts;
}

static bool has_text(const tg_prompt *prompt, const char *text) {
  return prompt->text && !prompt->token_ids && prompt->length == strlen(text) && strcmp(prompt->text, text) == 0;
}

/* The files are refused with this status and a message that holds the text. */
static void refuse(int n_files, tg_status wanted, const char *named) {
  prompt_list prompts;
  const tg_status st = read_prompts(n_files, &prompts);
  const bool good = st == wanted && strstr(tg_last_error(), named);
  if (!good) printf("status %d instead of %d, '%s' instead of '%s'\n", st, wanted, tg_last_error(), named);
  CU_ASSERT(good);
  free_prompts(&prompts);
}

/* The second line, after a good one and a blank one, is refused, and the message says FILE:3. */
static void refuse_line(const char *line, size_t length, const char *named) {
  static const char before[] = "{\"id\": 1, \"text\": \"good\"}\n\n";
  char *data = malloc(sizeof before + length), place[ROOM + 20];
  CU_ASSERT_FATAL(data != NULL);
  memcpy(data, before, sizeof before - 1);
  memcpy(data + sizeof before - 1, line, length);
  put(0, "bad.jsonl", data, sizeof before - 1 + length);
  free(data);
  snprintf(place, sizeof place, "%s:3: ", paths[0]);
  refuse(1, TG_EDATA, place);
  if (!strstr(tg_last_error(), named)) printf("'%s' instead of '%s'\n", tg_last_error(), named);
  CU_ASSERT(strstr(tg_last_error(), named) != NULL);
}

static void refuse_text(const char *line, const char *named) { refuse_line(line, strlen(line), named); }

/* ---- what is taken ---- */

/* Oracle: the lines as written below; RFC 8259. */
static void lines_are_read(void) {
  put_text(0, "a.jsonl",
           "{\"id\": 5, \"text\": \"one\"}\n"
           "\n"
           "  \t \r\n"
           "{\"text\": \" two \", \"id\": -3, \"other\": [1, {\"id\": 9}]}\r\n"
           "{\"id\": 9223372036854775807, \"token_ids\": [0, 1, 2147483647]}\n"
           "  {\"id\": -9223372036854775808, \"text\": \"no newline\"}");
  prompt_list prompts = read_good(1);
  static const int64_t ids[] = {5, -3, INT64_MAX, INT64_MIN};
  static const int lines[] = {1, 4, 5, 6};
  CU_ASSERT_FATAL(prompts.n == 4);
  for (int p = 0; p < 4; p++) {
    char place[ROOM + 20];
    snprintf(place, sizeof place, "%s:%d", paths[0], lines[p]);
    CU_ASSERT(prompts.items[p].id == ids[p] && prompts.items[p].line == lines[p]);
    CU_ASSERT(strcmp(tg_prompt_place(&prompts.items[p]), place) == 0);
  }
  CU_ASSERT(has_text(&prompts.items[0], "one") && has_text(&prompts.items[1], "two"));
  CU_ASSERT(has_text(&prompts.items[3], "no newline"));
  const tg_prompt *given = &prompts.items[2];
  CU_ASSERT_FATAL(!given->text && given->n_token_ids == 3);
  CU_ASSERT(given->token_ids[0] == 0 && given->token_ids[1] == 1 && given->token_ids[2] == INT32_MAX);
  free_prompts(&prompts);
  CU_ASSERT(prompts.n == 0 && !prompts.items);
}

/* Oracle: the definition: files in the order given, ids as they stand in them; the endings that mean JSON lines. */
static void files_are_joined(void) {
  put_text(0, "z.jsonl", "{\"id\": 3, \"text\": \"a\"}\n{\"id\": 1, \"text\": \"b\"}\n");
  put_text(1, "a.json", "{\"id\": 2, \"text\": \"c\"}\n");
  put_text(2, "m.ndjson", "\n");
  put_text(3, "b.ndjson", "\n\n{\"id\": 0, \"text\": \"d\"}");
  prompt_list prompts = read_good(4);
  CU_ASSERT_FATAL(prompts.n == 4);
  for (int p = 0; p < 4; p++) {
    const char text[] = {(char)('a' + p), '\0'};
    CU_ASSERT(prompts.items[p].id == (p == 3 ? 0 : p == 2 ? 2 : p == 1 ? 1 : 3) && has_text(&prompts.items[p], text));
  }
  CU_ASSERT(prompts.items[2].path == paths[1] && prompts.items[3].line == 3);
  free_prompts(&prompts);
}

/* Oracle: the definition: a text is one prompt, its id its place in the list, whatever its name. */
static void texts_are_read(void) {
  put_text(0, "b.txt", "\xEF\xBB\xBF first\nline two\r\n\n");
  put_text(1, "jsonl", "{\"id\": 7, \"texts\": \"no JSON lines\"}");
  put(2, "nul.txt", " a\0b \0", 6);
  prompt_list prompts = read_good(3);
  CU_ASSERT_FATAL(prompts.n == 3);
  for (int p = 0; p < 3; p++)
    CU_ASSERT(prompts.items[p].id == p && strcmp(tg_prompt_place(&prompts.items[p]), paths[p]) == 0);
  CU_ASSERT(has_text(&prompts.items[0], "first\nline two")); /* behind a byte order mark */
  CU_ASSERT(has_text(&prompts.items[1], "{\"id\": 7, \"texts\": \"no JSON lines\"}"));
  CU_ASSERT(prompts.items[2].length == 5 && memcmp(prompts.items[2].text, "a\0b \0", 5) == 0); /* NUL is no space */
  free_prompts(&prompts);
}

/* Oracle: the rule of prompts.h: group, else meta, and of that pile_set_name; JSON with sorted keys; TG_MAX_GROUP bytes, whole characters. */
static void records_have_labels(void) {
  static const struct {
    const char *more, *label;
  } list[] = {{"", NULL},
              {", \"group\": \"a\", \"meta\": \"b\"", "a"},
              {", \"meta\": \"b\"", "b"},
              {", \"meta\": null", NULL},
              {", \"meta\": {\"pile_set_name\": \"Pile-CC\", \"n\": 1}", "Pile-CC"},
              {", \"meta\": {\"pile_set_name\": 3, \"a\": [1, 2]}", "{\"a\":[1,2],\"pile_set_name\":3}"},
              {", \"meta\": 1.5", "1.5"}};
  for (size_t a = 0; a < sizeof list / sizeof list[0]; a++) {
    char line[200];
    prompt_list got;
    snprintf(line, sizeof line, "{\"id\": 1, \"text\": \"x\"%s}\n", list[a].more);
    put_text(0, "a.jsonl", line);
    CU_ASSERT_FATAL(read_prompts(1, &got) == TG_OK);
    const char *label = got.items[0].group;
    CU_ASSERT(label && list[a].label ? strcmp(label, list[a].label) == 0 : !label && !list[a].label);
    free_prompts(&got);
  }
  char line[1200];
  prompt_list got;
  snprintf(line, sizeof line, "{\"id\": 1, \"text\": \"x\", \"group\": \"%0499d\xE4\xB8\xAD\"}\n", 7);
  put_text(0, "a.jsonl", line);
  CU_ASSERT_FATAL(read_prompts(1, &got) == TG_OK);
  CU_ASSERT(strlen(got.items[0].group) == 499 && TG_MAX_GROUP == 500);
  free_prompts(&got);
  put_text(0, "a.jsonl", "{\"id\": 1, \"text\": \"x\", \"group\": 3}\n");
  refuse(1, TG_EDATA, "a.jsonl:1: 'group' is no string");
}

/* Oracle: the definition: records without ids have their places, over all files; all have them, or none. */
static void places_are_ids(void) {
  put_text(0, "a.jsonl", "{\"text\": \"a\", \"meta\": {\"pile_set_name\": \"Pile-CC\"}}\n{\"text\": \"b\"}\n");
  put_text(1, "b.ndjson", "{\"text\": \"c\"}");
  prompt_list prompts = read_good(2);
  CU_ASSERT_FATAL(prompts.n == 3);
  for (int p = 0; p < 3; p++) {
    const char text[] = {(char)('a' + p), '\0'};
    CU_ASSERT(prompts.items[p].id == p && has_text(&prompts.items[p], text));
  }
  free_prompts(&prompts);
  put_text(1, "b.ndjson", "{\"text\": \"c\", \"id\": 2}");
  refuse(2, TG_EDATA, "b.ndjson:1: an 'id', and none in the records before");
}

/* Oracle: the same bytes as they are. Each compression that libarchive writes, endings in any case; one that is damaged. */
static void compressed_files_are_read(void) {
  static const struct {
    const char *name;
    int (*filter)(struct archive *);
  } kinds[] = {{"a.JSONL.GZ", archive_write_add_filter_gzip},
               {"a.jsonl.zst", archive_write_add_filter_zstd},
               {"a.JsonLines.xz", archive_write_add_filter_xz},
               {"a.ndjson.bz2", archive_write_add_filter_bzip2},
               {"a.JSONL", archive_write_add_filter_none}};
  const char text[] = "\xEF\xBB\xBF{\"id\": 8, \"text\": \"one\"}\n{\"id\": 9, \"text\": \"two\"}\n";
  for (size_t a = 0; a < sizeof kinds / sizeof *kinds; a++) {
    unsigned char bytes[1000];
    size_t size = 0;
    struct archive *out = archive_write_new();
    struct archive_entry *entry = archive_entry_new();
    archive_entry_set_pathname(entry, "a");
    archive_entry_set_filetype(entry, S_IFREG);
    CU_ASSERT_FATAL(kinds[a].filter(out) == ARCHIVE_OK && archive_write_set_format_raw(out) == ARCHIVE_OK);
    CU_ASSERT_FATAL(archive_write_open_memory(out, bytes, sizeof bytes, &size) == ARCHIVE_OK);
    CU_ASSERT_FATAL(archive_write_header(out, entry) == ARCHIVE_OK);
    CU_ASSERT_FATAL(archive_write_data(out, text, sizeof text - 1) == sizeof text - 1);
    archive_entry_free(entry);
    archive_write_free(out);
    put(0, kinds[a].name, bytes, size);
    prompt_list prompts = read_good(1);
    CU_ASSERT_FATAL(prompts.n == 2);
    CU_ASSERT(prompts.items[1].id == 9 && prompts.items[1].line == 2 && has_text(&prompts.items[1], "two"));
    free_prompts(&prompts);
    if (a + 1 < sizeof kinds / sizeof *kinds) {
      put(0, kinds[a].name, bytes, size / 2);
      refuse(1, TG_EDATA, kinds[a].name);
    }
    unlink(paths[0]);
  }
}

/* Oracle: the definition: what is not taken for a text. */
static void files_that_are_no_texts_are_refused(void) {
  put_text(0, "b.txt", "{\"text\": \"a\"}\n{\"text\": \"b\"}\n");
  refuse(1, TG_EDATA, "b.txt: is JSON lines by its first line and a text by its name; call it .jsonl");
  put(0, "b.txt", "PAR1\0\0\0\0PAR1", 12);
  refuse(1, TG_EDATA, "b.txt: is a Parquet file");
}

/* Oracle: RFC 8259: escapes, among them surrogate pairs and NUL, and the same characters as UTF-8. */
static void escapes_are_undone(void) {
  put_text(0, "a.jsonl",
           "{\"id\": 0, \"text\": \"\\u00e9\\u4e2d\\ud83d\\ude00 \\\"\\\\\\/\\b\\f\\n\\r\\t.\"}\n"
           "{\"id\": 1, \"text\": \"\xC3\xA9\xE4\xB8\xAD\xF0\x9F\x98\x80\"}\n"
           "{\"id\": 2, \"text\": \"a\\u0000b\"}\n"
           "{\"id\": 3, \"text\": \"\\uD834\\uDD1E\\uFFFF\\uDBFF\\uDFFF\"}\n"
           "{\"\\u0069d\": 4, \"te\\u0078t\": \"keys too\"}\n");
  prompt_list prompts = read_good(1);
  CU_ASSERT_FATAL(prompts.n == 5);
  CU_ASSERT(has_text(&prompts.items[0], "\xC3\xA9\xE4\xB8\xAD\xF0\x9F\x98\x80 \"\\/\b\f\n\r\t."));
  CU_ASSERT(has_text(&prompts.items[1], "\xC3\xA9\xE4\xB8\xAD\xF0\x9F\x98\x80"));
  CU_ASSERT(prompts.items[2].length == 3 && memcmp(prompts.items[2].text, "a\0b", 4) == 0);
  CU_ASSERT(has_text(&prompts.items[3], "\xF0\x9D\x84\x9E\xEF\xBF\xBF\xF4\x8F\xBF\xBF"));
  CU_ASSERT(has_text(&prompts.items[4], "keys too"));
  free_prompts(&prompts);
}

/* ---- white space ---- */

/* Python 3.11: [c for c in range(0x110000) if chr(c).isspace()] */
static const uint32_t python_spaces[] = {0x9,    0xA,    0xB,    0xC,    0xD,    0x1C,   0x1D,   0x1E,   0x1F,   0x20,
                                         0x85,   0xA0,   0x1680, 0x2000, 0x2001, 0x2002, 0x2003, 0x2004, 0x2005, 0x2006,
                                         0x2007, 0x2008, 0x2009, 0x200A, 0x2028, 0x2029, 0x202F, 0x205F, 0x3000};

static bool is_python_space(uint32_t c) {
  for (size_t a = 0; a < sizeof python_spaces / sizeof python_spaces[0]; a++)
    if (python_spaces[a] == c) return true;
  return false;
}

static size_t encode(uint32_t c, char *out) {
  if (c < 0x80) return out[0] = (char)c, 1;
  if (c < 0x800) return out[0] = (char)(0xC0 | c >> 6), out[1] = (char)(0x80 | (c & 63)), 2;
  if (c < 0x10000) {
    out[0] = (char)(0xE0 | c >> 12), out[1] = (char)(0x80 | (c >> 6 & 63)), out[2] = (char)(0x80 | (c & 63));
    return 3;
  }
  out[0] = (char)(0xF0 | c >> 18), out[1] = (char)(0x80 | (c >> 12 & 63));
  out[2] = (char)(0x80 | (c >> 6 & 63)), out[3] = (char)(0x80 | (c & 63));
  return 4;
}

/* "c" as UTF-8 where JSON allows it, else as an escape. */
static int print_character(char *out, size_t room, uint32_t c) {
  char text[5] = {0};
  encode(c, text);
  return c < 0x20 || c == '"' || c == '\\' ? snprintf(out, room, "\\u%04x", (unsigned)c)
                                           : snprintf(out, room, "%s", text);
}

/* Oracle: Python's str.isspace(), frozen above. Every character up to U+3100, the last of each length of UTF-8,
 * and some far ones that look like spaces (U+FEFF, U+E0020) or end in a space's bytes: twice on both ends and once in
 * the middle. */
static void strip_is_pythons(void) {
  static const uint32_t far[] = {0xA000, 0xC2A0,  0xD7FF,  0xE000,  0xFEFF,  0xFFFD,
                                 0xFFFF, 0x10000, 0x1F600, 0x2003F, 0xE0020, 0x10FFFF};
  enum { NEAR = 0x3100, ALL = NEAR + sizeof far / sizeof far[0], LINE = 120 };
  char *lines = malloc((size_t)ALL * LINE), *end = lines;
  CU_ASSERT_FATAL(lines != NULL);
  for (uint32_t a = 1; a < ALL; a++) {
    char c[8];
    print_character(c, sizeof c, a < NEAR ? a : far[a - NEAR]);
    end += snprintf(end, LINE, "{\"id\": %" PRIu32 ", \"text\": \"%s%sx%sy%s%s\"}\n", a, c, c, c, c, c);
  }
  put(0, "spaces.jsonl", lines, (size_t)(end - lines));
  free(lines);
  prompt_list prompts = read_good(1);
  int wrong = 0;
  CU_ASSERT_FATAL(prompts.n == ALL - 1);
  for (uint32_t a = 1; a < ALL; a++) {
    const uint32_t code = a < NEAR ? a : far[a - NEAR];
    char c[5] = {0}, whole[32];
    encode(code, c);
    const bool space = is_python_space(code);
    snprintf(whole, sizeof whole, space ? "%.0s%.0sx%sy" : "%s%sx%sy%s%s", c, c, c, c, c);
    if (!has_text(&prompts.items[a - 1], whole)) {
      printf("U+%04X is%s white space\n", (unsigned)code, space ? "" : " no");
      wrong++;
    }
  }
  CU_ASSERT(wrong == 0);
  free_prompts(&prompts);
}

/* Oracle: as above: all spaces together, around a text and alone. */
static void strip_takes_mixed_spaces(void) {
  char text[400], *end = text;
  for (size_t a = 0; a < sizeof python_spaces / sizeof python_spaces[0]; a++) end += encode(python_spaces[a], end);
  *end++ = 'x';
  for (size_t a = 0; a < sizeof python_spaces / sizeof python_spaces[0]; a++) end += encode(python_spaces[a], end);
  put(0, "a.txt", text, (size_t)(end - text));
  prompt_list prompts = read_good(1);
  CU_ASSERT(prompts.n == 1 && has_text(&prompts.items[0], "x"));
  free_prompts(&prompts);
  memmove(strchr(text, 'x'), strchr(text, 'x') + 1, (size_t)(end - strchr(text, 'x') - 1));
  put(0, "a.txt", text, (size_t)(end - text - 1));
  refuse(1, TG_EDATA, "a.txt: the text is empty");
}

/* ---- what is refused ---- */

/* Oracle: the table of exit statuses (65), the file's name and the line's number, blank lines counted. */
static void broken_lines_are_refused(void) {
  static const char *const not_json[] = {"{",
                                         "{\"id\": 2,}",
                                         "{'id': 2}",
                                         "id: 2",
                                         "{\"id\": 2} x",
                                         "{\"id\": 02}",
                                         "\"open",
                                         "{} {}",
                                         "[1, 2",
                                         "nul",
                                         "{\"id\": 2, \"text\": \"\t\"}"};
  for (size_t a = 0; a < sizeof not_json / sizeof not_json[0]; a++) refuse_text(not_json[a], "not JSON");
  static const char *const no_object[] = {"[]", "12", "\"text\"", "null", "[{\"id\": 1, \"text\": \"a\"}]"};
  for (size_t a = 0; a < sizeof no_object / sizeof no_object[0]; a++) refuse_text(no_object[a], "no JSON object");
  refuse_text("{\"id\": 2, \"id\": 3, \"text\": \"a\"}", "duplicate");
  refuse_text("{\"id\": 2, \"text\": \"a\", \"text\": \"a\"}", "duplicate");
  refuse_line("{\"id\": 2, \"text\": \"a\0b\"}", 24, "not JSON");
  refuse_line("\0{\"id\": 2, \"text\": \"a\"}", 23, "not JSON");
}

/* Oracle: as above. */
static void wrong_ids_are_refused(void) {
  refuse_text("{\"text\": \"a\"}", "no 'id', as the records before have");
  static const char *const wrong[] = {"1.0", "1e3", "\"1\"", "true", "null", "[1]"};
  for (size_t a = 0; a < sizeof wrong / sizeof wrong[0]; a++) {
    char line[100];
    snprintf(line, sizeof line, "{\"id\": %s, \"text\": \"a\"}", wrong[a]);
    refuse_text(line, "'id' is no integer");
  }
  refuse_text("{\"id\": 9223372036854775808, \"text\": \"a\"}", "too big");
  refuse_text("{\"id\": -9223372036854775809, \"text\": \"a\"}", "too big");
}

/* Oracle: as above. */
static void wrong_texts_are_refused(void) {
  refuse_text("{\"id\": 2}", "neither 'text' nor 'token_ids'");
  refuse_text("{\"id\": 2, \"text\": \"a\", \"token_ids\": [1]}", "both 'text' and 'token_ids'");
  refuse_text("{\"id\": 2, \"text\": 7}", "'text' is no string");
  refuse_text("{\"id\": 2, \"text\": null}", "'text' is no string");
  refuse_text("{\"id\": 2, \"text\": \"\"}", "the text is empty");
  refuse_text("{\"id\": 2, \"text\": \" \\t\\n\\u00a0\\u3000\"}", "the text is empty");
  static const char *const not_utf8[] = {"\xFF",
                                         "\xC3",
                                         "\x80",
                                         "\xC0\xA0",
                                         "\xE0\x80\xA0",
                                         "\xED\xA0\x80",
                                         "\xF0\x80\x80\xA0",
                                         "\xF4\x90\x80\x80",
                                         "\\ud800",
                                         "\\udc00\\ud800"};
  for (size_t a = 0; a < sizeof not_utf8 / sizeof not_utf8[0]; a++) {
    char line[100];
    snprintf(line, sizeof line, "{\"id\": 2, \"text\": \"x%s\"}", not_utf8[a]);
    refuse_text(line, "not JSON");
    snprintf(line, sizeof line, "x%s", not_utf8[a]);
    if (not_utf8[a][0] == '\\') continue;
    put_text(0, "a.txt", line);
    refuse(1, TG_EDATA, "a.txt: not UTF-8");
  }
}

/* Oracle: as above. */
static void wrong_token_ids_are_refused(void) {
  static const char *const no_list[] = {"[]", "{}", "7", "\"1 2\"", "null"};
  for (size_t a = 0; a < sizeof no_list / sizeof no_list[0]; a++) {
    char line[100];
    snprintf(line, sizeof line, "{\"id\": 2, \"token_ids\": %s}", no_list[a]);
    refuse_text(line, "token_ids is no list");
  }
  static const char *const wrong[] = {"-1",   "2147483648", "9223372036854775807", "1.5", "1.0", "\"1\"", "null",
                                      "true", "[1]"};
  for (size_t a = 0; a < sizeof wrong / sizeof wrong[0]; a++) {
    char line[100];
    snprintf(line, sizeof line, "{\"id\": 2, \"token_ids\": [5, 6, %s]}", wrong[a]);
    refuse_text(line, "token_ids[2] is no token id");
  }
}

/* Oracle: lists nested as deep as a stack would not stand end with a message, not a signal. */
static void a_depth_bomb_is_refused(void) {
  enum { DEEP = 1000000 };
  char *line = malloc(DEEP);
  CU_ASSERT_FATAL(line != NULL);
  memset(line, '[', DEEP);
  refuse_line(line, DEEP, "not JSON");
  for (int a = 0; a + 5 <= DEEP; a += 5) memcpy(line + a, "{\"a\":", 5);
  refuse_line(line, DEEP, "not JSON");
  free(line);
}

/* Oracle: sizes as made: a line of 5 MB of text, and one of a million token ids. */
static void long_lines_are_read(void) {
  enum { LONG = 5000000, MANY = 1000000 };
  char *line = malloc(LONG + 100 + 2 * MANY), *end = line;
  CU_ASSERT_FATAL(line != NULL);
  end += sprintf(end, "{\"id\": 1, \"text\": \"");
  memset(end, 'w', LONG);
  end += LONG;
  end += sprintf(end, "\"}\n{\"id\": 2, \"token_ids\": [1");
  for (int a = 1; a < MANY; a++) end += sprintf(end, ",%d", a % 10);
  end += sprintf(end, "]}\n");
  put(0, "long.jsonl", line, (size_t)(end - line));
  free(line);
  prompt_list prompts = read_good(1);
  CU_ASSERT_FATAL(prompts.n == 2);
  CU_ASSERT(prompts.items[0].length == LONG && strspn(prompts.items[0].text, "w") == LONG);
  CU_ASSERT(prompts.items[1].n_token_ids == MANY && prompts.items[1].token_ids[MANY - 1] == (MANY - 1) % 10);
  free_prompts(&prompts);
}

/* Oracle: the table of exit statuses: 66 for what is missing, 65 for what is wrong. */
/* A gigabyte of zeros without a line break, which takes no room on the disk, nor in memory. */
static void a_line_without_end_is_refused(void) {
  put_text(0, "zeros.jsonl", "{");
  CU_ASSERT_FATAL(truncate(paths[0], (off_t)1 << 30) == 0);
  refuse(1, TG_EDATA, "zeros.jsonl:1: the line is longer than 67108864 bytes");
  put_text(0, "zeros.txt", "a");
  CU_ASSERT_FATAL(truncate(paths[0], (off_t)1 << 30) == 0);
  refuse(1, TG_EDATA, "zeros.txt: larger than 67108864 bytes");
}

static void wrong_files_are_refused(void) {
  put_text(0, "a.jsonl", "{\"id\": 1, \"text\": \"a\"}\n");
  snprintf(paths[1], ROOM, "%s/none.jsonl", directory);
  files[1] = paths[1];
  refuse(2, TG_ENOINPUT, "none.jsonl: No such file");
  snprintf(paths[1], ROOM, "%s/folder.jsonl", directory);
  CU_ASSERT_FATAL(mkdir(paths[1], 0700) == 0);
  refuse(2, TG_ENOINPUT, "folder.jsonl: is no file");
  rmdir(paths[1]);
  put_text(1, "b.txt", "text\n");
  refuse(2, TG_EDATA, "a.jsonl is JSON lines and ");
  files[0] = paths[1], files[1] = paths[0];
  refuse(2, TG_EDATA, "a.jsonl is JSON lines and ");
  put_text(0, "empty.jsonl", "\n \r\n\n");
  refuse(1, TG_EDATA, "empty.jsonl: no prompts");
  put_text(0, "empty.jsonl", "");
  refuse(1, TG_EDATA, "empty.jsonl: no prompts");
  put_text(0, "empty.txt", "");
  refuse(1, TG_EDATA, "empty.txt: the text is empty");
}

int main(void) {
  CU_TestInfo tests[] = {{"lines are read", lines_are_read},
                         {"files are joined", files_are_joined},
                         {"texts are read", texts_are_read},
                         {"records have labels", records_have_labels},
                         {"places are ids", places_are_ids},
                         {"compressed files are read", compressed_files_are_read},
                         {"files that are no texts are refused", files_that_are_no_texts_are_refused},
                         {"escapes are undone", escapes_are_undone},
                         {"strip is Python's", strip_is_pythons},
                         {"strip takes mixed spaces", strip_takes_mixed_spaces},
                         {"broken lines are refused", broken_lines_are_refused},
                         {"wrong ids are refused", wrong_ids_are_refused},
                         {"wrong texts are refused", wrong_texts_are_refused},
                         {"wrong token ids are refused", wrong_token_ids_are_refused},
                         {"a depth bomb is refused", a_depth_bomb_is_refused},
                         {"long lines are read", long_lines_are_read},
                         {"a line without end is refused", a_line_without_end_is_refused},
                         {"wrong files are refused", wrong_files_are_refused},
                         CU_TEST_INFO_NULL};
  if (!mkdtemp(directory)) return EXIT_FAILURE;
  const int verdict = suite_run("prompts", tests);
  static const char *const names[] = {
      "bad.jsonl", "a.jsonl", "z.jsonl",      "a.json",     "m.ndjson",    "b.ndjson",  "b.txt",       "jsonl",
      "nul.txt",   "a.txt",   "spaces.jsonl", "long.jsonl", "empty.jsonl", "empty.txt", "zeros.jsonl", "zeros.txt"};
  for (size_t a = 0; a < sizeof names / sizeof names[0]; a++) {
    snprintf(paths[0], ROOM, "%s/%s", directory, names[a]);
    unlink(paths[0]);
  }
  if (rmdir(directory) != 0) printf("%s holds more files\n", directory);
  return verdict;
}
