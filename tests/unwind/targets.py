# SPDX-License-Identifier: Apache-2.0
"""Programs of every kind that stacks are walked of, under load: targets.start(NAME) → Target.

A target has .pid to attach to, .pids() of the processes that do its work, .debug (a file with debug
information, where the program itself has none), and .stop(). Unavailable: this machine has not what it takes.
"""

import contextlib
import glob
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
WORKLOADS = os.path.join(ROOT, "tests/workloads")
sys.path[:0] = [os.path.join(ROOT, "tests/e2e"), os.path.join(ROOT, "tests/python")]

import psycopg2  # noqa: E402
import roots  # noqa: E402
from lib import postgres, procs, servers  # noqa: E402

CACHE = os.path.join(ROOT, os.environ.get("O", ".output"), "targets")


class Unavailable(Exception):
    pass


def need(*programs):
    for program in programs:
        if not shutil.which(program, path=os.environ["PATH"] + ":/usr/sbin"):
            raise Unavailable(f"{program} is not installed")


def system(program):
    """Debian's own of programs that there may be others of in front of it."""
    path = "/usr/bin/" + program
    if not os.path.exists(path):
        raise Unavailable(f"{path} is not installed")
    return path


def built(name, source, *argv):
    """A program made of a source in tests/workloads, again when that is newer. {} is where to."""
    os.makedirs(CACHE, exist_ok=True)
    path, source = os.path.join(CACHE, name), os.path.join(WORKLOADS, source)
    if not os.path.exists(path) or os.stat(path).st_mtime < os.stat(source).st_mtime:
        argv = [a.format(path + ".new", source) for a in argv]
        made = subprocess.run(argv, capture_output=True, text=True,
                              env={"HOME": CACHE, "GOFLAGS": "-mod=mod", **os.environ})
        if made.returncode:
            raise AssertionError(f"{' '.join(argv)}: {made.stderr}")
        os.rename(path + ".new", path)
    return path


class Target:
    debug = None

    def __init__(self):
        self.stack = contextlib.ExitStack()

    def process(self, argv, load=True, **kwargs):
        """A server that says "ready" when it is, on a port of its own (PORT in argv)."""
        self.port = procs.free_port()
        argv = [str(self.port) if a == "PORT" else a for a in argv]
        p = procs.Process(argv, **kwargs)
        self.stack.callback(p.stop, signal.SIGKILL)
        p.wait_line("ready")
        self.pid = p.pid
        if load:
            self.http(self.port)
        return p

    def http(self, port, path="/", connections=4):
        need("wrk")
        load = procs.Process(["wrk", "-t1", f"-c{connections}", "-d3600s",
                              f"http://127.0.0.1:{port}{path}"])
        self.stack.callback(load.stop, signal.SIGKILL)

    def works(self):
        """Waits until it has been busy for a while: load takes its time to begin."""
        begun = self.cpu_s()
        procs.wait_for(lambda: self.cpu_s() - begun > 0.3, 60, "the load to arrive")

    def cpu_s(self):
        ticks = 0
        for pid in {self.pid, *procs.children(self.pid)}:
            with contextlib.suppress(OSError), open(f"/proc/{pid}/stat") as f:
                ticks += sum(map(int, f.read().rpartition(")")[2].split()[11:13]))
        return ticks / os.sysconf("SC_CLK_TCK")

    def pids(self):
        return [self.pid]

    def stop(self):
        self.stack.close()


class FastApi(Target):
    def __init__(self, pg, loop="uvloop", http="httptools"):
        super().__init__()
        self.tmp = self.stack.enter_context(tempfile.TemporaryDirectory())
        app = servers.App(pg, self.tmp, loop=loop, http=http)
        self.stack.callback(app.stop)
        load = servers.Load(app.port, self.tmp, connections=8)
        self.stack.callback(load.process.stop, signal.SIGKILL)
        load.warm()
        self.pid = app.pid


class Asyncio(Target):
    def __init__(self, argv, env=None):
        super().__init__()
        self.process([*argv, os.path.join(WORKLOADS, "web.py"), "PORT"],
                     env={"PYTHONDONTWRITEBYTECODE": "1", "PYTHONUTF8": "1", **(env or {})})


class Postgres(Target):
    """Backends that sort, join, update and wait for each other."""

    QUERIES = (
        "SELECT u.id, count(*), max(length(p.body)) FROM users u JOIN posts p ON p.user_id = u.id"
        " WHERE p.title LIKE '%%1%%' GROUP BY u.id ORDER BY 2 DESC, 1 LIMIT 20",
        "SELECT md5(string_agg(p.body, ',' ORDER BY p.title)) FROM posts p WHERE p.id %% 7 = 3",
        "UPDATE users SET name = name WHERE id = 1 + (random() * 20)::int",
        "INSERT INTO events (kind, amount) SELECT 'k' || i, i FROM generate_series(1, 50) i",
        "SELECT regexp_replace(body, '(t)e', '\\1', 'g') FROM posts WHERE id < 60",
        "SELECT pg_sleep(0.002)",
    )

    def __init__(self, pg):
        super().__init__()
        self.pg = pg
        self.pid = pg.server.pid
        self.done = threading.Event()
        database = pg.new_database()
        self.conns = []
        for i in range(4):
            conn = pg.connect(database)
            conn.autocommit = True
            self.conns.append(conn)
            thread = threading.Thread(target=self.run, args=(conn, i))
            thread.start()
            self.stack.callback(thread.join)
        self.stack.callback(self.done.set)

    def run(self, conn, seed):
        pick = random.Random(seed)
        with conn.cursor() as cur:
            while not self.done.is_set():
                cur.execute(pick.choice(self.QUERIES).replace("%%", "%"))
        conn.close()

    def pids(self):
        return [c.info.backend_pid for c in self.conns] + procs.children(self.pid)[:3]


class Nginx(Target):
    def __init__(self):
        super().__init__()
        server = servers.Nginx()
        self.stack.callback(server.stop)
        self.pid = server.pid
        self.http(server.port, "/f/small.txt")

    def pids(self):
        return procs.children(self.pid)


class Redis(Target):
    SCRIPT = """
        local v = {}
        for i = 1, 200 do v[i] = tostring(i * 7919 % 1009) end
        table.sort(v, function(a, b) return a < b end)
        return redis.call('lrange', 'mylist', 0, 20)
    """

    def __init__(self):
        super().__init__()
        need("redis-server", "redis-benchmark")
        self.port = procs.free_port()
        base = self.stack.enter_context(tempfile.TemporaryDirectory())
        p = procs.Process(["redis-server", "--port", self.port, "--save", "", "--bind", "127.0.0.1",
                           "--dir", base])
        self.stack.callback(p.stop, signal.SIGKILL)
        procs.wait_for(lambda: procs.listening(self.port), 20, "redis to listen")
        self.pid = p.pid
        for what in (["-P", "16", "-t", "set,get,lpush,lrange_100,zadd,mset", "-r", "1000"],
                     ["eval", self.SCRIPT, "0"]):
            load = procs.Process(["redis-benchmark", "-p", self.port, "-c", "4", "-l", "-q", "-n",
                                  "20000", *what])
            self.stack.callback(load.stop, signal.SIGKILL)


class Cxx(Target):
    def __init__(self):
        super().__init__()
        need("g++")
        self.process([built("stacks", "stacks.cc", "g++", "-O2", "-fomit-frame-pointer", "-Wall",
                            "-Wextra", "-o", "{0}", "{1}", "-lpthread", "-lrt")], load=False)


class Go(Target):
    """Stripped; its twin with debug information is what the other unwinder goes by."""

    def __init__(self):
        super().__init__()
        self.debug = built("web-go-debug", "web.go", system("go"), "build", "-trimpath",
                           "-ldflags=-compressdwarf=false", "-o", "{0}", "{1}")
        stripped = os.path.join(CACHE, "web-go")
        subprocess.run(["strip", "-o", stripped, self.debug], check=True)
        self.process([stripped, "PORT"])


class Rust(Target):
    def __init__(self):
        super().__init__()
        self.process([built("web-rust", "web.rs", system("rustc"), "--edition", "2021", "-O", "-C",
                            "strip=symbols", "-o", "{0}", "{1}"), "PORT"])


class Node(Target):
    def __init__(self):
        super().__init__()
        self.process([system("node"), os.path.join(WORKLOADS, "web.js"), "PORT"])


class Java(Target):
    def __init__(self, *options):
        super().__init__()
        os.makedirs(CACHE, exist_ok=True)
        subprocess.run([system("javac"), "-d", CACHE, os.path.join(WORKLOADS, "Web.java")],
                       check=True)
        self.process([system("java"), "-Xmx200m", *options, "-cp", CACHE, "Web", "PORT"])


def pyenv():
    """{version: argv} of interpreters with a shared libpython, as pyenv and docker build them."""
    return {path.split("/")[-3]: [path] for path in
            sorted(glob.glob(os.path.expanduser("~/.pyenv/versions/3.*/bin/python3")))
            if 8 <= int(path.split("/")[-3].split(".")[1]) <= 14}


def root(suite):
    try:
        return Asyncio(roots.interpreter(suite))
    except roots.debs.Unavailable as e:
        raise Unavailable(f"this machine cannot fetch packages of {suite}: {e}")


# {name: start(pg)}
ALL = {
    "python3.11 FastAPI uvloop": lambda pg: FastApi(pg),
    "python3.11 FastAPI asyncio": lambda pg: FastApi(pg, "asyncio", "h11"),
    "python3.9 bullseye": lambda pg: root("bullseye"),
    "python3.13 trixie": lambda pg: root("trixie"),
    "python3.14 sid": lambda pg: root("sid"),
    "PostgreSQL": Postgres,
    "nginx": lambda pg: Nginx(),
    "Redis": lambda pg: Redis(),
    "C++": lambda pg: Cxx(),
    "Go": lambda pg: Go(),
    "Rust": lambda pg: Rust(),
    "Node": lambda pg: Node(),
    "Java": lambda pg: Java(),
    "Java, frame pointers": lambda pg: Java("-XX:+PreserveFramePointer"),
}
for _version, _argv in pyenv().items():
    ALL[f"python{_version} shared"] = lambda pg, argv=_argv: Asyncio(argv)

# What every run of the tests takes, for a minute; the rest goes with `make test-unwind-full`.
SHORT = ("python3.11 FastAPI uvloop", "PostgreSQL", "nginx", "C++", "Go")


@contextlib.contextmanager
def start(name, pg):
    target = ALL[name](pg)
    try:
        target.works()
        yield target
    finally:
        target.stop()


@contextlib.contextmanager
def database():
    server = postgres.Postgres()
    try:
        yield server
    finally:
        server.stop()
