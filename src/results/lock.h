/* A lock beside the result file, so that two runs never write one file. Local, one rank. */
#ifndef TG_LOCK_H
#define TG_LOCK_H

#include "base/status.h"

typedef struct {
  char *path;
  int descriptor; /* -1: not held */
} tg_lock;

/** Takes PATH.lock; released by the system when the process ends in whatever way.
 *  errors  TG_EIO when another run holds it or its directory does not exist */
tg_status tg_lock_take(const char *path, tg_lock *lock);
void tg_lock_release(tg_lock *lock); /* safe when not held */

#endif
