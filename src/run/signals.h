/* Signals that ask for a clean stop. Local. */
#ifndef TG_SIGNALS_H
#define TG_SIGNALS_H

#include <stdbool.h>

/** Call once before MPI_Init: SIGUSR1, SIGTERM and SIGINT then ask for a stop. A second SIGTERM or SIGINT ends the program
 *  whatever it does. */
void tg_signals_catch(void);

/** Whether one of them came. */
bool tg_stop_asked(void);

/** SIGTERM and SIGINT end the program again. */
void tg_signals_release(void);

#endif
