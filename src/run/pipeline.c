#include "run/pipeline.h"

#include "base/memory.h"
#include "base/timer.h"
#include "run/logit_metric.h"
#include "parallel/comm.h"
#include "run/prepare.h"
#include "run/resume.h"
#include "run/share.h"
#include "study/inputs.h"
#include "study/provenance.h"
#include "results/lock.h"
#include "run/statistics.h"
#include "run/summary.h"
#include "run/worker.h"
#include <cblas.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* Everything a run owns on one rank. */
typedef struct {
  const tg_run_options *options;
  MPI_Comm comm;
  int rank, ranks;
  tg_config *config;
  tg_study study;
  tg_shared_prompts shared;
  tg_lock lock;
  bool resume; /* there is a file to go on with */
  tg_provenance_list provenance;
  tg_results_layout layout;
  tg_results *results;
  int32_t **status; /* [n_models], of an earlier run */
  tg_shard_stack *stacks;
  int64_t n_stacks, clouds_before;
  tg_shard_plan plan;
  tg_metric **metrics; /* [n_models] */
  double started;
} run;

/* ---- making ready ---- */

static tg_status read_config(run *r) {
  TG_TRY(tg_config_read(r->options->config, r->options->overrides, r->options->n_overrides, &r->config));
  openblas_set_num_threads(r->config->blas_threads);
  return TG_OK;
}

/* Collective. One kernel for all: the slowest of the ranks' best. */
static void agree_on_kernel(run *r) {
  int kernel = (int)r->study.kernel;
  MPI_Allreduce(MPI_IN_PLACE, &kernel, 1, MPI_INT, MPI_MIN, r->comm);
  r->study.kernel = (tg_kernel)kernel;
}

/* Rank 0: what the output allows. */
static tg_status check_output(run *r) {
  const char *output = r->config->output;
  struct stat at;
  TG_TRY(tg_study_check_directory(output));
  TG_TRY(tg_lock_take(output, &r->lock)); /* what is there is looked at when nobody else can change it */
  const bool there = stat(output, &at) == 0;
  TG_CHECK(!there || S_ISREG(at.st_mode), TG_EIO, "%s: exists and is no file", output);
  TG_CHECK(!there || r->options->resume || r->options->force, TG_EIO,
           "%s: exists; --resume goes on with it, --force replaces it", output);
  r->resume = there && r->options->resume;
  if (!r->resume) return TG_OK;
  TG_TRY(tg_resume_check(&r->study));
  return tg_results_has_checksums(output, &r->layout);
}

/* Rank 0: a new file, unless there is an old one to go on with. */
static tg_status make_output(run *r) {
  if (r->resume) return TG_OK;
  TG_TRY(tg_provenance_collect(&r->study, r->ranks, &r->provenance));
  r->layout.provenance = r->provenance.items;
  r->layout.n_provenance = r->provenance.n;
  return tg_results_create(r->config->output, &r->layout);
}

static void count_done(run *r) {
  r->clouds_before = 0;
  for (int m = 0; m < r->study.n_models; m++) {
    const tg_results_model *model = &r->study.models[m];
    const int64_t n = model->n_prompts * model->n_levels * model->n_layers;
    for (int64_t a = 0; a < n; a++) r->clouds_before += r->status[m][a] > TG_STATUS_TODO;
  }
}

/* Collective. What an earlier run finished; rank 0 reads. */
static tg_status share_status(run *r) {
  tg_status st = TG_ALLOC(r->study.n_models, &r->status);
  for (int m = 0; st == TG_OK && m < r->study.n_models; m++) {
    const tg_results_model *model = &r->study.models[m];
    st = TG_ALLOC((size_t)(model->n_prompts * model->n_levels) * (size_t)model->n_layers, &r->status[m]);
    if (st == TG_OK && r->rank == 0) st = tg_results_read_clouds(r->results, m, TG_FIELD_STATUS, r->status[m]);
  }
  st = tg_comm_agree(r->comm, st);
  for (int m = 0; st == TG_OK && m < r->study.n_models; m++) {
    const tg_results_model *model = &r->study.models[m];
    const int64_t row = (int64_t)model->n_levels * model->n_layers;
    for (int64_t p = 0; p < model->n_prompts; p++) MPI_Bcast(r->status[m] + p * row, (int)row, MPI_INT32_T, 0, r->comm);
  }
  return st;
}

enum { NOT_AS_WRITTEN = -1 }; /* a status: done, but its checksum does not match */

/* Collective. Every rank checks its share of a model's prompts, then all know what is not as it was written. */
static tg_status check_model(run *r, int m) {
  const tg_results_model *model = &r->study.models[m];
  const int row = model->n_levels * model->n_layers;
  bool *good = NULL;
  tg_status st = TG_ALLOC(row, &good);
  for (int64_t p = r->rank; st == TG_OK && p < model->n_prompts; p += r->ranks) {
    st = tg_results_check_prompt(r->results, m, p, good);
    for (int a = 0; st == TG_OK && a < row; a++)
      if (!good[a]) r->status[m][p * row + a] = NOT_AS_WRITTEN;
  }
  free(good);
  st = tg_comm_agree(r->comm, st);
  for (int64_t p = 0; st == TG_OK && p < model->n_prompts; p++)
    MPI_Allreduce(MPI_IN_PLACE, r->status[m] + p * row, row, MPI_INT32_T, MPI_MIN, r->comm);
  return st;
}

/* Takes back what is not as it was written: each rank its share in the file, and all of it in `status`. */
static tg_status take_back(run *r, int m) {
  const tg_results_model *model = &r->study.models[m];
  const int row = model->n_levels * model->n_layers;
  for (int64_t a = 0; a < model->n_prompts * row; a++) {
    const int64_t p = a / row;
    if (r->status[m][a] != NOT_AS_WRITTEN) continue;
    if (p % r->ranks == r->rank)
      TG_TRY(tg_results_forget_cloud(r->results, m, p, (int)(a % row / model->n_layers), (int)(a % model->n_layers)));
    r->status[m][a] = TG_STATUS_TODO;
  }
  return TG_OK;
}

/* Collective. There is something to measure: what an earlier run said of the whole file is no longer so, and that is on the
 * disk before any cloud is touched. */
static tg_status begin_again(run *r) {
  tg_status st = TG_OK;
  TG_TRY(tg_comm_agree(r->comm, r->rank == 0 ? tg_results_write_end(r->results, false, TG_NOT_ENDED) : TG_OK));
  TG_TRY(tg_results_flush(r->results));
  for (int m = 0; m < r->study.n_models; m++) TG_TRY(tg_statistics_clear(r->comm, &r->study, m, r->results));
  for (int m = 0; st == TG_OK && m < r->study.n_models; m++) st = take_back(r, m);
  return tg_comm_agree(r->comm, st);
}

/* Collective. What is done already, and still is what was written. */
static tg_status take_over(run *r) {
  const double start = tg_seconds();
  TG_TRY(share_status(r));
  count_done(r);
  if (!r->resume) return TG_OK;
  TG_TRY(tg_comm_agree(r->comm, r->rank == 0 ? tg_resume_note(&r->study, r->ranks, r->results) : TG_OK));
  const int64_t before = r->clouds_before, all = tg_study_clouds(&r->study);
  for (int m = 0; m < r->study.n_models; m++) TG_TRY(check_model(r, m));
  count_done(r);
  if (r->rank == 0)
    fprintf(stderr,
            "resume: %" PRId64 " clouds reused, %" PRId64
            " computed again because their checksum did not match, %" PRId64 " to compute (checked in %.1f s)\n",
            r->clouds_before, before - r->clouds_before, all - before, tg_seconds() - start);
  return r->clouds_before < all ? begin_again(r) : TG_OK;
}

static tg_status make_plan(run *r, int ranks) {
  TG_TRY(tg_study_stacks(&r->study, r->status, &r->stacks, &r->n_stacks));
  return tg_shard_cut(r->stacks, r->n_stacks, ranks, 0.8, &r->plan); /* lists are most of a layer's work */
}

/* ---- the run ---- */

static tg_status make_metrics(run *r) {
  TG_TRY(tg_comm_agree(r->comm, TG_ALLOC(r->study.n_models, &r->metrics)));
  for (int m = 0; m < r->study.n_models; m++)
    TG_TRY(tg_logit_metric_create(r->comm, r->study.sources[m], &r->metrics[m]));
  return TG_OK;
}

static tg_status measure(run *r, int *stopped) {
  tg_worker_report report;
  const double start = tg_seconds();
  const tg_worker_job job = {
      r->comm, &r->study, &r->plan, r->metrics, r->results, r->clouds_before, 3600.0 * r->options->max_hours};
  if (r->rank == 0)
    fprintf(stderr, "%" PRId64 " clouds, %" PRId64 " done before; %" PRId64 " shards on %d ranks\n",
            tg_study_clouds(&r->study), r->clouds_before, r->plan.n, r->ranks);
  TG_TRY(tg_worker_run(&job, &report, stopped));
  tg_summary_ranks(r->comm, &report, tg_seconds() - start);
  return tg_results_flush(r->results);
}

static tg_status statistics(run *r, int stopped) {
  if (stopped && !r->options->partial_statistics) return TG_OK;
  const double start = tg_seconds();
  for (int m = 0; m < r->study.n_models; m++) TG_TRY(tg_statistics_run(r->comm, &r->study, m, r->results));
  TG_TRY(tg_results_flush(r->results));
  if (r->rank == 0) fprintf(stderr, "statistics and correlations in %.1f s\n", tg_seconds() - start);
  return TG_OK;
}

static tg_status end(run *r, int stopped) {
  char now[TG_END_TIME_ROOM];
  tg_provenance_time(now);
  TG_TRY(tg_comm_agree(r->comm, r->rank == 0 ? tg_results_write_end(r->results, !stopped, now) : TG_OK));
  const tg_status st = tg_results_flush(r->results);
  if (st != TG_OK && r->rank == 0) tg_results_write_end(r->results, false, now); /* perhaps not on the disk */
  return st;
}

enum { N_STATUS = 4, N_REASONS = 13 };

/* Clouds of all models by status and by bit of reason. */
static tg_status count_clouds(run *r, int64_t by_status[N_STATUS], int64_t by_reason[N_REASONS]) {
  for (int m = 0; m < r->study.n_models; m++) {
    const tg_results_model *model = &r->study.models[m];
    const int64_t n = model->n_prompts * model->n_levels * model->n_layers;
    TG_TRY(tg_results_read_clouds(r->results, m, TG_FIELD_STATUS, r->status[m]));
    for (int64_t a = 0; a < n; a++) by_status[r->status[m][a] & (N_STATUS - 1)]++;
    TG_TRY(tg_results_read_clouds(r->results, m, TG_FIELD_REASON, r->status[m]));
    for (int64_t a = 0; a < n; a++)
      for (int bit = 0; bit < N_REASONS; bit++) by_reason[bit] += r->status[m][a] >> bit & 1;
  }
  return TG_OK;
}

static void print_warnings(const int64_t by_status[N_STATUS], const int64_t by_reason[N_REASONS]) {
  static const char *const texts[N_REASONS] = {"a scale larger than the number of distinct tokens allows",
                                               "no root of GRIDE's condition",
                                               "k larger than the number of other tokens",
                                               "tokens without an angle",
                                               "zero vectors",
                                               "NaN or Inf in the input",
                                               "no loss, or one that is not finite",
                                               "a number missing from the published summaries",
                                               [12] = "logit distances too small beside the logits"};
  if (by_status[TG_STATUS_BAD] > 0)
    fprintf(stderr,
            "tokengeom: warning: %" PRId64 " clouds hold NaN or Inf in the input and were left out (status 3)\n",
            by_status[TG_STATUS_BAD]);
  if (by_status[TG_STATUS_REASONS] > 0)
    fprintf(stderr,
            "tokengeom: warning: %" PRId64 " clouds have undefined or special numbers (status 2), see 'reason':\n",
            by_status[TG_STATUS_REASONS]);
  for (int bit = 0; bit < N_REASONS; bit++)
    if (by_reason[bit] > 0 && texts[bit] && 1 << bit != TG_REASON_NOT_FINITE)
      fprintf(stderr, "  %3d: %" PRId64 " clouds, %s\n", 1 << bit, by_reason[bit], texts[bit]);
}

/* Rank 0: says what came out. */
static tg_status conclude(run *r, int stopped) {
  int64_t by_status[N_STATUS] = {0}, by_reason[N_REASONS] = {0};
  TG_TRY(count_clouds(r, by_status, by_reason));
  print_warnings(by_status, by_reason);
  if (stopped)
    fprintf(stderr, "stopped early: %" PRId64 " clouds are left; --resume goes on\n", by_status[TG_STATUS_TODO]);
  TG_CHECK(stopped || by_status[TG_STATUS_DONE] + by_status[TG_STATUS_REASONS] > 0, TG_EDATA,
           "not one cloud could be measured: all %" PRId64 " hold NaN or Inf", by_status[TG_STATUS_BAD]);
  return stopped ? TG_ESTOPPED : TG_OK;
}

/* Collective. Everything but cosine deviations and logits is the same whatever BLAS does; those want one kernel. */
static void warn_of_kernels(const run *r) {
  const char *kernel = tg_provenance_kernel(r->study.kernel);
  if (tg_comm_same(r->comm, kernel, strlen(kernel), "the BLAS kernel") != TG_OK && r->rank == 0)
    fprintf(
        stderr,
        "tokengeom: warning: the ranks' CPUs make OpenBLAS use different kernels; cosine_similarity/std and logits may "
        "differ in their last digits from another run, unless OPENBLAS_CORETYPE is set\n");
}

static tg_status execute(run *r, int *stopped) {
  warn_of_kernels(r);
  TG_TRY(tg_comm_agree(r->comm, r->rank == 0 ? check_output(r) : TG_OK));
  MPI_Bcast(&r->resume, 1, MPI_C_BOOL, 0, r->comm);
  if (r->resume) TG_TRY(tg_resume_kernel(r->comm, &r->study));
  TG_TRY(tg_prepare_sources(r->comm, &r->study)); /* may find bad input, so before anything is made */
  TG_TRY(make_metrics(r));
  TG_TRY(tg_comm_agree(r->comm, r->rank == 0 ? make_output(r) : TG_OK));
  TG_TRY(tg_results_open(r->comm, r->config->output, &r->layout, &r->results));
  TG_TRY(take_over(r));
  TG_TRY(tg_comm_agree(r->comm, make_plan(r, r->ranks)));
  TG_TRY(measure(r, stopped));
  TG_TRY(tg_comm_agree(r->comm, r->rank == 0 ? tg_study_check_inputs(&r->study) : TG_OK));
  TG_TRY(statistics(r, *stopped));
  return end(r, *stopped);
}

static tg_status plan_only(run *r, double program_bytes) {
  const int ranks = r->options->ranks > 0 ? r->options->ranks : r->ranks;
  TG_TRY(tg_study_check_directory(r->config->output));
  TG_TRY(make_plan(r, ranks));
  for (int m = 0; m < r->study.n_models; m++) {
    TG_TRY(tg_source_convert(r->study.sources[m]));
    TG_TRY(tg_source_prepare(r->study.sources[m], 0, 1));
  }
  tg_inputs_print_engine_warnings(stderr, "tokengeom: warning: ");
  return tg_summary_plan(&r->study, &r->plan, ranks, program_bytes, r->options->json);
}

static void release(run *r) {
  for (int m = 0; m < r->study.n_models; m++) {
    if (r->status) free(r->status[m]);
    if (r->metrics) tg_metric_destroy(&r->metrics[m]);
  }
  free(r->status);
  free(r->metrics);
  free(r->stacks);
  tg_shard_plan_free(&r->plan);
  tg_provenance_free(&r->provenance);
  tg_lock_release(&r->lock);
  tg_study_close(&r->study);
  tg_shared_free(&r->shared);
  tg_config_destroy(&r->config);
}

/* The end of a run that got as far as having a result file open. Every failure is agreed on before the file is closed. */
static tg_status finish(run *r, tg_status st, int stopped) {
  tg_status verdict = TG_OK;
  if (st == TG_OK && r->rank == 0) {
    verdict = conclude(r, stopped);
    if (verdict != TG_OK && verdict != TG_ESTOPPED) fprintf(stderr, "tokengeom: %s\n", tg_last_error());
  }
  int code = (int)verdict;
  MPI_Bcast(&code, 1, MPI_INT, 0, r->comm);
  const tg_status closed = tg_results_close(&r->results);
  if (st == TG_OK) st = closed;
  if (st == TG_OK) st = (tg_status)code;
  if (r->rank == 0 && (st == TG_OK || st == TG_ESTOPPED)) {
    const tg_status shown = st == TG_OK ? tg_summary_results(r->config->output) : TG_OK;
    if (shown != TG_OK) {
      fprintf(stderr, "tokengeom: %s\n", tg_last_error());
      return shown;
    }
    printf("\nresults: %s (%.1f s)\n", r->config->output, tg_seconds() - r->started);
  }
  return st;
}

tg_status tg_pipeline_run(const tg_run_options *options) {
  run r = {.options = options, .comm = MPI_COMM_WORLD, .lock = {NULL, -1}, .started = tg_seconds()};
  const double program_bytes = tg_resident_bytes();
  int stopped = 0;
  MPI_Comm_rank(r.comm, &r.rank);
  MPI_Comm_size(r.comm, &r.ranks);
  tg_status st = tg_comm_agree(r.comm, read_config(&r));
  if (st == TG_OK) st = tg_shared_open(r.comm, r.config, &r.study, &r.shared);
  if (st == TG_OK) agree_on_kernel(&r);
  if (st == TG_OK && options->dry_run) {
    st = tg_comm_agree(r.comm, r.rank == 0 ? plan_only(&r, program_bytes) : TG_OK);
  } else if (st == TG_OK) {
    r.layout = (tg_results_layout){r.study.models, r.study.n_models, NULL, 0};
    st = execute(&r, &stopped);
    if (r.results) st = finish(&r, st, stopped);
  }
  release(&r);
  return st;
}
