/* Aligned memory whose sizes cannot overflow. Local. */
#ifndef TG_MEMORY_H
#define TG_MEMORY_H

#include "base/status.h"
#include <stddef.h>

/** count * size bytes, aligned to 64, all zero, in *out; free with free(). count = 0 gives one byte's worth, never NULL.
 *  errors  TG_EINTERNAL when the product overflows or there is no memory; then *out = NULL */
tg_status tg_alloc_bytes(size_t count, size_t size, void **out);

/** TG_ALLOC(count, &pointer): the same for a typed pointer. */
#define TG_ALLOC(count, out) tg_alloc_bytes((size_t)(count), sizeof **(out), (void **)(out))

/** Bytes of this process that lie in memory now, those that it shares with others too; 0 where the system does not say. */
double tg_resident_bytes(void);

/** A copy of a string, caller frees; NULL when there is no memory. */
char *tg_copy_string(const char *text);

#endif
