#include "source/identity.h"

#include <sys/stat.h>

tg_status tg_source_print_file(FILE *out, const char *path) {
  struct stat at;
  TG_CHECK(stat(path, &at) == 0, TG_ENOINPUT, "%s: cannot be examined", path);
  fprintf(out, "%s: %lld bytes, modified %lld.%09ld\n", path, (long long)at.st_size, (long long)at.st_mtim.tv_sec,
          at.st_mtim.tv_nsec);
  return TG_OK;
}
