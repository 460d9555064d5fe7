# SPDX-License-Identifier: Apache-2.0
"""`make bench`: what measuring costs, in paired runs.

For each server a round is three runs of the same closed-loop load: without a probe, with hostprof
attached, with latency.bt (a bpftrace script that takes nothing but a latency histogram); the order
rotates from round to round. Printed are medians over the rounds: BPF time per request from the kernel's
run-time statistics of exactly those programs, the profiler's own CPU per request, the target's CPU
per request, and the throughput against the run without probes of the same round.
Options: --rounds N, --seconds S, --json FILE.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "e2e"))

from lib import postgres, procs, profiler, servers  # noqa: E402

STATS = "/proc/sys/kernel/bpf_stats_enabled"
AIM_OWN_US = 5.0


def cpu_s(pids):
    """CPU seconds of processes so far; from schedstat, which counts in ns."""
    total = 0.0
    for pid in pids:
        try:
            for tid in os.listdir(f"/proc/{pid}/task"):
                with open(f"/proc/{pid}/task/{tid}/schedstat") as f:
                    total += int(f.read().split()[0]) / 1e9
        except OSError:
            continue
    return total


class Programs:
    """Run time of the BPF programs that some processes hold."""

    def __init__(self, pids):
        self.ids = {n for kind, n in profiler.kernel_objects(pids) if kind == "prog"}
        self.tool = subprocess.run([os.path.join(profiler.ROOT, "tools/find-bpftool.sh")],
                                   capture_output=True, text=True).stdout.strip()
        assert self.ids, "the probes hold no programs"

    def read(self):
        """(ns, runs) of all of them."""
        listed = json.loads(subprocess.run([self.tool, "-j", "prog", "show"], check=True,
                                           capture_output=True).stdout)
        mine = [p for p in listed if p["id"] in self.ids]
        return (sum(p.get("run_time_ns", 0) for p in mine), sum(p.get("run_cnt", 0) for p in mine))


class Nothing:
    name = "none"
    pids = ()

    def __init__(self, target, out):
        pass

    def stop(self):
        return {}


class Hostprof:
    name = "hostprof"

    def __init__(self, target, out):
        self.run = profiler.attach(out, target, "-d", "0", formats="json")
        self.pids = self.run.pids()

    def stop(self):
        report = self.run.stop()
        return {"counted": sum(e["count"] for e in report.endpoints()), "lost": report.lost(),
                "reported": report.trust["overhead"]}


class Script:
    name = "bpftrace"

    def __init__(self, target, out):
        workers = procs.children(target)
        self.process = procs.Process(
            ["bpftrace", os.path.join(HERE, "latency.bt"), workers[0] if workers else target])
        procs.wait_for(lambda: len(profiler.kernel_objects([self.process.pid])) >= 13, 30,
                       f"bpftrace's programs: {self.process.stderr}")
        self.pids = [self.process.pid]

    def stop(self):
        self.process.stop(2)
        counted = sum(int(line.split(")")[1].split("|")[0]) for line in self.process.out
                      if line.startswith("["))
        return {"counted": counted}


def measure(kind, server, path, seconds, connections):
    with tempfile.TemporaryDirectory() as tmp:
        probe = kind(server.pid, os.path.join(tmp, "out"))
        programs = Programs(probe.pids) if probe.pids else None
        target = [server.pid, *procs.children(server.pid)]
        servers.wrk(server.port, path, connections, 1)  # caches, pools, verdicts
        bpf = programs.read() if programs else (0, 0)
        own, used = cpu_s(probe.pids), cpu_s(target)
        count = servers.wrk(server.port, path, connections, seconds)
        used, own = cpu_s(target) - used, cpu_s(probe.pids) - own
        if programs:
            after = programs.read()
            bpf = (after[0] - bpf[0], after[1] - bpf[1])
        result = probe.stop()
    return {"rate": count / seconds, "bpf_us": bpf[0] / 1e3 / count, "runs": bpf[1] / count,
            "own_us": own * 1e6 / count, "target_us": used * 1e6 / count, **result}


def bench(name, server, path, options, connections):
    kinds = [Nothing, Hostprof, Script]
    runs = {kind.name: [] for kind in kinds}
    for number in range(options.rounds):
        for kind in kinds[number % 3:] + kinds[:number % 3]:
            runs[kind.name].append(measure(kind, server, path, options.seconds, connections))
    print(f"\n{name}: {options.rounds} rounds of {options.seconds} s, {connections} connections")
    print(f"{'':10}{'requests/s':>12}{'ratio':>8}{'(each round)':>26}{'BPF us/req':>12}"
          f"{'runs/req':>10}{'own us/req':>12}{'target us/req':>15}")
    result = {"server": name}
    for kind in kinds:
        mine = runs[kind.name]
        ratios = [r["rate"] / base["rate"] for r, base in zip(mine, runs["none"])]
        row = {key: statistics.median(r[key] for r in mine)
               for key in ("rate", "bpf_us", "runs", "own_us", "target_us")}
        row["ratio"] = statistics.median(ratios)
        result[kind.name] = dict(row, rounds=mine)
        each = " ".join(f"{r:.2f}" for r in ratios[:5])
        print(f"{kind.name:10}{row['rate']:12.0f}{row['ratio']:8.3f}{each:>26}{row['bpf_us']:12.2f}"
              f"{row['runs']:10.1f}{row['own_us']:12.2f}{row['target_us']:15.1f}")
    lost = {k: v for r in runs["hostprof"] for k, v in r["lost"].items()}
    print(f"hostprof's own figure of BPF time: "
          f"{runs['hostprof'][-1]['reported']['bpf_ms'] or 0:.1f} ms in the last round"
          f"{', lost: ' + str(lost) if lost else ''}")
    ours, theirs = result["hostprof"]["bpf_us"], result["bpftrace"]["bpf_us"]
    print(f"aims: BPF time below the script's: {verdict(ours < theirs)} ({ours:.2f} against "
          f"{theirs:.2f}); own CPU at most {AIM_OWN_US:.0f} us per request: "
          f"{verdict(result['hostprof']['own_us'] <= AIM_OWN_US)}")
    return result


def verdict(met):
    return "met" if met else "missed"


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--rounds", type=int, default=3)
    ap.add_argument("--seconds", type=int, default=5)
    ap.add_argument("--json")
    options = ap.parse_args()
    with open(STATS) as f:
        before = f.read()
    results = []
    pg = postgres.Postgres()
    tmp = tempfile.mkdtemp()
    try:
        with open(STATS, "w") as f:
            f.write("1")
        app = servers.App(pg, tmp)
        try:
            results.append(bench("FastAPI (uvloop, httptools), no database", app, "/ready",
                                 options, 16))
            results.append(bench("FastAPI (uvloop, httptools), one asyncpg query", app,
                                 "/async/1", options, 16))
        finally:
            app.stop()
        nginx = servers.Nginx()
        try:
            results.append(bench("nginx, static file of 612 bytes", nginx, "/f/small.txt", options,
                                 16))
        finally:
            nginx.stop()
    finally:
        with open(STATS, "w") as f:
            f.write(before)
        pg.stop()
    if options.json:
        with open(options.json, "w") as f:
            json.dump(results, f, indent=1)


if __name__ == "__main__":
    main()
