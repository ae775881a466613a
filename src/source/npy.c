/* The format: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html. Six bytes of magic, two of version,
 * the length of the header (16 bits in version 1, else 32), the header, the numbers. The header is a Python dict of
 * descr, fortran_order and shape, padded with spaces and ended by a line break. */
#include "source/npy.h"

#include "base/memory.h"
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { MAX_HEADER = 65536, MAX_PREAMBLE = 12, MAX_TEXT = 40 };

/* A place in the header. */
typedef struct {
  const char *name; /* of the file */
  const char *at, *end;
} cursor;

/* ---- the header ---- */

/* What stands at the cursor, for messages. */
static const char *shown(const cursor *c) {
  static _Thread_local char text[MAX_TEXT + 1];
  int length = 0;
  for (; length < MAX_TEXT && c->at + length < c->end && c->at[length] != '\n'; length++)
    text[length] = isprint((unsigned char)c->at[length]) ? c->at[length] : '?';
  text[length] = '\0';
  return text;
}

static void skip_spaces(cursor *c) {
  while (c->at < c->end && *c->at == ' ') c->at++;
}

static bool take(cursor *c, char wanted) {
  skip_spaces(c);
  if (c->at == c->end || *c->at != wanted) return false;
  c->at++;
  return true;
}

static tg_status expect(cursor *c, char wanted) {
  TG_CHECK(take(c, wanted), TG_EDATA, "%s: the header goes on with '%s', expected '%c'", c->name, shown(c), wanted);
  return TG_OK;
}

/* A text in quotes, without escapes. */
static tg_status parse_text(cursor *c, const char *what, char text[MAX_TEXT + 1]) {
  const char quote = take(c, '\'') ? '\'' : take(c, '"') ? '"' : '\0';
  TG_CHECK(quote, TG_EDATA, "%s: the header goes on with '%s', expected %s", c->name, shown(c), what);
  int length = 0;
  while (length < MAX_TEXT && c->at + length < c->end && c->at[length] != quote && c->at[length] != '\\' &&
         isprint((unsigned char)c->at[length]))
    length++;
  TG_CHECK(c->at + length < c->end && c->at[length] == quote, TG_EDATA,
           "%s: the header has the text '%s', expected %s in quotes", c->name, shown(c), what);
  memcpy(text, c->at, (size_t)length);
  text[length] = '\0';
  c->at += length + 1;
  return TG_OK;
}

#define NUMBER_TYPES "b1, i1 to i8, u1 to u8, f2, f4 or f8 after '<', '>' or '|'"

static bool is_number_type(const char *text) {
  static const char *const types[] = {"b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8"};
  bool known = false;
  for (size_t a = 0; a < sizeof types / sizeof types[0]; a++) known |= text[0] && strcmp(text + 1, types[a]) == 0;
  return known && (text[0] == '<' || text[0] == '>' || (text[0] == '|' && text[2] == '1'));
}

static tg_status parse_descr(cursor *c, tg_npy *out) {
  char text[MAX_TEXT + 1];
  skip_spaces(c);
  TG_CHECK(c->at == c->end || !memchr("[({", *c->at, 3), TG_EDATA,
           "%s: descr is '%s', a structured type, which is not read; expected " NUMBER_TYPES, c->name, shown(c));
  TG_TRY(parse_text(c, "a type", text));
  TG_CHECK(!strchr(text, 'O'), TG_EDATA,
           "%s: descr is '%s', Python objects, which are not read; expected " NUMBER_TYPES, c->name, text);
  TG_CHECK(strcmp(text + (text[0] != '\0'), "f16") != 0 && strcmp(text + (text[0] != '\0'), "f12") != 0, TG_EDATA,
           "%s: descr is '%s', long double, which differs between machines and is not read; expected " NUMBER_TYPES,
           c->name, text);
  TG_CHECK(is_number_type(text), TG_EDATA, "%s: descr is '%s', expected " NUMBER_TYPES, c->name, text);
  out->kind = text[1];
  out->size = text[2] - '0';
  out->big_endian = text[0] == '>';
  return TG_OK;
}

static tg_status parse_order(cursor *c, tg_npy *out) {
  static const char *const words[] = {"False", "True"};
  skip_spaces(c);
  for (int a = 0; a < 2; a++) {
    const size_t length = strlen(words[a]);
    if ((size_t)(c->end - c->at) < length || memcmp(c->at, words[a], length) != 0) continue;
    c->at += length;
    out->fortran_order = a;
    return TG_OK;
  }
  return tg_fail(TG_EDATA, TG_HERE, "%s: fortran_order is '%s', expected True or False", c->name, shown(c));
}

static tg_status parse_length(cursor *c, int64_t *out) {
  const cursor start = *c;
  bool good = c->at < c->end && isdigit((unsigned char)*c->at);
  good = good && !(*c->at == '0' && c->at + 1 < c->end && isdigit((unsigned char)c->at[1]));
  for (*out = 0; good && c->at < c->end && isdigit((unsigned char)*c->at); c->at++)
    good = !__builtin_mul_overflow(*out, 10, out) && !__builtin_add_overflow(*out, *c->at - '0', out);
  TG_CHECK(good, TG_EDATA, "%s: shape has the length '%s', expected a decimal integer of up to 63 bits", c->name,
           shown(&start));
  return TG_OK;
}

static tg_status parse_shape(cursor *c, tg_npy *out) {
  bool comma = true;
  TG_TRY(expect(c, '('));
  for (out->n_axes = 0; !take(c, ')'); comma = take(c, ',')) {
    TG_CHECK(comma, TG_EDATA, "%s: shape goes on with '%s', expected ',' or ')'", c->name, shown(c));
    TG_CHECK(out->n_axes < TG_NPY_MAX_AXES, TG_EDATA, "%s: shape has more than %d axes", c->name, TG_NPY_MAX_AXES);
    TG_TRY(parse_length(c, &out->shape[out->n_axes++]));
  }
  TG_CHECK(out->n_axes != 1 || comma, TG_EDATA, "%s: shape is one number in parentheses, expected '(%" PRId64 ",)'",
           c->name, out->shape[0]);
  return TG_OK;
}

static tg_status parse_dict(cursor *c, tg_npy *out) {
  static const char *const keys[] = {"descr", "fortran_order", "shape"};
  static tg_status (*const parse[])(cursor *, tg_npy *) = {parse_descr, parse_order, parse_shape};
  bool seen[3] = {false}, comma = true;
  char key[MAX_TEXT + 1];
  TG_TRY(expect(c, '{'));
  for (; !take(c, '}'); comma = take(c, ',')) {
    int which = 0;
    TG_CHECK(comma, TG_EDATA, "%s: the header goes on with '%s', expected ',' or '}'", c->name, shown(c));
    TG_TRY(parse_text(c, "a key", key));
    while (which < 3 && strcmp(key, keys[which]) != 0) which++;
    TG_CHECK(which < 3, TG_EDATA, "%s: the header has the key '%s', expected descr, fortran_order and shape", c->name,
             key);
    TG_CHECK(!seen[which], TG_EDATA, "%s: the header has the key '%s' twice", c->name, key);
    seen[which] = true;
    TG_TRY(expect(c, ':'));
    TG_TRY(parse[which](c, out));
  }
  for (int a = 0; a < 3; a++)
    TG_CHECK(seen[a], TG_EDATA, "%s: the header has no key '%s', expected descr, fortran_order and shape", c->name,
             keys[a]);
  return TG_OK;
}

/* ---- sizes ---- */

/* The numbers of a shape. A product that overflows is refused even where another axis is empty, as NumPy does. */
static tg_status count_numbers(const char *name, tg_npy *out) {
  int64_t bytes = out->size;
  bool empty = false, overflow = false;
  for (int a = 0; a < out->n_axes; a++) {
    empty |= out->shape[a] == 0;
    overflow |= out->shape[a] > 0 && __builtin_mul_overflow(bytes, out->shape[a], &bytes);
  }
  TG_CHECK(!overflow, TG_EDATA, "%s: shape holds more bytes than 63 bits can count", name);
  out->count = empty ? 0 : bytes / out->size;
  return TG_OK;
}

/* Where the header begins and ends. available: of the file's `size` bytes, those that are in memory. */
static tg_status parse_preamble(const char *name, const unsigned char *bytes, size_t available, size_t *begin,
                                size_t *end) {
  TG_CHECK(available >= 6 && memcmp(bytes, "\x93NUMPY", 6) == 0, TG_EDATA,
           "%s: is no .npy file: it does not begin with \\x93NUMPY", name);
  TG_CHECK(available >= 8, TG_EDATA, "%s: is truncated: has %zu bytes, expected a version", name, available);
  const int major = bytes[6], minor = bytes[7];
  TG_CHECK(major >= 1 && major <= 3 && minor == 0, TG_EDATA, "%s: .npy version is %d.%d, expected 1.0, 2.0 or 3.0",
           name, major, minor);
  *begin = major == 1 ? 10 : MAX_PREAMBLE;
  TG_CHECK(available >= *begin, TG_EDATA, "%s: is truncated: has %zu bytes, expected the length of a header", name,
           available);
  size_t length = bytes[8] + ((size_t)bytes[9] << 8);
  if (major > 1) length += ((size_t)bytes[10] << 16) + ((size_t)bytes[11] << 24);
  TG_CHECK(length <= MAX_HEADER, TG_EDATA, "%s: the header has %zu bytes, expected up to %d", name, length, MAX_HEADER);
  *end = *begin + length;
  TG_CHECK(*end <= available, TG_EDATA, "%s: is truncated: has %zu bytes, expected a header of %zu", name, available,
           length);
  return TG_OK;
}

/* All but the numbers, which begin at *data; a file of `size` bytes has room for them and for nothing else. */
static tg_status parse_header(const char *name, const unsigned char *bytes, size_t available, size_t size, tg_npy *out,
                              size_t *data) {
  size_t begin = 0;
  *out = (tg_npy){0};
  TG_TRY(parse_preamble(name, bytes, available, &begin, data));
  cursor c = {name, (const char *)bytes + begin, (const char *)bytes + *data};
  TG_TRY(parse_dict(&c, out));
  skip_spaces(&c);
  TG_CHECK(c.end - c.at == 1 && *c.at == '\n', TG_EDATA,
           "%s: the header ends with '%s', expected a line break after its dict", name, shown(&c));
  TG_TRY(count_numbers(name, out));
  const uint64_t expected = (uint64_t)out->count * (uint64_t)out->size, there = size - *data;
  TG_CHECK(there >= expected, TG_EDATA,
           "%s: is truncated: has %" PRIu64 " bytes of numbers, expected %" PRIu64 " (%" PRId64 " of %d bytes)", name,
           there, expected, out->count, out->size);
  TG_CHECK(there == expected, TG_EDATA, "%s: %" PRIu64 " bytes follow the array, expected none", name,
           there - expected);
  return TG_OK;
}

tg_status tg_npy_parse(const char *name, const void *bytes, size_t size, tg_npy *out) {
  size_t data = 0;
  const tg_status st = parse_header(name, bytes, size, size, out, &data);
  if (st == TG_OK)
    out->data = (const unsigned char *)bytes + data;
  else
    *out = (tg_npy){0};
  return st;
}

/* ---- files ---- */

static tg_status read_numbers(FILE *file, const char *path, size_t data, tg_npy *out) {
  const size_t bytes = (size_t)out->count * (size_t)out->size;
  TG_TRY(tg_alloc_bytes(bytes, 1, &out->memory));
  out->data = out->memory;
  TG_CHECK(fseeko(file, (off_t)data, SEEK_SET) == 0 && fread(out->memory, 1, bytes, file) == bytes, TG_EDATA,
           "%s: its %zu bytes of numbers cannot be read", path, bytes);
  return TG_OK;
}

static tg_status load(FILE *file, const char *path, size_t size, tg_npy *out) {
  unsigned char *head = NULL;
  size_t data = 0;
  const size_t room = size < MAX_HEADER + MAX_PREAMBLE ? size : MAX_HEADER + MAX_PREAMBLE;
  TG_TRY(TG_ALLOC(room, &head));
  tg_status st = TG_OK;
  if (fread(head, 1, room, file) != room)
    st = tg_fail(TG_EDATA, TG_HERE, "%s: its first %zu bytes cannot be read", path, room);
  if (st == TG_OK) st = parse_header(path, head, room, size, out, &data);
  if (st == TG_OK) st = read_numbers(file, path, data, out);
  free(head);
  return st;
}

tg_status tg_npy_load(const char *path, tg_npy *out) {
  struct stat at;
  *out = (tg_npy){0};
  TG_CHECK(stat(path, &at) == 0, TG_ENOINPUT, "%s: %s", path, strerror(errno));
  TG_CHECK(S_ISREG(at.st_mode), TG_EDATA, "%s: is no file", path); /* opening a pipe would wait */
  FILE *file = fopen(path, "rb");
  TG_CHECK(file, TG_ENOINPUT, "%s: %s", path, strerror(errno));
  const tg_status st = load(file, path, (size_t)at.st_size, out);
  fclose(file);
  if (st != TG_OK) tg_npy_free(out);
  return st;
}

void tg_npy_free(tg_npy *array) {
  free(array->memory);
  *array = (tg_npy){0};
}

/* ---- numbers ---- */

static uint64_t bits_at(const tg_npy *array, const int64_t *place) {
  int64_t at = 0;
  for (int a = 0; a < array->n_axes; a++) {
    const int axis = array->fortran_order ? array->n_axes - 1 - a : a;
    at = at * array->shape[axis] + place[axis];
  }
  const unsigned char *bytes = array->data + at * array->size;
  uint64_t bits = 0;
  for (int b = 0; b < array->size; b++) bits = bits << 8 | bytes[array->big_endian ? b : array->size - 1 - b];
  return bits;
}

static int64_t sign_extended(uint64_t bits, int size) {
  const uint64_t sign = (uint64_t)1 << (8 * size - 1);
  return (int64_t)((bits ^ sign) - sign);
}

static double from_float16(unsigned bits) {
  const int exponent = bits >> 10 & 31, mantissa = bits & 1023;
  const double magnitude = exponent == 31  ? (mantissa ? NAN : INFINITY)
                           : exponent == 0 ? ldexp(mantissa, -24)
                                           : ldexp(1024 + mantissa, exponent - 25);
  return bits & 0x8000 ? -magnitude : magnitude;
}

static double from_floating(uint64_t bits, int size) {
  const uint32_t low = (uint32_t)bits;
  double real;
  float single;
  memcpy(&single, &low, sizeof single);
  memcpy(&real, &bits, sizeof real);
  return size == 2 ? from_float16(low) : size == 4 ? (double)single : real;
}

double tg_npy_real(const tg_npy *array, const int64_t *place) {
  const uint64_t bits = bits_at(array, place);
  switch (array->kind) {
  case 'b':
    return bits != 0;
  case 'i':
    return (double)sign_extended(bits, array->size);
  case 'u':
    return (double)bits;
  default:
    return from_floating(bits, array->size);
  }
}

bool tg_npy_integer(const tg_npy *array, const int64_t *place, int64_t *out) {
  const uint64_t bits = bits_at(array, place);
  *out = array->kind == 'b' ? bits != 0 : array->kind == 'i' ? sign_extended(bits, array->size) : (int64_t)bits;
  return array->kind != 'f' && (array->kind != 'u' || bits <= INT64_MAX);
}
