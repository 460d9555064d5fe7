# SPDX-License-Identifier: Apache-2.0
"""Off-CPU times: by thread and reason, against the threads' own clocks and the scheduler's.

The workload is workloads/waits.c: threads that wait in one way each and time every wait.
"""

import json
import os
import subprocess

from lib import profiler, procs

WAITS = os.path.join(profiler.OUTPUT, "test", "waits")
REASON = {"w_sleep": "sleep", "w_pipe": "pipe", "w_futex": "futex", "w_socket": "socket",
          "w_poll": "socket", "w_epoll": "idle", "w_event": "event", "w_disk": "disk",
          "w_fault": "page_fault"}
SWITCH_S = 15e-6  # of a switch the clocks count some to one side, some to the other


def taken_s():
    """What interrupts and the hypervisor took of all processors: not in the scheduler's clock."""
    with open("/proc/stat") as f:
        fields = [int(v) for v in f.readline().split()[1:9]]
    return sum(fields[5:8]) / os.sysconf("SC_CLK_TCK")


def run_waits(hostprof, tmp_path, ms, spinners, *args):
    """(report, {tid: what the thread says of itself}, seconds taken)."""
    work = procs.Process([WAITS, str(tmp_path), str(ms), str(spinners)], stdin=-1)
    before = taken_s()
    run = hostprof(str(work.pid), "-d", "0", *args)
    work.write("go\n")
    procs.wait_for(lambda: len(work.out) >= len(REASON) + spinners or not work.running(), 60,
                   "the workload to end")
    taken = taken_s() - before
    work.write("leave\n")
    report = run.report()
    assert work.wait() == 0, work.stderr
    own = [json.loads(line) for line in work.out]
    return report, {t["tid"]: t for t in own}, taken


def test_waits_by_thread_and_reason(hostprof, tmp_path):
    report, own, taken = run_waits(hostprof, tmp_path, 2500, 1, "--no-http", "--no-db")
    offcpu = report.summary["offcpu"]
    threads = {t["tid"]: t for t in offcpu["threads"]}
    assert set(own) <= set(threads) and not offcpu["threads_more"]
    for tid, said in own.items():
        t = threads[tid]
        assert t["name"] == said["name"]
        parts = t["on_cpu_s"] + t["runqueue_s"] + t["blocked_s"]
        assert abs(parts - t["wall_s"]) <= 0.005 * t["wall_s"], t
        slack = SWITCH_S * said["waits"] + taken + t["wall_s"] - said["wall_ns"] / 1e9
        queued = said["runqueue_ns"] / 1e9
        assert abs(t["runqueue_s"] - queued) <= max(0.01 * queued, 0.005 * t["wall_s"]) + slack, t
        if said["name"] not in REASON:
            continue
        waited = said["waited_ns"] / 1e9
        why = t["by_reason"][REASON[said["name"]]]
        is_s = why["blocked_s"] + why["runqueue_s"]
        # Its own clock cannot tell being pushed off in a call that waits from waiting.
        pushed = t["by_reason"].get("preempted", {"runqueue_s": 0})["runqueue_s"]
        assert is_s <= 1.01 * waited + slack, (said, t)
        assert is_s + pushed >= 0.99 * waited - slack, (said, t)
    sums = offcpu["by_reason"]
    for key in ("blocked_s", "runqueue_s"):
        assert abs(sum(r[key] for r in sums.values()) - offcpu[key]) < 1e-3
    stacks = report.trust["wait_stacks"]
    assert stacks["total"] == offcpu["samples"] > 500
    assert stacks["complete"] >= 0.99 * stacks["total"], stacks
    assert not report.lost()


def test_stacks_say_where(hostprof, tmp_path):
    """The sample's weights are the totals, and its stacks the threads' own calls."""
    report, own, _ = run_waits(hostprof, tmp_path, 2500, 0, "--no-http", "--no-db")
    weight = {}
    for line in report.read("offcpu.folded").decode().splitlines():
        stack, us = line.rsplit(" ", 1)
        frames = [f.split(" (")[0] if f[:1] != "(" else f for f in stack.split(";")]
        weight[frames[0]] = weight.get(frames[0], 0) + int(us)
        if frames[0] in REASON:
            assert "thread_main" in frames, line
            assert (frames[1] == "(idle)") == (frames[0] == "w_epoll"), line
    threads = {t["tid"]: t for t in report.summary["offcpu"]["threads"]}
    for tid, said in own.items():
        if said["name"] not in REASON or said["name"] == "w_fault":
            continue
        why = threads[tid]["by_reason"][REASON[said["name"]]]
        total_us = (why["blocked_s"] + why["runqueue_s"]) * 1e6
        # n draws of 10 ms each have a standard error of 10 ms times the root of n.
        error = 4 * 10e3 * (total_us / 10e3) ** 0.5
        assert abs(weight[said["name"]] - total_us) <= error, (said["name"], weight, total_us)
    assert b"Off-CPU flame graph" in report.read("offcpu.svg")


def test_idle_server_is_idle(nginx, hostprof):
    run = hostprof(str(nginx.pid), "-d", "2s")
    report = run.report()
    offcpu = report.summary["offcpu"]
    workers = [t for t in offcpu["threads"] if "idle" in t["by_reason"]]
    assert workers
    for t in workers:
        assert t["by_reason"]["idle"]["blocked_s"] >= 0.99 * t["wall_s"] > 1.9, t
    text = run.process.stdout
    line = next(t for t in text.splitlines() if t.startswith("off cpu"))
    assert " idle " in line, line
    idle = offcpu["by_reason"]["idle"]
    assert idle["blocked_s"] > 1.9 * len(workers)


def test_switched_off(nginx, hostprof):
    report = hostprof(str(nginx.pid), "-d", "500ms", "--no-offcpu").report()
    assert report.summary["offcpu"] is None
    assert report.trust["wait_stacks"] is None
    assert any("offcpu" in note for note in report.trust["notes"])
    assert not [name for name in report.files() if name.startswith("offcpu")]


def test_no_way_to_see_switches(nginx, hostprof):
    """Said, and everything else is measured."""
    report = hostprof(str(nginx.pid), "-d", "500ms", "--without", "sched_switch").report()
    assert report.summary["offcpu"] is None
    assert any("off-CPU times are not measured" in note for note in report.trust["notes"])
    assert report.summary["cpu"] is not None


def test_thread_asleep_all_the_time(hostprof, cleanup):
    """Nothing happens to it: known from the walk over the threads at attach."""
    sleeper = procs.Process(["/bin/sleep", "60"])
    cleanup(sleeper)
    report = hostprof(str(sleeper.pid), "-d", "1s").report()
    (t,) = report.summary["offcpu"]["threads"]
    assert t["by_reason"]["sleep"]["blocked_s"] >= 0.999 * t["wall_s"] > 0.99
    assert t["by_reason"]["sleep"]["count"] == 0


def test_profiles_for_other_tools(hostprof, tmp_path):
    """offcpu.pb.gz as `go tool pprof` reads it, and offcpu.speedscope.json, hold what offcpu.folded does."""
    report, _, _ = run_waits(hostprof, tmp_path, 2500, 0, "--no-http", "--no-db")
    us = 0
    for line in report.read("offcpu.folded").decode().splitlines():
        us += int(line.rsplit(" ", 1)[1])
    doc = json.loads(report.read("offcpu.speedscope.json"))
    (profile,) = doc["profiles"]
    assert (profile["type"], profile["unit"]) == ("sampled", "nanoseconds")
    assert sum(profile["weights"]) == profile["endValue"] == us * 1000
    assert len(profile["samples"]) == len(profile["weights"])
    frames = doc["shared"]["frames"]
    assert all(0 <= i < len(frames) for stack in profile["samples"] for i in stack)
    top = subprocess.run(["go", "tool", "pprof", "-top", "-unit=us", "-nodefraction=0", "-nodecount=1000",
                          report.file("offcpu.pb.gz")], check=True, capture_output=True, text=True,
                         env={**os.environ, "HOME": str(tmp_path)}).stdout
    assert "Type: offcpu" in top
    # One function is on every stack of the workload's threads.
    row = next(r.split() for r in top.splitlines() if r.endswith(" thread_main"))
    want = sum(w for s, w in zip(profile["samples"], profile["weights"])
               if any(frames[i]["name"] == "thread_main" for i in s)) / 1000
    assert abs(float(row[3].removesuffix("us")) - want) <= 1, (row, want)
