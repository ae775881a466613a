/* dequantize IN.gguf OUT.gguf: a copy of a model whose weights are float32, with the same values. A pass through it has none
 * of the rounding of quantized products, so it can be held against another engine closely. */
#include <llama.h>
#include <stdio.h>

int main(int argc, char **argv) {
  if (argc != 3) {
    fprintf(stderr, "usage: dequantize IN.gguf OUT.gguf\n");
    return 64;
  }
  struct llama_model_quantize_params params = llama_model_quantize_default_params();
  params.ftype = LLAMA_FTYPE_ALL_F32;
  params.allow_requantize = true;
  params.nthread = 1;
  llama_backend_init();
  return llama_model_quantize(argv[1], argv[2], &params) == 0 ? 0 : 65;
}
