# SPDX-License-Identifier: Apache-2.0
"""From the probes to the capture file, through both processes, read back record by record.

The workload says what it moved; the capture must have every byte of it, at both ends, at its place.
"""

import codecs
import json
import os
import re
import subprocess
import sys
import time

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
OUTPUT = os.path.join(ROOT, os.environ.get("O", ".output"))
EXCHANGES = 500

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="not root: attaching needs privileges")


@pytest.fixture
def known():
    process = subprocess.Popen(
        [sys.executable, os.path.join(ROOT, "tests/workloads/known.py"), str(EXCHANGES)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "ready\n"
    yield process
    process.kill()
    process.wait()


def capture(known, out, *options):
    """What the workload says of a run under observation."""
    profiler = subprocess.Popen(
        [os.path.join(OUTPUT, "hostprof"), "attach", str(known.pid), "-d", "0", "-o", str(out),
         "--no-progress", *options], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    deadline = time.monotonic() + 20
    for line in profiler.stderr:
        if "attached" in line:
            break
        assert time.monotonic() < deadline
    known.stdin.write("go\n")
    known.stdin.flush()
    moved = json.loads(known.stdout.readline())
    time.sleep(0.3)
    profiler.send_signal(2)
    profiler.stderr.read()
    assert profiler.wait(30) == 0
    return moved


def dump(path, *options):
    run = subprocess.run([os.path.join(OUTPUT, "hpcap-dump"), *options, str(path)],
                         capture_output=True, text=True, timeout=60)
    return run.returncode, run.stdout.splitlines()


def fields(line):
    time_ns, kind, rest = line.split(" ", 2)
    return int(time_ns), kind, dict(f.split("=", 1) for f in rest.split(" ") if "=" in f)


def runs(line):
    """(offset, bytes) of each carried run; [] in a dump without -b."""
    found = re.findall(r' run=(\d+)\+\d+(?: frames_before=\d+)? bytes="((?:[^"\\]|\\.)*)"', line)
    return [(int(off), codecs.escape_decode(text.encode())[0]) for off, text in found]


def test_every_byte(known, tmp_path):
    moved = capture(known, tmp_path / "out", "--show-literals")
    status, lines = dump(tmp_path / "out/capture.hpcap", "-b")
    assert status == 0
    opens, ends, streams, seen, closes, lost = {}, {}, {}, {}, 0, None
    for line in lines:
        _, kind, f = fields(line)
        if kind == "CONN_OPEN":
            opens[f["conn"]] = f
        elif kind == "CONN_CLOSE":
            closes += 1
            ends[f["conn"]] = (int(f["recv"]), int(f["send"]))
        elif kind in ("DATA", "CONT"):
            key = (f["conn"], f["dir"])
            assert seen.get(key, 0) == int(f["pos"]), line
            seen[key] = int(f["pos"]) + int(f["len"])
            stream = streams.setdefault(key, {})
            for off, text in runs(line):
                stream[int(f["pos"]) + off] = text
        elif kind == "LOSS":
            lost = line
    assert len(opens) == 6 and closes == 6
    assert re.search(r" events=\d+$", lost), lost
    by_role = {role: [c for c in opens if opens[c]["role"] == role] for role in ("server", "client")}
    for i, (up, down) in enumerate(moved):
        client, server = by_role["client"][i], by_role["server"][i]
        assert ends[client] == (down, up)
        assert ends[server] == (up, down)
        assert seen[client, "send"] == seen[server, "recv"] == up
        assert seen[client, "recv"] == seen[server, "send"] == down
        # Short heads are carried whole at both ends, and are the same bytes.
        sent = b"".join(t for _, t in sorted(streams[client, "send"].items()))
        got = b"".join(t for _, t in sorted(streams[server, "recv"].items()))
        assert sent == got and len(sent) == up
        assert sent.count(b"GET /known/") == EXCHANGES
    assert opens[by_role["client"][0]]["peer"].startswith("127.0.0.1:")
    assert opens[by_role["client"][1]]["peer"].startswith("::1:")
    assert opens[by_role["client"][2]]["path"].startswith('"@hp-known-')


def test_cut_capture(known, tmp_path):
    """What is whole is printed, and the status says that it is not all."""
    capture(known, tmp_path / "out")
    path = tmp_path / "out/capture.hpcap"
    status, lines = dump(path)
    assert status == 0 and len(lines) > 100
    data = path.read_bytes()
    cut = tmp_path / "cut.hpcap"
    cut.write_bytes(data[:len(data) // 2 + 3])
    status, some = dump(cut)
    assert status == 1
    assert some == lines[:len(some)] and len(some) > 10
    cut.write_bytes(b"no capture at all" * 10)
    assert dump(cut) == (1, [])
    assert dump(tmp_path / "none") == (1, [])
