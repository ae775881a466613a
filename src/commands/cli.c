#include "commands/cli.h"

#include "base/memory.h"
#include "commands/look.h"
#include "commands/table.h"
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
#include <unistd.h>

/* Everything any command can be told. */
struct tg_arguments {
  tg_run_options run;
  int stop_status;
  bool wrong; /* the command line */
  const char *csv, *out, *get;
  bool float32;
  int sample, seed;
  const char *argument; /* the first positional argument */
  const char **more;    /* all of them, where a command takes several */
  int n_more;
  bool several;
  const char **overrides;
};

/* ---- options ---- */

/* What argp calls an option by; END closes a command's list. */
enum {
  END,
  KEY_SET = 256,
  KEY_GET,
  KEY_DRY_RUN,
  KEY_JSON,
  KEY_RANKS,
  KEY_RESUME,
  KEY_FORCE,
  KEY_MAX_HOURS,
  KEY_STOP_STATUS,
  KEY_PARTIAL,
  KEY_HELP_CONFIG,
  KEY_OUT_FILE,
  KEY_TYPE,
  KEY_FORCE_FILE,
  KEY_OUT_DIRECTORY,
  KEY_CSV,
  KEY_SAMPLE,
  KEY_SEED
};

static const char *const types[] = {"float32", "bfloat16"};

#define INTO(member) offsetof(tg_arguments, member)

/* clang-format off */
static const tg_option all_options[] = {
    /* key              name                  argument     kind       into                          low high       words  help */
    {KEY_SET,           "set",                "KEY=VALUE", OVERRIDE,  0,                            0,  0,         NULL,  "Override a key of the config, e.g. observables.overlap_k=16; may be repeated"},
    {KEY_GET,           "get",                "KEY",       TEXT,      INTO(get),                    0,  0,         NULL,  "Print the value of a key and nothing else, a path or a text as it is; inputs are not looked at"},
    {KEY_DRY_RUN,       "dry-run",            NULL,        FLAG,      INTO(run.dry_run),            0,  0,         NULL,  "Print the plan: shards, memory a rank, bytes to read, a time estimate"},
    {KEY_JSON,          "json",               NULL,        FLAG,      INTO(run.json),               0,  0,         NULL,  "With --dry-run: print the plan as JSON, in bytes and seconds"},
    {KEY_RANKS,         "ranks",              "N",         WHOLE,     INTO(run.ranks),              1,  1 << 24,   NULL,  "With --dry-run: plan for N ranks"},
    {KEY_RESUME,        "resume",             NULL,        FLAG,      INTO(run.resume),             0,  0,         NULL,  "Go on with an output that is not complete"},
    {KEY_FORCE,         "force",              NULL,        FLAG,      INTO(run.force),              0,  0,         NULL,  "Replace an output that exists"},
    {KEY_MAX_HOURS,     "max-hours",          "H",         POSITIVE,  INTO(run.max_hours),          0,  0,         NULL,  "Stop after H hours; --resume goes on"},
    {KEY_STOP_STATUS,   "stop-status",        "N",         WHOLE,     INTO(stop_status),            0,  255,       NULL,  "Exit status of an early stop (default 75)"},
    {KEY_PARTIAL,       "partial-statistics", NULL,        FLAG,      INTO(run.partial_statistics), 0,  0,         NULL,  "Statistics also when the run is stopped early"},
    {KEY_HELP_CONFIG,   "help-config",        NULL,        LIST_KEYS, 0,                            0,  0,         NULL,  "List every key of the config"},
    {KEY_OUT_FILE,      "out",                "FILE",      TEXT,      INTO(out),                    0,  0,         NULL,  "Hidden-state file to write (required)"},
    {KEY_TYPE,          "type",               "TYPE",      CHOICE,    INTO(float32),                0,  0,         types, "float32 or bfloat16 (default)"},
    {KEY_FORCE_FILE,    "force",              NULL,        FLAG,      INTO(run.force),              0,  0,         NULL,  "Replace a file that exists"},
    {KEY_OUT_DIRECTORY, "out",                "DIR",       TEXT,      INTO(out),                    0,  0,         NULL,  "Directory to write to (default: the config's figures.directory; with result files below the current one)"},
    {KEY_CSV,           "csv",                "DIR",       TEXT,      INTO(csv),                    0,  0,         NULL,  "Directory to write to (required)"},
    {KEY_SAMPLE,        "sample",             "N",         WHOLE,     INTO(sample),                 0,  1 << 24,   NULL,  "Measure N clouds again from the inputs (default 3; 0: none)"},
    {KEY_SEED,          "seed",               "S",         WHOLE,     INTO(seed),                   0,  INT32_MAX, NULL,  "Of the choice of these clouds (default 1)"},
};
/* clang-format on */
enum { N_OPTIONS = sizeof all_options / sizeof all_options[0] };

const tg_option *tg_option_find(int key) {
  for (int a = 0; a < N_OPTIONS; a++)
    if (all_options[a].key == key) return &all_options[a];
  return NULL;
}

/* One rank says what is wrong, the others only end; argp_error leaves the process there. */
#define WRONG(state, ...) (((tg_arguments *)(state)->input)->wrong = true, argp_error((state), __VA_ARGS__))

static int whole_number(const tg_option *o, const char *text, struct argp_state *state) {
  char *end;
  const long value = strtol(text, &end, 10);
  if (*text == '\0' || *end != '\0' || value < o->low || value > o->high)
    WRONG(state, "--%s: '%s' is not an integer from %d to %d", o->name, text, o->low, o->high);
  return (int)value;
}

static double positive(const tg_option *o, const char *text, struct argp_state *state) {
  char *end;
  const double value = strtod(text, &end);
  if (*text == '\0' || *end != '\0' || !(value > 0.0) || !isfinite(value))
    WRONG(state, "--%s: '%s' is not a positive number", o->name, text);
  return value;
}

static bool is_first_word(const tg_option *o, const char *text, struct argp_state *state) {
  const bool first = strcmp(text, o->words[0]) == 0;
  if (!first && strcmp(text, o->words[1]) != 0)
    WRONG(state, "--%s: '%s' is neither %s nor %s", o->name, text, o->words[0], o->words[1]);
  return first;
}

static void take_option(const tg_option *o, const char *text, tg_arguments *a, struct argp_state *state) {
  void *at = (char *)a + o->offset;
  switch (o->kind) {
  case FLAG:
    *(bool *)at = true;
    break;
  case WHOLE:
    *(int *)at = whole_number(o, text, state);
    break;
  case POSITIVE:
    *(double *)at = positive(o, text, state);
    break;
  case TEXT:
    *(const char **)at = text;
    break;
  case CHOICE:
    *(bool *)at = is_first_word(o, text, state);
    break;
  case OVERRIDE:
    if (!strchr(text, '=')) WRONG(state, "--%s: '%s' is not KEY=VALUE", o->name, text);
    a->overrides[a->run.n_overrides++] = text;
    break;
  case LIST_KEYS:
    tg_config_print_keys();
    exit(0);
  }
}

static void take_argument(const char *text, tg_arguments *a, struct argp_state *state) {
  if (a->argument && !a->several) WRONG(state, "'%s' is one argument too many", text);
  if (!a->argument) a->argument = text;
  a->more[a->n_more++] = text;
}

/* What is wrong with all of it together. */
static void check_arguments(const tg_arguments *a, struct argp_state *state) {
  if (!a->argument) WRONG(state, "an argument is missing");
  if (a->run.ranks > 0 && !a->run.dry_run) WRONG(state, "--ranks plans for --dry-run; mpirun -n N runs on N ranks");
  if (a->run.json && !a->run.dry_run) WRONG(state, "--json prints the plan of --dry-run");
  if (a->run.resume && a->run.force) WRONG(state, "--resume and --force exclude each other");
}

static error_t parse_option(int key, char *text, struct argp_state *state) {
  const tg_option *o = tg_option_find(key);
  if (o)
    take_option(o, text, state->input, state);
  else if (key == ARGP_KEY_ARG)
    take_argument(text, state->input, state);
  else if (key == ARGP_KEY_END)
    check_arguments(state->input, state);
  else
    return ARGP_ERR_UNKNOWN;
  return 0;
}

/* ---- the commands ---- */

static int report(tg_status st) {
  if (st != TG_OK) fprintf(stderr, "tokengeom: %s\n", tg_last_error());
  return (int)st;
}

/* Usage errors are printed once: the launchers tell a process its rank before MPI does. */
static bool is_other_rank(void) {
  int rank, ranks;
  tg_inputs_rank(&rank, &ranks);
  return rank > 0;
}

/* message: NULL where it is printed. A launcher ends all ranks at the first status that is not 0: the one that speaks comes first. */
static int usage_error(const char *message) {
  if (is_other_rank())
    sleep(3);
  else if (message)
    fputs(message, stderr);
  return TG_EUSAGE;
}

static bool start_mpi(void) {
  int provided;
  tg_signals_catch();
  if (MPI_Init_thread(NULL, NULL, MPI_THREAD_FUNNELED, &provided) == MPI_SUCCESS && provided >= MPI_THREAD_FUNNELED)
    return true;
  fprintf(stderr, "tokengeom: MPI cannot be started with MPI_THREAD_FUNNELED\n");
  return false;
}

/* Whether a launcher started several processes of which each is alone for MPI: they would do the same study at the same time. What it said
 * was read before MPI_Init, which sets such variables too. */
static bool are_strangers(int rank, int ranks, const char *variable) {
  int size;
  MPI_Comm_size(MPI_COMM_WORLD, &size);
  if (size > 1 || ranks <= 1) return false;
  if (rank == 0)
    fprintf(stderr,
            "tokengeom: this is one of %d processes (%s), but MPI has 1 rank: the launcher belongs to another MPI, or "
            "srun wants "
            "another --mpi (srun --mpi=list); to run them apart on purpose, unset %s\n",
            ranks, variable, variable);
  else
    sleep(3); /* as usage_error does */
  return true;
}

static tg_status run_study(const void *options) { return tg_pipeline_run(options); }
static tg_status extract_states(const void *options) { return tg_extract_run(options); }

/* What all ranks do together, if their looks at the inputs found nothing; gives the exit status. */
static int compute(const tg_arguments *a, tg_status looked, tg_status (*work)(const void *options),
                   const void *options) {
  int rank, ranks;
  const char *variable = tg_inputs_rank(&rank, &ranks);
  if (!start_mpi()) return TG_EINTERNAL;
  if (are_strangers(rank, ranks, variable)) {
    MPI_Finalize();
    return TG_EUSAGE;
  }
  tg_status st = tg_comm_agree(MPI_COMM_WORLD, looked);
  if (st == TG_OK) st = work(options);
  MPI_Finalize();
  return st == TG_ESTOPPED ? a->stop_status : (int)st;
}

static int run_main(const tg_arguments *a) {
  tg_run_options options = a->run;
  options.config = a->argument;
  options.overrides = a->overrides;
  const tg_status looked =
      tg_inputs_look_before(options.config, options.overrides, options.n_overrides, options.resume);
  return compute(a, looked, run_study, &options);
}

static int extract_main(const tg_arguments *a) {
  const tg_extract_options options = {a->argument, a->overrides, a->run.n_overrides, a->out, a->float32, a->run.force};
  if (!a->out) return usage_error("tokengeom extract: --out FILE is missing\n");
  const tg_status looked = tg_inputs_look_before(options.config, options.overrides, options.n_overrides, false);
  return compute(a, looked, extract_states, &options);
}

static int validate_main(const tg_arguments *a) {
  if (a->get) return report(tg_command_get(a->argument, a->overrides, a->run.n_overrides, a->get));
  return report(tg_command_validate(a->argument, a->overrides, a->run.n_overrides));
}

static int figures_main(const tg_arguments *a) {
  return report(tg_command_figures(a->more, a->n_more, a->overrides, a->run.n_overrides, a->out));
}

static int report_main(const tg_arguments *a) { return report(tg_command_report(a->argument)); }

static int verify_main(const tg_arguments *a) { return report(tg_verify(a->argument, a->sample, (uint64_t)a->seed)); }

static int info_main(const tg_arguments *a) { return report(tg_command_info(a->argument)); }

static int export_main(const tg_arguments *a) {
  if (!a->csv) return usage_error("tokengeom export: --csv DIR is missing\n");
  return report(tg_command_export(a->argument, a->csv));
}

/* clang-format off */
static const int run_options[]      = {KEY_SET, KEY_DRY_RUN, KEY_JSON, KEY_RANKS, KEY_RESUME, KEY_FORCE, KEY_MAX_HOURS, KEY_STOP_STATUS, KEY_PARTIAL, KEY_HELP_CONFIG, END};
static const int figures_options[]  = {KEY_SET, KEY_OUT_DIRECTORY, END};
static const int verify_options[]   = {KEY_SAMPLE, KEY_SEED, END};
static const int validate_options[] = {KEY_SET, KEY_GET, KEY_HELP_CONFIG, END};
static const int extract_options[]  = {KEY_SET, KEY_OUT_FILE, KEY_TYPE, KEY_FORCE_FILE, KEY_STOP_STATUS, END};
static const int export_options[]   = {KEY_CSV, END};
static const int no_options[]       = {END};

const tg_command tg_commands[] = {
    /* name      argument             main           several options            doc, more, example */
    {"run",      "CONFIG",            run_main,      false,  run_options,       "Measure the clouds of a study and write one result file. Under mpirun all ranks share the work.",
                                                                                "After --max-hours, or on SIGUSR1, SIGTERM or SIGINT, it stops cleanly with status 75. --resume goes on with what is "
                                                                                "missing, and gives the same file: it first checks every done cloud against its checksum and measures again those that "
                                                                                "fail. It refuses when a value of the config (but output and figures.*), an input, the program or the engine changed.",
                                                                                "mpirun -n 16 tokengeom run study.yaml\ntokengeom run study.yaml --dry-run --ranks 16\nmpirun -n 16 tokengeom run study.yaml --resume"},
    {"figures",  "CONFIG|RESULTS...", figures_main,  true,   figures_options,   "Write the data and pictures of every figure of the paper that the results can feed: CSV, PNG, PDF.",
                                                                                "A panel has a CSV, a figure a picture, drawn by python3 with matplotlib, and index.html shows them all. What the "
                                                                                "results cannot feed is left out with a line that says why. With result files, which may be somebody else's, nothing is"
                                                                                " written but to --out or below the current directory.",
                                                                                "tokengeom figures study.yaml\ntokengeom figures llama.h5 mistral.h5 --out figures"},
    {"report",   "RESULTS",           report_main,   false,  no_options,        "Print a table of layers and what stands out.",
                                                                                "The table has intrinsic dimension, overlap, cosine, angle, and the correlation with the loss with its interval and p.",
                                                                                "tokengeom report results.h5"},
    {"verify",   "RESULTS",           verify_main,   false,  verify_options,    "Check that a result file is what a run wrote: provenance, shapes, checksums, statistics, a sample of clouds. Exit "
                                                                                "status 0 good, 65 not, 66 no such file, 75 good but not complete.",
                                                                                "The sample is read again from the inputs (a model is run) and measured by the definitions in plain float64 loops, "
                                                                                "which share no code with the fast path. Inputs that are gone or changed are no fault; then there is no sample.",
                                                                                "tokengeom verify results.h5 --sample 20"},
    {"validate", "CONFIG",            validate_main, false,  validate_options,  "Check a config and its inputs and print the study with every default filled in.",
                                                                                NULL,
                                                                                "tokengeom validate study.yaml --set shuffle.levels=all\ntokengeom validate study.yaml --get output"},
    {"extract",  "CONFIG",            extract_main,  false,  extract_options,   "Write the hidden states of a study's model to a file. Under mpirun all ranks share the work.",
                                                                                "FILE.part is written first; the same command goes on from it, after it has checked it against its checksums. Measured "
                                                                                "from a file of float32, results are the same, byte for byte, as measured in memory.",
                                                                                "mpirun -n 16 tokengeom extract study.yaml --out states.h5"},
    {"info",     "FILE",              info_main,     false,  no_options,        "Say what a result file or a hidden-state file holds and how complete it is.",
                                                                                NULL,
                                                                                "tokengeom info results.h5"},
    {"export",   "RESULTS",           export_main,   false,  export_options,    "Write every dataset of a result file as CSV.",
                                                                                "Each becomes a file below the directory, which is made.",
                                                                                "tokengeom export results.h5 --csv tables"},
};

const tg_exit tg_exits[] = {
    {TG_OK,        NULL,                              "done"},
    {TG_EUSAGE,    NULL,                              "the command line is wrong"},
    {TG_EDATA,     NULL,                              "a file holds something else than it should"},
    {TG_ENOINPUT,  NULL,                              "an input is missing or unreadable"},
    {TG_EINTERNAL, NULL,                              "no memory, a library failed, or a bug"},
    {TG_EIO,       NULL,                              "writing failed, or the output exists"},
    {TG_ESTOPPED,  "run",                             "stopped early on request; --resume goes on"},
    {TG_ESTOPPED,  "extract",                         "stopped early on request; the same command goes on"},
    {TG_ESTOPPED,  "verify",                          "good as far as it goes, but the run was not completed"},
    {TG_ECONFIG,   "run, figures, validate, extract", "the config asks for something wrong"},
};

const tg_variable tg_variables[] = {
    {"OPENBLAS_CORETYPE",     "The CPU that OpenBLAS takes this one for; set where it knows none so new, to one with the same instructions"},
    {"OPENBLAS_NUM_THREADS",  "Threads that OpenBLAS starts with in each rank; 1 where it is not set. A run goes by compute.blas_threads"},
    {"TOKENGEOM_PLOT",        "The script that draws pictures, instead of the one that was installed"},
    {"HDF5_USE_FILE_LOCKING", "FALSE for a file system without locks; nothing then keeps two runs from writing one file"},
    {"OMPI_COMM_WORLD_RANK",  "Of Open MPI's mpirun, with OMPI_COMM_WORLD_SIZE: which rank this is, before MPI says so"},
    {"PMIX_RANK",             "The same of srun, with SLURM_NTASKS"},
    {"PMI_RANK",              "The same of other launchers, with PMI_SIZE"},
    {"SLURM_PROCID",          "The same of srun without PMI, with SLURM_STEP_NUM_TASKS"},
};
/* clang-format on */
const int tg_n_commands = sizeof tg_commands / sizeof *tg_commands;
const int tg_n_exits = sizeof tg_exits / sizeof *tg_exits;
const int tg_n_variables = sizeof tg_variables / sizeof *tg_variables;

static void print_usage(FILE *out) {
  fprintf(out, "Usage: tokengeom COMMAND [OPTION...] ARGUMENT\n"
               "Measures the geometry of token representations in large language models.\n\n");
  for (int c = 0; c < tg_n_commands; c++)
    fprintf(out, "  %-9s %-17s %s\n", tg_commands[c].name, tg_commands[c].argument, tg_commands[c].doc);
  fprintf(
      out,
      "\n  tokengeom COMMAND --help lists the options of a command; tokengeom run --help-config the keys of a config.\n"
      "  tokengeom --version prints versions of the program and its libraries.\n"
      "  mpirun -n R tokengeom run CONFIG is the main job.\n\nExit status:\n");
  for (int e = 0; e < tg_n_exits; e++) {
    const char *commands = tg_exits[e].commands;
    fprintf(out, "  %2d  %s%s%s\n", tg_exits[e].status, commands ? commands : "", commands ? ": " : "",
            tg_exits[e].meaning);
  }
  fprintf(out, "\nEnvironment:\n");
  for (int a = 0; a < tg_n_variables; a++) fprintf(out, "  %-22s %s\n", tg_variables[a].name, tg_variables[a].meaning);
}

/* A command's options as argp takes them: out [N_OPTIONS + 1], zero. */
static void list_options(const tg_command *c, struct argp_option *out) {
  for (const int *key = c->options; *key != END; key++) {
    const tg_option *o = tg_option_find(*key);
    *out++ = (struct argp_option){o->name, o->key, o->argument, 0, o->help, 0};
  }
}

static int run_command(const tg_command *c, int argc, char **argv) {
  tg_arguments a = {.stop_status = TG_ESTOPPED, .sample = 3, .seed = 1};
  char name[64];
  struct argp_option listed[N_OPTIONS + 1] = {0};
  const struct argp argp = {listed, parse_option, c->argument, c->doc, NULL, NULL, NULL};
  list_options(c, listed);
  a.overrides = calloc((size_t)argc, sizeof *a.overrides);
  a.more = calloc((size_t)argc, sizeof *a.more);
  a.several = c->several;
  if (!a.overrides || !a.more) return TG_EINTERNAL;
  snprintf(name, sizeof name, "tokengeom %s", c->name);
  argv[1] = name;
  argp_err_exit_status = TG_EUSAGE;
  if (argp_parse(&argp, argc - 1, argv + 1, is_other_rank() ? ARGP_SILENT : 0, NULL, &a) != 0 || a.wrong)
    return usage_error(NULL);
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
  for (int c = 0; c < tg_n_commands; c++)
    if (strcmp(name, tg_commands[c].name) == 0) return run_command(&tg_commands[c], argc, argv);
  if (is_other_rank()) return usage_error(NULL);
  if (*name) fprintf(stderr, "tokengeom: '%s' is no command\n", name);
  print_usage(stderr);
  return TG_EUSAGE;
}
