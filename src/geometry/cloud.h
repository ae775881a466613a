/* One cloud: the tokens of one prompt at one layer, as points. Symbols of the whole folder:
 *   n tokens, d width, ld row stride >= d, i and j tokens, t coordinate, k neighbor rank (1 = nearest). */
#ifndef TG_CLOUD_H
#define TG_CLOUD_H

#include <stdint.h>

/* Rows are padded with zeros to a multiple of this, so that every loop over coordinates has whole lanes. */
enum { TG_LANES = 32 };

/** View, owns nothing: x[i * ld + t] or half[i * ld + t], 64-byte aligned, zeros in columns d..ld-1, ld a multiple of
 *  TG_LANES. Exactly one of the two is not NULL. -0 is the same as +0. float16 activations are exact in float32. */
typedef struct {
  int n, d, ld;
  const float *x;       /* float32 */
  const uint16_t *half; /* bfloat16: the upper halves of float32 */
} tg_cloud;

/** The same in float64, for the cloud of logit vectors after the change of metric. */
typedef struct {
  int n, d, ld;
  const double *x;
} tg_cloud64;

/** d rounded up to whole lanes. */
static inline int tg_cloud_width(int d) { return (d + TG_LANES - 1) / TG_LANES * TG_LANES; }

/** The same, and never a multiple of 2 KiB of float32: rows that far apart fall into the same few sets of a cache. */
static inline int tg_cloud_stride(int d) {
  const int ld = tg_cloud_width(d);
  return ld % 512 == 0 ? ld + TG_LANES : ld;
}

/** Coordinates first..first+length-1 (whole lanes) of tokens i..i+count-1 as float32: out [count][stride]. */
void tg_cloud_block(const tg_cloud *c, int i, int count, int first, int length, float *out, int stride);

/** The same of token i alone, where it lies or in `buffer`; for loops over all tokens: those to come are fetched. */
const float *tg_cloud_visit(const tg_cloud *c, int i, int first, int length, float *buffer);

/** The same of all tokens of a bfloat16 cloud, as they are: out [n][stride]. */
void tg_cloud_half_block(const tg_cloud *c, int first, int length, uint16_t *out, int stride);

/** Token i as float32 [ld]: where it lies, or in `buffer` [ld]. */
const float *tg_cloud_row(const tg_cloud *c, int i, float *buffer);

/** Whether two tokens are one vector. */
int tg_cloud_same(const tg_cloud *c, int i, int j);

/** Means of x_it and of x_it^2 over the tokens, in token order: mean [ld], square [ld] or NULL. buffer [ld] */
void tg_cloud_mean(const tg_cloud *c, float *buffer, double *mean, double *square);

#endif
