/* Loss and entropy of next tokens from logits in tiles, against plain loops in float64. */
#include "../oracle/suite.h"
#include "source/next_token.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

enum { N = 6, MOST = 256000, LD = MOST + 13, PART = 1024 }; /* PART: words that are summed in float32 */

static float logits[N * LD];
static int32_t tokens[N];
static float loss[N], entropy[N];

/* ---- the oracle: -ln p of the next token and -sum p ln p, in float64 with the maximum taken out ---- */

/* Moments of y = x - maximum under the distribution e^y / sum. */
typedef struct {
  double log_sum, mean, square, loss, entropy;
} expected;

static expected plain(const float *x, int vocabulary, int next) {
  expected e = {0};
  double most = -INFINITY, sum = 0.0;
  for (int v = 0; v < vocabulary; v++) most = x[v] > most ? x[v] : most;
  for (int v = 0; v < vocabulary; v++) {
    const double y = x[v] - most, w = exp(y);
    sum += w;
    e.mean += w > 0.0 ? w * y : 0.0;
    e.square += w > 0.0 ? w * y * y : 0.0;
  }
  e.log_sum = log(sum);
  e.mean /= sum;
  e.square /= sum;
  e.loss = e.log_sum + (most - x[next]);
  e.entropy = e.log_sum - e.mean;
  return e;
}

/* ---- tolerances ----
 *
 * u = 2^-24. Each e^y has a relative error of 2e-7 (the series) plus u |y| (y is rounded), sums of t terms of one sign
 * in float32 add t u. So the sum's relative error, which is the absolute one of its logarithm, is at most
 *     s = 2e-7 + t u + u |mean y|,
 * and the error of sum y e^y / sum e^y at most s |mean y| + (2e-7 + t u + 2 u) |mean y| + u mean y^2. Results are
 * rounded to float32: u of their size. t: terms of a lane, those of the rest behind whole vectors go to the first lane. */
static const double u = 1.0 / (1 << 24);

static double of_sum(const expected *e, int t) { return 2e-7 + t * u + u * fabs(e->mean); }
static double of_loss(const expected *e, int t) { return of_sum(e, t) + u * fabs(e->loss); }
static double of_entropy(const expected *e, int t) {
  const double mean = of_sum(e, t) + 2e-7 + (t + 2) * u;
  return of_sum(e, t) + mean * fabs(e->mean) + u * e->square + u * e->entropy;
}

/* ---- making and checking ---- */

static uint64_t random_state;

static double uniform(void) { /* xorshift64*, 0 <= x < 1 */
  random_state ^= random_state >> 12;
  random_state ^= random_state << 25;
  random_state ^= random_state >> 27;
  return (double)((random_state * 0x2545F4914F6CDD1Du) >> 11) / 9007199254740992.0;
}

static double normal(void) { return sqrt(-2.0 * log(1.0 - uniform())) * cos(6.283185307179586 * uniform()); }

static void draw(int vocabulary, double scale, double offset, uint64_t seed) {
  random_state = seed * 0x9E3779B97F4A7C15u + 1;
  for (int i = 0; i < N; i++) {
    for (int v = 0; v < LD; v++) logits[i * LD + v] = v < vocabulary ? (float)(offset + scale * normal()) : NAN;
    tokens[i] = (int32_t)(uniform() * vocabulary);
  }
}

/* Tiles of this width, first to last or the reverse. */
static void predict(int vocabulary, int tile, bool reverse) {
  tg_next_token positions[N];
  const int n_tiles = (vocabulary + tile - 1) / tile;
  for (int i = 0; i < N; i++) loss[i] = entropy[i] = -77.0f;
  tg_next_token_start(N, positions);
  for (int a = 0; a < n_tiles; a++) {
    const int first = (reverse ? n_tiles - 1 - a : a) * tile, left = vocabulary - first;
    tg_next_token_add(N, logits + first, LD, first, left < tile ? left : tile, tokens, positions);
  }
  tg_next_token_finish(N, positions, loss, entropy);
}

static bool near(double got, double wanted, double bound, const char *what, int i) {
  if (fabs(got - wanted) <= bound) return true;
  printf("%s of position %d: %.9g instead of %.9g, bound %.2g\n", what, i, got, wanted, bound);
  return false;
}

static int terms_of_a_lane(int vocabulary, int tile) {
  int width = tile < vocabulary ? tile : vocabulary;
  width = width < PART ? width : PART;
  return width / 16 + width % 16;
}

static void check(int vocabulary, int tile) {
  const int t = terms_of_a_lane(vocabulary, tile);
  for (int i = 0; i < N; i++) {
    const expected e = plain(logits + i * LD, vocabulary, tokens[i + 1 < N ? i + 1 : 0]);
    if (i + 1 < N) CU_ASSERT(near(loss[i], e.loss, of_loss(&e, t), "loss", i));
    CU_ASSERT(near(entropy[i], e.entropy, of_entropy(&e, t), "entropy", i));
  }
  CU_ASSERT(loss[N - 1] == -77.0f); /* the last position has no next token */
}

static void check_all_tiles(int vocabulary) {
  static const int tiles[] = {1, 7, 16, 100, 1000, 1024, MOST};
  for (size_t a = 0; a < sizeof tiles / sizeof tiles[0]; a++)
    for (int reverse = 0; reverse < 2; reverse++) {
      if (tiles[a] == 1 && vocabulary > 2000) continue; /* slow, and said by the others */
      predict(vocabulary, tiles[a], reverse);
      check(vocabulary, tiles[a]);
    }
}

/* ---- tests ---- */

/* Oracle: the plain loops. Sizes around a vector's and a tile's; scales from nearly equal to one that takes all. */
static void random_logits(void) {
  static const int sizes[] = {1, 2, 3, 15, 16, 17, 33, 200, 1023, 1024, 1025, MOST};
  static const double scales[] = {1e-3, 0.1, 1.0, 3.0, 10.0, 100.0, 1e4};
  for (size_t a = 0; a < sizeof sizes / sizeof sizes[0]; a++)
    for (size_t b = 0; b < sizeof scales / sizeof scales[0]; b++) {
      if (sizes[a] == MOST && b % 3 != 0) continue;
      draw(sizes[a], scales[b], 0.0, a * 100 + b);
      check_all_tiles(sizes[a]);
    }
}

/* Oracle: the plain loops on the same float32 numbers. Each e^x alone would overflow or vanish. */
static void large_offsets(void) {
  static const double offsets[] = {1e4, -1e4, 90.0, -90.0, 3e38, -3e38};
  for (size_t a = 0; a < sizeof offsets / sizeof offsets[0]; a++) {
    draw(777, 2.0, offsets[a], a);
    check_all_tiles(777);
  }
}

/* Oracle: closed forms. All V logits equal: loss and entropy are ln V. */
static void equal_logits(void) {
  static const int sizes[] = {1, 2, 16, 31, 1000, MOST};
  static const float values[] = {0.0f, 5.5f, -1e4f, 1e4f};
  for (size_t a = 0; a < sizeof sizes / sizeof sizes[0]; a++)
    for (size_t b = 0; b < sizeof values / sizeof values[0]; b++) {
      draw(sizes[a], 0.0, values[b], 1);
      predict(sizes[a], 1024, false);
      for (int i = 0; i < N; i++) { /* sums of ones are exact, so only the result is rounded */
        if (i + 1 < N) CU_ASSERT(near(loss[i], log(sizes[a]), u * log(sizes[a]), "loss", i));
        CU_ASSERT(near(entropy[i], log(sizes[a]), u * log(sizes[a]), "entropy", i));
      }
    }
}

/* Oracle: closed forms. One logit larger by g >= 200 than V - 1 equal ones: e^-g vanishes, entropy and its loss are 0,
 * any other's loss is g. By g = 5: p = 1 / (1 + (V - 1) e^-5). */
static void one_takes_all(void) {
  enum { V = 500 };
  for (int place = 0; place < V; place += 83) {
    draw(V, 0.0, 1.0, 1);
    for (int i = 0; i < N; i++) logits[i * LD + place] = 301.0f;
    for (int i = 0; i < N; i++) tokens[i] = i % 2 ? place : (place + 1) % V;
    predict(V, 64, false);
    for (int i = 0; i < N; i++) {
      CU_ASSERT(entropy[i] == 0.0f);
      if (i + 1 < N) CU_ASSERT(loss[i] == (i % 2 ? 300.0f : 0.0f));
    }
    for (int i = 0; i < N; i++) logits[i * LD + place] = 6.0f;
    predict(V, 64, true);
    const double sum = 1.0 + (V - 1) * exp(-5.0), p = 1.0 / sum;
    for (int i = 0; i + 1 < N; i++) CU_ASSERT(near(loss[i], (i % 2 ? 5.0 : 0.0) - log(p), 4e-6, "loss", i));
    for (int i = 0; i < N; i++) CU_ASSERT(near(entropy[i], log(sum) + 5.0 * (1.0 - p), 2e-5, "entropy", i));
    check(V, 64);
  }
}

/* Oracle: the plain loops: words of logit -inf have no weight, wherever they stand; a whole tile of them too. A next
 * token of that kind has the loss infinity. */
static void minus_infinity(void) {
  enum { V = 300 };
  static const int ranges[][2] = {{0, 1}, {299, 300}, {0, 64}, {64, 128}, {256, 300}, {0, 299}, {1, 300}, {100, 250}};
  for (size_t a = 0; a < sizeof ranges / sizeof ranges[0]; a++) {
    const int first = ranges[a][0], end = ranges[a][1], kept = first > 0 ? 0 : end;
    draw(V, 2.0, 0.0, a);
    for (int i = 0; i < N; i++) {
      tokens[i] = kept;
      for (int v = first; v < end; v++) logits[i * LD + v] = -INFINITY;
    }
    for (int reverse = 0; reverse < 2; reverse++) {
      predict(V, 64, reverse);
      check(V, 64);
      predict(V, MOST, reverse);
      check(V, MOST);
    }
  }
  tokens[3] = 120;
  predict(V, 64, false);
  CU_ASSERT(isinf(loss[2]) && loss[2] > 0.0f && isfinite(entropy[2]) && isfinite(loss[1]));
}

/* Oracle: the definition: NaN where one of the position's logits is, whichever tile it is in; other positions stay. */
static void not_a_number(void) {
  enum { V = 300 };
  for (int place = 0; place < V; place += 23)
    for (int reverse = 0; reverse < 2; reverse++) {
      draw(V, 2.0, 0.0, 5);
      logits[2 * LD + place] = NAN;
      logits[4 * LD + place] = INFINITY;
      predict(V, 64, reverse);
      for (int i = 0; i < N; i++) {
        const bool bad = i == 2 || i == 4;
        CU_ASSERT(isnan(entropy[i]) == bad);
        if (i + 1 < N && i != 4) CU_ASSERT(isnan(loss[i]) == bad);
        if (i == 4) CU_ASSERT(!isfinite(loss[i]));
      }
    }
}

/* Oracle: the definition: a position's numbers do not depend on how many others are there. */
static void one_position(void) {
  tg_next_token position;
  float a, b = -77.0f;
  draw(200, 1.0, 0.0, 9);
  predict(200, 50, false);
  tg_next_token_start(1, &position);
  for (int first = 0; first < 200; first += 50) tg_next_token_add(1, logits + first, LD, first, 50, tokens, &position);
  tg_next_token_finish(1, &position, &b, &a);
  CU_ASSERT(a == entropy[0] && b == -77.0f);
}

int main(void) {
  CU_TestInfo tests[] = {{"random logits", random_logits},   {"large offsets", large_offsets},
                         {"equal logits", equal_logits},     {"one takes all", one_takes_all},
                         {"minus infinity", minus_infinity}, {"not a number", not_a_number},
                         {"one position", one_position},     CU_TEST_INFO_NULL};
  return suite_run("next_token", tests);
}
