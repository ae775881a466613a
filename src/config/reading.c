#include "config/reading.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { MAX_MISTAKES = 50 };

void tg_reading_mistake(tg_reading *r, const tg_node *where, const char *format, ...) {
  char line[1024];
  int length = 0;
  r->n_mistakes++;
  if (where && where->override >= 0)
    length = snprintf(line, sizeof line, "--set %.200s: ", r->overrides[where->override]);
  else if (where && where->line > 0)
    length = snprintf(line, sizeof line, "%.400s:%d:%d: ", r->config->path, where->line, where->column);
  else
    length = snprintf(line, sizeof line, "%.400s: ", r->config->path);
  va_list args;
  va_start(args, format);
  vsnprintf(line + length, sizeof line - (size_t)length, format, args);
  va_end(args);
  for (char *at = line; *at; at++)
    if (iscntrl((unsigned char)*at)) *at = '?'; /* a value may hold line breaks */
  if (r->n_listed == MAX_MISTAKES || r->n_listed + 1 < r->n_mistakes || r->used + strlen(line) + 2 > sizeof r->mistakes)
    return;
  r->used += (size_t)sprintf(r->mistakes + r->used, "%s%s", r->used ? "\n" : "", line);
  r->n_listed++;
}

const char *tg_reading_shown(const tg_node *node) {
  static _Thread_local char text[2][80]; /* a ring, so that two fit into one message */
  static _Thread_local int turn;
  if (node->kind == TG_NODE_LIST) return "a list";
  if (node->kind == TG_NODE_MAP) return "a map";
  if (!node->quoted && !node->text[0]) return "nothing";
  int length = (int)strnlen(node->text, 60);
  while (length == 60 && ((unsigned char)node->text[length] & 0xC0) == 0x80) length--; /* do not cut a character */
  char *out = text[turn = !turn];
  snprintf(out, sizeof text[0], "%s'%.*s%s'", node->quoted ? "the text " : "", length, node->text,
           node->text[length] ? "..." : "");
  return out;
}

const char *tg_reading_name(const tg_reading *r, const tg_key *key) {
  static _Thread_local char name[128];
  const char *section = tg_section_names[key->section], *number = strstr(section, "[]");
  if (number)
    snprintf(name, sizeof name, "%.*s[%d]%s%s", (int)(number - section), section, r->model, number + 2, key->name);
  else
    snprintf(name, sizeof name, "%s%s", section, key->name);
  return name;
}

tg_status tg_reading_verdict(const tg_reading *r) {
  if (r->n_mistakes == 0 || (!r->inputs && r->n_missing == r->n_mistakes)) return TG_OK;
  const tg_status code = r->n_missing == r->n_mistakes ? TG_ENOINPUT : TG_ECONFIG;
  if (r->n_listed == r->n_mistakes) return tg_fail_in_lines(code, TG_HERE, "%s", r->mistakes);
  return tg_fail_in_lines(code, TG_HERE, "%s\nand %d more", r->mistakes, r->n_mistakes - r->n_listed);
}
