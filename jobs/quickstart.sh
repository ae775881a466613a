#!/usr/bin/env bash
# From a fresh clone to a results file: installs what is missing, builds, and measures real activations that come with
# the project on all cores.
set -u
. "$(dirname "$0")/setup.sh"

setup_packages $build_packages || exit 1
setup_build -DBUILD_TESTING=OFF -DTG_BENCHMARKS=OFF || exit 1

step "mpirun -n $(nproc) build/tokengeom run config/quickstart.yaml"
run_mpi "$(nproc)" build/tokengeom run config/quickstart.yaml --force || exit $?

step "build/tokengeom info results-quickstart.h5"
build/tokengeom info results-quickstart.h5
