#!/usr/bin/env bash
# From a fresh clone to the geometry of a real model reading real texts: installs what is missing, builds libllama and
# tokengeom, runs config/smollm2.yaml on all cores, and draws the figures (about 8 minutes on 2 cores). Where the model cannot be had, it measures
# activations that come with the project instead.
set -u
. "$(dirname "$0")/setup.sh"

setup_packages $build_packages $llama_packages python3-matplotlib || exit 1
if setup_llama && jobs/make_prompts.py models/prompts.jsonl; then
  study=smollm2
else
  step "no model: measuring the stored activations instead"
  study=quickstart
fi
setup_build -DBUILD_TESTING=OFF -DTG_BENCHMARKS=OFF || exit 1

step "mpirun -n $(nproc) build/tokengeom run config/$study.yaml"
run_mpi "$(nproc)" build/tokengeom run "config/$study.yaml" --force || exit $?

step "build/tokengeom verify results-$study.h5"
build/tokengeom verify "results-$study.h5" || exit $?

step "build/tokengeom info results-$study.h5"
build/tokengeom info "results-$study.h5"

step "build/tokengeom figures config/$study.yaml"
build/tokengeom figures "config/$study.yaml"
