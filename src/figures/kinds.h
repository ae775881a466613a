/* Inside of figures/: the kinds of figures, each writing its panels. figures.c calls them in turn. */
#ifndef TG_FIGURE_KINDS_H
#define TG_FIGURE_KINDS_H

#include "figures/set.h"

tg_status tg_figures_curves(tg_figure_set *set);       /* 2, 3, 5, 8 to 16: observables by layer */
tg_status tg_figures_normalized(tg_figure_set *set);   /* 15, over its median */
tg_status tg_figures_shuffle(tg_figure_set *set);      /* 1 */
tg_status tg_figures_angles(tg_figure_set *set);       /* 4 */
tg_status tg_figures_correlations(tg_figure_set *set); /* 6, 7, 17, 18, 20, table 1 */

#endif
