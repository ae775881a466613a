/* What a forward pass costs without tokengeom: llama_decode of N tokens with all logits, as libllama gives them.
 *
 *   bench_forward MODEL.gguf [N [THREADS [REPEATS]]]
 *
 * Prints seconds of each pass and the peak memory of the process. The run's own figures to compare with stand at the end of
 * its log: forward pass, loss and entropy, geometry, peak memory. */
#include <llama.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

static double seconds(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void say_nothing(enum ggml_log_level level, const char *text, void *context) {
  (void)level, (void)text, (void)context;
}

/* Pseudo-random tokens: what they are does not change the work. */
static struct llama_batch batch_of(int n, int vocabulary) {
  struct llama_batch batch = llama_batch_init(n, 0, 1);
  unsigned long long word = 1;
  batch.n_tokens = n;
  for (int i = 0; i < n; i++) {
    word = word * 6364136223846793005ull + 1442695040888963407ull;
    batch.token[i] = (int)((word >> 33) % (unsigned)vocabulary);
    batch.pos[i] = i;
    batch.n_seq_id[i] = 1;
    batch.seq_id[i][0] = 0;
    batch.logits[i] = 1;
  }
  return batch;
}

int main(int argc, char **argv) {
  const int n = argc > 2 ? atoi(argv[2]) : 1024, threads = argc > 3 ? atoi(argv[3]) : 1,
            repeats = argc > 4 ? atoi(argv[4]) : 3;
  if (argc < 2 || n < 1 || threads < 1) {
    fprintf(stderr, "usage: bench_forward MODEL.gguf [N [THREADS [REPEATS]]]\n");
    return 64;
  }
  llama_log_set(say_nothing, NULL);
  llama_backend_init();
  struct llama_model_params model_params = llama_model_default_params();
  model_params.n_gpu_layers = 0;
  model_params.use_extra_bufts = false; /* as tokengeom: weights shared by all ranks of a node */
  struct llama_model *model = llama_model_load_from_file(argv[1], model_params);
  if (!model) return 65;
  struct llama_context_params params = llama_context_default_params();
  params.n_ctx = params.n_batch = params.n_ubatch = (unsigned)n;
  params.n_threads = params.n_threads_batch = threads;
  struct llama_context *context = llama_init_from_model(model, params);
  if (!context) return 70;
  struct llama_batch batch = batch_of(n, llama_vocab_n_tokens(llama_model_get_vocab(model)));
  printf("repeat,tokens,threads,seconds,peak_mb\n");
  for (int r = 0; r < repeats; r++) {
    struct rusage usage;
    llama_memory_clear(llama_get_memory(context), false);
    const double start = seconds();
    if (llama_decode(context, batch) != 0) return 70;
    llama_synchronize(context);
    const double taken = seconds() - start;
    getrusage(RUSAGE_SELF, &usage);
    printf("%d,%d,%d,%.3f,%.0f\n", r, n, threads, taken, (double)usage.ru_maxrss / 1e3);
  }
  llama_batch_free(batch);
  llama_free(context);
  llama_model_free(model);
  return 0;
}
