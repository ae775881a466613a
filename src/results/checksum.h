/* The checksum of a cloud: what shows later that its values, reason and status are those that were written. Local. */
#ifndef TG_CHECKSUM_H
#define TG_CHECKSUM_H

#include "results/results.h"

/** XXH64 (seed 0) of the cloud's bytes in the file, field after field in the order of tg_fields, each hashed with the hash
 *  of those before it as the seed; never 0, which says that there is none: 1 instead.
 *  numbers  [TG_N_FIELDS] where the cloud's numbers of each field start; not read where it has none */
uint64_t tg_checksum_of(const tg_results_model *model, int l, const void *const *numbers);

#endif
