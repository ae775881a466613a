/* Wall-clock time. Local. */
#ifndef TG_TIMER_H
#define TG_TIMER_H

/** Seconds of a clock that never jumps. */
double tg_seconds(void);

/** Adds the time since *last to *sum and moves *last on. */
void tg_lap(double *last, double *sum);

#endif
