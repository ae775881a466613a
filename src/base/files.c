#include "base/files.h"

#include "base/memory.h"
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Length and space; 0 or errno. Where a file system reserves nothing the file has its length, of zeros: posix_fallocate would write a
 * byte a page instead, and once more the next time. */
static int reserve(int descriptor, off_t size) {
  if (fallocate(descriptor, 0, 0, size) == 0) return 0;
  const int failed = errno;
  if (failed != EOPNOTSUPP && failed != ENOSYS && failed != EINVAL) return failed;
  struct stat at;
  if (fstat(descriptor, &at) != 0) return errno;
  return at.st_size >= size || ftruncate(descriptor, size) == 0 ? 0 : errno;
}

tg_status tg_file_reserve(const char *path, double bytes) {
  const int create = bytes > 0.0 ? O_CREAT : 0; /* a finished file that has vanished must not come back empty */
  const int descriptor = open(path, O_RDWR | create | O_CLOEXEC, 0666);
  TG_CHECK(descriptor >= 0, TG_EIO, "%s: %s", path, strerror(errno));
  struct stat at;
  int failed = fstat(descriptor, &at) == 0 ? 0 : errno;
  const off_t size = bytes > (double)at.st_size ? (off_t)bytes : at.st_size;
  if (!failed && size > 0) failed = reserve(descriptor, size);
  if (!failed && fsync(descriptor) != 0) failed = errno;
  if (close(descriptor) != 0 && !failed) failed = errno;
  TG_CHECK(!failed, TG_EIO, "%s: %s (the file needs %.1f MB)", path, strerror(failed), (double)size / 1e6);
  return TG_OK;
}

tg_status tg_file_put_in_place(const char *part, const char *path) {
  TG_CHECK(rename(part, path) == 0, TG_EIO, "%s cannot be renamed to %s: %s", part, path, strerror(errno));
  char *copy = tg_copy_string(path);
  const int directory = copy ? open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
  if (directory >= 0) {
    fsync(directory); /* not every file system can; the rename itself is done */
    close(directory);
  }
  free(copy);
  return TG_OK;
}

tg_status tg_file_identify(const char *path, tg_file_identity *out) {
  struct stat at;
  const int descriptor = open(path, O_RDWR | O_CLOEXEC);
  TG_CHECK(descriptor >= 0, TG_EIO, "%s: cannot be opened for writing (%s)", path, strerror(errno));
  const int failed = fstat(descriptor, &at) == 0 ? 0 : errno;
  close(descriptor);
  TG_CHECK(!failed, TG_EIO, "%s: %s", path, strerror(failed));
  *out = (tg_file_identity){at.st_dev, at.st_ino};
  return TG_OK;
}

tg_status tg_file_still_there(const char *path, const tg_file_identity *opened) {
  struct stat at;
  TG_CHECK(stat(path, &at) == 0, TG_EIO, "%s: was removed or renamed during the run (%s)", path, strerror(errno));
  TG_CHECK(at.st_dev == opened->device && at.st_ino == opened->inode, TG_EIO,
           "%s: was replaced by another file during the run", path);
  return TG_OK;
}

tg_status tg_make_directory(const char *path) {
  TG_CHECK(mkdir(path, 0777) == 0 || errno == EEXIST, TG_EIO, "%s: %s", path, strerror(errno));
  return TG_OK;
}
