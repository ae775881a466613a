# shellcheck shell=bash
# Sourced by all job scripts, with $support set to this file's folder.

# Sets program to $TOKENGEOM, or to the one that was built or installed beside this file, or to the one in PATH; says so and
# fails where there is none.
find_program() {
  local place
  program=${TOKENGEOM:-}
  for place in "$support/../build/tokengeom" "$support/../../bin/tokengeom" "$(command -v tokengeom)"; do
    [ -n "$program" ] || [ ! -x "$place" ] || program=$(realpath "$place")
  done
  [ -x "$program" ] || { echo "'${program:-tokengeom}' is no program: build it (README.md), or set TOKENGEOM" >&2; return 66; }
}

# mpirun with the ranks that the machine has cores for. Containers often run as root, where mpirun wants to be asked twice.
run_mpi() {
  local ranks=$1
  shift
  if [ "$(id -u)" = 0 ]; then
    export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
  fi
  mpirun --oversubscribe -n "$ranks" "$@"
}

step() { printf '\n== %s\n' "$*"; }
