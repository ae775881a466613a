#include "geometry/cloud.h"

#include "base/clones.h"
#include <math.h>
#include <stddef.h>
#include <string.h>

enum { AHEAD = 6 }; /* rows */

/* bfloat16 as float32. */
TG_CLONES static void widen(const uint16_t *restrict half, int length, float *restrict out) {
  for (int t = 0; t < length; t++) {
    const uint32_t bits = (uint32_t)half[t] << 16;
    memcpy(out + t, &bits, sizeof bits);
  }
}

/* Rows are far apart: the CPU does not see the next one coming. */
static inline void prefetch(const void *from, size_t bytes) {
  for (size_t a = 0; a < bytes; a += 64) __builtin_prefetch((const char *)from + a);
}

/* Where row i's part lies, of either type; that of a later one, before `end`, is asked for. */
static const void *row_part(const tg_cloud *c, ptrdiff_t i, ptrdiff_t end, int first, int length) {
  const size_t size = c->half ? sizeof *c->half : sizeof *c->x;
  const char *rows = c->half ? (const char *)c->half : (const char *)c->x;
  const char *row = rows + (i * c->ld + first) * (ptrdiff_t)size;
  if (i + AHEAD < end) prefetch(row + (ptrdiff_t)AHEAD * c->ld * (ptrdiff_t)size, (size_t)length * size);
  return row;
}

void tg_cloud_block(const tg_cloud *c, int i, int count, int first, int length, float *out, int stride) {
  for (ptrdiff_t a = i; a < i + count; a++, out += stride) {
    const void *row = row_part(c, a, i + count, first, length);
    if (c->half)
      widen(row, length, out);
    else
      memcpy(out, row, (size_t)length * sizeof *out);
  }
}

const float *tg_cloud_visit(const tg_cloud *c, int i, int first, int length, float *buffer) {
  const void *row = row_part(c, i, c->n, first, length);
  if (c->x) return row;
  widen(row, length, buffer);
  return buffer;
}

void tg_cloud_half_block(const tg_cloud *c, int first, int length, uint16_t *out, int stride) {
  for (ptrdiff_t a = 0; a < c->n; a++)
    memcpy(out + a * stride, row_part(c, a, c->n, first, length), (size_t)length * sizeof *out);
}

const float *tg_cloud_row(const tg_cloud *c, int i, float *buffer) {
  if (c->x) return c->x + (ptrdiff_t)i * c->ld;
  widen(c->half + (ptrdiff_t)i * c->ld, c->ld, buffer);
  return buffer;
}

TG_CLONES static int same_half(const uint16_t *restrict a, const uint16_t *restrict b, int ld) {
  uint32_t different = 0;
  for (int t = 0; t < ld; t++) /* both zero, of whatever sign, or the same bits */
    different |= ((uint32_t)(a[t] | b[t]) & 0x7fffu) != 0 ? (uint32_t)(a[t] ^ b[t]) : 0;
  return different == 0;
}

TG_CLONES static int same_float(const float *restrict a, const float *restrict b, int ld) {
  int different = 0;
  for (int t = 0; t < ld; t++) different |= a[t] != b[t];
  return !different;
}

int tg_cloud_same(const tg_cloud *c, int i, int j) {
  const ptrdiff_t a = (ptrdiff_t)i * c->ld, b = (ptrdiff_t)j * c->ld;
  if (c->half) return same_half(c->half + a, c->half + b, c->ld);
  return same_float(c->x + a, c->x + b, c->ld);
}

TG_CLONES static void add_row(const float *restrict x, int ld, double *restrict sum) {
  for (int t = 0; t < ld; t++) sum[t] += (double)x[t];
}

TG_CLONES static void add_squares(const float *restrict x, int ld, double *restrict sum) {
  for (int t = 0; t < ld; t++) sum[t] = fma((double)x[t], (double)x[t], sum[t]);
}

void tg_cloud_mean(const tg_cloud *c, float *buffer, double *mean, double *square) {
  memset(mean, 0, (size_t)c->ld * sizeof *mean);
  if (square) memset(square, 0, (size_t)c->ld * sizeof *square);
  for (int i = 0; i < c->n; i++) {
    const float *row = tg_cloud_row(c, i, buffer);
    add_row(row, c->ld, mean);
    if (square) add_squares(row, c->ld, square);
  }
  for (int t = 0; t < c->ld; t++) {
    mean[t] /= c->n;
    if (square) square[t] /= c->n;
  }
}
