/* Every figure and table of the paper as CSV, from result files. Local; reads only. */
#ifndef TG_FIGURES_H
#define TG_FIGURES_H

#include "base/status.h"
#include <stdint.h>

/** What the figures show; the defaults are those of a config. */
typedef struct {
  const char *directory; /* must exist */
  const char *sha;       /* of the config */
  uint64_t shuffle_seed;
  int64_t example; /* id of the example prompt */
  int scale, k;    /* of the panels that show one */
  int angle_layer;
  int n_prompts; /* of figure 8, chosen by the seed when none are listed */
  const int64_t *prompt_ids;
  int64_t n_prompt_ids;
} tg_figure_options;

/** Writes the CSVs of all panels that the results can feed; a line on stderr for each that they cannot, with the reason.
 *  paths    result files, models in their order
 *  written  number of CSV files
 *  errors   TG_ENOINPUT, TG_EDATA, TG_EIO */
tg_status tg_figures_write(const char *const *paths, int n_paths, const tg_figure_options *options, int *written);

#endif
