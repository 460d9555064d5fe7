# SPDX-License-Identifier: Apache-2.0
"""--cgroup and names of services, on the hierarchies of this host: version 2, and version 1 beside.

A hierarchy that is not mounted is mounted for the test, where nobody else looks.
"""

import os
import subprocess

import pytest

from lib import procs, profiler, servers

REQUESTS = 15


def mounts():
    """[(directory, type, options)] of all hierarchies."""
    with open("/proc/self/mounts") as f:
        rows = [line.split() for line in f]
    return [(r[1], r[2], r[3].split(",")) for r in rows if r[2] in ("cgroup", "cgroup2")]


class Hierarchy:
    """The root of one, and groups of the test's own below it."""

    def __init__(self, version, base):
        self.mounted = None
        self.groups = []
        found = [m for m in mounts() if m[1] == ("cgroup2" if version == 2 else "cgroup")]
        # The named one is systemd's: there names of services come from.
        found.sort(key=lambda m: "name=systemd" not in m[2])
        if found:
            self.root, _, options = found[0]
            self.names_services = version == 2 or "name=systemd" in options
            return
        os.makedirs(base)
        kind = ["-t", "cgroup2"] if version == 2 else ["-t", "cgroup", "-o", "none,name=hostprof"]
        got = subprocess.run(["mount", *kind, "none", base], capture_output=True, text=True)
        if got.returncode:
            pytest.skip(f"this kernel has no cgroups of version {version} that a test may mount")
        self.root = self.mounted = str(base)
        self.names_services = version == 2

    def group(self, name):
        path = os.path.join(self.root, name)
        os.makedirs(path)
        self.groups.append(path)
        return path

    def put(self, pid, path):
        with open(os.path.join(path, "cgroup.procs"), "w") as f:
            f.write(str(pid))

    def stop(self):
        for path in reversed(self.groups):
            with open(os.path.join(path, "cgroup.procs")) as f:
                for pid in f.read().split():
                    self.put(pid, self.root)
            procs.wait_for(lambda p=path: removed(p), 5, "an empty cgroup")
        if self.mounted:
            subprocess.run(["umount", self.mounted], check=True)


def removed(path):
    try:
        os.rmdir(path)
        return True
    except OSError:
        return False


@pytest.fixture(params=[1, 2], ids=["v1", "v2"])
def hierarchy(request, tmp_path, cleanup):
    got = Hierarchy(request.param, tmp_path / "cgroup")
    cleanup(got)
    return got


@pytest.fixture
def three(hierarchy, tmp_path, cleanup):
    """Three equal servers: one in a group, one in a group below it, one outside."""
    all_three = [servers.Tiny(tmp_path) for _ in range(3)]
    for server in all_three:
        cleanup(server)
    return all_three


def printed(pid, path):
    """The group as /proc/PID/cgroup prints it."""
    with open(f"/proc/{pid}/cgroup") as f:
        names = {line.rstrip("\n").split(":", 2)[2] for line in f}
    name = "/" + os.path.basename(path)
    assert name in names, names
    return name


@pytest.mark.parametrize("form", ["directory", "printed"])
def test_by_cgroup(hierarchy, three, hostprof, form):
    """The directory, or the path that everybody prints; groups below belong to it."""
    group = hierarchy.group(f"hostprof-test-{os.getpid()}")
    below = hierarchy.group(f"hostprof-test-{os.getpid()}/inner")
    hierarchy.put(three[0].pid, group)
    if form == "printed":
        group = printed(three[0].pid, group)
    hierarchy.put(three[1].pid, below)
    run = hostprof("--cgroup", group, "-d", "0")
    for n in range(REQUESTS):
        for k, server in enumerate(three):
            assert server.get(f"/in{k}/{n}") == 200
    report = run.stop()
    seen = sorted(r["path"] for r in report.requests())
    assert seen == sorted(f"/in{k}/{n}" for k in (0, 1) for n in range(REQUESTS))
    assert {p for t in report.summary["targets"] for p in t["pids"]} == {
        three[0].pid, three[1].pid}
    assert report.lost() == {}


def test_group_that_holds_nobody_elsewhere(tmp_path, cleanup, hostprof):
    """The same path in both versions, with processes in one: that one is meant."""
    pair = [Hierarchy(2, tmp_path / "two"), Hierarchy(1, tmp_path / "one")]
    name = f"hostprof-both-{os.getpid()}"
    server = servers.Tiny(tmp_path)
    for thing in (*pair, server):
        cleanup(thing)
    groups = [h.group(name) for h in pair]
    pair[1].put(server.pid, groups[1])
    run = hostprof("--cgroup", f"/{name}", "-d", "0")
    assert server.get("/there/1") == 200
    assert [r["path"] for r in run.stop().requests()] == ["/there/1"]
    # Nobody anywhere: that is said, and not that there is no such group.
    pair[1].put(server.pid, pair[1].root)
    got = profiler.run("attach", "--cgroup", f"/{name}", "-o", tmp_path / "none")
    assert got.returncode == 4 and "holds no process" in got.stderr, got
    got = profiler.run("attach", "--cgroup", f"/{name}-not", "-o", tmp_path / "none")
    assert got.returncode == 4 and "no cgroup" in got.stderr, got


def test_name_of_a_service(hierarchy, tmp_path, cleanup, hostprof):
    """NAME.service of systemd's hierarchy names the target; other hierarchies do not."""
    server = servers.Tiny(tmp_path)
    cleanup(server)
    unit = f"hp-shop-{os.getpid()}"
    hierarchy.put(server.pid, hierarchy.group(f"{unit}.service"))
    report = hostprof(server.pid, "-d", "200ms").report()
    target, = report.summary["targets"]
    assert target["service"] == (unit if hierarchy.names_services else "tiny")
