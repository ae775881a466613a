/* Fuzzing: the readers of prompts (source/prompts.h). The first byte chooses: odd JSON lines, even a text. */
#include "source/prompts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const unsigned char *bytes, size_t size);

/* What a prompt that was taken must be. */
static tg_status check(void *context, tg_prompt *p) {
  (void)context;
  if (!p->text == !p->token_ids) abort();
  if (p->text && (p->length == 0 || p->text[p->length] != '\0')) abort();
  for (int i = 0; i < p->n_token_ids; i++)
    if (p->token_ids[i] < 0) abort();
  if (p->group && strlen(p->group) > TG_MAX_GROUP) abort();
  if (!tg_prompt_place(p)[0]) abort();
  return TG_OK;
}

int LLVMFuzzerTestOneInput(const unsigned char *bytes, size_t size) {
  static char names[2][64];
  if (size == 0) return 0;
  for (int a = 0; a < 2 && !names[a][0]; a++)
    snprintf(names[a], sizeof names[a], "/dev/shm/fuzz-prompts-%d%s", (int)getpid(), a ? ".jsonl" : ".txt");
  char *name = names[bytes[0] & 1];
  FILE *file = fopen(name, "wb");
  if (!file || fwrite(bytes + 1, 1, size - 1, file) != size - 1 || fclose(file) != 0) abort();
  tg_prompts_each(&name, 1, check, NULL);
  unlink(name);
  return 0;
}
