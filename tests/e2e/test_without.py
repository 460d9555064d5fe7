# SPDX-License-Identifier: Apache-2.0
"""Every kernel feature switched off in turn: the same counts, or no measurement at all.

One client on two connections, one opened before the attach and one after it, asks for a known set of
pages of an application with a database. What may get worse without a feature is how early a request's
clock starts, what it costs, and whether there are CPU samples; what may not is how many requests,
statuses and statements there were. No request may be longer than its client saw it, or shorter than
its handler ran.
"""

import http.client
import json
import time

import pytest

from lib import profiler, servers

FEATURES = [c["key"] for c in json.loads(profiler.run("doctor", "--json").stdout)["checks"]
            if c["since_kernel"]]
REQUIRED = {"bpf", "btf", "ringbuf"}
NAP_MS = 30
TIMER_MS = 1.0  # uvloop's timers count in whole milliseconds
CLOCK_MS = 2.0  # between a socket and a client in Python
# What asyncpg's pool sends whenever it takes a connection back.
POOL_SAYS = {"SELECT pg_advisory_unlock_all()", "CLOSE ALL", "UNLISTEN *", "RESET ALL"}
# Path, status, statements of the application in it, times.
PAGES = [
    ("/async/", 200, 1, 15), ("/txn/", 200, 4, 8), ("/sync/", 200, 3, 5), ("/missing/", 404, 0, 6),
    ("/boom/", 500, 0, 3), ("/big/", 200, 0, 3), (f"/sleep/{{}}?ms={NAP_MS}", 200, 0, 3),
]


@pytest.fixture(scope="module")
def app(pg, tmp_path_factory):
    server = servers.App(pg, tmp_path_factory.mktemp("app"))
    yield server
    server.stop()


class Client:
    """Two keep-alive connections, and what each request took by the client's clock."""

    def __init__(self, app):
        self.app = app
        self.connections = [self.connect()]
        self.took_ms = [{}, {}]  # by connection: opened before the attach, and after

    def connect(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.app.port, timeout=30)
        connection.request("GET", "/ready")
        connection.getresponse().read()
        return connection

    def work(self):
        self.connections.append(self.connect())
        for path, status, _, times in PAGES:
            for n in range(times):
                name = f"{path.split('/')[1]}{n}"
                target = path.format(name) if "{}" in path else path + name
                connection = self.connections[n % 2]
                start = time.monotonic()
                connection.request("GET", target)
                answer = connection.getresponse()
                answer.read()
                self.took_ms[n % 2][name] = (time.monotonic() - start) * 1e3
                assert answer.status == status, target

    def stop(self):
        for connection in self.connections:
            connection.close()


def ladder(feature):
    """What doctor says that attach will do: {probe: its row}."""
    report = json.loads(profiler.run("doctor", "--json", "--without", feature).stdout)
    assert report["attach_works"]
    return {row["key"]: row for row in report["probes"]}


def check_requests(rows, by_client, stamped, unknown):
    """Each once, with its status, not longer than the client saw it and not shorter than it was.

    stamped: arrivals are seen, but for the first on each of so many connections that were not known.
    """
    status = {path.split("/")[1]: status for path, status, _, _ in PAGES}
    assert sorted(r["path"].split("/")[2] for r in rows) == sorted(by_client)
    late = [r for r in rows if r["flags"] == ["no_arrival"]]
    assert len(late) == (unknown if stamped else len(rows)), late
    for row in rows:
        _, page, name = row["path"].split("/")
        took_ms = (row["end_ns"] - row["start_ns"]) / 1e6
        assert row["status"] == status[page] and (row in late or not row["flags"]), row
        assert 0 < took_ms < by_client[name] + CLOCK_MS, row
        assert took_ms > NAP_MS - TIMER_MS or not name.startswith("sleep"), row


def check_queries(queries):
    queries = [q for q in queries if q["statement"] not in POOL_SAYS]
    assert sum(q["count"] for q in queries) == sum(n * times for _, _, n, times in PAGES), [
        (q["statement"], q["count"]) for q in queries]
    assert not any(q["errors"] for q in queries)


@pytest.mark.parametrize("feature", [f for f in FEATURES if f not in REQUIRED])
def test_counts_hold(feature, app, hostprof, cleanup):
    probes = ladder(feature)
    client = Client(app)
    cleanup(client)
    run = hostprof(app.pid, "-d", "0", "--without", feature)
    client.work()
    report = run.stop()
    assert report.lost() == {}
    rows = [r for r in report.requests() if r["path"] != "/ready"]
    if probes["transfers"]["rung"]:
        before, after = client.took_ms
        check_requests(rows, {**before, **after},
                       probes["arrivals"]["rung"], 0 if probes["seed"]["rung"] else 1)
        check_queries(report.queries())
    else:
        assert not rows and not report.queries() and feature == "raw_tp"
    assert (report.summary["cpu"] is None) == (probes["cpu"]["rung"] is None)
    assert (report.trust["overhead"]["method"] == "bpf_run_time_stats") == (
        probes["cost"]["rung"] == "run_stats")
    # Whatever is lost is said, in the words of doctor.
    for row in probes.values():
        if row["lost"] and (row["rung"] or row["required"]):
            assert any(row["lost"] in note for note in report.trust["notes"]), (
                row, report.trust["notes"])


@pytest.mark.parametrize("feature", sorted(REQUIRED))
def test_nothing_without(feature, app, out):
    """One sentence that says what is needed, before anything is opened."""
    got = profiler.run("attach", app.pid, "-d", "1s", "-o", out, "--without", feature)
    assert got.returncode == 5 and got.stdout == ""
    line, = got.stderr.splitlines()
    assert "switched off with --without" in line
    assert "hostprof needs Linux 5.8 or newer with BTF; leave out --without " in line
    assert not out.exists()


def test_what_was_switched_off_is_to_blame(app, out):
    """Not a right that is missing."""
    got = profiler.run("attach", app.pid, "-d", "1s", "-o", out, "--no-cpu", "--without", "raw_tp")
    assert got.returncode == 5 and got.stdout == "" and not out.exists()
    assert got.stderr == ("hostprof: nothing of what was asked for can be measured: raw_tp is "
                          "switched off with --without; leave out --without raw_tp\n")
    got = profiler.run("attach", app.pid, "-d", "1s", "-o", out, "--without", "raw_tp,perf_prog")
    assert got.returncode == 5 and not out.exists()
    assert got.stderr.endswith("; leave out --without raw_tp, and leave out --without perf_prog\n")
