#include "config/special.h"

#include "base/memory.h"
#include "config/paths.h"
#include "config/values.h"
#include "geometry/observable.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* ---- of the study ---- */

static void read_prompts(tg_reading *r, const char *name, const tg_node *node) {
  tg_config *c = r->config;
  c->common_prompts = c->all_prompts = tg_node_is_word(node, "common");
  if (c->common_prompts) return;
  c->all_prompts = tg_values_all_or_list(r, name, node, INT64_MIN, INT64_MAX, &c->prompt_ids, &c->n_prompt_ids);
}

/* Takes the list. */
static int *to_ints(int64_t *list, int64_t n) {
  int *out = calloc((size_t)n + 1, sizeof *out);
  if (!out) abort();
  for (int64_t a = 0; a < n; a++) out[a] = (int)list[a];
  free(list);
  return out;
}

static void read_levels(tg_reading *r, const char *name, const tg_node *node) {
  int64_t *list, n;
  r->config->all_levels = tg_values_all_or_list(r, name, node, 0, 1000, &list, &n);
  r->config->n_levels = (int)n;
  r->config->levels = to_ints(list, n);
}

/* The observable of a listed name; -1: there is none, or it has a key of its own. */
static int observable_of(const tg_node *node) {
  for (int o = 0; o < TG_N_OBSERVABLES; o++)
    if (o != TG_OBSERVE_NEIGHBORS && tg_node_is_word(node, tg_observables[o].name)) return o;
  return -1;
}

static void read_measure(tg_reading *r, const char *name, const tg_node *node) {
  tg_config *c = r->config;
  c->all_measured = tg_node_is_word(node, "all");
  c->measured = c->all_measured ? TG_OBSERVE_ALL & ~((uint64_t)1 << TG_OBSERVE_NEIGHBORS) : 0;
  if (c->all_measured) return;
  if (node->kind != TG_NODE_LIST || node->n == 0)
    tg_reading_mistake(r, node, "%s: %s, expected 'all' or some names of observables", name,
                       node->kind == TG_NODE_LIST ? "an empty list" : tg_reading_shown(node));
  for (int a = 0; node->kind == TG_NODE_LIST && a < node->n; a++) {
    const int o = observable_of(node->items[a]);
    char names[512] = "";
    FILE *text = o < 0 ? fmemopen(names, sizeof names, "w") : NULL;
    if (text) tg_keys_print_observables(text, TG_OBSERVE_ALL);
    if (text) fclose(text);
    if (o < 0)
      tg_reading_mistake(r, node->items[a], "%s: %s is unknown, expected %s", name, tg_reading_shown(node->items[a]),
                         names);
    else if (c->measured >> o & 1)
      tg_reading_mistake(r, node->items[a], "%s: %s is listed twice", name, tg_reading_shown(node->items[a]));
    else
      c->measured |= (uint64_t)1 << o;
  }
}

static void read_scales(tg_reading *r, const char *name, const tg_node *node) {
  int64_t *list = NULL;
  const int64_t n = tg_values_list(r, name, node, 2, TG_MAX_SCALE, &list);
  if (node->kind == TG_NODE_LIST && (node->n == 0 || n > TG_MAX_SCALES))
    tg_reading_mistake(r, node, "%s: %d scales, expected 1 to %d", name, node->n, TG_MAX_SCALES);
  for (int64_t a = 0; a < n; a++)
    if (list[a] % 2)
      tg_reading_mistake(r, node, "%s: %" PRId64 " is odd, expected even ranks n2 = 2 n1", name, list[a]);
  r->config->n_scales = (int)(n < TG_MAX_SCALES ? n : TG_MAX_SCALES);
  for (int a = 0; a < r->config->n_scales; a++) r->config->scales[a] = (int)list[a];
  free(list);
}

static void read_angle_layers(tg_reading *r, const char *name, const tg_node *node) {
  int64_t *list;
  r->config->n_angle_layers = (int)tg_values_list(r, name, node, 0, 100000, &list);
  r->config->angle_layers = to_ints(list, r->config->n_angle_layers);
}

static void read_formats(tg_reading *r, const char *name, const tg_node *node) {
  if (node->kind != TG_NODE_LIST)
    tg_reading_mistake(r, node, "%s: %s is not a list of csv, png, pdf", name, tg_reading_shown(node));
  for (int a = 0; node->kind == TG_NODE_LIST && a < node->n; a++) {
    bool *known = tg_node_is_word(node->items[a], "csv")   ? &r->config->figures_csv
                  : tg_node_is_word(node->items[a], "png") ? &r->config->figures_png
                  : tg_node_is_word(node->items[a], "pdf") ? &r->config->figures_pdf
                                                           : NULL;
    if (!known)
      tg_reading_mistake(r, node->items[a], "%s: %s is unknown, expected csv, png or pdf", name,
                         tg_reading_shown(node->items[a]));
    else if (*known)
      tg_reading_mistake(r, node->items[a], "%s: %s is listed twice", name, tg_reading_shown(node->items[a]));
    else
      *known = true;
  }
}

static void read_figure_prompts(tg_reading *r, const char *name, const tg_node *node) {
  tg_config *c = r->config;
  int64_t number = 0;
  if (node->kind != TG_NODE_LIST)
    tg_values_integer(r, name, node, 1, 10000, &number);
  else {
    c->n_figure_prompt_ids = tg_values_list(r, name, node, INT64_MIN, INT64_MAX, &c->figure_prompt_ids);
    if (node->n == 0) tg_reading_mistake(r, node, "%s: the list is empty, expected a number or some ids", name);
  }
  c->figure_prompts = (int)number;
}

static void read_kernel(tg_reading *r, const char *name, const tg_node *node) {
  for (int a = 0; a < TG_N_COMPUTE_KERNELS; a++)
    if (tg_node_is_word(node, tg_compute_kernels[a])) {
      r->config->kernel = a;
      return;
    }
  tg_reading_mistake(r, node, "%s: %s is unknown, expected auto, float32, bfloat16 or split", name,
                     tg_reading_shown(node));
}

/* ---- of a model ---- */

static void read_name(tg_reading *r, const char *name, const tg_node *node) {
  if (tg_node_is_null(node)) return;
  const bool text = node->kind == TG_NODE_SCALAR && node->text[0];
  const size_t good =
      text ? strspn(node->text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-") : 0;
  if (text && strlen(node->text) > 200)
    tg_reading_mistake(r, node, "%s: a name of %zu letters, expected 200 at most", name, strlen(node->text));
  else if (!text || node->text[good] || tg_node_is_word(node, ".") || tg_node_is_word(node, ".."))
    tg_reading_mistake(r, node, "%s: %s is not a name, expected letters, digits, '.', '_' and '-'", name,
                       tg_reading_shown(node));
  else
    r->config->models[r->model].name = tg_copy_string(node->text);
}

static tg_source_config *source_of(const tg_reading *r) { return &r->config->models[r->model].source; }

static void read_files(tg_reading *r, const char *name, const tg_node *node) {
  tg_paths_files(r, name, node, source_of(r));
}

static void read_model_file(tg_reading *r, const char *name, const tg_node *node) {
  tg_paths_file(r, name, node, &source_of(r)->model_file);
}

static void read_short_prompts(tg_reading *r, const char *name, const tg_node *node) {
  source_of(r)->keep_short = tg_node_is_word(node, "keep");
  if (!source_of(r)->keep_short && !tg_node_is_word(node, "leave_out"))
    tg_reading_mistake(r, node, "%s: %s is unknown, expected leave_out or keep", name, tg_reading_shown(node));
}

static void read_weights(tg_reading *r, const char *name, const tg_node *node) {
  for (int a = 0; a < TG_N_WEIGHTS; a++)
    if (tg_node_is_word(node, tg_weights_names[a])) {
      source_of(r)->weights = (tg_weights)a;
      return;
    }
  tg_reading_mistake(r, node, "%s: %s is unknown, expected file, bfloat16, float16 or float32", name,
                     tg_reading_shown(node));
}

static void read_weights_directory(tg_reading *r, const char *name, const tg_node *node) {
  if (!tg_node_is_null(node)) tg_paths_directory(r, name, node, &source_of(r)->weights_directory);
}

static void read_devices(tg_reading *r, const char *name, const tg_node *node) {
  tg_source_config *source = source_of(r);
  int64_t *list = NULL, n = 0;
  if (node->kind == TG_NODE_LIST) n = tg_values_list(r, name, node, 0, 1000, &list);
  if (node->kind == TG_NODE_LIST ? node->n == 0 : !tg_node_is_word(node, "auto"))
    tg_reading_mistake(r, node, "%s: %s%s, expected auto or a list of numbers of GPUs", name,
                       node->kind == TG_NODE_LIST ? "an empty list" : tg_reading_shown(node),
                       node->kind == TG_NODE_LIST ? "" : " is unknown");
  source->n_devices = (int)n;
  source->devices = to_ints(list, n);
}

static void read_directory(tg_reading *r, const char *name, const tg_node *node) {
  tg_paths_directory(r, name, node, &source_of(r)->directory);
}

static void read_prompt_ids(tg_reading *r, const char *name, const tg_node *node) {
  if (!tg_node_is_null(node)) tg_paths_file(r, name, node, &source_of(r)->prompt_ids_file);
}

/* ---- all of them ---- */

static const struct {
  tg_section section;
  const char *name;
  void (*read)(tg_reading *r, const char *name, const tg_node *node);
} readers[] = {
    /* clang-format off */
    {TG_SECTION_ROOT,        "prompts",       read_prompts},
    {TG_SECTION_MODEL,       "name",          read_name},
    {TG_SECTION_SOURCE,      "files",         read_files},
    {TG_SECTION_SOURCE,      "model",         read_model_file},
    {TG_SECTION_SOURCE,      "prompts",       read_files},
    {TG_SECTION_SOURCE,      "short_prompts", read_short_prompts},
    {TG_SECTION_SOURCE,      "weights",       read_weights},
    {TG_SECTION_SOURCE,      "weights_directory", read_weights_directory},
    {TG_SECTION_SOURCE,      "devices",       read_devices},
    {TG_SECTION_SOURCE,      "directory",     read_directory},
    {TG_SECTION_SOURCE,      "prompt_ids",    read_prompt_ids},
    {TG_SECTION_SHUFFLE,     "levels",        read_levels},
    {TG_SECTION_OBSERVABLES, "measure",       read_measure},
    {TG_SECTION_OBSERVABLES, "scales",        read_scales},
    {TG_SECTION_OBSERVABLES, "angle_layers",  read_angle_layers},
    {TG_SECTION_FIGURES,     "prompts",       read_figure_prompts},
    {TG_SECTION_FIGURES,     "formats",       read_formats},
    {TG_SECTION_COMPUTE,     "kernel",        read_kernel},
    /* clang-format on */
};

void tg_special_read(tg_reading *r, const tg_key *key, const tg_node *node) {
  for (size_t a = 0; a < sizeof readers / sizeof readers[0]; a++)
    if (readers[a].section == key->section && strcmp(readers[a].name, key->name) == 0) {
      readers[a].read(r, tg_reading_name(r, key), node);
      return;
    }
  abort(); /* a bug: a special key without a reader */
}
