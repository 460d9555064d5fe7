# SPDX-License-Identifier: Apache-2.0
"""Python stacks live: python_paths.py spins in known places, and every sample there has that very path."""

import json
import os
import re
import subprocess
from collections import Counter

from lib import procs, profiler, servers

HERE = os.path.dirname(os.path.abspath(__file__))
SECONDS = 0.5
HZ = 499
# Of the 250 samples that a spin has when it has a processor to itself.
SAMPLES_MIN = 10
# Those outside of the spin itself: writing the path, and the first line.
EQUAL = 0.97

# Python's; frames of C have files, too, where there is debug information.
FRAME = re.compile(r"(.+) \((?:[^():]*/)?([^/():]+\.py|<[^<>]+>):(\d+)\)$")


def python_frames(stack):
    """((name, file, line), …) of a folded stack, innermost first."""
    found = [FRAME.match(f) for f in stack.split(";")]
    return tuple((m[1], m[2], int(m[3])) for m in reversed(found) if m)


def folded(report):
    for line in report.read("cpu.folded").decode().splitlines():
        stack, _, count = line.rpartition(" ")
        yield python_frames(stack), int(count)


def check_paths(report, out, least=SAMPLES_MIN):
    with open(out) as f:
        wanted = {tuple((name, os.path.basename(file), line) for name, file, line in json.loads(row))
                  for row in f}
    seen = Counter()
    for frames, count in folded(report):
        if frames and frames[0][0] == "leaf":
            seen[frames[1:]] += count
    strange = Counter({k: n for k, n in seen.items() if k not in wanted})
    total = sum(seen.values())
    print(f"{len(wanted)} paths, {total} samples, {sum(strange.values())} elsewhere", report.trust["stacks"])
    for path in wanted:
        assert seen[path] >= least, (path, seen[path], strange.most_common(3))
    assert sum(strange.values()) <= (1 - EQUAL) * total, strange.most_common(3)
    return wanted


def test_known_paths(hostprof, tmp_path):
    """Callbacks from C, generators, coroutines, threads, a fork, another interpreter, a new program."""
    out = tmp_path / "paths"
    target = procs.Process([procs.PYTHON, os.path.join(HERE, "python_paths.py"), SECONDS, out],
                           stdin=subprocess.PIPE)
    target.wait_line("ready")
    run = hostprof(target.pid, "-d", "0", "--freq", HZ)
    target.write("\n")
    assert target.wait(60) == 0, target.stderr
    report = run.report()
    wanted = check_paths(report, out)
    assert len(wanted) == 17
    assert report.lost() == {}
    stacks = report.trust["stacks"]
    # 300 calls deep is deeper than a stack is kept, and nothing else is cut.
    deep = sum(n for frames, n in folded(report) if frames and frames[0][0] in ("spin", "deep")
               and len(frames) > 200)
    assert SAMPLES_MIN <= deep and deep <= stacks["truncated"] <= deep + 3
    # The new program's mappings are known within 100 ms, its tables are made within as much again.
    stops = stacks["stops"]
    new = stops.get("no_mapping", 0), stops.get("table_pending", 0)
    assert new[0] <= HZ / 10 and sum(new) <= HZ / 5
    # What else is cut: in ld.so, and where a walk by frame pointers cannot tell whether it was whole.
    assert stacks["total"] - stacks["complete"] - stacks["truncated"] - sum(new) <= HZ / 10


RECURSIVE = """
import sys
sys.setrecursionlimit(3000)
def spin():
    n = 0
    while True:
        n += 1
        if n == 1000: print('ready', flush=True)
def deep(n):
    return deep(n - 1) if n > 1 else spin()
deep(1000)
"""


def test_a_thousand_calls_deep(hostprof, tmp_path):
    """The innermost 256 frames, in order; the rest is said to be missing, and counted."""
    (tmp_path / "recursive.py").write_text(RECURSIVE)
    target = procs.Process([procs.PYTHON, tmp_path / "recursive.py"])
    try:
        target.wait_line("ready")
        report = hostprof(target.pid, "-d", "1s", "--freq", "199").report()
    finally:
        target.stop()
    stacks = report.trust["stacks"]
    print(stacks)
    total = 0
    for line in report.read("cpu.folded").decode().splitlines():
        stack, _, count = line.rpartition(" ")
        names = [f.split(" (")[0] for f in stack.split(";")]
        calls = names.count("deep")
        total += int(count)
        # What follows is C code that the instruction needs, and the kernel's.
        assert names[1:calls + 3] == ["(truncated)"] + ["deep"] * calls + ["spin"], stack[-2000:]
        assert calls >= 240 and len([n for n in names[2:] if not n.endswith("_[k]")]) >= 256, stack
    assert total >= SAMPLES_MIN
    assert stacks["truncated"] == stacks["stops"].get("too_deep") == total, stacks
