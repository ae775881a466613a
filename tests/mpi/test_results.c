/* The result file: what is written by many ranks is read back with plain HDF5 calls. Every check is made on all ranks before
 * CUnit sees it. */
#include "mpi_suite.h"
#include "geometry/observable.h"
#include "hdf5/h5.h"
#include "results/load.h"
#include "results/lock.h"
#include "results/results.h"

#include <dlfcn.h>
#include <math.h>
#include <mpi.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { P = 4, S = 2, N_ANGLES = 2, N_MODELS = 2, MAX_NAMES = 400, LENGTH = 128 };

static char directory[256];

/* ---- every H5Dwrite passes here: which datasets, in which order, and a failure on purpose ---- */

static char written[MAX_NAMES][LENGTH];
static int n_written, writes_until_failure = -1;

herr_t H5Dwrite(hid_t dataset, hid_t type, hid_t memory, hid_t file, hid_t how, const void *data) {
  static herr_t (*real)(hid_t, hid_t, hid_t, hid_t, hid_t, const void *);
  if (!real) *(void **)&real = dlsym(RTLD_NEXT, "H5Dwrite");
  if (writes_until_failure >= 0 && writes_until_failure-- == 0) return -1;
  if (n_written < MAX_NAMES) H5Iget_name(dataset, written[n_written++], LENGTH);
  return real(dataset, type, memory, file, how, data);
}

static bool was_written(const char *path) {
  for (int a = 0; a < n_written; a++)
    if (strcmp(written[a], path) == 0) return true;
  return false;
}

/* ---- two models, the second without lists, tokens and angle layers ---- */

static const int64_t ids[P] = {40, 7, 1000000000000, 3};
static const int32_t levels[S] = {0, 5};
static const int angle_layers[N_ANGLES] = {1, 4};

#define BIT(id) ((uint64_t)1 << TG_OBSERVE_##id)
static const uint64_t LISTS = BIT(NEIGHBORS), MEASURED = BIT(COSINE) | BIT(GRIDE) | BIT(ANGLE) | BIT(RECIPROCITY) |
                                                         BIT(OVERLAP) | BIT(NEIGHBORS) | BIT(LOGITS);

static tg_results_model model_of(int m) {
  tg_results_model model = {.name = m ? "second" : "first",
                            .n_prompts = P,
                            .prompt_ids = ids,
                            .n_levels = S,
                            .levels = levels,
                            .n_layers = m ? 3 : 6,
                            .shape = {.n_scales = 3,
                                      .scales = {2, 4, 8},
                                      .k = 5,
                                      .n_tokens = 7,
                                      .observables = m ? MEASURED & ~LISTS : MEASURED},
                            .angle_layers = angle_layers,
                            .n_angle_layers = m ? 0 : N_ANGLES,
                            .token_ids = m == 0};
  return model;
}

static tg_results_model models[N_MODELS];
static const tg_provenance provenance[] = {
    {"config", "output: a.h5\n", 0}, {"empty", "", 0}, {"end", "                              ", 0}};
static const tg_results_layout layout = {models, N_MODELS, provenance, 3};

/* A number of its own for every place of every field; `code` names the field. */
static double number(int m, int64_t p, int s, int l, int code, int64_t a) {
  return (double)((((((m * P + p) * S + s) * 8 + l) * 32 + code) * 64) + a + 1);
}

typedef enum {
  VALUE,
  ERROR,
  RADIUS,
  N_POINTS,
  OVERLAP,
  MEAN,
  STD,
  OFFDIAGONAL,
  N_ZERO,
  ANGLE,
  N_DEFINED,
  ANGLES,
  RECIPROCITY,
  NEIGHBORS,
  LOGITS,
  LOGITS_ERROR,
  LOGITS_RADIUS,
  ENTROPY,
  LOSS,
  TOKENS,
  REASON,
  STATUS,
  N_CODES
} code;

static const struct {
  int field;
  code code;
} codes[] = {{TG_FIELD_GRIDE_VALUE, VALUE},
             {TG_FIELD_GRIDE_ERROR, ERROR},
             {TG_FIELD_GRIDE_RADIUS, RADIUS},
             {TG_FIELD_N_POINTS, N_POINTS},
             {TG_FIELD_OVERLAP, OVERLAP},
             {TG_FIELD_COSINE_MEAN, MEAN},
             {TG_FIELD_COSINE_STD, STD},
             {TG_FIELD_COSINE_OFFDIAGONAL, OFFDIAGONAL},
             {TG_FIELD_COSINE_ZERO, N_ZERO},
             {TG_FIELD_ANGLE_MEAN, ANGLE},
             {TG_FIELD_ANGLE_DEFINED, N_DEFINED},
             {TG_FIELD_ANGLE_TOKENS, ANGLES},
             {TG_FIELD_RECIPROCITY, RECIPROCITY},
             {TG_FIELD_NEIGHBORS, NEIGHBORS},
             {TG_FIELD_LOGITS_VALUE, LOGITS},
             {TG_FIELD_LOGITS_ERROR, LOGITS_ERROR},
             {TG_FIELD_LOGITS_RADIUS, LOGITS_RADIUS},
             {TG_FIELD_REASON, REASON}};

static void fill(const tg_row_shape *shape, int field, code c, int m, int64_t p, int s, int l, tg_row *row) {
  for (int64_t a = 0; a < tg_row_count(shape, field); a++)
    if (tg_fields[field].type == TG_F64)
      tg_row_f64(row, field)[a] = number(m, p, s, l, (int)c, a);
    else
      tg_row_i32(row, field)[a] = (int32_t)number(m, p, s, l, (int)c, a);
}

static void fill_row(int m, int64_t p, int s, int l, tg_row *row) {
  const tg_row_shape *shape = &models[m].shape;
  for (size_t a = 0; a < sizeof codes / sizeof *codes; a++) fill(shape, codes[a].field, codes[a].code, m, p, s, l, row);
  fill(shape, TG_FIELD_LOSS, LOSS, m, p, s, 0, row);
  fill(shape, TG_FIELD_ENTROPY, ENTROPY, m, p, s, 0, row);
  fill(shape, TG_FIELD_TOKEN_IDS, TOKENS, m, p, s, 0, row);
  tg_row_f64(row, TG_FIELD_GRIDE_ERROR)[2] = NAN;
  *row->status = 1 + (int32_t)(p + s + l) % 3;
}

/* Layers first..end-1 of one (prompt, level). Local. */
static tg_status write_stretch(tg_results *results, int m, int64_t p, int s, int first, int end) {
  tg_row rows[8];
  tg_status st = TG_OK;
  for (int l = first; l < end; l++) {
    TG_TRY(tg_row_create(&models[m].shape, &rows[l - first]));
    fill_row(m, p, s, l, &rows[l - first]);
  }
  if (end > first) st = tg_results_write_rows(results, m, p, s, first, end - first, rows);
  for (int l = first; l < end; l++) tg_row_free(&rows[l - first]);
  return st;
}

/* Writes every row of both models: stretches of `length` layers, from the last to the first, dealt to `writers` ranks. */
static tg_status write_all(tg_results *results, int length, int writers) {
  tg_status st = TG_OK;
  int turn = 0;
  for (int m = N_MODELS - 1; m >= 0; m--)
    for (int a = P * S - 1; a >= 0; a--)
      for (int first = (models[m].n_layers - 1) / length * length; first >= 0; first -= length) {
        const int b = a * 3 % (P * S), end = first + length < models[m].n_layers ? first + length : models[m].n_layers;
        if (turn++ % writers == rank && st == TG_OK) st = write_stretch(results, m, b / S, b % S, first, end);
      }
  return st;
}

static void path_of(const char *name, char path[512]) { snprintf(path, 512, "%s/%s", directory, name); }

static bool exists(const char *path) { return access(path, F_OK) == 0; }

static bool exists_with(const char *path, const char *ending) {
  char name[600];
  snprintf(name, sizeof name, "%s%s", path, ending);
  return exists(name);
}

/* Made by rank 0, opened by all; NULL on failure. Collective. */
static tg_results *make_and_open(const char *path) {
  tg_results *results = NULL;
  ASSERT_ON_ALL(rank > 0 || tg_results_create(path, &layout) == TG_OK);
  MPI_Barrier(MPI_COMM_WORLD);
  ASSERT_ON_ALL(tg_results_open(MPI_COMM_WORLD, path, &layout, &results) == TG_OK && results);
  return results;
}

/* A file with all rows. Collective. */
static void make_full(const char *path, int length, int writers) {
  tg_results *results = make_and_open(path);
  if (!results) return;
  ASSERT_ON_ALL(write_all(results, length, writers) == TG_OK);
  ASSERT_ON_ALL(tg_results_flush(results) == TG_OK);
  ASSERT_ON_ALL(tg_results_close(&results) == TG_OK && !results);
}

static tg_status read_status(tg_results *results, int32_t *status) {
  return tg_results_read_clouds(results, 0, TG_FIELD_STATUS, status);
}

/* ---- reading with plain HDF5 calls ---- */

static double *read_numbers(hid_t file, const char *path, int rank_of_data, hsize_t *shape) {
  const hid_t dataset = H5Dopen2(file, path, H5P_DEFAULT), space = dataset >= 0 ? H5Dget_space(dataset) : -1;
  double *values = NULL;
  if (space >= 0 && H5Sget_simple_extent_ndims(space) == rank_of_data) {
    H5Sget_simple_extent_dims(space, shape, NULL);
    values = calloc((size_t)H5Sget_simple_extent_npoints(space) + 1, sizeof *values);
    if (H5Dread(dataset, H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, values) < 0) free(values), values = NULL;
  }
  if (space >= 0) H5Sclose(space);
  if (dataset >= 0) H5Dclose(dataset);
  return values;
}

typedef enum { BY_LAYER, BY_PAIR, BY_ANGLE_LAYER, BY_LAST, BY_NOTHING } third_axis;

/* The file's datasets as the specification has them. inner: numbers after the third axis, with their axes. */
static const struct {
  const char *path;
  code code;
  third_axis third;
  int inner, inner_axes;
} expected[] = {{"intrinsic_dimension/gride/value", VALUE, BY_LAYER, 3, 1},
                {"intrinsic_dimension/gride/error", ERROR, BY_LAYER, 3, 1},
                {"intrinsic_dimension/gride/radius", RADIUS, BY_LAYER, 3, 1},
                {"intrinsic_dimension/n_points", N_POINTS, BY_LAYER, 1, 0},
                {"neighborhood_overlap/value", OVERLAP, BY_PAIR, 5, 1},
                {"cosine_similarity/mean", MEAN, BY_LAYER, 1, 0},
                {"cosine_similarity/std", STD, BY_LAYER, 1, 0},
                {"cosine_similarity/mean_offdiagonal", OFFDIAGONAL, BY_LAYER, 1, 0},
                {"cosine_similarity/n_zero", N_ZERO, BY_LAYER, 1, 0},
                {"neighbor_angle/mean", ANGLE, BY_LAYER, 1, 0},
                {"neighbor_angle/n_defined", N_DEFINED, BY_LAYER, 1, 0},
                {"neighbor_angle/tokens", ANGLES, BY_ANGLE_LAYER, 7, 1},
                {"reciprocity/value", RECIPROCITY, BY_LAYER, 5, 1},
                {"neighbors/index", NEIGHBORS, BY_LAYER, 35, 2},
                {"logits/gride/value", LOGITS, BY_LAST, 3, 1},
                {"logits/gride/error", LOGITS_ERROR, BY_LAST, 3, 1},
                {"logits/gride/radius", LOGITS_RADIUS, BY_LAST, 3, 1},
                {"logits/entropy", ENTROPY, BY_NOTHING, 1, 0},
                {"loss", LOSS, BY_NOTHING, 1, 0},
                {"token_ids", TOKENS, BY_NOTHING, 7, 1},
                {"reason", REASON, BY_LAYER, 1, 0},
                {"status", STATUS, BY_LAYER, 1, 0}};
enum { N_EXPECTED = sizeof expected / sizeof *expected };

static double expected_number(int e, int m, int64_t p, int s, int third, int a) {
  const code c = expected[e].code;
  if (c == ERROR && a == 2) return NAN;
  if (c == STATUS) return 1 + (double)((p + s + third) % 3);
  switch (expected[e].third) {
  case BY_LAYER:
    return number(m, p, s, third, (int)c, a);
  case BY_PAIR:
    return number(m, p, s, third + 1, (int)c, a); /* pair (l - 1, l) comes with layer l */
  case BY_ANGLE_LAYER:
    return number(m, p, s, angle_layers[third], (int)c, a);
  case BY_LAST:
    return number(m, p, s, models[m].n_layers - 1, (int)c, a);
  default:
    return number(m, p, s, 0, (int)c, a);
  }
}

static bool equal(double a, double b) { return isnan(b) ? isnan(a) : a == b; }

static bool dataset_is_right(hid_t file, int m, int e) {
  char path[256];
  snprintf(path, sizeof path, "/models/%s/%s", models[m].name, expected[e].path);
  const third_axis third = expected[e].third;
  const bool has_third = third == BY_LAYER || third == BY_PAIR || third == BY_ANGLE_LAYER;
  const int thirds = third == BY_LAYER  ? models[m].n_layers
                     : third == BY_PAIR ? models[m].n_layers - 1
                     : has_third        ? N_ANGLES
                                        : 1;
  hsize_t shape[5] = {0};
  double *values = read_numbers(file, path, 2 + has_third + expected[e].inner_axes, shape);
  bool good = values && shape[0] == P && shape[1] == S && (!has_third || shape[2] == (hsize_t)thirds);
  for (int64_t p = 0; good && p < P; p++)
    for (int s = 0; s < S; s++)
      for (int t = 0; t < thirds; t++)
        for (int a = 0; a < expected[e].inner; a++)
          good = good &&
                 equal(values[((p * S + s) * thirds + t) * expected[e].inner + a], expected_number(e, m, p, s, t, a));
  if (!good) fprintf(stderr, "%s is not as written\n", path);
  free(values);
  return good;
}

/* Oracle: the rows' numbers, each of its own kind, and the shapes of the specification, on one rank. */
static bool file_is_right(const char *path) {
  const hid_t file = H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT);
  bool good = file >= 0;
  for (int m = 0; good && m < N_MODELS; m++)
    for (int e = 0; e < N_EXPECTED; e++) {
      const bool absent =
          m == 1 && (expected[e].code == ANGLES || expected[e].code == NEIGHBORS || expected[e].code == TOKENS);
      char name[256];
      snprintf(name, sizeof name, "/models/%s/%s", models[m].name, expected[e].path);
      if (absent)
        good = good && (H5Oexists_by_name(file, name, H5P_DEFAULT) <= 0);
      else
        good = dataset_is_right(file, m, e) && good;
    }
  if (file >= 0) H5Fclose(file);
  return good;
}

static void rows_of_all_ranks_are_read_back(void) {
  char path[512];
  path_of("rows.h5", path);
  for (int length = 1; length <= 6; length += length == 1 ? 1 : 4) { /* stretches of 1, 2, 6 layers */
    make_full(path, length, ranks);
    ASSERT_ON_ALL(rank > 0 || file_is_right(path));
  }
}

/* Oracle: the same through the functions that read: what status and level s of a field are, on every rank. */
static void ranks_read_what_others_wrote(void) {
  char path[512];
  path_of("shared.h5", path);
  tg_results *results = make_and_open(path);
  if (!results) return;
  ASSERT_ON_ALL(write_all(results, 2, ranks) == TG_OK);
  ASSERT_ON_ALL(tg_results_flush(results) == TG_OK);
  int32_t status[P * S * 6];
  double values[P * 6 * 3];
  bool good = read_status(results, status) == TG_OK;
  for (int a = 0; a < P * S * 6; a++) good = good && status[a] == 1 + (a / (S * 6) + a / 6 % S + a % 6) % 3;
  ASSERT_ON_ALL(good);
  for (int s = 0; s < S; s++) {
    good = tg_results_inner(&models[0], TG_FIELD_GRIDE_RADIUS) == 18 &&
           tg_results_read_level(results, 0, TG_FIELD_GRIDE_RADIUS, s, values) == TG_OK;
    for (int a = 0; a < P * 18; a++) good = good && values[a] == number(0, a / 18, s, a / 3 % 6, RADIUS, a % 3);
    good = good && tg_results_inner(&models[1], TG_FIELD_LOSS) == 1 &&
           tg_results_read_level(results, 1, TG_FIELD_LOSS, s, values) == TG_OK;
    for (int a = 0; a < P; a++) good = good && values[a] == number(1, a, s, 0, LOSS, 0);
    ASSERT_ON_ALL(good);
  }
  ASSERT_ON_ALL(tg_results_close(&results) == TG_OK && !results);
  ASSERT_ON_ALL(tg_results_close(&results) == TG_OK);
}

/* Oracle: the order in which datasets are written, seen from below. Status comes last, once, and what a layer is made of has
 * all been written before. The first layer has no pair. */
static void status_is_written_last(void) {
  char path[512];
  path_of("order.h5", path);
  tg_results *results = make_and_open(path);
  if (!results) return;
  for (int first = 0; first < 6; first++) {
    n_written = 0;
    const int64_t p = rank % P;
    const bool last = first == 5;
    tg_row row;
    bool good = tg_row_create(&models[0].shape, &row) == TG_OK;
    if (good) fill_row(0, p, 0, first, &row);
    good = good && tg_results_write_rows(results, 0, p, 0, first, 1, &row) == TG_OK;
    good = good && n_written > 1 && strcmp(written[n_written - 1], "/models/first/status") == 0 &&
           strcmp(written[n_written - 2], "/checksums/first") == 0;
    for (int a = 0; a < n_written - 2; a++)
      good = good && strcmp(written[a], "/models/first/status") != 0 && strcmp(written[a], "/checksums/first") != 0;
    for (int e = 0; e < N_EXPECTED; e++) {
      char name[256];
      snprintf(name, sizeof name, "/models/first/%s", expected[e].path);
      const third_axis third = expected[e].third;
      const bool angles = first == angle_layers[0] || first == angle_layers[1];
      good = good && was_written(name) ==
                         (third == BY_LAYER || (third == BY_PAIR && first > 0) || (third == BY_ANGLE_LAYER && angles) ||
                          (last && (third == BY_LAST || third == BY_NOTHING)));
    }
    tg_row_free(&row);
    ASSERT_ON_ALL(good);
  }
  ASSERT_ON_ALL(tg_results_close(&results) == TG_OK);
}

/* Oracle: the file after each of a stretch's writes has failed in turn: no layer of it is done. */
static void a_failed_write_leaves_nothing_done(void) {
  char path[512];
  path_of("failed.h5", path);
  tg_results *results = make_and_open(path);
  if (!results) return;
  for (int fail_at = 0; fail_at < 18; fail_at++) {
    int32_t status[P * S * 6], sum = 0;
    writes_until_failure = rank == 0 ? fail_at : -1;
    const tg_status st = rank == 0 ? write_stretch(results, 0, 1, 1, 0, 5) : TG_EIO;
    const bool failed = writes_until_failure < 0;
    writes_until_failure = -1;
    ASSERT_ON_ALL(rank > 0 || (failed && st == TG_EIO && strstr(tg_last_error(), "failed.h5")));
    ASSERT_ON_ALL(tg_results_flush(results) == TG_OK);
    ASSERT_ON_ALL(read_status(results, status) == TG_OK);
    for (int a = 0; a < P * S * 6; a++) sum += status[a];
    ASSERT_ON_ALL(sum == 0);
  }
  ASSERT_ON_ALL(rank > 0 || write_stretch(results, 0, 1, 1, 0, 5) == TG_OK);
  ASSERT_ON_ALL(tg_results_close(&results) == TG_OK);
}

/* What two walks over /models have in common. */
typedef struct {
  hid_t other;
  int n_datasets, n_different;
} comparison;

static unsigned char *bytes_of(hid_t dataset, size_t *size) {
  const hid_t type = H5Dget_type(dataset), space = H5Dget_space(dataset);
  *size = H5Tget_size(type) * (size_t)H5Sget_simple_extent_npoints(space);
  unsigned char *bytes = calloc(*size + 1, 1);
  if (H5Dread(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, bytes) < 0) *size = (size_t)-1;
  H5Sclose(space);
  H5Tclose(type);
  return bytes;
}

static herr_t compare(hid_t group, const char *name, const H5O_info_t *info, void *opaque) {
  comparison *c = opaque;
  if (info->type != H5O_TYPE_DATASET) return 0;
  const hid_t one = H5Dopen2(group, name, H5P_DEFAULT), two = H5Dopen2(c->other, name, H5P_DEFAULT);
  size_t size[2] = {0, 1};
  unsigned char *a = bytes_of(one, &size[0]), *b = two >= 0 ? bytes_of(two, &size[1]) : NULL;
  c->n_datasets++;
  c->n_different += size[0] != size[1] || size[0] == (size_t)-1 || memcmp(a, b, size[0]) != 0;
  free(a);
  free(b);
  H5Dclose(one);
  if (two >= 0) H5Dclose(two);
  return 0;
}

static comparison compare_files(const char *one, const char *two) {
  comparison c = {-1, 0, 0};
  const hid_t f = H5Fopen(one, H5F_ACC_RDONLY, H5P_DEFAULT), g = H5Fopen(two, H5F_ACC_RDONLY, H5P_DEFAULT);
  const hid_t models_of_f = H5Gopen2(f, "/models", H5P_DEFAULT);
  c.other = H5Gopen2(g, "/models", H5P_DEFAULT);
  H5Ovisit(models_of_f, H5_INDEX_NAME, H5_ITER_INC, compare, &c);
  H5Gclose(models_of_f);
  H5Gclose(c.other);
  H5Fclose(f);
  H5Fclose(g);
  return c;
}

/* Oracle: bytes. One rank writes whole stacks; all ranks write pieces. 22 and 19 fields, 12 with 6 moments each, 48 numbers of
 * correlations, and 8 and 7 axes. */
static void the_bytes_do_not_depend_on_who_writes(void) {
  char one[512], two[512], bare[512];
  path_of("one.h5", one);
  path_of("two.h5", two);
  path_of("bare.h5", bare);
  make_full(one, 6, 1);
  ASSERT_ON_ALL(rank > 0 || tg_results_create(bare, &layout) == TG_OK);
  const int moments = 12 * 6, correlations = 4 * 12;
  for (int length = 1; length <= 4; length++) {
    make_full(two, length, ranks);
    const comparison c = rank == 0 ? compare_files(one, two) : (comparison){0};
    ASSERT_ON_ALL(rank > 0 || (c.n_different == 0 && c.n_datasets == 22 + 19 + 2 * (moments + correlations) + 8 + 7));
  }
  const comparison c = rank == 0 ? compare_files(one, bare) : (comparison){0};
  ASSERT_ON_ALL(rank > 0 || c.n_different == 22 + 19); /* the comparison sees differences */
}

/* Oracle: the numbers written, of every moment and correlation at every level; the other level stays NaN until its turn. */
static void statistics_have_their_places(void) {
  static const struct {
    const char *path;
    int field, axes, count;
  } moments[] = {{"intrinsic_dimension/gride/value", TG_FIELD_GRIDE_VALUE, 3, 18},
                 {"neighborhood_overlap/value", TG_FIELD_OVERLAP, 3, 25},
                 {"cosine_similarity/std", TG_FIELD_COSINE_STD, 2, 6},
                 {"loss", TG_FIELD_LOSS, 1, 1}};
  static const struct {
    const char *path;
    int axes, count;
  } groups[TG_N_CORRELATIONS] = {
      {"id_loss", 3, 18}, {"id_loss_raw", 3, 18}, {"logit_id_entropy", 2, 3}, {"entropy_loss", 1, 1}};
  static const char *const moment_names[] = {"n", "mean", "std", "median", "q25", "q75"};
  static const char *const r_names[] = {"pearson",          "pearson_p",    "pearson_low", "pearson_high",
                                        "pearson_boot_std", "pearson_p_bh", "spearman",    "spearman_p",
                                        "spearman_p_bh",    "partial",      "partial_p",   "n"};
  char path[512], name[256];
  path_of("statistics.h5", path);
  tg_results *results = make_and_open(path);
  if (!results) return;
  double values[25];
  bool good = true;
  int turn = 0;
  for (int half = 0; half < 2; half++) {
    for (int a = 0; a < 4; a++)
      for (int w = 0; w < 6; w++) {
        for (int b = 0; b < 25; b++) values[b] = 1 + half * 100000 + a * 1000 + w * 100 + b;
        if (turn++ % ranks == rank)
          good = good && tg_results_write_moment(results, 0, moments[a].field, w, half, values) == TG_OK;
      }
    for (int a = 0; a < 4; a++)
      for (int w = 0; w < 12; w++) {
        for (int b = 0; b < 25; b++) values[b] = 2 + half * 100000 + a * 10000 + w * 100 + b;
        if (turn++ % ranks == rank)
          good = good && tg_results_write_correlation(results, 0, a, w, half, values) == TG_OK;
      }
    ASSERT_ON_ALL(good);
    ASSERT_ON_ALL(tg_results_close(&results) == TG_OK);
    const hid_t file = rank == 0 ? H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT) : -1;
    for (int a = 0; a < 4 && rank == 0; a++)
      for (int w = 0; w < 6; w++) {
        hsize_t shape[3] = {0};
        snprintf(name, sizeof name, "/models/first/statistics/%s/%s", moments[a].path, moment_names[w]);
        double *read = read_numbers(file, name, moments[a].axes, shape);
        good = good && read && shape[0] == S;
        for (int b = 0; good && b < S * moments[a].count; b++) {
          const int level = b / moments[a].count;
          const double blank = w == 0 ? 0.0 : NAN;
          good = equal(read[b], level > half ? blank : 1 + level * 100000 + a * 1000 + w * 100 + b % moments[a].count);
        }
        free(read);
      }
    ASSERT_ON_ALL(good);
    for (int a = 0; a < 4 && rank == 0; a++)
      for (int w = 0; w < 12; w++) {
        hsize_t shape[3] = {0};
        snprintf(name, sizeof name, "/models/first/correlations/%s/%s", groups[a].path, r_names[w]);
        double *read = read_numbers(file, name, groups[a].axes, shape);
        good = good && read && shape[0] == S;
        for (int b = 0; good && b < S * groups[a].count; b++) {
          const int level = b / groups[a].count;
          const double blank = w == 11 ? 0.0 : NAN;
          good = equal(read[b], level > half ? blank : 2 + level * 100000 + a * 10000 + w * 100 + b % groups[a].count);
        }
        free(read);
      }
    ASSERT_ON_ALL(good);
    if (file >= 0) H5Fclose(file);
    MPI_Barrier(MPI_COMM_WORLD);
    if (half == 0) ASSERT_ON_ALL(tg_results_open(MPI_COMM_WORLD, path, &layout, &results) == TG_OK);
  }
}

/* Oracle: a new file's promises: NaN in float64 numbers, 0 in integers, axes with their values and texts, provenance, not
 * complete; then the end. */
static void a_new_file_says_what_it_is(void) {
  char path[512], *text = NULL;
  path_of("new.h5", path);
  tg_results *results = make_and_open(path);
  if (!results) return;
  ASSERT_ON_ALL(tg_results_close(&results) == TG_OK);
  for (int ended = 0; ended < 2; ended++) {
    if (ended) {
      ASSERT_ON_ALL(tg_results_open(MPI_COMM_WORLD, path, &layout, &results) == TG_OK);
      if (!results) return;
      ASSERT_ON_ALL(rank > 0 || tg_results_write_end(results, true, "2030-01-01T00:00:00Z") == TG_OK);
      ASSERT_ON_ALL(rank > 0 ||
                    tg_results_write_end(results, true, "a text that is much longer than the room for it") == TG_EIO);
      ASSERT_ON_ALL(tg_results_close(&results) == TG_OK);
    }
    bool good = true;
    hsize_t shape[3] = {0};
    if (rank == 0) {
      const hid_t file = H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT);
      double *complete = read_numbers(file, "/complete", 0, shape),
             *value = read_numbers(file, "/models/second/loss", 2, shape);
      double *status = read_numbers(file, "/models/second/status", 3, shape),
             *id = read_numbers(file, "/models/first/prompt_id", 1, shape);
      double *level = read_numbers(file, "/models/first/shuffle", 1, shape),
             *scale = read_numbers(file, "/models/first/scale", 1, shape);
      double *k = read_numbers(file, "/models/first/k", 1, shape),
             *angle = read_numbers(file, "/models/first/angle_layer", 1, shape);
      good = complete && value && status && id && level && scale && k && angle && complete[0] == ended &&
             isnan(value[0]) && status[0] == 0 && id[2] == 1e12 && level[1] == 5 && scale[2] == 8 && k[0] == 1 &&
             k[4] == 5 && angle[1] == 4;
      double *const all[] = {complete, value, status, id, level, scale, k, angle};
      for (int a = 0; a < 8; a++) free(all[a]);
      H5Fclose(file);
      good = good && tg_results_read_provenance(path, "config", &text) == TG_OK && strcmp(text, "output: a.h5\n") == 0;
      free(text);
      good = good && tg_results_read_provenance(path, "empty", &text) == TG_OK && text[0] == '\0';
      free(text);
      good = good && tg_results_read_provenance(path, "end", &text) == TG_OK &&
             strcmp(text, ended ? "2030-01-01T00:00:00Z" : provenance[2].text) == 0;
      free(text);
      good = good && tg_results_read_provenance(path, "beginning", &text) == TG_EDATA && !text;
    }
    ASSERT_ON_ALL(good);
  }
}

/* Oracle: the file system. A new file takes an old one's place, whatever that was; .part is gone. */
static void an_existing_file_is_replaced(void) {
  char path[512];
  path_of("rows.h5", path);
  if (rank == 0) {
    FILE *file = fopen(path, "w");
    if (file) fputs("something older", file), fclose(file);
  }
  MPI_Barrier(MPI_COMM_WORLD);
  make_full(path, 3, ranks);
  ASSERT_ON_ALL(rank > 0 || file_is_right(path));
  ASSERT_ON_ALL(!exists_with(path, ".part"));
}

/* Oracle: the file system. No directory; a directory in the file's place; a failing write: code 74, no .part, and what was
 * there before is there still. */
static void a_failed_creation_leaves_nothing(void) {
  char path[512], text[32] = "";
  bool good = true;
  if (rank == 0) {
    path_of("absent/results.h5", path);
    good = tg_results_create(path, &layout) == TG_EIO && !exists(path) && !exists_with(path, ".part") &&
           strstr(tg_last_error(), path);
    path_of("absent", path);
    good = good && !exists(path);
    path_of("folder.h5", path);
    good = good && mkdir(path, 0777) == 0 && tg_results_create(path, &layout) == TG_EIO && exists(path) &&
           !exists_with(path, ".part");
    rmdir(path);
    path_of("kept.h5", path);
    FILE *file = fopen(path, "w");
    if (file) fputs("something older", file), fclose(file);
    for (int fail_at = 0; fail_at < 15; fail_at++) { /* the root, three texts, the axes of both models */
      writes_until_failure = fail_at;
      good =
          good && tg_results_create(path, &layout) == TG_EIO && writes_until_failure < 0 && !exists_with(path, ".part");
      writes_until_failure = -1;
    }
    file = fopen(path, "r");
    if (file) good = good && fgets(text, sizeof text, file), fclose(file);
    good = good && strcmp(text, "something older") == 0;
  }
  ASSERT_ON_ALL(good);
}

/* Oracle: the codes. */
static void what_is_no_result_file_has_no_provenance(void) {
  char path[512], *text;
  path_of("absent.h5", path);
  ASSERT_ON_ALL(tg_results_read_provenance(path, "config", &text) == TG_ENOINPUT && !text);
  path_of("foreign.h5", path);
  if (rank == 0) H5Fclose(H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT));
  MPI_Barrier(MPI_COMM_WORLD);
  ASSERT_ON_ALL(tg_results_read_provenance(path, "config", &text) == TG_EDATA && !text);
}

typedef struct {
  int n;
  char names[4][64];
} list;

static tg_status note_model(hid_t group, const char *name, void *context) {
  list *seen = context;
  tg_array loss;
  snprintf(seen->names[seen->n++], 64, "%s", name);
  TG_TRY(tg_array_load(group, "loss", &loss));
  const bool good = loss.n_axes == 2 && loss.shape[0] == P && loss.shape[1] == S && loss.count == P * S;
  tg_array_free(&loss);
  return good ? TG_OK : tg_fail(TG_EDATA, TG_HERE, "the loss of %s has another shape", name);
}

static tg_status stop_at_once(hid_t group, const char *name, void *context) {
  (void)group;
  ++*(int *)context;
  return tg_fail(TG_EDATA, TG_HERE, "stopped at %s", name);
}

/* Oracle: the layout. */
static void models_are_visited_in_order(void) {
  char path[512];
  bool good = true;
  path_of("visited.h5", path);
  if (rank == 0) {
    list seen = {0};
    int visits = 0;
    tg_array array;
    good = tg_results_create(path, &layout) == TG_OK;
    const hid_t file = H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT);
    good = good && tg_results_each_model(file, note_model, &seen) == TG_OK && seen.n == 2 &&
           strcmp(seen.names[0], "first") == 0 && strcmp(seen.names[1], "second") == 0;
    good = good && tg_results_each_model(file, stop_at_once, &visits) == TG_EDATA && visits == 1;
    good = good && tg_array_load(file, "/models/first/nothing", &array) == TG_EDATA && !array.values;
    good = good && tg_array_load(file, "/provenance/config", &array) == TG_EDATA && !array.values;
    H5Fclose(file);
  }
  ASSERT_ON_ALL(good);
}

/* Oracle: counting holders. Of all ranks one gets the lock; when it lets go another one can have it, and no file stays. */
static void a_lock_has_one_holder(void) {
  char path[512];
  tg_lock lock, again;
  path_of("locked.h5", path);
  for (int turn = 0; turn < 3; turn++) {
    MPI_Barrier(MPI_COMM_WORLD);
    const tg_status st = tg_lock_take(path, &lock);
    int holders = st == TG_OK;
    MPI_Allreduce(MPI_IN_PLACE, &holders, 1, MPI_INT, MPI_SUM, MPI_COMM_WORLD);
    ASSERT_ON_ALL(holders == 1);
    ASSERT_ON_ALL(st == TG_OK || (st == TG_EIO && strstr(tg_last_error(), "another run") && lock.descriptor < 0));
    ASSERT_ON_ALL(tg_lock_take(path, &again) == TG_EIO); /* the holder itself as well */
    tg_lock_release(&again);
    ASSERT_ON_ALL(exists_with(path, ".lock"));
    ASSERT_ON_ALL(tg_lock_take(path, &again) == TG_EIO); /* releasing what is not held changes nothing */
    tg_lock_release(&again);
    MPI_Barrier(MPI_COMM_WORLD);
    tg_lock_release(&lock);
    tg_lock_release(&lock);
    MPI_Barrier(MPI_COMM_WORLD);
    ASSERT_ON_ALL(!exists_with(path, ".lock"));
  }
  path_of("absent/locked.h5", path);
  ASSERT_ON_ALL(tg_lock_take(path, &lock) == TG_EIO);
  tg_lock_release(&lock);
}

static int remove_directory(void) {
  static const char *const names[] = {"rows.h5",    "shared.h5",  "order.h5",      "failed.h5", "one.h5",
                                      "two.h5",     "bare.h5",    "statistics.h5", "new.h5",    "kept.h5",
                                      "foreign.h5", "visited.h5", "locked.h5"};
  char path[512];
  for (size_t a = 0; a < sizeof names / sizeof *names; a++) {
    path_of(names[a], path);
    unlink(path);
  }
  return rmdir(directory);
}

int main(int argc, char **argv) {
  mpi_suite_begin(&argc, &argv);
  for (int m = 0; m < N_MODELS; m++) models[m] = model_of(m);
  CU_TestInfo tests[] = {{"a new file says what it is", a_new_file_says_what_it_is},
                         {"rows of all ranks are read back", rows_of_all_ranks_are_read_back},
                         {"ranks read what others wrote", ranks_read_what_others_wrote},
                         {"status is written last", status_is_written_last},
                         {"a failed write leaves nothing done", a_failed_write_leaves_nothing_done},
                         {"the bytes do not depend on who writes", the_bytes_do_not_depend_on_who_writes},
                         {"statistics have their places", statistics_have_their_places},
                         {"an existing file is replaced", an_existing_file_is_replaced},
                         {"a failed creation leaves nothing", a_failed_creation_leaves_nothing},
                         {"what is no result file has no provenance", what_is_no_result_file_has_no_provenance},
                         {"models are visited in order", models_are_visited_in_order},
                         {"a lock has one holder", a_lock_has_one_holder},
                         CU_TEST_INFO_NULL};
  snprintf(directory, sizeof directory, "/tmp/test_results_XXXXXX");
  if (rank == 0 && !mkdtemp(directory)) MPI_Abort(MPI_COMM_WORLD, EXIT_FAILURE);
  MPI_Bcast(directory, sizeof directory, MPI_CHAR, 0, MPI_COMM_WORLD);
  tg_h5_prepare();
  int failed = mpi_suite_run("results", tests);
  if (rank == 0 && remove_directory() != 0) failed = EXIT_FAILURE, fprintf(stderr, "%s is not empty\n", directory);
  MPI_Bcast(&failed, 1, MPI_INT, 0, MPI_COMM_WORLD);
  MPI_Finalize();
  return failed;
}
