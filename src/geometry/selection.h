/* Passes over one row of proposals: few values picked of many, in whole vectors and without branches. Local: arithmetic only.
 * Order of floats alone; no bound is known here. */
#ifndef TG_SELECTION_H
#define TG_SELECTION_H

#include <stdint.h>

/** v_j = |y_j|^2 - 2 y_i.y_j: the squared distance less the row's constant |y_i|^2; low_j = v_j - bound |y_j|^2. All [m]. */
void tg_select_values(const float *g, const float *norm2, float bound, int m, float *v, float *low);

/** out [m]: g at the tokens. */
void tg_select_gather(const float *g, const int32_t *tokens, int m, float *out);

/** Lowest and highest of v [m]. */
void tg_select_range(const float *v, int m, float *low, float *high);

/** How many are below t. */
int tg_select_count_below(const float *v, int m, float t);

/** The largest norm2 among those with v <= t, 0 where there is none. */
float tg_select_largest_norm(const float *v, const float *norm2, int m, float t);

/** A bracket of the k-th smallest of v: fewer than k values are <= below, namely up_to_below, and at least k are <= top. */
typedef struct {
  float below, top;
  int up_to_below, up_to_top;
} tg_bracket;

/** It is closed until at most `slack` values more than needed are <= top or, with slack < 0, at most -slack lie inside; or until no
 *  float does. low, high: the range of the finite ones, of which there are k at least */
tg_bracket tg_select_bracket(const float *v, int m, int k, int slack, float low, float high);

/** The k-th smallest. places: [m] scratch */
float tg_select_kth(const float *v, int m, int k, float low, float high, int32_t *places);

/** Where each of a few values stands among them, ties as they come: place [count]. cost: count^2 */
void tg_select_order(const float *v, int count, int32_t *place);

/** near_v [n_near]: v at the places near_j. high: out, the largest. Returns the largest norm2 among them. */
float tg_select_gather_near(const float *v, const float *norm2, const int32_t *near_j, int n_near, float *near_v,
                            float *high);

#endif
