/* One line about how far a run is: a bar on a terminal, a line every half minute elsewhere. Rank 0 only; stderr. */
#ifndef TG_PROGRESS_H
#define TG_PROGRESS_H

#include <stdint.h>

typedef struct {
  int64_t total, at_start; /* clouds; at_start: done by an earlier run */
  double started, shown;   /* tg_seconds */
  int terminal;
} tg_progress;

void tg_progress_start(tg_progress *progress, int64_t total, int64_t at_start);

/** Shows `done` clouds of this run when it is time to. */
void tg_progress_show(tg_progress *progress, int64_t done);

/** Shows it now and ends the line. */
void tg_progress_end(tg_progress *progress, int64_t done);

#endif
