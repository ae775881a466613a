/* A study made ready: its sources opened, its shape known. Local: no communication. */
#ifndef TG_STUDY_H
#define TG_STUDY_H

#include "config/config.h"
#include "geometry/gram.h"
#include "parallel/shard.h"
#include "results/results.h"
#include "source/source.h"
#include <sys/stat.h>

typedef struct {
  const tg_config *config;
  tg_source **sources;      /* [n_models] */
  tg_results_model *models; /* [n_models], as the result file has them */
  int n_models;
  char *inputs;       /* identity of every input, a line each */
  struct stat *files; /* of the files that are read during a run, as they were found */
  tg_kernel kernel;   /* of the fast pass: the config's, or this CPU's best until the ranks have agreed */
} tg_study;

/** Opens all sources of a config.
 *  prompts  [n_models] what another process of this machine read, of n = 0 where it did not; borrowed until the study is closed.
 *           NULL: all are read here
 *  out      caller closes. errors those of tg_source_create; TG_ECONFIG for a name twice, or a kernel
 *  that this build or CPU does not have */
tg_status tg_study_open(const tg_config *config, const tg_token_table *prompts, tg_study *out);
void tg_study_close(tg_study *study); /* safe after a failed open */

/** Bits of the observables that a config asks for. */
uint64_t tg_study_observables(const tg_config *config);

/** errors TG_EDATA when a file that is read during a run has another size or time than when the study was opened */
tg_status tg_study_check_inputs(const tg_study *study);

/** errors TG_EIO when the directory of an output does not exist */
tg_status tg_study_check_directory(const char *output);

/** Work of one layer of a prompt in multiply-adds of the Gram matrix, the unit of a plan's costs. */
double tg_study_layer_cost(const tg_study *study, int model, int64_t p);

/** Stacks of layers that are to be computed: runs of layers whose status is 0.
 *  status   per model [n_prompts][n_levels][n_layers]; NULL: nothing is done yet
 *  stacks   caller frees */
tg_status tg_study_stacks(const tg_study *study, int32_t *const *status, tg_shard_stack **stacks, int64_t *n_stacks);

int64_t tg_study_clouds(const tg_study *study);

#endif
