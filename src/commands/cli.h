/* The command line: one table of commands, each with its own options and help (glibc argp). */
#ifndef TG_CLI_H
#define TG_CLI_H

/** Runs the command that argv names and returns the program's exit status (tg_status, or --stop-status). */
int tg_cli_main(int argc, char **argv);

#endif
