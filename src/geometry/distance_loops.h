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

static void NAME(pairs_block64)(const tg_cloud64 *c, int first, int length, tg_pair *restrict pairs, size_t n_pairs) {
  for (size_t p = 0; p < n_pairs; p++) {
    const double *x = c->x + (ptrdiff_t)pairs[p].i * c->ld + first, *y = c->x + (ptrdiff_t)pairs[p].j * c->ld + first;
    VEC sum[GROUPS];
    for (int g = 0; g < GROUPS; g++) sum[g] = ZERO;
    for (int t = 0; t < length; t += TG_LANES)
      for (int g = 0; g < GROUPS; g++) {
        const VEC u = SUB(LOAD64(x + t + g * WIDTH), LOAD64(y + t + g * WIDTH));
        sum[g] = FMA(u, u, sum[g]);
      }
    const double d2 = NAME(sum_lanes)(sum);
    pairs[p].d2 = first > 0 ? pairs[p].d2 + d2 : d2;
  }
}

#ifndef OWN_PAIRS
/* (x_a - x) . (x_b - x) over the block; a = b: a squared distance. */
static double NAME(dot)(const float *x, const float *a, const float *b, int length) {
  VEC sum[GROUPS];
  for (int g = 0; g < GROUPS; g++) sum[g] = ZERO;
  for (int t = 0; t < length; t += TG_LANES)
    for (int g = 0; g < GROUPS; g++) {
      const VEC y = LOAD32(x + t + g * WIDTH);
      sum[g] = FMA(SUB(LOAD32(a + t + g * WIDTH), y), SUB(LOAD32(b + t + g * WIDTH), y), sum[g]);
    }
  return NAME(sum_lanes)(sum);
}

static void NAME(pairs_block)(const float *panel, int length, int add, tg_pair *restrict pairs, size_t n_pairs,
                              double *restrict dots) {
  for (size_t p = 0; p < n_pairs; p++) {
    const float *x = panel + (ptrdiff_t)pairs[p].i * TG_DISTANCE_BLOCK;
    const float *y = panel + (ptrdiff_t)pairs[p].j * TG_DISTANCE_BLOCK;
    const double d2 = NAME(dot)(x, y, y, length);
    pairs[p].d2 = add ? pairs[p].d2 + d2 : d2;
    if (!dots || (p > 0 && pairs[p - 1].i == pairs[p].i)) continue;
    const double dot = NAME(dot)(x, y, panel + (ptrdiff_t)pairs[p + 1].j * TG_DISTANCE_BLOCK, length);
    *dots = add ? *dots + dot : dot;
    dots++;
  }
}
#endif

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
