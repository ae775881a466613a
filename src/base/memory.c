#include "base/memory.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* Rows of a large cloud lie on as many pages as there are rows, more than a CPU remembers the places of: huge pages, where
 * the system gives them, make that one page in 512. */
enum { HUGE_PAGE = 2 << 20 };

tg_status tg_alloc_bytes(size_t count, size_t size, void **out) {
  *out = NULL;
  size_t bytes = 0;
  const int overflow = __builtin_mul_overflow(count ? count : 1, size, &bytes) || bytes > SIZE_MAX - HUGE_PAGE;
  TG_CHECK(!overflow, TG_EINTERNAL, "%zu items of %zu bytes are more than the address space holds", count, size);
  const size_t alignment = bytes >= 2 * HUGE_PAGE ? HUGE_PAGE : 64;
  bytes = (bytes + alignment - 1) / alignment * alignment;
  *out = aligned_alloc(alignment, bytes);
  TG_CHECK(*out, TG_EINTERNAL, "no memory for %zu bytes", bytes);
  if (alignment == HUGE_PAGE) madvise(*out, bytes, MADV_HUGEPAGE); /* a hint: it may fail */
  memset(*out, 0, bytes);
  return TG_OK;
}

char *tg_copy_string(const char *text) { return strdup(text); }

double tg_resident_bytes(void) {
  long pages = 0;
  FILE *file = fopen("/proc/self/statm", "r");
  if (!file) return 0.0;
  if (fscanf(file, "%*d %ld", &pages) != 1) pages = 0;
  fclose(file);
  return (double)pages * (double)sysconf(_SC_PAGESIZE);
}
