#include "run/summary.h"

#include "base/memory.h"
#include "base/timer.h"
#include "geometry/measure.h"
#include "hdf5/h5.h"
#include "results/load.h"
#include <Random123/philox.h>
#include <inttypes.h>
#include <malloc.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- the plan ---- */

/* float32 or, in the same memory, bfloat16. */
static void fill_random(void *memory, const tg_cloud *c) {
  float *x = memory;
  uint16_t *half = memory;
  for (ptrdiff_t i = 0; i < c->n; i++)
    for (int t = 0; t < c->d; t++) {
      const philox4x32_ctr_t counter = {{(uint32_t)i, (uint32_t)t, 0, 0}};
      const philox4x32_key_t key = {{1, 2}};
      const philox4x32_ctr_t w = philox4x32(counter, key);
      const float value = (float)(((double)w.v[0] + (double)w.v[1] - (double)w.v[2] - (double)w.v[3]) *
                                  0x1p-32); /* bell-shaped enough */
      if (c->half) {
        uint32_t bits;
        memcpy(&bits, &value, sizeof bits);
        half[i * c->ld + t] = (uint16_t)(bits >> 16);
      } else
        x[i * c->ld + t] = value;
    }
}

/* Seconds to measure one cloud of a model's shape, from the second of two measurements. program_bytes grows by what that has
 * brought into memory for good: libraries' code, the code that oneDNN makes, their buffers. */
static tg_status time_one_cloud(const tg_study *study, int which, double *seconds, double *program_bytes) {
  const double before = tg_resident_bytes();
  const tg_results_model *model = &study->models[which];
  const tg_source_info *info = tg_source_describe(study->sources[which]);
  tg_measurer *measurer = NULL;
  tg_row row = {0};
  float *x = NULL;
  const int n = model->shape.n_tokens, width = info->width, ld = tg_cloud_stride(width);
  tg_status st = tg_measurer_create(&model->shape, width, study->kernel, (tg_tick){NULL, NULL}, &measurer);
  if (st == TG_OK) st = tg_row_create(&model->shape, &row);
  if (st == TG_OK) st = TG_ALLOC((size_t)n * (size_t)ld, &x);
  const tg_cloud cloud = {n, width, ld, info->bfloat16 ? NULL : x, info->bfloat16 ? (uint16_t *)x : NULL};
  if (st == TG_OK) fill_random(x, &cloud);
  for (int repeat = 0; st == TG_OK && repeat < 2; repeat++) {
    const double start = tg_seconds();
    st = tg_measure_layer(measurer, &cloud, NULL, &row);
    *seconds = tg_seconds() - start;
  }
  tg_measurer_destroy(&measurer);
  tg_row_free(&row);
  free(x);
  malloc_trim(0); /* what the heap keeps of it is not for good */
  *program_bytes += fmax(0.0, tg_resident_bytes() - before);
  return st;
}

/* Memory of one rank that works on a model, bytes: two layers, the measurement's scratch, rows. */
static double rank_bytes(const tg_study *study, int model, int layers_of_a_shard) {
  const tg_results_model *m = &study->models[model];
  const tg_source_info *info = tg_source_describe(study->sources[model]);
  const bool metric = info->has_metric || info->vocabulary > 0;
  const double view = (double)tg_source_view_bytes(study->sources[model]);
  if (info->measured) return (double)info->cache_bytes;
  const double d = info->width;
  tg_row_shape shape = m->shape;
  if (!metric) shape.observables &= ~((uint64_t)1 << TG_OBSERVE_LOGITS);
  double bytes = (view > 0.0 ? 1.0 : 2.0) * (double)info->cloud_bytes + (double)info->cache_bytes + view +
                 tg_measurer_bytes(&shape, info->width, study->kernel, info->bfloat16 && !metric);
  bytes += layers_of_a_shard * tg_row_bytes(&m->shape);
  if (metric) bytes += 24.0 * d * d; /* rank 0 factors it */
  return bytes;
}

/* Bytes that all ranks together read of a model's input. */
static double input_bytes(const tg_source_info *info) {
  if (info->measured) return (double)info->cache_bytes;
  if (!info->read_ahead || info->forward) return 0.0;
  double bytes = 0.0;
  for (int64_t p = 0; p < info->n_prompts; p++)
    bytes += (double)info->cloud_bytes * info->n_tokens_of[p] / info->n_tokens * info->n_levels * info->n_layers;
  return bytes;
}

/* Seconds of one forward pass of a model's first prompt, with loss and entropy. */
static tg_status time_one_pass(tg_source *source, double *seconds) {
  const tg_source_info *info = tg_source_describe(source);
  void *raw = NULL;
  TG_TRY(tg_alloc_bytes(info->cloud_bytes, 1, &raw));
  const double start = tg_seconds();
  tg_status st = TG_OK;
  for (int l = 0; st == TG_OK && l < info->n_layers; l++) st = tg_source_read(source, 0, 0, l, raw);
  *seconds = tg_seconds() - start;
  free(raw);
  return st;
}

/* What one model takes, measured here. Seconds: of a cloud, of a forward pass with loss and entropy (0: none), of all on one core. */
typedef struct {
  double cloud, forward, seconds;
} model_cost;

static tg_status cost_of(const tg_study *study, int model, double *program_bytes, model_cost *out) {
  const tg_source_info *info = tg_source_describe(study->sources[model]);
  double cost = 0.0, full = (double)info->n_tokens;
  *out = (model_cost){0};
  if (!info->measured) TG_TRY(time_one_cloud(study, model, &out->cloud, program_bytes));
  if (info->forward) TG_TRY(time_one_pass(study->sources[model], &out->forward));
  for (int64_t p = 0; p < info->n_prompts; p++) cost += tg_study_layer_cost(study, model, p);
  full = (full + 64.0) * (full + 64.0) * (info->width + 64.0);
  out->seconds = (out->cloud * info->n_layers + out->forward) * cost / full * info->n_levels;
  return TG_OK;
}

/* A plan's numbers. Bytes of a rank are its own; shared ones all ranks of a node have together. */
typedef struct {
  int ranks, longest;
  double efficiency, bytes_to_read, result_bytes, rank_bytes, shared_bytes, seconds;
} plan_numbers;

static void print_model_line(const tg_source_info *info, const model_cost *cost) {
  printf("%-24s %9" PRId64 " %7d %7d %7d %7d %10" PRId64 " %12.4f\n", info->model, info->n_prompts, info->n_levels,
         info->n_layers, info->n_tokens, info->width, info->n_prompts * info->n_levels * info->n_layers, cost->cloud);
  if (info->forward)
    printf("%-24s a forward pass takes %.2f s here, the geometry of its layers %.2f s\n", "", cost->forward,
           cost->cloud * info->n_layers);
  if (info->gpus) printf("%-24s GPUs of this node: %s\n", "", info->gpus);
}

static void print_plan(const tg_shard_plan *plan, const plan_numbers *p) {
  printf("\nranks            %d\nshards           %" PRId64 ", of up to %d layers; stacks are cut into up to %d\n",
         p->ranks, plan->n, p->longest, plan->pieces);
  printf("balance          %.1f %% of the ranks' time is work\n", 100.0 * p->efficiency);
  printf("to read          %.2f GB\nresult file      %.3f GB\n", p->bytes_to_read / 1e9, p->result_bytes / 1e9);
  printf("memory a rank    about %.0f MB", p->rank_bytes / 1e6);
  if (p->shared_bytes > 0.0)
    printf(", and %.0f MB of weights or prompts that the ranks of a node share", p->shared_bytes / 1e6);
  printf("\ntime             about %.0f s, when reading keeps up (one random cloud of each shape was measured here)\n",
         p->seconds);
}

static void print_json(const tg_study *study, const tg_shard_plan *plan, const plan_numbers *p) {
  printf("{\n  \"ranks\": %d,\n  \"clouds\": %" PRId64 ",\n  \"shards\": %" PRId64
         ",\n  \"efficiency\": %.4f,\n  \"bytes_to_read\": %.0f,\n  \"result_bytes\": %.0f,\n  \"rank_bytes\": %.0f,\n"
         "  \"shared_bytes\": %.0f,\n  \"seconds\": %.1f\n}\n",
         p->ranks, tg_study_clouds(study), plan->n, p->efficiency, p->bytes_to_read, p->result_bytes, p->rank_bytes,
         p->shared_bytes, p->seconds);
}

tg_status tg_summary_plan(const tg_study *study, const tg_shard_plan *plan, int ranks, double program_bytes,
                          bool json) {
  const tg_results_layout layout = {study->models, study->n_models, NULL, 0};
  plan_numbers p = {.ranks = ranks, .longest = 1, .result_bytes = tg_results_bytes(&layout)};
  p.efficiency = plan->makespan > 0.0 ? plan->work / (plan->makespan * ranks) : 1.0;
  for (int64_t a = 0; a < plan->n; a++)
    if (plan->shards[a].end - plan->shards[a].first > p.longest)
      p.longest = plan->shards[a].end - plan->shards[a].first;
  if (!json)
    printf("%-24s %9s %7s %7s %7s %7s %10s %12s\n", "model", "prompts", "levels", "layers", "tokens", "width", "clouds",
           "s a cloud");
  for (int m = 0; m < study->n_models; m++) {
    const tg_source_info *info = tg_source_describe(study->sources[m]);
    model_cost cost;
    TG_TRY(cost_of(study, m, &program_bytes, &cost));
    p.seconds += cost.seconds / ranks / fmax(p.efficiency, 1e-9);
    p.shared_bytes += (double)info->shared_bytes;
    p.bytes_to_read += input_bytes(info);
    p.rank_bytes += rank_bytes(study, m, p.longest); /* a rank may work on all of them in turn */
    if (!json) print_model_line(info, &cost);
  }
  p.rank_bytes += program_bytes;
  if (json)
    print_json(study, plan, &p);
  else
    print_plan(plan, &p);
  return TG_OK;
}

/* ---- the ranks ---- */

static void print_rank(int rank, const tg_worker_report *r) {
  fprintf(stderr, "  rank %5d  busy %9.2f s  idle %8.2f s  waited for input %8.2f s  %7.0f shards  %8.0f clouds\n",
          rank, r->busy, r->idle, r->waited, r->shards, r->clouds);
}

static tg_worker_report sum_reports(const tg_worker_report *all, int ranks) {
  tg_worker_report sum = {0};
  for (int a = 0; a < ranks; a++)
    for (size_t b = 0; b < sizeof sum / sizeof(double); b++) ((double *)&sum)[b] += ((const double *)&all[a])[b];
  return sum;
}

static void print_stages(const tg_worker_report *sum, int ranks, double wall_seconds) {
  const double clouds = fmax(sum->clouds, 1.0);
  fprintf(stderr, "stages, ms a cloud:  %s %.3f  converting %.3f", sum->forward > 0.0 ? "forward pass" : "reading",
          1e3 * sum->reading / clouds, 1e3 * sum->converting / clouds);
  for (int a = 0; a < TG_N_STAGES; a++)
    if (sum->stages[a] > 0.0) fprintf(stderr, "  %s %.3f", tg_stage_name(a), 1e3 * sum->stages[a] / clouds);
  fprintf(stderr, "  writing %.3f\n", 1e3 * sum->writing / clouds);
  double geometry = 0.0;
  for (int a = 0; a < TG_N_STAGES; a++) geometry += sum->stages[a];
  if (sum->forward > 0.0)
    fprintf(stderr,
            "forward pass %.2f s, loss and entropy %.2f s, geometry %.2f s (%.1f %% of the two), summed over ranks\n",
            sum->forward, sum->next_token, geometry, 100.0 * geometry / (sum->forward + sum->next_token));
  const double waiting = sum->waited / fmax(sum->busy, 1e-9);
  fprintf(
      stderr,
      "%.0f clouds in %.1f s on %d ranks; busy %.1f %%; %s was the limit (%.0f %% of the busy time waited for input)\n",
      sum->clouds, wall_seconds, ranks, 100.0 * sum->busy / fmax(wall_seconds * ranks, 1e-9),
      waiting <= 0.5       ? "computing"
      : sum->forward > 0.0 ? "the forward pass"
                           : "reading",
      100.0 * waiting);
  fprintf(stderr, "float64 decided %.1f pairs a cloud; read %.2f GB\n", sum->float64_pairs / clouds,
          sum->bytes_read / 1e9);
}

void tg_summary_ranks(MPI_Comm comm, const tg_worker_report *report, double wall_seconds) {
  enum { FIELDS = sizeof(tg_worker_report) / sizeof(double), MOST = 32 };
  int rank, ranks;
  MPI_Comm_rank(comm, &rank);
  MPI_Comm_size(comm, &ranks);
  tg_worker_report *all = rank == 0 ? calloc((size_t)ranks, sizeof *all) : NULL;
  int ready = rank != 0 || all;
  MPI_Allreduce(MPI_IN_PLACE, &ready, 1, MPI_INT, MPI_MIN, comm);
  if (ready) MPI_Gather(report, FIELDS, MPI_DOUBLE, all, FIELDS, MPI_DOUBLE, 0, comm);
  if (rank == 0 && ready) {
    for (int a = 0; a < ranks && a < MOST; a++) print_rank(a, &all[a]);
    if (ranks > MOST) fprintf(stderr, "  ... and %d ranks more\n", ranks - MOST);
    const tg_worker_report sum = sum_reports(all, ranks);
    print_stages(&sum, ranks, wall_seconds);
    double peak = 0.0;
    for (int a = 0; a < ranks; a++) peak = fmax(peak, all[a].peak_bytes);
    fprintf(stderr, "peak memory of a rank: %.0f MB\n", peak / 1e6);
  }
  free(all);
}

/* ---- the results ---- */

/* Columns of the table: a statistic's mean, or a correlation. `last`: the index on the last axis, NONE: there is none. */
enum { NONE = -1, N_COLUMNS = 5 };

typedef struct {
  const char *title, *path;
  int last;
} column;

static void print_cell(const tg_array *a, int level, int64_t row, int last) {
  const int64_t inner = last == NONE ? 1 : a->shape[2];
  const double value =
      row < a->shape[1] ? a->values[((int64_t)level * a->shape[1] + row) * inner + (last == NONE ? 0 : last)] : NAN;
  if (isfinite(value))
    printf(" %10.4f", value);
  else
    printf(" %10s", "-");
}

static void print_level(const tg_array *columns, const column *what, const tg_array *levels, int64_t layers,
                        int level) {
  printf("S = %.0f\n%6s", levels->values[level], "layer");
  for (int c = 0; c < N_COLUMNS; c++) printf(" %10s", what[c].title);
  printf("\n");
  for (int64_t l = 0; l < layers; l++) {
    printf("%6" PRId64, l);
    for (int c = 0; c < N_COLUMNS; c++)
      if (columns[c].values)
        print_cell(&columns[c], level, l, what[c].last);
      else
        printf(" %10s", "-");
    printf("\n");
  }
}

static tg_status print_model(hid_t group, const char *name, void *context) {
  (void)context;
  tg_array scales = {0}, k = {0}, levels = {0}, layers = {0}, columns[N_COLUMNS] = {0};
  char id[32], overlap[32];
  tg_status st = tg_array_load(group, "scale", &scales);
  if (st == TG_OK) st = tg_array_load(group, "k", &k);
  if (st == TG_OK) st = tg_array_load(group, "shuffle", &levels);
  if (st == TG_OK) st = tg_array_load(group, "layer", &layers);
  const int second = k.count > 1 ? 1 : 0;
  snprintf(id, sizeof id, "ID(n2=%.0f)", scales.values ? scales.values[0] : 0.0);
  snprintf(overlap, sizeof overlap, "chi(k=%d)", second + 1);
  const column what[N_COLUMNS] = {{id, "statistics/intrinsic_dimension/gride/value/mean", 0},
                                  {overlap, "statistics/neighborhood_overlap/value/mean", second},
                                  {"cosine", "statistics/cosine_similarity/mean/mean", NONE},
                                  {"angle", "statistics/neighbor_angle/mean/mean", NONE},
                                  {"r(lnID,L)", "correlations/id_loss/pearson", 0}};
  for (int c = 0; st == TG_OK && c < N_COLUMNS; c++)
    if (tg_h5_has(group, what[c].path)) st = tg_array_load(group, what[c].path, &columns[c]);
  if (st == TG_OK) {
    printf("\n%s: means over prompts; chi of layer l and l + 1; r over prompts of ln ID and loss\n", name);
    print_level(columns, what, &levels, layers.count, 0);
    if (levels.count > 1) print_level(columns, what, &levels, layers.count, (int)levels.count - 1);
  }
  for (int c = 0; c < N_COLUMNS; c++) tg_array_free(&columns[c]);
  tg_array_free(&scales);
  tg_array_free(&k);
  tg_array_free(&levels);
  tg_array_free(&layers);
  return st;
}

tg_status tg_summary_results(const char *path) {
  hid_t file;
  TG_TRY(tg_h5_open_input(path, &file));
  const tg_status st = tg_results_each_model(file, print_model, NULL);
  H5Fclose(file);
  return st;
}
