#include "results/checksum.h"

#include <xxhash.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
               "numbers are hashed as they stand in the file, little endian");

static int angle_layer_of(const tg_results_model *model, int l) {
  for (int a = 0; a < model->n_angle_layers; a++)
    if (model->angle_layers[a] == l) return a;
  return -1;
}

size_t tg_checksum_bytes(const tg_results_model *model, int field, int l, int *place) {
  const tg_field *f = &tg_fields[field];
  const bool beside = f->origin == TG_FROM_LAST_LAYER || f->origin == TG_FROM_PROMPT;
  *place = 0;
  if (!beside)
    *place = f->axes[2] == TG_AXIS_PAIR ? l - 1 : f->axes[2] == TG_AXIS_ANGLE_LAYER ? angle_layer_of(model, l) : l;
  if (!tg_results_has_field(model, field) || *place < 0 || (beside && l != model->n_layers - 1)) return 0;
  size_t bytes = tg_type_bytes(f->type);
  for (int a = beside ? 2 : 3; a < f->n_axes; a++) bytes *= (size_t)tg_results_axis_length(model, f->axes[a]);
  return bytes;
}

uint64_t tg_checksum_of(const tg_results_model *model, int l, const void *const *numbers) {
  uint64_t hash = 0;
  for (int f = 0; f < TG_N_FIELDS; f++) {
    int place;
    const size_t bytes = tg_checksum_bytes(model, f, l, &place);
    if (bytes > 0) hash = XXH64(numbers[f], bytes, hash);
  }
  return hash ? hash : 1;
}
