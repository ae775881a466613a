/* Inside of config/: one reading of one config, and the mistakes that it comes across. Local. */
#ifndef TG_CONFIG_READING_H
#define TG_CONFIG_READING_H

#include "config/config.h"
#include "config/keys.h"
#include "config/node.h"

typedef struct {
  tg_config *config;            /* being filled */
  const char *const *overrides; /* borrowed */
  bool inputs;                  /* must be there */
  int model;                    /* that is being read: a place in config->models */
  char mistakes[15000];
  size_t used;
  int n_mistakes, n_listed, n_missing; /* listed: written down; missing: files that cannot be read */
} tg_reading;

/** Notes a mistake and where it stands: "FILE:LINE:COLUMN: ..." or "--set KEY=VALUE: ...". The first 50 are listed, the
 *  rest counted.
 *  where  the node that is wrong; NULL: the file */
void tg_reading_mistake(tg_reading *r, const tg_node *where, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/** What a node is, for messages: "a list", "'text'". Valid until the second call after this one. */
const char *tg_reading_shown(const tg_node *node);

/** A key's full name, e.g. "models[0].source.tokens". Valid until the next call. */
const char *tg_reading_name(const tg_reading *r, const tg_key *key);

/** TG_OK without mistakes, or when all are missing files and none must be there; TG_ENOINPUT when all are missing files;
 *  else TG_ECONFIG. The error's message is all that are listed, one a line. */
tg_status tg_reading_verdict(const tg_reading *r);

#endif
