/* tokengeom: arguments -> config -> pipeline -> exit status. */
#include "commands/cli.h"
#include "geometry/blas.h"

int main(int argc, char **argv) {
  tg_blas_prepare(argv);
  return tg_cli_main(argc, argv);
}
