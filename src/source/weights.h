/* A model's weights in another type: converted once into a file, which all ranks of a node then map. Local. Only in builds with libllama,
 * which converts (as llama-quantize does: matrices to the type that is asked for, vectors to float32). */
#ifndef TG_WEIGHTS_H
#define TG_WEIGHTS_H

#include "config/config.h"
#include "source/model_file.h"

/** Where the converted file of a source goes: MODEL.TYPE.gguf beside the model, or in the source's directory for weights. Caller frees;
 *  NULL without memory. */
char *tg_weights_path(const tg_source_config *config);

/** Whether the converted file is there and of this model, by what was written beside it. */
bool tg_weights_are_there(const tg_source_config *config, const tg_model_file *file);

/** Bytes of the converted file, about: its matrices and vectors. */
double tg_weights_bytes(const tg_source_config *config, const tg_model_file *file);

/** Makes the converted file, unless it is there, of this model, and whole, which a checksum over all of it tells. Made as FILE.part and
 *  renamed, behind a lock on that. One process of a machine is to do so; more wait for each other.
 *  errors  TG_EIO when it cannot be written, TG_EDATA when libllama cannot convert the model */
tg_status tg_weights_convert(const tg_source_config *config, const tg_model_file *file);

#endif
