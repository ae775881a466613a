#include "run/resume.h"

#include "base/memory.h"
#include "base/text.h"
#include "parallel/comm.h"
#include "results/results.h"
#include "study/provenance.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The section that a line of a config stands in: the last line before it that is not indented. */
static const char *section_of(const char *text, const char *line) {
  const char *section = line;
  while (section > text && (*section == ' ' || *section == '-')) {
    section--; /* the end of the line before */
    while (section > text && section[-1] != '\n') section--;
  }
  return section;
}

/* Names the first difference of two texts that are not the same, in a and b. */
static tg_status differ(const tg_study *study, const char *what, const char *before, const char *a, const char *b) {
  while (*a && *a == *b) a++, b++;
  while (a > before && a[-1] != '\n') a--, b--;
  const char *section = section_of(before, a);
  return tg_fail(TG_ECONFIG, TG_HERE,
                 "%s: cannot resume, the %s changed: %.*s%s was '%.*s', is now '%.*s'; --force starts anew",
                 study->config->output, what, section < a ? (int)strcspn(section, "\n") : 0, section,
                 section < a ? "" : "it", (int)strcspn(a + strspn(a, " "), "\n"), a + strspn(a, " "),
                 (int)strcspn(b + strspn(b, " "), "\n"), b + strspn(b, " "));
}

/* Against what stands in the output, of which `name` says what was. */
static tg_status compare(const tg_study *study, const char *name, const char *what, const char *now) {
  char *before = NULL, *after = tg_copy_string(now);
  tg_status st = after ? tg_results_read_provenance(study->config->output, name, &before)
                       : tg_fail(TG_EINTERNAL, TG_HERE, "no memory");
  if (st == TG_OK) {
    tg_text_drop_directories(before);
    tg_text_drop_directories(after);
    if (strcmp(before, after) != 0) st = differ(study, what, before, before, after);
  }
  free(before);
  free(after);
  return st;
}

tg_status tg_resume_check(const tg_study *study) {
  TG_TRY(compare(study, "config_values", "config", study->config->resolved_values));
  TG_TRY(compare(study, "inputs", "inputs", study->inputs));
  TG_TRY(compare(study, "version", "program", tg_provenance_version()));
  return compare(study, "engine", "engine", tg_provenance_engine(study));
}

/* The kernel of the output's clouds, by the first word of its text. */
static tg_status read_kernel(const tg_study *study, int *kernel) {
  char *text = NULL;
  TG_TRY(tg_results_read_provenance(study->config->output, "kernel", &text));
  *kernel = -1;
  for (int a = 0; a < TG_N_KERNELS; a++) {
    const size_t length = strlen(tg_kernel_names[a]);
    if (strncmp(text, tg_kernel_names[a], length) == 0 && text[length] == ':') *kernel = a;
  }
  free(text);
  TG_CHECK(*kernel >= 0, TG_EDATA, "%s: /provenance/kernel names none that is known", study->config->output);
  TG_CHECK(study->config->kernel == 0 || study->config->kernel - 1 == *kernel, TG_ECONFIG,
           "%s: cannot resume, compute.kernel is %s and its clouds were measured with %s", study->config->output,
           tg_kernel_names[study->config->kernel - 1], tg_kernel_names[*kernel]);
  return TG_OK;
}

tg_status tg_resume_kernel(MPI_Comm comm, tg_study *study) {
  int rank, kernel = -1;
  MPI_Comm_rank(comm, &rank);
  TG_TRY(tg_comm_agree(comm, rank == 0 ? read_kernel(study, &kernel) : TG_OK));
  MPI_Bcast(&kernel, 1, MPI_INT, 0, comm);
  tg_status st = TG_OK;
  if (!tg_kernel_runs((tg_kernel)kernel))
    st = tg_fail(TG_ECONFIG, TG_HERE,
                 "%s: cannot resume, its clouds were measured with the kernel %s, which this CPU or build lacks",
                 study->config->output, tg_kernel_names[kernel]);
  TG_TRY(tg_comm_agree(comm, st));
  study->kernel = (tg_kernel)kernel;
  return TG_OK;
}

/* What of the machine may move last digits. */
static tg_status warn(const tg_study *study, const char *name, const char *now) {
  char *before = NULL;
  TG_TRY(tg_results_read_provenance(study->config->output, name, &before));
  if (strcmp(before, now) != 0)
    tg_text_print(
        stderr,
        "tokengeom: warning: resumed on another %s (was '%s', is '%s'): cosine_similarity/std (1e-6 at most) and "
        "logits may "
        "differ in their last digits from an undisturbed run's\n",
        name, before, now);
  free(before);
  return TG_OK;
}

tg_status tg_resume_note(const tg_study *study, int ranks, tg_results *results) {
  char session[TG_SESSION_ROOM];
  TG_TRY(warn(study, "cpu", tg_provenance_cpu()));
  TG_TRY(warn(study, "kernel", tg_provenance_kernel(study->kernel)));
  tg_provenance_session(study, ranks, session);
  return tg_results_add_session(results, session);
}
