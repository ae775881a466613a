/* Everything that is known of a cloud as named numbers over named axes: what fields.def lists, as a table. */
#ifndef TG_FIELDS_H
#define TG_FIELDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

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

/** One dataset of values. The first two axes are always prompt and shuffle. */
typedef struct {
  const char *path;
  int observable; /* that it belongs to, TG_OBSERVE_ALWAYS: to none */
  int n_axes;
  tg_axis axes[TG_MAX_AXES];
  tg_type type;
  double missing;            /* stands where there is no number: NaN, or an integer */
  bool statistics;           /* statistics/<path>/ is made of it */
  bool report;               /* `report` has a line about it */
  double absolute, relative; /* largest difference from the plain definition */
  const char *units, *long_name, *source;
} tg_field;

enum {
#define FIELD(id, ...) TG_FIELD_##id,
#include "geometry/fields.def"
#undef FIELD
  TG_N_FIELDS /* TG_FIELD_STATUS is the last: it says that the others are there */
};
extern const tg_field tg_fields[TG_N_FIELDS];

/** Whether the numbers stand layer by layer; else a (prompt, level) has them once, in the row of its last layer. */
bool tg_field_by_layer(int field);

#endif
