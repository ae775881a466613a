#include "results/layout.h"

#include "base/memory.h"
#include "geometry/observable.h"
#include "hdf5/h5.h"
#include "results/load.h"
#include <stdio.h>
#include <stdlib.h>

/* An axis' values; none where the model has no such axis. */
static tg_status read_axis(hid_t group, tg_axis axis, int64_t **values, int64_t *length) {
  *values = NULL;
  *length = 0;
  return tg_h5_has(group, tg_axes[axis].name) ? tg_integers_load(group, tg_axes[axis].name, values, length) : TG_OK;
}

/* The length of an axis that counts first, first + 1, ... */
static tg_status read_count(hid_t group, const char *model, tg_axis axis, int64_t first, int *length) {
  int64_t *values = NULL, n = 0;
  tg_status st = read_axis(group, axis, &values, &n);
  for (int64_t a = 0; st == TG_OK && a < n; a++)
    if (values[a] != first + a || n > INT32_MAX)
      st = tg_fail(TG_EDATA, TG_HERE, "/models/%s/%s does not count from %d", model, tg_axes[axis].name, (int)first);
  free(values);
  *length = (int)n;
  return st;
}

/* A short list as int32; more than `most` are refused. */
static tg_status read_list(hid_t group, const char *model, tg_axis axis, int64_t most, int32_t **list, int *length) {
  int64_t *values = NULL, n = 0;
  *length = 0;
  tg_status st = read_axis(group, axis, &values, &n);
  if (st == TG_OK && n > most)
    st = tg_fail(TG_EDATA, TG_HERE, "/models/%s/%s has %lld values, more than %lld", model, tg_axes[axis].name,
                 (long long)n, (long long)most);
  if (st == TG_OK) st = TG_ALLOC(n, list);
  for (int64_t a = 0; st == TG_OK && a < n; a++) (*list)[a] = (int32_t)values[a];
  if (st == TG_OK) *length = (int)n;
  free(values);
  return st;
}

/* What was measured: an observable with a dataset of its own, whichever. */
static uint64_t observables_of(hid_t group) {
  uint64_t observables = 0;
  for (int f = 0; f < TG_N_FIELDS; f++)
    if (tg_fields[f].observable != TG_OBSERVE_ALWAYS && tg_h5_has(group, tg_fields[f].path))
      observables |= (uint64_t)1 << tg_fields[f].observable;
  return observables;
}

static tg_status read_model(hid_t group, const char *name, tg_results_model *m) {
  int64_t *ids = NULL;
  int32_t *levels = NULL, *angle_layers = NULL, *scales = NULL;
  int n_pairs;
  tg_status st = read_axis(group, TG_AXIS_PROMPT, &ids, &m->n_prompts);
  m->prompt_ids = ids;
  m->name = tg_copy_string(name);
  if (st == TG_OK) st = read_list(group, name, TG_AXIS_SHUFFLE, INT32_MAX, &levels, &m->n_levels);
  m->levels = levels;
  if (st == TG_OK) st = read_list(group, name, TG_AXIS_ANGLE_LAYER, INT32_MAX, &angle_layers, &m->n_angle_layers);
  m->angle_layers = angle_layers;
  if (st == TG_OK)
    st = read_list(group, name, TG_AXIS_SCALE, sizeof m->shape.scales / sizeof *m->shape.scales, &scales,
                   &m->shape.n_scales);
  for (int a = 0; st == TG_OK && a < m->shape.n_scales; a++) m->shape.scales[a] = scales[a];
  free(scales);
  if (st == TG_OK) st = read_count(group, name, TG_AXIS_LAYER, 0, &m->n_layers);
  if (st == TG_OK) st = read_count(group, name, TG_AXIS_PAIR, 0, &n_pairs);
  if (st == TG_OK) st = read_count(group, name, TG_AXIS_K, 1, &m->shape.k);
  if (st == TG_OK) st = read_count(group, name, TG_AXIS_TOKEN, 0, &m->shape.n_tokens);
  TG_TRY(st);
  TG_CHECK(m->name && m->n_prompts > 0 && m->n_levels > 0 && m->n_layers > 0 && n_pairs == m->n_layers - 1, TG_EDATA,
           "/models/%s has the axes prompt_id %lld, shuffle %d, layer %d, layer_pair %d", name, (long long)m->n_prompts,
           m->n_levels, m->n_layers, n_pairs);
  m->shape.observables = observables_of(group);
  m->token_ids = tg_h5_has(group, "token_ids");
  return TG_OK;
}

static tg_status add_model(hid_t group, const char *name, void *context) {
  tg_results_layout *layout = context;
  tg_results_model *models = realloc((void *)layout->models, (size_t)(layout->n_models + 1) * sizeof *models);
  TG_CHECK(models, TG_EINTERNAL, "no memory");
  layout->models = models;
  models[layout->n_models] = (tg_results_model){0};
  return read_model(group, name, &models[layout->n_models++]);
}

tg_status tg_layout_read(hid_t file, tg_results_layout *out) {
  *out = (tg_results_layout){0};
  return tg_results_each_model(file, add_model, out);
}

void tg_layout_free(tg_results_layout *layout) {
  for (int m = 0; m < layout->n_models; m++) {
    free((void *)layout->models[m].name);
    free((void *)layout->models[m].prompt_ids);
    free((void *)layout->models[m].levels);
    free((void *)layout->models[m].angle_layers);
  }
  free((void *)layout->models);
  *layout = (tg_results_layout){0};
}
