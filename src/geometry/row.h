/* What one cloud gives: the numbers of one (prompt, shuffle level, layer), by field. Plain data; tests fill it by hand. */
#ifndef TG_ROW_H
#define TG_ROW_H

#include "base/status.h"
#include "geometry/fields.h"
#include <stdbool.h>
#include <stdint.h>

/* Bits of `reason`: why a number of the cloud is NaN or what was special. Written to the result file. */
enum {
  TG_REASON_SCALE = 1,         /* a scale is larger than n_points - 1 */
  TG_REASON_NO_ROOT = 2,       /* GRIDE's condition has no root */
  TG_REASON_K = 4,             /* k is larger than n - 1 */
  TG_REASON_ANGLE = 8,         /* some token has no angle */
  TG_REASON_ZERO = 16,         /* there is a zero vector */
  TG_REASON_NOT_FINITE = 32,   /* NaN or Inf in the input */
  TG_REASON_NO_LOSS = 64,      /* the source has no loss, or none that is finite */
  TG_REASON_UNPUBLISHED = 128, /* a number is missing from the published summaries that the row was read from */
  TG_REASON_LOGITS = 4096      /* float64 loses the digits of some logit distance */
};

/* Values of `status`. */
enum { TG_STATUS_TODO = 0, TG_STATUS_DONE = 1, TG_STATUS_REASONS = 2, TG_STATUS_BAD = 3 };

/** What is measured, and the sizes that follow. */
typedef struct {
  int n_scales;
  int scales[16];       /* n2, ascending */
  int k;                /* largest k of overlap, reciprocity and lists */
  int n_tokens;         /* length of the token axis */
  uint64_t observables; /* those asked for: bits 1 << TG_OBSERVE_... (observable.h) */
} tg_row_shape;

/** Whether rows of this shape have a field's numbers, and how many. */
bool tg_row_has(const tg_row_shape *shape, int field);
int64_t tg_row_count(const tg_row_shape *shape, int field);

/** One layer's numbers; arrays belong to the row. */
typedef struct {
  void *numbers
      [TG_N_FIELDS]; /* by field: [its axes beyond prompt, shuffle and layer] float64 or int32; NULL: not asked for */
  int32_t *status, *reason; /* two of them */
  double *f64;              /* memory of all float64 ones */
  int32_t *i32;             /* and of all int32 ones */
} tg_row;

static inline double *tg_row_f64(const tg_row *row, int field) { return row->numbers[field]; }
static inline int32_t *tg_row_i32(const tg_row *row, int field) { return row->numbers[field]; }

/** Allocates a row's arrays and clears them. errors TG_EINTERNAL. Caller frees with tg_row_free. */
tg_status tg_row_create(const tg_row_shape *shape, tg_row *row);
void tg_row_free(tg_row *row);

/** Bytes of a row, for plans. */
double tg_row_bytes(const tg_row_shape *shape);

/** Sets every number to what stands where there is none: NaN, -1 in lists, 0 in counts, status and reason. */
void tg_row_clear(const tg_row_shape *shape, tg_row *row);

/** Status of a row that was measured, by its reason. */
static inline void tg_row_done(tg_row *row) { *row->status = *row->reason ? TG_STATUS_REASONS : TG_STATUS_DONE; }

/** A measured row of a prompt without a loss; one whose input was bad stays as it is. */
static inline void tg_row_no_loss(tg_row *row) {
  if (*row->status == TG_STATUS_BAD) return;
  *row->reason |= TG_REASON_NO_LOSS;
  tg_row_done(row);
}

#endif
