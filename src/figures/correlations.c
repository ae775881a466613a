/* Figures 6, 7, 17, 18, 20 and table 1: correlations over prompts. */
#include "figures/kinds.h"

#include "base/memory.h"
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_SCALES = 4 };

/* Scales of a panel: those listed, or with {0} the one of the options. */
static bool wants_scale(const int *scales, const tg_figure_options *o, int64_t scale) {
  if (scales[0] == 0) return scale == o->scale;
  for (int a = 0; a < MOST_SCALES && scales[a]; a++)
    if (scales[a] == scale) return true;
  return false;
}

/* ---- r by layer ---- */

/* Datasets of correlations/id_loss/ at one level, [layer][scale] each. */
static tg_status load_group(tg_panel *panel, const tg_figure_model *m, const char *group, const char *const *names,
                            int n, tg_array *out) {
  char path[200];
  memset(out, 0, (size_t)n * sizeof *out);
  for (int a = 0; a < n; a++) {
    snprintf(path, sizeof path, "correlations/%s/%s", group, names[a]);
    TG_TRY(tg_figure_part(m, path, 3, (const int64_t[]){m->low, TG_ALL, TG_ALL}, &out[a]));
    TG_CHECK(out[a].count == out[0].count, TG_EDATA, "%s: /models/%s/%s has not the shape of %s", m->path, m->name,
             path, names[0]);
    if (panel && out[a].count > 0) tg_panel_source(panel, m, path);
  }
  return TG_OK;
}

static void free_group(tg_array *arrays, int n) {
  for (int a = 0; a < n; a++) tg_array_free(&arrays[a]);
}

static tg_status add_pearson(const tg_figure_set *set, tg_panel *panel, const tg_figure_model *m, const int *scales) {
  static const char *const names[] = {"pearson", "pearson_boot_std", "pearson_low", "pearson_high", "pearson_p", "n"};
  enum { N = sizeof names / sizeof names[0] };
  tg_array a[N];
  const tg_status st = load_group(panel, m, "id_loss", names, N, a);
  for (int64_t i = m->n_scales; st == TG_OK && i < a[0].count; i++) { /* from layer 1 */
    const int64_t l = i / m->n_scales, scale = m->scales[i % m->n_scales];
    const double p = a[4].values[i];
    if (wants_scale(scales, set->options, scale))
      tg_panel_row(panel, "tiiirrrrrni", m->name, m->levels[m->low], l, scale, a[0].values[i], a[1].values[i],
                   a[2].values[i], a[3].values[i], p, a[5].values[i], (int64_t)(p >= 0.01));
  }
  free_group(a, N);
  return st;
}

static tg_status pearson_panel(tg_figure_set *set, const tg_panel_kind *kind, const int *scales) {
  tg_panel *panel;
  TG_TRY(tg_panel_begin(kind, &panel));
  tg_panel_caption(
      panel, "Pearson r over prompts of ln intrinsic dimension and loss by layer, structured; band: deviation over "
             "bootstrap resamples; low, high: 95 %% interval (Fisher); marked: p >= 0.01. ");
  tg_figure_say_models(set, panel, false);
  for (int m = 0; m < set->n_models; m++) TG_TRY(add_pearson(set, panel, &set->models[m], scales));
  return tg_figure_end(set, &panel, "no correlation is defined (it needs losses and three prompts)");
}

static tg_status add_spearman(tg_panel *panel, const tg_figure_model *m) {
  static const char *const names[] = {"spearman", "spearman_p", "n"};
  tg_array a[3];
  const tg_status st = load_group(panel, m, "id_loss_raw", names, 3, a);
  for (int64_t i = m->n_scales; st == TG_OK && i < a[0].count; i++)
    tg_panel_row(panel, "tiirrn", m->name, i / m->n_scales, m->scales[i % m->n_scales], a[0].values[i], a[1].values[i],
                 a[2].values[i]);
  free_group(a, 3);
  return st;
}

static tg_status spearman_panel(tg_figure_set *set) {
  static const tg_panel_kind kind = {"fig20", "", "Spearman correlation of intrinsic dimension and loss",
                                     "model,layer,scale,value,p,n", "layer [1], scale [neighbor rank], value, p [1]"};
  tg_panel *panel;
  TG_TRY(tg_panel_begin(&kind, &panel));
  tg_panel_caption(panel,
                   "Spearman rho over prompts of intrinsic dimension and loss by layer, at every scale, structured. ");
  tg_figure_say_models(set, panel, false);
  for (int m = 0; m < set->n_models; m++) TG_TRY(add_spearman(panel, &set->models[m]));
  return tg_figure_end(set, &panel, "no correlation is defined (it needs losses and three prompts)");
}

/* ---- scatter ---- */

/* Least squares over the complete pairs; NaN where x does not vary. */
static void fit_line(const double *x, const double *y, int64_t n, double *slope, double *intercept) {
  double mx = 0.0, my = 0.0, sxx = 0.0, sxy = 0.0;
  int64_t count = 0;
  for (int64_t p = 0; p < n; p++)
    if (isfinite(x[p]) && isfinite(y[p])) mx += x[p], my += y[p], count++;
  mx /= (double)count, my /= (double)count;
  for (int64_t p = 0; p < n; p++)
    if (isfinite(x[p]) && isfinite(y[p])) {
      sxx += (x[p] - mx) * (x[p] - mx);
      sxy += (x[p] - mx) * (y[p] - my);
    }
  *slope = sxx > 0.0 ? sxy / sxx : NAN;
  *intercept = my - *slope * mx;
}

/* r, p and n of a pair of observables at the lowest level. */
static tg_status load_r(const tg_figure_model *m, const char *group, int n_axes, int64_t place, double out[3]) {
  static const char *const names[3] = {"pearson", "pearson_p", "n"};
  char path[200];
  for (int a = 0; a < 3; a++) {
    tg_array value;
    snprintf(path, sizeof path, "correlations/%s/%s", group, names[a]);
    TG_TRY(tg_figure_part(m, path, n_axes, (const int64_t[]){m->low, place}, &value));
    out[a] = value.count > 0 ? value.values[0] : NAN;
    tg_array_free(&value);
  }
  return TG_OK;
}

typedef struct {
  const char *x, *y, *group; /* y: an observable of prompts, its logarithm where it is by scale */
  bool by_scale;
} scatter;

/* The points of one scale: y by prompt, and what the correlation and the line are. */
typedef struct {
  int64_t scale;
  tg_array y;
  double r[3], slope, intercept;
} point_set;

static tg_status load_points(const tg_figure_model *m, const scatter *what, int64_t place, const tg_array *x,
                             point_set *out) {
  TG_TRY(tg_figure_part(m, what->y, what->by_scale ? 3 : 2, (const int64_t[]){TG_ALL, m->low, place}, &out->y));
  TG_TRY(load_r(m, what->group, what->by_scale ? 2 : 1, place, out->r));
  out->scale = what->by_scale ? m->scales[place] : 0;
  for (int64_t p = 0; what->by_scale && p < out->y.count; p++) out->y.values[p] = log(out->y.values[p]);
  if (x->count == m->n_prompts && out->y.count == m->n_prompts)
    fit_line(x->values, out->y.values, m->n_prompts, &out->slope, &out->intercept);
  return TG_OK;
}

static void add_point(tg_panel *panel, const tg_figure_model *m, const scatter *what, const tg_array *x,
                      const point_set *set, int64_t p) {
  if (x->count != m->n_prompts || set->y.count != m->n_prompts) return;
  const double at = x->values[p], y = set->y.values[p];
  const int64_t id = m->prompt_ids[p];
  if (!isfinite(at) || !isfinite(y)) return;
  if (what->by_scale)
    tg_panel_row(panel, "tiirrrrnrr", m->name, id, set->scale, at, y, set->r[0], set->r[1], set->r[2], set->slope,
                 set->intercept);
  else
    tg_panel_row(panel, "tirrrrnrr", m->name, id, at, y, set->r[0], set->r[1], set->r[2], set->slope, set->intercept);
}

/* Rows by prompt, then by scale. */
static tg_status add_scatter(const tg_figure_set *set, tg_panel *panel, const tg_figure_model *m, const scatter *what,
                             const int *scales) {
  const int64_t most = what->by_scale ? m->n_scales : 1;
  tg_array x = {0};
  point_set *points = NULL;
  int64_t n = 0;
  tg_status st = TG_ALLOC(most + 1, &points);
  if (st == TG_OK) st = tg_figure_part(m, what->x, 2, (const int64_t[]){TG_ALL, m->low}, &x);
  for (int64_t place = 0; st == TG_OK && place < most; place++)
    if (!what->by_scale || wants_scale(scales, set->options, m->scales[place]))
      st = load_points(m, what, place, &x, &points[n++]);
  for (int64_t p = 0; st == TG_OK && p < m->n_prompts; p++)
    for (int64_t a = 0; a < n; a++) add_point(panel, m, what, &x, &points[a], p);
  if (n > 0 && x.count > 0 && points[0].y.count > 0) {
    tg_panel_source(panel, m, what->x);
    tg_panel_source(panel, m, what->y);
  }
  for (int64_t a = 0; a < n; a++) tg_array_free(&points[a].y);
  free(points);
  tg_array_free(&x);
  return st;
}

static tg_status logit_panel(tg_figure_set *set, const tg_panel_kind *kind, const int *scales) {
  static const scatter what = {"logits/entropy", "logits/gride/value", "logit_id_entropy", true};
  tg_panel *panel;
  TG_TRY(tg_panel_begin(kind, &panel));
  tg_panel_caption(
      panel,
      "Logarithm of the intrinsic dimension of the logit vectors against mean contextual entropy, one point a prompt, "
      "structured; Pearson r and p, line of least squares. ");
  tg_figure_say_models(set, panel, false);
  for (int m = 0; m < set->n_models; m++) TG_TRY(add_scatter(set, panel, &set->models[m], &what, scales));
  return tg_figure_end(set, &panel, "the results have no logits and entropies");
}

static tg_status entropy_panel(tg_figure_set *set) {
  static const tg_panel_kind kind = {"fig07", "right", "Contextual entropy and loss",
                                     "model,prompt,x,y,value,p,n,slope,intercept", "x (loss), y (entropy) [nat]"};
  static const scatter what = {"loss", "logits/entropy", "entropy_loss", false};
  tg_panel *panel;
  TG_TRY(tg_panel_begin(&kind, &panel));
  tg_panel_caption(panel,
                   "Mean contextual entropy against loss, one point a prompt, structured; Pearson r and p, line of "
                   "least squares. ");
  tg_figure_say_models(set, panel, false);
  for (int m = 0; m < set->n_models; m++) TG_TRY(add_scatter(set, panel, &set->models[m], &what, NULL));
  return tg_figure_end(set, &panel, "the results have no entropies");
}

/* ---- table 1 ---- */

static tg_status add_token_level(tg_panel *panel, const tg_figure_model *m, int64_t scale) {
  static const char *const names[] = {"spearman", "spearman_p", "spearman_p_bh", "n"};
  tg_array a[4];
  const int64_t place = tg_figure_place(m->scales, m->n_scales, scale);
  int64_t best = -1;
  const tg_status st = load_group(panel, m, "id_loss_raw", names, 4, a);
  for (int64_t l = 1; st == TG_OK && place >= 0 && l < m->n_layers && a[0].count > 0; l++) {
    const double rho = a[0].values[l * m->n_scales + place];
    if (isfinite(rho) && (best < 0 || fabs(rho) > fabs(a[0].values[best]))) best = l * m->n_scales + place;
  }
  if (best >= 0)
    tg_panel_row(panel, "ttiirrrn", m->name, "token level", best / m->n_scales, scale, a[0].values[best],
                 a[1].values[best], a[2].values[best], a[3].values[best]);
  free_group(a, 4);
  return st;
}

static tg_status table_panel(tg_figure_set *set) {
  static const tg_panel_kind kind = {"table1", "", "Spearman correlations of intrinsic dimension and loss",
                                     "model,x,layer,scale,value,p,p_adjusted,n",
                                     "layer [1], scale [neighbor rank], value, p, p_adjusted [1]"};
  /* clang-format off */
  static const struct {
    const char *what;
    double rho, p;
  } quoted[] = {
    {"prompt level ESS",           0.51, 0.01},
    {"prompt level 2NN",           0.13, 0.5},
    {"prompt level high scaling", -0.46, 0.09},
  };
  /* clang-format on */
  tg_panel *panel;
  TG_TRY(tg_panel_begin(&kind, &panel));
  tg_panel_caption(
      panel, "Prompt level: quoted from table 1 of arXiv 2501.10573, which takes them from earlier work (many models "
             "and corpora; OPT-6.7B). Token level: the rho of largest absolute value over layers 1..L with its "
             "layer, p and p adjusted over layers; the paper gives 0.69 and 0.73, p < .01. ");
  tg_figure_say_models(set, panel, false);
  for (int m = 0; m < set->n_models; m++)
    for (int64_t scale = 2; scale <= 8; scale += 6) TG_TRY(add_token_level(panel, &set->models[m], scale));
  for (size_t a = 0; a < 3 && tg_panel_has_data(panel); a++)
    tg_panel_row(panel, "ttrrrrrr", "OPT-6.7B", quoted[a].what, NAN, NAN, quoted[a].rho, quoted[a].p, NAN, NAN);
  return tg_figure_end(set, &panel, "no correlation is defined (it needs losses and three prompts)");
}

tg_status tg_figures_correlations(tg_figure_set *set) {
  static const char by_layer[] = "model,shuffle,layer,scale,value,std,low,high,p,n,marked",
                    by_prompt[] = "model,prompt,scale,x,y,value,p,n,slope,intercept",
                    units[] = "layer [1], scale [neighbor rank], value, std, low, high, p [1]",
                    scatter_units[] = "x (entropy) [nat], y (ln intrinsic dimension) [1]";
  /* clang-format off */
  static const tg_panel_kind
    fig06 = {"fig06", "",     "Correlation of intrinsic dimension and loss",                      by_layer,  units},
    fig17 = {"fig17", "",     "Correlation of intrinsic dimension and loss, scales 2, 4, 8",      by_layer,  units},
    fig07 = {"fig07", "left", "Logit intrinsic dimension and contextual entropy",                 by_prompt, scatter_units},
    fig18 = {"fig18", "",     "Logit intrinsic dimension and contextual entropy, scales 2, 4, 8", by_prompt, scatter_units};
  /* clang-format on */
  static const int one[MOST_SCALES] = {0}, three[MOST_SCALES] = {2, 4, 8};
  TG_TRY(pearson_panel(set, &fig06, one));
  TG_TRY(logit_panel(set, &fig07, one));
  TG_TRY(entropy_panel(set));
  TG_TRY(pearson_panel(set, &fig17, three));
  TG_TRY(logit_panel(set, &fig18, three));
  TG_TRY(spearman_panel(set));
  return table_panel(set);
}
