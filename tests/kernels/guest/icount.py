# SPDX-License-Identifier: Apache-2.0
"""Instructions that hostprof adds, in a guest whose clock counts instructions: icount.py RUNGS.json.

QEMU's -icount makes the clock advance by 1 ns an instruction, so time on a CPU is a number of
instructions. For each rung, and with nothing attached before and after: nginx's worker, per request; and
a process that hostprof has no business with, per system call. Output, one JSON object a line behind
"COUNT ": rung, round, what, instructions.
"""

import json
import os
import subprocess
import sys

sys.path.insert(0, "/hp/tests/e2e")

from lib import procs, profiler, servers  # noqa: E402
from world import SLOW, run_ns  # noqa: E402

LOAD = "/hp/.output/guest/guestload"
REQUESTS = 2000
CALLS = {"getppid": 50000, "pread": 50000, "read": 50000, "pair": 10000}
PATHS = {"nginx": "/f/small.txt"}
ROUNDS = 3


def load(*args):
    run = subprocess.run([LOAD, *map(str, args)], capture_output=True, text=True, timeout=SLOW * 4)
    assert run.returncode == 0, run.stderr
    return int(run.stdout)


def say(rung, number, what, value):
    print("COUNT " + json.dumps(dict(rung=rung, round=number, what=what, instructions=value)),
          flush=True)


def measure(rung, nginx):
    worker, = procs.children(nginx.pid)
    load("requests", nginx.port, PATHS["nginx"], 200)  # caches, verdicts
    for number in range(ROUNDS):
        before = run_ns([worker])
        load("requests", nginx.port, PATHS["nginx"], REQUESTS)
        say(rung, number, "nginx", (run_ns([worker]) - before) / REQUESTS)
        for name, n in CALLS.items():
            idle = load("calls", name, 0)
            say(rung, number, name, (load("calls", name, n) - idle) / n)


def main():
    with open(sys.argv[1]) as f:
        rungs = json.load(f)
    say("clock", 0, "spin", load("spin", 100_000_000) / 100_000_000)
    nginx = servers.Nginx()
    measure("nothing attached", nginx)
    for number, rung in enumerate(rungs):
        args = [a for key in rung["without"] for a in ("--without", key)]
        run = profiler.Hostprof(f"/tmp/out{number}", str(nginx.pid), "-d", "0", "--no-cpu", "--no-offcpu", *args,
                                formats="json")
        run.process.wait_line("hostprof: attached", where="err", timeout=SLOW * 5)
        measure(rung["name"], nginx)
        run.process.kill(2)
        report = run.report(SLOW * 5)
        assert report.lost() == {}, report.lost()
        got = sum(e["count"] for e in report.endpoints())
        assert got == 200 + ROUNDS * REQUESTS, f"{rung['name']}: {got} requests"
    measure("nothing attached any more", nginx)


os.chdir("/hp")
main()
