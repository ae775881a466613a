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

# Sets launcher to mpirun with so many ranks, also more than cores, and with so many a node where that is given. What
# MPIs want to be told differs; containers often run as root, where Open MPI wants to be asked twice.
set_launcher() {
  local ranks=$1 each=${2:-}
  case $(mpirun --version 2>&1) in
    *'Open MPI'* | *OpenRTE*) launcher=(mpirun --oversubscribe ${each:+--map-by "ppr:$each:node"} -n "$ranks") ;;
    *) launcher=(mpirun ${each:+-ppn "$each"} -n "$ranks") ;;
  esac
  if [ "$(id -u)" = 0 ]; then
    export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
  fi
}

step() { printf '\n== %s\n' "$*"; }
