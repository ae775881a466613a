/* Opening a study on all ranks, with what the ranks of a node can share. */
#ifndef TG_SHARE_H
#define TG_SHARE_H

#include "study/study.h"
#include <mpi.h>

/** Prompts of all models, tokenized, in memory that the ranks of a node share. */
typedef struct {
  int n; /* models */
  tg_token_table *tables;
  MPI_Win *windows; /* MPI_WIN_NULL: nothing to share */
} tg_shared_prompts;

/** Collective. Opens a study. The texts of sources that run a model are read and tokenized by one rank of each node, which takes 13 ms
 *  a text of 1024 tokens and more; the others get what came out.
 *  study   caller closes, also after an error, and then frees `shared`
 *  errors  those of tg_study_open, agreed on; TG_EINTERNAL where the ranks' configs or inputs differ, as all make
 *          the same plans of them */
tg_status tg_shared_open(MPI_Comm comm, const tg_config *config, tg_study *study, tg_shared_prompts *shared);

/** Collective over each node's ranks. Safe after a failed open. */
void tg_shared_free(tg_shared_prompts *shared);

#endif
