# SPDX-License-Identifier: Apache-2.0
"""A capture makes the same reports again, without privileges, whole or damaged."""

import os
import random
import shutil

import pytest

from lib import procs, profiler, servers

SAME = ("summary.json", "PERFORMANCE_REPORT.md", "cpu.folded", "cpu.svg", "cpu.html",
        "cpu.pb.gz", "cpu.speedscope.json", "timeline.pftrace", "offcpu.folded", "offcpu.svg",
        "offcpu.html", "offcpu.pb.gz", "offcpu.speedscope.json", "wakers.folded",
        "wakers.html", "requests.ndjson")


@pytest.fixture(scope="module")
def recorded(pg, tmp_path_factory):
    """A report with requests, queries, errors, outgoing calls and CPU samples."""
    tmp = tmp_path_factory.mktemp("recorded")
    app = servers.App(pg, tmp)
    load = servers.Load(app.port, tmp, connections=16, think_ms=5)
    load.warm()
    run = profiler.attach(tmp / "live", app.pid, "-d", "3s")
    report = run.report()
    load.stop()
    app.stop()
    assert sum(e["count"] for e in report.endpoints()) > 200 and report.queries()
    assert report.summary["cpu"]["samples"] > 10
    return report


@pytest.fixture
def room(tmp_path):
    """A directory of nobody's, reachable for nobody."""
    for parent in [tmp_path, *list(tmp_path.parents)[:2]]:
        os.chmod(parent, 0o755)
    place = tmp_path / "room"
    place.mkdir()
    os.chown(place, *procs.user_ids("nobody"))
    return place


def give(report, room, data=None):
    """A copy of the capture that nobody may read."""
    copy = room / "capture.hpcap"
    copy.write_bytes(report.read("capture.hpcap") if data is None else data)
    os.chown(copy, *procs.user_ids("nobody"))
    return copy


def test_byte_identical_as_nobody(recorded, room):
    copy = give(recorded, room)
    got = profiler.run("report", copy, "-o", room / "again", "--format", profiler.FORMATS,
                       user="nobody")
    assert got.returncode == 0, got
    again = profiler.Report(room / "again")
    for name in SAME:
        assert again.read(name) == recorded.read(name), name


def test_from_directory(recorded, tmp_path):
    got = profiler.run("report", recorded.path, "-o", tmp_path / "again", "--format", "json")
    assert got.returncode == 0, got
    assert (tmp_path / "again" / "summary.json").read_bytes() == recorded.read("summary.json")


def check_damaged(got, where):
    """What is whole with a note, or one clear line; nothing else."""
    assert got.returncode in (0, 1), got
    if got.returncode == 1:
        lines = got.stderr.splitlines()
        assert len(lines) == 1 and lines[0].startswith("hostprof: "), got.stderr
        assert not where.exists()
        return None
    return profiler.Report(where)


def test_truncated(recorded, room):
    whole = recorded.read("capture.hpcap")
    requests = sum(e["count"] for e in recorded.endpoints())
    useful = 0
    for n, cut in enumerate([1, 7, 8, 64, 200, *range(1000, len(whole), len(whole) // 20),
                             len(whole) - 1]):
        copy = give(recorded, room, whole[:cut])
        got = profiler.run("report", copy, "-o", room / f"cut{n}", "--format", "json",
                           user="nobody")
        report = check_damaged(got, room / f"cut{n}")
        if report:
            notes = " ".join(report.trust["notes"]).lower()
            assert "ends early" in notes, notes
            assert report.summary["window"]["complete"] is False
            count = sum(e["count"] for e in report.endpoints())
            assert count <= requests
            useful += count > 0
    assert useful >= 10


def test_corrupted(recorded, room):
    whole = recorded.read("capture.hpcap")
    rng = random.Random(3)
    opened = 0
    for n in range(60):
        data = bytearray(whole)
        for _ in range(rng.choice([1, 1, 5, 100])):
            at = rng.randrange(len(data) if n % 2 else 4096)
            data[at] = rng.randrange(256)
        if n % 5 == 0:
            at = rng.randrange(len(data))
            del data[at:at + rng.randrange(1, 50)]
        copy = give(recorded, room, bytes(data))
        got = profiler.run("report", copy, "-o", room / "bad", "--format", profiler.FORMATS,
                           user="nobody")
        if check_damaged(got, room / "bad"):
            opened += 1
            shutil.rmtree(room / "bad")
    assert opened >= 10


def test_max_capture(app, hostprof, tmp_path):
    """Bounded, with a note and a count; the live report is not affected."""
    load = servers.Load(app.port, tmp_path, connections=32, think_ms=0)
    load.warm()
    report = hostprof(app.pid, "-d", "4s", "--max-capture", "512KiB").report()
    load.stop()
    # What does not grow with traffic (names, mappings, the window's end) is written all the same.
    assert 400 << 10 < os.path.getsize(report.file("capture.hpcap")) <= 640 << 10
    assert report.trust["lost"]["capture_full"] > 0
    assert any("max-capture" in note for note in report.trust["notes"])
    assert sum(e["count"] for e in report.endpoints()) > 1000
