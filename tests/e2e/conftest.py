# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the end-to-end tests, and what a machine must have to run them.

A test that cannot run here is skipped with its reason. With CI=true tests/junit.py takes a skip for a
failure unless it knows the reason, so tests cannot vanish unseen.
"""

import os
import sys

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from lib import postgres, profiler, servers  # noqa: E402

def pytest_configure(config):
    config.addinivalue_line("markers", "no_root: runs without privileges")


def pytest_collection_modifyitems(items):
    """Everything that attaches needs root."""
    if os.geteuid() == 0:
        return
    for item in items:
        if not item.get_closest_marker("no_root"):
            item.add_marker(pytest.mark.skip(reason="not root: attaching needs privileges"))


@pytest.fixture(scope="session")
def pg():
    server = postgres.Postgres()
    yield server
    server.stop()


@pytest.fixture
def out(tmp_path):
    """A report directory that does not exist yet."""
    return tmp_path / "out"


@pytest.fixture
def app(pg, tmp_path):
    server = servers.App(pg, tmp_path)
    yield server
    server.stop()


@pytest.fixture
def nginx():
    server = servers.Nginx()
    yield server
    server.stop()


@pytest.fixture
def hostprof(out):
    """attach(*args) → a run with live probes; ended with the test."""
    runs = []

    def start(*args, path=None, wait=True, **kwargs):
        run = profiler.Hostprof(path or out, *args, **kwargs)
        runs.append(run)
        return run.attached() if wait else run

    yield start
    for run in runs:
        if run.process.running():
            run.process.kill(9)
        run.process.wait()


@pytest.fixture
def cleanup():
    """Things with a stop() that end with the test, last first."""
    things = []
    yield things.append
    for thing in reversed(things):
        thing.stop()
