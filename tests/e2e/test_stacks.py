# SPDX-License-Identifier: Apache-2.0
"""User stacks: whole on loaded servers, in code that appears while they are measured, and as gdb has them."""

import math
import os
import signal
import subprocess
import time

import pytest

from lib import procs, profiler, servers

WHOLE = 0.99  # of the CPU stacks
HZ = 99

# One native call of about two seconds in a library that is not mapped before.
LATE = """
import os, sys
print("ready", flush=True)
sys.stdin.readline()
if sys.argv[1] == "fork" and os.fork():
    os.wait()
    sys.exit()
if sys.argv[1] == "exec":
    os.execv(sys.executable, [sys.executable, "-c", sys.argv[2], "here"])
import hashlib
hashlib.pbkdf2_hmac("sha256", b"late", b"code", int(sys.argv[2]))
"""

GDB = """
import gdb
for thread in gdb.selected_inferior().threads():
    thread.switch()
    frame, found = gdb.newest_frame(), []
    while frame and len(found) < 300:
        if frame.type() not in (gdb.INLINE_FRAME, gdb.TAILCALL_FRAME):
            found.append(frame.pc())
        frame = frame.older()
    print("STACK", thread.ptid[1], *("%x" % pc for pc in found))
"""


def whole(report, at_least=100):
    stacks = report.trust["stacks"]
    print(stacks)
    assert stacks["total"] >= at_least
    return stacks["complete"] / stacks["total"]


def test_loaded_app(app, hostprof, tmp_path):
    """From the first sample on: the window begins when the tables are there."""
    load = servers.Load(app.port, tmp_path, connections=16)
    load.warm()
    report = hostprof(app.pid, "-d", "4s", "--freq", "499").report()
    load.stop()
    assert whole(report) >= WHOLE
    lines = report.read("cpu.folded").decode().splitlines()
    first = [line.split(";")[1].split(" (")[0] for line in lines]  # where libc has debug files with lines
    assert all(f in ("_start", "clone3", "__clone3") or "@0x" in f for f in first), lines


def test_postgres(pg, app, hostprof, tmp_path):
    """Backends: children of the target, some of them born while it is measured."""
    load = servers.Load(app.port, tmp_path, connections=16)
    load.warm()
    report = hostprof(pg.server.pid, "-d", "6s", "--freq", "499").report()
    load.stop()
    # Lazy binding in ld.so keeps its frame in rbx, and .fini has no frame information.
    assert whole(report) >= 0.97


def test_nginx(nginx, hostprof):
    client = procs.Process(["wrk", "-t1", "-c8", "-d20s", f"http://127.0.0.1:{nginx.port}/f/small.txt"])
    report = hostprof(nginx.pid, "-d", "4s", "--freq", "499").report()
    client.kill(signal.SIGTERM)
    client.wait()
    assert whole(report) >= WHOLE


@pytest.mark.parametrize("how", ["dlopen", "fork", "exec"])
def test_late_code(hostprof, how):
    """Code that is mapped while it runs under measurement is known within 100 ms."""
    rounds = 5_000_000
    work = ("import hashlib; hashlib.pbkdf2_hmac('sha256', b'late', b'code', %d)" % rounds
            if how == "exec" else rounds)
    target = procs.Process([procs.PYTHON, "-c", LATE, how, work], stdin=subprocess.PIPE)
    target.wait_line("ready")
    run = hostprof(target.pid, "-d", "0", "--freq", HZ)
    target.write("\n")
    target.wait(60)
    report = run.report()
    stacks = report.trust["stacks"]
    print(stacks)
    assert stacks["total"] >= 100
    assert stacks["total"] - stacks["complete"] <= math.ceil(HZ / 10)  # as many may fall into 100 ms
    assert "libcrypto" in report.read("cpu.folded").decode()


def stopped(pid):
    """Waits until every thread of it has stopped."""
    os.kill(pid, signal.SIGSTOP)

    def all_stopped():
        for tid in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{tid}/stat") as f:
                if f.read().rpartition(")")[2].split()[0] not in "Tt":
                    return False
        return True

    procs.wait_for(all_stopped, 10, f"{pid} to stop", 0.001)


def snapshot(pid):
    """([equal, threads], frames compared) of the native walk and gdb's on one stopped process."""
    stopped(pid)
    try:
        mine = subprocess.run([os.path.join(profiler.OUTPUT, "test", "h_unwind"), str(pid)],
                              stdout=subprocess.PIPE, text=True, check=True).stdout
        other = subprocess.run(
            ["gdb", "-p", str(pid), "-batch", "-nx", "-iex", "set auto-load off",
             "-iex", "set debuginfod enabled off", "-iex", "set debug-file-directory /nowhere",
             "-ex", "set backtrace past-main on",
             "-ex", "set backtrace limit 400", "-ex", "python exec(%r)" % GDB],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout
    finally:
        os.kill(pid, signal.SIGCONT)
    theirs = {}
    for line in other.splitlines():
        if line.startswith("STACK "):
            _, tid, *pcs = line.split()
            theirs[int(tid)] = [int(pc, 16) for pc in pcs]
    equal = threads = frames = 0
    for line in mine.splitlines():
        tid, stop, *pcs = line.split()
        ours = [int(pc, 16) for pc in pcs]
        threads += 1
        frames += len(ours)
        if stop == "2" and ours == theirs.get(int(tid)):
            equal += 1
        else:
            print("stop", stop, "ours", [hex(p) for p in ours], "gdb",
                  [hex(p) for p in theirs.get(int(tid), [])])
    return equal, threads, frames


def test_as_gdb(app, pg, nginx, tmp_path):
    load = servers.Load(app.port, tmp_path, connections=8, think_ms=1)
    load.warm()
    client = procs.Process(["wrk", "-t1", "-c4", "-d60s", f"http://127.0.0.1:{nginx.port}/f/small.txt"])
    targets = [app.pid, procs.children(nginx.pid)[0], *procs.children(pg.server.pid)[-4:]]
    equal = threads = frames = 0
    for _ in range(5):
        for pid in targets:
            if not procs.alive(pid):
                continue
            got = snapshot(pid)
            equal, threads, frames = equal + got[0], threads + got[1], frames + got[2]
            time.sleep(0.01)
    client.kill(signal.SIGTERM)
    client.wait()
    load.stop()
    print(f"{equal} of {threads} stacks equal gdb's, {frames} frames")
    assert threads >= 30
    assert equal >= 0.99 * threads
