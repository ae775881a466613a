#include "results/reductions.h"

const char *const tg_moment_names[TG_N_MOMENTS] = {"n", "mean", "std", "median", "q25", "q75"};

#define L     TG_AXIS_LAYER
#define SCALE TG_AXIS_SCALE

/* clang-format off */
const tg_correlation_field tg_correlation_fields[TG_N_CORRELATIONS] = {
    /* path              x                               y          axes              x                      y                 ln x */
    {"id_loss",          "ln intrinsic dimension",       "loss",    2, {L, SCALE},    TG_FIELD_GRIDE_VALUE,  TG_FIELD_LOSS,    true},
    {"id_loss_raw",      "intrinsic dimension",          "loss",    2, {L, SCALE},    TG_FIELD_GRIDE_VALUE,  TG_FIELD_LOSS,    false},
    {"logit_id_entropy", "ln logit intrinsic dimension", "entropy", 1, {SCALE},       TG_FIELD_LOGITS_VALUE, TG_FIELD_ENTROPY, true},
    {"entropy_loss",     "entropy",                      "loss",    0, {L},           TG_FIELD_ENTROPY,      TG_FIELD_LOSS,    false},
};
/* clang-format on */

const char *const tg_r_names[TG_N_R] = {"pearson",          "pearson_p",    "pearson_low", "pearson_high",
                                        "pearson_boot_std", "pearson_p_bh", "spearman",    "spearman_p",
                                        "spearman_p_bh",    "partial",      "partial_p",   "n"};
const char *const tg_r_long_names[TG_N_R] = {
    "Pearson r over prompts",
    "two-sided p of Pearson r, Student's t with n - 2 degrees of freedom",
    "lower end of the 95 % interval of Pearson r, Fisher's z",
    "upper end of the 95 % interval of Pearson r, Fisher's z",
    "population standard deviation of Pearson r over bootstrap resamples of prompts",
    "p of Pearson r adjusted by Benjamini-Hochberg over layers 1..L",
    "Spearman rho over prompts, average ranks",
    "two-sided p of Spearman rho",
    "p of Spearman rho adjusted by Benjamini-Hochberg over layers 1..L",
    "partial Pearson r given ln length, where lengths differ",
    "two-sided p of the partial r, n - 3 degrees of freedom",
    "number of complete pairs"};
