/* Fuzzing: the config parser (config/config.h), with its inputs absent; what it takes, its own echo must be taken too. */
#include "config/config.h"

#include <glob.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const unsigned char *bytes, size_t size);

/* In place of the C library's: a pattern must not send the fuzzer through the machine's files. It matches itself. */
int glob(const char *pattern, int flags, int (*failed)(const char *, int), glob_t *out) {
  (void)flags, (void)failed;
  out->gl_pathv = calloc(2, sizeof *out->gl_pathv);
  if (!out->gl_pathv || !(out->gl_pathv[0] = strdup(pattern))) abort();
  out->gl_pathc = 1;
  return 0;
}

void globfree(glob_t *out) {
  if (out->gl_pathv) free(out->gl_pathv[0]);
  free(out->gl_pathv);
}

int LLVMFuzzerTestOneInput(const unsigned char *bytes, size_t size) {
  tg_config *config = NULL, *again = NULL;
  char *text = malloc(size + 1);
  if (!text) abort();
  memcpy(text, bytes, size);
  text[size] = '\0';
  if (tg_config_parse_for_results(text, "fuzz.yaml", NULL, 0, &config) == TG_OK) {
    if (tg_config_parse_for_results(config->resolved, "fuzz.yaml", NULL, 0, &again) != TG_OK) abort();
    if (strcmp(config->resolved, again->resolved) != 0) abort();
  }
  tg_config_destroy(&config);
  tg_config_destroy(&again);
  free(text);
  return 0;
}
