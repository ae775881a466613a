/* What is made of the fields over prompts: statistics of each, and correlations between some. */
#ifndef TG_REDUCTIONS_H
#define TG_REDUCTIONS_H

#include "geometry/fields.h"

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
