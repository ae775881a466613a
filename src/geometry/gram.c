#include "geometry/gram.h"

#include "base/clones.h"
#include "base/memory.h"
#include <cblas.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK = 512 }; /* coordinates in one BLAS call: the bound grows with it, BLAS's overhead with its inverse */

/* Rows whose addresses do not agree in their low bits: a column then spreads over the cache. */
static int stride_of(int n) { return (n + 15) / 16 * 16 + 16; }

tg_status tg_gram_create(int n, int d, tg_gram **out) {
  tg_gram *g = NULL;
  TG_TRY(TG_ALLOC(1, &g));
  const int ld = tg_cloud_stride(d);
  tg_status st = TG_ALLOC((size_t)n * (size_t)ld, &g->y);
  if (st == TG_OK) st = TG_ALLOC((size_t)n * (size_t)stride_of(n), &g->g);
  if (st == TG_OK && ld > BLOCK) st = TG_ALLOC((size_t)n * (size_t)stride_of(n), &g->block);
  if (st == TG_OK) st = TG_ALLOC(n, &g->norm2);
  if (st == TG_OK) st = TG_ALLOC(n, &g->inner);
  if (st == TG_OK) st = TG_ALLOC(n, &g->norm);
  if (st == TG_OK) st = TG_ALLOC(ld, &g->mean);
  if (st != TG_OK) tg_gram_destroy(&g);
  *out = g;
  return st;
}

void tg_gram_destroy(tg_gram **gram) {
  if (!*gram) return;
  free((*gram)->y);
  free((*gram)->g);
  free((*gram)->block);
  free((*gram)->norm2);
  free((*gram)->inner);
  free((*gram)->norm);
  free((*gram)->mean);
  free(*gram);
  *gram = NULL;
}

/* Sums of the tokens by coordinate and the largest magnitude, one pass. */
#define SUM_ROWS(name, type, absolute)                                                                                 \
  TG_CLONES static double name(const type *restrict x, int n, int ld, double *restrict sum) {                          \
    type largest[TG_LANES] = {0};                                                                                      \
    memset(sum, 0, (size_t)ld * sizeof *sum);                                                                          \
    for (ptrdiff_t i = 0; i < n; i++)                                                                                  \
      for (int t = 0; t < ld; t += TG_LANES)                                                                           \
        for (int q = 0; q < TG_LANES; q++) {                                                                           \
          const type value = x[i * ld + t + q], size = absolute(value);                                                \
          sum[t + q] += (double)value;                                                                                 \
          largest[q] = size > largest[q] ? size : largest[q];                                                          \
        }                                                                                                              \
    type all = 0;                                                                                                      \
    for (int q = 0; q < TG_LANES; q++) all = largest[q] > all ? largest[q] : all;                                      \
    return (double)all;                                                                                                \
  }
SUM_ROWS(sum_rows, float, fabsf)
SUM_ROWS(sum_rows64, double, fabs)

typedef struct {
  double y2, x2, inner;
} row_sums;

static inline double sum_lanes(const double lane[TG_LANES]) {
  double sum = 0.0;
  for (int q = 0; q < TG_LANES; q++) sum += lane[q];
  return sum;
}

/* y = float32(scale x - mean) and the row's |y|^2, |scale x|^2, mean . y */
#define CENTER_ROW(name, type)                                                                                         \
  TG_CLONES static row_sums name(const type *restrict x, const double *restrict mean, double scale, int ld,            \
                                 float *restrict y) {                                                                  \
    double y2[TG_LANES] = {0}, x2[TG_LANES] = {0}, inner[TG_LANES] = {0};                                              \
    for (int t = 0; t < ld; t += TG_LANES)                                                                             \
      for (int q = 0; q < TG_LANES; q++) {                                                                             \
        const double scaled = scale * (double)x[t + q];                                                                \
        const float centered = (float)(scaled - mean[t + q]);                                                          \
        y[t + q] = centered;                                                                                           \
        y2[q] = fma((double)centered, (double)centered, y2[q]);                                                        \
        x2[q] = fma(scaled, scaled, x2[q]);                                                                            \
        inner[q] = fma(mean[t + q], (double)centered, inner[q]);                                                       \
      }                                                                                                                \
    return (row_sums){sum_lanes(y2), sum_lanes(x2), sum_lanes(inner)};                                                 \
  }
CENTER_ROW(center_row, float)
CENTER_ROW(center_row64, double)

/* A power of two that brings the largest coordinate to 1/2..1; 1 for a cloud of zeros. */
static double scale_for(double largest) {
  int exponent = 0;
  if (largest > 0.0) frexp(largest, &exponent);
  return ldexp(1.0, -exponent);
}

TG_CLONES static void add_rows(float *restrict into, const float *restrict from, ptrdiff_t count) {
  for (ptrdiff_t j = 0; j < count; j++) into[j] += from[j];
}

/* Copies the upper triangle to the lower one, by tiles that stay in the first-level cache. */
TG_CLONES static void mirror(float *g, ptrdiff_t n, ptrdiff_t gld) {
  enum { TILE = 16 };
  for (ptrdiff_t a = 0; a < n; a += TILE)
    for (ptrdiff_t b = a; b < n; b += TILE)
      for (ptrdiff_t j = b; j < n && j < b + TILE; j++)
        for (ptrdiff_t i = a; i < j && i < a + TILE; i++) g[j * gld + i] = g[i * gld + j];
}

/* g = y y^T by blocks of coordinates, each summed by BLAS into memory of its own and then added. */
static void gram_matrix(tg_gram *gram, tg_tick tick) {
  const int n = gram->n, ld = gram->ld;
  const ptrdiff_t gld = gram->gld;
  for (int first = 0; first < ld; first += BLOCK) {
    const int length = ld - first < BLOCK ? ld - first : BLOCK;
    float *out = first == 0 ? gram->g : gram->block;
    cblas_ssyrk(CblasRowMajor, CblasUpper, CblasNoTrans, n, length, 1.0f, gram->y + first, ld, 0.0f, out, gram->gld);
    if (first > 0)
      for (ptrdiff_t i = 0; i < n; i++) add_rows(gram->g + i * gld + i, gram->block + i * gld + i, n - i);
    tg_tick_call(tick);
  }
  mirror(gram->g, n, gld);
}

/* The proof stands in gram.h. */
static void set_bound(tg_gram *gram) {
  const double u = ldexp(1.0, -24), terms = (gram->ld < BLOCK ? gram->ld : BLOCK) + (gram->ld + BLOCK - 1) / BLOCK;
  const double gamma = terms * u / (1.0 - terms * u);
  gram->bound = (float)((gamma + 5.0 * u * (1.0 + ldexp(1.0, -20)) + 8.0 * u) * (1.0 + 4.0 * u));
  gram->tiny = (float)ldexp((double)gram->ld, -140);
}

/* Everything after the sums of the rows, for either type of cloud. */
#define COMPUTE(gram, c, sum_of, center)                                                                               \
  (gram)->n = (c)->n, (gram)->d = (c)->d, (gram)->ld = (c)->ld, (gram)->gld = stride_of((c)->n);                       \
  (gram)->scale = scale_for(sum_of((c)->x, (c)->n, (c)->ld, (gram)->mean));                                            \
  (gram)->mean_norm2 = 0.0;                                                                                            \
  for (int t = 0; t < (c)->ld; t++) {                                                                                  \
    (gram)->mean[t] *= (gram)->scale / (c)->n;                                                                         \
    (gram)->mean_norm2 += (gram)->mean[t] * (gram)->mean[t];                                                           \
  }                                                                                                                    \
  for (ptrdiff_t i = 0; i < (c)->n; i++) {                                                                             \
    const row_sums s = center((c)->x + i * (c)->ld, (gram)->mean, (gram)->scale, (c)->ld, (gram)->y + i * (c)->ld);    \
    (gram)->norm2[i] = (float)s.y2;                                                                                    \
    (gram)->norm[i] = sqrt(s.x2);                                                                                      \
    (gram)->inner[i] = s.inner;                                                                                        \
  }

void tg_gram_compute(tg_gram *gram, const tg_cloud *c, tg_tick tick) {
  COMPUTE(gram, c, sum_rows, center_row)
  set_bound(gram);
  gram_matrix(gram, tick);
}

void tg_gram_compute64(tg_gram *gram, const tg_cloud64 *c, tg_tick tick) {
  COMPUTE(gram, c, sum_rows64, center_row64)
  set_bound(gram);
  gram_matrix(gram, tick);
}
