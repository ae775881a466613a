#include "commands/draw.h"

#include "base/files.h"
#include "base/memory.h"
#include "base/text.h"
#include "config/config.h"
#include "figures/figures.h"
#include "figures/model.h"
#include "hdf5/h5.h"
#include "hdf5/look.h"
#include "results/results.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <sha2.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

/* ---- figures ---- */

typedef struct {
  const char *const *paths; /* result files */
  int n_paths;
  tg_config *config;
  const char *directory;
  char *own;                             /* directory that is chosen here; NULL: another says */
  char sha[SHA256_DIGEST_STRING_LENGTH]; /* of what decides the numbers */
} drawing;

/* A path below the current directory, without . and ..; NULL: it is absolute, or leaves that directory on its way. */
static char *path_inside(const char *path) {
  char *out = path[0] == '/' ? NULL : calloc(strlen(path) + 2, 1);
  size_t used = 0;
  for (size_t length; out && *path; path += length + (path[length] == '/')) {
    length = strcspn(path, "/");
    if (length == 2 && strncmp(path, "..", 2) == 0) {
      if (used == 0) {
        free(out);
        return NULL;
      }
      const char *slash = strrchr(out, '/');
      used = slash ? (size_t)(slash - out) : 0;
      out[used] = '\0';
    } else if (length > 0 && !(length == 1 && *path == '.'))
      used += (size_t)sprintf(out + used, "%s%.*s", used > 0 ? "/" : "", (int)length, path);
  }
  if (out && used == 0) strcpy(out, ".");
  return out;
}

/* The last part of a path that has a name, "figures" where none has. */
static char *last_part(const char *path) {
  size_t end = strlen(path);
  while (end > 0 && path[end - 1] == '/') end--;
  size_t start = end;
  while (start > 0 && path[start - 1] != '/') start--;
  const size_t length = end - start;
  const bool unnamed = length == 0 || (length <= 2 && strncmp(path + start, "..", length) == 0);
  return unnamed ? strdup("figures") : strndup(path + start, length);
}

/* Whether an absolute path is that of a directory in the current one. */
static bool is_here(const char *path, const char *name) {
  char here[PATH_MAX];
  const size_t length = getcwd(here, sizeof here) ? strlen(here) : 0;
  return length > 0 && strncmp(path, here, length) == 0 && path[length] == '/' && strcmp(path + length + 1, name) == 0;
}

/* Result files come from anywhere, and their config has a say in what is drawn, but not in where on this machine it goes. */
static tg_status choose_directory(drawing *d, const char *wanted) {
  d->own = path_inside(wanted);
  if (d->own) return TG_OK;
  d->own = last_part(wanted);
  TG_CHECK(d->own, TG_EINTERNAL, "no memory");
  if (!is_here(wanted, d->own))
    tg_text_print(stderr,
                  "tokengeom: warning: figures.directory of %s is %s, not below the current directory: writing to %s\n",
                  d->paths[0], wanted, d->own);
  return TG_OK;
}

/* Whether the command line sets it. */
static bool sets_directory(const char *const *overrides, int n) {
  static const char key[] = "figures.directory=";
  bool sets = false;
  for (int a = 0; a < n; a++) sets |= strncmp(overrides[a], key, strlen(key)) == 0;
  return sets;
}

static bool is_results(const char *path) { return access(path, R_OK) == 0 && H5Fis_hdf5(path) > 0; }

static tg_status read_settings(drawing *d, const char *const *arguments, int n, const char *const *overrides,
                               int n_overrides) {
  int results = 0;
  for (int a = 0; a < n; a++) {
    TG_CHECK(access(arguments[a], R_OK) == 0, TG_ENOINPUT, "%s: %s", arguments[a], strerror(errno));
    results += is_results(arguments[a]);
  }
  TG_CHECK(results == n || n == 1, TG_EUSAGE, "figures takes one config, or result files");
  d->paths = arguments;
  d->n_paths = n;
  if (results == 0) {
    TG_TRY(tg_config_read_for_results(arguments[0], overrides, n_overrides, &d->config));
    d->paths = (const char *const *)&d->config->output;
    TG_CHECK(access(d->config->output, R_OK) == 0, TG_ENOINPUT, "%s: %s; make it first: tokengeom run %s",
             d->config->output, strerror(errno), arguments[0]);
    return tg_h5_look(d->paths, n, NULL);
  }
  char *text = NULL;
  TG_TRY(tg_h5_look(arguments, n, NULL));
  TG_TRY(tg_results_read_provenance(arguments[0], "config", &text));
  tg_status st = tg_config_parse_for_results(text, arguments[0], overrides, n_overrides, &d->config);
  if (st == TG_OK && !d->directory && !sets_directory(overrides, n_overrides)) {
    char *wanted = tg_config_figures_directory(text);
    st = choose_directory(d, wanted ? wanted : "figures");
    free(wanted);
  }
  free(text);
  return st;
}

/* The same for any number of ranks and wherever the file lies: the hash of what changes a value. */
static tg_status hash_values(drawing *d) {
  char *text = NULL;
  TG_TRY(tg_results_read_provenance(d->paths[0], "config_values", &text));
  SHA256Data((const uint8_t *)text, strlen(text), d->sha);
  free(text);
  return TG_OK;
}

enum { NO_MATPLOTLIB = 69 };

/* Exit status of a Python with these arguments, NO_MATPLOTLIB when there is none. quiet: what it says is not shown. */
static int run_python(const char *python, char **arguments, bool quiet) {
  pid_t child;
  int status = 0;
  posix_spawn_file_actions_t actions;
  arguments[0] = (char *)python;
  fflush(stdout);
  if (posix_spawn_file_actions_init(&actions) != 0) return -1;
  if (quiet) posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
  const int failed = posix_spawnp(&child, python, &actions, NULL, arguments, environ);
  posix_spawn_file_actions_destroy(&actions);
  if (failed) return NO_MATPLOTLIB;
  while (waitpid(child, &status, 0) < 0)
    if (errno != EINTR) return -1;
  return !WIFEXITED(status) ? -1 : WEXITSTATUS(status) == 127 ? NO_MATPLOTLIB : WEXITSTATUS(status);
}

/* Where a script of ours lies, from where the program does: in an installed tree, which may have been moved, or in the folder
 * that it is built in. room: of path. */
static void find_script(const char *name, char *path, size_t room) {
  static const char *const places[] = {TG_SCRIPTS_FROM_BIN, "libexec"};
  char program[PATH_MAX] = "";
  if (readlink("/proc/self/exe", program, sizeof program - 1) > 0) *strrchr(program, '/') = '\0';
  for (size_t a = 0; a < sizeof places / sizeof *places; a++) {
    snprintf(path, room, "%s/%s/%s", program, places[a], name);
    if (access(path, R_OK) == 0) return;
  }
}

/* Pictures are drawn from the CSVs by Python. What they miss is said, not an error: the numbers are there. The system's
 * Python may have matplotlib where another one comes first in the path. */
static void draw_pictures(const drawing *d) {
  char found[2 * PATH_MAX];
  find_script("plot_figures.py", found, sizeof found);
  char *const script = getenv("TOKENGEOM_PLOT") ? getenv("TOKENGEOM_PLOT") : found;
  char *arguments[] = {NULL, script, NULL, NULL, NULL, NULL, NULL};
  int n = 2;
  if (d->config->figures_png) arguments[n++] = (char *)"--png";
  if (d->config->figures_pdf) arguments[n++] = (char *)"--pdf";
  if (n == 2) return;
  arguments[n++] = (char *)"--"; /* a directory may be named like an option */
  arguments[n] = (char *)d->directory;
  char *probe[] = {NULL, (char *)"-c", (char *)"import matplotlib", NULL};
  const bool first = run_python("python3", probe, true) == 0;
  const int status = run_python(first ? "python3" : "/usr/bin/python3", arguments, false);
  if (status == NO_MATPLOTLIB)
    tg_text_print(stderr,
                  "tokengeom: warning: no pictures were drawn; they need python3 with matplotlib (apt install "
                  "python3-matplotlib), then: python3 %s %s\n",
                  script, d->directory);
  else if (status != 0)
    tg_text_print(stderr, "tokengeom: warning: not all pictures were drawn: %s %s %s ended with status %d\n",
                  arguments[0], script, d->directory, status);
}

static tg_status write_figures(drawing *d) {
  const tg_config *c = d->config;
  int written = 0;
  TG_TRY(hash_values(d));
  TG_TRY(tg_make_directory(d->directory));
  const tg_figure_options options = {.directory = d->directory,
                                     .sha = d->sha,
                                     .shuffle_seed = c->shuffle_seed,
                                     .example = c->example_prompt,
                                     .scale = c->figure_scale,
                                     .k = c->figure_k,
                                     .angle_layer = c->figure_angle_layer,
                                     .n_prompts = c->figure_prompts,
                                     .prompt_ids = c->figure_prompt_ids,
                                     .n_prompt_ids = c->n_figure_prompt_ids};
  TG_TRY(tg_figures_write(d->paths, d->n_paths, &options, &written));
  tg_text_print(stdout, "figures: %d panels in %s\n", written, d->directory);
  draw_pictures(d);
  return TG_OK;
}

tg_status tg_command_figures(const char *const *arguments, int n_arguments, const char *const *overrides,
                             int n_overrides, const char *directory) {
  drawing d = {.directory = directory};
  tg_status st = read_settings(&d, arguments, n_arguments, overrides, n_overrides);
  if (st == TG_OK && !directory) d.directory = d.own ? d.own : d.config->figures_directory;
  if (st == TG_OK) st = write_figures(&d);
  free(d.own);
  tg_config_destroy(&d.config);
  return st;
}

/* ---- report ---- */

/* Statistics of one level, by layer. */
typedef struct {
  tg_array id, id_std, overlap, cosine, angle, r, low, high, p;
} level_table;

enum { N_COLUMNS = sizeof(level_table) / sizeof(tg_array) };

static tg_status load_level(const tg_figure_model *m, int64_t s, level_table *out) {
  const int64_t k = m->n_k > 1 ? 1 : 0;
  const struct {
    const char *path;
    int n_axes;
    int64_t last;
  } parts[N_COLUMNS] = {{"statistics/intrinsic_dimension/gride/value/mean", 3, 0},
                        {"statistics/intrinsic_dimension/gride/value/std", 3, 0},
                        {"statistics/neighborhood_overlap/value/mean", 3, k},
                        {"statistics/cosine_similarity/mean/mean", 2, TG_ALL},
                        {"statistics/neighbor_angle/mean/mean", 2, TG_ALL},
                        {"correlations/id_loss/pearson", 3, 0},
                        {"correlations/id_loss/pearson_low", 3, 0},
                        {"correlations/id_loss/pearson_high", 3, 0},
                        {"correlations/id_loss/pearson_p", 3, 0}};
  tg_array *arrays = (tg_array *)out;
  *out = (level_table){0};
  for (int a = 0; a < N_COLUMNS; a++)
    TG_TRY(tg_figure_part(m, parts[a].path, parts[a].n_axes, (const int64_t[]){s, TG_ALL, parts[a].last}, &arrays[a]));
  return TG_OK;
}

static void free_level(level_table *t) {
  for (int a = 0; a < N_COLUMNS; a++) tg_array_free(&((tg_array *)t)[a]);
}

static double at(const tg_array *a, int64_t l) { return l < a->count ? a->values[l] : NAN; }

static void print_number(const char *format, const char *dash, double value) {
  if (isfinite(value))
    printf(format, value);
  else
    fputs(dash, stdout);
}

/* The place from layer 1 on where an array is largest (sign 1), smallest (-1) or largest in size (0); -1: nowhere finite. */
static int64_t extreme(const tg_array *a, int sign) {
  int64_t best = -1;
  for (int64_t l = 1; l < a->count; l++) {
    const double x = sign == 0 ? fabs(a->values[l]) : sign * a->values[l];
    if (isfinite(x) && (best < 0 || x > (sign == 0 ? fabs(a->values[best]) : sign * a->values[best]))) best = l;
  }
  return best;
}

static void print_extremes(const tg_figure_model *m, const level_table *t) {
  const int64_t peak = extreme(&t->id, 1), dip = extreme(&t->overlap, -1), r = extreme(&t->r, 0);
  if (peak >= 0) printf("ID peaks at layer %" PRId64 " (%.2f)\n", peak, t->id.values[peak]);
  if (dip >= 0 && dip < m->n_pairs)
    printf("overlap is lowest from layer %" PRId64 " to %" PRId64 " (%.3f)\n", m->pairs[dip], m->pairs[dip] + 1,
           t->overlap.values[dip]);
  if (r >= 0) {
    printf("strongest correlation of ln ID with the loss: r = %.3f at layer %" PRId64 ", 95 %% in ", t->r.values[r], r);
    print_number("[%.3f, ", "[-, ", at(&t->low, r));
    print_number("%.3f], ", "-], ", at(&t->high, r));
    print_number("p = %.2g\n", "p = -\n", at(&t->p, r));
  }
}

/* A line for each field that asks for one: the lowest and the highest mean over prompts, at the first place of any further axis. */
static tg_status print_ranges(const tg_figure_model *m, int64_t s) {
  for (int f = 0; f < TG_N_FIELDS; f++) {
    const tg_field *field = &tg_fields[f];
    int64_t place[TG_MAX_AXES] = {s, TG_ALL};
    char path[256];
    tg_array means;
    if (!field->report) continue;
    snprintf(path, sizeof path, "statistics/%s/mean", field->path);
    TG_TRY(tg_figure_part(m, path, field->n_axes - 1, place, &means));
    int64_t low = -1, high = -1;
    for (int64_t l = 0; l < means.count; l++) {
      if (!isfinite(means.values[l])) continue;
      if (low < 0 || means.values[l] < means.values[low]) low = l;
      if (high < 0 || means.values[l] > means.values[high]) high = l;
    }
    if (low >= 0)
      printf("%s: from %.6g at layer %" PRId64 " to %.6g at layer %" PRId64 " (%s)\n", field->path, means.values[low],
             low, means.values[high], high, field->long_name);
    tg_array_free(&means);
  }
  return TG_OK;
}

static tg_status print_level(const tg_figure_model *m, int64_t s) {
  level_table t;
  tg_status st = load_level(m, s, &t);
  if (st == TG_OK) {
    printf("\nS = %" PRId64 "\n%6s %9s %8s %9s %9s %9s %8s %17s %9s\n", m->levels[s], "layer", "ID", "+-", "overlap",
           "cosine", "angle", "r", "95 %", "p");
    for (int64_t l = 0; l < m->n_layers; l++) {
      printf("%6" PRId64, l);
      print_number(" %9.3f", "         -", at(&t.id, l));
      print_number(" %8.3f", "        -", at(&t.id_std, l));
      print_number(" %9.4f", "         -", at(&t.overlap, l));
      print_number(" %9.4f", "         -", at(&t.cosine, l));
      print_number(" %9.3f", "         -", at(&t.angle, l));
      print_number(" %8.3f", "        -", at(&t.r, l));
      print_number("  [%6.3f,", "  [     -,", at(&t.low, l));
      print_number(" %6.3f]", "      -]", at(&t.high, l));
      print_number(" %9.2g\n", "         -\n", at(&t.p, l));
    }
    print_extremes(m, &t);
    st = print_ranges(m, s);
  }
  free_level(&t);
  return st;
}

typedef struct {
  const char *path;
  hid_t file;
} reporting;

static tg_status print_model(hid_t group, const char *name, void *context) {
  const reporting *r = context;
  tg_figure_model m;
  (void)group;
  tg_status st = tg_figure_model_open(r->path, r->file, name, 0, &m);
  if (st == TG_OK)
    tg_text_print(stdout,
                  "%s: %" PRId64 " prompts; ID at scale %" PRId64 " and overlap at k = %" PRId64 " (l with l + 1), "
                  "means over prompts; r of ln ID and loss\n",
                  name, m.n_prompts, m.scales[0], m.n_k > 1 ? m.k[1] : (int64_t)1);
  if (st == TG_OK) st = print_level(&m, m.low);
  if (st == TG_OK && m.high != m.low) st = print_level(&m, m.high);
  if (st == TG_OK) printf("\n");
  tg_figure_model_close(&m);
  return st;
}

tg_status tg_command_report(const char *path) {
  reporting r = {path, -1};
  tg_array complete;
  TG_TRY(tg_h5_look(&path, 1, NULL));
  TG_TRY(tg_results_open_input(path, &r.file));
  tg_status st = tg_array_load(r.file, "complete", &complete);
  if (st == TG_OK && complete.values[0] != 1.0)
    tg_text_print(stdout,
                  "%s is not complete (tokengeom info says what is missing): numbers are of a part of the prompts, "
                  "or not there yet\n\n",
                  path);
  if (st == TG_OK) st = tg_results_each_model(r.file, print_model, &r);
  tg_array_free(&complete);
  H5Fclose(r.file);
  return st;
}
