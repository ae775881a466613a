/* Fuzzing: HDF5 inputs. A file is looked at as the program does (hdf5/look.h), and what passes is used in another child: hidden
 * states are opened and every cloud and number read, results go through info, report, verify, export and figures. A crash of
 * libhdf5 that the look sees is what the look is for, and counted; one behind it is a failure. $FUZZ_KEEP: a directory, on
 * the file system of /dev/shm, for files of the first kind. */
#include "commands/look.h"
#include "commands/draw.h"
#include "hdf5/h5.h"
#include "hdf5/look.h"
#include "study/inputs.h"
#include "source/source.h"
#include "verify/verify.h"

#include <hdf5.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const unsigned char *bytes, size_t size);

enum { PATIENCE = 120 };

static char directory[64], path[80], out[80];
static struct { long files, crashed, endless, refused, passed, used, behind; } counts;

static void summarize(void) {
  printf("HDF5: %ld files; libhdf5 crashed on %ld and did not end on %ld; %ld refused at the look; %ld used, %ld of "
         "them to the end; %ld crashed behind the look\n",
         counts.files, counts.crashed, counts.endless, counts.refused, counts.passed, counts.used, counts.behind);
  rmdir(out);
  rmdir(directory);
}

static void prepare(void) {
  snprintf(directory, sizeof directory, "/dev/shm/fuzz-hdf5-%d", (int)getpid());
  snprintf(path, sizeof path, "%s.h5", directory);
  snprintf(out, sizeof out, "%s", directory);
  tg_h5_prepare();
  atexit(summarize);
}

/* ---- in the child ---- */

static tg_status read_clouds(tg_source *source) {
  const tg_source_info *info = tg_source_describe(source);
  const size_t n = (size_t)info->n_tokens;
  tg_source_scalars scalars = {.token_ids = calloc(n, sizeof(int32_t)),
                               .token_loss = calloc(n, sizeof(float)),
                               .token_entropy = calloc(n, sizeof(float))};
  void *raw = malloc(info->cloud_bytes);
  float *x = calloc(n * (size_t)tg_cloud_stride(info->width), sizeof *x);
  tg_status st = TG_OK;
  tg_cloud cloud;
  if (!raw || !x || !scalars.token_ids || !scalars.token_loss || !scalars.token_entropy) return TG_EINTERNAL;
  for (int64_t p = 0; st == TG_OK && p < info->n_prompts && p < 64; p++)
    for (int s = 0; st == TG_OK && s < info->n_levels && s < 8; s++) {
      for (int l = 0; st == TG_OK && l < info->n_layers && l < 8; l++) {
        st = tg_source_read(source, p, s, l, raw);
        if (st == TG_OK) tg_source_view(source, p, raw, x, &cloud);
      }
      if (st == TG_OK) st = tg_source_read_scalars(source, p, s, &scalars);
    }
  free(raw);
  free(x);
  free(scalars.token_ids);
  free(scalars.token_loss);
  free(scalars.token_entropy);
  return st;
}

static tg_status read_metrics(tg_source *source) {
  const tg_source_info *info = tg_source_describe(source);
  const size_t width = (size_t)info->width;
  if (width > 1024) return TG_OK;
  double *matrix = calloc(width * width, sizeof *matrix);
  tg_status st = matrix ? TG_OK : TG_EINTERNAL;
  if (st == TG_OK && info->has_metric) st = tg_source_read_metric(source, matrix);
  if (st == TG_OK && info->vocabulary > 0)
    st = tg_source_read_unembedding(source, 0, info->vocabulary < info->width ? info->vocabulary : info->width,
                                    (float *)matrix);
  free(matrix);
  return st;
}

static tg_status use_states(void) {
  char *files[] = {path};
  tg_model_config model = {(char *)"m", {.kind = TG_SOURCE_HDF5, .files = files, .n_files = 1}};
  const tg_config config = {
      .path = (char *)"fuzz", .models = &model, .n_models = 1, .all_prompts = true, .all_levels = true};
  tg_source *source = NULL;
  tg_status st = tg_source_create(&config, 0, NULL, &source);
  if (st == TG_OK) st = read_clouds(source);
  if (st == TG_OK) st = read_metrics(source);
  tg_source_destroy(&source);
  return st;
}

static tg_status use(bool results) {
  if (!freopen("/dev/null", "w", stdout) || !freopen("/dev/null", "w", stderr)) return TG_EINTERNAL;
  tg_status st = tg_command_info(path);
  if (!results) return st == TG_OK ? use_states() : st;
  if (st == TG_OK) st = tg_command_report(path);
  tg_verify(path, 3, 1); /* whatever it says of the file */
  if (st == TG_OK) st = tg_command_export(path, out);
  const char *const paths[] = {path}, *const no_pictures[] = {"figures.formats=[csv]"};
  return st == TG_OK ? tg_command_figures(paths, 1, no_pictures, 1, out) : st;
}

/* ---- */

/* Keeps a file that libhdf5 does not survive in $FUZZ_KEEP. */
static void keep(const char *what, long number) {
  char name[300];
  if (!getenv("FUZZ_KEEP")) return;
  snprintf(name, sizeof name, "%s/%s-%ld.h5", getenv("FUZZ_KEEP"), what, number);
  rename(path, name);
}

static void look(void) {
  const char *const paths[] = {path};
  const tg_status st = tg_h5_look(paths, 1, tg_inputs_try);
  counts.files++;
  if (st == TG_OK)
    counts.passed++;
  else if (strstr(tg_last_error(), " crashed ("))
    keep("crash", counts.crashed++);
  else if (strstr(tg_last_error(), " CPU time"))
    keep("endless", counts.endless++);
  else
    counts.refused++;
}

int LLVMFuzzerTestOneInput(const unsigned char *bytes, size_t size) {
  if (!directory[0]) prepare();
  FILE *file = fopen(path, "wb");
  if (!file || fwrite(bytes, 1, size, file) != size || fclose(file) != 0) abort();
  const long passed = counts.passed;
  const bool results = memmem(bytes, size, "tokengeom-results", 17) != NULL;
  look();
  if (counts.passed > passed) {
    int status;
    fflush(NULL);
    const pid_t child = fork();
    if (child == 0) {
      alarm(PATIENCE);
      _exit(use(results) == TG_OK ? 0 : 42);
    }
    if (child < 0 || waitpid(child, &status, 0) < 0) abort();
    if (!WIFEXITED(status) || (WEXITSTATUS(status) != 0 && WEXITSTATUS(status) != 42)) {
      fprintf(stderr, "a file that passed the look was not survived: status %x; it is %s\n", (unsigned)status, path);
      if (!getenv("FUZZ_GO_ON")) abort();
      keep("behind", counts.behind++);
    }
    counts.used += WIFEXITED(status) && WEXITSTATUS(status) == 0;
  }
  unlink(path);
  return 0;
}
