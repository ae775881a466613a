#include "geometry/selection.h"

#include "base/clones.h"
#include "geometry/cloud.h"
#include "geometry/collect.h"
#include <math.h>
#include <string.h>

enum { FEW = 4 }; /* values that are put in order instead of bracketed */

TG_CLONES void tg_select_values(const float *restrict g, const float *restrict norm2, float bound, int m,
                                float *restrict v, float *restrict low) {
  for (int j = 0; j < m; j++) {
    v[j] = norm2[j] - 2.0f * g[j];
    low[j] = v[j] - bound * norm2[j];
  }
}

TG_CLONES void tg_select_gather(const float *restrict g, const int32_t *restrict tokens, int m, float *restrict out) {
  for (int j = 0; j < m; j++) out[j] = g[tokens[j]];
}

/* Whole lanes first, so that the compiler needs no license to reorder. */
TG_CLONES void tg_select_range(const float *restrict v, int m, float *low, float *high) {
  float a[TG_LANES], b[TG_LANES];
  for (int q = 0; q < TG_LANES; q++) a[q] = b[q] = v[0];
  int j = 0;
  for (; j + TG_LANES <= m; j += TG_LANES)
    for (int q = 0; q < TG_LANES; q++) {
      a[q] = v[j + q] < a[q] ? v[j + q] : a[q];
      b[q] = v[j + q] > b[q] ? v[j + q] : b[q];
    }
  for (; j < m; j++) {
    a[0] = v[j] < a[0] ? v[j] : a[0];
    b[0] = v[j] > b[0] ? v[j] : b[0];
  }
  *low = a[0], *high = b[0];
  for (int q = 1; q < TG_LANES; q++) {
    *low = a[q] < *low ? a[q] : *low;
    *high = b[q] > *high ? b[q] : *high;
  }
}

TG_CLONES static int count_up_to(const float *restrict v, int m, float t) {
  int count = 0;
  for (int j = 0; j < m; j++) count += v[j] <= t;
  return count;
}

TG_CLONES int tg_select_count_below(const float *restrict v, int m, float t) {
  int count = 0;
  for (int j = 0; j < m; j++) count += v[j] < t;
  return count;
}

/* Floats that are not negative have the order of their bits, and integers may be compared in any order. */
TG_CLONES float tg_select_largest_norm(const float *restrict v, const float *restrict norm2, int m, float t) {
  int32_t largest = 0;
  for (int j = 0; j < m; j++) {
    int32_t bits;
    memcpy(&bits, norm2 + j, sizeof bits);
    bits = v[j] <= t ? bits : 0;
    largest = bits > largest ? bits : largest;
  }
  float norm;
  memcpy(&norm, &largest, sizeof norm);
  return norm;
}

/* A place inside: where the k-th would lie if values were spread evenly, every third time the middle, for those that are not. */
static float inside(const tg_bracket *b, int k, int step) {
  const float share =
      step % 3 == 2 ? 0.5f : ((float)(k - b->up_to_below) - 0.5f) / (float)(b->up_to_top - b->up_to_below);
  return b->below + share * (b->top - b->below);
}

tg_bracket tg_select_bracket(const float *v, int m, int k, int slack, float low, float high) {
  tg_bracket b = {nextafterf(low, -INFINITY), high, 0, m};
  for (int step = 0; slack < 0 ? b.up_to_top - b.up_to_below > -slack : b.up_to_top > k + slack; step++) {
    float middle = inside(&b, k, step);
    if (middle <= b.below || middle >= b.top) middle = inside(&b, k, 2);
    if (middle <= b.below || middle >= b.top) break;
    const int count = count_up_to(v, m, middle);
    if (count >= k)
      b.top = middle, b.up_to_top = count;
    else
      b.below = middle, b.up_to_below = count;
  }
  return b;
}

/* Counting needs no branches and runs in whole vectors. */
TG_CLONES void tg_select_order(const float *restrict v, int count, int32_t *restrict place) {
  for (int a = 0; a < count; a++) {
    int before = 0;
    for (int b = 0; b < a; b++) before += v[b] <= v[a];
    for (int b = a + 1; b < count; b++) before += v[b] < v[a];
    place[a] = before;
  }
}

float tg_select_kth(const float *v, int m, int k, float low, float high, int32_t *places) {
  const tg_bracket b = tg_select_bracket(v, m, k, -FEW, low, high);
  if (b.up_to_top - b.up_to_below > FEW) return b.top; /* all of them equal */
  float few[FEW] = {0};
  int32_t place[FEW];
  const int count = tg_collect(v, m, nextafterf(b.below, INFINITY), b.top, places);
  for (int a = 0; a < count; a++) few[a] = v[places[a]];
  tg_select_order(few, count, place);
  for (int a = 0; a < count; a++)
    if (place[a] == k - b.up_to_below - 1) return few[a];
  return b.top; /* not reached */
}

TG_CLONES float tg_select_gather_near(const float *restrict v, const float *restrict norm2,
                                      const int32_t *restrict near_j, int n_near, float *restrict near_v, float *high) {
  float norm = 0.0f, most = -INFINITY;
  for (int a = 0; a < n_near; a++) {
    near_v[a] = v[near_j[a]];
    most = near_v[a] > most ? near_v[a] : most;
    norm = norm2[near_j[a]] > norm ? norm2[near_j[a]] : norm;
  }
  *high = most;
  return norm;
}
