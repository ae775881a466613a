#include "verify/verify.h"

#include "base/memory.h"
#include "base/text.h"
#include "geometry/observable.h"
#include "hdf5/h5.h"
#include "hdf5/look.h"
#include "study/provenance.h"
#include "results/layout.h"
#include "results/load.h"
#include "run/statistics.h"
#include "study/inputs.h"
#include "study/study.h"
#include "verify/sample.h"
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_FAULTS = 5 }; /* of a check, that are printed */

typedef struct {
  const char *path;
  int sample;
  uint64_t seed;
  hid_t file;
  bool complete;
  bool other_version; /* of the program wrote it */
  tg_config *config;  /* of the provenance; NULL: none that can be read */
  tg_study study;
  bool inputs; /* the study's inputs are there, as they were */
  bool shaped; /* the shapes are the config's and the inputs' */
  tg_results_layout layout;
  tg_results *results;
  FILE *faults; /* of the check under way */
  char *text;
  size_t length;
  int64_t n_faults;
  int failed; /* checks */
} verify;

/* ---- one check: begin, faults, end ---- */

static tg_status begin(verify *v) {
  v->n_faults = 0;
  v->faults = open_memstream(&v->text, &v->length);
  TG_CHECK(v->faults, TG_EINTERNAL, "no memory");
  return TG_OK;
}

static void fault(verify *v, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void fault(verify *v, const char *format, ...) {
  if (v->n_faults++ >= MOST_FAULTS) return;
  va_list args;
  va_start(args, format);
  fputs("  ", v->faults);
  vfprintf(v->faults, format, args);
  fputc('\n', v->faults);
  va_end(args);
}

/* format: what was checked, and found good. st: of reading; passed on. */
static tg_status end(verify *v, tg_status st, const char *name, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
static tg_status end(verify *v, tg_status st, const char *name, const char *format, ...) {
  va_list args;
  va_start(args, format);
  fclose(v->faults);
  if (st == TG_OK) {
    printf("%-11s ", name);
    if (v->n_faults > 0) printf("FAILED, %" PRId64 " %s in: ", v->n_faults, v->n_faults == 1 ? "fault" : "faults");
    vprintf(format, args);
    tg_text_print(stdout, "%s\n%s", v->n_faults > 0 ? "" : ": good", v->text);
    if (v->n_faults > MOST_FAULTS) printf("  ... and %" PRId64 " more\n", v->n_faults - MOST_FAULTS);
  }
  va_end(args);
  free(v->text);
  v->failed += v->n_faults > 0;
  return st;
}

/* ---- provenance ---- */

static char *provenance_text(verify *v, const char *name) {
  char *text = NULL;
  if (tg_results_read_provenance(v->path, name, &text) != TG_OK) fault(v, "no /provenance/%s", name);
  return text;
}

/* The config that the run echoed. */
static tg_status check_provenance(verify *v) {
  TG_TRY(begin(v));
  char digest[TG_DIGEST_ROOM], *config = provenance_text(v, "config"), *stored = provenance_text(v, "config_sha256"),
                               *values = provenance_text(v, "config_values"), *version = provenance_text(v, "version");
  if (config) tg_provenance_digest(config, digest);
  if (config && stored && strcmp(digest, stored) != 0)
    fault(v, "SHA-256 of config is %s, config_sha256 says %s", digest, stored);
  if (config && tg_config_parse_for_results(config, v->path, NULL, 0, &v->config) != TG_OK)
    fault(v, "config: %s", tg_last_error());
  if (v->config && values && strcmp(v->config->resolved_values, values) != 0)
    fault(v, "config_values do not follow from config");
  v->other_version = version && strcmp(version, tg_provenance_version()) != 0;
  free(config);
  free(stored);
  free(values);
  free(version);
  return end(v, TG_OK, "provenance", "config and its SHA-256");
}

/* Whether the clouds could be read again. No check: what is gone or has changed since is no fault of the results. */
static void find_inputs(verify *v) {
  char *stored = NULL;
  const char *why = NULL;
  if (tg_inputs_look(v->config) != TG_OK || tg_study_open(v->config, NULL, &v->study) != TG_OK)
    why = tg_last_error();
  else if (tg_results_read_provenance(v->path, "inputs", &stored) != TG_OK || strcmp(stored, v->study.inputs) != 0)
    why = "they changed since the run";
  v->inputs = !why;
  tg_text_print(stdout, "%-11s %s%s\n", "inputs", v->inputs ? "as they were" : "not compared: ", why ? why : "");
  free(stored);
}

/* ---- shapes ---- */

static bool same_integers(const int *a, int n_a, const int *b, int n_b) {
  return n_a == n_b && (n_a == 0 || memcmp(a, b, (size_t)n_a * sizeof *a) == 0);
}

static int model_of_study(const verify *v, const char *name) {
  for (int m = 0; m < v->study.n_models; m++)
    if (strcmp(v->study.models[m].name, name) == 0) return m;
  return -1;
}

/* The model of the config that a model's group belongs to; NULL where only the inputs could tell. */
static const tg_model_config *config_of(const verify *v, const char *name) {
  for (int m = 0; m < v->config->n_models; m++)
    if (v->config->models[m].name && strcmp(v->config->models[m].name, name) == 0) return &v->config->models[m];
  return v->config->n_models == 1 ? &v->config->models[0] : NULL;
}

/* Whether a model of these axes has anything of an observable: one with one layer has no pairs, say. */
static bool has_any(const tg_results_model *m, int observable) {
  for (int f = 0; f < TG_N_FIELDS; f++)
    if (tg_fields[f].observable == observable && tg_results_has_field(m, f)) return true;
  return false;
}

/* What a later version knows is not in a file whose config asks for all there is. */
static void compare_observables(verify *v, const tg_results_model *m) {
  tg_results_model asked = *m;
  asked.shape.observables = tg_study_observables(v->config);
  for (int o = 0; o < TG_N_OBSERVABLES; o++) {
    const bool there = has_any(m, o);
    if (has_any(&asked, o) == there) continue;
    if (there || !v->other_version || !v->config->all_measured || o == TG_OBSERVE_NEIGHBORS)
      fault(v, "/models/%s: %s is %s, the config says otherwise", m->name, tg_observables[o].name,
            there ? "there" : "not there");
    else
      tg_text_print(stdout, "%-11s %s: %s was not known to the version that wrote the file\n", "observables", m->name,
                    tg_observables[o].name);
  }
}

/* What the config alone says of a model. */
static void compare_with_config(verify *v, const tg_results_model *m) {
  const tg_config *c = v->config;
  const tg_model_config *model = config_of(v, m->name);
  int n_angle_layers = 0;
  while (n_angle_layers < c->n_angle_layers && c->angle_layers[n_angle_layers] < m->n_layers) n_angle_layers++;
  if (model && model->source.kind == TG_SOURCE_SUMMARIES) n_angle_layers = 0;
  if (model && model->name && strcmp(model->name, m->name) != 0)
    fault(v, "/models/%s is not among the config's models", m->name);
  if (!same_integers(m->shape.scales, m->shape.n_scales, c->scales, c->n_scales))
    fault(v, "/models/%s/scale is not the config's", m->name);
  if (m->shape.k != c->overlap_k)
    fault(v, "/models/%s/k ends at %d, the config's at %d", m->name, m->shape.k, c->overlap_k);
  if (!same_integers(m->angle_layers, m->n_angle_layers, c->angle_layers, n_angle_layers))
    fault(v, "/models/%s/angle_layer is not the config's", m->name);
  compare_observables(v, m);
  if (!c->all_levels && m->n_levels != c->n_levels)
    fault(v, "/models/%s has %d levels, the config lists %d", m->name, m->n_levels, c->n_levels);
  if (!c->all_prompts && m->n_prompts != c->n_prompt_ids)
    fault(v, "/models/%s has %" PRId64 " prompts, the config lists %" PRId64, m->name, m->n_prompts, c->n_prompt_ids);
}

/* What the inputs say of it. */
static void compare_with_inputs(verify *v, const tg_results_model *m) {
  const int place = model_of_study(v, m->name);
  if (place < 0) {
    fault(v, "/models/%s is not among the study's models", m->name);
    return;
  }
  const tg_results_model *s = &v->study.models[place];
  if (m->n_prompts != s->n_prompts || memcmp(m->prompt_ids, s->prompt_ids, (size_t)s->n_prompts * sizeof(int64_t)) != 0)
    fault(v, "/models/%s/prompt_id is not the inputs'", m->name);
  if (!same_integers(m->levels, m->n_levels, s->levels, s->n_levels))
    fault(v, "/models/%s/shuffle is not the inputs'", m->name);
  if (m->n_layers != s->n_layers)
    fault(v, "/models/%s has %d layers, the inputs %d", m->name, m->n_layers, s->n_layers);
  if (m->shape.n_tokens != s->shape.n_tokens)
    fault(v, "/models/%s has %d tokens, the inputs %d", m->name, m->shape.n_tokens, s->shape.n_tokens);
  if (m->token_ids != s->token_ids) fault(v, "/models/%s: token_ids and the inputs disagree", m->name);
}

/* Opens the rows; v->results stays NULL where their shapes do not fit their own axes. */
static tg_status check_shapes(verify *v) {
  TG_TRY(begin(v));
  tg_status st = tg_layout_read(v->file, &v->layout);
  if (st == TG_OK) st = tg_results_open_read(v->path, v->file, &v->layout, &v->results);
  if (st == TG_EDATA) {
    fault(v, "%s", tg_last_error());
    tg_results_close(&v->results);
    return end(v, TG_OK, "shapes", "axes and datasets");
  }
  if (st == TG_OK && v->config && v->layout.n_models != v->config->n_models)
    fault(v, "/models has %d groups, the config %d models", v->layout.n_models, v->config->n_models);
  for (int m = 0; st == TG_OK && m < v->layout.n_models; m++) {
    if (v->config) compare_with_config(v, &v->layout.models[m]);
    if (v->inputs) compare_with_inputs(v, &v->layout.models[m]);
  }
  v->shaped = v->n_faults == 0;
  return end(v, st, "shapes", "axes and datasets, against the config%s", v->inputs ? " and the inputs" : "");
}

/* ---- clouds ---- */

static int64_t clouds_of(const tg_results_model *m) { return m->n_prompts * m->n_levels * m->n_layers; }

/* The first letters of a fault of one cloud. */
static void name_cloud(const tg_results_model *m, int64_t cloud, char out[320]) {
  const int64_t stack = cloud / m->n_layers;
  snprintf(out, 320, "%s, prompt %" PRId64 ", level %d, layer %d", m->name, m->prompt_ids[stack / m->n_levels],
           m->levels[stack % m->n_levels], (int)(cloud % m->n_layers));
}

static tg_status count_clouds(verify *v, int m, int64_t by_status[4]) {
  const tg_results_model *model = &v->layout.models[m];
  int32_t *status = NULL;
  tg_status st = TG_ALLOC(clouds_of(model), &status);
  if (st == TG_OK) st = tg_results_read_clouds(v->results, m, TG_FIELD_STATUS, status);
  for (int64_t a = 0; st == TG_OK && a < clouds_of(model); a++) {
    char name[320];
    name_cloud(model, a, name);
    if (status[a] < TG_STATUS_TODO || status[a] > TG_STATUS_BAD)
      fault(v, "%s: status %d", name, status[a]);
    else
      by_status[status[a]]++;
    if (v->complete && status[a] == TG_STATUS_TODO)
      fault(v, "%s: not done, but the file says that it is complete", name);
  }
  free(status);
  return st;
}

static tg_status check_status(verify *v) {
  TG_TRY(begin(v));
  int64_t by_status[4] = {0};
  tg_status st = TG_OK;
  for (int m = 0; st == TG_OK && m < v->layout.n_models; m++) st = count_clouds(v, m, by_status);
  return end(v, st, "status",
             "%" PRId64 " clouds done, %" PRId64 " done with reasons, %" PRId64 " bad input, %" PRId64 " to do",
             by_status[TG_STATUS_DONE], by_status[TG_STATUS_REASONS], by_status[TG_STATUS_BAD],
             by_status[TG_STATUS_TODO]);
}

/* Clouds that are not done have no checksum, and may hold what an interrupted run left. */
static tg_status check_checksums(verify *v) {
  TG_TRY(begin(v));
  tg_status st = TG_OK;
  int64_t checked = 0;
  for (int m = 0; st == TG_OK && m < v->layout.n_models; m++) {
    const tg_results_model *model = &v->layout.models[m];
    const int64_t stack = (int64_t)model->n_levels * model->n_layers;
    bool *good = NULL;
    st = TG_ALLOC(stack, &good);
    for (int64_t p = 0; st == TG_OK && p < model->n_prompts; p++) {
      st = tg_results_check_prompt(v->results, m, p, good);
      for (int64_t a = 0; st == TG_OK && a < stack; a++) {
        char name[320];
        if (good[a]) continue;
        name_cloud(model, p * stack + a, name);
        fault(v, "%s: the checksum is not that of the values, reason and status", name);
      }
    }
    checked += clouds_of(model);
    free(good);
  }
  return end(v, st, "checksums", "%" PRId64 " clouds", checked);
}

/* ---- statistics ---- */

typedef struct {
  verify *v;
  int model;
  bool lengths_known;
  int64_t n_compared;
} comparison;

static bool same_number(double a, double b) { return (isnan(a) && isnan(b)) || memcmp(&a, &b, sizeof a) == 0; }

/* A tg_statistics_take: against what is stored, to the last bit. */
static tg_status compare_numbers(void *context, bool moments, int what, int which, int s, const double *values,
                                 int64_t count) {
  comparison *c = context;
  const tg_results_model *m = &c->v->layout.models[c->model];
  if (!moments && !c->lengths_known && (which == TG_R_PARTIAL || which == TG_R_PARTIAL_P)) return TG_OK;
  double *stored = NULL;
  tg_status st = TG_ALLOC(count, &stored);
  if (st == TG_OK)
    st = moments ? tg_results_read_moment(c->v->results, c->model, what, which, s, stored)
                 : tg_results_read_correlation(c->v->results, c->model, what, which, s, stored);
  for (int64_t a = 0; st == TG_OK && a < count; a++)
    if (!same_number(stored[a], values[a]))
      fault(c->v, "%s, level %d: %s/%s/%s is %.17g at place %" PRId64 ", the rows give %.17g", m->name, m->levels[s],
            moments ? "statistics" : "correlations", moments ? tg_fields[what].path : tg_correlation_fields[what].path,
            moments ? tg_moment_names[which] : tg_r_names[which], stored[a], a, values[a]);
  c->n_compared += count;
  free(stored);
  return st;
}

/* Lengths of prompts: the inputs', where the shapes are theirs, else by the token ids, -1 beyond the end. out: NULL where there are no tokens; caller frees. */
static tg_status lengths_of(verify *v, int m, int32_t **out, bool *known) {
  const tg_results_model *model = &v->layout.models[m];
  const int place = v->inputs && v->shaped ? model_of_study(v, model->name) : -1, n_tokens = model->shape.n_tokens;
  *known = place >= 0 || model->token_ids;
  if (!*known) return TG_OK;
  TG_TRY(TG_ALLOC(model->n_prompts, out));
  if (place >= 0) {
    memcpy(*out, tg_source_describe(v->study.sources[place])->n_tokens_of, (size_t)model->n_prompts * sizeof **out);
    return TG_OK;
  }
  double *ids = NULL;
  tg_status st = TG_ALLOC(model->n_prompts * n_tokens, &ids);
  if (st == TG_OK) st = tg_results_read_level(v->results, m, TG_FIELD_TOKEN_IDS, 0, ids);
  for (int64_t a = 0; st == TG_OK && a < model->n_prompts * n_tokens; a++) (*out)[a / n_tokens] += ids[a] >= 0.0;
  free(ids);
  return st;
}

static tg_status check_statistics(verify *v) {
  TG_TRY(begin(v));
  comparison c = {v, 0, true, 0};
  bool all_lengths = true;
  tg_status st = TG_OK;
  for (; st == TG_OK && c.model < v->layout.n_models; c.model++) {
    int32_t *lengths = NULL;
    st = lengths_of(v, c.model, &lengths, &c.lengths_known);
    const tg_statistics_job job = {.results = v->results,
                                   .model = c.model,
                                   .m = &v->layout.models[c.model],
                                   .n_tokens_of = lengths,
                                   .bootstrap = v->config->bootstrap,
                                   .seed = v->config->statistics_seed,
                                   .take = compare_numbers,
                                   .context = &c};
    if (st == TG_OK) st = tg_statistics_compute(&job, 0, 1);
    all_lengths = all_lengths && c.lengths_known;
    free(lengths);
  }
  return end(v, st, "statistics", "%" PRId64 " numbers computed again from the rows%s", c.n_compared,
             all_lengths ? "" : ", not the partial correlations (the prompts' lengths are gone with the inputs)");
}

/* ---- sample ---- */

static void sample_fault(void *context, const tg_results_model *model, int64_t cloud, const char *what) {
  char name[320];
  name_cloud(model, cloud, name);
  fault(context, "%s: %s", name, what);
}

static tg_status check_sample(verify *v) {
  if (v->sample == 0) return TG_OK;
  if (!v->inputs || !v->shaped) {
    printf("%-11s not checked: the %s\n", "sample",
           v->inputs ? "shapes are not those of the inputs" : "inputs are not as they were");
    return TG_OK;
  }
  TG_TRY(begin(v));
  int n_checked;
  const tg_sample_job job = {&v->study, v->results, &v->layout, v->sample, v->seed, sample_fault, v};
  const tg_status st = tg_sample_check(&job, &n_checked);
  return end(v, st, "sample", "%d %s measured again from the inputs in plain float64", n_checked,
             n_checked == 1 ? "cloud" : "clouds");
}

/* ---- all ---- */

static tg_status check_all(verify *v) {
  TG_TRY(check_provenance(v));
  if (v->config) find_inputs(v);
  TG_TRY(check_shapes(v));
  if (!v->results) return TG_OK;
  TG_TRY(check_status(v));
  TG_TRY(check_checksums(v));
  if (v->complete && v->config)
    TG_TRY(check_statistics(v));
  else
    printf("%-11s not checked: %s\n", "statistics",
           v->config ? "the run is not complete" : "the config cannot be read");
  return check_sample(v);
}

static tg_status read_complete(verify *v) {
  tg_array complete = {0};
  TG_TRY(tg_array_load(v->file, "complete", &complete));
  v->complete = complete.count == 1 && complete.values[0] == 1.0;
  const bool flag = complete.count == 1 && (complete.values[0] == 0.0 || complete.values[0] == 1.0);
  tg_array_free(&complete);
  TG_CHECK(flag, TG_EDATA, "%s: /complete is neither 0 nor 1", v->path);
  tg_text_print(stdout, "%s: tokengeom results, format version %ld, %scomplete\n", v->path,
                tg_h5_integer_attribute(v->file, "format_version", -1), v->complete ? "" : "not ");
  return TG_OK;
}

tg_status tg_verify(const char *path, int sample, uint64_t seed) {
  verify v = {.path = path, .sample = sample, .seed = seed};
  TG_TRY(tg_h5_look(&path, 1, NULL));
  TG_TRY(tg_results_open_input(path, &v.file));
  tg_status st = read_complete(&v);
  if (st == TG_OK) st = check_all(&v);
  tg_results_close(&v.results);
  tg_layout_free(&v.layout);
  tg_study_close(&v.study);
  tg_config_destroy(&v.config);
  H5Fclose(v.file);
  TG_TRY(st);
  TG_CHECK(v.failed == 0, TG_EDATA, "%s: %d %s failed", path, v.failed, v.failed == 1 ? "check" : "checks");
  TG_CHECK(v.complete, TG_ESTOPPED, "%s: good as far as it goes, but not complete; run --resume goes on", path);
  return TG_OK;
}
