/* One table of everything in the result file: creating, writing, reading back and documenting all loop over it. */
#ifndef TG_FIELDS_H
#define TG_FIELDS_H

#include <stdbool.h>
#include <stddef.h>

typedef enum {
  TG_AXIS_PROMPT,
  TG_AXIS_SHUFFLE,
  TG_AXIS_LAYER,
  TG_AXIS_PAIR,
  TG_AXIS_SCALE,
  TG_AXIS_K,
  TG_AXIS_ANGLE_LAYER,
  TG_AXIS_TOKEN,
  TG_N_AXES
} tg_axis;

/** Name of an axis' dimension scale, with its units and meaning. */
typedef struct {
  const char *name, *units, *long_name;
} tg_axis_text;
extern const tg_axis_text tg_axes[TG_N_AXES];

enum { TG_MAX_AXES = 5 };
typedef enum { TG_F64, TG_I32 } tg_type;
static inline size_t tg_type_bytes(tg_type type) { return type == TG_F64 ? 8 : 4; }

/* Where a field's numbers come from: a number of tg_row, an array of tg_row, or beside the layers. */
typedef enum { TG_FROM_ROW, TG_FROM_ROW_ARRAY, TG_FROM_LAST_LAYER, TG_FROM_PROMPT } tg_origin;

/** One dataset of values. The first two axes are always prompt and shuffle. */
typedef struct {
  const char *path;
  int n_axes;
  tg_axis axes[TG_MAX_AXES];
  tg_type type;
  bool statistics; /* statistics/<path>/ is made of it */
  tg_origin origin;
  size_t offset; /* in tg_row */
  const char *units, *long_name, *source;
} tg_field;

enum {
  TG_FIELD_GRIDE_VALUE,
  TG_FIELD_GRIDE_ERROR,
  TG_FIELD_GRIDE_RADIUS,
  TG_FIELD_N_POINTS,
  TG_FIELD_OVERLAP,
  TG_FIELD_COSINE_MEAN,
  TG_FIELD_COSINE_STD,
  TG_FIELD_COSINE_OFFDIAGONAL,
  TG_FIELD_COSINE_ZERO,
  TG_FIELD_ANGLE_MEAN,
  TG_FIELD_ANGLE_DEFINED,
  TG_FIELD_ANGLE_TOKENS,
  TG_FIELD_RECIPROCITY,
  TG_FIELD_NEIGHBORS,
  TG_FIELD_LOGITS_VALUE,
  TG_FIELD_LOGITS_ERROR,
  TG_FIELD_LOGITS_RADIUS,
  TG_FIELD_ENTROPY,
  TG_FIELD_LOSS,
  TG_FIELD_TOKEN_IDS,
  TG_FIELD_REASON,
  TG_FIELD_STATUS,
  TG_N_FIELDS
};
extern const tg_field tg_fields[TG_N_FIELDS];

/** The six datasets of statistics/<path>/, in the order of tg_moments. `n` is int32. */
enum { TG_N_MOMENTS = 6 };
extern const char *const tg_moment_names[TG_N_MOMENTS];

/** One group of correlations: what is correlated with what, and its axes beyond shuffle. */
typedef struct {
  const char *path, *x, *y; /* for people */
  int n_axes;
  tg_axis axes[TG_MAX_AXES];
  int x_field, y_field; /* of tg_fields */
  bool log_x;           /* ln x is correlated */
} tg_correlation_field;
enum { TG_N_CORRELATIONS = 4, TG_CORRELATION_ID_LOSS = 0 };
extern const tg_correlation_field tg_correlation_fields[TG_N_CORRELATIONS];

/** The datasets of a group of correlations. `n` is int32. */
enum {
  TG_R_PEARSON,
  TG_R_PEARSON_P,
  TG_R_LOW,
  TG_R_HIGH,
  TG_R_BOOT_STD,
  TG_R_PEARSON_BH,
  TG_R_SPEARMAN,
  TG_R_SPEARMAN_P,
  TG_R_SPEARMAN_BH,
  TG_R_PARTIAL,
  TG_R_PARTIAL_P,
  TG_R_N,
  TG_N_R
};
extern const char *const tg_r_names[TG_N_R];
extern const char *const tg_r_long_names[TG_N_R];

#endif
