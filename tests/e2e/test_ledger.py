# SPDX-License-Identifier: Apache-2.0
"""Where requests' time goes, against the application's own clocks and what it was told to spend.

An amount of CPU time is the thread's own clock's. A sleep or a query takes as long as it was told at least, and
at most what the application saw, which has in it what it waited for a processor and for its event loop.
"""

import json
import statistics

import pytest

from lib import servers

# What each route spends: phase, at least so many ms.
ROUTES = {"cpu": ("cpu", 8), "db": ("db", 20), "both": ("db", 30), "wait": ("sleep", 6),
          "worker": ("sleep", 14)}
UNKNOWN_MAX = 0.05
MISSED_MAX = 0.05  # a worker thread that is new is not known in its first moments
CPU_RATIO, CPU_MS = 0.1, 0.3  # what ran between two marks of others may be taken for its own


def truth_of(path):
    with open(path) as f:
        return {id: row for id, row in map(json.loads, f)}


def mean(rows, key):
    return statistics.fmean(row.get(key, 0) for row in rows)


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
def test_phases(pg, tmp_path, cleanup, hostprof, loop):
    record = tmp_path / "calls"
    app = servers.App(pg, tmp_path, loop, env={"HP_CALLS": str(record)}, module="ledger_app")
    cleanup(app)
    load = servers.Load(app.port, tmp_path, connections=6, think_ms=60,
                        routes=[f"GET:/{r}/{{id}}" for r in ROUTES])
    load.warm()
    report = hostprof(app.pid, "-d", "6s").report()
    load.stop()
    app.stop()

    truth = truth_of(record)
    spent = {route: [] for route in ROUTES}  # ledger and the application's own record of each request
    waited = without = 0
    for r in report.requests():
        if not r["ledger_ms"]:
            without += not r["flags"]
            continue
        assert sum(r["ledger_ms"].values()) == pytest.approx(r["latency_ms"], abs=1e-4)
        waited += r["ledger_ms"].get("loop_wait", 0)
        if r["flags"]:
            continue
        name, route = r["path"].rsplit("/", 1)[-1], r["path"].split("/")[1]
        # Tasks that were there before the attach say nothing of whose they are.
        if r["read_ns"] > report.start_ns + 1_000_000_000 and name in truth:
            spent[route].append((r["ledger_ms"], truth[name]))
    assert without <= 1
    # What the framework takes for a request that does nothing on a processor.
    plain = mean([ledger for ledger, _ in spent["wait"]], "cpu")
    for route, (phase, least) in ROUTES.items():
        ledgers, own = zip(*spent[route])
        assert len(ledgers) >= 20
        got, want = mean(ledgers, phase), mean(own, phase)
        print(loop, route, phase, round(got, 3), "the application:", round(want, 3))
        if phase == "cpu":
            assert got - plain == pytest.approx(want, rel=CPU_RATIO, abs=CPU_MS)
        else:
            assert (1 - MISSED_MAX) * least <= got <= want
        unknown = mean(ledgers, "unattributed") + mean(ledgers, "other_blocked")
        assert unknown <= UNKNOWN_MAX * mean([{"all": sum(x.values())} for x in ledgers], "all")
    ledgers, own = zip(*spent["worker"])
    assert mean(ledgers, "lock") <= mean(own, "lock") + 0.2

    # Two of the routes hold the event loop: most of what others wait for it is theirs.
    blame = report.summary["blame"]
    assert sum(b["ms"] for b in blame) == pytest.approx(waited, rel=1e-6)
    holders = [b for b in blame if b["holder"] != "background" and
               b["holder"]["route"].split("/")[1] in ("cpu", "wait")]
    assert sum(b["ms"] for b in holders) >= 0.5 * waited

    for e in report.endpoints():
        if e["count"] and e["ledger_ms"]:
            assert sum(e["ledger_ms"]["mean"].values()) == \
                pytest.approx(e["latency_ms"]["mean"], rel=0.02)
