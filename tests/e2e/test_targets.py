# SPDX-License-Identifier: Apache-2.0
"""Which processes: by port, name and cgroup, their children, and other namespaces."""

import os
import signal
import subprocess

import pytest

from lib import procs, servers

REQUESTS = 60


def ask(server, prefix, count=REQUESTS):
    for n in range(count):
        assert server.get(f"/{prefix}/{n}") == 200


def served(report, prefix):
    rows = [r for r in report.requests() if r["path"].startswith(f"/{prefix}/")]
    # On a unix socket the first request may be there before accept() makes the socket known.
    assert all(set(r["flags"]) <= {"no_arrival"} for r in rows), rows
    return len(rows)


@pytest.fixture
def two(tmp_path, cleanup):
    """Two equal servers; only the first is the target."""
    pair = [servers.Tiny(tmp_path), servers.Tiny(tmp_path)]
    for server in pair:
        cleanup(server)
    return pair


def test_by_port(two, hostprof):
    run = hostprof("--port", two[0].port, "-d", "0")
    ask(two[0], "mine")
    ask(two[1], "other")
    report = run.stop()
    assert served(report, "mine") == REQUESTS and served(report, "other") == 0
    target, = report.summary["targets"]
    assert target["pid"] == two[0].pid and target["pids"] == [two[0].pid]


def test_by_name(two, hostprof, tmp_path, cleanup):
    """For an interpreter the name is that of the script."""
    copy = tmp_path / "shopfront.py"
    copy.write_text(open(os.path.join(servers.HERE, "tiny.py")).read())
    port = procs.free_port()
    process = procs.Process([procs.PYTHON, copy, "ipv4", port])
    cleanup(process)
    process.wait_line("ready")
    run = hostprof("--name", "shopfr*", "-d", "0")
    assert servers.http_get(port, "/mine/1") == b"tiny\n"
    ask(two[1], "other", 3)
    report = run.stop()
    assert served(report, "mine") == 1 and served(report, "other") == 0
    assert process.pid in report.summary["targets"][0]["pids"]


def attached_line(run):
    """What the person at the terminal is told."""
    line, = [l for l in run.process.stderr.splitlines() if l.startswith("hostprof: attached to ")]
    return line


def test_by_application(tmp_path, cleanup, hostprof):
    """Servers of one name are told apart by what they serve."""
    module = f"shop{os.getpid()}"
    (tmp_path / f"{module}.py").write_text(
        "async def app(scope, receive, send):\n"
        "    await send({'type': 'http.response.start', 'status': 200, 'headers': []})\n"
        "    await send({'type': 'http.response.body', 'body': b'ok'})\n")
    port = procs.free_port()
    process = procs.Process([procs.PYTHON, "-m", "uvicorn", "--lifespan", "off", f"{module}:app",
                             "--app-dir", tmp_path, "--port", port])
    cleanup(process)
    procs.wait_for(lambda: ready(port), 20, "uvicorn")
    for n, pattern in enumerate((f"{module}:app", module)):
        run = hostprof("--name", pattern, "-d", "300ms", path=tmp_path / f"out{n}")
        target, = run.report().summary["targets"]
        assert target["pid"] == process.pid
        line = attached_line(run)
        assert line.startswith(f"hostprof: attached to {process.pid} (")
        assert f"-m uvicorn --lifespan off {module}:app" in line


def test_several_services_are_named(tmp_path, cleanup, hostprof):
    """One line: how many there are, the first three, and how to have one alone."""
    program = tmp_path / f"many-{os.getpid()}"
    program.symlink_to("/bin/sleep")
    many = [procs.Process([program, "1000"]) for _ in range(4)]
    for process in many:
        cleanup(process)
    pids = sorted(p.pid for p in many)
    run = hostprof("--name", program.name, "-d", "300ms")
    assert len(run.report().summary["targets"]) == 4
    line = attached_line(run)
    assert line.startswith(f"hostprof: attached to 4 services that match '{program.name}': ")
    assert [pid for pid in pids if f"{pid} (" in line] == pids[:3] and ", 1 more; " in line
    assert line.endswith("give a process id to measure one alone")
    run = hostprof(pids[0], "-d", "300ms", "-q", path=tmp_path / "quiet", wait=False)
    run.report()
    assert run.process.stderr == ""


def test_several_pids(two, hostprof):
    run = hostprof(two[0].pid, two[1].pid, "-d", "0")
    ask(two[0], "first", 10)
    ask(two[1], "second", 20)
    report = run.stop()
    assert served(report, "first") == 10 and served(report, "second") == 20
    by_target = {e["target"]: e["count"] for e in report.endpoints()}
    ids = {t["pid"]: t["id"] for t in report.summary["targets"]}
    assert by_target == {ids[two[0].pid]: 10, ids[two[1].pid]: 20}


def cgroup_root():
    with open("/proc/mounts") as f:
        return next((l.split()[1] for l in f if l.split()[2] == "cgroup2"), None)


def test_by_cgroup(two, hostprof):
    root = cgroup_root()
    mounted = None
    if root is None:
        root = mounted = "/tmp/hp-cgroup"
        os.makedirs(root, exist_ok=True)
        if subprocess.run(["mount", "-t", "cgroup2", "none", root],
                          capture_output=True).returncode:
            pytest.skip("this kernel has no cgroup2 that a test may mount")
    group = os.path.join(root, f"hostprof-test-{os.getpid()}")
    try:
        os.makedirs(os.path.join(group, "inner"))
        with open(os.path.join(group, "inner", "cgroup.procs"), "w") as f:
            f.write(str(two[0].pid))
        run = hostprof("--cgroup", group, "-d", "0")
        ask(two[0], "mine")
        ask(two[1], "other", 5)
        report = run.stop()
        assert served(report, "mine") == REQUESTS and served(report, "other") == 0
    finally:
        with open(os.path.join(root, "cgroup.procs"), "w") as f:
            f.write(str(two[0].pid))
        for name in ("inner", ""):
            procs.wait_for(lambda n=name: rmdir(os.path.join(group, n)), 5, "an empty cgroup")
        if mounted:
            subprocess.run(["umount", "-l", mounted], check=True)


def rmdir(path):
    try:
        os.rmdir(path)
        return True
    except OSError:
        return False


@pytest.mark.parametrize("gunicorn", [False, True])
def test_workers(pg, tmp_path, cleanup, hostprof, gunicorn):
    """The parent is named; the requests are served by its children."""
    app = servers.App(pg, tmp_path, workers=2, gunicorn=gunicorn)
    cleanup(app)
    run = hostprof(app.pid, "-d", "0")
    load = servers.Load(app.port, tmp_path, connections=16, think_ms=10)
    load.warm()
    rows = load.stop()
    report = run.stop()
    got = [r for r in report.requests() if r["path"] != "/ready"]
    assert len(got) == len(rows)
    assert len({r["tid"] for r in got}) >= 2, "one worker did everything"
    assert len(report.summary["targets"]) == 1
    assert len(report.summary["targets"][0]["pids"]) >= 3


def test_forked_after_attach(pg, tmp_path, cleanup, hostprof):
    """Workers that replace the old ones during the window."""
    app = servers.App(pg, tmp_path, workers=2, gunicorn=True)
    cleanup(app)
    old = set(app.worker_pids())
    run = hostprof(app.pid, "-d", "0")
    app.process.kill(signal.SIGHUP)
    procs.wait_for(lambda: len(set(app.worker_pids()) - old) >= 2
                   and not any(procs.alive(p) for p in old), 20, "new workers", 0.05)
    procs.wait_for(lambda: ready(app.port), 20, "a new worker that answers", 0.05)
    load = servers.Load(app.port, tmp_path, connections=16, think_ms=10)
    load.warm()
    rows = load.stop()
    report = run.stop()
    got = [r for r in report.requests() if r["path"] != "/ready"]
    assert len(got) == len(rows)


def ready(port):
    try:
        return servers.http_get(port, "/ready", timeout=2)
    except OSError:
        return False


def test_no_children(pg, tmp_path, cleanup, hostprof):
    app = servers.App(pg, tmp_path, workers=2)
    cleanup(app)
    run = hostprof(app.pid, "-d", "0", "--no-children")
    for _ in range(10):
        assert servers.http_get(app.port, "/ready")
    report = run.stop()
    assert sum(e["count"] for e in report.endpoints()) == 0


@pytest.mark.parametrize("namespace", ["pid", "mount", "net"])
def test_namespaces(tmp_path, cleanup, hostprof, namespace):
    """A target that is pid 1 of its own world, sees other files, or has another loopback."""
    prefix = {
        "pid": ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"],
        "mount": ["unshare", "--mount", "sh", "-c",
                  "mount -t tmpfs none /opt && cp -r /usr/lib/python3.*/http /opt/ && exec \"$@\"",
                  "sh"],
        "net": ["unshare", "--net", "sh", "-c", "ip link set lo up && exec \"$@\"", "sh"],
    }[namespace]
    kind = "unix" if namespace == "net" else "ipv4"
    server = servers.Tiny(tmp_path, kind, prefix=prefix)
    cleanup(server)
    pid = server.process.pid
    if namespace == "pid":
        assert server.pid == 1
        pid, = procs.children(server.process.pid)
        assert os.readlink(f"/proc/{pid}/ns/pid") != os.readlink("/proc/self/ns/pid")
    run = hostprof(pid, "-d", "0")
    ask(server, namespace)
    report = run.stop()
    assert served(report, namespace) == REQUESTS
    assert report.summary["targets"][0]["pid"] == pid


def test_network_namespace_tcp(tmp_path, cleanup, hostprof):
    """TCP inside another network namespace, client and server both in there."""
    server = servers.Tiny(tmp_path, "ipv4", prefix=[
        "unshare", "--net", "sh", "-c", "ip link set lo up && exec \"$@\"", "sh"])
    cleanup(server)
    run = hostprof(server.pid, "-d", "0")
    client = ("import http.client, sys\n"
              "c = http.client.HTTPConnection('127.0.0.1', int(sys.argv[1]))\n"
              "for n in range(30):\n"
              "    c.request('GET', f'/inside/{n}'); assert c.getresponse().read() == b'tiny\\n'\n")
    subprocess.run(["nsenter", "-t", str(server.pid), "-n", procs.PYTHON, "-c", client,
                    str(server.port)], check=True)
    report = run.stop()
    assert served(report, "inside") == 30
