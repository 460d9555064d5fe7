# SPDX-License-Identifier: Apache-2.0
"""The profiler under test: starts `hostprof attach`, waits for its probes, reads its report."""

import json
import os
import signal
import subprocess

from . import procs

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__)))))
OUTPUT = os.path.join(ROOT, os.environ.get("O", ".output"))
BINARY = os.environ.get("HOSTPROF", os.path.join(OUTPUT, "hostprof"))
FORMATS = "md,json,ndjson,svg,folded,html,pprof,speedscope,perfetto"


# Generated code lives for one call: its frames are counted, and have no names.
UNNAMED = {"python_code"}


class Report:
    """A report directory."""

    def __init__(self, path):
        self.path = str(path)
        with open(self.file("summary.json")) as f:
            self.summary = json.load(f)

    def file(self, name):
        return os.path.join(self.path, name)

    def read(self, name):
        with open(self.file(name), "rb") as f:
            return f.read()

    def files(self):
        return sorted(os.listdir(self.path))

    def requests(self):
        with open(self.file("requests.ndjson")) as f:
            return [json.loads(line) for line in f]

    def endpoints(self):
        return self.summary["endpoints"]

    def queries(self):
        return self.summary["queries"]

    @property
    def start_ns(self):
        return self.summary["window"]["start_mono_ns"]

    @property
    def stop_ns(self):
        return self.start_ns + round(self.summary["window"]["duration_s"] * 1e9)

    @property
    def trust(self):
        return self.summary["trust"]

    def lost(self):
        """Events; not the names of Python functions that were gone before they could be asked for."""
        return {k: v for k, v in self.trust["lost"].items() if v and k not in UNNAMED}


class Hostprof:
    """A run of `hostprof attach`."""

    def __init__(self, out, *args, formats=FORMATS, extra=(), prefix=()):
        self.out = str(out)
        argv = [*prefix, BINARY, "attach", *args, "-o", self.out, "--no-progress", *extra]
        if formats:
            argv += ["--format", formats]
        self.process = procs.Process(argv, name="hostprof")
        self.started_ns = self.process.started_ns

    def attached(self):
        """Waits until every probe is live."""
        self.process.wait_line("hostprof: attached", where="err")
        return self

    def pids(self):
        return [self.process.pid, *procs.children(self.process.pid)]

    def stop(self):
        """Ctrl-C: the window ends and the report is written."""
        self.process.kill(signal.SIGINT)
        return self.report()

    def report(self, timeout=120):
        status = self.process.wait(timeout)
        assert status == 0, f"hostprof exited with {status}:\n{self.process.stderr}"
        return Report(self.out)


def attach(out, *args, **kwargs):
    return Hostprof(out, *args, **kwargs).attached()


def run(*args, timeout=120, user=None, env=None, stdin=None):
    """Any hostprof command to its end."""
    argv = [BINARY, *map(str, args)]
    if user:
        argv = ["setpriv", f"--reuid={user}", f"--regid={procs.user_ids(user)[1]}",
                "--clear-groups", "--", *argv]
    return subprocess.run(argv, capture_output=True, text=True, timeout=timeout, stdin=stdin,
                          env={**os.environ, **(env or {})})


def peak_rss(pids):
    """Bytes of peak resident memory, summed over processes that still run."""
    total = 0
    for pid in pids:
        try:
            with open(f"/proc/{pid}/status") as f:
                for line in f:
                    if line.startswith("VmHWM:"):
                        total += int(line.split()[1]) * 1024
        except OSError:
            continue
    return total


def kernel_objects(pids):
    """{("prog"|"map"|"link", id)} that these processes hold open."""
    found = set()
    for pid in pids:
        try:
            names = os.listdir(f"/proc/{pid}/fdinfo")
        except OSError:
            continue
        for name in names:
            try:
                with open(f"/proc/{pid}/fdinfo/{name}") as f:
                    for line in f:
                        key, _, value = line.partition(":")
                        if key in ("prog_id", "map_id", "link_id"):
                            found.add((key[:-3], int(value)))
            except OSError:
                continue
    return found


def kernel_has(kind, number):
    tool = subprocess.run([os.path.join(ROOT, "tools/find-bpftool.sh")], capture_output=True,
                          text=True).stdout.strip()
    return subprocess.run([tool, kind, "show", "id", str(number)],
                          capture_output=True).returncode == 0
