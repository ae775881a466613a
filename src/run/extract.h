/* Hidden states to a file: the same sources as a run, written instead of measured. */
#ifndef TG_EXTRACT_H
#define TG_EXTRACT_H

#include "base/status.h"
#include <stdbool.h>

typedef struct {
  const char *config;
  const char *const *overrides;
  int n_overrides;
  const char *out; /* path */
  bool float32;    /* else bfloat16 */
  bool force;      /* replace an existing file */
} tg_extract_options;

/** Collective over MPI_COMM_WORLD, MPI initialized. Goes on from OUT.part where that is left from the same extraction.
 *  The code is the same on every rank: TG_OK; TG_ESTOPPED after a signal; other errors, printed. */
tg_status tg_extract_run(const tg_extract_options *options);

#endif
