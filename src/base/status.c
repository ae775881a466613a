#include "base/status.h"

#include "base/text.h"
#include <stdarg.h>
#include <stdio.h>

/* Room for a config file's mistakes, all listed at once. */
static _Thread_local char message[16384];

/* What stands in the message comes from files, too: nothing in it may move a terminal's cursor. */
static void record(tg_status code, const char *where, bool lines, const char *format, va_list args) {
  int used = 0;
  if (code == TG_EINTERNAL) used = snprintf(message, sizeof message, "%s: ", where);
  vsnprintf(message + used, sizeof message - (size_t)used, format, args);
  tg_text_clean(message, lines);
}

tg_status tg_fail(tg_status code, const char *where, const char *format, ...) {
  va_list args;
  va_start(args, format);
  record(code, where, false, format, args);
  va_end(args);
  return code;
}

tg_status tg_fail_in_lines(tg_status code, const char *where, const char *format, ...) {
  va_list args;
  va_start(args, format);
  record(code, where, true, format, args);
  va_end(args);
  return code;
}

const char *tg_last_error(void) { return message; }
