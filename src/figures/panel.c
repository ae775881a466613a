#include "figures/panel.h"

#include "base/memory.h"
#include "base/text.h"
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A text that grows. */
typedef struct {
  FILE *out;
  char *text;
  size_t size;
} growing;

struct tg_panel {
  const tg_panel_kind *kind;
  growing rows, caption, comments, sources;
  int64_t finite;
};

static bool grow(growing *g) { return (g->out = open_memstream(&g->text, &g->size)) != NULL; }

static void discard(growing *g) {
  if (g->out) fclose(g->out);
  free(g->text);
}

static void destroy(tg_panel **panel) {
  growing *const all[] = {&(*panel)->rows, &(*panel)->caption, &(*panel)->comments, &(*panel)->sources};
  for (size_t a = 0; a < sizeof all / sizeof all[0]; a++) discard(all[a]);
  free(*panel);
  *panel = NULL;
}

tg_status tg_panel_begin(const tg_panel_kind *kind, tg_panel **out) {
  TG_TRY(TG_ALLOC(1, out));
  tg_panel *p = *out;
  p->kind = kind;
  if (grow(&p->rows) && grow(&p->caption) && grow(&p->comments) && grow(&p->sources)) return TG_OK;
  destroy(out);
  return tg_fail(TG_EINTERNAL, TG_HERE, "no memory for %s", kind->figure);
}

void tg_panel_row(tg_panel *panel, const char *types, ...) {
  FILE *out = panel->rows.out;
  va_list args;
  va_start(args, types);
  for (const char *type = types; *type; type++) {
    if (type > types) fputc(',', out);
    if (*type == 't')
      tg_text_cell(out, va_arg(args, const char *));
    else if (*type == 'i')
      fprintf(out, "%" PRId64, va_arg(args, int64_t));
    else if (*type == 'n') {
      const double count = va_arg(args, double);
      fprintf(out, fabs(count) < 0x1p53 ? "%.0f" : "nan", count);
    } else {
      const double value = va_arg(args, double);
      panel->finite += isfinite(value);
      if (isfinite(value))
        fprintf(out, "%.17g", value);
      else
        fputs("nan", out);
    }
  }
  va_end(args);
  fputc('\n', out);
}

void tg_panel_source(tg_panel *panel, const tg_figure_model *model, const char *path) {
  char line[800];
  snprintf(line, sizeof line, "# source: /models/%.200s/%.200s", model->name, path);
  strcat(tg_text_clean(line, false), "\n");
  fflush(panel->sources.out);
  if (!strstr(panel->sources.text, line)) fputs(line, panel->sources.out);
}

void tg_panel_caption(tg_panel *panel, const char *format, ...) {
  va_list args;
  va_start(args, format);
  vfprintf(panel->caption.out, format, args);
  va_end(args);
}

void tg_panel_comment(tg_panel *panel, const char *format, ...) {
  char *line = NULL;
  va_list args;
  va_start(args, format);
  if (vasprintf(&line, format, args) >= 0) fprintf(panel->comments.out, "# %s\n", tg_text_clean(line, false));
  va_end(args);
  free(line);
}

void tg_panel_mark_data(tg_panel *panel) { panel->finite++; }

void tg_panel_name(const tg_panel *panel, char *name, size_t room) {
  snprintf(name, room, "%s%s%s", panel->kind->figure, panel->kind->side[0] ? "_" : "", panel->kind->side);
}

bool tg_panel_has_data(const tg_panel *panel) { return panel->finite > 0; }

static tg_status write_file(const tg_panel *p, const char *path, const char *sha) {
  FILE *out = fopen(path, "w");
  TG_CHECK(out, TG_EIO, "%s: %s", path, strerror(errno));
  const tg_panel_kind *k = p->kind;
  fprintf(out, "# figure: %s\n# panel: %s\n# title: %s\n# caption: %s\n# units: %s\n", k->figure, k->side, k->title,
          tg_text_clean(p->caption.text, false), k->units);
  fprintf(out, "%s%s# config_sha256: %s\n%s\n%s", p->sources.text, p->comments.text, sha, k->columns, p->rows.text);
  const bool failed = ferror(out) != 0;
  TG_CHECK(fclose(out) == 0 && !failed, TG_EIO, "%s: %s", path, strerror(errno));
  return TG_OK;
}

tg_status tg_panel_end(tg_panel **panel, const char *directory, const char *sha, bool *written) {
  tg_panel *p = *panel;
  char *path = NULL, *part = NULL, name[64];
  growing *const all[] = {&p->rows, &p->caption, &p->comments, &p->sources};
  for (size_t a = 0; a < sizeof all / sizeof all[0]; a++) fflush(all[a]->out);
  *written = tg_panel_has_data(p);
  tg_status st = TG_OK;
  tg_panel_name(p, name, sizeof name);
  if (asprintf(&path, "%s/%s.csv", directory, name) < 0 || asprintf(&part, "%s.part", path) < 0)
    st = tg_fail(TG_EINTERNAL, TG_HERE, "no memory");
  if (st == TG_OK && !*written)
    unlink(path); /* of an earlier run with other data */
  else if (st == TG_OK) {
    st = write_file(p, part, sha);
    if (st == TG_OK && rename(part, path) != 0) st = tg_fail(TG_EIO, TG_HERE, "%s: %s", path, strerror(errno));
    if (st != TG_OK) unlink(part);
  }
  free(path);
  free(part);
  destroy(panel);
  return st;
}
