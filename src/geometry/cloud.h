/* One cloud: the tokens of one prompt at one layer, as points. Symbols of the whole folder:
 *   n tokens, d width, ld row stride >= d, i and j tokens, t coordinate, k neighbor rank (1 = nearest). */
#ifndef TG_CLOUD_H
#define TG_CLOUD_H

/* Rows are padded with zeros to a multiple of this, so that every loop over coordinates has whole lanes. */
enum { TG_LANES = 32 };

/** View, owns nothing: x[i * ld + t], float32, 64-byte aligned, -0 stored as +0, zeros in columns d..ld-1, ld a multiple
 *  of TG_LANES. bfloat16 and float16 activations are exact in it. */
typedef struct {
  int n, d, ld;
  const float *x;
} tg_cloud;

/** The same in float64, for the cloud of logit vectors after the change of metric. */
typedef struct {
  int n, d, ld;
  const double *x;
} tg_cloud64;

/** d rounded up to whole lanes, and never a multiple of 2 KiB: rows that far apart fall into the same few sets of a cache. */
static inline int tg_cloud_stride(int d) {
  const int ld = (d + TG_LANES - 1) / TG_LANES * TG_LANES;
  return ld % 512 == 0 ? ld + TG_LANES : ld;
}

#endif
