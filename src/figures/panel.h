/* A panel's CSV: comment lines that say what it is, a header, rows. Local. */
#ifndef TG_PANEL_H
#define TG_PANEL_H

#include "base/status.h"
#include "figures/model.h"
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/** What one figure's panel is. Static text. */
typedef struct {
  const char *figure, *side; /* "fig03", "left" or "" */
  const char *title, *columns, *units;
} tg_panel_kind;

typedef struct tg_panel tg_panel;

/** out: tg_panel_end ends it. errors TG_EINTERNAL without memory */
tg_status tg_panel_begin(const tg_panel_kind *kind, tg_panel **out);

/** A row: one letter a column of `types`: t text, i int64_t, r double, n a whole number that a file may have as a double. A number
 *  that is not finite is written as nan. */
void tg_panel_row(tg_panel *panel, const char *types, ...);

/** Notes a dataset that the rows come from, once. */
void tg_panel_source(tg_panel *panel, const tg_figure_model *model, const char *path);

/** Adds to the caption, or a comment line of its own. */
void tg_panel_caption(tg_panel *panel, const char *format, ...) __attribute__((format(printf, 2, 3)));
void tg_panel_comment(tg_panel *panel, const char *format, ...) __attribute__((format(printf, 2, 3)));

/** A panel of integers alone has data too. */
void tg_panel_mark_data(tg_panel *panel);

/** "fig03_left" */
void tg_panel_name(const tg_panel *panel, char *name, size_t room);

/** Whether there is a row with a finite number. */
bool tg_panel_has_data(const tg_panel *panel);

/** Writes DIRECTORY/<figure>[_<side>].csv unless there is no finite number in it, by way of a file that is renamed.
 *  sha      of the config, for a comment
 *  written  whether there is a file now
 *  errors   TG_EIO */
tg_status tg_panel_end(tg_panel **panel, const char *directory, const char *sha, bool *written);

#endif
