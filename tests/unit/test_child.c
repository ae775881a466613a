/* Work in a child process: what it returns, that it dies, that it never ends. */
#include "../oracle/suite.h"
#include "base/child.h"
#include <signal.h>
#include <string.h>
#include <unistd.h>

typedef enum { IS_GOOD, SAYS_NO, IS_ASKED_TO_STOP, EXITS, DIES, NEVER_ENDS } behavior;

static tg_status behave(void *context, tg_child *child) {
  tg_child_begin(child, "the first");
  tg_child_begin(child, "a\nname");
  switch (*(const behavior *)context) {
  case IS_GOOD:
    return TG_OK;
  case SAYS_NO:
    return tg_fail(TG_ENOINPUT, TG_HERE, "no such thing");
  case IS_ASKED_TO_STOP:
    signal(SIGTERM, SIG_DFL);
    kill(getpid(), SIGTERM);
    break;
  case EXITS:
    _exit(3);
  case DIES:
    signal(SIGSEGV, SIG_DFL); /* not a sanitizer's */
    kill(getpid(), SIGSEGV);
    break;
  case NEVER_ENDS:
    for (volatile unsigned a = 0;;) a = a + 1;
  }
  return TG_OK;
}

static void check(behavior what, tg_status expected, const char *message) {
  const tg_status st = tg_child_run("reading", 1, behave, &what);
  CU_ASSERT(st == expected);
  CU_ASSERT(st == TG_OK || strstr(tg_last_error(), message));
  if (st != TG_OK) printf("\n%s", tg_last_error());
}

static void what_it_returns_is_returned(void) {
  check(IS_GOOD, TG_OK, "");
  check(SAYS_NO, TG_ENOINPUT, "no such thing");
  check(IS_ASKED_TO_STOP, TG_ESTOPPED, "stopped while reading looked at");
}

static void its_death_is_told(void) {
  check(EXITS, TG_EDATA, "reading crashed (status 3)");
  check(DIES, TG_EDATA, "reading crashed (signal 11)");
}

static void it_comes_to_an_end(void) { check(NEVER_ENDS, TG_EDATA, "did not come to an end of it in 1 s"); }

int main(void) {
  CU_TestInfo tests[] = {{"what it returns is returned", what_it_returns_is_returned},
                         {"its death is told", its_death_is_told},
                         {"it comes to an end", it_comes_to_an_end},
                         CU_TEST_INFO_NULL};
  return suite_run("child", tests);
}
