#include "commands/completion.h"

#include "commands/table.h"
#include "config/config.h"
#include "config/keys.h"
#include <string.h>

/* What completes an argument of this name. */
static const char *kind_of_argument(const char *argument) {
  const bool config = strstr(argument, "CONFIG"), results = strstr(argument, "RESULTS");
  if (config && results) return "files yaml yml h5";
  if (config) return "files yaml yml";
  return results || strstr(argument, "FILE") ? "files h5" : strstr(argument, "DIR") ? "files" : "none";
}

static void put_command(FILE *out, const tg_command *c) {
  fprintf(out, "    %s)\n      options='--help", c->name);
  for (const int *key = c->options; *key; key++) fprintf(out, " --%s", tg_option_find(*key)->name);
  fprintf(out, "' arguments='%s'\n      case $owner in\n", kind_of_argument(c->argument));
  for (const int *key = c->options; *key; key++) {
    const tg_option *o = tg_option_find(*key);
    if (o->kind == OVERRIDE)
      fprintf(out, "        --%s) owner=keys sign== ;;\n", o->name);
    else if (o->argument && strcmp(o->argument, "KEY") == 0)
      fprintf(out, "        --%s) owner=keys ;;\n", o->name);
    else if (o->kind == CHOICE)
      fprintf(out, "        --%s) _tokengeom_words '%s %s'; return ;;\n", o->name, o->words[0], o->words[1]);
    else if (o->argument)
      fprintf(out, "        --%s) _tokengeom_%s; return ;;\n", o->name, kind_of_argument(o->argument));
  }
  fputs("      esac\n      ;;\n", out);
}

/* ---- keys ---- */

static bool is_of_model(const tg_key *key) {
  return key->section == TG_SECTION_MODEL || key->section == TG_SECTION_SOURCE;
}

/* Those of the study as a whole, or those of its first model, each with its section. What has keys of its own is not set. */
static void put_keys(FILE *out, bool of_model) {
  for (const tg_key *key = tg_keys; key < tg_keys + tg_n_keys; key++) {
    const char *section = tg_section_names[key->section] + (of_model ? strlen("models[]") : 0);
    if (is_of_model(key) != of_model || (key->type == TG_KEY_NESTED && strcmp(key->name, "kind") != 0)) continue;
    fprintf(out, "%s%s%s ", of_model ? "models[0]" : "", section, key->name);
  }
}

/* "a, b or c" as words. */
static void put_words(FILE *out, const char *text) {
  for (; *(text += strspn(text, " ,")); text += strcspn(text, " ,"))
    if (strncmp(text, "or ", 3) != 0) fprintf(out, "%.*s ", (int)strcspn(text, " ,"), text);
}

/* The values of a key that can be completed: a result file, a directory, or words of its unit, of "all or ids" the first. */
static void put_values(FILE *out, const tg_key *key) {
  const bool path = key->type == TG_KEY_PATH, all = strncmp(key->unit, "all or ", 7) == 0,
             words = strstr(key->unit, " or ") && (!key->value || strstr(key->unit, key->value));
  if (!path && !words) return;
  fprintf(out, "      %s%s) ", is_of_model(key) ? "*." : tg_section_names[key->section], key->name);
  if (path)
    fprintf(out, "_tokengeom_files%s ;;\n", strcmp(key->name, "directory") == 0 ? "" : " h5");
  else {
    fputs("_tokengeom_words '", out);
    put_words(out, all ? "all" : key->unit);
    fputs("' ;;\n", out);
  }
}

/* ---- the script ---- */

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
    "  local current=${COMP_WORDS[COMP_CWORD]} owner=${COMP_WORDS[COMP_CWORD - 1]} value='' sign='' options arguments\n"
    "  COMPREPLY=()\n"
    "  # = is a word of its own: what it belongs to stands before it\n"
    "  if [ \"$owner\" = = ]; then owner=${COMP_WORDS[COMP_CWORD - 2]} value=1; fi\n"
    "  if [ \"$current\" = = ]; then current='' value=1; fi\n"
    "  if [ \"$COMP_CWORD\" = 1 ]; then\n"
    "    _tokengeom_words '";

void tg_completion_write(FILE *out) {
  fputs(completion_head, out);
  for (int c = 0; c < tg_n_commands; c++) fprintf(out, "%s ", tg_commands[c].name);
  fputs("--help --version'\n    return\n  fi\n  case ${COMP_WORDS[1]} in\n", out);
  for (int c = 0; c < tg_n_commands; c++) put_command(out, &tg_commands[c]);
  fputs("    *) return ;;\n  esac\n  if [ \"$owner\" = keys ]; then\n"
        "    if [ \"$sign\" ]; then compopt -o nospace; fi\n"
        "    mapfile -t COMPREPLY < <(compgen -S \"$sign\" -W '",
        out);
  put_keys(out, false);
  fputs("'\"${sign:+ ", out); /* a value is printed of the study's own keys alone */
  put_keys(out, true);
  fputs("}\" -- \"$current\")\n  elif [ -n \"$value\" ]; then\n    case $owner in\n", out);
  for (int a = 0; a < tg_n_keys; a++) put_values(out, &tg_keys[a]);
  fputs("    esac\n  else\n    case $current in\n      -*) _tokengeom_words \"$options\" ;;\n"
        "      *) _tokengeom_$arguments ;;\n    esac\n  fi\n}\n"
        "complete -F _tokengeom tokengeom\n",
        out);
}
