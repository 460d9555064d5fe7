# SPDX-License-Identifier: Apache-2.0
"""How many user stacks are whole: table.py [NAME…] prints, for every target of targets.py under load, the
part that reaches the program's or the thread's first function, on CPU and off CPU, by

  hostprof     as its report says (trust.stacks, trust.wait_stacks)
  perf dwarf   perf record --call-graph dwarf: copies of the stack, unwound afterwards by CFI
  perf fp      perf record --call-graph fp: frame pointers

one after the other under the same load. perf's stacks are whole when the outermost address is in _start
of the program, in clone() or clone3() of the C library, or in the first function of a goroutine or of a
thread of Go's runtime. Off CPU are perf's stacks at sched:sched_switch.
"""

import collections
import os
import re
import shutil
import struct
import subprocess
import sys
import tempfile

import targets
from lib import procs, profiler

SECONDS = float(os.environ.get("SECONDS", "6"))
HZ = 199
WAYS = ("cpu", "cpu dwarf", "cpu fp", "wait", "wait dwarf", "wait fp")
# In its code: mov $__NR_clone3,%eax; syscall. And __NR_clone.
CLONES = (b"\xb8\xb3\x01\x00\x00\x0f\x05", b"\xb8\x38\x00\x00\x00\x0f\x05")
GO_FIRST = re.compile(r"^([0-9a-f]+) [tT] (runtime\.goexit|runtime\.mstart|runtime\.mcall|_?rt0_amd64|runtime\.rt0_go)"
                      r"(\.abi0|_linux)?$")


def mappings(pid):
    """[(start, end, offset, path)] of code."""
    found = []
    with open(f"/proc/{pid}/maps") as f:
        for line in f:
            word = line.split(None, 5)
            if "x" in word[1] and len(word) == 6:
                start, end = (int(x, 16) for x in word[0].split("-"))
                found.append((start, end, int(word[2], 16), word[5].strip()))
    return found


def segments(data):
    """[(offset, vaddr, size)] of an ELF file's executable segments, and its entry."""
    entry, at = struct.unpack_from("<QQ", data, 24)
    size, n = struct.unpack_from("<HH", data, 54)
    found = []
    for i in range(n):
        kind, flags, off, vaddr, _, filesz = struct.unpack_from("<IIQQQQ", data, at + i * size)
        if kind == 1 and flags & 1:
            found.append((off, vaddr, filesz))
    return found, entry


class First:
    """Where outermost frames of a process are: (file, offset in it), as perf names places."""

    def __init__(self, target, pid):
        self.ranges = collections.defaultdict(list)
        exe = os.readlink(f"/proc/{pid}/exe")
        for _, _, off, path in mappings(pid):
            if not path.startswith("/") or not os.path.exists(path):
                continue
            name = os.path.basename(path)
            # Programs that ld.so was told to run are not the executable.
            program = path == exe or name.startswith(("python3", "ld-linux"))
            if program or name.startswith(("libc.so", "libc-2")):
                with open(path, "rb") as f:
                    self.look(path, f.read(), off, program)
        if target.debug:
            names = subprocess.run(["nm", target.debug], capture_output=True, text=True).stdout
            with open(target.debug, "rb") as f:
                code, _ = segments(f.read())
            for line in names.splitlines():
                m = GO_FIRST.match(line)
                if m:
                    self.add(exe, int(m[1], 16) - code[0][1] + code[0][0],
                             512 if "rt0" in m[2] else 96 if "mcall" in m[2] else 32)

    def look(self, path, data, off, program):
        code, entry = segments(data)
        for seg_off, vaddr, size in code:
            if not seg_off - 4096 < off < seg_off + size:
                continue
            if program and vaddr <= entry < vaddr + size:
                self.add(path, entry - vaddr + seg_off, 64)
            for insn in () if program else CLONES:
                at = data.find(insn, seg_off, seg_off + size)
                while at >= 0:
                    self.add(path, at, 64)
                    at = data.find(insn, at + 1, seg_off + size)

    def add(self, path, start, size):
        self.ranges[path].append((start, start + size))

    def has(self, addr, path):
        return any(a <= addr < b for a, b in self.ranges[path])


def by_perf(target, event, graph, tmp):
    """(whole, all) of perf's stacks."""
    pids = sorted({target.pid, *target.pids(), *procs.children(target.pid)})
    first = {}
    for pid in pids:
        try:
            first[pid] = First(target, pid)
        except OSError:
            continue
    data = os.path.join(tmp, "perf.data")
    got = subprocess.run(["perf", "record", "-q", "-o", data, *event, "--call-graph", graph, "-p",
                          ",".join(map(str, first)), "--", "sleep", str(SECONDS / 3)],
                         capture_output=True, text=True)
    if got.returncode or not os.path.exists(data):
        return "perf record: " + (got.stderr.strip().splitlines() or ["?"])[-1]
    script = subprocess.Popen(["perf", "script", "-i", data, "-F", "pid,ip,sym,dso",
                               "--no-inline"],
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    whole = total = 0
    pid, last = None, None
    for line in [*script.stdout, "0"]:
        m = re.match(r"\s+([0-9a-f]+) .*\((.*?)(?: \(deleted\))?\)$", line)
        if m:
            if not m[2].startswith("[kernel") and int(m[1], 16) < 1 << 47:
                last = int(m[1], 16), m[2]
        elif line.split():
            if last and pid in first:
                total += 1
                whole += first[pid].has(*last)
            pid, last = int(line.split()[0]), None
    script.wait()
    os.unlink(data)
    return whole, total


def by_hostprof(target, tmp):
    """((whole, all) on CPU, off CPU, {reason of an incomplete one: n})."""
    out = os.path.join(tmp, "report")
    run = profiler.Hostprof(out, target.pid, "-d", f"{SECONDS}s", "--freq", str(HZ), formats="json")
    trust = run.report().trust
    shutil.rmtree(out)
    stops = collections.Counter()
    rows = []
    for key in ("stacks", "wait_stacks"):
        s = trust[key] or {"complete": 0, "total": 0, "stops": {}}
        # Those of kernel threads and of tasks that end have no user part.
        rows.append((s["complete"], s["total"] - s["stops"].get("no_user_part", 0)))
        stops.update({f"{key} {k}": n for k, n in s["stops"].items() if k != "no_user_part"})
    return rows[0], rows[1], stops


def measure(target, with_perf):
    """{way: (whole, all) or why not}, {reason: n}."""
    with tempfile.TemporaryDirectory() as tmp:
        found = {}
        found["cpu"], found["wait"], stops = by_hostprof(target, tmp)
        for graph in ("dwarf", "fp") if with_perf else ():
            found["cpu " + graph] = by_perf(target, ["-F", str(HZ), "-e", "cpu-clock:u"], graph, tmp)
            found["wait " + graph] = by_perf(
                target, ["-c", "20", "-e", "sched:sched_switch"], graph, tmp)
    return found, stops


def cell(value):
    if value is None or isinstance(value, str):
        return "-"
    whole, total = value
    return f"{100 * whole / total:.2f} ({total})" if total else "none"


def main():
    wanted = sys.argv[1:]
    with_perf = shutil.which("perf") is not None
    print(f"whole user stacks, % (of how many), {SECONDS:g} s each" +
          ("" if with_perf else "; perf is not installed"))
    print(f"{'target':28}" + "".join(f"{w:>16}" for w in WAYS), flush=True)
    bad = 0
    with targets.database() as pg:
        for name in targets.ALL:
            if wanted and not any(w in name for w in wanted):
                continue
            try:
                with targets.start(name, pg) as target:
                    found, stops = measure(target, with_perf)
            except targets.Unavailable as e:
                print(f"{name:28}{e}")
                continue
            print(f"{name:28}" + "".join(f"{cell(found.get(w)):>16}" for w in WAYS), flush=True)
            for what, n in stops.most_common():
                print(f"    {n} {what}")
            for way, value in found.items():
                if isinstance(value, str):
                    print(f"    {way}: {value}")
            for way in ("cpu", "wait"):
                whole, total = found[way]
                bad += whole < 0.99 * total or not total
    sys.exit(bad != 0)


if __name__ == "__main__":
    main()
