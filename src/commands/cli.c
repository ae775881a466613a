#include "commands/cli.h"

#include "base/memory.h"
#include "commands/look.h"
#include "config/config.h"
#include "commands/draw.h"
#include "run/extract.h"
#include "hdf5/h5.h"
#include "study/inputs.h"
#include "parallel/comm.h"
#include "run/pipeline.h"
#include "run/signals.h"
#include "verify/verify.h"
#include <argp.h>
#include <errno.h>
#include <gsl/gsl_errno.h>
#include <math.h>
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
  KEY_SET = 256,
  KEY_DRY_RUN,
  KEY_RESUME,
  KEY_FORCE,
  KEY_MAX_HOURS,
  KEY_STOP_STATUS,
  KEY_RANKS,
  KEY_PARTIAL,
  KEY_CSV,
  KEY_OUT,
  KEY_TYPE,
  KEY_SAMPLE,
  KEY_SEED,
  KEY_HELP_CONFIG
};

/* Everything any command can be told. */
typedef struct {
  tg_run_options run;
  int stop_status;
  const char *csv, *out;
  bool float32;
  int sample, seed;
  const char *argument; /* the first positional argument */
  const char **more;    /* all of them, where a command takes several */
  int n_more;
  bool several;
  const char **overrides;
} arguments;

typedef struct {
  const char *name, *argument, *doc;
  const struct argp_option *options;
  int (*main)(const arguments *arguments);
  bool several; /* arguments */
} command;

/* ---- parsing ---- */

static int whole_number(const char *text, int low, int high, const char *option, struct argp_state *state) {
  char *end;
  const long value = strtol(text, &end, 10);
  if (*text == '\0' || *end != '\0' || value < low || value > high)
    argp_error(state, "%s: '%s' is not an integer from %d to %d", option, text, low, high);
  return (int)value;
}

static double positive(const char *text, const char *option, struct argp_state *state) {
  char *end;
  const double value = strtod(text, &end);
  if (*text == '\0' || *end != '\0' || !(value > 0.0) || !isfinite(value))
    argp_error(state, "%s: '%s' is not a positive number", option, text);
  return value;
}

static error_t parse_option(int key, char *text, struct argp_state *state) {
  arguments *a = state->input;
  switch (key) {
  case KEY_SET:
    if (!strchr(text, '=')) argp_error(state, "--set: '%s' is not KEY=VALUE", text);
    a->overrides[a->run.n_overrides++] = text;
    break;
  case KEY_DRY_RUN:
    a->run.dry_run = true;
    break;
  case KEY_RESUME:
    a->run.resume = true;
    break;
  case KEY_FORCE:
    a->run.force = true;
    break;
  case KEY_PARTIAL:
    a->run.partial_statistics = true;
    break;
  case KEY_MAX_HOURS:
    a->run.max_hours = positive(text, "--max-hours", state);
    break;
  case KEY_STOP_STATUS:
    a->stop_status = whole_number(text, 0, 255, "--stop-status", state);
    break;
  case KEY_RANKS:
    a->run.ranks = whole_number(text, 1, 1 << 24, "--ranks", state);
    break;
  case KEY_CSV:
    a->csv = text;
    break;
  case KEY_OUT:
    a->out = text;
    break;
  case KEY_TYPE:
    a->float32 = strcmp(text, "float32") == 0;
    if (!a->float32 && strcmp(text, "bfloat16") != 0)
      argp_error(state, "--type: '%s' is neither float32 nor bfloat16", text);
    break;
  case KEY_SAMPLE:
    a->sample = whole_number(text, 0, 1 << 24, "--sample", state);
    break;
  case KEY_SEED:
    a->seed = whole_number(text, 0, INT32_MAX, "--seed", state);
    break;
  case KEY_HELP_CONFIG:
    tg_config_print_keys();
    exit(0);
  case ARGP_KEY_ARG:
    if (a->argument && !a->several) argp_error(state, "'%s' is one argument too many", text);
    if (!a->argument) a->argument = text;
    a->more[a->n_more++] = text;
    break;
  case ARGP_KEY_END:
    if (!a->argument) argp_error(state, "an argument is missing");
    if (a->run.ranks > 0 && !a->run.dry_run)
      argp_error(state, "--ranks plans for --dry-run; mpirun -n N runs on N ranks");
    if (a->run.resume && a->run.force) argp_error(state, "--resume and --force exclude each other");
    break;
  default:
    return ARGP_ERR_UNKNOWN;
  }
  return 0;
}

/* ---- the commands ---- */

#define SET_OPTION                                                                                                     \
  { "set", KEY_SET, "KEY=VALUE", 0, "Override a key of the config, e.g. observables.overlap_k=16; may be repeated", 0 }

static const struct argp_option run_options[] = {
    SET_OPTION,
    {"dry-run", KEY_DRY_RUN, NULL, 0, "Print the plan: shards, memory a rank, bytes to read, a time estimate", 0},
    {"ranks", KEY_RANKS, "N", 0, "With --dry-run: plan for N ranks", 0},
    {"resume", KEY_RESUME, NULL, 0, "Go on with an output that is not complete", 0},
    {"force", KEY_FORCE, NULL, 0, "Replace an output that exists", 0},
    {"max-hours", KEY_MAX_HOURS, "H", 0, "Stop after H hours; --resume goes on", 0},
    {"stop-status", KEY_STOP_STATUS, "N", 0, "Exit status of an early stop (default 75)", 0},
    {"partial-statistics", KEY_PARTIAL, NULL, 0, "Statistics also when the run is stopped early", 0},
    {"help-config", KEY_HELP_CONFIG, NULL, 0, "List every key of the config", 0},
    {0}};
static const struct argp_option extract_options[] = {
    SET_OPTION,
    {"out", KEY_OUT, "FILE", 0, "Hidden-state file to write (required)", 0},
    {"type", KEY_TYPE, "TYPE", 0, "float32 or bfloat16 (default)", 0},
    {"force", KEY_FORCE, NULL, 0, "Replace a file that exists", 0},
    {"stop-status", KEY_STOP_STATUS, "N", 0, "Exit status of an early stop (default 75)", 0},
    {0}};
static const struct argp_option figures_options[] = {
    SET_OPTION, {"out", KEY_OUT, "DIR", 0, "Directory to write to (default: the config's figures.directory)", 0}, {0}};
static const struct argp_option validate_options[] = {
    SET_OPTION, {"help-config", KEY_HELP_CONFIG, NULL, 0, "List every key of the config", 0}, {0}};
static const struct argp_option export_options[] = {{"csv", KEY_CSV, "DIR", 0, "Directory to write to (required)", 0},
                                                    {0}};
static const struct argp_option verify_options[] = {
    {"sample", KEY_SAMPLE, "N", 0, "Measure N clouds again from the inputs (default 3; 0: none)", 0},
    {"seed", KEY_SEED, "S", 0, "Of the choice of these clouds (default 1)", 0},
    {0}};
static const struct argp_option no_options[] = {{0}};

static int report(tg_status st) {
  if (st != TG_OK) fprintf(stderr, "tokengeom: %s\n", tg_last_error());
  return (int)st;
}

static bool start_mpi(void) {
  int provided;
  tg_signals_catch();
  if (MPI_Init_thread(NULL, NULL, MPI_THREAD_FUNNELED, &provided) == MPI_SUCCESS && provided >= MPI_THREAD_FUNNELED)
    return true;
  fprintf(stderr, "tokengeom: MPI cannot be started with MPI_THREAD_FUNNELED\n");
  return false;
}

static int run_main(const arguments *a) {
  tg_run_options options = a->run;
  options.config = a->argument;
  options.overrides = a->overrides;
  const tg_status looked =
      tg_inputs_look_before(options.config, options.overrides, options.n_overrides, options.resume);
  if (!start_mpi()) return TG_EINTERNAL;
  tg_status st = tg_comm_agree(MPI_COMM_WORLD, looked);
  if (st == TG_OK) st = tg_pipeline_run(&options);
  MPI_Finalize();
  return st == TG_ESTOPPED ? a->stop_status : (int)st;
}

static int extract_main(const arguments *a) {
  const tg_extract_options options = {a->argument, a->overrides, a->run.n_overrides, a->out, a->float32, a->run.force};
  if (!a->out) {
    fprintf(stderr, "tokengeom extract: --out FILE is missing\n");
    return TG_EUSAGE;
  }
  const tg_status looked = tg_inputs_look_before(options.config, options.overrides, options.n_overrides, false);
  if (!start_mpi()) return TG_EINTERNAL;
  tg_status st = tg_comm_agree(MPI_COMM_WORLD, looked);
  if (st == TG_OK) st = tg_extract_run(&options);
  MPI_Finalize();
  return st == TG_ESTOPPED ? a->stop_status : (int)st;
}

static int validate_main(const arguments *a) {
  return report(tg_command_validate(a->argument, a->overrides, a->run.n_overrides));
}

static int figures_main(const arguments *a) {
  return report(tg_command_figures(a->more, a->n_more, a->overrides, a->run.n_overrides, a->out));
}

static int report_main(const arguments *a) { return report(tg_command_report(a->argument)); }

static int verify_main(const arguments *a) { return report(tg_verify(a->argument, a->sample, (uint64_t)a->seed)); }

static int info_main(const arguments *a) { return report(tg_command_info(a->argument)); }

static int export_main(const arguments *a) {
  if (!a->csv) {
    fprintf(stderr, "tokengeom export: --csv DIR is missing\n");
    return TG_EUSAGE;
  }
  return report(tg_command_export(a->argument, a->csv));
}

static const command commands[] = {
    {"run", "CONFIG", "Measure the clouds of a study and write one result file. Under mpirun all ranks share the work.",
     run_options, run_main, false},
    {"figures", "CONFIG|RESULTS...",
     "Write the data and pictures of every figure of the paper that the results can feed: CSV, PNG, PDF.",
     figures_options, figures_main, true},
    {"report", "RESULTS", "Print a table of layers and what stands out.", no_options, report_main, false},
    {"verify", "RESULTS",
     "Check that a result file is what a run wrote: provenance, shapes, checksums, statistics, a sample of clouds. "
     "Exit "
     "status 0 good, 65 not, 66 no such file, 75 good but not complete.",
     verify_options, verify_main, false},
    {"validate", "CONFIG", "Check a config and its inputs and print the study with every default filled in.",
     validate_options, validate_main, false},
    {"extract", "CONFIG",
     "Write the hidden states of a study's model to a file. Under mpirun all ranks share the work.", extract_options,
     extract_main, false},
    {"info", "FILE", "Say what a result file or a hidden-state file holds and how complete it is.", no_options,
     info_main, false},
    {"export", "RESULTS", "Write every dataset of a result file as CSV.", export_options, export_main, false},
};
enum { N_COMMANDS = sizeof commands / sizeof commands[0] };

static void print_usage(FILE *out) {
  fprintf(out, "Usage: tokengeom COMMAND [OPTION...] ARGUMENT\n"
               "Measures the geometry of token representations in large language models.\n\n");
  for (int c = 0; c < N_COMMANDS; c++)
    fprintf(out, "  %-9s %-17s %s\n", commands[c].name, commands[c].argument, commands[c].doc);
  fprintf(
      out,
      "\n  tokengeom COMMAND --help lists the options of a command; tokengeom run --help-config the keys of a config.\n"
      "  tokengeom --version prints versions of the program and its libraries.\n"
      "  mpirun -n R tokengeom run CONFIG is the main job.\n");
}

/* Usage errors are printed once: the launchers tell a process its rank before MPI does. */
static bool is_other_rank(void) {
  int rank, ranks;
  tg_inputs_rank(&rank, &ranks);
  return rank > 0;
}

static int run_command(const command *c, int argc, char **argv) {
  arguments a = {.stop_status = TG_ESTOPPED, .sample = 3, .seed = 1};
  char name[64];
  const struct argp argp = {c->options, parse_option, c->argument, c->doc, NULL, NULL, NULL};
  a.overrides = calloc((size_t)argc, sizeof *a.overrides);
  a.more = calloc((size_t)argc, sizeof *a.more);
  a.several = c->several;
  if (!a.overrides || !a.more) return TG_EINTERNAL;
  snprintf(name, sizeof name, "tokengeom %s", c->name);
  argv[1] = name;
  argp_err_exit_status = TG_EUSAGE;
  if (argp_parse(&argp, argc - 1, argv + 1, is_other_rank() ? ARGP_SILENT : 0, NULL, &a) != 0) return TG_EUSAGE;
  int code = c->main(&a);
  if (fflush(stdout) != 0 || ferror(stdout)) { /* a full disk behind it, say */
    fprintf(stderr, "tokengeom: standard output: %s\n", strerror(errno));
    if (code == 0) code = TG_EIO;
  }
  free(a.overrides);
  free(a.more);
  return code;
}

int tg_cli_main(int argc, char **argv) {
  tg_h5_prepare();
  gsl_set_error_handler_off();
  const char *name = argc > 1 ? argv[1] : "";
  if (strcmp(name, "--version") == 0 || strcmp(name, "-V") == 0) {
    tg_command_version();
    return 0;
  }
  if (strcmp(name, "--help") == 0 || strcmp(name, "-?") == 0 || strcmp(name, "help") == 0) {
    print_usage(stdout);
    return 0;
  }
  for (int c = 0; c < N_COMMANDS; c++)
    if (strcmp(name, commands[c].name) == 0) return run_command(&commands[c], argc, argv);
  if (is_other_rank()) return TG_EUSAGE;
  if (*name) fprintf(stderr, "tokengeom: '%s' is no command\n", name);
  print_usage(stderr);
  return TG_EUSAGE;
}
