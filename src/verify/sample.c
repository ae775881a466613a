#include "verify/sample.h"

#include "base/memory.h"
#include "verify/plain.h"
#include "results/checksum.h"
#include "results/results_impl.h"
#include <cblas.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Largest difference of a number from the plain one, absolute + relative times its size; none where nothing stands.
 * Distances of both paths are sums of D squares, within (D + 2) 2^-53 relative: 5e-13 at D = 4096. The ID is M over a sum of
 * M ln mu, about 1 / ID each, of ratios of them: within 5e-13 ID, so 1e-9 holds for every ID up to 1000; so too its error and
 * the radius. Cosine means are |sum of n unit vectors|^2 / n^2 in float64, within 2 (n + D) 2^-53: 1e-12 at n = 1024,
 * D = 4096. The deviation is the float32 Gram matrix's, within 1e-6 (geometry/cosine.h). Angles are within 1e-9 degree
 * (geometry/angle.h). Logits: the fast path's squared distances go through a factor of W^T W, whose error D 2^-53 |W^T W|
 * |x_i - x_j|^2 is 1e-7 of them as long as W shortens a difference 500 times at most, against its largest stretch.
 * Overlap and reciprocity are counts over n k. Lists, counts and what the source gives unchanged are equal. */
static const struct {
  double absolute, relative;
} tolerances[TG_N_FIELDS] = {
    [TG_FIELD_GRIDE_VALUE] = {0.0, 1e-9},         [TG_FIELD_GRIDE_ERROR] = {0.0, 1e-9},
    [TG_FIELD_GRIDE_RADIUS] = {0.0, 1e-9},        [TG_FIELD_OVERLAP] = {1e-12, 0.0},
    [TG_FIELD_COSINE_MEAN] = {1e-11, 0.0},        [TG_FIELD_COSINE_STD] = {1e-6, 0.0},
    [TG_FIELD_COSINE_OFFDIAGONAL] = {1e-11, 0.0}, [TG_FIELD_ANGLE_MEAN] = {1e-9, 0.0},
    [TG_FIELD_ANGLE_TOKENS] = {1e-9, 0.0},        [TG_FIELD_RECIPROCITY] = {1e-12, 0.0},
    [TG_FIELD_LOGITS_VALUE] = {0.0, 1e-6},        [TG_FIELD_LOGITS_ERROR] = {0.0, 1e-6},
    [TG_FIELD_LOGITS_RADIUS] = {0.0, 1e-6},
};

/* What checking the clouds of one model needs. */
typedef struct {
  const tg_sample_job *job;
  int m; /* of the layout */
  const tg_results_model *model;
  tg_source *source;
  const tg_source_info *info;
  bool ready;
  tg_row stored, plain;
  int32_t *stored_ids, *plain_ids; /* [n_tokens] */
  float *x;                        /* [n_tokens][ld] */
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
  TG_TRY(tg_plain_measure(&cloud, shape, finite ? s->before : NULL, &s->plain));
  if (l == s->info->n_layers - 1) {
    TG_TRY(need_matrix(s));
    if (s->matrix) TG_TRY(tg_plain_measure_logits(&cloud, shape, s->matrix, &s->plain));
  }
  if (!s->info->has_loss && s->plain.status != TG_STATUS_BAD) {
    s->plain.reason |= TG_REASON_NO_LOSS;
    s->plain.status = TG_STATUS_REASONS;
  }
  return TG_OK;
}

/* ---- comparing ---- */

static bool near(double a, double b, int field) {
  if (isnan(a) || isnan(b)) return isnan(a) && isnan(b);
  return a == b || fabs(a - b) <= tolerances[field].absolute + tolerances[field].relative * fabs(b);
}

static double number(tg_type type, const void *numbers, size_t a) {
  return type == TG_F64 ? ((const double *)numbers)[a] : ((const int32_t *)numbers)[a];
}

static void compare(sampler *s, int64_t cloud, int l, const tg_results_beside *stored, const tg_results_beside *plain) {
  for (int f = 0; f < TG_N_FIELDS; f++) {
    int place;
    const size_t count = tg_checksum_bytes(s->model, f, l, &place) / tg_type_bytes(tg_fields[f].type);
    if (count == 0) continue;
    const void *a = tg_results_numbers(f, &s->stored, stored), *b = tg_results_numbers(f, &s->plain, plain);
    char what[256];
    for (size_t i = 0; i < count; i++) {
      const double x = number(tg_fields[f].type, a, i), y = number(tg_fields[f].type, b, i);
      if (near(x, y, f)) continue;
      snprintf(what, sizeof what, "%s is %.17g at place %zu, measured again %.17g", tg_fields[f].path, x, i, y);
      s->job->fault(s->job->context, s->model, cloud, what);
      break;
    }
  }
}

static tg_status check_cloud(sampler *s, int64_t cloud) {
  const int l = (int)(cloud % s->model->n_layers), level = (int)(cloud / s->model->n_layers % s->model->n_levels);
  const int64_t p = cloud / s->model->n_layers / s->model->n_levels;
  const bool last = l == s->model->n_layers - 1;
  tg_results_beside stored = {NAN, NAN, s->stored_ids}, plain = {NAN, NAN, s->plain_ids};
  tg_row_clear(&s->model->shape, &s->plain);
  TG_TRY(tg_results_read_row(s->job->results, s->m, p, level, l, &s->stored, &stored));
  if (s->info->measured)
    tg_source_read_row(s->source, p, level, l, &s->model->shape, &s->plain);
  else
    TG_TRY(measure(s, p, level, l));
  if (last) {
    tg_source_scalars scalars = {.token_ids = s->plain_ids};
    TG_TRY(tg_source_read_scalars(s->source, p, level, &scalars));
    plain.loss = scalars.loss;
    plain.entropy = scalars.entropy;
  }
  compare(s, cloud, l, &stored, &plain);
  return TG_OK;
}

/* ---- drawing ---- */

static tg_status prepare(sampler *s) {
  const size_t n = (size_t)(s->info->n_tokens > 0 ? s->info->n_tokens : 1);
  if (s->ready) return TG_OK;
  s->ready = true;
  TG_TRY(tg_row_create(&s->model->shape, &s->stored));
  TG_TRY(tg_row_create(&s->model->shape, &s->plain));
  TG_TRY(TG_ALLOC(n, &s->stored_ids));
  TG_TRY(TG_ALLOC(n, &s->plain_ids));
  TG_TRY(TG_ALLOC(n * (size_t)tg_cloud_stride(s->info->width), &s->x));
  TG_TRY(tg_alloc_bytes(tg_source_view_bytes(s->source), 1, &s->view));
  TG_TRY(TG_ALLOC(n * (size_t)tg_plain_stride(&s->model->shape, (int)n + 1), &s->before));
  TG_TRY(tg_alloc_bytes(s->info->cloud_bytes, 1, &s->raw));
  return tg_source_prepare(s->source, 1);
}

static void release(sampler *s) {
  tg_row_free(&s->stored);
  tg_row_free(&s->plain);
  free(s->stored_ids);
  free(s->plain_ids);
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
