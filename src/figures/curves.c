/* Observables by layer: one prompt's curve, or mean and deviation over prompts. One table says what each panel shows. */
#include "figures/kinds.h"

#include "base/memory.h"
#include <Random123/philox.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Last axis of an observable. */
typedef enum { BY_NOTHING, BY_SCALE, BY_K } last_axis;

typedef struct {
  const char *path, *name;
  last_axis last;
  int first_layer;
} observable;

static const observable cosine = {"cosine_similarity/mean", "Mean cosine similarity", BY_NOTHING, 0};
static const observable id = {"intrinsic_dimension/gride/value", "Intrinsic dimension", BY_SCALE, 1};
static const observable overlap = {"neighborhood_overlap/value", "Neighborhood overlap", BY_K, 1};

typedef enum { LOWEST = 1, HIGHEST = 2, BOTH = 3, EVERY = 4 } level_choice;
typedef enum { EXAMPLE, SOME, MEAN } who; /* the example prompt, a few, all as mean and deviation */
enum { MOST_VALUES = 16 };

typedef struct {
  tg_panel_kind kind;
  const observable *what;
  who who;
  level_choice levels;
  int values[MOST_VALUES]; /* of the last axis; {0}: the one of the options, {-1}: all */
  int layers[4];           /* {0}: all */
  bool marked;             /* with the run of layers where shuffled lies below structured */
} curve;

#define U_ID        "layer [1], scale [neighbor rank], value, mean, std [1]"
#define U_K         "layer [1], first of a pair; k [neighbors]; value, mean, std [1]"
#define U_COSINE    "layer [1], value, mean, std [1]"
#define EACH_ID     "model,prompt,shuffle,layer,scale,value"
#define MEAN_ID     "model,shuffle,layer,scale,mean,std,n"
#define EACH_K      "model,prompt,shuffle,layer,k,value"
#define MEAN_K      "model,shuffle,layer,k,mean,std,n"
#define EACH_COSINE "model,prompt,shuffle,layer,value"
#define MEAN_COSINE "model,shuffle,layer,mean,std,n"

/* clang-format off */
static const curve curves[] = {
  /* figure  side     title                                                         columns           units      what      who      levels   values              layers           marked */
  {{"fig02", "left",  "Average cosine similarity, one prompt",                      EACH_COSINE,      U_COSINE}, &cosine,  EXAMPLE, EVERY,   {0},                {0},             false},
  {{"fig02", "right", "Average cosine similarity over prompts",                     MEAN_COSINE,      U_COSINE}, &cosine,  MEAN,    BOTH,    {0},                {0},             false},
  {{"fig03", "left",  "Intrinsic dimension, one prompt",                            EACH_ID,          U_ID},     &id,      EXAMPLE, EVERY,   {0},                {0},             false},
  {{"fig03", "right", "Intrinsic dimension over prompts",                           MEAN_ID,          U_ID},     &id,      MEAN,    BOTH,    {0},                {0},             false},
  {{"fig05", "left",  "Neighborhood overlap, one prompt",                           EACH_K ",marked", U_K},      &overlap, EXAMPLE, EVERY,   {0},                {0},             true},
  {{"fig05", "right", "Neighborhood overlap over prompts",                          MEAN_K ",marked", U_K},      &overlap, MEAN,    BOTH,    {0},                {0},             true},
  {{"fig08", "",      "Intrinsic dimension of single prompts",                      EACH_ID,          U_ID},     &id,      SOME,    EVERY,   {0},                {0},             false},
  {{"fig09", "a",     "Intrinsic dimension of each model, one prompt",              EACH_ID,          U_ID},     &id,      EXAMPLE, EVERY,   {0},                {0},             false},
  {{"fig09", "b",     "Intrinsic dimension of each model over prompts",             MEAN_ID,          U_ID},     &id,      MEAN,    BOTH,    {0},                {0},             false},
  {{"fig10", "",      "Intrinsic dimension at scales 2, 4, 8",                      MEAN_ID,          U_ID},     &id,      MEAN,    BOTH,    {2, 4, 8},          {0},             false},
  {{"fig11", "",      "Neighborhood overlap at k = 1..6",                           MEAN_K,           U_K},      &overlap, MEAN,    BOTH,    {1, 2, 3, 4, 5, 6}, {0},             false},
  {{"fig12", "left",  "Intrinsic dimension of the models, one prompt",              EACH_ID,          U_ID},     &id,      EXAMPLE, LOWEST,  {0},                {0},             false},
  {{"fig12", "right", "Intrinsic dimension of the models over prompts",             MEAN_ID,          U_ID},     &id,      MEAN,    LOWEST,  {0},                {0},             false},
  {{"fig13", "left",  "Neighborhood overlap of the models, one prompt",             EACH_K,           U_K},      &overlap, EXAMPLE, LOWEST,  {0},                {0},             false},
  {{"fig13", "right", "Neighborhood overlap of the models over prompts",            MEAN_K,           U_K},      &overlap, MEAN,    LOWEST,  {0},                {0},             false},
  {{"fig14", "a",     "Intrinsic dimension against scale, one prompt, shuffled",    EACH_ID,          U_ID},     &id,      EXAMPLE, HIGHEST, {-1},               {1, 10, 19, 29}, false},
  {{"fig14", "b",     "Intrinsic dimension against scale, one prompt, structured",  EACH_ID,          U_ID},     &id,      EXAMPLE, LOWEST,  {-1},               {1, 10, 19, 29}, false},
  {{"fig14", "c",     "Intrinsic dimension against scale over prompts, structured", MEAN_ID,          U_ID},     &id,      MEAN,    LOWEST,  {-1},               {5, 12, 25},     false},
  {{"fig15", "",      "Intrinsic dimension at scales 2, 4, 8, each model",          MEAN_ID,          U_ID},     &id,      MEAN,    LOWEST,  {2, 4, 8},          {0},             false},
  {{"fig16", "",      "Neighborhood overlap at k = 2, 4, 8, each model",            MEAN_K,           U_K},      &overlap, MEAN,    LOWEST,  {2, 4, 8},          {0},             false},
};
/* clang-format on */

/* ---- what a panel shows of a model ---- */

static bool wants_level(const curve *c, const tg_figure_model *m, int64_t s) {
  return c->levels == EVERY || ((c->levels & LOWEST) && s == m->low) ||
         ((c->levels & HIGHEST) && s == m->high && m->high != m->low);
}

static bool wants_layer(const curve *c, int64_t l) {
  if (l < c->what->first_layer) return false;
  for (int a = 0; a < 4 && c->layers[a]; a++)
    if (c->layers[a] == l) return true;
  return c->layers[0] == 0;
}

/* Whether the last axis' value is shown. */
static bool wants_value(const curve *c, const tg_figure_options *o, int64_t value) {
  if (c->values[0] == -1) return true;
  if (c->values[0] == 0) return value == (c->what->last == BY_K ? o->k : o->scale);
  for (int a = 0; a < MOST_VALUES && c->values[a]; a++)
    if (c->values[a] == value) return true;
  return false;
}

static const int64_t *last_values(const observable *what, const tg_figure_model *m, int64_t *n) {
  *n = what->last == BY_SCALE ? m->n_scales : what->last == BY_K ? m->n_k : 1;
  return what->last == BY_SCALE ? m->scales : m->k;
}

/* ---- rows ---- */

/* The run of pairs around the layer where the shuffled ID peaks in which shuffled overlap lies below structured. */
static tg_status find_run(const tg_figure_set *set, const tg_figure_model *m, int64_t *first, int64_t *end) {
  const int64_t scale = tg_figure_place(m->scales, m->n_scales, set->options->scale),
                k = tg_figure_place(m->k, m->n_k, set->options->k);
  tg_array ids = {0}, low = {0}, high = {0};
  *first = *end = -1;
  if (m->low == m->high || scale < 0 || k < 0 || m->n_pairs < 2) return TG_OK;
  tg_status st = tg_figure_part(m, "statistics/intrinsic_dimension/gride/value/mean", 3,
                                (const int64_t[]){m->high, TG_ALL, scale}, &ids);
  if (st == TG_OK)
    st = tg_figure_part(m, "statistics/neighborhood_overlap/value/mean", 3, (const int64_t[]){m->low, TG_ALL, k}, &low);
  if (st == TG_OK)
    st = tg_figure_part(m, "statistics/neighborhood_overlap/value/mean", 3, (const int64_t[]){m->high, TG_ALL, k},
                        &high);
  int64_t peak = -1;
  for (int64_t l = 1; st == TG_OK && l < ids.count; l++)
    if (isfinite(ids.values[l]) && (peak < 0 || ids.values[l] > ids.values[peak])) peak = l;
  for (int64_t start = peak; st == TG_OK && peak > 0 && *first < 0 && start >= peak - 1; start--)
    if (start >= 1 && start < low.count && high.values[start] < low.values[start]) {
      for (*first = start; *first > 1 && high.values[*first - 1] < low.values[*first - 1]; --*first) {}
      for (*end = start + 1; *end < low.count && high.values[*end] < low.values[*end]; ++*end) {}
    }
  tg_array_free(&ids);
  tg_array_free(&low);
  tg_array_free(&high);
  return st;
}

/* Where a curve's numbers stand: place [layer][last axis] of arrays. */
typedef struct {
  const curve *c;
  const tg_figure_model *m;
  int64_t p, s, run_first, run_end;
  const tg_array *value, *std, *n; /* std, n: NULL for one prompt */
} curve_rows;

static void add_row(tg_panel *panel, const curve_rows *r, int64_t l, int64_t last, int64_t at) {
  const tg_figure_model *m = r->m;
  const bool each = r->c->who != MEAN, by_nothing = r->c->what->last == BY_NOTHING;
  const int64_t marked = l >= r->run_first && l < r->run_end, level = m->levels[r->s];
  const double value = r->value->values[at];
  const double n = each ? NAN : r->n->values[at];
  if (each && by_nothing)
    tg_panel_row(panel, "tiiir", m->name, m->prompt_ids[r->p], level, l, value);
  else if (each)
    tg_panel_row(panel, r->c->marked ? "tiiiiri" : "tiiiir", m->name, m->prompt_ids[r->p], level, l, last, value,
                 marked);
  else if (by_nothing)
    tg_panel_row(panel, "tiirrn", m->name, level, l, value, r->std->values[at], n);
  else
    tg_panel_row(panel, r->c->marked ? "tiiirrni" : "tiiirrn", m->name, level, l, last, value, r->std->values[at], n,
                 marked);
}

static void add_rows(tg_panel *panel, const tg_figure_set *set, const curve_rows *r) {
  int64_t n_last;
  const int64_t *last = last_values(r->c->what, r->m, &n_last);
  const int64_t n_layers = n_last > 0 ? r->value->count / n_last : 0;
  for (int64_t l = 0; l < n_layers; l++)
    for (int64_t a = 0; a < n_last; a++)
      if (wants_layer(r->c, l) && (r->c->what->last == BY_NOTHING || wants_value(r->c, set->options, last[a])))
        add_row(panel, r, l, last ? last[a] : 0, l * n_last + a);
}

static tg_status add_prompt(tg_panel *panel, const tg_figure_set *set, const curve_rows *r) {
  curve_rows rows = *r;
  tg_array value;
  TG_TRY(tg_figure_part(r->m, r->c->what->path, r->c->what->last == BY_NOTHING ? 3 : 4,
                        (const int64_t[]){r->p, r->s, TG_ALL, TG_ALL}, &value));
  rows.value = &value;
  if (value.count > 0) {
    add_rows(panel, set, &rows);
    tg_panel_source(panel, r->m, r->c->what->path);
  }
  tg_array_free(&value);
  return TG_OK;
}

static tg_status add_means(tg_panel *panel, const tg_figure_set *set, const curve_rows *r) {
  curve_rows rows = *r;
  static const char *const names[3] = {"mean", "std", "n"};
  tg_array parts[3] = {{0}};
  char path[300];
  tg_status st = TG_OK;
  for (int a = 0; st == TG_OK && a < 3; a++) {
    snprintf(path, sizeof path, "statistics/%s/%s", r->c->what->path, names[a]);
    st = tg_figure_part(r->m, path, r->c->what->last == BY_NOTHING ? 2 : 3, (const int64_t[]){r->s, TG_ALL, TG_ALL},
                        &parts[a]);
    if (parts[a].count > 0) tg_panel_source(panel, r->m, path);
  }
  rows.value = &parts[0], rows.std = &parts[1], rows.n = &parts[2];
  if (st == TG_OK && parts[0].count > 0 && parts[1].count == parts[0].count && parts[2].count == parts[0].count)
    add_rows(panel, set, &rows);
  for (int a = 0; a < 3; a++) tg_array_free(&parts[a]);
  return st;
}

/* ---- which prompts ---- */

/* A few prompts: those listed, or chosen by the seed, in data-set order. */
static void choose_prompts(tg_panel *panel, const tg_figure_set *set, const tg_figure_model *m, bool *chosen) {
  const tg_figure_options *o = set->options;
  for (int64_t a = 0; a < o->n_prompt_ids; a++) {
    const int64_t p = tg_figure_place(m->prompt_ids, m->n_prompts, o->prompt_ids[a]);
    if (p >= 0)
      chosen[p] = true;
    else
      tg_panel_caption(panel, " %s has no prompt %" PRId64 ".", m->name, o->prompt_ids[a]);
  }
  const int64_t wanted = o->n_prompts < m->n_prompts ? o->n_prompts : m->n_prompts;
  for (int64_t found = 0, draw = 0; o->n_prompt_ids == 0 && found < wanted; draw++) {
    const philox4x64_ctr_t counter = {{(uint64_t)draw, 0, 0, 0}};
    const philox4x64_key_t key = {{o->shuffle_seed, 8}};
    const int64_t p = (int64_t)(philox4x64(counter, key).v[0] % (uint64_t)m->n_prompts);
    found += !chosen[p];
    chosen[p] = true;
  }
}

static tg_status add_levels(tg_panel *panel, const tg_figure_set *set, curve_rows *r) {
  tg_status st = TG_OK;
  for (r->s = 0; st == TG_OK && r->s < r->m->n_levels; r->s++)
    if (wants_level(r->c, r->m, r->s)) st = r->c->who == MEAN ? add_means(panel, set, r) : add_prompt(panel, set, r);
  return st;
}

/* Rows by prompt, then by level. */
static tg_status add_some(tg_panel *panel, const tg_figure_set *set, curve_rows *r) {
  bool *chosen = NULL;
  TG_TRY(TG_ALLOC(r->m->n_prompts, &chosen));
  tg_status st = TG_OK;
  choose_prompts(panel, set, r->m, chosen);
  for (r->p = 0; st == TG_OK && r->p < r->m->n_prompts; r->p++)
    if (chosen[r->p]) st = add_levels(panel, set, r);
  free(chosen);
  return st;
}

static tg_status add_model(tg_panel *panel, const tg_figure_set *set, const curve *c, const tg_figure_model *m) {
  curve_rows r = {.c = c, .m = m, .p = m->example, .run_first = -1, .run_end = -1};
  if (c->marked) TG_TRY(find_run(set, m, &r.run_first, &r.run_end));
  if (r.run_first >= 0)
    tg_panel_caption(panel, " Grey in %s: pairs %" PRId64 "..%" PRId64 ", where shuffled lies below structured.",
                     m->name, r.run_first, r.run_end - 1);
  return c->who == SOME ? add_some(panel, set, &r) : add_levels(panel, set, &r);
}

/* ---- captions ---- */

static void say_what(const tg_figure_set *set, const curve *c, tg_panel *panel) {
  const tg_figure_options *o = set->options;
  tg_panel_caption(panel, "%s by layer", c->what->name);
  if (c->values[0] == 0 && c->what->last == BY_SCALE) tg_panel_caption(panel, " at scale %d", o->scale);
  if (c->values[0] == 0 && c->what->last == BY_K) tg_panel_caption(panel, " at k = %d", o->k);
  tg_panel_caption(panel, c->levels == EVERY     ? ", every shuffle level"
                          : c->levels == BOTH    ? ", structured (lowest level) and shuffled (highest)"
                          : c->levels == HIGHEST ? ", shuffled (highest level)"
                                                 : ", structured (lowest level)");
  tg_panel_caption(panel, c->who == MEAN      ? "; mean and population standard deviation over prompts. "
                          : c->who == EXAMPLE ? "; one prompt. "
                                              : "; some prompts. ");
  tg_figure_say_models(set, panel, c->who == EXAMPLE);
}

tg_status tg_figures_curves(tg_figure_set *set) {
  for (size_t a = 0; a < sizeof curves / sizeof curves[0]; a++) {
    tg_panel *panel;
    TG_TRY(tg_panel_begin(&curves[a].kind, &panel));
    say_what(set, &curves[a], panel);
    for (int m = 0; m < set->n_models; m++) TG_TRY(add_model(panel, set, &curves[a], &set->models[m]));
    TG_TRY(tg_figure_end(set, &panel,
                         curves[a].levels == HIGHEST ? "the results have one shuffle level only"
                                                     : "the results have no finite number of it"));
  }
  return TG_OK;
}
