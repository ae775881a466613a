#include "config/keys.h"

#include "config/config.h"

const char *const tg_section_names[TG_N_SECTIONS] = {
    "", "models[].", "models[].source.", "shuffle.", "observables.", "statistics.", "figures.", "compute."};

#define IN_CONFIG(member) offsetof(tg_config, member)
#define IN_SOURCE(member) offsetof(tg_source_config, member)

const tg_key tg_keys[] = {
    {TG_SECTION_ROOT, "", "output", TG_KEY_PATH, IN_CONFIG(output), 0, 0, NULL, "path", "result file to write"},
    {TG_SECTION_ROOT, "", "models", TG_KEY_SPECIAL, 0, 0, 0, NULL, "list", "models, each with a source"},
    {TG_SECTION_MODEL, "", "name", TG_KEY_SPECIAL, 0, 0, 0, "~", "[A-Za-z0-9._-]+",
     "name in the results; wins over the source's"},
    {TG_SECTION_MODEL, "", "source", TG_KEY_SPECIAL, 0, 0, 0, NULL, "map", "where the clouds come from"},
    {TG_SECTION_SOURCE, "", "kind", TG_KEY_SPECIAL, 0, 0, 0, NULL, "hdf5 or synthetic", "kind of source"},
    {TG_SECTION_SOURCE, "hdf5", "files", TG_KEY_SPECIAL, 0, 0, 0, NULL, "paths, globs",
     "hidden-state files, prompts one after another"},
    {TG_SECTION_SOURCE, "synthetic", "prompts", TG_KEY_INT64, IN_SOURCE(prompts), 1, 1e9, "8", "1",
     "number of prompts"},
    {TG_SECTION_SOURCE, "synthetic", "shuffles", TG_KEY_INT, IN_SOURCE(shuffles), 1, 64, "1", "1",
     "number of levels, 0.."},
    {TG_SECTION_SOURCE, "synthetic", "layers", TG_KEY_INT, IN_SOURCE(layers), 1, 4096, "33", "1",
     "clouds a prompt and level, L + 1"},
    {TG_SECTION_SOURCE, "synthetic", "tokens", TG_KEY_INT, IN_SOURCE(tokens), 1, 65536, "1024", "1", "tokens a cloud"},
    {TG_SECTION_SOURCE, "synthetic", "width", TG_KEY_INT, IN_SOURCE(width), 1, 65536, "4096", "1",
     "coordinates a token"},
    {TG_SECTION_SOURCE, "synthetic", "dimension", TG_KEY_INT, IN_SOURCE(dimension), 1, 4096, "10", "1",
     "intrinsic dimension"},
    {TG_SECTION_SOURCE, "synthetic", "spread", TG_KEY_INT, IN_SOURCE(spread), 0, 4096, "0", "1",
     "dimensions run over dimension +- spread by prompt"},
    {TG_SECTION_SOURCE, "synthetic", "seed", TG_KEY_UINT64, IN_SOURCE(seed), 0, 0, "1", "1", "seed"},
    {TG_SECTION_SOURCE, "synthetic", "slow_prompt", TG_KEY_INT64, IN_SOURCE(slow_prompt), -1, 1e9, "-1", "1",
     "this prompt takes slow_seconds longer; -1: none"},
    {TG_SECTION_SOURCE, "synthetic", "slow_seconds", TG_KEY_REAL, IN_SOURCE(slow_seconds), 0, 1e6, "0", "s",
     "for trying out how work is shared"},
    {TG_SECTION_ROOT, "", "prompts", TG_KEY_SPECIAL, 0, 0, 0, "all", "all or ids", "prompts to measure"},
    {TG_SECTION_SHUFFLE, "", "levels", TG_KEY_SPECIAL, 0, 0, 0, "all", "all or levels", "shuffle levels to measure"},
    {TG_SECTION_SHUFFLE, "", "seed", TG_KEY_UINT64, IN_CONFIG(shuffle_seed), 0, 0, "20250117", "1",
     "seed of the shuffle"},
    {TG_SECTION_OBSERVABLES, "", "scales", TG_KEY_SPECIAL, 0, 0, 0, "[2, 4, 8, 16, 32, 64, 128, 256]", "neighbor ranks",
     "scales n2 = 2 n1 of GRIDE"},
    {TG_SECTION_OBSERVABLES, "", "overlap_k", TG_KEY_INT, IN_CONFIG(overlap_k), 1, TG_MAX_OVERLAP_K, "32", "neighbors",
     "largest k of overlap and reciprocity"},
    {TG_SECTION_OBSERVABLES, "", "angle_layers", TG_KEY_SPECIAL, 0, 0, 0, "[10]", "layers",
     "layers whose angles are kept for every token"},
    {TG_SECTION_OBSERVABLES, "", "neighbors", TG_KEY_BOOL, IN_CONFIG(neighbors), 0, 0, "false", "true or false",
     "store the neighbor lists"},
    {TG_SECTION_STATISTICS, "", "bootstrap", TG_KEY_INT, IN_CONFIG(bootstrap), 0, 1000000, "1000", "resamples",
     "resamples of prompts for the deviation of r; 0: none"},
    {TG_SECTION_STATISTICS, "", "seed", TG_KEY_UINT64, IN_CONFIG(statistics_seed), 0, 0, "1", "1",
     "seed of the resamples"},
    {TG_SECTION_FIGURES, "", "directory", TG_KEY_PATH, IN_CONFIG(figures_directory), 0, 0, "figures", "path",
     "where figures go"},
    {TG_SECTION_FIGURES, "", "example_prompt", TG_KEY_INT64, IN_CONFIG(example_prompt), 0, 9007199254740992.0, "3218",
     "id", "prompt of the single-prompt panels"},
    {TG_SECTION_FIGURES, "", "prompts", TG_KEY_SPECIAL, 0, 0, 0, "6", "number or ids", "prompts of figure 8"},
    {TG_SECTION_FIGURES, "", "formats", TG_KEY_SPECIAL, 0, 0, 0, "[csv, png]", "csv, png, pdf", "what is written"},
    {TG_SECTION_COMPUTE, "", "blas_threads", TG_KEY_INT, IN_CONFIG(blas_threads), 1, 1024, "1", "threads",
     "BLAS threads inside a rank"},
};
const int tg_n_keys = sizeof tg_keys / sizeof tg_keys[0];
