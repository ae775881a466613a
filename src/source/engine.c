#include "source/engine.h"

#include "base/memory.h"
#include "source/llama_log.h"
#include <llama.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { MAX_SEEN = 2000, PROBED = 16 }; /* bytes of names; tokens of the pass that looks for the layers */

/* Where the one consumer and the pass stand. */
typedef enum { NOTHING, WANTED, DELIVERED } request_phase;

struct tg_engine {
  tg_engine_options options;
  struct llama_model *model;
  struct llama_context *context;
  struct llama_batch batch;
  bool keep_logits;
  const char *embedding; /* name of the tensor that is cloud 0 */

  pthread_t thread;
  bool has_thread;
  pthread_mutex_t mutex;
  pthread_cond_t changed;
  atomic_bool cancel;
  bool quit, start, running; /* start: a job waits for the thread; running: a pass is under way */
  int64_t job;
  int n, next_layer; /* of the pass: its tokens, the first layer not yet passed */
  request_phase phase;
  int wanted;
  float *x;
  tg_status status;
  char message[700];

  /* used by the pass alone */
  bool probing, past_blocks, stop; /* past_blocks: the last block is done; stop: end the pass after this node */
  struct ggml_tensor *last;        /* holds cloud L */
  unsigned char *seen;             /* [layers], while probing */
  bool predicts, ends;  /* the graph gives logits, has the last block that is expected; found while probing */
  bool plain;           /* and the logits are W h and nothing more */
  char names[MAX_SEEN]; /* of the tensors seen while probing */
};

/* ---- names ---- */

/* The cloud that a tensor of the graph holds, -1: none. */
static int layer_of(const tg_engine *e, const char *name) {
  int block, length = 0;
  if (strcmp(name, "result_norm") == 0) return e->options.layers - 1;
  if (e->embedding && strcmp(name, e->embedding) == 0) return 0;
  if (sscanf(name, "l_out-%d%n", &block, &length) == 1 && name[length] == '\0' && block >= 0 &&
      block < e->options.layers - 2)
    return block + 1;
  return -1;
}

static bool is_last_block(const tg_engine *e, const char *name) {
  char wanted[32];
  snprintf(wanted, sizeof wanted, "l_out-%d", e->options.layers - 2);
  return strcmp(name, wanted) == 0;
}

/* Adds a name, less its block number, to the list of those seen. */
static void list_name(tg_engine *e, const char *name) {
  char plain[GGML_MAX_NAME + 3];
  const size_t used = strlen(e->names);
  snprintf(plain, sizeof plain, " %.*s,", (int)strcspn(name, "- ("), name);
  if (plain[1] != ',' && !strstr(e->names, plain) && used + strlen(plain) < sizeof e->names) strcat(e->names, plain);
}

/* Models that scale or normalize their embeddings, or add positions to them, give cloud 0 under a later name. */
static void note_embedding(tg_engine *e, const char *name) {
  static const char *const names[] = {"inp_embd", "embd", "inp_scaled", "inp_norm", "inpL"};
  for (size_t a = 0; a < sizeof names / sizeof names[0]; a++)
    if (strcmp(name, names[a]) == 0) e->embedding = names[a];
}

/* Whether logits are the unembedding times cloud L as they are: no scale, soft cap or bias stands between. */
static bool is_plain_product(const struct ggml_tensor *logits) {
  const struct ggml_tensor *w = logits->src[0], *h = logits->src[1];
  return logits->op == GGML_OP_MUL_MAT && w && h && strcmp(h->name, "result_norm") == 0 &&
         (strcmp(w->name, "output.weight") == 0 || strcmp(w->name, "token_embd.weight") == 0);
}

static void probe_node(tg_engine *e, const struct ggml_tensor *t) {
  const bool whole = t->type == GGML_TYPE_F32 && t->ne[0] == e->options.width && t->ne[1] == e->n && t->ne[2] == 1;
  list_name(e, t->name);
  if (is_last_block(e, t->name)) e->ends = true;
  if (strcmp(t->name, "result_output") == 0) {
    e->predicts = true;
    e->plain = is_plain_product(t);
  }
  if (!whole) return;
  note_embedding(e, t->name);
  const int l = layer_of(e, t->name);
  if (l >= 0) e->seen[l] = 1;
}

/* ---- the pass, on the engine's thread ---- */

static void copy_layer(const struct ggml_tensor *t, float *x) { ggml_backend_tensor_get(t, x, 0, ggml_nbytes(t)); }

/* Waits until a layer is wanted that is not before this one. False: the pass is to end. */
static bool wait_for_request(tg_engine *e, int l) {
  while (!e->cancel && !(e->phase == WANTED && e->wanted >= l)) pthread_cond_wait(&e->changed, &e->mutex);
  return !e->cancel;
}

static void answer(tg_engine *e, tg_status status) {
  e->status = status;
  e->phase = DELIVERED;
  pthread_cond_broadcast(&e->changed);
}

/* Hands a layer over when it is wanted. False: the pass is to end. */
static bool deliver(tg_engine *e, int l, const struct ggml_tensor *t) {
  pthread_mutex_lock(&e->mutex);
  bool going_on = wait_for_request(e, l);
  if (going_on) e->next_layer = l + 1;
  if (going_on && e->wanted == l) {
    copy_layer(t, e->x);
    answer(e, TG_OK);
    if (!e->options.ahead && l < e->options.layers - 1) going_on = wait_for_request(e, l + 1);
  }
  pthread_mutex_unlock(&e->mutex);
  return going_on;
}

/* After the last block the graph is run node by node, and the pass ends with the node that holds cloud L: so neither the
 * logits are formed nor is room for them touched. The order to end is given before that node runs, because the engine
 * looks for it only after one; cloud L is then taken when the engine has returned. */
static bool ask_node(tg_engine *e, const struct ggml_tensor *t) {
  const int l = layer_of(e, t->name);
  if (is_last_block(e, t->name)) e->past_blocks = true;
  if (l == e->options.layers - 1) {
    e->last = (struct ggml_tensor *)(uintptr_t)t;
    e->stop = !e->keep_logits;
  }
  return l >= 0 || e->past_blocks;
}

static bool on_node(struct ggml_tensor *t, bool ask, void *context) {
  tg_engine *e = context;
  if (e->probing) {
    if (ask) probe_node(e, t);
    return !ask;
  }
  if (ask) return ask_node(e, t);
  const int l = layer_of(e, t->name);
  if (l == e->options.layers - 1) return e->keep_logits; /* taken after the pass */
  if (l >= 0 && !deliver(e, l, t)) e->stop = true;
  return !e->stop;
}

static bool shall_stop(void *context) {
  const tg_engine *e = context;
  return e->stop || e->cancel;
}

/* Runs the model over the n tokens of the batch; 0, or 2 when the pass was ended on purpose. */
static int pass(tg_engine *e) {
  e->past_blocks = false;
  e->last = NULL;
  llama_memory_clear(llama_get_memory(e->context), false);
  e->batch.n_tokens = e->n;
  const int code = llama_decode(e->context, e->batch);
  llama_synchronize(e->context);
  return code;
}

/* A whole job: all layers but the last are handed over while the engine runs. A pass that failed says so to whoever asks. */
static void run_job(tg_engine *e) {
  e->stop = false;
  const int code = pass(e), last = e->options.layers - 1;
  const bool good = e->last && (code == 0 || code == 2);
  if (good && !e->cancel) deliver(e, last, e->last);
  if (good) return;
  pthread_mutex_lock(&e->mutex);
  snprintf(e->message, sizeof e->message, "%.300s: the forward pass failed with code %d after layer %d (%s)",
           e->options.model, code, e->next_layer - 1, tg_llama_reason());
  if (wait_for_request(e, 0)) answer(e, TG_EINTERNAL);
  pthread_mutex_unlock(&e->mutex);
}

static void *serve(void *opaque) {
  tg_engine *e = opaque;
  pthread_mutex_lock(&e->mutex);
  while (!e->quit) {
    if (e->start) {
      e->start = false;
      e->running = true;
      pthread_mutex_unlock(&e->mutex);
      run_job(e);
      pthread_mutex_lock(&e->mutex);
      e->running = false;
      pthread_cond_broadcast(&e->changed);
    } else
      pthread_cond_wait(&e->changed, &e->mutex);
  }
  pthread_mutex_unlock(&e->mutex);
  return NULL;
}

/* ---- the consumer ---- */

/* With the mutex held: ends the pass under way, if there is one. */
static void end_pass(tg_engine *e) {
  e->cancel = true;
  pthread_cond_broadcast(&e->changed);
  while (e->running || e->start) pthread_cond_wait(&e->changed, &e->mutex);
  e->cancel = false;
}

static void begin_pass(tg_engine *e, int64_t job, const int32_t *tokens, int n) {
  end_pass(e);
  memcpy(e->batch.token, tokens, (size_t)n * sizeof *tokens);
  e->job = job;
  e->n = n;
  e->next_layer = 0;
  e->start = true;
}

tg_status tg_engine_layer(tg_engine *e, int64_t job, const int32_t *tokens, int n, int l, float *x) {
  pthread_mutex_lock(&e->mutex);
  if (!(e->running || e->start) || e->job != job || l < e->next_layer) begin_pass(e, job, tokens, n);
  e->wanted = l;
  e->x = x;
  e->phase = WANTED;
  pthread_cond_broadcast(&e->changed);
  while (e->phase != DELIVERED) pthread_cond_wait(&e->changed, &e->mutex);
  e->phase = NOTHING;
  const tg_status st = e->status;
  if (st != TG_OK) tg_fail(st, TG_HERE, "%s", e->message);
  pthread_mutex_unlock(&e->mutex);
  return st;
}

bool tg_engine_logits_are_plain(const tg_engine *e) { return e->plain; }
void tg_engine_keep_logits(tg_engine *e, bool keep) { e->keep_logits = keep; }
const float *tg_engine_logits(tg_engine *e) { return llama_get_logits(e->context); }

/* ---- making and ending ---- */

static tg_status load(tg_engine *e) {
  const tg_engine_options *o = &e->options;
  struct llama_model_params model = llama_model_default_params();
  model.n_gpu_layers = o->gpu_layers;
  ggml_backend_dev_t device[2] = {o->gpu_layers > 0 ? tg_llama_gpu(o->gpu) : NULL, NULL};
  model.devices = device;        /* none: a device that is there would take large products all the same */
  model.use_extra_bufts = false; /* repacked weights would be a copy in every rank */
  e->model = llama_model_load_from_file(o->model, model);
  TG_CHECK(e->model, TG_EDATA, "%s: libllama cannot load it (%s)", o->model, tg_llama_reason());
  TG_CHECK(!llama_model_has_encoder(e->model) && llama_model_has_decoder(e->model) &&
               !llama_model_is_diffusion(e->model),
           TG_EDATA, "%s: is no causal language model", o->model);
  struct llama_context_params context = llama_context_default_params();
  context.n_ctx = context.n_batch = context.n_ubatch = (uint32_t)o->tokens; /* every layer comes whole */
  context.n_seq_max = 1;
  context.n_threads = context.n_threads_batch = o->threads;
  context.cb_eval = on_node;
  context.abort_callback = shall_stop;
  context.cb_eval_user_data = context.abort_callback_data = e;
  context.no_perf = true;
  if (o->exact_attention) { /* the other way rounds keys and values to float16 */
    context.flash_attn_type = LLAMA_FLASH_ATTN_TYPE_DISABLED;
    context.type_k = context.type_v = GGML_TYPE_F32;
  }
  context.offload_kqv = context.op_offload = o->gpu_layers > 0;
  e->context = llama_init_from_model(e->model, context);
  TG_CHECK(e->context, TG_EINTERNAL, "%s: libllama cannot make room for %d tokens (%s)", o->model, o->tokens,
           tg_llama_reason());
  return TG_OK;
}

static tg_status make_batch(tg_engine *e) {
  e->batch = llama_batch_init(e->options.tokens, 0, 1);
  TG_CHECK(e->batch.token && e->batch.seq_id, TG_EINTERNAL, "no memory for a batch of %d tokens", e->options.tokens);
  for (int i = 0; i < e->options.tokens; i++) {
    e->batch.token[i] = 0;
    e->batch.pos[i] = i;
    e->batch.n_seq_id[i] = 1;
    e->batch.seq_id[i][0] = 0;
    e->batch.logits[i] = 1; /* the last layer is wanted of every token */
  }
  return TG_OK;
}

/* The engine reserves logits for every token. Nobody writes them, so their pages go back. */
static void release_logits(tg_engine *e) {
  const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), from = (uintptr_t)llama_get_logits(e->context);
  const uintptr_t end = from + (size_t)e->options.tokens * (size_t)e->options.vocabulary * sizeof(float);
  const uintptr_t first = (from + page - 1) / page * page, last = end / page * page;
  if (from && last > first && e->options.gpu_layers == 0) madvise((void *)first, last - first, MADV_DONTNEED);
}

static bool all_seen(const tg_engine *e) {
  for (int l = 0; l < e->options.layers; l++)
    if (!e->seen[l]) return false;
  return e->predicts && e->ends;
}

/* Looks for every layer in the graph. The engine names all nodes before it runs the first, after which it is stopped; where the graph is
 * split over back ends it has to run to the end to be seen, with few tokens, as some keep room for the largest product they have met. */
static tg_status probe(tg_engine *e) {
  const int tokens = e->options.tokens;
  TG_TRY(TG_ALLOC(e->options.layers, &e->seen));
  e->probing = true;
  for (int whole = 0; whole < 2 && !all_seen(e); whole++) {
    e->stop = !whole;
    e->n = whole && tokens > PROBED ? PROBED : tokens;
    const int code = pass(e);
    TG_CHECK(code == 0 || code == 2, TG_EINTERNAL, "%s: the forward pass failed with code %d (%s)", e->options.model,
             code, tg_llama_reason());
  }
  e->probing = false;
  release_logits(e);
  for (int l = 0; l < e->options.layers; l++)
    TG_CHECK(e->seen[l], TG_EDATA,
             "%s: no tensor for layer %d of 0..%d; expected embd or inp_embd, l_out-0.., result_norm with %d x %d "
             "numbers, seen were:%s",
             e->options.model, l, e->options.layers - 1, e->n, e->options.width, e->names);
  TG_CHECK(e->ends, TG_EDATA,
           "%s: the header says that there are %d blocks, and the graph has no tensor l_out-%d: fewer are run",
           e->options.model, e->options.layers - 1, e->options.layers - 2);
  TG_CHECK(e->predicts, TG_EDATA, "%s: is no causal language model: its graph gives no logits (result_output)",
           e->options.model);
  return TG_OK;
}

tg_status tg_engine_create(const tg_engine_options *options, tg_engine **out) {
  tg_engine *e = NULL;
  *out = NULL;
  TG_TRY(TG_ALLOC(1, &e));
  e->options = *options;
  pthread_mutex_init(&e->mutex, NULL);
  pthread_cond_init(&e->changed, NULL);
  tg_status st = load(e);
  if (st == TG_OK) st = make_batch(e);
  if (st == TG_OK) st = probe(e);
  if (st == TG_OK) {
    e->has_thread = pthread_create(&e->thread, NULL, serve, e) == 0;
    if (!e->has_thread) st = tg_fail(TG_EINTERNAL, TG_HERE, "the engine's thread cannot be started");
  }
  if (st != TG_OK) tg_engine_destroy(&e);
  *out = e;
  return st;
}

void tg_engine_destroy(tg_engine **engine) {
  tg_engine *e = *engine;
  if (!e) return;
  if (e->has_thread) {
    pthread_mutex_lock(&e->mutex);
    end_pass(e);
    e->quit = true;
    pthread_cond_broadcast(&e->changed);
    pthread_mutex_unlock(&e->mutex);
    pthread_join(e->thread, NULL);
  }
  pthread_mutex_destroy(&e->mutex);
  pthread_cond_destroy(&e->changed);
  if (e->batch.token) llama_batch_free(e->batch);
  if (e->context) llama_free(e->context);
  if (e->model) llama_model_free(e->model);
  free(e->seen);
  free(e);
  *engine = NULL;
}
