/* What one cloud gives: the numbers of one (prompt, shuffle level, layer). Plain data; tests fill it by hand. */
#ifndef TG_ROW_H
#define TG_ROW_H

#include "base/status.h"
#include "geometry/cosine.h"
#include <stdbool.h>
#include <stdint.h>

/* Bits of `reason`: why a number of the cloud is NaN or what was special. Written to the result file. */
enum {
  TG_REASON_SCALE = 1,        /* a scale is larger than n_points - 1 */
  TG_REASON_NO_ROOT = 2,      /* GRIDE's condition has no root */
  TG_REASON_K = 4,            /* k is larger than n - 1 */
  TG_REASON_ANGLE = 8,        /* some token has no angle */
  TG_REASON_ZERO = 16,        /* there is a zero vector */
  TG_REASON_NOT_FINITE = 32,  /* NaN or Inf in the input */
  TG_REASON_NO_LOSS = 64,     /* the source has no loss */
  TG_REASON_UNPUBLISHED = 128 /* a number is missing from the published summaries that the row was read from */
};

/* Values of `status`. */
enum { TG_STATUS_TODO = 0, TG_STATUS_DONE = 1, TG_STATUS_REASONS = 2, TG_STATUS_BAD = 3 };

/** Sizes of a row. */
typedef struct {
  int n_scales;
  int scales[16]; /* n2, ascending */
  int k;          /* largest k of overlap, reciprocity and lists */
  int n_tokens;   /* length of the token axis */
  bool neighbors; /* keep the lists */
} tg_row_shape;

/** One layer's numbers; arrays belong to the row. Undefined numbers are NaN, lists end with -1. */
typedef struct {
  double *gride_value, *gride_error, *gride_radius;    /* [n_scales] */
  double *logits_value, *logits_error, *logits_radius; /* [n_scales], of the last layer */
  double *overlap;                                     /* [k] with the layer before */
  double *reciprocity;                                 /* [k] */
  double *angles;                                      /* [n_tokens] degrees */
  int32_t *neighbors;                                  /* [n_tokens][k], NULL unless kept */
  tg_cosine cosine;
  double angle_mean;
  int32_t angle_defined, n_points;
  int32_t status, reason;
} tg_row;

/** Allocates a row's arrays. errors TG_EINTERNAL. Caller frees with tg_row_free. */
tg_status tg_row_create(const tg_row_shape *shape, tg_row *row);
void tg_row_free(tg_row *row);

/** Sets every number to NaN, every list to -1, counts and status to 0. */
void tg_row_clear(const tg_row_shape *shape, tg_row *row);

#endif
