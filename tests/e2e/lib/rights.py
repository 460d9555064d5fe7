# SPDX-License-Identifier: Apache-2.0
"""Rights and worlds to run a program in: few capabilities, stern sysctls, refused calls, namespaces.

Everything here gives a list of words to put before a command, or changes a sysctl for the length of
a `with` and puts it back.
"""

import contextlib
import os
import subprocess

import pytest

from . import procs

# What hostprof asks for, and nothing else. CAP_SYS_ADMIN includes the first two and the last.
CAPABILITIES = ("bpf", "perfmon", "sys_ptrace", "dac_read_search", "checkpoint_restore")
USER = "nobody"


def with_caps(*names):
    """As an ordinary user with these capabilities and no way to get others."""
    uid, gid = procs.user_ids(USER)
    caps = ",".join(["-all", *(f"+{n}" for n in names)])
    return ["setpriv", f"--reuid={uid}", f"--regid={gid}", "--clear-groups", "--bounding-set", caps,
            "--inh-caps", caps, "--ambient-caps", caps, "--no-new-privs", "--"]


def own_directory(path):
    """A directory that USER may write to."""
    os.makedirs(path)
    os.chown(path, *procs.user_ids(USER))
    return path


@contextlib.contextmanager
def sysctls(**values):
    """kernel.NAME=VALUE for each, put back at the end, also if this process is killed meanwhile.

    A shell waits for the end of its input, which comes either way, and writes the values that were
    there.
    """
    before = {}
    for name in values:
        path = f"/proc/sys/kernel/{name}"
        with open(path) as f:
            before[path] = f.read().strip()
    lines = "".join(f"echo {old} >{path}\n" for path, old in before.items())
    keeper = subprocess.Popen(["sh", "-c", "cat >/dev/null\n" + lines], stdin=subprocess.PIPE,
                              stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        for path, value in zip(before, values.values()):
            try:
                if before[path] != str(value):
                    with open(path, "w") as f:
                        f.write(str(value))
            except OSError as e:
                pytest.skip(f"this kernel does not let {path} be set to {value}: {e}")
        yield
    finally:
        keeper.stdin.close()
        keeper.wait()


# A seccomp filter: loads the number of the call; the one that is meant gets an error, others pass.
REFUSE = """
import ctypes, os, struct, sys
number, error = int(sys.argv[1]), int(sys.argv[2])
rules = [(0x20, 0, 0, 0), (0x15, 0, 1, number), (0x06, 0, 0, 0x50000 | error),
         (0x06, 0, 0, 0x7fff0000)]
code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *r) for r in rules))
class Filter(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("code", ctypes.c_void_p)]
libc = ctypes.CDLL(None, use_errno=True)
program = Filter(len(rules), ctypes.addressof(code))
if libc.prctl(38, 1, 0, 0, 0) or libc.prctl(22, 2, ctypes.byref(program), 0, 0):
    sys.exit("seccomp: " + os.strerror(ctypes.get_errno()))
os.execvp(sys.argv[3], sys.argv[3:])
"""
PERF_EVENT_OPEN = {"x86_64": 298, "aarch64": 241}[os.uname().machine]


def refusing(number, error):
    """One system call fails with this errno, whoever asks."""
    return [procs.PYTHON, "-c", REFUSE, number, error]


WITHOUT_TRACEFS = """
while read -r _ where type _; do
    case $type in tracefs) umount -l "$where" ;; esac
done </proc/self/mounts
umount -l /sys/kernel/debug 2>/dev/null
exec "$@"
"""


def without_tracefs():
    """In a mount namespace of its own, where tracefs is mounted nowhere."""
    return ["unshare", "--mount", "sh", "-c", WITHOUT_TRACEFS, "sh"]


class PidNamespace:
    """A PID namespace, with a procfs of its own, that lasts until stop()."""

    def __init__(self, inside=None):
        """A new one below ours, or below another one."""
        outer = inside.enter() if inside else []
        self.process = procs.Process(
            [*outer, "unshare", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c",
             "echo ready; exec sleep 100000"])
        self.process.wait_line("ready")
        self.init = procs.wait_for(self._init, what="the first process of a PID namespace")

    def _init(self):
        for pid in procs.children(self.process.pid):
            try:
                with open(f"/proc/{pid}/comm") as f:
                    if f.read().strip() == "sleep":
                        return pid
            except OSError:
                continue
        return None

    def enter(self):
        return ["nsenter", "-t", str(self.init), "--pid", "--mount", "--"]

    def number(self, pid):
        """What a process of ours is called in there."""
        with open(f"/proc/{pid}/status") as f:
            line, = [l for l in f if l.startswith("NSpid:")]
        return int(line.split()[-1])

    def stop(self):
        self.process.stop(9)
