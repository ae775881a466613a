/* Inside of source/: what a kind of source provides. */
#ifndef TG_SOURCE_IMPL_H
#define TG_SOURCE_IMPL_H

#include "source/source.h"

typedef enum { TG_BFLOAT16, TG_FLOAT16, TG_FLOAT32 } tg_element;

/* Memory of elements [n][d] as float32 [n][ld]; -0 becomes +0. */
void tg_convert(tg_element element, const void *raw, int n, int d, int ld, float *out);
size_t tg_element_size(tg_element element);

typedef struct {
  void (*destroy)(void *state);
  /* p and s are places in the whole source */
  tg_status (*read)(void *state, int64_t p, int s, int l, int n, void *raw);
  tg_element (*element_of)(void *state, int64_t p);
  tg_status (*read_scalars)(void *state, int64_t p, int s, int n, tg_source_scalars *out); /* filled with NaN and -1 */
  tg_status (*read_metric)(void *state, double *matrix);
  tg_status (*read_unembedding)(void *state, int64_t first, int64_t count, float *rows);
  tg_status (*check_metrics)(void *state);
  tg_status (*convert)(void *state);                                      /* NULL: nothing to do */
  tg_status (*prepare)(void *state, int rank_on_node, int ranks_on_node); /* NULL: nothing to do */
  tg_source_times (*report)(void *state);                                 /* NULL: no model is run */
  /* NULL: there are clouds. Else there are none, and of the calls above only destroy and read_scalars */
  void (*read_row)(void *state, int64_t p, int s, int l, const tg_row_shape *shape, tg_row *row);
} tg_source_kind_calls;

/* A kind's constructor fills info for everything it has (all prompts and levels), the identity text and its state. */
typedef struct {
  tg_source_info info;
  char *identity;
  void *state;
  const tg_source_kind_calls *calls;
  const tg_token_table *tokens; /* NULL: it runs no model */
} tg_source_parts;

tg_status tg_source_hdf5_create(const tg_source_config *config, tg_source_parts *out);
tg_status tg_source_summaries_create(const tg_source_config *config, tg_source_parts *out);
tg_status tg_source_synthetic_create(const tg_source_config *config, tg_source_parts *out);

/* Shuffles itself, so it wants the whole config: levels and seed. tokens: as of tg_source_create */
tg_status tg_source_llama_create(const tg_config *config, const tg_source_config *from, const tg_token_table *tokens,
                                 tg_source_parts *out);

#endif
