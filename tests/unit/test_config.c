/* The config reader: every kind of mistake with its place, defaults, overrides, files, and the echo read again.
 * Oracle: the contract in words, written out as the exact message or the exact value. */
#include "../oracle/suite.h"
#include "config/config.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { ROOM = 1024 };

static char folder[ROOM]; /* of this run, physical path */

/* The least that is a study; what a test adds begins in line 3. */
#define LEAST "output: r.h5\nmodels: [{source: {kind: synthetic}}]\n"
/* The same for one source: its keys go in at "models[0].source", line 2. */
#define SOURCE(keys)    "output: r.h5\nmodels: [{source: {kind: synthetic, " keys "}}]\n"
#define LLAMA(keys)     "output: r.h5\nmodels: [{source: {kind: llama, " keys "}}]\n"
#define SUMMARIES(keys) "output: r.h5\nmodels: [{source: {kind: summaries, " keys "}}]\n"
#define HDF5(keys)      "output: r.h5\nmodels: [{source: {kind: hdf5, " keys "}}]\n"

/* ---- helpers ---- */

static const char *in_folder(const char *name) {
  static char path[4][2 * ROOM];
  static int turn;
  char *out = path[turn = (turn + 1) % 4];
  snprintf(out, sizeof path[0], "%s/%s", folder, name);
  return out;
}

static void write_bytes(const char *name, const char *bytes, size_t length) {
  FILE *file = fopen(in_folder(name), "wb");
  CU_ASSERT_FATAL(file != NULL);
  CU_ASSERT(fwrite(bytes, 1, length, file) == length);
  CU_ASSERT(fclose(file) == 0);
}

static void write_text(const char *name, const char *text) { write_bytes(name, text, strlen(text)); }

/* Reads a text as c.yaml with up to two overrides. */
static tg_status read_with(const char *text, const char *first, const char *second, tg_config **out) {
  const char *overrides[2] = {first, second};
  write_text("c.yaml", text);
  return tg_config_read(in_folder("c.yaml"), overrides, (first != NULL) + (second != NULL), out);
}

static tg_config *read_good(const char *text) {
  tg_config *config = NULL;
  const tg_status st = read_with(text, NULL, NULL, &config);
  if (st != TG_OK) printf("\n    unexpected: %s", tg_last_error());
  CU_ASSERT_FATAL(st == TG_OK && config != NULL);
  return config;
}

/* Puts "FOLDER/" for every '@' of a message. */
static const char *expand(const char *message) {
  static char out[8 * ROOM];
  size_t used = 0;
  out[0] = '\0';
  for (const char *at = message; *at && used + ROOM + 2 < sizeof out; at++)
    used += (size_t)sprintf(out + used, *at == '@' ? "%s/" : "%.1s", *at == '@' ? folder : at);
  return out;
}

static void same_message(const char *expected) {
  const bool same = strcmp(tg_last_error(), expand(expected)) == 0;
  if (!same) printf("\n    expected: %s\n    got:      %s", expand(expected), tg_last_error());
  CU_ASSERT(same);
}

/* The text has exactly these mistakes. */
static void fails_with(tg_status code, const char *text, const char *override, const char *message) {
  tg_config *config = (tg_config *)&folder; /* must become NULL */
  const tg_status st = read_with(text, override, NULL, &config);
  CU_ASSERT(st == code);
  CU_ASSERT(config == NULL);
  if (st == TG_OK) {
    printf("\n    no mistake in: %s", text);
    tg_config_destroy(&config);
  } else
    same_message(message);
}

typedef struct {
  const char *text, *message; /* without "@c.yaml:" */
} bad;

static void all_fail(const bad *list, int n) {
  for (int a = 0; a < n; a++) {
    char message[ROOM];
    snprintf(message, sizeof message, "@c.yaml:%s", list[a].message);
    fails_with(TG_ECONFIG, list[a].text, NULL, message);
  }
}
#define ALL_FAIL(list) all_fail(list, (int)(sizeof list / sizeof *list))

static bool same_ints(const int *got, int n_got, const int *expected, int n) {
  return n_got == n && memcmp(got, expected, (size_t)n * sizeof *got) == 0;
}

/* ---- what is right ---- */

/* Oracle: the defaults of the key list, by hand. */
static void defaults_are_the_documented_ones(void) {
  tg_config *c = read_good(LEAST);
  const tg_source_config *s = &c->models[0].source;
  CU_ASSERT_STRING_EQUAL(c->path, in_folder("c.yaml"));
  CU_ASSERT_STRING_EQUAL(c->directory, folder);
  CU_ASSERT_STRING_EQUAL(c->output, in_folder("r.h5"));
  CU_ASSERT(c->n_models == 1 && c->models[0].name == NULL && s->kind == TG_SOURCE_SYNTHETIC && s->n_files == 0);
  CU_ASSERT(s->prompts == 8 && s->shuffles == 1 && s->layers == 33 && s->tokens == 1024 && s->width == 4096);
  CU_ASSERT(s->dimension == 10 && s->spread == 0 && s->seed == 1 && s->slow_prompt == -1 && s->slow_seconds == 0.0);
  CU_ASSERT(c->all_prompts && c->n_prompt_ids == 0 && c->all_levels && c->n_levels == 0);
  CU_ASSERT(c->shuffle_seed == 20250117);
  CU_ASSERT(same_ints(c->scales, c->n_scales, (int[]){2, 4, 8, 16, 32, 64, 128, 256}, 8));
  CU_ASSERT(c->overlap_k == 32 && !c->neighbors && same_ints(c->angle_layers, c->n_angle_layers, (int[]){10}, 1));
  CU_ASSERT(c->bootstrap == 1000 && c->statistics_seed == 1);
  CU_ASSERT_STRING_EQUAL(c->figures_directory, in_folder("figures"));
  CU_ASSERT(c->example_prompt == 3218 && c->figure_prompts == 6 && c->n_figure_prompt_ids == 0);
  CU_ASSERT(c->figures_csv && c->figures_png && !c->figures_pdf && c->blas_threads == 1);
  tg_config_destroy(&c);
  CU_ASSERT(c == NULL);
  tg_config_destroy(&c);
}

static const char everything[] =
    "output: sub/../r.h5\n"
    "models:\n"
    "  - name: one.A_2-b\n"
    "    source: {kind: synthetic, prompts: 3, shuffles: 2, layers: 5, tokens: 128, width: 64,\n"
    "      dimension: 5, spread: 1, seed: 18446744073709551615, slow_prompt: 2, slow_seconds: 0.1}\n"
    "  - source: {kind: hdf5, files: [b.h5, \"s [1]*.h5\"]}\n"
    "prompts: [5, -9223372036854775808, 3, 9223372036854775807]\n"
    "shuffle: {levels: [4, 0, 2], seed: 0}\n"
    "observables: {scales: [8, 2, 65534], overlap_k: 256, angle_layers: [], neighbors: yes}\n"
    "statistics: {bootstrap: 0, seed: 7}\n"
    "figures: {directory: /tmp/\"x\"\\y, example_prompt: -3, prompts: [9, 1], formats: [pdf]}\n"
    "compute: {blas_threads: 4}\n";

static void write_inputs(void) {
  write_text("b.h5", "");
  write_text("s [1]*.h5", "");
  mkdir(in_folder("sub"), 0755);
}

/* Oracle: the values as they stand in the text; lists ascending. */
static void every_key_is_read(void) {
  write_inputs();
  tg_config *c = read_good(everything);
  const tg_source_config *s = &c->models[0].source, *h = &c->models[1].source;
  CU_ASSERT_STRING_EQUAL(c->output, in_folder("r.h5"));
  CU_ASSERT(c->n_models == 2 && c->models[1].name == NULL);
  CU_ASSERT_STRING_EQUAL(c->models[0].name, "one.A_2-b");
  CU_ASSERT(s->prompts == 3 && s->shuffles == 2 && s->layers == 5 && s->tokens == 128 && s->width == 64);
  CU_ASSERT(s->dimension == 5 && s->spread == 1 && s->seed == UINT64_MAX && s->slow_prompt == 2);
  CU_ASSERT(s->slow_seconds == 0.1);
  CU_ASSERT(h->kind == TG_SOURCE_HDF5 && h->n_files == 2);
  CU_ASSERT_STRING_EQUAL(h->files[0], in_folder("b.h5"));
  CU_ASSERT_STRING_EQUAL(h->files[1], in_folder("s [1]*.h5"));
  const int64_t ids[] = {INT64_MIN, 3, 5, INT64_MAX}, figure_ids[] = {1, 9};
  CU_ASSERT(!c->all_prompts && c->n_prompt_ids == 4 && memcmp(c->prompt_ids, ids, sizeof ids) == 0);
  CU_ASSERT(!c->all_levels && c->n_levels == 3 && c->levels[0] == 0 && c->levels[1] == 2 && c->levels[2] == 4);
  CU_ASSERT(c->shuffle_seed == 0 && c->overlap_k == 256 && c->neighbors && c->n_angle_layers == 0);
  CU_ASSERT(same_ints(c->scales, c->n_scales, (int[]){2, 8, 65534}, 3));
  CU_ASSERT(c->bootstrap == 0 && c->statistics_seed == 7 && c->blas_threads == 4 && c->example_prompt == -3);
  CU_ASSERT_STRING_EQUAL(c->figures_directory, "/tmp/\"x\"\\y");
  CU_ASSERT(c->n_figure_prompt_ids == 2 && memcmp(c->figure_prompt_ids, figure_ids, sizeof figure_ids) == 0);
  CU_ASSERT(!c->figures_csv && !c->figures_png && c->figures_pdf);
  tg_config_destroy(&c);
}

/* Oracle: the values as they stand in the text; defaults of the key list, by hand. */
static void keys_of_summaries_are_read(void) {
  write_inputs();
  tg_config *c = read_good(SUMMARIES("directory: sub/, prompt_ids: b.h5, shuffles: 6"));
  const tg_source_config *s = &c->models[0].source;
  CU_ASSERT(s->kind == TG_SOURCE_SUMMARIES && s->n_files == 0 && s->shuffles == 6);
  CU_ASSERT_STRING_EQUAL(s->directory, in_folder("sub"));
  CU_ASSERT_STRING_EQUAL(s->prompt_ids_file, in_folder("b.h5"));
  tg_config_destroy(&c);
  c = read_good(SUMMARIES("directory: sub"));
  CU_ASSERT(c->models[0].source.prompt_ids_file == NULL && c->models[0].source.shuffles == 0);
  tg_config_destroy(&c);
}

/* Oracle: the list of words. */
static void booleans_have_six_words(void) {
  static const char *const words[] = {"false", "true", "no", "yes", "off", "on", "False", "TRUE"};
  for (int a = 0; a < 8; a++) {
    char text[ROOM];
    snprintf(text, sizeof text, LEAST "observables: {neighbors: %s}\n", words[a]);
    tg_config *c = read_good(text);
    CU_ASSERT(c->neighbors == a % 2);
    tg_config_destroy(&c);
  }
}

/* Oracle: the same study written in another way: quotes, anchors, a byte order mark, sections without keys. */
static void other_ways_to_write_it_mean_the_same(void) {
  static const char *const texts[] = {
      "\xEF\xBB\xBF" LEAST,
      "%YAML 1.1\n---\n" LEAST "...\n",
      "output: 'r.h5'\nmodels: [{source: {\"kind\": \"synthetic\"}}]\nprompts: \"all\"\n",
      "output: r.h5\nmodels:\n- name: ~\n  source: {kind: synthetic, tokens: &n 1024, shuffles: 1}\nprompts: all # "
      "all\n",
      LEAST "shuffle:\nobservables: ~\nstatistics: {}\nfigures:\ncompute: null\n",
      LEAST "observables: {overlap_k: +32, scales: [256, 2, 4, 8, 16, 32, 128, 64]}\n"};
  tg_config *c = read_good(LEAST);
  for (size_t a = 0; a < sizeof texts / sizeof *texts; a++) {
    tg_config *other = read_good(texts[a]);
    CU_ASSERT_STRING_EQUAL(other->resolved, c->resolved);
    tg_config_destroy(&other);
  }
  tg_config_destroy(&c);
}

/* ---- the echo ---- */

/* Oracle: itself. Read again from another directory it must give the same text: paths are absolute, defaults filled in. */
static void reading_the_echo_again_changes_nothing(void) {
  write_inputs();
  mkdir(in_folder("elsewhere"), 0755);
  const char *const texts[] = {
      LEAST, everything, SUMMARIES("directory: sub, shuffles: 2"), SUMMARIES("directory: sub, prompt_ids: b.h5"),
      "output: \"\\u00e9\\u2028\\x01\\t'\\\"\\\\ # x: [\\uD55C\\u0085\\uFEFF\\x7f\\u009b\\U0001F600\"\n"
      "models: [{name: '-', source: {kind: synthetic}}, {name: '12', source: {kind: synthetic}}]\n"};
  for (size_t a = 0; a < sizeof texts / sizeof *texts; a++) {
    tg_config *c = read_good(texts[a]), *again = NULL;
    write_text("elsewhere/c.yaml", c->resolved);
    CU_ASSERT_FATAL(tg_config_read(in_folder("elsewhere/c.yaml"), NULL, 0, &again) == TG_OK);
    CU_ASSERT_STRING_EQUAL(again->resolved, c->resolved);
    CU_ASSERT_STRING_EQUAL(again->resolved_values, c->resolved_values);
    CU_ASSERT_STRING_EQUAL(again->output, c->output);
    CU_ASSERT(again->n_models == c->n_models &&
              again->models[0].source.slow_seconds == c->models[0].source.slow_seconds);
    CU_ASSERT(again->n_prompt_ids == c->n_prompt_ids && again->shuffle_seed == c->shuffle_seed);
    tg_config_destroy(&again);
    tg_config_destroy(&c);
  }
}

/* Oracle: the ids that were written; their line of the echo is longer than what libyaml looks ahead. */
static void a_long_list_survives(void) {
  enum { N = 20000 };
  char *text = malloc(N * 8 + ROOM);
  CU_ASSERT_FATAL(text != NULL);
  size_t used = (size_t)sprintf(text, LEAST "prompts:\n");
  for (int a = N; a-- > 0;) used += (size_t)sprintf(text + used, "- %d\n", a);
  tg_config *c = read_good(text), *again = read_good(c->resolved);
  bool same = c->n_prompt_ids == N && again->n_prompt_ids == N;
  for (int a = 0; a < N && same; a++) same = c->prompt_ids[a] == a && again->prompt_ids[a] == a;
  CU_ASSERT(same);
  tg_config_destroy(&again);
  tg_config_destroy(&c);
  free(text);
}

/* Oracle: the study with defaults, written out by hand. */
static void the_echo_holds_every_key(void) {
  tg_config *c = read_good(LEAST);
  static const char source[] =
      "models:\n  - name: ~\n    source:\n      kind: synthetic\n      prompts: 8\n      shuffles: 1\n"
      "      layers: 33\n      tokens: 1024\n      width: 4096\n      dimension: 10\n      spread: 0\n"
      "      seed: 1\n";
  static const char values[] =
      "prompts: all\nshuffle:\n  levels: all\n  seed: 20250117\n"
      "observables:\n  measure: all\n  scales: [2, 4, 8, 16, 32, 64, 128, 256]\n  overlap_k: 32\n"
      "  angle_layers: [10]\n  neighbors: false\nstatistics:\n  bootstrap: 1000\n  seed: 1\n";
  char expected[4 * ROOM];
  snprintf(
      expected, sizeof expected,
      "output: \"%s/r.h5\"\n%s      slow_prompt: -1\n      slow_seconds: 0\n%sfigures:\n  directory: \"%s/figures\"\n"
      "  example_prompt: 3218\n  scale: 2\n  k: 2\n  angle_layer: 10\n  prompts: 6\n  formats: [csv, png]\ncompute:\n  "
      "blas_threads: 1\n"
      "  kernel: auto\n",
      folder, source, values, folder);
  CU_ASSERT_STRING_EQUAL(c->resolved, expected);
  snprintf(expected, sizeof expected, "%s%s", source, values);
  CU_ASSERT_STRING_EQUAL(c->resolved_values, expected);
  tg_config_destroy(&c);
}

/* Oracle: which keys change a value under /models, by the contract. */
static void only_keys_that_change_values_are_in_the_values(void) {
  static const struct {
    const char *override;
    bool changes;
  } cases[] = {{"output=q.h5", false},
               {"figures.directory=q", false},
               {"figures.example_prompt=1", false},
               {"compute.blas_threads=2", false},
               {"models.0.source.slow_prompt=1", false},
               {"models.0.source.slow_seconds=2.5", false},
               {"models.0.name=q", true},
               {"models.0.source.seed=2", true},
               {"prompts=[1]", true},
               {"shuffle.levels=[0]", true},
               {"shuffle.seed=2", true},
               {"observables.neighbors=true", true},
               {"observables.measure=[gride]", true},
               {"observables.overlap_k=2", true},
               {"statistics.bootstrap=2", true}};
  tg_config *c = read_good(LEAST), *other = NULL;
  for (size_t a = 0; a < sizeof cases / sizeof *cases; a++) {
    CU_ASSERT_FATAL(read_with(LEAST, cases[a].override, NULL, &other) == TG_OK);
    CU_ASSERT((strcmp(other->resolved_values, c->resolved_values) != 0) == cases[a].changes);
    CU_ASSERT(strcmp(other->resolved, c->resolved) != 0);
    tg_config_destroy(&other);
  }
  tg_config_destroy(&c);
}

/* ---- mistakes ---- */

/* Oracle: what a decimal integer is, and the ranges of the key list. */
static void numbers_are_strict(void) {
  static const bad list[] = {
      {SOURCE("tokens: 32abc"), "2:45: models[0].source.tokens: '32abc' is not an integer, expected 1 to 65536"},
      {SOURCE("tokens: 1e3"), "2:45: models[0].source.tokens: '1e3' is not an integer, expected 1 to 65536"},
      {SOURCE("tokens: 32.0"), "2:45: models[0].source.tokens: '32.0' is not an integer, expected 1 to 65536"},
      {SOURCE("tokens: 0x20"), "2:45: models[0].source.tokens: '0x20' is not an integer, expected 1 to 65536"},
      {SOURCE("tokens: 010"), "2:45: models[0].source.tokens: '010' is not an integer, expected 1 to 65536"},
      {SOURCE("tokens: 1_000"), "2:45: models[0].source.tokens: '1_000' is not an integer, expected 1 to 65536"},
      {SOURCE("tokens: 3 2"), "2:45: models[0].source.tokens: '3 2' is not an integer, expected 1 to 65536"},
      {SOURCE("tokens: .nan"), "2:45: models[0].source.tokens: '.nan' is not an integer, expected 1 to 65536"},
      {SOURCE("tokens: -"), "2:45: models[0].source.tokens: '-' is not an integer, expected 1 to 65536"},
      {SOURCE("tokens: '32'"), "2:45: models[0].source.tokens: the text '32' is not an integer, expected 1 to 65536"},
      {SOURCE("tokens: "), "2:45: models[0].source.tokens: nothing is not an integer, expected 1 to 65536"},
      {SOURCE("tokens: true"), "2:45: models[0].source.tokens: 'true' is not an integer, expected 1 to 65536"},
      {SOURCE("tokens: [1]"), "2:37: models[0].source.tokens: a list is not an integer, expected 1 to 65536"},
      {SOURCE("tokens: {a: 1}"), "2:37: models[0].source.tokens: a map is not an integer, expected 1 to 65536"},
      {SOURCE("tokens: 0"), "2:45: models[0].source.tokens: '0' is out of range, expected 1 to 65536"},
      {SOURCE("tokens: 99999999999999999999"),
       "2:45: models[0].source.tokens: '99999999999999999999' is out of range, expected 1 to 65536"},
      {SOURCE("seed: -1"), "2:43: models[0].source.seed: '-1' is out of range, expected 0 to 18446744073709551615"},
      {SOURCE("seed: 18446744073709551616"),
       "2:43: models[0].source.seed: '18446744073709551616' is out of range, expected 0 to 18446744073709551615"},
      {SOURCE("seed: x"), "2:43: models[0].source.seed: 'x' is not an integer, expected 0 to 18446744073709551615"},
      {SOURCE("slow_seconds: inf"),
       "2:51: models[0].source.slow_seconds: 'inf' is not a number, expected 0 to 1000000"},
      {SOURCE("slow_seconds: .inf"),
       "2:51: models[0].source.slow_seconds: '.inf' is not a number, expected 0 to 1000000"},
      {SOURCE("slow_seconds: NaN"),
       "2:51: models[0].source.slow_seconds: 'NaN' is not a number, expected 0 to 1000000"},
      {SOURCE("slow_seconds: 1e999"),
       "2:51: models[0].source.slow_seconds: '1e999' is not a number, expected 0 to 1000000"},
      {SOURCE("slow_seconds: 0x1p3"),
       "2:51: models[0].source.slow_seconds: '0x1p3' is not a number, expected 0 to 1000000"},
      {SOURCE("slow_seconds: 1.5s"),
       "2:51: models[0].source.slow_seconds: '1.5s' is not a number, expected 0 to 1000000"},
      {SOURCE("slow_seconds: -0.5"),
       "2:51: models[0].source.slow_seconds: '-0.5' is out of range, expected 0 to 1000000"},
      {SOURCE("slow_seconds: '1'"),
       "2:51: models[0].source.slow_seconds: the text '1' is not a number, expected 0 to 1000000"},
      {LEAST "observables: {overlap_k: 257}", "3:26: observables.overlap_k: '257' is out of range, expected 1 to 256"},
      {LEAST "statistics: {bootstrap: 1000001}",
       "3:25: statistics.bootstrap: '1000001' is out of range, expected 0 to 1000000"},
      {LEAST "figures: {example_prompt: 9223372036854775808}",
       "3:27: figures.example_prompt: '9223372036854775808' is out of range, expected -9223372036854775808 to "
       "9223372036854775807"},
      {LEAST "figures: {prompts: 0}", "3:20: figures.prompts: '0' is out of range, expected 1 to 10000"},
      {LEAST "figures: {prompts: all}", "3:20: figures.prompts: 'all' is not an integer, expected 1 to 10000"},
      {LEAST "compute: {blas_threads: 0}", "3:25: compute.blas_threads: '0' is out of range, expected 1 to 1024"},
      {LEAST "observables: {neighbors: 1}", "3:26: observables.neighbors: '1' is not true or false"},
      {LEAST "observables: {neighbors: 'yes'}", "3:26: observables.neighbors: the text 'yes' is not true or false"}};
  ALL_FAIL(list);
}

/* Oracle: the contract of each list. */
static void lists_are_strict(void) {
  static const bad list[] = {
      {LEAST "prompts: some", "3:10: prompts: 'some' is neither 'all', 'common' nor a list of integers"},
      {LEAST "prompts: 3", "3:10: prompts: '3' is neither 'all', 'common' nor a list of integers"},
      {LEAST "prompts: []", "3:1: prompts: the list is empty, expected 'all' or some integers"},
      {LEAST "prompts: [3, 1, 3]", "3:17: prompts: 3 is listed twice"},
      {LEAST "prompts: [1, x]",
       "3:14: prompts: 'x' is not an integer, expected -9223372036854775808 to 9223372036854775807"},
      {LEAST "prompts: [[1]]",
       "3:11: prompts: a list is not an integer, expected -9223372036854775808 to 9223372036854775807"},
      {LEAST "shuffle: {levels: [-1]}", "3:20: shuffle.levels: '-1' is out of range, expected 0 to 1000"},
      {LEAST "shuffle: {levels: {}}", "3:11: shuffle.levels: a map is neither 'all' nor a list of integers"},
      {LEAST "shuffle: {levels: [2, 2]}", "3:23: shuffle.levels: 2 is listed twice"},
      {LEAST "observables: {scales: 2}", "3:23: observables.scales: '2' is not a list of integers"},
      {LEAST "observables: {scales: []}", "3:15: observables.scales: 0 scales, expected 1 to 16"},
      {LEAST "observables: {scales: [2, 3]}", "3:15: observables.scales: 3 is odd, expected even ranks n2 = 2 n1"},
      {LEAST "observables: {scales: [0]}", "3:24: observables.scales: '0' is out of range, expected 2 to 65534"},
      {LEAST "observables: {scales: [65536]}",
       "3:24: observables.scales: '65536' is out of range, expected 2 to 65534"},
      {LEAST "observables: {scales: [4, 2, 4]}", "3:30: observables.scales: 4 is listed twice"},
      {LEAST "observables: {scales: [2,4,6,8,10,12,14,16,18,20,22,24,26,28,30,32,34]}",
       "3:15: observables.scales: 17 scales, expected 1 to 16"},
      {LEAST "observables: {angle_layers: all}", "3:29: observables.angle_layers: 'all' is not a list of integers"},
      {LEAST "observables: {angle_layers: [1, -1]}",
       "3:33: observables.angle_layers: '-1' is out of range, expected 0 to 100000"},
      {LEAST "observables: {angle_layers: [1, 1]}", "3:33: observables.angle_layers: 1 is listed twice"},
      {LEAST "figures: {prompts: []}", "3:11: figures.prompts: the list is empty, expected a number or some ids"},
      {LEAST "figures: {prompts: [7, 7]}", "3:24: figures.prompts: 7 is listed twice"},
      {LEAST "figures: {formats: csv}", "3:20: figures.formats: 'csv' is not a list of csv, png, pdf"},
      {LEAST "figures: {formats: [csv, svg]}", "3:26: figures.formats: 'svg' is unknown, expected csv, png or pdf"},
      {LEAST "figures: {formats: [png, png]}", "3:26: figures.formats: 'png' is listed twice"}};
  ALL_FAIL(list);
}

/* Oracle: the key list; near names by hand. */
static void keys_are_checked(void) {
  static const bad list[] = {
      {LEAST "ouptut: x", "3:9: ouptut: unknown key, did you mean 'output'?"},
      {LEAST "observable: {}", "3:1: observable: unknown key, did you mean 'observables'?"},
      {LEAST "observables: {overlapk: 3}", "3:25: observables.overlapk: unknown key, did you mean 'overlap_k'?"},
      {LEAST "overlap_k: 3", "3:12: overlap_k: unknown key, did you mean 'observables.overlap_k'?"},
      {LEAST "xyzzy: 3", "3:8: xyzzy: unknown key"},
      {LEAST "<<: {prompts: all}", "3:1: a merge key (<<) is not taken, write its keys out"},
      {SOURCE("token: 3"), "2:44: models[0].source.token: unknown key, did you mean 'tokens'?"},
      {SOURCE("files: [a.h5]"), "2:37: models[0].source.files: a source of kind synthetic has no such key"},
      {"output: r.h5\nmodels: [{nmae: x, source: {kind: synthetic}}]",
       "2:17: models[0].nmae: unknown key, did you mean 'name'?"},
      {"output: r.h5\nmodels: [{source: {kind: hdf5, files: [b.h5], width: 3}}]",
       "2:54: models[0].source.width: a source of kind hdf5 has no such key"},
      {LEAST "shuffle: {seed: 1, seed: 2}", "3:26: shuffle.seed: the key is given twice, first in line 3"},
      {LEAST "output: r.h5", "3:9: output: the key is given twice, first in line 1"},
      {"models: [{source: {kind: synthetic}}]", "1:1: output: is missing (result file to write)"},
      {"output: r.h5", "1:1: models: is missing (models, each with a source)"},
      {"output: r.h5\nmodels: []", "2:1: models: an empty list, expected a list of models"},
      {"output: r.h5\nmodels: {source: {kind: synthetic}}", "2:1: models: a map, expected a list of models"},
      {"output: r.h5\nmodels:", "2:8: models: nothing, expected a list of models"},
      {"output: r.h5\nmodels: [3]", "2:10: models[0]: '3', expected a map of keys"},
      {"output: r.h5\nmodels: [{}]", "2:10: models[0].source: is missing (where the clouds come from)"},
      {"output: r.h5\nmodels: [{source: {}}]",
       "2:11: models[0].source.kind: is missing, expected hdf5, llama, summaries or synthetic"},
      {"output: r.h5\nmodels: [{source: hdf5}]", "2:19: models[0].source: 'hdf5', expected a map of keys"},
      {HDF5(""), "2:11: models[0].source.files: is missing (hidden-state files, prompts one after another)"},
      {"output: r.h5\nmodels: [{source: {kind: netcdf}}]",
       "2:26: models[0].source.kind: 'netcdf' is unknown, expected hdf5, llama, summaries or synthetic"},
      {SUMMARIES("shuffles: 1"),
       "2:11: models[0].source.directory: is missing (published numbers: gride.npy, mnos.npy, csn_sim.npy, losses.npy, "
       "reciprocities.npy, each optional)"},
      {SUMMARIES("directory: ~"), "2:48: models[0].source.directory: '~' is not a path"},
      {SUMMARIES("directory: b.h5"), "2:48: models[0].source.directory: @b.h5 is a file, expected a directory"},
      {SUMMARIES("directory: sub, prompt_ids: sub"),
       "2:65: models[0].source.prompt_ids: @sub is a directory, expected a file"},
      {SUMMARIES("directory: sub, prompts: 3"),
       "2:62: models[0].source.prompts: a source of kind summaries has no such key"},
      {LEAST "shuffle: 3", "3:10: shuffle: '3', expected a map of keys"},
      {LEAST "figures: [directory]", "3:1: figures: a list, expected a map of keys"},
      {LEAST "figures: {directory: [a]}", "3:11: figures.directory: a list is not a path"},
      {LEAST "figures: {directory: }", "3:22: figures.directory: nothing is not a path"}};
  write_inputs();
  ALL_FAIL(list);
}

#define TEN_TIMES(text) text text text text text text text text text text

/* Oracle: the contract's pattern for names and its two inequalities. */
static void contradictions_are_found(void) {
  static const bad list[] = {
      {"output: r.h5\nmodels: [{name: a/b, source: {kind: synthetic}}]",
       "2:17: models[0].name: 'a/b' is not a name, expected letters, digits, '.', '_' and '-'"},
      {"output: r.h5\nmodels: [{name: '..', source: {kind: synthetic}}]",
       "2:17: models[0].name: the text '..' is not a name, expected letters, digits, '.', '_' and '-'"},
      {"output: r.h5\nmodels: [{name: ., source: {kind: synthetic}}]",
       "2:17: models[0].name: '.' is not a name, expected letters, digits, '.', '_' and '-'"},
      {"output: r.h5\nmodels: [{name: \"\\uD55C\", source: {kind: synthetic}}]",
       "2:17: models[0].name: the text '\xED\x95\x9C' is not a name, expected letters, digits, '.', '_' and '-'"},
      {"output: r.h5\nmodels: [{name: " TEN_TIMES("aaaaaaaaaaaaaaaaaaaa") "a, source: {kind: synthetic}}]",
       "2:17: models[0].name: a name of 201 letters, expected 200 at most"},
      {"output: r.h5\nmodels: [{name: a, source: &s {kind: synthetic}}, {name: b, source: {<<: *s}}]",
       "2:70: a merge key (<<) is not taken, write its keys out"},
      {"output: r.h5\nmodels:\n- {name: a, source: {kind: synthetic}}\n- {name: a, source: {kind: synthetic}}",
       "4:3: models[1].name: 'a' is the name of models[0] too"},
      {SOURCE("width: 12, dimension: 10, spread: 3"),
       "2:11: models[0].source: dimension + spread is 13, but width only 12"},
      {SOURCE("dimension: 3, spread: 3"), "2:11: models[0].source: dimension - spread is 0, expected at least 1"}};
  ALL_FAIL(list);
  tg_config *c = read_good(SOURCE("width: 13, dimension: 10, spread: 3"));
  tg_config_destroy(&c);
}

/* Oracle: YAML's grammar; libyaml's words are the message, the place is ours to check. */
static void what_is_no_yaml_is_found(void) {
  static const struct {
    const char *text, *place, *word;
  } list[] = {{"a: [1, 2\nb: 3\n", "2:", "YAML: "},
              {"a: 1\n  b: 2\n", "2:4: ", "YAML: mapping values are not allowed"},
              {LEAST "shuffle:\n\tseed: 1\n", "4:1: ", "a tab cannot indent, use spaces"},
              {"a: \"x\n", "", "YAML: "},
              {"a: 1\nb: \xFF\n", "2:4: ", "invalid leading UTF-8 octet"},
              {"a: 1\nb: \xE9t\xE9\n", "2:5: ", "invalid trailing UTF-8 octet"},
              {"\x7F"
               "ELF\x02\x01\x01",
               "1:1: ", "control characters are not allowed"},
              {"\xFF\xFEo\x01", "1:1: ", "invalid leading UTF-8 octet"},
              {LEAST "---\n" LEAST, "4:1: ", "a second document, expected one"},
              {LEAST "prompts: &a [*a]\n", "3:", "nested too deeply, maybe an alias inside of what it stands for"},
              {LEAST "prompts: *a\n", "3:10: ", "undefined alias"},
              {LEAST "? [a]\n: b\n", "3:3: ", "a key is a list or a map, expected a name"},
              {"output: \"a\\0b\"\n", "1:9: ", "a text with a zero byte"},
              {"\"output\\0x\": b\n", "1:1: ", "a key with a zero byte"}};
  for (size_t a = 0; a < sizeof list / sizeof *list; a++) {
    tg_config *config = NULL;
    char start[2 * ROOM];
    CU_ASSERT(read_with(list[a].text, NULL, NULL, &config) == TG_ECONFIG);
    CU_ASSERT(config == NULL);
    snprintf(start, sizeof start, "%s:%s", in_folder("c.yaml"), list[a].place);
    const bool right = strncmp(tg_last_error(), start, strlen(start)) == 0 && strstr(tg_last_error(), list[a].word);
    if (!right) printf("\n    expected: %s ... %s\n    got:      %s", start, list[a].word, tg_last_error());
    CU_ASSERT(right);
  }
}

/* Oracle: the contract; none of these may take long or much memory either. */
static void hostile_files_end_soon(void) {
  enum { BIG = 16 << 20 };
  char *text = malloc(BIG + 2);
  tg_config *config = NULL;
  CU_ASSERT_FATAL(text != NULL);
  memset(text, '#', BIG + 1);
  write_bytes("big.yaml", text, BIG + 1);
  CU_ASSERT(tg_config_read(in_folder("big.yaml"), NULL, 0, &config) == TG_ECONFIG);
  same_message("@big.yaml: larger than 16777216 bytes, no config");

  memset(text, '[', 100000);
  write_bytes("deep.yaml", text, 100000);
  CU_ASSERT(tg_config_read(in_folder("deep.yaml"), NULL, 0, &config) == TG_ECONFIG);
  same_message("@deep.yaml:1:33: nested too deeply");

  size_t used = 0;
  for (int a = 0; a < 5000; a++) used += (size_t)sprintf(text + used, "- &a%d 1\n", a);
  write_bytes("anchors.yaml", text, used);
  CU_ASSERT(tg_config_read(in_folder("anchors.yaml"), NULL, 0, &config) == TG_ECONFIG);
  same_message("@anchors.yaml:1001:3: too many anchors");

  used = (size_t)sprintf(text, LEAST "a0: &a0 [1, 1]\n"); /* each list holds the one before it nine times */
  for (int a = 1; a < 30; a++)
    used += (size_t)sprintf(text + used, "a%d: &a%d [*a%d,*a%d,*a%d,*a%d,*a%d,*a%d,*a%d,*a%d,*a%d]\n", a, a, a - 1,
                            a - 1, a - 1, a - 1, a - 1, a - 1, a - 1, a - 1, a - 1);
  write_bytes("laughs.yaml", text, used);
  CU_ASSERT(tg_config_read(in_folder("laughs.yaml"), NULL, 0, &config) == TG_ECONFIG);
  CU_ASSERT(strstr(tg_last_error(), "too many values, maybe by aliases of aliases") != NULL);

  used = 0;
  for (int a = 0; a < 5000; a++) used += (size_t)sprintf(text + used, "k%d: 1\n", a);
  write_bytes("keys.yaml", text, used);
  CU_ASSERT(tg_config_read(in_folder("keys.yaml"), NULL, 0, &config) == TG_ECONFIG);
  CU_ASSERT(strstr(tg_last_error(), "keys.yaml:1001:1: a map with too many keys") != NULL);
  CU_ASSERT(config == NULL);
  free(text);
}

/* Oracle: an empty study lacks both required keys. */
static void an_empty_file_lacks_what_is_required(void) {
  static const char missing[] = "@c.yaml: output: is missing (result file to write)\n"
                                "@c.yaml: models: is missing (models, each with a source)";
  fails_with(TG_ECONFIG, "", NULL, missing);
  fails_with(TG_ECONFIG, "# nothing\n", NULL, missing);
  fails_with(TG_ECONFIG, "just text", NULL, "@c.yaml:1:1: the file: 'just text', expected a map of keys");
  fails_with(TG_ECONFIG, "[1, 2]", NULL, "@c.yaml:1:1: the file: a list, expected a map of keys");
}

/* Oracle: the mistakes counted by hand. */
static void all_mistakes_come_at_once(void) {
  fails_with(TG_ECONFIG,
             "models: [{source: {kind: synthetic, tokens: x, seed: -1, seed: 3}}]\n"
             "shuffle: {sed: 1}\n"
             "observables: {scales: [2, 3, y]}\n"
             "prompts: \"two\\nlines\"\n",
             NULL,
             "@c.yaml:1:1: output: is missing (result file to write)\n"
             "@c.yaml:1:45: models[0].source.tokens: 'x' is not an integer, expected 1 to 65536\n"
             "@c.yaml:1:54: models[0].source.seed: '-1' is out of range, expected 0 to 18446744073709551615\n"
             "@c.yaml:1:64: models[0].source.seed: the key is given twice, first in line 1\n"
             "@c.yaml:4:10: prompts: the text 'two?lines' is neither 'all', 'common' nor a list of integers\n"
             "@c.yaml:2:16: shuffle.sed: unknown key, did you mean 'seed'?\n"
             "@c.yaml:3:30: observables.scales: 'y' is not an integer, expected 2 to 65534\n"
             "@c.yaml:3:15: observables.scales: 3 is odd, expected even ranks n2 = 2 n1");
}

static int lines_of(const char *text) {
  int n = 1;
  for (; *text; text++) n += *text == '\n';
  return n;
}

/* Oracle: 50 lines and a count; with long lines fewer, and still the right count within the room of a message. */
static void a_long_list_of_mistakes_is_cut(void) {
  static char text[200000];
  size_t used = (size_t)sprintf(text, LEAST "prompts:\n");
  for (int a = 0; a < 73; a++) used += (size_t)sprintf(text + used, "- x%d\n", a);
  tg_config *config = NULL;
  CU_ASSERT(read_with(text, NULL, NULL, &config) == TG_ECONFIG);
  CU_ASSERT(lines_of(tg_last_error()) == 51);
  CU_ASSERT(strstr(tg_last_error(), "\nand 23 more") != NULL);

  used = (size_t)sprintf(text, "output: r.h5\nmodels: [{source: {kind: hdf5, files: [\n");
  for (int a = 0; a < 60; a++) used += (size_t)sprintf(text + used, "%0600d.h5,\n", a);
  sprintf(text + used, "]}}]\n");
  CU_ASSERT(read_with(text, NULL, NULL, &config) == TG_ENOINPUT);
  const char *tail = strstr(tg_last_error(), "\nand ");
  CU_ASSERT_FATAL(tail != NULL);
  CU_ASSERT(lines_of(tg_last_error()) - 1 + atoi(tail + 5) == 60);
  CU_ASSERT(strcmp(tail + strlen(tail) - 5, " more") == 0);
}

/* ---- overrides ---- */

/* Oracle: the same study written by hand. */
static void overrides_change_add_and_append(void) {
  static const char *const pairs[][2] = {
      {"shuffle.seed=5", LEAST "shuffle: {seed: 5}"},
      {"shuffle={seed: 5, levels: [1, 0]}", LEAST "shuffle: {seed: 5, levels: [0, 1]}"},
      {"observables.scales=[4, 2]", LEAST "observables: {scales: [2, 4]}"},
      {"output=q=1.h5", "output: q=1.h5\nmodels: [{source: {kind: synthetic}}]"},
      {"models.0.name=x", "output: r.h5\nmodels: [{name: x, source: {kind: synthetic}}]"},
      {"models[0].source.tokens=7", SOURCE("tokens: 7")},
      {"models.0.name=", LEAST},
      {"models.1.source.kind=synthetic",
       "output: r.h5\nmodels: [{source: {kind: synthetic}}, {source: {kind: synthetic}}]"},
      {"models=[{source: {kind: synthetic, width: 99}}]", SOURCE("width: 99")}};
  for (size_t a = 0; a < sizeof pairs / sizeof *pairs; a++) {
    tg_config *c = NULL, *expected = read_good(pairs[a][1]);
    const tg_status st = read_with(LEAST, pairs[a][0], NULL, &c);
    if (st != TG_OK) printf("\n    unexpected: %s", tg_last_error());
    CU_ASSERT_FATAL(st == TG_OK);
    CU_ASSERT_STRING_EQUAL(c->resolved, expected->resolved);
    tg_config_destroy(&c);
    tg_config_destroy(&expected);
  }
}

/* Oracle: the contract. The later one wins; a section without keys takes one; an override mends a mistake of the file. */
static void overrides_come_before_the_checks(void) {
  tg_config *c = NULL;
  CU_ASSERT_FATAL(read_with(LEAST "shuffle:\n", "shuffle.seed=5", "shuffle.seed=6", &c) == TG_OK);
  CU_ASSERT(c->shuffle_seed == 6);
  tg_config_destroy(&c);
  CU_ASSERT_FATAL(read_with(LEAST "prompts: wrong\n", "prompts=[3]", NULL, &c) == TG_OK);
  CU_ASSERT(c->n_prompt_ids == 1 && c->prompt_ids[0] == 3);
  tg_config_destroy(&c);
  CU_ASSERT_FATAL(read_with("", "output=r.h5", "models=[{source: {kind: synthetic}}]", &c) == TG_OK);
  tg_config_destroy(&c);
}

/* Oracle: the contract: each begins with the override as it was given. */
static void mistakes_of_overrides_name_them(void) {
  static const bad list[] = {
      {"shuffle.seed=x", "shuffle.seed: 'x' is not an integer, expected 0 to 18446744073709551615"},
      {"shuffle.sed=1", "shuffle.sed: unknown key, did you mean 'seed'?"},
      {"observables.scales=[2, 2]", "observables.scales: 2 is listed twice"},
      {"models.0.source.tokens='3'", "models[0].source.tokens: the text '3' is not an integer, expected 1 to 65536"},
      {"models.2.name=x", "'models.2.name' leads nowhere at '2'"},
      {"models.x.name=x", "'models.x.name' leads nowhere at 'x'"},
      {"models.-1.name=x", "'models.-1.name' leads nowhere at '-1'"},
      {"models.99999999999999999999.name=x",
       "'models.99999999999999999999.name' leads nowhere at '99999999999999999999'"},
      {"output.x=1", "'output.x' leads nowhere at 'x'"},
      {"shuffle..seed=1", "'shuffle..seed' leads nowhere at ''"},
      {"shuffle.seed", "expected KEY=VALUE"},
      {"=1", "expected KEY=VALUE"},
      {"", "expected KEY=VALUE"},
      {"prompts=[1", "YAML: did not find expected ',' or ']', while parsing a flow sequence"},
      {"prompts=---\n1\n---\n2", "a second document, expected one"},
      {"output=", "output: nothing is not a path"}};
  for (size_t a = 0; a < sizeof list / sizeof *list; a++) {
    char message[ROOM];
    snprintf(message, sizeof message, "--set %s: %s", list[a].text, list[a].message);
    for (char *at = message; *at; at++)
      if (*at == '\n') *at = '?';
    fails_with(TG_ECONFIG, LEAST, list[a].text, message);
  }
  char deep[4096] = "a";
  for (int a = 0; a < 1000; a++) strcat(deep, ".a");
  strcat(deep, "=1");
  tg_config *config = NULL;
  CU_ASSERT(read_with(LEAST, deep, NULL, &config) == TG_ECONFIG);
}

/* ---- files ---- */

static void check_files(const char *files, const char *const *expected, int n) {
  char text[ROOM];
  snprintf(text, sizeof text, HDF5("files: %s"), files);
  tg_config *c = read_good(text);
  const tg_source_config *s = &c->models[0].source;
  CU_ASSERT(s->n_files == n);
  for (int a = 0; a < n && a < s->n_files; a++) CU_ASSERT_STRING_EQUAL(s->files[a], in_folder(expected[a]));
  tg_config_destroy(&c);
}

/* Oracle: bytewise order by hand: digits, capitals, '_', small letters; the order of the list comes first. */
static void globs_are_sorted_bytewise(void) {
  static const char *const names[] = {"g/b.h5", "g/a.h5", "g/B.h5", "g/_.h5", "g/10.h5", "g/9.h5", "z.h5", "s [1]*.h5"};
  mkdir(in_folder("g"), 0755);
  for (int a = 0; a < 8; a++) write_text(names[a], "");
  check_files("[z.h5, g/*.h5]", (const char *[]){"z.h5", "g/10.h5", "g/9.h5", "g/B.h5", "g/_.h5", "g/a.h5", "g/b.h5"},
              7);
  check_files("'*/[ab].h5'", (const char *[]){"g/a.h5", "g/b.h5"}, 2);
  check_files("g/../z.h5", (const char *[]){"z.h5"}, 1);
  check_files("['s [1]*.h5']", (const char *[]){"s [1]*.h5"}, 1); /* a name, not a pattern */
  char absolute[2 * ROOM];
  snprintf(absolute, sizeof absolute, "['%s/g/?.h5']", folder);
  check_files(absolute, (const char *[]){"g/9.h5", "g/B.h5", "g/_.h5", "g/a.h5", "g/b.h5"}, 5);
}

/* Oracle: the file that was put there. The directory's own name is no pattern. */
static void the_directory_may_have_a_strange_name(void) {
  mkdir(in_folder("d[x]*\\"), 0755);
  write_text("d[x]*\\/q.h5", "");
  write_text("d[x]*\\/c.yaml", HDF5("files: [q*.h5]"));
  tg_config *c = NULL;
  CU_ASSERT_FATAL(tg_config_read(in_folder("d[x]*\\/c.yaml"), NULL, 0, &c) == TG_OK);
  CU_ASSERT_STRING_EQUAL(c->models[0].source.files[0], in_folder("d[x]*\\/q.h5"));
  tg_config_destroy(&c);
}

/* Oracle: the contract's exit status: 66 only when nothing but input is missing. */
static void missing_files_are_named(void) {
  write_inputs();
  mkdir(in_folder("g"), 0755);
  CU_ASSERT(symlink("nowhere", in_folder("dangling.h5")) == 0);
  fails_with(TG_ENOINPUT, HDF5("files: [b.h5, no.h5]"), NULL,
             "@c.yaml:2:46: models[0].source.files: @no.h5: No such file or directory");
  fails_with(TG_ENOINPUT, HDF5("files: [no*.h5]"), NULL,
             "@c.yaml:2:40: models[0].source.files: no file matches @no*.h5");
  fails_with(TG_ENOINPUT, HDF5("files: 'dang*.h5'"), NULL,
             "@c.yaml:2:39: models[0].source.files: @dangling.h5: No such file or directory");
  fails_with(TG_ECONFIG, HDF5("files: [no.h5]") "prompts: x\n", NULL,
             "@c.yaml:2:40: models[0].source.files: @no.h5: No such file or directory\n"
             "@c.yaml:3:10: prompts: 'x' is neither 'all', 'common' nor a list of integers");
  fails_with(TG_ENOINPUT, HDF5("files: b.h5"), "models.0.source.files=no.h5",
             "--set models.0.source.files=no.h5: models[0].source.files: @no.h5: No such file or directory");
  write_text("r.h5", "");
  CU_ASSERT(symlink("r.h5", in_folder("link.h5")) == 0);
  static const bad list[] = {{HDF5("files: [r.h5]"), "1:9: output: @r.h5 is also an input, of models[0]"},
                             {HDF5("files: [link.h5]"), "1:9: output: @r.h5 is also an input, of models[0]"},
                             {HDF5("files: [g]"), "2:40: models[0].source.files: @g is a directory, expected a file"},
                             {HDF5("files: [b.h5, ./b.h5]"), "2:32: models[0].source.files: @b.h5 is listed twice"},
                             {HDF5("files: []"), "2:32: models[0].source.files: the list is empty, expected paths"},
                             {HDF5("files: {a: b}"), "2:32: models[0].source.files: a map is not a path"},
                             {HDF5("files: [[b.h5]]"), "2:40: models[0].source.files: a list is not a path"},
                             {HDF5("files: ['']"), "2:40: models[0].source.files: the text '' is not a path"}};
  ALL_FAIL(list);
}

/* Oracle: the contract's keys, defaults and exit statuses, by hand; the echo says all of it again. */
static void models_that_are_run_are_described(void) {
  write_text("m.gguf", "");
  write_text("p.jsonl", "");
  tg_config *c = read_good(LLAMA("model: m.gguf, prompts: p.jsonl"));
  const tg_source_config *s = &c->models[0].source;
  CU_ASSERT(s->kind == TG_SOURCE_LLAMA && s->tokens == 1024 && s->threads == 1 && s->gpu_layers == 0 &&
            s->n_devices == 0 && !s->keep_short);
  CU_ASSERT_STRING_EQUAL(s->model_file, in_folder("m.gguf"));
  CU_ASSERT(s->n_files == 1 && strcmp(s->files[0], in_folder("p.jsonl")) == 0);
  tg_config *again = read_good(c->resolved);
  CU_ASSERT_STRING_EQUAL(again->resolved, c->resolved);
  tg_config_destroy(&again);
  tg_config_destroy(&c);
  fails_with(
      TG_ECONFIG, "output: r.h5\nmodels: [{source: {kind: llama}}]", NULL,
      "@c.yaml:2:11: models[0].source.model: is missing (model file, GGUF; of several the first)\n"
      "@c.yaml:2:11: models[0].source.prompts: is missing (JSON lines (.jsonl) with id and text or token_ids, or "
      "text files)");
  fails_with(TG_ENOINPUT, LLAMA("model: no.gguf, prompts: no*.txt"), NULL,
             "@c.yaml:2:40: models[0].source.model: @no.gguf: No such file or directory\n"
             "@c.yaml:2:58: models[0].source.prompts: no file matches @no*.txt");
  static const bad list[] = {
      {LLAMA("model: m.gguf, prompts: p.jsonl, tokens: 1"),
       "2:74: models[0].source.tokens: '1' is out of range, expected 2 to 65536"},
      {LLAMA("model: m.gguf, prompts: p.jsonl, devices: []"),
       "2:66: models[0].source.devices: an empty list, expected auto or a list of numbers of GPUs"},
      {LLAMA("model: m.gguf, prompts: p.jsonl, devices: all"),
       "2:75: models[0].source.devices: 'all' is unknown, expected auto or a list of numbers of GPUs"},
      {LLAMA("model: m.gguf, prompts: p.jsonl, devices: [1, 1]"), "2:79: models[0].source.devices: 1 is listed twice"},
      {LLAMA("model: m.gguf, prompts: p.jsonl, short_prompts: pad"),
       "2:81: models[0].source.short_prompts: 'pad' is unknown, expected leave_out or keep"},
      {LLAMA("model: m.gguf, prompts: p.jsonl, width: 3"),
       "2:73: models[0].source.width: a source of kind llama has no such key"},
      {LLAMA("model: m.gguf, prompts: p.jsonl, thread: 3"),
       "2:74: models[0].source.thread: unknown key, did you mean 'threads'?"},
      {LLAMA("model: [m.gguf], prompts: p.jsonl"), "2:33: models[0].source.model: a list is not a path"}};
  ALL_FAIL(list);
}

/* Oracle: the contract: 66, and the path in the message. */
static void a_config_that_cannot_be_read_is_a_missing_input(void) {
  tg_config *config = NULL;
  CU_ASSERT(tg_config_read(in_folder("none.yaml"), NULL, 0, &config) == TG_ENOINPUT);
  same_message("@none.yaml: No such file or directory");
  CU_ASSERT(tg_config_read(folder, NULL, 0, &config) == TG_ENOINPUT);
  char message[2 * ROOM];
  snprintf(message, sizeof message, "%s: is a directory, expected a config file", folder);
  same_message(message);
  write_text("secret.yaml", LEAST);
  CU_ASSERT(chmod(in_folder("secret.yaml"), 0) == 0);
  if (geteuid() != 0) { /* root may read everything */
    CU_ASSERT(tg_config_read(in_folder("secret.yaml"), NULL, 0, &config) == TG_ENOINPUT);
    same_message("@secret.yaml: Permission denied");
  }
  CU_ASSERT(config == NULL);
}

/* Oracle: the path by hand. */
static void directories_lose_their_last_slash(void) {
  tg_config *c = read_good(LEAST "figures: {directory: plots//}\n");
  CU_ASSERT_STRING_EQUAL(c->figures_directory, in_folder("plots"));
  tg_config_destroy(&c);
}

int main(void) {
  static CU_TestInfo tests[] = {
      {"defaults are the documented ones", defaults_are_the_documented_ones},
      {"every key is read", every_key_is_read},
      {"keys of summaries are read", keys_of_summaries_are_read},
      {"booleans have six words", booleans_have_six_words},
      {"other ways to write it mean the same", other_ways_to_write_it_mean_the_same},
      {"reading the echo again changes nothing", reading_the_echo_again_changes_nothing},
      {"a long list survives", a_long_list_survives},
      {"the echo holds every key", the_echo_holds_every_key},
      {"only keys that change values are in the values", only_keys_that_change_values_are_in_the_values},
      {"numbers are strict", numbers_are_strict},
      {"lists are strict", lists_are_strict},
      {"keys are checked", keys_are_checked},
      {"contradictions are found", contradictions_are_found},
      {"what is no YAML is found", what_is_no_yaml_is_found},
      {"hostile files end soon", hostile_files_end_soon},
      {"an empty file lacks what is required", an_empty_file_lacks_what_is_required},
      {"all mistakes come at once", all_mistakes_come_at_once},
      {"a long list of mistakes is cut", a_long_list_of_mistakes_is_cut},
      {"overrides change, add and append", overrides_change_add_and_append},
      {"overrides come before the checks", overrides_come_before_the_checks},
      {"mistakes of overrides name them", mistakes_of_overrides_name_them},
      {"globs are sorted bytewise", globs_are_sorted_bytewise},
      {"the directory may have a strange name", the_directory_may_have_a_strange_name},
      {"missing files are named", missing_files_are_named},
      {"models that are run are described", models_that_are_run_are_described},
      {"a config that cannot be read is a missing input", a_config_that_cannot_be_read_is_a_missing_input},
      {"directories lose their last slash", directories_lose_their_last_slash},
      CU_TEST_INFO_NULL};
  const char *parent = getenv("TMPDIR");
  char name[ROOM], command[2 * ROOM];
  snprintf(name, sizeof name, "%s/test-config-XXXXXX", parent ? parent : "/tmp");
  if (!mkdtemp(name) || !realpath(name, folder)) return EXIT_FAILURE;
  const int verdict = suite_run("config", tests);
  snprintf(command, sizeof command, "rm -rf '%s'", folder);
  return system(command) == 0 ? verdict : EXIT_FAILURE;
}
