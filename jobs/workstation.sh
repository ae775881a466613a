#!/bin/bash
# A study on this machine, one rank a core:   jobs/workstation.sh CONFIG [options of `tokengeom run`]
# Goes on with results that are there. Ctrl-C, SIGTERM and SIGUSR1 save what is done and end with status 75; the same
# command goes on. Environment: RANKS (default: the cores), TOKENGEOM.
set -u
support=$(cd "$(dirname "$0")" && pwd)
[ -e "$support/restartable.sh" ] || support=$support/../../../libexec/tokengeom # installed
unset SLURM_JOB_ID
. "$support/restartable.sh"
study_setup "$@"
# A session of its own: Ctrl-C reaches this script alone, and the script passes on SIGUSR1.
set_launcher "${RANKS:-$(cores)}"
study_run setsid "${launcher[@]}"
