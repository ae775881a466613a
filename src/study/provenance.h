/* Where a result comes from: versions, machine, config and inputs, as texts for the result file. Local. */
#ifndef TG_PROVENANCE_H
#define TG_PROVENANCE_H

#include "results/results.h"
#include "study/study.h"

enum { TG_N_PROVENANCE = 17, TG_END_TIME_ROOM = 32, TG_DIGEST_ROOM = 65, TG_SESSION_ROOM = 400 };

/** What stands in `end` while a run goes on. */
#define TG_NOT_ENDED "(not ended)"

typedef struct {
  tg_provenance items[TG_N_PROVENANCE]; /* texts owned */
  int n;
} tg_provenance_list;

/** What this program was built from and with, and where it runs, one line each; static text. */
const char *tg_provenance_version(void);   /* "0.1.0 (commit)" */
const char *tg_provenance_libraries(void); /* needs no MPI_Init */
const char *tg_provenance_cpu(void);
const char *tg_provenance_kernel(tg_kernel kernel); /* of the fast pass */

/** Time as "2026-01-31T12:00:00Z". */
void tg_provenance_time(char out[TG_END_TIME_ROOM]);

/** SHA-256 of a text in hexadecimal digits. */
void tg_provenance_digest(const char *text, char out[TG_DIGEST_ROOM]);

/** The engine that models are run with; "none" where a study runs none. Static text. */
const char *tg_provenance_engine(const tg_study *study);

/** One session of a run in a line: start, program, kernel, CPU, ranks. */
void tg_provenance_session(const tg_study *study, int ranks, char out[TG_SESSION_ROOM]);

/** errors TG_EINTERNAL. Caller frees with tg_provenance_free, also after a failure. */
tg_status tg_provenance_collect(const tg_study *study, int ranks, tg_provenance_list *out);
void tg_provenance_free(tg_provenance_list *list);

#endif
