#!/usr/bin/env bash
# Builds and installs without a question asked: packaging/build.sh PREFIX [option of cmake...]
# A program without its tests; -DTG_WITH_LLAMA=ON -DCMAKE_PREFIX_PATH=... adds models. The lines of a recipe for a package
# manager; packaging/spack/package.py has the same options.
set -eu
cd "$(dirname "$0")/.."
prefix=$(realpath -m "$1")
shift
build=$(mktemp -d)
trap 'rm -rf "$build"' EXIT
cmake -S . -B "$build" -DCMAKE_BUILD_TYPE=Release -DCMAKE_INSTALL_PREFIX="$prefix" -DBUILD_TESTING=OFF -DTG_BENCHMARKS=OFF "$@"
cmake --build "$build" -j "$(nproc)"
cmake --install "$build"
if [ -n "${DEB:-}" ]; then # and a Debian package into this folder
  cpack -G DEB --config "$build/CPackConfig.cmake" -B "$(realpath -m "$DEB")"
fi
