#include "results/checksum.h"

#include <xxhash.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
               "numbers are hashed as they stand in the file, little endian");

uint64_t tg_checksum_of(const tg_results_model *model, int l, const void *const *numbers) {
  uint64_t hash = 0;
  for (int f = 0; f < TG_N_FIELDS; f++) {
    int place;
    const size_t bytes = tg_results_part(model, f, l, &place);
    if (bytes > 0) hash = XXH64(numbers[f], bytes, hash);
  }
  return hash ? hash : 1;
}
