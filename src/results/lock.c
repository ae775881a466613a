#include "results/lock.h"

#include "base/memory.h"
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Whether the locked file is still the one at its path: another run may have removed it at its end. */
static int is_current(const tg_lock *lock) {
  struct stat held, there;
  return fstat(lock->descriptor, &held) == 0 && stat(lock->path, &there) == 0 && held.st_dev == there.st_dev &&
         held.st_ino == there.st_ino;
}

/* As HDF5 is told that a file system has none. */
static bool locks_are_off(void) {
  const char *use = getenv("HDF5_USE_FILE_LOCKING");
  return use && (strcmp(use, "FALSE") == 0 || strcmp(use, "0") == 0);
}

static tg_status try_lock(const char *path, tg_lock *lock) {
  lock->descriptor = open(lock->path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  TG_CHECK(lock->descriptor >= 0, TG_EIO, "%s: cannot be created: %s", lock->path, strerror(errno));
  struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
  if (locks_are_off() || fcntl(lock->descriptor, F_OFD_SETLK, &whole) == 0) return TG_OK;
  const int busy = errno == EAGAIN || errno == EACCES;
  if (errno == ENOLCK || errno == ENOSYS || errno == EOPNOTSUPP) {
    fprintf(
        stderr,
        "tokengeom: warning: %s: this file system has no locks (%s); nothing keeps another run from writing to %s\n",
        lock->path, strerror(errno), path);
    return TG_OK;
  }
  const char *why = strerror(errno);
  close(lock->descriptor);
  lock->descriptor = -1;
  TG_CHECK(!busy, TG_EIO, "%s: another run is writing this file (%s is locked)", path, lock->path);
  return tg_fail(TG_EIO, TG_HERE, "%s: cannot be locked: %s", lock->path, why);
}

tg_status tg_lock_take(const char *path, tg_lock *lock) {
  *lock = (tg_lock){NULL, -1};
  TG_TRY(TG_ALLOC(strlen(path) + 6, &lock->path));
  sprintf(lock->path, "%s.lock", path);
  for (int attempt = 0; attempt < 100; attempt++) {
    TG_TRY(try_lock(path, lock));
    if (is_current(lock)) return TG_OK;
    close(lock->descriptor);
    lock->descriptor = -1;
  }
  return tg_fail(TG_EIO, TG_HERE, "%s: keeps being replaced", lock->path);
}

void tg_lock_release(tg_lock *lock) {
  if (lock->descriptor >= 0) {
    if (is_current(lock)) unlink(lock->path); /* it may have been removed, and be another run's by now */
    close(lock->descriptor);
  }
  free(lock->path);
  *lock = (tg_lock){NULL, -1};
}
