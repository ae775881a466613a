/* Inside of figures/: what all kinds of figures share, the models at hand and how panels are ended. */
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

#endif
