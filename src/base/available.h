/* Memory that can still be had. Local. */
#ifndef TG_AVAILABLE_H
#define TG_AVAILABLE_H

/** Bytes: the system's estimate, or less where a control group (version 1 or 2, this process's or one that it lies in) allows less. Page
 *  cache that nobody has used lately counts as free, as the kernel gives it back. Infinite where nothing is known. */
double tg_available_bytes(void);

#endif
