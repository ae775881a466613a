/* The shuffle of a prompt's tokens at level S (arXiv 2501.10573, Algorithm 1): 4^S blocks, permuted uniformly at random by
 * counter-based numbers, so that any rank and any other program gets the same order. Local. */
#ifndef TG_SHUFFLE_H
#define TG_SHUFFLE_H

#include "base/status.h"
#include <stdint.h>

/** Largest level whose blocks hold at least one of n tokens: floor(log4 n). */
int tg_shuffle_levels(int n);

/** 4^level */
int64_t tg_shuffle_blocks(int level);

/** Tokens [n] in shuffled order. Block b has the key word b mod 4 of Philox4x64-10 (Random123) at counter
 *  (1 + b div 4, 0, 0, level) with key (seed, id); blocks are sorted by (key, b). Level 0 copies.
 *  n       a multiple of 4^level
 *  errors  TG_EINTERNAL without memory */
tg_status tg_shuffle(uint64_t seed, int64_t id, int level, int n, const int32_t *tokens, int32_t *out);

#endif
