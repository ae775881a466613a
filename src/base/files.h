/* Files that appear whole or not at all: written as FILE.part, put in place by a rename; and directories. Local, one rank. */
#ifndef TG_FILES_H
#define TG_FILES_H

#include "base/status.h"

/** Reserves all blocks of a file up to `bytes`, made when it is not there (0: of an existing one, its own size), and puts
 *  it on the disk.
 *  errors  TG_EIO, also for a disk that is too small */
tg_status tg_file_reserve(const char *path, double bytes);

/** Renames FILE.part to FILE, replacing it in one step. errors TG_EIO */
tg_status tg_file_put_in_place(const char *part, const char *path);

/** Whether a file that is open still has its name: one that was removed or renamed can be written to, for nothing.
 *  errors  TG_EIO */
tg_status tg_file_still_there(const char *path);

/** Whether an existing file can be written to: to know before an open in which all ranks take part. errors TG_EIO */
tg_status tg_file_writable(const char *path);

/** Makes a directory unless there is one. errors TG_EIO */
tg_status tg_make_directory(const char *path);

#endif
