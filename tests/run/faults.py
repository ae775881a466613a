"""Faults made on purpose: system calls that fail or kill (strace), small and read-only file systems (mount)."""
import contextlib
import os
import pathlib
import shlex
import shutil
import signal
import subprocess
import unittest


def inject(*rules, on=(), rank=None, log=None):
    """A wrap for support.start: system calls that touch one of the paths `on` fail, or kill, as strace's rules say, on
    one rank or on all. A rule: "pwrite64:error=EIO:when=3+". log: a file that gets the calls that were looked at.
    The tracer is a grandchild: the program has the process that was started, and gets its signals."""
    command = ["strace", "-D", "-f", "-qq", "-o", str(log or "/dev/null"), "-e", "trace=" + ",".join(r.split(":")[0] for r in rules)]
    command += [part for rule in rules if ":" in rule for part in ("-e", "inject=" + rule)]
    command += [part for path in on for part in ("-P", str(path))]
    return on_rank(rank, command)


def on_rank(rank, command):
    """A wrap that one rank alone goes through; rank: None is all of them."""
    if rank is None:
        return tuple(command)
    return ("sh", "-c", f'[ "${{OMPI_COMM_WORLD_RANK:-${{PMI_RANK:-0}}}}" != {rank} ] || exec {shlex.join(command)} "$@"; exec "$@"', "sh")


def send(number, pids):
    for pid in pids:
        os.kill(pid, number)


@contextlib.contextmanager
def standing_still(pids):
    """What is done meanwhile happens for them at once."""
    send(signal.SIGSTOP, pids)
    yield
    send(signal.SIGCONT, pids)


def ask_to_stop(pids, look):
    """SIGUSR1 for all ranks while they stand still; returns what look() sees then: nothing is done between the two."""
    with standing_still(pids):
        seen = look()
        send(signal.SIGUSR1, pids)
    return seen


def can_trace():
    """Whether strace is there and may trace."""
    return bool(shutil.which("strace")) and subprocess.run(["strace", "-o", "/dev/null", "true"], capture_output=True).returncode == 0


needs_strace = unittest.skipUnless(can_trace(), "needs strace, and the right to trace")


def mount(*arguments):
    made = subprocess.run(["mount", *map(str, arguments)], capture_output=True, text=True)
    if made.returncode != 0:
        raise unittest.SkipTest(f"nothing can be mounted here: {made.stderr.strip()}")


@contextlib.contextmanager
def small_disk(directory, size):
    """A file system of `size` (as in mount: 64k) at a new directory. Skips the test where mounting is not allowed."""
    pathlib.Path(directory).mkdir()
    mount("-t", "tmpfs", "-o", f"size={size}", "tmpfs", directory)
    try:
        yield pathlib.Path(directory)
    finally:
        subprocess.run(["umount", "-l", str(directory)], check=True)


@contextlib.contextmanager
def read_only(directory):
    """A mounted directory made read-only for a while."""
    mount("-o", "remount,ro", directory)
    try:
        yield
    finally:
        mount("-o", "remount,rw", directory)


@contextlib.contextmanager
def read_only_file(path):
    """A file that nobody can write to for a while, in a directory where everything else can be done."""
    mount("--bind", path, path)
    try:
        mount("-o", "remount,bind,ro", path)
        yield
    finally:
        subprocess.run(["umount", "-l", str(path)], check=True)


def fill(directory):
    """Takes all the space that a file system has left."""
    with contextlib.suppress(OSError), open(pathlib.Path(directory, "filler"), "wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
