#include "geometry/observable.h"

#define OBSERVABLE(id, name, needs) extern const tg_observable tg_observable_##name;
#include "geometry/observables.def"
#undef OBSERVABLE

#define NEED(what) TG_NEED_##what
const tg_observable_entry tg_observables[TG_N_OBSERVABLES] = {
#define OBSERVABLE(id, name, needs) {#name, needs, &tg_observable_##name},
#include "geometry/observables.def"
#undef OBSERVABLE
};

unsigned tg_needs_of(const tg_row_shape *shape) {
  unsigned needs = 0;
  for (int o = 0; o < TG_N_OBSERVABLES; o++) needs |= tg_is_observed(shape, o) ? tg_observables[o].needs : 0;
  return needs;
}
