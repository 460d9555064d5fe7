# SPDX-License-Identifier: Apache-2.0
"""hostprof's walk of Python frames against what the interpreter says of itself.

For every interpreter: target.py stops itself with all its threads described by sys._current_frames();
pystack (the programs' C over process_vm_readv, and the analyst's naming) says what it sees. Names, files
and lines of every frame of every thread have to agree.
"""

import glob
import json
import os
import re
import signal
import subprocess
import tempfile

import pytest

import roots

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
PYSTACK = os.path.join(ROOT, os.environ.get("O", ".output"), "test", "pystack")
AGREE = 0.995
SNAPSHOTS = int(os.environ.get("SNAPSHOTS", "500"))

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="not root: other processes' memory is closed")


def installed():
    found = {}
    for pattern in ("/usr/bin/python3.*", "/usr/local/bin/python3.*", "/opt/*/bin/python3.*",
                    os.path.expanduser("~/.pyenv/versions/*/bin/python3.*")):
        for path in sorted(glob.glob(pattern)):
            m = re.search(r"python3\.(\d+)t?$", path)
            if m and 8 <= int(m[1]) <= 14 and os.access(path, os.X_OK):
                found[os.path.realpath(path)] = path
    return list(found.values())


class Stopped:
    """A target that stops itself, and its pystack."""

    def __init__(self, argv, snapshots, seed):
        self.errors = tempfile.TemporaryFile("w+")
        self.target = subprocess.Popen([*argv, os.path.join(HERE, "target.py"), str(snapshots),
                                        str(seed)], stdout=subprocess.PIPE, text=True,
                                       stderr=self.errors,
                                       env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1",
                                            "PYTHONUTF8": "1"})
        assert self.target.stdout.readline() == "ready\n", self.said()
        self.walker = subprocess.Popen([PYSTACK, str(self.target.pid)], text=True,
                                       stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.head = self.walker.stdout.readline().strip()

    def said(self):
        self.errors.seek(0)
        return self.errors.read()[-2000:]

    def wait_stopped(self):
        """False when it has ended instead."""
        _, status = os.waitpid(self.target.pid, os.WUNTRACED)
        if os.WIFSTOPPED(status):
            return True
        self.target.returncode = os.waitstatus_to_exitcode(status)
        return False

    def ask(self):
        """{thread: {frames, loops, lost}} of all threads, as hostprof sees them."""
        self.walker.stdin.write("\n")
        self.walker.stdin.flush()
        stacks, rows = {}, None
        for line in self.walker.stdout:
            line = line.rstrip("\n")
            if line == "end":
                return stacks
            if line.startswith("thread "):
                word = line.split()
                rows = stacks[int(word[1])] = {"frames": [], "loops": int(word[5]),
                                               "lost": int(word[7])}
            else:
                name, file, number, _ = line.split("\t")
                rows["frames"].append([name, file, int(number)])
        raise AssertionError("pystack ended: " + self.head)

    def close(self):
        for p in (self.target, self.walker):
            if p.returncode is None:
                p.kill()
                p.wait()
        self.errors.close()


def agree(argv, snapshots=SNAPSHOTS, seed=1):
    stacks = equal = frames = taken = deepest = 0
    differ = []
    t = Stopped(argv, snapshots, seed)
    try:
        while t.wait_stopped():
            seen = t.ask()
            os.kill(t.target.pid, signal.SIGCONT)
            line = t.target.stdout.readline()
            if not line:
                break
            taken += 1
            for ident, want in json.loads(line).items():
                got = seen.get(int(ident), {"frames": [["no such thread", "", 0]]})["frames"]
                stacks += 1
                frames += len(want)
                deepest = max(deepest, len(want))
                equal += want == got
                if want != got:
                    at = next((i for i, (w, g) in enumerate(zip(want, got)) if w != g),
                              min(len(want), len(got)))
                    differ.append(f"frame {at}: {want[at:at + 2]} but {got[at:at + 2]}")
        print(f"{equal} of {stacks} stacks equal, {taken} snapshots, {frames} frames, deepest "
              f"{deepest}; {t.head}")
        assert taken >= snapshots, t.said()
    finally:
        t.close()
    assert stacks >= 3 * snapshots and deepest > 10
    assert equal >= AGREE * stacks, "\n".join(differ[:5])


@pytest.mark.parametrize("path", installed())
def test_installed(path):
    agree([path])


@pytest.mark.parametrize("suite", sorted(roots.SUITES))
def test_debian(suite):
    try:
        argv = roots.interpreter(suite)
    except roots.debs.Unavailable as e:
        pytest.skip(f"this machine cannot fetch packages of {suite}: {e}")
    agree(argv)
