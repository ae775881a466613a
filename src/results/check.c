/* Reading a prompt's numbers back, as they stand in the file, against their checksums. */
#include "base/memory.h"
#include "hdf5/h5.h"
#include "results/checksum.h"
#include "results/results_impl.h"
#include <stdlib.h>

/* All numbers of one prompt, field by field, in the file's byte order. */
typedef struct {
  unsigned char *fields[TG_N_FIELDS]; /* [n_levels][the axes after shuffle]; NULL: the model has no such field */
  uint64_t *checksums;                /* [n_levels][n_layers] */
} prompt;

static void free_prompt(prompt *b) {
  for (int f = 0; f < TG_N_FIELDS; f++) free(b->fields[f]);
  free(b->checksums);
}

/* A prompt's part of a dataset: contiguous in the file, so one read. */
static tg_status read_part(const tg_results *r, hid_t dataset, const char *name, int64_t p, hid_t type, size_t size,
                           void **out) {
  hsize_t start[TG_MAX_AXES] = {(hsize_t)p}, count[TG_MAX_AXES];
  const hid_t space = H5Dget_space(dataset);
  const int n_axes = H5Sget_simple_extent_dims(space, count, NULL);
  H5Sclose(space);
  count[0] = 1;
  for (int a = 1; a < n_axes; a++) size *= (size_t)count[a];
  TG_TRY(tg_alloc_bytes(size, 1, out));
  TG_CHECK(tg_h5_move(dataset, n_axes, start, count, type, *out, NULL) >= 0, TG_EIO, "%s: %s cannot be read (%s)",
           r->path, name, tg_h5_reason());
  return TG_OK;
}

static tg_status read_prompt(const tg_results *r, int m, int64_t p, prompt *out) {
  const tg_model_datasets *d = &r->models[m];
  for (int f = 0; f < TG_N_FIELDS; f++)
    if (d->fields[f] >= 0)
      TG_TRY(read_part(r, d->fields[f], tg_fields[f].path, p, tg_results_memory_type(tg_fields[f].type),
                       tg_type_bytes(tg_fields[f].type), (void **)&out->fields[f]));
  return read_part(r, d->checksums, "/checksums", p, H5T_NATIVE_UINT64, sizeof(uint64_t), (void **)&out->checksums);
}

static bool cloud_is_good(const tg_results_model *model, const prompt *b, int s, int l) {
  const int32_t *status = (const int32_t *)(const void *)b->fields[TG_FIELD_STATUS];
  if (status[s * model->n_layers + l] == TG_STATUS_TODO) return true;
  const void *numbers[TG_N_FIELDS];
  for (int f = 0; f < TG_N_FIELDS; f++) {
    int place;
    const size_t bytes = tg_results_part(model, f, l, &place);
    const size_t level = (size_t)tg_results_inner(model, f) * tg_type_bytes(tg_fields[f].type);
    numbers[f] = bytes > 0 ? b->fields[f] + (size_t)s * level + (size_t)place * bytes : NULL;
  }
  return b->checksums[s * model->n_layers + l] == tg_checksum_of(model, l, numbers);
}

tg_status tg_results_check_prompt(tg_results *results, int model, int64_t p, bool *good) {
  const tg_results_model *m = &results->layout->models[model];
  prompt b = {0};
  const tg_status st = read_prompt(results, model, p, &b);
  for (int s = 0; st == TG_OK && s < m->n_levels; s++)
    for (int l = 0; l < m->n_layers; l++) good[s * m->n_layers + l] = cloud_is_good(m, &b, s, l);
  free_prompt(&b);
  return st;
}

tg_status tg_results_read_row(tg_results *results, int model, int64_t p, int s, int l, tg_row *row) {
  const tg_results_model *m = &results->layout->models[model];
  for (int f = 0; f < TG_N_FIELDS; f++) {
    const tg_field *field = &tg_fields[f];
    hsize_t start[TG_MAX_AXES] = {(hsize_t)p, (hsize_t)s}, count[TG_MAX_AXES] = {1, 1};
    int place;
    if (tg_results_part(m, f, l, &place) == 0) continue;
    for (int a = 2; a < field->n_axes; a++) count[a] = (hsize_t)tg_results_axis_length(m, field->axes[a]);
    if (tg_field_by_layer(f)) start[2] = (hsize_t)place, count[2] = 1;
    TG_CHECK(tg_h5_move(results->models[model].fields[f], field->n_axes, start, count,
                        tg_results_memory_type(field->type), row->numbers[f], NULL) >= 0,
             TG_EIO, "%s: /models/%s/%s cannot be read (%s)", results->path, m->name, field->path, tg_h5_reason());
  }
  return TG_OK;
}

tg_status tg_results_forget_cloud(tg_results *results, int model, int64_t p, int s, int l) {
  const hsize_t start[3] = {(hsize_t)p, (hsize_t)s, (hsize_t)l}, count[3] = {1, 1, 1};
  const int32_t status = TG_STATUS_TODO;
  TG_CHECK(
      tg_h5_move(results->models[model].fields[TG_FIELD_STATUS], 3, start, count, H5T_NATIVE_INT32, NULL, &status) >= 0,
      TG_EIO, "%s: /models/%s/status cannot be written (%s)", results->path, results->layout->models[model].name,
      tg_h5_reason());
  return TG_OK;
}
