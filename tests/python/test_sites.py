# SPDX-License-Identifier: Apache-2.0
"""Where hostprof hooks asyncio and uvloop, and the offsets it reads tasks by, against the interpreters."""

import json
import os
import subprocess

import pytest

import roots
from test_frames import ROOT, installed

HERE = os.path.dirname(os.path.abspath(__file__))
SITES = os.path.join(ROOT, os.environ.get("O", ".output"), "test", "sites")
ENDBR = b"\xf3\x0f\x1e\xfa"


def said(argv):
    env = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    run = subprocess.run([*argv, os.path.join(HERE, "say_sites.py")], capture_output=True, text=True,
                         env=env)
    if "No module named '_asyncio'" in run.stderr or "No module named '_ctypes'" in run.stderr:
        pytest.skip("this interpreter was built without _asyncio or _ctypes")
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


def sites(path):
    run = subprocess.run([SITES, path], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return run.stdout.split()


def check_site(got, truth):
    """At the function's first byte, or behind the mark that an indirect call may land on."""
    path, off = truth
    with open(path, "rb") as f:
        f.seek(off)
        marked = f.read(4) == ENDBR
    assert got == "%x" % (off + 4 * marked), "single-stepped" if got.endswith("*") else path


def check(argv, tmp_path):
    truth = said(argv)
    check_site(sites(truth["task"][0])[0], truth["task"])
    for n, name in enumerate(("write", "writelines"), 1):
        if name in truth:
            check_site(sites(truth[name][0])[n], truth[name])
    debug = tmp_path / "debug"
    debug.write_bytes(bytes.fromhex(truth["debug"]))
    run = subprocess.run([SITES, "layout", "%x" % truth["hex"], debug], capture_output=True, text=True)
    assert run.returncode == 0
    for name, off in zip(("ts_context", "task_coro", "task_context", "coro_code", "f_locals",
                          "code_locals", "future_context", "tuple_items", "func_closure", "attrs",
                          "future_callbacks", "closure_awaited"),
                         run.stdout.split()):
        assert int(off) in truth[name], name


@pytest.mark.parametrize("path", installed())
def test_installed(path, tmp_path):
    check([path], tmp_path)


@pytest.mark.parametrize("suite", roots.SUITES)
def test_release(suite, tmp_path):
    check(roots.interpreter(suite), tmp_path)
