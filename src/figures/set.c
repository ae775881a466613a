#include "figures/set.h"

#include <inttypes.h>
#include <stdio.h>

tg_status tg_figure_end(tg_figure_set *set, tg_panel **panel, const char *why) {
  char name[64];
  bool written;
  tg_panel_name(*panel, name, sizeof name);
  TG_TRY(tg_panel_end(panel, set->options->directory, set->options->sha, &written));
  if (!written) fprintf(stderr, "%s is left out: %s\n", name, why);
  set->written += written;
  return TG_OK;
}

void tg_figure_say_models(const tg_figure_set *set, tg_panel *panel, bool example) {
  for (int a = 0; a < set->n_models; a++) {
    const tg_figure_model *m = &set->models[a];
    tg_panel_caption(panel, "%s%s, ", a > 0 ? "; " : "", m->name);
    if (example)
      tg_panel_caption(panel, "prompt %" PRId64, m->prompt_ids[m->example]);
    else
      tg_panel_caption(panel, "%" PRId64 " prompt%s", m->n_prompts, m->n_prompts == 1 ? "" : "s");
    if (example && m->substituted)
      tg_panel_caption(panel, " (the first one: there is no prompt %" PRId64 ")", set->options->example);
  }
  tg_panel_caption(panel, ".");
}
