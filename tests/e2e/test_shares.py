# SPDX-License-Identifier: Apache-2.0
"""Functions' shares of the processor's time against the thread's own clock, and what compare makes of two.

The workload is workloads/shares.c: what runs next is drawn, so samples are independent of it, and of n
samples a function with share p gets n * p with a standard deviation of sqrt(n * p * (1 - p)). The bound
is four of them: of the 16 comparisons here one in a thousand runs would be further off by chance.
"""

import json
import os

import pytest

from lib import procs, profiler

SHARES = os.path.join(profiler.OUTPUT, "test", "shares")
WEIGHTS = (50, 30, 15, 5)
SIGMAS = 4


def run_shares(hostprof, seconds, weights, *args, **kwargs):
    """(report, {function: its share by the thread's clock}, seconds of processor time)."""
    work = procs.Process([SHARES, str(seconds), *map(str, weights)], stdin=-1)
    run = hostprof(str(work.pid), "-d", "0", "--no-http", "--no-db", *args, **kwargs)
    work.write("go\n")
    procs.wait_for(lambda: len(work.out) == len(weights) or not work.running(), 60 + 4 * seconds,
                   "the workload to end")
    report = run.stop()
    work.write("leave\n")
    assert work.wait() == 0, work.stderr
    own = {r["name"]: r["cpu_ns"] for r in map(json.loads, work.out)}
    total = sum(own.values())
    return report, {name: ns / total for name, ns in own.items()}, total / 1e9


def sampled(report, names):
    """{function: samples with it on the stack}"""
    found = dict.fromkeys(names, 0)
    for line in report.read("cpu.folded").decode().splitlines():
        stack, count = line.rsplit(" ", 1)
        for frame in {f.split(" (")[0] for f in stack.split(";")} & found.keys():
            found[frame] += int(count)
    return found


@pytest.mark.parametrize("hz,seconds", [(99, 5), (999, 3)])
def test_shares_within_the_sampling_error(hostprof, hz, seconds):
    report, own, cpu_s = run_shares(hostprof, seconds, WEIGHTS, "--freq", str(hz))
    found = sampled(report, own)
    n = sum(found.values())
    print({name: (found[name] / n, share) for name, share in own.items()}, n)
    # Less when the hypervisor takes the processor away. Beside others it is a draw whose turn a sample meets.
    assert 0.5 * hz * cpu_s < n <= hz * cpu_s + SIGMAS * (hz * cpu_s) ** 0.5, (n, cpu_s)
    assert n >= 0.98 * report.summary["cpu"]["samples"]
    for name, share in own.items():
        off = abs(found[name] - n * share)
        assert off <= SIGMAS * (n * share * (1 - share)) ** 0.5, (name, found, own)
    assert not report.lost()


def test_compare_finds_what_changed(hostprof, tmp_path):
    before, own, _ = run_shares(hostprof, 3, WEIGHTS, "--freq", "499", path=tmp_path / "before")
    after, own2, _ = run_shares(hostprof, 3, (20, 30, 15, 35), "--freq", "499",
                                path=tmp_path / "after")
    run = profiler.run("compare", before.path, after.path, "-o", tmp_path / "diff")
    assert run.returncode == 0, run.stderr
    cpu = run.stdout.split("off cpu")[0]
    less, more = cpu.split("  less:\n")[1].split("  more:\n")
    assert less.split()[1] == "work_a" and more.split()[1] == "work_d", cpu
    by = {"work_a": float(less.split()[0]), "work_d": float(more.split()[0])}
    for name, cores in by.items():
        want = variance = 0
        for sign, report, share in ((-1, before, own[name]), (1, after, own2[name])):
            n, seconds = report.summary["cpu"]["samples"], report.summary["window"]["duration_s"]
            want += sign * share * n / 499 / seconds
            variance += n * share * (1 - share) / (499 * seconds) ** 2
        # Three places are printed; the function's own time is all but its calls of the clock, 1 %.
        assert abs(cores - want) <= SIGMAS * variance ** 0.5 + 0.002 + 0.01 * abs(want), (cpu, own, own2)
    assert sorted(os.listdir(tmp_path / "diff")) == ["cpu.html", "offcpu.html"]
    page = (tmp_path / "diff" / "cpu.html").read_text(encoding="utf-8")
    assert "CPU difference: " in page
    same = profiler.run("compare", before.path, before.path)
    assert "no function differs" in same.stdout.split("off cpu")[0], same.stdout


@pytest.mark.no_root
def test_compare_refuses(tmp_path):
    assert profiler.run("compare", tmp_path).returncode == 2
    run = profiler.run("compare", tmp_path, tmp_path)
    assert run.returncode == 1 and "cannot open" in run.stderr
