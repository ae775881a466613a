#include "study/provenance.h"

#include "base/memory.h"
#include "study/inputs.h"
#include "version.h"
#include <cblas.h>
#include <gsl/gsl_version.h>
#include <hdf5.h>
#include <inttypes.h>
#include <mpi.h>
#include <sha2.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <yaml.h>

char *openblas_get_corename(void); /* not in Debian's cblas.h */

const char *tg_provenance_version(void) { return TG_VERSION " (" TG_COMMIT ")"; }

const char *tg_provenance_libraries(void) {
  static char text[2048];
  const char *engine = tg_source_engine();
  char mpi[MPI_MAX_LIBRARY_VERSION_STRING];
  int length;
  unsigned major, minor, release;
  MPI_Get_library_version(mpi, &length);
  mpi[strcspn(mpi, ",\n")] = '\0'; /* MPICH goes on for pages */
  for (char *tab = mpi; (tab = strchr(tab, '\t'));) *tab = ' ';
  H5get_libversion(&major, &minor, &release);
  snprintf(
      text, sizeof text,
      "MPI: %.200s\nHDF5: %u.%u.%u (parallel)\nBLAS: %s\noneDNN: %s\nGSL: %s\nlibyaml: %s\nlibllama: %s\ncompiler: "
      "%s, %s\n",
      mpi, major, minor, release, openblas_get_config(), tg_tiles_library() ? tg_tiles_library() : "not in this build",
      gsl_version, yaml_get_version_string(), engine ? engine : "not in this build", TG_COMPILER, TG_BUILD_TYPE);
  return text;
}

const char *tg_provenance_cpu(void) {
  static char text[256] = "unknown";
  FILE *file = fopen("/proc/cpuinfo", "r");
  char line[256];
  while (file && fgets(line, sizeof line, file)) {
    char *value = strchr(line, ':');
    if (strncmp(line, "model name", 10) != 0 || !value) continue;
    snprintf(text, sizeof text, "%s", value + 2);
    text[strcspn(text, "\n")] = '\0';
    break;
  }
  if (file) fclose(file);
  return text;
}

const char *tg_provenance_kernel(tg_kernel kernel) {
  static char text[256];
  snprintf(text, sizeof text, "%s: Gram matrix by %s (OpenBLAS: %s) proposes, float64 decides", tg_kernel_names[kernel],
           kernel == TG_KERNEL_FLOAT32 ? "OpenBLAS" : tg_tiles_library(), openblas_get_corename());
  return text;
}

void tg_provenance_time(char out[TG_END_TIME_ROOM]) {
  const time_t now = time(NULL);
  struct tm utc;
  gmtime_r(&now, &utc);
  strftime(out, TG_END_TIME_ROOM, "%Y-%m-%dT%H:%M:%SZ", &utc);
}

void tg_provenance_digest(const char *text, char out[TG_DIGEST_ROOM]) {
  _Static_assert(TG_DIGEST_ROOM == SHA256_DIGEST_STRING_LENGTH, "digits of a SHA-256");
  SHA256Data((const uint8_t *)text, strlen(text), out);
}

const char *tg_provenance_engine(const tg_study *study) {
  for (int m = 0; m < study->n_models; m++)
    if (tg_source_describe(study->sources[m])->forward) return tg_source_engine();
  return "none";
}

void tg_provenance_session(const tg_study *study, int ranks, char out[TG_SESSION_ROOM]) {
  char now[TG_END_TIME_ROOM];
  tg_provenance_time(now);
  snprintf(out, TG_SESSION_ROOM, "%s  %s  %.24s  %.120s  %d ranks x %d BLAS threads", now, tg_provenance_version(),
           tg_kernel_names[study->kernel], tg_provenance_cpu(), ranks, study->config->blas_threads);
}

static tg_status add(tg_provenance_list *list, const char *name, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static tg_status add(tg_provenance_list *list, const char *name, const char *format, ...) {
  va_list args;
  va_start(args, format);
  char *text = NULL;
  const int length = vasprintf(&text, format, args);
  va_end(args);
  TG_CHECK(length >= 0, TG_EINTERNAL, "no memory for provenance");
  list->items[list->n++] = (tg_provenance){name, text, 0};
  return TG_OK;
}

static tg_status add_models(tg_provenance_list *list, const tg_study *study) {
  char *text = NULL;
  size_t size = 0;
  FILE *out = open_memstream(&text, &size);
  TG_CHECK(out, TG_EINTERNAL, "no memory for provenance");
  for (int m = 0; m < study->n_models; m++) {
    const tg_source_info *info = tg_source_describe(study->sources[m]);
    if (info->measured) {
      fprintf(out, "%s: %d layers, published summaries\n", info->model, info->n_layers);
      continue;
    }
    tg_inputs_print_left_out(out, "", info);
    fprintf(out, "%s: %d layers, width %d, last layer %s\n", info->model, info->n_layers, info->width,
            info->last_layer_normalized < 0 ? "not said to be normalized or not"
            : info->last_layer_normalized   ? "normalized"
                                            : "not normalized");
  }
  fclose(out);
  const tg_status st = add(list, "models", "%s", text);
  free(text);
  return st;
}

tg_status tg_provenance_collect(const tg_study *study, int ranks, tg_provenance_list *out) {
  const tg_config *config = study->config;
  char digest[TG_DIGEST_ROOM], now[TG_END_TIME_ROOM], session[TG_SESSION_ROOM];
  *out = (tg_provenance_list){.n = 0};
  tg_provenance_digest(config->resolved, digest);
  tg_provenance_time(now);
  tg_provenance_session(study, ranks, session);
  TG_TRY(add(out, "version", "%s", tg_provenance_version()));
  TG_TRY(add(out, "commit", "%s", TG_COMMIT));
  TG_TRY(add(out, "config", "%s", config->resolved));
  TG_TRY(add(out, "config_sha256", "%s", digest));
  TG_TRY(add(out, "config_values", "%s", config->resolved_values));
  TG_TRY(add(out, "inputs", "%s", study->inputs));
  TG_TRY(add_models(out, study));
  TG_TRY(add(out, "libraries", "%s", tg_provenance_libraries()));
  TG_TRY(add(out, "cpu", "%s", tg_provenance_cpu()));
  TG_TRY(add(out, "kernel", "%s", tg_provenance_kernel(study->kernel)));
  TG_TRY(add(out, "engine", "%s", tg_provenance_engine(study)));
  TG_TRY(add(out, "engine_warnings", "%s", tg_source_engine_warnings()));
  TG_TRY(add(out, "sessions", "%s\n", session));
  out->items[out->n - 1].room = 64 * TG_SESSION_ROOM;
  TG_TRY(add(out, "ranks", "%d ranks x %d BLAS threads", ranks, config->blas_threads));
  TG_TRY(add(out, "seeds", "shuffle %" PRIu64 ", statistics %" PRIu64, config->shuffle_seed, config->statistics_seed));
  TG_TRY(add(out, "start", "%s", now));
  return add(out, "end", "%-*s", TG_END_TIME_ROOM - 1, TG_NOT_ENDED);
}

void tg_provenance_free(tg_provenance_list *list) {
  for (int a = 0; a < list->n; a++) free((char *)list->items[a].text);
  list->n = 0;
}
