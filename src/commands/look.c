#include "commands/look.h"

#include "base/files.h"
#include "base/memory.h"
#include "base/text.h"
#include "geometry/row.h"
#include "hdf5/h5.h"
#include "hdf5/look.h"
#include "study/inputs.h"
#include "study/provenance.h"
#include "results/reductions.h"
#include "results/load.h"
#include "study/study.h"
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void tg_command_version(void) {
  printf("tokengeom %s\n%sCPU: %s\nkernel: %s\n", tg_provenance_version(), tg_provenance_libraries(),
         tg_provenance_cpu(), tg_provenance_kernel(tg_kernel_best()));
}

/* ---- validate ---- */

tg_status tg_command_validate(const char *path, const char *const *overrides, int n_overrides) {
  tg_config *config = NULL;
  tg_study study = {0};
  tg_status st = tg_config_read(path, overrides, n_overrides, &config);
  if (st == TG_OK) st = tg_inputs_look(config);
  if (st == TG_OK) st = tg_study_open(config, NULL, &study);
  if (st == TG_OK) {
    printf("%s# inputs:\n", config->resolved);
    for (const char *line = study.inputs; *line; line += strcspn(line, "\n") + 1)
      tg_text_print(stdout, "#   %.*s\n", (int)strcspn(line, "\n"), line);
    tg_inputs_print_aliases(stdout, "# ", config);
    for (int m = 0; m < study.n_models; m++)
      tg_inputs_print_left_out(stdout, "# ", tg_source_describe(study.sources[m]));
    tg_inputs_print_engine_warnings(stdout, "# ");
    st = tg_study_check_directory(config->output);
  }
  if (st == TG_OK) {
    if (access(config->output, F_OK) == 0) printf("# the output exists: run needs --resume or --force\n");
    printf("# the config is valid\n");
  }
  tg_study_close(&study);
  tg_config_destroy(&config);
  return st;
}

tg_status tg_command_get(const char *path, const char *const *overrides, int n_overrides, const char *key) {
  tg_config *config = NULL;
  TG_TRY(tg_config_read_for_results(path, overrides, n_overrides, &config));
  const bool known = tg_config_print_value(stdout, config, key);
  tg_config_destroy(&config);
  TG_CHECK(known, TG_EUSAGE, "--get: '%s' is no key of a study; run --help-config lists them", key);
  return TG_OK;
}

/* ---- info ---- */

static tg_status print_model_info(hid_t group, const char *name, void *context) {
  (void)context;
  tg_array status = {0}, levels = {0};
  int64_t counts[4] = {0};
  tg_status st = tg_array_load(group, "status", &status);
  if (st == TG_OK) st = tg_array_load(group, "shuffle", &levels);
  if (st == TG_OK && status.n_axes != 3)
    st = tg_fail(TG_EDATA, TG_HERE, "/models/%s/status has %d axes, expected 3", name, status.n_axes);
  if (st == TG_OK) {
    for (int64_t a = 0; a < status.count; a++)
      if (status.values[a] >= TG_STATUS_TODO && status.values[a] <= TG_STATUS_BAD) counts[(int)status.values[a]]++;
    tg_text_print(stdout, "model %s: %" PRId64 " prompts, %" PRId64 " layers, shuffle levels", name, status.shape[0],
                  status.shape[2]);
    for (int64_t s = 0; s < levels.count; s++) printf(" %.0f", levels.values[s]);
    printf("\n  clouds: %" PRId64 " done, %" PRId64 " done with reasons, %" PRId64 " bad input, %" PRId64 " to do\n",
           counts[TG_STATUS_DONE], counts[TG_STATUS_REASONS], counts[TG_STATUS_BAD], counts[TG_STATUS_TODO]);
  }
  tg_array_free(&status);
  tg_array_free(&levels);
  return st;
}

/* A text of one line stands behind its name, a longer one below it. */
static void print_text(const char *name, const char *text) {
  const bool one_line = strcspn(text, "\n") + 1 >= strlen(text);
  tg_text_print(stdout, "%s:%s", name, one_line ? " " : "\n");
  for (const char *line = text; *line;) {
    const int length = (int)strcspn(line, "\n");
    tg_text_print(stdout, "%s%.*s\n", one_line ? "" : "  ", length, line);
    line += length + (line[length] == '\n');
  }
}

static herr_t print_provenance(hid_t group, const char *name, const H5L_info_t *info, void *context) {
  (void)info, (void)context;
  char *text = tg_h5_string_dataset(group, name);
  if (text && strncmp(name, "config", 6) != 0) print_text(name, text);
  free(text);
  return 0;
}

static tg_status print_results_info(const char *path, hid_t file) {
  tg_array complete;
  TG_TRY(tg_array_load(file, "complete", &complete));
  tg_text_print(stdout, "%s: tokengeom results, format version %ld, %s\n", path,
                tg_h5_integer_attribute(file, "format_version", -1),
                complete.values[0] == 1.0 ? "complete" : "not complete (run --resume goes on)");
  tg_array_free(&complete);
  TG_TRY(tg_results_each_model(file, print_model_info, NULL));
  const hid_t group = H5Gopen2(file, "/provenance", H5P_DEFAULT);
  if (group >= 0) {
    H5Literate(group, H5_INDEX_NAME, H5_ITER_INC, NULL, print_provenance, NULL);
    H5Gclose(group);
  }
  return TG_OK;
}

static herr_t print_dataset(hid_t file, const char *name, const H5L_info_t *info, void *context) {
  (void)info, (void)context;
  const hid_t dataset = H5Dopen2(file, name, H5P_DEFAULT);
  if (dataset < 0) return 0;
  hsize_t shape[H5S_MAX_RANK];
  const hid_t space = H5Dget_space(dataset), type = H5Dget_type(dataset);
  const int n_axes = H5Sget_simple_extent_dims(space, shape, NULL);
  tg_text_print(stdout, "  %-16s", name);
  for (int a = 0; a < n_axes; a++) printf("%s%llu", a ? " x " : " ", (unsigned long long)shape[a]);
  printf(", %zu bytes a number\n", H5Tget_size(type));
  H5Tclose(type);
  H5Sclose(space);
  H5Dclose(dataset);
  return 0;
}

static tg_status print_states_info(const char *path, hid_t file) {
  char *model = tg_h5_string_attribute(file, "model");
  tg_text_print(stdout, "%s: hidden states of %s, format version %ld\n", path,
                model ? tg_text_clean(model, false) : "(model not named)",
                tg_h5_integer_attribute(file, "format_version", -1));
  free(model);
  H5Literate(file, H5_INDEX_NAME, H5_ITER_INC, NULL, print_dataset, NULL);
  return TG_OK;
}

tg_status tg_command_info(const char *path) {
  hid_t file;
  TG_TRY(tg_h5_look(&path, 1, NULL));
  TG_TRY(tg_h5_open_input(path, &file));
  char *format = tg_h5_string_attribute(file, "format");
  tg_status st;
  if (format && strcmp(format, "tokengeom-results") == 0)
    st = print_results_info(path, file);
  else if (format && strcmp(format, "tokengeom-hidden-states") == 0)
    st = print_states_info(path, file);
  else
    st = tg_fail(TG_EDATA, TG_HERE,
                 "%s: root attribute format is '%s', expected 'tokengeom-results' or 'tokengeom-hidden-states'", path,
                 format ? format : "(absent)");
  free(format);
  H5Fclose(file);
  return st;
}

/* ---- export ---- */

typedef struct {
  const char *directory;
  int n_files;
} exporter;

/* One dataset as rows of axis values and the number. */
static tg_status write_csv(FILE *out, const char *model, const char *path, const tg_field *field, int64_t *const *axes,
                           const tg_array *a) {
  tg_text_print(out, "# %s\n# units: %s\n# source: /models/%s/%s; %s\n", field->long_name, field->units, model, path,
                field->source);
  for (int x = 0; x < a->n_axes; x++) fprintf(out, "%s,", tg_axes[field->axes[x]].name);
  fprintf(out, "value\n");
  for (int64_t i = 0; i < a->count; i++) {
    int64_t rest = i, place[TG_LOAD_AXES];
    for (int x = a->n_axes - 1; x >= 0; x--) {
      place[x] = rest % a->shape[x];
      rest /= a->shape[x];
    }
    for (int x = 0; x < a->n_axes; x++) fprintf(out, "%" PRId64 ",", axes[x][place[x]]);
    if (isnan(a->values[i]))
      fprintf(out, "nan\n");
    else
      fprintf(out, "%.17g\n", a->values[i]);
  }
  return TG_OK;
}

static tg_status export_dataset(const exporter *e, hid_t group, const char *model, const tg_field *field,
                                const char *path) {
  char name[4096];
  tg_array a = {0};
  int64_t *axes[TG_LOAD_AXES] = {NULL}, length;
  const int prefix = snprintf(name, sizeof name, "%s/%s/", e->directory, model);
  TG_CHECK(prefix >= 0 && (size_t)prefix + strlen(path) + 5 <= sizeof name, TG_EIO, "%s: the name is too long",
           e->directory);
  snprintf(name + prefix, sizeof name - (size_t)prefix, "%s.csv", path);
  for (char *c = name + prefix; *c; c++)
    if (*c == '/') *c = '_';
  tg_status st = tg_array_load(group, path, &a);
  if (st == TG_OK && a.n_axes != field->n_axes)
    st = tg_fail(TG_EDATA, TG_HERE, "/models/%s/%s has %d axes, expected %d", model, path, a.n_axes, field->n_axes);
  for (int x = 0; st == TG_OK && x < a.n_axes; x++) {
    const char *axis = tg_axes[field->axes[x]].name;
    st = tg_integers_load(group, axis, &axes[x], &length);
    if (st == TG_OK && length != a.shape[x])
      st = tg_fail(TG_EDATA, TG_HERE, "/models/%s/%s has length %" PRId64 " on axis %s, whose own is %" PRId64, model,
                   path, a.shape[x], axis, length);
  }
  FILE *out = st == TG_OK ? fopen(name, "w") : NULL;
  if (st == TG_OK && !out) st = tg_fail(TG_EIO, TG_HERE, "%s: %s", name, strerror(errno));
  if (st == TG_OK) st = write_csv(out, model, path, field, axes, &a);
  const bool failed = out && ferror(out);
  if (out && (fclose(out) != 0 || failed) && st == TG_OK) {
    st = tg_fail(TG_EIO, TG_HERE, "%s: %s", name, strerror(errno));
    unlink(name);
  }
  tg_array_free(&a);
  for (int x = 0; x < TG_LOAD_AXES; x++) free(axes[x]);
  return st;
}

static tg_status export_statistics(exporter *e, hid_t group, const char *model, const tg_field *field) {
  char path[256];
  tg_field reduced = *field;
  reduced.n_axes = field->n_axes - 1;
  memmove(reduced.axes, field->axes + 1, sizeof reduced.axes - sizeof reduced.axes[0]);
  for (int w = 0; w < TG_N_MOMENTS; w++) {
    snprintf(path, sizeof path, "statistics/%s/%s", field->path, tg_moment_names[w]);
    TG_TRY(export_dataset(e, group, model, &reduced, path));
    e->n_files++;
  }
  return TG_OK;
}

static tg_status export_correlations(exporter *e, hid_t group, const char *model, const tg_correlation_field *c) {
  char path[256];
  snprintf(path, sizeof path, "correlations/%s", c->path);
  if (!tg_h5_has(group, path)) return TG_OK;
  for (int w = 0; w < TG_N_R; w++) {
    tg_field like = {.n_axes = c->n_axes + 1,
                     .axes = {TG_AXIS_SHUFFLE},
                     .units = "1",
                     .long_name = tg_r_long_names[w],
                     .source = "arXiv 2501.10573"};
    for (int a = 0; a < c->n_axes; a++) like.axes[a + 1] = c->axes[a];
    snprintf(path, sizeof path, "correlations/%s/%s", c->path, tg_r_names[w]);
    TG_TRY(export_dataset(e, group, model, &like, path));
    e->n_files++;
  }
  return TG_OK;
}

static tg_status export_model(hid_t group, const char *model, void *context) {
  exporter *e = context;
  char directory[4096];
  snprintf(directory, sizeof directory, "%s/%s", e->directory, model);
  TG_TRY(tg_make_directory(directory));
  for (int f = 0; f < TG_N_FIELDS; f++) {
    if (!tg_h5_has(group, tg_fields[f].path)) continue;
    TG_TRY(export_dataset(e, group, model, &tg_fields[f], tg_fields[f].path));
    e->n_files++;
    if (tg_fields[f].statistics) TG_TRY(export_statistics(e, group, model, &tg_fields[f]));
  }
  for (int c = 0; c < TG_N_CORRELATIONS; c++) TG_TRY(export_correlations(e, group, model, &tg_correlation_fields[c]));
  return TG_OK;
}

tg_status tg_command_export(const char *path, const char *directory) {
  char *version = NULL;
  hid_t file;
  exporter e = {directory, 0};
  TG_TRY(tg_h5_look(&path, 1, NULL));
  TG_TRY(tg_results_read_provenance(path, "version", &version));
  free(version);
  TG_TRY(tg_h5_open_input(path, &file));
  tg_status st = tg_make_directory(directory);
  if (st == TG_OK) st = tg_results_each_model(file, export_model, &e);
  H5Fclose(file);
  if (st == TG_OK) tg_text_print(stdout, "%d files in %s\n", e.n_files, directory);
  return st;
}
