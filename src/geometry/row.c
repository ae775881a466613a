#include "geometry/row.h"

#include "base/memory.h"
#include "geometry/observable.h"
#include <stdlib.h>

bool tg_row_has(const tg_row_shape *shape, int field) {
  const int observable = tg_fields[field].observable;
  return observable == TG_OBSERVE_ALWAYS || tg_is_observed(shape, observable);
}

static int64_t length_of(const tg_row_shape *shape, tg_axis axis) {
  return axis == TG_AXIS_SCALE ? shape->n_scales : axis == TG_AXIS_K ? shape->k : shape->n_tokens;
}

int64_t tg_row_count(const tg_row_shape *shape, int field) {
  int64_t count = tg_row_has(shape, field);
  for (int a = tg_field_by_layer(field) ? 3 : 2; a < tg_fields[field].n_axes; a++)
    count *= length_of(shape, tg_fields[field].axes[a]);
  return count;
}

static int64_t count_of(const tg_row_shape *shape, tg_type type) {
  int64_t count = 0;
  for (int f = 0; f < TG_N_FIELDS; f++) count += tg_fields[f].type == type ? tg_row_count(shape, f) : 0;
  return count;
}

double tg_row_bytes(const tg_row_shape *shape) {
  return 8.0 * (double)count_of(shape, TG_F64) + 4.0 * (double)count_of(shape, TG_I32);
}

tg_status tg_row_create(const tg_row_shape *shape, tg_row *row) {
  *row = (tg_row){0};
  tg_status st = TG_ALLOC(count_of(shape, TG_F64), &row->f64);
  if (st == TG_OK) st = TG_ALLOC(count_of(shape, TG_I32), &row->i32);
  if (st != TG_OK) {
    tg_row_free(row);
    return st;
  }
  double *f64 = row->f64;
  int32_t *i32 = row->i32;
  for (int f = 0; f < TG_N_FIELDS; f++) {
    if (!tg_row_has(shape, f)) continue;
    const int64_t count = tg_row_count(shape, f);
    if (tg_fields[f].type == TG_F64)
      row->numbers[f] = f64, f64 += count;
    else
      row->numbers[f] = i32, i32 += count;
  }
  row->status = tg_row_i32(row, TG_FIELD_STATUS);
  row->reason = tg_row_i32(row, TG_FIELD_REASON);
  tg_row_clear(shape, row);
  return TG_OK;
}

void tg_row_free(tg_row *row) {
  free(row->f64);
  free(row->i32);
  *row = (tg_row){0};
}

void tg_row_clear(const tg_row_shape *shape, tg_row *row) {
  for (int f = 0; f < TG_N_FIELDS; f++) {
    const int64_t count = tg_row_count(shape, f);
    const double missing = tg_fields[f].missing;
    if (tg_fields[f].type == TG_F64)
      for (int64_t a = 0; a < count; a++) tg_row_f64(row, f)[a] = missing;
    else
      for (int64_t a = 0; a < count; a++) tg_row_i32(row, f)[a] = (int32_t)missing;
  }
}
