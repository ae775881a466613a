#include "results/results_impl.h"

#include "base/files.h"
#include "base/memory.h"
#include "hdf5/h5.h"
#include "parallel/comm.h"
#include "results/checksum.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- reading what another run left ---- */

static tg_status check_format(const char *path, hid_t file) {
  char *format = tg_h5_string_attribute(file, "format");
  const bool states = format && strcmp(format, "tokengeom-hidden-states") == 0,
             right = format && strcmp(format, "tokengeom-results") == 0;
  free(format);
  TG_CHECK(!states, TG_EDATA, "%s: holds hidden states, no results; measure them first (source kind hdf5)", path);
  TG_CHECK(right, TG_EDATA, "%s: no tokengeom result file", path);
  const long version = tg_h5_integer_attribute(file, "format_version", -1);
  TG_CHECK(version == 1, TG_EDATA, "%s: format_version is %s, expected the integer 1", path,
           tg_h5_shown_attribute(file, "format_version"));
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

tg_status tg_results_has_checksums(const char *path, const tg_results_layout *layout) {
  hid_t file;
  char name[256];
  bool there = true;
  TG_TRY(tg_results_open_input(path, &file));
  for (int m = 0; m < layout->n_models && there; m++) {
    snprintf(name, sizeof name, "/checksums/%s", layout->models[m].name);
    there = tg_h5_has(file, name);
  }
  H5Fclose(file);
  TG_CHECK(there, TG_EDATA, "%s: cannot resume, it has no %s: an earlier version wrote it; --force replaces it", path,
           name);
  return TG_OK;
}

/* ---- opening and closing ---- */

/* Whether a dataset has these axes and this type. */
static bool is_shaped(const tg_results_model *model, hid_t dataset, int n_axes, const tg_axis *axes, hid_t type) {
  hsize_t shape[H5S_MAX_RANK];
  const hid_t space = H5Dget_space(dataset), stored = H5Dget_type(dataset);
  bool good = H5Sget_simple_extent_ndims(space) == n_axes && H5Tequal(stored, type) > 0;
  if (good) H5Sget_simple_extent_dims(space, shape, NULL);
  for (int a = 0; good && a < n_axes; a++) good = (int64_t)shape[a] == tg_results_axis_length(model, axes[a]);
  H5Tclose(stored);
  H5Sclose(space);
  return good;
}

/* out: the dataset `path` of a group, caller closes. */
static tg_status open_dataset(const tg_results *r, const char *group, const tg_results_model *model, const char *path,
                              int n_axes, const tg_axis *axes, hid_t type, hid_t *out) {
  char name[512];
  snprintf(name, sizeof name, "/%s/%s%s%s", group, model->name, *path ? "/" : "", path);
  *out = H5Dopen2(r->file, name, H5P_DEFAULT);
  TG_CHECK(*out >= 0, TG_EDATA, "%s: no %s", r->path, name);
  TG_CHECK(is_shaped(model, *out, n_axes, axes, type), TG_EDATA,
           "%s: %s has another shape or type than the axes of %s give", r->path, name, model->name);
  return TG_OK;
}

static hid_t file_type(bool integer) { return integer ? H5T_STD_I32LE : H5T_IEEE_F64LE; }

static tg_status open_fields(tg_results *r, const tg_results_model *model, tg_model_datasets *d) {
  char name[256];
  for (int a = 0; a < TG_N_FIELDS; a++) {
    const tg_field *f = &tg_fields[a];
    if (!tg_results_has_field(model, a)) continue;
    TG_TRY(open_dataset(r, "models", model, f->path, f->n_axes, f->axes, file_type(f->type == TG_I32), &d->fields[a]));
    for (int w = 0; w < TG_N_MOMENTS && f->statistics; w++) {
      snprintf(name, sizeof name, "statistics/%s/%s", f->path, tg_moment_names[w]);
      TG_TRY(open_dataset(r, "models", model, name, f->n_axes - 1, f->axes + 1, file_type(w == 0), &d->moments[a][w]));
    }
  }
  return TG_OK;
}

/* Opens everything once: HDF5 needs no metadata afterwards. */
static tg_status open_model(tg_results *r, int m) {
  static const tg_axis by_cloud[] = {TG_AXIS_PROMPT, TG_AXIS_SHUFFLE, TG_AXIS_LAYER};
  const tg_results_model *model = &r->layout->models[m];
  tg_model_datasets *d = &r->models[m];
  char name[256];
  TG_TRY(open_fields(r, model, d));
  for (int c = 0; c < TG_N_CORRELATIONS; c++) {
    if (!tg_results_has_correlation(model, c)) continue;
    tg_axis axes[TG_MAX_AXES] = {TG_AXIS_SHUFFLE};
    for (int a = 0; a < tg_correlation_fields[c].n_axes; a++) axes[a + 1] = tg_correlation_fields[c].axes[a];
    for (int w = 0; w < TG_N_R; w++) {
      snprintf(name, sizeof name, "correlations/%s/%s", tg_correlation_fields[c].path, tg_r_names[w]);
      TG_TRY(open_dataset(r, "models", model, name, tg_correlation_fields[c].n_axes + 1, axes, file_type(w == TG_R_N),
                          &d->correlations[c][w]));
    }
  }
  return open_dataset(r, "checksums", model, "", 3, by_cloud, H5T_STD_U64LE, &d->checksums);
}

static void destroy(tg_results **results) {
  tg_results *r = *results;
  if (r) {
    free(r->path);
    free(r->models);
    free(r->scratch);
  }
  free(r);
  *results = NULL;
}

/* A handle with nothing open. */
static tg_status create(MPI_Comm comm, const char *path, const tg_results_layout *layout, tg_results **out) {
  tg_results *r = NULL;
  TG_TRY(TG_ALLOC(1, &r));
  *r = (tg_results){.comm = comm, .path = tg_copy_string(path), .file = -1, .layout = layout};
  const tg_status st = r->path ? TG_ALLOC(layout->n_models, &r->models) : tg_fail(TG_EINTERNAL, TG_HERE, "no memory");
  if (st == TG_OK)
    memset(r->models, 0xff, (size_t)layout->n_models * sizeof *r->models); /* every dataset is -1 */
  else
    destroy(&r);
  *out = r;
  return st;
}

static tg_status open_all(tg_results *r) {
  const hid_t access = H5Pcreate(H5P_FILE_ACCESS);
  H5Pset_fapl_mpio(access, r->comm, MPI_INFO_NULL);
  r->file = H5Fopen(r->path, H5F_ACC_RDWR, access);
  H5Pclose(access);
  TG_CHECK(r->file >= 0, TG_EIO, "%s: cannot be opened for writing (%s)", r->path, tg_h5_reason());
  TG_TRY(tg_file_still_there(r->path, &r->identity)); /* what was opened is what was looked at */
  for (int m = 0; m < r->layout->n_models; m++) TG_TRY(open_model(r, m));
  return TG_OK;
}

tg_status tg_results_open(MPI_Comm comm, const char *path, const tg_results_layout *layout, tg_results **out) {
  *out = NULL;
  tg_status st = create(comm, path, layout, out);
  if (st == TG_OK) st = tg_file_identify(path, &(*out)->identity);
  st = tg_comm_agree(comm, st);  /* before the collective open */
  if (st != TG_OK) destroy(out); /* on all: whoever has a handle closes it, and closing is collective */
  TG_TRY(st);
  st = tg_comm_agree(comm, open_all(*out));
  if (st != TG_OK) tg_comm_abort_all(comm, st); /* some ranks may have it open, and closing is collective */
  return st;
}

tg_status tg_results_open_read(const char *path, hid_t file, const tg_results_layout *layout, tg_results **out) {
  *out = NULL;
  TG_TRY(create(MPI_COMM_NULL, path, layout, out));
  (*out)->file = file;
  for (int m = 0; m < layout->n_models; m++) TG_TRY(open_model(*out, m));
  return TG_OK;
}

static void close_datasets(tg_model_datasets *d) {
  hid_t *all = (hid_t *)d; /* a struct of nothing else */
  for (size_t a = 0; a < sizeof *d / sizeof *all; a++)
    if (all[a] >= 0) H5Dclose(all[a]);
}

tg_status tg_results_close(tg_results **results) {
  tg_results *r = *results;
  if (!r) return TG_OK;
  tg_status st = TG_OK;
  for (int m = 0; m < r->layout->n_models; m++) close_datasets(&r->models[m]);
  const MPI_Comm comm = r->comm;
  if (comm != MPI_COMM_NULL && r->file >= 0 && H5Fclose(r->file) < 0)
    st = tg_fail(TG_EIO, TG_HERE, "%s cannot be closed (%s)", r->path, tg_h5_reason());
  destroy(results);
  return comm != MPI_COMM_NULL ? tg_comm_agree(comm, st) : st;
}

tg_status tg_results_flush(tg_results *results) {
  tg_status st = TG_OK;
  if (H5Fflush(results->file, H5F_SCOPE_GLOBAL) < 0)
    st = tg_fail(TG_EIO, TG_HERE, "%s cannot be flushed (%s)", results->path, tg_h5_reason());
  if (st == TG_OK) st = tg_file_still_there(results->path, &results->identity);
  return tg_comm_agree(results->comm, st); /* a barrier too */
}

tg_status tg_results_scratch(tg_results *r, size_t bytes) {
  if (bytes <= r->scratch_size) return TG_OK;
  free(r->scratch);
  r->scratch_size = 0;
  TG_TRY(tg_alloc_bytes(bytes, 1, (void **)&r->scratch));
  r->scratch_size = bytes;
  return TG_OK;
}

hid_t tg_results_memory_type(tg_type type) { return type == TG_F64 ? H5T_NATIVE_DOUBLE : H5T_NATIVE_INT32; }

/* Writes what n_rows consecutive rows have of a field, from `place` of its third axis on. */
static tg_status write_field(tg_results *r, int m, int field, int64_t p, int s, int place, int n_rows,
                             const tg_row *rows) {
  const tg_results_model *model = &r->layout->models[m];
  const tg_field *f = &tg_fields[field];
  const bool by_layer = tg_field_by_layer(field);
  const size_t bytes = (size_t)tg_row_count(&model->shape, field) * tg_type_bytes(f->type);
  hsize_t start[TG_MAX_AXES] = {(hsize_t)p, (hsize_t)s}, count[TG_MAX_AXES] = {1, 1};
  for (int a = 2; a < f->n_axes; a++) count[a] = (hsize_t)tg_results_axis_length(model, f->axes[a]);
  if (by_layer) start[2] = (hsize_t)place, count[2] = (hsize_t)n_rows;
  TG_TRY(tg_results_scratch(r, bytes * (size_t)n_rows));
  for (int a = 0; a < n_rows; a++) memcpy(r->scratch + (size_t)a * bytes, rows[a].numbers[field], bytes);
  TG_CHECK(tg_h5_move(r->models[m].fields[field], f->n_axes, start, count, tg_results_memory_type(f->type), NULL,
                      r->scratch) >= 0,
           TG_EIO, "%s: /models/%s/%s cannot be written (%s)", r->path, model->name, f->path, tg_h5_reason());
  return TG_OK;
}

/* Layers first.. of a field, those that stand one after another in the file at once. */
static tg_status write_layers(tg_results *r, int m, int field, int64_t p, int s, int first, int n_rows,
                              const tg_row *rows) {
  const tg_results_model *model = &r->layout->models[m];
  for (int a = 0, end; a < n_rows; a = end) {
    int place, next;
    end = a + 1;
    if (tg_results_part(model, field, first + a, &place) == 0) continue;
    while (end < n_rows && tg_results_part(model, field, first + end, &next) > 0 && next == place + end - a) end++;
    TG_TRY(write_field(r, m, field, p, s, place, end - a, rows + a));
  }
  return TG_OK;
}

static tg_status write_checksums(tg_results *r, int m, int64_t p, int s, int first, int n_rows, const tg_row *rows) {
  const tg_results_model *model = &r->layout->models[m];
  const hsize_t start[3] = {(hsize_t)p, (hsize_t)s, (hsize_t)first}, count[3] = {1, 1, (hsize_t)n_rows};
  TG_TRY(tg_results_scratch(r, (size_t)n_rows * sizeof(uint64_t)));
  uint64_t *checksums = (uint64_t *)(void *)r->scratch;
  for (int a = 0; a < n_rows; a++)
    checksums[a] = tg_checksum_of(model, first + a, (const void *const *)rows[a].numbers);
  TG_CHECK(tg_h5_move(r->models[m].checksums, 3, start, count, H5T_NATIVE_UINT64, NULL, checksums) >= 0, TG_EIO,
           "%s: /checksums/%s cannot be written (%s)", r->path, model->name, tg_h5_reason());
  return TG_OK;
}

tg_status tg_results_write_rows(tg_results *results, int model, int64_t p, int s, int first, int n_rows,
                                const tg_row *rows) {
  TG_TRY(tg_file_still_there(results->path, &results->identity));
  for (int f = 0; f < TG_N_FIELDS; f++) { /* status is the last of the table */
    if (f == TG_FIELD_STATUS) TG_TRY(write_checksums(results, model, p, s, first, n_rows, rows));
    TG_TRY(write_layers(results, model, f, p, s, first, n_rows, rows));
  }
  return TG_OK;
}

tg_status tg_results_read_clouds(tg_results *results, int model, int field, int32_t *values) {
  const tg_results_model *m = &results->layout->models[model];
  const hsize_t start[3] = {0}, count[3] = {(hsize_t)m->n_prompts, (hsize_t)m->n_levels, (hsize_t)m->n_layers};
  TG_CHECK(tg_h5_move(results->models[model].fields[field], 3, start, count, H5T_NATIVE_INT32, values, NULL) >= 0,
           TG_EIO, "%s: /models/%s/%s cannot be read (%s)", results->path, m->name, tg_fields[field].path,
           tg_h5_reason());
  return TG_OK;
}

tg_status tg_results_read_level(tg_results *results, int model, int field, int s, double *values) {
  const tg_results_model *m = &results->layout->models[model];
  const tg_field *f = &tg_fields[field];
  hsize_t start[TG_MAX_AXES] = {0, (hsize_t)s}, count[TG_MAX_AXES] = {(hsize_t)m->n_prompts, 1};
  for (int a = 2; a < f->n_axes; a++) count[a] = (hsize_t)tg_results_axis_length(m, f->axes[a]);
  TG_CHECK(tg_h5_move(results->models[model].fields[field], f->n_axes, start, count, H5T_NATIVE_DOUBLE, values, NULL) >=
               0,
           TG_EIO, "%s: /models/%s/%s cannot be read (%s)", results->path, m->name, f->path, tg_h5_reason());
  return TG_OK;
}

/* Moves one level of a statistics or correlation dataset; read_into or write_from is NULL. */
static tg_status move_level(tg_results *r, int m, hid_t dataset, int n_axes, const tg_axis *axes, int s,
                            double *read_into, const double *write_from) {
  const tg_results_model *model = &r->layout->models[m];
  hsize_t start[TG_MAX_AXES] = {(hsize_t)s}, count[TG_MAX_AXES] = {1};
  for (int a = 0; a < n_axes; a++) count[a + 1] = (hsize_t)tg_results_axis_length(model, axes[a]);
  TG_CHECK(tg_h5_move(dataset, n_axes + 1, start, count, H5T_NATIVE_DOUBLE, read_into, write_from) >= 0, TG_EIO,
           "%s: statistics of %s cannot be %s (%s)", r->path, model->name, write_from ? "written" : "read",
           tg_h5_reason());
  return TG_OK;
}

static tg_status move_moment(tg_results *r, int m, int field, int which, int s, double *read_into,
                             const double *write_from) {
  const tg_field *f = &tg_fields[field];
  return move_level(r, m, r->models[m].moments[field][which], f->n_axes - 2, f->axes + 2, s, read_into, write_from);
}

static tg_status move_correlation(tg_results *r, int m, int group, int which, int s, double *read_into,
                                  const double *write_from) {
  const tg_correlation_field *c = &tg_correlation_fields[group];
  return move_level(r, m, r->models[m].correlations[group][which], c->n_axes, c->axes, s, read_into, write_from);
}

tg_status tg_results_write_moment(tg_results *results, int model, int field, int which, int s, const double *values) {
  return move_moment(results, model, field, which, s, NULL, values);
}

tg_status tg_results_write_correlation(tg_results *results, int model, int group, int which, int s,
                                       const double *values) {
  return move_correlation(results, model, group, which, s, NULL, values);
}

tg_status tg_results_read_moment(tg_results *results, int model, int field, int which, int s, double *values) {
  return move_moment(results, model, field, which, s, values, NULL);
}

tg_status tg_results_read_correlation(tg_results *results, int model, int group, int which, int s, double *values) {
  return move_correlation(results, model, group, which, s, values, NULL);
}

/* ---- texts ---- */

/* A text of /provenance as it stands in the file, with the bytes that it has room for. Caller frees; NULL where there is none. */
static char *read_text(const tg_results *r, const char *path, hid_t *dataset, hid_t *type) {
  *dataset = tg_h5_has(r->file, path) ? H5Dopen2(r->file, path, H5P_DEFAULT) : -1;
  *type = *dataset >= 0 ? H5Dget_type(*dataset) : -1;
  char *text = *type >= 0 ? calloc(H5Tget_size(*type) + 1, 1) : NULL;
  if (text && tg_h5_move(*dataset, 0, NULL, NULL, *type, text, NULL) >= 0) return text;
  free(text);
  return NULL;
}

static void close_text(hid_t dataset, hid_t type, char *text) {
  if (type >= 0) H5Tclose(type);
  if (dataset >= 0) H5Dclose(dataset);
  free(text);
}

/* Appends a line; the oldest but the first go where there is no room. */
static bool append_line(char *text, size_t room, const char *line) {
  char *second = strchr(text, '\n');
  while (second && strlen(text) + strlen(line) + 2 > room) {
    char *third = strchr(second + 1, '\n');
    if (!third) return false;
    memmove(second + 1, third + 1, strlen(third + 1) + 1);
  }
  const size_t length = strlen(text);
  if (length + strlen(line) + 2 > room) return false;
  memset(text + length, 0, room - length);
  sprintf(text + length, "%s\n", line);
  return true;
}

tg_status tg_results_add_session(tg_results *results, const char *line) {
  hid_t dataset, type;
  char *text = read_text(results, "/provenance/sessions", &dataset, &type);
  const bool good =
      text ? (append_line(text, H5Tget_size(type), line) && tg_h5_move(dataset, 0, NULL, NULL, type, NULL, text) >= 0)
           : dataset < 0; /* a file of before they were kept */
  close_text(dataset, type, text);
  TG_CHECK(good, TG_EIO, "%s: the session cannot be written (%s)", results->path, tg_h5_reason());
  return TG_OK;
}

tg_status tg_results_write_end(tg_results *results, bool complete, const char *end) {
  const int32_t value = complete;
  hid_t dataset, type;
  TG_TRY(tg_file_still_there(results->path, &results->identity));
  const hid_t flag = H5Dopen2(results->file, "/complete", H5P_DEFAULT);
  char *text = read_text(results, "/provenance/end", &dataset, &type);
  bool good = flag >= 0 && text && H5Tget_size(type) > strlen(end);
  if (good) {
    strncpy(text, end, H5Tget_size(type));
    good = tg_h5_move(dataset, 0, NULL, NULL, type, NULL, text) >= 0 &&
           tg_h5_move(flag, 0, NULL, NULL, H5T_NATIVE_INT32, NULL, &value) >= 0;
  }
  close_text(dataset, type, text);
  if (flag >= 0) H5Dclose(flag);
  TG_CHECK(good, TG_EIO, "%s: the end of the run cannot be written (%s)", results->path, tg_h5_reason());
  return TG_OK;
}
