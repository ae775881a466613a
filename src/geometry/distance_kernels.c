#include "geometry/distance_kernels.h"

#include <math.h>

/* The compiler's own vectors keep the sums in memory, so the loops are written with intrinsics where there are any. */
#if defined(__x86_64__) && defined(__GNUC__)
#define TG_X86 1
#include <immintrin.h>

#pragma GCC push_options
#pragma GCC target("avx512f")
#define NAME(x)        x##_avx512
#define VEC            __m512d
#define WIDTH          8
#define ZERO           _mm512_setzero_pd()
#define LOAD32(p)      _mm512_cvtps_pd(_mm256_loadu_ps(p))
#define LOAD64(p)      _mm512_loadu_pd(p)
#define SUB(a, b)      _mm512_sub_pd(a, b)
#define FMA(a, b, sum) _mm512_fmadd_pd(a, b, sum)
#define STORE(p, v)    _mm512_storeu_pd(p, v)
#include "geometry/distance_loops.h"
#pragma GCC pop_options

#pragma GCC push_options
#pragma GCC target("avx2,fma")
#define NAME(x)        x##_avx2
#define VEC            __m256d
#define WIDTH          4
#define ZERO           _mm256_setzero_pd()
#define LOAD32(p)      _mm256_cvtps_pd(_mm_loadu_ps(p))
#define LOAD64(p)      _mm256_loadu_pd(p)
#define SUB(a, b)      _mm256_sub_pd(a, b)
#define FMA(a, b, sum) _mm256_fmadd_pd(a, b, sum)
#define STORE(p, v)    _mm256_storeu_pd(p, v)
#include "geometry/distance_loops.h"
#pragma GCC pop_options
#endif

#define NAME(x)        x##_plain
#define VEC            double
#define WIDTH          1
#define ZERO           0.0
#define LOAD32(p)      ((double)*(p))
#define LOAD64(p)      (*(p))
#define SUB(a, b)      ((a) - (b))
#define FMA(a, b, sum) fma(a, b, sum)
#define STORE(p, v)    (*(p) = (v))
#include "geometry/distance_loops.h"

#ifdef TG_X86
#define CHOOSE(name, ...)                                                                                              \
  do {                                                                                                                 \
    if (__builtin_cpu_supports("avx512f"))                                                                             \
      name##_avx512(__VA_ARGS__);                                                                                      \
    else if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))                                          \
      name##_avx2(__VA_ARGS__);                                                                                        \
    else                                                                                                               \
      name##_plain(__VA_ARGS__);                                                                                       \
  } while (0)
#else
#define CHOOSE(name, ...) name##_plain(__VA_ARGS__)
#endif

void tg_pairs_block(const tg_cloud *c, int first, int length, tg_pair *pairs, size_t n_pairs) {
  CHOOSE(pairs_block, c, first, length, pairs, n_pairs);
}

void tg_pairs_block64(const tg_cloud64 *c, int first, int length, tg_pair *pairs, size_t n_pairs) {
  CHOOSE(pairs_block64, c, first, length, pairs, n_pairs);
}

void tg_dots_block(const tg_cloud *c, int first, int length, const int32_t *a_of, const int32_t *b_of, ptrdiff_t stride,
                   double *dots) {
  CHOOSE(dots_block, c, first, length, a_of, b_of, stride, dots);
}
