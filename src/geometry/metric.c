#include "geometry/metric.h"

#include "base/memory.h"
#include <cblas.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* LAPACK, in OpenBLAS: P^T A P = U^T U with complete pivoting, column-major. */
void dpstrf_(const char *uplo, const int *n, double *a, const int *lda, int *piv, int *rank, const double *tol,
             double *work, int *info, size_t uplo_length);

/* out[r][piv_k] = U_rk, rank rows. */
static void unpack(const double *a, const int *piv, int d, int rank, double *out) {
  for (int r = 0; r < rank; r++)
    for (int k = r; k < d; k++) out[(ptrdiff_t)r * d + piv[k] - 1] = a[(ptrdiff_t)k * d + r];
}

static tg_status check_matrix(const double *a, int d, double *largest) {
  *largest = 0.0;
  for (ptrdiff_t i = 0; i < d; i++) *largest = fmax(*largest, fabs(a[i * d + i]));
  for (ptrdiff_t i = 0; i < d; i++)
    for (ptrdiff_t j = 0; j <= i; j++) {
      const double x = a[i * d + j], y = a[j * d + i];
      TG_CHECK(isfinite(x) && isfinite(y), TG_EDATA, "[%td][%td] is %g, expected finite numbers", i, j, x);
      TG_CHECK(fabs(x - y) <= 1e-6 * *largest, TG_EDATA, "not symmetric, [%td][%td] = %.9g but [%td][%td] = %.9g", i, j,
               x, j, i, y);
    }
  return TG_OK;
}

/* A factor of full rank is proof. Else what it leaves of the matrix must be rounding. rest [d][d]: the matrix, overwritten. */
static tg_status check_factor(double *rest, const tg_metric *m, double largest) {
  const ptrdiff_t d = m->d;
  if (m->rank == m->d) return TG_OK;
  if (m->rank > 0)
    cblas_dsyrk(CblasRowMajor, CblasLower, CblasTrans, m->d, m->rank, -1.0, m->factor, m->d, 1.0, rest, m->d);
  for (ptrdiff_t i = 0; i < d; i++)
    for (ptrdiff_t j = 0; j <= i; j++)
      TG_CHECK(fabs(rest[i * d + j]) <= 1e-8 * largest, TG_EDATA,
               "not positive semidefinite, its Cholesky factor leaves %.3g at [%td][%td], expected W^T W",
               rest[i * d + j], i, j);
  return TG_OK;
}

tg_status tg_metric_create(const double *matrix, int d, tg_metric **out) {
  double *a = NULL, *work = NULL, largest = 0.0;
  int *piv = NULL, info = 0;
  const double automatic = -1.0; /* tolerance d eps max diagonal */
  tg_metric *m = NULL;
  *out = NULL;
  TG_TRY(check_matrix(matrix, d, &largest));
  tg_status st = TG_ALLOC(1, &m);
  if (st == TG_OK) st = TG_ALLOC((size_t)d * (size_t)d, &a);
  if (st == TG_OK) st = TG_ALLOC(2 * (size_t)d, &work);
  if (st == TG_OK) st = TG_ALLOC(d, &piv);
  if (st == TG_OK) {
    memcpy(a, matrix, (size_t)d * (size_t)d * sizeof *a);
    m->d = d;
    dpstrf_("U", &d, a, &d, piv, &m->rank, &automatic, work, &info, 1);
    if (info < 0) st = tg_fail(TG_EINTERNAL, TG_HERE, "dpstrf: argument %d", -info);
  }
  if (st == TG_OK) st = TG_ALLOC((size_t)m->rank * (size_t)d, &m->factor);
  if (st == TG_OK) {
    unpack(a, piv, d, m->rank, m->factor);
    memcpy(a, matrix, (size_t)d * (size_t)d * sizeof *a);
    st = check_factor(a, m, largest);
  }
  free(a);
  free(work);
  free(piv);
  if (st != TG_OK) tg_metric_destroy(&m);
  *out = m;
  return st;
}

void tg_metric_destroy(tg_metric **metric) {
  if (!*metric) return;
  free((*metric)->factor);
  free(*metric);
  *metric = NULL;
}
