#include "run/signals.h"

#include <signal.h>
#include <stddef.h>

static volatile sig_atomic_t asked;

static void ask_to_stop(int number) {
  (void)number;
  asked = 1;
}

static void set_handler(int number, void (*handler)(int), bool once) {
  struct sigaction action = {.sa_handler = handler,
                             .sa_flags = SA_RESTART}; /* HDF5 does not repeat interrupted writes */
  if (once) action.sa_flags |= (int)SA_RESETHAND;
  sigemptyset(&action.sa_mask);
  sigaction(number, &action, NULL);
}

void tg_signals_catch(void) {
  set_handler(SIGUSR1, ask_to_stop, false);
  set_handler(SIGTERM, ask_to_stop, true);
  set_handler(SIGINT, ask_to_stop, true);
  set_handler(SIGXFSZ, SIG_IGN, false); /* a limit on file sizes is then a failed write with a message */
}

bool tg_stop_asked(void) { return asked; }

void tg_signals_release(void) {
  set_handler(SIGTERM, SIG_DFL, false);
  set_handler(SIGINT, SIG_DFL, false);
}
