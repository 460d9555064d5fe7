# SPDX-License-Identifier: Apache-2.0
"""What the driver workloads share: the go/quit handshake, stopwatches and the client's own counts.

A driver is started, waits for `go` on standard input (the profiler attaches meanwhile), runs,
prints one JSON line and waits for the end of standard input, so that the window closes first.
"""

import contextlib
import json
import sys
import time


class Run:
    def __init__(self, code_of):
        self.code_of = code_of
        self.errors = {}
        self.watches = {}
        self.calls = 0

    @contextlib.contextmanager
    def watch(self, sql):
        """A stopwatch around one call of this statement."""
        start = time.perf_counter_ns()
        yield
        self.watches.setdefault(sql, []).append(time.perf_counter_ns() - start)

    @contextlib.contextmanager
    def fails(self, code):
        """The block's one statement must fail with this SQLSTATE."""
        try:
            yield
        except Exception as e:  # every driver has its own class
            got = self.code_of(e)
            if got != code:
                raise
            self.errors[code] = self.errors.get(code, 0) + 1
            return
        raise AssertionError(f"no error {code}")

    def report(self):
        print(json.dumps({"errors": self.errors, "watches": self.watches}), flush=True)
        sys.stdin.read()


def wait_go():
    print("waiting", flush=True)
    assert sys.stdin.readline() == "go\n"
