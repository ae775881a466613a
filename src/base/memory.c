#include "base/memory.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

tg_status tg_alloc_bytes(size_t count, size_t size, void **out) {
  *out = NULL;
  size_t bytes = 0;
  const int overflow = __builtin_mul_overflow(count ? count : 1, size, &bytes) || bytes > SIZE_MAX - 63;
  TG_CHECK(!overflow, TG_EINTERNAL, "%zu items of %zu bytes are more than the address space holds", count, size);
  bytes = (bytes + 63) / 64 * 64;
  *out = aligned_alloc(64, bytes);
  TG_CHECK(*out, TG_EINTERNAL, "no memory for %zu bytes", bytes);
  memset(*out, 0, bytes);
  return TG_OK;
}

char *tg_copy_string(const char *text) { return strdup(text); }
