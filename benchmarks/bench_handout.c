/* What handing out the work costs: measured on the real src/parallel/handout.c, and simulated for ranks that are not here.
 *
 *   mpirun -n R bench_handout latency TICK_MS SECONDS   from question to answer while rank 0 computes and looks every TICK_MS
 *   mpirun -n R bench_handout service ROUNDS            of an answer, all ranks asking at once; of a look that finds nothing
 *   mpirun -n R bench_handout real PROMPTS LEVELS LAYERS CLOUD_MS SPREAD REPEATS    slept shards beside their simulation
 *   bench_handout simulate CLOUD_MS SPREAD|CLOUD.csv    1 to 8192 ranks, the full study and 50 prompts of it
 *
 * Shards are slept, so ranks may share cores. SPREAD: standard deviation of a cloud's seconds by their mean; CLOUD.csv: rows
 * "all" of bench_cloud instead, scaled to the mean CLOUD_MS. Costs for real and simulate come from the environment:
 * TICK_MS, PROBE_US, SERVICE_US, LATENCY_US (one way), REST_US. CSV on stdout. */
#include "base/memory.h"
#include "base/timer.h"
#include "handout_model.h"
#include "parallel/comm.h"
#include "parallel/handout.h"
#include "version.h"
#include <inttypes.h>
#include <math.h>
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>

enum { MAX_SAMPLES = 20000, MAX_TIMES = 100000 };
static const uint64_t SEED = 20250126;
static const int64_t ENDLESS = (int64_t)1 << 40;
static int rank, ranks;

/* ---- tools ---- */

static void check(tg_status st) {
  if (st != TG_OK) tg_comm_abort(st);
}

static void sleep_until(double end) {
  const double now = tg_seconds(), left = end - now;
  if (left > 0.0) nanosleep(&(struct timespec){(time_t)left, (long)(1e9 * (left - floor(left)))}, NULL);
}

static void compute_until(double end) {
  while (tg_seconds() < end) continue;
}

static double variable(const char *name, double otherwise) {
  const char *text = getenv(name);
  return text ? atof(text) : otherwise;
}

static handout_costs costs_of_environment(void) {
  return (handout_costs){1e-3 * variable("TICK_MS", 4.0), 1e-6 * variable("PROBE_US", 1.0),
                         1e-6 * variable("SERVICE_US", 5.0), 1e-6 * variable("LATENCY_US", 12.0),
                         1e-6 * variable("REST_US", 201.0)};
}

static int ascending(const void *a, const void *b) {
  const double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

/* A row of n samples in seconds. Sorts them. */
static void print_samples(const char *what, double tick, double *x, int n) {
  double sum = 0.0;
  if (n == 0) return;
  qsort(x, (size_t)n, sizeof *x, ascending);
  for (int a = 0; a < n; a++) sum += x[a];
  printf("%s,%d,%g,%d,%.3g,%.3g,%.3g,%.3g,%s\n", what, ranks, 1e3 * tick, n, sum / n, x[n / 2], x[(int)(0.99 * n)],
         x[n - 1], TG_COMMIT);
}

static void print_sample_head(void) {
  if (rank == 0) printf("what,ranks,tick_ms,samples,mean_s,p50_s,p99_s,max_s,commit\n");
}

/* Collective. The samples of all ranks, on rank 0. */
static int gather(const double *mine, int n, double **all) {
  int *counts = NULL, *starts = NULL, total = 0;
  check(TG_ALLOC(ranks, &counts));
  check(TG_ALLOC(ranks, &starts));
  MPI_Gather(&n, 1, MPI_INT, counts, 1, MPI_INT, 0, MPI_COMM_WORLD);
  for (int r = 0; r < ranks; total += counts[r++]) starts[r] = total;
  check(TG_ALLOC(total, all));
  MPI_Gatherv(mine, n, MPI_DOUBLE, *all, counts, starts, MPI_DOUBLE, 0, MPI_COMM_WORLD);
  free(counts);
  free(starts);
  return total;
}

/* ---- latency ---- */

/* Asks at times that have nothing to do with rank 0's; returns the seconds to each answer. */
static int ask_now_and_then(tg_handout *h, double tick, double *x) {
  int n = 0;
  srand((unsigned)rank);
  while (tg_handout_next(h, 0) >= 0 && n < MAX_SAMPLES) {
    const double asked = tg_seconds(), enough = asked + 20.0 * tick + 0.1;
    while (!tg_handout_ready(h) && tg_seconds() < enough) sleep_until(tg_seconds() + 2e-6);
    if (tg_handout_ready(h)) x[n++] = tg_seconds() - asked;
    sleep_until(tg_seconds() + (2.0 * tick + 1e-3) * rand() / RAND_MAX);
  }
  while (tg_handout_next(h, 0) >= 0) continue;
  return n;
}

static void compute_and_look(tg_handout *h, double tick, double seconds) {
  for (const double end = tg_seconds() + seconds; tg_seconds() < end; tg_handout_poll(h))
    compute_until(tg_seconds() + tick);
  tg_handout_stop(h);
}

static void measure_latency(double tick, double seconds) {
  static double x[MAX_SAMPLES];
  double *all = NULL;
  tg_handout *h = NULL;
  int n = 0;
  check(tg_handout_create(MPI_COMM_WORLD, ENDLESS, &h));
  if (rank == 0)
    compute_and_look(h, tick, seconds);
  else
    n = ask_now_and_then(h, tick, x);
  tg_handout_finish(h, 0, (tg_tick){NULL, NULL});
  tg_handout_destroy(&h);
  n = gather(x, n, &all);
  print_sample_head();
  if (rank == 0) print_samples("request", tick, all, n);
  free(all);
}

/* ---- service ---- */

/* Rank 0 lets all others ask, then answers them in one look. */
static int answer_all(tg_handout *h, int rounds, double *x) {
  int n = 0;
  for (int a = 0; a < rounds && n < MAX_SAMPLES; a++) {
    sleep_until(tg_seconds() + 2e-3 + 2e-4 * ranks);
    const int64_t before = tg_handout_given(h);
    const double start = tg_seconds();
    tg_handout_poll(h);
    const int64_t answered = tg_handout_given(h) - before;
    if (answered > 0) x[n++] = (tg_seconds() - start) / (double)answered;
  }
  tg_handout_stop(h);
  sleep_until(tg_seconds() + 0.1);
  tg_handout_poll(h); /* all are dismissed */
  return n;
}

static int look_in_vain(tg_handout *h, double *x) {
  int n = 0;
  for (; n < 1000; n++) {
    const double start = tg_seconds();
    tg_handout_poll(h);
    x[n] = tg_seconds() - start;
  }
  return n;
}

static void measure_service(int rounds) {
  static double x[MAX_SAMPLES], nothing[MAX_SAMPLES];
  tg_handout *h = NULL;
  int n = 0, n_nothing = 0;
  check(tg_handout_create(MPI_COMM_WORLD, ENDLESS, &h));
  if (rank == 0) {
    n = answer_all(h, rounds, x);
    n_nothing = look_in_vain(h, nothing);
  } else {
    while (tg_handout_next(h, 0) >= 0) continue;
    sleep_until(tg_seconds() + 0.3); /* not to disturb */
  }
  tg_handout_finish(h, 0, (tg_tick){NULL, NULL});
  tg_handout_destroy(&h);
  print_sample_head();
  if (rank == 0) print_samples("answer", 0.0, x, n);
  if (rank == 0) print_samples("look", 0.0, nothing, n_nothing);
}

/* ---- real and simulated ---- */

/* Sleeps; rank 0 looks for questions meanwhile. */
static void pass(tg_handout *h, double end, double tick) {
  for (double now; rank == 0 && (now = tg_seconds()) + tick < end; tg_handout_poll(h)) sleep_until(now + tick);
  sleep_until(end);
  tg_handout_poll(h);
}

/* The loop of src/run/worker.c with slept shards. The end of this rank's last one. */
static double sleep_shards(tg_handout *h, const study_size *study, const tg_shard_plan *plan, const cloud_times *times,
                           double tick) {
  int64_t ticket = tg_handout_next(h, 0);
  double ended = tg_seconds();
  while (ticket >= 0) {
    double last, seconds = seconds_of_shard(times, study, &plan->shards[ticket], &last);
    const double end = tg_seconds() + seconds;
    pass(h, end - last, tick);
    const int ahead = tg_handout_ready(h);
    const int64_t next = ahead ? tg_handout_next(h, 0) : -1;
    pass(h, end, tick);
    ended = tg_seconds();
    ticket = ahead ? next : tg_handout_next(h, 0);
  }
  return ended;
}

static void run_beside_simulation(const study_size *study, const cloud_times *times, int repeats) {
  const handout_costs costs = costs_of_environment();
  tg_shard_plan plan;
  simulated expected;
  check(plan_study(study, ranks, &plan));
  check(simulate_handout(study, &plan, ranks, times, &costs, &expected));
  if (rank == 0)
    printf("ranks,clouds,shards,cloud_ms,spread,repeat,simulated_s,measured_s,measured_by_simulated,commit\n");
  for (int a = 0; a < repeats; a++) {
    tg_handout *h = NULL;
    MPI_Barrier(MPI_COMM_WORLD);
    double start = tg_seconds();
    check(tg_handout_create(MPI_COMM_WORLD, plan.n, &h));
    double seconds = sleep_shards(h, study, &plan, times, costs.tick) - start;
    tg_handout_finish(h, 0, (tg_tick){NULL, NULL});
    tg_handout_destroy(&h);
    MPI_Allreduce(MPI_IN_PLACE, &seconds, 1, MPI_DOUBLE, MPI_MAX, MPI_COMM_WORLD);
    if (rank == 0)
      printf("%d,%d,%" PRId64 ",%g,%g,%d,%.4f,%.4f,%.4f,%s\n", ranks, study->prompts * study->levels * study->layers,
             plan.n, 1e3 * times->mean, times->spread, a, expected.makespan, seconds, seconds / expected.makespan,
             TG_COMMIT);
  }
  tg_shard_plan_free(&plan);
}

/* ---- simulated alone ---- */

/* Seconds of rows "all" of a CSV file of bench_cloud, scaled to times->mean (0: as they are). */
static void read_times(const char *path, cloud_times *times, double *x) {
  FILE *file = fopen(path, "r");
  char line[1024];
  int n = 0;
  double sum = 0.0;
  while (file && n < MAX_TIMES && fgets(line, sizeof line, file)) {
    const char *field = line;
    if (strncmp(line, "all,", 4) != 0) continue;
    for (int a = 0; a < 9 && field; a++) field = strchr(field, ',') ? strchr(field, ',') + 1 : NULL;
    if (field) sum += x[n++] = atof(field);
  }
  if (file) fclose(file);
  if (n == 0) return;
  const double scale = times->mean > 0.0 ? times->mean * n / sum : 1.0;
  double squares = 0.0;
  times->mean = scale * sum / n;
  for (int a = 0; a < n; a++) {
    x[a] *= scale;
    squares += (x[a] - times->mean) * (x[a] - times->mean);
  }
  times->spread = sqrt(squares / n) / times->mean;
  times->measured = x;
  times->n_measured = n;
}

static void simulate_one(const char *name, const study_size *study, int on, const cloud_times *times) {
  const handout_costs costs = costs_of_environment();
  tg_shard_plan plan;
  simulated s;
  check(plan_study(study, on, &plan));
  check(simulate_handout(study, &plan, on, times, &costs, &s));
  double cost = 0.0; /* with the layers that cuts repeat */
  for (int64_t a = 0; a < plan.n; a++) cost += plan.shards[a].cost;
  const double busy = s.busy / (on * s.makespan);
  printf("%s,%d,%g,%g,%g,%g,%g,%g,%" PRId64 ",%d,%.5g,%.5f,%.5f,%.6g,%.6f,%.5g,%s\n", name, on, 1e3 * times->mean,
         times->spread, 1e3 * costs.tick, 1e6 * costs.probe, 1e6 * costs.service, 1e6 * costs.latency, plan.n,
         plan.pieces, s.makespan, busy, busy * plan.work / cost, (double)s.requests / s.makespan,
         s.answering / s.makespan, on * s.makespan - s.busy - s.answering, TG_COMMIT);
  tg_shard_plan_free(&plan);
}

static void simulate_all(const cloud_times *times) {
  static const int on[] = {1, 2, 16, 64, 192, 1024, 8192};
  static const study_size full = {2244, 6, 33}, part = {50, 6, 33};
  printf("study,ranks,cloud_ms,spread,tick_ms,probe_us,service_us,latency_us,shards,pieces,makespan_s,busy_share,"
         "useful_share,requests_per_s,answering_share,idle_s,commit\n");
  for (size_t a = 0; a < sizeof on / sizeof *on; a++) simulate_one("full", &full, on[a], times);
  for (size_t a = 0; a < sizeof on / sizeof *on; a++) simulate_one("50 prompts", &part, on[a], times);
}

static int run(int argc, char **argv) {
  static double measured[MAX_TIMES];
  const char *what = argc > 1 ? argv[1] : "";
  if (strcmp(what, "latency") == 0 && argc == 4 && ranks > 1) {
    measure_latency(1e-3 * atof(argv[2]), atof(argv[3]));
  } else if (strcmp(what, "service") == 0 && argc == 3 && ranks > 1) {
    measure_service(atoi(argv[2]));
  } else if (strcmp(what, "real") == 0 && argc == 8) {
    const study_size study = {atoi(argv[2]), atoi(argv[3]), atoi(argv[4])};
    const cloud_times times = {.mean = 1e-3 * atof(argv[5]), .spread = atof(argv[6]), .seed = SEED};
    run_beside_simulation(&study, &times, atoi(argv[7]));
  } else if (strcmp(what, "simulate") == 0 && argc == 4) {
    cloud_times times = {.mean = 1e-3 * atof(argv[2]), .spread = atof(argv[3]), .seed = SEED};
    read_times(argv[3], &times, measured);
    if (rank == 0) simulate_all(&times);
  } else {
    if (rank == 0)
      fprintf(stderr, "usage: mpirun -n R bench_handout latency TICK_MS SECONDS | service ROUNDS | "
                      "real PROMPTS LEVELS LAYERS CLOUD_MS SPREAD REPEATS\n"
                      "       bench_handout simulate CLOUD_MS SPREAD|CLOUD.csv\n");
    return TG_EUSAGE;
  }
  return 0;
}

int main(int argc, char **argv) {
  MPI_Init(&argc, &argv);
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &ranks);
  prctl(PR_SET_TIMERSLACK, 1000); /* ns: sleeps end when they should */
  const int code = run(argc, argv);
  MPI_Finalize();
  return code;
}
