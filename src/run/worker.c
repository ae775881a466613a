#include "run/worker.h"

#include "base/memory.h"
#include "base/timer.h"
#include "parallel/comm.h"
#include "parallel/handout.h"
#include "run/progress.h"
#include "run/signals.h"
#include "source/reader.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

/* One rank's state. */
typedef struct {
  const tg_worker_job *job;
  int rank;
  tg_handout *handout;
  tg_reader **readers;     /* [n_models], made on first use */
  tg_measurer **measurers; /* [n_models] */
  tg_row *rows;            /* [most layers of a shard] of row_model's shape */
  int n_rows, row_model;
  int64_t under_way;  /* the shard whose first layer is being read, -1: none */
  int64_t unreported; /* clouds done since the last request for a shard */
  bool begun;         /* a shard, at least */
  double started;
  tg_progress progress;
  tg_worker_report report;
} worker;

/* ---- between units of work ---- */

/* One shard is done however short the time is: runs that are limited again and again get to an end. */
static bool is_out_of_time(const worker *w) {
  return w->begun && w->job->max_seconds > 0.0 && tg_seconds() - w->started > w->job->max_seconds;
}

static void tick(void *context) {
  worker *w = context;
  if (tg_stop_asked() || is_out_of_time(w)) tg_handout_stop(w->handout);
  if (w->rank != 0) return;
  tg_handout_poll(w->handout);
  tg_progress_show(&w->progress, tg_handout_done(w->handout) + w->unreported);
}

static int64_t next_ticket(worker *w) {
  double last = tg_seconds();
  tick(w);
  const int64_t ticket = tg_handout_next(w->handout, w->unreported);
  w->unreported = 0;
  tg_lap(&last, &w->report.idle);
  return ticket;
}

/* A shard that was taken ahead, unless a stop was asked for meanwhile. */
static int64_t unless_stopped(worker *w, int64_t ticket) {
  tick(w);
  if (ticket < 0 || !tg_handout_stopped(w->handout)) return ticket;
  tg_handout_give_back(w->handout);
  return next_ticket(w);
}

static void start_reading(worker *w, const tg_shard *shard, int l) {
  tg_reader_start(w->readers[shard->model], shard->prompt, shard->level, l);
}

static const tg_source_info *info_of(const worker *w, const tg_shard *shard) {
  return tg_source_describe(w->job->study->sources[shard->model]);
}

/* The layer before a shard's first one belongs to another; some observables want something of it. */
static int first_read(const worker *w, const tg_shard *shard) {
  const bool edge = shard->first > 0 && tg_needs_of(&w->job->study->models[shard->model].shape) & TG_NEED_BEFORE;
  return edge ? shard->first - 1 : shard->first;
}

/* ---- resources, made when first needed ---- */

static tg_status prepare_model(worker *w, int m) {
  const tg_study *study = w->job->study;
  const tg_source_info *info = tg_source_describe(study->sources[m]);
  if (info->measured) return TG_OK;
  if (!w->readers[m]) TG_TRY(tg_reader_create(study->sources[m], &w->readers[m]));
  if (!w->measurers[m])
    TG_TRY(
        tg_measurer_create(&study->models[m].shape, info->width, study->kernel, (tg_tick){tick, w}, &w->measurers[m]));
  return TG_OK;
}

static void free_rows(worker *w) {
  for (int a = 0; a < w->n_rows; a++) tg_row_free(&w->rows[a]);
  free(w->rows);
  w->rows = NULL;
  w->n_rows = 0;
}

static tg_status prepare_rows(worker *w, int m, int n_rows) {
  if (w->rows && w->row_model == m && n_rows <= w->n_rows) return TG_OK;
  free_rows(w);
  w->row_model = m;
  TG_TRY(TG_ALLOC(n_rows, &w->rows));
  for (; w->n_rows < n_rows; w->n_rows++) TG_TRY(tg_row_create(&w->job->study->models[m].shape, &w->rows[w->n_rows]));
  return TG_OK;
}

/* ---- one shard ---- */

static void count_row(worker *w, const tg_row *row) {
  w->unreported++;
  w->report.clouds++;
  w->report.bad_clouds += *row->status == TG_STATUS_BAD;
  w->report.reason_clouds += *row->status == TG_STATUS_REASONS;
}

static tg_status measure_layer(worker *w, const tg_shard *shard, int l, const tg_cloud *cloud) {
  tg_measurer *measurer = w->measurers[shard->model];
  if (l < shard->first) return tg_measure_edge(measurer, cloud);
  tg_row *row = &w->rows[l - shard->first];
  const tg_metric *metric = l == info_of(w, shard)->n_layers - 1 ? w->job->metrics[shard->model] : NULL;
  return tg_measure_layer(measurer, cloud, metric, row);
}

/* While the last layer of a shard is measured, the first one of the next shard is read. */
static tg_status start_next_shard(worker *w, int64_t *next) {
  if (!tg_handout_ready(w->handout)) return TG_OK;
  *next = next_ticket(w);
  if (*next < 0) return TG_OK;
  const tg_shard *shard = &w->job->plan->shards[*next];
  TG_TRY(prepare_model(w, shard->model));
  if (!info_of(w, shard)->overlap) return TG_OK;
  start_reading(w, shard, first_read(w, shard));
  w->under_way = *next;
  return TG_OK;
}

/* All layers of a shard. */
static tg_status measure_shard(worker *w, const tg_shard *shard, int64_t *next) {
  const bool overlap = info_of(w, shard)->overlap;
  tg_reader *reader = w->readers[shard->model];
  tg_measure_restart(w->measurers[shard->model]);
  for (int l = first_read(w, shard); l < shard->end; l++) {
    tg_cloud cloud;
    TG_TRY(tg_reader_wait(reader, (tg_tick){tick, w}, &cloud));
    if (overlap && l + 1 < shard->end) start_reading(w, shard, l + 1);
    if (overlap && l + 1 == shard->end) TG_TRY(start_next_shard(w, next));
    TG_TRY(measure_layer(w, shard, l, &cloud));
    if (!overlap && l + 1 < shard->end) start_reading(w, shard, l + 1);
  }
  return TG_OK;
}

/* All layers of a shard that others measured. */
static void read_measured(worker *w, const tg_shard *shard) {
  const tg_row_shape *shape = &w->job->study->models[shard->model].shape;
  for (int l = shard->first; l < shard->end; l++) {
    tg_row *row = &w->rows[l - shard->first];
    tg_row_clear(shape, row);
    tg_source_read_row(w->job->study->sources[shard->model], shard->prompt, shard->level, l, shape, row);
  }
}

/* All layers of a shard from their clouds. */
static tg_status read_and_measure(worker *w, const tg_shard *shard, int64_t ticket, int64_t *next) {
  if (w->under_way != ticket) start_reading(w, shard, first_read(w, shard));
  return measure_shard(w, shard, next);
}

/* What a (prompt, level) has once. Rows of one without a loss say so; rows that others measured have said it. */
static tg_status finish_rows(worker *w, const tg_shard *shard) {
  tg_source *source = w->job->study->sources[shard->model];
  tg_row *last = &w->rows[shard->end - shard->first - 1];
  const bool whole = shard->end == info_of(w, shard)->n_layers, measured = info_of(w, shard)->measured;
  bool there = true;
  if (whole) TG_TRY(tg_source_fill_row(source, shard->prompt, shard->level, last));
  if (!measured && whole) there = isfinite(*tg_row_f64(last, TG_FIELD_LOSS));
  if (!measured && !whole) TG_TRY(tg_source_has_loss(source, shard->prompt, shard->level, &there));
  for (tg_row *row = w->rows; row <= last; row++) {
    if (!there) tg_row_no_loss(row);
    count_row(w, row);
  }
  return TG_OK;
}

static tg_status write_shard(worker *w, const tg_shard *shard) {
  double last = tg_seconds();
  TG_TRY(finish_rows(w, shard));
  TG_TRY(tg_results_write_rows(w->job->results, shard->model, shard->prompt, shard->level, shard->first,
                               shard->end - shard->first, w->rows));
  tg_lap(&last, &w->report.writing);
  return TG_OK;
}

static tg_status do_shard(worker *w, int64_t ticket, int64_t *next) {
  const tg_shard *shard = &w->job->plan->shards[ticket];
  double last = tg_seconds(), idle = w->report.idle;
  w->begun = true;
  TG_TRY(prepare_model(w, shard->model));
  TG_TRY(prepare_rows(w, shard->model, shard->end - shard->first));
  if (info_of(w, shard)->measured)
    read_measured(w, shard);
  else
    TG_TRY(read_and_measure(w, shard, ticket, next));
  for (int m = 0; m < w->job->study->n_models; m++) /* HDF5 is for one thread at a time */
    if (w->readers[m]) tg_reader_settle(w->readers[m], (tg_tick){tick, w});
  TG_TRY(write_shard(w, shard));
  w->report.shards++;
  tg_lap(&last, &w->report.busy);
  w->report.busy -= w->report.idle - idle;
  return TG_OK;
}

static tg_status work(worker *w) {
  enum { NOT_ASKED = -2 };
  int64_t ticket = next_ticket(w);
  while (ticket >= 0) {
    int64_t next = NOT_ASKED;
    TG_TRY(do_shard(w, ticket, &next));
    ticket = next == NOT_ASKED ? next_ticket(w) : unless_stopped(w, next);
  }
  return TG_OK;
}

/* ---- the run ---- */

static tg_status create(worker *w) {
  const tg_study *study = w->job->study;
  TG_TRY(TG_ALLOC(study->n_models, &w->readers));
  return TG_ALLOC(study->n_models, &w->measurers);
}

static void collect(worker *w) {
  struct rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  w->report.peak_bytes = 1024.0 * (double)usage.ru_maxrss;
  tg_worker_report *r = &w->report;
  for (int m = 0; m < w->job->study->n_models; m++) {
    if (!w->readers[m]) continue;
    const tg_reader_times times = tg_reader_report(w->readers[m]);
    r->waited += times.waited;
    r->reading += times.reading;
    r->converting += times.converting;
    const tg_source_times passes = tg_source_report(w->job->study->sources[m]);
    r->bytes_read += tg_source_describe(w->job->study->sources[m])->forward ? 0.0 : (double)times.bytes;
    r->forward += passes.forward;
    r->next_token += passes.next_token;
    if (!w->measurers[m]) continue;
    for (int a = 0; a < TG_N_STAGES; a++) r->stages[a] += tg_measurer_seconds(w->measurers[m])[a];
    r->float64_pairs += (double)tg_measurer_float64_pairs(w->measurers[m]);
  }
}

static void destroy(worker *w) {
  for (int m = 0; m < w->job->study->n_models; m++) {
    if (w->readers) tg_reader_destroy(&w->readers[m]);
    if (w->measurers) tg_measurer_destroy(&w->measurers[m]);
  }
  free_rows(w);
  free(w->readers);
  free(w->measurers);
}

tg_status tg_worker_run(const tg_worker_job *job, tg_worker_report *report, int *stopped) {
  worker w = {.job = job, .under_way = -1, .started = tg_seconds()};
  MPI_Comm_rank(job->comm, &w.rank);
  tg_status st = tg_comm_agree(job->comm, create(&w));
  if (st == TG_OK) st = tg_handout_create(job->comm, job->plan->n, &w.handout);
  if (st == TG_OK) {
    if (w.rank == 0) tg_progress_start(&w.progress, tg_study_clouds(job->study), job->clouds_before);
    const tg_status worked = work(&w);
    if (worked != TG_OK) tg_comm_abort(worked);
    tg_handout_finish(w.handout, w.unreported, (tg_tick){tick, &w});
    *stopped = w.rank == 0 && tg_handout_given(w.handout) < job->plan->n;
    if (w.rank == 0) tg_progress_end(&w.progress, tg_handout_done(w.handout));
    MPI_Bcast(stopped, 1, MPI_INT, 0, job->comm);
    tg_signals_release();
    collect(&w);
  }
  tg_handout_destroy(&w.handout);
  *report = w.report;
  destroy(&w);
  return st;
}
