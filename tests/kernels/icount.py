# SPDX-License-Identifier: Apache-2.0
"""What each rung costs, in guest instructions: icount.py [--kernel 6.12] [--output DIR].

One stock kernel, one processor, QEMU's -icount: a clock that advances 1 ns an instruction. So the
figures are numbers of instructions, the same on every host, and no times: caches and branches cost
nothing there. Prints a table, also to OUTPUT/kernels/icount.md: per rung nginx's worker per request
and, beside it, a process that is no target, per system call; the middle one of three rounds.
"""

import argparse
import json
import os
import statistics
import sys

import debs
import image
import qemu
import rungs

COLUMNS = (("nginx", "nginx's worker, a request"), ("getppid", "getppid"),
           ("pread", "pread /dev/zero"), ("read", "read /dev/zero"),
           ("pair", "write + read, unix socket"))


def collect(args, rows):
    """{rung: {what: [instructions by round]}}"""
    found = {}

    def on_line(line):
        if line.startswith("COUNT "):
            r = json.loads(line[6:])
            found.setdefault(r["rung"], {}).setdefault(r["what"], []).append(r["instructions"])
            if args.verbose:
                print(line, flush=True)
        else:
            print("    " + line, flush=True)

    base = image.base(args.output)
    work = os.path.join(args.output, "kernels", f"work-icount-{os.getpid()}.cpio")
    directory = debs.kernel(args.kernel)
    image.work(args.output, work, "cat > /tmp/rungs.json <<'END'\n" + json.dumps(rows) +
               "\nEND\nexec python3 tests/kernels/guest/icount.py /tmp/rungs.json\n")
    guest = qemu.Guest(directory, [base, work], 1024, 1, icount=True)
    try:
        status = guest.boot(on_line, args.timeout)
        if status != 0:
            print(guest.console_tail(), file=sys.stderr)
            sys.exit(f"icount: the guest {'was killed' if status is None else 'failed'}")
    finally:
        guest.close()
        os.unlink(work)
    return found


def table(kernel, found):
    plain = {what: statistics.median(v) for what, v in found["nothing attached"].items()}
    lines = [f"Guest instructions (QEMU -icount) on Debian's {kernel}, one processor; in brackets what "
             "the rung adds.", "",
             "| attached on | " + " | ".join(title for _, title in COLUMNS) + " |",
             "|---|" + "---:|" * len(COLUMNS)]
    for rung, values in found.items():
        if rung == "clock":
            continue
        cells = []
        for what, _ in COLUMNS:
            mid = statistics.median(values[what])
            more = round(mid - plain[what])
            cells.append(f"{mid:,.0f}" + ("" if rung.startswith("nothing") else f" ({more:+,d})"))
        lines.append(f"| {rung} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def main():
    ap = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    ap.add_argument("--output", default=os.environ.get("O", ".output"))
    ap.add_argument("--kernel", default="6.12", choices=list(debs.SUITES))
    ap.add_argument("--rung", action="append", default=[])
    ap.add_argument("--timeout", type=float, default=3600)
    ap.add_argument("-v", "--verbose", action="store_true")
    args = ap.parse_args()
    os.chdir(image.ROOT)
    rows = rungs.rungs(False, args.rung or rungs.COSTS)
    found = collect(args, rows)
    clock, = found["clock"]["spin"]
    print(f"the clock: {clock:.4f} ns an instruction")
    if abs(clock - 1) > 0.01:
        sys.exit("icount: the guest's clock does not count instructions")
    text = table(debs.version(debs.kernel(args.kernel)), found)
    with open(os.path.join(args.output, "kernels", "icount.md"), "w") as f:
        f.write(text)
    print(text)


main()
