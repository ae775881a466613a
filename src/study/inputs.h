/* Inputs of unknown origin, looked at before anything uses them, and before MPI_Init. Local: no communication. */
#ifndef TG_INPUTS_H
#define TG_INPUTS_H

#include "config/config.h"
#include "source/source.h"
#include <stdio.h>

/** Says behind a prefix, where it was so, that files of globs have other names, and are taken once. */
void tg_inputs_print_aliases(FILE *out, const char *prefix, const tg_config *config);

/** Says behind a prefix, where it is so, how many prompts of a source are left out and why. */
void tg_inputs_print_left_out(FILE *out, const char *prefix, const tg_source_info *info);

/** Prints what the engine warned of so far, a line each. */
void tg_inputs_print_engine_warnings(FILE *out, const char *prefix);

/** This process among those that a launcher started, from its environment; 0 of 1 where no launcher is known. Returns the variable that
 *  says how many, NULL where none does. */
const char *tg_inputs_rank(int *rank, int *ranks);

/** Reads from a hidden-state file what a run does, of its first and its last prompt and level; for tg_h5_look. */
void tg_inputs_try(const char *path);

/** Looks (hdf5/look.h) at this rank's share of a study's hidden-state files, so that all ranks together look at each once. */
tg_status tg_inputs_look(const tg_config *config);

/** The same for a config that is still to be read. A config that cannot be read is left to its reader.
 *  resume  look at the output too, where there is one; rank 0 does
 *  errors  TG_EDATA: the ranks must agree on it, as each saw files of its own */
tg_status tg_inputs_look_before(const char *config, const char *const *overrides, int n_overrides, bool resume);

#endif
