#include "base/child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

/* In memory that both share. */
struct tg_child {
  int seconds;
  tg_status status;
  char name[1001], message[2048];
};

void tg_child_begin(tg_child *child, const char *name) {
  const struct itimerval limit = {.it_value = {.tv_sec = child->seconds}};
  snprintf(child->name, sizeof child->name, "%s", name);
  setitimer(ITIMER_PROF, &limit, NULL); /* its signal, SIGPROF, ends the child */
}

static void be_child(tg_status (*work)(void *, tg_child *), void *context, tg_child *child) {
  const struct rlimit none = {0, 0};
  const int sink = open("/dev/null", O_WRONLY | O_CLOEXEC);
  signal(SIGPROF, SIG_DFL);
  setrlimit(RLIMIT_CORE, &none);
  if (sink >= 0) dup2(sink, STDERR_FILENO); /* the C library's and a sanitizer's last words */
  child->status = work(context, child);
  snprintf(child->message, sizeof child->message, "%s", tg_last_error());
  _exit(0);
}

static bool is_asked_to_stop(int number) {
  return number == SIGTERM || number == SIGINT || number == SIGHUP || number == SIGUSR1;
}

static tg_status judge(const tg_child *child, const char *doing, int status) {
  const int number = WIFSIGNALED(status) ? WTERMSIG(status) : 0, code = WIFEXITED(status) ? WEXITSTATUS(status) : 0;
  TG_CHECK(number != SIGPROF, TG_EDATA, "%s: %s did not come to an end of it in %d s of CPU time; the file is damaged",
           child->name, doing, child->seconds);
  TG_CHECK(!is_asked_to_stop(number), TG_ESTOPPED, "stopped while %s looked at %s", doing, child->name);
  TG_CHECK(!number && !code, TG_EDATA, "%s: %s crashed (%s %d) when reading it; the file is damaged", child->name,
           doing, number ? "signal" : "status", number ? number : code);
  return child->status == TG_OK ? TG_OK : tg_fail(child->status, TG_HERE, "%s", child->message);
}

tg_status tg_child_run(const char *doing, int seconds, tg_status (*work)(void *context, tg_child *child),
                       void *context) {
  int status = 0;
  tg_child *child = mmap(NULL, sizeof *child, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  TG_CHECK(child != MAP_FAILED, TG_EINTERNAL, "no memory to share with a child: %s", strerror(errno));
  child->seconds = seconds;
  fflush(NULL);
  const pid_t id = fork();
  if (id == 0) be_child(work, context, child);
  int failed = id < 0 ? errno : 0;
  while (!failed && waitpid(id, &status, 0) < 0)
    if (errno != EINTR) failed = errno;
  const tg_status st = failed ? tg_fail(TG_EINTERNAL, TG_HERE, "no child to look at the inputs: %s", strerror(failed))
                              : judge(child, doing, status);
  munmap(child, sizeof *child);
  return st;
}
