/* Work that may crash or never end, done in a child process: a library's bugs on hostile input end the child, not the
 * program. Before MPI_Init only: some networks do not survive a fork. Local. */
#ifndef TG_CHILD_H
#define TG_CHILD_H

#include "base/status.h"

typedef struct tg_child tg_child; /* what a child tells its parent */

/** Called by the child: from here on it works on `name` (cut to 1000 bytes), and has its seconds anew. */
void tg_child_begin(tg_child *child, const char *name);

/** Runs work(context, child) in a child, whose stderr is thrown away, and waits for its end.
 *  doing    of messages, e.g. "libhdf5": "NAME: libhdf5 crashed (signal 11) when reading it; the file is damaged"
 *  seconds  of CPU time that the work on one name may take: waiting for a slow disk does not count
 *  errors   what work returned, with its message; TG_EDATA where it crashed or took too long; TG_EINTERNAL */
tg_status tg_child_run(const char *doing, int seconds, tg_status (*work)(void *context, tg_child *child),
                       void *context);

#endif
