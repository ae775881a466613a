/* libllama as a library: made ready once, and what it has to say. Local. Only in builds with libllama. */
#ifndef TG_LLAMA_LOG_H
#define TG_LLAMA_LOG_H

#include <stdbool.h>

/** Call before any use of libllama: its messages are remembered instead of printed. */
void tg_llama_prepare(void);

/** Whether it multiplies by BLAS: quantized weights are then made float32, a matrix at a time, instead of states being rounded to 8 bits. */
bool tg_llama_has_blas(void);

/** The GPUs that its back ends offer, by numbers from 0. */
int tg_llama_n_gpus(void);
struct ggml_backend_device *tg_llama_gpu(int number); /* NULL: there is none */

/** Their numbers and names, "none" where there is none. Static text. */
const char *tg_llama_gpus(void);

/** Adds to the warnings. */
void tg_llama_warn(const char *text);

/** What libllama said first since the last call when something failed, "" when nothing: what comes later names less. */
const char *tg_llama_reason(void);

/** What libllama warned of since the process began, a line each, each once; "" when of nothing. Lines without a word, and what always
 *  comes, are left out. Valid until the next call of this thread. */
const char *tg_llama_warnings(void);

/** Version; once libllama was made ready also its devices and what of the CPU it uses, for which it runs code that this CPU may lack.
 *  Static text. */
const char *tg_llama_version(void);

#endif
