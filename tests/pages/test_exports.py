# SPDX-License-Identifier: Apache-2.0
"""Profiles for other programs, read back by decoders written from their formats' definitions and, for
pprof, by `go tool pprof`. Needs no browser."""
import collections
import gzip
import json
import os
import re
import shutil
import subprocess
import sys

import pytest

import profiles

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "e2e"))

from lib.protobuf import message, one, varint  # noqa: E402

PLAIN = [profiles.parse(line) for line in """
uvicorn:o 100
uvicorn:o serve:p 150
uvicorn:o serve:p fib:p fib:p sys_write_[k]:k 200
uvicorn:o parse:n 160
worker:o serve:p fib:p 120
worker:o libfoo.so+0x1f2a:u 80
""".strip().splitlines()]
LINES = [([("main", "o"), ("serve (app/main.py:31)", "p"), ("dumps (json/__init__.py:231)", "p")], 30),
         ([("main", "o"), ("serve (app/main.py:33)", "p"), ("f(int) (x.c:3)", "n")], 20)]
HOSTILE = [([("t\x1b\n", "o"), ("\"\\</script>\x01"[:-1], "n"), (b"\xff\xfe", "n"), ("", "p"),
             ("\u202eevil", "n")], 3)]
STACKS = {"plain": PLAIN, "lines": LINES, "random": profiles.at_random(1), "hostile": HOSTILE,
          "empty": [], "deep": [([("t", "o")] + [(f"f{i}", "n") for i in range(2000)], 9)]}


@pytest.fixture(scope="module")
def export(build, tmp_path_factory):
    """export(format, stacks) writes a file and gives its path."""
    where = tmp_path_factory.mktemp("exports")
    count = iter(range(1000))

    def run(form, stacks):
        n = next(count)
        path = where / f"{n}.{form}"
        stack_file = profiles.write(where / f"{n}.stacks", stacks)
        path.write_bytes(subprocess.run([build("page_tool.c"), form, stack_file], check=True,
                                        stdout=subprocess.PIPE).stdout)
        return path

    return run


def packed(fields, number):
    out = []
    for data in fields[number]:
        at = 0
        while at < len(data):
            value, at = varint(data, at)
            out.append(value)
    return out


class Pprof:
    def __init__(self, path):
        raw = path.read_bytes()
        assert raw[:4] == b"\x1f\x8b\x08\x00" and raw[4:8] == bytes(4), "no time in the header"
        p = message(gzip.decompress(raw))
        self.strings = [s.decode() for s in p[6]]
        assert self.strings[0] == "" and len(set(self.strings)) == len(self.strings)
        self.types = [(self.strings[one(t, 1)], self.strings[one(t, 2)]) for t in map(message, p[1])]
        functions = {}
        for f in map(message, p[5]):
            assert one(f, 2) == one(f, 3)
            functions[one(f, 1)] = (self.strings[one(f, 2)], self.strings[one(f, 4)])
        locations = {}
        for loc in map(message, p[4]):
            line = message(one(loc, 4))
            locations[one(loc, 1)] = (*functions[one(line, 1)], one(line, 2))
            assert one(loc, 2) == 1
        assert len(locations) == len(p[4]) and 0 not in locations
        assert len(functions) == len(p[5]) and 0 not in functions
        assert len(set(functions.values())) == len(functions)
        (mapping,) = map(message, p[3])
        self.mapping = self.strings[one(mapping, 5)]
        self.samples = []  # (thread, frames root first, values)
        for s in map(message, p[2]):
            labels = [message(lb) for lb in s[3]]
            assert [self.strings[one(lb, 1)] for lb in labels] in ([], ["thread"])
            thread = self.strings[one(labels[0], 2)] if labels else None
            self.samples.append((thread, [locations[i] for i in packed(s, 1)][::-1], packed(s, 2)))
        self.time, self.duration, self.period = one(p, 9), one(p, 10), one(p, 12)


def clean(text):
    text = text.decode("utf-8", "replace").replace("\ufffd", ".") if isinstance(text, bytes) else text
    return "".join("." if ord(c) < 32 or c == "\u202e" else c for c in text)


def merged(stacks):
    found = collections.Counter()
    for stack, n in stacks:
        found[tuple(clean(t) for t, _ in stack)] += n
    return found


def whole(frame):
    """The frame's text again."""
    name, file, line = frame
    return name + (f" ({file}{f':{line}' if line else ''})" if file else "")


@pytest.mark.parametrize("name", STACKS)
def test_pprof_holds_every_stack(export, name):
    got = Pprof(export("pprof", STACKS[name]))
    assert got.types == [("samples", "count"), ("cpu", "nanoseconds")]
    assert (got.time, got.duration, got.period) == (1700000000 * 10**9, 20 * 10**9, 10**7)
    assert got.mapping == "/usr/bin/sample"
    stacks = {(t, *map(whole, frames)): values for t, frames, values in got.samples}
    assert len(stacks) == len(got.samples)
    want = merged(STACKS[name])
    assert stacks == {k if len(k) > 1 else k * 2: [v, v * 10**7] for k, v in want.items()}


def test_pprof_has_files_and_lines(export):
    got = Pprof(export("pprof", LINES))
    frames = {f for _, frames, _ in got.samples for f in frames}
    assert frames == {("serve", "app/main.py", 31), ("serve", "app/main.py", 33),
                      ("dumps", "json/__init__.py", 231), ("f(int) (x.c:3)", "", 0)}


def test_pprof_of_waits(export):
    got = Pprof(export("pprof-waits", PLAIN))
    assert got.types == [("offcpu", "nanoseconds")] and got.period == 0
    assert sum(v[0] for _, _, v in got.samples) == 810 * 1000


def go_pprof(*args):
    go = shutil.which("go")
    if not go:
        pytest.skip("go (package golang-go) is not installed")
    return subprocess.run([go, "tool", "pprof", *map(str, args)], check=True, capture_output=True,
                          text=True, env={"HOME": "/nonexistent", "PATH": "/usr/bin:/bin",
                                          "TZ": "UTC"}).stdout


def test_go_tool_pprof_agrees(export):
    """flat and cum of every function, as the tool itself counts them."""
    for name in ("plain", "random"):
        model = profiles.Model(STACKS[name])
        top = go_pprof("-top", "-nodefraction=0", "-nodecount=1000", "-sample_index=samples",
                       "-unit=count", export("pprof", STACKS[name]))
        rows = {m[3]: (int(m[1]), int(m[2])) for m in re.finditer(
            r"^ *(\d+) +[\d.]+% +[\d.]+% +(\d+) +[\d.]+% +(.+)$", top, re.M)}
        want = {f: (model.own[f], model.total[f]) for f in model.total}
        want.update({s[0][0]: (n, n) for s, n in STACKS[name] if len(s) == 1})
        assert rows == want, top
        assert "File: sample" in top


def test_go_tool_pprof_reads_lines_threads_and_odd_names(export):
    lines = go_pprof("-traces", "-lines", export("pprof", LINES))
    assert "serve app/main.py:31" in lines and "dumps json/__init__.py:231" in lines
    tags = go_pprof("-tags", export("pprof", PLAIN))
    assert re.search(r"thread: Total 8.1s\n +6.1s .*: uvicorn\n +2.0s .*: worker", tags), tags
    for name in ("hostile", "deep"):
        assert "Type: cpu" in go_pprof("-top", export("pprof", STACKS[name]))


def test_go_tool_pprof_reads_processes(export):
    tags = go_pprof("-tags", export("pprof", [([("web (7)", "P"), ("loop", "o"), ("main", "n")], 3),
                                              ([("web (8)", "P"), ("loop", "o"), ("main", "n")], 1)]))
    for want in (r"pid: Total 40.0ms\n +30.0ms .*: 7\n +10.0ms .*: 8", r"process: .*\n.*: web \(7\)\n",
                 r"thread: Total 40.0ms\n +40.0ms .*: loop"):
        assert re.search(want, tags), tags


# ---- speedscope ----

@pytest.mark.parametrize("name", STACKS)
def test_speedscope_file(export, name):
    """Against the parts of file-format-schema.json that a sampled profile uses."""
    doc = json.loads(export("speedscope", STACKS[name]).read_text(encoding="utf-8"))
    assert doc["$schema"] == "https://www.speedscope.app/file-format-schema.json"
    assert doc.keys() == {"$schema", "exporter", "name", "activeProfileIndex", "shared", "profiles"}
    assert doc["activeProfileIndex"] == 0 and doc["name"] == 'sample ."</script>'
    frames = doc["shared"]["frames"]
    for f in frames:
        assert isinstance(f["name"], str) and f.keys() <= {"name", "file", "line"}
        assert isinstance(f.get("line", 1), int)
    (p,) = doc["profiles"]
    assert p.keys() == {"type", "name", "unit", "startValue", "endValue", "samples", "weights"}
    assert (p["type"], p["unit"], p["startValue"]) == ("sampled", "nanoseconds", 0)
    assert len(p["samples"]) == len(p["weights"]) and p["endValue"] == sum(p["weights"])
    got = {tuple(whole((f["name"], f.get("file", ""), f.get("line", 0)))
                 for f in (frames[i] for i in stack)): weight
           for stack, weight in zip(p["samples"], p["weights"])}
    assert len(got) == len(p["samples"])
    assert got == {k: v * 10**7 for k, v in merged(STACKS[name]).items()}
