/* The end of every test program: runs one suite; the verdict is the exit status. */
#ifndef TG_SUITE_H
#define TG_SUITE_H

#include <CUnit/Basic.h>
#include <stdlib.h>

static inline int suite_run(const char *name, CU_TestInfo *tests) {
  CU_SuiteInfo suites[] = {{name, NULL, NULL, NULL, NULL, tests}, CU_SUITE_INFO_NULL};
  unsigned failed = 1;
  if (CU_initialize_registry() != CUE_SUCCESS) return EXIT_FAILURE;
  if (CU_register_suites(suites) == CUE_SUCCESS) {
    CU_basic_set_mode(CU_BRM_VERBOSE);
    CU_basic_run_tests();
    failed = CU_get_number_of_failure_records();
  }
  CU_cleanup_registry();
  return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

#endif
