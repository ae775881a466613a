#include "geometry/gride.h"

#include "geometry/observable.h"
#include <float.h>
#include <math.h>
#include <stddef.h>
#include <string.h>

static const double LOWEST = 0.001, HIGHEST = 1000.0, FLOOR = 2e-7, FLOOR_ERROR = 5.0 * DBL_EPSILON;

typedef struct {
  const double *log_mu; /* [n] kept points */
  int n;
  int n1, n2;
} likelihood;

/* Puts the k-th smallest of x[0..n-1] at x[k], smaller ones before it (Hoare's selection, middle of three). */
static void select_kth(double *x, int n, int k) {
  for (int low = 0, high = n - 1; low < high;) {
    const double a = x[low], b = x[low + (high - low) / 2], c = x[high];
    const double pivot = a < b ? (b < c ? b : (a < c ? c : a)) : (a < c ? a : (b < c ? c : b));
    int i = low, j = high;
    while (i <= j) {
      while (x[i] < pivot) i++;
      while (x[j] > pivot) j--;
      if (i > j) break;
      const double swap = x[i];
      x[i++] = x[j];
      x[j--] = swap;
    }
    if (k <= j)
      high = j;
    else if (k >= i)
      low = i;
    else
      return;
  }
}

/* Percentile with linear interpolation, in NumPy's arithmetic; reorders x. */
static double quantile(double *x, int n, double q) {
  const double place = q * (n - 1);
  const int below = (int)place < n - 1 ? (int)place : n - 1;
  select_kth(x, n, below);
  double above = x[below];
  for (int i = below + 1; i < n; i++) above = i == below + 1 || x[i] < above ? x[i] : above;
  const double part = place - below, step = above - x[below];
  return part < 0.5 ? x[below] + step * part : above - step * (1.0 - part);
}

/* The derivative of minus the log likelihood; it rises with d, so that it has one zero at most. slope: its own. */
static double condition(const likelihood *p, double d, double *slope) {
  const double weight = p->n2 - p->n1 - 1;
  double sum = 0.0, rise = 0.0;
  for (int i = 0; i < p->n; i++) {
    double rest = -expm1(-d * p->log_mu[i]);
    if (rest < FLOOR)
      rest = FLOOR;
    else
      rise += weight * p->log_mu[i] * p->log_mu[i] * (1.0 - rest) / (rest * rest);
    sum += (p->n2 - 1 - weight / rest) * p->log_mu[i];
  }
  *slope = rise + (p->n - 1) / (d * d);
  return sum - (p->n - 1) / d;
}

/* Newton's method inside a shrinking bracket. NaN without a sign change. */
static double root(const likelihood *p) {
  double slope, low = LOWEST, high = HIGHEST;
  if (p->n < 2 || condition(p, low, &slope) > 0.0 || !(condition(p, high, &slope) > 0.0)) return NAN;
  double sum = 0.0;
  for (int i = 0; i < p->n; i++) sum += p->log_mu[i];
  double d = (p->n - 1) / (p->n1 * sum); /* the exact root for n1 = 1, of the right size for the others */
  for (int step = 0; step < 200 && high - low > DBL_EPSILON * high; step++) {
    if (!(d > low && d < high)) d = 0.5 * (low + high);
    const double f = condition(p, d, &slope);
    if (f > 0.0)
      high = d;
    else
      low = d;
    const double next = d - f / slope;
    if (fabs(next - d) <= 4.0 * DBL_EPSILON * d) return next;
    d = next;
  }
  return d;
}

static double standard_error(const double *log_mu, int n, int n1, int n2, double d) {
  double sum = 0.0;
  for (int i = 0; i < n; i++) {
    if (isinf(log_mu[i])) continue; /* inner = 0: the limit of the term is 0 */
    const double rest = -expm1(-d * log_mu[i]);
    const double ratio = log_mu[i] / (rest < FLOOR_ERROR ? FLOOR_ERROR : rest);
    sum += ratio * ratio * (1.0 - rest);
  }
  return 1.0 / sqrt(n / (d * d) + (n2 - n1 - 1) * sum);
}

/* Points with a much larger ratio than most are left out of the fit: "very likely overlapping points" (DADApy). */
static int keep(const double *mu, const double *log_mu, int n, double *kept) {
  memcpy(kept, mu, (size_t)n * sizeof *mu); /* for the percentiles, which reorder */
  const double middle = quantile(kept, n, 0.5), limit = 20.0 * (quantile(kept, n, 0.95) - middle) + middle;
  int count = 0;
  for (int i = 0; i < n; i++)
    if (mu[i] < limit) kept[count++] = log_mu[i];
  return count;
}

tg_gride tg_gride_fit(const double *inner2, const double *outer2, int stride, int n, int n2, double *scratch) {
  tg_gride out = {NAN, NAN, NAN, 0};
  double *mu = scratch, *log_mu = scratch + n, *kept = scratch + 2 * (ptrdiff_t)n, radius = 0.0;
  for (ptrdiff_t i = 0; i < n; i++) {
    const double inner = sqrt(inner2[i * stride]), outer = sqrt(outer2[i * stride]);
    radius += 0.5 * (inner + outer);
    mu[i] = outer == inner ? 1.0 : outer / inner; /* both may be 0 among logits of distinct tokens */
    if (mu[i] == 1.0) mu[i] = 1.0 + 10.0 * DBL_EPSILON;
    log_mu[i] = log(mu[i]);
  }
  out.radius = radius / n;
  const likelihood p = {kept, keep(mu, log_mu, n, kept), n2 / 2, n2};
  out.value = root(&p);
  out.no_root = isnan(out.value);
  if (!out.no_root) out.error = standard_error(log_mu, n, n2 / 2, n2, out.value);
  return out;
}

/* ---- all scales ---- */

int tg_gride_add_rank(int *ranks, int n_ranks, int rank) {
  int at = n_ranks;
  for (int r = 0; r < n_ranks; r++)
    if (ranks[r] == rank) return n_ranks;
  for (; at > 0 && ranks[at - 1] > rank; at--) ranks[at] = ranks[at - 1];
  ranks[at] = rank;
  return n_ranks + 1;
}

int tg_gride_add_ranks(const tg_row_shape *shape, int points, int *ranks, int n_ranks) {
  for (int s = 0; s < shape->n_scales && shape->scales[s] <= points - 1; s++) {
    n_ranks = tg_gride_add_rank(ranks, n_ranks, shape->scales[s] / 2);
    n_ranks = tg_gride_add_rank(ranks, n_ranks, shape->scales[s]);
  }
  return n_ranks;
}

static int place_of(const int *ranks, int rank) {
  int r = 0;
  while (ranks[r] != rank) r++;
  return r;
}

int tg_gride_fit_scales(const tg_row_shape *shape, const tg_neighbors_query *q, const double *d2, double *scratch,
                        double *value, double *error, double *radius) {
  int reason = 0;
  for (int s = 0; s < shape->n_scales; s++) {
    const int n2 = shape->scales[s];
    if (n2 > q->m - 1) {
      reason |= TG_REASON_SCALE;
      continue;
    }
    const tg_gride g =
        tg_gride_fit(d2 + place_of(q->ranks, n2 / 2), d2 + place_of(q->ranks, n2), q->n_ranks, q->m, n2, scratch);
    value[s] = g.value;
    error[s] = g.error;
    radius[s] = g.radius;
    if (g.no_root) reason |= TG_REASON_NO_ROOT;
  }
  return reason;
}

static tg_status measure(void *scratch, const tg_view *v, tg_row *row) {
  (void)scratch;
  *tg_row_i32(row, TG_FIELD_N_POINTS) = v->n_distinct;
  *row->reason |=
      tg_gride_fit_scales(v->shape, v->points, v->point_d2, v->numbers, tg_row_f64(row, TG_FIELD_GRIDE_VALUE),
                          tg_row_f64(row, TG_FIELD_GRIDE_ERROR), tg_row_f64(row, TG_FIELD_GRIDE_RADIUS));
  return TG_OK;
}

const tg_observable tg_observable_gride = {.measure = measure};
