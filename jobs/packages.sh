# shellcheck shell=bash
# Debian's packages that tokengeom is built with. Sourced.
build_packages="gcc make cmake pkg-config git libopenmpi-dev openmpi-bin libhdf5-openmpi-dev libopenblas-dev libdnnl-dev libgsl-dev
libyaml-dev libmd-dev librandom123-dev libjansson-dev libarchive-dev libxxhash-dev"

llama_packages="g++ python3 python3-venv"
