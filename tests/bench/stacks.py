# SPDX-License-Identifier: Apache-2.0
"""What a CPU sample costs in the kernel: FastAPI under uvloop at full load, native and Python frames mixed.

By the kernel's run-time statistics of the one program. It also runs, and returns at once, where another
process is on the processor; that is in the sum, so the figure for each of the target's samples is a
little too high. Prints the median of the rounds: µs and frames a sample, µs for 30 frames in proportion, and
the share of a core at 99 Hz. Options: --rounds N, --seconds S, --freq HZ, --json FILE.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "e2e"))

from lib import postgres, profiler, servers  # noqa: E402

STATS = "/proc/sys/kernel/bpf_stats_enabled"
AIM_US = 15.0  # for 30 frames
AIM_RATIO = 0.003  # of a core, at 99 Hz


def run_time_ns(pids):
    ids = {n for kind, n in profiler.kernel_objects(pids) if kind == "prog"}
    tool = subprocess.run([os.path.join(profiler.ROOT, "tools/find-bpftool.sh")], capture_output=True,
                          text=True).stdout.strip()
    listed = json.loads(subprocess.run([tool, "-j", "prog", "show"], check=True,
                                       capture_output=True).stdout)
    return sum(p.get("run_time_ns", 0) for p in listed
               if p["id"] in ids and p.get("name") == "oncpu_sample")


def depth(report):
    """(samples, frames) of all stacks, without what stands for the thread."""
    samples = frames = 0
    for line in report.read("cpu.folded").decode().splitlines():
        stack, _, count = line.rpartition(" ")
        samples += int(count)
        frames += int(count) * stack.count(";")
    return samples, frames


def measure(app, options):
    with tempfile.TemporaryDirectory() as tmp:
        run = profiler.attach(os.path.join(tmp, "out"), app.pid, "-d", "0", "--freq", options.freq)
        time.sleep(options.seconds)
        ns = run_time_ns(run.pids())
        samples, frames = depth(run.stop())
    us = ns / 1e3 / samples
    return {"us": us, "frames": frames / samples, "us_30": us * 30 * samples / frames,
            "ratio_99": us * 99 / 1e6, "samples": samples}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--freq", type=int, default=99)
    parser.add_argument("--json")
    options = parser.parse_args()
    with open(STATS) as f:
        before = f.read()
    pg = postgres.Postgres()
    try:
        with open(STATS, "w") as f:
            f.write("1")
        with tempfile.TemporaryDirectory() as tmp:
            app = servers.App(pg, tmp)
            load = servers.Load(app.port, tmp, connections=64)
            load.warm()
            rounds = [measure(app, options) for _ in range(options.rounds)]
            load.stop()
            app.stop()
    finally:
        with open(STATS, "w") as f:
            f.write(before)
        pg.stop()
    got = {key: statistics.median(r[key] for r in rounds) for key in rounds[0]}
    print(f"stacks: {got['us']:.1f} us and {got['frames']:.0f} frames a sample at {options.freq} Hz; "
          f"{got['us_30']:.1f} us for 30 frames (aim: {AIM_US:g}); "
          f"{got['ratio_99']:.2%} of a core at 99 Hz (aim: {AIM_RATIO:.1%})")
    if options.json:
        with open(options.json, "w") as f:
            json.dump(got, f)


if __name__ == "__main__":
    main()
