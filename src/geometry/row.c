#include "geometry/row.h"

#include "base/memory.h"
#include <math.h>
#include <stdlib.h>

tg_status tg_row_create(const tg_row_shape *shape, tg_row *row) {
  const size_t scales = (size_t)shape->n_scales, k = (size_t)shape->k, n = (size_t)shape->n_tokens;
  *row = (tg_row){0};
  tg_status st = TG_ALLOC(6 * scales + 2 * k + n, &row->gride_value);
  if (st == TG_OK && shape->neighbors) st = TG_ALLOC(n * k, &row->neighbors);
  if (st != TG_OK) {
    tg_row_free(row);
    return st;
  }
  row->gride_error = row->gride_value + scales;
  row->gride_radius = row->gride_error + scales;
  row->logits_value = row->gride_radius + scales;
  row->logits_error = row->logits_value + scales;
  row->logits_radius = row->logits_error + scales;
  row->overlap = row->logits_radius + scales;
  row->reciprocity = row->overlap + k;
  row->angles = row->reciprocity + k;
  tg_row_clear(shape, row);
  return TG_OK;
}

void tg_row_free(tg_row *row) {
  free(row->gride_value); /* the first of all float64 arrays */
  free(row->neighbors);
  *row = (tg_row){0};
}

void tg_row_clear(const tg_row_shape *shape, tg_row *row) {
  const size_t n = (size_t)shape->n_tokens, k = (size_t)shape->k;
  for (size_t a = 0; a < 6 * (size_t)shape->n_scales + 2 * k + n; a++) row->gride_value[a] = NAN;
  for (size_t a = 0; shape->neighbors && a < n * k; a++) row->neighbors[a] = -1;
  row->cosine = (tg_cosine){NAN, NAN, NAN, 0};
  row->angle_mean = NAN;
  row->angle_defined = row->n_points = row->status = row->reason = 0;
}
