/* Included by distance_kernels.c once for every instruction set, with these defined:
 *   NAME(x)          the name of a function for this set
 *   VEC              a vector of WIDTH float64
 *   ZERO, LOAD32(p), LOAD64(p), SUB(a, b), FMA(a, b, sum), STORE(p, v)
 * Lane q of TG_LANES sums the coordinates q, q + TG_LANES, ...; the sums are added as a binary tree. Whatever WIDTH is, the
 * same additions are done in the same order. */

#define GROUPS (TG_LANES / WIDTH)

/* ((0+16)+(8+24))+... */
static double NAME(sum_lanes)(const VEC *sum) {
  double lane[TG_LANES] __attribute__((aligned(64)));
  for (int g = 0; g < GROUPS; g++) STORE(lane + g * WIDTH, sum[g]);
  for (int half = TG_LANES / 2; half > 0; half /= 2)
    for (int q = 0; q < half; q++) lane[q] += lane[q + half];
  return lane[0];
}

#define PAIRS_LOOP(name, cloud, number, LOAD)                                                                          \
  static void NAME(name)(const cloud *c, int first, int length, tg_pair *restrict pairs, size_t n_pairs) {             \
    double x[TG_DISTANCE_BLOCK] __attribute__((aligned(64)));                                                          \
    int32_t i = -1;                                                                                                    \
    for (size_t p = 0; p < n_pairs; p++) {                                                                             \
      if (pairs[p].i != i) { /* token i's part is converted once for a run of pairs */                                 \
        i = pairs[p].i;                                                                                                \
        for (int t = 0; t < length; t += WIDTH) STORE(x + t, LOAD(c->x + (ptrdiff_t)i * c->ld + first + t));           \
      }                                                                                                                \
      const number *y = c->x + (ptrdiff_t)pairs[p].j * c->ld + first;                                                  \
      VEC sum[GROUPS];                                                                                                 \
      for (int g = 0; g < GROUPS; g++) sum[g] = ZERO;                                                                  \
      for (int t = 0; t < length; t += TG_LANES)                                                                       \
        for (int g = 0; g < GROUPS; g++) {                                                                             \
          const VEC u = SUB(LOAD64(x + t + g * WIDTH), LOAD(y + t + g * WIDTH));                                       \
          sum[g] = FMA(u, u, sum[g]);                                                                                  \
        }                                                                                                              \
      const double d2 = NAME(sum_lanes)(sum);                                                                          \
      pairs[p].d2 = first == 0 ? d2 : pairs[p].d2 + d2;                                                                \
    }                                                                                                                  \
  }
PAIRS_LOOP(pairs_block, tg_cloud, float, LOAD32)
PAIRS_LOOP(pairs_block64, tg_cloud64, double, LOAD64)
#undef PAIRS_LOOP

static void NAME(dots_block)(const tg_cloud *c, int first, int length, const int32_t *a_of, const int32_t *b_of,
                             ptrdiff_t stride, double *restrict dots) {
  for (ptrdiff_t i = 0; i < c->n; i++) {
    const float *x = c->x + i * c->ld + first;
    const float *a = c->x + (ptrdiff_t)a_of[i * stride] * c->ld + first;
    const float *b = c->x + (ptrdiff_t)b_of[i * stride] * c->ld + first;
    VEC sum[GROUPS];
    for (int g = 0; g < GROUPS; g++) sum[g] = ZERO;
    for (int t = 0; t < length; t += TG_LANES)
      for (int g = 0; g < GROUPS; g++) {
        const VEC y = LOAD32(x + t + g * WIDTH);
        sum[g] = FMA(SUB(LOAD32(a + t + g * WIDTH), y), SUB(LOAD32(b + t + g * WIDTH), y), sum[g]);
      }
    const double dot = NAME(sum_lanes)(sum);
    dots[i] = first == 0 ? dot : dots[i] + dot;
  }
}

#undef GROUPS
#undef NAME
#undef VEC
#undef WIDTH
#undef ZERO
#undef LOAD32
#undef LOAD64
#undef SUB
#undef FMA
#undef STORE
