#!/bin/bash
# The long fuzzing, on one core: libFuzzer (clang) for the config, .npy and prompt readers, mutated files for the HDF5 readers, all
# under the address and undefined-behavior sanitizers. Ends with an error where a crash, a hang or a leak is found, and
# leaves the input in DIRECTORY.
#   tests/fuzz/campaign.sh DIRECTORY [CONFIG-RUNS NPY-RUNS PROMPT-RUNS HDF5-FILES [RESULT-FILES]]
# DIRECTORY keeps what was found; needs clang with libclang-rt-14-dev (Debian: apt install clang), and for HDF5 a build with
# -DTG_SANITIZE=ON in $BUILD (default: build-asan).
set -e
root=$(cd "$(dirname "$0")/../.." && pwd)
directory=$(mkdir -p "$1" && cd "$1" && pwd)
build=$(realpath "${BUILD:-$root/build-asan}")
runs=("${@:2}")
options=(-g -O1 -std=gnu17 -D_GNU_SOURCE -I"$root/src" -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=undefined)
base=("$root/src/base/memory.c" "$root/src/base/status.c")

target() { # NAME RUNS SEEDS SOURCES-AND-LIBRARIES...
  local name=$1 n=$2 seeds=$3
  [ "$n" -gt 0 ] || return 0
  mkdir -p "$directory/$name"
  cp -n "$root"/tests/fuzz/seeds/$seeds "$directory/$name"
  clang "${options[@]}" "$root/tests/fuzz/$name.c" "${base[@]}" "${@:4}" -o "$directory/fuzz-$name"
  (cd "$directory" && ./fuzz-$name -runs="$n" -max_len=2048 -timeout=20 -rss_limit_mb=4000 -artifact_prefix="$name-" \
    -print_final_stats=1 "$name" > "$name.log" 2>&1) || { tail -30 "$directory/$name.log"; exit 1; }
  echo "$name: $(grep -h Done "$directory/$name.log")"
}

target config "${runs[0]:-2500000}" '*.yaml' "$root"/src/config/*.c -lyaml -lm
target npy "${runs[1]:-4000000}" '*.npy' "$root/src/source/npy.c" -lm
target prompts "${runs[2]:-4000000}" 'prompts-*' "$root/src/source/prompts.c" -ljansson

export OPENBLAS_NUM_THREADS=1 ASAN_OPTIONS=detect_leaks=0 # libhdf5 leaks
cd "$directory"
"$build/tests/fuzz_hdf5" 1 "${runs[3]:-20000}" "$root"/tests/fuzz/seeds/*.h5
if [ "${runs[4]:-2000}" -gt 0 ]; then
  cat > results.yaml << END
output: results.h5
models:
  - name: m
    source: {kind: synthetic, prompts: 4, shuffles: 2, layers: 3, tokens: 16, width: 4, dimension: 2}
observables: {scales: [2], overlap_k: 2, angle_layers: [1]}
statistics: {bootstrap: 0}
END
  "$build/tokengeom" run --force results.yaml > /dev/null 2>&1
  "$build/tests/fuzz_hdf5" 1 "${runs[4]:-2000}" results.h5
fi
