/* TG_CLONES before a hot loop's function: compiled for three instruction sets, the best one the CPU has is chosen at
 * load time. Sums keep a fixed order that does not depend on the choice: lanes are written out, products and sums are
 * contracted only where the source says fma. */
#ifndef TG_CLONES_H
#define TG_CLONES_H

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && !defined(__SANITIZE_ADDRESS__) &&               \
    !defined(__SANITIZE_THREAD__)
#define TG_CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define TG_CLONES
#endif

#endif
