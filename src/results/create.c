/* Making the result file, by one rank and with HDF5's plain file driver. */
#include "results/results.h"

#include "base/files.h"
#include "base/memory.h"
#include "hdf5/h5.h"
#include <hdf5_hl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { N_TEXTS = 3 };

/* The place where the fields of a model are made. */
typedef struct {
  hid_t file, group, links;
  const tg_results_model *model;
  hid_t scales[TG_N_AXES]; /* -1: the model has no such axis */
} place;

/* ---- small writes; everything reports through one flag, looked at once at the end ---- */

static void describe(hid_t dataset, const char *units, const char *long_name, const char *source) {
  const char *const texts[N_TEXTS][2] = {{"units", units}, {"long_name", long_name}, {"source", source}};
  for (int a = 0; a < N_TEXTS; a++) tg_h5_write_text_attribute(dataset, texts[a][0], texts[a][1]);
}

/* Contiguous, space allocated now; float64 filled with NaN. Integers are left as the reserved file has them: zeros. */
static hid_t create_dataset(hid_t group, hid_t links, const char *name, hid_t type, int rank, const hsize_t *shape) {
  const hid_t space = rank > 0 ? H5Screate_simple(rank, shape, NULL) : H5Screate(H5S_SCALAR),
              how = H5Pcreate(H5P_DATASET_CREATE);
  const double nan_value = NAN;
  H5Pset_obj_track_times(how, false);
  H5Pset_layout(how, H5D_CONTIGUOUS);
  H5Pset_alloc_time(how, H5D_ALLOC_TIME_EARLY);
  if (H5Tequal(type, H5T_IEEE_F64LE) > 0) {
    H5Pset_fill_value(how, H5T_NATIVE_DOUBLE, &nan_value);
    H5Pset_fill_time(how, H5D_FILL_TIME_ALLOC);
  } else
    H5Pset_fill_time(how, H5D_FILL_TIME_NEVER);
  const hid_t dataset = H5Dcreate2(group, name, type, space, links, how, H5P_DEFAULT);
  H5Pclose(how);
  H5Sclose(space);
  return dataset;
}

static tg_status created(hid_t dataset, const char *name) {
  TG_CHECK(dataset >= 0, TG_EIO, "%s cannot be created in the results (%s)", name, tg_h5_reason());
  return TG_OK;
}

/* ---- axes ---- */

/* The values of an axis as int64, whatever they are stored as. */
static int64_t axis_value(const tg_results_model *m, tg_axis axis, int64_t a) {
  switch (axis) {
  case TG_AXIS_PROMPT:
    return m->prompt_ids[a];
  case TG_AXIS_SHUFFLE:
    return m->levels[a];
  case TG_AXIS_SCALE:
    return m->shape.scales[a];
  case TG_AXIS_K:
    return a + 1;
  case TG_AXIS_ANGLE_LAYER:
    return m->angle_layers[a];
  default:
    return a;
  }
}

static tg_status create_axis(place *at, tg_axis axis) {
  const int64_t length = tg_results_axis_length(at->model, axis);
  at->scales[axis] = -1;
  if (length == 0) return TG_OK;
  int64_t *values = NULL;
  TG_TRY(TG_ALLOC(length, &values));
  for (int64_t a = 0; a < length; a++) values[a] = axis_value(at->model, axis, a);
  const hsize_t shape = (hsize_t)length;
  const hid_t type = axis == TG_AXIS_PROMPT ? H5T_STD_I64LE : H5T_STD_I32LE;
  const hid_t dataset = create_dataset(at->group, H5P_DEFAULT, tg_axes[axis].name, type, 1, &shape);
  tg_status st = created(dataset, tg_axes[axis].name);
  if (st == TG_OK && (H5Dwrite(dataset, H5T_NATIVE_INT64, H5S_ALL, H5S_ALL, H5P_DEFAULT, values) < 0 ||
                      H5DSset_scale(dataset, tg_axes[axis].name) < 0))
    st = tg_fail(TG_EIO, TG_HERE, "axis %s cannot be written (%s)", tg_axes[axis].name, tg_h5_reason());
  if (st == TG_OK) describe(dataset, tg_axes[axis].units, tg_axes[axis].long_name, "tokengeom");
  free(values);
  at->scales[axis] = dataset;
  return st;
}

/* A dataset over named axes. */
static tg_status create_field(const place *at, const char *name, tg_type type, int n_axes, const tg_axis *axes,
                              const char *units, const char *long_name, const char *source) {
  hsize_t shape[TG_MAX_AXES];
  for (int a = 0; a < n_axes; a++) shape[a] = (hsize_t)tg_results_axis_length(at->model, axes[a]);
  const hid_t dataset =
      create_dataset(at->group, at->links, name, type == TG_F64 ? H5T_IEEE_F64LE : H5T_STD_I32LE, n_axes, shape);
  tg_status st = created(dataset, name);
  for (int a = 0; st == TG_OK && a < n_axes; a++)
    if (H5DSattach_scale(dataset, at->scales[axes[a]], (unsigned)a) < 0)
      st = tg_fail(TG_EIO, TG_HERE, "axis %s cannot be attached to %s (%s)", tg_axes[axes[a]].name, name,
                   tg_h5_reason());
  if (st == TG_OK) describe(dataset, units, long_name, source);
  if (dataset >= 0) H5Dclose(dataset);
  return st;
}

/* ---- groups ---- */

static tg_status create_statistics(const place *at, const tg_field *f) {
  char name[256], long_name[256];
  for (int w = 0; w < TG_N_MOMENTS; w++) {
    snprintf(name, sizeof name, "statistics/%s/%s", f->path, tg_moment_names[w]);
    snprintf(long_name, sizeof long_name, "%s over prompts of: %s",
             w == 0 ? "number of finite values" : tg_moment_names[w], f->long_name);
    TG_TRY(create_field(at, name, w == 0 ? TG_I32 : TG_F64, f->n_axes - 1, f->axes + 1, w == 0 ? "1" : f->units,
                        long_name, f->source));
  }
  return TG_OK;
}

static tg_status create_correlations(const place *at, const tg_correlation_field *c) {
  tg_axis axes[TG_MAX_AXES] = {TG_AXIS_SHUFFLE};
  char name[256], long_name[256];
  for (int a = 0; a < c->n_axes; a++) axes[a + 1] = c->axes[a];
  for (int w = 0; w < TG_N_R; w++) {
    snprintf(name, sizeof name, "correlations/%s/%s", c->path, tg_r_names[w]);
    snprintf(long_name, sizeof long_name, "%s: %s and %s", tg_r_long_names[w], c->x, c->y);
    TG_TRY(
        create_field(at, name, w == TG_R_N ? TG_I32 : TG_F64, c->n_axes + 1, axes, "1", long_name, "arXiv 2501.10573"));
  }
  return TG_OK;
}

static tg_status create_fields(place *at) {
  for (int axis = 0; axis < TG_N_AXES; axis++) TG_TRY(create_axis(at, (tg_axis)axis));
  for (int f = 0; f < TG_N_FIELDS; f++) {
    const tg_field *field = &tg_fields[f];
    if (!tg_results_has_field(at->model, f)) continue;
    TG_TRY(create_field(at, field->path, field->type, field->n_axes, field->axes, field->units, field->long_name,
                        field->source));
    if (field->statistics) TG_TRY(create_statistics(at, field));
  }
  for (int c = 0; c < TG_N_CORRELATIONS; c++)
    if (tg_results_has_correlation(at->model, c)) TG_TRY(create_correlations(at, &tg_correlation_fields[c]));
  return TG_OK;
}

static tg_status create_groups(const place *at) {
  const tg_results_model *m = at->model;
  if (!m->groups) return TG_OK;
  const hid_t dataset = tg_h5_create_texts(at->group, at->links, "prompt_group", m->groups, m->n_prompts);
  TG_TRY(created(dataset, "prompt_group"));
  tg_status st = TG_OK;
  if (H5DSattach_scale(dataset, at->scales[TG_AXIS_PROMPT], 0) < 0)
    st = tg_fail(TG_EIO, TG_HERE, "axis prompt_id cannot be attached to prompt_group (%s)", tg_h5_reason());
  if (st == TG_OK) describe(dataset, "1", "label of a prompt: its record's group, or meta", "tokengeom");
  H5Dclose(dataset);
  return st;
}

static tg_status create_model(hid_t file, hid_t links, const tg_results_model *model) {
  char name[256];
  snprintf(name, sizeof name, "/models/%s", model->name);
  place at = {file, H5Gcreate2(file, name, links, H5P_DEFAULT, H5P_DEFAULT), links, model, {0}};
  for (int axis = 0; axis < TG_N_AXES; axis++) at.scales[axis] = -1;
  tg_status st = created(at.group, name);
  if (st == TG_OK) st = create_fields(&at);
  if (st == TG_OK) st = create_groups(&at);
  for (int axis = 0; axis < TG_N_AXES; axis++)
    if (at.scales[axis] >= 0) H5Dclose(at.scales[axis]);
  if (at.group >= 0) H5Gclose(at.group);
  return st;
}

/* Beside /models, and without its axes: a reader that joins them to the model's would look for a third group. */
static tg_status create_checksums(hid_t file, hid_t links, const tg_results_model *model) {
  const hsize_t shape[3] = {(hsize_t)model->n_prompts, (hsize_t)model->n_levels, (hsize_t)model->n_layers};
  char name[256];
  snprintf(name, sizeof name, "/checksums/%s", model->name);
  const hid_t dataset = create_dataset(file, links, name, H5T_STD_U64LE, 3, shape);
  TG_TRY(created(dataset, name));
  describe(
      dataset, "1",
      "checksum by prompt, shuffle and layer of all values, reason and status of a cloud: XXH64 of the bytes field by "
      "field, the hash before as the seed; 0: none",
      "tokengeom");
  H5Dclose(dataset);
  return TG_OK;
}

static tg_status create_text(hid_t file, hid_t links, const tg_provenance *item) {
  char name[256];
  snprintf(name, sizeof name, "/provenance/%s", item->name);
  const size_t length = strlen(item->text) + 1, room = item->room > length ? item->room : length;
  char *text = NULL;
  TG_TRY(TG_ALLOC(room, &text)); /* zeros behind its end */
  memcpy(text, item->text, length);
  const hid_t type = H5Tcopy(H5T_C_S1);
  H5Tset_size(type, room);
  const hid_t dataset = create_dataset(file, links, name, type, 0, NULL);
  tg_status st = created(dataset, name);
  if (st == TG_OK && H5Dwrite(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, text) < 0)
    st = tg_fail(TG_EIO, TG_HERE, "%s cannot be written (%s)", name, tg_h5_reason());
  if (dataset >= 0) H5Dclose(dataset);
  H5Tclose(type);
  free(text);
  return st;
}

static tg_status create_root(hid_t file, hid_t links) {
  const int32_t zero = 0, version = 1;
  const hid_t space = H5Screate(H5S_SCALAR), complete = create_dataset(file, links, "complete", H5T_STD_I32LE, 0, NULL);
  const hid_t attribute = H5Acreate2(file, "format_version", H5T_STD_I32LE, space, H5P_DEFAULT, H5P_DEFAULT);
  const bool good = complete >= 0 && attribute >= 0 &&
                    H5Dwrite(complete, H5T_NATIVE_INT32, H5S_ALL, H5S_ALL, H5P_DEFAULT, &zero) >= 0 &&
                    H5Awrite(attribute, H5T_NATIVE_INT32, &version) >= 0;
  if (good) {
    tg_h5_write_text_attribute(file, "format", "tokengeom-results");
    describe(complete, "1", "1: the run was completed; 0: not yet", "tokengeom");
  }
  if (attribute >= 0) H5Aclose(attribute);
  if (complete >= 0) H5Dclose(complete);
  H5Sclose(space);
  TG_CHECK(good, TG_EIO, "the root of the file cannot be written (%s)", tg_h5_reason());
  return TG_OK;
}

/* ---- the file ---- */

static tg_status fill_file(const char *part, const tg_results_layout *layout) {
  const hid_t links = H5Pcreate(H5P_LINK_CREATE);
  H5Pset_create_intermediate_group(links, 1);
  const hid_t file = tg_h5_create_file(part);
  tg_status st = created(file, part);
  if (st == TG_OK) st = create_root(file, links);
  for (int a = 0; st == TG_OK && a < layout->n_provenance; a++) st = create_text(file, links, &layout->provenance[a]);
  for (int a = 0; st == TG_OK && a < layout->n_models; a++) st = create_model(file, links, &layout->models[a]);
  for (int a = 0; st == TG_OK && a < layout->n_models; a++) st = create_checksums(file, links, &layout->models[a]);
  if (st == TG_OK && H5Fflush(file, H5F_SCOPE_GLOBAL) < 0)
    st = tg_fail(TG_EIO, TG_HERE, "%s cannot be flushed (%s)", part, tg_h5_reason());
  if (file >= 0 && H5Fclose(file) < 0 && st == TG_OK)
    st = tg_fail(TG_EIO, TG_HERE, "%s cannot be closed (%s)", part, tg_h5_reason());
  H5Pclose(links);
  return st;
}

tg_status tg_results_create(const char *path, const tg_results_layout *layout) {
  char *part = NULL;
  TG_TRY(TG_ALLOC(strlen(path) + 6, &part));
  sprintf(part, "%s.part", path);
  tg_status st = tg_file_reserve(part, tg_results_bytes(layout)); /* a disk that is too small says so here */
  if (st == TG_OK) st = fill_file(part, layout);
  if (st == TG_OK) st = tg_file_reserve(part, 0.0);
  if (st == TG_OK) st = tg_file_put_in_place(part, path);
  if (st != TG_OK) unlink(part);
  free(part);
  return st;
}
