# SPDX-License-Identifier: Apache-2.0
"""The walk of user stacks against libdw, over threads of programs of every kind that are stopped while they
are under load. SNAPSHOTS in all targets together; 2,000 and more with `make test-unwind-full`.
"""

import collections
import os
import re
import subprocess
import sys

import pytest

import targets

ORACLE = os.path.join(targets.ROOT, os.environ.get("O", ".output"), "test", "oracle")
SNAPSHOTS = int(os.environ.get("SNAPSHOTS", "60"))
AGREE = 0.995
IMAGES = os.path.join(targets.HERE, "images")

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="not root: threads cannot be stopped")

COUNTS = ("snapshots", "equal", "short", "whole", "in_user", "python", "deepest", "frames")


def compare(target, count, *args, pids=None):
    """({count: n}, Counter of what is not equal)."""
    argv = [ORACLE, *args, str(count), *map(str, pids or target.pids())]
    if target.debug:
        argv[1:1] = ["--debug", target.debug]
    run = subprocess.run(argv, capture_output=True, text=True, timeout=600)
    assert run.returncode == 0, run.stderr
    differ, counts = collections.Counter(), None
    for line in run.stdout.splitlines():
        word = line.split("\t")
        if word[0] == "counts":
            counts = dict(zip(COUNTS, map(int, word[1:])))
        else:
            kind, _, stop, ours, theirs, above, why = word[1:]
            differ[f"{kind}, stop {stop}: ours {ours}, libdw {theirs}, in {above} {why}"] += 1
    return counts, differ


def take_image(target, name):
    path = os.path.join(IMAGES, re.sub(r"[^a-z0-9.]+", "-", name.lower().replace("+", "x")) + ".xz")
    return compare(target, 400, "--record", path, "--keep", "24", pids=target.pids()[:1])


def print_row(name, counts, differ):
    print(f"{name:28} {counts['snapshots']:7} {counts['equal']:7} "
          f"{100 * counts['equal'] / max(counts['snapshots'], 1):7.2f} {counts['short']:7} "
          f"{counts['whole']:7} {counts['in_user']:7} {counts['frames']:8} {counts['deepest']:7}",
          flush=True)
    for what, n in differ.most_common(12):
        print(f"    {n:5} {what}", flush=True)


@pytest.fixture(scope="module")
def pg():
    with targets.database() as server:
        yield server


@pytest.mark.parametrize("name", targets.SHORT)
def test_equal(name, pg):
    try:
        with targets.start(name, pg) as target:
            counts, differ = compare(target, SNAPSHOTS)
    except targets.Unavailable as e:
        pytest.skip(str(e))
    print_row(name, counts, differ)
    assert counts["snapshots"] >= SNAPSHOTS
    assert counts["frames"] >= 3 * SNAPSHOTS
    assert counts["equal"] >= AGREE * counts["snapshots"]


def main():
    """test_oracle.py [--record] [NAME…]: the table, over all targets; or images of their stacks."""
    arguments = sys.argv[1:]
    record = "--record" in arguments
    wanted = [a for a in arguments if a != "--record"]
    total = collections.Counter()
    with targets.database() as pg:
        print(f"{'target':28} {'stacks':>7} {'equal':>7} {'%':>7} {'to JIT':>7} {'whole':>7} "
              f"{'in user':>7} {'frames':>8} {'deepest':>7}", flush=True)
        for name in targets.ALL:
            if wanted and not any(w in name for w in wanted):
                continue
            try:
                with targets.start(name, pg) as target:
                    if record:
                        counts, differ = take_image(target, name)
                    else:
                        counts, differ = compare(target, SNAPSHOTS)
            except targets.Unavailable as e:
                print(f"{name:28} {e}")
                continue
            total.update({k: counts[k] for k in ("snapshots", "equal")})
            print_row(name, counts, differ)
    print(f"{total['equal']} of {total['snapshots']} stacks equal")
    sys.exit(total["equal"] < AGREE * total["snapshots"])


if __name__ == "__main__":
    main()
