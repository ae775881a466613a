/* Sources made ready to be read. */
#ifndef TG_PREPARE_H
#define TG_PREPARE_H

#include "study/study.h"
#include <mpi.h>

/** Collective. Loads the models that are to be run and says what is left out, and where the ranks of a node have more threads
 *  than cores. Before anything is made: it may find bad input.
 *  errors  those of tg_source_prepare, agreed on */
tg_status tg_prepare_sources(MPI_Comm comm, tg_study *study);

#endif
