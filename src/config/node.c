#include "config/node.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

enum { MAX_DEPTH = 32, MAX_NODES = 200000, MAX_KEYS = 1000 }; /* aliases may unfold without end */

typedef struct {
  const char *text; /* [length] */
  size_t length;
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

static tg_node *new_text(int override) {
  tg_node *node = new_node(TG_NODE_SCALAR, override);
  node->text = strdup("");
  if (!node->text) abort();
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
  if (strcmp(name, "<<") == 0 && key->data.scalar.style == YAML_PLAIN_SCALAR_STYLE)
    fail(b, &key->start_mark, "a merge key (<<) is not taken, write its keys out");
  if (map->n == MAX_KEYS) fail(b, &key->start_mark, "a map with too many keys");
  if (strlen(name) != key->data.scalar.length) fail(b, &key->start_mark, "a key with a zero byte");
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
  if (b->depth == MAX_DEPTH)
    fail(b, &from->start_mark, "nested too deeply, maybe an alias inside of what it stands for");
  if (++b->n_nodes > MAX_NODES) fail(b, &from->start_mark, "too many values, maybe by aliases of aliases");
  if (b->failed) return NULL;
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

/* libyaml's reader knows the byte, not the line. */
static yaml_mark_t mark_of(const builder *b, size_t offset) {
  yaml_mark_t mark = {0, 0, 0};
  for (size_t a = 0; a < offset && a < b->length; a++) {
    mark.column++;
    if (b->text[a] == '\n') mark.line++, mark.column = 0;
  }
  return mark;
}

/* Whether the blanks that begin a line have a tab among them: libyaml's words for that help nobody. */
static bool starts_with_tab(const builder *b, size_t line) {
  size_t a = 0;
  for (; a < b->length && line > 0; a++) line -= b->text[a] == '\n';
  while (a < b->length && b->text[a] == ' ') a++;
  return a < b->length && b->text[a] == '\t';
}

/* What libyaml could not read. */
static void report_syntax(const yaml_parser_t *parser, builder *b) {
  char what[512];
  const bool bytes = parser->error == YAML_READER_ERROR;
  const yaml_mark_t mark = bytes ? mark_of(b, parser->problem_offset) : parser->problem_mark;
  snprintf(what, sizeof what, "YAML: %s%s%s%s", parser->problem ? parser->problem : "cannot be read",
           parser->context ? ", " : "", parser->context ? parser->context : "",
           !bytes && starts_with_tab(b, mark.line) ? "; a tab cannot indent, use spaces" : "");
  fail(b, &mark, what);
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
  else if (b->override < 0)
    root = new_node(TG_NODE_MAP, b->override);
  else
    root = new_text(b->override);
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

static void open_parser(yaml_parser_t *parser, const builder *b) {
  if (!yaml_parser_initialize(parser)) abort();
  yaml_parser_set_input_string(parser, (const unsigned char *)b->text, b->length);
  yaml_parser_set_encoding(parser, YAML_UTF8_ENCODING);
}

/* Looks at the text event by event and stops where it nests too deeply or has too many anchors: loading takes time that
 * grows with the square of both. Syntax is not judged here. */
static void check_shape(builder *b) {
  yaml_parser_t parser;
  yaml_event_t event;
  int depth = 0, n_anchors = 0;
  bool ended = false;
  open_parser(&parser, b);
  while (!ended && yaml_parser_parse(&parser, &event)) {
    const yaml_event_type_t type = event.type;
    const yaml_char_t *anchor = type == YAML_SCALAR_EVENT           ? event.data.scalar.anchor
                                : type == YAML_SEQUENCE_START_EVENT ? event.data.sequence_start.anchor
                                : type == YAML_MAPPING_START_EVENT  ? event.data.mapping_start.anchor
                                                                    : NULL;
    depth += (type == YAML_SEQUENCE_START_EVENT || type == YAML_MAPPING_START_EVENT) -
             (type == YAML_SEQUENCE_END_EVENT || type == YAML_MAPPING_END_EVENT);
    if (depth > MAX_DEPTH) fail(b, &event.start_mark, "nested too deeply");
    if (anchor && ++n_anchors > MAX_KEYS) fail(b, &event.start_mark, "too many anchors");
    ended = b->failed || type == YAML_STREAM_END_EVENT;
    yaml_event_delete(&event);
  }
  yaml_parser_delete(&parser);
}

tg_node *tg_node_parse(const char *text, size_t length, int override, char *problem, size_t room) {
  const size_t skip = length >= 3 && memcmp(text, "\xEF\xBB\xBF", 3) == 0 ? 3 : 0; /* byte order mark */
  builder b = {.text = text + skip, .length = length - skip, .override = override, .problem = problem, .room = room};
  yaml_parser_t parser;
  check_shape(&b);
  if (b.failed) return NULL;
  open_parser(&parser, &b);
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
  if (at->kind == TG_NODE_SCALAR && !at->quoted && !at->text[0]) at->kind = TG_NODE_MAP; /* a section without keys */
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
  if (!copy) abort();
  for (char *from = copy, *to = copy; (*to = *from) != '\0'; from++) { /* [0] is .0 */
    if (*from == '[') *to = '.';
    if (*from != ']') to++;
  }
  for (int depth = 0; at && (step = strsep(&rest, ".")) != NULL; depth++) {
    at = depth < MAX_DEPTH ? step_to(*at, step, value->override) : NULL;
    if (!at) snprintf(problem, room, "'%s' leads nowhere at '%s'", path, step);
  }
  free(copy);
  tg_node_free(at ? *at : value);
  if (at) *at = value;
  return at != NULL;
}

bool tg_node_is_word(const tg_node *node, const char *word) {
  return node->kind == TG_NODE_SCALAR && strcmp(node->text, word) == 0;
}

bool tg_node_is_null(const tg_node *node) {
  return node->kind == TG_NODE_SCALAR && !node->quoted &&
         (!node->text[0] || strcmp(node->text, "~") == 0 || strcmp(node->text, "null") == 0);
}

uint32_t tg_node_character(const char **text) {
  static const uint32_t least[] = {0, 0x80, 0x800, 0x10000}; /* longer forms than needed are not UTF-8 */
  const unsigned char *at = (const unsigned char *)(*text)++;
  const int more = at[0] < 0x80 ? 0 : at[0] >> 5 == 6 ? 1 : at[0] >> 4 == 14 ? 2 : at[0] >> 3 == 30 ? 3 : -1;
  if (more <= 0) return more ? UINT32_MAX : at[0];
  uint32_t c = at[0] & (0x3Fu >> more);
  for (int a = 1; a <= more; a++) {
    if (at[a] >> 6 != 2) return UINT32_MAX;
    c = c << 6 | (at[a] & 0x3Fu);
  }
  if (c < least[more] || c > 0x10FFFF || (c >= 0xD800 && c < 0xE000)) return UINT32_MAX;
  *text += more;
  return c;
}

bool tg_node_is_text(const char *text) {
  while (*text)
    if (tg_node_character(&text) == UINT32_MAX) return false;
  return true;
}
