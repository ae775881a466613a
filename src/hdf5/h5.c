#include "hdf5/h5.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char reason[512];

static herr_t keep_description(unsigned n, const H5E_error2_t *error, void *unused) {
  (void)unused;
  if (n == 0 && error->desc) snprintf(reason, sizeof reason, "%s", error->desc);
  return 0;
}

/* HDF5 puts names, times and sizes, on two lines, between "file read failed" and the system's own message. */
static void shorten(void) {
  char *detail = strstr(reason, ": time = "), *message = strstr(reason, "error message = '");
  if (!detail) detail = strstr(reason, ": name = ");
  if (!detail || !message) return;
  message += strlen("error message = '");
  message[strcspn(message, "'")] = '\0';
  memmove(detail + 2, message, strlen(message) + 1);
}

/* Called by HDF5 where one of its functions fails, before the next call clears the stack. */
static herr_t record(hid_t stack, void *unused) {
  reason[0] = '\0';
  const herr_t walked = H5Ewalk2(stack, H5E_WALK_UPWARD, keep_description, unused);
  shorten();
  return walked;
}

enum { MAX_TEXT = 64 << 20, MAX_EXPANSION = 4096 }; /* deflate packs 1032 bytes into one, at most */

static hid_t exactly = H5P_DEFAULT;
static char unfit[32];

/* A number that does not fit ends the conversion. */
static H5T_conv_ret_t refuse(H5T_conv_except_t kind, hid_t from, hid_t to, void *number, void *out, void *context) {
  (void)to, (void)out, (void)context;
  if (kind != H5T_CONV_EXCEPT_RANGE_HI && kind != H5T_CONV_EXCEPT_RANGE_LOW) return H5T_CONV_UNHANDLED;
  unsigned long long bits = 0;
  const size_t size = H5Tget_size(from);
  if (size <= sizeof bits) memcpy(&bits, number, size);
  if (H5Tget_sign(from) == H5T_SGN_NONE)
    snprintf(unfit, sizeof unfit, "%llu", bits);
  else
    snprintf(unfit, sizeof unfit, "%lld", (long long)bits);
  return H5T_CONV_ABORT;
}

hid_t tg_h5_exactly(void) {
  unfit[0] = '\0';
  return exactly;
}

const char *tg_h5_unfit(void) { return unfit; }

void tg_h5_prepare(void) {
  const char *locking = getenv("HDF5_USE_FILE_LOCKING");
  if (locking && strcmp(locking, "BEST_EFFORT") == 0)
    unsetenv("HDF5_USE_FILE_LOCKING"); /* HDF5's takes ENOSYS alone; ours: below */
  H5dont_atexit(); /* before all else; what is left open after a failure must not be closed, and cannot be: the disk may be full */
  H5Eset_auto2(H5E_DEFAULT, record, NULL);
  H5Lunregister(H5L_TYPE_EXTERNAL); /* a file leads to no other file */
  exactly = H5Pcreate(H5P_DATASET_XFER);
  H5Pset_type_conv_cb(exactly, refuse, NULL);
}

const char *tg_h5_reason(void) { return reason[0] ? reason : "no reason given by HDF5"; }

static hid_t access_with(bool locks) {
  const hid_t access = H5Pcreate(H5P_FILE_ACCESS);
#if H5_VERSION_GE(1, 10, 7)
  if (!locks) H5Pset_file_locking(access, false, true);
#endif
  return access;
}

static hid_t open_for_reading(const char *path, bool locks) {
  const hid_t access = access_with(locks), file = H5Fopen(path, H5F_ACC_RDONLY, access);
  H5Pclose(access);
  return file;
}

/* Why the file that could not be opened could not be locked, as errno; 0: not for that. One that is open without a lock must be opened
 * so again. */
static int lock_error(void) {
  if (strstr(reason, "locking")) return ENOLCK;
  const char *found = strstr(reason, "unable to lock file"), *number = found ? strstr(found, "errno = ") : NULL;
  return number ? atoi(number + strlen("errno = ")) : 0;
}

hid_t tg_h5_create_file(const char *path) {
  const hid_t access = access_with(false);
  const hid_t file = H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, access);
  H5Pclose(access);
  return file;
}

tg_status tg_h5_open_input(const char *path, hid_t *file) {
  *file = -1;
  FILE *probe = fopen(path, "rb");
  TG_CHECK(probe, TG_ENOINPUT, "%s: %s", path, strerror(errno));
  char byte;
  const size_t got = fread(&byte, 1, 1, probe);
  const int unreadable = ferror(probe) ? errno : 0;
  fclose(probe);
  TG_CHECK(!unreadable, TG_ENOINPUT, "%s: %s", path, strerror(unreadable));
  TG_CHECK(got == 1, TG_EDATA, "%s: the file is empty, expected HDF5", path);
  TG_CHECK(H5Fis_hdf5(path) != 0, TG_EDATA, "%s: not an HDF5 file", path);
  *file = open_for_reading(path, true);
  const int locked = *file < 0 ? lock_error() : 0;
  TG_CHECK(locked != EAGAIN && locked != EACCES, TG_EIO,
           "%s: is locked: another program has it open for writing (where none has: HDF5_USE_FILE_LOCKING=FALSE)",
           path);
  if (locked) *file = open_for_reading(path, false); /* a file system without locks */
  TG_CHECK(*file >= 0, TG_EDATA, "%s: %s HDF5 file (%s)", path, H5Fis_hdf5(path) > 0 ? "damaged" : "not an",
           tg_h5_reason());
  return TG_OK;
}

/* Bytes of all elements; false: more than 64 bits count. */
static bool claimed_bytes(hid_t dataset, uint64_t *bytes) {
  const hid_t space = H5Dget_space(dataset), type = H5Dget_type(dataset);
  hsize_t shape[H5S_MAX_RANK] = {0};
  const int n_axes = space >= 0 ? H5Sget_simple_extent_dims(space, shape, NULL) : -1;
  bool good = n_axes >= 0 && type >= 0, empty = false;
  *bytes = type >= 0 ? H5Tget_size(type) : 0;
  for (int a = 0; a < n_axes; a++) {
    empty |= shape[a] == 0;
    good = good && (shape[a] == 0 || !__builtin_mul_overflow(*bytes, (uint64_t)shape[a], bytes));
  }
  if (empty) *bytes = 0;
  if (type >= 0) H5Tclose(type);
  if (space >= 0) H5Sclose(space);
  return good;
}

tg_status tg_h5_check_storage(const char *path, const char *name, hid_t dataset) {
  hsize_t size = 0;
  uint64_t bytes = 0;
  const hid_t how = H5Dget_create_plist(dataset);
  TG_CHECK(how >= 0, TG_EDATA, "%s: %s has no readable layout (%s)", path, name, tg_h5_reason());
  const bool elsewhere = H5Pget_layout(how) == H5D_VIRTUAL, raw = H5Pget_external_count(how) != 0;
  H5Pclose(how);
  TG_CHECK(!elsewhere, TG_EDATA, "%s: %s is a virtual dataset, made of other files; copy it into one (h5repack)", path,
           name);
  TG_CHECK(!raw, TG_EDATA, "%s: %s has its numbers in other files (external storage); copy them into one (h5repack)",
           path, name);
  const hid_t file = H5Iget_file_id(dataset);
  if (file >= 0 && H5Fget_filesize(file, &size) < 0) size = 0;
  if (file >= 0) H5Fclose(file);
  const bool counted = claimed_bytes(dataset, &bytes);
  TG_CHECK(counted && bytes / MAX_EXPANSION <= size, TG_EDATA,
           "%s: %s claims %s%" PRIu64 " bytes, but the file has %llu in all; it is damaged", path, name,
           counted ? "" : "more than ", counted ? bytes : UINT64_MAX, (unsigned long long)size);
  return TG_OK;
}

bool tg_h5_has(hid_t place, const char *path) {
  char part[256]; /* H5Lexists takes no path whose groups are not there */
  for (const char *end = path + (*path == '/'); *end; end += *end == '/') {
    end += strcspn(end, "/");
    if (end - path >= (ptrdiff_t)sizeof part) return false;
    snprintf(part, sizeof part, "%.*s", (int)(end - path), path);
    if (H5Lexists(place, part, H5P_DEFAULT) <= 0) return false;
  }
  return true;
}

/* Reads one string through `read`, whose type is fixed or variable. */
static char *read_string(hid_t object, hid_t type, hid_t space, herr_t (*read)(hid_t, hid_t, void *)) {
  char *text = NULL;
  if (type >= 0 && H5Tget_class(type) == H5T_STRING && H5Sget_simple_extent_npoints(space) == 1) {
    if (H5Tis_variable_str(type) > 0) {
      char *owned = NULL;
      hid_t memory = H5Tcopy(type);
      if (read(object, memory, &owned) >= 0 && owned) text = strdup(owned);
      if (owned) H5free_memory(owned);
      H5Tclose(memory);
    } else if (H5Tget_size(type) <= MAX_TEXT) {
      text = calloc(H5Tget_size(type) + 1, 1);
      if (text && read(object, type, text) < 0) {
        free(text);
        text = NULL;
      }
    }
  }
  if (type >= 0) H5Tclose(type);
  if (space >= 0) H5Sclose(space);
  return text;
}

static herr_t read_attribute(hid_t attribute, hid_t type, void *out) { return H5Aread(attribute, type, out); }

static herr_t read_dataset(hid_t dataset, hid_t type, void *out) {
  return H5Dread(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, out);
}

char *tg_h5_string_attribute(hid_t object, const char *name) {
  if (H5Aexists(object, name) <= 0) return NULL;
  const hid_t attribute = H5Aopen(object, name, H5P_DEFAULT);
  char *text = read_string(attribute, H5Aget_type(attribute), H5Aget_space(attribute), read_attribute);
  if (attribute >= 0) H5Aclose(attribute);
  return text;
}

char *tg_h5_string_dataset(hid_t place, const char *name) {
  if (!tg_h5_has(place, name)) return NULL;
  const hid_t dataset = H5Dopen2(place, name, H5P_DEFAULT);
  char *text = dataset >= 0 ? read_string(dataset, H5Dget_type(dataset), H5Dget_space(dataset), read_dataset) : NULL;
  if (dataset >= 0) H5Dclose(dataset);
  return text;
}

hid_t tg_h5_create_texts(hid_t place, hid_t links, const char *name, char *const *texts, int64_t n) {
  if (n < 1) return -1;
  size_t longest = 1;
  for (int64_t a = 0; a < n; a++) longest = strlen(texts[a]) > longest ? strlen(texts[a]) : longest;
  char *packed = calloc((size_t)n, longest);
  for (int64_t a = 0; packed && a < n; a++) memcpy(packed + (size_t)a * longest, texts[a], strlen(texts[a]));
  const hsize_t shape = (hsize_t)n;
  const hid_t type = H5Tcopy(H5T_C_S1), space = H5Screate_simple(1, &shape, NULL);
  H5Tset_size(type, longest);
  H5Tset_strpad(type, H5T_STR_NULLPAD);
  H5Tset_cset(type, H5T_CSET_UTF8);
  hid_t dataset = packed ? H5Dcreate2(place, name, type, space, links, H5P_DEFAULT, H5P_DEFAULT) : -1;
  if (dataset >= 0 && H5Dwrite(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, packed) < 0) {
    H5Dclose(dataset);
    dataset = -1;
  }
  H5Tclose(type);
  H5Sclose(space);
  free(packed);
  return dataset;
}

/* Texts of a fixed length, `size` bytes each, padded with zeros or spaces or ended by a zero. */
static bool read_fixed_texts(hid_t dataset, hid_t type, size_t size, int64_t n, char **texts) {
  char *packed = calloc((size_t)n, size);
  bool good = packed && H5Dread(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, packed) >= 0;
  for (int64_t a = 0; good && a < n; a++) {
    const char *from = packed + (size_t)a * size;
    size_t length = strnlen(from, size);
    while (H5Tget_strpad(type) == H5T_STR_SPACEPAD && length > 0 && from[length - 1] == ' ') length--;
    good = (texts[a] = strndup(from, length)) != NULL;
  }
  free(packed);
  return good;
}

static bool read_variable_texts(hid_t dataset, hid_t type, hid_t space, int64_t n, char **texts) {
  char **read = calloc((size_t)n, sizeof *read);
  bool good = read && H5Dread(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, read) >= 0;
  for (int64_t a = 0; good && a < n; a++) good = (texts[a] = strdup(read[a] ? read[a] : "")) != NULL;
  if (read) H5Dvlen_reclaim(type, space, H5P_DEFAULT, read);
  free(read);
  return good;
}

bool tg_h5_read_texts(hid_t dataset, int64_t n, char **texts) {
  const hid_t type = H5Dget_type(dataset), space = H5Dget_space(dataset);
  const bool is_text = H5Tget_class(type) == H5T_STRING && H5Sget_simple_extent_ndims(space) == 1 &&
                       H5Sget_simple_extent_npoints(space) == n && n > 0;
  const size_t size = is_text ? H5Tget_size(type) : 0;
  bool good = is_text;
  if (good && H5Tis_variable_str(type) > 0)
    good = read_variable_texts(dataset, type, space, n, texts);
  else if (good)
    good = size <= MAX_TEXT / (size_t)n && read_fixed_texts(dataset, type, size, n, texts);
  H5Tclose(type);
  H5Sclose(space);
  return good;
}

long tg_h5_integer_attribute(hid_t object, const char *name, long fallback) {
  if (H5Aexists(object, name) <= 0) return fallback;
  const hid_t attribute = H5Aopen(object, name, H5P_DEFAULT), type = H5Aget_type(attribute);
  const hid_t space = H5Aget_space(attribute);
  long value = fallback;
  const bool integer = type >= 0 && (H5Tget_class(type) == H5T_INTEGER || H5Tget_class(type) == H5T_ENUM);
  if (integer && H5Sget_simple_extent_npoints(space) == 1)
    if (H5Aread(attribute, H5T_NATIVE_LONG, &value) < 0) value = fallback;
  if (type >= 0) H5Tclose(type);
  if (space >= 0) H5Sclose(space);
  if (attribute >= 0) H5Aclose(attribute);
  return value;
}

const char *tg_h5_shown_attribute(hid_t object, const char *name) {
  static _Thread_local char text[200];
  if (H5Aexists(object, name) <= 0) return "(absent)";
  const hid_t attribute = H5Aopen(object, name, H5P_DEFAULT), type = H5Aget_type(attribute);
  const hid_t space = H5Aget_space(attribute);
  const bool one = H5Sget_simple_extent_npoints(space) == 1;
  char *words = tg_h5_string_attribute(object, name);
  double real = 0.0;
  const bool is_real = one && H5Tget_class(type) == H5T_FLOAT && H5Aread(attribute, H5T_NATIVE_DOUBLE, &real) >= 0;
  const bool whole = is_real && real == rint(real) && fabs(real) < 1e15;
  if (words)
    snprintf(text, sizeof text, "'%.150s'", words);
  else if (is_real)
    snprintf(text, sizeof text, whole ? "%.1f" : "%.17g", real);
  else if (one && H5Tget_class(type) == H5T_INTEGER)
    snprintf(text, sizeof text, "%ld", tg_h5_integer_attribute(object, name, 0));
  else
    snprintf(text, sizeof text, "of another kind");
  free(words);
  H5Tclose(type);
  H5Sclose(space);
  H5Aclose(attribute);
  return text;
}

const char *tg_h5_shown_type(hid_t type) {
  static _Thread_local char text[64];
  const H5T_class_t kind = H5Tget_class(type);
  const char *order = H5Tget_order(type) == H5T_ORDER_BE ? "big-endian " : "";
  const int bits = 8 * (int)H5Tget_size(type);
  if (kind == H5T_FLOAT)
    snprintf(text, sizeof text, "%sfloat%d", order, bits);
  else if (kind == H5T_INTEGER)
    snprintf(text, sizeof text, "%s%sint%d", order, H5Tget_sign(type) == H5T_SGN_NONE ? "u" : "", bits);
  else
    snprintf(text, sizeof text, "%s",
             kind == H5T_STRING     ? "a string"
             : kind == H5T_COMPOUND ? "compound"
             : kind == H5T_ENUM     ? "a boolean or an enumeration"
             : kind == H5T_OPAQUE   ? "opaque bytes"
                                    : "of another kind");
  return text;
}

void tg_h5_write_text_attribute(hid_t object, const char *name, const char *text) {
  const hid_t type = H5Tcopy(H5T_C_S1), space = H5Screate(H5S_SCALAR);
  H5Tset_size(type, strlen(text) + 1);
  const hid_t attribute = H5Acreate2(object, name, type, space, H5P_DEFAULT, H5P_DEFAULT);
  H5Awrite(attribute, type, text);
  H5Aclose(attribute);
  H5Sclose(space);
  H5Tclose(type);
}

/* ---- blocks ---- */

static herr_t move_piece(hid_t dataset, int rank, const hsize_t *start, const hsize_t *count, hid_t memory_type,
                         void *read_into, const void *write_from) {
  const hid_t file = H5Dget_space(dataset),
              memory = rank > 0 ? H5Screate_simple(rank, count, NULL) : H5Screate(H5S_SCALAR);
  herr_t result = rank > 0 ? H5Sselect_hyperslab(file, H5S_SELECT_SET, start, NULL, count, NULL) : 0;
  if (result >= 0)
    result = write_from ? H5Dwrite(dataset, memory_type, memory, file, H5P_DEFAULT, write_from)
                        : H5Dread(dataset, memory_type, memory, file, H5P_DEFAULT, read_into);
  H5Sclose(memory);
  H5Sclose(file);
  return result;
}

/* HDF5's MPI driver counts bytes in an int: a block of 2 GiB fails. Halves of the first axis that has a length follow one another in
 * memory. */
herr_t tg_h5_move(hid_t dataset, int rank, const hsize_t *start, const hsize_t *count, hid_t memory_type,
                  void *read_into, const void *write_from) {
  enum { MOST = 1 << 30 };
  hsize_t bytes = H5Tget_size(memory_type), half[H5S_MAX_RANK], next[H5S_MAX_RANK];
  int axis = rank;
  for (int a = rank - 1; a >= 0; a--) {
    bytes *= count[a];
    if (count[a] > 1) axis = a;
    half[a] = count[a];
    next[a] = start[a];
  }
  if (bytes <= MOST || axis == rank) return move_piece(dataset, rank, start, count, memory_type, read_into, write_from);
  half[axis] = count[axis] / 2;
  const size_t first_bytes = (size_t)(bytes / count[axis] * half[axis]);
  herr_t result = tg_h5_move(dataset, rank, start, half, memory_type, read_into, write_from);
  next[axis] += half[axis];
  half[axis] = count[axis] - half[axis];
  if (result >= 0)
    result = tg_h5_move(dataset, rank, next, half, memory_type, read_into ? (char *)read_into + first_bytes : NULL,
                        write_from ? (const char *)write_from + first_bytes : NULL);
  return result;
}
