# SPDX-License-Identifier: Apache-2.0
"""One guest: a stock kernel in QEMU under software emulation, from boot to power-off.

The first serial port is the kernel's console and is kept for the case that something goes wrong; the
second carries what the guest's job prints, line by line. The guest has no disk and no network. A guest
that says nothing for too long, or is not done in time, is killed.
"""

import os
import shutil
import subprocess
import tempfile
import threading

QEMU = "qemu-system-x86_64"
# Under emulation the time stamp counter is the host's and steady, whatever the kernel thinks of it.
CMDLINE = "console=ttyS0 rdinit=/init panic=-1 oops=panic tsc=reliable random.trust_cpu=on " \
          "mitigations=off"
# The plainest processor, with random numbers for the kernel's start. With `max`, a guest crashed on a
# corrupted flags register, which the program in it had too: the emulator's doing.
CPU = "qemu64,+rdrand,+rdseed,-cx16"
END = "LAB-EXIT "


class Guest:
    """boot() returns the exit status of the job, None when the guest did not get that far."""

    def __init__(self, kernel_dir, archives, memory_mb=1024, cpus=1, icount=False, quiet=True,
                 append=""):
        self.tmp = tempfile.TemporaryDirectory(prefix="hp-guest-", dir="/tmp")
        self.initrd = os.path.join(self.tmp.name, "initrd")
        with open(self.initrd, "wb") as out:
            for path in archives:
                with open(path, "rb") as f:
                    shutil.copyfileobj(f, out, 1 << 20)
        self.console_path = os.path.join(self.tmp.name, "console")
        cmdline = CMDLINE + (" quiet" if quiet else "") + (" " + append if append else "")
        self.argv = [
            shutil.which(QEMU) or QEMU, "-machine", "pc,hpet=off", "-accel",
            "tcg,thread=" + ("single" if icount else "multi"), "-cpu", CPU, "-smp", str(cpus),
            "-m", str(memory_mb), "-kernel", os.path.join(kernel_dir, "vmlinuz"),
            "-initrd", self.initrd, "-append", cmdline, "-nodefaults", "-nographic",
            "-no-reboot", "-serial", "file:" + self.console_path, "-serial", "stdio",
        ]
        if icount:
            self.argv += ["-icount", "shift=0,sleep=off"]
        self.timed_out = False
        self.stderr = ""

    def boot(self, on_line, timeout):
        """Calls on_line(text) for each line of the job's output."""
        process = subprocess.Popen(self.argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE)
        timer = threading.Timer(timeout, self._kill, (process,))
        timer.start()
        status = None
        try:
            for raw in process.stdout:
                line = raw.decode("utf-8", "replace").rstrip("\r\n")
                if line.startswith(END):
                    status = int(line[len(END):])
                else:
                    on_line(line)
            self.stderr = process.stderr.read().decode("utf-8", "replace")
            process.wait()
        finally:
            timer.cancel()
            if process.poll() is None:
                process.kill()
                process.wait()
        return status

    def _kill(self, process):
        self.timed_out = True
        process.kill()

    def console_tail(self, lines=40):
        try:
            with open(self.console_path, errors="replace") as f:
                text = f.read()
        except OSError:
            text = ""
        return "\n".join((text + self.stderr).splitlines()[-lines:])

    def close(self):
        self.tmp.cleanup()
