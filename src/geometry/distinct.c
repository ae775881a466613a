#include "geometry/distinct.h"

#include "base/memory.h"
#include <stdlib.h>

typedef struct {
  uint64_t hash;
  int32_t token;
} keyed;

static int by_hash_then_token(const void *a, const void *b) {
  const keyed *x = a, *y = b;
  if (x->hash != y->hash) return x->hash < y->hash ? -1 : 1;
  return (x->token > y->token) - (x->token < y->token);
}

static int by_value(const void *a, const void *b) {
  const int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
  return (x > y) - (x < y);
}

tg_status tg_distinct_find(const tg_cloud *c, const uint64_t *hash, int32_t *first, int *n_first) {
  keyed *key = NULL;
  TG_TRY(TG_ALLOC(c->n, &key));
  for (int i = 0; i < c->n; i++) key[i] = (keyed){hash[i], i};
  qsort(key, (size_t)c->n, sizeof *key, by_hash_then_token);
  int count = 0;
  for (int a = 0; a < c->n; a++) { /* new unless equal to a kept one with the same hash */
    int same = 0;
    for (int b = count - 1; b >= 0 && !same; b--) {
      if (key[b].hash != key[a].hash) break;
      same = tg_cloud_same(c, key[a].token, key[b].token);
    }
    if (!same) key[count++] = key[a];
  }
  for (int a = 0; a < count; a++) first[a] = key[a].token;
  qsort(first, (size_t)count, sizeof *first, by_value);
  *n_first = count;
  free(key);
  return TG_OK;
}
