# SPDX-License-Identifier: Apache-2.0
"""Servers under load: uvicorn and gunicorn with the test application, nginx with its own files."""

import http.client
import json
import os
import shutil
import signal
import socket
import tempfile
import urllib.request

from . import procs

HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def http_get(port, path, timeout=10):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=timeout) as r:
        return r.read()


class App:
    """The test application behind uvicorn, or gunicorn with uvicorn workers."""

    def __init__(self, pg, tmp, loop="uvloop", http="httptools", workers=1, gunicorn=False,
                 database=None, env=None, port=None, module="app"):
        self.port = port or procs.free_port()
        self.clocks = os.path.join(str(tmp), f"clocks-{self.port}")
        self.database = database or pg.new_database()
        settings = {
            "HP_PG_URL": pg.url(self.database),
            "HP_PG_DSN": pg.dsn(self.database),
            "HP_CLOCKS": self.clocks,
            "PYTHONPATH": HERE,
            "PYTHONDONTWRITEBYTECODE": "1",
            **(env or {}),
        }
        if gunicorn:
            argv = [procs.PYTHON, "/usr/bin/gunicorn", "-w", str(workers), "-b",
                    f"127.0.0.1:{self.port}", "-k", "uvicorn.workers.UvicornWorker",
                    "--log-level", "error", f"{module}:app"]
        else:
            argv = [procs.PYTHON, "-m", "uvicorn", f"{module}:app", "--port", str(self.port), "--loop",
                    loop, "--http", http, "--log-level", "error", "--no-access-log",
                    "--backlog", "1024"]
            if workers > 1:
                argv += ["--workers", str(workers)]
        self.process = procs.Process(argv, env=settings, cwd=HERE)
        self.pid = self.process.pid
        procs.wait_for(self._up, 30, f"uvicorn on port {self.port}", 0.02)

    def _up(self):
        assert self.process.running(), self.process.stderr
        try:
            return json.loads(http_get(self.port, "/ready"))
        except OSError:
            return False

    def worker_pids(self):
        return [p for p in procs.children(self.pid) if procs.alive(p)]

    def stop(self):
        return self.process.stop()

    def handler_times(self):
        """{id: (start, end)} by the application's own clock; after stop()."""
        found = {}
        directory, prefix = os.path.split(self.clocks)
        for name in os.listdir(directory):
            if name.startswith(prefix + "."):
                with open(os.path.join(directory, name)) as f:
                    for line in f:
                        key, start, end = line.split()
                        found[key] = (int(start), int(end))
        return found


class Load:
    """The load client as a process of its own; see load.py."""

    def __init__(self, port, tmp, connections=64, think_ms=0, prefix="q", routes=()):
        self.out = os.path.join(str(tmp), f"load-{prefix}-{port}")
        argv = [procs.PYTHON, os.path.join(HERE, "load.py"), "127.0.0.1", port, self.out,
                "--connections", connections, "--think-ms", think_ms, "--prefix", prefix]
        for route in routes:
            argv += ["--route", route]
        self.process = procs.Process(argv, stdin=-1)
        self.process.wait_line("ready")

    def warm(self):
        self.process.wait_line("warm")

    def stop(self):
        """Ends it when every answer is in; {id: dict} of all requests."""
        self.process.write("\n")
        self.process.wait_line("done")
        assert self.process.wait(20) == 0, self.process.stderr
        assert not self.process.err, self.process.stderr
        found = {}
        with open(self.out) as f:
            for line in f:
                name, method, path, status, sent, done = line.split()
                found[name] = dict(method=method, path=path, status=int(status),
                                   sent_ns=int(sent), done_ns=int(done))
        return found


class _LocalConnection(http.client.HTTPConnection):
    """HTTP over an address that http.client cannot name."""

    def __init__(self, family, address):
        super().__init__("test", timeout=10)
        self._address = family, address

    def connect(self):
        family, address = self._address
        self.sock = socket.socket(family)
        self.sock.settimeout(self.timeout)
        self.sock.connect(address)


class Tiny:
    """tiny.py, a plain server on IPv4, IPv6 or a unix socket, and one keep-alive client."""

    def __init__(self, tmp, kind="ipv4", prefix=()):
        self.port = procs.free_port()
        family, self.address = {
            "ipv4": (socket.AF_INET, ("127.0.0.1", self.port)),
            "ipv6": (socket.AF_INET6, ("::1", self.port)),
            "unix": (socket.AF_UNIX, os.path.join(str(tmp), "tiny.sock")),
        }[kind]
        where = self.address if kind == "unix" else self.port
        self.process = procs.Process(
            [*prefix, procs.PYTHON, os.path.join(HERE, "tiny.py"), kind, where])
        self.process.wait_line("ready")
        self.pid = int(self.process.out[0].split()[1])
        self.client = _LocalConnection(family, self.address)

    def get(self, path, headers=None):
        """The status of one request on the open connection."""
        self.client.request("GET", path, headers=headers or {})
        answer = self.client.getresponse()
        answer.read()
        return answer.status

    def stop(self):
        self.client.close()
        self.process.stop(signal.SIGKILL)


NGINX_CONF = """
daemon off;
worker_processes {workers};
pid {base}/nginx.pid;
error_log {base}/error.log warn;
{user}
events {{ worker_connections 1024; }}
http {{
    log_format hp '$msec $request_time $status $bytes_sent $request_length $request';
    access_log {base}/access.log hp buffer=256k flush=1s;
    keepalive_requests 100000000;
    keepalive_timeout 600;
    client_body_temp_path {base}/body;
    proxy_temp_path {base}/proxy;
    fastcgi_temp_path {base}/fastcgi;
    uwsgi_temp_path {base}/uwsgi;
    scgi_temp_path {base}/scgi;
    default_type text/plain;
    sendfile {sendfile};
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        root {base}/www;
        location /f/ {{ }}
        location ~ ^/sized/(?<k>[0-9]+)/ {{ alias {base}/www/size/$k; }}
        location = /empty {{ return 204; }}
        location = /text {{ return 200 "ok\\n"; }}
        location /stub {{ stub_status; access_log off; }}
        {proxy}
    }}
}}
"""
PROXY = """
        location /api/ {{
            proxy_pass http://127.0.0.1:{upstream};
            proxy_http_version 1.1;
            proxy_set_header Connection "";
        }}
"""
SIZES = [1 + 37 * k for k in range(64)]


class Nginx:
    """An nginx of the test's own: prefix, port, access log; serves files, proxies /api/."""

    def __init__(self, workers=1, upstream=None, sendfile="off"):
        self.base = tempfile.mkdtemp(prefix="hp-nginx-", dir="/tmp")
        os.chmod(self.base, 0o755)
        os.makedirs(f"{self.base}/www/f")
        os.makedirs(f"{self.base}/www/size")
        self.port = procs.free_port()
        with open(f"{self.base}/www/f/small.txt", "w") as f:
            f.write("s" * 612)
        with open(f"{self.base}/www/f/large.txt", "w") as f:
            f.write("l" * 200_000)
        for k, size in enumerate(SIZES):
            with open(f"{self.base}/www/size/{k}", "w") as f:
                f.write("z" * size)
        proxy = PROXY.format(upstream=upstream) if upstream else ""
        with open(f"{self.base}/nginx.conf", "w") as f:
            f.write(NGINX_CONF.format(
                base=self.base, port=self.port, workers=workers, proxy=proxy, sendfile=sendfile,
                user="user root;" if os.geteuid() == 0 else ""))
        binary = shutil.which("nginx", path="/usr/sbin:/usr/bin:/usr/local/sbin")
        self.process = procs.Process(
            [binary, "-p", self.base, "-c", f"{self.base}/nginx.conf", "-e",
             f"{self.base}/error.log"])
        self.pid = self.process.pid
        procs.wait_for(self._up, 15, "nginx")

    def _up(self):
        assert self.process.running(), self.process.stderr
        return procs.listening(self.port) and len(procs.children(self.pid)) > 0

    def log(self):
        """The access log after nginx wrote out its buffer: one dict a line."""
        self.process.kill(signal.SIGUSR1)  # reopens the log, which flushes the buffer
        size = -1

        def settled():
            nonlocal size
            last, size = size, os.path.getsize(f"{self.base}/access.log")
            return last == size

        procs.wait_for(settled, 10, "the access log", interval=1.2)
        rows = []
        with open(f"{self.base}/access.log") as f:
            for line in f:
                msec, took, status, sent, length, request = line.rstrip("\n").split(" ", 5)
                rows.append(dict(end_s=float(msec), request_time=float(took), status=int(status),
                                 bytes_sent=int(sent), request_length=int(length),
                                 request=request))
        return rows

    def stop(self):
        self.process.stop(signal.SIGQUIT)
        shutil.rmtree(self.base, ignore_errors=True)


def wrk(port, path, connections=8, seconds=5, threads=1, script=None):
    """Runs wrk to its end; the number of requests that it counted."""
    argv = ["wrk", "-t", threads, "-c", connections, "-d", f"{seconds}s"]
    if script:
        argv += ["-s", script]
    run = procs.Process([*argv, f"http://127.0.0.1:{port}{path}"])
    assert run.wait(seconds + 30) == 0, run.stderr
    line, = [l for l in run.out if "requests in" in l]
    return int(line.split()[0])
