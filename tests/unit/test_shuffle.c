/* The shuffle of tokens: the same permutation as NumPy's Philox gives. */
#include "../oracle/suite.h"
#include "source/shuffle.h"

#include "../data/shuffle.h"
#include <Random123/philox.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

enum { MOST = 4096 };

/* The tokens 0..n-1, shuffled: a block's first token names it. */
static int32_t tokens[MOST], out[MOST + 1];

static void shuffle_places(uint64_t seed, int64_t id, int level, int n) {
  for (int i = 0; i < n; i++) tokens[i] = i;
  for (int i = 0; i <= MOST; i++) out[i] = -7;
  CU_ASSERT_FATAL(tg_shuffle(seed, id, level, n, tokens, out) == TG_OK);
}

/* Oracle: numpy.random.Philox and argsort, frozen by data/make_shuffle.py; blocks of one, two and three tokens. */
static void permutations_are_numpys(void) {
  for (size_t c = 0; c < sizeof cases / sizeof cases[0]; c++)
    for (int length = 1; length <= 3; length++) {
      const int blocks = 1 << (2 * cases[c].level), n = blocks * length;
      int wrong = 0;
      shuffle_places(cases[c].seed, cases[c].id, cases[c].level, n);
      for (int i = 0; i < n; i++) wrong += out[i] != cases[c].order[i / length] * length + i % length;
      if (wrong) printf("case %zu, blocks of %d: %d places differ\n", c, length, wrong);
      CU_ASSERT(wrong == 0);
      CU_ASSERT(out[n] == -7);
    }
}

/* Oracle: NumPy's first word for key (7, 3218), level 2. The block's key is what the specification says. */
static void first_word_is_numpys(void) {
  const philox4x64_key_t key = {{7, 3218}};
  const philox4x64_ctr_t counter = {{1, 0, 0, 2}};
  CU_ASSERT(philox4x64(counter, key).v[0] == 0x054990b5280c46aeu);
}

/* Oracle: the definition: level 0 is the prompt itself. */
static void level_0_is_the_prompt(void) {
  static const int lengths[] = {1, 2, 3, 5, 64, 1000, 4095};
  for (size_t a = 0; a < sizeof lengths / sizeof lengths[0]; a++) {
    shuffle_places(3, 4, 0, lengths[a]);
    CU_ASSERT(memcmp(tokens, out, (size_t)lengths[a] * sizeof *out) == 0);
    CU_ASSERT(out[lengths[a]] == -7);
  }
}

/* Oracle: the definition: every block comes once and whole, whatever tokens it holds; levels, seeds and ids differ. */
static void blocks_come_once_and_whole(void) {
  static int32_t previous[MOST];
  for (int level = 1; level <= 6; level++)
    for (int length = 1; length * (1 << (2 * level)) <= MOST && length <= 5; length++) {
      const int blocks = 1 << (2 * level), n = blocks * length;
      static bool seen[MOST];
      int wrong = 0;
      memset(seen, 0, sizeof seen);
      shuffle_places(11, 12, level, n);
      for (int b = 0; b < blocks; b++) {
        const int32_t from = out[b * length];
        if (from < 0 || from >= n || from % length != 0 || seen[from / length]) {
          wrong++;
          continue;
        }
        seen[from / length] = true;
        for (int i = 0; i < length; i++) wrong += out[b * length + i] != from + i;
      }
      CU_ASSERT(wrong == 0);
      if (level < 3) continue; /* 64 blocks or more: two equal permutations are not to be expected */
      memcpy(previous, out, sizeof previous);
      shuffle_places(11, 13, level, n);
      CU_ASSERT(memcmp(previous, out, (size_t)n * sizeof *out) != 0);
      shuffle_places(12, 12, level, n);
      CU_ASSERT(memcmp(previous, out, (size_t)n * sizeof *out) != 0);
    }
}

/* Oracle: the definition of the largest level, 4^S <= n. */
static void levels_and_blocks(void) {
  for (int n = 1; n <= 70000; n++) {
    const int level = tg_shuffle_levels(n);
    CU_ASSERT_FATAL(level >= 0 && tg_shuffle_blocks(level) <= n && tg_shuffle_blocks(level + 1) > n);
  }
  int64_t blocks = 1;
  for (int level = 0; level <= 20; level++, blocks *= 4) CU_ASSERT(tg_shuffle_blocks(level) == blocks);
  CU_ASSERT(tg_shuffle_levels(1024) == 5 && tg_shuffle_levels(1023) == 4 && tg_shuffle_levels(INT32_MAX) == 15);
}

int main(void) {
  CU_TestInfo tests[] = {{"permutations are NumPy's", permutations_are_numpys},
                         {"the first word is NumPy's", first_word_is_numpys},
                         {"level 0 is the prompt", level_0_is_the_prompt},
                         {"blocks come once and whole", blocks_come_once_and_whole},
                         {"levels and blocks", levels_and_blocks},
                         CU_TEST_INFO_NULL};
  return suite_run("shuffle", tests);
}
