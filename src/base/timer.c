#include "base/timer.h"

#include <time.h>

double tg_seconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

void tg_lap(double *last, double *sum) {
  const double now = tg_seconds();
  *sum += now - *last;
  *last = now;
}
