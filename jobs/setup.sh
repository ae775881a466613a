# Sourced by quickstart.sh and test.sh: installs what a fresh Debian lacks and builds into build/.
# setup_packages PACKAGE...   apt as root or with sudo; otherwise prints the one line to run and ends.
# setup_build TARGET...       configures the release preset and builds; sets nothing else.

cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1

build_packages="gcc make cmake pkg-config git libopenmpi-dev openmpi-bin libhdf5-openmpi-dev libopenblas-dev libgsl-dev
libyaml-dev libmd-dev librandom123-dev libjansson-dev"

step() { printf '\n== %s\n' "$*"; }

setup_packages() {
  local missing='' package
  for package in "$@"; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || missing="$missing $package"
  done
  [ -n "$missing" ] || return 0
  step "installing:$missing"
  local install="apt-get install -y --no-install-recommends$missing"
  if [ "$(id -u)" = 0 ]; then
    apt-get update -q && DEBIAN_FRONTEND=noninteractive $install || return 1
  elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
    sudo apt-get update -q && sudo DEBIAN_FRONTEND=noninteractive $install || return 1
  else
    echo "These Debian packages are missing. Run this as root, then start again:"
    echo "  apt-get update && $install"
    exit 69
  fi
}

setup_build() {
  step "building"
  cmake --preset release "$@" >build-configure.log 2>&1 || { cat build-configure.log; return 1; }
  rm -f build-configure.log
  cmake --build --preset release -j "$(nproc)" || return 1
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
