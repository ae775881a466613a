#!/usr/bin/env bash
# Installs what is missing, builds, and runs all tests. Fails when a test fails, or is skipped without standing in
# tests/may-skip.txt. Arguments go to ctest, e.g. `bash jobs/test.sh -R neighbors`; tests labeled `long` run only with
# `bash jobs/test.sh -L long`. TG_NO_LLAMA=1 leaves out libllama and what needs it, on machines that do not reach PyPI;
# TG_NO_BARE=1 the tests in empty roots, which need root and take half an hour.
set -u
. "$(dirname "$0")/setup.sh"

setup_packages $build_packages $llama_packages libcunit1-dev python3-numpy python3-scipy python3-h5py python3-xarray \
  python3-h5netcdf python3-netcdf4 python3-matplotlib hdf5-tools groff-base mandoc slurm-wlm munge strace libfaketime || exit 1
if [ "$(id -u)" = 0 ] && [ -z "${TG_NO_BARE:-}" ]; then
  setup_packages mmdebstrap || exit 1
fi
if [ -z "${TG_NO_LLAMA:-}" ]; then
  setup_llama || exit 1
  export TG_SMOLLM2=$PWD/models/SmolLM2-135M-Instruct.Q4_1.gguf
fi
setup_build -DBUILD_TESTING=ON -DTG_BENCHMARKS=ON -DTG_WERROR=ON || exit 1

step "running the tests"
log=build/test-output.txt
[ $# -gt 0 ] || set -- -LE "long${TG_NO_BARE:+|bare}"
ctest --test-dir build --output-on-failure --no-tests=error "$@" 2>&1 | tee "$log"
status=${PIPESTATUS[0]}
skipped=$(sed -n 's/^ *[0-9]*\/[0-9]* Test *#[0-9]*: \([^ ]*\) \.*\**Skipped.*/\1/p' "$log")
allowed=$(grep -xFf tests/may-skip.txt <<<"$skipped")
skipped=$(grep -vxFf tests/may-skip.txt <<<"$skipped")
[ -z "$allowed" ] || echo "skipped, as they may be: "$allowed
if [ -n "$skipped" ]; then
  echo "skipped, but not in tests/may-skip.txt: $skipped"
  exit 1
fi
exit "$status"
