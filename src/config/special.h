/* Inside of config/: the special keys, each read by a function of its own: one table, in special.c. */
#ifndef TG_CONFIG_SPECIAL_H
#define TG_CONFIG_SPECIAL_H

#include "config/reading.h"

/** Reads a key of type TG_KEY_SPECIAL into the config, or into the reading's model; what is wrong is a mistake of the reading. */
void tg_special_read(tg_reading *r, const tg_key *key, const tg_node *node);

#endif
