# SPDX-License-Identifier: Apache-2.0
"""Off-CPU times: by thread and reason, against the threads' own clocks and the scheduler's.

The workload is workloads/waits.c: threads that wait in one way each and time every wait.
"""

import json
import os
import subprocess

from lib import procs, profiler, protobuf

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


WOKEN = {"w_pipe": "pipe", "w_futex": "futex", "w_socket": "socket", "w_poll": "socket",
         "w_epoll": "idle", "w_event": "event"}


def functions(frames):
    """Without file and line."""
    return [f.split(" (")[0] for f in frames]


def test_wakers(hostprof, tmp_path):
    """One thread wakes all that wait for others, in a function of its own."""
    report, _, _ = run_waits(hostprof, tmp_path, 2500, 0, "--no-http", "--no-db")
    by = {}
    for line in report.read("wakers.folded").decode().splitlines():
        stack, us = line.rsplit(" ", 1)
        thread, reason, waker, *frames = stack.split(";")
        row = by.setdefault((thread, reason), {"all": 0, "w_waker": 0, "frames": 0})
        row["all"] += int(us)
        row["w_waker"] += int(us) * (waker == "by w_waker")
        row["frames"] += int(us) * ("waker_main" in functions(frames))
    for thread, reason in WOKEN.items():
        row = by[thread, f"({reason})"]
        assert row["w_waker"] == row["all"] > 500000, (thread, row)
        # Stacks are taken of those that were long enough when they were woken; the rest waited to run, too.
        assert row["frames"] >= 0.5 * row["all"], (thread, row)
        said = next(w for w in report.summary["offcpu"]["wakers"]
                    if (w["thread"], w["reason"]) == (thread, reason))
        assert said["waker"] == "w_waker" and "waker_main" in functions(said["top"]), said
        assert abs(said["blocked_s"] - row["all"] / 1e6) < 1e-3
    sleep = by["w_sleep", "(sleep)"]
    assert sleep["w_waker"] == 0 and ("w_sleep", "sleep", "an interrupt") in {
        (w["thread"], w["reason"], w["waker"]) for w in report.summary["offcpu"]["wakers"]}
    text = report.read("PERFORMANCE_REPORT.md").decode()
    assert "| Until woken by |" in text and "w_waker" in text


STEPS = """
import sys, threading, time
sys.stdin.readline()
on = time.thread_time()
for i in range(60):
    time.sleep(0.02)
    end = time.thread_time() + 0.005
    while time.thread_time() < end:
        pass
print(time.thread_time() - on, flush=True)
sys.stdin.readline()
"""


def slices(report):
    """[(tid, name, seconds)] of the timeline's tracks of states."""
    tracks, open_slices, found = {}, {}, []
    trace = protobuf.message(report.read("timeline.pftrace"))
    for packet in map(protobuf.message, trace[1]):
        if packet[60]:
            track = protobuf.message(packet[60][0])
            if track[2] == [b"state"]:
                tracks[track[1][0]] = track[5][0] & 0xffffffff
        if packet[11]:
            event = protobuf.message(packet[11][0])
            (track,), (kind,), (at,) = event[11], event[9], packet[8]
            if kind == 1:
                assert track not in open_slices
                open_slices[track] = event[23][0].decode(), at
            else:
                name, begin = open_slices.pop(track)
                found.append((tracks[track], name, (at - begin) / 1e9))
    assert not open_slices
    return found


def test_timeline_of_states(hostprof):
    """Every wait of 20 ms is in it, and between them the thread runs."""
    work = procs.Process([procs.PYTHON, "-c", STEPS], stdin=-1)
    run = hostprof(str(work.pid), "-d", "0", "--no-http", "--no-db")
    work.write("go\n")
    procs.wait_for(lambda: work.out or not work.running(), 60, "the workload to end")
    report = run.stop()
    work.write("leave\n")
    assert work.wait() == 0, work.stderr
    (t,) = report.summary["offcpu"]["threads"]
    mine = [(name, s) for tid, name, s in slices(report) if tid == t["tid"]]
    slept = [s for name, s in mine if name == "blocked: sleep"]
    why = t["by_reason"]["sleep"]
    assert len(slept) == why["count"] == 60
    assert abs(sum(slept) - why["blocked_s"]) < 1e-3
    queued = sum(s for name, s in mine if name == "runnable")
    assert abs(queued - why["runqueue_s"]) < 1e-3 + t["runqueue_s"] - why["runqueue_s"]
    ran = 0
    for name, s in mine:
        if name == "running":
            ran += s
        elif name.startswith("running "):
            ran += s * int(name.split()[1]) / 100
    # 59 of 60 steps lie between two waits; percents are whole ones.
    own = float(work.out[0]) * 59 / 60
    assert abs(ran - own) < 0.02 * own + SWITCH_S * 120 + 59 * 0.005 * 0.01, (ran, own)


DEADLOCK = """
import signal, threading

one, two = threading.Lock(), threading.Lock()
both = threading.Barrier(3)

def hold(first, second):
    with first:
        both.wait()
        take(second)

def take(lock):
    lock.acquire()

for pair in ((one, two), (two, one)):
    threading.Thread(target=hold, args=pair, daemon=True).start()
both.wait()
print("ready", flush=True)
signal.pause()
"""


def test_waits_that_do_not_end(hostprof, cleanup):
    """A deadlock: nothing happens to these threads in the whole window, and still it is seen where they wait."""
    hung = procs.Process([procs.PYTHON, "-c", DEADLOCK])
    cleanup(hung)
    hung.wait_line("ready")
    procs.wait_for(lambda: procs.threads_asleep(hung.pid, 3), 20, "three threads asleep")
    with open(f"/proc/{hung.pid}/status") as f:
        before = [line for line in f if "ctxt_switches" in line]
    report = hostprof(hung.pid, "-d", "1s").report()
    with open(f"/proc/{hung.pid}/status") as f:
        assert before == [line for line in f if "ctxt_switches" in line], "it was disturbed"
    stacks = [line.rsplit(" ", 1) for line in report.read("offcpu.folded").decode().splitlines()]
    offcpu = report.summary["offcpu"]
    assert len(offcpu["threads"]) == 3
    locked = [(s.split(";"), int(us)) for s, us in stacks if "take (" in s]
    assert locked and all(us > 0 for _, us in locked), stacks
    for frames, _ in locked:
        names = [f.split(" (")[0] for f in frames]
        assert names.index("hold") < names.index("take"), frames
        assert any("futex" in f and f.endswith("_[k]") for f in frames), frames
    # From the window's first moment to its last; totals begin and end when each row is read, a little later.
    waited, window = sum(us for _, us in locked) / 1e6, report.summary["window"]["duration_s"]
    assert abs(waited - 2 * window) < 1e-3, (locked, window)
    assert 0.75 * waited <= offcpu["by_reason"]["futex"]["blocked_s"], offcpu["by_reason"]
    place = offcpu["places"][0]
    assert place["function"].startswith("take (") and place["reason"] == "futex", offcpu["places"]
    assert f"| `{place['function']}` | futex |" in report.read("PERFORMANCE_REPORT.md").decode()
    paused = [s for s, _ in stacks if "pause" in s]
    assert paused and all("_start" in s for s in paused), stacks
    trust = report.trust["wait_stacks"]
    assert trust["complete"] == trust["total"] >= 3, trust
    assert not report.lost()


def test_polling_for_connections_is_idle(hostprof, cleanup, tmp_path):
    """socketserver and all that builds on it: poll() of the listening socket, again every half second."""
    server = procs.Process([procs.PYTHON, "-u", "-m", "http.server", str(procs.free_port())], cwd=tmp_path)
    cleanup(server)
    server.wait_line("Serving")
    report = hostprof(server.pid, "-d", "3s").report()
    (t,) = report.summary["offcpu"]["threads"]
    # Of the poll() that was under way at attach the memory cannot be read.
    assert t["by_reason"]["idle"]["blocked_s"] >= 0.75 * t["wall_s"], t
    assert "socket" not in t["by_reason"]
