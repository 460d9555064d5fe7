#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Records the captures of this directory anew: record.py [CASE…]. As root; then run.py --bless.

Needed when the record format gets a new version, or for a new case. Everything is real: target.py runs
as an unchanged process, hostprof attaches, and this script is the other end of its connections. Some
cases are made out of others by cutting and damaging them.
"""

import os
import shutil
import socket
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "e2e"))

from lib import postgres, procs, profiler  # noqa: E402

MAX_BYTES = 20_000  # of one capture


class Target:
    """target.py KIND, ready to begin."""

    def __init__(self, kind, **env):
        self.process = procs.subprocess.Popen(
            [procs.PYTHON, "target.py", kind], cwd=HERE, text=True, stdin=procs.subprocess.PIPE,
            stdout=procs.subprocess.PIPE,
            env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1",
                 **{k: str(v) for k, v in env.items()}})
        self.expect("ready")

    def expect(self, word):
        line = self.process.stdout.readline()
        assert line == word + "\n", line

    def go(self):
        self.process.stdin.write("go\n")
        self.process.stdin.flush()
        self.expect("done")

    def stop(self):
        self.process.stdin.close()
        assert self.process.wait(20) == 0


def record(case, target, work, *args, cpu=False):
    """One window over work(); the capture goes into the case's directory."""
    tmp = tempfile.mkdtemp(prefix="hp-record-")
    run = profiler.attach(os.path.join(tmp, "out"), str(target.process.pid), "-d", "0",
                          *([] if cpu else ["--no-cpu"]), *args)
    work()
    time.sleep(0.1)
    report = run.stop()
    data = report.read("capture.hpcap")
    shutil.rmtree(tmp)
    assert len(data) <= MAX_BYTES, (case, len(data))
    if "--show-literals" not in args:
        assert b"hunter2" not in data, case
    write(case, data)


def write(case, data):
    where = os.path.join(HERE, case)
    os.makedirs(where, exist_ok=True)
    with open(os.path.join(where, "in.hpcap"), "wb") as f:
        f.write(data)
    print(f"{case}: {len(data)} bytes")


def capture(case):
    with open(os.path.join(HERE, case, "in.hpcap"), "rb") as f:
        return f.read()


class Client:
    """Raw bytes to the target, so that every cut is chosen here."""

    def __init__(self, port):
        self.sock = socket.create_connection(("127.0.0.1", port))
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.got = b""

    def send(self, data, answers=1):
        self.sock.sendall(data)
        for _ in range(answers):
            self.answer()

    def answer(self):
        while b"\r\n\r\n" not in self.got:
            self.more()
        head, self.got = self.got.split(b"\r\n\r\n", 1)
        if b"chunked" in head:
            while b"0\r\n\r\n" not in self.got:
                self.more()
            self.got = self.got.split(b"0\r\n\r\n", 1)[1]
            return
        length = [int(line.split(b":")[1]) for line in head.split(b"\r\n")
                  if line.startswith(b"Content-Length")]
        while len(self.got) < length[0]:
            self.more()
        self.got = self.got[length[0]:]

    def more(self):
        data = self.sock.recv(65536)
        assert data, "the target closed the connection"
        self.got += data


def get(path, headers=""):
    return f"GET {path} HTTP/1.1\r\nHost: shop.test\r\n{headers}\r\n".encode()


def http(case, work, *args, **kwargs):
    port = procs.free_port()
    target = Target("http", PORT=port, CALL_PORT=kwargs.pop("call_port", 0))
    target.go()
    record(case, target, lambda: work(port), *args, **kwargs)
    target.stop()


def keepalive(port):
    c = Client(port)
    secret = "Authorization: Bearer hunter2\r\nCookie: id=hunter2\r\n"
    for i in range(4):
        c.send(get(f"/items/{i}?token=hunter2", secret))
    c.send(get("/missing"))
    c.send(get("/boom"))
    c.send(b"POST /items HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 7\r\n\r\nhunter2")
    c.sock.close()
    c = Client(port)
    c.sock.sendall(get("/cut"))
    while c.sock.recv(1000):
        pass


def pipelining(port):
    c = Client(port)
    for cut in (1, 30, 120):
        data = b"".join(get(f"/items/{cut}{i}") for i in range(5)) + get("/missing")
        c.sock.sendall(data[:cut])
        time.sleep(0.02)
        c.send(data[cut:], answers=6)


def chunked(port):
    c = Client(port)
    c.send(get("/stream"))
    head = b"PUT /items/9 HTTP/1.1\r\nHost: shop.test\r\nTransfer-Encoding: chunked\r\n\r\n"
    for piece in (head, b"7\r\nhunter2\r\n", b"400\r\n", b"y" * 0x400 + b"\r\n", b"0\r\n"):
        c.sock.sendall(piece)
        time.sleep(0.01)
    c.send(b"\r\n")
    c.send(get("/stream"))


def edges(port):
    """Under way at attach, under way at detach."""
    first, last = Client(port), Client(port)
    first.sock.sendall(b"POST /items HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 10\r\n\r\n12345")
    last.send(get("/items/0"))
    time.sleep(0.05)

    def work(_):
        first.send(b"67890")
        first.send(get("/items/1"))
        last.sock.sendall(b"POST /items HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 10\r\n\r\n12")

    return work


def record_edges(case):
    port = procs.free_port()
    target = Target("http", PORT=port)
    target.go()
    work = edges(port)
    record(case, target, lambda: work(port))
    target.stop()


class Upstream:
    """What the target calls: answers, and refuses to answer."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        status = [b"200 OK", b"200 OK", b"503 Busy"]
        while True:
            conn, _ = self.listener.accept()
            conn.recv(10000)
            conn.sendall(b"HTTP/1.1 " + status.pop(0) + b"\r\nContent-Length: 2\r\n\r\nok")
            conn.close()


def calls(port):
    c = Client(port)
    for _ in range(3):
        c.send(get("/call"))


def pg_case(pg, kind, *args, case=None):
    database = pg.new_database()
    target = Target(kind, DSN=pg.dsn(database), URL=pg.url(database))
    record(case or kind, target, target.go, *args)
    target.stop()


def busy(case):
    target = Target("busy")
    record(case, target, target.go, "--freq", "49", cpu=True)
    target.stop()


def main():
    names = sys.argv[1:]
    pg = postgres.Postgres()
    tls = postgres.Postgres(tls=True)
    cases = {
        "http_keepalive": lambda c: http(c, keepalive),
        "http_pipelining": lambda c: http(c, pipelining),
        "http_chunked": lambda c: http(c, chunked),
        "http_edges": record_edges,
        "http_calls": lambda c: http(c, calls, call_port=Upstream().port),
        "http_literals": lambda c: http(c, keepalive, "--show-literals"),
        "pg_simple": lambda c: pg_case(pg, c),
        "pg_transaction": lambda c: pg_case(pg, c),
        "pg_extended": lambda c: pg_case(pg, c),
        "pg_batch": lambda c: pg_case(pg, c),
        "pg_copy": lambda c: pg_case(pg, c),
        "pg_error": lambda c: pg_case(pg, c),
        "pg_no_db": lambda c: pg_case(pg, "pg_simple", "--no-db", case=c),
        "pg_encrypted": lambda c: pg_case(tls, c),
        "busy": busy,
        # Made of the ones above.
        "truncated": lambda c: write(c, capture("http_keepalive")[:-700]),
        "corrupted": lambda c: write(c, damaged(capture("pg_simple"))),
    }
    try:
        for case in names or cases:
            cases[case](case)
    finally:
        pg.stop()
        tls.stop()


def damaged(data):
    """A record of no known kind, then one whose size cannot be."""
    data = bytearray(data)
    at, kind, n = int.from_bytes(data[12:16], "little"), None, 0
    while at < len(data):
        size = int.from_bytes(data[at:at + 4], "little")
        kind = int.from_bytes(data[at + 4:at + 6], "little")
        n += kind == 4  # DATA
        if kind == 4 and n == 6:
            data[at + 4] = 31
        if kind == 4 and n == 12:
            data[at] = 3
            break
        at += size
    return bytes(data)


if __name__ == "__main__":
    main()
