/* Status codes and the one error message of a thread.
 * Every function that can fail returns tg_status; the message is recorded where the trouble is seen, and printed once,
 * by whoever ends the program. The codes are the program's exit statuses (sysexits.h).
 * Local: no communication. */
#ifndef TG_STATUS_H
#define TG_STATUS_H

typedef enum {
  TG_OK = 0,
  TG_EUSAGE = 64,    /* wrong command line */
  TG_EDATA = 65,     /* an input file holds something else than it should */
  TG_ENOINPUT = 66,  /* an input is missing or unreadable */
  TG_EINTERNAL = 70, /* no memory, a library failed, a bug */
  TG_EIO = 74,       /* writing failed, the output exists, its directory does not */
  TG_ESTOPPED = 75,  /* stopped early on request; the run can be resumed */
  TG_ECONFIG = 78    /* the config asks for something wrong */
} tg_status;

#define TG_HERE_(f, l)  f ":" #l
#define TG_HERE__(f, l) TG_HERE_(f, l)
#define TG_HERE         TG_HERE__(__FILE__, __LINE__)

/** Records the message of this thread's latest failure, replacing an older one, and returns `code`.
 *  where  TG_HERE; shown to the user only for TG_EINTERNAL
 *  The message is one line without control characters, whatever the names in it hold (base/text.h). */
tg_status tg_fail(tg_status code, const char *where, const char *format, ...) __attribute__((format(printf, 3, 4)));

/** The same for a message of several lines, as the mistakes of a config. */
tg_status tg_fail_in_lines(tg_status code, const char *where, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/** The latest message of this thread, "" when there was none. Valid until the next tg_fail of this thread. */
const char *tg_last_error(void);

/* TG_CHECK: fail unless `ok`. TG_TRY: pass a failure on; only where nothing is held open. */
#define TG_CHECK(ok, code, ...)                                                                                        \
  do {                                                                                                                 \
    if (!(ok)) return tg_fail((code), TG_HERE, __VA_ARGS__);                                                           \
  } while (0)
#define TG_TRY(call)                                                                                                   \
  do {                                                                                                                 \
    tg_status status_ = (call);                                                                                        \
    if (status_ != TG_OK) return status_;                                                                              \
  } while (0)

#endif
