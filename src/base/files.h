/* Files that appear whole or not at all: written as FILE.part, put in place by a rename; and directories. Local, one rank. */
#ifndef TG_FILES_H
#define TG_FILES_H

#include "base/status.h"
#include <sys/types.h>

/** Reserves all blocks of a file up to `bytes`, made when it is not there (0: of an existing one, its own size), and puts
 *  it on the disk.
 *  errors  TG_EIO, also for a disk that is too small */
tg_status tg_file_reserve(const char *path, double bytes);

/** Renames FILE.part to FILE, replacing it in one step. errors TG_EIO */
tg_status tg_file_put_in_place(const char *part, const char *path);

/** Which file it is, whatever name leads to it. Numbers of a file that is open are given to no other. */
typedef struct {
  dev_t device;
  ino_t inode;
} tg_file_identity;

/** Of an existing file that is to be written to; before it is opened, so that all ranks know whether each can.
 *  errors  TG_EIO when it cannot be opened for writing */
tg_status tg_file_identify(const char *path, tg_file_identity *out);

/** Whether the name of an open file still leads to it: one that was removed, renamed or replaced can be written to, for nothing.
 *  errors  TG_EIO */
tg_status tg_file_still_there(const char *path, const tg_file_identity *opened);

/** Makes a directory unless there is one. errors TG_EIO */
tg_status tg_make_directory(const char *path);

#endif
