# SPDX-License-Identifier: Apache-2.0
"""Few rights and small worlds: the counts stay exact, and what cannot be had is said.

First without CAP_SYS_ADMIN on a host that gives away nothing (five capabilities, stern sysctls),
with one more thing missing each time; then inside a PID namespace, where the kernel's numbers of
processes are not those that anybody there knows.
"""

import json
import os
import signal
import subprocess

import pytest

from lib import procs, profiler, rights, servers

ROUNDS = 40
HERE = os.path.dirname(os.path.abspath(__file__))


@pytest.fixture(scope="module", autouse=True)
def stern():
    """As hardened hosts are configured."""
    with rights.sysctls(unprivileged_bpf_disabled=2, perf_event_paranoid=4, kptr_restrict=2):
        yield


@pytest.fixture
def mine(tmp_path):
    return rights.own_directory(tmp_path / "mine")


def as_user(*names):
    return rights.with_caps(*(names or rights.CAPABILITIES))


def ask_and_query(app):
    """Requests with one known query each; their paths."""
    paths = []
    for n in range(ROUNDS):
        for route in ("sync", "async", "missing"):
            paths.append(f"/{route}/p{n}")
            try:
                servers.http_get(app.port, paths[-1])
            except OSError as e:
                assert route == "missing" and e.code == 404
    return paths


def exact(report, paths):
    rows = [r for r in report.requests() if r["path"] != "/ready"]
    assert sorted(r["path"] for r in rows) == sorted(paths)
    for r in rows:
        assert r["status"] == (404 if r["path"].startswith("/missing/") else 200), r
        assert set(r["flags"]) <= {"no_arrival"}, r
    assert sum(e["count"] for e in report.endpoints() if e["route"] != "/ready") == len(paths)
    assert report.lost() == {}


def exact_queries(report, pg, database):
    """The two statements of the routes, as often as the server itself counted them."""
    for text in ("FROM users WHERE id", "FROM posts WHERE user_id"):
        want = sum(s["calls"] for s in pg.statements(database) if text in s["query"])
        got = sum(q["count"] for q in report.queries() if text in q["statement"])
        assert got == want == ROUNDS, (text, got, want)


def note(report, *words):
    found = [n for n in report.trust["notes"] if all(w in n for w in words)]
    assert found, (words, report.trust["notes"])
    return found[0]


def measure(hostprof, pg, app, mine, prefix):
    """The whole of it in one window: requests, queries, files."""
    run = hostprof(app.pid, "-d", "0", "--freq", "999", path=mine / "out", prefix=prefix)
    paths = ask_and_query(app)
    report = run.stop()
    exact(report, paths)
    exact_queries(report, pg, app.database)
    return report


def test_five_capabilities(hostprof, pg, app, mine):
    report = measure(hostprof, pg, app, mine, as_user())
    uid, gid = procs.user_ids(rights.USER)
    for name in ["", *report.files()]:
        st = os.stat(os.path.join(report.path, name))
        assert (st.st_uid, st.st_gid) == (uid, gid), name
        assert st.st_mode & 0o077 == 0, name
    # Samples are there, of functions in files that belong to root too; the kernel's have no names.
    cpu = report.summary["cpu"]
    assert cpu["samples"] > 0
    note(report, "kernel functions have no names", "kptr_restrict")
    folded = report.read("cpu.folded").decode()
    kernel = {f for line in folded.splitlines() for f in line.rsplit(" ", 1)[0].split(";")
              if f.endswith("_[k]")}
    assert kernel == {"[unknown]_[k]"}
    assert "_start" in folded and ".py:" in folded
    # Run-time statistics are not allowed; what hostprof costs is measured all the same.
    overhead = report.trust["overhead"]
    assert overhead["method"] not in ("none", "bpf_run_time_stats")
    assert overhead["bpf_ms"] > 0 and overhead["bpf_runs"] > 0 and overhead["agent_ms"] > 0


def test_no_tracefs(hostprof, pg, app, mine):
    """Nothing to read the tracepoints' numbers from, and no right to mount it."""
    prefix = rights.without_tracefs()
    probe = subprocess.run([*prefix, "ls", "/sys/kernel/tracing"], capture_output=True, text=True)
    assert probe.returncode == 0 and probe.stdout == "", probe
    report = measure(hostprof, pg, app, mine, [*prefix, *as_user()])
    assert report.summary["cpu"]["samples"] > 0


def test_perf_events_refused(hostprof, pg, app, mine):
    """Debian, Ubuntu: with perf_event_paranoid above 2 only CAP_SYS_ADMIN may open perf events."""
    prefix = rights.refusing(rights.PERF_EVENT_OPEN, 13)
    report = measure(hostprof, pg, app, mine, [*prefix, *as_user()])
    assert not report.summary["cpu"] or report.summary["cpu"]["samples"] == 0
    note(report, "perf_event_paranoid")


@pytest.mark.parametrize("missing", ["dac_read_search", "checkpoint_restore"])
def test_capability_that_only_helps(hostprof, pg, app, mine, missing):
    names = [n for n in rights.CAPABILITIES if n != missing]
    out = mine / "out"
    if missing == "dac_read_search":
        # Then its own way to the report must be open to it.
        for directory in list(mine.parents)[:3]:
            os.chmod(directory, 0o755)
    report = measure(hostprof, pg, app, mine, as_user(*names))
    assert report.path == str(out) and report.summary["cpu"]["samples"] > 0
    if missing == "dac_read_search" and not fentry():
        note(report, "tracefs cannot be read", "CAP_DAC_READ_SEARCH")


@pytest.mark.parametrize("missing", ["bpf", "perfmon", "sys_ptrace"])
def test_capability_that_must_be(tmp_path, cleanup, mine, missing):
    """One line that names it, exit 5, and nothing left behind."""
    tiny = servers.Tiny(tmp_path)
    cleanup(tiny)
    names = [n for n in rights.CAPABILITIES if n != missing]
    argv = [*as_user(*names), profiler.BINARY, "attach", tiny.pid, "-d", "1s", "-o", mine / "out"]
    got = subprocess.run([str(a) for a in argv], capture_output=True, text=True, timeout=60)
    assert got.returncode == 5, got
    line, = got.stderr.splitlines()
    assert f"CAP_{missing.upper()}" in line, line
    assert os.listdir(mine) == []


def fentry():
    return doctor()["fentry"]["fix"] is None


def doctor(*args, prefix=()):
    """{key: check} as JSON."""
    got = subprocess.run([*map(str, prefix), profiler.BINARY, "doctor", "--json", *args],
                         capture_output=True, text=True, timeout=60)
    return {c["key"]: c for c in json.loads(got.stdout)["checks"]}


def test_doctor_names_what_is_missing():
    """A refusal is no kernel that lacks something; each names its own capability."""
    whole = doctor()
    checks = doctor(prefix=as_user("bpf", "sys_ptrace", "dac_read_search", "checkpoint_restore"))
    for key in ("raw_tp", "iter_task_file", "typed_reads", "perf_prog"):
        if whole[key]["fix"] is None:
            assert checks[key]["detail"].startswith("refused ("), checks[key]
            assert "without CAP_PERFMON;" in checks[key]["detail"], checks[key]
            assert checks[key]["fix"] == "run with sudo, or grant CAP_PERFMON"
    checks = doctor(prefix=as_user("bpf", "perfmon", "sys_ptrace", "checkpoint_restore"))
    assert "tracefs cannot be read (Permission denied) without CAP_DAC_READ_SEARCH" in (
        checks["tracepoint"]["detail"])
    assert checks["tracepoint"]["fix"] == "run with sudo, or grant CAP_DAC_READ_SEARCH"


def test_hidden_symbols():
    """Hidden from everybody, or from who lacks a capability."""
    assert "kptr_restrict is 2" in doctor()["kallsyms"]["detail"]
    assert doctor()["kallsyms"]["fix"] == "set kernel.kptr_restrict to 1 or 0"
    with rights.sysctls(kptr_restrict=1):
        assert doctor()["kallsyms"]["verdict"] == "ok"
        check = doctor(prefix=as_user())["kallsyms"]
        assert "hidden without CAP_SYSLOG" in check["detail"] and "CAP_SYSLOG" in check["fix"]
        assert doctor(prefix=as_user(*rights.CAPABILITIES, "syslog"))["kallsyms"]["verdict"] == "ok"


def test_report_reads_what_its_caller_may(hostprof, tmp_path, cleanup):
    """The capabilities are for measuring: root's capture stays root's."""
    tiny = servers.Tiny(tmp_path)
    cleanup(tiny)
    report = hostprof(tiny.pid, "-d", "300ms").report()
    argv = [*as_user(), profiler.BINARY, "report", os.path.join(report.path, "capture.hpcap")]
    got = subprocess.run([str(a) for a in argv], capture_output=True, text=True, timeout=60)
    assert got.returncode == 1 and "Permission denied" in got.stderr, got


def test_analyst_has_no_capabilities(hostprof, tmp_path, cleanup, mine):
    """What parses the bytes of strangers has none of what the collector has."""
    tiny = servers.Tiny(tmp_path)
    cleanup(tiny)
    run = hostprof(tiny.pid, "-d", "0", path=mine / "out", prefix=as_user())
    analyst, = procs.children(run.process.pid)
    held = {}
    for pid in (run.process.pid, analyst):
        with open(f"/proc/{pid}/status") as f:
            held[pid] = {l.split()[0]: int(l.split()[1], 16) for l in f if l.startswith("Cap")}
    run.stop()
    assert held[run.process.pid]["CapEff:"] != 0
    assert all(held[analyst][k] == 0 for k in ("CapEff:", "CapPrm:", "CapInh:", "CapAmb:"))


FORKING = """
import os, socketserver, sys
sys.path.insert(0, {here!r})
import tiny

class Server(socketserver.ForkingMixIn, socketserver.TCPServer):
    allow_reuse_address = True
    block_on_close = False

class Handler(tiny.Handler):
    def do_GET(self):
        body = b"%d" % os.getpid()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

tiny.Server, tiny.Handler = Server, Handler
tiny.main()
"""


class Forking:
    """A server that forks for each connection and answers with the number of the process."""

    def __init__(self, tmp, prefix):
        script = tmp / "forking.py"
        script.write_text(FORKING.format(here=HERE))
        self.port = procs.free_port()
        self.process = procs.Process([*prefix, procs.PYTHON, script, "ipv4", self.port])
        self.process.wait_line("ready")
        self.pid = int(self.process.out[0].split()[1])  # as it sees itself

    def ask(self, prefix, count):
        """{path: number of the process that answered}"""
        return {f"/{prefix}/{n}": int(servers.http_get(self.port, f"/{prefix}/{n}"))
                for n in range(count)}

    def stop(self):
        self.process.stop(signal.SIGKILL)


@pytest.fixture
def world(cleanup):
    """A PID namespace."""
    try:
        space = rights.PidNamespace()
    except AssertionError as e:
        pytest.skip(f"this kernel makes no PID namespace: {e}")
    cleanup(space)
    return space


def stop_inside(run):
    """Ctrl-C for hostprof, which nsenter started: a signal to that one would not reach it."""
    pid, = [p for p in procs.children(run.process.pid) if parent_of(p) == run.process.pid]
    os.kill(pid, signal.SIGINT)
    return run.report()


def parent_of(pid):
    with open(f"/proc/{pid}/stat") as f:
        return int(f.read().rsplit(")", 1)[1].split()[1])


def served_in(report, answers, pid):
    """Each request once, by the process that says it answered it, under its number in there."""
    rows = {r["path"]: r for r in report.requests()}
    assert sorted(rows) == sorted(answers) and len(report.requests()) == len(answers)
    assert {p: r["tid"] for p, r in rows.items()} == answers
    target, = report.summary["targets"]
    assert target["pid"] == pid
    assert pid in target["pids"] and set(target["pids"]) <= {pid, *answers.values()}
    assert report.lost() == {}


def test_inside_a_pid_namespace(world, hostprof, tmp_path, cleanup):
    """hostprof and its target in one namespace: all numbers are those of it, in and out."""
    server = servers.Tiny(tmp_path, prefix=world.enter())
    cleanup(server)
    run = hostprof(server.pid, "-d", "0", prefix=world.enter())
    for n in range(ROUNDS):
        assert server.get(f"/inner/{n}") == 200
    report = stop_inside(run)
    outer, = [p for p in procs.children(world.process.pid) + procs.children(server.process.pid)
              if world.number(p) == server.pid]
    assert outer != server.pid, "the numbers are the same: nothing would be tested"
    assert sorted(r["path"] for r in report.requests()) == sorted(
        f"/inner/{n}" for n in range(ROUNDS))
    target, = report.summary["targets"]
    assert target["pid"] == server.pid and target["pids"] == [server.pid]
    assert report.lost() == {}


def test_forked_inside_a_pid_namespace(world, hostprof, tmp_path, cleanup):
    """Children that appear in the window belong to the target."""
    server = Forking(tmp_path, world.enter())
    cleanup(server)
    run = hostprof(server.pid, "-d", "0", prefix=world.enter())
    answers = server.ask("forked", 15)
    report = stop_inside(run)
    assert len(set(answers.values())) == 15 and server.pid not in answers.values()
    served_in(report, answers, server.pid)


def test_target_in_a_namespace_below(world, hostprof, tmp_path, cleanup):
    """hostprof outside, a forking target inside: the numbers are hostprof's own."""
    server = Forking(tmp_path, world.enter())
    cleanup(server)
    outer, = [p for p in procs.children(server.process.pid) if world.number(p) == server.pid]
    run = hostprof(outer, "-d", "0")
    answers = server.ask("below", 15)
    report = run.stop()
    assert sorted(r["path"] for r in report.requests()) == sorted(answers)
    target, = report.summary["targets"]
    assert target["pid"] == outer and outer in target["pids"]
    tids = {r["tid"] for r in report.requests()}
    assert len(tids) == 15 and not tids & set(answers.values())
    assert report.lost() == {}


def test_both_in_namespaces_one_below_the_other(world, hostprof, tmp_path, cleanup):
    below = rights.PidNamespace(inside=world)
    cleanup(below)
    server = Forking(tmp_path, below.enter())
    cleanup(server)
    outer, = [p for p in procs.children(server.process.pid) if below.number(p) == server.pid]
    with open(f"/proc/{outer}/status") as f:
        numbers, = [l.split()[1:] for l in f if l.startswith("NSpid:")]
    assert len(numbers) >= 3 and int(numbers[-1]) == server.pid
    middle = int(numbers[-2])
    run = hostprof(middle, "-d", "0", prefix=world.enter())
    answers = server.ask("deep", 15)
    report = stop_inside(run)
    assert sorted(r["path"] for r in report.requests()) == sorted(answers)
    target, = report.summary["targets"]
    assert target["pid"] == middle and middle in target["pids"]
    assert report.lost() == {}


BURN = """
#include <stdio.h>
#include <unistd.h>
static volatile unsigned long sink;
__attribute__((noinline)) void burns_in_its_own_world(void)
{
	for (unsigned long i = 0; i < 50000000; i++)
		sink += i * i;
}
int main(void)
{
	printf("ready %d\\n", getpid());
	fflush(stdout);
	for (;;)
		burns_in_its_own_world();
}
"""


@pytest.mark.parametrize("where", ["inside", "outside"])
def test_functions_in_a_pid_namespace(world, hostprof, tmp_path, cleanup, where):
    """CPU samples of a target there are found and named, whichever side hostprof is on."""
    (tmp_path / "burn.c").write_text(BURN)
    subprocess.run(["gcc", "-O1", "-fno-omit-frame-pointer", "-o", tmp_path / "burn",
                    tmp_path / "burn.c"], check=True)
    process = procs.Process([*world.enter(), tmp_path / "burn"])
    cleanup(process)
    inner = int(process.wait_line("ready").split()[1])
    outer, = [p for p in procs.children(process.pid) if world.number(p) == inner]
    prefix = world.enter() if where == "inside" else []
    run = hostprof(inner if where == "inside" else outer, "-d", "2s", prefix=prefix)
    report = run.report()
    cpu = report.summary["cpu"]
    assert cpu["samples"] >= 30
    named = [line for line in report.read("cpu.folded").decode().splitlines()
             if "burns_in_its_own_world" in line]
    assert sum(int(l.rsplit(" ", 1)[1]) for l in named) >= 0.9 * cpu["samples"]
