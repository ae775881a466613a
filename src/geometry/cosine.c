#include "geometry/cosine.h"

#include "base/clones.h"
#include "base/memory.h"
#include "geometry/observable.h"
#include <math.h>
#include <stdlib.h>

/* |y_i| / |scale x_i| up to which a float32 product of centered rows is good enough: its error, about 2^-23 times the
 * square of this, stays below 1e-6. */
static const double WORST_RATIO = 2.0;

/* The deviation is wanted to 1e-6. Pairs whose cosines are computed in float64 too: few, and more where those err by as much as
 * FINE in the root mean square. */
static const double WANTED = 1e-6, FINE = 1e-7;
enum { FEW = 32, MANY = 1024 };

/* What a sample of pairs says about the sum of squares. */
typedef struct {
  int next;                /* place of a set of rows */
  double n, shift, shift2; /* how many; sums of the errors of (cos - mean)^2, and of their squares */
} sample;

struct tg_cosine_sum {
  tg_cosine out;
  sample sample;
  double *inverse; /* [n] 1 / |x_i|, 0 for a zero vector */
  double *fast;    /* [n] 1 / |scale x_i|, 0 for poor rows too */
  int n_poor;
  float *rows;    /* two of them, for pairs in float64 */
  double squares; /* sum over all pairs of (cos_ij - mean)^2; until the end poor ones as if their cosine were 0 */
};

tg_status tg_cosine_create(int n, int d, tg_cosine_sum **out) {
  tg_cosine_sum *s = NULL;
  TG_TRY(TG_ALLOC(1, &s));
  tg_status st = TG_ALLOC(n, &s->inverse);
  if (st == TG_OK) st = TG_ALLOC(n, &s->fast);
  if (st == TG_OK) st = TG_ALLOC(2 * (size_t)tg_cloud_stride(d), &s->rows);
  if (st != TG_OK) tg_cosine_destroy(&s);
  *out = s;
  return st;
}

void tg_cosine_destroy(tg_cosine_sum **sum) {
  if (!*sum) return;
  free((*sum)->inverse);
  free((*sum)->fast);
  free((*sum)->rows);
  free(*sum);
  *sum = NULL;
}

void tg_cosine_start(tg_cosine_sum *s, const tg_cloud *c, const tg_scan *scan) {
  const double n = c->n, total = tg_scan_cosines(scan, c);
  for (int i = 0; i < c->n; i++) s->inverse[i] = scan->norm2[i] > 0.0 ? 1.0 / sqrt(scan->norm2[i]) : 0.0;
  s->squares = 0.0;
  s->sample = (sample){0};
  s->out = (tg_cosine){total / (n * n), NAN, NAN, scan->n_zero};
  if (c->n > 1) s->out.mean_offdiagonal = (total - (n - scan->n_zero)) / (n * (n - 1.0));
}

/* cos_ij - mean, squared and summed over j < count; cos_ij from the centered Gram matrix. */
TG_CLONES static double deviations(const float *restrict g, const double *restrict inner,
                                   const double *restrict inverse, double own, double own_inverse, double mean,
                                   int count) {
  double lane[TG_LANES] = {0};
  int j = 0;
  for (; j + TG_LANES <= count; j += TG_LANES)
    for (int q = 0; q < TG_LANES; q++) {
      const double u = (((double)g[j + q] + inner[j + q]) + own) * (inverse[j + q] * own_inverse) - mean;
      lane[q] = fma(u, u, lane[q]);
    }
  for (int q = 0; j < count; j++, q++) {
    const double u = (((double)g[j] + inner[j]) + own) * (inverse[j] * own_inverse) - mean;
    lane[q] = fma(u, u, lane[q]);
  }
  double sum = 0.0;
  for (int q = 0; q < TG_LANES; q++) sum += lane[q];
  return sum;
}

/* Which rows the float32 products are good enough for. */
static void mark_poor(tg_cosine_sum *s, const tg_gram *g) {
  s->n_poor = 0;
  for (int i = 0; i < g->n; i++) {
    const double inverse = s->inverse[i] / g->scale;
    const int poor = sqrt((double)g->norm2[i]) * inverse > WORST_RATIO;
    s->fast[i] = poor ? 0.0 : inverse;
    s->n_poor += poor;
  }
}

/* Whether a row is poor: its products were left out. */
static int is_poor(const tg_cosine_sum *s, int i) { return s->fast[i] == 0.0 && s->inverse[i] > 0.0; }

TG_CLONES static double dot(const float *restrict a, const float *restrict b, int ld, double inverse_a,
                            double inverse_b) {
  double lane[TG_LANES] = {0}, sum = 0.0;
  for (int t = 0; t < ld; t += TG_LANES)
    for (int q = 0; q < TG_LANES; q++)
      lane[q] = fma(inverse_a * (double)a[t + q], inverse_b * (double)b[t + q], lane[q]);
  for (int q = 0; q < TG_LANES; q++) sum += lane[q];
  return sum;
}

static double cosine_of(const tg_cosine_sum *s, const tg_cloud *c, int i, int j) {
  return dot(tg_cloud_row(c, i, s->rows), tg_cloud_row(c, j, s->rows + c->ld), c->ld, s->inverse[i], s->inverse[j]);
}

/* Pair number p of all j < i. */
static void pair_of(double p, int *i, int *j) {
  *i = (int)((1.0 + sqrt(1.0 + 8.0 * p)) / 2.0);
  while (0.5 * *i * (*i - 1.0) > p) --*i;
  while (0.5 * *i * (*i + 1.0) <= p) ++*i;
  *j = (int)(p - 0.5 * *i * (*i - 1.0));
}

/* Pairs that lie evenly, by a step of the golden section, among those of the rows that g holds; poor ones are passed over, where
 * nearly all are with less than `wanted` as the end. Returns the sum of the squared errors of their cosines. */
static double take_sample(tg_cosine_sum *s, const tg_gram *g, const tg_cloud *c, int wanted) {
  const double first = 0.5 * g->first * (g->first - 1.0), end = 0.5 * (g->first + g->rows) * (g->first + g->rows - 1.0);
  double errors = 0.0;
  for (int taken = 0; taken < wanted && s->sample.next < 16 * MANY;) {
    const double place = ++s->sample.next * 0.6180339887498949;
    int i, j;
    pair_of(floor(first + (place - floor(place)) * (end - first)), &i, &j);
    if (is_poor(s, i) || is_poor(s, j)) continue;
    const double mean = s->out.mean, exact = cosine_of(s, c, i, j);
    const double got =
        ((double)tg_gram_row(g, i)[j] + g->inner[j] + (g->inner[i] + g->mean_norm2)) * (s->fast[j] * s->fast[i]);
    const double shift = (got - mean) * (got - mean) - (exact - mean) * (exact - mean);
    errors += (got - exact) * (got - exact);
    taken++;
    s->sample.n += 1.0;
    s->sample.shift += shift;
    s->sample.shift2 += shift * shift;
  }
  return errors;
}

void tg_cosine_add(tg_cosine_sum *s, const tg_gram *g, const tg_cloud *c) {
  mark_poor(s, g);
  s->sample.next = 0;
  if (g->first + g->rows > 1 && take_sample(s, g, c, FEW) > FEW * FINE * FINE) take_sample(s, g, c, MANY - FEW);
  for (int i = g->first; i < g->first + g->rows; i++) {
    const double diagonal = (s->inverse[i] > 0.0 ? 1.0 : 0.0) - s->out.mean;
    s->squares += diagonal * diagonal + 2.0 * deviations(tg_gram_row(g, i), g->inner, s->fast,
                                                         g->inner[i] + g->mean_norm2, s->fast[i], s->out.mean, i);
  }
}

/* What the pairs i < j with a poor row add to the squares, in float64. */
static double poor_pairs(const tg_cosine_sum *s, const tg_cloud *c, tg_tick tick) {
  double sum = 0.0;
  for (int i = 0; i < c->n; i++) {
    const float *x = tg_cloud_row(c, i, s->rows);
    tg_tick_call(tick);
    for (int j = 0; j < i; j++) {
      if (!is_poor(s, i) && !is_poor(s, j)) continue;
      const double cosine = dot(x, tg_cloud_row(c, j, s->rows + c->ld), c->ld, s->inverse[i], s->inverse[j]);
      sum += (cosine - s->out.mean) * (cosine - s->out.mean) - s->out.mean * s->out.mean;
    }
  }
  return sum;
}

/* Whether the deviation that the squares give is good enough, as the sample has it: the mean error of a square, with four times its own
 * uncertainty, moves the deviation by less than WANTED. */
static int is_good_enough(const tg_cosine_sum *s, int n) {
  const sample *a = &s->sample;
  if (a->n == 0.0) return 1;
  const double mean = a->shift / a->n, spread = fmax(a->shift2 / a->n - mean * mean, 0.0);
  const double error = fabs(mean) + 4.0 * sqrt(spread / a->n), deviation = sqrt(fmax(s->squares, 0.0)) / n;
  return error <= WANTED * fmax(deviation, WANTED);
}

/* Takes the products of all rows for poor: float64 computes every pair. */
static void distrust(tg_cosine_sum *s, int n) {
  s->squares = 0.0;
  s->n_poor = 0;
  for (int i = 0; i < n; i++) {
    const double diagonal = (s->inverse[i] > 0.0 ? 1.0 : 0.0) - s->out.mean;
    s->squares += diagonal * diagonal + 2.0 * i * s->out.mean * s->out.mean;
    s->fast[i] = 0.0;
    s->n_poor += s->inverse[i] > 0.0;
  }
}

tg_cosine tg_cosine_end(tg_cosine_sum *s, const tg_cloud *c, tg_tick tick) {
  if (s->n_poor > 0) s->squares += 2.0 * poor_pairs(s, c, tick);
  if (!is_good_enough(s, c->n)) {
    distrust(s, c->n);
    s->squares += 2.0 * poor_pairs(s, c, tick);
  }
  s->out.std = sqrt(fmax(s->squares, 0.0)) / c->n;
  return s->out;
}

/* ---- the observable ---- */

static tg_status create(const tg_row_shape *shape, int d, void **scratch) {
  return tg_cosine_create(shape->n_tokens, d, (tg_cosine_sum **)scratch);
}

static void destroy(void *scratch) {
  tg_cosine_sum *sum = scratch;
  tg_cosine_destroy(&sum);
}

static double bytes(const tg_row_shape *shape, int d) { return 16.0 * shape->n_tokens + 8.0 * tg_cloud_stride(d); }

static void start(void *scratch, const tg_view *v) { tg_cosine_start(scratch, v->cloud, v->scan); }
static void rows(void *scratch, const tg_view *v) { tg_cosine_add(scratch, v->gram, v->cloud); }

static tg_status measure(void *scratch, const tg_view *v, tg_row *row) {
  const tg_cosine cosine = tg_cosine_end(scratch, v->cloud, v->tick);
  *tg_row_f64(row, TG_FIELD_COSINE_MEAN) = cosine.mean;
  *tg_row_f64(row, TG_FIELD_COSINE_STD) = cosine.std;
  *tg_row_f64(row, TG_FIELD_COSINE_OFFDIAGONAL) = cosine.mean_offdiagonal;
  *tg_row_i32(row, TG_FIELD_COSINE_ZERO) = cosine.n_zero;
  if (cosine.n_zero > 0) *row->reason |= TG_REASON_ZERO;
  return TG_OK;
}

const tg_observable tg_observable_cosine = {create, destroy, bytes, start, rows, measure};
