#include "results/results.h"

#include "base/files.h"
#include "base/memory.h"
#include "hdf5/h5.h"
#include "parallel/comm.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
  hid_t fields[TG_N_FIELDS];
  hid_t moments[TG_N_FIELDS][TG_N_MOMENTS];
  hid_t correlations[TG_N_CORRELATIONS][TG_N_R];
} model_datasets;

struct tg_results {
  MPI_Comm comm;
  char *path;
  hid_t file;
  const tg_results_layout *layout;
  model_datasets *models;
  unsigned char *scratch;
  size_t scratch_size;
};

/* ---- reading what another run left ---- */

static tg_status check_format(const char *path, hid_t file) {
  char *format = tg_h5_string_attribute(file, "format");
  const bool states = format && strcmp(format, "tokengeom-hidden-states") == 0,
             right = format && strcmp(format, "tokengeom-results") == 0;
  free(format);
  TG_CHECK(!states, TG_EDATA, "%s: holds hidden states, no results; measure them first (source kind hdf5)", path);
  TG_CHECK(right, TG_EDATA, "%s: no tokengeom result file", path);
  const long version = tg_h5_integer_attribute(file, "format_version", -1);
  TG_CHECK(version == 1, TG_EDATA, "%s: format_version is %ld, expected 1", path, version);
  return TG_OK;
}

tg_status tg_results_open_input(const char *path, hid_t *file) {
  TG_TRY(tg_h5_open_input(path, file));
  const tg_status st = check_format(path, *file);
  if (st != TG_OK) {
    H5Fclose(*file);
    *file = -1;
  }
  return st;
}

tg_status tg_results_read_provenance(const char *path, const char *name, char **text) {
  hid_t file;
  *text = NULL;
  TG_TRY(tg_results_open_input(path, &file));
  const hid_t group = H5Gopen2(file, "/provenance", H5P_DEFAULT);
  *text = group >= 0 ? tg_h5_string_dataset(group, name) : NULL;
  if (group >= 0) H5Gclose(group);
  H5Fclose(file);
  TG_CHECK(*text, TG_EDATA, "%s: no /provenance/%s", path, name);
  return TG_OK;
}

/* ---- opening and closing ---- */

static hid_t open_dataset(hid_t file, const char *model, const char *path) {
  char name[512];
  snprintf(name, sizeof name, "/models/%s/%s", model, path);
  return H5Dopen2(file, name, H5P_DEFAULT);
}

/* Opens everything once: HDF5 needs no metadata afterwards. */
static tg_status open_model(tg_results *r, int m) {
  const tg_results_model *model = &r->layout->models[m];
  model_datasets *d = &r->models[m];
  char name[256];
  for (int f = 0; f < TG_N_FIELDS; f++) {
    d->fields[f] = -1;
    if (!tg_results_has_field(model, f)) continue;
    d->fields[f] = open_dataset(r->file, model->name, tg_fields[f].path);
    TG_CHECK(d->fields[f] >= 0, TG_EIO, "%s: no /models/%s/%s", r->path, model->name, tg_fields[f].path);
    for (int w = 0; w < TG_N_MOMENTS && tg_fields[f].statistics; w++) {
      snprintf(name, sizeof name, "statistics/%s/%s", tg_fields[f].path, tg_moment_names[w]);
      d->moments[f][w] = open_dataset(r->file, model->name, name);
      TG_CHECK(d->moments[f][w] >= 0, TG_EIO, "%s: no /models/%s/%s", r->path, model->name, name);
    }
  }
  for (int c = 0; c < TG_N_CORRELATIONS; c++)
    for (int w = 0; w < TG_N_R; w++) {
      snprintf(name, sizeof name, "correlations/%s/%s", tg_correlation_fields[c].path, tg_r_names[w]);
      d->correlations[c][w] = open_dataset(r->file, model->name, name);
      TG_CHECK(d->correlations[c][w] >= 0, TG_EIO, "%s: no /models/%s/%s", r->path, model->name, name);
    }
  return TG_OK;
}

static tg_status open_all(tg_results *r) {
  const hid_t access = H5Pcreate(H5P_FILE_ACCESS);
  H5Pset_fapl_mpio(access, r->comm, MPI_INFO_NULL);
  r->file = H5Fopen(r->path, H5F_ACC_RDWR, access);
  H5Pclose(access);
  TG_CHECK(r->file >= 0, TG_EIO, "%s: cannot be opened for writing (%s)", r->path, tg_h5_reason());
  for (int m = 0; m < r->layout->n_models; m++) TG_TRY(open_model(r, m));
  return TG_OK;
}

tg_status tg_results_open(MPI_Comm comm, const char *path, const tg_results_layout *layout, tg_results **out) {
  tg_results *r = NULL;
  *out = NULL;
  tg_status st = TG_ALLOC(1, &r);
  if (st == TG_OK) st = TG_ALLOC(layout->n_models, &r->models);
  if (st == TG_OK) {
    r->comm = comm;
    r->path = tg_copy_string(path);
    r->layout = layout;
    r->file = -1;
  }
  TG_TRY(tg_comm_agree(comm, st)); /* before the collective open */
  st = tg_comm_agree(comm, open_all(r));
  if (st != TG_OK) MPI_Abort(comm, (int)st); /* some ranks may have it open, and closing is collective */
  *out = r;
  return st;
}

tg_status tg_results_close(tg_results **results) {
  tg_results *r = *results;
  if (!r) return TG_OK;
  tg_status st = TG_OK;
  for (int m = 0; r->file >= 0 && m < r->layout->n_models; m++) {
    model_datasets *d = &r->models[m];
    for (int f = 0; f < TG_N_FIELDS; f++) {
      if (d->fields[f] < 0) continue;
      H5Dclose(d->fields[f]);
      for (int w = 0; w < TG_N_MOMENTS && tg_fields[f].statistics; w++) H5Dclose(d->moments[f][w]);
    }
    for (int c = 0; c < TG_N_CORRELATIONS; c++)
      for (int w = 0; w < TG_N_R; w++) H5Dclose(d->correlations[c][w]);
  }
  if (r->file >= 0 && H5Fclose(r->file) < 0)
    st = tg_fail(TG_EIO, TG_HERE, "%s cannot be closed (%s)", r->path, tg_h5_reason());
  const MPI_Comm comm = r->comm;
  free(r->path);
  free(r->models);
  free(r->scratch);
  free(r);
  *results = NULL;
  return tg_comm_agree(comm, st);
}

tg_status tg_results_flush(tg_results *results) {
  tg_status st = TG_OK;
  if (H5Fflush(results->file, H5F_SCOPE_GLOBAL) < 0)
    st = tg_fail(TG_EIO, TG_HERE, "%s cannot be flushed (%s)", results->path, tg_h5_reason());
  return tg_comm_agree(results->comm, st); /* a barrier too */
}

/* ---- blocks ---- */

/* Moves a block start, count between packed memory and a dataset, independently of other ranks. */
static herr_t move_block(hid_t dataset, int rank, const hsize_t *start, const hsize_t *count, hid_t memory_type,
                         void *read_into, const void *write_from) {
  const hid_t file = H5Dget_space(dataset),
              memory = rank > 0 ? H5Screate_simple(rank, count, NULL) : H5Screate(H5S_SCALAR);
  herr_t result = rank > 0 ? H5Sselect_hyperslab(file, H5S_SELECT_SET, start, NULL, count, NULL) : 0;
  if (result >= 0)
    result = write_from ? H5Dwrite(dataset, memory_type, memory, file, H5P_DEFAULT, write_from)
                        : H5Dread(dataset, memory_type, memory, file, H5P_DEFAULT, read_into);
  H5Sclose(memory);
  H5Sclose(file);
  return result;
}

static tg_status scratch_of(tg_results *r, size_t bytes) {
  if (bytes <= r->scratch_size) return TG_OK;
  free(r->scratch);
  r->scratch_size = 0;
  TG_TRY(tg_alloc_bytes(bytes, 1, (void **)&r->scratch));
  r->scratch_size = bytes;
  return TG_OK;
}

static hid_t memory_type(tg_type type) { return type == TG_F64 ? H5T_NATIVE_DOUBLE : H5T_NATIVE_INT32; }
static size_t size_of(tg_type type) { return type == TG_F64 ? sizeof(double) : sizeof(int32_t); }

static const void *number_of(const tg_field *f, const tg_row *row) {
  const unsigned char *at = (const unsigned char *)row + f->offset;
  if (f->origin == TG_FROM_ROW) return at;
  const void *array; /* a pointer member */
  memcpy(&array, at, sizeof array);
  return array;
}

/* Writes n_rows consecutive indices of a field's third axis, first.. */
static tg_status write_field(tg_results *r, int m, int field, int64_t p, int s, int first, int n_rows,
                             const tg_row *rows) {
  const tg_results_model *model = &r->layout->models[m];
  const tg_field *f = &tg_fields[field];
  hsize_t start[TG_MAX_AXES] = {(hsize_t)p, (hsize_t)s, (hsize_t)first}, count[TG_MAX_AXES] = {1, 1, (hsize_t)n_rows};
  size_t bytes = size_of(f->type);
  for (int a = 3; a < f->n_axes; a++) {
    count[a] = (hsize_t)tg_results_axis_length(model, f->axes[a]);
    bytes *= count[a];
  }
  TG_TRY(scratch_of(r, bytes * (size_t)n_rows));
  for (int a = 0; a < n_rows; a++) memcpy(r->scratch + (size_t)a * bytes, number_of(f, &rows[a]), bytes);
  TG_CHECK(move_block(r->models[m].fields[field], f->n_axes, start, count, memory_type(f->type), NULL, r->scratch) >= 0,
           TG_EIO, "%s: /models/%s/%s cannot be written (%s)", r->path, model->name, f->path, tg_h5_reason());
  return TG_OK;
}

static tg_status write_angle_layers(tg_results *r, int m, int64_t p, int s, int first, int n_rows, const tg_row *rows) {
  const tg_results_model *model = &r->layout->models[m];
  for (int a = 0; a < model->n_angle_layers; a++) {
    const int row = model->angle_layers[a] - first;
    if (row >= 0 && row < n_rows) TG_TRY(write_field(r, m, TG_FIELD_ANGLE_TOKENS, p, s, a, 1, rows + row));
  }
  return TG_OK;
}

tg_status tg_results_write_rows(tg_results *results, int model, int64_t p, int s, int first, int n_rows,
                                const tg_row *rows) {
  TG_TRY(tg_file_still_there(results->path));
  for (int f = 0; f < TG_N_FIELDS; f++) { /* status is the last of the table */
    const tg_field *field = &tg_fields[f];
    if (results->models[model].fields[f] < 0 || field->origin == TG_FROM_LAST_LAYER || field->origin == TG_FROM_PROMPT)
      continue;
    if (f == TG_FIELD_ANGLE_TOKENS) {
      TG_TRY(write_angle_layers(results, model, p, s, first, n_rows, rows));
    } else if (field->axes[2] == TG_AXIS_PAIR) { /* the pair (l - 1, l) comes with layer l */
      const int skip = first == 0;
      if (n_rows > skip) TG_TRY(write_field(results, model, f, p, s, first + skip - 1, n_rows - skip, rows + skip));
    } else
      TG_TRY(write_field(results, model, f, p, s, first, n_rows, rows));
  }
  return TG_OK;
}

static tg_status write_beside(tg_results *r, int m, int field, int64_t p, int s, const void *numbers) {
  const tg_results_model *model = &r->layout->models[m];
  const tg_field *f = &tg_fields[field];
  if (r->models[m].fields[field] < 0) return TG_OK;
  hsize_t start[TG_MAX_AXES] = {(hsize_t)p, (hsize_t)s}, count[TG_MAX_AXES] = {1, 1};
  for (int a = 2; a < f->n_axes; a++) count[a] = (hsize_t)tg_results_axis_length(model, f->axes[a]);
  TG_CHECK(move_block(r->models[m].fields[field], f->n_axes, start, count, memory_type(f->type), NULL, numbers) >= 0,
           TG_EIO, "%s: /models/%s/%s cannot be written (%s)", r->path, model->name, f->path, tg_h5_reason());
  return TG_OK;
}

tg_status tg_results_write_prompt(tg_results *results, int model, int64_t p, int s, double loss, double entropy,
                                  const int32_t *token_ids, const tg_row *last) {
  for (int f = 0; f < TG_N_FIELDS; f++)
    if (tg_fields[f].origin == TG_FROM_LAST_LAYER)
      TG_TRY(
          write_beside(results, model, f, p, s, *(double *const *)((const unsigned char *)last + tg_fields[f].offset)));
  TG_TRY(write_beside(results, model, TG_FIELD_LOSS, p, s, &loss));
  TG_TRY(write_beside(results, model, TG_FIELD_ENTROPY, p, s, &entropy));
  return write_beside(results, model, TG_FIELD_TOKEN_IDS, p, s, token_ids);
}

tg_status tg_results_read_clouds(tg_results *results, int model, int field, int32_t *values) {
  const tg_results_model *m = &results->layout->models[model];
  const hsize_t start[3] = {0}, count[3] = {(hsize_t)m->n_prompts, (hsize_t)m->n_levels, (hsize_t)m->n_layers};
  TG_CHECK(move_block(results->models[model].fields[field], 3, start, count, H5T_NATIVE_INT32, values, NULL) >= 0,
           TG_EIO, "%s: /models/%s/%s cannot be read (%s)", results->path, m->name, tg_fields[field].path,
           tg_h5_reason());
  return TG_OK;
}

tg_status tg_results_read_level(tg_results *results, int model, int field, int s, double *values) {
  const tg_results_model *m = &results->layout->models[model];
  const tg_field *f = &tg_fields[field];
  hsize_t start[TG_MAX_AXES] = {0, (hsize_t)s}, count[TG_MAX_AXES] = {(hsize_t)m->n_prompts, 1};
  for (int a = 2; a < f->n_axes; a++) count[a] = (hsize_t)tg_results_axis_length(m, f->axes[a]);
  TG_CHECK(move_block(results->models[model].fields[field], f->n_axes, start, count, H5T_NATIVE_DOUBLE, values, NULL) >=
               0,
           TG_EIO, "%s: /models/%s/%s cannot be read (%s)", results->path, m->name, f->path, tg_h5_reason());
  return TG_OK;
}

/* One level of a statistics or correlation dataset. */
static tg_status write_level(tg_results *r, int m, hid_t dataset, int n_axes, const tg_axis *axes, int s,
                             const double *values) {
  const tg_results_model *model = &r->layout->models[m];
  hsize_t start[TG_MAX_AXES] = {(hsize_t)s}, count[TG_MAX_AXES] = {1};
  for (int a = 0; a < n_axes; a++) count[a + 1] = (hsize_t)tg_results_axis_length(model, axes[a]);
  TG_CHECK(move_block(dataset, n_axes + 1, start, count, H5T_NATIVE_DOUBLE, NULL, values) >= 0, TG_EIO,
           "%s: statistics of %s cannot be written (%s)", r->path, model->name, tg_h5_reason());
  return TG_OK;
}

tg_status tg_results_write_moment(tg_results *results, int model, int field, int which, int s, const double *values) {
  const tg_field *f = &tg_fields[field];
  return write_level(results, model, results->models[model].moments[field][which], f->n_axes - 2, f->axes + 2, s,
                     values);
}

tg_status tg_results_write_correlation(tg_results *results, int model, int group, int which, int s,
                                       const double *values) {
  const tg_correlation_field *c = &tg_correlation_fields[group];
  return write_level(results, model, results->models[model].correlations[group][which], c->n_axes, c->axes, s, values);
}

tg_status tg_results_write_end(tg_results *results, bool complete, const char *end) {
  const int32_t value = complete;
  TG_TRY(tg_file_still_there(results->path));
  const hid_t flag = H5Dopen2(results->file, "/complete", H5P_DEFAULT);
  const hid_t text = H5Dopen2(results->file, "/provenance/end", H5P_DEFAULT), type = text >= 0 ? H5Dget_type(text) : -1;
  bool good = flag >= 0 && type >= 0 && H5Tget_size(type) > strlen(end);
  char *padded = good ? calloc(H5Tget_size(type), 1) : NULL;
  good = good && padded;
  if (good) {
    strcpy(padded, end);
    good = move_block(text, 0, NULL, NULL, type, NULL, padded) >= 0 &&
           move_block(flag, 0, NULL, NULL, H5T_NATIVE_INT32, NULL, &value) >= 0;
  }
  free(padded);
  if (type >= 0) H5Tclose(type);
  if (text >= 0) H5Dclose(text);
  if (flag >= 0) H5Dclose(flag);
  TG_CHECK(good, TG_EIO, "%s: the end of the run cannot be written (%s)", results->path, tg_h5_reason());
  return TG_OK;
}
