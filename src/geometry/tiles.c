#include "geometry/tiles.h"

#ifdef TG_WITH_DNNL
#include "base/memory.h"
#include <omp.h>
#include <oneapi/dnnl/dnnl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

enum { MOST_SHAPES = 16 };

/* A product of one shape: oneDNN's code for it and its arguments, whose addresses are set for each call. */
typedef struct {
  int m, n, k, ld;
  dnnl_primitive_t primitive;
  dnnl_memory_t a, b, out;
} shape;

struct tg_tiles {
  dnnl_engine_t engine;
  dnnl_stream_t stream;
  shape shapes[MOST_SHAPES];
  int n_shapes;
};

/* The names of instruction sets are sets of bits, and each version has larger ones. */
static bool cpu_has(dnnl_cpu_isa_t wanted) { return (dnnl_get_effective_cpu_isa() & wanted) == wanted; }

int tg_tiles_speed(void) {
  if (cpu_has(dnnl_cpu_isa_avx512_core_amx)) return 2;
  return cpu_has(dnnl_cpu_isa_avx512_core_bf16) ? 1 : 0;
}

const char *tg_tiles_library(void) {
  static char text[64];
  const dnnl_version_t *v = dnnl_version();
  snprintf(text, sizeof text, "oneDNN %d.%d.%d", v->major, v->minor, v->patch);
  return text;
}

static tg_status check(dnnl_status_t status, const char *call) {
  TG_CHECK(status == dnnl_success, TG_EINTERNAL, "%s: oneDNN's status %d", call, (int)status);
  return TG_OK;
}
#define TRY(call) TG_TRY(check(call, #call))

tg_status tg_tiles_create(tg_tiles **out) {
  tg_tiles *t = NULL;
  *out = NULL;
  TG_TRY(TG_ALLOC(1, &t));
  omp_set_num_threads(1); /* a rank has one core */
  tg_status st = check(dnnl_engine_create(&t->engine, dnnl_cpu, 0), "dnnl_engine_create");
  if (st == TG_OK)
    st = check(dnnl_stream_create(&t->stream, t->engine, dnnl_stream_default_flags), "dnnl_stream_create");
  if (st != TG_OK) tg_tiles_destroy(&t);
  *out = t;
  return st;
}

static void free_shapes(tg_tiles *t) {
  for (int a = 0; a < t->n_shapes; a++) {
    dnnl_primitive_destroy(t->shapes[a].primitive);
    dnnl_memory_destroy(t->shapes[a].a);
    dnnl_memory_destroy(t->shapes[a].b);
    dnnl_memory_destroy(t->shapes[a].out);
  }
  t->n_shapes = 0;
}

void tg_tiles_destroy(tg_tiles **tiles) {
  if (!*tiles) return;
  free_shapes(*tiles);
  if ((*tiles)->stream) dnnl_stream_destroy((*tiles)->stream);
  if ((*tiles)->engine) dnnl_engine_destroy((*tiles)->engine);
  free(*tiles);
  *tiles = NULL;
}

/* A matrix of `rows` x `columns` in memory. oneDNN 3 keeps descriptions behind pointers, in version 2 they are structs; and
 * it has no descriptions of operations. */
static dnnl_status_t describe(dnnl_memory_desc_t *out, int rows, int columns, dnnl_data_type_t type, int row_stride,
                              int column_stride) {
  const dnnl_dims_t dims = {rows, columns}, strides = {row_stride, column_stride};
#if DNNL_VERSION_MAJOR >= 3
  return dnnl_memory_desc_create_with_strides(out, 2, dims, type, strides);
#else
  return dnnl_memory_desc_init_by_strides(out, 2, dims, type, strides);
#endif
}

#if DNNL_VERSION_MAJOR >= 3
static const_dnnl_memory_desc_t handle(const dnnl_memory_desc_t *matrix) { return *matrix; }
static void forget(dnnl_memory_desc_t *matrix) { dnnl_memory_desc_destroy(*matrix); }
static dnnl_status_t describe_product(dnnl_primitive_desc_t *out, dnnl_engine_t engine,
                                      const dnnl_memory_desc_t matrices[3]) {
  return dnnl_matmul_primitive_desc_create(out, engine, matrices[0], matrices[1], NULL, matrices[2], NULL);
}
#else
static const dnnl_memory_desc_t *handle(const dnnl_memory_desc_t *matrix) { return matrix; }
static void forget(dnnl_memory_desc_t *matrix) { (void)matrix; }
static dnnl_status_t describe_product(dnnl_primitive_desc_t *out, dnnl_engine_t engine,
                                      const dnnl_memory_desc_t matrices[3]) {
  dnnl_matmul_desc_t product;
  const dnnl_status_t st = dnnl_matmul_desc_init(&product, &matrices[0], &matrices[1], NULL, &matrices[2]);
  return st == dnnl_success ? dnnl_primitive_desc_create(out, &product, NULL, engine, NULL) : st;
}
#endif

/* Generates the code for matrices so described. */
static tg_status generate(const tg_tiles *t, const dnnl_memory_desc_t matrices[3], shape *s) {
  dnnl_primitive_desc_t description = NULL;
  TRY(describe_product(&description, t->engine, matrices));
  const dnnl_status_t created = dnnl_primitive_create(&s->primitive, description);
  dnnl_primitive_desc_destroy(description);
  TG_TRY(check(created, "dnnl_primitive_create"));
  TRY(dnnl_memory_create(&s->a, handle(&matrices[0]), t->engine, DNNL_MEMORY_NONE));
  TRY(dnnl_memory_create(&s->b, handle(&matrices[1]), t->engine, DNNL_MEMORY_NONE));
  TRY(dnnl_memory_create(&s->out, handle(&matrices[2]), t->engine, DNNL_MEMORY_NONE));
  return TG_OK;
}

/* The product is a times the transpose of b, which lies as rows. oneDNN 3.7 ignores the stride between the rows of a product
 * that has one column: there the product lies dense, and tg_tiles_multiply spreads it. */
static tg_status make_shape(const tg_tiles *t, shape *s) {
  dnnl_memory_desc_t matrices[3];
  TRY(describe(&matrices[0], s->m, s->k, dnnl_bf16, s->ld, 1));
  TRY(describe(&matrices[1], s->k, s->n, dnnl_bf16, 1, s->ld));
  TRY(describe(&matrices[2], s->m, s->n, dnnl_f32, s->n == 1 ? 1 : TG_TILE, 1));
  const tg_status st = generate(t, matrices, s);
  for (int a = 0; a < 3; a++) forget(&matrices[a]);
  return st;
}

static tg_status find_shape(tg_tiles *t, int ld, int m, int n, int k, shape **out) {
  for (int a = 0; a < t->n_shapes; a++) {
    shape *s = &t->shapes[a];
    *out = s;
    if (s->m == m && s->n == n && s->k == k && s->ld == ld) return TG_OK;
  }
  if (t->n_shapes == MOST_SHAPES) free_shapes(t); /* prompts of many lengths: start anew */
  *out = &t->shapes[t->n_shapes++];
  **out = (shape){m, n, k, ld, NULL, NULL, NULL, NULL};
  return make_shape(t, *out);
}

tg_status tg_tiles_multiply(tg_tiles *t, const uint16_t *a, const uint16_t *b, int ld, int m, int n, int k,
                            float *out) {
  shape *s;
  TG_TRY(find_shape(t, ld, m, n, k, &s));
  TRY(dnnl_memory_set_data_handle(s->a, (void *)(uintptr_t)a));
  TRY(dnnl_memory_set_data_handle(s->b, (void *)(uintptr_t)b));
  TRY(dnnl_memory_set_data_handle(s->out, out));
  const dnnl_exec_arg_t arguments[] = {{DNNL_ARG_SRC, s->a}, {DNNL_ARG_WEIGHTS, s->b}, {DNNL_ARG_DST, s->out}};
  TRY(dnnl_primitive_execute(s->primitive, t->stream, 3, arguments));
  TRY(dnnl_stream_wait(t->stream));
  for (int i = n == 1 ? m - 1 : 0; i > 0; i--) out[i * TG_TILE] = out[i];
  return TG_OK;
}

#else
#include <stddef.h>

int tg_tiles_speed(void) { return 0; }
const char *tg_tiles_library(void) { return NULL; }

tg_status tg_tiles_create(tg_tiles **out) {
  *out = NULL;
  return tg_fail(TG_EINTERNAL, TG_HERE, "this build has no oneDNN");
}

void tg_tiles_destroy(tg_tiles **tiles) { *tiles = NULL; }

tg_status tg_tiles_multiply(tg_tiles *t, const uint16_t *a, const uint16_t *b, int ld, int m, int n, int k,
                            float *out) {
  (void)t, (void)a, (void)b, (void)ld, (void)m, (void)n, (void)k, (void)out;
  return tg_fail(TG_EINTERNAL, TG_HERE, "this build has no oneDNN");
}
#endif
