# SPDX-License-Identifier: Apache-2.0
"""The guest's servers and their client: started once, used by the end-to-end case of every rung."""

import asyncio
import http.client
import os
import signal
import socket
import sys
import time

sys.path.insert(0, "/hp/tests/e2e")

import asyncpg  # noqa: E402
from lib import procs, servers  # noqa: E402

HERE = os.path.dirname(os.path.abspath(__file__))
APP_PORT = 8000
SLOW = 120  # seconds that anything may take under emulation


def run_ns(pids):
    """Time on a CPU of all threads of these processes, by the scheduler."""
    total = 0
    for pid in pids:
        for tid in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{tid}/schedstat") as f:
                total += int(f.read().split()[0])
    return total


class Client:
    """Blocking keep-alive connections, one request at a time."""

    def __init__(self, port, connections):
        self.sockets = [socket.create_connection(("127.0.0.1", port)) for _ in range(connections)]
        for s in self.sockets:
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.seen = []  # (path, status, seconds)

    def get(self, path):
        s = self.sockets[len(self.seen) % len(self.sockets)]
        request = f"GET {path} HTTP/1.1\r\nHost: lab\r\n\r\n".encode()
        begin = time.monotonic()
        s.sendall(request)
        answer = b""
        while not self.whole(answer):
            more = s.recv(65536)
            if not more:
                raise AssertionError(f"{path}: the server hung up after {answer!r}")
            answer += more
        self.seen.append((path, int(answer[9:12]), time.monotonic() - begin))

    @staticmethod
    def whole(answer):
        head, found, body = answer.partition(b"\r\n\r\n")
        if not found:
            return False
        if head[9:12] == b"204":
            return True
        at = head.lower().index(b"content-length:") + 15
        return len(body) >= int(head[at:].split(b"\r\n")[0])

    def close(self):
        for s in self.sockets:
            s.close()


class World:
    def __init__(self):
        self.postgres = procs.Process(
            [next(p for p in _below("/usr/lib/postgresql") if p.endswith("/bin/postgres")), "-D",
             "/pgdata"], user="postgres", cwd="/")
        self.nginx = servers.Nginx()
        procs.wait_for(lambda: procs.listening(5432), SLOW, "PostgreSQL")
        self.app = procs.Process(
            [procs.PYTHON, "-m", "uvicorn", "app:app", "--port", str(APP_PORT), "--loop", "uvloop",
             "--http", "httptools", "--log-level", "error", "--no-access-log",
             "--timeout-keep-alive", "600"],
            env={"PYTHONPATH": HERE}, cwd=HERE)
        self.busy = procs.Process([procs.PYTHON, os.path.join(HERE, "busy.py")], stdin=-1)
        self.busy.wait_line("ready", timeout=SLOW)
        self.ring = procs.Process(["/hp/.output/guest/uring_http", "0"])
        self.ring_port = int(self.ring.wait_line("ready", timeout=SLOW).split()[2])
        procs.wait_for(self._up, SLOW, "uvicorn", 0.05)
        self.logged = 0

    def _up(self):
        assert self.app.running(), self.app.stderr
        conn = http.client.HTTPConnection("127.0.0.1", APP_PORT, timeout=SLOW)
        try:
            conn.request("GET", "/item/1")
            return conn.getresponse().status == 200
        except OSError:
            return False
        finally:
            conn.close()

    def targets(self):
        return [self.nginx.pid, self.app.pid, self.busy.pid, self.ring.pid]

    def processes(self):
        return self.targets() + procs.children(self.nginx.pid)

    def nginx_rows(self, count):
        """(status, bytes sent) of what nginx logged since the last call, so many when all is well."""
        self.nginx.process.kill(signal.SIGUSR1)  # opens the log again, which writes out its buffer
        path = f"{self.nginx.base}/access.log"

        def lines():
            with open(path) as f:
                return f.readlines()[self.logged:]

        try:
            procs.wait_for(lambda: len(lines()) >= count, 20, "the access log", 0.05)
        except procs.Timeout:
            pass  # the comparison says how many there are
        rows = [tuple(map(int, line.split()[2:4])) for line in lines()]
        self.logged += len(rows)
        return rows

    def compute(self, seconds):
        done = len(self.busy.out)
        self.busy.write(f"{seconds}\n")
        procs.wait_for(lambda: len(self.busy.out) > done, SLOW, "the busy process")

    @staticmethod
    def query(sql):
        async def go():
            conn = await asyncpg.connect("postgresql://postgres@127.0.0.1:5432/postgres")
            try:
                return [tuple(row) for row in await conn.fetch(sql)]
            finally:
                await conn.close()
        return asyncio.run(go())

    def forget_statements(self):
        self.query("SELECT pg_stat_statements_reset()")

    def statements(self):
        """{text: (calls, rows)} of the application's database since forget_statements()."""
        rows = self.query(
            "SELECT s.query, s.calls, s.rows FROM pg_stat_statements s JOIN pg_database d"
            " ON d.oid = s.dbid WHERE d.datname = 'app'")
        return {query: (calls, n) for query, calls, n in rows}

    def stop(self):
        for process in (self.app, self.busy, self.ring):
            process.stop()
        self.nginx.process.stop()
        self.postgres.stop(signal.SIGINT)


def _below(path):
    for top, _, files in os.walk(path):
        for name in files:
            yield os.path.join(top, name)
