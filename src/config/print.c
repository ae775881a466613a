/* A config as text: the study with every default filled in, and the list of keys. Goes over the table of keys in keys.c. */
#include "config/config.h"
#include "config/keys.h"
#include "config/node.h"
#include "config/print.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void print_list(FILE *out, const int64_t *list, int64_t n) {
  fputc('[', out);
  for (int64_t a = 0; a < n; a++) fprintf(out, "%s%" PRId64, a ? ", " : "", list[a]);
  fputc(']', out);
}

static void print_ints(FILE *out, const int *list, int n) {
  fputc('[', out);
  for (int a = 0; a < n; a++) fprintf(out, "%s%d", a ? ", " : "", list[a]);
  fputc(']', out);
}

/* A text in double quotes. Characters that YAML takes for line breaks or does not let through go by number. */
static void print_quoted(FILE *out, const char *text) {
  fputc('"', out);
  while (*text) {
    const char *from = text;
    const uint32_t c = tg_node_character(&text);
    if (c == '"' || c == '\\')
      fprintf(out, "\\%c", (int)c);
    else if (c < 0x20 || (c >= 0x7F && c < 0xA0) || c == 0x2028 || c == 0x2029 || c == 0xFEFF || c == 0xFFFE ||
             c == 0xFFFF)
      fprintf(out, "\\u%04X", (unsigned)c);
    else
      fwrite(from, 1, (size_t)(text - from), out);
  }
  fputc('"', out);
}

static void print_measured(FILE *out, const tg_config *c) {
  if (c->all_measured) {
    fputs("all", out);
    return;
  }
  fputc('[', out);
  tg_keys_print_observables(out, c->measured);
  fputc(']', out);
}

static void print_special(FILE *out, const tg_config *c, const tg_key *key) {
  if (key->section == TG_SECTION_SHUFFLE) {
    if (c->all_levels)
      fputs("all", out);
    else
      print_ints(out, c->levels, c->n_levels);
  } else if (key->section == TG_SECTION_OBSERVABLES) {
    if (strcmp(key->name, "scales") == 0)
      print_ints(out, c->scales, c->n_scales);
    else if (strcmp(key->name, "measure") == 0)
      print_measured(out, c);
    else
      print_ints(out, c->angle_layers, c->n_angle_layers);
  } else if (key->section == TG_SECTION_FIGURES && strcmp(key->name, "formats") == 0) {
    const char *const words[] = {c->figures_csv ? "csv" : NULL, c->figures_png ? "png" : NULL,
                                 c->figures_pdf ? "pdf" : NULL};
    bool any = false;
    fputc('[', out);
    for (int a = 0; a < 3; a++)
      if (words[a]) fprintf(out, "%s%s", any ? ", " : "", words[a]), any = true;
    fputc(']', out);
  } else if (key->section == TG_SECTION_FIGURES) {
    if (c->figure_prompt_ids)
      print_list(out, c->figure_prompt_ids, c->n_figure_prompt_ids);
    else
      fprintf(out, "%d", c->figure_prompts);
  } else if (key->section == TG_SECTION_COMPUTE)
    fputs(tg_compute_kernels[c->kernel], out);
  else if (c->all_prompts)
    fputs(c->common_prompts ? "common" : "all", out);
  else
    print_list(out, c->prompt_ids, c->n_prompt_ids);
}

static void print_value(FILE *out, const tg_config *c, const tg_key *key, const void *from) {
  const void *at = (const char *)from + key->offset;
  switch (key->type) {
  case TG_KEY_INT:
    fprintf(out, "%d", *(const int *)at);
    break;
  case TG_KEY_INT64:
    fprintf(out, "%" PRId64, *(const int64_t *)at);
    break;
  case TG_KEY_UINT64:
    fprintf(out, "%" PRIu64, *(const uint64_t *)at);
    break;
  case TG_KEY_REAL:
    fprintf(out, "%.17g", *(const double *)at);
    break;
  case TG_KEY_BOOL:
    fputs(*(const bool *)at ? "true" : "false", out);
    break;
  case TG_KEY_PATH:
    print_quoted(out, *(char *const *)at);
    break;
  default:
    print_special(out, c, key);
  }
}

static void print_path(FILE *out, const char *name, const char *path) {
  fprintf(out, "      %s: ", name);
  if (path)
    print_quoted(out, path);
  else
    fputc('~', out);
  fputc('\n', out);
}

static void print_devices(FILE *out, const tg_source_config *source) {
  fputs("      devices: ", out);
  if (source->n_devices > 0)
    print_ints(out, source->devices, source->n_devices);
  else
    fputs("auto", out);
  fputc('\n', out);
}

static void print_model(FILE *out, const tg_model_config *model, bool values_only) {
  const tg_source_config *source = &model->source;
  const char *kind = tg_source_kinds[source->kind];
  fputs("  - name: ", out);
  if (model->name)
    print_quoted(out, model->name);
  else
    fputc('~', out);
  fprintf(out, "\n    source:\n      kind: %s\n", kind);
  if (source->kind == TG_SOURCE_LLAMA) {
    print_path(out, "model", source->model_file);
    fprintf(out, "      short_prompts: %s\n", source->keep_short ? "keep" : "leave_out");
    fprintf(out, "      weights: %s\n", tg_weights_names[source->weights]);
    print_path(out, "weights_directory", source->weights_directory);
    if (!values_only) print_devices(out, source); /* where it runs */
  }
  if (source->kind == TG_SOURCE_SUMMARIES) {
    print_path(out, "directory", source->directory);
    print_path(out, "prompt_ids", source->prompt_ids_file);
  }
  if (source->n_files > 0) fprintf(out, "      %s:\n", source->kind == TG_SOURCE_HDF5 ? "files" : "prompts");
  for (int a = 0; a < source->n_files; a++) {
    fputs("        - ", out);
    print_quoted(out, source->files[a]);
    fputc('\n', out);
  }
  for (int a = 0; a < tg_n_keys; a++) {
    const tg_key *key = &tg_keys[a];
    if (key->section != TG_SECTION_SOURCE || key->type == TG_KEY_SPECIAL || strcmp(key->kind, kind) != 0) continue;
    if (values_only && strncmp(key->name, "slow_", 5) == 0) continue; /* they cost time and change nothing */
    fprintf(out, "      %s: ", key->name);
    print_value(out, NULL, key, source);
    fputc('\n', out);
  }
}

/* The study as YAML; values_only: what changes a value under /models. */
char *tg_config_print(const tg_config *c, bool values_only) {
  char *text = NULL;
  size_t size = 0;
  FILE *out = open_memstream(&text, &size);
  if (!out) abort();
  tg_section section = TG_SECTION_ROOT;
  for (int a = 0; a < tg_n_keys; a++) {
    const tg_key *key = &tg_keys[a];
    if (key->section == TG_SECTION_MODEL || key->section == TG_SECTION_SOURCE) continue;
    if (values_only &&
        (key->section == TG_SECTION_FIGURES || key->section == TG_SECTION_COMPUTE || strcmp(key->name, "output") == 0))
      continue;
    if (key->section != section)
      fprintf(out, "%.*s:\n", (int)strlen(tg_section_names[key->section]) - 1, tg_section_names[key->section]);
    section = key->section;
    fprintf(out, "%s%s:", section == TG_SECTION_ROOT ? "" : "  ", key->name);
    if (section == TG_SECTION_ROOT && strcmp(key->name, "models") == 0) {
      fputc('\n', out);
      for (int m = 0; m < c->n_models; m++) print_model(out, &c->models[m], values_only);
      continue;
    }
    fputc(' ', out);
    print_value(out, c, key, c);
    fputc('\n', out);
  }
  fclose(out);
  return text;
}

bool tg_config_print_value(FILE *out, const tg_config *c, const char *name) {
  for (int a = 0; a < tg_n_keys; a++) {
    const tg_key *key = &tg_keys[a];
    const char *section = tg_section_names[key->section];
    const size_t length = strlen(section);
    if (key->section == TG_SECTION_MODEL || key->section == TG_SECTION_SOURCE || key->type == TG_KEY_NESTED) continue;
    if (strncmp(name, section, length) != 0 || strcmp(name + length, key->name) != 0) continue;
    if (key->type == TG_KEY_PATH)
      fputs(*(char *const *)((const char *)c + key->offset), out);
    else
      print_value(out, c, key, c);
    fputc('\n', out);
    return true;
  }
  return false;
}
