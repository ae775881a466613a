# shellcheck shell=bash
# Sourced by node.sbatch, multinode.sbatch, analyse_after.sbatch, extract_array.sbatch and workstation.sh: programs that
# stop cleanly on SIGUSR1 or SIGTERM and go on when they are started again.
#   study_setup CONFIG [OPTION...]  sets program, config, options, output; refuses what cannot be restarted
#   study_run LAUNCHER...           runs the study under LAUNCHER, from where it was left; returns when it is complete,
#                                   otherwise requeues the job or ends with the reason
#   restartable COMMAND...          runs COMMAND; sets rc (its exit status) and why ('', limit or ended)
#   requeue                         puts the job back into the queue and does not return
# Environment: TOKENGEOM, see program.sh.
support=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$support/program.sh"

# From the first line on, because a warning may come at any time. Traps stay trivial, and there is none for CONT: bash loses
# signals that arrive while it runs another trap.
why='' pid='' up=''
trap 'why=limit; tell &' USR1
if [ -n "${SLURM_JOB_ID:-}" ]; then
  trap 'why=ended' TERM # SLURM sends it to the ranks, too
else
  trap 'why=limit; tell &' TERM INT
fi

# Passes the warning on, once the file $up says that the program catches it: Open MPI does not survive signals while it starts.
tell() {
  while [ -n "$pid" ] && kill -0 "$pid" 2>/dev/null; do
    if [ -z "$up" ] || [ -e "$up" ]; then
      kill -USR1 "$pid"
      return
    fi
    sleep 0.2
  done
}

# After scancel the ranks have this many seconds to save, and mpirun takes twice as many to end: less than SLURM's KillWait (30).
export OMPI_MCA_odls_base_sigkill_timeout=${OMPI_MCA_odls_base_sigkill_timeout:-10}

say() { echo "$(date '+%F %T') ${SLURM_JOB_ID:+job $SLURM_JOB_ID: }$*"; }

study_setup() {
  local option before=''
  [ $# -gt 0 ] || { echo "which config? CONFIG [tokengeom options]" >&2; exit 64; }
  find_program || exit $?
  config=$1
  shift
  options=("$@")
  local sets=()
  for option in "$@"; do
    case $option in
      --force) echo "--force would throw away what was done at every restart: remove the old results instead" >&2; exit 64 ;;
      --set=*) sets+=("$option") ;;
      *) [ "$before" != --set ] || sets+=(--set "$option") ;;
    esac
    before=$option
  done
  "$program" validate "$config" "${sets[@]}" >/dev/null || exit $?
  output=$("$program" validate "$config" "${sets[@]}" --get output) || exit $?
}

# Clouds left to do, of all models; nothing before the results exist.
study_left() { [ ! -e "$output" ] || "$program" info "$output" | awk '/ to do$/ { n += $(NF - 2) } END { print n + 0 }'; }
study_complete() { [ -e "$output" ] && "$program" info "$output" | grep -q '^.*: tokengeom results.*, complete$'; }

restartable() {
  local again
  rc=0
  if [ -z "$why" ]; then
    "$@" &
    pid=$!
    [ -z "$why" ] || tell &
    while :; do
      wait "$pid"
      rc=$?
      kill -0 "$pid" 2>/dev/null || break
    done
    wait "$pid" 2>/dev/null # the status, where a signal was the last thing that `wait` saw
    again=$?
    [ "$again" = 127 ] || rc=$again
    pid=''
  fi
  # After the time limit SLURM sends TERM, as scancel does; the job's reason tells them apart.
  if [ "$why" = ended ] && scontrol show job "$SLURM_JOB_ID" | grep -q 'Reason=TimeLimit'; then why=limit; fi
}

requeue() {
  trap '' TERM
  exec scontrol requeue "$SLURM_JOB_ID"
}

study_run() {
  local before left
  before=$(study_left)
  up=$output.lock
  if [ -z "$before" ]; then
    say "start: $output, $*"
  else
    say "resume: $output, $before clouds are left, restart ${SLURM_RESTART_COUNT:-0}, $*"
  fi
  restartable "$@" "$program" run "$config" "${options[@]}" --resume --stop-status 0
  left=$(study_left)
  # A failure would come again; a rank that was killed, for want of memory or by Open MPI's start between nodes, may well not be.
  # Open MPI says so by 128 + the signal's number, MPICH by the number; our own statuses begin with 64.
  [ "$rc" != 9 ] && [ "$rc" != 15 ] || rc=$((128 + rc))
  if [ "$rc" != 0 ] && [ -z "$why" ] && { [ "$rc" -le 128 ] || [ -z "${SLURM_JOB_ID:-}" ]; }; then
    say "failed: exit status $rc, ${left:-all} clouds are left"
    exit "$rc"
  elif study_complete; then
    say "complete: $output"
    return 0
  elif [ -z "${SLURM_JOB_ID:-}" ]; then
    say "stop: status $rc, ${left:-all} clouds are left; the same command goes on"
  elif [ "$why" = ended ]; then
    say "stop: ended from outside, status $rc, ${left:-all} clouds are left; submitted again, the job goes on"
  elif [ "$left" = "$before" ] && [ "${SLURM_RESTART_COUNT:-0}" -ge 3 ]; then
    say "stop: status $rc, no cloud was finished, not requeued; does the job need more --time, or memory?"
    [ "$rc" -le 128 ] || exit "$rc"
  else
    say "stop: status $rc, ${left:-all} clouds are left; requeue"
    requeue
  fi
  exit 75
}

# Cores of this node that the job may use, without hyperthreads.
cores() {
  local physical mine
  physical=$(lscpu -p=CORE,SOCKET 2>/dev/null | grep -v '^#' | sort -u | wc -l)
  mine=${SLURM_CPUS_ON_NODE:-$(nproc)}
  echo $((physical > 0 && physical < mine ? physical : mine))
}
