#include "run/extract.h"

#include "base/memory.h"
#include "base/timer.h"
#include "run/logit_metric.h"
#include "parallel/comm.h"
#include "parallel/handout.h"
#include "run/prepare.h"
#include "run/progress.h"
#include "run/share.h"
#include "results/lock.h"
#include "run/signals.h"
#include "source/reader.h"
#include "run/states_file.h"
#include "study/provenance.h"
#include "study/study.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

typedef struct {
  const tg_extract_options *options;
  MPI_Comm comm;
  int rank, ranks;
  tg_config *config;
  tg_study study;
  tg_shared_prompts shared;
  tg_source *source;
  const tg_source_info *info;
  tg_lock lock;
  char *out, *part, *origin; /* out: where its name leads */
  double *metric;            /* rank 0 */
  tg_states_layout layout;
  tg_states_file *file;
  uint64_t *marks; /* [n_prompts][n_levels], of an earlier extraction; 0: not there */
  int64_t *places; /* [n]: what is left, p * n_levels + s */
  int64_t n, unreported;
  tg_handout *handout;
  tg_progress progress;
} extraction;

/* ---- making ready ---- */

static tg_status read_config(extraction *x) {
  const tg_extract_options *o = x->options;
  TG_TRY(tg_config_read(o->config, o->overrides, o->n_overrides, &x->config));
  TG_CHECK(x->config->n_models == 1, TG_ECONFIG, "%s: extract writes one model to a file, the config has %d", o->config,
           x->config->n_models);
  return TG_OK;
}

static tg_status look_at_source(extraction *x) {
  const tg_extract_options *o = x->options;
  x->source = x->study.sources[0];
  x->info = tg_source_describe(x->source);
  TG_CHECK(!x->info->measured, TG_ECONFIG, "%s: models[0].source: published summaries hold no hidden states to extract",
           o->config);
  const int length =
      asprintf(&x->origin, "program: %s\nengine: %s\nelement: %s\nwidth: %d\nprompts: %" PRId64 "\nlevels: %d\n%s%s",
               tg_provenance_version(), tg_provenance_engine(&x->study), o->float32 ? "float32" : "bfloat16",
               x->info->width, x->info->n_prompts, x->info->n_levels, x->config->resolved_values, x->study.inputs);
  x->out = tg_config_follow_links(o->out);
  TG_CHECK(length >= 0 && asprintf(&x->part, "%s.part", x->out) >= 0, TG_EINTERNAL, "no memory");
  return TG_OK;
}

static tg_status check_output(extraction *x) {
  struct stat at;
  char what[80];
  TG_CHECK(!tg_config_destroys_input(x->config, x->out, what, sizeof what), TG_ECONFIG, "--out %s is %s", x->out, what);
  TG_TRY(tg_study_check_directory(x->out));
  TG_TRY(tg_lock_take(x->out, &x->lock));
  TG_CHECK(stat(x->out, &at) != 0 || x->options->force, TG_EIO, "%s: exists; --force replaces it", x->out);
  return TG_OK;
}

/* Rank 0: a new FILE.part, unless there is one to go on with. */
static tg_status make_part(extraction *x) {
  bool there;
  TG_TRY(tg_states_check(&x->layout, &there));
  return there ? TG_OK : tg_states_create(&x->layout);
}

/* Collective. What an earlier extraction has marked; rank 0 reads. */
static tg_status share_marks(extraction *x, int64_t all) {
  tg_status st = TG_ALLOC(all, &x->marks);
  if (st == TG_OK) st = TG_ALLOC(all, &x->places);
  if (st == TG_OK && x->rank == 0) st = tg_states_read_marks(x->file, x->marks);
  TG_TRY(tg_comm_agree(x->comm, st));
  for (int64_t p = 0; p < x->info->n_prompts; p++)
    MPI_Bcast(x->marks + p * x->info->n_levels, x->info->n_levels, MPI_UINT64_T, 0, x->comm);
  return TG_OK;
}

/* Takes a mark back when what is there is not what was written: in the file, then in `marks`. */
static tg_status check_place(extraction *x, int64_t place) {
  const int64_t p = place / x->info->n_levels;
  const int s = (int)(place % x->info->n_levels);
  bool good;
  TG_TRY(tg_states_check_marked(x->file, p, s, x->marks[place], &good));
  if (good) return TG_OK;
  TG_TRY(tg_states_forget(x->file, p, s));
  x->marks[place] = 0;
  return TG_OK;
}

/* Collective. Every rank checks its share of what is marked, then all know what is left; a signal ends that. */
static tg_status check_marks(extraction *x, int64_t all, int *stopped) {
  tg_status st = TG_OK;
  for (int64_t a = x->rank; st == TG_OK && a < all && !*stopped; a += x->ranks) {
    *stopped = tg_stop_asked();
    if (x->marks[a] && !*stopped) st = check_place(x, a);
  }
  MPI_Allreduce(MPI_IN_PLACE, stopped, 1, MPI_INT, MPI_MAX, x->comm);
  st = tg_comm_agree(x->comm, st);
  for (int64_t p = 0; st == TG_OK && p < x->info->n_prompts;
       p++) /* 0 where somebody took it back; the same mark else */
    MPI_Allreduce(MPI_IN_PLACE, x->marks + p * x->info->n_levels, x->info->n_levels, MPI_UINT64_T, MPI_BAND, x->comm);
  return st;
}

static int64_t count_marks(const extraction *x, int64_t all) {
  int64_t n = 0;
  for (int64_t a = 0; a < all; a++) n += x->marks[a] != 0;
  return n;
}

/* Collective. What is left to do. */
static tg_status list_places(extraction *x, int *stopped) {
  const int64_t all = x->info->n_prompts * x->info->n_levels;
  const double start = tg_seconds();
  TG_TRY(share_marks(x, all));
  const int64_t before = count_marks(x, all);
  if (before > 0) TG_TRY(check_marks(x, all, stopped));
  const int64_t now = count_marks(x, all);
  if (x->rank == 0 && before > 0 && !*stopped)
    fprintf(stderr,
            "%s: %" PRId64 " prompts and levels reused, %" PRId64
            " written again because their checksum did not match, %" PRId64 " to write (checked in %.1f s)\n",
            x->part, now, before - now, all - before, tg_seconds() - start);
  for (int64_t a = 0; a < all; a++)
    if (!x->marks[a]) x->places[x->n++] = a;
  return TG_OK;
}

/* ---- working ---- */

static void tick(void *context) {
  extraction *x = context;
  if (tg_stop_asked()) tg_handout_stop(x->handout);
  if (x->rank != 0) return;
  tg_handout_poll(x->handout);
  tg_progress_show(&x->progress, tg_handout_done(x->handout) + x->unreported);
}

/* All layers of one prompt and level. */
static tg_status extract_prompt(extraction *x, tg_reader *reader, int64_t place, tg_source_scalars *scalars) {
  const int64_t p = place / x->info->n_levels;
  const int s = (int)(place % x->info->n_levels);
  for (int l = 0; l < x->info->n_layers; l++) {
    tg_cloud cloud;
    tg_reader_start(reader, p, s, l);
    TG_TRY(tg_reader_wait(reader, (tg_tick){tick, x}, &cloud));
    TG_TRY(tg_states_write_cloud(x->file, p, s, l, &cloud));
    x->unreported++;
  }
  TG_TRY(tg_source_read_scalars(x->source, p, s, scalars));
  return tg_states_write_scalars(x->file, p, s, scalars);
}

static tg_status work(extraction *x, tg_reader *reader, tg_source_scalars *scalars) {
  for (;;) {
    tick(x);
    const int64_t ticket = tg_handout_next(x->handout, x->unreported);
    x->unreported = 0;
    if (ticket < 0) return TG_OK;
    TG_TRY(extract_prompt(x, reader, x->places[ticket], scalars));
  }
}

/* Collective. A failing read or write ends all ranks with MPI_Abort: what is marked as done stays. */
static tg_status extract_all(extraction *x, int *stopped) {
  const size_t n = (size_t)x->info->n_tokens;
  tg_source_scalars scalars = {0};
  tg_reader *reader = NULL;
  tg_status st = tg_reader_create(x->source, &reader);
  if (st == TG_OK) st = TG_ALLOC(n, &scalars.token_ids);
  if (st == TG_OK) st = TG_ALLOC(n, &scalars.token_loss);
  if (st == TG_OK) st = TG_ALLOC(n, &scalars.token_entropy);
  st = tg_comm_agree(x->comm, st);
  if (st == TG_OK) st = tg_handout_create(x->comm, x->n, &x->handout);
  if (st == TG_OK) {
    const int64_t all = x->info->n_prompts * x->info->n_levels;
    if (x->rank == 0) tg_progress_start(&x->progress, all * x->info->n_layers, (all - x->n) * x->info->n_layers);
    const tg_status worked = work(x, reader, &scalars);
    if (worked != TG_OK) tg_comm_abort(worked);
    tg_handout_finish(x->handout, x->unreported, (tg_tick){tick, x});
    *stopped = x->rank == 0 && tg_handout_given(x->handout) < x->n;
    if (x->rank == 0) tg_progress_end(&x->progress, tg_handout_done(x->handout));
    MPI_Bcast(stopped, 1, MPI_INT, 0, x->comm);
    tg_signals_release();
  }
  tg_handout_destroy(&x->handout);
  tg_reader_destroy(&reader);
  free(scalars.token_ids);
  free(scalars.token_loss);
  free(scalars.token_entropy);
  return st;
}

/* ---- the whole ---- */

static tg_status execute(extraction *x, int *stopped) {
  TG_TRY(tg_comm_agree(x->comm, tg_comm_same(x->comm, x->origin, strlen(x->origin), "the extraction")));
  TG_TRY(tg_comm_agree(x->comm, x->rank == 0 ? check_output(x) : TG_OK));
  TG_TRY(tg_prepare_sources(x->comm, &x->study));
  TG_TRY(tg_logit_metric_matrix(x->comm, x->source, &x->metric));
  x->layout = (tg_states_layout){x->part, x->info, !x->options->float32, x->metric, x->origin};
  TG_TRY(tg_comm_agree(x->comm, x->rank == 0 ? make_part(x) : TG_OK));
  TG_TRY(tg_states_open(x->comm, &x->layout, &x->file));
  tg_status st = list_places(x, stopped);
  if (st == TG_OK && !*stopped) st = extract_all(x, stopped);
  if (st == TG_OK) st = tg_comm_agree(x->comm, x->rank == 0 ? tg_study_check_inputs(&x->study) : TG_OK);
  const tg_status closed = tg_states_close(&x->file, st == TG_OK && !*stopped ? x->out : NULL);
  return st == TG_OK ? closed : st;
}

static void release(extraction *x) {
  tg_lock_release(&x->lock);
  tg_study_close(&x->study);
  tg_shared_free(&x->shared);
  tg_config_destroy(&x->config);
  free(x->metric);
  free(x->out);
  free(x->part);
  free(x->origin);
  free(x->marks);
  free(x->places);
}

tg_status tg_extract_run(const tg_extract_options *options) {
  extraction x = {.options = options, .comm = MPI_COMM_WORLD, .lock = {NULL, -1}};
  const double started = tg_seconds();
  int stopped = 0;
  MPI_Comm_rank(x.comm, &x.rank);
  MPI_Comm_size(x.comm, &x.ranks);
  tg_status st = tg_comm_agree(x.comm, read_config(&x));
  if (st == TG_OK) st = tg_shared_open(x.comm, x.config, &x.study, &x.shared);
  if (st == TG_OK) st = tg_comm_agree(x.comm, look_at_source(&x));
  if (st == TG_OK) st = execute(&x, &stopped);
  if (st == TG_OK && x.rank == 0) {
    if (stopped)
      fprintf(stderr, "stopped early; the same command goes on from %s\n", x.part);
    else
      printf("hidden states: %s (%.2f GB, %.1f s)\n", x.out, tg_states_bytes(&x.layout) / 1e9, tg_seconds() - started);
  }
  release(&x);
  return st == TG_OK && stopped ? TG_ESTOPPED : st;
}
