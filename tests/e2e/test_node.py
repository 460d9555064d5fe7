# SPDX-License-Identifier: Apache-2.0
"""JavaScript functions of Node without any flag: names, files and lines out of V8's heap."""

import collections
import json
import os
import re
import signal
import threading
import urllib.request

import pytest

from lib import procs
from test_runtimes import WHOLE, checked, folded, need, share

WORKLOADS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "workloads")

# Six functions are too many for one call for V8 to put them into their caller.
BUSY = """'use strict';
class Kinds {
  method() { return work(1); }
  static ofClass() { return work(2); }
  get getter() { return work(3); }
}
function declared() { return work(4); }
const arrow = () => work(5);
const kinds = { inObject() { return work(6); } };
function work(seed) {
  let sum = seed;
  for (let i = 0; i < 300000; i++) sum = (sum * 31 + i) % 1000003;
  return sum;
}
const calls = [() => new Kinds().method(), Kinds.ofClass, () => new Kinds().getter, declared, arrow,
  kinds.inObject];
let rounds = 0;
function tick() {
  for (const call of calls) call();
  if (++rounds == 50) console.log('warm');
  setImmediate(tick);
}
tick();
"""

SERVER = """'use strict';
const http = require('http');
function digits(n) {
  let text = '';
  while (text.length < n) text += Math.random().toString(36).slice(2);
  return text;
}
function renderRow(i) {
  return `<li>${i}: ${digits(60)}</li>`;
}
async function renderPage(url) {
  await null;
  return Array.from({ length: 300 }, (_, i) => renderRow(i)).join('\\\\n') + url;
}
const server = http.createServer(function answer(request, response) {
  renderPage(request.url).then((page) => response.end(page));
});
server.listen(0, '127.0.0.1', () => console.log('port ' + server.address().port));
"""


DEEP = """'use strict';
const { pbkdf2Sync } = require('crypto');
function lasts() { return pbkdf2Sync('secret', 'salt', 30000, 64, 'sha512'); }
function deep(n) { return n > 1 ? deep(n - 1) : lasts(); }
let rounds = 0;
function tick() {
  deep(%d);
  if (++rounds == 5) console.log('warm');
  setImmediate(tick);
}
tick();
"""


def start(cleanup, tmp_path, script, line, *flags):
    (tmp_path / "app.js").write_text(script)
    node = procs.Process([need("node"), *flags, tmp_path / "app.js"], cwd=tmp_path)
    cleanup(node)
    return node, node.wait_line(line)


def place(script, what):
    """`(DIRECTORY/app.js:LINE)` is where a function is; DIRECTORY is the test's."""
    return next(i for i, text in enumerate(script.splitlines(), 1) if what in text)


def test_functions_without_flags(hostprof, cleanup, tmp_path):
    node, _ = start(cleanup, tmp_path, BUSY, "warm")
    report = hostprof(node.pid, "-d", "3s", "--freq", "199").report()
    stacks = checked(report)
    total = sum(n for _, n in stacks)
    assert report.trust["stacks"]["jit_ratio"] <= 0.02
    where = re.escape(f"{tmp_path.name}/app.js")
    own = collections.Counter()
    for frames, n in stacks:
        named = [m for m in (re.fullmatch(rf"(.*) \({where}:(\d+)\)", f) for f in frames) if m]
        # Each name is that of the function which begins in the line that is said.
        for m in named:
            line = BUSY.splitlines()[int(m[2]) - 1]
            assert m[1] in line or m[1] == "calls" and "=>" in line, m[0]
            own[m[1]] += n
        assert "Builtins_JSEntry" not in frames or not named or \
            frames.index("Builtins_JSEntry") < frames.index(named[0][0])
    print(own)
    # All do the same: a sixth of the time each, of some hundred samples.
    for name in ("method", "ofClass", "get getter", "declared", "arrow", "inObject"):
        assert 0.08 <= own[name] / total <= 0.26, name
    assert own["work"] >= 0.9 * total


def test_server_without_flags(hostprof, cleanup, tmp_path):
    """Callbacks and closures that come and go with each request, while the collector moves them."""
    node, line = start(cleanup, tmp_path, SERVER, "port ")
    url = f"http://127.0.0.1:{int(line.split()[-1])}/"
    stop = threading.Event()

    def load():
        while not stop.is_set():
            urllib.request.urlopen(url).read()

    threads = [threading.Thread(target=load) for _ in range(4)]
    for t in threads:
        t.start()
    try:
        report = hostprof(node.pid, "-d", "3s", "--freq", "199").report()
    finally:
        stop.set()
        for t in threads:
            t.join()
    stacks = [(frames, n) for frames, n in checked(report)]
    print(collections.Counter({f: n for frames, n in stacks for f in frames}).most_common(5))
    where = re.escape(f"{tmp_path.name}/app.js")
    mine = {m.groups() for m in (re.fullmatch(rf"(.*) \({where}:(\d+)\)", f)
                                 for frames, _ in stacks for f in frames) if m}
    for name, line in mine:
        text = SERVER.splitlines()[int(line) - 1]
        assert name in text or name == "(anonymous)" and "=>" in text, (name, line)
    assert share(stacks, lambda f: re.fullmatch(rf".* \({where}:\d+\)", f)) >= 0.5
    assert share(stacks, lambda f: re.fullmatch(r".* \(node:[a-z_/]+:\d+\)", f)) >= 0.5
    assert report.trust["stacks"]["jit_ratio"] <= 0.05


@pytest.mark.parametrize("depth", (200, 1000))
def test_deep_recursion(hostprof, cleanup, tmp_path, depth):
    """Functions that frames run take no room from frames; what does not fit is missing outside, and counted."""
    # Optimised, some calls would be inlined.
    node, _ = start(cleanup, tmp_path, DEEP % depth, "warm", "--no-opt")
    report = hostprof(node.pid, "-d", "2s", "--freq", "199").report()
    name = f"deep ({tmp_path.name}/app.js:{place(DEEP, 'function deep')})"
    stacks = [(frames, n) for frames, n in folded(report)
              if any(f.startswith("lasts (") for f in frames)]
    print(report.trust["stacks"])
    assert sum(n for _, n in stacks) >= 50
    whole = sum(n for frames, n in stacks if frames.count(name) == depth)
    total = sum(n for _, n in stacks)
    if depth == 200:
        assert whole == total and report.trust["stacks"]["truncated"] == 0
        return
    assert report.trust["stacks"]["truncated"] >= total
    for frames, _ in stacks:
        inner = frames.index("(truncated)") + 1
        own = [f for f in frames[inner:] if f == name]
        assert len(own) >= 220 and frames[inner:inner + len(own)] == own, frames


def call_paths(text):
    """{innermost function: [[names from the outermost on], ...]}, as the program itself has them."""
    paths = collections.defaultdict(list)
    for path in json.loads(text):
        names = [name for name, file in path if file][::-1]
        paths[names[-1]].append(names)
    return paths


def in_order(names, path):
    """How many of `names` are in `path`, in its order."""
    it = iter(path)
    return sum(any(name == other for other in it) for name in names)


def test_against_own_stack_traces(hostprof, cleanup, tmp_path):
    """Functions of every kind call one that lasts, and note the runtime's own stack trace there."""
    node = procs.Process([need("node"), os.path.join(WORKLOADS, "paths.js")], cwd=tmp_path)
    cleanup(node)
    node.wait_line("warm")
    report = hostprof(node.pid, "-d", "6s", "--freq", "199").report()
    stacks = checked(report)
    os.kill(node.pid, signal.SIGUSR2)
    paths = call_paths(node.wait_line("[["))
    compared = shown = wrong = missed = total = 0
    kinds = set()
    for frames, n in stacks:
        js = [m[1] for m in (re.fullmatch(r"(.*) \((?:[^()]*\.js|node:[^()]*):\d+\)", f) for f in frames)
              if m]
        if "burn" not in js:
            continue
        names = js[:js.index("burn")]
        assert names and names[-1] in paths, frames
        kinds.add(names[-1])
        best = max(paths[names[-1]], key=lambda path: in_order(names, path) - len(path))
        good = in_order(names, best)
        compared += n
        total += n * len(best)
        shown += n * good
        wrong += n * (len(names) - good)
        missed += n * (len(best) - good)
    print(compared, total, shown, wrong, missed, len(kinds), len(paths))
    assert compared >= 300
    assert len(kinds) >= len(paths) - 1
    assert wrong <= 0.01 * total
    assert shown >= 0.95 * total
