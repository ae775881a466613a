/* Writes the manual pages and the completion for bash from the tables of commands, options, keys and numbers: what these say, and
 * nothing else, is documented.   tg_manual DIRECTORY makes DIRECTORY/man/man1, man5 and bash-completion/completions. */
#include "base/files.h"
#include "commands/table.h"
#include "config/config.h"
#include "config/keys.h"
#include "geometry/fields.h"
#include "geometry/observable.h"
#include "version.h"
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- roff ---- */

static FILE *page;

/* A text as roff takes it: its own characters escaped, hyphens kept as what one types. */
static void put(const char *text) {
  if (*text == '.' || *text == '\'') fputs("\\&", page);
  for (; *text; text++) switch (*text) {
    case '\\':
      fputs("\\e", page);
      break;
    case '-':
      fputs("\\-", page);
      break;
    default:
      fputc(*text, page);
    }
}

static void section(const char *name) { fprintf(page, ".SH %s\n", name); }

/* An entry of a list: bold words, and from the next line on what they mean. */
static void entry(const char *bold, const char *argument) {
  fputs(".TP\n\\fB", page);
  put(bold);
  fputs("\\fR", page);
  if (argument) {
    fputs("\\fI", page);
    put(argument);
    fputs("\\fR", page);
  }
  fputc('\n', page);
}

static void text(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void text(const char *format, ...) {
  char line[2048];
  va_list values;
  va_start(values, format);
  vsnprintf(line, sizeof line, format, values);
  va_end(values);
  put(line);
}

static void example(const char *lines) {
  fputs(".nf\n.RS\n", page);
  put(lines);
  fputs("\n.RE\n.fi\n", page);
}

/* ---- files ---- */

static const char *directory;

static void open_file(const char *folder, const char *name) {
  char path[4096];
  snprintf(path, sizeof path, "%s/%s/%s", directory, folder, name);
  page = fopen(path, "w");
  if (page) return;
  perror(path);
  exit(EXIT_FAILURE);
}

static void close_file(void) {
  if (fclose(page) == 0) return;
  perror(directory);
  exit(EXIT_FAILURE);
}

static void open_page(const char *name, int number, const char *what) {
  char file[128];
  snprintf(file, sizeof file, "%s.%d", name, number);
  open_file(number == 1 ? "man/man1" : "man/man5", file);
  fprintf(page, ".TH \"%s\" %d \"\" \"tokengeom %s\" \"tokengeom\"\n.SH NAME\n", name, number, TG_VERSION);
  text("%s - %s\n", name, what);
}

static void see_also(const char *name, bool with_commands) {
  const char *before = "";
  section("SEE ALSO");
  static const char *const others[] = {"tokengeom (1)", "tokengeom-config (5)", "tokengeom-results (5)"};
  for (int c = 0; with_commands && c < tg_n_commands; c++, before = " ,\n")
    fprintf(page, "%s.BR tokengeom\\-%s (1)", before, tg_commands[c].name);
  for (size_t a = 0; a < sizeof others / sizeof *others; a++)
    if (strncmp(others[a], name, strcspn(others[a], " ")) != 0 || name[strcspn(others[a], " ")]) {
      fprintf(page, "%s.BR ", before);
      put(others[a]);
      before = " ,\n";
    }
  fputc('\n', page);
}

/* ---- commands ---- */

static void put_exits(void) {
  section("EXIT STATUS");
  for (int e = 0; e < tg_n_exits; e++) {
    char number[16];
    snprintf(number, sizeof number, "%d", tg_exits[e].status);
    entry(number, NULL);
    text("%s.\n", tg_exits[e].meaning);
  }
}

static void put_option(const tg_option *o) {
  char name[64];
  snprintf(name, sizeof name, "--%s%s", o->name, o->argument ? "=" : "");
  entry(name, o->argument);
  text("%s.", o->help);
  if (o->kind == WHOLE) text(" From %d to %d.", o->low, o->high);
  fputc('\n', page);
}

static void write_command(const tg_command *c) {
  char name[64];
  snprintf(name, sizeof name, "tokengeom-%s", c->name);
  open_page(name, 1, c->doc);
  section("SYNOPSIS");
  fprintf(page, ".B tokengeom %s\n%s.I %s\n", c->name, *c->options ? "[\\fIoption\\fR...]\n" : "", c->argument);
  section("DESCRIPTION");
  put(c->doc);
  fputc('\n', page);
  section("OPTIONS");
  for (const int *key = c->options; *key; key++) put_option(tg_option_find(*key));
  entry("--help", NULL);
  text("List these options.\n");
  put_exits();
  section("EXAMPLE");
  example(c->example);
  see_also(name, false);
  close_file();
}

static void write_overview(void) {
  open_page("tokengeom", 1, "geometry of token representations in large language models");
  section("SYNOPSIS");
  fputs(".B tokengeom\n.I command\n[\\fIoption\\fR...] \\fIargument\\fR\n", page);
  section("DESCRIPTION");
  text("A model turns a prompt into one cloud of points per layer. tokengeom measures these clouds exactly, on one "
       "core or a "
       "thousand: intrinsic dimension, neighborhood overlap, cosine similarity, neighbor angles, reciprocity, lengths, "
       "with "
       "statistics over prompts and their correlation with the model's loss. A config says what is measured of what "
       "(tokengeom-config(5)), one HDF5 file holds the results (tokengeom-results(5)).\n");
  section("COMMANDS");
  for (int c = 0; c < tg_n_commands; c++) {
    char argument[64];
    snprintf(argument, sizeof argument, " %s", tg_commands[c].argument);
    entry(tg_commands[c].name, argument);
    text("%s\n", tg_commands[c].doc);
  }
  put_exits();
  section("ENVIRONMENT");
  entry("OPENBLAS_NUM_THREADS", NULL);
  text("Threads of OpenBLAS in each rank; 1 where it is not set, as a rank has one core.\n");
  entry("TOKENGEOM_PLOT", NULL);
  text("The script that draws pictures, instead of the one that was installed.\n");
  section("EXAMPLE");
  example("tokengeom validate study.yaml\nmpirun -n 16 tokengeom run study.yaml\ntokengeom report results.h5\n"
          "tokengeom figures study.yaml");
  see_also("tokengeom", true);
  close_file();
}

/* ---- files that are read and written ---- */

static void put_key(const tg_key *key) {
  char name[128];
  snprintf(name, sizeof name, "%s%s", tg_section_names[key->section], key->name);
  entry(name, NULL);
  text("%s%s%s", key->help, key->kind[0] ? "; source kind " : "", key->kind);
  text(" (%s", key->unit);
  if (key->section == TG_SECTION_OBSERVABLES && strcmp(key->name, "measure") == 0)
    tg_keys_print_observables(page, TG_OBSERVE_ALL);
  if (key->low == INT64_MIN)
    text(", any 64-bit integer");
  else if (key->high > key->low)
    text(", %" PRId64 " to %" PRId64, key->low, key->high);
  if (key->value)
    text("; default %s).\n", strcmp(key->value, "~") == 0 ? "none" : key->value);
  else
    text("; required).\n");
}

static void write_config(void) {
  open_page("tokengeom-config", 5, "what a study of tokengeom measures of what");
  section("DESCRIPTION");
  text("A YAML file. Paths are relative to it. --set KEY=VALUE of a command overrides a key, with its section: "
       "observables.overlap_k=16. A key that is not known is an error, and `tokengeom validate` prints a config with "
       "every "
       "default filled in.\n");
  section("KEYS");
  for (int a = 0; a < tg_n_keys; a++) put_key(&tg_keys[a]);
  section("EXAMPLE");
  example(
      "output: results.h5\nmodels:\n  - name: Llama-3-8B\n    source: {kind: llama, model: Meta-Llama-3-8B.bf16.gguf, "
      "prompts: pile.jsonl}\nshuffle: {levels: [0, 5]}\nobservables: {measure: [gride, overlap]}");
  see_also("tokengeom-config", false);
  close_file();
}

static void put_field(const tg_field *f) {
  entry(f->path, NULL);
  for (int a = 0; a < f->n_axes; a++) text("%s%s", a ? ", " : "(", tg_axes[f->axes[a]].name);
  text("), %s, unit %s: %s. Source: %s.%s\n", f->type == TG_F64 ? "float64" : "int32", f->units, f->long_name,
       f->source, f->statistics ? " With statistics over prompts." : "");
}

static void write_results(void) {
  open_page("tokengeom-results", 5, "the result file of tokengeom");
  section("DESCRIPTION");
  text("One HDF5 file; its attributes: format \"tokengeom-results\" and format_version. Every dataset has the "
       "attributes units, "
       "long_name and source. /complete is 1 when nothing is left to do; /provenance holds the config, inputs, "
       "versions and "
       "machine; /checksums/MODEL the XXH64 of each cloud's numbers.\n");
  section("AXES");
  text("Below /models/MODEL/, as dimension scales:\n");
  for (int a = 0; a < TG_N_AXES; a++) {
    entry(tg_axes[a].name, NULL);
    text("%s.\n", tg_axes[a].long_name);
  }
  section("DATASETS");
  text("Below /models/MODEL/. A number without an answer is NaN, and reason says why.\n");
  for (int f = 0; f < TG_N_FIELDS; f++) put_field(&tg_fields[f]);
  section("STATISTICS");
  text("statistics/PATH/ of a dataset holds n, mean, std, median, q25 and q75 over the prompts of a level; "
       "correlations/ the "
       "correlation of numbers with the loss over prompts.\n");
  see_also("tokengeom-results", false);
  close_file();
}

/* ---- completion ---- */

/* What completes an argument of this name. */
static const char *kind_of_argument(const char *argument) {
  const bool config = strstr(argument, "CONFIG"), results = strstr(argument, "RESULTS");
  if (config && results) return "files yaml yml h5";
  if (config) return "files yaml yml";
  return results || strstr(argument, "FILE") ? "files h5" : strstr(argument, "DIR") ? "files" : "none";
}

static void put_command_case(const tg_command *c) {
  fprintf(page, "    %s)\n      options='--help", c->name);
  for (const int *key = c->options; *key; key++) fprintf(page, " --%s", tg_option_find(*key)->name);
  fprintf(page, "' arguments='%s'\n      case $owner in\n", kind_of_argument(c->argument));
  for (const int *key = c->options; *key; key++) {
    const tg_option *o = tg_option_find(*key);
    if (o->kind == OVERRIDE)
      fprintf(page, "        --%s) owner=keys ;;\n", o->name);
    else if (o->kind == CHOICE)
      fprintf(page, "        --%s) _tokengeom_words '%s %s'; return ;;\n", o->name, o->words[0], o->words[1]);
    else if (o->argument)
      fprintf(page, "        --%s) _tokengeom_%s; return ;;\n", o->name, kind_of_argument(o->argument));
  }
  fputs("      esac\n      ;;\n", page);
}

static bool can_be_set(const tg_key *key) {
  return key->section != TG_SECTION_MODEL && key->section != TG_SECTION_SOURCE && key->type != TG_KEY_NESTED;
}

/* The values of a key that can be completed. */
static void put_values(const tg_key *key) {
  const bool kernel = key->section == TG_SECTION_COMPUTE && strcmp(key->name, "kernel") == 0;
  if (key->type != TG_KEY_BOOL && key->type != TG_KEY_PATH && !kernel) return;
  fprintf(page, "      %s%s) _tokengeom_", tg_section_names[key->section], key->name);
  if (key->type == TG_KEY_BOOL) fputs("words 'true false'", page);
  if (key->type == TG_KEY_PATH) fputs(strcmp(key->name, "directory") == 0 ? "files" : "files h5", page);
  for (int a = 0; kernel && a < TG_N_COMPUTE_KERNELS; a++)
    fprintf(page, "%s%s", a ? " " : "words '", tg_compute_kernels[a]);
  fputs(kernel ? "' ;;\n" : " ;;\n", page);
}

static const char completion_head[] =
    "# Completion of tokengeom for bash, made from its tables.\n"
    "_tokengeom_words() { mapfile -t COMPREPLY < <(compgen -W \"$1\" -- \"$current\"); }\n"
    "_tokengeom_none() { :; }\n\n"
    "# Directories, and files with one of these endings.\n"
    "_tokengeom_files() {\n"
    "  local ending\n"
    "  compopt -o filenames\n"
    "  mapfile -t COMPREPLY < <(\n"
    "    compgen -d -- \"$current\"\n"
    "    for ending; do compgen -f -X \"!*.$ending\" -- \"$current\"; done\n"
    "  )\n"
    "}\n\n"
    "_tokengeom() {\n"
    "  local current=${COMP_WORDS[COMP_CWORD]} owner=${COMP_WORDS[COMP_CWORD - 1]} value='' options arguments\n"
    "  COMPREPLY=()\n"
    "  # = is a word of its own: what it belongs to stands before it\n"
    "  if [ \"$owner\" = = ]; then owner=${COMP_WORDS[COMP_CWORD - 2]} value=1; fi\n"
    "  if [ \"$current\" = = ]; then current='' value=1; fi\n"
    "  if [ \"$COMP_CWORD\" = 1 ]; then\n"
    "    _tokengeom_words '";

static void write_completion(void) {
  open_file("bash-completion/completions", "tokengeom");
  fputs(completion_head, page);
  for (int c = 0; c < tg_n_commands; c++) fprintf(page, "%s ", tg_commands[c].name);
  fputs("--help --version'\n    return\n  fi\n  case ${COMP_WORDS[1]} in\n", page);
  for (int c = 0; c < tg_n_commands; c++) put_command_case(&tg_commands[c]);
  fputs("    *) return ;;\n  esac\n  if [ \"$owner\" = keys ]; then\n    compopt -o nospace\n    _tokengeom_words '",
        page);
  for (int a = 0; a < tg_n_keys; a++)
    if (can_be_set(&tg_keys[a])) fprintf(page, "%s%s= ", tg_section_names[tg_keys[a].section], tg_keys[a].name);
  fputs("'\n  elif [ -n \"$value\" ]; then\n    case $owner in\n", page);
  for (int a = 0; a < tg_n_keys; a++)
    if (can_be_set(&tg_keys[a])) put_values(&tg_keys[a]);
  fputs("    esac\n  else\n    case $current in\n      -*) _tokengeom_words \"$options\" ;;\n"
        "      *) _tokengeom_$arguments ;;\n    esac\n  fi\n}\n"
        "complete -F _tokengeom tokengeom\n",
        page);
  close_file();
}

int main(int argc, char **argv) {
  static const char *const folders[] = {
      "", "/man", "/man/man1", "/man/man5", "/bash-completion", "/bash-completion/completions"};
  if (argc != 2) return EXIT_FAILURE;
  directory = argv[1];
  for (size_t a = 0; a < sizeof folders / sizeof *folders; a++) {
    char path[4096];
    snprintf(path, sizeof path, "%s%s", directory, folders[a]);
    if (tg_make_directory(path) != TG_OK) return EXIT_FAILURE;
  }
  write_overview();
  for (int c = 0; c < tg_n_commands; c++) write_command(&tg_commands[c]);
  write_config();
  write_results();
  write_completion();
  return EXIT_SUCCESS;
}
