/* Reading a result file (or any HDF5 file) dataset by dataset. Local: no communication. */
#ifndef TG_LOAD_H
#define TG_LOAD_H

#include "base/status.h"
#include <hdf5.h>
#include <stdint.h>

enum { TG_LOAD_AXES = 8 };

/** Numbers of one dataset as float64, with its shape. */
typedef struct {
  int n_axes;
  int64_t shape[TG_LOAD_AXES];
  int64_t count;
  double *values; /* owned */
} tg_array;

/** Reads the dataset `path` under `place`. errors TG_EDATA when it is absent or no array of numbers. Caller frees. */
tg_status tg_array_load(hid_t place, const char *path, tg_array *out);
void tg_array_free(tg_array *array);

/** Reads a dataset of integers, e.g. an axis, whole and exactly: *values [*count], caller frees. errors as above */
tg_status tg_integers_load(hid_t place, const char *path, int64_t **values, int64_t *count);

/** Calls `visit` for every model group under /models of an open result file, in alphabetical order; stops at an error. */
tg_status tg_results_each_model(hid_t file, tg_status (*visit)(hid_t group, const char *name, void *context),
                                void *context);

#endif
