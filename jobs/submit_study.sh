#!/bin/bash
# Submits a study to SLURM and prints the jobs' ids; sizes come from `tokengeom run --dry-run`:
#   jobs/submit_study.sh CONFIG
#   jobs/submit_study.sh CONFIG --nodes 4                    several nodes
#   jobs/submit_study.sh CONFIG --parts 16 --export --model facebook/opt-6.7b --prompts pile.jsonl --out 'states/opt-{index}.h5'
#                                                            first an array of 16 that writes the hidden states
#   --ranks N    ranks a node (default: the cores of the smallest node of the default partition)
#   --hours H    time limit (default: twice the estimate, from 1 to 24 hours; a study that needs longer restarts itself)
#   --set KEY=VALUE  as for `tokengeom run`
# Everything after --export goes to jobs/export_states.py. Account, partition and the like: SBATCH_ACCOUNT, SBATCH_PARTITION, ...
set -u
jobs=$(cd "$(dirname "$0")" && pwd)
support=$jobs
[ -e "$support/program.sh" ] || support=$jobs/../../../libexec/tokengeom # installed
. "$support/program.sh"
die() { echo "submit_study.sh: $2" >&2; exit "$1"; }

config=${1:-}
case $config in -h | --help) sed -n '2,/^set -u/s/^# \{0,1\}//p' "$0"; exit 0 ;; esac
[ -f "$config" ] || die 66 "CONFIG is missing or no file: '$config'"
config=$(realpath "$config")
shift
nodes=1 ranks='' hours='' parts=4 array=() sets=()
while [ $# -gt 0 ]; do
  case $1 in
    --export) shift; [ $# -gt 0 ] || die 64 "--export needs options of export_states.py"; array=("$@"); break ;;
    --nodes | --ranks | --hours | --parts)
      [[ ${2:-} =~ ^[1-9][0-9]*$ ]] || die 64 "$1 needs a whole number from 1"
      declare "${1#--}=$2"; shift 2 ;;
    --set) [ $# -gt 1 ] || die 64 "--set needs KEY=VALUE"
      sets+=(--set "$2"); shift 2 ;;
    *) die 64 "unknown option '$1'" ;;
  esac
done
find_program || exit $?
command -v sbatch >/dev/null || die 69 "there is no sbatch here; jobs/workstation.sh runs a study without SLURM"
[ -n "$ranks" ] || ranks=$(sinfo -h -o '%P %X %Y' | tr -d + | awk '$1 ~ /\*$/ && (!n || $2 * $3 < n) { n = $2 * $3 } END { print n }')
[ -n "$ranks" ] || die 69 "sinfo shows no default partition: give --ranks N"

sizes=()
number() { awk -F'[:,]' -v key="\"$1\"" '$1 ~ key { printf "%d", $2 + 0.5 }' <<<"$plan"; } # of the plan
if plan=$("$program" run --dry-run --json --ranks $((nodes * ranks)) "$config" "${sets[@]}" 2>&1); then
  memory=$(($(number rank_bytes) / 1000000)) shared=$(($(number shared_bytes) / 1000000)) seconds=$(number seconds)
  megabytes=$(((ranks * memory + shared) * 6 / 5 + 512))
  [ -n "$hours" ] || hours=$((seconds < 42000 ? seconds / 1800 + 1 : 24))
  sizes=(--mem="${megabytes}M")
  echo "sizes: $nodes x $ranks ranks, $memory MB a rank and $shared MB a node of weights or prompts ($megabytes MB asked for), about $seconds s; time limit $hours h"
elif [ ${#array[@]} -gt 0 ]; then
  echo "sizes: $nodes x $ranks ranks; memory and time are not known before the hidden states are there${hours:+; time limit $hours h}"
else
  echo "$plan" >&2
  die 78 "$config cannot be planned"
fi
[ -z "$hours" ] || sizes+=(--time="$hours:00:00")
export TOKENGEOM=$program RANKS=$ranks RANKS_PER_NODE=$ranks

if [ ${#array[@]} -gt 0 ]; then
  [ "$nodes" = 1 ] || die 64 "--export and --nodes: submit jobs/multinode.sbatch with --dependency=afterok yourself"
  first=$(sbatch --parsable --array=0-$((parts - 1)) "$jobs/extract_array.sbatch" "${array[@]}") || die 69 "sbatch refused the array"
  job=$(sbatch --parsable "${sizes[@]}" --dependency="afterok:${first%%;*}" "$jobs/analyse_after.sbatch" "$config" "${sets[@]}") || die 69 "sbatch refused the analysis; the array is job $first"
  echo "array of $parts: job ${first%%;*}"
  echo "analysis: job ${job%%;*}, starts when every part is there; if one fails, it is not started and leaves the queue"
else
  script=node
  [ "$nodes" = 1 ] || script=multinode
  [ "$nodes" = 1 ] || sizes+=(--nodes="$nodes")
  job=$(sbatch --parsable "${sizes[@]}" "$jobs/$script.sbatch" "$config" "${sets[@]}") || die 69 "sbatch refused the job"
  echo "study: job ${job%%;*}"
fi
