#include "config/values.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- scalars ---- */

static bool is_number_text(const tg_node *node) {
  return node->kind == TG_NODE_SCALAR && !node->quoted && node->text[0];
}

/* A decimal integer and nothing else. No leading zeros: for YAML 1.1 they make an octal number. */
static bool is_integer(const tg_node *node) {
  if (!is_number_text(node)) return false;
  const char *digits = node->text + (node->text[0] == '-' || node->text[0] == '+');
  return digits[0] && digits[strspn(digits, "0123456789")] == '\0' && (digits[0] != '0' || !digits[1]);
}

static bool parse_int64(const tg_node *node, int64_t low, int64_t high, int64_t *out) {
  errno = 0;
  *out = strtoll(node->text, NULL, 10);
  return errno == 0 && *out >= low && *out <= high;
}

static bool parse_uint64(const tg_node *node, uint64_t *out) {
  errno = 0;
  *out = strtoull(node->text, NULL, 10);
  return errno == 0 && node->text[0] != '-';
}

static bool parse_real(const tg_node *node, double *out) {
  if (!is_number_text(node) || strpbrk(node->text, "xXpPnN")) return false; /* neither hexadecimal nor inf nor nan */
  char *end;
  *out = strtod(node->text, &end);
  return *end == '\0' && isfinite(*out);
}

static bool parse_bool(const tg_node *node, bool *out) {
  static const char *const words[] = {"false", "true", "no", "yes", "off", "on"};
  for (int a = 0; a < 6 && is_number_text(node); a++)
    if (strcasecmp(node->text, words[a]) == 0) {
      *out = a % 2;
      return true;
    }
  return false;
}

bool tg_values_integer(tg_reading *r, const char *name, const tg_node *node, int64_t low, int64_t high, int64_t *out) {
  const bool integer = is_integer(node);
  if (integer && parse_int64(node, low, high, out)) return true;
  tg_reading_mistake(r, node, "%s: %s is %s, expected %" PRId64 " to %" PRId64, name, tg_reading_shown(node),
                     integer ? "out of range" : "not an integer", low, high);
  *out = low;
  return false;
}

void tg_values_seed(tg_reading *r, const char *name, const tg_node *node, uint64_t *out) {
  const bool integer = is_integer(node);
  if (!integer || !parse_uint64(node, out))
    tg_reading_mistake(r, node, "%s: %s is %s, expected 0 to %" PRIu64, name, tg_reading_shown(node),
                       integer ? "out of range" : "not an integer", UINT64_MAX);
}

void tg_values_real(tg_reading *r, const char *name, const tg_node *node, int64_t low, int64_t high, double *out) {
  const bool real = parse_real(node, out);
  if (!real || *out < (double)low || *out > (double)high)
    tg_reading_mistake(r, node, "%s: %s is %s, expected %" PRId64 " to %" PRId64, name, tg_reading_shown(node),
                       real ? "out of range" : "not a number", low, high);
}

void tg_values_bool(tg_reading *r, const char *name, const tg_node *node, bool *out) {
  if (!parse_bool(node, out)) tg_reading_mistake(r, node, "%s: %s is not true or false", name, tg_reading_shown(node));
}

/* ---- lists of integers ---- */

/* A listed number and where it stands, so that the second of two equal ones can be pointed at. */
typedef struct {
  int64_t value;
  const tg_node *node;
} listed;

static int by_value(const void *a, const void *b) {
  const listed *x = a, *y = b;
  if (x->value != y->value) return x->value > y->value ? 1 : -1;
  if (x->node->line != y->node->line) return x->node->line - y->node->line;
  return x->node->column - y->node->column;
}

int64_t tg_values_list(tg_reading *r, const char *name, const tg_node *node, int64_t low, int64_t high, int64_t **out) {
  *out = NULL;
  if (node->kind != TG_NODE_LIST) {
    tg_reading_mistake(r, node, "%s: %s is not a list of integers", name, tg_reading_shown(node));
    return 0;
  }
  listed *items = calloc((size_t)node->n + 1, sizeof *items);
  *out = calloc((size_t)node->n + 1, sizeof **out);
  if (!items || !*out) abort();
  int64_t n = 0;
  for (int a = 0; a < node->n; a++) {
    items[n].node = node->items[a];
    if (tg_values_integer(r, name, node->items[a], low, high, &items[n].value)) n++;
  }
  qsort(items, (size_t)n, sizeof *items, by_value);
  for (int64_t a = 0; a < n; a++) {
    (*out)[a] = items[a].value;
    if (a > 0 && items[a].value == items[a - 1].value)
      tg_reading_mistake(r, items[a].node, "%s: %" PRId64 " is listed twice", name, items[a].value);
  }
  free(items);
  return n;
}

bool tg_values_all_or_list(tg_reading *r, const char *name, const tg_node *node, int64_t low, int64_t high,
                           int64_t **out, int64_t *n) {
  *n = 0;
  *out = NULL;
  if (tg_node_is_word(node, "all")) return true;
  if (node->kind != TG_NODE_LIST) {
    tg_reading_mistake(r, node, "%s: %s is neither 'all'%s nor a list of integers", name, tg_reading_shown(node),
                       strcmp(name, "prompts") == 0 ? ", 'common'" : "");
    return true;
  }
  *n = tg_values_list(r, name, node, low, high, out);
  if (node->n == 0) tg_reading_mistake(r, node, "%s: the list is empty, expected 'all' or some integers", name);
  return false;
}
