# SPDX-License-Identifier: Apache-2.0
"""Processes, ports and waiting: the ground that all fixtures stand on.

Every process is started in a session of its own with the kernel told to kill it when the test run
dies, and is ended by its pid. Nothing waits for a fixed time: wait_for() polls a condition.
"""

import ctypes
import os
import random
import signal
import socket
import subprocess
import threading
import time

PYTHON = "/usr/bin/python3"
_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


class Timeout(AssertionError):
    """A condition that should have come true did not."""


def wait_for(condition, timeout=15.0, what="condition", interval=0.005):
    """Polls until condition() is true and returns its value."""
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise Timeout(f"waited {timeout} s for {what}")
        time.sleep(interval)


def free_port():
    """A port that nobody listens on, below the range that connect() takes its own from."""
    while True:
        port = random.randrange(20000, 32000)
        with socket.socket() as s:
            try:
                s.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


def listening(port, host="127.0.0.1"):
    with socket.socket() as s:
        s.settimeout(1)
        return s.connect_ex((host, port)) == 0


def alive(pid):
    """True while the process runs; a zombie has ended."""
    try:
        with open(f"/proc/{pid}/stat") as f:
            return f.read().rsplit(")", 1)[1].split()[0] not in "ZX"
    except OSError:
        return False


def children(pid):
    """All descendants of a process, itself not included."""
    found, todo = [], [pid]
    while todo:
        parent = todo.pop()
        try:
            for tid in os.listdir(f"/proc/{parent}/task"):
                with open(f"/proc/{parent}/task/{tid}/children") as f:
                    kids = [int(k) for k in f.read().split()]
                found += kids
                todo += kids
        except OSError:
            continue
    return found


def threads_asleep(pid, count):
    """Has the process that many threads, and do all of them sleep?"""
    states = []
    for tid in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{tid}/stat") as f:
            states.append(f.read().rsplit(")", 1)[1].split()[0])
    return states == ["S"] * count


def user_ids(name):
    import pwd

    entry = pwd.getpwnam(name)
    return entry.pw_uid, entry.pw_gid


class Process:
    """A child whose output is kept, line by line, and can be waited for."""

    def __init__(self, argv, user=None, env=None, cwd=None, stdin=None, name=None):
        self.argv = [str(a) for a in argv]
        self.name = name or os.path.basename(self.argv[0])
        ids = user_ids(user) if user else None

        def prepare():
            _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            if ids:
                os.setgroups([])
                os.setgid(ids[1])
                os.setuid(ids[0])
                _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)

        self.started_ns = time.monotonic_ns()
        self.popen = subprocess.Popen(
            self.argv,
            stdin=stdin or subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, **(env or {})},
            cwd=cwd,
            start_new_session=True,
            preexec_fn=prepare,
        )
        self.pid = self.popen.pid
        self.out, self.err = [], []
        self._readers = [
            threading.Thread(target=self._read, args=(self.popen.stdout, self.out), daemon=True),
            threading.Thread(target=self._read, args=(self.popen.stderr, self.err), daemon=True),
        ]
        for reader in self._readers:
            reader.start()

    @staticmethod
    def _read(stream, lines):
        for line in iter(stream.readline, b""):
            lines.append(line.decode("utf-8", "replace").rstrip("\r\n"))

    @property
    def stdout(self):
        return "\n".join(self.out)

    @property
    def stderr(self):
        return "\n".join(self.err)

    def running(self):
        return self.popen.poll() is None

    def write(self, text):
        self.popen.stdin.write(text.encode())
        self.popen.stdin.flush()

    def close_stdin(self):
        self.popen.stdin.close()

    def wait_line(self, start, where="out", timeout=30.0):
        """Waits for a line that begins with start; returns it. Fails at once when it ends."""
        lines = self.out if where == "out" else self.err

        def look():
            for line in list(lines):
                if line.startswith(start):
                    return line
            if not self.running():
                for reader in self._readers:
                    reader.join(5)
                if not any(line.startswith(start) for line in lines):
                    raise AssertionError(
                        f"{self.name} ended with {self.popen.returncode} before '{start}':\n"
                        f"{self.stdout}\n{self.stderr}"
                    )
            return None

        return wait_for(look, timeout, f"'{start}' from {self.name}; so far: {self.stderr[-2000:]}")

    def wait(self, timeout=60.0):
        """Waits for the end and returns the exit status."""
        try:
            self.popen.wait(timeout)
        except subprocess.TimeoutExpired:
            raise Timeout(f"{self.name} still runs after {timeout} s:\n{self.stderr[-4000:]}")
        for reader in self._readers:
            reader.join(5)
        return self.popen.returncode

    def kill(self, number):
        if self.running():
            self.popen.send_signal(number)

    def stop(self, number=signal.SIGTERM, timeout=20.0):
        """Ends it, with force after the timeout; returns the exit status."""
        if self.running():
            self.popen.send_signal(number)
            try:
                self.popen.wait(timeout)
            except subprocess.TimeoutExpired:
                self.popen.kill()
        return self.wait(10)


def wait_idle(pid, names, seconds, limit=90):
    """Until threads whose names contain one of these have not run for some seconds: compilers, that is."""
    def ticks():
        total = 0
        for tid in os.listdir(f"/proc/{pid}/task"):
            try:
                with open(f"/proc/{pid}/task/{tid}/stat") as f:
                    comm, _, rest = f.read().rpartition(")")
            except OSError:
                continue
            if any(name in comm for name in names):
                total += sum(map(int, rest.split()[11:13]))
        return total

    end = time.monotonic() + limit
    before, since = ticks(), time.monotonic()
    while time.monotonic() < since + seconds:
        assert time.monotonic() < end, f"{names} of {pid} never rest"
        time.sleep(0.1)
        now = ticks()
        if now != before:
            before, since = now, time.monotonic()
