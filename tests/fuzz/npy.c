/* Fuzzing: the reader of NumPy's arrays (source/npy.h), and every number of what it takes. */
#include "source/npy.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const unsigned char *bytes, size_t size);

static volatile double sink;

int LLVMFuzzerTestOneInput(const unsigned char *bytes, size_t size) {
  tg_npy array;
  int64_t place[TG_NPY_MAX_AXES] = {0}, integer;
  if (tg_npy_parse("fuzz.npy", bytes, size, &array) != TG_OK) return 0;
  for (int64_t i = 0; i < array.count; i++) {
    sink = tg_npy_real(&array, place);
    if (tg_npy_integer(&array, place, &integer)) sink = (double)integer;
    for (int a = array.n_axes - 1; a >= 0 && ++place[a] == array.shape[a]; a--) place[a] = 0;
  }
  return 0;
}
