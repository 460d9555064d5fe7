# SPDX-License-Identifier: Apache-2.0
"""Interpreters of other Debian releases: their packages unpacked into a directory each, run by their own
dynamic linker. Fetched as tests/kernels/debs.py fetches kernels, kept in the same cache for a week.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "kernels"))
import debs  # noqa: E402

COMMON = ("libc6", "libexpat1", "zlib1g", "libgcc-s1")
# suite: (version, packages besides the interpreter's own)
SUITES = {
    "bullseye": ("3.9", ("libffi7", "libssl1.1", "libcrypt1")),
    "trixie": ("3.13", ("libffi8", "libssl3t64")),
    "sid": ("3.14", ("libffi8", "libssl3t64", "libzstd1")),
}


def command(root, version):
    """argv of the interpreter in a root."""
    libraries = [os.path.join(root, d, "x86_64-linux-gnu") for d in ("usr/lib", "lib")]
    linker = next((os.path.join(d, "ld-linux-x86-64.so.2") for d in libraries
                   if os.path.exists(os.path.join(d, "ld-linux-x86-64.so.2"))), None)
    if not linker:
        raise debs.Unavailable(f"{root}: no dynamic linker in it")
    return [linker, "--library-path", ":".join(libraries),
            os.path.join(root, f"usr/bin/python{version}")]


def fetch(suite, into):
    version, more = SUITES[suite]
    state = os.path.join(os.path.dirname(into), "apt-" + suite)
    os.makedirs(state, exist_ok=True)
    apt = debs.Apt(state, (suite,))
    apt.update()
    tmp = tempfile.mkdtemp(dir=os.path.dirname(into), prefix="new-")
    try:
        for package in (f"python{version}-minimal", f"libpython{version}-minimal",
                        f"libpython{version}-stdlib", *COMMON, *more):
            deb = apt.download(package, tmp)
            subprocess.run(["dpkg-deb", "-x", deb, tmp], check=True)
            os.unlink(deb)
        shutil.rmtree(into, ignore_errors=True)
        os.rename(tmp, into)
    finally:
        shutil.rmtree(tmp, ignore_errors=True)


def interpreter(suite):
    """argv of a suite's interpreter; raises debs.Unavailable."""
    into = os.path.join(os.path.dirname(debs.cache_dir()), "pythons", suite)
    os.makedirs(os.path.dirname(into), exist_ok=True)
    if not os.path.exists(into) or time.time() - os.stat(into).st_ctime > debs.FRESH_S:
        try:
            fetch(suite, into)
        except debs.Unavailable:
            if not os.path.exists(into):
                raise
    return command(into, SUITES[suite][0])
