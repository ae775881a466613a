/* Inside of source/: datasets of a hidden-state file, held against what they should be and read. Local.
 * path, name: of the file and the dataset, for messages. */
#ifndef TG_DATASET_H
#define TG_DATASET_H

#include "source/source_impl.h"
#include <hdf5.h>

enum { TG_STATES_AXES = 5 }; /* of hidden_states: prompt, shuffle, layer, token, width */

/* Opens hidden_states, with a cache in which the chunks of a cloud have room.
 * states, cache: the dataset, which the caller closes, and the cache's bytes where it has chunks. errors TG_EDATA */
tg_status tg_dataset_open_states(const char *path, hid_t file, hid_t *states, size_t *cache);

/* Which element a type is. errors TG_EDATA: none */
tg_status tg_dataset_element(const char *path, const char *name, hid_t type, tg_element *out);

/* The shape of a dataset of a given rank; its storage is checked too.
 * dataset: -1 when it is not there; axes: what they are, for messages. errors TG_EDATA */
tg_status tg_dataset_shape(const char *path, hid_t dataset, const char *name, const char *axes, int rank,
                           hsize_t *shape);

/* Checks a small dataset, and reads it whole into `out` unless that is NULL. type: in memory, of the class it must have.
 * errors TG_EDATA */
tg_status tg_dataset_read(const char *path, hid_t file, const char *name, const char *axes, int rank,
                          const hsize_t *expected, hid_t type, void *out);

/* Reads the block start, count of a dataset into packed memory of the given type (0: the dataset's own).
 * name: of messages, with the block's place. errors TG_EDATA, also for an integer that the type cannot hold */
tg_status tg_dataset_read_block(const char *path, const char *name, hid_t dataset, int rank, const hsize_t *start,
                                const hsize_t *count, hid_t type, void *out);

#endif
