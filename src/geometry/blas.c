#include "geometry/blas.h"

#include <cblas.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

char *openblas_get_corename(void); /* not in Debian's cblas.h */

/* A core for a CPU that OpenBLAS does not know; NULL: it knows it, or there is nothing better. */
static const char *better_core(void) {
#if defined(__x86_64__)
  if (strcmp(openblas_get_corename(), "Prescott") != 0) return NULL;
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512cd"))
    return "SkylakeX";
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return "Haswell";
#endif
  return NULL;
}

void tg_blas_prepare(char **argv) {
  const char *core = getenv("OPENBLAS_CORETYPE") ? NULL : better_core();
  const int threads = !getenv("OPENBLAS_NUM_THREADS") && setenv("OPENBLAS_NUM_THREADS", "1", 1) == 0;
  if ((core && setenv("OPENBLAS_CORETYPE", core, 1) == 0) || threads)
    execv("/proc/self/exe", argv); /* where this fails, all that is lost is time */
}
