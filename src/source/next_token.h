/* How well a model predicts the next token: loss and entropy of each position from its logits, taken in tiles of the
 * vocabulary, so that the N x vocabulary logits never stand in memory. Local. */
#ifndef TG_NEXT_TOKEN_H
#define TG_NEXT_TOKEN_H

#include "base/status.h"
#include <stddef.h>
#include <stdint.h>

/** One position: with x the logits seen so far and m their maximum, sum = sum e^(x-m), weighted = sum (x-m) e^(x-m).
 *  Nothing overflows, and no large numbers cancel. */
typedef struct {
  double maximum, sum, weighted, target; /* target: logit of the token that comes next */
} tg_next_token;

void tg_next_token_start(int n, tg_next_token *positions);

/** Adds logits [n][ld] of the words first..first+count-1.
 *  tokens  [n]: the prompt; position i predicts tokens[i + 1] */
void tg_next_token_add(int n, const float *logits, ptrdiff_t ld, int64_t first, int count, const int32_t *tokens,
                       tg_next_token *positions);

/** Nats. loss [n - 1]: -ln p(tokens[i + 1]); entropy [n]: -sum p ln p; NaN where a logit is. float32, as files hold them. */
void tg_next_token_finish(int n, const tg_next_token *positions, float *loss, float *entropy);

#endif
