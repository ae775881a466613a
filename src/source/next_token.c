#include "source/next_token.h"

#include "base/clones.h"
#include <math.h>
#include <string.h>

enum { LANES = 16, PART = 1024 }; /* words whose terms are summed in float32 */

void tg_next_token_start(int n, tg_next_token *positions) {
  for (int i = 0; i < n; i++) positions[i] = (tg_next_token){-INFINITY, 0.0, 0.0, NAN};
}

/* e^x for x <= 0 to 2e-7 relative; 0 below -87. Cody and Waite's reduction to |r| <= ln 2 / 2, Taylor's series to r^7. */
static inline float exponential(float x) {
  const float low = x < -87.0f ? -87.0f : x, k = rintf(low * 1.44269504f);
  const float r = (low - k * 0.693359375f) + k * 2.12194440e-4f;
  float p = 1.0f / 5040.0f;
  p = p * r + 1.0f / 720.0f;
  p = p * r + 1.0f / 120.0f;
  p = p * r + 1.0f / 24.0f;
  p = p * r + 1.0f / 6.0f;
  p = p * r + 0.5f;
  p = p * r + 1.0f;
  p = p * r + 1.0f;
  const int32_t bits = ((int32_t)k + 127) << 23;
  float scale;
  memcpy(&scale, &bits, sizeof scale);
  return x < -87.0f ? 0.0f : p * scale;
}

static inline float larger(float a, float b) { return a > b ? a : b; }

/* Maximum of a row, NaN when one of its numbers is. */
TG_CLONES static float maximum_of(const float *x, int count) {
  float most[LANES], good = 0.0f;
  for (int a = 0; a < LANES; a++) most[a] = -INFINITY;
  int j = 0;
  for (; j + LANES <= count; j += LANES)
    for (int a = 0; a < LANES; a++) most[a] = larger(x[j + a], most[a]);
  for (; j < count; j++) most[0] = larger(x[j], most[0]);
  for (int a = 1; a < LANES; a++) most[0] = larger(most[a], most[0]);
  for (j = 0; j < count; j++) good += x[j] == x[j] ? 0.0f : 1.0f;
  return good > 0.0f ? NAN : most[0];
}

/* sums[0] = sum e^(x-m), sums[1] = sum (x-m) e^(x-m), of PART words at most: each lane rounds PART / LANES times. */
TG_CLONES static void sum_of(const float *x, int count, float m, double sums[2]) {
  float s[LANES] = {0}, t[LANES] = {0};
  int j = 0;
  for (; j + LANES <= count; j += LANES)
    for (int a = 0; a < LANES; a++) {
      const float y = x[j + a] - m, e = exponential(y);
      s[a] += e;
      t[a] += e > 0.0f ? y * e : 0.0f;
    }
  for (; j < count; j++) {
    const float y = x[j] - m, e = exponential(y);
    s[0] += e;
    t[0] += e > 0.0f ? y * e : 0.0f;
  }
  sums[0] = sums[1] = 0.0;
  for (int a = 0; a < LANES; a++) {
    sums[0] += s[a];
    sums[1] += t[a];
  }
}

/* Moves a position's sums to a larger maximum m: x - m is x - maximum less the step. */
static void rescale(tg_next_token *p, double m) {
  const double step = m - p->maximum, factor = exp(-step);
  if (p->sum > 0.0) {
    p->weighted = factor > 0.0 ? factor * (p->weighted - step * p->sum) : 0.0;
    p->sum *= factor;
  }
  p->maximum = m;
}

/* Some words of one position. */
static void add_part(const float *x, int count, tg_next_token *p) {
  const float m = maximum_of(x, count);
  double sums[2] = {0.0, 0.0};
  if (!isnan(p->maximum) && !(m <= p->maximum)) rescale(p, m);         /* also to NaN, which stays */
  if (isfinite(p->maximum)) sum_of(x, count, (float)p->maximum, sums); /* at -inf no word so far has any weight */
  p->sum += sums[0];
  p->weighted += sums[1];
}

void tg_next_token_add(int n, const float *logits, ptrdiff_t ld, int64_t first, int count, const int32_t *tokens,
                       tg_next_token *positions) {
  for (int i = 0; i < n; i++) {
    const float *row = logits + i * ld;
    for (int from = 0; from < count; from += PART)
      add_part(row + from, count - from < PART ? count - from : PART, &positions[i]);
    if (i + 1 < n && tokens[i + 1] >= first && tokens[i + 1] < first + count)
      positions[i].target = row[tokens[i + 1] - first];
  }
}

void tg_next_token_finish(int n, const tg_next_token *positions, float *loss, float *entropy) {
  for (int i = 0; i < n; i++) {
    const tg_next_token *p = &positions[i];
    const double log_sum = log(p->sum);
    if (i + 1 < n) loss[i] = (float)(log_sum + (p->maximum - p->target));
    entropy[i] = (float)(log_sum - p->weighted / p->sum);
  }
}
