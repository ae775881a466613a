/* Drives a fuzzing target without libFuzzer: every seed as it is, then so many mutations of them, the same for the same first
 * number. What is being tried lies in the file $FUZZ_INPUT (default: fuzz-input), for a look after a crash.
 *   fuzz_TARGET FIRST COUNT SEED... */
#include <fcntl.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const unsigned char *bytes, size_t size);

enum { MOST = 1 << 20, MOST_SEEDS = 256 };

typedef struct {
  unsigned char *bytes;
  size_t size;
} input;

static uint64_t state;

static uint64_t below(uint64_t n) { /* splitmix64 */
  uint64_t z = state += 0x9E3779B97F4A7C15u;
  z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
  z = (z ^ z >> 27) * 0x94D049BB133111EBu;
  return (z ^ z >> 31) % n;
}

static input load(const char *path) {
  input in = {malloc(MOST), 0};
  FILE *file = fopen(path, "rb");
  if (!file || !in.bytes) {
    perror(path);
    exit(1);
  }
  in.size = fread(in.bytes, 1, MOST, file);
  fclose(file);
  return in;
}

/* Writes one of the numbers that break programs over 1, 2, 4 or 8 bytes. */
static void put_number(unsigned char *bytes, size_t size) {
  static const uint64_t numbers[] = {0,     1,     2,     127,       128,        255,      256,
                                     32767, 65535, 65536, INT32_MAX, UINT32_MAX, INT64_MAX};
  const size_t width = (size_t)1 << below(4);
  const uint64_t value = below(4) ? numbers[below(sizeof numbers / sizeof numbers[0])] : ~below(1000);
  if (size < width) return;
  memcpy(bytes + below(size - width + 1), &value, width);
}

/* Copies some bytes to another place, in the file itself or over its length. */
static void copy_some(input *in) {
  if (in->size == 0) return;
  const size_t from = below(in->size), length = 1 + below(in->size - from < 64 ? in->size - from : 64);
  const size_t to = below(in->size);
  unsigned char some[64];
  memcpy(some, in->bytes + from, length);
  if (below(2)) { /* inserted */
    if (in->size + length > MOST) return;
    memmove(in->bytes + to + length, in->bytes + to, in->size - to);
    in->size += length;
    memcpy(in->bytes + to, some, length);
  } else
    memcpy(in->bytes + to, some, length < in->size - to ? length : in->size - to);
}

static void mutate(input *in) {
  if (in->size == 0) return;
  switch (below(8)) {
  case 0:
  case 1:
    in->bytes[below(in->size)] ^= (unsigned char)(1u << below(8));
    break;
  case 2:
    in->bytes[below(in->size)] = (unsigned char)below(256);
    break;
  case 3:
  case 4:
    put_number(in->bytes, in->size);
    break;
  case 5:
    copy_some(in);
    break;
  case 6: { /* cut out */
    const size_t at = below(in->size), length = 1 + below(16);
    if (length > in->size - at || below(4)) break;
    memmove(in->bytes + at, in->bytes + at + length, in->size - at - length);
    in->size -= length;
    break;
  }
  default:
    if (below(16) == 0) in->size = below(in->size); /* truncated */
  }
}

static void try(const input *in, unsigned char *shown) {
  memset(shown, 0, 8); /* its length, then its bytes, until the next */
  memcpy(shown + 8, in->bytes, in->size);
  memcpy(shown, &in->size, sizeof in->size);
  LLVMFuzzerTestOneInput(in->bytes, in->size);
}

int main(int argc, char **argv) {
  static input seeds[MOST_SEEDS];
  input in = {malloc(MOST), 0};
  const int n = argc - 3 < MOST_SEEDS ? argc - 3 : MOST_SEEDS;
  if (n < 1 || !in.bytes) {
    fprintf(stderr, "usage: %s FIRST COUNT SEED...\n", argv[0]);
    return 64;
  }
  const char *name = getenv("FUZZ_INPUT") ? getenv("FUZZ_INPUT") : "fuzz-input";
  const int shared = open(name, O_RDWR | O_CREAT | O_TRUNC, 0666);
  if (shared < 0 || ftruncate(shared, MOST + 8) != 0) return perror(name), 74;
  unsigned char *shown = mmap(NULL, MOST + 8, PROT_READ | PROT_WRITE, MAP_SHARED, shared, 0);
  if (shown == MAP_FAILED) return perror(name), 74;
  const uint64_t first = strtoull(argv[1], NULL, 10), count = strtoull(argv[2], NULL, 10);
  const time_t start = time(NULL);
  for (int a = 0; a < n; a++) {
    seeds[a] = load(argv[a + 3]);
    try(&seeds[a], shown);
  }
  for (uint64_t a = first; a < first + count; a++) {
    state = a * 0x2545F4914F6CDD1Du;
    const input *seed = &seeds[below((uint64_t)n)];
    memcpy(in.bytes, seed->bytes, in.size = seed->size);
    for (uint64_t times = 1 + below(8); times > 0; times--) mutate(&in);
    try(&in, shown);
  }
  printf("%d seeds and %" PRIu64 " mutations in %ld s\n", n, count, (long)(time(NULL) - start));
  close(shared);
  unlink(name);
  free(in.bytes);
  return 0;
}
