#include "source/llama_log.h"

#include "base/status.h"
#include "base/text.h"
#include <ctype.h>
#include <ggml.h>
#include <llama.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static char reason[512], warnings[4096];
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

/* Adds a line to the warnings, unless it says nothing or is there. */
static void add_warning(const char *line, int length) {
  static const char *const always = "the full capacity of the model will not be utilized"; /* a prompt is as long as it is */
  char text[400];
  snprintf(text, sizeof text, "%.*s\n", length < 390 ? length : 390, line);
  const char *said = strstr(text, ": "); /* behind the name of a function */
  bool words = false;
  for (const char *c = said ? said : text; *c; c++) words = words || isalpha((unsigned char)*c);
  if (!words || strstr(text, always) || strstr(warnings, text)) return;
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

void tg_llama_prepare(void) {
  llama_log_set(remember, NULL);
  ggml_set_abort_callback(say_last_words);
  llama_backend_init();
}

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
  static char text[400];
  snprintf(text, sizeof text, "ggml %s (%s); %.300s", ggml_version(), ggml_commit(), llama_print_system_info());
  return text;
}
