#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Golden captures: run.py [--bless] [CASE…]. Needs no privileges.

Each directory beside this file holds in.hpcap, a capture of a real run (see record.py), and what
`hostprof report` makes of it, byte for byte: want.json (summary.json), want.md, want.ndjson, want.txt
(the terminal summary; the errors when there is no report), want.folded when CPU was sampled. Nothing in
a report may depend on the machine, the clock or the directory it is made in.

--bless writes the want files anew: look at `git diff` before committing them.
"""

import difflib
import os
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
OUTPUT = os.path.join(ROOT, os.environ.get("O", ".output"))
BINARY = os.path.abspath(os.environ.get("HOSTPROF", os.path.join(OUTPUT, "hostprof")))
FILES = {
    "want.json": "summary.json",
    "want.md": "PERFORMANCE_REPORT.md",
    "want.ndjson": "requests.ndjson",
    "want.folded": "cpu.folded",
}
# A secret of the recorded programs; reports of other captures may not know it.
SECRET, SHOWN = b"hunter2", {"http_literals"}


def report(capture):
    """{want name: bytes} of one capture."""
    with tempfile.TemporaryDirectory(prefix="hp-replay-") as tmp:
        run = subprocess.run(
            [BINARY, "report", capture, "-o", "out", "--format",
             "json,md,ndjson,folded,svg,html,pprof,speedscope,perfetto"],
            cwd=tmp, capture_output=True, timeout=60,
            env={"PATH": "/usr/bin:/bin", "TZ": "UTC", "LC_ALL": "C"})
        got = {"want.txt": run.stdout + run.stderr.replace(os.fsencode(capture), b"in.hpcap")}
        for want, name in FILES.items():
            path = os.path.join(tmp, "out", name)
            if os.path.exists(path):
                with open(path, "rb") as f:
                    got[want] = f.read()
    if run.returncode not in (0, 1):
        got["want.txt"] += b"exit status %d\n" % run.returncode
    return got


def read(path):
    try:
        with open(path, "rb") as f:
            return f.read()
    except FileNotFoundError:
        return None


def show(name, want, got):
    if want is None or got is None:
        print(f"{name}: {'is made, but not expected' if want is None else 'is not made'}")
        return
    lines = difflib.unified_diff(want.decode(errors="replace").splitlines(),
                                 got.decode(errors="replace").splitlines(),
                                 name, "now", lineterm="", n=1)
    for i, line in enumerate(lines):
        if i == 40:
            print("…")
            break
        print(line)


def run_case(case, bless):
    where = os.path.join(HERE, case)
    got = report(os.path.join(where, "in.hpcap"))
    good = True
    for name in ["want.txt", *FILES]:
        path = os.path.join(where, name)
        want, data = read(path), got.get(name)
        if data and SECRET in data and case not in SHOWN:
            print(f"{case}/{name}: a secret of the recorded program is in the report")
            good = False
        if want == data:
            continue
        if not bless:
            show(f"{case}/{name}", want, data)
            good = False
        elif data is None:
            os.unlink(path)
        else:
            with open(path, "wb") as f:
                f.write(data)
    return good


def main():
    names = sys.argv[1:]
    bless = "--bless" in names
    if bless:
        names.remove("--bless")
    if not os.path.exists(BINARY):
        sys.exit(f"{BINARY} is not built: run make first")
    cases = names or sorted(d for d in os.listdir(HERE)
                            if os.path.exists(os.path.join(HERE, d, "in.hpcap")))
    bad = [case for case in cases if not run_case(case, bless)]
    print(f"{len(cases) - len(bad)} of {len(cases)} captures report as before")
    if bad:
        print("different: " + " ".join(bad))
        print("if that is meant, tests/replay/run.py --bless")
    sys.exit(bool(bad) or not cases)


if __name__ == "__main__":
    main()
