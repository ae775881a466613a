/* Inside of config/: paths and globs, and whether there is what they name. Relative ones start at the config's directory.
 *  name  the key's, for messages
 *  out   caller frees; NULL, and a mistake of the reading, where the node is no path. What cannot be read counts as a missing file
 *        and keeps its path: with its results there, a config may have lost its inputs */
#ifndef TG_CONFIG_PATHS_H
#define TG_CONFIG_PATHS_H

#include "config/reading.h"

/** A path that will be written to. */
void tg_paths_output(tg_reading *r, const char *name, const tg_node *node, char **out);

/** The path of a file, or of a directory, that must be there. */
void tg_paths_file(tg_reading *r, const char *name, const tg_node *node, char **out);
void tg_paths_directory(tg_reading *r, const char *name, const tg_node *node, char **out);

/** A path or glob, or a list of them: the files of a source. A glob's matches are in bytewise order; no file may come twice. */
void tg_paths_files(tg_reading *r, const char *name, const tg_node *node, tg_source_config *source);

/** Writing the results must not destroy what they are made from.
 *  node  of the output */
void tg_paths_check_output(tg_reading *r, const tg_node *node);

#endif
