#include "geometry/collect.h"

static int collect_from(const float *restrict v, int start, int m, float first, float last, int32_t *restrict places,
                        int count) {
  for (int a = start; a < m; a++) {
    places[count] = a;
    count += (v[a] >= first) & (v[a] <= last);
  }
  return count;
}

#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>

/* Sixteen at a time: AVX-512 packs the places that pass. A packed store may write only what it counts. */
__attribute__((target("avx512f,popcnt"))) static int collect_avx512(const float *v, int m, float first, float last,
                                                                    int32_t *places) {
  const __m512 low = _mm512_set1_ps(first), high = _mm512_set1_ps(last);
  __m512i place = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
  int count = 0, a = 0;
  for (; a + 16 <= m; a += 16) {
    const __m512 x = _mm512_loadu_ps(v + a);
    const __mmask16 inside = _mm512_cmp_ps_mask(x, low, _CMP_GE_OQ) & _mm512_cmp_ps_mask(x, high, _CMP_LE_OQ);
    _mm512_mask_compressstoreu_epi32(places + count, inside, place);
    count += __builtin_popcount(inside);
    place = _mm512_add_epi32(place, _mm512_set1_epi32(16));
  }
  return collect_from(v, a, m, first, last, places, count);
}
#endif

int tg_collect(const float *v, int m, float first, float last, int32_t *places) {
#if defined(__x86_64__) && defined(__GNUC__)
  if (__builtin_cpu_supports("avx512f")) return collect_avx512(v, m, first, last, places);
#endif
  return collect_from(v, 0, m, first, last, places, 0);
}
