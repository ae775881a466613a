/* Products of tiles of every shape, against exact integers. Skipped on CPUs whose bfloat16 products are not used. */
#include "../oracle/oracle.h"
#include "../oracle/suite.h"
#include "geometry/tiles.h"

enum { LONGEST = 512, SKIPPED = 77 };

typedef struct {
  uint16_t rows[TG_TILE * LONGEST];
  int integers[TG_TILE * LONGEST];
} matrix;

static matrix a, b;
static float out[TG_TILE * TG_TILE];

/* Whole numbers from -3 to 3 as bfloat16: sums of 512 products are exact in float32, in any order. */
static void fill(matrix *m, oracle_random *r) {
  static const uint16_t bfloat16[] = {0xC040, 0xC000, 0xBF80, 0, 0x3F80, 0x4000, 0x4040};
  for (int i = 0; i < TG_TILE * LONGEST; i++) {
    m->integers[i] = oracle_below(r, 7) - 3;
    m->rows[i] = bfloat16[m->integers[i] + 3];
  }
}

/* Wrong numbers of a product, first rows and columns of a and b. */
static int count_wrong(tg_tiles *tiles, int m, int n, int k) {
  int wrong = 0;
  for (int i = 0; i < TG_TILE * TG_TILE; i++) out[i] = 0.5f;
  CU_ASSERT_FATAL(tg_tiles_multiply(tiles, a.rows, b.rows, LONGEST, m, n, k, out) == TG_OK);
  for (int i = 0; i < m; i++)
    for (int j = 0; j < n; j++) {
      int sum = 0;
      for (int t = 0; t < k; t++) sum += a.integers[i * LONGEST + t] * b.integers[j * LONGEST + t];
      wrong += out[i * TG_TILE + j] != (float)sum;
    }
  return wrong;
}

static void check(tg_tiles *tiles, int m, int n, int k) {
  const int wrong = count_wrong(tiles, m, n, k);
  CU_ASSERT(wrong == 0);
  if (wrong) printf("\n%d rows, %d columns, %d coordinates: %d of %d numbers are wrong", m, n, k, wrong, m * n);
}

/* All numbers of rows with few columns, all of columns with few rows, and pairs and depths at random. A cloud whose last tile
 * has one column (n mod 256 = 1) is where oneDNN 3.7 is wrong unless it is gone around. */
static void products_of_every_shape_are_exact(void) {
  oracle_random r = {11};
  tg_tiles *tiles = NULL;
  CU_ASSERT_FATAL(tg_tiles_create(&tiles) == TG_OK);
  fill(&a, &r), fill(&b, &r);
  for (int m = 1; m <= TG_TILE; m++) {
    check(tiles, m, 1, 64), check(tiles, 1, m, 64);
    check(tiles, m, 2, 33), check(tiles, 2, m, 33);
  }
  for (int k = 1; k <= LONGEST; k += k < 70 ? 1 : 67)
    check(tiles, 3, 1, k), check(tiles, 1, 3, k), check(tiles, 17, 18, k);
  for (int trial = 0; trial < 50; trial++)
    check(tiles, 1 + oracle_below(&r, TG_TILE), 1 + oracle_below(&r, TG_TILE), 1 + oracle_below(&r, LONGEST));
  check(tiles, TG_TILE, TG_TILE, LONGEST), check(tiles, TG_TILE, 1, LONGEST), check(tiles, 1, TG_TILE, LONGEST);
  tg_tiles_destroy(&tiles);
}

int main(void) {
  CU_TestInfo tests[] = {{"products of every shape are exact", products_of_every_shape_are_exact}, CU_TEST_INFO_NULL};
  return tg_tiles_speed() == 0 ? SKIPPED : suite_run("tiles", tests);
}
