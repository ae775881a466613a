/* Inside of figures/: the models at hand and how panels are ended. */
#ifndef TG_FIGURE_SET_H
#define TG_FIGURE_SET_H

#include "figures/figures.h"
#include "figures/model.h"
#include "figures/panel.h"

typedef struct {
  const tg_figure_options *options;
  tg_figure_model *models;
  int n_models;
  int written;
} tg_figure_set;

/* Ends a panel: writes it, or says why it is left out. why: when there is no finite number */
tg_status tg_figure_end(tg_figure_set *set, tg_panel **panel, const char *why);

/* "Llama-3-8B, 50 prompts; Mistral-7B, 50 prompts" and what example prompt stands in, for captions. */
void tg_figure_say_models(const tg_figure_set *set, tg_panel *panel, bool example);

/* Kinds of figures, each writing its panels. */
tg_status tg_figures_curves(tg_figure_set *set);       /* 2, 3, 5, 8 to 16: observables by layer */
tg_status tg_figures_normalized(tg_figure_set *set);   /* 15, over its median */
tg_status tg_figures_shuffle(tg_figure_set *set);      /* 1 */
tg_status tg_figures_angles(tg_figure_set *set);       /* 4 */
tg_status tg_figures_correlations(tg_figure_set *set); /* 6, 7, 17, 18, 20, table 1 */

#endif
