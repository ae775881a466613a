#include "config/keys.h"

#include "config/config.h"
#include "geometry/observable.h"
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

const char *const tg_section_names[TG_N_SECTIONS] = {
    "", "models[].", "models[].source.", "shuffle.", "observables.", "statistics.", "figures.", "compute."};

const char *const tg_compute_kernels[TG_N_COMPUTE_KERNELS] = {"auto", "float32", "bfloat16", "split"};
const char *const tg_source_kinds[TG_N_SOURCE_KINDS] = {"hdf5", "llama", "summaries", "synthetic"};

const char *const tg_weights_names[TG_N_WEIGHTS] = {"file", "bfloat16", "float16", "float32"};

const char *const tg_summary_files[TG_N_SUMMARIES] = {"gride.npy", "mnos.npy", "csn_sim.npy", "losses.npy",
                                                      "reciprocities.npy"};

#define IN_CONFIG(member) offsetof(tg_config, member)
#define IN_SOURCE(member) offsetof(tg_source_config, member)

/* clang-format off */
#define KEY(section, kind, name, type, ...) {TG_SECTION_##section, kind, name, TG_KEY_##type, __VA_ARGS__}
const tg_key tg_keys[] = {
    /*  section      kind         name              type     member                         low  high              default       unit               help */
    KEY(ROOT,        "",          "output",         PATH,    IN_CONFIG(output),             0,   0,                NULL,         "path",            "result file to write"),
    KEY(ROOT,        "",          "models",         NESTED,  0,                             0,   0,                NULL,         "list",            "models, each with a source"),
    KEY(MODEL,       "",          "name",           SPECIAL, 0,                             0,   0,                "~",          "[A-Za-z0-9._-]+", "name in the results; wins over the source's"),
    KEY(MODEL,       "",          "source",         NESTED,  0,                             0,   0,                NULL,         "map",             "where the clouds come from"),
    KEY(SOURCE,      "",          "kind",           NESTED,  0,                             0,   0,                NULL,         "hdf5, llama, summaries or synthetic", "kind of source"),
    KEY(SOURCE,      "hdf5",      "files",          SPECIAL, 0,                             0,   0,                NULL,         "paths, globs",    "hidden-state files, prompts one after another"),
    KEY(SOURCE,      "llama",     "model",          SPECIAL, 0,                             0,   0,                NULL,         "path",            "model file, GGUF; of several the first"),
    KEY(SOURCE,      "llama",     "prompts",        SPECIAL, 0,                             0,   0,                NULL,         "paths, globs",    "JSON lines (.jsonl) with id and text or token_ids, or text files"),
    KEY(SOURCE,      "llama",     "tokens",         INT,     IN_SOURCE(tokens),             2,   65536,            "1024",       "1",               "tokens of a prompt"),
    KEY(SOURCE,      "llama",     "short_prompts",  SPECIAL, 0,                             0,   0,                "leave_out",  "leave_out or keep", "prompts with fewer tokens; keep cuts them to whole blocks of the largest level"),
    KEY(SOURCE,      "llama",     "weights",        SPECIAL, 0,                             0,   0,                "file",       "file, bfloat16, float16 or float32", "what the model computes with: its weights as they are in the file, or converted, once, into a file that is kept"),
    KEY(SOURCE,      "llama",     "weights_directory", SPECIAL, 0,                          0,   0,                "~",          "path",            "where converted weights are kept; without it beside the model"),
    KEY(SOURCE,      "llama",     "split_special_tokens", BOOL, IN_SOURCE(split_special_tokens), 0, 0,           "false",      "true or false",   "special tokens that a text spells out, as <|endoftext|>, are split like other words; else each is one token"),
    KEY(SOURCE,      "llama",     "threads",        INT,     IN_SOURCE(threads),            1,   1024,             "1",          "threads",         "threads of the forward pass in each rank"),
    KEY(SOURCE,      "llama",     "gpu_layers",     INT,     IN_SOURCE(gpu_layers),         0,   100000,           "0",          "layers",          "layers of the model on a GPU"),
    KEY(SOURCE,      "llama",     "devices",        SPECIAL, 0,                             0,   0,                "auto",       "auto or numbers", "GPUs, one a rank by its number on its node; auto: all that are there"),
    KEY(SOURCE,      "summaries", "directory",      SPECIAL, 0,                             0,   0,                NULL,         "path",            "published numbers: gride.npy, mnos.npy, csn_sim.npy, losses.npy, reciprocities.npy, each optional"),
    KEY(SOURCE,      "summaries", "prompt_ids",     SPECIAL, 0,                             0,   0,                "~",          "path",            "ids of the prompts, integers in a .npy file; without it 0, 1, 2, ..."),
    KEY(SOURCE,      "summaries", "shuffles",       INT,     IN_SOURCE(shuffles),           0,   64,               "0",          "1",               "number of levels, 0..; 0: rows / prompt_ids, 1 without prompt_ids"),
    KEY(SOURCE,      "synthetic", "prompts",        INT64,   IN_SOURCE(prompts),            1,   1000000000,       "8",          "1",               "number of prompts"),
    KEY(SOURCE,      "synthetic", "shuffles",       INT,     IN_SOURCE(shuffles),           1,   64,               "1",          "1",               "number of levels, 0.."),
    KEY(SOURCE,      "synthetic", "layers",         INT,     IN_SOURCE(layers),             1,   4096,             "33",         "1",               "clouds a prompt and level, L + 1"),
    KEY(SOURCE,      "synthetic", "tokens",         INT,     IN_SOURCE(tokens),             1,   65536,            "1024",       "1",               "tokens a cloud"),
    KEY(SOURCE,      "synthetic", "width",          INT,     IN_SOURCE(width),              1,   65536,            "4096",       "1",               "coordinates a token"),
    KEY(SOURCE,      "synthetic", "dimension",      INT,     IN_SOURCE(dimension),          1,   4096,             "10",         "1",               "intrinsic dimension"),
    KEY(SOURCE,      "synthetic", "spread",         INT,     IN_SOURCE(spread),             0,   4096,             "0",          "1",               "dimensions run over dimension +- spread by prompt"),
    KEY(SOURCE,      "synthetic", "seed",           UINT64,  IN_SOURCE(seed),               0,   0,                "1",          "1",               "seed"),
    KEY(SOURCE,      "synthetic", "slow_prompt",    INT64,   IN_SOURCE(slow_prompt),        -1,  1000000000,       "-1",         "1",               "this prompt takes slow_seconds longer; -1: none"),
    KEY(SOURCE,      "synthetic", "slow_seconds",   REAL,    IN_SOURCE(slow_seconds),       0,   1000000,          "0",          "s",               "for trying out how work is shared"),
    KEY(ROOT,        "",          "prompts",        SPECIAL, 0,                             0,   0,                "all",        "all, common or ids", "prompts to measure; common: those that every model has and that have enough tokens for it"),
    KEY(SHUFFLE,     "",          "levels",         SPECIAL, 0,                             0,   0,                "all",        "all or levels",   "shuffle levels to measure"),
    KEY(SHUFFLE,     "",          "seed",           UINT64,  IN_CONFIG(shuffle_seed),       0,   0,                "20250117",   "1",               "seed of the shuffle"),
    KEY(OBSERVABLES, "",          "measure",        SPECIAL, 0,                             0,   0,                "all",        "all or a list of ", "what is measured"),
    KEY(OBSERVABLES, "",          "scales",         SPECIAL, 0,                             0,   0,                "[2, 4, 8, 16, 32, 64, 128, 256]", "neighbor ranks", "scales n2 = 2 n1 of GRIDE"),
    KEY(OBSERVABLES, "",          "overlap_k",      INT,     IN_CONFIG(overlap_k),          1,   TG_MAX_OVERLAP_K, "32",         "neighbors",       "largest k of overlap and reciprocity"),
    KEY(OBSERVABLES, "",          "angle_layers",   SPECIAL, 0,                             0,   0,                "[10]",       "layers",          "layers whose angles are kept for every token"),
    KEY(OBSERVABLES, "",          "neighbors",      BOOL,    IN_CONFIG(neighbors),          0,   0,                "false",      "true or false",   "store the neighbor lists"),
    KEY(STATISTICS,  "",          "bootstrap",      INT,     IN_CONFIG(bootstrap),          0,   1000000,          "1000",       "resamples",       "resamples of prompts for the deviation of r; 0: none"),
    KEY(STATISTICS,  "",          "seed",           UINT64,  IN_CONFIG(statistics_seed),    0,   0,                "1",          "1",               "seed of the resamples"),
    KEY(FIGURES,     "",          "directory",      PATH,    IN_CONFIG(figures_directory),  0,   0,                "figures",    "path",            "where figures go"),
    KEY(FIGURES,     "",          "example_prompt", INT64,   IN_CONFIG(example_prompt),     INT64_MIN, INT64_MAX,  "3218",       "id",              "prompt of the single-prompt panels"),
    KEY(FIGURES,     "",          "scale",          INT,     IN_CONFIG(figure_scale),       2,   TG_MAX_SCALE,     "2",          "neighbor rank",   "scale of the panels that show one"),
    KEY(FIGURES,     "",          "k",              INT,     IN_CONFIG(figure_k),           1,   TG_MAX_OVERLAP_K, "2",          "neighbors",       "k of the panels that show one"),
    KEY(FIGURES,     "",          "angle_layer",    INT,     IN_CONFIG(figure_angle_layer), 0,   100000,           "10",         "layer",           "layer of figure 4, one of observables.angle_layers"),
    KEY(FIGURES,     "",          "prompts",        SPECIAL, 0,                             0,   0,                "6",          "number or ids",   "prompts of figure 8"),
    KEY(FIGURES,     "",          "formats",        SPECIAL, 0,                             0,   0,                "[csv, png]", "csv, png, pdf",   "what is written"),
    KEY(COMPUTE,     "",          "blas_threads",   INT,     IN_CONFIG(blas_threads),       1,   1024,             "1",          "threads",         "BLAS threads inside a rank"),
    KEY(COMPUTE,     "",          "kernel",         SPECIAL, 0,                             0,   0,                "auto",       "auto, float32, bfloat16 or split", "products of the fast pass; auto: the fastest that all ranks have"),
};
/* clang-format on */
const int tg_n_keys = sizeof tg_keys / sizeof tg_keys[0];

/* Levenshtein's, by one row of his table. */
static int edit_distance(const char *a, const char *b) {
  enum { MOST = 40 };
  int row[MOST + 1];
  const int n = (int)strlen(a), m = (int)strlen(b);
  if (n > MOST || m > MOST) return INT_MAX;
  for (int j = 0; j <= m; j++) row[j] = j;
  for (int i = 1; i <= n; i++) {
    int diagonal = row[0];
    row[0] = i;
    for (int j = 1; j <= m; j++) {
      const int change = diagonal + (a[i - 1] != b[j - 1]), above = row[j];
      row[j] = change < above + 1 ? change : above + 1;
      if (row[j - 1] + 1 < row[j]) row[j] = row[j - 1] + 1;
      diagonal = above;
    }
  }
  return row[m];
}

/* Takes `name` into text when it is nearer to the word than *least allows. */
static void take_nearer(const char *word, const char *name, int length, int *least, char *text, size_t room) {
  char plain[64];
  snprintf(plain, sizeof plain, "%.*s", length, name);
  const int distance = edit_distance(word, plain);
  if (distance > *least) return;
  *least = distance - 1;
  snprintf(text, room, "%s", plain);
}

void tg_keys_near(const char *word, tg_section section, const char *kind, char *text, size_t room) {
  const int length = strnlen(word, 64) < 64 ? (int)strlen(word) : 0;
  int least = 1 + length / 3;
  text[0] = '\0';
  for (int a = 0; a < tg_n_keys; a++) {
    const tg_key *key = &tg_keys[a];
    if (key->section == section && (!key->kind[0] || (kind && strcmp(kind, key->kind) == 0)))
      take_nearer(word, key->name, (int)strlen(key->name), &least, text, room);
  }
  for (int s = TG_SECTION_SHUFFLE; section == TG_SECTION_ROOT && s < TG_N_SECTIONS; s++)
    take_nearer(word, tg_section_names[s], (int)strlen(tg_section_names[s]) - 1, &least, text, room);
  for (int a = 0; a < tg_n_keys && !text[0]; a++)
    if (strcmp(word, tg_keys[a].name) == 0)
      snprintf(text, room, "%s%s", tg_section_names[tg_keys[a].section], tg_keys[a].name);
}

void tg_keys_print_observables(FILE *out, uint64_t observables) {
  const char *before = "";
  for (int o = 0; o < TG_N_OBSERVABLES; o++)
    if (o != TG_OBSERVE_NEIGHBORS && observables >> o & 1) {
      fprintf(out, "%s%s", before, tg_observables[o].name);
      before = ", ";
    }
}

/* The numbers that a key takes; nothing where it takes another thing. */
static void print_range(FILE *out, const tg_key *key) {
  if (key->type == TG_KEY_REAL)
    fputs("number", out);
  else if (key->type == TG_KEY_INT || key->type == TG_KEY_INT64 || key->type == TG_KEY_UINT64)
    fputs("integer", out);
  else
    return;
  if (key->low == INT64_MIN)
    fputs(", any of 64 bits", out);
  else if (key->high > key->low)
    fprintf(out, ", %" PRId64 " to %" PRId64, key->low, key->high);
  else
    fputs(", 0 or more", out);
  if (strcmp(key->unit, "1") != 0) fputs(", unit ", out);
}

void tg_keys_print_meaning(FILE *out, const tg_key *key) {
  fprintf(out, "%s%s%s (", key->help, key->kind[0] ? "; source kind " : "", key->kind);
  print_range(out, key);
  if (strcmp(key->unit, "1") != 0) fputs(key->unit, out);
  if (key->section == TG_SECTION_OBSERVABLES && strcmp(key->name, "measure") == 0)
    tg_keys_print_observables(out, TG_OBSERVE_ALL);
  if (key->value)
    fprintf(out, "; default %s)", strcmp(key->value, "~") == 0 ? "none" : key->value);
  else
    fputs("; required)", out);
}

void tg_config_print_keys(void) {
  for (int a = 0; a < tg_n_keys; a++) {
    char name[64];
    snprintf(name, sizeof name, "%s%s", tg_section_names[tg_keys[a].section], tg_keys[a].name);
    printf("%-30s ", name);
    tg_keys_print_meaning(stdout, &tg_keys[a]);
    putchar('\n');
  }
}
