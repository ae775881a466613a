#!/usr/bin/env bash
# A newcomer's machine: an empty root of a Debian release, nothing installed by hand, no recommended packages, the commit that
# is checked out cloned in.
#   tests/bare/bare.sh RELEASE STEP...
# Steps, in the order given, in one root unless they say otherwise:
#   quickstart  `bash jobs/quickstart.sh` as root, with the model                     (about 9 minutes on 2 cores)
#   user        as an ordinary user: the printed line is run as root, then without PyPI (about 3 minutes, packages included)
#   suite       `bash jobs/test.sh`, all but these tests                             (about 20 minutes)
#   modules     `bash jobs/test.sh -L 'unit|mpi'` without libllama                   (about 6 minutes)
#   package     Debian's package, made there and tried in another empty root         (about 3 minutes)
#   clang       built by clang, the stored activations measured                      (about 2 minutes)
#   mpich       in an empty root: with MPICH and its HDF5, the same                  (about 3 minutes)
# Results of the stored activations are held against $REFERENCE, where that is set: a result file of another build.
# Ends with 77, and says why, where a root cannot be made. Needs root, mmdebstrap, and Debian's packages (PyPI for quickstart, suite).
set -u
here=$(cd "$(dirname "$0")" && pwd)
source=$(cd "$here/../.." && pwd)
release=$1
shift

skip() { echo "skipped: $*"; exit 77; }
[ "$(id -u)" = 0 ] || skip "an empty root needs root"
command -v mmdebstrap >/dev/null || skip "there is no mmdebstrap (Debian's package of that name)"
unshare --mount true 2>/dev/null || skip "no rights to mount"

work=$(mktemp -d "${TMPDIR:-/tmp}/tg-bare.XXXXXX")
chmod 755 "$work"
trap 'rm -rf --one-file-system "$work"' EXIT

say() { printf '\n#### %s, %d s: %s\n' "$release" "$SECONDS" "$*"; }
fail() { say "FAILED: $*"; exit 1; }

# make_root NAME: an empty root and the commit in it, twice: root's and an ordinary user's.
make_root() {
  local root=$work/$1
  [ -e "$work/empty.tar" ] || mmdebstrap --quiet --variant=minbase "$release" "$work/empty.tar" || skip "mmdebstrap cannot make a root of $release"
  mkdir "$root" && tar -xf "$work/empty.tar" -C "$root" || fail "no room for $root"
  # Where registries are reached through a proxy with a certificate of its own, it is the host's. Debian's package of certificates would
  # replace a file of its own name.
  mkdir -p "$root/etc/ssl" && { [ ! -e /etc/ssl/certs/ca-certificates.crt ] || cp /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/host.crt"; }
  # Any machine and container has this file; without it each start of a program looks 20 names up and waits for 5 s.
  [ -e "$root/etc/hosts" ] || echo "127.0.0.1 localhost $(hostname)" >"$root/etc/hosts"
  git clone -q "$source" "$root/root/tokengeom" && chroot "$root" useradd -m newcomer || fail "no clone in $root"
  cp -r "$root/root/tokengeom" "$root/home/newcomer/" && chroot "$root" chown -R newcomer: /home/newcomer/tokengeom
}

# in_root NAME COMMAND: by bash, as root in the project's folder; mounts and processes end with it.
in_root() {
  local root=$work/$1 settings
  shift
  mapfile -t settings < <(env | grep -E '^(https?_proxy|HTTPS?_PROXY|no_proxy|PIP_[A-Z_]*)=' | grep -v '^PIP_CERT=')
  [ ! -e "$root/etc/ssl/host.crt" ] || settings+=(PIP_CERT=/etc/ssl/host.crt)
  unshare --mount --pid --fork --kill-child bash -c '
    root=$1; shift
    mount -t proc proc "$root/proc" && mount --rbind /sys "$root/sys" && mount --rbind /dev "$root/dev" &&
      exec chroot "$root" "$@"' bash "$root" /usr/bin/env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    HOME=/root LANG=C.UTF-8 "${settings[@]}" bash -c "cd ~/tokengeom && $*" </dev/null
}

# Results of the stored activations, made in a root, against another build's.
compare() {
  [ -z "${REFERENCE:-}" ] || "${PYTHON:-/usr/bin/python3}" "$here/same_models.py" "$REFERENCE" "$1" || fail "other numbers than $REFERENCE"
}

packages() { in_root "$1" "apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $2" >"$work/apt.log" 2>&1 || { tail -n 20 "$work/apt.log"; fail "apt-get install $2"; }; }
build_packages() { (. "$source/jobs/packages.sh" && echo $build_packages); }

quickstart() {
  in_root main "bash jobs/quickstart.sh" || fail "quickstart"
  for made in results-smollm2.h5 figures-smollm2/index.html figures-smollm2/fig03.png; do
    [ -s "$work/main/root/tokengeom/$made" ] || fail "no $made"
  done
}

# Without PyPI: the stored activations.
user() {
  local line status
  in_root main "su newcomer -c 'cd && cd tokengeom && bash jobs/quickstart.sh'" | tee "$work/user.log"
  status=${PIPESTATUS[0]}
  line=$(grep -A 1 'Run this as root' "$work/user.log" | tail -n 1)
  if [ -n "$line" ]; then
    [ "$status" = 69 ] || fail "a user without the packages gets status $status"
    in_root main "$line" >"$work/apt.log" 2>&1 || fail "the printed line: $line"
  fi
  in_root main "su newcomer -c 'cd && cd tokengeom && PIP_NO_INDEX=1 bash jobs/quickstart.sh'" || fail "quickstart as a user, without PyPI"
  [ -s "$work/main/home/newcomer/tokengeom/figures-quickstart/fig03.png" ] || fail "no figures"
  compare "$work/main/home/newcomer/tokengeom/results-quickstart.h5"
}

suite() { in_root main "TG_NO_BARE=1 bash jobs/test.sh" || fail "the suite"; }
modules() { in_root main "TG_NO_BARE=1 TG_NO_LLAMA=1 bash jobs/test.sh -L 'unit|mpi' -LE long" || fail "unit and mpi tests"; }

# apt brings what the package needs; removed, it leaves nothing.
package() {
  packages main "dpkg-dev file $(build_packages)"
  in_root main "DEB=/root/deb packaging/build.sh /root/prefix" >"$work/build.log" 2>&1 || { tail -n 30 "$work/build.log"; fail "the package"; }
  make_root installed
  cp "$work"/main/root/deb/tokengeom_*.deb "$work/installed/root/"
  packages installed "/root/tokengeom_*.deb"
  rm -r "$work/installed/root/tokengeom" && mkdir "$work/installed/root/tokengeom"
  in_root installed "/usr/share/tokengeom/jobs/quickstart.sh" || fail "quickstart of the installed package"
  compare "$work/installed/root/tokengeom/tokengeom-quickstart/results-quickstart.h5"
  in_root installed "apt-get -q -y remove tokengeom" >/dev/null || fail "apt-get remove"
  left=$(find "$work/installed/usr" -name '*tokengeom*')
  [ -z "$left" ] || fail "left behind: $left"
}

# measure NAME: the stored activations, by the program that packaging/build.sh has installed in a root's /root/NAME.
measure() {
  in_root "$1" "bash /root/$2/share/tokengeom/jobs/quickstart.sh" || fail "$2: quickstart of the installed tree"
  compare "$work/$1/root/tokengeom/tokengeom-quickstart/results-quickstart.h5"
}

clang() {
  packages main "clang $(build_packages)"
  in_root main "CC=clang packaging/build.sh /root/clang -DTG_WERROR=ON" >"$work/build.log" 2>&1 || { tail -n 30 "$work/build.log"; fail "clang"; }
  measure main clang
}

mpich() {
  make_root mpich
  packages mpich "$(build_packages | sed 's/libopenmpi-dev/libmpich-dev/; s/openmpi-bin/mpich/; s/libhdf5-openmpi-dev/libhdf5-mpich-dev/')"
  in_root mpich "packaging/build.sh /root/mpich -DTG_WERROR=ON" >"$work/build.log" 2>&1 || { tail -n 30 "$work/build.log"; fail "MPICH"; }
  measure mpich mpich
}

make_root main
for step in "$@"; do
  say "$step"
  $step
done
say "all passed: $*"
