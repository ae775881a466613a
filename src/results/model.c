/* What follows from a model's axes. */
#include "results/results.h"

int64_t tg_results_axis_length(const tg_results_model *model, tg_axis axis) {
  switch (axis) {
  case TG_AXIS_PROMPT:
    return model->n_prompts;
  case TG_AXIS_SHUFFLE:
    return model->n_levels;
  case TG_AXIS_LAYER:
    return model->n_layers;
  case TG_AXIS_PAIR:
    return model->n_layers - 1;
  case TG_AXIS_SCALE:
    return model->shape.n_scales;
  case TG_AXIS_K:
    return model->shape.k;
  case TG_AXIS_ANGLE_LAYER:
    return model->n_angle_layers;
  case TG_AXIS_TOKEN:
    return model->shape.n_tokens;
  default:
    return 0;
  }
}

bool tg_results_has_field(const tg_results_model *model, int field) {
  if (!tg_row_has(&model->shape, field) || (field == TG_FIELD_TOKEN_IDS && !model->token_ids)) return false;
  for (int a = 0; a < tg_fields[field].n_axes; a++)
    if (tg_results_axis_length(model, tg_fields[field].axes[a]) == 0) return false;
  return true;
}

bool tg_results_has_correlation(const tg_results_model *model, int group) {
  return tg_results_has_field(model, tg_correlation_fields[group].x_field) &&
         tg_results_has_field(model, tg_correlation_fields[group].y_field);
}

int64_t tg_results_inner(const tg_results_model *model, int field) {
  int64_t count = 1;
  for (int a = 2; a < tg_fields[field].n_axes; a++) count *= tg_results_axis_length(model, tg_fields[field].axes[a]);
  return count;
}

double tg_results_bytes(const tg_results_layout *layout) {
  double bytes = 0.0;
  for (int m = 0; m < layout->n_models; m++) {
    const tg_results_model *model = &layout->models[m];
    bytes += 8.0 * (double)model->n_prompts * model->n_levels * model->n_layers; /* checksums */
    for (int f = 0; f < TG_N_FIELDS; f++) {
      if (!tg_results_has_field(model, f)) continue;
      const double inner = (double)tg_results_inner(model, f) * model->n_levels;
      bytes += inner * (double)model->n_prompts * (double)tg_type_bytes(tg_fields[f].type);
      if (tg_fields[f].statistics) bytes += inner * 44.0;
    }
  }
  return bytes;
}

/* ---- a cloud's part of a field ---- */

static int angle_layer_of(const tg_results_model *model, int l) {
  for (int a = 0; a < model->n_angle_layers; a++)
    if (model->angle_layers[a] == l) return a;
  return -1;
}

size_t tg_results_part(const tg_results_model *model, int field, int l, int *place) {
  const tg_field *f = &tg_fields[field];
  const bool by_layer = tg_field_by_layer(field);
  *place = 0;
  if (by_layer)
    *place = f->axes[2] == TG_AXIS_PAIR ? l - 1 : f->axes[2] == TG_AXIS_ANGLE_LAYER ? angle_layer_of(model, l) : l;
  if (!tg_results_has_field(model, field) || *place < 0 || (!by_layer && l != model->n_layers - 1)) return 0;
  return (size_t)tg_row_count(&model->shape, field) * tg_type_bytes(f->type);
}
