/* Figures and reports from results. Local: no MPI. They print their errors. */
#ifndef TG_DRAW_H
#define TG_DRAW_H

#include "base/status.h"

/** CSVs and pictures of every figure. arguments: one config, or result files (told apart by the HDF5 signature).
 *  directory  NULL: the config's; with result files that of their run's config where it lies below the current directory, else
 *             its last part, there
 *  errors     TG_EUSAGE, TG_ENOINPUT, TG_EDATA, TG_ECONFIG, TG_EIO; pictures that cannot be drawn are no error */
tg_status tg_command_figures(const char *const *arguments, int n_arguments, const char *const *overrides,
                             int n_overrides, const char *directory);

/** A table of layers and what stands out, for each model of a result file. */
tg_status tg_command_report(const char *path);

#endif
