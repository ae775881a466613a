#include "figures/model.h"

#include "base/memory.h"
#include "hdf5/h5.h"
#include "results/reductions.h"
#include <stdio.h>
#include <stdlib.h>

int64_t tg_figure_place(const int64_t *axis, int64_t n, int64_t value) {
  for (int64_t a = 0; a < n; a++)
    if (axis[a] == value) return a;
  return -1;
}

/* An axis that a model may lack. */
static tg_status load_axis(hid_t group, const char *name, int64_t **values, int64_t *n) {
  *n = 0;
  return tg_h5_has(group, name) ? tg_integers_load(group, name, values, n) : TG_OK;
}

static void find_levels(tg_figure_model *m) {
  for (int64_t s = 0; s < m->n_levels; s++) {
    if (m->levels[s] < m->levels[m->low]) m->low = s;
    if (m->levels[s] > m->levels[m->high]) m->high = s;
  }
}

/* ---- shapes ---- */

static int64_t length_of(const tg_figure_model *m, tg_axis axis) {
  /* clang-format off */
  switch (axis) {
  case TG_AXIS_PROMPT:      return m->n_prompts;
  case TG_AXIS_SHUFFLE:     return m->n_levels;
  case TG_AXIS_LAYER:       return m->n_layers;
  case TG_AXIS_PAIR:        return m->n_pairs;
  case TG_AXIS_SCALE:       return m->n_scales;
  case TG_AXIS_K:           return m->n_k;
  case TG_AXIS_ANGLE_LAYER: return m->n_angle_layers;
  default:                  return -1; /* tokens: any number */
  }
  /* clang-format on */
}

/* A dataset, where the model has it, must be as long as its axes. */
static tg_status check_shape(const tg_figure_model *m, const char *path, int n_axes, const tg_axis *axes) {
  hsize_t shape[H5S_MAX_RANK];
  if (H5Oexists_by_name(m->group, path, H5P_DEFAULT) <= 0) return TG_OK;
  const hid_t dataset = H5Dopen2(m->group, path, H5P_DEFAULT), space = dataset >= 0 ? H5Dget_space(dataset) : -1;
  bool fits = space >= 0 && H5Sget_simple_extent_dims(space, shape, NULL) == n_axes;
  for (int a = 0; fits && a < n_axes; a++)
    fits = length_of(m, axes[a]) < 0 || (int64_t)shape[a] == length_of(m, axes[a]);
  if (space >= 0) H5Sclose(space);
  if (dataset >= 0) H5Dclose(dataset);
  TG_CHECK(fits, TG_EDATA, "%s: /models/%s/%s has not the shape of its axes", m->path, m->name, path);
  return TG_OK;
}

static tg_status check_shapes(const tg_figure_model *m) {
  char path[256];
  for (int f = 0; f < TG_N_FIELDS; f++) {
    TG_TRY(check_shape(m, tg_fields[f].path, tg_fields[f].n_axes, tg_fields[f].axes));
    for (int w = 0; tg_fields[f].statistics && w < TG_N_MOMENTS; w++) {
      snprintf(path, sizeof path, "statistics/%s/%s", tg_fields[f].path, tg_moment_names[w]);
      TG_TRY(check_shape(m, path, tg_fields[f].n_axes - 1, tg_fields[f].axes + 1));
    }
  }
  for (int c = 0; c < TG_N_CORRELATIONS; c++) {
    const tg_correlation_field *field = &tg_correlation_fields[c];
    tg_axis axes[TG_MAX_AXES + 1] = {TG_AXIS_SHUFFLE};
    for (int a = 0; a < field->n_axes; a++) axes[a + 1] = field->axes[a];
    for (int w = 0; w < TG_N_R; w++) {
      snprintf(path, sizeof path, "correlations/%s/%s", field->path, tg_r_names[w]);
      TG_TRY(check_shape(m, path, field->n_axes + 1, axes));
    }
  }
  return TG_OK;
}

static tg_status check_pairs(const tg_figure_model *m) {
  for (int64_t a = 0; a < m->n_pairs; a++)
    TG_CHECK(m->pairs[a] == a, TG_EDATA, "%s: /models/%s/layer_pair is an axis that does not count from 0", m->path,
             m->name);
  return TG_OK;
}

tg_status tg_figure_model_open(const char *path, hid_t file, const char *name, int64_t example, tg_figure_model *out) {
  int64_t *layers = NULL;
  char place[300];
  *out = (tg_figure_model){.file = file, .group = -1};
  out->name = tg_copy_string(name);
  out->path = tg_copy_string(path);
  snprintf(place, sizeof place, "/models/%s", name);
  out->group = H5Gopen2(file, place, H5P_DEFAULT);
  TG_CHECK(out->group >= 0, TG_EDATA, "%s: %s is no group", path, place);
  TG_TRY(load_axis(out->group, "prompt_id", &out->prompt_ids, &out->n_prompts));
  TG_TRY(load_axis(out->group, "shuffle", &out->levels, &out->n_levels));
  TG_TRY(load_axis(out->group, "scale", &out->scales, &out->n_scales));
  TG_TRY(load_axis(out->group, "k", &out->k, &out->n_k));
  TG_TRY(load_axis(out->group, "angle_layer", &out->angle_layers, &out->n_angle_layers));
  TG_TRY(load_axis(out->group, "layer_pair", &out->pairs, &out->n_pairs));
  TG_TRY(load_axis(out->group, "layer", &layers, &out->n_layers));
  free(layers);
  TG_CHECK(out->n_prompts > 0 && out->n_levels > 0 && out->n_layers > 0 && out->n_scales > 0, TG_EDATA,
           "%s: %s has no axis prompt_id, shuffle, layer or scale", path, place);
  out->example = tg_figure_place(out->prompt_ids, out->n_prompts, example);
  out->substituted = out->example < 0;
  if (out->substituted) out->example = 0;
  find_levels(out);
  TG_TRY(check_pairs(out));
  return check_shapes(out);
}

void tg_figure_model_close(tg_figure_model *m) {
  void *const memory[] = {m->name, m->path, m->prompt_ids, m->levels, m->scales, m->k, m->angle_layers, m->pairs};
  for (size_t a = 0; a < sizeof memory / sizeof memory[0]; a++) free(memory[a]);
  if (m->group >= 0) H5Gclose(m->group);
  *m = (tg_figure_model){.group = -1};
}

/* The selection, and the shape of what stays. False: a place is outside. */
static bool select_part(hid_t space, int n_axes, const int64_t *fixed, tg_array *out, hsize_t *count) {
  hsize_t shape[TG_LOAD_AXES], start[TG_LOAD_AXES];
  H5Sget_simple_extent_dims(space, shape, NULL);
  out->count = 1;
  for (int a = 0; a < n_axes; a++) {
    if (fixed[a] != TG_ALL && (fixed[a] < 0 || fixed[a] >= (int64_t)shape[a])) return false;
    start[a] = fixed[a] == TG_ALL ? 0 : (hsize_t)fixed[a];
    count[a] = fixed[a] == TG_ALL ? shape[a] : 1;
    if (fixed[a] == TG_ALL) out->shape[out->n_axes++] = (int64_t)shape[a];
    out->count *= (int64_t)count[a];
  }
  return H5Sselect_hyperslab(space, H5S_SELECT_SET, start, NULL, count, NULL) >= 0;
}

tg_status tg_figure_part(const tg_figure_model *m, const char *path, int n_axes, const int64_t *fixed, tg_array *out) {
  hsize_t count[TG_LOAD_AXES];
  *out = (tg_array){0};
  if (H5Oexists_by_name(m->group, path, H5P_DEFAULT) <= 0) return TG_OK;
  const hid_t dataset = H5Dopen2(m->group, path, H5P_DEFAULT), space = dataset >= 0 ? H5Dget_space(dataset) : -1;
  const bool fits = space >= 0 && n_axes <= TG_LOAD_AXES && H5Sget_simple_extent_ndims(space) == n_axes &&
                    select_part(space, n_axes, fixed, out, count);
  tg_status st =
      fits ? TG_ALLOC(out->count, &out->values)
           : tg_fail(TG_EDATA, TG_HERE, "%s: /models/%s/%s has not the shape of a result file", m->path, m->name, path);
  if (st == TG_OK) {
    const hid_t block = H5Screate_simple(n_axes, count, NULL);
    if (H5Dread(dataset, H5T_NATIVE_DOUBLE, block, space, H5P_DEFAULT, out->values) < 0)
      st = tg_fail(TG_EDATA, TG_HERE, "%s: /models/%s/%s cannot be read (%s)", m->path, m->name, path, tg_h5_reason());
    H5Sclose(block);
  }
  if (space >= 0) H5Sclose(space);
  if (dataset >= 0) H5Dclose(dataset);
  if (st != TG_OK) tg_array_free(out);
  return st;
}
