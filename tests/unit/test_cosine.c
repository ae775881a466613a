/* Cosine similarity against direct dot products in long double. */
#include "../oracle/oracle.h"
#include "../oracle/suite.h"
#include "geometry/cosine.h"
#include "verify/plain.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static tg_cosine cosine_by(tg_kernel kernel, const tg_cloud *c) {
  tg_gram *g = NULL;
  tg_scan *scan = NULL;
  tg_cosine_sum *sum = NULL;
  CU_ASSERT_FATAL(tg_gram_create(c->n, c->d, kernel, &g) == TG_OK && tg_scan_create(c->n, c->d, &scan) == TG_OK &&
                  tg_cosine_create(c->n, c->d, &sum) == TG_OK);
  tg_scan_cloud(scan, c);
  tg_gram_start(g, c, scan);
  tg_cosine_start(sum, c, scan);
  for (int first = 0; first < c->n; first += g->rows) {
    CU_ASSERT(tg_gram_rows(g, first, (tg_tick){NULL, NULL}) == TG_OK);
    tg_cosine_add(sum, g, c);
  }
  const tg_cosine out = tg_cosine_end(sum, c, (tg_tick){NULL, NULL});
  tg_cosine_destroy(&sum);
  tg_scan_destroy(&scan);
  tg_gram_destroy(&g);
  return out;
}

static tg_cosine cosine_of(const tg_cloud *c) { return cosine_by(TG_KERNEL_FLOAT32, c); }

static bool is_right(const tg_cosine *got, const oracle_cosines *expected) {
  bool ok = oracle_near("mean", got->mean, expected->mean, 1e-12, 0.0);
  ok = oracle_near("mean_offdiagonal", got->mean_offdiagonal, expected->mean_offdiagonal, 1e-12, 0.0) && ok;
  return oracle_near("std", got->std, expected->std, 1e-6, 0.0) && got->n_zero == expected->n_zero && ok;
}

/* By every kernel, and rounded to bfloat16 too. */
static void check(const char *name, tg_cloud *c) {
  for (tg_kernel kernel = 0; kernel < TG_N_KERNELS; kernel++) {
    if (!tg_kernel_runs(kernel)) continue;
    const oracle_cosines expected = oracle_cosine(c);
    const tg_cosine got = cosine_by(kernel, c);
    if (!is_right(&got, &expected)) printf("[%s, %s, n %d, d %d] ", name, tg_kernel_names[kernel], c->n, c->d);
    CU_ASSERT(is_right(&got, &expected));
  }
  oracle_round(c);
  const oracle_cosines expected = oracle_cosine(c);
  tg_cloud half = oracle_half(c, 3);
  const tg_cosine got = cosine_by(tg_kernel_best(), &half);
  if (!is_right(&got, &expected)) printf("[%s, bfloat16, n %d, d %d] ", name, c->n, c->d);
  CU_ASSERT(is_right(&got, &expected));
  oracle_cloud_destroy(&half);
}

/* Oracle: x_i.x_j / (|x_i| |x_j|) of all pairs in long double. Bounds, from cosine.h: means 1e-12 (d + n roundings of
 * numbers up to 1: 1300 eps = 3e-13), deviation 1e-6 (a sum over a float32 matrix). */
static void all_kinds_match_the_definition(void) {
  const int sizes[] = {1, 2, 3, 33, 120}, widths[] = {1, 3, 32, 33, 1100};
  for (int kind = 0; kind < ORACLE_N_KINDS; kind++)
    for (int s = 0; s < 5; s++)
      for (int w = 0; w < 5; w++) {
        tg_cloud c = oracle_cloud((oracle_kind)kind, sizes[s], widths[w], (uint64_t)(s + w));
        check(oracle_kind_names[kind], &c);
        oracle_cloud_destroy(&c);
      }
}

/* The same where float32 alone fails: tokens whose length is 1e-3..1e-13 of a massive token's, so that centering makes
 * them far longer than they are and their cosines lose all digits; with zero vectors among them. */
static void tiny_vectors_beside_a_massive_one_are_right(void) {
  for (int step = 0; step < 12; step++) {
    float *x;
    tg_cloud c = oracle_cloud_zeros(90, 70, &x);
    oracle_random r = {(uint64_t)step};
    for (int i = 0; i < c.n; i++) {
      const double size = i == 40 ? 3000.0 : i % 7 == 6 ? 0.0 : pow(10.0, -2 * (step % 6));
      for (int t = 0; t < c.d; t++) x[i * c.ld + t] = (float)(size * (oracle_normal(&r) + (step > 5))) + 0.0f;
    }
    check("massive", &c);
    oracle_cloud_destroy(&c);
  }
}

/* Large clouds whose lengths lie in few coordinates, as activations have it, and in all of them alike. */
static void few_coordinates_count(void) {
  for (int few = 0; few < 5; few++) {
    float *x;
    tg_cloud c = oracle_cloud_zeros(1024, 40, &x);
    oracle_random r = {(uint64_t)few + 50};
    for (int i = 0; i < c.n; i++)
      for (int t = 0; t < c.d; t++)
        x[i * c.ld + t] = (float)((oracle_normal(&r) + (few % 2)) * (t < few ? 3000.0 : 1.0)) + 0.0f;
    check("few coordinates", &c);
    oracle_cloud_destroy(&c);
  }
}

/* Where the errors of products do not average out: few vectors, each many times, and nearly so; and coordinates that are all of one
 * size beside a sum of ones, so that every product rounds the same way. */
static void errors_that_add_up_are_found(void) {
  const int widths[] = {64, 300, 1100};
  for (int step = 0; step < 36; step++) {
    float *x;
    oracle_random r = {(uint64_t)step + 90};
    const int kinds = 2 + step % 6, d = widths[step % 3];
    tg_cloud c = oracle_cloud_zeros(300, d, &x);
    for (int i = 0; i < c.n; i++)
      for (int t = 0; t < d; t++) {
        const double noise = step % 2 ? 1.0 + 0x1p-20 * oracle_normal(&r) : 1.0;
        x[i * c.ld + t] = (float)(i < kinds ? oracle_normal(&r) : x[i % kinds * c.ld + t] * noise);
      }
    check("few vectors", &c);
    oracle_cloud_destroy(&c);
    c = oracle_cloud_zeros(84, 256, &x);
    for (int i = 0; i < c.n; i++)
      for (int t = 0; t < c.d; t++) {
        const double value = 0x1p-12 * (1.0 + (step % 4 - 1) * 0x1p-7 * (i / 2) / (1 + step));
        x[i * c.ld + t] = (float)((i % 2 ? -1.0 : 1.0) * (t ? value : 1.0));
      }
    check("one size", &c);
    oracle_cloud_destroy(&c);
  }
}

/* The same beside rows that float64 computes: tokens of nearly one direction, most of them a tenth as long as the others or less,
 * whose centered vectors are longer than they are. Up to so many that few pairs are left to look at. */
static void errors_that_add_up_beside_other_tokens_are_found(void) {
  const int widths[] = {64, 256, 1024};
  for (int step = 0; step < 300; step++) {
    float *x;
    oracle_random r = {(uint64_t)step + 7};
    const double base = step / 5 % 2 ? 0x1.8p-12 : 1.0, size = pow(10.0, -1 - step / 7 % 3),
                 noise = pow(10.0, -1 - step / 3 % 6);
    const int n_long = 10 + step % 50;
    tg_cloud c = oracle_cloud_zeros(120, widths[step % 3], &x);
    for (int i = 0; i < c.n; i++)
      for (int t = 0; t < c.d; t++) {
        const double value = (t ? base : 1.0) * (1.0 + noise * oracle_normal(&r) + 0x1p-12 * (i % 4));
        x[i * c.ld + t] = (float)((i < n_long ? 1.0 : size) * value);
      }
    check("beside others", &c);
    oracle_cloud_destroy(&c);
  }
}

/* Closed forms: orthogonal unit vectors (mean 1/n, deviation sqrt(1/n - 1/n^2)); all equal (1 and 0); v and -v (0 and
 * 1); zero vectors alone (0 and 0). Bounds: the same. */
static void closed_forms(void) {
  tg_cloud simplex = oracle_cloud(ORACLE_SIMPLEX, 50, 50, 1), equal = oracle_cloud(ORACLE_EQUAL, 50, 50, 1);
  float *x;
  tg_cloud two = oracle_cloud_zeros(2, 50, &x);
  tg_cosine got = cosine_of(&simplex);
  CU_ASSERT(oracle_near("simplex", got.mean, 0.02, 1e-12, 0.0) && oracle_near("simplex", got.std, 0.14, 1e-6, 0.0));
  CU_ASSERT(oracle_near("simplex", got.mean_offdiagonal, 0.0, 1e-12, 0.0));
  got = cosine_of(&equal);
  CU_ASSERT(oracle_near("equal", got.mean, 1.0, 1e-12, 0.0) && oracle_near("equal", got.std, 0.0, 1e-6, 0.0));
  CU_ASSERT(oracle_near("equal", got.mean_offdiagonal, 1.0, 1e-12, 0.0));
  got = cosine_of(&two);
  CU_ASSERT(got.mean == 0.0 && got.std == 0.0 && got.mean_offdiagonal == 0.0 && got.n_zero == 2);
  for (int t = 0; t < 50; t++) x[t] = equal.x[t], x[two.ld + t] = -equal.x[t];
  got = cosine_of(&two);
  CU_ASSERT(oracle_near("opposite", got.mean, 0.0, 1e-12, 0.0) && oracle_near("opposite", got.std, 1.0, 1e-6, 0.0));
  CU_ASSERT(oracle_near("opposite", got.mean_offdiagonal, -1.0, 1e-12, 0.0) && got.n_zero == 0);
  oracle_cloud_destroy(&simplex);
  oracle_cloud_destroy(&equal);
  oracle_cloud_destroy(&two);
}

/* Invariance: a power of two as unit of length changes no bit. */
static void the_unit_does_not_matter(void) {
  tg_cloud c = oracle_cloud(ORACLE_BFLOAT16, 60, 45, 3);
  const tg_cosine before = cosine_of(&c);
  float *x = (float *)(uintptr_t)c.x;
  for (int t = 0; t < c.n * c.ld; t++) x[t] *= 0x1p-70f;
  const tg_cosine after = cosine_of(&c);
  CU_ASSERT(before.mean == after.mean && before.std == after.std && before.mean_offdiagonal == after.mean_offdiagonal);
  oracle_cloud_destroy(&c);
}

#ifdef __SANITIZE_ADDRESS__
enum { LIMITED = 0 }; /* its shadow needs all addresses */
#else
enum { LIMITED = 1 };
#endif

/* Runs tg_plain_cosine with so much address space beyond what is in use. */
static tg_status plain_within(const tg_cloud *c, size_t bytes, tg_cosine *out) {
  long pages = 0;
  FILE *used = fopen("/proc/self/statm", "r");
  CU_ASSERT_FATAL(used && fscanf(used, "%ld", &pages) == 1);
  fclose(used);
  struct rlimit before, less;
  getrlimit(RLIMIT_AS, &before);
  less = before;
  less.rlim_cur = (rlim_t)pages * (rlim_t)sysconf(_SC_PAGESIZE) + bytes;
  if (LIMITED) setrlimit(RLIMIT_AS, &less);
  const tg_status st = tg_plain_cosine(c, out);
  setrlimit(RLIMIT_AS, &before);
  return st;
}

/* The definition needs no matrix of all pairs, 1 GB here. Oracle, a closed form: p tokens v and n - p of -v have the mean
 * m = (2p - n)^2 / n^2 and the deviation sqrt(1 - m^2), as every cosine is 1 or -1. Bounds: of n^2 roundings of 2^-64. */
static void the_definition_needs_little_memory(void) {
  enum { N = 8000, P = 5000 };
  float *x;
  tg_cloud c = oracle_cloud_zeros(N, 2, &x);
  for (int i = 0; i < N; i++) x[i * c.ld] = i < P ? 3.0f : -3.0f;
  tg_cosine got = {0};
  const double mean = pow((2.0 * P - N) / N, 2), off = (mean * N * N - N) / ((double)N * (N - 1));
  CU_ASSERT(plain_within(&c, (size_t)64 << 20, &got) == TG_OK);
  CU_ASSERT(oracle_near("mean", got.mean, mean, 1e-11, 0.0) &&
            oracle_near("std", got.std, sqrt(1 - mean * mean), 1e-11, 0.0));
  CU_ASSERT(oracle_near("mean_offdiagonal", got.mean_offdiagonal, off, 1e-11, 0.0) && got.n_zero == 0);
  oracle_cloud_destroy(&c);
}

int main(void) {
  CU_TestInfo tests[] = {
      {"all kinds match the definition", all_kinds_match_the_definition},
      {"tiny vectors beside a massive one are right", tiny_vectors_beside_a_massive_one_are_right},
      {"few coordinates count", few_coordinates_count},
      {"errors that add up are found", errors_that_add_up_are_found},
      {"errors that add up beside other tokens are found", errors_that_add_up_beside_other_tokens_are_found},
      {"closed forms", closed_forms},
      {"the unit does not matter", the_unit_does_not_matter},
      {"the definition needs little memory", the_definition_needs_little_memory},
      CU_TEST_INFO_NULL};
  return suite_run("cosine", tests);
}
