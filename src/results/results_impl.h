/* What the files that make up results.h share. */
#ifndef TG_RESULTS_IMPL_H
#define TG_RESULTS_IMPL_H

#include "base/files.h"
#include "results/results.h"

typedef struct {
  hid_t fields[TG_N_FIELDS]; /* -1: the model has no such field */
  hid_t moments[TG_N_FIELDS][TG_N_MOMENTS];
  hid_t correlations[TG_N_CORRELATIONS][TG_N_R]; /* -1 too */
  hid_t checksums;
} tg_model_datasets;

struct tg_results {
  MPI_Comm comm; /* MPI_COMM_NULL: opened for reading, by this process alone */
  char *path;
  tg_file_identity identity; /* of the file that is open; not of one opened for reading */
  hid_t file;
  const tg_results_layout *layout;
  tg_model_datasets *models;
  unsigned char *scratch;
  size_t scratch_size;
};

/** At least `bytes` of scratch. errors TG_EINTERNAL */
tg_status tg_results_scratch(tg_results *r, size_t bytes);

/** The type of a field's numbers in memory. */
hid_t tg_results_memory_type(tg_type type);

#endif
