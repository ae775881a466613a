#include "source/dataset.h"

#include "hdf5/h5.h"
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- opening ---- */

/* A chunk is decoded once even when it holds more than one cloud: the cache gets room for all chunks of one cloud. */
static hid_t with_cache(hid_t file, hid_t plain, size_t *cache) {
  const hid_t creation = H5Dget_create_plist(plain), type = H5Dget_type(plain), space = H5Dget_space(plain);
  hsize_t chunk[TG_STATES_AXES] = {0}, size[TG_STATES_AXES] = {0};
  hid_t result = plain;
  if (H5Pget_layout(creation) == H5D_CHUNKED && H5Sget_simple_extent_ndims(space) == TG_STATES_AXES) {
    H5Pget_chunk(creation, TG_STATES_AXES, chunk);
    H5Sget_simple_extent_dims(space, size, NULL);
    const double chunks = ceil((double)size[3] / (double)chunk[3]) * ceil((double)size[4] / (double)chunk[4]);
    double bytes = (double)H5Tget_size(type) * chunks;
    for (int a = 0; a < TG_STATES_AXES; a++) bytes *= (double)chunk[a];
    const hid_t access = H5Pcreate(H5P_DATASET_ACCESS);
    *cache = bytes < 1073741824.0 ? (size_t)bytes + 1048576 : 1073741824;
    H5Pset_chunk_cache(access, 10007, *cache, 0.75);
    result = H5Dopen2(file, "hidden_states", access);
    H5Pclose(access);
    H5Dclose(plain);
  }
  H5Pclose(creation);
  H5Tclose(type);
  H5Sclose(space);
  return result;
}

tg_status tg_dataset_open_states(const char *path, hid_t file, hid_t *states, size_t *cache) {
  const hid_t plain = H5Dopen2(file, "hidden_states", H5P_DEFAULT);
  TG_CHECK(plain >= 0, TG_EDATA, "%s: no dataset 'hidden_states'", path);
  const tg_status st = tg_h5_check_storage(path, "hidden_states", plain);
  if (st == TG_OK)
    *states = with_cache(file, plain, cache);
  else
    H5Dclose(plain);
  TG_TRY(st);
  TG_CHECK(*states >= 0, TG_EDATA, "%s: hidden_states cannot be opened (%s)", path, tg_h5_reason());
  return TG_OK;
}

/* ---- checking ---- */

tg_status tg_dataset_element(const char *path, const char *name, hid_t type, tg_element *out) {
  size_t sign = 0, exponent = 0, exponent_size = 0, mantissa = 0, mantissa_size = 0;
  const bool real = H5Tget_class(type) == H5T_FLOAT && H5Tget_order(type) == H5T_ORDER_LE &&
                    H5Tget_fields(type, &sign, &exponent, &exponent_size, &mantissa, &mantissa_size) >= 0 &&
                    mantissa == 0 && H5Tget_offset(type) == 0;
  const size_t size = real ? H5Tget_size(type) : 0, bias = real ? H5Tget_ebias(type) : 0;
  if (size == 2 && sign == 15 && exponent == 7 && exponent_size == 8 && mantissa_size == 7 && bias == 127)
    *out = TG_BFLOAT16;
  else if (size == 2 && sign == 15 && exponent == 10 && exponent_size == 5 && mantissa_size == 10 && bias == 15)
    *out = TG_FLOAT16;
  else if (size == 4 && sign == 31 && exponent == 23 && exponent_size == 8 && mantissa_size == 23 && bias == 127)
    *out = TG_FLOAT32;
  else
    return tg_fail(TG_EDATA, TG_HERE,
                   "%s: %s is %s, expected bfloat16, float16 or float32 (little endian, IEEE's bits)", path, name,
                   tg_h5_shown_type(type));
  return TG_OK;
}

tg_status tg_dataset_shape(const char *path, hid_t dataset, const char *name, const char *axes, int rank,
                           hsize_t *shape) {
  TG_CHECK(dataset >= 0, TG_EDATA, "%s: no dataset '%s' (%s)", path, name, axes);
  TG_TRY(tg_h5_check_storage(path, name, dataset));
  const hid_t space = H5Dget_space(dataset);
  const int found = space >= 0 ? H5Sget_simple_extent_ndims(space) : -1;
  if (found == rank) H5Sget_simple_extent_dims(space, shape, NULL);
  if (space >= 0) H5Sclose(space);
  TG_CHECK(found == rank, TG_EDATA, "%s: %s has %d axes, expected %d (%s)", path, name, found, rank, axes);
  return TG_OK;
}

static tg_status check_class(const char *path, hid_t dataset, const char *name, H5T_class_t wanted) {
  const hid_t type = H5Dget_type(dataset);
  const H5T_class_t kind = type >= 0 ? H5Tget_class(type) : H5T_NO_CLASS;
  const tg_status st = kind == wanted ? TG_OK
                                      : tg_fail(TG_EDATA, TG_HERE, "%s: %s is %s, expected %s", path, name,
                                                type >= 0 ? tg_h5_shown_type(type) : "of no type",
                                                wanted == H5T_FLOAT ? "floating-point numbers" : "integers");
  if (type >= 0) H5Tclose(type);
  return st;
}

/* ---- reading ---- */

/* The first of `count` integers, read through a selection of the file, that does not fit; -1 where memory is too small to look. */
static int64_t place_of_unfit(hid_t dataset, hid_t memory, hid_t file, hid_t type, size_t count) {
  const hid_t own = H5Dget_type(dataset);
  const bool has_sign = H5Tget_sign(own) != H5T_SGN_NONE;
  const int64_t most = H5Tget_size(type) == 4 ? INT32_MAX : INT64_MAX, least = -most - 1;
  int64_t *wide = calloc(count, sizeof *wide), place = -1;
  if (wide && H5Dread(dataset, has_sign ? H5T_NATIVE_INT64 : H5T_NATIVE_UINT64, memory, file, H5P_DEFAULT, wide) >= 0)
    for (size_t a = 0; place < 0 && a < count; a++)
      if (has_sign ? wide[a] < least || wide[a] > most : (uint64_t)wide[a] > (uint64_t)most) place = (int64_t)a;
  free(wide);
  H5Tclose(own);
  return place;
}

/* Why a read has failed. name: with the place of the block, if it is one. */
static tg_status failed(const char *path, const char *name, hid_t dataset, hid_t memory, hid_t file, hid_t type,
                        size_t count) {
  char number[32], why[256];
  snprintf(number, sizeof number, "%s", tg_h5_unfit());
  snprintf(why, sizeof why, "%s", tg_h5_reason());
  if (!number[0]) return tg_fail(TG_EDATA, TG_HERE, "%s: %s cannot be read (%s)", path, name, why);
  return tg_fail(TG_EDATA, TG_HERE, "%s: %s[%lld] is %s, which is no integer of %d bits", path, name,
                 (long long)place_of_unfit(dataset, memory, file, type, count), number, (int)H5Tget_size(type) * 8);
}

tg_status tg_dataset_read(const char *path, hid_t file, const char *name, const char *axes, int rank,
                          const hsize_t *expected, hid_t type, void *out) {
  const hid_t dataset = tg_h5_has(file, name) ? H5Dopen2(file, name, H5P_DEFAULT) : -1;
  hsize_t shape[TG_STATES_AXES] = {0};
  tg_status st = tg_dataset_shape(path, dataset, name, axes, rank, shape);
  for (int a = 0; st == TG_OK && a < rank; a++)
    if (shape[a] != expected[a])
      st = tg_fail(TG_EDATA, TG_HERE, "%s: %s has length %llu on axis %d (%s), expected %llu", path, name,
                   (unsigned long long)shape[a], a, axes, (unsigned long long)expected[a]);
  if (st == TG_OK) st = check_class(path, dataset, name, H5Tget_class(type));
  size_t numbers = 1;
  for (int a = 0; a < rank; a++) numbers *= (size_t)expected[a];
  if (st == TG_OK && out && H5Dread(dataset, type, H5S_ALL, H5S_ALL, tg_h5_exactly(), out) < 0)
    st = failed(path, name, dataset, H5S_ALL, H5S_ALL, type, numbers);
  if (dataset >= 0) H5Dclose(dataset);
  return st;
}

/* The memory has the block's shape: between different shapes HDF5 goes element by element. */
tg_status tg_dataset_read_block(const char *path, const char *name, hid_t dataset, int rank, const hsize_t *start,
                                const hsize_t *count, hid_t type, void *out) {
  const hid_t own = H5Dget_type(dataset), file = H5Dget_space(dataset), memory = H5Screate_simple(rank, count, NULL);
  herr_t result = H5Sselect_hyperslab(file, H5S_SELECT_SET, start, NULL, count, NULL);
  if (result >= 0) result = H5Dread(dataset, type ? type : own, memory, file, tg_h5_exactly(), out);
  const tg_status st = result >= 0 ? TG_OK
                                   : failed(path, name, dataset, memory, file, type ? type : own,
                                            (size_t)H5Sget_simple_extent_npoints(memory));
  H5Tclose(own);
  H5Sclose(file);
  H5Sclose(memory);
  return st;
}
