# SPDX-License-Identifier: Apache-2.0
"""Whose request each database call is, call by call against the application's own record.

Attached in the middle of a load of 50 connections. Statements are told apart by their text, so the pairs
of (request, statement, time) that hostprof writes have to be those that the requests wrote themselves.
"""

import json
import re

import pytest

from lib import servers

ROUTES = ("one", "many", "gather", "child", "stream", "after", "thread", "to_thread", "executor",
          "none")
ALONE = {90}  # no request's
RIGHT_MIN = 0.995
WRONG_MAX = 0.001


def number_of(statement):
    """Its number in bind_app.py; None: not one of its statements."""
    m = re.match(r"SELECT relname AS q(\d+) ", statement)
    return m and int(m[1])


def truth_of(path):
    with open(path) as f:
        return {key: sorted(rows, key=lambda r: r[1]) for key, rows in map(json.loads, f)}


def check_tables(report):
    """The tables add up what requests.ndjson says of each request."""
    asked, users = {}, {}
    for r in report.requests():
        if not {"at_attach", "at_detach"} & set(r["flags"]):
            calls = [c for c in r["calls"] if c["latency_ms"] is not None]  # wholly inside it
            asked.setdefault((r["method"], r["route"]), []).append(calls)
    for key, rows in asked.items():
        for c in (c for calls in rows for c in calls):
            users.setdefault(c["query"], {}).setdefault(key, []).append(c["latency_ms"])
    shown = {(e["method"], e["route"]): e for e in report.endpoints() if e["count"]}
    assert shown.keys() == asked.keys()
    for key, rows in asked.items():
        counts, e = [len(calls) for calls in rows], shown[key]
        if not any(counts):
            assert e["queries_per_request"] is None  # what is bound to none may be theirs
            continue
        assert e["count"] == len(rows)
        assert e["queries_per_request"]["max"] == max(counts)
        assert e["queries_per_request"]["mean"] == pytest.approx(sum(counts) / len(rows), 1e-4)
        waited = sum(c["latency_ms"] for calls in rows for c in calls) / len(rows)
        assert e["db_ms_per_request"] <= waited + 0.001
    for q in report.queries():
        want = users.get(q["fingerprint"], {})
        assert {(e["method"], e["route"]): e["count"] for e in q["endpoints"]} == \
            {key: len(v) for key, v in want.items()}
        for e in q["endpoints"]:
            assert e["total_ms"] == pytest.approx(sum(want[e["method"], e["route"]]), 1e-4, 0.01)


@pytest.mark.parametrize("loop,middleware", [
    ("uvloop", False), ("asyncio", False), ("uvloop", True), ("asyncio", True),
], ids=lambda v: v if isinstance(v, str) else "middleware" if v else "plain")
def test_calls(pg, tmp_path, cleanup, hostprof, loop, middleware):
    record = tmp_path / "calls"
    env = {"HP_CALLS": str(record), **({"HP_MIDDLEWARE": "1"} if middleware else {})}
    app = servers.App(pg, tmp_path, loop, env=env, module="bind_app")
    cleanup(app)
    load = servers.Load(app.port, tmp_path, connections=50, think_ms=60,
                        routes=[f"GET:/{r}/{{id}}" for r in ROUTES])
    load.warm()
    report = hostprof(app.pid, "-d", "5s").report()
    load.stop()
    app.stop()
    lost = report.lost()
    assert lost.pop("unseen_transfers", 0) <= 2  # what was under way as it attached
    assert lost == {}
    check_tables(report)

    truth = truth_of(record)
    ours = {q["fingerprint"]: number_of(q["statement"]) for q in report.queries()}
    requests = {r["path"].rsplit("/", 1)[-1]: r for r in report.requests()}
    # Those that were read, did all their work, and were answered inside the window: binding goes back
    # from the answer. Not in its first second: tasks that were there before say nothing of whose they are.
    first, last = report.start_ns + 1_000_000_000, report.stop_ns
    right = wrong = unbound = 0
    for name, row in requests.items():
        rows = truth.get(name, [])
        if row["read_ns"] < first or "at_detach" in row["flags"] or \
                any(end > last for _, _, end in rows):
            continue
        got = [(ours[c["query"]], c) for c in row["calls"] if ours[c["query"]]]
        want = list(rows)
        for n, call in got:
            at = next((r for r in rows if r[0] == n and r[1] <= call["start_ns"] <= r[2]), None)
            if at:
                rows = [r for r in rows if r is not at]
                right += 1
            else:
                wrong += 1
        unbound += sum(r in rows for r in want)
    print(f"{right} right, {wrong} wrong, {unbound} unbound")
    total = right + unbound
    assert total > 300
    assert right >= RIGHT_MIN * total
    assert wrong <= WRONG_MAX * total
