/* Products of tiles of bfloat16 rows in float32, by oneDNN. Local. In builds without it nothing is available. */
#ifndef TG_TILES_H
#define TG_TILES_H

#include "base/status.h"
#include <stdint.h>

/* Rows of a tile: two operands of 512 coordinates, the product and the sums stay in the second-level cache. */
enum { TG_TILE = 256 };

/** How fast this CPU multiplies bfloat16 matrices: 0 not at all or no faster than float32, 1 by vectors (AVX512-BF16),
 *  2 by tiles (AMX), an order of magnitude above float32. */
int tg_tiles_speed(void);

/** oneDNN's version, NULL in builds without it. Static text. */
const char *tg_tiles_library(void);

typedef struct tg_tiles tg_tiles;

/** errors TG_EINTERNAL. Caller destroys. */
tg_status tg_tiles_create(tg_tiles **out);
void tg_tiles_destroy(tg_tiles **tiles); /* safe on NULL, leaves NULL */

/** out[i * TG_TILE + j] = sum_t a_it b_jt over t < k in float32, in an order of oneDNN's choice, denormals taken for zero.
 *  a    [m][ld] bfloat16, m <= TG_TILE, k <= ld
 *  b    [n][ld] the same, n <= TG_TILE
 *  out  [m][TG_TILE]; what lies behind the n columns of a row is lost
 *  errors  TG_EINTERNAL */
tg_status tg_tiles_multiply(tg_tiles *tiles, const uint16_t *a, const uint16_t *b, int ld, int m, int n, int k,
                            float *out);

#endif
