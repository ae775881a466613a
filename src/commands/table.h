/* The tables of the command line: what help, manual pages and completion say. */
#ifndef TG_TABLE_H
#define TG_TABLE_H

#include <stdbool.h>
#include <stddef.h>

typedef enum {
  FLAG,     /* bool */
  WHOLE,    /* int, low..high */
  POSITIVE, /* double */
  TEXT,     /* const char * */
  CHOICE,   /* of two words; bool: the first */
  OVERRIDE, /* KEY=VALUE, one more override */
  LIST_KEYS /* prints the keys of a config and ends the program */
} tg_option_kind;

typedef struct {
  int key;
  const char *name, *argument;
  tg_option_kind kind;
  size_t offset; /* in arguments */
  int low, high;
  const char *const *words; /* of a choice */
  const char *help;
} tg_option;

/** A command. Its main takes what the command line has said, and returns the exit status. */
typedef struct tg_arguments tg_arguments;
typedef struct {
  const char *name, *argument;
  int (*main)(const tg_arguments *arguments);
  bool several;       /* arguments */
  const int *options; /* keys, to the first that is 0 */
  const char *doc;    /* its first sentence names it in lists of manual pages */
  const char *more;   /* that a manual page has; NULL: nothing */
  const char *example;
} tg_command;
extern const tg_command tg_commands[];
extern const int tg_n_commands;

/** NULL where no option has the key. */
const tg_option *tg_option_find(int key);

/** What an exit status means. */
typedef struct {
  int status;
  const char *commands; /* that can end with it; NULL: all. No name of a command stands in another */
  const char *meaning;
} tg_exit;
extern const tg_exit tg_exits[];
extern const int tg_n_exits;

/** What a variable of the environment does. */
typedef struct {
  const char *name, *meaning;
} tg_variable;
extern const tg_variable tg_variables[];
extern const int tg_n_variables;

#endif
