/* Seconds a cloud by stage, beside cblas_ssyrk on the same cloud in the same run.
 * usage: bench_cloud STATES.h5 [REPEATS [KERNEL]]   one thread; every cloud of the file is one case
 *
 * Rows: kernel,file,cloud,n,d,k,ranks,threads,repeat,seconds,verified,commit,cpu,blas. Kernels are the stages, "all" (read to
 * observables), and "ssyrk" (C = X X^T, float32, upper triangle). A cloud's rows are printed only when its neighbor lists
 * were equal to a float64 brute force on sampled tokens; that check stands outside the timed region. */
#include "base/memory.h"
#include "base/timer.h"
#include "geometry/blas.h"
#include "geometry/measure.h"
#include "hdf5/h5.h"
#include "source/source.h"
#include "version.h"
#include <cblas.h>
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

char *openblas_get_corename(void);

enum { SAMPLE = 16 };
static const tg_row_shape SHAPE = {
    .n_scales = 8, .scales = {2, 4, 8, 16, 32, 64, 128, 256}, .k = 32, .observables = TG_OBSERVE_ALL};

typedef struct {
  const char *file;
  tg_source *source;
  tg_measurer *measurer;
  tg_row row;
  tg_row_shape shape;
  void *raw;
  void *view; /* of the source's, where it needs one */
  float *x, *gram;
  char cpu[128];
} bench;

static void die(void) {
  fprintf(stderr, "bench_cloud: %s\n", tg_last_error());
  exit(1);
}

static void find_cpu(char *out, size_t room) {
  FILE *file = fopen("/proc/cpuinfo", "r");
  char line[256];
  snprintf(out, room, "unknown");
  while (file && fgets(line, sizeof line, file))
    if (strncmp(line, "model name", 10) == 0) {
      snprintf(out, room, "%.100s", strchr(line, ':') + 2);
      break;
    }
  out[strcspn(out, "\n,")] = '\0';
  if (file) fclose(file);
}

/* Sampled lists by the definition: all distances in float64, picked one by one. */
static int verified(const bench *b, const tg_cloud *c) {
  double *d2 = malloc((size_t)c->n * sizeof *d2);
  int good = 1;
  for (int a = 0; a < SAMPLE && d2; a++) {
    const ptrdiff_t i = (ptrdiff_t)a * c->n / SAMPLE;
    for (ptrdiff_t j = 0; j < c->n; j++) {
      d2[j] = 0.0;
      for (int t = 0; t < c->d; t++) {
        const double u = (double)c->x[i * c->ld + t] - (double)c->x[j * c->ld + t];
        d2[j] += u * u;
      }
    }
    d2[i] = INFINITY;
    for (int k = 0; k < b->shape.k; k++) {
      const int32_t listed = tg_row_i32(&b->row, TG_FIELD_NEIGHBORS)[i * b->shape.k + k];
      double least = INFINITY;
      for (int j = 0; j < c->n; j++) least = d2[j] < least ? d2[j] : least;
      good = good && fabs(d2[listed] - least) <= 4.0 * c->d * DBL_EPSILON * least;
      d2[listed] = INFINITY;
    }
  }
  free(d2);
  return good;
}

static void print_row(const bench *b, const char *kernel, int cloud, int n, int d, int repeat, double seconds) {
  printf("%s,%s,%d,%d,%d,%d,1,1,%d,%.6f,yes,%s,%s,OpenBLAS %s\n", kernel, b->file, cloud, n, d, b->shape.k, repeat,
         seconds, TG_COMMIT, b->cpu, openblas_get_corename());
}

/* One cloud once: read, convert, measure, and ssyrk right after. */
static void run_case(bench *b, int64_t p, int s, int l, int repeat, int cloud_number) {
  double before[TG_N_STAGES], last = tg_seconds(), read = 0.0, convert = 0.0, measure = 0.0, ssyrk = 0.0;
  tg_cloud c;
  memcpy(before, tg_measurer_seconds(b->measurer), sizeof before);
  if (tg_source_read(b->source, p, s, l, b->raw) != TG_OK) die();
  tg_lap(&last, &read);
  tg_source_view(b->source, p, b->raw, b->view, &c);
  tg_lap(&last, &convert);
  if (tg_measure_layer(b->measurer, &c, NULL, &b->row) != TG_OK) die();
  tg_lap(&last, &measure);
  tg_cloud_block(&c, 0, c.n, 0, c.ld, b->x, c.ld); /* float32, for what follows */
  c = (tg_cloud){c.n, c.d, c.ld, b->x, NULL};
  last = tg_seconds();
  cblas_ssyrk(CblasRowMajor, CblasUpper, CblasNoTrans, c.n, c.d, 1.0f, c.x, c.ld, 0.0f, b->gram, c.n);
  tg_lap(&last, &ssyrk);
  if (repeat < 0) return; /* warming up */
  if (!verified(b, &c)) {
    fprintf(stderr, "bench_cloud: cloud %d of %s: neighbor lists differ from brute force\n", cloud_number, b->file);
    exit(1);
  }
  print_row(b, "ssyrk", cloud_number, c.n, c.d, repeat, ssyrk);
  print_row(b, "all", cloud_number, c.n, c.d, repeat, read + convert + measure);
  print_row(b, "read", cloud_number, c.n, c.d, repeat, read);
  print_row(b, "convert", cloud_number, c.n, c.d, repeat, convert);
  for (int a = 0; a < TG_N_STAGES; a++)
    if (a != TG_STAGE_OBSERVABLES + TG_OBSERVE_LOGITS)
      print_row(b, tg_stage_name(a), cloud_number, c.n, c.d, repeat, tg_measurer_seconds(b->measurer)[a] - before[a]);
}

int main(int argc, char **argv) {
  tg_blas_prepare(argv);
  if (argc < 2) {
    fprintf(stderr, "usage: bench_cloud STATES.h5 [REPEATS [float32|bfloat16|split]]\n");
    return 64;
  }
  tg_model_config model = {.name = (char *)"bench",
                           .source = {.kind = TG_SOURCE_HDF5, .files = &argv[1], .n_files = 1}};
  const tg_config config = {
      .path = (char *)"bench", .models = &model, .n_models = 1, .all_prompts = true, .all_levels = true};
  const int repeats = argc > 2 ? atoi(argv[2]) : 5;
  tg_kernel kernel = tg_kernel_best();
  for (int a = 0; argc > 3 && a < TG_N_KERNELS; a++)
    if (strcmp(argv[3], tg_kernel_names[a]) == 0) kernel = (tg_kernel)a;
  bench b = {.file = strrchr(argv[1], '/') ? strrchr(argv[1], '/') + 1 : argv[1], .shape = SHAPE};
  tg_h5_prepare();
  openblas_set_num_threads(1);
  find_cpu(b.cpu, sizeof b.cpu);
  if (tg_source_create(&config, 0, NULL, &b.source) != TG_OK) die();
  const tg_source_info *info = tg_source_describe(b.source);
  const size_t n = (size_t)info->n_tokens, ld = (size_t)tg_cloud_stride(info->width);
  b.shape.n_tokens = info->n_tokens;
  if (tg_measurer_create(&b.shape, info->width, kernel, (tg_tick){NULL, NULL}, &b.measurer) != TG_OK ||
      tg_row_create(&b.shape, &b.row) != TG_OK || tg_alloc_bytes(info->cloud_bytes, 1, &b.raw) != TG_OK ||
      tg_alloc_bytes(tg_source_view_bytes(b.source) + 64, 1, &b.view) != TG_OK || TG_ALLOC(n * ld, &b.x) != TG_OK ||
      TG_ALLOC(n * n, &b.gram) != TG_OK)
    die();
  printf("kernel,file,cloud,n,d,k,ranks,threads,repeat,seconds,verified,commit,cpu,blas\n");
  for (int repeat = -1; repeat < repeats; repeat++)
    for (int64_t p = 0; p < info->n_prompts; p++)
      for (int s = 0; s < info->n_levels; s++)
        for (int l = 0; l < info->n_layers; l++)
          run_case(&b, p, s, l, repeat, (int)((p * info->n_levels + s) * info->n_layers + l));
  tg_row_free(&b.row);
  tg_measurer_destroy(&b.measurer);
  tg_source_destroy(&b.source);
  free(b.raw);
  free(b.view);
  free(b.x);
  free(b.gram);
  return 0;
}
