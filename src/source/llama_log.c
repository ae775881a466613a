#include "source/llama_log.h"

#include "base/status.h"
#include "base/text.h"
#include <ctype.h>
#include <ggml-backend.h>
#include <llama.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static char reason[512], warnings[4096];
static char devices[200], gpus[400]; /* names, once they are known */
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

/* Whether a warning is of what is done here on purpose: prompts are as long as they are (libllama rounds their length up, and it is checked
 * against the model's), a pass ends before the logits, a model without a tokenizer gets ids. */
static bool is_expected(const char *text) {
  static const char *const parts[] = {"the full capacity of the model will not be utilized",
                                      "possible training context overflow", "removing memory module entries",
                                      "dummy tokens"};
  for (size_t a = 0; a < sizeof parts / sizeof parts[0]; a++)
    if (strstr(text, parts[a])) return true;
  return false;
}

/* Adds a line to the warnings, unless it says nothing, is expected, or is there. */
static void add_warning(const char *line, int length) {
  char text[500];
  while (length > 0 && line[length - 1] == ' ') length--;
  snprintf(text, sizeof text, "%.*s\n", length < 490 ? length : 490, line);
  const char *said = strchr(text, ':'); /* behind the name of a function */
  bool words = false;
  for (const char *c = said ? said : text; *c; c++) words = words || isalpha((unsigned char)*c);
  if (!words || is_expected(text) || strstr(warnings, text)) return;
  if (strlen(warnings) + strlen(text) < sizeof warnings) strcat(warnings, text);
}

static void remember(enum ggml_log_level level, const char *text, void *context) {
  (void)context;
  const int length = (int)strcspn(text, "\n");
  pthread_mutex_lock(&mutex);
  if (level == GGML_LOG_LEVEL_ERROR && !reason[0]) snprintf(reason, sizeof reason, "%.*s", length, text);
  if (level == GGML_LOG_LEVEL_WARN) add_warning(text, length);
  pthread_mutex_unlock(&mutex);
}

/* libllama ends the process where it finds itself wrong, e.g. for numbers of a header that make no sense. */
static void say_last_words(const char *text) {
  tg_text_print(stderr, "tokengeom: libllama gave up: %.*s\n", (int)strcspn(text, "\n"), text);
  _exit(TG_EDATA);
}

ggml_backend_dev_t tg_llama_gpu(int number) {
  for (size_t a = 0; a < ggml_backend_dev_count(); a++) {
    const ggml_backend_dev_t device = ggml_backend_dev_get(a);
    const enum ggml_backend_dev_type type = ggml_backend_dev_type(device);
    const bool gpu = type == GGML_BACKEND_DEVICE_TYPE_GPU || type == GGML_BACKEND_DEVICE_TYPE_IGPU;
    if (gpu && number-- == 0) return device;
  }
  return NULL;
}

int tg_llama_n_gpus(void) {
  int n = 0;
  while (tg_llama_gpu(n)) n++;
  return n;
}

const char *tg_llama_gpus(void) { return gpus; }

static void list_devices(void) {
  devices[0] = '\0';
  for (size_t a = 0; a < ggml_backend_dev_count(); a++) {
    const size_t used = strlen(devices);
    snprintf(devices + used, sizeof devices - used, "%s%.40s", a ? ", " : "",
             ggml_backend_dev_name(ggml_backend_dev_get(a)));
  }
  snprintf(gpus, sizeof gpus, "none");
  for (int a = 0; tg_llama_gpu(a); a++) {
    const size_t used = a ? strlen(gpus) : 0;
    snprintf(gpus + used, sizeof gpus - used, "%s%d (%.40s)", a ? ", " : "", a, ggml_backend_dev_name(tg_llama_gpu(a)));
  }
}

void tg_llama_prepare(void) {
  llama_log_set(remember, NULL);
  ggml_set_abort_callback(say_last_words);
  llama_backend_init();
  list_devices();
  if (!tg_llama_has_blas())
    tg_llama_warn("it has no BLAS back end, so that products of quantized weights are slow and rounded to 8 bits; "
                  "build it with -DGGML_BLAS=ON -DGGML_BLAS_VENDOR=OpenBLAS");
}

void tg_llama_warn(const char *text) {
  pthread_mutex_lock(&mutex);
  add_warning(text, (int)strlen(text));
  pthread_mutex_unlock(&mutex);
}

bool tg_llama_has_blas(void) { return ggml_backend_dev_by_name("BLAS") != NULL; }

const char *tg_llama_reason(void) {
  static _Thread_local char text[sizeof reason];
  pthread_mutex_lock(&mutex);
  memcpy(text, reason, sizeof text);
  reason[0] = '\0';
  pthread_mutex_unlock(&mutex);
  return text;
}

const char *tg_llama_warnings(void) {
  static _Thread_local char text[sizeof warnings];
  pthread_mutex_lock(&mutex);
  memcpy(text, warnings, sizeof text);
  pthread_mutex_unlock(&mutex);
  return text;
}

const char *tg_llama_version(void) {
  static char text[1000];
  if (devices[0])
    snprintf(text, sizeof text, "ggml %s (%s); devices: %s; GPUs: %s; %.300s", ggml_version(), ggml_commit(), devices,
             gpus, llama_print_system_info());
  else
    snprintf(text, sizeof text, "ggml %s (%s)", ggml_version(), ggml_commit());
  return text;
}
