/* Every key of a config, once: place, type, default, range, unit, help. */
#ifndef TG_KEYS_H
#define TG_KEYS_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

typedef enum {
  TG_KEY_INT,     /* int */
  TG_KEY_INT64,   /* int64_t */
  TG_KEY_UINT64,  /* uint64_t */
  TG_KEY_REAL,    /* double */
  TG_KEY_BOOL,    /* bool */
  TG_KEY_PATH,    /* char *, relative to the config's directory */
  TG_KEY_SPECIAL, /* read by a function of its own in special.c, printed by one in print.c */
  TG_KEY_NESTED   /* models, their source, and its kind, which tells what keys it has: read in config.c */
} tg_key_type;

/** Sections of a config file. A key of a source belongs to one kind of source, or to all (kind ""). */
typedef enum {
  TG_SECTION_ROOT,
  TG_SECTION_MODEL,
  TG_SECTION_SOURCE,
  TG_SECTION_SHUFFLE,
  TG_SECTION_OBSERVABLES,
  TG_SECTION_STATISTICS,
  TG_SECTION_FIGURES,
  TG_SECTION_COMPUTE,
  TG_N_SECTIONS
} tg_section;

/* How a section is written in messages, e.g. "shuffle."; that of a model has its number put in. */
extern const char *const tg_section_names[TG_N_SECTIONS];

typedef struct {
  tg_section section;
  const char *kind; /* of source */
  const char *name;
  tg_key_type type;
  size_t offset;     /* in tg_config or tg_source_config */
  int64_t low, high; /* of numbers */
  const char *value; /* the default as YAML; NULL: the key is required */
  const char *unit, *help;
} tg_key;

extern const tg_key tg_keys[];
extern const int tg_n_keys;

/** A name like `word` that may stand in its place, in text [room]; "" when none is near. A key of another section that is
 *  called just so counts as near, with its full name.
 *  kind  of the source, NULL: not in a source */
void tg_keys_near(const char *word, tg_section section, const char *kind, char *text, size_t room);

/** "cosine, gride, ...": names of observables, but for the lists, which have a key of their own. */
void tg_keys_print_observables(FILE *out, uint64_t observables);

/** "k of the panels that show one (integer, 1 to 256, unit neighbors; default 2)" */
void tg_keys_print_meaning(FILE *out, const tg_key *key);

#endif
