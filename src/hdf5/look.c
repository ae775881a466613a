#include "hdf5/look.h"

#include "base/child.h"
#include "hdf5/h5.h"
#include <ctype.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { SECONDS = 20 }; /* of CPU time for one file; the largest chunk that there can be takes half of it */

/* How closely: datasets of up to so many bytes are read whole, of larger ones so many elements. Less with many files: a
 * study should not start much later for it. */
typedef struct {
  size_t whole;
  int samples;
} care;
static const care few = {1 << 20, 8}, many = {1 << 12, 1};
enum { MANY_FILES = 32, LARGE_CHUNK = 16 << 20 };

typedef struct {
  const char *const *paths;
  int n;
  void (*use)(const char *path);
} request;

/* One file that is looked at. */
typedef struct {
  const char *path;
  const care *care;
  tg_status status;
} looker;

/* ---- datasets ---- */

/* The memory type that readers take. */
static hid_t memory_type(hid_t type) {
  const H5T_class_t kind = H5Tget_class(type);
  return kind == H5T_FLOAT ? H5T_NATIVE_DOUBLE : kind == H5T_INTEGER ? H5T_NATIVE_INT64 : -1;
}

static void read_whole(hid_t dataset, hid_t type, size_t count) {
  double *room = calloc(count, sizeof *room);
  if (room) H5Dread(dataset, memory_type(type), H5S_ALL, H5S_ALL, H5P_DEFAULT, room);
  free(room);
}

/* How many elements: one where decoding its chunk takes long. */
static int samples_of(hid_t dataset, size_t size, int samples) {
  hsize_t chunk[H5S_MAX_RANK] = {0};
  const hid_t how = H5Dget_create_plist(dataset);
  const int n_axes = H5Pget_layout(how) == H5D_CHUNKED ? H5Pget_chunk(how, H5S_MAX_RANK, chunk) : 0;
  double bytes = (double)size;
  for (int a = 0; a < n_axes; a++) bytes *= (double)chunk[a];
  H5Pclose(how);
  return bytes > LARGE_CHUNK ? 1 : samples;
}

/* Single elements, from the first to the last: each has its chunk found and decoded. */
static void read_samples(hid_t dataset, hid_t type, hid_t space, hsize_t count, int samples) {
  double room;
  hsize_t shape[H5S_MAX_RANK], place[H5S_MAX_RANK];
  const hsize_t one = 1;
  const int n_axes = H5Sget_simple_extent_dims(space, shape, NULL);
  const hid_t memory = H5Screate_simple(1, &one, NULL);
  for (int a = 0; a < samples; a++) {
    hsize_t rest = a < samples - 1 ? count / (hsize_t)(samples - 1) * (hsize_t)a : count - 1;
    for (int x = n_axes - 1; x >= 0; x--) {
      place[x] = rest % shape[x];
      rest /= shape[x];
    }
    H5Sselect_elements(space, H5S_SELECT_SET, 1, place);
    H5Dread(dataset, memory_type(type), memory, space, H5P_DEFAULT, &room);
  }
  H5Sclose(memory);
}

static tg_status look_at_dataset(const looker *k, hid_t file, const char *name, hid_t dataset) {
  TG_TRY(tg_h5_check_storage(k->path, name, dataset));
  const hid_t type = H5Dget_type(dataset), space = H5Dget_space(dataset);
  const hssize_t count = space >= 0 ? H5Sget_simple_extent_npoints(space) : -1;
  const size_t size = type >= 0 ? H5Tget_size(type) : 0;
  if (type >= 0 && H5Tget_class(type) == H5T_STRING)
    free(tg_h5_string_dataset(file, name));
  else if (count > 0 && size > 0 && size <= 16 && memory_type(type) >= 0) {
    if ((uint64_t)count <= k->care->whole / size)
      read_whole(dataset, type, (size_t)count);
    else
      read_samples(dataset, type, space, (hsize_t)count, samples_of(dataset, size, k->care->samples));
  }
  if (space >= 0) H5Sclose(space);
  if (type >= 0) H5Tclose(type);
  return TG_OK;
}

/* ---- objects ---- */

static herr_t look_at_attribute(hid_t object, const char *name, const H5A_info_t *info, void *unused) {
  (void)info, (void)unused;
  free(tg_h5_string_attribute(object, name));
  tg_h5_integer_attribute(object, name, 0);
  return 0;
}

/* Names become names of files: none may lead elsewhere. */
static tg_status check_name(const char *path, const char *name) {
  for (const char *c = name; *c; c++)
    TG_CHECK(!iscntrl((unsigned char)*c), TG_EDATA, "%s: the name of an object has a control character", path);
  for (const char *part = name; part; part = strchr(part, '/') ? strchr(part, '/') + 1 : NULL) {
    const size_t length = strcspn(part, "/");
    TG_CHECK(length > 0 && !(length <= 2 && strncmp(part, "..", length) == 0), TG_EDATA,
             "%s: an object is named '%s', which leads out of its group", path, name);
  }
  return TG_OK;
}

static tg_status look_at_object(const looker *k, hid_t file, const char *name, bool soft) {
  const hid_t object = H5Oopen(file, name, H5P_DEFAULT);
  if (object < 0 && soft) return TG_OK; /* it may dangle */
  TG_CHECK(object >= 0, TG_EDATA, "%s: %s cannot be opened (%s)", k->path, name, tg_h5_reason());
  const H5I_type_t kind = H5Iget_type(object);
  H5Aiterate2(object, H5_INDEX_NAME, H5_ITER_INC, NULL, look_at_attribute, NULL);
  const tg_status st = kind == H5I_DATASET ? look_at_dataset(k, file, name, object) : TG_OK;
  H5Oclose(object);
  return st;
}

static herr_t look_at_link(hid_t file, const char *name, const H5L_info_t *info, void *opaque) {
  looker *k = opaque;
  k->status = check_name(k->path, name);
  if (k->status == TG_OK && info->type != H5L_TYPE_HARD && info->type != H5L_TYPE_SOFT)
    k->status = tg_fail(TG_EDATA, TG_HERE, "%s: %s is %s, which is not followed; copy what it stands for into the file",
                        k->path, name, info->type == H5L_TYPE_EXTERNAL ? "a link to another file" : "no plain link");
  if (k->status == TG_OK) k->status = look_at_object(k, file, name, info->type == H5L_TYPE_SOFT);
  return k->status != TG_OK;
}

static tg_status look_at_file(const char *path, const care *how) {
  looker k = {path, how, TG_OK};
  hid_t file;
  if (tg_h5_open_input(path, &file) != TG_OK) return TG_OK;
  H5Aiterate2(file, H5_INDEX_NAME, H5_ITER_INC, NULL, look_at_attribute, NULL);
  H5Lvisit(file, H5_INDEX_NAME, H5_ITER_INC, look_at_link, &k);
  H5Fclose(file);
  return k.status;
}

/* In the child. */
static tg_status look(void *context, tg_child *child) {
  const request *r = context;
  const bool closely = r->n <= MANY_FILES;
  for (int a = 0; a < r->n; a++) {
    tg_child_begin(child, r->paths[a]);
    TG_TRY(look_at_file(r->paths[a], closely ? &few : &many));
    if (closely && r->use) r->use(r->paths[a]);
  }
  return TG_OK;
}

tg_status tg_h5_look(const char *const *paths, int n, void (*use)(const char *path)) {
  request r = {paths, n, use};
  return n > 0 ? tg_child_run("libhdf5", SECONDS, look, &r) : TG_OK;
}
