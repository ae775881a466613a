#include "results/load.h"

#include "base/memory.h"
#include "hdf5/h5.h"
#include <stdio.h>
#include <stdlib.h>

static tg_status shape_of(hid_t dataset, const char *path, tg_array *out) {
  const hid_t space = H5Dget_space(dataset), type = H5Dget_type(dataset);
  const H5T_class_t kind = H5Tget_class(type);
  hsize_t shape[H5S_MAX_RANK] = {0};
  out->n_axes = H5Sget_simple_extent_ndims(space);
  if (out->n_axes >= 0) H5Sget_simple_extent_dims(space, shape, NULL);
  H5Sclose(space);
  H5Tclose(type);
  TG_CHECK(out->n_axes >= 0 && out->n_axes <= TG_LOAD_AXES && (kind == H5T_FLOAT || kind == H5T_INTEGER), TG_EDATA,
           "%s: no array of numbers", path);
  out->count = 1;
  for (int a = 0; a < out->n_axes; a++) {
    out->shape[a] = (int64_t)shape[a];
    out->count *= out->shape[a];
  }
  return TG_OK;
}

tg_status tg_array_load(hid_t place, const char *path, tg_array *out) {
  *out = (tg_array){0};
  const hid_t dataset = H5Dopen2(place, path, H5P_DEFAULT);
  TG_CHECK(dataset >= 0, TG_EDATA, "no dataset %s", path);
  tg_status st = shape_of(dataset, path, out);
  if (st == TG_OK) st = TG_ALLOC(out->count, &out->values);
  if (st == TG_OK && H5Dread(dataset, H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, out->values) < 0)
    st = tg_fail(TG_EDATA, TG_HERE, "%s cannot be read (%s)", path, tg_h5_reason());
  if (st != TG_OK) tg_array_free(out);
  H5Dclose(dataset);
  return st;
}

void tg_array_free(tg_array *array) {
  free(array->values);
  *array = (tg_array){0};
}

tg_status tg_integers_load(hid_t place, const char *path, int64_t **values, int64_t *count) {
  *values = NULL;
  const hid_t dataset = H5Dopen2(place, path, H5P_DEFAULT);
  TG_CHECK(dataset >= 0, TG_EDATA, "no dataset %s", path);
  tg_array shape = {0};
  tg_status st = shape_of(dataset, path, &shape);
  if (st == TG_OK) st = TG_ALLOC(shape.count, values);
  if (st == TG_OK && H5Dread(dataset, H5T_NATIVE_INT64, H5S_ALL, H5S_ALL, tg_h5_exactly(), *values) < 0)
    st = *tg_h5_unfit() ? tg_fail(TG_EDATA, TG_HERE, "%s holds %s, which is no integer of 64 bits", path, tg_h5_unfit())
                        : tg_fail(TG_EDATA, TG_HERE, "%s cannot be read (%s)", path, tg_h5_reason());
  *count = shape.count;
  H5Dclose(dataset);
  return st;
}

typedef struct {
  tg_status (*visit)(hid_t, const char *, void *);
  void *context;
  tg_status status;
} visitor;

static herr_t visit_link(hid_t models, const char *name, const H5L_info_t *info, void *opaque) {
  visitor *v = opaque;
  (void)info;
  const hid_t group = H5Gopen2(models, name, H5P_DEFAULT);
  v->status =
      group >= 0 ? v->visit(group, name, v->context) : tg_fail(TG_EDATA, TG_HERE, "/models/%s is no group", name);
  if (group >= 0) H5Gclose(group);
  return v->status != TG_OK;
}

tg_status tg_results_each_model(hid_t file, tg_status (*visit)(hid_t, const char *, void *), void *context) {
  visitor v = {visit, context, TG_OK};
  const hid_t models = H5Gopen2(file, "/models", H5P_DEFAULT);
  TG_CHECK(models >= 0, TG_EDATA, "no group /models");
  H5Literate(models, H5_INDEX_NAME, H5_ITER_INC, NULL, visit_link, &v);
  H5Gclose(models);
  return v.status;
}
