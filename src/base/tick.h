/* A call back into the rank's message loop, made every few milliseconds by code that itself never communicates. */
#ifndef TG_TICK_H
#define TG_TICK_H

typedef struct {
  void (*call)(void *context); /* NULL: nobody listens */
  void *context;
} tg_tick;

static inline void tg_tick_call(tg_tick tick) {
  if (tick.call) tick.call(tick.context);
}

#endif
