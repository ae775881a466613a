/* Inside of config/: numbers, truth and lists of numbers. What is none, or out of range, is a mistake of the reading.
 *  name  the key's, for messages */
#ifndef TG_CONFIG_VALUES_H
#define TG_CONFIG_VALUES_H

#include "config/reading.h"

/** An integer low..high; false, and `low`, where there is none. */
bool tg_values_integer(tg_reading *r, const char *name, const tg_node *node, int64_t low, int64_t high, int64_t *out);

void tg_values_seed(tg_reading *r, const char *name, const tg_node *node, uint64_t *out);
void tg_values_real(tg_reading *r, const char *name, const tg_node *node, int64_t low, int64_t high, double *out);
void tg_values_bool(tg_reading *r, const char *name, const tg_node *node, bool *out);

/** Integers low..high, ascending; one that is listed twice is a mistake. The list may be empty.
 *  out      caller frees; NULL when the node is no list
 *  returns  how many */
int64_t tg_values_list(tg_reading *r, const char *name, const tg_node *node, int64_t low, int64_t high, int64_t **out);

/** The word `all`: true, and no list. Else false and a list like the above; an empty one is a mistake. */
bool tg_values_all_or_list(tg_reading *r, const char *name, const tg_node *node, int64_t low, int64_t high,
                           int64_t **out, int64_t *n);

#endif
