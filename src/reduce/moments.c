#include "reduce/moments.h"

#include <gsl/gsl_errno.h>
#include <gsl/gsl_sort.h>
#include <gsl/gsl_statistics_double.h>
#include <math.h>

static int gather_finite(const double *values, int n, ptrdiff_t stride, double *finite) {
  int kept = 0;
  for (int p = 0; p < n; p++)
    if (isfinite(values[p * stride])) finite[kept++] = values[p * stride];
  return kept;
}

tg_moments tg_moments_of(const double *values, int n, ptrdiff_t stride, double *scratch) {
  gsl_set_error_handler_off(); /* the default one aborts; the setting is the process's, and setting it again is free */
  tg_moments m = {.mean = NAN, .std = NAN, .median = NAN, .q25 = NAN, .q75 = NAN};
  m.n = gather_finite(values, n, stride, scratch);
  if (m.n == 0) return m;

  /* The sums come before the sort, so that they run in data-set order. */
  const size_t kept = (size_t)m.n;
  m.mean = gsl_stats_mean(scratch, 1, kept);
  m.std = gsl_stats_sd_with_fixed_mean(scratch, 1, kept, m.mean); /* "fixed mean" divides by n, not by n - 1 */
  gsl_sort(scratch, 1, kept);
  m.median = gsl_stats_median_from_sorted_data(scratch, 1, kept);
  m.q25 = gsl_stats_quantile_from_sorted_data(scratch, 1, kept, 0.25);
  m.q75 = gsl_stats_quantile_from_sorted_data(scratch, 1, kept, 0.75);
  return m;
}
