#include "source/stream.h"

#include "base/memory.h"
#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BLOCK = 1 << 16 };

struct tg_stream {
  const char *path;
  struct archive *archive;
  size_t at, n;
  bool ended, failed;
  unsigned char bytes[BLOCK];
};

static void fill(tg_stream *s) {
  s->at = s->n = 0;
  if (s->ended) return;
  const la_ssize_t got = archive_read_data(s->archive, s->bytes, sizeof s->bytes);
  s->failed = got < 0;
  s->ended = got <= 0;
  if (got > 0) s->n = (size_t)got;
}

int tg_stream_next(tg_stream *s) {
  if (s->at == s->n) fill(s);
  return s->at < s->n ? s->bytes[s->at++] : EOF;
}

tg_status tg_stream_check(const tg_stream *s) {
  const char *why = s->failed ? archive_error_string(s->archive) : NULL;
  TG_CHECK(!s->failed, archive_filter_count(s->archive) > 1 ? TG_EDATA : TG_ENOINPUT, "%s: cannot be read (%s)",
           s->path, why ? why : "no reason given by libarchive");
  return TG_OK;
}

/* One file with nothing around it but a compression. */
static tg_status open_archive(tg_stream *s) {
  struct archive *a = s->archive = archive_read_new();
  struct archive_entry *entry;
  TG_CHECK(a, TG_EINTERNAL, "no memory to read %s", s->path);
  archive_read_support_filter_gzip(a);
  archive_read_support_filter_zstd(a);
  archive_read_support_filter_xz(a);
  archive_read_support_filter_bzip2(a);
  archive_read_support_format_raw(a);
  archive_read_support_format_empty(a);
  TG_CHECK(archive_read_open_filename(a, s->path, BLOCK) == ARCHIVE_OK, TG_EDATA, "%s: %s", s->path,
           archive_error_string(a));
  const int header = archive_read_next_header(a, &entry);
  s->ended = header == ARCHIVE_EOF;
  TG_CHECK(header == ARCHIVE_OK || header == ARCHIVE_EOF, TG_EDATA, "%s: %s", s->path, archive_error_string(a));
  fill(s);
  if (s->n >= 3 && memcmp(s->bytes, "\xEF\xBB\xBF", 3) == 0) s->at = 3;
  return TG_OK;
}

tg_status tg_stream_open(const char *path, tg_stream **out) {
  struct stat at;
  *out = NULL;
  TG_CHECK(stat(path, &at) == 0, TG_ENOINPUT, "%s: %s", path, strerror(errno));
  TG_CHECK(S_ISREG(at.st_mode), TG_ENOINPUT, "%s: is no file", path); /* a pipe would be waited for */
  TG_CHECK(access(path, R_OK) == 0, TG_ENOINPUT, "%s: %s", path, strerror(errno));
  TG_TRY(TG_ALLOC(1, out));
  (*out)->path = path;
  const tg_status st = open_archive(*out);
  if (st != TG_OK) tg_stream_close(out);
  return st;
}

void tg_stream_close(tg_stream **stream) {
  if (*stream && (*stream)->archive) archive_read_free((*stream)->archive);
  free(*stream);
  *stream = NULL;
}
