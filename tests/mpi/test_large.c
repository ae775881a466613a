/* Blocks of more than 2 GiB: HDF5's MPI driver counts bytes in an int. Written, read back and checked as a run does it. Needs 7 GB of
 * memory and 3 GB of disk. usage: test_large [DIRECTORY] */
#include "mpi_suite.h"
#include "geometry/observable.h"
#include "hdf5/h5.h"
#include "results/results.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *directory = "/tmp";

static const int64_t one_id[1] = {5};
static const int32_t levels[1] = {0};

/* A shard of 33 layers' lists of 65 536 tokens to k = 256: 2.2 GB in one block of rows, and in one prompt of a file. */
static void a_block_above_two_gigabytes_is_written_and_read(void) {
  enum { LAYERS = 33, TOKENS = 65536, K = 256 };
  const tg_results_model model = {.name = "large",
                                  .n_prompts = 1,
                                  .prompt_ids = one_id,
                                  .n_levels = 1,
                                  .levels = levels,
                                  .n_layers = LAYERS,
                                  .shape = {.n_scales = 1,
                                            .scales = {2},
                                            .k = K,
                                            .n_tokens = TOKENS,
                                            .observables = (uint64_t)1 << TG_OBSERVE_NEIGHBORS}};
  const tg_provenance texts[] = {{"config", "", 0}, {"end", "                              ", 0}};
  const tg_results_layout layout = {&model, 1, texts, 2};
  char path[512];
  tg_results *results = NULL;
  static tg_row rows[LAYERS];
  static bool good[LAYERS];
  bool ok = true;
  snprintf(path, sizeof path, "%s/tokengeom-large-%d.h5", directory, (int)getpid());
  for (int l = 0; l < LAYERS; l++) {
    CU_ASSERT_FATAL(tg_row_create(&model.shape, &rows[l]) == TG_OK);
    *rows[l].reason = l;
    for (int a = 0; a < TOKENS * K; a++) tg_row_i32(&rows[l], TG_FIELD_NEIGHBORS)[a] = a ^ l;
    *rows[l].status = TG_STATUS_DONE;
  }
  CU_ASSERT_FATAL(tg_results_create(path, &layout) == TG_OK);
  CU_ASSERT_FATAL(tg_results_open(MPI_COMM_WORLD, path, &layout, &results) == TG_OK);
  CU_ASSERT(tg_results_write_rows(results, 0, 0, 0, 0, LAYERS, rows) == TG_OK);
  CU_ASSERT(tg_results_check_prompt(results, 0, 0, good) == TG_OK);
  for (int l = 0; l < LAYERS; l++) ok = ok && good[l];
  CU_ASSERT(ok);
  tg_row_clear(&model.shape, &rows[0]);
  CU_ASSERT(tg_results_read_row(results, 0, 0, 0, LAYERS - 1, &rows[0]) == TG_OK);
  CU_ASSERT(memcmp(rows[0].numbers[TG_FIELD_NEIGHBORS], rows[LAYERS - 1].numbers[TG_FIELD_NEIGHBORS],
                   (size_t)TOKENS * K * sizeof(int32_t)) == 0);
  CU_ASSERT(tg_results_close(&results) == TG_OK);
  for (int l = 0; l < LAYERS; l++) tg_row_free(&rows[l]);
  unlink(path);
}

/* A level of many prompts as the statistics read it: 33 layers x 32 k of 260 000 prompts are 2.2 GB. */
static void a_level_above_two_gigabytes_is_read(void) {
  enum { PROMPTS = 260000, LAYERS = 33, K = 32 };
  int64_t *ids = calloc(PROMPTS, sizeof *ids);
  CU_ASSERT_FATAL(ids != NULL);
  for (int p = 0; p < PROMPTS; p++) ids[p] = p;
  const tg_results_model model = {
      .name = "many",
      .n_prompts = PROMPTS,
      .prompt_ids = ids,
      .n_levels = 1,
      .levels = levels,
      .n_layers = LAYERS,
      .shape = {
          .n_scales = 1, .scales = {2}, .k = K, .n_tokens = 1, .observables = (uint64_t)1 << TG_OBSERVE_RECIPROCITY}};
  const tg_provenance texts[] = {{"config", "", 0}, {"end", "                              ", 0}};
  const tg_results_layout layout = {&model, 1, texts, 2};
  char path[512];
  tg_results *results = NULL;
  tg_row row;
  snprintf(path, sizeof path, "%s/tokengeom-many-%d.h5", directory, (int)getpid());
  CU_ASSERT_FATAL(tg_row_create(&model.shape, &row) == TG_OK);
  for (int k = 0; k < K; k++) tg_row_f64(&row, TG_FIELD_RECIPROCITY)[k] = 0.5 + k;
  CU_ASSERT_FATAL(tg_results_create(path, &layout) == TG_OK);
  CU_ASSERT_FATAL(tg_results_open(MPI_COMM_WORLD, path, &layout, &results) == TG_OK);
  CU_ASSERT(tg_results_write_rows(results, 0, PROMPTS - 1, 0, LAYERS - 1, 1, &row) == TG_OK);
  const size_t inner = (size_t)LAYERS * K;
  double *values = calloc(PROMPTS * inner, sizeof *values);
  CU_ASSERT_FATAL(values != NULL);
  CU_ASSERT(tg_results_read_level(results, 0, TG_FIELD_RECIPROCITY, 0, values) == TG_OK);
  CU_ASSERT(memcmp(values + PROMPTS * inner - K, row.numbers[TG_FIELD_RECIPROCITY], K * sizeof *values) == 0);
  free(values);
  free(ids);
  tg_row_free(&row);
  CU_ASSERT(tg_results_close(&results) == TG_OK);
  unlink(path);
}

int main(int argc, char **argv) {
  CU_TestInfo tests[] = {
      {"a block above two gigabytes is written and read", a_block_above_two_gigabytes_is_written_and_read},
      {"a level above two gigabytes is read", a_level_above_two_gigabytes_is_read},
      CU_TEST_INFO_NULL};
  if (argc > 1) directory = argv[1];
  mpi_suite_begin(&argc, &argv);
  tg_h5_prepare();
  const int failed = mpi_suite_run("large", tests);
  MPI_Finalize();
  return failed;
}
