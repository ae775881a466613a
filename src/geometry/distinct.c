#include "geometry/distinct.h"

#include "base/clones.h"
#include "base/memory.h"
#include <stdlib.h>
#include <string.h>

typedef struct {
  uint64_t hash;
  int32_t token;
} keyed;

/* Multilinear hash modulo 2^32 in every lane, odd multipliers; equal rows give equal hashes, which is all that counts. */
TG_CLONES static uint64_t hash_row(const float *restrict row, int ld) {
  uint32_t lane[TG_LANES] = {0};
  for (int t = 0; t < ld; t += TG_LANES)
    for (int q = 0; q < TG_LANES; q++) {
      uint32_t bits;
      memcpy(&bits, row + t + q, sizeof bits);
      lane[q] = (lane[q] ^ bits) * 2654435761u + (bits >> 15);
    }
  uint64_t hash = 14695981039346656037u;
  for (int q = 0; q < TG_LANES; q++) hash = (hash ^ lane[q]) * 1099511628211u;
  return hash;
}

static int by_hash_then_token(const void *a, const void *b) {
  const keyed *x = a, *y = b;
  if (x->hash != y->hash) return x->hash < y->hash ? -1 : 1;
  return (x->token > y->token) - (x->token < y->token);
}

static int by_value(const void *a, const void *b) {
  const int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
  return (x > y) - (x < y);
}

tg_status tg_distinct_find(const tg_cloud *c, int32_t *first, int *n_first) {
  keyed *key = NULL;
  TG_TRY(TG_ALLOC(c->n, &key));
  for (int i = 0; i < c->n; i++) key[i] = (keyed){hash_row(c->x + (ptrdiff_t)i * c->ld, c->ld), i};
  qsort(key, (size_t)c->n, sizeof *key, by_hash_then_token);
  int count = 0;
  for (int a = 0; a < c->n; a++) { /* new unless equal to a kept one with the same hash */
    int same = 0;
    for (int b = count - 1; b >= 0 && !same; b--) {
      const float *row = c->x + (ptrdiff_t)key[a].token * c->ld, *kept = c->x + (ptrdiff_t)key[b].token * c->ld;
      if (key[b].hash != key[a].hash) break;
      same = memcmp(row, kept, (size_t)c->d * sizeof *row) == 0;
    }
    if (!same) key[count++] = key[a];
  }
  for (int a = 0; a < count; a++) first[a] = key[a].token;
  qsort(first, (size_t)count, sizeof *first, by_value);
  *n_first = count;
  free(key);
  return TG_OK;
}
