/* Writing a hidden-state file (format version 1): made whole as FILE.part by rank 0, then written by all ranks, each its own
 * prompts and levels, and put in place when all are there. FILE.part says what it already has, so an extraction that was
 * stopped or killed goes on: dataset `done` has for each prompt and level, once it is written, a checksum of it, as a result file has
 * for each cloud. It is written last; what a file system lost since, it tells. */
#ifndef TG_STATES_FILE_H
#define TG_STATES_FILE_H

#include "geometry/cloud.h"
#include "source/source.h"
#include <mpi.h>

typedef struct tg_states_file tg_states_file;

typedef struct {
  const char *part;           /* path */
  const tg_source_info *info; /* borrowed */
  bool bfloat16;              /* else float32 */
  const double *metric;       /* W^T W [width][width], NULL: none */
  const char *origin;         /* what the file is made from; the same for the same content */
} tg_states_layout;

/** Bytes of the file's numbers. */
double tg_states_bytes(const tg_states_layout *layout);

/** Local, one rank. errors TG_EIO, also when the disk has no room; then no file is left */
tg_status tg_states_create(const tg_states_layout *layout);

/** Local. Whether FILE.part is there and goes on from: origin must be the same.
 *  errors  TG_ECONFIG with the first difference when it is another extraction's, or when it has no checksums; TG_ENOINPUT when it
 *          cannot be read */
tg_status tg_states_check(const tg_states_layout *layout, bool *there);

/** Collective. Opens FILE.part for writing by all ranks. out: caller closes.
 *  errors  TG_EINTERNAL agreed on; where some rank cannot open the file all ranks end with MPI_Abort */
tg_status tg_states_open(MPI_Comm comm, const tg_states_layout *layout, tg_states_file **out);

/** Collective. Makes what was written safe on the disk and closes FILE.part.
 *  path    FILE, when all is there: FILE.part becomes FILE then; NULL: it stays
 *  errors  TG_EIO, agreed on, also where FILE.part is no longer what was opened. Safe on NULL, leaves NULL. */
tg_status tg_states_close(tg_states_file **file, const char *path);

/* Local, independent input and output; errors TG_EIO, after which the caller aborts. */

/** What each (prompt, level) is marked with, [n_prompts][n_levels]: 0: not there; else the XXH64 of all that was written of it, layer
 *  after layer, then loss, token losses, entropies and token ids, each hashed with the hash before as the seed; 1 in place of 0. */
tg_status tg_states_read_marks(tg_states_file *file, uint64_t *marks);

/** Reads back what is marked. good: whether its checksum is the mark */
tg_status tg_states_check_marked(tg_states_file *file, int64_t p, int s, uint64_t mark, bool *good);

/** Marks a (prompt, level) as not there: it is to be written again. */
tg_status tg_states_forget(tg_states_file *file, int64_t p, int s);

/** One cloud; bfloat16 rounds to the nearest, ties to even. */
tg_status tg_states_write_cloud(tg_states_file *file, int64_t p, int s, int l, const tg_cloud *cloud);

/** What a (prompt, level) has beside its clouds, after these, layer 0 first; then marks it as there. */
tg_status tg_states_write_scalars(tg_states_file *file, int64_t p, int s, const tg_source_scalars *scalars);

#endif
