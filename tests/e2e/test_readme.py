# SPDX-License-Identifier: Apache-2.0
"""Every command of README's sh blocks works as printed.

They run in order in one directory, with a loaded uvicorn on the port that README names, $PID set to
it, and on the path hostprof and a sudo that only runs its arguments. `make` commands run in the tree, with the
build directory and an install root of the test's own. `make check` is what `make test` begins with: behind that
(HP_CHECKED) it is looked at and not done once more.
"""

import os
import re
import subprocess

import pytest

from lib import procs, profiler, servers


def commands():
    """(line number, command) of each line in a ```sh block."""
    found, inside = [], False
    with open(os.path.join(profiler.ROOT, "README.md")) as f:
        for number, line in enumerate(f, 1):
            line = line.rstrip("\n")
            if line.startswith("```"):
                inside = line == "```sh"
            elif inside and line and not line.startswith("#"):
                found.append((number, line))
    return found


@pytest.fixture(scope="module")
def world(pg, tmp_path_factory):
    """A directory, an environment and a loaded target."""
    tmp = tmp_path_factory.mktemp("readme")
    bin_dir = tmp / "bin"
    bin_dir.mkdir()
    (bin_dir / "hostprof").symlink_to(profiler.BINARY)
    sudo = bin_dir / "sudo"
    sudo.write_text('#!/bin/sh\nexec "$@"\n')
    sudo.chmod(0o755)
    if procs.listening(8000):
        pytest.skip("this kernel's port 8000 is taken by another program")
    app = servers.App(pg, tmp, port=8000)
    load = servers.Load(app.port, tmp, connections=8, think_ms=20)
    load.warm()
    work = tmp / "work"
    work.mkdir()
    outer = {k: v for k, v in os.environ.items() if not k.startswith("MAKE") and k != "MFLAGS"}
    yield work, {**outer, "PATH": f"{bin_dir}:{os.environ['PATH']}", "PID": str(app.pid),
                 "O": profiler.OUTPUT, "DESTDIR": str(tmp / "root")}
    load.stop()
    app.stop()


def test_commands(world):
    work, env = world
    lines = commands()
    assert len(lines) >= 8
    for number, line in lines:
        make = re.search(r"\bmake\b", line)
        if make:
            dry = " --dry-run" if os.environ.get("HP_CHECKED") and "check" in line else ""
            line = re.sub(r"\bmake\b", "make O=$O DESTDIR=$DESTDIR" + dry, line)
        got = subprocess.run(["bash", "-c", line], cwd=profiler.ROOT if make else work, env=env,
                             capture_output=True, text=True, timeout=400)
        assert got.returncode == 0, f"README.md:{number}: {line}\n{got.stdout}\n{got.stderr}"
    assert {"out", "by-port", "by-name", "again"} <= set(os.listdir(work))
    for name in ("summary.json", "PERFORMANCE_REPORT.md"):
        assert (work / "out" / name).read_bytes() == (work / "again" / name).read_bytes()
    installed = os.path.join(env["DESTDIR"], "usr/local/bin/hostprof")
    assert subprocess.run([installed, "--version"], capture_output=True).returncode == 0


def test_files_that_readme_names_exist():
    with open(os.path.join(profiler.ROOT, "README.md")) as f:
        text = f.read()
    for name in re.findall(r"`((?:bpf|user|tools|include|tests)/[a-z0-9_/.-]+)`", text):
        assert os.path.exists(os.path.join(profiler.ROOT, name)), name
