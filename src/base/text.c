#include "base/text.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

static bool is_control(unsigned char c) { return c < 0x20 || c == 0x7F; }

/* Bytes of the UTF-8 character that begins here; 0: none does. */
static int length_of(const unsigned char *c) {
  const int length = c[0] < 0x80                   ? 1
                     : c[0] >= 0xC2 && c[0] < 0xE0 ? 2
                     : c[0] >= 0xE0 && c[0] < 0xF0 ? 3
                     : c[0] >= 0xF0 && c[0] < 0xF5 ? 4
                                                   : 0;
  for (int a = 1; a < length; a++)
    if (c[a] < 0x80 || c[a] > 0xBF) return 0;
  if ((c[0] == 0xE0 && c[1] < 0xA0) || (c[0] == 0xF0 && c[1] < 0x90)) return 0; /* longer than need be */
  return length;
}

char *tg_text_clean(char *text, bool lines) {
  unsigned char *to = (unsigned char *)text;
  for (const unsigned char *from = to; *from;) {
    const int length = length_of(from);
    const bool stray = length == 0 && *from >= 0x80 && *from < 0xA0,
               c1 = length == 2 && from[0] == 0xC2 && from[1] < 0xA0;
    if (stray || c1 || (is_control(*from) && !(lines && *from == '\n'))) {
      *to++ = '?';
      from += length ? length : 1;
    } else
      for (int a = 0; a < (length ? length : 1); a++) *to++ = *from++;
  }
  *to = '\0';
  return text;
}

void tg_text_print(FILE *out, const char *format, ...) {
  char *text = NULL;
  va_list args;
  va_start(args, format);
  const int length = vasprintf(&text, format, args);
  va_end(args);
  if (length < 0) return;
  fputs(tg_text_clean(text, true), out);
  free(text);
}

void tg_text_cell(FILE *out, const char *text) {
  const bool quoted = strpbrk(text, ",\"\r\n") != NULL, formula = *text && strchr("=+-@\t\r", *text);
  if (quoted) fputc('"', out);
  if (formula) fputc('\'', out);
  for (; *text; text++) {
    if (*text == '"') fputc('"', out);
    fputc(*text, out);
  }
  if (quoted) fputc('"', out);
}

void tg_text_drop_directories(char *text) {
  char *to = text;
  for (char *line = text, *end; *line; line = end) {
    end = line + strcspn(line, "\n");
    end += *end == '\n';
    char *first = line, *last = end;
    while (first < end && !(*first == '/' && (first == line || first[-1] == ' ' || first[-1] == '"'))) first++;
    while (last > first && last[-1] != '/') last--;
    memmove(to, line, (size_t)(first - line));
    to += first - line;
    memmove(to, last, (size_t)(end - last));
    to += end - last;
  }
  *to = '\0';
}
