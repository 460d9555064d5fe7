# SPDX-License-Identifier: Apache-2.0
"""The kernel lab: stock Debian kernels under QEMU, every rung of the attach ladder, every case.

    run.py [--full] [--kernel 5.10]… [--rung NAME]…    the cases; table at the end
    run.py --kernel 5.10 [--with FILE] -- COMMAND      any command in such a guest

A line for each kernel × rung × case as it is done; then the table, also in OUTPUT/kernels/table.md;
OUTPUT/kernels/junit.xml for tests/run.sh, and verifier.txt: what each kernel's verifier went through.
Guests run one a processor; cases that compare clocks run in a second one (rungs.TIMED). A guest that
hangs, or dies, fails all the cases that it did not report, and the end of its console is printed. A few
failures are run again, once and named: an emulated processor that its host takes away stands still for
longer than anything that is tested here. What fails twice has failed.
"""

import argparse
import json
import os
import shlex
import subprocess
import sys
import threading
import time
import xml.etree.ElementTree as ET
from concurrent.futures import ThreadPoolExecutor

import debs
import image
import qemu
import rungs

UNSUPPORTED = 3  # exit status: this system is not one that the lab runs on
AGAIN_MAX = 6  # failures of a whole run
printing = threading.Lock()


def say(text):
    with printing:
        print(text, flush=True)


class Kernel:
    """One guest's way through its cases."""

    def __init__(self, series, args, base):
        self.series = series
        self.args = args
        self.base = base
        self.rows = rungs.rungs(args.full, args.rung)
        if not args.rung or rungs.TIMED_ROW["name"] in args.rung:
            self.rows.append(dict(rungs.TIMED_ROW))
        for row in self.rows:
            row["limit_s"] = args.case_timeout
        self.results = {}  # (rung, case): {status, detail, seconds}
        self.notes = []  # what else the guest printed
        self.release = ""
        self.lacks = {}
        self.verifier = {}  # program: its row, as b_cost prints it

    def result(self, rung, case, status, detail, took):
        self.results[rung, case] = dict(status=status, detail=detail, seconds=took)
        say(f"{status:8}{self.series:8}{rung:26}{case:9}{detail} ({took:.0f} s)")

    def on_line(self, line):
        if line.startswith("CASE "):
            r = json.loads(line[5:])
            self.result(r["rung"], r["case"], r["status"], r["detail"], r["seconds"])
            if r["status"] == "failed":
                say("\n".join("    " + n for n in self.notes))
            self.notes = []
        elif line.startswith("LACKS "):
            self.lacks = json.loads(line[6:])
        elif line.startswith("VERIFIER "):
            self.verifier[line.split()[2]] = line[9:]
        else:
            self.notes.append(line)

    def boot(self, rows, icount):
        """One guest, which reports the cases of these rows."""
        work = os.path.join(self.args.output, "kernels", f"work-{self.series}-{os.getpid()}.cpio")
        try:
            directory = debs.kernel(self.series)
            self.release = debs.version(directory)
            job = ("cat > /tmp/rungs.json <<'END'\n" + json.dumps(rows) +
                   "\nEND\nexec python3 tests/kernels/guest/cases.py /tmp/rungs.json\n")
            image.work(self.args.output, work, job)
            guest = qemu.Guest(directory, [self.base, work], self.args.memory, self.args.cpus,
                               icount)
            begin = time.monotonic()
            status = guest.boot(self.on_line, self.args.timeout)
            took = time.monotonic() - begin
            tail = guest.console_tail()
            guest.close()
            if status != 0:
                why = f"the guest was killed after {took:.0f} s" if guest.timed_out else \
                    f"the guest ended with {status}"
                say("\n".join(["    " + n for n in self.notes[-60:]] + ["    console:", tail]))
            else:
                why = "not reported"
        except (debs.Unavailable, image.Missing, OSError) as e:
            why = str(e)
        finally:
            if os.path.exists(work):
                os.unlink(work)
        for row in rows:
            for case in row["cases"]:
                if (row["name"], case) not in self.results:
                    self.result(row["name"], case, "failed", why, 0)

    def run(self):
        for icount in (False, True):
            rows = [r for r in self.rows if (r["name"] == rungs.TIMED_ROW["name"]) == icount]
            if rows:
                self.boot(rows, icount)

    def failed(self):
        return [key for key, r in self.results.items() if r["status"] == "failed"]

    def again(self):
        """The failed cases in a fresh guest; what they say then holds."""
        failed, rows, results = self.failed(), self.rows, self.results
        self.rows = []
        for row in rows:
            mine = [case for rung, case in failed if rung == row["name"]]
            if mine:
                self.rows.append(dict(row, all=mine, cases=mine))
        self.results = {}
        say(f"second run on {self.series}: " + " ".join(f"{r}:{c}" for r, c in failed))
        self.run()
        self.rows, self.results = rows, {**results, **self.results}


def cell(result):
    """A case in the table: how many tests passed, a word, or what the kernel lacks."""
    if not result:
        return ""
    if result["status"] == "skipped":
        return result["detail"].replace("this kernel lacks", "no").split(":")[0]
    if result["status"] == "failed":
        return "**failed**"
    number = result["detail"].split(" tests")[0]
    return f"{number} ok" if number.isdigit() else "exact"


def table(kernels):
    """Markdown: kernel × rung, a column a case."""
    columns = rungs.ALL + rungs.TIMED
    lines = ["| kernel | transfers | arrivals | " + " | ".join(columns) + " |",
             "|---|---|---|" + "---|" * len(columns)]
    for k in kernels:
        for row in k.rows:
            cells = [cell(k.results.get((row["name"], case))) for case in columns]
            lines.append(f"| {k.release or k.series} | {row['transfers']} | {row['arrivals']} | " +
                         " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def junit(kernels, path):
    suite = ET.Element("testsuite", name="kernels")
    for k in kernels:
        for (rung, case), r in k.results.items():
            node = ET.SubElement(suite, "testcase", classname=f"kernels.{k.series}.{rung}",
                                 name=case, time=str(r["seconds"]))
            if r["status"] != "passed":
                ET.SubElement(node, "skipped" if r["status"] == "skipped" else "failure",
                              message=r["detail"])
    ET.ElementTree(suite).write(path, encoding="utf-8", xml_declaration=True)


def cases(args):
    base = image.base(args.output)
    kernels = [Kernel(series, args, base) for series in args.kernel or debs.SUITES]
    begin = time.monotonic()
    with ThreadPoolExecutor(args.guests) as pool:
        # The newest have the most rungs: they go first, so that the guests end together.
        for done in [pool.submit(k.run) for k in reversed(kernels)]:
            done.result()
    if sum(len(k.failed()) for k in kernels) <= AGAIN_MAX:
        for k in kernels:
            if k.failed():
                k.again()
    text = table(kernels)
    directory = os.path.join(args.output, "kernels")
    with open(os.path.join(directory, "table.md"), "w") as f:
        f.write(text)
    with open(os.path.join(directory, "verifier.txt"), "w") as f:
        f.writelines(line + "\n" for k in kernels for line in k.verifier.values())
    junit(kernels, os.path.join(directory, "junit.xml"))
    counts = [sum(r["status"] == s for k in kernels for r in k.results.values())
              for s in ("passed", "failed", "skipped")]
    print("\n" + text)
    print("kernels: %d passed, %d failed, %d skipped" % tuple(counts), end=" ")
    print(f"in {time.monotonic() - begin:.0f} s")
    return 1 if counts[1] else 0


def command(args):
    """The command's output as it comes; the exit status is the worst of the guests'."""
    job = shlex.join(args.command) if len(args.command) > 1 else "".join(args.command)
    if args.shell_script:
        with open(args.shell_script) as f:
            job = f.read()
    base = image.base(args.output)
    work = os.path.join(args.output, "kernels", f"work-{os.getpid()}.cpio")
    image.work(args.output, work, job, args.extra)
    worst = 0
    for series in args.kernel or debs.SUITES:
        directory = debs.kernel(series)
        print(f"-- {series}: {debs.version(directory)}", file=sys.stderr, flush=True)
        guest = qemu.Guest(directory, [base, work], args.memory, args.cpus, args.icount,
                           quiet=not args.console, append=args.append)
        begin = time.monotonic()
        status = guest.boot(lambda line: print(line, flush=True), args.timeout)
        print(f"-- exit {status}, {time.monotonic() - begin:.1f} s", file=sys.stderr, flush=True)
        if status is None or args.console:
            print(guest.console_tail(100), file=sys.stderr)
        guest.close()
        worst = max(worst, 1 if status is None else status)
    os.unlink(work)
    return worst


def main():
    ap = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    ap.add_argument("--output", default=os.environ.get("O", ".output"))
    ap.add_argument("--kernel", action="append", choices=list(debs.SUITES))
    ap.add_argument("--rung", action="append", default=[])
    ap.add_argument("--full", action="store_true", help="all cases on all rungs")
    ap.add_argument("--guests", type=int, default=os.cpu_count() or 1, help="at a time")
    ap.add_argument("--cpus", type=int, default=1, help="of a guest")
    ap.add_argument("--memory", type=int, default=1024, help="of a guest, in MiB")
    ap.add_argument("--timeout", type=float, default=0, help="seconds that a guest may take")
    ap.add_argument("--case-timeout", type=float, default=600)
    ap.add_argument("--shell-script", help="a file to run in the guest")
    ap.add_argument("--icount", action="store_true", help="a clock that counts instructions")
    ap.add_argument("--console", action="store_true", help="print the kernel's messages too")
    ap.add_argument("--append", default="", help="more words for the kernel's command line")
    ap.add_argument("--with", dest="extra", action="append", default=[],
                    help="another program of this host for the guest")
    ap.add_argument("command", nargs="*")
    args = ap.parse_args()
    os.chdir(image.ROOT)
    single = args.command or args.shell_script
    args.timeout = args.timeout or (600 if single else 3 * 3600 if args.full else 1200)
    try:
        debs.archives()
        return command(args) if single else cases(args)
    except debs.Unsupported as e:
        print(f"kernels: {e}", file=sys.stderr)
        return UNSUPPORTED
    except (debs.Unavailable, image.Missing, subprocess.CalledProcessError) as e:
        print(f"kernels: {e}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
