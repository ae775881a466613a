/* Names out of files where they are shown: on a terminal, in messages, in CSV files. */
#include "../oracle/suite.h"
#include "base/status.h"
#include "base/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool same(const char *got, const char *expected) {
  if (strcmp(got, expected) != 0) printf("\n    expected: %s\n    got:      %s", expected, got);
  return strcmp(got, expected) == 0;
}

static bool cleans(const char *text, bool lines, const char *expected) {
  char *copy = strdup(text);
  const bool good = copy && tg_text_clean(copy, lines) == copy && same(copy, expected);
  free(copy);
  return good;
}

/* Oracle: ISO/IEC 6429 (C0, C1) and the Unicode standard's table 3-7 of well-formed UTF-8. */
static void control_characters_are_shown(void) {
  CU_ASSERT(cleans("", true, "") && cleans("plain", true, "plain"));
  CU_ASSERT(cleans("\x1b]0;x\x07 \x1b[2J", true, "?]0;x? ?[2J"));
  CU_ASSERT(cleans("a\nb\r\nc\td\x7f", true, "a\nb?\nc?d?") && cleans("a\nb", false, "a?b"));
  CU_ASSERT(cleans("a\xc2\x80z\xc2\x9b"
                   "31m\xc2\x9f",
                   true, "a?z?31m?")); /* C1 as UTF-8 */
  CU_ASSERT(cleans("a\x9b"
                   "31m",
                   true, "a?31m")); /* C1 of eight bits */
  CU_ASSERT(cleans("\xe0\x82\x9b"
                   "31m",
                   true, "\xe0??31m")); /* U+009B, longer than need be */
  CU_ASSERT(
      cleans("\xc2\xa0\xc3\xa9\xe2\x82\xac\xf0\x9f\x99\x82", true, "\xc2\xa0\xc3\xa9\xe2\x82\xac\xf0\x9f\x99\x82"));
  CU_ASSERT(cleans("\xe9t\xe9", true, "\xe9t\xe9"));                            /* a name in Latin-1 */
  CU_ASSERT(cleans("\xe2\x9b", true, "\xe2?") && cleans("\xc2", true, "\xc2")); /* cut */
}

static void messages_are_clean(void) {
  CU_ASSERT(tg_fail(TG_EDATA, TG_HERE, "%s: no model", "a\x1b[31m\n\xc2\x9b") == TG_EDATA);
  CU_ASSERT(same(tg_last_error(), "a?[31m??: no model"));
  CU_ASSERT(tg_fail_in_lines(TG_ECONFIG, TG_HERE, "one\x1b\n%s", "two") == TG_ECONFIG);
  CU_ASSERT(same(tg_last_error(), "one?\ntwo"));
}

static bool is_cell(const char *text, const char *expected) {
  char *got = NULL;
  size_t size;
  FILE *out = open_memstream(&got, &size);
  if (!out) return false;
  tg_text_cell(out, text);
  fclose(out);
  const bool good = same(got, expected);
  free(got);
  return good;
}

/* Oracle: RFC 4180, 2.5 to 2.7; the characters that OWASP's page on CSV injection lists. */
static void cells_are_one_cell_of_text(void) {
  CU_ASSERT(is_cell("", "") && is_cell("Llama-3-8B", "Llama-3-8B") && is_cell("a b", "a b"));
  CU_ASSERT(is_cell("a,b", "\"a,b\"") && is_cell("a\"b", "\"a\"\"b\"") && is_cell("a\nb", "\"a\nb\""));
  CU_ASSERT(is_cell("a\rb", "\"a\rb\"") && is_cell("\"", "\"\"\"\"") && is_cell(",", "\",\""));
  CU_ASSERT(is_cell("=1+2", "'=1+2") && is_cell("+1", "'+1") && is_cell("-1", "'-1") && is_cell("@A1", "'@A1"));
  CU_ASSERT(is_cell("\t=1", "'\t=1") && is_cell("\r=1", "\"'\r=1\""));
  CU_ASSERT(is_cell("=HYPERLINK(\"x\",1)", "\"'=HYPERLINK(\"\"x\"\",1)\"") && is_cell("a=1", "a=1"));
}

/* Oracle: the definition, line by line. */
static void directories_are_dropped(void) {
  char text[] = "a: /x/y/z.h5: 3 bytes\n  model: \"/p q/m.gguf\"\n/a/b\nn/a: 1/2\n- \"/one\"\n\nno path\nlast /d/e/";
  tg_text_drop_directories(text);
  CU_ASSERT(same(text, "a: z.h5: 3 bytes\n  model: \"m.gguf\"\nb\nn/a: 1/2\n- \"one\"\n\nno path\nlast "));
}

int main(void) {
  CU_TestInfo tests[] = {{"control characters are shown", control_characters_are_shown},
                         {"messages are clean", messages_are_clean},
                         {"cells are one cell of text", cells_are_one_cell_of_text},
                         {"directories are dropped", directories_are_dropped},
                         CU_TEST_INFO_NULL};
  return suite_run("text", tests);
}
