/* A YAML document as a tree that remembers where everything stood (libyaml). Local. */
#ifndef TG_NODE_H
#define TG_NODE_H

#include "base/status.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum { TG_NODE_SCALAR, TG_NODE_LIST, TG_NODE_MAP } tg_node_kind;

typedef struct tg_node tg_node;
struct tg_node {
  tg_node_kind kind;
  char *text;      /* of a scalar */
  bool quoted;     /* a scalar in quotes is text, whatever it looks like */
  char **keys;     /* of a map, [n]; a key given twice stands here twice */
  tg_node **items; /* of a list or a map, [n] */
  bool *used;      /* of a map: whether the key was asked for, [n] */
  int n;
  int line, column; /* from 1; 0: not from the file */
  int override;     /* number of the --set that it comes from, -1: the file */
};

/** Parses one YAML document.
 *  text      [length] bytes
 *  override  see tg_node
 *  problem   [room] out: on failure "LINE:COLUMN: what", or without the place for overrides
 *  returns   the tree, freed by tg_node_free; NULL on failure. An empty file is an empty map, an empty override "" */
tg_node *tg_node_parse(const char *text, size_t length, int override, char *problem, size_t room);
void tg_node_free(tg_node *node); /* safe on NULL */

/** The (first) item of a map under `key`, marked as used; NULL when there is none. */
tg_node *tg_node_get(tg_node *map, const char *key);

/** Puts `value` at a path "a.b.0.c" or "a.b[0].c", making maps on the way; a list's item by number, its length appends.
 *  Takes value, also on failure. problem as above. */
bool tg_node_set(tg_node *root, const char *path, tg_node *value, char *problem, size_t room);

bool tg_node_is_word(const tg_node *node, const char *word); /* the scalar `word`, in quotes or not */
bool tg_node_is_null(const tg_node *node);                   /* nothing, ~ or null, not in quotes */

/** The character of UTF-8 at *text, which moves behind it; UINT32_MAX, and one byte on, where there is none. */
uint32_t tg_node_character(const char **text);
bool tg_node_is_text(const char *text); /* all of it UTF-8 */

#endif
