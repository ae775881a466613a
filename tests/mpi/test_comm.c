/* Ranks agree on failures and notice differences. Every check is made on all ranks before CUnit sees it. */
#include "mpi_suite.h"
#include "parallel/comm.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* tg_comm_agree with its printing caught in printed. */
static tg_status agree_quietly(MPI_Comm comm, tg_status mine, char *printed, size_t room) {
  FILE *caught = tmpfile();
  const int kept = dup(STDERR_FILENO);
  fflush(stderr);
  if (caught) dup2(fileno(caught), STDERR_FILENO);
  const tg_status agreed = tg_comm_agree(comm, mine);
  fflush(stderr);
  dup2(kept, STDERR_FILENO);
  close(kept);
  printed[0] = '\0';
  if (!caught) return agreed;
  rewind(caught);
  printed[fread(printed, 1, room - 1, caught)] = '\0';
  fclose(caught);
  return agreed;
}

static tg_status code_of(int a) {
  static const tg_status codes[] = {TG_EIO, TG_EDATA, TG_ECONFIG, TG_EUSAGE, TG_ENOINPUT};
  return codes[a % 5];
}

/* Oracle: the header's sentence, for every set of failing ranks (of the first five). */
static void all_ranks_get_the_lowest_failing_ranks_code(void) {
  const int some = ranks < 5 ? ranks : 5;
  for (int failing = 0; failing < 1 << some; failing++) {
    char message[64], printed[256], expected[256] = "";
    int lowest = 0;
    while (lowest < some && !(failing >> lowest & 1)) lowest++;
    const bool fails = rank < some && failing >> rank & 1;
    snprintf(message, sizeof message, "set %d, rank %d has failed", failing, rank);
    if (fails) tg_fail(code_of(rank), TG_HERE, "%s", message);
    const tg_status agreed = agree_quietly(MPI_COMM_WORLD, fails ? code_of(rank) : TG_OK, printed, sizeof printed);
    if (fails && rank == lowest) snprintf(expected, sizeof expected, "tokengeom: %s\n", message);
    ASSERT_ON_ALL(agreed == (failing ? code_of(lowest) : TG_OK));
    ASSERT_ON_ALL(strcmp(printed, expected) == 0); /* one rank prints, its own message */
  }
}

/* Oracle: the verdict of each half alone. */
static void a_part_of_the_ranks_agrees_by_itself(void) {
  MPI_Comm part;
  char printed[256];
  MPI_Comm_split(MPI_COMM_WORLD, rank % 2, rank, &part);
  tg_fail(TG_EIO, TG_HERE, "only odd ranks fail");
  const tg_status agreed = agree_quietly(part, rank % 2 ? TG_EIO : TG_OK, printed, sizeof printed);
  ASSERT_ON_ALL(agreed == (rank % 2 ? TG_EIO : TG_OK));
  ASSERT_ON_ALL((printed[0] != '\0') == (rank == 1));
  MPI_Comm_free(&part);
}

/* Oracle: equal by construction. */
static void equal_bytes_are_the_same(void) {
  unsigned char bytes[1000];
  for (int a = 0; a < 1000; a++) bytes[a] = (unsigned char)(a * 7);
  for (size_t size = 0; size <= 1000; size += 100)
    ASSERT_ON_ALL(tg_comm_same(MPI_COMM_WORLD, bytes, size, "bytes") == TG_OK);
  ASSERT_ON_ALL(tg_comm_same(MPI_COMM_WORLD, NULL, 0, "nothing") == TG_OK);
}

/* Oracle: different by construction: one bit on one rank, or one byte more. All ranks are told, and what it is about. */
static void one_bit_or_byte_that_differs_is_noticed(void) {
  unsigned char bytes[64];
  for (int odd = 0; odd < ranks && ranks > 1; odd++)
    for (int bit = 0; bit < 8 * 63; bit += 5) {
      memset(bytes, 0, sizeof bytes);
      if (rank == odd) bytes[bit / 8] ^= (unsigned char)(1 << bit % 8);
      ASSERT_ON_ALL(tg_comm_same(MPI_COMM_WORLD, bytes, 63, "the plan") == TG_EINTERNAL);
      ASSERT_ON_ALL(strstr(tg_last_error(), "the plan") != NULL);
    }
  uint64_t state = 1; /* other contents altogether: a short check sum would miss some of them */
  for (int a = 0; a < 3000 && ranks > 1; a++) {
    for (int b = 0; b < 64; b++) {
      state = state * 6364136223846793005u + 1442695040888963407u + (uint64_t)(rank == a % ranks);
      bytes[b] = (unsigned char)(state >> 56);
    }
    state = (uint64_t)a + 2;
    ASSERT_ON_ALL(tg_comm_same(MPI_COMM_WORLD, bytes, 64, "the plan") == TG_EINTERNAL);
  }
  memset(bytes, 0, sizeof bytes);
  for (int odd = 0; odd < ranks && ranks > 1; odd++)
    ASSERT_ON_ALL(tg_comm_same(MPI_COMM_WORLD, bytes, rank == odd ? 64 : 63, "the length") == TG_EINTERNAL);
}

int main(int argc, char **argv) {
  mpi_suite_begin(&argc, &argv);
  CU_TestInfo tests[] = {{"all ranks get the lowest failing rank's code", all_ranks_get_the_lowest_failing_ranks_code},
                         {"a part of the ranks agrees by itself", a_part_of_the_ranks_agrees_by_itself},
                         {"equal bytes are the same", equal_bytes_are_the_same},
                         {"one bit or byte that differs is noticed", one_bit_or_byte_that_differs_is_noticed},
                         CU_TEST_INFO_NULL};
  int failed = mpi_suite_run("comm", tests);
  MPI_Finalize();
  return failed;
}
