# SPDX-License-Identifier: Apache-2.0
"""Servers that hang: how many requests came and were not answered, which came before, which nobody read."""

import http.client
import time

from lib import procs

THREADS = """
import http.server, sys, threading

lock = threading.Lock()

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if self.path.startswith("/pay"):
            lock.acquire()
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *args):
        pass

lock.acquire()
server = http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler)
server.daemon_threads = True
print("ready", flush=True)
server.serve_forever()
"""

LOOP = """
import asyncio, sys, threading

lock = threading.Lock()

async def serve(reader, writer):
    while True:
        head = await reader.readuntil(b"\\r\\n\\r\\n")
        if head.startswith(b"GET /pay"):
            lock.acquire()
        writer.write(b"HTTP/1.1 200 OK\\r\\nContent-Length: 0\\r\\n\\r\\n")

async def main():
    lock.acquire()
    server = await asyncio.start_server(serve, "127.0.0.1", int(sys.argv[1]))
    print("ready", flush=True)
    await server.serve_forever()

asyncio.run(main())
"""


def serve(cleanup, code):
    port = procs.free_port()
    server = procs.Process([procs.PYTHON, "-c", code, str(port)])
    cleanup(server)
    server.wait_line("ready")
    return server, port


def client(port):
    """Connected, and answered once."""
    conn = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    conn.request("GET", "/ok")
    assert conn.getresponse().read() == b""
    return conn


def unread(sock):
    """Bytes that the peer has not taken from its end of the connection."""
    mine, peers = sock.getsockname()[1], sock.getpeername()[1]
    with open("/proc/net/tcp") as f:
        for line in f.readlines()[1:]:
            fields = line.split()
            if [int(a.split(":")[1], 16) for a in fields[1:3]] == [peers, mine]:
                return int(fields[4].split(":")[1], 16)
    return 0


def in_futex(pid):
    with open(f"/proc/{pid}/syscall") as f:
        return f.read().split()[0] == "202"


def test_threads(hostprof, cleanup):
    server, port = serve(cleanup, THREADS)
    idle, before, during, quick = (client(port) for _ in range(4))
    before.request("GET", "/pay/7")
    procs.wait_for(lambda: not unread(before.sock), 20, "the request to be read")
    run = hostprof(server.pid, "-d", "0")
    during.request("GET", "/pay/8")
    sent = time.monotonic()
    quick.request("GET", "/ok")
    assert quick.getresponse().read() == b""
    procs.wait_for(lambda: not unread(during.sock), 20, "the request to be read")
    procs.wait_for(lambda: time.monotonic() - sent > 1.5, 20, "the request to be old")
    report = run.stop()
    now = report.summary["unanswered"]
    assert (now["requests"], now["unread"], now["connections_before"]) == (1, 0, 1), now
    assert now["oldest"] == "GET /pay/{id}" and 1 < now["oldest_s"] <= report.summary["window"]["duration_s"]
    text = "\n".join(run.process.out)
    assert "stuck    1 request came and was not answered, the first " in text
    assert "1 connection waited for an answer all the time, and before" in text
    assert "Requests that came and were not answered by the end: 1;" in report.read("PERFORMANCE_REPORT.md").decode()
    for conn in (idle, before, during, quick):
        conn.close()


def test_event_loop(hostprof, cleanup):
    server, port = serve(cleanup, LOOP)
    conns = [client(port) for _ in range(3)]
    run = hostprof(server.pid, "-d", "0")
    conns[0].request("GET", "/pay")
    procs.wait_for(lambda: in_futex(server.pid), 20, "the loop to hang")
    conns[1].request("GET", "/ok")
    procs.wait_for(lambda: unread(conns[1].sock), 20, "the request to lie there")
    report = run.stop()
    now = report.summary["unanswered"]
    assert (now["requests"], now["unread"], now["connections_before"]) == (2, 1, 0), now
    assert now["oldest"] == "GET /pay"
    for conn in conns:
        conn.close()
