#!/usr/bin/env bash
# From a fresh clone to the geometry of a real model reading real texts: installs what is missing, builds libllama and
# tokengeom, runs config/smollm2.yaml on all cores, checks the results and draws the figures (about 8 minutes on 2 cores).
# Where the model cannot be had, and from an installed tree, it measures activations that come with the project. Interrupted,
# the same command goes on.
set -u
trap 'echo "interrupted; the same command goes on"; exit 130' INT # mpirun ends with 1 then, as after an error
jobs=$(cd "$(dirname "$0")" && pwd)
study=quickstart
if [ -e "$jobs/setup.sh" ]; then
  . "$jobs/setup.sh"
  setup_packages $build_packages $llama_packages python3-matplotlib || exit 1
  if setup_llama && jobs/make_prompts.py models/prompts.jsonl; then
    study=smollm2
  else
    step "no model: measuring the stored activations instead"
  fi
  setup_build -DBUILD_TESTING=OFF -DTG_BENCHMARKS=OFF || exit 1
  program=build/tokengeom
else
  support=$jobs/../../../libexec/tokengeom
  . "$support/program.sh"
  find_program || exit $?
  echo "copying the study to $PWD/tokengeom-quickstart, and running it there"
  mkdir -p tokengeom-quickstart && cp -rp "$jobs/../config" "$jobs/../tests" tokengeom-quickstart && cd tokengeom-quickstart || exit 74
fi
results=results-$study.h5

[ $study = smollm2 ] && duration="about 2 minutes on 2 cores" || duration="a few seconds"
set_launcher "$(nproc)"
step "measuring: mpirun -n $(nproc) $program run config/$study.yaml ($duration)"
# What an interrupted start has done is kept, unless it is of another program or study.
"${launcher[@]}" "$program" run "config/$study.yaml" --resume
status=$?
if [ $status = 65 ] || [ $status = 78 ]; then
  step "measuring anew"
  "${launcher[@]}" "$program" run "config/$study.yaml" --force
  status=$?
fi
[ $status = 0 ] || exit $status

step "checking: $program verify $results (a few seconds)"
"$program" verify "$results" || exit $?

step "looking: $program info $results"
"$program" info "$results" || exit $?

step "drawing: $program figures config/$study.yaml (about 20 seconds)"
"$program" figures "config/$study.yaml" || exit $?

step "done in $((SECONDS / 60)) min $((SECONDS % 60)) s. Where to look next:"
look() { printf '  %-34s %s\n' "$@"; }
look "figures-$study/index.html" "the paper's figures of this study, with captions (open it in a browser)"
look "$results" "the numbers: $program report, export; in Python with h5py or xarray"
look "config/" "studies to copy; every key: $program run --help-config"
look "README.md" "\"Your own study\", \"On a cluster\", \"Where the clouds come from\""
