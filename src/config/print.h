/* Inside of config/: a config as YAML. */
#ifndef TG_CONFIG_PRINT_H
#define TG_CONFIG_PRINT_H

#include "config/config.h"

/* The whole study, or only what changes a value under /models; caller frees. Reading it again gives the same config. */
char *tg_config_print(const tg_config *c, bool values_only);

#endif
