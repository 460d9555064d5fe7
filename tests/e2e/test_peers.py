# SPDX-License-Identifier: Apache-2.0
"""Calls that the target makes: outgoing HTTP, other TCP, and databases behind TLS."""

import json
import socket
import statistics

from lib import postgres, procs, servers

CLIENT = r"""
import http.client, json, sys, time
port, slow = int(sys.argv[1]), int(sys.argv[2])
print('waiting', flush=True); sys.stdin.readline()
took = []
c = http.client.HTTPConnection('127.0.0.1', port)
for n in range(120):
    start = time.perf_counter_ns()
    c.request('GET', f'/sized/{n % 60}/{n}?secret={n}')
    c.getresponse().read()
    took.append(time.perf_counter_ns() - start)
for n in range(6):
    c.request('GET', f'/f/absent-{n}.txt'); c.getresponse().read()
for n in range(4):
    s = http.client.HTTPConnection('127.0.0.1', slow)
    s.request('GET', f'/status/{[500, 503, 404, 200][n]}'); s.getresponse().read(); s.close()
for n in range(3):
    s = http.client.HTTPConnection('127.0.0.1', slow, timeout=0.2)
    s.request('GET', '/slow/3000')
    try: s.getresponse()
    except TimeoutError: pass
    s.close()
try:
    http.client.HTTPConnection('127.0.0.1', 1).request('GET', '/refused')
except ConnectionRefusedError: pass
print(json.dumps(took), flush=True); sys.stdin.readline()
"""


def test_outgoing_http(nginx, tmp_path, cleanup, hostprof):
    slow = servers.Tiny(tmp_path)
    cleanup(slow)
    script = tmp_path / "client.py"  # not with -c: the command line is in the report
    script.write_text(CLIENT)
    client = procs.Process([procs.PYTHON, script, nginx.port, slow.port], stdin=-1)
    cleanup(client)
    client.wait_line("waiting")
    run = hostprof(client.pid, "-d", "0")
    client.write("go\n")
    took = json.loads(client.wait_line("["))
    report = run.stop()
    client.close_stdin()

    assert report.endpoints() == []
    rows = [e for e in report.summary["external"] if e["protocol"] == "http"]
    fast = [e for e in rows if e["peer"] == f"127.0.0.1:{nginx.port}"]
    assert sum(e["count"] for e in fast) == 126
    assert sum(e["errors"] for e in fast) == 0
    assert sum(e["status"].get("404", 0) for e in fast) == 6
    sized, = [e for e in fast if e["route"].startswith("/sized/")]
    assert sized["method"] == "GET" and sized["count"] == 120
    assert sized["latency_ms"]["p50"] <= statistics.median(took) / 1e6 * 1.01
    assert statistics.median(took) / 1e6 - sized["latency_ms"]["p50"] <= 0.3
    other = [e for e in rows if e["peer"] == f"127.0.0.1:{slow.port}"]
    assert sum(e["errors"] for e in other) == 2 + 3  # 5xx, and answers that did not come
    assert sum(e["timeouts"] for e in other) == 3
    total = {}
    for e in other:
        for code, n in e["status"].items():
            total[code] = total.get(code, 0) + n
    assert {k: v for k, v in total.items() if k != "0"} == {"500": 1, "503": 1, "404": 1, "200": 1}
    assert b"secret=" not in report.read("capture.hpcap")
    log = nginx.log()
    assert len(log) == 126
    assert sum(e["bytes"]["received"] for e in fast) == sum(r["bytes_sent"] for r in log)
    assert sum(e["bytes"]["sent"] for e in fast) == sum(r["request_length"] for r in log)


def test_other_tcp(cleanup, hostprof):
    """A protocol that nobody knows: bytes and connect time by peer, and said so."""
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    code = (
        "import socket, sys\n"
        "print('waiting', flush=True); sys.stdin.readline()\n"
        "for n in range(3):\n"
        "    s = socket.create_connection(('127.0.0.1', int(sys.argv[1])))\n"
        "    s.sendall(b'\\x01\\x02binary' * 500); s.recv(100, socket.MSG_WAITALL); s.close()\n"
        "print('finished', flush=True); sys.stdin.readline()\n")
    client = procs.Process([procs.PYTHON, "-c", code, port], stdin=-1)
    cleanup(client)
    client.wait_line("waiting")
    run = hostprof(client.pid, "-d", "0")
    client.write("go\n")
    for _ in range(3):
        conn, _ = listener.accept()
        got = 0
        while got < 8 * 500:
            got += len(conn.recv(65536))
        conn.sendall(b"\xfe" * 100)
        assert conn.recv(1) == b""
        conn.close()
    client.wait_line("finished")
    report = run.stop()
    client.close_stdin()
    listener.close()
    row, = [e for e in report.summary["external"] if e["peer"] == f"127.0.0.1:{port}"]
    assert row["protocol"] != "http"
    assert row["bytes"] == {"sent": 3 * 4000, "received": 300}
    assert row["connect_ms"]["p50"] > 0
    blind, = report.trust["connections"]["by_peer"]
    assert blind["connections"] == 3 and blind["status"] == "unparsed" and blind["reason"]


def test_encrypted_database(tmp_path, cleanup, hostprof):
    """TLS to PostgreSQL is counted by peer and is the first thing that the terminal says."""
    server = postgres.Postgres(tls=True)
    cleanup(server)
    code = (
        "import psycopg2, sys\n"
        "print('waiting', flush=True); sys.stdin.readline()\n"
        "c = psycopg2.connect(sys.argv[1])\n"
        "for n in range(20): c.cursor().execute('SELECT 42 AS plain_text_marker')\n"
        "print('finished', flush=True); sys.stdin.readline()\n")
    client = procs.Process([procs.PYTHON, "-c", code, server.dsn("postgres")], stdin=-1)
    cleanup(client)
    client.wait_line("waiting")
    run = hostprof(client.pid, "-d", "0")
    client.write("go\n")
    client.wait_line("finished")
    report = run.stop()
    client.close_stdin()
    assert report.queries() == []
    assert report.trust["connections"]["encrypted"] == 1
    blind, = report.trust["connections"]["by_peer"]
    assert blind["status"] == "encrypted" and blind["protocol"] == "postgresql"
    assert blind["peer"] == f"127.0.0.1:{server.port}"
    first = run.process.out[0].lower()
    assert "encrypted" in first and str(server.port) in first, run.process.out
    assert 5 <= len(run.process.out) <= 12
