/* A study as described by one YAML file (libyaml). Read once, const from then on.
 * Every key stands in one table, in keys.c: place, type, default, range, unit, help. Local: no communication. */
#ifndef TG_CONFIG_H
#define TG_CONFIG_H

#include "base/status.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum { TG_MAX_SCALES = 16, TG_MAX_OVERLAP_K = 256, TG_MAX_SCALE = 65534 };

typedef enum {
  TG_SOURCE_HDF5,
  TG_SOURCE_LLAMA,
  TG_SOURCE_SUMMARIES,
  TG_SOURCE_SYNTHETIC,
  TG_N_SOURCE_KINDS
} tg_source_kind;

/* Their names in a config. */
extern const char *const tg_source_kinds[TG_N_SOURCE_KINDS];

/** Words of compute.kernel: auto, and then the kernels in their order. */
enum { TG_N_COMPUTE_KERNELS = 4 };
extern const char *const tg_compute_kernels[TG_N_COMPUTE_KERNELS];

/** What a model's weights are converted to when they are loaded, by the names of a config. */
typedef enum { TG_WEIGHTS_FILE, TG_WEIGHTS_BFLOAT16, TG_WEIGHTS_FLOAT16, TG_WEIGHTS_FLOAT32, TG_N_WEIGHTS } tg_weights;
extern const char *const tg_weights_names[TG_N_WEIGHTS];

/* The files of a directory of summaries; each may be absent. */
enum {
  TG_SUMMARY_GRIDE,
  TG_SUMMARY_OVERLAP,
  TG_SUMMARY_COSINE,
  TG_SUMMARY_LOSS,
  TG_SUMMARY_RECIPROCITY,
  TG_N_SUMMARIES
};
extern const char *const tg_summary_files[TG_N_SUMMARIES];

/** Where the clouds of one model come from. */
typedef struct {
  tg_source_kind kind;
  /* hdf5: files; llama: prompts. Existing paths, in the order of the config, each glob expanded and sorted bytewise; relative ones made
   * relative to the config's directory */
  char **files;
  int n_files;
  /* llama */
  char *model_file; /* GGUF, an existing path */
  tg_weights weights;
  char *weights_directory; /* where converted weights are kept, an existing one; NULL: beside the model */
  int threads;             /* of the forward pass, in each rank */
  int gpu_layers;
  int *devices;    /* numbers of GPUs, ascending and distinct, in use where gpu_layers is not 0 */
  int n_devices;   /* 0: all that there are */
  bool keep_short; /* prompts with fewer tokens are cut to whole blocks of the largest level instead of left out */
  bool split_special_tokens; /* those that a text spells out are words like others */
  /* llama and synthetic: of a prompt */
  int tokens;
  /* summaries */
  char *directory;       /* an existing one */
  char *prompt_ids_file; /* .npy, an existing path; NULL: ids count from 0 */
  /* summaries and synthetic */
  int shuffles; /* levels 0..shuffles-1; 0, of summaries alone: as many as the rows and ids give */
  /* synthetic */
  int64_t prompts; /* 1.. */
  int layers;      /* clouds, L + 1 */
  int width;
  int dimension; /* of the latent uniform cube, <= width */
  int spread;    /* prompt `id` has dimension + (id mod (2 spread + 1)) - spread; 0: all the same */
  uint64_t seed;
  int64_t slow_prompt; /* this prompt takes slow_seconds more, to try out the hand-out; -1: none */
  double slow_seconds;
} tg_source_config;

typedef struct {
  char *name; /* NULL: the source's own */
  tg_source_config source;
} tg_model_config;

typedef struct {
  char *path;        /* of the file, as given */
  char *directory;   /* of the file; relative paths start here */
  char *output;      /* result file */
  int64_t n_aliases; /* other names under which globs matched files, which are taken once */
  char *alias;       /* the first of them */
  tg_model_config *models;
  int n_models;

  bool all_prompts;    /* else the ids listed, ascending and distinct */
  bool common_prompts; /* of all, those whose ids every model has */
  int64_t *prompt_ids;
  int64_t n_prompt_ids;

  bool all_levels; /* else the levels listed, ascending and distinct */
  int32_t *levels;
  int n_levels;
  uint64_t shuffle_seed;

  int scales[TG_MAX_SCALES]; /* n2 = 2 n1: even, ascending */
  int n_scales;
  int overlap_k;
  int *angle_layers; /* ascending and distinct */
  int n_angle_layers;
  bool neighbors;
  bool all_measured;
  uint64_t
      measured; /* bits of the observables asked for (geometry/observable.h), the lists of `neighbors` not among them */

  int bootstrap; /* resamples; 0: none */
  uint64_t statistics_seed;

  char *figures_directory;
  int64_t example_prompt;
  int figure_scale, figure_k, figure_angle_layer; /* of the panels that show one */
  int figure_prompts;                             /* how many, when no ids are listed */
  int64_t *figure_prompt_ids;
  int64_t n_figure_prompt_ids;
  bool figures_csv, figures_png, figures_pdf;

  int blas_threads; /* inside a rank */
  int kernel;       /* of the fast pass, a place in tg_compute_kernels; 0: the fastest */

  char *resolved;        /* the whole study as YAML with every default filled in, absolute paths; NUL-terminated */
  char *resolved_values; /* its part that changes a value under /models: no output, figures or compute */
} tg_config;

/** Reads a study. All mistakes of the file are reported at once, one line each:
 *  "FILE:LINE:COLUMN: key: what is wrong with which value, what was expected" and, for a misspelt key, a near name.
 *  path       YAML file
 *  overrides  n_overrides texts "a.b.c=value" (list items by number: "models.0.name=x"), value is YAML; their mistakes
 *             are reported as "--set a.b.c=value: ..."
 *  out        caller destroys; NULL on failure
 *  errors     TG_ENOINPUT when the file is missing or unreadable, TG_ECONFIG for its content, TG_EINTERNAL */
tg_status tg_config_read(const char *path, const char *const *overrides, int n_overrides, tg_config **out);

/** The same for a config whose results are there already: its inputs may be gone. */
tg_status tg_config_read_for_results(const char *path, const char *const *overrides, int n_overrides, tg_config **out);

/** The same from a text that a run echoed, e.g. a result file's; `path` names it in messages. */
tg_status tg_config_parse_for_results(const char *text, const char *path, const char *const *overrides, int n_overrides,
                                      tg_config **out);

/** Whether writing this file, or it with .part behind its name, would destroy what a study is made from.
 *  what  [room]: which input it is, where it would */
bool tg_config_destroys_input(const tg_config *config, const char *output, char *what, size_t room);

/** The file that a path leads to, whether it is there or not, where the path is a symbolic link. Caller frees. */
char *tg_config_follow_links(const char *path);

/** Frees a config; safe on NULL, leaves NULL. */
void tg_config_destroy(tg_config **config);

/** figures.directory as the text of a config has it, not resolved; NULL: it has none. Caller frees. */
char *tg_config_figures_directory(const char *text);

/** Prints the value of a key outside models, e.g. "output" or "compute.kernel", and a line break: a path as it is, other values as YAML.
 *  Whether there is such a key. */
bool tg_config_print_value(FILE *out, const tg_config *config, const char *name);

/** Prints every key with type, default, unit and meaning, for `tokengeom run --help-config`. */
void tg_config_print_keys(void);

#endif
