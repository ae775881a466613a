#include "source/source_impl.h"

#include "base/clones.h"
#include <string.h>

size_t tg_element_size(tg_element element) { return element == TG_FLOAT32 ? 4 : 2; }

static inline float float_of(uint32_t bits) {
  float x;
  memcpy(&x, &bits, sizeof x);
  return x;
}

TG_CLONES static void from_bfloat16(const uint16_t *restrict raw, int d, float *restrict out) {
  for (int t = 0; t < d; t++) out[t] = float_of((uint32_t)raw[t] << 16) + 0.0f;
}

/* IEEE binary16 by shifting into float32: the exponent is put right by a product, which handles denormals exactly; Inf and
 * NaN get the largest exponent. */
TG_CLONES static void from_float16(const uint16_t *restrict raw, int d, float *restrict out) {
  for (int t = 0; t < d; t++) {
    const uint32_t h = raw[t], magnitude = (h & 0x7fffu) << 13, sign = (h & 0x8000u) << 16;
    const float scaled = float_of(magnitude) * 0x1p112f;
    uint32_t bits;
    memcpy(&bits, &scaled, sizeof bits);
    bits = (h & 0x7c00u) == 0x7c00u ? magnitude | 0x7f800000u : bits;
    out[t] = float_of(bits | sign) + 0.0f;
  }
}

TG_CLONES static void from_float32(const float *restrict raw, int d, float *restrict out) {
  for (int t = 0; t < d; t++) out[t] = raw[t] + 0.0f;
}

void tg_convert(tg_element element, const void *raw, int n, int d, int ld, float *out) {
  for (ptrdiff_t i = 0; i < n; i++) {
    float *row = out + i * ld;
    if (element == TG_BFLOAT16)
      from_bfloat16((const uint16_t *)raw + i * d, d, row);
    else if (element == TG_FLOAT16)
      from_float16((const uint16_t *)raw + i * d, d, row);
    else
      from_float32((const float *)raw + i * d, d, row);
    memset(row + d, 0, (size_t)(ld - d) * sizeof *row);
  }
}
