# SPDX-License-Identifier: Apache-2.0
"""Waits for Python's lock: their total by thread against the threads' own clocks, in every version.

The workload is workloads/gil.py. Reference: what perf_counter() counted and thread_time() did not.
"""

import glob
import json
import os
import re
import sys

import pytest

from lib import procs, profiler

sys.path.insert(0, os.path.join(profiler.ROOT, "tests", "python"))
import roots  # noqa: E402

GIL = os.path.join(profiler.ROOT, "tests", "workloads", "gil.py")
SECONDS = 1.5
SWITCH_S = 15e-6  # of a switch the clocks count some to one side, some to the other


def interpreters():
    """The host's own, pyenv's (shared and static libpython), and those of other Debian releases."""
    found = {}
    for pattern in ("/usr/bin/python3.*", os.path.expanduser("~/.pyenv/versions/*/bin/python3.*")):
        for path in sorted(glob.glob(pattern)):
            m = re.search(r"python3\.(\d+)$", path)
            if m and 8 <= int(m[1]) <= 14:
                found[os.path.realpath(path)] = path
    return [*found.values(), *sorted(roots.SUITES)]


def argv_of(which):
    if which not in roots.SUITES:
        return [which]
    try:
        return roots.interpreter(which)
    except roots.debs.Unavailable as e:
        pytest.skip(f"this machine cannot fetch packages of {which}: {e}")


def taken_s():
    """What interrupts and the hypervisor took of all processors: not in the threads' clocks."""
    with open("/proc/stat") as f:
        fields = [int(v) for v in f.readline().split()[1:9]]
    return sum(fields[5:8]) / os.sysconf("SC_CLK_TCK")


def of(thread, reason):
    why = thread["by_reason"].get(reason, {"blocked_s": 0, "runqueue_s": 0, "count": 0})
    return why["blocked_s"] + why["runqueue_s"], why["count"]


@pytest.mark.parametrize("which", interpreters())
def test_time_waiting_for_the_lock(hostprof, which):
    work = procs.Process([*argv_of(which), GIL, str(SECONDS)], stdin=-1)
    try:
        work.wait_line("ready")
        before = taken_s()
        run = hostprof(str(work.pid), "-d", "0", "--no-http", "--no-db")
        work.write("go\n")
        procs.wait_for(lambda: len(work.out) == 4 or not work.running(), 60, "the threads to end")
        taken = taken_s() - before
        report = run.stop()
    finally:
        work.kill(9)
        work.wait()
    own = [json.loads(line) for line in work.out[1:]]
    threads = {t["tid"]: t for t in report.summary["offcpu"]["threads"]}
    assert len(own) == 3 and not report.lost()
    for said in own:
        t = threads[said["tid"]]
        gil, count = of(t, "gil")
        pushed, times = of(t, "preempted")
        lock, _ = of(t, "futex")
        # The thread does not see its own first and last moments, in which it may wait for the lock, too.
        slack = taken + SWITCH_S * (count + times) + t["wall_s"] - said["wall_s"]
        if said["name"] == "lock":
            assert abs(lock + gil + pushed - said["off_s"]) <= 0.01 * said["off_s"] + slack, (said, t)
            assert gil < 0.05 * SECONDS, (said, t)
            continue
        # Its own clock cannot tell being pushed off its processor from waiting.
        assert abs(gil + pushed - said["off_s"]) <= 0.01 * said["off_s"] + slack, (said, t)
        assert gil > 0.02 * SECONDS and count > 20, (said, t)
        assert lock <= slack, (said, t)
    assert b";compute (workloads/gil.py:" in report.read("offcpu.folded")
