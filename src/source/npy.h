/* Arrays that NumPy stored: .npy, format versions 1, 2 and 3. Local: no communication.
 * Any bytes may come in: the header is parsed strictly, and its shape is held against the size of what is there before
 * memory is taken. A file must be its array and nothing more. */
#ifndef TG_NPY_H
#define TG_NPY_H

#include "base/status.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { TG_NPY_MAX_AXES = 32 }; /* as in NumPy before version 2 */

/** An array of booleans, integers or floating-point numbers of up to 64 bits. */
typedef struct {
  char kind; /* 'b', 'i', 'u' or 'f', as NumPy writes it */
  int size;  /* bytes of a number: 1, 2, 4 or 8 */
  bool big_endian, fortran_order;
  int n_axes;
  int64_t shape[TG_NPY_MAX_AXES]; /* [n_axes] */
  int64_t count;                  /* product of the shape; 1 without axes */
  const unsigned char *data;      /* [count * size], aligned to nothing */
  void *memory;                   /* that the array owns; NULL: none */
} tg_npy;

/** Parses a file that is in memory.
 *  name    for messages
 *  bytes   [size], borrowed as long as `out` is used
 *  errors  TG_EDATA: no .npy file, truncated, longer than its array, or a type that is none of the above */
tg_status tg_npy_parse(const char *name, const void *bytes, size_t size, tg_npy *out);

/** Reads a file. out: caller frees with tg_npy_free.
 *  errors  as above; TG_ENOINPUT where it cannot be opened; TG_EINTERNAL without memory */
tg_status tg_npy_load(const char *path, tg_npy *out);
void tg_npy_free(tg_npy *array); /* safe on a cleared one, and leaves it so */

/** The number at `place` [n_axes], whatever the type and the order; 64-bit integers are rounded to float64. */
double tg_npy_real(const tg_npy *array, const int64_t *place);

/** The integer at `place`; false for floating-point arrays and beyond int64. */
bool tg_npy_integer(const tg_npy *array, const int64_t *place, int64_t *out);

#endif
