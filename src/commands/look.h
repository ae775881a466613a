/* Commands that only look: they need no mpirun and never call MPI_Init. They print their errors. */
#ifndef TG_COMMANDS_H
#define TG_COMMANDS_H

#include "base/status.h"

/** Checks a config and its inputs without reading activations, and prints the study with every default filled in. */
tg_status tg_command_validate(const char *config, const char *const *overrides, int n_overrides);

/** Prints the value of one key. errors TG_EUSAGE for a key that is none */
tg_status tg_command_get(const char *path, const char *const *overrides, int n_overrides, const char *key);

/** Says what a result file or a hidden-state file holds and how complete it is. */
tg_status tg_command_info(const char *path);

/** Writes every dataset under /models of a result file as a tidy CSV file below `directory`, which is made. */
tg_status tg_command_export(const char *path, const char *directory);

/** Prints versions of the program and its libraries, the CPU and the kernel. */
void tg_command_version(void);

#endif
