/* NumPy's files: every type, order, version and number of axes, and everything that is no such file.
 * Oracle: files that NumPy wrote, frozen with their numbers (data/make_npy.py); for what NumPy would not write, the format's
 * definition in words, written out as the message. */
#include "../oracle/suite.h"
#include "source/npy.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MOST_NUMBERS = 24 };

typedef struct {
  const char *name;
  size_t size; /* bytes of the file */
  const char *bytes;
  int n_axes;
  int64_t shape[TG_NPY_MAX_AXES];
  int64_t count;
  double numbers[MOST_NUMBERS]; /* in C order */
} npy_case;

#include "../data/npy.h"

enum { N_CASES = sizeof npy_cases / sizeof npy_cases[0] };

/* ---- helpers ---- */

/* A copy with nothing behind it, so that the sanitizer sees a read beyond the end. */
static void *exact_copy(const void *bytes, size_t size) {
  void *copy = malloc(size ? size : 1);
  CU_ASSERT_FATAL(copy != NULL);
  memcpy(copy, bytes, size);
  return copy;
}

static bool same_double(double a, double b) { return isnan(b) ? isnan(a) : a == b && signbit(a) == signbit(b); }

/* Moves on to the next place in C order. */
static void next_place(const tg_npy *a, int64_t *place) {
  for (int axis = a->n_axes - 1; axis >= 0 && ++place[axis] == a->shape[axis]; axis--) place[axis] = 0;
}

static void is_case(const tg_npy *a, const npy_case *c) {
  int64_t place[TG_NPY_MAX_AXES] = {0};
  int wrong = a->n_axes != c->n_axes || a->count != c->count;
  for (int axis = 0; axis < c->n_axes; axis++) wrong += a->shape[axis] != c->shape[axis];
  for (int64_t i = 0; !wrong && i < c->count; i++, next_place(a, place))
    wrong += !same_double(tg_npy_real(a, place), c->numbers[i]);
  if (wrong) printf("\n    %s: %d differences", c->name, wrong);
  CU_ASSERT(wrong == 0);
}

/* Refused with this in the message, and nothing is left in the array. */
static void refused(const void *bytes, size_t size, const char *message) {
  tg_npy a;
  void *copy = exact_copy(bytes, size);
  const tg_status st = tg_npy_parse("a.npy", copy, size, &a);
  const bool same = st == TG_EDATA && strstr(tg_last_error(), message) && strncmp(tg_last_error(), "a.npy: ", 7) == 0 &&
                    !strchr(tg_last_error(), '\n');
  if (!same) printf("\n    expected: %s\n    got:      %d, %s", message, (int)st, tg_last_error());
  CU_ASSERT(same);
  CU_ASSERT(a.data == NULL && a.count == 0 && a.n_axes == 0);
  free(copy);
}

/* A file of version `major` with this header and `n` zero bytes of numbers. */
static void *build(int major, const char *header, size_t n, size_t *size) {
  const size_t length = strlen(header), begin = major == 1 ? 10 : 12;
  unsigned char *bytes = calloc(begin + length + n, 1);
  CU_ASSERT_FATAL(bytes != NULL);
  memcpy(bytes, "\x93NUMPY", 6);
  bytes[6] = (unsigned char)major;
  for (size_t a = 8; a < begin; a++) bytes[a] = (unsigned char)(length >> 8 * (a - 8));
  memcpy(bytes + begin, header, length);
  *size = begin + length + n;
  return bytes;
}

static void header_refused(const char *header, size_t n, const char *message) {
  for (int major = 1; major <= 3; major++) {
    size_t size;
    void *bytes = build(major, header, n, &size);
    refused(bytes, size, message);
    free(bytes);
  }
}

#define DICT(descr, shape) "{'descr': " descr ", 'fortran_order': False, 'shape': " shape ", }\n"

static tg_status parse_header(const char *header, size_t n, tg_npy *out) {
  size_t size;
  void *bytes = build(1, header, n, &size);
  const tg_status st = tg_npy_parse("a.npy", bytes, size, out);
  out->data = NULL; /* goes now */
  free(bytes);
  return st;
}

/* ---- what is right ---- */

/* Oracle: NumPy's frozen files and numbers, to the bit. */
static void all_that_numpy_writes_is_read(void) {
  for (int a = 0; a < N_CASES; a++) {
    const npy_case *c = &npy_cases[a];
    tg_npy array;
    void *copy = exact_copy(c->bytes, c->size);
    CU_ASSERT(tg_npy_parse(c->name, copy, c->size, &array) == TG_OK);
    CU_ASSERT(array.memory == NULL);
    is_case(&array, c);
    free(copy);
  }
}

static void files_are_read_like_memory(void) {
  for (int a = 0; a < N_CASES; a++) {
    const npy_case *c = &npy_cases[a];
    char path[] = "/tmp/tg-npy-XXXXXX";
    const int file = mkstemp(path);
    tg_npy array;
    CU_ASSERT_FATAL(file >= 0 && write(file, c->bytes, c->size) == (ssize_t)c->size);
    close(file);
    CU_ASSERT(tg_npy_load(path, &array) == TG_OK);
    is_case(&array, c);
    tg_npy_free(&array);
    CU_ASSERT(array.memory == NULL && array.data == NULL);
    unlink(path);
  }
}

/* The grammar leaves some room: the order of keys, spaces, quotes, the comma after the last item. */
static void headers_may_be_laid_out_otherwise(void) {
  const char *const good[] = {
      "{'descr':'<f8','fortran_order':False,'shape':(2,3)}\n",
      "{ \"shape\" : ( 2 , 3 , ) , \"descr\" : \"<f8\" , \"fortran_order\" : True }   \n",
      "  {'fortran_order': False, 'shape': (2, 3), 'descr': '<f8', }\n",
  };
  for (size_t a = 0; a < sizeof good / sizeof good[0]; a++) {
    tg_npy array;
    CU_ASSERT(parse_header(good[a], 48, &array) == TG_OK);
    CU_ASSERT(array.kind == 'f' && array.size == 8 && !array.big_endian && array.fortran_order == (a == 1));
    CU_ASSERT(array.n_axes == 2 && array.shape[0] == 2 && array.shape[1] == 3 && array.count == 6);
  }
}

/* 64-bit integers are ids: they come back exactly, or not at all. */
static void integers_are_exact(void) {
  const unsigned char most[] = {255, 255, 255, 255, 255, 255, 255, 127}, beyond[] = {0, 0, 0, 0, 0, 0, 0, 128};
  const int64_t first[1] = {0};
  int64_t value;
  tg_npy a = {.kind = 'u', .size = 8, .n_axes = 1, .shape = {1}, .count = 1, .data = most};
  CU_ASSERT(tg_npy_integer(&a, first, &value) && value == INT64_MAX);
  a.data = beyond;
  CU_ASSERT(!tg_npy_integer(&a, first, &value));
  a.kind = 'i';
  CU_ASSERT(tg_npy_integer(&a, first, &value) && value == INT64_MIN);
  a.kind = 'f';
  CU_ASSERT(!tg_npy_integer(&a, first, &value));
  a = (tg_npy){.kind = 'i', .size = 2, .big_endian = true, .n_axes = 1, .shape = {1}, .count = 1, .data = beyond + 6};
  CU_ASSERT(tg_npy_integer(&a, first, &value) && value == 128);
}

/* ---- what is wrong ---- */

static void other_files_are_refused(void) {
  refused("", 0, "is no .npy file");
  refused("\x93NUMP", 5, "is no .npy file");
  refused("\x89HDF\r\n\x1a\n........", 16, "is no .npy file: it does not begin with \\x93NUMPY");
  refused("PK\003\004............", 16, "is no .npy file");
  refused("\x93NUMPY\001", 7, "has 7 bytes, expected a version");
  refused("\x93NUMPY\000\000v\000", 10, ".npy version is 0.0, expected 1.0, 2.0 or 3.0");
  refused("\x93NUMPY\004\000v\000\000\000", 12, ".npy version is 4.0");
  refused("\x93NUMPY\001\001v\000", 10, ".npy version is 1.1");
  refused("\x93NUMPY\001\000v", 9, "expected the length of a header");
  refused("\x93NUMPY\002\000v\000\000", 11, "expected the length of a header");
  refused("\x93NUMPY\001\000v\000{'descr'", 18, "is truncated: has 18 bytes, expected a header of 118");
  refused("\x93NUMPY\002\000\377\377\377\377{", 13, "the header has 4294967295 bytes, expected up to 65536");
}

static void hostile_headers_are_refused(void) {
  header_refused("", 0, "the header goes on with '', expected '{'");
  header_refused("\n", 0, "expected '{'");
  header_refused("[]\n", 0, "the header goes on with '[]', expected '{'");
  header_refused("{}\n", 0, "has no key 'descr'");
  header_refused("{'descr': '<f8'}\n", 0, "has no key 'fortran_order'");
  header_refused("{'descr': '<f8', 'fortran_order': False}\n", 0, "has no key 'shape'");
  header_refused("{'descr': '<f8', 'descr': '<f8'}\n", 0, "has the key 'descr' twice");
  header_refused("{'descr': '<f8', 'name': 'x'}\n", 0, "has the key 'name', expected descr, fortran_order and shape");
  header_refused("{'descr' '<f8'}\n", 0, "goes on with ''<f8'}', expected ':'");
  header_refused("{'descr': '<f8' 'shape': ()}\n", 0, "expected ',' or '}'");
  header_refused("{,}\n", 0, "expected a key");
  header_refused("{'descr: <f8}\n", 0, "expected a key in quotes");
  header_refused("{'descr': '<f8\", }\n", 0, "expected a type in quotes");
  header_refused("{'de\\x73cr': '<f8'}\n", 0, "expected a key in quotes");
  header_refused("{'de\x01scr': '<f8'}\n", 0, "'de?scr': '<f8'}', expected a key in quotes");
  header_refused("{'descr': '<f8', 'fortran_order': 0, 'shape': ()}\n", 8, "fortran_order is '0, 'shape': ()}'");
  header_refused("{'descr': '<f8', 'fortran_order': Falsehood, 'shape': ()}\n", 8, "goes on with 'hood, 'shape': ()}'");
  header_refused("{'descr': '<f8', 'fortran_order': Tru", 0, "fortran_order is 'Tru', expected True or False");
  header_refused("{'descr': '<f8', 'fortran_order': False, 'shape': (), }", 8, "the header ends with ''");
  header_refused("{'descr': '<f8', 'fortran_order': False, 'shape': (), }x\n", 8, "the header ends with 'x'");
  header_refused("{'descr': '<f8', 'fortran_order': False, 'shape': (), }\n\n", 8,
                 "expected a line break after its dict");
}

static void other_types_are_refused(void) {
  header_refused(DICT("'|O'", "(1,)"), 8, "descr is '|O', Python objects, which are not read");
  header_refused(DICT("[('a', '<f8'), ('b', '<i4')]", "(1,)"), 12, "descr is '[('a', '<f8'), ('b', '<i4')]");
  header_refused(DICT("[('a', '<f8')]", "(1,)"), 8, "a structured type, which is not read");
  header_refused(DICT("('<f8', (2,))", "(1,)"), 16, "a structured type, which is not read");
  header_refused(DICT("'<f16'", "(1,)"), 16, "descr is '<f16', long double, which differs between machines");
  header_refused(DICT("'>f12'", "(1,)"), 12, "long double");
  const char *const types[] = {"",     "<",   "f8",  "<f",  "=f8",     "<f1", "<f3",  "|f8", "|i2",  "<b2",  "<c8",
                               "<c16", "|S8", "<U3", "|V8", "<M8[ns]", "<m8", "<i16", "<i0", "<f8 ", " <f8", "<<f8"};
  for (size_t a = 0; a < sizeof types / sizeof types[0]; a++) {
    char header[200], message[100];
    snprintf(header, sizeof header, "{'descr': '%s', 'fortran_order': False, 'shape': (1,), }\n", types[a]);
    snprintf(message, sizeof message, "descr is '%s', expected b1, i1 to i8", types[a]);
    header_refused(header, 8, message);
  }
  header_refused(DICT("8", "(1,)"), 8, "goes on with '8, 'fortran_order': False, 'shape': (1,)', expected a type");
}

static void hostile_shapes_are_refused(void) {
  header_refused(DICT("'<f8'", "3"), 24, "goes on with '3, }', expected '('");
  header_refused(DICT("'<f8'", "(3)"), 24, "shape is one number in parentheses, expected '(3,)'");
  header_refused(DICT("'<f8'", "(-1,)"), 0, "shape has the length '-1,), }'");
  header_refused(DICT("'<f8'", "(3L,)"), 24, "shape goes on with 'L,), }', expected ',' or ')'");
  header_refused(DICT("'<f8'", "(03,)"), 24, "shape has the length '03,), }'");
  header_refused(DICT("'<f8'", "(0x3,)"), 24, "shape goes on with 'x3,), }'");
  header_refused(DICT("'<f8'", "(3.0,)"), 24, "shape goes on with '.0,), }'");
  header_refused(DICT("'<f8'", "(,)"), 8, "shape has the length ',), }'");
  header_refused(DICT("'<f8'", "(3,,)"), 24, "shape has the length ',), }'");
  header_refused(DICT("'<f8'", "(1 2)"), 16, "shape goes on with '2), }'");
  header_refused("{'descr': '<f8', 'fortran_order': False, 'shape': (3", 24, "shape goes on with ''");
  header_refused(DICT("'<f8'", "(9223372036854775808,)"), 8, "expected a decimal integer of up to 63 bits");
  header_refused(DICT("'<f8'", "(100000000000000000000000000000,)"), 8, "of up to 63 bits");
  header_refused(DICT("'<f8'", "(9223372036854775807,)"), 8, "shape holds more bytes than 63 bits can count");
  header_refused(DICT("'<f8'", "(1152921504606846976,)"), 0, "shape holds more bytes than 63 bits can count");
  header_refused(DICT("'|i1'", "(4294967296, 4294967296)"), 0, "shape holds more bytes");
  header_refused(DICT("'|i1'", "(0, 4294967296, 4294967296)"), 0, "shape holds more bytes");
  header_refused(DICT("'|i1'", "(9223372036854775807,)"), 8, "has 8 bytes of numbers, expected 9223372036854775807");
  char shape[200] = "(", header[300];
  for (int a = 0; a < TG_NPY_MAX_AXES + 1; a++) strcat(shape, "1, ");
  snprintf(header, sizeof header, "{'descr': '<f8', 'fortran_order': False, 'shape': %s), }\n", shape);
  header_refused(header, 8, "shape has more than 32 axes");
}

static void sizes_must_be_those_of_the_file(void) {
  header_refused(DICT("'<f8'", "(2, 3)"), 47, "is truncated: has 47 bytes of numbers, expected 48 (6 of 8 bytes)");
  header_refused(DICT("'<f8'", "(2, 3)"), 49, "1 bytes follow the array, expected none");
  header_refused(DICT("'<f8'", "()"), 0, "is truncated: has 0 bytes of numbers, expected 8");
  header_refused(DICT("'<f8'", "(0,)"), 1, "1 bytes follow the array");
}

/* Every beginning of a good file is refused; with one byte changed it is refused or still an array within its bytes. */
static void spoiled_files_are_safe(void) {
  int still_good = 0;
  for (int which = 0; which < N_CASES; which++) {
    const npy_case *c = &npy_cases[which];
    tg_npy a;
    for (size_t size = 0; size < c->size; size++) {
      void *copy = exact_copy(c->bytes, size);
      CU_ASSERT(tg_npy_parse("a.npy", copy, size, &a) == TG_EDATA);
      free(copy);
    }
    for (size_t at = 0; at < c->size; at++) {
      unsigned char *copy = exact_copy(c->bytes, c->size);
      for (int change = 1; change < 256; change += change < 8 ? 1 : 31) {
        int64_t place[TG_NPY_MAX_AXES] = {0};
        copy[at] = (unsigned char)((unsigned char)c->bytes[at] ^ change);
        if (tg_npy_parse("a.npy", copy, c->size, &a) != TG_OK) continue;
        still_good++;
        for (int64_t i = 0; i < a.count; i++, next_place(&a, place)) (void)tg_npy_real(&a, place);
      }
      free(copy);
    }
  }
  CU_ASSERT(still_good > 1000); /* at least those with a changed number */
}

static void load_refused(const char *path, tg_status code, const char *message) {
  tg_npy a;
  CU_ASSERT(tg_npy_load(path, &a) == code);
  CU_ASSERT(a.memory == NULL && a.data == NULL);
  const bool same = strstr(tg_last_error(), message) && strncmp(tg_last_error(), path, strlen(path)) == 0;
  if (!same) printf("\n    expected: %s\n    got:      %s", message, tg_last_error());
  CU_ASSERT(same);
}

/* A sparse file of a terabyte whose header asks for one number, or for more than there is, takes no memory. */
static void files_are_refused_by_name(void) {
  char path[] = "/tmp/tg-npy-XXXXXX";
  const int file = mkstemp(path);
  CU_ASSERT_FATAL(file >= 0);
  load_refused("/tmp/no-such-tg-npy", TG_ENOINPUT, "No such file");
  load_refused("/tmp", TG_EDATA, "is no file");
  load_refused(path, TG_EDATA, "is no .npy file");
  size_t size;
  void *bytes = build(1, DICT("'<f8'", "(1,)"), 8, &size);
  CU_ASSERT(pwrite(file, bytes, size, 0) == (ssize_t)size && ftruncate(file, (off_t)1 << 40) == 0);
  load_refused(path, TG_EDATA, "bytes follow the array");
  free(bytes);
  bytes = build(2, DICT("'<f8'", "(1000000000000000,)"), 8, &size);
  CU_ASSERT(pwrite(file, bytes, size, 0) == (ssize_t)size);
  load_refused(path, TG_EDATA, "is truncated");
  CU_ASSERT(ftruncate(file, 40) == 0);
  load_refused(path, TG_EDATA, "is truncated: has 40 bytes");
  free(bytes);
  close(file);
  unlink(path);
  CU_ASSERT(mkfifo(path, 0600) == 0); /* nobody writes into it */
  load_refused(path, TG_EDATA, "is no file");
  unlink(path);
}

int main(void) {
  CU_TestInfo tests[] = {
      {"all that NumPy writes is read", all_that_numpy_writes_is_read},
      {"files are read like memory", files_are_read_like_memory},
      {"headers may be laid out otherwise", headers_may_be_laid_out_otherwise},
      {"integers are exact", integers_are_exact},
      {"other files are refused", other_files_are_refused},
      {"hostile headers are refused", hostile_headers_are_refused},
      {"other types are refused", other_types_are_refused},
      {"hostile shapes are refused", hostile_shapes_are_refused},
      {"sizes must be those of the file", sizes_must_be_those_of_the_file},
      {"spoiled files are safe", spoiled_files_are_safe},
      {"files are refused by name", files_are_refused_by_name},
      CU_TEST_INFO_NULL,
  };
  return suite_run("npy", tests);
}
