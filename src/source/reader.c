#include "source/reader.h"

#include "base/memory.h"
#include "base/timer.h"
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

typedef enum { IDLE, ASKED, READY, QUIT } phase;

struct tg_reader {
  tg_source *source;
  void *raw[2]; /* the cloud being read, and the one before where that is viewed in place */
  int n_raw, turn;
  void *x; /* of converted clouds */
  int64_t p;
  int s, l;
  phase phase;
  tg_status status;
  char *message; /* of a failed read, from the thread that saw it */
  int has_thread;
  pthread_t thread;
  pthread_mutex_t mutex;
  pthread_cond_t changed;
  tg_reader_times times;
};

static void read_now(tg_reader *r) {
  const double start = tg_seconds();
  r->status = tg_source_read(r->source, r->p, r->s, r->l, r->raw[r->turn]);
  if (r->status != TG_OK) {
    free(r->message);
    r->message = tg_copy_string(tg_last_error());
  }
  r->times.reading += tg_seconds() - start;
}

static void *serve(void *opaque) {
  tg_reader *r = opaque;
  pthread_mutex_lock(&r->mutex);
  while (r->phase != QUIT) {
    if (r->phase == ASKED) {
      pthread_mutex_unlock(&r->mutex);
      read_now(r);
      pthread_mutex_lock(&r->mutex);
      r->phase = READY;
      pthread_cond_broadcast(&r->changed);
    } else
      pthread_cond_wait(&r->changed, &r->mutex);
  }
  pthread_mutex_unlock(&r->mutex);
  return NULL;
}

tg_status tg_reader_create(tg_source *source, tg_reader **out) {
  const tg_source_info *info = tg_source_describe(source);
  tg_reader *r = NULL;
  *out = NULL;
  TG_TRY(TG_ALLOC(1, &r));
  r->source = source;
  pthread_mutex_init(&r->mutex, NULL);
  pthread_condattr_t monotonic;
  pthread_condattr_init(&monotonic);
  pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
  pthread_cond_init(&r->changed, &monotonic);
  pthread_condattr_destroy(&monotonic);
  const size_t view = tg_source_view_bytes(source);
  tg_status st = view > 0 ? tg_alloc_bytes(view, 1, &r->x) : TG_OK;
  r->n_raw = view > 0 ? 1 : 2;
  for (int a = 0; st == TG_OK && a < r->n_raw; a++) st = tg_alloc_bytes(info->cloud_bytes, 1, &r->raw[a]);
  if (st == TG_OK && info->read_ahead) {
    r->has_thread = pthread_create(&r->thread, NULL, serve, r) == 0;
    if (!r->has_thread) st = tg_fail(TG_EINTERNAL, TG_HERE, "the read-ahead thread cannot be started");
  }
  if (st != TG_OK) tg_reader_destroy(&r);
  *out = r;
  return st;
}

static void set_phase(tg_reader *r, phase next) {
  pthread_mutex_lock(&r->mutex);
  r->phase = next;
  pthread_cond_broadcast(&r->changed);
  pthread_mutex_unlock(&r->mutex);
}

void tg_reader_destroy(tg_reader **reader) {
  tg_reader *r = *reader;
  if (!r) return;
  if (r->has_thread) {
    tg_reader_settle(r, (tg_tick){NULL, NULL});
    set_phase(r, QUIT);
    pthread_join(r->thread, NULL);
  }
  pthread_mutex_destroy(&r->mutex);
  pthread_cond_destroy(&r->changed);
  free(r->raw[0]);
  free(r->raw[1]);
  free(r->x);
  free(r->message);
  free(r);
  *reader = NULL;
}

void tg_reader_start(tg_reader *reader, int64_t p, int s, int l) {
  reader->p = p;
  reader->s = s;
  reader->l = l;
  reader->turn = (reader->turn + 1) % reader->n_raw;
  set_phase(reader, ASKED);
}

/* Waits for the thread, with a look at the rank's messages every two milliseconds. */
static void settle(tg_reader *r, tg_tick tick) {
  pthread_mutex_lock(&r->mutex);
  while (r->phase == ASKED) {
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += 2000000;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    if (pthread_cond_timedwait(&r->changed, &r->mutex, &until) == 0) continue;
    pthread_mutex_unlock(&r->mutex);
    tg_tick_call(tick);
    pthread_mutex_lock(&r->mutex);
  }
  pthread_mutex_unlock(&r->mutex);
}

void tg_reader_settle(tg_reader *reader, tg_tick tick) {
  if (reader->has_thread) settle(reader, tick);
}

tg_status tg_reader_wait(tg_reader *reader, tg_tick tick, tg_cloud *out) {
  const tg_source_info *info = tg_source_describe(reader->source);
  double last = tg_seconds();
  if (reader->has_thread)
    settle(reader, tick);
  else
    read_now(reader);
  set_phase(reader, IDLE);
  tg_lap(&last, &reader->times.waited);
  if (reader->status != TG_OK) return tg_fail(reader->status, TG_HERE, "%s", reader->message);
  tg_source_view(reader->source, reader->p, reader->raw[reader->turn], reader->x, out);
  reader->times.bytes += (int64_t)(info->cloud_bytes / (size_t)info->n_tokens) * info->n_tokens_of[reader->p];
  tg_lap(&last, &reader->times.converting);
  return TG_OK;
}

tg_reader_times tg_reader_report(const tg_reader *reader) { return reader->times; }
