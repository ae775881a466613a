/* Reads one cloud ahead: while a rank measures a layer, a thread of its own reads the next. Local: no communication.
 * While a read is under way nobody else may call HDF5 or the source: tg_reader_wait first. */
#ifndef TG_READER_H
#define TG_READER_H

#include "base/tick.h"
#include "source/source.h"

typedef struct tg_reader tg_reader;

/** out  caller destroys; destroying waits for a read under way. errors TG_EINTERNAL */
tg_status tg_reader_create(tg_source *source, tg_reader **out);
void tg_reader_destroy(tg_reader **reader); /* safe on NULL, leaves NULL */

/** Starts reading a cloud. Only one may be under way; sources that are not worth a thread are read in tg_reader_wait. */
void tg_reader_start(tg_reader *reader, int64_t p, int s, int l);

/** Waits for the cloud that was started, as a view that stays valid until the next tg_reader_wait.
 *  tick    called every few milliseconds while waiting
 *  errors  those of tg_source_read */
tg_status tg_reader_wait(tg_reader *reader, tg_tick tick, tg_cloud *out);

/** Waits until no read is under way, keeping its result for tg_reader_wait; tick as above. */
void tg_reader_settle(tg_reader *reader, tg_tick tick);

/** Seconds that tg_reader_wait waited for input, that reads took, that conversion took, and bytes read. */
typedef struct {
  double waited, reading, converting;
  int64_t bytes;
} tg_reader_times;
tg_reader_times tg_reader_report(const tg_reader *reader);

#endif
