#include "geometry/gram.h"

#include "base/clones.h"
#include "base/memory.h"
#include <cblas.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Coordinates in one product by BLAS and by tiles: the bound grows with it, the libraries' overhead with its inverse. */
enum { BLOCK = 512, Y_STRIDE = BLOCK + TG_LANES, PART = 256, MOST_PRODUCTS = 3 };

const char *const tg_kernel_names[TG_N_KERNELS] = {"float32", "bfloat16", "split"};

tg_kernel tg_kernel_best(void) {
  static const tg_kernel by_speed[] = {TG_KERNEL_FLOAT32, TG_KERNEL_BFLOAT16, TG_KERNEL_SPLIT};
  return by_speed[tg_tiles_speed()];
}

int tg_kernel_runs(tg_kernel kernel) { return kernel == TG_KERNEL_FLOAT32 || tg_tiles_speed() > 0; }

struct tg_gram_work {
  int most_n;
  tg_kernel kernel;
  const tg_cloud *c; /* the cloud: one of these */
  const tg_cloud64 *c64;
  const tg_scan *scan;
  tg_tiles *tiles;
  /* made when first needed: products of one block by tiles [MOST_PRODUCTS][TG_TILE][TG_TILE] and by BLAS [rows][gld] */
  float *tile_products, *product;
  /* and coordinates */
  float *y;          /* [n][Y_STRIDE], a block of the centered ones */
  uint16_t *half[2]; /* [n][PART] each, operands of tiles: two parts of a raw block, or the two parts of y */
  double *y2;        /* [n] |y_i|^2 */
  double *square;    /* [ld] mean of x_it^2 */
};

/* Rows whose addresses do not agree in their low bits: a column then spreads over the cache. */
static int stride_of(int n) { return (n + 15) / 16 * 16 + 16; }
static int rows_of(int n) { return n <= TG_GRAM_WHOLE ? n : TG_GRAM_PANEL; }

/* Elements of g for clouds of up to n tokens: a whole matrix may be larger than the rows of a larger cloud. */
static size_t most_elements(int n) {
  const size_t rows = (size_t)rows_of(n) * (size_t)stride_of(n);
  const size_t whole = (size_t)TG_GRAM_WHOLE * (size_t)stride_of(TG_GRAM_WHOLE);
  return n > TG_GRAM_WHOLE && rows < whole ? whole : rows;
}

double tg_gram_bytes(int n, int d, tg_kernel kernel, int bfloat16) {
  const int raw = bfloat16 && kernel != TG_KERNEL_FLOAT32;
  const double tokens = n, g = 4.0 * (double)most_elements(n);
  const double tiles = 4.0 * MOST_PRODUCTS * TG_TILE * TG_TILE + tokens * 4.0 * PART, y = 4.0 * tokens * Y_STRIDE;
  const int by_blas = kernel == TG_KERNEL_FLOAT32 || (kernel == TG_KERNEL_BFLOAT16 && !bfloat16);
  return g + (by_blas ? g : tiles) + (raw ? 0.0 : y) + tokens * 20.0 + 16.0 * d;
}

static tg_status create_work(int n, int ld, tg_kernel kernel, struct tg_gram_work **out) {
  TG_TRY(TG_ALLOC(1, out));
  struct tg_gram_work *w = *out;
  w->most_n = n;
  w->kernel = kernel;
  TG_TRY(TG_ALLOC(n, &w->y2));
  TG_TRY(TG_ALLOC(ld, &w->square));
  return kernel == TG_KERNEL_FLOAT32 ? TG_OK : tg_tiles_create(&w->tiles);
}

static void destroy_work(struct tg_gram_work *w) {
  if (!w) return;
  tg_tiles_destroy(&w->tiles);
  free(w->tile_products);
  free(w->product);
  free(w->y);
  free(w->half[0]);
  free(w->half[1]);
  free(w->y2);
  free(w->square);
  free(w);
}

tg_status tg_gram_create(int n, int d, tg_kernel kernel, tg_gram **out) {
  tg_gram *g = NULL;
  TG_TRY(TG_ALLOC(1, &g));
  const int ld = tg_cloud_stride(d);
  tg_status st = create_work(n, ld, kernel, &g->work);
  if (st == TG_OK) st = TG_ALLOC(most_elements(n), &g->g);
  if (st == TG_OK) st = TG_ALLOC(n, &g->norm2);
  if (st == TG_OK) st = TG_ALLOC(n, &g->inner);
  if (st == TG_OK) st = TG_ALLOC(ld, &g->mean);
  if (st != TG_OK) tg_gram_destroy(&g);
  *out = g;
  return st;
}

void tg_gram_destroy(tg_gram **gram) {
  if (!*gram) return;
  destroy_work((*gram)->work);
  free((*gram)->g);
  free((*gram)->norm2);
  free((*gram)->inner);
  free((*gram)->mean);
  free(*gram);
  *gram = NULL;
}

/* ---- starting: the scale, the mean and the bound ---- */

/* Coordinates that are taken up at a time. */
static int step_of(const tg_gram *g) { return g->split ? PART : BLOCK; }

static double gamma_of(double terms) { return terms * 0x1p-24 / (1.0 - terms * 0x1p-24); }

/* The proof stands in gram.h. */
static void set_bound(tg_gram *g, double largest) {
  const double u = 0x1p-24, most = g->centered && !g->split ? BLOCK : PART, b = g->ld < most ? g->ld : most;
  const double blocks = (g->ld + step_of(g) - 1) / step_of(g), inside = g->split ? 2.0 : g->centered ? 0.0 : 1.0;
  double bound = gamma_of(b + inside + blocks);
  if (g->split) bound = (bound + 0x1p-15) * (1.0 + 0x1p-5);
  bound += 8.0 * u;
  if (g->centered) bound += 5.0 * u * (1.0 + 0x1p-20);
  g->bound = (float)(bound * (1.0 + 4.0 * u));
  const double lost = g->centered && !g->split ? 0x1p-140 : 0x1p-122 * (1.0 + largest);
  g->tiny = (float)(lost * g->ld);
}

/* A power of two that brings the largest coordinate to 1/2..1; 1 for a cloud of zeros. */
static double scale_for(double largest) {
  int exponent = 0;
  if (largest > 0.0) frexp(largest, &exponent);
  return ldexp(1.0, -exponent);
}

/* Few tokens, or few times few coordinates that count, from the mean and the mean square. */
static int is_small(const tg_gram *g, const double *square) {
  enum { FEW = 64 };
  double sum = 0.0, sum2 = 0.0;
  for (int t = 0; t < g->ld; t++) {
    const double variance = fmax(square[t] - g->mean[t] * g->mean[t], 0.0);
    sum += variance;
    sum2 += variance * variance;
  }
  return g->n < FEW || g->n * sum * sum < FEW * FEW * sum2;
}

/* The mean is there, unscaled, and for a kernel that splits the mean square. */
static void start_centered(tg_gram *g, double largest) {
  g->centered = 1;
  g->split = g->work->kernel == TG_KERNEL_SPLIT && !is_small(g, g->work->square);
  g->scale = scale_for(largest);
  g->mean_norm2 = 0.0;
  for (int t = 0; t < g->ld; t++) {
    g->mean[t] *= g->scale;
    g->mean_norm2 += g->mean[t] * g->mean[t];
  }
  set_bound(g, 1.0);
}

static void start_raw(tg_gram *g) {
  const tg_scan *scan = g->work->scan;
  g->centered = g->split = 0;
  g->scale = 1.0;
  g->mean_norm2 = 0.0;
  memset(g->mean, 0, (size_t)g->ld * sizeof *g->mean);
  memset(g->inner, 0, (size_t)g->n * sizeof *g->inner);
  for (int i = 0; i < g->n; i++) g->norm2[i] = (float)scan->norm2[i];
  set_bound(g, scan->largest);
}

static void set_shape(tg_gram *g, int n, int d, int ld) {
  g->n = n;
  g->d = d;
  g->ld = ld;
  g->gld = stride_of(n);
  g->first = g->rows = 0;
}

void tg_gram_start(tg_gram *g, const tg_cloud *c, const tg_scan *scan) {
  set_shape(g, c->n, c->d, c->ld);
  g->work->c = c;
  g->work->c64 = NULL;
  g->work->scan = scan;
  if (c->half && g->work->kernel != TG_KERNEL_FLOAT32 && scan->largest >= 0x1p-30 && scan->largest <= 0x1p50)
    start_raw(g);
  else
    tg_gram_center(g);
}

void tg_gram_center(tg_gram *g) {
  double *square = g->work->kernel == TG_KERNEL_SPLIT ? g->work->square : NULL; /* nobody else asks for it */
  tg_cloud_mean(g->work->c, g->work->scan->buffer, g->mean, square);
  start_centered(g, g->work->scan->largest);
  g->rows = 0;
}

void tg_gram_start64(tg_gram *g, const tg_cloud64 *c) {
  double largest = 0.0;
  set_shape(g, c->n, c->d, c->ld);
  g->work->c = NULL;
  g->work->c64 = c;
  double *square = g->work->square;
  memset(g->mean, 0, (size_t)c->ld * sizeof *g->mean);
  memset(square, 0, (size_t)c->ld * sizeof *square);
  for (ptrdiff_t i = 0; i < c->n; i++)
    for (int t = 0; t < c->ld; t++) {
      const double x = c->x[i * c->ld + t];
      g->mean[t] += x;
      square[t] += x * x;
      largest = fmax(largest, fabs(x));
    }
  for (int t = 0; t < c->ld; t++) g->mean[t] /= c->n, square[t] /= c->n;
  start_centered(g, largest);
}

/* ---- one block of the centered coordinates ---- */

typedef struct {
  double y2, inner;
} row_sums;

static inline double sum_lanes(const double lane[TG_LANES]) {
  double sum = 0.0;
  for (int q = 0; q < TG_LANES; q++) sum += lane[q];
  return sum;
}

/* y = float32(scale x - mean) */
#define CENTER_ROW(name, type)                                                                                         \
  TG_CLONES static void name(const type *restrict x, const double *restrict mean, double scale, int length,            \
                             float *restrict y) {                                                                      \
    for (int t = 0; t < length; t++) y[t] = (float)(scale * (double)x[t] - mean[t]);                                   \
  }
CENTER_ROW(center_row, float)
CENTER_ROW(center_row64, double)

/* |y|^2 and mean . y of the block */
TG_CLONES static row_sums sum_row(const float *restrict y, const double *restrict mean, int length) {
  double y2[TG_LANES] = {0}, inner[TG_LANES] = {0};
  for (int t = 0; t < length; t += TG_LANES)
    for (int q = 0; q < TG_LANES; q++) y2[q] = fma((double)y[t + q], (double)y[t + q], y2[q]);
  for (int t = 0; t < length; t += TG_LANES)
    for (int q = 0; q < TG_LANES; q++) inner[q] = fma(mean[t + q], (double)y[t + q], inner[q]);
  return (row_sums){sum_lanes(y2), sum_lanes(inner)};
}

/* The nearest bfloat16, ties to even; x is below 2 in size. */
static inline uint16_t to_bfloat16(float x) {
  uint32_t bits;
  memcpy(&bits, &x, sizeof bits);
  return (uint16_t)((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

static inline float from_bfloat16(uint16_t half) {
  const uint32_t bits = (uint32_t)half << 16;
  float x;
  memcpy(&x, &bits, sizeof x);
  return x;
}

TG_CLONES static void split_row(const float *restrict y, int length, uint16_t *restrict high, uint16_t *restrict low) {
  for (int t = 0; t < length; t++) {
    high[t] = to_bfloat16(y[t]);
    low[t] = to_bfloat16(y[t] - from_bfloat16(high[t]));
  }
}

static tg_status reserve_block(tg_gram *g) {
  struct tg_gram_work *w = g->work;
  const size_t n = (size_t)w->most_n;
  const int tiles = g->split || !g->centered;
  if (g->centered && !w->y) TG_TRY(TG_ALLOC(n * Y_STRIDE, &w->y));
  if (!tiles && !w->product) TG_TRY(TG_ALLOC(most_elements(w->most_n), &w->product));
  if (tiles && !w->tile_products) TG_TRY(TG_ALLOC(MOST_PRODUCTS * TG_TILE * TG_TILE, &w->tile_products));
  for (int a = 0; a < 2 && tiles; a++)
    if (!w->half[a]) TG_TRY(TG_ALLOC(n * PART, &w->half[a]));
  return TG_OK;
}

static void center_block(tg_gram *g, int first, int length) {
  struct tg_gram_work *w = g->work;
  float row[BLOCK];
  for (ptrdiff_t i = 0; i < g->n; i++) {
    float *y = w->y + (g->split ? 0 : i * Y_STRIDE);
    const double *mean = g->mean + first;
    if (w->c64)
      center_row64(w->c64->x + i * w->c64->ld + first, mean, g->scale, length, y);
    else
      center_row(tg_cloud_visit(w->c, (int)i, first, length, row), mean, g->scale, length, y);
    const row_sums s = sum_row(y, mean, length);
    w->y2[i] = first == 0 ? s.y2 : w->y2[i] + s.y2;
    g->inner[i] = first == 0 ? s.inner : g->inner[i] + s.inner;
    if (g->split) split_row(y, length, w->half[0] + i * PART, w->half[1] + i * PART);
  }
}

/* ---- products ---- */

TG_CLONES static void add_row(float *restrict into, const float *restrict from, ptrdiff_t count) {
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

static int is_whole(const tg_gram *g) { return g->rows == g->n; }

/* g += block of y times itself, by BLAS: the upper triangle where the matrix is whole. */
static void add_by_blas(tg_gram *g, int first_block, int length) {
  const float *y = g->work->y;
  float *out = first_block ? g->g : g->work->product;
  if (is_whole(g))
    cblas_ssyrk(CblasRowMajor, CblasUpper, CblasNoTrans, g->n, length, 1.0f, y, Y_STRIDE, 0.0f, out, g->gld);
  else
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, g->rows, g->n, length, 1.0f,
                y + (ptrdiff_t)g->first * Y_STRIDE, Y_STRIDE, y, Y_STRIDE, 0.0f, out, g->gld);
  if (first_block) return;
  for (ptrdiff_t a = 0; a < g->rows; a++) {
    const ptrdiff_t j = is_whole(g) ? a : 0;
    add_row(g->g + a * g->gld + j, out + a * g->gld + j, g->n - j);
  }
}

/* One product that tiles make: a b^T over k coordinates, both [n][PART]. */
typedef struct {
  const uint16_t *a, *b;
  int k;
} product;

/* into = or += the sum of one to three products, (0 + 1) + 2. */
TG_CLONES static void add_products(float *restrict into, const float *restrict from, int n_products, int add,
                                   ptrdiff_t count) {
  enum { NEXT = TG_TILE * TG_TILE };
  const float *restrict second = from + NEXT, *restrict third = from + 2 * NEXT;
  if (n_products == 1)
    for (ptrdiff_t j = 0; j < count; j++) into[j] = add ? into[j] + from[j] : from[j];
  else if (n_products == 2)
    for (ptrdiff_t j = 0; j < count; j++) {
      const float sum = from[j] + second[j];
      into[j] = add ? into[j] + sum : sum;
    }
  else
    for (ptrdiff_t j = 0; j < count; j++) {
      const float sum = from[j] + (second[j] + third[j]);
      into[j] = add ? into[j] + sum : sum;
    }
}

static int tile_end(int from, int end) { return from + TG_TILE < end ? from + TG_TILE : end; }

/* The products for rows i.. and columns j.., into g or added to it. */
static tg_status add_tile(tg_gram *g, int add, const product *products, int n_products, int i, int j) {
  float *out = g->work->tile_products;
  const int rows = tile_end(i, g->first + g->rows) - i, columns = tile_end(j, g->n) - j;
  for (int a = 0; a < n_products; a++)
    TG_TRY(tg_tiles_multiply(g->work->tiles, products[a].a + (ptrdiff_t)i * PART, products[a].b + (ptrdiff_t)j * PART,
                             PART, rows, columns, products[a].k, out + (ptrdiff_t)a * TG_TILE * TG_TILE));
  for (ptrdiff_t q = 0; q < rows; q++)
    add_products(g->g + (i - g->first + q) * g->gld + j, out + q * TG_TILE, n_products, add, columns);
  return TG_OK;
}

/* All tiles; from the diagonal on where the matrix is whole. */
static tg_status add_by_tiles(tg_gram *g, int add, const product *products, int n_products) {
  for (int i = g->first; i < g->first + g->rows; i += TG_TILE)
    for (int j = is_whole(g) ? i : 0; j < g->n; j += TG_TILE) TG_TRY(add_tile(g, add, products, n_products, i, j));
  return TG_OK;
}

/* Rows are put side by side: in place, some KiB apart, they would thrash the caches. */
static tg_status add_raw(tg_gram *g, int first, int length) {
  uint16_t *const *half = g->work->half;
  const int head = length < PART ? length : PART, tail = length - head;
  const product products[] = {{half[0], half[0], head}, {half[1], half[1], tail}};
  tg_cloud_half_block(g->work->c, first, head, half[0], PART);
  if (tail > 0) tg_cloud_half_block(g->work->c, first + head, tail, half[1], PART);
  return add_by_tiles(g, first > 0, products, tail > 0 ? 2 : 1);
}

static tg_status add_split(tg_gram *g, int first, int length) {
  const uint16_t *high = g->work->half[0], *low = g->work->half[1];
  const product products[] = {{high, high, length}, {high, low, length}, {low, high, length}};
  return add_by_tiles(g, first > 0, products, 3);
}

static tg_status add_block(tg_gram *g, int first, int length) {
  if (!g->centered) return add_raw(g, first, length);
  center_block(g, first, length);
  if (g->split) return add_split(g, first, length);
  add_by_blas(g, first == 0, length);
  return TG_OK;
}

tg_status tg_gram_rows(tg_gram *g, int first, tg_tick tick) {
  const int left = g->n - first, most = rows_of(g->n);
  g->first = first;
  g->rows = left < most ? left : most;
  TG_TRY(reserve_block(g));
  for (int t = 0, step = step_of(g); t < g->ld; t += step) {
    TG_TRY(add_block(g, t, g->ld - t < step ? g->ld - t : step));
    tg_tick_call(tick);
  }
  if (g->centered)
    for (int i = 0; i < g->n; i++) g->norm2[i] = (float)g->work->y2[i];
  if (is_whole(g)) mirror(g->g, g->n, g->gld);
  return TG_OK;
}
