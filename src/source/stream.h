/* A file as a stream of bytes, unpacked where it is compressed by gzip, zstd, xz or bzip2 (libarchive), without a UTF-8 byte order mark.
 * Local. */
#ifndef TG_STREAM_H
#define TG_STREAM_H

#include "base/status.h"
#include <stddef.h>
#include <stdio.h>

typedef struct tg_stream tg_stream;

/** errors TG_ENOINPUT missing, unreadable, no file; TG_EINTERNAL. Caller closes. path: borrowed. */
tg_status tg_stream_open(const char *path, tg_stream **out);
void tg_stream_close(tg_stream **stream); /* safe on NULL, leaves NULL */

/** The next byte; EOF at the end, and where reading fails, which tg_stream_check tells. */
int tg_stream_next(tg_stream *stream);

/** errors TG_ENOINPUT for a disk, TG_EDATA for a damaged compression */
tg_status tg_stream_check(const tg_stream *stream);

#endif
