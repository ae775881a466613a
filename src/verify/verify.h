/* `tokengeom verify`: whether a result file is what a run wrote. Local: one process, no MPI_Init: a child process
 * looks at the files first (hdf5/look.h). */
#ifndef TG_VERIFY_H
#define TG_VERIFY_H

#include "base/status.h"
#include <stdint.h>

/** Checks a result file and prints a line for each check, with what is wrong below it: its provenance, the shapes that follow
 *  from it, the state of its clouds, their checksums, the statistics, which are computed again from the rows, and a sample
 *  of clouds, which are measured again from the inputs where these are there.
 *  sample  how many clouds, 0: none; seed: of their choice
 *  errors  TG_EDATA: something is wrong; TG_ENOINPUT; TG_ESTOPPED: nothing is wrong, but the run was not completed */
tg_status tg_verify(const char *path, int sample, uint64_t seed);

#endif
