/* tokengeom: arguments -> config -> pipeline -> exit status. */
#include "commands/cli.h"

#include <stdlib.h>
#include <unistd.h>

/* OpenBLAS starts a thread for every core when it is loaded, in every rank: on a node of 192 cores 36 864 of them. Only its
 * environment variable, read before main, prevents that; so the program sets it and starts itself once more. More threads
 * inside a rank are asked for by compute.blas_threads. */
static void load_blas_without_threads(char **argv) {
  if (getenv("OPENBLAS_NUM_THREADS") || setenv("OPENBLAS_NUM_THREADS", "1", 1) != 0) return;
  execv("/proc/self/exe", argv); /* where this fails, all that is lost is the tidiness */
}

int main(int argc, char **argv) {
  load_blas_without_threads(argv);
  return tg_cli_main(argc, argv);
}
