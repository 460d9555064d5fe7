# SPDX-License-Identifier: Apache-2.0
"""The references must agree with each other before the profiler is measured against them.

Load client, packet capture and the application's own clock describe the same requests: every id is
in all three, and their times nest: sent ≤ first packet ≤ handler ≤ last packet ≤ received.
"""

import pytest

from lib import pcap, servers


@pytest.mark.parametrize("loop,http", [("uvloop", "httptools"), ("asyncio", "h11")])
def test_clocks_nest(pg, tmp_path, cleanup, loop, http):
    app = servers.App(pg, tmp_path, loop, http)
    cleanup(app)
    capture = pcap.Capture(app.port, tmp_path / "lo.pcap")
    load = servers.Load(app.port, tmp_path, connections=64, think_ms=100)
    load.warm()
    load.warm()
    sent = load.stop()
    servers.http_get(app.port, "/ready?end-of-capture")
    capture.stop(b"end-of-capture")
    app.stop()
    handlers = app.handler_times()
    packets = {x.path.rsplit("/", 1)[1]: x for x in capture.exchanges()}

    assert len(sent) >= 100
    assert set(sent) <= set(packets)
    slack = capture.error_ns() + 20_000  # the clocks are read on different CPUs
    for name, mine in sent.items():
        x = packets[name]
        assert (x.status or 0) == mine["status"], name
        assert mine["status"] in (200, 204, 404, 500), name
        assert mine["sent_ns"] - slack <= x.first_ns, name
        assert x.last_ns <= mine["done_ns"] + slack, name
        start, end = handlers[name]
        assert x.first_ns <= start + slack, name
        if "/stream/" not in mine["path"]:
            assert end <= x.last_ns + slack, name
    assert any(m["status"] == 500 for m in sent.values())
    assert any(m["status"] == 404 for m in sent.values())


def test_nginx_log_agrees_with_wrk(nginx):
    counted = servers.wrk(nginx.port, "/f/small.txt", connections=4, seconds=1)
    rows = nginx.log()
    # wrk stops counting when its time is up; each connection may have one answer more in flight.
    assert counted <= len(rows) <= counted + 4
    assert {r["status"] for r in rows} == {200}
    assert {r["request"] for r in rows} == {"GET /f/small.txt HTTP/1.1"}
