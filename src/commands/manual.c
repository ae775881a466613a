/* Writes the manual pages and the completion for bash from the tables of commands, options, keys and numbers: what these say, and
 * nothing else, is documented.   tg_manual DIRECTORY makes DIRECTORY/man/man1, man5 and bash-completion/completions. */
#include "base/files.h"
#include "commands/completion.h"
#include "commands/table.h"
#include "config/config.h"
#include "config/keys.h"
#include "geometry/fields.h"
#include "results/reductions.h"
#include "version.h"
#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- roff ---- */

static FILE *page;

/* A character as roff takes it: its own ones escaped, hyphens and quotes as what one types. */
static const char *escaped(char c) {
  static char plain[2];
  switch (c) {
  case '\\':
    return "\\e";
  case '-':
    return "\\-";
  case '\'':
    return "\\(aq";
  case '`':
    return "\\(ga";
  case '^':
    return "\\(ha";
  case '~':
    return "\\(ti";
  default:
    plain[0] = c;
    return plain;
  }
}

/* Lines as they are. None may begin with roff's dot. */
static void put(const char *text) {
  for (char before = '\n'; *text; before = *text++) {
    if (before == '\n' && *text == '.') fputs("\\&", page);
    fputs(escaped(*text), page);
  }
}

static void section(const char *name) { fprintf(page, ".SH %s\n", name); }

static void subsection(const char *name) {
  fputs(".SS ", page);
  put(name);
  fputc('\n', page);
}

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

/* A paragraph grows by text, and is written by end_text. */
static FILE *paragraph;
static char *words;

static void text(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void text(const char *format, ...) {
  static size_t size;
  va_list values;
  if (!paragraph) paragraph = open_memstream(&words, &size);
  if (!paragraph) exit(EXIT_FAILURE);
  va_start(values, format);
  vfprintf(paragraph, format, values);
  va_end(values);
}

/* In lines of 80 bytes. roff takes the end of a line after a dot for that of a sentence, and a space more; \& tells it no. */
static void end_text(void) {
  size_t column = 0;
  char last = ' ';
  fclose(paragraph);
  paragraph = NULL;
  for (char *word, *rest = words; (word = strsep(&rest, " "));) {
    size_t length = 0;
    for (const char *c = word; *c; c++) length += strlen(escaped(*c));
    if (column > 0 && column + 1 + length > 78) {
      fputs(last == '.' ? "\\&\n" : "\n", page);
      column = 0;
    }
    if (column > 0) column++, fputc(' ', page);
    if (column == 0 && *word == '.') fputs("\\&", page);
    for (const char *c = word; *c; last = *c++) fputs(escaped(*c), page);
    column += length;
  }
  fputc('\n', page);
  free(words);
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
  const bool failed = ferror(page);
  if (fclose(page) == 0 && !failed) return;
  perror(directory);
  exit(EXIT_FAILURE);
}

/* what: its first sentence names the page in lists, from a small letter on. */
static void open_page(const char *name, int number, const char *what) {
  char file[128];
  const char *end = strstr(what, ". ");
  size_t length = end ? (size_t)(end - what) : strlen(what);
  if (length > 0 && what[length - 1] == '.') length--;
  snprintf(file, sizeof file, "%s.%d", name, number);
  open_file(number == 1 ? "man/man1" : "man/man5", file);
  fputs(".TH ", page);
  for (const char *c = name; *c; c++) fputs(escaped((char)toupper(*c)), page);
  fprintf(page, " %d \"\" \"tokengeom %s\" tokengeom\n.SH NAME\n", number, TG_VERSION);
  text("%s - %c%.*s", name, tolower(*what), (int)length - 1, what + 1);
  end_text();
}

/* All pages but the one of this name. */
static void see_also(const char *name) {
  static const char *const others[] = {"tokengeom", "tokengeom-config", "tokengeom-results"};
  const int n_others = sizeof others / sizeof *others;
  const char *before = "";
  section("SEE ALSO");
  for (int a = 0; a < n_others + tg_n_commands; a++) {
    const int c = a - 1; /* commands stand between the first and the others */
    char other[64];
    if (a == 0 || c >= tg_n_commands)
      snprintf(other, sizeof other, "%s", others[a == 0 ? 0 : c - tg_n_commands + 1]);
    else
      snprintf(other, sizeof other, "tokengeom-%s", tg_commands[c].name);
    if (strcmp(other, name) == 0) continue;
    fprintf(page, "%s.BR ", before);
    put(other);
    fputs(c >= tg_n_commands ? " (5)" : " (1)", page);
    before = " ,\n";
  }
  fputc('\n', page);
}

/* ---- commands ---- */

/* command: NULL for those of all. */
static void put_exits(const char *command) {
  section("EXIT STATUS");
  for (int e = 0; e < tg_n_exits; e++) {
    const tg_exit *x = &tg_exits[e];
    if (command && x->commands && !strstr(x->commands, command)) continue;
    char number[16];
    snprintf(number, sizeof number, "%d", x->status);
    entry(number, NULL);
    if (!command && x->commands) text("%s: ", x->commands);
    text("%s.", x->meaning);
    end_text();
  }
}

static void put_option(const tg_option *o) {
  char name[64];
  snprintf(name, sizeof name, "--%s%s", o->name, o->argument ? "=" : "");
  entry(name, o->argument);
  text("%s.", o->help);
  if (o->kind == WHOLE) text(" From %d to %d.", o->low, o->high);
  end_text();
}

static void write_command(const tg_command *c) {
  char name[64];
  snprintf(name, sizeof name, "tokengeom-%s", c->name);
  open_page(name, 1, c->doc);
  section("SYNOPSIS");
  fprintf(page, ".B tokengeom %s\n[\\fIoption\\fR...\\&]\n.I %s\n", c->name, c->argument);
  section("DESCRIPTION");
  text("%s%s%s", c->doc, c->more ? " " : "", c->more ? c->more : "");
  end_text();
  section("OPTIONS");
  for (const int *key = c->options; *key; key++) put_option(tg_option_find(*key));
  entry("--help", NULL);
  text("List these options.");
  end_text();
  put_exits(c->name);
  section("EXAMPLES");
  example(c->example);
  see_also(name);
  close_file();
}

static void put_commands(void) {
  section("COMMANDS");
  for (int c = 0; c < tg_n_commands; c++) {
    char argument[64];
    snprintf(argument, sizeof argument, " %s", tg_commands[c].argument);
    entry(tg_commands[c].name, argument);
    text("%s", tg_commands[c].doc);
    end_text();
  }
  entry("--help", NULL);
  text("List these commands; after a command, its options.");
  end_text();
  entry("--version", NULL);
  text("Versions of the program and its libraries, the CPU, and the kernel of the fast pass.");
  end_text();
}

static void write_overview(void) {
  open_page("tokengeom", 1, "geometry of token representations in large language models");
  section("SYNOPSIS");
  fputs(".B tokengeom\n.I command\n[\\fIoption\\fR...\\&] \\fIargument\\fR\n", page);
  section("DESCRIPTION");
  text("A model turns a prompt into one cloud of points per layer. tokengeom measures these clouds exactly, on one "
       "core or a thousand: intrinsic dimension, neighborhood overlap, cosine similarity, neighbor angles, "
       "reciprocity, lengths, with statistics over prompts and their correlation with the model's loss.");
  end_text();
  put_commands();
  put_exits(NULL);
  section("ENVIRONMENT");
  for (int a = 0; a < tg_n_variables; a++) {
    entry(tg_variables[a].name, NULL);
    text("%s.", tg_variables[a].meaning);
    end_text();
  }
  section("FILES");
  text("A study is a YAML file, tokengeom-config(5), and its results one HDF5 file, tokengeom-results(5). Studies to "
       "start from lie in share/tokengeom/config of the installed tree, scripts for SLURM and workstations in "
       "share/tokengeom/jobs.");
  end_text();
  section("EXAMPLES");
  example("tokengeom validate study.yaml\nmpirun -n 16 tokengeom run study.yaml\ntokengeom report results.h5\n"
          "tokengeom figures study.yaml");
  see_also("tokengeom");
  close_file();
}

/* ---- files that are read and written ---- */

static void put_key_heading(const tg_key *key) {
  char name[128];
  snprintf(name, sizeof name, "%s", tg_section_names[key->section]);
  if (*name) name[strlen(name) - 1] = '\0'; /* its dot */
  if (key->kind[0]) snprintf(name + strlen(name), sizeof name - strlen(name), ", kind %s", key->kind);
  subsection(*name ? name : "The whole study");
}

static void put_key(const tg_key *key) {
  char name[128];
  snprintf(name, sizeof name, "%s%s", tg_section_names[key->section], key->name);
  entry(name, NULL);
  text("%s", "");
  tg_keys_print_meaning(paragraph, key);
  text(".");
  end_text();
}

static void write_config(void) {
  open_page("tokengeom-config", 5, "what a study of tokengeom measures of what");
  section("DESCRIPTION");
  text("A YAML file. Paths are relative to it. --set KEY=VALUE of a command overrides a key, with its section: "
       "observables.overlap_k=16. A key that is not known is an error. tokengeom-validate(1) prints a study with every "
       "default filled in.");
  end_text();
  section("KEYS");
  for (int s = 0; s < TG_N_SECTIONS; s++) {
    const char *kind = NULL;
    for (int a = 0; a < tg_n_keys; a++) {
      const tg_key *key = &tg_keys[a];
      if (key->section != (tg_section)s) continue;
      if (!kind || strcmp(kind, key->kind) != 0) put_key_heading(key);
      kind = key->kind;
      put_key(key);
    }
  }
  section("EXAMPLES");
  example("output: results.h5\nmodels:\n  - name: Llama-3-8B\n    source: {kind: hdf5, files: [states-*.h5]}\n"
          "shuffle: {levels: [0, 5]}\nobservables: {measure: [gride, overlap], overlap_k: 16}\n"
          "figures: {formats: [csv, pdf]}");
  see_also("tokengeom-config");
  close_file();
}

static void put_axes(const tg_axis *axes, int n_axes) {
  for (int a = 0; a < n_axes; a++) text("%s%s", a ? ", " : "", tg_axes[axes[a]].name);
}

/* A meaning "...: 0 this; 1 that; more", or "0 this, 1 that; more": an entry for each value. */
static void put_values_of(const tg_field *f) {
  char *copy = strdup(f->long_name), *rest = copy;
  if (!copy) exit(EXIT_FAILURE);
  subsection(f->path);
  if (!isdigit((unsigned char)*rest)) strsep(&rest, ":");
  for (char *part; (part = strsep(&rest, strstr(f->long_name, ": ") ? ";" : ",;"));) {
    part += strspn(part, " ");
    const size_t digits = strspn(part, "0123456789");
    if (digits > 0) {
      part[digits] = '\0';
      entry(part, NULL);
    } else
      fputs(".PP\n", page);
    text("%s.", part + digits + (digits > 0));
    end_text();
  }
  free(copy);
}

static void put_datasets(void) {
  section("DATASETS");
  text("Below /models/MODEL/, each with its axes, type, [unit], meaning and source. A number without an answer is NaN, "
       "and reason says why.");
  end_text();
  for (int a = 0; a < TG_N_FIELDS; a++) {
    const tg_field *f = &tg_fields[a];
    entry(f->path, NULL);
    text("(");
    put_axes(f->axes, f->n_axes);
    text("), %s, [%s]: ", f->type == TG_F64 ? "float64" : "int32", f->units);
    text(a == TG_FIELD_REASON || a == TG_FIELD_STATUS ? "see below" : "%s", f->long_name);
    text(". Source: %s.%s", f->source, f->statistics ? " With statistics over prompts." : "");
    end_text();
  }
  put_values_of(&tg_fields[TG_FIELD_STATUS]);
  put_values_of(&tg_fields[TG_FIELD_REASON]);
}

/* What is made of the datasets over prompts. */
static void put_reductions(void) {
  section("STATISTICS");
  text("statistics/PATH/ holds of a dataset that has them, over the prompts of a level:");
  for (int a = 0; a < TG_N_MOMENTS; a++) text("%s %s", a ? "," : "", tg_moment_names[a]);
  text(".");
  end_text();
  section("CORRELATIONS");
  text("Over the prompts of a level, of these numbers:");
  end_text();
  for (int a = 0; a < TG_N_CORRELATIONS; a++) {
    const tg_correlation_field *c = &tg_correlation_fields[a];
    char name[128];
    snprintf(name, sizeof name, "correlations/%s/", c->path);
    entry(name, NULL);
    text("(%s%s", tg_axes[TG_AXIS_SHUFFLE].name, c->n_axes ? ", " : "");
    put_axes(c->axes, c->n_axes);
    text("): %s and %s.", c->x, c->y);
    end_text();
  }
  subsection("Datasets of each");
  for (int a = 0; a < TG_N_R; a++) {
    entry(tg_r_names[a], NULL);
    text("%s.", tg_r_long_names[a]);
    end_text();
  }
}

static void write_results(void) {
  open_page("tokengeom-results", 5, "the result file of tokengeom");
  section("DESCRIPTION");
  text("One HDF5 file; its attributes: format \"tokengeom-results\" and format_version. Every dataset of numbers has "
       "the "
       "attributes units, long_name and source. /complete is 1 when nothing is left to do; /provenance holds the "
       "config, inputs, versions and machine; /checksums/MODEL the XXH64 of each cloud's numbers.");
  end_text();
  section("AXES");
  text("Below /models/MODEL/, as dimension scales:");
  end_text();
  for (int a = 0; a < TG_N_AXES; a++) {
    entry(tg_axes[a].name, NULL);
    text("%s.", tg_axes[a].long_name);
    end_text();
  }
  put_datasets();
  put_reductions();
  section("EXAMPLES");
  example("h5dump -d /models/Llama-3-8B/loss results.h5\ntokengeom export results.h5 --csv tables");
  see_also("tokengeom-results");
  close_file();
}

static void write_completion(void) {
  open_file("bash-completion/completions", "tokengeom");
  tg_completion_write(page);
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
