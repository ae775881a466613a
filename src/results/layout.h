/* The shape of a result file as its own axes say it. Local. */
#ifndef TG_LAYOUT_H
#define TG_LAYOUT_H

#include "results/results.h"

/** Reads the axes of every model of an open result file, in alphabetical order.
 *  out     caller frees, also after an error; no provenance
 *  errors  TG_EDATA for an axis that is missing or is none: layers, pairs, k and tokens count, the others are listed */
tg_status tg_layout_read(hid_t file, tg_results_layout *out);
void tg_layout_free(tg_results_layout *layout);

#endif
