#include "figures/figures.h"

#include "base/memory.h"
#include "base/text.h"
#include "figures/kinds.h"
#include "results/results.h"
#include <stdlib.h>
#include <string.h>

/* ---- the models ---- */

typedef struct {
  tg_figure_set *set;
  const char *path;
  hid_t file;
} opening;

static tg_status add_model(hid_t group, const char *name, void *context) {
  opening *o = context;
  tg_figure_set *set = o->set;
  (void)group;
  for (int a = 0; a < set->n_models; a++)
    TG_CHECK(strcmp(set->models[a].name, name) != 0, TG_EDATA, "%s: model %s is in %s too", o->path, name,
             set->models[a].path);
  tg_figure_model *more = realloc(set->models, (size_t)(set->n_models + 1) * sizeof *more);
  TG_CHECK(more, TG_EINTERNAL, "no memory for %d models", set->n_models + 1);
  set->models = more;
  return tg_figure_model_open(o->path, o->file, name, set->options->example, &set->models[set->n_models++]);
}

/* Numbers over part of the prompts look like numbers over all. */
static void warn_of_incomplete(const char *path, hid_t file) {
  tg_array complete;
  if (tg_array_load(file, "complete", &complete) != TG_OK) return;
  if (complete.values[0] != 1.0)
    tg_text_print(stderr, "tokengeom: warning: %s is not complete (tokengeom info says what is missing)\n", path);
  tg_array_free(&complete);
}

static tg_status open_all(tg_figure_set *set, const char *const *paths, int n_paths, hid_t *files) {
  for (int a = 0; a < n_paths; a++) {
    TG_TRY(tg_results_open_input(paths[a], &files[a]));
    warn_of_incomplete(paths[a], files[a]);
    opening o = {set, paths[a], files[a]};
    TG_TRY(tg_results_each_model(files[a], add_model, &o));
  }
  TG_CHECK(set->n_models > 0, TG_EDATA, "%s: no models", paths[0]);
  return TG_OK;
}

/* ---- the figures ---- */

tg_status tg_figures_write(const char *const *paths, int n_paths, const tg_figure_options *options, int *written) {
  tg_figure_set set = {.options = options};
  hid_t *files = NULL;
  TG_TRY(TG_ALLOC(n_paths, &files));
  for (int a = 0; a < n_paths; a++) files[a] = -1;
  tg_status st = open_all(&set, paths, n_paths, files);
  if (st == TG_OK) st = tg_figures_shuffle(&set);
  if (st == TG_OK) st = tg_figures_curves(&set);
  if (st == TG_OK) st = tg_figures_normalized(&set);
  if (st == TG_OK) st = tg_figures_angles(&set);
  if (st == TG_OK) st = tg_figures_correlations(&set);
  *written = set.written;
  for (int m = 0; m < set.n_models; m++) tg_figure_model_close(&set.models[m]);
  for (int a = 0; a < n_paths; a++)
    if (files[a] >= 0) H5Fclose(files[a]);
  free(set.models);
  free(files);
  return st;
}
