#include "geometry/distance_kernels.h"

#include <math.h>

/* The compiler's own vectors keep the sums in memory, so the loops are written with intrinsics where there are any. */
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) /* clang has no such pragmas: it takes the plain loops */
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
#define OWN_PAIRS      /* below, by hand */
#include "geometry/distance_loops.h"
#undef OWN_PAIRS

/* The sums over the lanes of four pairs, by the same tree as sum_lanes: four trees side by side. */
static __m256d sum_four(__m512d sum[4][4]) {
  __m512d half[4];
  for (int p = 0; p < 4; p++) /* q + 16, then q + 8 */
    half[p] = _mm512_add_pd(_mm512_add_pd(sum[p][0], sum[p][2]), _mm512_add_pd(sum[p][1], sum[p][3]));
  const __m512d ab = _mm512_add_pd(_mm512_shuffle_f64x2(half[0], half[1], 0x44),
                                   _mm512_shuffle_f64x2(half[0], half[1], 0xee)); /* q + 4 */
  const __m512d cd =
      _mm512_add_pd(_mm512_shuffle_f64x2(half[2], half[3], 0x44), _mm512_shuffle_f64x2(half[2], half[3], 0xee));
  const __m512d all = _mm512_add_pd(_mm512_shuffle_f64x2(ab, cd, 0x88), _mm512_shuffle_f64x2(ab, cd, 0xdd)); /* q + 2 */
  const __m512d last = _mm512_add_pd(all, _mm512_permute_pd(all, 0x55));                                     /* q + 1 */
  return _mm512_castpd512_pd256(_mm512_permutexvar_pd(_mm512_setr_epi64(0, 2, 4, 6, 0, 2, 4, 6), last));
}

/* The sums of four pairs over one block, u = x - y, and with `dot` that of the first two's u u'. The rows of the pairs to
 * come are fetched meanwhile. */
static inline __attribute__((always_inline)) __m256d four_pairs(const double *x, const float *const y[4],
                                                                const float *const ahead[4], int length, double *dot) {
  __m512d sum[4][4], product[4];
  for (int g = 0; g < 4; g++) {
    for (int q = 0; q < 4; q++) sum[q][g] = _mm512_setzero_pd();
    product[g] = _mm512_setzero_pd();
  }
  for (int t = 0; t < length; t += TG_LANES) {
    for (int q = 0; q < 4; q++) {
      _mm_prefetch((const char *)(ahead[q] + t), _MM_HINT_T0);
      _mm_prefetch((const char *)(ahead[q] + t + 16), _MM_HINT_T0);
    }
    for (int g = 0; g < 4; g++) {
      const __m512d own = _mm512_load_pd(x + t + 8 * g);
      __m512d u[4];
      for (int q = 0; q < 4; q++) {
        u[q] = _mm512_sub_pd(own, _mm512_cvtps_pd(_mm256_load_ps(y[q] + t + 8 * g)));
        sum[q][g] = _mm512_fmadd_pd(u[q], u[q], sum[q][g]);
      }
      if (dot) product[g] = _mm512_fmadd_pd(u[0], u[1], product[g]);
    }
  }
  if (dot) *dot = sum_lanes_avx512(product);
  return sum_four(sum);
}

/* The same for two. */
static inline __attribute__((always_inline)) void two_pairs(const double *x, const float *a, const float *b, int length,
                                                            double d2[4]) {
  __m512d sum[2][4];
  for (int g = 0; g < 4; g++) sum[0][g] = sum[1][g] = _mm512_setzero_pd();
  for (int t = 0; t < length; t += TG_LANES)
    for (int g = 0; g < 4; g++) {
      const __m512d own = _mm512_load_pd(x + t + 8 * g);
      const __m512d u = _mm512_sub_pd(own, _mm512_cvtps_pd(_mm256_load_ps(a + t + 8 * g)));
      const __m512d v = _mm512_sub_pd(own, _mm512_cvtps_pd(_mm256_load_ps(b + t + 8 * g)));
      sum[0][g] = _mm512_fmadd_pd(u, u, sum[0][g]);
      sum[1][g] = _mm512_fmadd_pd(v, v, sum[1][g]);
    }
  d2[0] = sum_lanes_avx512(sum[0]);
  d2[1] = sum_lanes_avx512(sum[1]);
}

/* Pairs first..first+count-1, at most four, all of one token whose part is x. next: the pair whose row comes after them. */
static inline __attribute__((always_inline)) void some_pairs(const float *panel, const double *x, int length, int add,
                                                             tg_pair *pairs, int count, const tg_pair *next,
                                                             const tg_pair *end, double *dot) {
  const float *y[4], *ahead[4];
  double d2[4], product = 0.0;
  for (int q = 0; q < 4; q++) {
    y[q] = panel + (ptrdiff_t)pairs[q < count ? q : 0].j * TG_DISTANCE_BLOCK;
    ahead[q] = panel + (ptrdiff_t)(next + q < end ? next[q].j : 0) * TG_DISTANCE_BLOCK;
  }
  if (dot) {
    _mm256_storeu_pd(d2, four_pairs(x, y, ahead, length, &product));
    *dot = add ? *dot + product : product;
  } else if (count > 2)
    _mm256_storeu_pd(d2, four_pairs(x, y, ahead, length, NULL));
  else
    two_pairs(x, y[0], y[1], length, d2);
  for (int q = 0; q < count; q++) pairs[q].d2 = add ? pairs[q].d2 + d2[q] : d2[q];
}

/* Four pairs of one token at a time: its part is loaded once for them, and they hide each other's way to
 * memory. */
static void pairs_block_avx512(const float *panel, int length, int add, tg_pair *restrict pairs, size_t n_pairs,
                               double *restrict dots) {
  double x[TG_DISTANCE_BLOCK] __attribute__((aligned(64)));
  const tg_pair *end = pairs + n_pairs;
  for (tg_pair *run = pairs, *run_end; run < end; run = run_end) {
    for (run_end = run + 1; run_end < end && run_end->i == run->i;) run_end++;
    for (int t = 0; t < length; t += 8)
      _mm512_store_pd(x + t, _mm512_cvtps_pd(_mm256_load_ps(panel + (ptrdiff_t)run->i * TG_DISTANCE_BLOCK + t)));
    for (tg_pair *p = run; p < run_end; p += 4) {
      const int count = run_end - p < 4 ? (int)(run_end - p) : 4;
      some_pairs(panel, x, length, add, p, count, p + count, end, dots && p == run ? dots : NULL);
    }
    if (dots) dots++;
  }
}
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

void tg_pairs_block(const float *panel, int length, int add, tg_pair *pairs, size_t n_pairs, double *dots) {
  CHOOSE(pairs_block, panel, length, add, pairs, n_pairs, dots);
}

void tg_pairs_block64(const tg_cloud64 *c, int first, int length, tg_pair *pairs, size_t n_pairs) {
  CHOOSE(pairs_block64, c, first, length, pairs, n_pairs);
}
