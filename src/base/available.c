#include "base/available.h"

#include <limits.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/* The number behind `name`, or first in the file where that is "", in a file of a control group. */
static double read_number(const char *folder, const char *file_name, const char *name, double fallback) {
  char path[PATH_MAX + 64], line[256];
  snprintf(path, sizeof path, "%s/%s", folder, file_name);
  FILE *file = fopen(path, "r");
  double number = fallback;
  const size_t length = strlen(name);
  while (file && fgets(line, sizeof line, file))
    if (strncmp(line, name, length) == 0 && sscanf(line + length, "%lf", &number) == 1) break;
  if (file) fclose(file);
  return number;
}

/* How the two versions call the same. */
typedef struct {
  const char *root, *limit, *used, *cache;
} names;
static const names version_1 = {"/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes",
                                "total_inactive_file "};
static const names version_2 = {"/sys/fs/cgroup", "memory.max", "memory.current", "inactive_file "};

static double left_in(const char *folder, const names *n) {
  const double limit = read_number(folder, n->limit, "", INFINITY), used = read_number(folder, n->used, "", 0.0);
  return limit - used + fmin(used, read_number(folder, "memory.stat", n->cache, 0.0));
}

/* The least that a group and those above it leave. */
static double left_of(const names *n, const char *group) {
  char folder[PATH_MAX];
  double least = left_in(n->root, n);
  snprintf(folder, sizeof folder, "%s%s", n->root, group);
  for (const size_t root = strlen(n->root); strlen(folder) > root; *strrchr(folder, '/') = '\0')
    least = fmin(least, left_in(folder, n));
  return least;
}

double tg_available_bytes(void) {
  double available = 1024.0 * read_number("/proc", "meminfo", "MemAvailable:", INFINITY);
  char line[PATH_MAX + 64];
  available = fmin(available, fmin(left_in(version_1.root, &version_1), left_in(version_2.root, &version_2)));
  FILE *file = fopen("/proc/self/cgroup", "r");
  while (file && fgets(line, sizeof line, file)) {
    line[strcspn(line, "\n")] = '\0';
    char *const controllers = strchr(line, ':'), *const group = controllers ? strchr(controllers + 1, ':') : NULL;
    if (!group) continue;
    const bool second = group == controllers + 1,
               memory = strstr(controllers, "memory") && strstr(controllers, "memory") < group;
    if (second || memory) available = fmin(available, left_of(second ? &version_2 : &version_1, group + 1));
  }
  if (file) fclose(file);
  return available;
}
