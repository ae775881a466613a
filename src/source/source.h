/* Where clouds come from: stored hidden states, a model that is run, or synthetic ones, behind one interface; and numbers
 * of clouds that others measured and published. Local: no communication.
 * A prompt is named by its place p among the selected ones, a level by its place s, a layer by l = 0..n_layers-1. */
#ifndef TG_SOURCE_H
#define TG_SOURCE_H

#include "base/status.h"
#include "config/config.h"
#include "geometry/cloud.h"
#include "geometry/row.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { TG_MAX_GROUP = 500 }; /* bytes of a prompt's label */

typedef struct tg_source tg_source;

/** What a source holds, restricted to the prompts and levels that the config selects. Owned by the source. */
typedef struct {
  char *model; /* name: the config's, else the file's */
  int64_t n_prompts;
  int n_levels, n_layers, n_tokens, width; /* n_layers: clouds, L + 1; n_tokens: the token axis */
  int64_t *prompt_ids;                     /* [n_prompts] */
  int32_t *levels;                         /* [n_levels] */
  int32_t *n_tokens_of;                    /* [n_prompts], 1..n_tokens */
  char **groups; /* [n_prompts] labels of prompts, "": none; NULL: there are none, or another process has them */
  int last_layer_normalized; /* 0, 1; -1 not said */
  bool has_loss, has_token_loss, has_entropy, has_token_ids;
  bool has_metric;           /* W^T W is stored */
  int64_t vocabulary;        /* rows of a stored unembedding, 0: none */
  const char *metric_origin; /* file that either comes from, for messages */
  const char *gpus;          /* NULL: nothing runs on one. Numbers and names of those that are here, borrowed */
  bool bfloat16, float32;    /* all clouds are stored as this type; neither: they are converted to float32 */
  size_t cloud_bytes;        /* of the largest cloud as stored */
  size_t cache_bytes;        /* memory that reading may keep beside that */
  size_t shared_bytes;       /* memory that all ranks of a node share: a model's weights */
  bool read_ahead;           /* reading takes time, so a thread of its own does it */
  bool overlap;              /* it may go on while a cloud is measured: it waits for disks, or has cores of its own */
  bool forward;              /* a model is run: a (prompt, level) is one piece of work, its layers read in order */
  bool measured;             /* no clouds, tokens or width: rows are read, of clouds that others measured */
  char *missing_parts;       /* what is not there of states that were written in parts, for messages; NULL: nothing */
  int64_t n_left_out;        /* prompts with too few tokens */
  int64_t n_read;            /* prompts that the source has beside those, before any are selected */
  int64_t n_not_common;      /* prompts left out as another model of the study does not have them */
  char *const *files;        /* [n_files] that are read while a run goes on: hidden states, all parts of a model */
  int n_files;
} tg_source_info;

/** The prompts of a source that runs a model, cut as they are run: rows of `width` tokens, zeros behind a shorter prompt's end. */
typedef struct {
  int64_t n, n_left_out; /* prompts; those with too few tokens, which are not among them */
  int width;
  int64_t *ids;              /* [n] */
  int32_t *lengths, *tokens; /* [n], [n][width] */
  char **groups;             /* [n] labels, NULL where there is none; NULL in another process */
} tg_token_table;

/** Opens the source of model number `model` of a study and checks all that can be checked without reading activations.
 *  tokens  what another process of this machine read of the prompts for the same config (tg_source_tokens), borrowed until the source
 *          is destroyed; NULL: they are read here
 *  out     caller destroys
 *  errors  TG_ENOINPUT, TG_EDATA; TG_ECONFIG for an id or a level that the source does not have */
tg_status tg_source_create(const tg_config *config, int model, const tg_token_table *tokens, tg_source **out);

/** A source's prompts, before any are selected; NULL where it runs no model. Owned by the source. */
const tg_token_table *tg_source_tokens(const tg_source *source);
void tg_source_destroy(tg_source **source); /* safe on NULL, leaves NULL */

const tg_source_info *tg_source_describe(const tg_source *source);

/** Keeps of the selected prompts those that other models have: ids [n], ascending. */
void tg_source_keep_common(tg_source *source, const int64_t *ids, int64_t n);

/** Reads one cloud as stored, info.cloud_bytes at most, into raw. errors TG_EDATA, TG_EIO */
tg_status tg_source_read(tg_source *source, int64_t p, int s, int l, void *raw);

/** Makes a view of what tg_source_read gave: where it is, when rows are whole lanes of bfloat16 or float32; else in x,
 *  tg_source_view_bytes long, padded with zeros and, where a source has several types, converted to float32. */
void tg_source_view(const tg_source *source, int64_t p, const void *raw, void *x, tg_cloud *out);

/** Bytes of x for any cloud of the source; 0: not needed. */
size_t tg_source_view_bytes(const tg_source *source);

/** Reads the numbers of one cloud. Only where info.measured, and there in place of the two calls above.
 *  row     of that shape, cleared by tg_row_clear; gets all that the source has, its status and its reason */
void tg_source_read_row(tg_source *source, int64_t p, int s, int l, const tg_row_shape *shape, tg_row *row);

/** Makes the files that a source works with and keeps: converted weights. Before it is prepared; one process of a machine at a time, the
 *  others wait.
 *  errors  TG_EIO, TG_EDATA */
tg_status tg_source_convert(tg_source *source);

/** Loads what reading needs beside the files that are open: a model. Once, before the first cloud is read.
 *  rank_on_node   which of the ranks of this node, from 0: which GPU it takes
 *  ranks_on_node  how many do the same, for the question whether memory is enough
 *  errors         TG_EDATA, TG_ECONFIG for a GPU that is not there, TG_EINTERNAL */
tg_status tg_source_prepare(tg_source *source, int rank_on_node, int ranks_on_node);

/** The numbers of a (prompt, level) beside its clouds: NaN where the source has none that is finite, -1 where none. Nats. */
typedef struct {
  double loss, entropy;              /* means over the prompt's positions */
  int32_t *token_ids;                /* [n_tokens], -1 beyond the prompt's end */
  float *token_loss, *token_entropy; /* [n_tokens - 1], [n_tokens], NaN beyond; NULL: not wanted */
} tg_source_scalars;

/** Where a model is run, after its last layer was read and before another prompt's is. out: arrays by the caller. */
tg_status tg_source_read_scalars(tg_source *source, int64_t p, int s, tg_source_scalars *out);

/** Whether a (prompt, level) has a loss, which is finite, for one whose last layer is not read: where a model is run, the pass goes on
 *  to it. */
tg_status tg_source_has_loss(tg_source *source, int64_t p, int s, bool *out);

/** The same into a row of the last layer of a model of this source: loss, entropy, token ids. */
tg_status tg_source_fill_row(tg_source *source, int64_t p, int s, tg_row *row);

/** Seconds that reading spent in forward passes and on loss and entropy; zeros where no model is run. */
typedef struct {
  double forward, next_token;
} tg_source_times;
tg_source_times tg_source_report(const tg_source *source);

/** W^T W as stored, [width][width]. Only where info.has_metric. */
tg_status tg_source_read_metric(tg_source *source, double *matrix);

/** Rows first..first+count-1 of the stored unembedding as float32, [count][width]. Only where info.vocabulary > 0. */
tg_status tg_source_read_unembedding(tg_source *source, int64_t first, int64_t count, float *rows);

/** Whether all files hold the same metric or unembedding; reads them all, so one rank asks. errors TG_EDATA */
tg_status tg_source_check_metrics(tg_source *source);

/** The engine that runs models: libllama's version and what of the CPU it uses; NULL in builds without it. Static text. */
const char *tg_source_engine(void);

/** What the engine warned of since the process began, a line each; "" when of nothing, and in builds without it. Valid until the next
 *  call of this thread. */
const char *tg_source_engine_warnings(void);

/** A text that changes when an input changes: for each file its path, size, time and shape. Owned by the source. */
const char *tg_source_identity(const tg_source *source);

#endif
