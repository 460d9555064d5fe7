# SPDX-License-Identifier: Apache-2.0
"""Runs a command in a guest with a stock Debian kernel: run.py [--kernel 5.10]… -- COMMAND.

The guest has the build's hostprof and probe tests below /hp/.output (guest/b_*), Python, nginx,
PostgreSQL and busybox. The exit status is the worst of the guests'.
"""

import argparse
import os
import shlex
import sys
import time

import debs
import image
import qemu


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--output", default=os.environ.get("O", ".output"))
    ap.add_argument("--kernel", action="append")
    ap.add_argument("--cpus", type=int, default=1)
    ap.add_argument("--memory", type=int, default=1024)
    ap.add_argument("--timeout", type=float, default=300)
    ap.add_argument("--icount", action="store_true")
    ap.add_argument("--console", action="store_true", help="print the kernel's console at the end")
    ap.add_argument("--append", default="", help="more words for the kernel's command line")
    ap.add_argument("--with", dest="extra", action="append", default=[],
                    help="another file of this host, with its libraries, for /hp/bin")
    ap.add_argument("--shell-script")
    ap.add_argument("command", nargs="*")
    args = ap.parse_args()
    os.chdir(image.ROOT)
    job = open(args.shell_script).read() if args.shell_script else shlex.join(args.command)
    if len(args.command) == 1:
        job = args.command[0]
    base = image.base(args.output)
    work = os.path.join(args.output, "kernels", f"work-{os.getpid()}.cpio")
    image.work(args.output, work, job, args.extra)
    worst = 0
    for series in args.kernel or list(debs.SUITES):
        d = debs.kernel(series)
        print(f"-- {series}: {debs.version(d)}", file=sys.stderr, flush=True)
        t = time.monotonic()
        guest = qemu.Guest(d, [base, work], args.memory, args.cpus, args.icount, append=args.append, quiet=not args.console)
        status = guest.boot(lambda l: print(l, flush=True), args.timeout)
        print(f"-- exit {status}, {time.monotonic() - t:.1f} s", file=sys.stderr)
        if status is None or args.console:
            print(guest.console_tail(60), file=sys.stderr)
        guest.close()
        worst = max(worst, 1 if status is None else status)
    os.unlink(work)
    return worst

if __name__ == "__main__":
    sys.exit(main())
