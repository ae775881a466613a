/* Whole rows of small clouds against the definitions; special clouds; layers in sequence; logits. */
#include "../oracle/oracle.h"
#include "../oracle/suite.h"
#include "geometry/measure.h"
#include "verify/definitions.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const tg_tick no_tick = {NULL, NULL};
static const tg_row_shape shape_of_64 = {5, {2, 4, 8, 16, 32}, 16, 64, TG_OBSERVE_ALL};

/* Numbers of a row, by their field's name. */
#define NUMBERS(row, field) tg_row_f64(&(row), TG_FIELD_##field)
#define NUMBER(row, field)  NUMBERS(row, field)[0]
#define COUNT(row, field)   tg_row_i32(&(row), TG_FIELD_##field)[0]
#define LISTS(row)          tg_row_i32(&(row), TG_FIELD_NEIGHBORS)

/* A measurer and a row of the same shape. */
typedef struct {
  tg_row_shape shape;
  tg_measurer *measurer;
  tg_row row;
} bench;

static bench create_bench_of(const tg_row_shape *shape, int d, tg_kernel kernel) {
  bench b = {.shape = *shape};
  CU_ASSERT_FATAL(tg_measurer_create(shape, d, kernel, no_tick, &b.measurer) == TG_OK &&
                  tg_row_create(shape, &b.row) == TG_OK);
  return b;
}

static bench create_bench(const tg_row_shape *shape, int d) { return create_bench_of(shape, d, tg_kernel_best()); }

static void destroy_bench(bench *b) {
  tg_measurer_destroy(&b->measurer);
  tg_row_free(&b->row);
}

static void measure(bench *b, const tg_cloud *c) {
  CU_ASSERT(tg_measure_layer(b->measurer, c, NULL, &b->row) == TG_OK);
}

static void measure_last(bench *b, const tg_cloud *c, const tg_metric *metric) {
  CU_ASSERT(tg_measure_layer(b->measurer, c, metric, &b->row) == TG_OK);
}

static bool all_nan(const double *x, int count) {
  for (int a = 0; a < count; a++)
    if (!isnan(x[a])) return false;
  return true;
}

static bool all_near(const char *what, const double *got, const double *expected, int count, double absolute,
                     double relative) {
  bool ok = true;
  for (int a = 0; a < count && ok; a++) ok = oracle_near(what, got[a], expected[a], absolute, relative);
  return ok;
}

/* The same to the bit, NaN where NaN. */
static bool same(const double *a, const double *b, int count) { return all_near("bits", a, b, count, 0.0, 0.0); }

/* ---- whole rows ---- */

static bool gride_matches(const bench *b, const tg_cloud *c, int *reason) {
  int32_t first[64];
  const int n_points = oracle_distinct(c, first);
  bool ok = COUNT(b->row, N_POINTS) == n_points;
  for (int s = 0; s < b->shape.n_scales; s++) {
    const oracle_grides expected = oracle_cloud_gride(c, b->shape.scales[s]);
    ok = oracle_near("gride_value", NUMBERS(b->row, GRIDE_VALUE)[s], expected.value, 0.0, 1e-9) && ok;
    ok = oracle_near("gride_error", NUMBERS(b->row, GRIDE_ERROR)[s], expected.error, 0.0, 1e-9) && ok;
    ok = oracle_near("gride_radius", NUMBERS(b->row, GRIDE_RADIUS)[s], expected.radius, 0.0, 1e-12) && ok;
    if (isnan(expected.value)) *reason |= b->shape.scales[s] > n_points - 1 ? TG_REASON_SCALE : TG_REASON_NO_ROOT;
  }
  return ok;
}

static bool lists_match(const bench *b, const tg_cloud *c, int *reason) {
  static int32_t lists[64 * 64];
  static double d2[64 * 64], expected[64];
  const int k = c->n - 1 < b->shape.k ? c->n - 1 : b->shape.k;
  oracle_lists(c, k, lists, d2);
  oracle_reciprocity(lists, c->n, k, k, expected);
  bool ok =
      same(NUMBERS(b->row, RECIPROCITY), expected, k) && all_nan(NUMBERS(b->row, RECIPROCITY) + k, b->shape.k - k);
  for (int i = 0; i < b->shape.n_tokens; i++)
    for (int a = 0; a < b->shape.k; a++)
      ok = ok && LISTS(b->row)[i * b->shape.k + a] == (i < c->n && a < k ? lists[i * k + a] : -1);
  if (k < b->shape.k) *reason |= TG_REASON_K;
  return ok;
}

static bool angles_match(const bench *b, const tg_cloud *c, int *reason) {
  static int32_t lists[64 * 64];
  static double d2[64 * 64];
  double sum = 0.0;
  int defined = 0;
  bool ok = true;
  if (c->n > 2) oracle_lists(c, 2, lists, d2);
  for (int i = 0; i < b->shape.n_tokens; i++) {
    const double expected = i < c->n && c->n > 2 ? oracle_angle(c, i, lists[2 * i], lists[2 * i + 1]) : NAN;
    ok = oracle_near("angle", NUMBERS(b->row, ANGLE_TOKENS)[i], expected, 1e-9, 0.0) && ok;
    if (!isnan(expected)) sum += expected, defined++;
  }
  if (defined < c->n) *reason |= TG_REASON_ANGLE;
  ok = oracle_near("angle_mean", NUMBER(b->row, ANGLE_MEAN), defined ? sum / defined : NAN, 2e-9, 0.0) && ok;
  return ok && COUNT(b->row, ANGLE_DEFINED) == defined;
}

static bool cosine_matches(const bench *b, const tg_cloud *c, int *reason) {
  const oracle_cosines expected = oracle_cosine(c);
  bool ok = oracle_near("cosine_mean", NUMBER(b->row, COSINE_MEAN), expected.mean, 1e-12, 0.0);
  ok = oracle_near("cosine_offdiagonal", NUMBER(b->row, COSINE_OFFDIAGONAL), expected.mean_offdiagonal, 1e-12, 0.0) &&
       ok;
  ok = oracle_near("cosine_std", NUMBER(b->row, COSINE_STD), expected.std, 1e-6, 0.0) && ok;
  if (expected.n_zero > 0) *reason |= TG_REASON_ZERO;
  return ok && COUNT(b->row, COSINE_ZERO) == expected.n_zero;
}

/* Everything but overlap and logits, and that status and reason say what the definitions say. */
static bool row_matches(const bench *b, const tg_cloud *c) {
  int reason = 0;
  bool ok = gride_matches(b, c, &reason);
  ok = lists_match(b, c, &reason) && ok;
  ok = angles_match(b, c, &reason) && ok;
  ok = cosine_matches(b, c, &reason) && ok;
  return ok && *b->row.reason == reason && *b->row.status == (reason ? TG_STATUS_REASONS : TG_STATUS_DONE);
}

/* Oracle: all definitions, distinct tokens by comparing all pairs. Bounds: lists, reciprocity, counts equal; radius
 * 1e-12, the accuracy of distances; GRIDE 1e-9: a relative error of 2 d eps = 2e-14 at d = 40 moves ln mu by as much,
 * and d by d times that at most, with d < 1000; angles 1e-9 degree; cosines as in test_cosine.c. Near ties are left
 * out: there ratios are 1 or 1 + eps as rounding has it, and GRIDE has no digits; lists are tested on them in
 * test_neighbors.c. */
static void whole_rows_match_the_definitions(void) {
  const int sizes[] = {1, 2, 3, 4, 5, 33, 64}, widths[] = {1, 3, 40};
  for (int kind = 0; kind < ORACLE_N_KINDS; kind++)
    for (int w = 0; w < 3 && kind != ORACLE_NEAR_TIES; w++) {
      bench b = create_bench(&shape_of_64, widths[w]);
      for (int s = 0; s < 7; s++) {
        tg_cloud c = oracle_cloud((oracle_kind)kind, sizes[s], widths[w], (uint64_t)s);
        oracle_negate_zeros(&c, (uint64_t)s);
        measure(&b, &c);
        bool ok = row_matches(&b, &c);
        CU_ASSERT(all_nan(NUMBERS(b.row, OVERLAP), b.shape.k)); /* the layer before had another number of tokens */
        oracle_round(&c);
        tg_cloud half = oracle_half(&c, (uint64_t)w);
        measure(&b, &half);
        ok = row_matches(&b, &c) && ok;
        if (!ok) printf("[%s, n %d, d %d, reason %d] ", oracle_kind_names[kind], c.n, c.d, *b.row.reason);
        CU_ASSERT(ok);
        CU_ASSERT(all_nan(NUMBERS(b.row, LOGITS_VALUE), 3 * b.shape.n_scales));
        oracle_cloud_destroy(&half);
        oracle_cloud_destroy(&c);
      }
      destroy_bench(&b);
    }
}

/* Whether a row has the numbers of the definitions, each field within the error that `tokengeom verify` lets pass. */
static bool fields_match(const bench *b, const tg_row *expected, bool all) {
  bool ok = true;
  for (int f = 0; f < TG_N_FIELDS; f++) {
    const tg_field *field = &tg_fields[f];
    if (!all && field->observable == TG_OBSERVE_GRIDE && field->relative > 0.0) continue;
    for (int64_t a = 0; a < tg_row_count(&b->shape, f) && ok; a++)
      ok = field->type == TG_F64 ? oracle_near(field->path, tg_row_f64(&b->row, f)[a], tg_row_f64(expected, f)[a],
                                               field->absolute, field->relative)
                                 : tg_row_i32(&b->row, f)[a] == tg_row_i32(expected, f)[a];
    if (!ok) printf("[%s] ", field->path);
  }
  return ok;
}

/* Oracle: every observable's definition in plain loops (verify/definitions.c), bounds by field (fields.def), as what is added to
 * the list is tested without a word here. Two layers, so that pairs have numbers; GRIDE's digits are left out for near ties, as
 * above. */
static void rows_match_the_listed_definitions(void) {
  const int sizes[] = {1, 2, 3, 33, 64}, widths[] = {1, 40};
  static int32_t before[64 * 64];
  for (int kind = 0; kind < ORACLE_N_KINDS; kind++)
    for (int a = 0; a < 10; a++) {
      const int n = sizes[a % 5], d = widths[a / 5];
      bench b = create_bench(&shape_of_64, d);
      tg_row expected;
      CU_ASSERT_FATAL(tg_row_create(&shape_of_64, &expected) == TG_OK);
      bool finite = false;
      for (int l = 0; l < 2; l++) {
        tg_cloud c = oracle_cloud((oracle_kind)kind, n, d, (uint64_t)l + 40);
        measure(&b, &c);
        CU_ASSERT(tg_plain_measure(&c, &shape_of_64, NULL, finite ? before : NULL, &expected) == TG_OK);
        const bool ok = fields_match(&b, &expected, kind != ORACLE_NEAR_TIES);
        if (!ok) printf("[%s, n %d, d %d, layer %d] ", oracle_kind_names[kind], n, d, l);
        CU_ASSERT(ok);
        CU_ASSERT(tg_plain_lists(&c, &shape_of_64, before, &finite) == TG_OK && finite);
        oracle_cloud_destroy(&c);
      }
      tg_row_free(&expected);
      destroy_bench(&b);
    }
}

/* Two layers, the second drifted, measured by one kernel: the row of the second. */
static bench two_layers(const tg_row_shape *shape, const tg_cloud layers[2], tg_kernel kernel) {
  bench b = create_bench_of(shape, layers[0].d, kernel);
  for (int l = 0; l < 2; l++) measure(&b, &layers[l]);
  return b;
}

/* All numbers have the same bits but the deviation of the cosines, which is a sum of the fast pass: 1e-6. */
static bool same_row(const bench *a, const bench *b) {
  bool ok = true;
  for (int f = 0; f < TG_N_FIELDS; f++) {
    const size_t count = (size_t)tg_row_count(&a->shape, f);
    if (f == TG_FIELD_COSINE_STD)
      ok = oracle_near("std", NUMBER(a->row, COSINE_STD), NUMBER(b->row, COSINE_STD), 1e-6, 0.0) && ok;
    else if (tg_fields[f].type == TG_F64)
      ok = same(tg_row_f64(&a->row, f), tg_row_f64(&b->row, f), (int)count) && ok;
    else
      ok = memcmp(a->row.numbers[f], b->row.numbers[f], count * sizeof(int32_t)) == 0 && ok;
  }
  return ok;
}

/* Nothing but status and reason stands in the row. */
static bool is_empty(const bench *b) {
  bool ok = true;
  for (int f = 0; f < TG_N_FIELDS; f++) {
    if (f == TG_FIELD_STATUS || f == TG_FIELD_REASON) continue;
    for (int64_t a = 0; a < tg_row_count(&b->shape, f); a++)
      ok = ok && (tg_fields[f].type == TG_F64 ? isnan(tg_row_f64(&b->row, f)[a])
                                              : tg_row_i32(&b->row, f)[a] == (int32_t)tg_fields[f].missing);
  }
  return ok;
}

/* Invariance: the kernel of the fast pass, and whether bfloat16 numbers come as bfloat16 or as float32. */
static void the_kernel_changes_no_bit(void) {
  const int widths[] = {1, 40, 300};
  oracle_random r = {12};
  for (int kind = 0; kind < ORACLE_N_KINDS; kind++)
    for (int w = 0; w < 3; w++) {
      tg_cloud layers[2] = {oracle_cloud((oracle_kind)kind, 64, widths[w], 9),
                            oracle_cloud((oracle_kind)kind, 64, widths[w], 9)};
      for (int t = 0; t < 64 * layers[1].ld; t += 1 + oracle_below(&r, 50))
        ((float *)(uintptr_t)layers[1].x)[t] *= 1.5f;
      for (int l = 0; l < 2; l++) oracle_round(&layers[l]);
      tg_cloud halves[2] = {oracle_half(&layers[0], 1), oracle_half(&layers[1], 2)};
      bench first = two_layers(&shape_of_64, layers, TG_KERNEL_FLOAT32);
      for (tg_kernel kernel = 0; kernel < TG_N_KERNELS; kernel++)
        for (int half = 0; half < 2 && tg_kernel_runs(kernel); half++) {
          bench other = two_layers(&shape_of_64, half ? halves : layers, kernel);
          const bool ok = same_row(&first, &other);
          if (!ok)
            printf("[%s, d %d, %s, %s] ", oracle_kind_names[kind], widths[w], tg_kernel_names[kernel],
                   half ? "bfloat16" : "float32");
          CU_ASSERT(ok);
          destroy_bench(&other);
        }
      destroy_bench(&first);
      for (int l = 0; l < 2; l++) {
        oracle_cloud_destroy(&layers[l]);
        oracle_cloud_destroy(&halves[l]);
      }
    }
}

/* Closed form: the contract of spec and row.h for one, two and three tokens. */
static void tiny_clouds_have_their_reasons(void) {
  const tg_row_shape shape = {2, {2, 4}, 2, 8, TG_OBSERVE_ALL};
  bench b = create_bench(&shape, 5);
  const int expected[] = {TG_REASON_SCALE | TG_REASON_K | TG_REASON_ANGLE,
                          TG_REASON_SCALE | TG_REASON_K | TG_REASON_ANGLE, TG_REASON_SCALE};
  for (int n = 1; n <= 3; n++) {
    tg_cloud c = oracle_cloud(ORACLE_GAUSSIAN, n, 5, 3);
    tg_measure_restart(b.measurer);
    measure(&b, &c);
    CU_ASSERT(*b.row.status == TG_STATUS_REASONS && *b.row.reason == expected[n - 1] && COUNT(b.row, N_POINTS) == n);
    CU_ASSERT(COUNT(b.row, ANGLE_DEFINED) == (n == 3 ? 3 : 0) && isnan(NUMBERS(b.row, GRIDE_VALUE)[1]));
    CU_ASSERT(isnan(NUMBERS(b.row, GRIDE_VALUE)[0]) == (n < 3) && isnan(NUMBER(b.row, COSINE_OFFDIAGONAL)) == (n == 1));
    CU_ASSERT(n > 1 || (NUMBER(b.row, COSINE_STD) < 1e-6 && fabs(NUMBER(b.row, COSINE_MEAN) - 1.0) < 1e-12));
    CU_ASSERT(isnan(NUMBERS(b.row, RECIPROCITY)[0]) == (n == 1) && isnan(NUMBERS(b.row, RECIPROCITY)[1]) == (n < 3));
    CU_ASSERT(n != 2 || NUMBERS(b.row, RECIPROCITY)[0] == 1.0);
    oracle_cloud_destroy(&c);
  }
  destroy_bench(&b);
}

/* Closed form: NaN or an infinity anywhere makes the cloud bad: status 3, reason 32, every number NaN, every list -1,
 * and both of its pairs NaN; the layers after that are measured as ever. */
static void bad_input_is_named(void) {
  const float bad[] = {NAN, INFINITY, -INFINITY};
  bench b = create_bench(&shape_of_64, 45);
  tg_cloud good = oracle_cloud(ORACLE_GAUSSIAN, 40, 45, 1);
  for (int a = 0; a < 6; a++) {
    tg_cloud c = oracle_cloud(ORACLE_GAUSSIAN, 40, 45, 2);
    ((float *)(uintptr_t)c.x)[a < 3 ? 0 : 39 * c.ld + 44] = bad[a % 3];
    tg_measure_restart(b.measurer);
    measure(&b, &good);
    measure(&b, &c);
    CU_ASSERT(*b.row.status == TG_STATUS_BAD && *b.row.reason == TG_REASON_NOT_FINITE && is_empty(&b));
    CU_ASSERT(COUNT(b.row, N_POINTS) == 0 && LISTS(b.row)[0] == -1);
    CU_ASSERT(tg_measure_edge(b.measurer, &c) == TG_OK);
    measure(&b, &good);
    CU_ASSERT(*b.row.status == TG_STATUS_DONE && all_nan(NUMBERS(b.row, OVERLAP), b.shape.k));
    measure(&b, &good);
    CU_ASSERT(NUMBERS(b.row, OVERLAP)[0] == 1.0 && NUMBERS(b.row, OVERLAP)[b.shape.k - 1] == 1.0);
    oracle_cloud_destroy(&c);
  }
  oracle_cloud_destroy(&good);
  destroy_bench(&b);
}

/* Closed form: GRIDE of a cloud in which tokens are repeated is GRIDE of the cloud without repeats, to the bit, because
 * a distance depends on its two rows alone; all other observables take all tokens. Tokens that are all equal have one
 * point, no angle, cosine 1, and lists by index. */
static void repeated_tokens_are_one_point(void) {
  bench all = create_bench(&shape_of_64, 20), once = create_bench(&shape_of_64, 20);
  tg_cloud c = oracle_cloud(ORACLE_REPEATED, 60, 20, 4), equal = oracle_cloud(ORACLE_EQUAL, 60, 20, 4);
  int32_t first[64];
  const int n_points = oracle_distinct(&c, first);
  tg_cloud distinct = oracle_cloud_reordered(&c, first, n_points);
  measure(&all, &c);
  measure(&once, &distinct);
  CU_ASSERT(n_points < 30 && COUNT(all.row, N_POINTS) == n_points && COUNT(once.row, N_POINTS) == n_points);
  CU_ASSERT(!isnan(NUMBERS(all.row, GRIDE_VALUE)[3]) &&
            same(NUMBERS(all.row, GRIDE_VALUE), NUMBERS(once.row, GRIDE_VALUE), 3 * all.shape.n_scales));
  CU_ASSERT(fabs(NUMBER(all.row, COSINE_MEAN) - NUMBER(once.row, COSINE_MEAN)) > 1e-6);
  measure(&all, &equal);
  CU_ASSERT(COUNT(all.row, N_POINTS) == 1 && all_nan(NUMBERS(all.row, GRIDE_VALUE), 3 * all.shape.n_scales) &&
            COUNT(all.row, ANGLE_DEFINED) == 0);
  CU_ASSERT(*all.row.reason == (TG_REASON_SCALE | TG_REASON_ANGLE) && *all.row.status == TG_STATUS_REASONS);
  CU_ASSERT(fabs(NUMBER(all.row, COSINE_MEAN) - 1.0) < 1e-12 && NUMBER(all.row, COSINE_STD) < 1e-6);
  for (int i = 0; i < 60; i++)
    for (int a = 0; a < 16; a++) CU_ASSERT(LISTS(all.row)[16 * i + a] == (a < i ? a : a + 1));
  oracle_cloud_destroy(&c);
  oracle_cloud_destroy(&equal);
  oracle_cloud_destroy(&distinct);
  destroy_bench(&all);
  destroy_bench(&once);
}

/* ---- layers ---- */

/* A stack of layers that drift: layer l is the one before plus noise. */
static void next_layer(tg_cloud *c, oracle_random *r) {
  float *x = (float *)(uintptr_t)c->x;
  for (int i = 0; i < c->n; i++)
    for (int t = 0; t < c->d; t++) x[i * c->ld + t] += (float)(0.3 * oracle_normal(r));
}

/* Oracle: overlap by sets, of the oracle's lists: equal. And a measurer that found only the lists of the layer before
 * gives the same row, to the bit, as one that measured both. After a restart there is no layer before. */
static void layers_meet_at_a_shards_edge(void) {
  enum { N = 50, K = 16 };
  bench both = create_bench(&shape_of_64, 30), edge = create_bench(&shape_of_64, 30);
  tg_cloud c = oracle_cloud(ORACLE_GAUSSIAN, N, 30, 8);
  oracle_random r = {8};
  static int32_t before[N * K], now[N * K];
  static double d2[N * K];
  double expected[K];
  oracle_lists(&c, K, now, d2);
  measure(&both, &c);
  CU_ASSERT(all_nan(NUMBERS(both.row, OVERLAP), K));
  for (int layer = 1; layer < 4; layer++) {
    tg_measure_restart(edge.measurer);
    CU_ASSERT(tg_measure_edge(edge.measurer, &c) == TG_OK);
    next_layer(&c, &r);
    memcpy(before, now, sizeof now);
    oracle_lists(&c, K, now, d2);
    oracle_overlap(before, now, N, K, K, expected);
    measure(&both, &c);
    measure(&edge, &c);
    CU_ASSERT(same(NUMBERS(both.row, OVERLAP), expected, K) && expected[0] > 0.0 && expected[0] < 1.0);
    CU_ASSERT(same_row(&both, &edge) && NUMBER(both.row, COSINE_STD) == NUMBER(edge.row, COSINE_STD));
  }
  tg_measure_restart(both.measurer);
  measure(&both, &c);
  CU_ASSERT(all_nan(NUMBERS(both.row, OVERLAP), K));
  oracle_cloud_destroy(&c);
  destroy_bench(&both);
  destroy_bench(&edge);
}

/* Invariance: tokens in another order, on clouds without exact ties. Lists and counts are equal after undoing it.
 * Distances are the same bits and sums run in another order: 1e-12 (64 eps of GRIDE's sums times d < 50, and the same
 * of angles); the cosines' deviation 2e-6, twice its bound. */
static void token_order_does_not_matter(void) {
  enum { N = 64, K = 16 };
  const oracle_kind kinds[] = {ORACLE_GAUSSIAN, ORACLE_LINEAR, ORACLE_CLUSTERS, ORACLE_MASSIVE, ORACLE_BFLOAT16};
  bench b = create_bench(&shape_of_64, 40), moved = create_bench(&shape_of_64, 40);
  int32_t order[N];
  oracle_random r = {10};
  for (int a = 0; a < 10; a++) { /* as float32, and as bfloat16 */
    tg_cloud c = oracle_cloud(kinds[a / 2], N, 40, 10);
    oracle_permutation(&r, N, order);
    tg_cloud c_moved = oracle_cloud_reordered(&c, order, N);
    if (a % 2) {
      oracle_round(&c);
      oracle_round(&c_moved);
      const tg_cloud halves[2] = {oracle_half(&c, 1), oracle_half(&c_moved, 2)};
      oracle_cloud_destroy(&c);
      oracle_cloud_destroy(&c_moved);
      c = halves[0];
      c_moved = halves[1];
    }
    tg_measure_restart(b.measurer);
    tg_measure_restart(moved.measurer);
    measure(&b, &c);
    measure(&moved, &c_moved);
    CU_ASSERT(all_near("gride", NUMBERS(moved.row, GRIDE_VALUE), NUMBERS(b.row, GRIDE_VALUE), 3 * b.shape.n_scales, 0.0,
                       1e-12));
    CU_ASSERT(same(NUMBERS(moved.row, RECIPROCITY), NUMBERS(b.row, RECIPROCITY), K) &&
              *moved.row.reason == *b.row.reason);
    CU_ASSERT(oracle_near("angle_mean", NUMBER(moved.row, ANGLE_MEAN), NUMBER(b.row, ANGLE_MEAN), 0.0, 1e-12));
    CU_ASSERT(oracle_near("cosine_mean", NUMBER(moved.row, COSINE_MEAN), NUMBER(b.row, COSINE_MEAN), 1e-12, 0.0));
    CU_ASSERT(oracle_near("cosine_std", NUMBER(moved.row, COSINE_STD), NUMBER(b.row, COSINE_STD), 2e-6, 0.0));
    bool ok = true;
    for (int i = 0; i < N; i++) {
      ok = ok && NUMBERS(moved.row, ANGLE_TOKENS)[i] == NUMBERS(b.row, ANGLE_TOKENS)[order[i]];
      for (int q = 0; q < K; q++) ok = ok && order[LISTS(moved.row)[i * K + q]] == LISTS(b.row)[order[i] * K + q];
    }
    CU_ASSERT(ok);
    oracle_cloud_destroy(&c);
    oracle_cloud_destroy(&c_moved);
  }
  destroy_bench(&b);
  destroy_bench(&moved);
}

/* Invariance: a power of two as unit of length moves the radius alone, every other number keeps its bits. */
static void the_unit_does_not_matter(void) {
  bench b = create_bench(&shape_of_64, 40), scaled = create_bench(&shape_of_64, 40);
  tg_cloud c = oracle_cloud(ORACLE_BFLOAT16, 64, 40, 12);
  measure(&b, &c);
  for (int t = 0; t < c.n * c.ld; t++) ((float *)(uintptr_t)c.x)[t] *= 0x1p60f;
  measure(&scaled, &c);
  const int scales = b.shape.n_scales;
  for (int s = 0; s < scales; s++) NUMBERS(b.row, GRIDE_RADIUS)[s] *= 0x1p60;
  CU_ASSERT(same(NUMBERS(scaled.row, GRIDE_VALUE), NUMBERS(b.row, GRIDE_VALUE), 3 * scales));
  CU_ASSERT(same(NUMBERS(scaled.row, RECIPROCITY), NUMBERS(b.row, RECIPROCITY), 16) &&
            same(NUMBERS(scaled.row, ANGLE_TOKENS), NUMBERS(b.row, ANGLE_TOKENS), 64));
  CU_ASSERT(NUMBER(scaled.row, COSINE_MEAN) == NUMBER(b.row, COSINE_MEAN) &&
            NUMBER(scaled.row, COSINE_STD) == NUMBER(b.row, COSINE_STD));
  CU_ASSERT(memcmp(LISTS(scaled.row), LISTS(b.row), 64 * 16 * sizeof(int32_t)) == 0);
  oracle_cloud_destroy(&c);
  destroy_bench(&b);
  destroy_bench(&scaled);
}

/* Closed form: what is not asked for has no numbers, takes no time, and changes no bit of what is; two layers, the second with
 * repeated tokens, as float32. */
static void what_is_not_asked_for_is_not_measured(void) {
  tg_cloud layers[2] = {oracle_cloud(ORACLE_GAUSSIAN, 64, 40, 9), oracle_cloud(ORACLE_REPEATED, 64, 40, 9)};
  bench all = two_layers(&shape_of_64, layers, tg_kernel_best());
  for (int o = 0; o < TG_N_OBSERVABLES; o++) {
    tg_row_shape shape = shape_of_64;
    shape.observables = (uint64_t)1 << o;
    bench one = two_layers(&shape, layers, tg_kernel_best());
    const double *seconds = tg_measurer_seconds(one.measurer);
    bool ok = true;
    for (int f = 0; f < TG_N_FIELDS; f++) {
      const bool asked = tg_fields[f].observable == o, always = tg_fields[f].observable == TG_OBSERVE_ALWAYS;
      ok = ok && (one.row.numbers[f] != NULL) == (asked || always);
      const size_t bytes = (size_t)tg_row_count(&shape, f) * tg_type_bytes(tg_fields[f].type);
      if (asked) ok = memcmp(one.row.numbers[f], all.row.numbers[f], bytes) == 0 && ok;
    }
    for (int a = 0; a < TG_N_OBSERVABLES; a++) ok = ok && (a == o || seconds[TG_STAGE_OBSERVABLES + a] == 0.0);
    ok = ok && (seconds[TG_STAGE_GRAM] > 0.0) == ((tg_observables[o].needs & ~(unsigned)TG_NEED_METRIC) != 0);
    if (!ok) printf("[%s] ", tg_observables[o].name);
    CU_ASSERT(ok);
    destroy_bench(&one);
  }
  destroy_bench(&all);
  for (int l = 0; l < 2; l++) oracle_cloud_destroy(&layers[l]);
}

/* A cloud that does not fit is refused, and a destroyed measurer is NULL. */
static void sizes_are_checked(void) {
  bench b = create_bench(&shape_of_64, 20);
  tg_cloud wide = oracle_cloud(ORACLE_GAUSSIAN, 10, 33, 1), long_one = oracle_cloud(ORACLE_GAUSSIAN, 65, 20, 1);
  CU_ASSERT(tg_measure_layer(b.measurer, &wide, NULL, &b.row) == TG_EINTERNAL);
  CU_ASSERT(tg_measure_layer(b.measurer, &long_one, NULL, &b.row) == TG_EINTERNAL);
  CU_ASSERT(tg_measurer_bytes(&shape_of_64, 20, TG_KERNEL_FLOAT32, 0) > 64 * 32 * 4);
  oracle_cloud_destroy(&wide);
  oracle_cloud_destroy(&long_one);
  destroy_bench(&b);
  tg_measurer_destroy(&b.measurer);
  CU_ASSERT(b.measurer == NULL);
}

/* ---- logits ---- */

/* W [vocabulary][d] and W^T W. */
static double *unembedding(int vocabulary, int d, uint64_t seed, double **gram) {
  double *w = oracle_memory((double)vocabulary * d, sizeof *w);
  *gram = oracle_memory((double)d * d, sizeof **gram);
  oracle_random r = {seed};
  for (int a = 0; a < vocabulary * d; a++) w[a] = oracle_normal(&r);
  for (int s = 0; s < d; s++)
    for (int t = 0; t < d; t++)
      for (int v = 0; v < vocabulary; v++) (*gram)[s * d + t] += w[v * d + s] * w[v * d + t];
  return w;
}

/* |W (h_i - h_j)|^2 in long double. */
static double logit_d2(const double *w, int vocabulary, const tg_cloud *c, int i, int j) {
  long double sum = 0;
  for (int v = 0; v < vocabulary; v++) {
    long double u = 0;
    for (int t = 0; t < c->d; t++)
      u += w[v * c->d + t] * ((long double)c->x[i * c->ld + t] - (long double)c->x[j * c->ld + t]);
    sum += u * u;
  }
  return (double)sum;
}

static int ascending(const void *a, const void *b) {
  const double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

/* GRIDE of the logits at every scale, over the distinct tokens. */
static void logit_grides(const double *w, int vocabulary, const tg_cloud *c, const tg_row_shape *shape,
                         oracle_grides *out) {
  int32_t first[64];
  double inner2[16][64], outer2[16][64];
  const int m = oracle_distinct(c, first);
  for (int a = 0; a < m; a++) {
    double d2[64];
    int count = 0;
    for (int b = 0; b < m; b++)
      if (a != b) d2[count++] = logit_d2(w, vocabulary, c, first[a], first[b]);
    qsort(d2, (size_t)count, sizeof *d2, ascending);
    for (int s = 0; s < shape->n_scales && shape->scales[s] <= count; s++) {
      inner2[s][a] = d2[shape->scales[s] / 2 - 1];
      outer2[s][a] = d2[shape->scales[s] - 1];
    }
  }
  for (int s = 0; s < shape->n_scales; s++)
    out[s] = shape->scales[s] <= m - 1 ? oracle_gride(inner2[s], outer2[s], m, shape->scales[s])
                                       : (oracle_grides){NAN, NAN, NAN};
}

/* Oracle: the logits W (h_i - h_j) themselves in long double. Bound: W^T W, its factor and the product with h are off
 * by about d eps = 2e-14 of the largest logit distance; here distances are within a factor of 100 of each other
 * (clusters: 4000 / 16, squared differences of coordinates centered to 2000: 250), so 1e-11 for radii, and for GRIDE,
 * with d < 100, 1e-9. With 12 words for 40 coordinates the metric has rank 12. */
static void logits_match_their_distances(void) {
  const struct {
    oracle_kind kind;
    int n, d, vocabulary, rank;
  } cases[] = {{ORACLE_GAUSSIAN, 64, 40, 100, 40}, {ORACLE_GAUSSIAN, 60, 40, 12, 12}, {ORACLE_OFFSET, 64, 40, 60, 40},
               {ORACLE_CLUSTERS, 64, 40, 12, 12},  {ORACLE_REPEATED, 60, 33, 50, 33}, {ORACLE_LINEAR, 40, 5, 9, 5},
               {ORACLE_BFLOAT16, 64, 32, 3, 3},    {ORACLE_MASSIVE, 64, 40, 80, 40},  {ORACLE_GAUSSIAN, 3, 1, 7, 1}};
  for (size_t a = 0; a < sizeof cases / sizeof *cases; a++) {
    tg_cloud c = oracle_cloud(cases[a].kind, cases[a].n, cases[a].d, 20 + a);
    bench b = create_bench(&shape_of_64, c.d);
    double *matrix, *w = unembedding(cases[a].vocabulary, c.d, a, &matrix);
    tg_metric *metric = NULL;
    oracle_grides expected[16];
    CU_ASSERT_FATAL(tg_metric_create(matrix, c.d, &metric) == TG_OK);
    CU_ASSERT(metric->rank == cases[a].rank && metric->d == c.d);
    measure(&b, &c);
    const int reason = *b.row.reason;
    measure_last(&b, &c, metric);
    CU_ASSERT(*b.row.reason == reason);
    logit_grides(w, cases[a].vocabulary, &c, &b.shape, expected);
    bool ok = true;
    for (int s = 0; s < b.shape.n_scales; s++) {
      ok = oracle_near("logits_value", NUMBERS(b.row, LOGITS_VALUE)[s], expected[s].value, 0.0, 1e-9) && ok;
      ok = oracle_near("logits_error", NUMBERS(b.row, LOGITS_ERROR)[s], expected[s].error, 0.0, 1e-9) && ok;
      ok = oracle_near("logits_radius", NUMBERS(b.row, LOGITS_RADIUS)[s], expected[s].radius, 0.0, 1e-11) && ok;
    }
    if (!ok) printf("[%s, n %d, d %d, %d words] ", oracle_kind_names[cases[a].kind], c.n, c.d, cases[a].vocabulary);
    CU_ASSERT(ok);
    tg_metric_destroy(&metric);
    destroy_bench(&b);
    free(matrix);
    free(w);
    oracle_cloud_destroy(&c);
  }
}

/* Closed form: with the identity as metric the logits are the states: 1e-12 for the radius, 1e-9 for GRIDE. A bad
 * cloud and one token give NaN; so does a metric of zeros, whose logits are all 0, with a reason. */
static void the_identity_gives_the_states_back(void) {
  enum { WIDTH = 24 };
  double matrix[WIDTH * WIDTH] = {0};
  tg_metric *identity = NULL, *nothing = NULL;
  bench b = create_bench(&shape_of_64, WIDTH);
  tg_cloud c = oracle_cloud(ORACLE_GAUSSIAN, 64, WIDTH, 30), one = oracle_cloud(ORACLE_GAUSSIAN, 1, WIDTH, 30);
  CU_ASSERT(tg_metric_create(matrix, WIDTH, &nothing) == TG_OK && nothing && nothing->rank == 0);
  for (int t = 0; t < WIDTH; t++) matrix[t * WIDTH + t] = 1.0;
  CU_ASSERT_FATAL(tg_metric_create(matrix, WIDTH, &identity) == TG_OK);
  const int scales = b.shape.n_scales;
  measure_last(&b, &c, nothing);
  CU_ASSERT(all_nan(NUMBERS(b.row, LOGITS_VALUE), 2 * scales) && *NUMBERS(b.row, LOGITS_RADIUS) == 0.0);
  CU_ASSERT(*b.row.reason == TG_REASON_NO_ROOT);
  measure_last(&b, &c, identity);
  CU_ASSERT(*b.row.status == TG_STATUS_DONE);
  CU_ASSERT(all_near("identity", NUMBERS(b.row, LOGITS_VALUE), NUMBERS(b.row, GRIDE_VALUE), 2 * scales, 0.0, 1e-9));
  CU_ASSERT(all_near("identity", NUMBERS(b.row, LOGITS_RADIUS), NUMBERS(b.row, GRIDE_RADIUS), scales, 0.0, 1e-12));
  measure_last(&b, &one, identity);
  CU_ASSERT(all_nan(NUMBERS(b.row, LOGITS_VALUE), 3 * scales));
  ((float *)(uintptr_t)c.x)[5] = NAN;
  measure_last(&b, &c, identity);
  CU_ASSERT(all_nan(NUMBERS(b.row, LOGITS_VALUE), 3 * scales));
  CU_ASSERT(*b.row.status == TG_STATUS_BAD);
  tg_metric_destroy(&identity);
  tg_metric_destroy(&nothing);
  tg_metric_destroy(&nothing);
  oracle_cloud_destroy(&c);
  oracle_cloud_destroy(&one);
  destroy_bench(&b);
}

/* Closed form: two far groups, within which tokens differ in coordinates 2^-40 times as large, and a metric that mixes all: the rounding
 * of the large ones is more than those distances, so there is no answer, and a reason; the definition says the same. With the metric
 * that takes only the small coordinates, there is one. */
static void lost_digits_are_said(void) {
  enum { WIDTH = 24, N = 64 };
  float *x;
  oracle_random r = {61};
  tg_cloud c = oracle_cloud_zeros(N, WIDTH, &x);
  for (int i = 0; i < N; i++)
    for (int t = 0; t < WIDTH; t++)
      x[i * c.ld + t] = (float)(t == 0 ? (i % 2 ? 3000.0 : -3000.0) : 0x1p-40 * 3000.0 * oracle_normal(&r));
  double *mixed, *w = unembedding(100, WIDTH, 7, &mixed), small[WIDTH * WIDTH] = {0};
  for (int t = 1; t < WIDTH; t++) small[t * WIDTH + t] = 1.0;
  for (int which = 0; which < 2; which++) {
    bench b = create_bench(&shape_of_64, WIDTH);
    tg_row expected;
    tg_metric *metric = NULL;
    CU_ASSERT_FATAL(tg_metric_create(which ? small : mixed, WIDTH, &metric) == TG_OK);
    CU_ASSERT_FATAL(tg_row_create(&shape_of_64, &expected) == TG_OK);
    measure_last(&b, &c, metric);
    CU_ASSERT(tg_plain_measure(&c, &shape_of_64, which ? small : mixed, NULL, &expected) == TG_OK);
    CU_ASSERT(((*b.row.reason & TG_REASON_LOGITS) != 0) == !which && *b.row.reason == *expected.reason);
    CU_ASSERT(isnan(NUMBERS(b.row, LOGITS_VALUE)[0]) == !which && isnan(NUMBERS(expected, LOGITS_VALUE)[0]) == !which);
    tg_row_free(&expected);
    tg_metric_destroy(&metric);
    destroy_bench(&b);
  }
  free(mixed);
  free(w);
  oracle_cloud_destroy(&c);
}

static bool is_refused(const double *matrix, int d) {
  tg_metric *metric = NULL;
  const bool refused = tg_metric_create(matrix, d, &metric) == TG_EDATA && metric == NULL;
  tg_metric_destroy(&metric);
  return refused;
}

/* Closed form: matrices that are no W^T W, each for one reason. The last two have eigenvalues -1 and -1/2 though no
 * diagonal entry is negative, before or after a step of Cholesky. */
static void matrices_that_are_no_metric_are_refused(void) {
  enum { WIDTH = 30 };
  double *matrix, *w = unembedding(20, WIDTH, 5, &matrix);
  const double at[] = {NAN, INFINITY, -INFINITY};
  for (int a = 0; a < 3; a++) {
    const double was = matrix[7 * WIDTH + 3];
    matrix[7 * WIDTH + 3] = matrix[3 * WIDTH + 7] = at[a];
    CU_ASSERT(is_refused(matrix, WIDTH));
    matrix[7 * WIDTH + 3] = matrix[3 * WIDTH + 7] = was;
  }
  CU_ASSERT(!is_refused(matrix, WIDTH));
  matrix[4 * WIDTH + 4] -= 1.1 * matrix[4 * WIDTH + 4];
  CU_ASSERT(is_refused(matrix, WIDTH));
  CU_ASSERT(is_refused((double[]){NAN, 0, 0, 1}, 2));
  CU_ASSERT(is_refused((double[]){-1}, 1));
  CU_ASSERT(is_refused((double[]){1, 2, 2, 1}, 2));
  CU_ASSERT(is_refused((double[]){0, 1, 1, 0}, 2));
  CU_ASSERT(is_refused((double[]){1, 1, 1, 1, 1, 0.5, 1, 0.5, 1}, 3));
  free(matrix);
  free(w);
  w = unembedding(90, WIDTH, 6, &matrix); /* of full rank: either half of it has a factor */
  for (int half = 0; half < 2; half++) {
    const int at_row = half ? 7 : 3, at_column = half ? 3 : 7;
    CU_ASSERT(!is_refused(matrix, WIDTH));
    matrix[at_row * WIDTH + at_column] += 1e-3 * matrix[0];
    CU_ASSERT(is_refused(matrix, WIDTH));
    matrix[at_row * WIDTH + at_column] = matrix[at_column * WIDTH + at_row];
  }
  free(matrix);
  free(w);
}

int main(void) {
  CU_TestInfo tests[] = {{"whole rows match the definitions", whole_rows_match_the_definitions},
                         {"rows match the listed definitions", rows_match_the_listed_definitions},
                         {"the kernel changes no bit", the_kernel_changes_no_bit},
                         {"tiny clouds have their reasons", tiny_clouds_have_their_reasons},
                         {"bad input is named", bad_input_is_named},
                         {"repeated tokens are one point", repeated_tokens_are_one_point},
                         {"layers meet at a shard's edge", layers_meet_at_a_shards_edge},
                         {"token order does not matter", token_order_does_not_matter},
                         {"the unit does not matter", the_unit_does_not_matter},
                         {"what is not asked for is not measured", what_is_not_asked_for_is_not_measured},
                         {"sizes are checked", sizes_are_checked},
                         {"logits match their distances", logits_match_their_distances},
                         {"the identity gives the states back", the_identity_gives_the_states_back},
                         {"lost digits are said", lost_digits_are_said},
                         {"matrices that are no metric are refused", matrices_that_are_no_metric_are_refused},
                         CU_TEST_INFO_NULL};
  return suite_run("measure", tests);
}
