# SPDX-License-Identifier: Apache-2.0
"""The rungs of the attach ladder as the lab exercises them: one row a combination.

Each row: how transfers are seen and how arrivals are (the keys of user/load/probes.c); the features that
hostprof is told to do without (`--without`, HOSTPROF_WITHOUT) so that it ends there; the features that
the kernel must have, else the row is skipped and names them; and the cases of `make test-kernels`.
The first row that a kernel has is what users get there, so all cases run on it; the full run does all
cases on all rows.
"""

ALL = ("b_feat", "b_cost", "b_calls", "b_conn", "b_place", "b_uring", "e2e")
SHORT = ("e2e",)
# Cases that look at accept, connect and shutdown, which without fentry and tracepoints nothing shows.
WITH_CALLS = ("b_calls", "b_conn")
# On a kernel that preempts BPF programs only kprobes lose nothing, and come first ("!": must be missing).
WHOLE = "whole_programs"
PREEMPTS = "!" + WHOLE
RETURNS = ("kprobe", "kretprobe_room")

# "+": accept, connect and shutdown are seen, too, by fentry.
# transfers     arrivals         without                                        needs
ROWS = (
    ("fentry", "sk_data_ready", (), ("fentry", "data_ready", WHOLE), ALL),
    ("fentry", "fentry", ("data_ready",), ("fentry", WHOLE), SHORT),
    ("tracepoint", "sk_data_ready", ("fentry",), ("tracepoint", "data_ready", WHOLE), SHORT),
    ("tracepoint", "kprobe", ("fentry", "data_ready"), ("tracepoint", "kprobe", WHOLE), SHORT),
    ("tracepoint", "tcp_probe", ("fentry", "data_ready", "kprobe"),
     ("tracepoint", "tcp_probe", WHOLE), SHORT),
    ("tracepoint", "none", ("fentry", "data_ready", "kprobe", "tcp_probe"), ("tracepoint", WHOLE),
     SHORT),
    ("kprobe+", "sk_data_ready", (), (*RETURNS, "data_ready", PREEMPTS), ALL),
    ("kprobe", "sk_data_ready", ("fentry", "tracepoint"), (*RETURNS, "data_ready"), SHORT),
    ("kprobe", "kprobe", ("fentry", "tracepoint", "data_ready"), RETURNS, SHORT),
    ("raw", "sk_data_ready", ("fentry", "tracepoint", "kprobe"), ("sys_tp", "data_ready", WHOLE),
     SHORT),
    ("raw", "tcp_probe", ("fentry", "tracepoint", "kprobe", "data_ready"),
     ("sys_tp", "tcp_probe", WHOLE), SHORT),
)
# Cases that compare clocks, in a guest of their own whose clock counts instructions: an emulated processor
# that its host takes away between two of them makes them disagree by as long as that lasts. They do without
# sockets, so the ladder does not matter to them.
TIMED = ("b_offcpu", "b_unwind")
TIMED_ROW = dict(name="icount", transfers="-", arrivals="-", without=[], needs=[], all=list(TIMED),
                 cases=list(TIMED))
# Rows whose cost icount.py compares.
COSTS = ("fentry/sk_data_ready", "tracepoint/sk_data_ready", "kprobe/sk_data_ready",
         "raw/sk_data_ready")


def rungs(full, only=()):
    """[{name, transfers, arrivals, without, needs, all, cases}] in the order of ROWS."""
    found = []
    for transfers, arrivals, without, needs, short in ROWS:
        name, key = f"{transfers}/{arrivals}", transfers.rstrip("+")
        if not only or name in only or key in only:
            every = [c for c in ALL if transfers != "kprobe" or c not in WITH_CALLS]
            found.append(dict(name=name, transfers=key, arrivals=arrivals,
                              without=list(without), needs=list(needs), all=every,
                              cases=every if full else list(short)))
    return found
