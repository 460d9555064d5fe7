# SPDX-License-Identifier: Apache-2.0
"""Java's methods and lines against the virtual machine's own dump (jcmd PID Thread.print).

Threads of tests/workloads/Paths.java always wait at the same place, each by another way: recursion,
lambdas, streams, a sort's comparator, reflection; what the compilers made one method counts as the
methods that it was. The dump is taken behind the window, once all of them wait there.
"""

import collections
import os
import re
import shutil
import subprocess
import time

import pytest

from lib import procs

WORKLOADS = os.path.join(os.path.dirname(__file__), "..", "workloads")
THREADS = {"w-recursion", "w-lambdas", "w-stream", "w-sort", "w-reflection"}
FRAME = re.compile(r"^\tat ([^(]+)\(([^)]*)\)$")


def need(command):
    path = shutil.which(command)
    if not path:
        pytest.skip(f"{command} is not installed")
    return path


def place(text):
    """'java.base@17.0.15/Thread.java:840' is Thread.java:840; 'Native Method' is no place."""
    file = text.rpartition("/")[2]
    return file if re.search(r":\d+$", file) else ""


def dump(pid):
    """{thread: [(method, place)]}, outermost first, of threads that wait where they all do."""
    end = time.monotonic() + 20
    found = {}
    while set(found) != THREADS:
        assert time.monotonic() < end, found
        text = subprocess.run([need("jcmd"), str(pid), "Thread.print"], capture_output=True,
                              text=True, check=True).stdout
        for part in text.split('\n"')[1:]:
            frames = [(m[1], place(m[2])) for m in map(FRAME.match, part.splitlines()) if m]
            if len(frames) > 1 and (frames[0][0], frames[1][0]) == ("java.lang.Thread.sleep", "Paths.leaf"):
                found[part.partition('"')[0]] = frames[::-1]
    return {name: frames for name, frames in found.items() if name in THREADS}


def waits(report):
    """{thread: {((method, place), …): microseconds}} of waits in Thread.sleep()."""
    found = collections.defaultdict(collections.Counter)
    for line in report.read("offcpu.folded").decode().splitlines():
        stack, _, weight = line.rpartition(" ")
        thread, *frames = stack.split(";")
        if thread not in THREADS or "JVM_Sleep" not in frames:
            continue
        at = frames.index("StubRoutines (1)") if "StubRoutines (1)" in frames else -1
        methods = []
        for frame in frames[at + 1:frames.index("JVM_Sleep")]:
            name, _, where = frame.partition(" (")
            methods.append((name, place(where.rstrip(")"))))
        found[thread][tuple(methods)] += int(weight)
    return found


@pytest.mark.parametrize("seconds, flags", [(9, ()), (1, ("-Xint",))], ids=["compiled", "interpreted"])
def test_java_against_its_dump(seconds, flags, hostprof, cleanup, tmp_path):
    subprocess.run([need("javac"), "-d", tmp_path, os.path.join(WORKLOADS, "Paths.java")], check=True)
    java = procs.Process([need("java"), *flags, "-cp", tmp_path, "Paths", seconds])
    cleanup(java)
    java.wait_line("warm")
    procs.wait_idle(java.pid, ("C1 Compiler", "C2 Compiler"), 2)
    report = hostprof(java.pid, "-d", "2s").report()
    said = dump(java.pid)
    names = same_names = places = same_places = 0
    got = waits(report)
    assert set(got) == THREADS
    for thread, stacks in got.items():
        assert sum(stacks.values()) > 500_000, (thread, stacks)
        for methods, weight in stacks.items():
            n = max(len(methods), len(said[thread]))
            names += n * weight
            places += n * weight
            same_names += weight * sum(a[0] == b[0] for a, b in zip(methods, said[thread]))
            same_places += weight * sum(a == b for a, b in zip(methods, said[thread]))
            if list(methods) != said[thread]:
                print(thread, weight, *methods, "\n instead of", *said[thread])
    print(f"names {same_names / names:.4f}, with lines {same_places / places:.4f}")
    assert same_names >= 0.95 * names
    assert same_places >= 0.95 * places
    trust = report.trust["wait_stacks"]
    assert trust["complete"] >= 0.99 * trust["total"], trust
