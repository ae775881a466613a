#include "run/logit_metric.h"

#include "base/memory.h"
#include "parallel/comm.h"
#include <cblas.h>
#include <stdlib.h>

enum { PANEL = 256, ROWS = 2048 }; /* columns of W^T W at a time, rows of the vocabulary at a time */

/* Columns first..first+count-1 of the upper triangle of W^T W, summed over the vocabulary in order. */
static tg_status add_panel(tg_source *source, int first, int count, float *rows, double *rows64, double *matrix) {
  const tg_source_info *info = tg_source_describe(source);
  const int d = info->width;
  for (int64_t v = 0; v < info->vocabulary; v += ROWS) {
    const int64_t n = info->vocabulary - v < ROWS ? info->vocabulary - v : ROWS;
    TG_TRY(tg_source_read_unembedding(source, v, n, rows));
    for (ptrdiff_t a = 0; a < n * d; a++) rows64[a] = rows[a];
    cblas_dgemm(CblasRowMajor, CblasTrans, CblasNoTrans, first + count, count, (int)n, 1.0, rows64, d, rows64 + first,
                d, 1.0, matrix + first, d);
  }
  return TG_OK;
}

static tg_status form_panels(MPI_Comm comm, tg_source *source, double *matrix) {
  const int d = tg_source_describe(source)->width;
  int rank, ranks;
  MPI_Comm_rank(comm, &rank);
  MPI_Comm_size(comm, &ranks);
  float *rows = NULL;
  double *rows64 = NULL;
  tg_status st = TG_ALLOC((size_t)ROWS * (size_t)d, &rows);
  if (st == TG_OK) st = TG_ALLOC((size_t)ROWS * (size_t)d, &rows64);
  for (int panel = rank; st == TG_OK && panel * PANEL < d; panel += ranks)
    st = add_panel(source, panel * PANEL, d - panel * PANEL < PANEL ? d - panel * PANEL : PANEL, rows, rows64, matrix);
  free(rows);
  free(rows64);
  return st;
}

/* Collective. Every element has one rank that is not zero there, so that the sum is exact. */
static void gather_panels(MPI_Comm comm, double *matrix, int d) {
  int rank;
  MPI_Comm_rank(comm, &rank);
  for (ptrdiff_t i = 0; i < d; i++)
    MPI_Reduce(rank == 0 ? MPI_IN_PLACE : matrix + i * d, matrix + i * d, d, MPI_DOUBLE, MPI_SUM, 0, comm);
  for (ptrdiff_t i = 0; i < d; i++)
    for (ptrdiff_t j = 0; j < i; j++) matrix[i * d + j] = matrix[j * d + i];
}

/* Collective. Rank 0's factor to all. */
static tg_status share(MPI_Comm comm, int d, tg_metric **metric) {
  tg_metric *m = *metric;
  int rank = m ? m->rank : 0;
  tg_status st = TG_OK;
  MPI_Bcast(&rank, 1, MPI_INT, 0, comm);
  if (!m) {
    st = TG_ALLOC(1, metric);
    m = *metric;
    if (m) *m = (tg_metric){d, rank, NULL};
    if (st == TG_OK) st = TG_ALLOC((size_t)rank * (size_t)d, &m->factor);
  }
  st = tg_comm_agree(comm, st);
  for (ptrdiff_t r = 0; st == TG_OK && r < rank; r++) MPI_Bcast(m->factor + r * d, d, MPI_DOUBLE, 0, comm);
  return st;
}

/* Rank 0: the factor, with the file named where it cannot be. */
static tg_status factor(const tg_source_info *info, const double *matrix, tg_metric **out) {
  const tg_status st = tg_metric_create(matrix, info->width, out);
  if (st != TG_EDATA) return st;
  char *why = tg_copy_string(tg_last_error());
  tg_fail(st, TG_HERE, "%s: %s: %s", info->metric_origin, info->has_metric ? "logit_metric" : "W^T W of unembedding",
          why ? why : "");
  free(why);
  return st;
}

tg_status tg_logit_metric_matrix(MPI_Comm comm, tg_source *source, double **out) {
  const tg_source_info *info = tg_source_describe(source);
  double *matrix = NULL;
  int rank;
  *out = NULL;
  if (!info->has_metric && info->vocabulary == 0) return TG_OK;
  MPI_Comm_rank(comm, &rank);
  const int mine = rank == 0 || !info->has_metric; /* who needs the matrix itself */
  tg_status st = mine ? TG_ALLOC((size_t)info->width * (size_t)info->width, &matrix) : TG_OK;
  if (st == TG_OK && rank == 0) st = tg_source_check_metrics(source);
  if (st == TG_OK && rank == 0 && info->has_metric) st = tg_source_read_metric(source, matrix);
  if (st == TG_OK && !info->has_metric) st = form_panels(comm, source, matrix);
  st = tg_comm_agree(comm, st);
  if (st == TG_OK && !info->has_metric) gather_panels(comm, matrix, info->width);
  if (st == TG_OK && rank == 0)
    *out = matrix;
  else
    free(matrix);
  return st;
}

tg_status tg_logit_metric_create(MPI_Comm comm, tg_source *source, tg_metric **out) {
  const tg_source_info *info = tg_source_describe(source);
  double *matrix = NULL;
  *out = NULL;
  if (!info->has_metric && info->vocabulary == 0) return TG_OK;
  TG_TRY(tg_logit_metric_matrix(comm, source, &matrix));
  tg_status st = tg_comm_agree(comm, matrix ? factor(info, matrix, out) : TG_OK);
  if (st == TG_OK) st = share(comm, info->width, out);
  free(matrix);
  if (st != TG_OK) tg_metric_destroy(out);
  return st;
}
