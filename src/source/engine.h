/* The forward pass (libllama), layer by layer: a thread of its own runs it and stops at each layer until that layer is
 * asked for, so that the layers in flight stand in memory and never the whole stack. Local: no communication.
 *
 * Captured are the embedding's output (cloud 0), the residual stream after block l (cloud l = 1..L-1) and the last hidden
 * states after the final norm (cloud L), as Hugging Face transformers return them. */
#ifndef TG_ENGINE_H
#define TG_ENGINE_H

#include "base/status.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct tg_engine tg_engine;

typedef struct {
  const char *model;               /* path, borrowed */
  int tokens, threads, gpu_layers; /* tokens of the longest prompt */
  int gpu;                         /* number of the device that takes the layers, where gpu_layers is not 0 */
  int layers, width;               /* clouds, L + 1; coordinates */
  int64_t vocabulary;
  bool exact_attention; /* keys and values in float32; else they are rounded to float16, and attention is faster */
  bool ahead;           /* go on to the next layer while one is in use; else wait until it is asked for */
} tg_engine_options;

/** Loads the model, its weights mapped and so shared by all ranks of a node, and looks the layers up in its graph.
 *  out     caller destroys
 *  errors  TG_EDATA when libllama refuses the model, or names its tensors otherwise: the message lists what was seen;
 *          TG_EINTERNAL without memory */
tg_status tg_engine_create(const tg_engine_options *options, tg_engine **out);
void tg_engine_destroy(tg_engine **engine); /* safe on NULL, leaves NULL; ends a pass under way */

/** Cloud l of a prompt as float32 [n][width]. Layers of one job are asked for in ascending order and come from one pass; a
 *  new job, or an earlier layer, begins a new pass.
 *  job     names the prompt as given
 *  tokens  [n], borrowed until the last layer was asked for or another job begins
 *  errors  TG_EINTERNAL when the pass fails */
tg_status tg_engine_layer(tg_engine *engine, int64_t job, const int32_t *tokens, int n, int l, float *x);

/** Whether the model's logits are its unembedding times the last layer and nothing more, by the graph that is run: a scale, a soft cap or a
 *  bias would stand in it. False also where the graph, split over devices, does not show it. */
bool tg_engine_logits_are_plain(const tg_engine *engine);

/** Whether the engine forms logits too; then, after the last layer of a job, tg_engine_logits gives them until the next
 *  job, [n][vocabulary]. As created, it forms none, which saves their memory and time. */
void tg_engine_keep_logits(tg_engine *engine, bool keep);
const float *tg_engine_logits(tg_engine *engine);

#endif
