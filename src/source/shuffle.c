#include "source/shuffle.h"

#include "base/memory.h"
#include <Random123/philox.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
  uint64_t key;
  int64_t block;
} keyed_block;

static int by_key(const void *a, const void *b) {
  const keyed_block *x = a, *y = b;
  if (x->key != y->key) return x->key > y->key ? 1 : -1;
  return (x->block > y->block) - (x->block < y->block);
}

int tg_shuffle_levels(int n) {
  int level = 0;
  while (n >= 4) n /= 4, level++;
  return level;
}

int64_t tg_shuffle_blocks(int level) { return (int64_t)1 << (2 * level); }

tg_status tg_shuffle(uint64_t seed, int64_t id, int level, int n, const int32_t *tokens, int32_t *out) {
  const int64_t blocks = tg_shuffle_blocks(level), length = n / blocks;
  const philox4x64_key_t key = {{seed, (uint64_t)id}};
  keyed_block *order = NULL;
  TG_TRY(TG_ALLOC(blocks, &order));
  for (int64_t b = 0; level > 0 && b < blocks; b += 4) {
    const philox4x64_ctr_t counter = {{1 + (uint64_t)b / 4, 0, 0, (uint64_t)level}}, words = philox4x64(counter, key);
    for (int64_t a = b; a < b + 4; a++) order[a] = (keyed_block){words.v[a - b], a};
  }
  qsort(order, (size_t)blocks, sizeof *order, by_key);
  for (int64_t b = 0; b < blocks; b++)
    memcpy(out + b * length, tokens + order[b].block * length, (size_t)length * sizeof *out);
  free(order);
  return TG_OK;
}
