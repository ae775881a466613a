/* Inside of source/: the text that changes when an input changes. Kinds whose inputs are files write a line for each. */
#ifndef TG_SOURCE_IDENTITY_H
#define TG_SOURCE_IDENTITY_H

#include "base/status.h"
#include <stdio.h>

/* A file's line of an identity: its path, size and time. errors TG_ENOINPUT */
tg_status tg_source_print_file(FILE *out, const char *path);

#endif
