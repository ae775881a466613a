/* What an observable of a cloud is: what it needs, and how it is measured from that. One file each; observables.def lists them,
 * and measure.c goes over the list. Local. */
#ifndef TG_OBSERVABLE_H
#define TG_OBSERVABLE_H

#include "base/tick.h"
#include "geometry/cloud.h"
#include "geometry/gram.h"
#include "geometry/metric.h"
#include "geometry/neighbors.h"
#include "geometry/row.h"
#include "geometry/scan.h"

enum {
  TG_OBSERVE_ALWAYS = -1, /* of fields that belong to no observable */
#define OBSERVABLE(id, name, needs) TG_OBSERVE_##id,
#include "geometry/observables.def"
#undef OBSERVABLE
  TG_N_OBSERVABLES
};
_Static_assert(TG_N_OBSERVABLES < 64, "tg_row_shape has a bit for each");

/** All of them. */
#define TG_OBSERVE_ALL (((uint64_t)1 << TG_N_OBSERVABLES) - 1)

static inline bool tg_is_observed(const tg_row_shape *shape, int observable) {
  return shape->observables >> observable & 1;
}

/** What is found before an observable is measured, where one that is asked for needs it. All of it is exact. */
typedef enum {
  TG_NEED_LISTS = 1,   /* index, stride: neighbor lists of all tokens, to the shape's k */
  TG_NEED_BEFORE = 2,  /* before: the lists of the layer before, too */
  TG_NEED_CORNERS = 4, /* index to k = 2 at least, corner_d2, corner_stride, dot: a token and its two nearest */
  TG_NEED_POINTS = 8,  /* points, point_d2: distances of the distinct tokens at the ranks of the scales */
  TG_NEED_GRAM = 16,   /* gram: the observable's `rows` sees every row of the fast pass, with its error */
  TG_NEED_METRIC = 32  /* metric, gram, search: a fast pass of its own over other vectors, in the last layer */
} tg_need;

/** A finite cloud as an observable sees it. Borrowed for the call. A member that nobody asked for is NULL. */
typedef struct {
  const tg_row_shape *shape;
  const tg_cloud *cloud;
  const tg_scan *scan;
  tg_gram *gram;           /* in `rows`: rows first..first+rows-1 are there */
  const int32_t *index;    /* [n][stride]: tokens by ascending exact distance, self left out */
  int stride;              /* at most n - 1 */
  const int32_t *before;   /* [n][stride]; NULL where no layer came before, or one of another length or not finite */
  const double *corner_d2; /* [n][corner_stride]: squared distances to the first and the second neighbor */
  int corner_stride;
  const double *dot;                /* [n]: (x_nn1 - x_i) . (x_nn2 - x_i) */
  int n_distinct;                   /* how many tokens are not one that came before; always there */
  const int32_t *distinct;          /* [n_distinct]: those */
  const tg_neighbors_query *points; /* the search for distances among the distinct tokens, for its ranks */
  const double *point_d2;           /* [n_distinct][points->n_ranks] */
  const tg_metric *metric;          /* NULL but in the last layer of a model that has one */
  tg_neighbors_scratch *search;
  tg_tick tick;
  int64_t *float64_pairs; /* count of pairs that a search of one's own computed */
  double *numbers;        /* [3 n] scratch */
} tg_view;

/** How it is measured. Scratch of its own is made once, for clouds of up to n tokens (the shape's) and width d, one per thread;
 *  all three are NULL where there is none.
 *  start    before the first rows of the Gram matrix; NULL: nothing to do
 *  rows     for every set of rows that v->gram holds in turn; NULL unless it needs them
 *  measure  fills the observable's fields of a row that was cleared, and adds to its reason. errors TG_EINTERNAL */
typedef struct {
  tg_status (*create)(const tg_row_shape *shape, int d, void **scratch);
  void (*destroy)(void *scratch);
  double (*bytes)(const tg_row_shape *shape, int d);
  void (*start)(void *scratch, const tg_view *v);
  void (*rows)(void *scratch, const tg_view *v);
  tg_status (*measure)(void *scratch, const tg_view *v, tg_row *row);
} tg_observable;

/** An observable as it is listed. */
typedef struct {
  const char *name;
  unsigned needs; /* bits of tg_need */
  const tg_observable *how;
} tg_observable_entry;
extern const tg_observable_entry tg_observables[TG_N_OBSERVABLES];

/** What all that a shape asks for needs. */
unsigned tg_needs_of(const tg_row_shape *shape);

#endif
