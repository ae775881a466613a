#include "base/status.h"

#include <stdarg.h>
#include <stdio.h>

/* Room for a config file's mistakes, all listed at once. */
static _Thread_local char message[16384];

tg_status tg_fail(tg_status code, const char *where, const char *format, ...) {
  int used = 0;
  if (code == TG_EINTERNAL) used = snprintf(message, sizeof message, "%s: ", where);
  va_list args;
  va_start(args, format);
  vsnprintf(message + used, sizeof message - (size_t)used, format, args);
  va_end(args);
  return code;
}

const char *tg_last_error(void) { return message; }
