#include "geometry/scan.h"

#include "base/clones.h"
#include "base/memory.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { AT_ONCE = 4 }; /* rows: the sum of units is loaded and stored once for so many */

tg_status tg_scan_create(int n, int d, tg_scan **out) {
  tg_scan *s = NULL;
  TG_TRY(TG_ALLOC(1, &s));
  const int ld = tg_cloud_stride(d);
  tg_status st = TG_ALLOC(n, &s->norm2);
  if (st == TG_OK) st = TG_ALLOC(n, &s->hash);
  if (st == TG_OK) st = TG_ALLOC(ld, &s->unit);
  if (st == TG_OK) st = TG_ALLOC((size_t)ld * AT_ONCE, &s->buffer);
  if (st == TG_OK) st = TG_ALLOC(ld, &s->weight);
  if (st != TG_OK) tg_scan_destroy(&s);
  for (int t = 0; s && t < ld; t++) s->weight[t] = (float)(((uint32_t)t + 1u) * 2654435761u >> 8) * 0x1p-24f;
  *out = s;
  return st;
}

void tg_scan_destroy(tg_scan **scan) {
  if (!*scan) return;
  free((*scan)->norm2);
  free((*scan)->hash);
  free((*scan)->unit);
  free((*scan)->buffer);
  free((*scan)->weight);
  free(*scan);
  *scan = NULL;
}

/* The largest magnitude as bits (NaN and Inf above all numbers), and a sum over the row with weights of no pattern: equal
 * rows give equal sums, which is all that counts. */
TG_CLONES static uint64_t hash_row(const float *restrict row, const float *restrict weight, int ld, uint32_t *largest) {
  float lane[TG_LANES] = {0};
  uint32_t most[TG_LANES] = {0}, half[2];
  for (int t = 0; t < ld; t += TG_LANES)
    for (int q = 0; q < TG_LANES; q++) {
      uint32_t bits;
      memcpy(&bits, row + t + q, sizeof bits);
      bits &= 0x7fffffffu;
      most[q] = bits > most[q] ? bits : most[q];
      lane[q] += row[t + q] * weight[t + q];
    }
  float even = 0.0f, odd = 0.0f;
  for (int q = 0; q < TG_LANES; q += 2) {
    even += lane[q];
    odd += lane[q + 1];
  }
  for (int q = 0; q < TG_LANES; q++) *largest = most[q] > *largest ? most[q] : *largest;
  memcpy(half, &even, sizeof even);
  memcpy(half + 1, &odd, sizeof odd);
  return (uint64_t)half[1] << 32 | half[0];
}

TG_CLONES static double square(const float *restrict x, int ld) {
  double lane[TG_LANES] = {0}, sum = 0.0;
  for (int t = 0; t < ld; t += TG_LANES)
    for (int q = 0; q < TG_LANES; q++) lane[q] = fma((double)x[t + q], (double)x[t + q], lane[q]);
  for (int q = 0; q < TG_LANES; q++) sum += lane[q];
  return sum;
}

/* unit += four rows, each times its factor, in their order. */
TG_CLONES static void add_units(const float *const row[AT_ONCE], const double factor[AT_ONCE], int ld,
                                double *restrict unit) {
  const float *restrict a = row[0], *restrict b = row[1], *restrict c = row[2], *restrict d = row[3];
  for (int t = 0; t < ld; t++)
    unit[t] = fma(factor[3], (double)d[t],
                  fma(factor[2], (double)c[t], fma(factor[1], (double)b[t], fma(factor[0], (double)a[t], unit[t]))));
}

/* Rows i..i+count-1, at most AT_ONCE. */
static void scan_rows(tg_scan *s, const tg_cloud *c, int i, int count, uint32_t *largest) {
  const float *row[AT_ONCE];
  double factor[AT_ONCE] = {0.0};
  for (int a = 0; a < AT_ONCE; a++) row[a] = tg_cloud_row(c, i + (a < count ? a : 0), s->buffer + (ptrdiff_t)a * c->ld);
  for (int a = 0; a < count; a++) {
    const double norm2 = square(row[a], c->ld);
    s->hash[i + a] = hash_row(row[a], s->weight, c->ld, largest);
    s->norm2[i + a] = norm2;
    factor[a] = norm2 > 0.0 ? 1.0 / sqrt(norm2) : 0.0;
    s->n_zero += !(norm2 > 0.0);
  }
  add_units(row, factor, c->ld, s->unit);
}

void tg_scan_cloud(tg_scan *s, const tg_cloud *c) {
  uint32_t bits = 0;
  float largest;
  s->n_zero = 0;
  memset(s->unit, 0, (size_t)c->ld * sizeof *s->unit);
  for (int i = 0; i < c->n; i += AT_ONCE) scan_rows(s, c, i, c->n - i < AT_ONCE ? c->n - i : AT_ONCE, &bits);
  memcpy(&largest, &bits, sizeof largest);
  s->largest = bits < 0x7f800000u ? (double)largest : INFINITY;
}

double tg_scan_cosines(const tg_scan *scan, const tg_cloud *c) {
  double total = 0.0;
  for (int t = 0; t < c->d; t++) total += scan->unit[t] * scan->unit[t];
  return total;
}
