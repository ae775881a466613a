/* OpenBLAS as this program wants it. */
#ifndef TG_BLAS_H
#define TG_BLAS_H

/** Call first in main. OpenBLAS reads its environment when it is loaded, so where something is to be set the program sets it and starts
 *  itself once more; what the user has set stays.
 *  - OPENBLAS_NUM_THREADS=1: else it starts a thread for every core in every rank, on a node of 192 cores 36 864 of them. More threads
 *    inside a rank are asked for by compute.blas_threads.
 *  - OPENBLAS_CORETYPE: a CPU that is newer than the library is taken for a Prescott of 2004, and loss and entropy take three times as long; the
 *    newest core whose instructions the CPU has is named instead.
 *  argv  of main */
void tg_blas_prepare(char **argv);

#endif
