/* A first look at HDF5 files of unknown origin, in a child process: libhdf5 itself crashes on some damaged files. Before
 * MPI_Init only (base/child.h). Local. */
#ifndef TG_LOOK_H
#define TG_LOOK_H

#include "base/status.h"

/** Walks each file as its readers will: every link, attribute and type, small datasets whole, of large ones a few chunks.
 *  A file that merely cannot be read is left to its reader, whose message says more.
 *  use     what readers do, called in the child on a file that passed, unless there are many; NULL: nothing
 *  paths   [n]; those that are no HDF5 files are passed over
 *  errors  TG_EDATA where libhdf5 crashes or does not end; for external and user-defined links, names that lead out of
 *          a directory, numbers in other files (external storage, virtual datasets), sizes that the file cannot hold */
tg_status tg_h5_look(const char *const *paths, int n, void (*use)(const char *path));

#endif
