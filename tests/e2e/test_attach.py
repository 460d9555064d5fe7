# SPDX-License-Identifier: Apache-2.0
"""Attach is fast; detach leaves nothing in the kernel, whichever way hostprof ends."""

import os
import signal

import pytest

from lib import procs, profiler, servers


def stats_enabled():
    with open("/proc/sys/kernel/bpf_stats_enabled") as f:
        return f.read().strip()


def test_first_event_comes_soon(app, hostprof, tmp_path):
    load = servers.Load(app.port, tmp_path, connections=16, think_ms=5)
    load.warm()
    took = []
    for n in range(3):
        run = hostprof(app.pid, "-d", "1s", path=tmp_path / f"out{n}")
        report = run.report()
        first = min(r["start_ns"] for r in report.requests() if "at_attach" not in r["flags"])
        took.append((first - run.started_ns) / 1e6)
    load.stop()
    print("attach to first event, ms:", [f"{t:.0f}" for t in took])
    assert min(took) > 0
    # 300 to 500 ms on a quiet machine, twice that on the same one at other hours: the same binary gave
    # 450 and 740. The median: one pause of the machine is no slow attach.
    assert sorted(took)[len(took) // 2] <= 1500, took


@pytest.mark.parametrize("end", ["duration", "ctrl-c", "sigterm", "sigkill", "target-exit"])
def test_nothing_stays(app, hostprof, tmp_path, end):
    load = servers.Load(app.port, tmp_path, connections=8, think_ms=20)
    load.warm()
    before = stats_enabled()
    run = hostprof(app.pid, "-d", "1s" if end == "duration" else "0")
    pids = run.pids()
    mine = profiler.kernel_objects(pids)
    kinds = {kind for kind, _ in mine}
    assert {"prog", "map"} <= kinds, "hostprof holds no programs: nothing would be tested"
    assert all(profiler.kernel_has(*o) for o in mine)
    if end == "ctrl-c":
        run.process.kill(signal.SIGINT)
    elif end == "sigterm":
        run.process.kill(signal.SIGTERM)
    elif end == "sigkill":
        run.process.kill(signal.SIGKILL)
    elif end == "target-exit":
        app.stop()
    status = run.process.wait(60)
    assert status == (-signal.SIGKILL if end == "sigkill" else 0), run.process.stderr
    procs.wait_for(lambda: not any(procs.alive(p) for p in pids), 5, "hostprof's processes to end")
    procs.wait_for(lambda: not any(profiler.kernel_has(*o) for o in mine), 5,
                   "programs, maps and links to go")
    assert stats_enabled() == before
    load.stop()
    if end == "sigkill":
        assert not os.path.exists(run.out), "a report that was never finished has its final name"


def test_second_ctrl_c_aborts(app, hostprof):
    """130 and no directory: unless the report was already finished, which the test avoids."""
    run = hostprof(app.pid, "-d", "0")
    worker = run.pids()[1:]
    for pid in worker:
        os.kill(pid, signal.SIGSTOP)  # the report cannot be finished now
    run.process.kill(signal.SIGINT)
    procs.wait_for(lambda: not run.process.running() or window_closed(run), 10, "the window's end")
    run.process.kill(signal.SIGINT)
    assert run.process.wait(10) == 130, run.process.stderr
    for pid in worker:
        if procs.alive(pid):
            os.kill(pid, signal.SIGCONT)
    procs.wait_for(lambda: not any(procs.alive(p) for p in worker), 5, "the second process's end")
    assert not os.path.exists(run.out)


def window_closed(run):
    """True once the first Ctrl-C was taken: the signal is no longer pending."""
    with open(f"/proc/{run.process.pid}/status") as f:
        fields = dict(line.split(":\t", 1) for line in f if ":\t" in line)
    return int(fields["SigPnd"], 16) == 0 and int(fields["ShdPnd"], 16) == 0


def test_target_not_disturbed(app, hostprof, tmp_path):
    """No stop, no signal, no fault: the target's answers are all there before, during and after."""
    load = servers.Load(app.port, tmp_path, connections=16, think_ms=10,
                        routes=["GET:/async/{id}", "GET:/sync/{id}", "POST:/echo/{id}"])
    load.warm()
    for n in range(3):
        hostprof(app.pid, "-d", "500ms", path=tmp_path / f"out{n}").report()
    rows = load.stop()
    broken = [r for r in rows.values() if r["status"] == 0]
    assert not broken
    with open(f"/proc/{app.pid}/status") as f:
        fields = dict(line.split(":\t", 1) for line in f if ":\t" in line)
    assert fields["TracerPid"].strip() == "0"
