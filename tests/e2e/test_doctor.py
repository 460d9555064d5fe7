# SPDX-License-Identifier: Apache-2.0
"""`hostprof doctor`: its verdicts are those of attach, and each bad one has a fix."""

import json
import os
import re
import shutil
import subprocess

import pytest

from lib import procs, profiler, servers


FEATURES = ("bpf btf ringbuf memlock raw_tp tp_btf sys_tp tracepoint data_ready tcp_probe "
            "iter_task_file perf_prog perf_hw typed_reads task_btf task_pt_regs "
            "run_stats recursion_misses whole_programs fentry module_btf kprobe kretprobe_room uprobe sched_switch "
            "sched_exit").split()


def features(*args):
    """{key: check} of the feature table as JSON, and the exit status."""
    got = profiler.run("doctor", "--json", *args)
    report = json.loads(got.stdout)
    assert report["exit_status"] == got.returncode
    assert report["attach_works"] == (got.returncode == 0)
    return {c["key"]: c for c in report["checks"] if c["since_kernel"]}, got.returncode


def lines_of(got):
    """{name: verdict} of what doctor prints; every bad verdict is followed by a fix, no other is."""
    verdicts, lines = {}, got.stdout.splitlines()
    for n, line in enumerate(lines):
        word, _, rest = line.strip().partition(" ")
        if line.startswith("  ") and word in ("ok", "warn", "fail", "--", "info"):
            verdicts[rest.strip().partition(":")[0]] = word
            fixed = n + 1 < len(lines) and lines[n + 1].startswith("        fix: ")
            assert fixed == (word in ("warn", "fail")), line
    return verdicts


@pytest.fixture
def target(tmp_path, cleanup):
    server = servers.Tiny(tmp_path)
    cleanup(server)
    return server


def test_all_is_well(target, out):
    got = profiler.run("doctor", target.pid)
    assert got.returncode == 0, got
    verdicts = lines_of(got)
    assert len(verdicts) > 15 and "fail" not in verdicts.values()
    assert re.match("attach will work(; [0-9]+ things? could be better)?$", got.stdout.splitlines()[1])
    assert f"{target.pid}: " in got.stdout and "python 3." in got.stdout
    assert profiler.run("attach", target.pid, "-d", "200ms", "-o", out).returncode == 0


def test_no_privileges(target):
    got = profiler.run("doctor", target.pid, user="nobody")
    assert got.returncode == 5, got
    verdicts = lines_of(got)
    assert verdicts["CAP_BPF"] == verdicts["CAP_PERFMON"] == "fail"
    assert got.stdout.splitlines()[1].startswith("attach will not work: ")


def test_one_line_for_all_privileges(target):
    """Who has none is told once and first; who has all is not."""
    got = profiler.run("doctor", user="nobody").stdout.splitlines()
    assert got[2].startswith("run it with sudo: "), got
    count = int(got[2].split(": ")[1].split()[0])
    assert count == len([l for l in got if l.startswith("        fix: run with sudo")]) > 5
    assert "run it with sudo" not in profiler.run("doctor", target.pid).stdout


def test_found_as_attach_finds(target, tmp_path, cleanup):
    """By port and name; of several the first, and the others are named."""
    by_port = profiler.run("doctor", "--port", target.port)
    assert by_port.returncode == 0 and f"process: {target.pid}: " in by_port.stdout
    assert "selection" not in lines_of(by_port)
    program = tmp_path / f"twice-{os.getpid()}"
    program.symlink_to("/bin/sleep")
    pair = [procs.Process([program, "1000"]) for _ in range(2)]
    for process in pair:
        cleanup(process)
    pids = sorted(p.pid for p in pair)
    got = profiler.run("doctor", "--name", program.name)
    assert got.returncode == 0, got
    assert lines_of(got)["selection"] == "warn"
    line, = [l for l in got.stdout.splitlines() if "selection:" in l]
    assert all(str(pid) in line for pid in pids) and f"process: {pids[0]}: " in got.stdout
    nothing = profiler.run("doctor", "--port", procs.free_port())
    assert nothing.returncode == 4 and lines_of(nothing)["process"] == "fail"
    both = profiler.run("doctor", target.pid, "--name", "x")
    assert both.returncode == 2 and "give one" in both.stderr


def test_no_such_process():
    got = profiler.run("doctor", 4194000)
    assert got.returncode == 4
    assert lines_of(got) == {"process": "fail"}
    assert len(got.stdout.splitlines()) == 5
    report = json.loads(profiler.run("doctor", 4194000, "--json").stdout)
    assert report["exit_status"] == 4 and len(report["checks"]) > len(FEATURES)


def test_order(target):
    """The verdict, then what is bad, worst first, then the rest, a line each."""
    lines = profiler.run("doctor", target.pid, "--without", "raw_tp,perf_prog").stdout.splitlines()
    words = [l.split()[0] for l in lines if re.match(r"  \S", l)]
    bad = [w for w in words if w in ("fail", "warn")]
    assert words[:len(bad)] == bad == sorted(bad) and "fail" in bad
    assert not any("Linux" in l for l in lines[1:] if not l.startswith("        fix: "))
    assert len(lines) < len(words) + len(bad) + 15


def test_stripped_and_not(tmp_path, cleanup):
    """Two builds of one program: only the second lacks its names."""
    source = tmp_path / "p.c"
    source.write_text("#include <unistd.h>\nint main(void) { for (;;) pause(); }\n")
    said = []
    for name, flags in (("named", []), ("bare", ["-s"])):
        subprocess.run(["gcc", *flags, "-o", tmp_path / name, source], check=True)
        process = procs.Process([tmp_path / name])
        cleanup(process)
        got = profiler.run("doctor", process.pid)
        said += [l for l in got.stdout.splitlines() if "function names:" in l]
    assert len(said) == 2
    assert "stripped" not in said[0] and "stripped" in said[1]


def test_other_pid_namespace(tmp_path, cleanup):
    server = servers.Tiny(tmp_path, prefix=["unshare", "--pid", "--fork", "--kill-child",
                                            "--mount-proc"])
    cleanup(server)
    inner, = procs.children(server.process.pid)
    got = profiler.run("doctor", inner)
    line, = [l for l in got.stdout.splitlines() if "namespaces:" in l]
    assert "same PID namespace" not in line, line


def test_json(target):
    report = json.loads(profiler.run("doctor", target.pid, "--json").stdout)
    text = json.dumps(report)
    assert "CAP_BPF" in text and str(target.pid) in text


@pytest.mark.parametrize("version,note", [("3.7", "not supported"), ("3.11", None),
                                          ("3.15", "not supported"), ("2.7", "not supported")])
def test_python_versions(tmp_path, version, note):
    """A version whose frames are not read is named; any program with such a name will do."""
    program = tmp_path / f"python{version}"
    shutil.copy("/bin/sleep", program)
    target = subprocess.Popen([program, "60"])
    try:
        got = profiler.run("doctor", target.pid)
        verdict = lines_of(got)["runtime"]
        assert verdict == ("warn" if note else "ok")
        assert (f"python {version}, a version that is {note}" in got.stdout) == bool(note)
        report = json.loads(profiler.run("doctor", target.pid, "--json").stdout)
        assert report["target"]["runtime"] == f"python {version}"
        assert report["target"]["runtime_note"] == note
    finally:
        target.kill()
        target.wait()


def test_feature_table():
    """Every feature with all that a reader wants to know of it, in JSON and as text."""
    table, status = features()
    assert status == 0 and list(table) == FEATURES
    text = profiler.run("doctor", "-v").stdout
    for key, row in table.items():
        assert row["group"] == "kernel" and row["verdict"] in ("ok", "warn"), row
        assert re.fullmatch(r"\d+\.\d+(\.\d+)?", row["since_kernel"]), row
        assert re.fullmatch(r"[0-9a-f]{12} \S.*", row["kernel_change"]), row
        assert row["name"] and row["detail"] and row["without"], row
        assert row["there"] == (row["verdict"] == "ok" and "without it" not in row["detail"]), row
        assert (row["fix"] is None) == (row["verdict"] == "ok"), row
        word = row["verdict"] if "without it" not in row["detail"] or row["fix"] else "--"
        assert re.search(rf"^  {word}  +{key} +{re.escape(row['name'])}: ", text, re.M), key
        when = "until" if key == "whole_programs" else "since"
        assert f"        {when} Linux {row['since_kernel']}: {row['kernel_change']}\n" in text


# What goes with a feature because it builds on it.
BUILT_ON = {
    "raw_tp": {"tp_btf", "sys_tp", "data_ready", "tcp_probe", "sched_switch", "sched_exit"},
    "tp_btf": {"sys_tp"},
    "task_btf": {"task_pt_regs"},
    "perf_prog": {"perf_hw"},
    "fentry": set(),
    "typed_reads": set(),
}


@pytest.mark.parametrize("off", BUILT_ON)
def test_without(off):
    """A feature that is off is described so, takes along what builds on it, and nothing else."""
    before, _ = features()
    after, status = features("--without", off)
    assert status == 0
    absent = "without it" in before[off]["detail"]
    assert after[off]["detail"].startswith(
        "switched off with --without, and not to be had here anyway; without it " if absent else
        "switched off with --without; without it ")
    assert not absent or "--without" not in (after[off]["fix"] or "")
    for key in BUILT_ON[off]:
        assert after[key]["detail"].startswith(f"it needs {off}, and that is switched off"), key
    for key in {off} | BUILT_ON[off]:
        assert absent or after[key]["fix"] in (None, f"leave out --without {off}")
    for key in set(FEATURES) - {off} - BUILT_ON[off]:
        assert after[key] == before[key] or key in ("fentry", "tracepoint")  # by the rung taken
        assert after[key]["verdict"] == before[key]["verdict"]


def test_without_two():
    for words in (["--without", "run_stats", "--without=typed_reads"],
                  ["--without", "run_stats,typed_reads"]):
        after, status = features(*words)
        assert status == 0
        assert {k for k, row in after.items() if "--without" in row["detail"]} == {"run_stats",
                                                                                   "typed_reads"}


@pytest.mark.parametrize("off", ["bpf", "btf", "ringbuf"])
def test_without_what_is_required(off):
    """Nothing can be measured: doctor says so before attach does."""
    after, status = features("--without", off)
    assert status == 5 and after[off]["verdict"] == "fail"
    got = profiler.run("doctor", "--without", off)
    assert got.returncode == 5
    assert got.stdout.splitlines()[1].startswith("attach will not work: ")
    assert f"fix: leave out --without {off}\n" in got.stdout and "root lacks" not in got.stdout


@pytest.mark.parametrize("command", ["doctor", "attach"])
def test_without_nonsense(command, target, out):
    args = [target.pid] + (["-o", out] if command == "attach" else [])
    got = profiler.run(command, *args, "--without", "ftrace")
    assert got.returncode == 2 and got.stdout == ""
    line, = got.stderr.splitlines()
    assert line.startswith("hostprof: --without: 'ftrace' is no feature; choose from bpf, btf, ")
    assert line.endswith(", ".join(FEATURES))
    assert not out.exists()


PROBES = ["transfers", "calls", "sockets", "arrivals", "seed", "processes", "cpu", "waits",
          "wait_seed", "wait_stacks", "tasks", "cost"]


def ladder(*off):
    """{key: row} of the attach ladder as JSON, and whether attach would work."""
    args = [word for key in off for word in ("--without", key)]
    got = profiler.run("doctor", "--json", *args)
    report = json.loads(got.stdout)
    text = profiler.run("doctor", *args).stdout
    for row in report["probes"]:
        word = "--" if row["verdict"] == "ok" and not row["rung"] else row["verdict"]
        assert re.search(rf"^  {word} +{row['key']} +{re.escape(row['name'])}: \S", text,
                         re.M), row
    return {row["key"]: row for row in report["probes"]}, report["attach_works"]


def test_ladder():
    """The first rung that is there is taken, and what a row loses is said where it loses something."""
    table, _ = features()
    rows, works = ladder()
    assert works and list(rows) == PROBES
    for row in rows.values():
        for rung in row["rungs"]:
            missing = [key for key in rung["needs"] if table[key]["detail"].find("without it") >= 0]
            assert not (rung["there"] and missing), (row["key"], rung, missing)
        if not row["done_by"]:
            assert row["rung"] == next(r["key"] for r in row["rungs"] if r["there"])
        assert (row["verdict"] == "ok") == (row["lost"] is None) == (row["fix"] is None), row
        assert row["holds"]


def test_ladder_without():
    rows, works = ladder("fentry", "kprobe", "tracepoint")
    assert works and rows["transfers"]["rung"] == "raw" and rows["calls"]["done_by"] == "transfers"
    rows, works = ladder("fentry", "kprobe", "data_ready")
    assert works and rows["arrivals"]["rung"] == "tcp_probe" and "unix" in rows["arrivals"]["lost"]
    rows, works = ladder("raw_tp")
    assert works and rows["transfers"]["rung"] is None and rows["cpu"]["rung"]
    assert "not measured" in rows["transfers"]["lost"]
    rows, works = ladder("raw_tp", "perf_prog")
    assert not works
    assert {k for k, row in rows.items() if row["verdict"] == "fail"} == {"transfers", "sockets",
                                                                          "cpu", "waits"}
