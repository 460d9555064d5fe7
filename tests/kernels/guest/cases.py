# SPDX-License-Identifier: Apache-2.0
"""What a guest does: cases.py RUNGS.json runs every case on every rung that it is told.

A rung is a list of features that hostprof is told to do without. Features that this kernel lacks come
from `hostprof doctor --json`; a rung that needs one of them is skipped and says which. Output, one
JSON object a line behind "CASE ": rung, case, status (passed, failed, skipped), detail, seconds.

Cases: the probe tests b_*, and `e2e`: one attach to nginx, to an application over PostgreSQL, to a
server on io_uring and to a process that computes, each held against a witness of its own (the access log,
pg_stat_statements, the client, the scheduler's clock).
"""

import collections
import json
import os
import re
import shutil
import subprocess
import sys
import time
import traceback

HP = "/hp/.output/hostprof"
GUEST = "/hp/.output/guest"
NGINX_PATHS = ("/f/small.txt", "/empty", "/text", "/f/none", "/sized/7/x", "/f/large.txt")
NGINX_REQUESTS = 600
APP_REQUESTS = 120
RING_REQUESTS = 40
SOCKET_RUNGS = ("fentry", "kprobe")
BUSY_S = 2
# Sampled time on a CPU by the scheduler's. The host takes the guest's processor away at times: samples that
# are due meanwhile become one, while the scheduler counts the time. More than there was is always wrong.
CPU_RATIO = (0.4, 1.15)
# On a kernel that preempts BPF programs: stamps of arrivals and new connections that it may skip in a
# case. Each costs a request the time it waited before it was read, or nothing; none may cost a count.
SKIPPED_MAX = 5


class Skip(Exception):
    """A case that says of itself that this kernel has nothing for it; the text says what."""


def say(rung, case, status, detail, seconds):
    print("CASE " + json.dumps(dict(rung=rung, case=case, status=status, detail=detail,
                                    seconds=round(seconds, 1))), flush=True)


def doctor(*args):
    run = subprocess.run([HP, "doctor", "--json", *args], capture_output=True, text=True)
    return json.loads(run.stdout)


def missing_features():
    """{key: why} of what this kernel does not have."""
    return {c["key"]: c["detail"] for c in doctor()["checks"]
            if c["since_kernel"] and not c["there"]}


def options(rung):
    return [a for key in rung["without"] for a in ("--without", key)]


def check_rung(rung):
    """hostprof ends where this row means it to."""
    taken = {p["key"]: p["rung"] or "none" for p in doctor(*options(rung))["probes"]}
    same("rungs", (taken["transfers"], taken["arrivals"]), (rung["transfers"], rung["arrivals"]))


def probe_test(rung, name):
    """A cmocka program; the detail counts its tests or names those that failed."""
    env = {**os.environ, "HOSTPROF_WITHOUT": ",".join(rung["without"]),
           "CMOCKA_MESSAGE_OUTPUT": "TAP"}
    run = subprocess.run([f"{GUEST}/{name}"], capture_output=True, text=True, env=env, cwd="/hp",
                         timeout=rung["limit_s"])
    for row in re.findall(r"^# row (.*)$", run.stdout, re.M):
        print("VERIFIER " + row, flush=True)
    planned = sum(int(n) for n in re.findall(r"^\s*1\.\.(\d+)", run.stdout, re.M))
    results = re.findall(r"^\s*(not ok|ok) \d+ (.*)$", run.stdout, re.M)
    skips = [test for _, test in results if test.startswith("# SKIP")]
    bad = [test[2:] for word, test in results if word == "not ok" and test not in skips]
    if run.returncode or bad or len(results) != planned or not planned:
        notes = [l for l in (run.stdout + run.stderr).splitlines()
                 if not re.match(r"\s*(ok \d|1\.\.|# row)", l)]
        print("\n".join(notes[-40:]), flush=True)
        raise AssertionError(f"{len(bad)} of {planned} failed: {' '.join(bad) or 'no end'}")
    if len(skips) == planned:
        notes = [l for l in (run.stderr + run.stdout).splitlines()
                 if not re.match(r"\s*(#|1\.\.|(not )?ok )", l)]
        raise Skip("this kernel: " + (notes or ["skipped without a reason"])[0].strip())
    return f"{planned - len(skips)} tests" + (f", {len(skips)} skipped" if skips else "")


def attach(world, rung, out):
    from lib import profiler

    shutil.rmtree(out, ignore_errors=True)
    run = profiler.Hostprof(out, *map(str, world.targets()), "-d", "0", "-v", *options(rung),
                            formats="json,ndjson")
    run.process.wait_line("hostprof: attached", where="err", timeout=rung["limit_s"])
    return run


def shape(statement):
    """A statement as both sides write it."""
    return re.sub(r"\s+", " ", re.sub(r"\$\d+|\?|\b\d+\b", "?", statement)).strip().lower()


def same(what, got, want):
    assert got == want, f"{what}: {got}, but {want}"


def check_http(report, target, client, rows=None):
    """Counts and statuses against the server's own log, times within what the client saw."""
    requests = [r for r in report.requests() if r["target"] == target]
    same("requests", len(requests), len(client.seen))
    same("statuses", collections.Counter(r["status"] for r in requests),
         collections.Counter(status for _, status, _ in client.seen))
    endpoints = [e for e in report.endpoints() if e["target"] == target]
    same("requests in the summary", sum(e["count"] for e in endpoints), len(client.seen))
    if rows is not None:
        same("statuses in the access log", collections.Counter(status for status, _ in rows),
             collections.Counter(r["status"] for r in requests))
        same("bytes sent", sum(r["response_bytes"] for r in requests), sum(n for _, n in rows))
    took = sum((r["end_ns"] - r["start_ns"]) / 1e9 for r in requests)
    seen = sum(seconds for _, _, seconds in client.seen)
    assert 0 < took < seen, f"{took:.3f} s for requests that took the client {seen:.3f} s"
    return len(requests)


def check_ring(report, rung, target, client):
    """A server on io_uring: exact on the sockets' own functions; else not there, and said so."""
    if rung["transfers"] in SOCKET_RUNGS:
        check_http(report, target, client)
        return "io_uring exact"
    same("requests of the ring", [r for r in report.requests() if r["target"] == target], [])
    notes = [n for n in report.trust["notes"] if "io_uring" in n and "not seen" in n]
    assert notes, f"no note on io_uring: {report.trust['notes']}"
    return "io_uring named"


def check_queries(report, world):
    want, got = collections.Counter(), collections.Counter()
    rows_want, rows_got = 0, 0
    for text, (calls, rows) in world.statements().items():
        want[shape(text)] += calls
        rows_want += rows
    for q in report.queries():
        if q["count"] > q["errors"]:
            got[shape(q["statement"])] += q["count"] - q["errors"]
        rows_got += q["rows"]
    same("calls", dict(got), dict(want))
    same("rows", rows_got, rows_want)
    same("failed statements", sum(q["errors"] for q in report.queries()), APP_REQUESTS // 10)
    return sum(want.values())


def check_cpu(report, ran_s):
    cpu = report.summary["cpu"]
    assert cpu["samples"] > 0, "no samples"
    assert CPU_RATIO[0] <= cpu["on_cpu_s"] / ran_s <= CPU_RATIO[1], \
        f"{cpu['on_cpu_s']:.2f} s on a CPU, {ran_s:.2f} by the scheduler"
    return cpu["samples"]


def missed_by(run):
    """{program: runs that the kernel skipped}, from what hostprof -v says last of each."""
    found = re.findall(r"program (\w+): .* (\d+) missed", run.process.stderr)
    return {name: int(n) for name, n in found if int(n)}


def check_losses(run, report, preempted):
    """Nothing; but where the kernel preempts BPF programs it may skip some that move no bytes."""
    lost, missed = report.lost(), missed_by(run)
    if preempted and not [name for name in missed if re.match("kprobe_|kretprobe_", name)]:
        assert lost.pop("program_missed", 0) <= SKIPPED_MAX, f"skipped by the kernel: {missed}"
    assert not lost, f"lost events: {lost}; skipped by the kernel: {missed}"


def end_to_end(rung, worlds):
    from world import APP_PORT, Client, World, run_ns

    if not worlds:
        worlds.append(World())
    world, = worlds
    check_rung(rung)
    run = attach(world, rung, "/tmp/out")
    world.forget_statements()
    before = run_ns(world.processes())
    nginx, app = Client(world.nginx.port, 4), Client(APP_PORT, 2)
    ring = Client(world.ring_port, 2)
    for i in range(NGINX_REQUESTS):
        nginx.get(NGINX_PATHS[i % len(NGINX_PATHS)])
    app.get("/fresh")
    for i in range(APP_REQUESTS):
        app.get("/fail" if i % 10 == 5 else "/missing" if i % 10 == 7 else f"/item/{i + 1}")
    for i in range(RING_REQUESTS):
        ring.get(f"/bytes/{i * 700}/{i}" if i % 8 else "/none")
    world.compute(BUSY_S)
    ran_s = (run_ns(world.processes()) - before) / 1e9
    rows = world.nginx_rows(len(nginx.seen))
    run.process.kill(2)
    report = run.report(rung["limit_s"])
    ids = {t["pid"]: t["id"] for t in report.summary["targets"]}
    check_losses(run, report, rung["preempted"])
    n = check_http(report, ids[world.nginx.pid], nginx, rows)
    a = check_http(report, ids[world.app.pid], app)
    q = check_queries(report, world)
    r = check_ring(report, rung, ids[world.ring.pid], ring)
    s = check_cpu(report, ran_s)
    for client in (nginx, app, ring):
        client.close()
    return f"{n} + {a} requests, {q} calls exact, {r}, {s} samples"


def one(rung, case, function, *args):
    begin = time.monotonic()
    try:
        say(rung["name"], case, "passed", function(rung, *args), time.monotonic() - begin)
    except Skip as e:
        say(rung["name"], case, "skipped", str(e), time.monotonic() - begin)
    except subprocess.TimeoutExpired:
        say(rung["name"], case, "failed", f"not done in {rung['limit_s']} s",
            time.monotonic() - begin)
    except Exception as e:
        if not isinstance(e, AssertionError):
            traceback.print_exc(file=sys.stdout)
        say(rung["name"], case, "failed", str(e)[:400] or type(e).__name__,
            time.monotonic() - begin)


def main():
    with open(sys.argv[1]) as f:
        rungs = json.load(f)
    lacks = missing_features()
    print("LACKS " + json.dumps(lacks), flush=True)
    worlds = []  # one, made by the first case that needs it
    best = True
    for rung in rungs:
        absent = [key for key in rung["needs"] if key in lacks]
        extra = [key[1:] for key in rung["needs"] if key[0] == "!" and key[1:] not in lacks]
        rung["preempted"] = "whole_programs" in lacks
        for case in rung["all"] if best and not absent and not extra else rung["cases"]:
            if absent:
                say(rung["name"], case, "skipped", f"this kernel lacks {', '.join(absent)}", 0)
            elif extra:
                say(rung["name"], case, "skipped", f"this kernel has {', '.join(extra)}", 0)
            elif case == "e2e":
                one(rung, case, end_to_end, worlds)
            else:
                one(rung, case, probe_test, case)
        best = best and bool(absent or extra)
    for world in worlds:
        world.stop()


sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, "/hp/tests/e2e")
main()
