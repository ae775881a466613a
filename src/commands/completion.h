/* What bash completes on a command line of tokengeom, from the tables of commands, options and keys. */
#ifndef TG_COMPLETION_H
#define TG_COMPLETION_H

#include <stdio.h>

/** Writes it as a file that bash sources. It needs bash 4 and nothing else. */
void tg_completion_write(FILE *out);

#endif
