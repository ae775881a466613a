/* Figure 1: the shuffle, as an algorithm and on 16 tokens. */
#include "figures/kinds.h"
#include "source/shuffle.h"

static const tg_panel_kind kind = {"fig01", "shuffle", "The shuffling algorithm with an example",
                                   "shuffle,position,token,block", "all [1]"};

tg_status tg_figures_shuffle(tg_figure_set *set) {
  enum { N = 16 };
  static const char *const algorithm[] = {"Algorithm 1: shuffle a prompt at level S",
                                          "1. cut its N tokens into 4^S blocks of N / 4^S consecutive tokens",
                                          "2. draw a permutation of the blocks uniformly at random",
                                          "3. put the blocks in that order; inside a block nothing moves"};
  const int64_t id = set->models[0].prompt_ids[set->models[0].example];
  int32_t tokens[N], out[N];
  tg_panel *panel;
  TG_TRY(tg_panel_begin(&kind, &panel));
  tg_panel_caption(panel, "Tokens 0..15 of a prompt with number %lld, shuffled at levels 0, 1, 2 (seed %llu).",
                   (long long)id, (unsigned long long)set->options->shuffle_seed);
  for (size_t a = 0; a < sizeof algorithm / sizeof algorithm[0]; a++)
    tg_panel_comment(panel, "algorithm: %s", algorithm[a]);
  for (int i = 0; i < N; i++) tokens[i] = i;
  tg_status st = TG_OK;
  for (int level = 0; st == TG_OK && level <= 2; level++) {
    st = tg_shuffle(set->options->shuffle_seed, id, level, N, tokens, out);
    const int64_t length = N / tg_shuffle_blocks(level);
    for (int64_t i = 0; st == TG_OK && i < N; i++)
      tg_panel_row(panel, "iiii", (int64_t)level, i, (int64_t)out[i], out[i] / length);
  }
  tg_panel_mark_data(panel);
  const tg_status ended = tg_figure_end(set, &panel, "");
  return st == TG_OK ? ended : st;
}
