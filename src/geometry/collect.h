/* Picking the few values of a row that lie in a range. Local: arithmetic only. */
#ifndef TG_COLLECT_H
#define TG_COLLECT_H

#include <stdint.h>

/** places [m] out: the places a, ascending, with first <= v[a] <= last; returns how many. Without a branch a value. */
int tg_collect(const float *v, int m, float first, float last, int32_t *places);

#endif
