/* Small helpers around HDF5: why the latest call failed, and strings. Local: no communication. HDF5 of Debian is not
 * thread-safe: while a read-ahead is under way (source/reader.h) no other thread calls any of this. */
#ifndef TG_H5_H
#define TG_H5_H

#include "base/status.h"
#include <hdf5.h>
#include <stdbool.h>

/** Call once before any other use of HDF5: failures are remembered instead of printed, nothing is done at exit, and external
 *  links are not followed. */
void tg_h5_prepare(void);

/** What reads of integers go through: HDF5 makes a number that does not fit the nearest one that does; so such a read fails.
 *  tg_h5_unfit: whether the latest failure was one, and of what number, as text. */
hid_t tg_h5_exactly(void);
const char *tg_h5_unfit(void);

/** The innermost message of the latest failure, with the errno text where a system call failed. Valid until the next. */
const char *tg_h5_reason(void);

/** Opens an existing HDF5 file for reading. errors TG_ENOINPUT missing or unreadable, TG_EDATA not HDF5 or damaged */
tg_status tg_h5_open_input(const char *path, hid_t *file);

/** Creates a file, or empties one: without a lock on it, which somebody who opens it at that moment would make fail. Negative where HDF5
 *  fails. */
hid_t tg_h5_create_file(const char *path);

/** Whether a dataset's numbers lie in its own file, and may fit into it: each byte of a file stands for 4096 at most.
 *  Before anything is allocated by its shape. path, name: of messages. errors TG_EDATA */
tg_status tg_h5_check_storage(const char *path, const char *name, hid_t dataset);

/** Whether all links of a path "a/b/c" or "/a/b/c" are there. */
bool tg_h5_has(hid_t place, const char *path);

/** A string attribute (fixed or variable length) as a new string, NULL when it is absent, no string, or
 *  of a fixed length beyond 64 MB. */
char *tg_h5_string_attribute(hid_t object, const char *name);

/** An integer attribute, or a boolean as h5py writes one, or `fallback` when it is absent or neither. */
long tg_h5_integer_attribute(hid_t object, const char *name, long fallback);

/** An attribute as text for messages: "7", "1.0", "'text'", "(absent)", "of another kind". Valid until the next call of this thread. */
const char *tg_h5_shown_attribute(hid_t object, const char *name);

/** An element type as text for messages: "float64", "uint8", "big-endian float32", "a string". Valid until the next call of this thread. */
const char *tg_h5_shown_type(hid_t type);

/** Gives an object a new text attribute. A failure shows when the file is flushed. */
void tg_h5_write_text_attribute(hid_t object, const char *name, const char *text);

/** A scalar string dataset as a new string, NULL when absent. */
char *tg_h5_string_dataset(hid_t place, const char *name);

/** Gives a file a dataset of n texts of UTF-8, each as long as the longest. Negative where HDF5 fails. Caller closes. */
hid_t tg_h5_create_texts(hid_t place, hid_t links, const char *name, char *const *texts, int64_t n);

/** The n texts of a dataset of one axis, of fixed or variable length, as new strings. False: it is none, or cannot be read. */
bool tg_h5_read_texts(hid_t dataset, int64_t n, char **texts);

/** Moves a block start, count between packed memory and a dataset, independently of other ranks and by pieces of 1 GiB at most: reads
 *  into `read_into`, or writes where that is NULL. rank 0: a scalar. Negative where HDF5 fails. */
herr_t tg_h5_move(hid_t dataset, int rank, const hsize_t *start, const hsize_t *count, hid_t memory_type,
                  void *read_into, const void *write_from);

#endif
