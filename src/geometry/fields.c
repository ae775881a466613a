#include "geometry/fields.h"

#include "geometry/observable.h"
#include <math.h>

const tg_axis_text tg_axes[TG_N_AXES] = {
    {"prompt_id", "1", "number of the prompt in the source corpus"},
    {"shuffle", "1", "shuffle level S: the prompt's tokens cut into 4^S blocks, the blocks permuted"},
    {"layer", "1", "layer: 0 is the embedding, the last is the last hidden state"},
    {"layer_pair", "1", "first layer l of the pair (l, l + 1)"},
    {"scale", "1", "neighbor rank n2 = 2 n1 of GRIDE"},
    {"k", "1", "number of nearest neighbors"},
    {"angle_layer", "1", "layer whose neighbor angles are kept for every token"},
    {"token", "1", "place of the token in the prompt, from 0"},
};

/* The other words of fields.def. */
#define LAYER       TG_AXIS_LAYER
#define PAIR        TG_AXIS_PAIR
#define SCALE       TG_AXIS_SCALE
#define K           TG_AXIS_K
#define ANGLE_LAYER TG_AXIS_ANGLE_LAYER
#define TOKEN       TG_AXIS_TOKEN
#define ON(...)                                                                                                        \
  sizeof((const int[]){TG_AXIS_PROMPT, TG_AXIS_SHUFFLE, __VA_ARGS__}) / sizeof(int), {                                 \
    TG_AXIS_PROMPT, TG_AXIS_SHUFFLE, __VA_ARGS__                                                                       \
  }

#define REASONS                                                                                                        \
  "bits: 1 scale > n_points - 1; 2 no GRIDE root; 4 k > n - 1; 8 some angle undefined; 16 zero vector; 32 NaN or "     \
  "Inf in the input; 64 no loss; 128 missing from published summaries; 4096 logit distances too small beside the "     \
  "logits"
#define STATUSES                                                                                                       \
  "0 not done, 1 done, 2 done with reasons, 3 input was bad; a layer is done only when its pair with l - 1 is written"

const tg_field tg_fields[TG_N_FIELDS] = {
#define FIELD(id, observable, path, axes, type, missing, statistics, report, absolute, relative, units, meaning, from) \
  {path, TG_OBSERVE_##observable, axes, TG_##type, missing, statistics, report, absolute, relative, units, meaning,    \
   from},
#include "geometry/fields.def"
#undef FIELD
};

bool tg_field_by_layer(int field) {
  const tg_field *f = &tg_fields[field];
  return f->n_axes > 2 &&
         (f->axes[2] == TG_AXIS_LAYER || f->axes[2] == TG_AXIS_PAIR || f->axes[2] == TG_AXIS_ANGLE_LAYER);
}
