#include "verify/sample.h"

#include "base/memory.h"
#include "verify/definitions.h"
#include <cblas.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What checking the clouds of one model needs. */
typedef struct {
  const tg_sample_job *job;
  int m; /* of the layout */
  const tg_results_model *model;
  tg_source *source;
  const tg_source_info *info;
  bool ready;
  tg_row stored, plain;
  float *x; /* [n_tokens][ld] */
  void *raw, *view;
  int32_t *before; /* [n_tokens][stride] */
  double *matrix;  /* W^T W; NULL: none, or not wanted yet */
} sampler;

/* ---- the plain numbers ---- */

/* W^T W of a stored or a model's unembedding, panels of rows. The one use of BLAS here: loops would take minutes. */
static tg_status form_matrix(sampler *s) {
  enum { PANEL = 1024 };
  const size_t d = (size_t)s->info->width;
  float *rows = NULL;
  double *panel = NULL;
  tg_status st = TG_ALLOC(PANEL * d, &rows);
  if (st == TG_OK) st = TG_ALLOC(PANEL * d, &panel);
  for (int64_t first = 0; st == TG_OK && first < s->info->vocabulary; first += PANEL) {
    const int64_t left = s->info->vocabulary - first, count = left < PANEL ? left : PANEL;
    st = tg_source_read_unembedding(s->source, first, count, rows);
    for (size_t a = 0; a < (size_t)count * d; a++) panel[a] = rows[a];
    cblas_dsyrk(CblasRowMajor, CblasUpper, CblasTrans, (int)d, (int)count, 1.0, panel, (int)d, first > 0, s->matrix,
                (int)d);
  }
  for (size_t a = 0; a < d; a++)
    for (size_t b = 0; b < a; b++) s->matrix[a * d + b] = s->matrix[b * d + a];
  free(rows);
  free(panel);
  return st;
}

static tg_status need_matrix(sampler *s) {
  if (s->matrix || (!s->info->has_metric && s->info->vocabulary == 0)) return TG_OK;
  TG_TRY(TG_ALLOC((size_t)s->info->width * (size_t)s->info->width, &s->matrix));
  return s->info->has_metric ? tg_source_read_metric(s->source, s->matrix) : form_matrix(s);
}

/* bfloat16 is the upper half of float32. */
static void widen(const tg_cloud *c, float *x) {
  for (ptrdiff_t a = 0; a < (ptrdiff_t)c->n * c->ld; a++) {
    const uint32_t bits = (uint32_t)c->half[a] << 16;
    memcpy(x + a, &bits, sizeof bits);
  }
}

/* As float32. */
static tg_status read_cloud(sampler *s, int64_t p, int level, int l, tg_cloud *out) {
  TG_TRY(tg_source_read(s->source, p, level, l, s->raw));
  tg_source_view(s->source, p, s->raw, s->view, out);
  if (!out->half) return TG_OK;
  widen(out, s->x);
  out->x = s->x;
  out->half = NULL;
  return TG_OK;
}

static tg_status measure(sampler *s, int64_t p, int level, int l) {
  const tg_row_shape *shape = &s->model->shape;
  tg_cloud cloud;
  bool finite = false;
  if (l > 0) {
    TG_TRY(read_cloud(s, p, level, l - 1, &cloud));
    TG_TRY(tg_plain_lists(&cloud, shape, s->before, &finite));
  }
  TG_TRY(read_cloud(s, p, level, l, &cloud));
  const bool last = l == s->info->n_layers - 1;
  if (last) TG_TRY(need_matrix(s));
  TG_TRY(tg_plain_measure(&cloud, shape, last ? s->matrix : NULL, finite ? s->before : NULL, &s->plain));
  return TG_OK;
}

/* What a (prompt, level) has once, in the row of its last layer, and whether it has a loss, in all. */
static tg_status finish(sampler *s, int64_t p, int level, bool last) {
  bool there = true;
  if (last) TG_TRY(tg_source_fill_row(s->source, p, level, &s->plain));
  if (s->info->measured) return TG_OK; /* has said it */
  if (last) there = isfinite(*tg_row_f64(&s->plain, TG_FIELD_LOSS));
  if (!last) TG_TRY(tg_source_has_loss(s->source, p, level, &there));
  if (!there) tg_row_no_loss(&s->plain);
  return TG_OK;
}

/* ---- comparing ---- */

static bool near(double a, double b, const tg_field *f) {
  if (isnan(a) || isnan(b)) return isnan(a) && isnan(b);
  return a == b || fabs(a - b) <= f->absolute + f->relative * fabs(b);
}

static double number(tg_type type, const void *numbers, size_t a) {
  return type == TG_F64 ? ((const double *)numbers)[a] : ((const int32_t *)numbers)[a];
}

static void compare(sampler *s, int64_t cloud, int l) {
  for (int f = 0; f < TG_N_FIELDS; f++) {
    const tg_field *field = &tg_fields[f];
    int place;
    const size_t count = tg_results_part(s->model, f, l, &place) / tg_type_bytes(field->type);
    char what[256];
    for (size_t i = 0; i < count; i++) {
      const double x = number(field->type, s->stored.numbers[f], i), y = number(field->type, s->plain.numbers[f], i);
      if (near(x, y, field)) continue;
      snprintf(what, sizeof what, "%s is %.17g at place %zu, measured again %.17g", field->path, x, i, y);
      s->job->fault(s->job->context, s->model, cloud, what);
      break;
    }
  }
}

static tg_status check_cloud(sampler *s, int64_t cloud) {
  const int l = (int)(cloud % s->model->n_layers), level = (int)(cloud / s->model->n_layers % s->model->n_levels);
  const int64_t p = cloud / s->model->n_layers / s->model->n_levels;
  tg_row_clear(&s->model->shape, &s->plain);
  TG_TRY(tg_results_read_row(s->job->results, s->m, p, level, l, &s->stored));
  if (s->info->measured)
    tg_source_read_row(s->source, p, level, l, &s->model->shape, &s->plain);
  else
    TG_TRY(measure(s, p, level, l));
  TG_TRY(finish(s, p, level, l == s->model->n_layers - 1));
  compare(s, cloud, l);
  return TG_OK;
}

/* ---- drawing ---- */

static tg_status prepare(sampler *s) {
  const size_t n = (size_t)(s->info->n_tokens > 0 ? s->info->n_tokens : 1);
  if (s->ready) return TG_OK;
  s->ready = true;
  TG_TRY(tg_row_create(&s->model->shape, &s->stored));
  TG_TRY(tg_row_create(&s->model->shape, &s->plain));
  TG_TRY(TG_ALLOC(n * (size_t)tg_cloud_stride(s->info->width), &s->x));
  TG_TRY(tg_alloc_bytes(tg_source_view_bytes(s->source), 1, &s->view));
  TG_TRY(TG_ALLOC(n * (size_t)tg_plain_stride(&s->model->shape, (int)n + 1), &s->before));
  TG_TRY(tg_alloc_bytes(s->info->cloud_bytes, 1, &s->raw));
  TG_TRY(tg_source_convert(s->source));
  return tg_source_prepare(s->source, 0, 1);
}

static void release(sampler *s) {
  tg_row_free(&s->stored);
  tg_row_free(&s->plain);
  free(s->x);
  free(s->view);
  free(s->before);
  free(s->raw);
  free(s->matrix);
}

/* Clouds of a model that are done; status [clouds], caller frees. */
static tg_status done_clouds(const tg_sample_job *job, int m, int32_t **status, int64_t *clouds, int64_t *done) {
  const tg_results_model *model = &job->layout->models[m];
  *clouds = model->n_prompts * model->n_levels * model->n_layers;
  TG_TRY(TG_ALLOC(*clouds, status));
  TG_TRY(tg_results_read_clouds(job->results, m, TG_FIELD_STATUS, *status));
  for (int64_t a = 0; a < *clouds; a++) *done += (*status)[a] != TG_STATUS_TODO;
  return TG_OK;
}

/* Each cloud that is done is taken with probability wanted / left, so that every choice is as likely (Knuth, 3.4.2, S). */
static tg_status check_model(const tg_sample_job *job, int m, unsigned short state[3], int64_t *left, int *wanted) {
  const tg_results_model *model = &job->layout->models[m];
  sampler s = {.job = job, .m = m, .model = model};
  for (int a = 0; a < job->study->n_models; a++)
    if (strcmp(job->study->models[a].name, model->name) == 0) s.source = job->study->sources[a];
  if (!s.source) return TG_OK; /* reported by its shapes */
  s.info = tg_source_describe(s.source);
  int32_t *status = NULL;
  int64_t clouds = 0, done = 0;
  tg_status st = done_clouds(job, m, &status, &clouds, &done);
  for (int64_t a = 0; st == TG_OK && a < clouds; a++) {
    if (status[a] == TG_STATUS_TODO) continue;
    const bool taken = erand48(state) * (double)*left < *wanted;
    --*left;
    if (!taken) continue;
    --*wanted;
    st = prepare(&s);
    if (st == TG_OK) st = check_cloud(&s, a);
  }
  free(status);
  release(&s);
  return st;
}

tg_status tg_sample_check(const tg_sample_job *job, int *n_checked) {
  unsigned short state[3] = {(unsigned short)job->seed, (unsigned short)(job->seed >> 16),
                             (unsigned short)(job->seed >> 32)};
  int64_t left = 0;
  tg_status st = TG_OK;
  for (int m = 0; st == TG_OK && m < job->layout->n_models; m++) {
    int32_t *status = NULL;
    int64_t clouds;
    st = done_clouds(job, m, &status, &clouds, &left);
    free(status);
  }
  int wanted = left < job->n ? (int)left : job->n;
  *n_checked = wanted;
  for (int m = 0; st == TG_OK && m < job->layout->n_models; m++) st = check_model(job, m, state, &left, &wanted);
  *n_checked -= wanted;
  return st;
}
