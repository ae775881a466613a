#include "config/paths.h"

#include "base/memory.h"
#include <errno.h>
#include <glob.h>
#include <libgen.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A path as the config's directory sees it, with the directories on the way straightened out where they exist. */
static char *resolve(const tg_config *config, const char *path) {
  char *out = NULL, *copy, *directory;
  if (asprintf(&out, "%s%s%s", path[0] == '/' ? "" : config->directory, path[0] == '/' ? "" : "/", path) < 0) abort();
  for (size_t end = strlen(out); end > 1 && out[end - 1] == '/'; end--) out[end - 1] = '\0';
  copy = tg_copy_string(out);
  directory = realpath(dirname(copy), NULL);
  if (directory) {
    char *plain = NULL;
    if (asprintf(&plain, "%s/%s", strcmp(directory, "/") == 0 ? "" : directory, strrchr(out, '/') + 1) < 0) abort();
    free(out);
    out = plain;
  }
  free(directory);
  free(copy);
  return out;
}

static char *path_of(tg_reading *r, const char *name, const tg_node *node) {
  if (node->kind == TG_NODE_SCALAR && !tg_node_is_null(node) && node->text[0]) return resolve(r->config, node->text);
  tg_reading_mistake(r, node, "%s: %s is not a path", name, tg_reading_shown(node));
  return NULL;
}

char *tg_config_follow_links(const char *path) {
  char target[PATH_MAX], *out = tg_copy_string(path);
  struct stat at;
  for (int most = 40; most > 0 && lstat(out, &at) == 0 && S_ISLNK(at.st_mode); most--) {
    const ssize_t length = readlink(out, target, sizeof target - 1);
    if (length < 0) break;
    target[length] = '\0';
    char *next = NULL;
    const int directory = target[0] == '/' ? 0 : (int)(strrchr(out, '/') ? strrchr(out, '/') + 1 - out : 0);
    if (asprintf(&next, "%.*s%s", directory, out, target) < 0) abort();
    free(out);
    out = next;
  }
  return out;
}

void tg_paths_output(tg_reading *r, const char *name, const tg_node *node, char **out) {
  char *path = path_of(r, name, node);
  *out = path ? tg_config_follow_links(path) : NULL;
  free(path);
  if (*out && !tg_node_is_text(*out)) tg_reading_mistake(r, node, "%s: %s is not UTF-8", name, *out);
}

static void check_file(tg_reading *r, const char *name, const tg_node *node, const char *path) {
  struct stat at;
  if (stat(path, &at) != 0 || access(path, R_OK) != 0) {
    r->n_missing++;
    tg_reading_mistake(r, node, "%s: %s: %s", name, path, strerror(errno));
  } else if (S_ISDIR(at.st_mode))
    tg_reading_mistake(r, node, "%s: %s is a directory, expected a file", name, path);
  else if (!tg_node_is_text(path))
    tg_reading_mistake(r, node, "%s: the name of %s is not UTF-8", name, path);
}

void tg_paths_file(tg_reading *r, const char *name, const tg_node *node, char **out) {
  *out = path_of(r, name, node);
  if (*out) check_file(r, name, node, *out);
}

static void check_directory(tg_reading *r, const char *name, const tg_node *node, const char *path) {
  struct stat at;
  if (stat(path, &at) != 0) {
    r->n_missing++;
    tg_reading_mistake(r, node, "%s: %s: %s", name, path, strerror(errno));
  } else if (!S_ISDIR(at.st_mode))
    tg_reading_mistake(r, node, "%s: %s is a file, expected a directory", name, path);
  else if (!tg_node_is_text(path))
    tg_reading_mistake(r, node, "%s: the name of %s is not UTF-8", name, path);
}

void tg_paths_directory(tg_reading *r, const char *name, const tg_node *node, char **out) {
  *out = path_of(r, name, node);
  if (*out) check_directory(r, name, node, *out);
}

/* ---- the files of a source ---- */

/* Takes the path. */
static void add_file(tg_reading *r, const char *name, const tg_node *node, tg_source_config *source, char *path) {
  source->files = realloc(source->files, ((size_t)source->n_files + 1) * sizeof *source->files);
  if (!source->files) abort();
  source->files[source->n_files++] = path;
  check_file(r, name, node, path);
}

/* The pattern below the config's directory, whose own name is taken as it is. */
static char *glob_pattern(const tg_config *config, const char *pattern) {
  if (pattern[0] == '/') return tg_copy_string(pattern);
  char *out = malloc(2 * strlen(config->directory) + strlen(pattern) + 2), *end = out;
  if (!out) abort();
  for (const char *from = config->directory; *from; from++) {
    if (strchr("*?[\\", *from)) *end++ = '\\';
    *end++ = *from;
  }
  sprintf(end, "/%s", pattern);
  return out;
}

static int bytewise(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

/* A match of a glob, and which file it is. */
typedef struct {
  char *path;
  struct stat at;
  size_t place;
  bool again; /* another name of one before */
} match;

static int by_file(const void *a, const void *b) {
  const match *x = a, *y = b;
  if (x->at.st_dev != y->at.st_dev) return x->at.st_dev < y->at.st_dev ? -1 : 1;
  if (x->at.st_ino != y->at.st_ino) return x->at.st_ino < y->at.st_ino ? -1 : 1;
  return x->place < y->place ? -1 : x->place > y->place;
}

static int by_place(const void *a, const void *b) {
  const match *x = a, *y = b;
  return x->place < y->place ? -1 : x->place > y->place;
}

/* All matches, but of the names of one file, through linked files or directories, the first. */
static void add_matches(tg_reading *r, const char *name, const tg_node *node, tg_source_config *source,
                        const glob_t *found) {
  const size_t n = found->gl_pathc;
  match *all = calloc(n, sizeof *all);
  if (!all) abort();
  for (size_t a = 0; a < n; a++) {
    all[a] = (match){.path = resolve(r->config, found->gl_pathv[a]), .place = a};
    if (stat(all[a].path, &all[a].at) != 0) all[a].at = (struct stat){.st_ino = (ino_t)a}; /* check_file says so */
  }
  qsort(all, n, sizeof *all, by_file);
  for (size_t a = 1; a < n; a++)
    all[a].again =
        all[a].at.st_dev != 0 && all[a].at.st_dev == all[a - 1].at.st_dev && all[a].at.st_ino == all[a - 1].at.st_ino;
  qsort(all, n, sizeof *all, by_place);
  for (size_t a = 0; a < n; a++) {
    if (!all[a].again)
      add_file(r, name, node, source, all[a].path);
    else if (r->config->n_aliases++ == 0)
      r->config->alias = tg_copy_string(found->gl_pathv[a]);
    if (all[a].again) free(all[a].path);
  }
  free(all);
}

/* One path or glob; its matches in bytewise order. */
static void read_glob(tg_reading *r, const char *name, const tg_node *node, tg_source_config *source) {
  char *path = path_of(r, name, node);
  if (!path) return;
  if (access(path, F_OK) == 0 || !strpbrk(node->text, "*?[")) { /* a file may have a star in its name */
    add_file(r, name, node, source, path);
    return;
  }
  if (strstr(node->text, "**")) {
    tg_reading_mistake(
        r, node,
        "%s: ** goes through no directories here; write one * for each, as in */*.txt, in a list for several depths",
        name);
    free(path);
    return;
  }
  char *pattern = glob_pattern(r->config, node->text);
  glob_t found = {0};
  if (glob(pattern, GLOB_NOSORT, NULL, &found) == 0) {
    qsort(found.gl_pathv, found.gl_pathc, sizeof *found.gl_pathv, bytewise);
    add_matches(r, name, node, source, &found);
  } else {
    r->n_missing++;
    tg_reading_mistake(r, node, "%s: no file matches %s", name, path);
  }
  globfree(&found);
  free(pattern);
  free(path);
}

static void check_distinct(tg_reading *r, const char *name, const tg_node *node, const tg_source_config *source) {
  char **sorted = calloc((size_t)source->n_files + 1, sizeof *sorted);
  if (!sorted) abort();
  for (int a = 0; a < source->n_files; a++) sorted[a] = source->files[a];
  qsort(sorted, (size_t)source->n_files, sizeof *sorted, bytewise);
  for (int a = 1; a < source->n_files; a++)
    if (strcmp(sorted[a], sorted[a - 1]) == 0) tg_reading_mistake(r, node, "%s: %s is listed twice", name, sorted[a]);
  free(sorted);
}

void tg_paths_files(tg_reading *r, const char *name, const tg_node *node, tg_source_config *source) {
  if (node->kind == TG_NODE_LIST) {
    for (int a = 0; a < node->n; a++) read_glob(r, name, node->items[a], source);
    if (node->n == 0) tg_reading_mistake(r, node, "%s: the list is empty, expected paths", name);
  } else
    read_glob(r, name, node, source);
  check_distinct(r, name, node, source);
}

/* ---- the output ---- */

static bool is_same_file(const char *a, const char *b) {
  struct stat x, y;
  return stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_ino == y.st_ino && x.st_dev == y.st_dev;
}

static bool is_summary(const char *directory, const char *output) {
  bool same = false;
  for (int a = 0; directory && a < TG_N_SUMMARIES; a++) {
    char *path = NULL;
    if (asprintf(&path, "%s/%s", directory, tg_summary_files[a]) < 0) abort();
    same |= is_same_file(path, output);
    free(path);
  }
  return same;
}

static bool is_input_of(const tg_source_config *source, const char *path) {
  bool same = (source->model_file && is_same_file(source->model_file, path)) ||
              (source->prompt_ids_file && is_same_file(source->prompt_ids_file, path)) ||
              is_summary(source->directory, path);
  for (int a = 0; a < source->n_files; a++) same |= is_same_file(source->files[a], path);
  return same;
}

/* path: of the output, or of what it is while it is made. */
static bool destroys(const tg_config *c, const char *path, char *what, size_t room) {
  if (is_same_file(c->path, path)) {
    snprintf(what, room, "the config itself");
    return true;
  }
  for (int m = 0; m < c->n_models; m++)
    if (is_input_of(&c->models[m].source, path)) {
      snprintf(what, room, "also an input, of models[%d]", m);
      return true;
    }
  return false;
}

bool tg_config_destroys_input(const tg_config *config, const char *output, char *what, size_t room) {
  char *part = NULL;
  if (destroys(config, output, what, room)) return true;
  if (asprintf(&part, "%s.part", output) < 0) abort();
  const bool does = destroys(config, part, what, room);
  free(part);
  return does;
}

void tg_paths_check_output(tg_reading *r, const tg_node *node) {
  char what[80];
  if (r->inputs && r->config->output && tg_config_destroys_input(r->config, r->config->output, what, sizeof what))
    tg_reading_mistake(r, node, "output: %s is %s", r->config->output, what);
}
