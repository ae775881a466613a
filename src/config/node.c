#include "config/node.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

enum { MAX_DEPTH = 32, MAX_NODES = 200000 }; /* aliases may unfold without end */

typedef struct {
  yaml_document_t *document;
  int override, depth, n_nodes;
  char *problem;
  size_t room;
  bool failed;
} builder;

static void fail(builder *b, const yaml_mark_t *mark, const char *what) {
  if (b->failed) return;
  b->failed = true;
  if (b->override >= 0)
    snprintf(b->problem, b->room, "%s", what);
  else
    snprintf(b->problem, b->room, "%zu:%zu: %s", mark->line + 1, mark->column + 1, what);
}

static tg_node *new_node(tg_node_kind kind, int override) {
  tg_node *node = calloc(1, sizeof *node);
  if (!node) abort(); /* a config is a few kilobytes */
  node->kind = kind;
  node->override = override;
  return node;
}

void tg_node_free(tg_node *node) {
  if (!node) return;
  for (int a = 0; a < node->n; a++) {
    tg_node_free(node->items[a]);
    if (node->keys) free(node->keys[a]);
  }
  free(node->text);
  free(node->keys);
  free(node->items);
  free(node->used);
  free(node);
}

static void append(tg_node *node, char *key, tg_node *item) {
  const size_t n = (size_t)node->n + 1;
  node->items = realloc(node->items, n * sizeof *node->items);
  if (node->kind == TG_NODE_MAP) {
    node->keys = realloc(node->keys, n * sizeof *node->keys);
    node->used = realloc(node->used, n * sizeof *node->used);
    if (!node->keys || !node->used) abort();
    node->keys[node->n] = key;
    node->used[node->n] = false;
  }
  if (!node->items) abort();
  node->items[node->n++] = item;
}

static tg_node *build(builder *b, int index);

static void build_pair(builder *b, tg_node *map, const yaml_node_pair_t *pair) {
  const yaml_node_t *key = yaml_document_get_node(b->document, pair->key);
  if (!key || key->type != YAML_SCALAR_NODE) {
    fail(b, key ? &key->start_mark : &(yaml_mark_t){0, 0, 0}, "a key is a list or a map, expected a name");
    return;
  }
  const char *name = (const char *)key->data.scalar.value;
  char what[256];
  snprintf(what, sizeof what, "the key '%.100s' occurs twice", name);
  for (int a = 0; a < map->n; a++)
    if (strcmp(map->keys[a], name) == 0) fail(b, &key->start_mark, what);
  tg_node *item = build(b, pair->value);
  if (!item) return;
  if (item->kind != TG_NODE_SCALAR) { /* a block begins on a later line: its key is where people look */
    item->line = (int)key->start_mark.line + 1;
    item->column = (int)key->start_mark.column + 1;
  }
  append(map, strdup(name), item);
}

static tg_node *build(builder *b, int index) {
  const yaml_node_t *from = yaml_document_get_node(b->document, index);
  if (!from || b->failed) return NULL;
  if (++b->n_nodes > MAX_NODES || b->depth > MAX_DEPTH) {
    fail(b, &from->start_mark, "nested too deeply or aliases without end");
    return NULL;
  }
  tg_node *node = new_node(from->type == YAML_SCALAR_NODE     ? TG_NODE_SCALAR
                           : from->type == YAML_SEQUENCE_NODE ? TG_NODE_LIST
                                                              : TG_NODE_MAP,
                           b->override);
  node->line = (int)from->start_mark.line + 1;
  node->column = (int)from->start_mark.column + 1;
  b->depth++;
  if (node->kind == TG_NODE_SCALAR) {
    node->text = strdup((const char *)from->data.scalar.value);
    node->quoted = from->data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
    if (node->text && strlen(node->text) != from->data.scalar.length)
      fail(b, &from->start_mark, "a text with a zero byte");
  } else if (node->kind == TG_NODE_LIST) {
    for (yaml_node_item_t *item = from->data.sequence.items.start; item < from->data.sequence.items.top; item++) {
      tg_node *child = build(b, *item);
      if (child) append(node, NULL, child);
    }
  } else
    for (yaml_node_pair_t *pair = from->data.mapping.pairs.start; pair < from->data.mapping.pairs.top; pair++)
      build_pair(b, node, pair);
  b->depth--;
  return node;
}

/* What libyaml could not read. */
static void report_syntax(const yaml_parser_t *parser, builder *b) {
  char what[512];
  const yaml_mark_t *mark =
      parser->problem_mark.line || parser->problem_mark.column ? &parser->problem_mark : &parser->context_mark;
  snprintf(what, sizeof what, "YAML: %s%s%s", parser->problem ? parser->problem : "cannot be read",
           parser->context ? ", " : "", parser->context ? parser->context : "");
  fail(b, mark, what);
}

static tg_node *build_document(yaml_parser_t *parser, builder *b) {
  yaml_document_t document, second;
  tg_node *root = NULL;
  if (!yaml_parser_load(parser, &document)) {
    report_syntax(parser, b);
    return NULL;
  }
  b->document = &document;
  if (yaml_document_get_root_node(&document))
    root = build(b, 1);
  else
    root = new_node(TG_NODE_MAP, b->override);
  yaml_document_delete(&document);
  if (b->failed) return root;
  if (!yaml_parser_load(parser, &second)) {
    report_syntax(parser, b);
    return root;
  }
  const yaml_node_t *more = yaml_document_get_root_node(&second);
  if (more) fail(b, &more->start_mark, "a second document, expected one");
  yaml_document_delete(&second);
  return root;
}

tg_node *tg_node_parse(const char *text, size_t length, int override, char *problem, size_t room) {
  yaml_parser_t parser;
  builder b = {.override = override, .problem = problem, .room = room};
  if (!yaml_parser_initialize(&parser)) abort();
  yaml_parser_set_input_string(&parser, (const unsigned char *)text, length);
  tg_node *root = build_document(&parser, &b);
  yaml_parser_delete(&parser);
  if (!b.failed) return root;
  tg_node_free(root);
  return NULL;
}

static int find(const tg_node *map, const char *key) {
  for (int a = 0; map->kind == TG_NODE_MAP && a < map->n; a++)
    if (strcmp(map->keys[a], key) == 0) return a;
  return -1;
}

tg_node *tg_node_get(tg_node *map, const char *key) {
  const int place = find(map, key);
  if (place < 0) return NULL;
  map->used[place] = true;
  return map->items[place];
}

/* The place of one step of a path, made when it is new: the address of the item. NULL: the step leads nowhere. */
static tg_node **step_to(tg_node *at, const char *step, int override) {
  if (at->kind == TG_NODE_LIST) {
    char *end;
    const long place = strtol(step, &end, 10);
    if (*step == '\0' || *end != '\0' || place < 0 || place > at->n) return NULL;
    if (place == at->n) append(at, NULL, new_node(TG_NODE_MAP, override));
    return &at->items[place];
  }
  if (at->kind != TG_NODE_MAP || *step == '\0') return NULL;
  int place = find(at, step);
  if (place < 0) {
    append(at, strdup(step), new_node(TG_NODE_MAP, override));
    place = at->n - 1;
  }
  return &at->items[place];
}

bool tg_node_set(tg_node *root, const char *path, tg_node *value, char *problem, size_t room) {
  char *copy = strdup(path), *rest = copy, *step;
  tg_node **at = &root;
  while (at && (step = strsep(&rest, ".")) != NULL) {
    at = step_to(*at, step, value->override);
    if (!at) snprintf(problem, room, "'%s' leads nowhere at '%s'", path, step);
  }
  free(copy);
  tg_node_free(at ? *at : value);
  if (at) *at = value;
  return at != NULL;
}
