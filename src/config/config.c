/* Reading goes over the table of keys in keys.c, section by section. */
#include "config/config.h"

#include "base/memory.h"
#include "config/paths.h"
#include "config/print.h"
#include "config/reading.h"
#include "config/special.h"
#include "config/values.h"
#include <errno.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { MAX_FILE = 16 << 20 };

/* ---- sections ---- */

/* Whether a key that this kind of source does not have is one of another kind. */
static bool belongs_to_another_kind(const char *word, const char *kind) {
  for (int a = 0; a < tg_n_keys; a++)
    if (tg_keys[a].section == TG_SECTION_SOURCE && tg_keys[a].kind[0] && strcmp(tg_keys[a].name, word) == 0)
      return kind != NULL;
  return false;
}

static void report_unknown(tg_reading *r, tg_section section, const char *kind, const tg_node *map) {
  for (int a = 0; a < map->n; a++) {
    if (map->used[a]) continue;
    const tg_key like = {.section = section, .name = map->keys[a]};
    const tg_node *item = map->items[a];
    char near[64];
    int first = 0;
    while (strcmp(map->keys[first], map->keys[a]) != 0) first++;
    tg_keys_near(map->keys[a], section, kind, near, sizeof near);
    if (first < a)
      tg_reading_mistake(r, item, "%.100s: the key is given twice, first in line %d", tg_reading_name(r, &like),
                         map->items[first]->line);
    else if (section == TG_SECTION_SOURCE && belongs_to_another_kind(map->keys[a], kind))
      tg_reading_mistake(r, item, "%.100s: a source of kind %s has no such key", tg_reading_name(r, &like), kind);
    else if (near[0])
      tg_reading_mistake(r, item, "%.100s: unknown key, did you mean '%s'?", tg_reading_name(r, &like), near);
    else
      tg_reading_mistake(r, item, "%.100s: unknown key", tg_reading_name(r, &like));
  }
}

static void read_models(tg_reading *r, tg_node *node);
static void read_source(tg_reading *r, tg_node *node);

/* One key into its place in the section's struct. */
static void read_key(tg_reading *r, const tg_key *key, tg_node *node, void *into) {
  const char *name = tg_reading_name(r, key);
  void *at = (char *)into + key->offset;
  int64_t integer;
  switch (key->type) {
  case TG_KEY_INT:
    tg_values_integer(r, name, node, key->low, key->high, &integer);
    *(int *)at = (int)integer;
    break;
  case TG_KEY_INT64:
    tg_values_integer(r, name, node, key->low, key->high, at);
    break;
  case TG_KEY_UINT64:
    tg_values_seed(r, name, node, at);
    break;
  case TG_KEY_REAL:
    tg_values_real(r, name, node, key->low, key->high, at);
    break;
  case TG_KEY_BOOL:
    tg_values_bool(r, name, node, at);
    break;
  case TG_KEY_PATH:
    tg_paths_output(r, name, node, at);
    break;
  case TG_KEY_SPECIAL:
    tg_special_read(r, key, node);
    break;
  case TG_KEY_NESTED: /* a source's kind is read before its keys */
    if (key->section == TG_SECTION_ROOT) read_models(r, node);
    if (key->section == TG_SECTION_MODEL) read_source(r, node);
    break;
  }
}

/* All keys of one section from its map; an absent key is read from its default. */
static void read_section(tg_reading *r, tg_section section, const char *kind, tg_node *map, void *into) {
  char problem[256];
  for (int a = 0; a < tg_n_keys; a++) {
    const tg_key *key = &tg_keys[a];
    if (key->section != section || (key->kind[0] && (!kind || strcmp(key->kind, kind) != 0))) continue;
    tg_node *node = tg_node_get(map, key->name), *fallback = NULL;
    if (!node && !key->value) {
      tg_reading_mistake(r, map, "%s: is missing (%s)", tg_reading_name(r, key), key->help);
      continue;
    }
    if (!node) node = fallback = tg_node_parse(key->value, strlen(key->value), -1, problem, sizeof problem);
    read_key(r, key, node, into);
    tg_node_free(fallback);
  }
}

/* Whether a section is a map; one without a single key is an empty map. */
static bool is_map(tg_reading *r, const char *name, tg_node *node) {
  if (tg_node_is_null(node)) node->kind = TG_NODE_MAP;
  if (node->kind == TG_NODE_MAP) return true;
  tg_reading_mistake(r, node, "%s: %s, expected a map of keys", name, tg_reading_shown(node));
  return false;
}

static const char *read_kind(tg_reading *r, const tg_node *node, const char *name, tg_source_config *source) {
  for (int kind = 0; kind < TG_N_SOURCE_KINDS; kind++)
    if (tg_node_is_word(node, tg_source_kinds[kind])) {
      source->kind = (tg_source_kind)kind;
      return tg_source_kinds[kind];
    }
  tg_reading_mistake(r, node, "%s: %s is unknown, expected hdf5, llama, summaries or synthetic", name,
                     tg_reading_shown(node));
  return NULL;
}

static void read_source(tg_reading *r, tg_node *node) {
  const int model = r->model;
  tg_source_config *source = &r->config->models[model].source;
  char name[64];
  snprintf(name, sizeof name, "models[%d].source", model);
  if (!is_map(r, name, node)) return;
  const tg_node *kind_node = tg_node_get(node, "kind");
  snprintf(name, sizeof name, "models[%d].source.kind", model);
  if (!kind_node) {
    tg_reading_mistake(r, node, "%s: is missing, expected hdf5, llama, summaries or synthetic", name);
    return;
  }
  const char *kind = read_kind(r, kind_node, name, source);
  if (!kind) return; /* its keys cannot be told right from wrong */
  const int before = r->n_mistakes;
  read_section(r, TG_SECTION_SOURCE, kind, node, source);
  report_unknown(r, TG_SECTION_SOURCE, kind, node);
  if (source->kind != TG_SOURCE_SYNTHETIC || r->n_mistakes > before) return;
  if (source->dimension + source->spread > source->width)
    tg_reading_mistake(r, node, "models[%d].source: dimension + spread is %d, but width only %d", model,
                       source->dimension + source->spread, source->width);
  if (source->dimension - source->spread < 1)
    tg_reading_mistake(r, node, "models[%d].source: dimension - spread is %d, expected at least 1", model,
                       source->dimension - source->spread);
}

static void check_unique_names(tg_reading *r, const tg_node *list) {
  for (int a = 0; a < r->config->n_models; a++)
    for (int b = 0; b < a; b++) {
      const char *x = r->config->models[a].name, *y = r->config->models[b].name;
      if (x && y && strcmp(x, y) == 0) /* a results file has one group of that name */
        tg_reading_mistake(r, list->items[a], "models[%d].name: '%s' is the name of models[%d] too", a, x, b);
    }
}

static void read_models(tg_reading *r, tg_node *node) {
  if (node->kind != TG_NODE_LIST || node->n == 0) {
    tg_reading_mistake(r, node, "models: %s, expected a list of models",
                       node->kind == TG_NODE_LIST ? "an empty list" : tg_reading_shown(node));
    return;
  }
  r->config->models = calloc((size_t)node->n, sizeof *r->config->models);
  if (!r->config->models) abort();
  r->config->n_models = node->n;
  for (int m = 0; m < node->n; m++) {
    char name[64];
    r->model = m;
    snprintf(name, sizeof name, "models[%d]", m);
    if (!is_map(r, name, node->items[m])) continue;
    read_section(r, TG_SECTION_MODEL, NULL, node->items[m], &r->config->models[m]);
    report_unknown(r, TG_SECTION_MODEL, NULL, node->items[m]);
  }
  check_unique_names(r, node);
}

static void read_root(tg_reading *r, tg_node *root) {
  char name[32];
  if (!is_map(r, "the file", root)) return;
  read_section(r, TG_SECTION_ROOT, NULL, root, r->config);
  for (int s = TG_SECTION_SHUFFLE; s < TG_N_SECTIONS; s++) {
    snprintf(name, sizeof name, "%.*s", (int)strlen(tg_section_names[s]) - 1, tg_section_names[s]);
    tg_node *empty = tg_node_parse("", 0, -1, name, 0), *map = tg_node_get(root, name);
    if (map && !is_map(r, name, map)) map = NULL;
    read_section(r, (tg_section)s, NULL, map ? map : empty, r->config);
    if (map) report_unknown(r, (tg_section)s, NULL, map);
    tg_node_free(empty);
  }
  report_unknown(r, TG_SECTION_ROOT, NULL, root);
  tg_paths_check_output(r, tg_node_get(root, "output"));
}

/* ---- the file ---- */

/* All of a file, which may be a pipe. */
static tg_status read_stream(FILE *file, const char *path, char **text, size_t *length) {
  for (size_t room = 4096; *length <= MAX_FILE; room *= 4) {
    char *more = realloc(*text, room);
    TG_CHECK(more, TG_EINTERNAL, "%s: no memory for %zu bytes", path, room);
    *text = more;
    *length += fread(*text + *length, 1, room - *length, file);
    TG_CHECK(!ferror(file), TG_ENOINPUT, "%s: %s", path, strerror(errno));
    if (*length < room) break;
  }
  TG_CHECK(*length <= MAX_FILE, TG_ECONFIG, "%s: larger than %d bytes, no config", path, MAX_FILE);
  return TG_OK;
}

static tg_status read_file(const char *path, char **text, size_t *length) {
  struct stat at;
  TG_CHECK(stat(path, &at) == 0, TG_ENOINPUT, "%s: %s", path, strerror(errno));
  TG_CHECK(!S_ISDIR(at.st_mode), TG_ENOINPUT, "%s: is a directory, expected a config file", path);
  FILE *file = fopen(path, "rb");
  TG_CHECK(file, TG_ENOINPUT, "%s: %s", path, strerror(errno));
  const tg_status st = read_stream(file, path, text, length);
  fclose(file);
  return st;
}

static void apply_overrides(tg_reading *r, int n, tg_node *root) {
  char problem[600];
  for (int a = 0; a < n; a++) {
    const char *text = r->overrides[a], *equal = strchr(text, '=');
    const tg_node at = {.override = a};
    if (!equal || equal == text) {
      tg_reading_mistake(r, &at, "expected KEY=VALUE");
      continue;
    }
    char *path = strndup(text, (size_t)(equal - text));
    tg_node *value = tg_node_parse(equal + 1, strlen(equal + 1), a, problem, sizeof problem);
    if (!value || !tg_node_set(root, path, value, problem, sizeof problem)) tg_reading_mistake(r, &at, "%s", problem);
    free(path);
  }
}

static char *directory_of(const char *path) {
  char *copy = tg_copy_string(path), *directory = realpath(dirname(copy), NULL);
  free(copy);
  return directory ? directory : tg_copy_string(".");
}

static tg_status read_tree(tg_reading *r, const char *text, size_t length, int n_overrides) {
  char problem[600];
  TG_CHECK(length < 4 || memcmp(text, "\x89HDF", 4) != 0, TG_ECONFIG, "%s: is an HDF5 file, expected a config in YAML",
           r->config->path);
  tg_node *root = tg_node_parse(text, length, -1, problem, sizeof problem);
  if (!root) return tg_fail(TG_ECONFIG, TG_HERE, "%s:%s", r->config->path, problem);
  if (root->kind == TG_NODE_MAP) apply_overrides(r, n_overrides, root);
  read_root(r, root);
  tg_node_free(root);
  return tg_reading_verdict(r);
}

static tg_status parse(const char *text, size_t length, const char *path, bool inputs, const char *const *overrides,
                       int n_overrides, tg_config **out) {
  tg_reading *r = NULL;
  tg_status st = TG_ALLOC(1, &r);
  if (st == TG_OK) st = TG_ALLOC(1, &r->config);
  if (st == TG_OK) {
    r->overrides = overrides;
    r->inputs = inputs;
    r->config->path = tg_copy_string(path);
    r->config->directory = directory_of(path);
    st = read_tree(r, text, length, n_overrides);
  }
  if (st == TG_OK) {
    r->config->resolved = tg_config_print(r->config, false);
    r->config->resolved_values = tg_config_print(r->config, true);
    *out = r->config;
  } else if (r)
    tg_config_destroy(&r->config);
  free(r);
  return st;
}

static tg_status read_config(const char *path, bool inputs, const char *const *overrides, int n_overrides,
                             tg_config **out) {
  char *text = NULL;
  size_t length = 0;
  *out = NULL;
  tg_status st = read_file(path, &text, &length);
  if (st == TG_OK) st = parse(text, length, path, inputs, overrides, n_overrides, out);
  free(text);
  return st;
}

tg_status tg_config_read(const char *path, const char *const *overrides, int n_overrides, tg_config **out) {
  return read_config(path, true, overrides, n_overrides, out);
}

tg_status tg_config_read_for_results(const char *path, const char *const *overrides, int n_overrides, tg_config **out) {
  return read_config(path, false, overrides, n_overrides, out);
}

tg_status tg_config_parse_for_results(const char *text, const char *path, const char *const *overrides, int n_overrides,
                                      tg_config **out) {
  *out = NULL;
  return parse(text, strlen(text), path, false, overrides, n_overrides, out);
}

char *tg_config_figures_directory(const char *text) {
  char problem[600];
  tg_node *root = tg_node_parse(text, strlen(text), -1, problem, sizeof problem);
  tg_node *figures = root && root->kind == TG_NODE_MAP ? tg_node_get(root, "figures") : NULL;
  const tg_node *directory = figures && figures->kind == TG_NODE_MAP ? tg_node_get(figures, "directory") : NULL;
  char *out = directory && directory->kind == TG_NODE_SCALAR ? tg_copy_string(directory->text) : NULL;
  tg_node_free(root);
  return out;
}

void tg_config_destroy(tg_config **config) {
  tg_config *c = *config;
  if (!c) return;
  for (int m = 0; m < c->n_models; m++) {
    for (int a = 0; a < c->models[m].source.n_files; a++) free(c->models[m].source.files[a]);
    free(c->models[m].source.files);
    free(c->models[m].source.model_file);
    free(c->models[m].source.weights_directory);
    free(c->models[m].source.devices);
    free(c->models[m].source.directory);
    free(c->models[m].source.prompt_ids_file);
    free(c->models[m].name);
  }
  free(c->models);
  char *const texts[] = {c->path,     c->directory,      c->output, c->alias, c->figures_directory,
                         c->resolved, c->resolved_values};
  for (size_t a = 0; a < sizeof texts / sizeof texts[0]; a++) free(texts[a]);
  free(c->prompt_ids);
  free(c->levels);
  free(c->angle_layers);
  free(c->figure_prompt_ids);
  free(c);
  *config = NULL;
}
