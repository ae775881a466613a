#include "run/states_file.h"

#include "base/clones.h"
#include "base/files.h"
#include "base/memory.h"
#include "base/text.h"
#include "hdf5/h5.h"
#include "parallel/comm.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

/* Datasets that are written by prompt and level; the table's order is that of the ids below. */
enum { STATES, LOSS, TOKEN_LOSS, ENTROPY, TOKEN_IDS, DONE, N_DATASETS };
enum { N_SCALARS = DONE - LOSS };

struct tg_states_file {
  MPI_Comm comm;
  const tg_states_layout *layout;
  tg_file_identity identity;        /* of FILE.part */
  hid_t file, datasets[N_DATASETS]; /* -1: not in this file */
  void *scratch;                    /* one cloud as stored, or other numbers of a (prompt, level) */
  float *row;                       /* one row as float32 */
  uint64_t hash;                    /* of what was written of a (prompt, level) so far */
};

/* ---- what the file holds ---- */

static hid_t bfloat16_type(void) {
  const hid_t type = H5Tcopy(H5T_IEEE_F32LE);
  H5Tset_fields(type, 15, 7, 8, 0, 7);
  H5Tset_size(type, 2);
  H5Tset_ebias(type, 127);
  return type;
}

typedef struct {
  const char *name;
  bool there;
  hid_t type; /* in the file */
  int rank;
  hsize_t shape[5];
} dataset_shape;

static void describe(const tg_states_layout *layout, hid_t element, dataset_shape out[N_DATASETS]) {
  const tg_source_info *i = layout->info;
  const hsize_t p = (hsize_t)i->n_prompts, s = (hsize_t)i->n_levels, n = (hsize_t)i->n_tokens;
  const bool steps = i->has_token_loss && n > 1;
  const dataset_shape all[N_DATASETS] = {
      {"hidden_states", true, element, 5, {p, s, (hsize_t)i->n_layers, n, (hsize_t)i->width}},
      {"loss", i->has_loss, H5T_IEEE_F64LE, 2, {p, s}},
      {"token_loss", steps, H5T_IEEE_F32LE, 3, {p, s, n - 1}},
      {"entropy", i->has_entropy, H5T_IEEE_F32LE, 3, {p, s, n}},
      {"token_ids", i->has_token_ids, H5T_STD_I32LE, 3, {p, s, n}},
      {"done", true, H5T_STD_U64LE, 2, {p, s}}};
  memcpy(out, all, sizeof all);
}

double tg_states_bytes(const tg_states_layout *layout) {
  const tg_source_info *i = layout->info;
  const double clouds = (double)i->n_prompts * i->n_levels * i->n_layers;
  return clouds * i->n_tokens * i->width * (layout->bfloat16 ? 2.0 : 4.0) +
         (double)i->n_prompts * i->n_levels * (12.0 * i->n_tokens + 16.0) + 8.0 * (double)i->width * i->width;
}

/* ---- making it ---- */

/* Contiguous, its space allocated now and left as the reserved file has it: zeros. */
static tg_status create_dataset(hid_t file, const char *name, hid_t type, int rank, const hsize_t *shape, hid_t memory,
                                const void *values) {
  const hid_t space = rank > 0 ? H5Screate_simple(rank, shape, NULL) : H5Screate(H5S_SCALAR),
              how = H5Pcreate(H5P_DATASET_CREATE);
  H5Pset_obj_track_times(how, false);
  H5Pset_alloc_time(how, H5D_ALLOC_TIME_EARLY);
  H5Pset_fill_time(how, H5D_FILL_TIME_NEVER);
  const hid_t dataset = H5Dcreate2(file, name, type, space, H5P_DEFAULT, how, H5P_DEFAULT);
  const bool good = dataset >= 0 && (!values || H5Dwrite(dataset, memory, H5S_ALL, H5S_ALL, H5P_DEFAULT, values) >= 0);
  if (dataset >= 0) H5Dclose(dataset);
  H5Pclose(how);
  H5Sclose(space);
  TG_CHECK(good, TG_EIO, "%s cannot be made (%s)", name, tg_h5_reason());
  return TG_OK;
}

static tg_status create_text(hid_t file, const char *name, const char *text) {
  const hid_t type = H5Tcopy(H5T_C_S1);
  H5Tset_size(type, strlen(text) + 1);
  const tg_status st = create_dataset(file, name, type, 0, NULL, type, text);
  H5Tclose(type);
  return st;
}

static tg_status write_integer_attribute(hid_t object, const char *name, int32_t value) {
  const hid_t space = H5Screate(H5S_SCALAR);
  const hid_t attribute = H5Acreate2(object, name, H5T_STD_I32LE, space, H5P_DEFAULT, H5P_DEFAULT);
  const bool good = attribute >= 0 && H5Awrite(attribute, H5T_NATIVE_INT32, &value) >= 0;
  if (attribute >= 0) H5Aclose(attribute);
  H5Sclose(space);
  TG_CHECK(good, TG_EIO, "attribute %s cannot be written (%s)", name, tg_h5_reason());
  return TG_OK;
}

static bool has_short_prompts(const tg_source_info *info) {
  for (int64_t p = 0; p < info->n_prompts; p++)
    if (info->n_tokens_of[p] != info->n_tokens) return true;
  return false;
}

static tg_status create_axes(hid_t file, const tg_states_layout *layout) {
  const tg_source_info *i = layout->info;
  const hsize_t prompts = (hsize_t)i->n_prompts, levels = (hsize_t)i->n_levels,
                square[2] = {(hsize_t)i->width, (hsize_t)i->width};
  TG_TRY(create_dataset(file, "prompt_ids", H5T_STD_I64LE, 1, &prompts, H5T_NATIVE_INT64, i->prompt_ids));
  TG_TRY(create_dataset(file, "shuffle_levels", H5T_STD_I32LE, 1, &levels, H5T_NATIVE_INT32, i->levels));
  if (i->groups) {
    const hid_t groups = tg_h5_create_texts(file, H5P_DEFAULT, "prompt_group", i->groups, i->n_prompts);
    TG_CHECK(groups >= 0, TG_EIO, "prompt_group cannot be written (%s)", tg_h5_reason());
    H5Dclose(groups);
  }
  if (has_short_prompts(i))
    TG_TRY(create_dataset(file, "n_tokens", H5T_STD_I32LE, 1, &prompts, H5T_NATIVE_INT32, i->n_tokens_of));
  if (layout->metric)
    TG_TRY(create_dataset(file, "logit_metric", H5T_IEEE_F64LE, 2, square, H5T_NATIVE_DOUBLE, layout->metric));
  return create_text(file, "origin", layout->origin);
}

static tg_status fill_file(hid_t file, const tg_states_layout *layout, hid_t element) {
  dataset_shape shapes[N_DATASETS];
  describe(layout, element, shapes);
  tg_h5_write_text_attribute(file, "format", "tokengeom-hidden-states");
  tg_h5_write_text_attribute(file, "model", layout->info->model);
  TG_TRY(write_integer_attribute(file, "format_version", 1));
  TG_TRY(create_axes(file, layout));
  for (int a = 0; a < N_DATASETS; a++)
    if (shapes[a].there)
      TG_TRY(create_dataset(file, shapes[a].name, shapes[a].type, shapes[a].rank, shapes[a].shape, -1, NULL));
  if (layout->info->last_layer_normalized < 0) return TG_OK;
  const hid_t states = H5Dopen2(file, "hidden_states", H5P_DEFAULT);
  const tg_status st = write_integer_attribute(states, "last_layer_normalized", layout->info->last_layer_normalized);
  H5Dclose(states);
  return st;
}

tg_status tg_states_create(const tg_states_layout *layout) {
  tg_status st = tg_file_reserve(layout->part, tg_states_bytes(layout)); /* a disk that is too small says so here */
  const hid_t element = layout->bfloat16 ? bfloat16_type() : H5Tcopy(H5T_IEEE_F32LE);
  const hid_t file = st == TG_OK ? tg_h5_create_file(layout->part) : -1;
  if (st == TG_OK && file < 0) st = tg_fail(TG_EIO, TG_HERE, "%s: cannot be made (%s)", layout->part, tg_h5_reason());
  if (st == TG_OK) st = fill_file(file, layout, element);
  if (file >= 0 && H5Fclose(file) < 0 && st == TG_OK)
    st = tg_fail(TG_EIO, TG_HERE, "%s: cannot be closed (%s)", layout->part, tg_h5_reason());
  H5Tclose(element);
  if (st == TG_OK) st = tg_file_reserve(layout->part, 0.0);
  if (st != TG_OK) unlink(layout->part);
  return st;
}

/* Whether what is done is marked with a checksum. */
static bool has_checksums(hid_t file) {
  const hid_t done = tg_h5_has(file, "done") ? H5Dopen2(file, "done", H5P_DEFAULT) : -1;
  if (done < 0) return false;
  const hid_t type = H5Dget_type(done);
  const bool right = H5Tequal(type, H5T_STD_U64LE) > 0;
  H5Tclose(type);
  H5Dclose(done);
  return right;
}

tg_status tg_states_check(const tg_states_layout *layout, bool *there) {
  struct stat at;
  hid_t file;
  *there = stat(layout->part, &at) == 0;
  if (!*there) return TG_OK;
  const tg_status opened = tg_h5_open_input(layout->part, &file);
  if (opened == TG_ENOINPUT) return opened; /* a disk that fails: what is there may be whole */
  char *origin = opened == TG_OK ? tg_h5_string_dataset(file, "origin") : NULL;
  const bool marked = origin && has_checksums(file);
  if (opened == TG_OK) H5Fclose(file);
  char *now = tg_copy_string(layout->origin);
  const char *a = origin ? origin : "", *b = now ? now : "";
  if (origin) tg_text_drop_directories(origin);
  if (now) tg_text_drop_directories(now);
  while (*a && *a == *b) a++, b++;
  tg_status st = now ? TG_OK : tg_fail(TG_EINTERNAL, TG_HERE, "no memory");
  if (!now)
    *there = false;
  else if (!origin)
    *there = false; /* killed while it was being made */
  else if (*a != *b) {
    while (a > origin && a[-1] != '\n') a--, b--;
    st = tg_fail(TG_ECONFIG, TG_HERE, "%s: is left from another extraction, with '%.*s' instead of '%.*s'; remove it",
                 layout->part, (int)strcspn(a, "\n"), a, (int)strcspn(b, "\n"), b);
  } else if (!marked)
    st =
        tg_fail(TG_ECONFIG, TG_HERE, "%s: is left from an earlier version, without checksums; remove it", layout->part);
  free(origin);
  free(now);
  return st;
}

/* ---- opening and closing ---- */

/* Of n tokens, as stored. */
static size_t cloud_bytes(const tg_states_file *f, int n) {
  return (size_t)n * (size_t)f->layout->info->width * (f->layout->bfloat16 ? 2 : 4);
}

static tg_status open_datasets(tg_states_file *f) {
  dataset_shape shapes[N_DATASETS];
  describe(f->layout, -1, shapes);
  const hid_t access = H5Pcreate(H5P_FILE_ACCESS);
  H5Pset_fapl_mpio(access, f->comm, MPI_INFO_NULL);
  f->file = H5Fopen(f->layout->part, H5F_ACC_RDWR, access);
  H5Pclose(access);
  TG_CHECK(f->file >= 0, TG_EIO, "%s: cannot be opened for writing (%s)", f->layout->part, tg_h5_reason());
  TG_TRY(tg_file_still_there(f->layout->part, &f->identity)); /* what was opened is what was looked at */
  for (int a = 0; a < N_DATASETS; a++) {
    if (!shapes[a].there) continue;
    f->datasets[a] = H5Dopen2(f->file, shapes[a].name, H5P_DEFAULT);
    TG_CHECK(f->datasets[a] >= 0, TG_EIO, "%s: no dataset %s", f->layout->part, shapes[a].name);
  }
  return TG_OK;
}

static void destroy(tg_states_file **file) {
  tg_states_file *f = *file;
  if (f) {
    free(f->scratch);
    free(f->row);
  }
  free(f);
  *file = NULL;
}

/* A handle with nothing open. */
static tg_status create(MPI_Comm comm, const tg_states_layout *layout, tg_states_file **out) {
  const tg_source_info *i = layout->info;
  TG_TRY(TG_ALLOC(1, out));
  tg_states_file *f = *out;
  f->comm = comm;
  f->layout = layout;
  f->file = -1;
  for (int a = 0; a < N_DATASETS; a++) f->datasets[a] = -1;
  const size_t cloud = cloud_bytes(f, i->n_tokens), numbers = (size_t)i->n_tokens * sizeof(float) + sizeof(double);
  TG_TRY(tg_alloc_bytes(cloud > numbers ? cloud : numbers, 1, &f->scratch));
  return TG_ALLOC(tg_cloud_stride(i->width), &f->row);
}

tg_status tg_states_open(MPI_Comm comm, const tg_states_layout *layout, tg_states_file **out) {
  *out = NULL;
  tg_status st = create(comm, layout, out);
  if (st == TG_OK) st = tg_file_identify(layout->part, &(*out)->identity);
  st = tg_comm_agree(comm, st); /* before the collective open */
  if (st != TG_OK) destroy(out);
  TG_TRY(st);
  st = tg_comm_agree(comm, open_datasets(*out));
  if (st != TG_OK) tg_comm_abort_all(comm, st); /* some ranks may have it open, and closing is collective */
  return st;
}

/* Collective. Makes what all ranks have written safe on the disk. */
static tg_status flush(tg_states_file *f) {
  tg_status st = TG_OK;
  if (H5Fflush(f->file, H5F_SCOPE_GLOBAL) < 0)
    st = tg_fail(TG_EIO, TG_HERE, "%s: cannot be flushed (%s)", f->layout->part, tg_h5_reason());
  return tg_comm_agree(f->comm, st);
}

/* Rank 0: FILE.part, closed and whole, becomes FILE. */
static tg_status put_in_place(const tg_states_file *f, const char *path) {
  TG_TRY(tg_file_reserve(f->layout->part, 0.0));
  TG_TRY(tg_file_still_there(f->layout->part, &f->identity));
  return tg_file_put_in_place(f->layout->part, path);
}

tg_status tg_states_close(tg_states_file **file, const char *path) {
  tg_states_file *f = *file;
  int rank;
  if (!f) return TG_OK;
  MPI_Comm_rank(f->comm, &rank);
  tg_status st = flush(f);
  for (int a = 0; a < N_DATASETS; a++)
    if (f->datasets[a] >= 0) H5Dclose(f->datasets[a]);
  tg_status closed = TG_OK;
  if (H5Fclose(f->file) < 0) /* by all, also where the disk has not kept the numbers: others wait in it */
    closed = tg_fail(TG_EIO, TG_HERE, "%s: cannot be closed (%s)", f->layout->part, tg_h5_reason());
  closed = tg_comm_agree(f->comm, closed);
  if (st == TG_OK) st = closed;
  if (st == TG_OK && path) st = tg_comm_agree(f->comm, rank == 0 ? put_in_place(f, path) : TG_OK);
  destroy(file);
  return st;
}

/* ---- writing ---- */

/* Moves a block at (p, s, then further) of a dataset, as it is in the file: reads into `read_into`, or writes where that is NULL. */
static tg_status move_block(tg_states_file *f, int which, int rank, const hsize_t *start, const hsize_t *count,
                            void *read_into, const void *write_from) {
  const hid_t type = H5Dget_type(f->datasets[which]);
  const herr_t moved = tg_h5_move(f->datasets[which], rank, start, count, type, read_into, write_from);
  H5Tclose(type);
  TG_CHECK(moved >= 0, TG_EIO, "%s: prompt %lld, level %lld cannot be %s (%s)", f->layout->part, (long long)start[0],
           (long long)start[1], read_into ? "read" : "written", tg_h5_reason());
  return TG_OK;
}

/* One cloud as it is in the file. */
static tg_status move_cloud(tg_states_file *f, int64_t p, int s, int l, int n, void *read_into,
                            const void *write_from) {
  const hsize_t start[5] = {(hsize_t)p, (hsize_t)s, (hsize_t)l, 0, 0},
                count[5] = {1, 1, 1, (hsize_t)n, (hsize_t)f->layout->info->width};
  return move_block(f, STATES, 5, start, count, read_into, write_from);
}

static tg_status write_mark(tg_states_file *f, int64_t p, int s, uint64_t mark) {
  const hsize_t start[2] = {(hsize_t)p, (hsize_t)s}, count[2] = {1, 1};
  return move_block(f, DONE, 2, start, count, NULL, &mark);
}

/* Never 0, which says that a (prompt, level) is not there. */
static uint64_t mark_of(uint64_t hash) { return hash ? hash : 1; }

TG_CLONES static void round_row(int d, const float *x, uint16_t *out) {
  for (int t = 0; t < d; t++) {
    uint32_t bits;
    memcpy(&bits, &x[t], sizeof bits);
    const uint32_t rounded = (bits + 0x7FFFu + (bits >> 16 & 1u)) >> 16;
    out[t] = (uint16_t)((bits & 0x7FFFFFFFu) > 0x7F800000u ? bits >> 16 | 0x40u : rounded); /* NaN stays NaN */
  }
}

tg_status tg_states_write_cloud(tg_states_file *f, int64_t p, int s, int l, const tg_cloud *cloud) {
  for (ptrdiff_t i = 0; i < cloud->n; i++) {
    const float *row = tg_cloud_row(cloud, (int)i, f->row);
    if (f->layout->bfloat16)
      round_row(cloud->d, row, (uint16_t *)f->scratch + i * cloud->d);
    else
      memcpy((float *)f->scratch + i * cloud->d, row, (size_t)cloud->d * sizeof(float));
  }
  f->hash = XXH64(f->scratch, cloud_bytes(f, cloud->n), l == 0 ? 0 : f->hash);
  return move_cloud(f, p, s, l, cloud->n, NULL, f->scratch);
}

/* Numbers of a (prompt, level) beside its clouds. */
typedef struct {
  int which, rank;
  hsize_t length;
  size_t size; /* of one, in the file and in memory */
  const void *values;
} scalar_block;

static void list_scalars(const tg_states_file *f, const tg_source_scalars *scalars, scalar_block out[N_SCALARS]) {
  const hsize_t n = (hsize_t)f->layout->info->n_tokens;
  const scalar_block all[N_SCALARS] = {{LOSS, 2, 1, sizeof(double), &scalars->loss},
                                       {TOKEN_LOSS, 3, n - 1, sizeof(float), scalars->token_loss},
                                       {ENTROPY, 3, n, sizeof(float), scalars->token_entropy},
                                       {TOKEN_IDS, 3, n, sizeof(int32_t), scalars->token_ids}};
  memcpy(out, all, sizeof all);
}

tg_status tg_states_write_scalars(tg_states_file *f, int64_t p, int s, const tg_source_scalars *scalars) {
  scalar_block all[N_SCALARS];
  list_scalars(f, scalars, all);
  TG_TRY(tg_file_still_there(f->layout->part, &f->identity));
  for (int a = 0; a < N_SCALARS; a++) {
    const hsize_t start[3] = {(hsize_t)p, (hsize_t)s, 0}, count[3] = {1, 1, all[a].length};
    if (f->datasets[all[a].which] < 0) continue;
    f->hash = XXH64(all[a].values, all[a].size * all[a].length, f->hash);
    TG_TRY(move_block(f, all[a].which, all[a].rank, start, count, NULL, all[a].values));
  }
  return write_mark(f, p, s, mark_of(f->hash));
}

/* ---- what is there ---- */

tg_status tg_states_read_marks(tg_states_file *f, uint64_t *marks) {
  TG_CHECK(H5Dread(f->datasets[DONE], H5T_NATIVE_UINT64, H5S_ALL, H5S_ALL, H5P_DEFAULT, marks) >= 0, TG_EIO,
           "%s: done cannot be read (%s)", f->layout->part, tg_h5_reason());
  return TG_OK;
}

tg_status tg_states_check_marked(tg_states_file *f, int64_t p, int s, uint64_t mark, bool *good) {
  static const tg_source_scalars none = {0};
  const int n = f->layout->info->n_tokens_of[p];
  uint64_t hash = 0;
  scalar_block all[N_SCALARS];
  list_scalars(f, &none, all);
  for (int l = 0; l < f->layout->info->n_layers; l++) {
    TG_TRY(move_cloud(f, p, s, l, n, f->scratch, NULL));
    hash = XXH64(f->scratch, cloud_bytes(f, n), hash);
  }
  for (int a = 0; a < N_SCALARS; a++) {
    const hsize_t start[3] = {(hsize_t)p, (hsize_t)s, 0}, count[3] = {1, 1, all[a].length};
    if (f->datasets[all[a].which] < 0) continue;
    TG_TRY(move_block(f, all[a].which, all[a].rank, start, count, f->scratch, NULL));
    hash = XXH64(f->scratch, all[a].size * all[a].length, hash);
  }
  *good = mark_of(hash) == mark;
  return TG_OK;
}

tg_status tg_states_forget(tg_states_file *f, int64_t p, int s) { return write_mark(f, p, s, 0); }
