# SPDX-License-Identifier: Apache-2.0
"""Servers on io_uring: measured where the sockets' own functions can be hooked, said where not.

The server is workloads/uring_http.c: no system call touches its sockets, and it counts what it did.
With --without fentry --without kprobe every kernel is one that shows system calls alone.
"""

import json
import os
import re
import signal
import socket

import pytest

from lib import procs, profiler, servers

SERVER = os.path.join(profiler.OUTPUT, "test", "uring_http")
CALLS_ONLY = ("--without", "fentry", "--without", "kprobe")
SIZES = [0, 1, 100, 5000, 70_000, 300_000]
CLIENTS = 4
REQUESTS = 30  # of each client


class Uring:
    """A running uring_http and its connections."""

    def __init__(self, *options, where="0", prefix=()):
        self.process = procs.Process([*prefix, SERVER, *options, where], stdin=-1)
        self.where = where
        self.clients = []
        if not prefix:
            self.wait_ready()

    def wait_ready(self):
        try:
            _, pid, port = self.process.wait_line("ready").split()
        except AssertionError:
            if self.process.popen.returncode == 77:
                pytest.skip(self.process.err[0].removeprefix("uring_http: "))
            raise
        self.pid, self.port = int(pid), int(port)

    def connect(self, count=CLIENTS):
        for _ in range(count):
            s = socket.socket(socket.AF_INET if self.port else socket.AF_UNIX)
            s.settimeout(20)
            s.connect(("127.0.0.1", self.port) if self.port else self.where)
            self.clients.append((s, s.makefile("rb")))

    def ask(self, prefix, count=REQUESTS, size=None):
        """In turns on all connections; {path: bytes of the whole answer}."""
        answers = {}
        for n in range(count):
            for k, (s, f) in enumerate(self.clients):
                body = SIZES[n % len(SIZES)] if size is None else size
                path = f"/bytes/{body}/{prefix}-{k}-{n}"
                s.sendall(f"GET {path} HTTP/1.1\r\nHost: ring\r\n\r\n".encode())
                head = b""
                while not head.endswith(b"\r\n\r\n"):
                    line = f.readline()
                    assert line, "the server closed the connection"
                    head += line
                got = f.read(body)
                assert head.startswith(b"HTTP/1.1 200 ") and len(got) == body
                answers[path] = len(head) + body
        return answers

    def disconnect(self):
        for s, f in self.clients:
            f.close()
            s.close()
        self.clients = []

    def counted(self):
        """What it says of itself at its end."""
        self.process.kill(signal.SIGTERM)
        assert self.process.wait(20) == 0, self.process.stderr
        return json.loads(self.process.out[-1])

    def stop(self):
        self.disconnect()
        self.process.stop(signal.SIGKILL)


@pytest.fixture
def uring(cleanup):
    def start(*options, **kwargs):
        server = Uring(*options, **kwargs)
        cleanup(server)
        return server

    return start


def ways_to_see_it():
    """Options with which this kernel shows io_uring, as doctor finds: one list a rung."""
    got = json.loads(profiler.run("doctor", "--json").stdout)
    there = {c["key"] for c in got["checks"] if not c["detail"].startswith(("not ", "refused"))}
    ways = [("fentry", [])] if "fentry" in there else []
    if "kprobe" in there:
        ways.append(("kprobe", ["--without", "fentry", "--without", "tracepoint"]))
    return ways


def named(report):
    """Notes that say of a certain process that it uses a ring."""
    return [n for n in report.trust["notes"] if re.search(r"process \d+ .*io_uring", n)]


def nothing_of(report, moved):
    """The server did it all, and the report claims nothing of it but that it cannot see."""
    assert moved["requests"] > 0
    assert report.endpoints() == [] and report.requests() == []
    assert report.queries() == [] and report.summary["external"] == []
    # That something moved on known TCP sockets is seen, and counted.
    assert set(report.lost()) <= {"unseen_transfers"}
    note, = named(report)
    assert "not seen" in note and str(report.summary["targets"][0]["pid"]) in note
    assert "io_uring" in report.read("PERFORMANCE_REPORT.md").decode().replace("\\", "")


def test_not_visible_and_said(uring, hostprof):
    """Connections from before attach and new ones; their bytes are nobody's requests."""
    server = uring()
    server.connect(2)
    server.ask("before", 3)
    run = hostprof(server.pid, "-d", "0", *CALLS_ONLY)
    server.connect(2)
    server.ask("during")
    server.disconnect()
    report = run.stop()
    nothing_of(report, server.counted())
    # Those that were open were there; that is all that is known of them.
    connections = report.trust["connections"]
    assert connections["seen"] <= 2 and connections["parsed"] == 0


@pytest.mark.parametrize("options", [
    ("--ops", "msg"), ("--ops", "rwv"), ("--ops", "fixed"), ("--ops", "zc"), ("--multishot",),
    ("--direct",), ("--sqpoll",), ("--async",)], ids=lambda o: o[-1].lstrip("-"))
def test_no_way_of_using_it_makes_a_number(uring, hostprof, options):
    server = uring(*options)
    run = hostprof(server.pid, "-d", "0", *CALLS_ONLY)
    server.connect()
    server.ask("all", 6)
    report = run.stop()
    nothing_of(report, server.counted())


def test_ring_that_comes_later(uring, hostprof):
    """No ring when the probes come: the note is made of what is there at the end."""
    server = uring(prefix=["sh", "-c", "read line; exec \"$@\"", "sh"])
    run = hostprof(server.process.pid, "-d", "0", *CALLS_ONLY)
    server.process.write("go\n")
    server.wait_ready()
    assert server.pid == server.process.pid
    server.connect()
    server.ask("later", 3)
    report = run.stop()
    nothing_of(report, server.counted())


def test_others_have_no_note(hostprof, tmp_path, cleanup):
    tiny = servers.Tiny(tmp_path)
    cleanup(tiny)
    run = hostprof(tiny.pid, "-d", "0", *CALLS_ONLY)
    for n in range(10):
        assert tiny.get(f"/plain/{n}") == 200
    report = run.stop()
    assert named(report) == [] and len(report.requests()) == 10


@pytest.mark.parametrize("where,options", [
    ("tcp", ()), ("tcp", ("--ops", "msg")), ("tcp", ("--ops", "rwv")), ("tcp", ("--ops", "zc")),
    ("tcp", ("--multishot",)), ("tcp", ("--direct",)), ("tcp", ("--sqpoll",)),
    ("tcp", ("--async",)), ("unix", ()), ("unix", ("--ops", "msg")), ("unix", ("--multishot",))],
    ids=lambda o: (o[-1].lstrip("-") if o else "send") if isinstance(o, tuple) else o)
def test_exact_where_functions_can_be_hooked(uring, hostprof, tmp_path, where, options):
    ways = ways_to_see_it()
    if not ways:
        pytest.skip("this kernel has neither fentry nor kprobes: io_uring cannot be seen")
    for rung, without in ways:
        exact(uring, hostprof, tmp_path / rung, options, where, without)


def exact(uring, hostprof, directory, options, where, without):
    directory.mkdir()
    server = uring(*options, where=str(directory / "ring.sock") if where == "unix" else "0")
    run = hostprof(server.pid, "-d", "0", *without, path=directory / "out")
    server.connect()
    answers = server.ask("seen")
    report = run.stop()
    moved = server.counted()
    assert moved["requests"] == len(answers) == CLIENTS * REQUESTS
    assert moved["bytes_out"] == sum(answers.values())
    rows = {r["path"]: r for r in report.requests()}
    assert len(rows) == len(report.requests()) and set(rows) == set(answers)
    for path, size in answers.items():
        assert rows[path]["status"] == 200 and rows[path]["response_bytes"] == size, path
        assert set(rows[path]["flags"]) <= {"no_arrival"}, rows[path]
    assert sum(e["count"] for e in report.endpoints()) == len(answers)
    assert named(report) == [] and report.lost() == {}


def test_doctor_says_so(uring):
    server = uring()
    got = json.loads(profiler.run("doctor", server.pid, "--json", *CALLS_ONLY).stdout)
    check, = [c for c in got["checks"] if c["key"] == "io_uring"]
    assert check["verdict"] == "warn" and check["fix"] and got["target"]["io_uring"] is True
    plain = json.loads(profiler.run("doctor", os.getpid(), "--json", *CALLS_ONLY).stdout)
    check, = [c for c in plain["checks"] if c["key"] == "io_uring"]
    assert check["verdict"] == "ok" and plain["target"]["io_uring"] is False
