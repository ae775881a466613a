/* The result file: one HDF5 file, made whole by rank 0 before the run and then written by all ranks, each its own rows.
 *
 * Recipe: rank 0 creates FILE.part with every group, attribute and contiguous dataset, numbers filled with NaN or 0 and
 * space reserved, closes, syncs and renames it. All ranks open FILE together; from then on only independent writes of raw
 * data happen: values, then their checksum, then their status. So the file opens after a kill at any moment, and what status
 * calls done is. What a file system loses or changes after that, the checksums tell (checksum.h). */
#ifndef TG_RESULTS_H
#define TG_RESULTS_H

#include "base/status.h"
#include "geometry/row.h"
#include "results/reductions.h"
#include <hdf5.h>
#include <mpi.h>
#include <stdint.h>

/** One model's axes. Arrays are borrowed. */
typedef struct {
  const char *name;
  int64_t n_prompts;
  const int64_t *prompt_ids;
  char *const *groups; /* [n_prompts] labels of the prompts; NULL: none. Only creating the file asks for them */
  int n_levels;
  const int32_t *levels;
  int n_layers; /* clouds, L + 1 */
  tg_row_shape shape;
  const int *angle_layers; /* those the model has */
  int n_angle_layers;
  bool token_ids;
} tg_results_model;

/** A text of /provenance. */
typedef struct {
  const char *name, *text;
  size_t room; /* bytes that it may grow to; 0: as long as it is */
} tg_provenance;

typedef struct {
  const tg_results_model *models;
  int n_models;
  const tg_provenance *provenance;
  int n_provenance;
} tg_results_layout;

/** Length of a model's axis. */
int64_t tg_results_axis_length(const tg_results_model *model, tg_axis axis);

/** Whether a model has this field, of tg_fields; this group, of tg_correlation_fields. */
bool tg_results_has_field(const tg_results_model *model, int field);
bool tg_results_has_correlation(const tg_results_model *model, int group);

/** The numbers of a field that belong to layer l of a (prompt, level).
 *  place    out: where they stand on the field's third axis, 0 for a field that does not go by layers
 *  returns  bytes; 0 where layer l has none. The pair (l - 1, l) belongs to l, what a (prompt, level) has once to the last */
size_t tg_results_part(const tg_results_model *model, int field, int l, int *place);

/** Bytes of the file's numbers, for plans. */
double tg_results_bytes(const tg_results_layout *layout);

/** Local, one rank. Creates the file by way of FILE.part; an existing FILE is replaced in one step.
 *  errors  TG_EIO; then no .part is left and an existing FILE is as before */
tg_status tg_results_create(const char *path, const tg_results_layout *layout);

/** Local. Opens a result file of a known version for reading. errors TG_ENOINPUT, TG_EDATA. Caller closes with H5Fclose. */
tg_status tg_results_open_input(const char *path, hid_t *file);

/** Local. The text `name` of /provenance of an existing result file, caller frees.
 *  errors  TG_ENOINPUT, TG_EDATA when it is no result file of a known version */
tg_status tg_results_read_provenance(const char *path, const char *name, char **text);

typedef struct tg_results tg_results;

/** Collective. Opens an existing file for writing by all ranks. out: caller closes.
 *  errors  TG_EINTERNAL without memory, agreed on; where some rank cannot open the file all ranks end with MPI_Abort */
tg_status tg_results_open(MPI_Comm comm, const char *path, const tg_results_layout *layout, tg_results **out);

/** Local. A file of tg_results_open_input, for the calls that read; no communication, no MPI_Init. out: caller closes, also
 *  after an error, and then the file itself.
 *  errors  TG_EDATA when a dataset is missing, or has another shape or type than the layout says */
tg_status tg_results_open_read(const char *path, hid_t file, const tg_results_layout *layout, tg_results **out);

/** Local. errors TG_EDATA when the file has no checksums: written by a version without them, it cannot be gone on with */
tg_status tg_results_has_checksums(const char *path, const tg_results_layout *layout);

/** Collective, but for what tg_results_open_read gave. errors TG_EIO, agreed on. Safe on NULL, leaves NULL. */
tg_status tg_results_close(tg_results **results);

/** Collective. Makes all ranks' writes visible to all ranks and safe on disk. errors TG_EIO, agreed on, also where the path no
 *  longer leads to the file */
tg_status tg_results_flush(tg_results *results);

/* The calls below are local (independent input and output). A failed one cannot be repaired: the caller aborts the run. */

/** Writes layers first..first+n_rows-1 of (model, p, s): values, then their checksums, then their status. */
tg_status tg_results_write_rows(tg_results *results, int model, int64_t p, int s, int first, int n_rows,
                                const tg_row *rows);

/** Recomputes the checksums of all clouds of a prompt from the numbers in the file.
 *  good    [n_levels][n_layers] out: false where the status is not 0 and the checksum is not that of the numbers
 *  errors  TG_EIO, TG_EINTERNAL */
tg_status tg_results_check_prompt(tg_results *results, int model, int64_t p, bool *good);

/** Reads all numbers of one cloud back. row: of the model's shape; only what layer l has is set. errors TG_EIO */
tg_status tg_results_read_row(tg_results *results, int model, int64_t p, int s, int l, tg_row *row);

/** Sets the status of one cloud to 0: it is to be computed again. */
tg_status tg_results_forget_cloud(tg_results *results, int model, int64_t p, int s, int l);

/** status or reason (TG_FIELD_STATUS, TG_FIELD_REASON) of all clouds of a model, [n_prompts][n_levels][n_layers]. */
tg_status tg_results_read_clouds(tg_results *results, int model, int field, int32_t *values);

/** All prompts of a field at one level, [n_prompts][the axes after shuffle], as float64. */
tg_status tg_results_read_level(tg_results *results, int model, int field, int s, double *values);

/** Numbers of a prompt's other axes: product of the lengths after shuffle. */
int64_t tg_results_inner(const tg_results_model *model, int field);

/** Writes moment `which` of a field at one level, [the axes after shuffle]. */
tg_status tg_results_write_moment(tg_results *results, int model, int field, int which, int s, const double *values);

/** Writes number `which` of a group of correlations at one level, [the group's axes]. */
tg_status tg_results_write_correlation(tg_results *results, int model, int group, int which, int s,
                                       const double *values);

/** Reads the same back. */
tg_status tg_results_read_moment(tg_results *results, int model, int field, int which, int s, double *values);
tg_status tg_results_read_correlation(tg_results *results, int model, int group, int which, int s, double *values);

/** One rank: adds a line to /provenance/sessions; where there is no room, earlier ones go, but for the first. A file without such a text
 *  is left as it is. */
tg_status tg_results_add_session(tg_results *results, const char *line);

/** One rank: writes /complete and /provenance/end. */
tg_status tg_results_write_end(tg_results *results, bool complete, const char *end);

#endif
