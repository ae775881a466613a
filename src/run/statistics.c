#include "run/statistics.h"

#include "base/memory.h"
#include "parallel/comm.h"
#include "reduce/correlation.h"
#include "reduce/moments.h"
#include <math.h>
#include <stdlib.h>

/* What all tasks of a model share. */
typedef struct {
  const tg_statistics_job *job;
  const tg_results_model *m;
  tg_resamples *resamples;
  double *log_length; /* [n_prompts]; NULL where all prompts are equally long */
} reduction;

static tg_status read_level(const reduction *r, int field, int s, double **values) {
  TG_TRY(TG_ALLOC((size_t)r->m->n_prompts * (size_t)tg_results_inner(r->m, field), values));
  return tg_results_read_level(r->job->results, r->job->model, field, s, *values);
}

static void moments_of_level(const double *values, int n_prompts, int64_t inner, double *scratch, double *out) {
  for (int64_t a = 0; a < inner; a++) {
    const tg_moments m = tg_moments_of(values + a, n_prompts, inner, scratch);
    const double numbers[TG_N_MOMENTS] = {m.n, m.mean, m.std, m.median, m.q25, m.q75};
    for (int w = 0; w < TG_N_MOMENTS; w++) out[w * inner + a] = numbers[w];
  }
}

/* Rows of bad input have no counts: what stands there says "none". */
static void drop_missing(int field, double *values, int64_t count) {
  for (int64_t a = 0; tg_fields[field].type == TG_I32 && a < count; a++)
    if (values[a] == tg_fields[field].missing) values[a] = NAN;
}

static tg_status statistics_task(const reduction *r, int field, int s) {
  const int64_t inner = tg_results_inner(r->m, field);
  double *values = NULL, *scratch = NULL, *out = NULL;
  tg_status st = read_level(r, field, s, &values);
  if (st == TG_OK) drop_missing(field, values, r->m->n_prompts * inner);
  if (st == TG_OK) st = TG_ALLOC(r->m->n_prompts, &scratch);
  if (st == TG_OK) st = TG_ALLOC(TG_N_MOMENTS * inner, &out);
  if (st == TG_OK) moments_of_level(values, (int)r->m->n_prompts, inner, scratch, out);
  for (int w = 0; st == TG_OK && w < TG_N_MOMENTS; w++)
    st = r->job->take(r->job->context, true, field, w, s, out + w * inner, inner);
  free(values);
  free(scratch);
  free(out);
  return st;
}

/* The numbers of all series of a group at one level into out [TG_N_R][inner]; x [n_prompts][inner]. */
static tg_status correlate(const reduction *r, const double *x, const double *y, int64_t inner, bool log_x,
                           double *series, double *out) {
  const int n = (int)r->m->n_prompts;
  for (int64_t a = 0; a < inner; a++) {
    tg_correlation c;
    for (int p = 0; p < n; p++) series[p] = log_x ? log(x[p * inner + a]) : x[p * inner + a];
    TG_TRY(tg_correlation_of(series, y, r->log_length, n, r->resamples, &c));
    const double numbers[TG_N_R] = {c.pearson,  c.pearson_p,  c.pearson_low, c.pearson_high, c.pearson_boot_std, NAN,
                                    c.spearman, c.spearman_p, NAN,           c.partial,      c.partial_p,        c.n};
    for (int w = 0; w < TG_N_R; w++) out[w * inner + a] = numbers[w];
  }
  return TG_OK;
}

/* Adjusts over layers 1..L for each scale; a group without layers is a family of its own for each scale. */
static tg_status adjust(const reduction *r, const tg_correlation_field *c, int64_t inner, double *out) {
  const int has_layers = c->n_axes > 0 && c->axes[0] == TG_AXIS_LAYER;
  const int first = has_layers ? 1 : 0, layers = has_layers ? r->m->n_layers - 1 : 1;
  const int64_t stride = has_layers ? inner / r->m->n_layers : inner;
  for (int64_t scale = 0; scale < stride; scale++) {
    const int64_t at = first * stride + scale;
    TG_TRY(tg_adjust_bh(out + TG_R_PEARSON_P * inner + at, layers, stride, out + TG_R_PEARSON_BH * inner + at));
    TG_TRY(tg_adjust_bh(out + TG_R_SPEARMAN_P * inner + at, layers, stride, out + TG_R_SPEARMAN_BH * inner + at));
  }
  return TG_OK;
}

static tg_status correlation_task(const reduction *r, int group, int s) {
  const tg_correlation_field *c = &tg_correlation_fields[group];
  const int64_t inner = tg_results_inner(r->m, c->x_field);
  double *x = NULL, *y = NULL, *series = NULL, *out = NULL;
  tg_status st = read_level(r, c->x_field, s, &x);
  if (st == TG_OK) st = read_level(r, c->y_field, s, &y);
  if (st == TG_OK) st = TG_ALLOC(r->m->n_prompts, &series);
  if (st == TG_OK) st = TG_ALLOC(TG_N_R * inner, &out);
  if (st == TG_OK) st = correlate(r, x, y, inner, c->log_x, series, out);
  if (st == TG_OK) st = adjust(r, c, inner, out);
  for (int w = 0; st == TG_OK && w < TG_N_R; w++)
    st = r->job->take(r->job->context, false, group, w, s, out + w * inner, inner);
  free(x);
  free(y);
  free(series);
  free(out);
  return st;
}

static tg_status prepare(reduction *r) {
  const int32_t *n = r->job->n_tokens_of;
  TG_TRY(tg_resamples_create(r->job->bootstrap, (int)r->m->n_prompts, r->job->seed, &r->resamples));
  bool equal = true;
  for (int64_t p = 1; n && p < r->m->n_prompts; p++) equal = equal && n[p] == n[0];
  if (equal) return TG_OK;
  TG_TRY(TG_ALLOC(r->m->n_prompts, &r->log_length));
  for (int64_t p = 0; p < r->m->n_prompts; p++) r->log_length[p] = log(n[p]);
  return TG_OK;
}

/* Makes one (dataset, level) of statistics/ or correlations/. */
typedef tg_status (*task)(const void *context, bool moments, int what, int s);

/* Every `ranks`-th task of a model from `rank` on, the longer ones first. */
static tg_status do_share(const tg_results_model *m, int rank, int ranks, task call, const void *context) {
  int number = 0;
  for (int s = 0; s < m->n_levels; s++) {
    for (int c = 0; c < TG_N_CORRELATIONS; c++)
      if (tg_results_has_correlation(m, c) && number++ % ranks == rank) TG_TRY(call(context, false, c, s));
    for (int f = 0; f < TG_N_FIELDS; f++)
      if (tg_fields[f].statistics && tg_results_has_field(m, f) && number++ % ranks == rank)
        TG_TRY(call(context, true, f, s));
  }
  return TG_OK;
}

static tg_status compute_task(const void *context, bool moments, int what, int s) {
  return moments ? statistics_task(context, what, s) : correlation_task(context, what, s);
}

tg_status tg_statistics_compute(const tg_statistics_job *job, int rank, int ranks) {
  reduction r = {job, job->m, NULL, NULL};
  tg_status st = prepare(&r);
  if (st == TG_OK) st = do_share(r.m, rank, ranks, compute_task, &r);
  tg_resamples_destroy(&r.resamples);
  free(r.log_length);
  return st;
}

/* A tg_statistics_take into the file; context: the job. */
static tg_status write_numbers(void *context, bool moments, int what, int which, int s, const double *values,
                               int64_t count) {
  const tg_statistics_job *job = context;
  (void)count;
  return moments ? tg_results_write_moment(job->results, job->model, what, which, s, values)
                 : tg_results_write_correlation(job->results, job->model, what, which, s, values);
}

tg_status tg_statistics_run(MPI_Comm comm, const tg_study *study, int model, tg_results *results) {
  const tg_source_info *info = tg_source_describe(study->sources[model]);
  tg_statistics_job job = {results,
                           model,
                           &study->models[model],
                           info->n_tokens_of,
                           study->config->bootstrap,
                           study->config->statistics_seed,
                           write_numbers,
                           &job};
  int rank, ranks;
  MPI_Comm_rank(comm, &rank);
  MPI_Comm_size(comm, &ranks);
  return tg_comm_agree(comm, tg_statistics_compute(&job, rank, ranks));
}

/* As a new file has it: the number that counts 0, the others NaN. context: a tg_statistics_job. */
static tg_status clear_task(const void *context, bool moments, int what, int s) {
  const tg_statistics_job *job = context;
  const int64_t inner = tg_results_inner(job->m, moments ? what : tg_correlation_fields[what].x_field);
  double *values = NULL;
  tg_status st = TG_ALLOC(inner, &values);
  for (int w = 0; st == TG_OK && w < (moments ? (int)TG_N_MOMENTS : (int)TG_N_R); w++) {
    for (int64_t a = 0; a < inner; a++) values[a] = w == (moments ? 0 : (int)TG_R_N) ? 0.0 : NAN;
    st = write_numbers((void *)job, moments, what, w, s, values, inner);
  }
  free(values);
  return st;
}

tg_status tg_statistics_clear(MPI_Comm comm, const tg_study *study, int model, tg_results *results) {
  const tg_statistics_job job = {.results = results, .model = model, .m = &study->models[model]};
  int rank, ranks;
  MPI_Comm_rank(comm, &rank);
  MPI_Comm_size(comm, &ranks);
  return tg_comm_agree(comm, do_share(job.m, rank, ranks, clear_task, &job));
}
