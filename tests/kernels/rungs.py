# SPDX-License-Identifier: Apache-2.0
"""The rungs of the attach ladder as the lab exercises them: one row a rung.

name; the features that hostprof is told to do without (`--without`, HOSTPROF_WITHOUT), so that it ends
on this rung; the features that the kernel must have for the rung to be there at all (else it is
skipped and named); and how much of it `make test-kernels` has time for. The full run does all cases
on all rungs.
"""

ALL = ("b_feat", "b_calls", "b_conn", "b_place", "b_uring", "e2e")

# The rows whose cost is compared, by icount.py.
COSTS = ("default",)

#        name               without                                    needs          short run
ROWS = (
    ("default",             (),                                        (),            ALL),
)


def rungs(full, only=()):
    """[{name, without, needs, cases}] in the order of ROWS."""
    found = []
    for name, without, needs, short in ROWS:
        if only and name not in only:
            continue
        found.append(dict(name=name, without=list(without), needs=list(needs),
                          cases=list(ALL if full else short)))
    return found
