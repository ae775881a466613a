#include "run/progress.h"

#include "base/timer.h"
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

enum { WIDTH = 30 };

void tg_progress_start(tg_progress *progress, int64_t total, int64_t at_start) {
  *progress = (tg_progress){total, at_start, tg_seconds(), tg_seconds(), isatty(STDERR_FILENO)};
}

/* "1:02:03" or "2:03" */
static void print_time(double seconds) {
  const long s = (long)(seconds + 0.5);
  if (s >= 3600)
    fprintf(stderr, "%ld:%02ld:%02ld", s / 3600, s / 60 % 60, s % 60);
  else
    fprintf(stderr, "%ld:%02ld", s / 60, s % 60);
}

static void show(tg_progress *p, int64_t done) {
  const double elapsed = tg_seconds() - p->started, rate = elapsed > 0.0 ? (double)done / elapsed : 0.0;
  const int64_t all = p->at_start + done;
  const double share = p->total > 0 ? (double)all / (double)p->total : 1.0;
  if (p->terminal) {
    fputs("\r[", stderr);
    for (int a = 0; a < WIDTH; a++) fputc(a < (int)(share * WIDTH) ? '#' : '.', stderr);
    fputs("] ", stderr);
  }
  fprintf(stderr, "%5.1f %%, %" PRId64 " of %" PRId64 " clouds, %.1f a second, ", 100.0 * share, all, p->total, rate);
  print_time(rate > 0.0 ? (double)(p->total - all) / rate : 0.0);
  fputs(p->terminal ? " left \x1b[K" : " left\n", stderr);
  fflush(stderr);
  p->shown = tg_seconds();
}

void tg_progress_show(tg_progress *progress, int64_t done) {
  if (tg_seconds() - progress->shown > (progress->terminal ? 0.2 : 30.0)) show(progress, done);
}

void tg_progress_end(tg_progress *progress, int64_t done) {
  show(progress, done);
  if (progress->terminal) fputc('\n', stderr);
}
