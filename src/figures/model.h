/* A model of a result file as figures see it: axes, and parts of datasets. Local; reads only. */
#ifndef TG_FIGURE_MODEL_H
#define TG_FIGURE_MODEL_H

#include "base/status.h"
#include "results/load.h"
#include <stdbool.h>

typedef struct {
  char *name, *path; /* of the model, of the result file */
  hid_t file, group;
  int64_t *prompt_ids, *levels, *scales, *k, *angle_layers, *pairs;
  int64_t n_prompts, n_levels, n_layers, n_scales, n_k, n_angle_layers, n_pairs;
  int64_t example;   /* place of the example prompt */
  bool substituted;  /* it is not the one asked for */
  int64_t low, high; /* places of the lowest and the highest level */
} tg_figure_model;

/** Opens one model group, whose datasets must have the lengths of its axes.
 *  example  id of the example prompt
 *  out      caller closes, also after an error. errors TG_EDATA */
tg_status tg_figure_model_open(const char *path, hid_t file, const char *name, int64_t example, tg_figure_model *out);
void tg_figure_model_close(tg_figure_model *model);

enum { TG_ALL = -1 };

/** Part of a dataset as float64: fixed[a] is a place on axis a, or TG_ALL, and then the axis stays. A dataset that the file
 *  does not have gives count = 0 and no error. Caller frees. errors TG_EDATA */
tg_status tg_figure_part(const tg_figure_model *model, const char *path, int n_axes, const int64_t *fixed,
                         tg_array *out);

/** Place of a value on an axis, -1: not there. */
int64_t tg_figure_place(const int64_t *axis, int64_t n, int64_t value);

#endif
