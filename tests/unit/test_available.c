/* Memory that control groups leave: files as the kernel writes them, on a file system that a private mount puts in their place. Skipped
 * without the right to mount. */
#include "../oracle/suite.h"
#include "base/available.h"

#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>

enum { SKIPPED = 77 };

static void put(const char *folder, const char *name, const char *text) {
  char path[4200];
  snprintf(path, sizeof path, "%s/%s", folder, name);
  for (char *end = path + strlen("/sys/fs/cgroup"); (end = strchr(end + 1, '/'));) {
    *end = '\0';
    mkdir(path, 0755);
    *end = '/';
  }
  FILE *file = fopen(path, "w");
  CU_ASSERT_FATAL(file && fputs(text, file) >= 0 && fclose(file) == 0);
}

static void empty(void) {
  umount("/sys/fs/cgroup");
  CU_ASSERT_FATAL(mount("none", "/sys/fs/cgroup", "tmpfs", 0, NULL) == 0);
}

/* Oracle: the definition, limit - (used - cache that is not in use), and nothing where there is no limit. */
static void a_group_leaves_what_it_has_not_used(void) {
  empty();
  const double all = tg_available_bytes();
  CU_ASSERT(all > 1e8);
  put("/sys/fs/cgroup", "memory.max", "100000000\n");
  put("/sys/fs/cgroup", "memory.current", "90000000\n");
  CU_ASSERT(tg_available_bytes() == 1e7);
  put("/sys/fs/cgroup", "memory.stat", "anon 5\nfile 85000000\nactive_file 7\ninactive_file 80000000\n");
  CU_ASSERT(tg_available_bytes() == 9e7);
  put("/sys/fs/cgroup", "memory.max", "max\n");
  CU_ASSERT(tg_available_bytes() > 1e8);
}

static void version_1_has_other_names(void) {
  empty();
  put("/sys/fs/cgroup/memory", "memory.limit_in_bytes", "100000000\n");
  put("/sys/fs/cgroup/memory", "memory.usage_in_bytes", "90000000\n");
  put("/sys/fs/cgroup/memory", "memory.stat", "inactive_file 3\ntotal_inactive_file 80000000\n");
  CU_ASSERT(tg_available_bytes() == 9e7);
}

/* The path of this process' group, behind a mark of its line in /proc; NULL where it is the root. */
static const char *own_group(const char *mark) {
  static char line[4000];
  char *group = NULL;
  FILE *file = fopen("/proc/self/cgroup", "r");
  while (file && !group && fgets(line, sizeof line, file)) group = strstr(line, mark);
  if (file) fclose(file);
  if (!group) return NULL;
  group += strlen(mark);
  group[strcspn(group, "\n")] = '\0';
  return group[0] == '/' && group[1] ? group : NULL;
}

/* The group of this process lies below others: the least counts. One of the versions has it, where there is one. */
static void the_least_of_nested_groups_counts(void) {
  char folder[4200];
  const char *group = own_group("0::");
  if (group) {
    empty();
    put("/sys/fs/cgroup", "memory.max", "100000000\n");
    snprintf(folder, sizeof folder, "/sys/fs/cgroup%s", group);
    put(folder, "memory.max", "50000000\n");
    put(folder, "memory.current", "20000000\n");
    CU_ASSERT(tg_available_bytes() == 3e7);
  }
  group = own_group(":memory:");
  if (group) {
    empty();
    snprintf(folder, sizeof folder, "/sys/fs/cgroup/memory%s", group);
    put(folder, "memory.limit_in_bytes", "50000000\n");
    put("/sys/fs/cgroup/memory", "memory.limit_in_bytes", "30000000\n");
    CU_ASSERT(tg_available_bytes() == 3e7);
    put("/sys/fs/cgroup/memory", "memory.limit_in_bytes", "60000000\n");
    CU_ASSERT(tg_available_bytes() == 5e7);
  }
}

int main(void) {
  CU_TestInfo tests[] = {{"a group leaves what it has not used", a_group_leaves_what_it_has_not_used},
                         {"version 1 has other names", version_1_has_other_names},
                         {"the least of nested groups counts", the_least_of_nested_groups_counts},
                         CU_TEST_INFO_NULL};
  if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0) return SKIPPED;
  if (mount("none", "/sys/fs/cgroup", "tmpfs", 0, NULL) != 0) return SKIPPED;
  return suite_run("available", tests);
}
