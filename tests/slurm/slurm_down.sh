#!/bin/bash
# Ends the private SLURM in DIR: jobs, daemons, and what their death may have left. Only processes whose environment names its
# slurm.conf are touched.   slurm_down.sh DIR
set -u
PATH=$PATH:/usr/sbin:/sbin
conf=$1/etc/slurm.conf
export SLURM_CONF=$conf

ours() { # processes of this SLURM: its daemons, job steps, and jobs
  local p
  for p in /proc/[0-9]*; do
    if [ "${p#/proc/}" = $$ ] || [ "${p#/proc/}" = $PPID ]; then continue; fi
    grep -qszxF "SLURM_CONF=$conf" "$p/environ" || continue
    case $(cat "$p/comm" 2>/dev/null) in
      munged | slurmctld | slurmd | slurmstepd) echo "${p#/proc/}" ;;
      *) if grep -qsz '^SLURM_JOB_ID=' "$p/environ"; then echo "${p#/proc/}"; fi ;;
    esac
  done
}

if [ -f "$conf" ] && [ -s "$1/run/slurmctld.pid" ] && timeout 5 scontrol ping >/dev/null 2>&1; then
  timeout 5 scancel -f -s KILL -u "$(id -un)" 2>/dev/null
  for ((i = 0; i < 50; i++)); do
    [ -n "$(timeout 5 squeue -h 2>/dev/null)" ] || break
    sleep 0.1
  done
fi
for signal in TERM KILL KILL; do
  # shellcheck disable=SC2046
  kill -$signal $(ours) 2>/dev/null
  for ((i = 0; i < 30; i++)); do
    [ -n "$(ours)" ] || exit 0
    sleep 0.1
  done
done
echo "still running: $(ours)" >&2
exit 1
