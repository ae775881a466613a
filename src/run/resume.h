/* Going on with an output: only with what its clouds were made with. */
#ifndef TG_RESUME_H
#define TG_RESUME_H

#include "study/study.h"
#include <mpi.h>

/** One rank. errors TG_ECONFIG, naming what was and what is, when the config's values, the inputs, the program or the engine are not
 *  those of the output; TG_ENOINPUT, TG_EDATA */
tg_status tg_resume_check(const tg_study *study);

/** Collective. Takes the kernel of the output's clouds. errors TG_ECONFIG, agreed on, when the config wants another or some rank
 *  cannot run it */
tg_status tg_resume_kernel(MPI_Comm comm, tg_study *study);

/** One rank, with the output open: warns where the CPU or the BLAS is another, and adds a line to /provenance/sessions. */
tg_status tg_resume_note(const tg_study *study, int ranks, tg_results *results);

#endif
