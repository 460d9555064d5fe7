# SPDX-License-Identifier: Apache-2.0
"""What users and hosts get wrong: one clear line, the right exit status, nothing half-written."""

import json
import os
import random
import shutil
import signal
import socket
import struct
import subprocess
import tempfile

import pytest

from lib import procs, profiler, servers

USAGE, NO_TARGET, PRIVILEGE, FAILED = 2, 4, 5, 1


def refuse(status, *args, says=(), **kwargs):
    """hostprof must end with this status and one line that says these words."""
    got = profiler.run(*args, **kwargs)
    assert got.returncode == status, (args, got)
    lines = [l for l in got.stderr.splitlines() if not l.startswith("hostprof: attached")]
    assert len(lines) == 1 and lines[0].startswith("hostprof: "), (args, got.stderr)
    for word in [says] if isinstance(says, str) else says:
        assert word.lower() in lines[0].lower(), (args, lines[0])
    return got


@pytest.mark.no_root
@pytest.mark.parametrize("args,says", [
    (["attach"], "no target"),
    (["attach", "abc"], "abc"),
    (["attach", "0"], "0"),
    (["attach", "-5"], "-5"),
    (["attach", "99999999999999999999"], "process id"),
    (["attach", "1", "1"], "twice"),
    (["attach", "1", "-d", "-1"], "-1"),
    (["attach", "1", "-d", ""], "duration"),
    (["attach", "1", "-d", "30 s"], "30 s"),
    (["attach", "1", "-d", "99999d"], "99999d"),
    (["attach", "1", "-d", "400h"], "week"),
    (["attach", "1", "--duration=1e9s"], "1e9s"),
    (["attach", "1", "--freq", "0"], "freq"),
    (["attach", "1", "--freq", "1000000"], "1000000"),
    (["attach", "1", "--freq", "99.5"], "99.5"),
    (["attach", "1", "--format", "docx"], "docx"),
    (["attach", "1", "--format", ""], "format"),
    (["attach", "1", "--max-capture", "1"], "max-capture"),
    (["attach", "1", "--max-capture", "-1"], "-1"),
    (["attach", "1", "--no-such-option"], "no-such-option"),
    (["attach", "1", "-o"], "-o"),
    (["attach", "--port", "0"], "port"),
    (["attach", "--port", "65536"], "65536"),
    (["attach", "--port", "80", "--name", "x"], "give one"),
    (["attach", "1", "--no-cpu", "--no-offcpu", "--no-http", "--no-db"], "nothing"),
    (["report"], "capture"),
    (["daemon"], "daemon"),
    (["attahc", "1"], "attach"),
    ([], "command"),
])
def test_absurd_options(args, says):
    refuse(USAGE, *args, says=says)


@pytest.mark.no_root
def test_help_names_what_exists():
    got = profiler.run("--help")
    assert got.returncode == 0 and not got.stderr
    for command in ("attach", "report", "doctor"):
        assert command in got.stdout
        own = profiler.run(command, "--help")
        assert own.returncode == 0 and "Usage: hostprof " + command in own.stdout
        assert profiler.run("help", command).stdout == own.stdout
    assert profiler.run("help").stdout == got.stdout
    refuse(USAGE, "help", "attahc", says="attach")
    refuse(USAGE, "help", "attach", "report", says="one command")
    for command in ("daemon", "simulate"):
        assert command not in got.stdout
    assert profiler.run("attach", "--version").stdout.startswith("hostprof ")


def test_no_such_process(out):
    with open("/proc/sys/kernel/pid_max") as f:
        pid_max = int(f.read())
    free = next(p for p in range(pid_max - 1, 1, -1) if not os.path.exists(f"/proc/{p}"))
    refuse(NO_TARGET, "attach", free, "-d", "1s", "-o", out, says=[str(free)])
    assert not out.exists()


@pytest.mark.parametrize("args", [
    ["--port", "1"], ["--name", "no-process-has-this-name-*"],
])
def test_nothing_matches(out, args):
    refuse(NO_TARGET, "attach", *args, "-d", "1s", "-o", out, says=[args[1]])
    assert not out.exists()


def test_no_such_cgroup(out):
    refuse(NO_TARGET, "attach", "--cgroup", "/no/such/cgroup", "-o", out, says="cgroup")
    assert not out.exists()


def test_kernel_thread(out):
    kthread = next((int(p) for p in os.listdir("/proc") if p.isdigit() and is_kthread(p)), None)
    if kthread is None:
        pytest.skip("this kernel shows no kernel thread in this PID namespace")
    refuse(PRIVILEGE, "attach", kthread, "-o", out, says="kernel thread")
    assert not out.exists()


def is_kthread(pid):
    try:
        with open(f"/proc/{pid}/stat") as f:
            fields = f.read().rsplit(")", 1)[1].split()
    except OSError:
        return False
    return int(fields[6]) & 0x00200000 != 0


def test_gone_half_way(tmp_path, cleanup, hostprof):
    """The report of what was seen, exit 0."""
    server = servers.Tiny(tmp_path)
    cleanup(server)
    run = hostprof(server.pid, "-d", "0")
    for n in range(5):
        assert server.get(f"/seen/{n}") == 200
    server.process.kill(signal.SIGKILL)
    report = run.report()
    assert sum(e["count"] for e in report.endpoints()) == 5


def test_gone_before_anything(out):
    """A process that ends at once, whether before or after the attach."""
    short = subprocess.Popen(["/bin/true"])
    short.wait()
    refuse(NO_TARGET, "attach", short.pid, "-o", out, says=[str(short.pid)])
    assert not out.exists()


def test_no_privileges():
    """A user's own process: the capabilities by name; somebody else's: the one that is first."""
    place = tempfile.mkdtemp(prefix="hp-nobody-", dir="/tmp")
    os.chown(place, *procs.user_ids("nobody"))
    own = procs.Process(["sleep", "1000"], user="nobody")
    foreign = procs.Process(["sleep", "1000"])
    try:
        for process, says in ((own, ["CAP_BPF", "CAP_PERFMON"]), (foreign, "CAP_SYS_PTRACE")):
            refuse(PRIVILEGE, "attach", process.pid, "-d", "1s", "-o", f"{place}/out",
                   user="nobody", says=says)
            assert os.listdir(place) == []
    finally:
        own.stop()
        foreign.stop()
        shutil.rmtree(place)


# i386: mov eax,29 (pause); int 0x80; jmp back. Linked by hand: no 32-bit compiler is needed.
CODE_32 = b"\xb8\x1d\x00\x00\x00\xcd\x80\xeb\xf7"


def elf32(path):
    base, size = 0x08048000, 52 + 32 + len(CODE_32)
    head = b"\x7fELF\1\1\1" + bytes(9) + struct.pack(
        "<HHIIIIIHHHHHH", 2, 3, 1, base + 84, 52, 0, 0, 52, 32, 1, 40, 0, 0)
    segment = struct.pack("<IIIIIIII", 1, 0, base, base, size, size, 5, 0x1000)
    path.write_bytes(head + segment + CODE_32)
    path.chmod(0o755)


def test_32_bit_process(tmp_path, out):
    program = tmp_path / "prog32"
    elf32(program)
    try:
        process = subprocess.Popen([str(program)])
    except OSError:
        pytest.skip("this kernel does not run 32-bit programs")
    try:
        refuse(PRIVILEGE, "attach", process.pid, "-d", "1s", "-o", out, says="32-bit")
        assert not out.exists()
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def tiny(tmp_path, cleanup):
    server = servers.Tiny(tmp_path)
    cleanup(server)
    return server


def test_output_exists(tiny, out):
    out.mkdir()
    (out / "keep").write_text("mine")
    refuse(FAILED, "attach", tiny.pid, "-d", "300ms", "-o", out, says="--force")
    assert [p.name for p in out.iterdir()] == ["keep"]
    got = profiler.run("attach", tiny.pid, "-d", "300ms", "-o", out, "--force")
    assert got.returncode == 0, got
    assert (out / "summary.json").exists()


@pytest.mark.parametrize("where", ["/proc/hostprof-out", "/dev/null/out", "/no/such/parent/out"])
def test_output_unwritable(tiny, where):
    refuse(FAILED, "attach", tiny.pid, "-d", "300ms", "-o", where,
           says=[os.path.dirname(where), "-o"])


def test_full_disk(tiny, tmp_path):
    """A file system of 64 KiB: one line, and nothing under the final name."""
    small = tmp_path / "small"
    small.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", small],
                      capture_output=True).returncode:
        pytest.skip("this kernel does not let tests mount a file system")
    try:
        (small / "filler").write_bytes(b"f" * 40_000)
        refuse(FAILED, "attach", tiny.pid, "-d", "500ms", "-o", small / "out",
               says="no space left")
        assert [p.name for p in small.iterdir()] == ["filler"]
    finally:
        subprocess.run(["umount", "-l", small], check=True)


def test_progress_is_quiet_without_terminal(tiny, out):
    got = profiler.run("attach", tiny.pid, "-d", "300ms", "-o", out, "-q")
    assert got.returncode == 0 and got.stderr == ""


def test_json_on_standard_output(tiny, out):
    got = profiler.run("attach", tiny.pid, "-d", "300ms", "-o", out, "--json")
    assert got.returncode == 0
    assert json.loads(got.stdout)["schema_version"] == 1
    assert (out / "summary.json").read_text() == got.stdout


def test_json_alone_writes_no_file(tiny, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = sorted(os.listdir(tmp_path))
    got = profiler.run("attach", tiny.pid, "-d", "300ms", "--json")
    assert got.returncode == 0
    assert json.loads(got.stdout)["targets"][0]["pid"] == tiny.pid
    assert sorted(os.listdir(tmp_path)) == before


def test_verbose_names_programs_that_ran(tiny, out):
    """A line of counters a program, but not of those that other kernels need."""
    run = profiler.attach(out, tiny.pid, "-d", "0", extra=["-v"])
    assert tiny.get("/") == 200
    run.stop()
    lines = [l for l in run.process.stderr.splitlines() if " runs, " in l]
    assert lines and not [l for l in lines if ": 0 runs, " in l and l.endswith(" 0 missed")]


def test_root_without_ptrace():
    """What root may not do is not done by sudo."""
    other = procs.Process(["sleep", "1000"], user="nobody")
    try:
        got = subprocess.run(["setpriv", "--bounding-set", "-sys_ptrace", profiler.BINARY,
                              "attach", str(other.pid)], capture_output=True, text=True)
        assert got.returncode == PRIVILEGE, got
        assert "root lacks CAP_SYS_PTRACE" in got.stderr and "sudo" not in got.stderr
    finally:
        other.stop()


def test_report_of_somebody_else(tiny, out):
    """attach as plain root leaves its files to root: the refusal says how to get them."""
    assert profiler.run("attach", tiny.pid, "-d", "300ms", "-o", out).returncode == 0
    refuse(FAILED, "report", out, user="nobody", says=["permission denied", "sudo", "chown"])


@pytest.mark.no_root
@pytest.mark.parametrize("content", [b"", b"no capture\n" * 100, b"\x7fELF" + bytes(5000)])
def test_report_of_no_capture(tmp_path, content):
    bad = tmp_path / "bad.hpcap"
    bad.write_bytes(content)
    refuse(FAILED, "report", bad, "-o", tmp_path / "out", says="bad.hpcap")
    assert not (tmp_path / "out").exists()
    refuse(FAILED, "report", tmp_path / "absent", "-o", tmp_path / "out", says="absent")
    refuse(FAILED, "report", tmp_path, "-o", tmp_path / "out", says="capture")


def test_hostile_bytes(cleanup, hostprof, tmp_path):
    """Random and nearly right bytes in both directions, on any number of connections."""
    rng = random.Random(7)
    seeds = [
        b"GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n",
        b"POST /a HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n",
        b"GET " + b"/a" * 20000 + b" HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 5000,
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"\x00\x00\x00\x08\x04\xd2\x16\x2f",
        b"\x00\x00\x00\x54\x00\x03\x00\x00user\x00a\x00database\x00b\x00\x00",
        b"Q\xff\xff\xff\xffSELECT 1\x00", b"P\x00\x00\x00\x04", b"D\x00\x00\x00\x00" * 50,
        b"Z\x00\x00\x00\x05I" * 2000, b"C\x00\x00\x00\x0fSELECT 999999\x00",
    ]
    code = (
        "import socket, sys, threading\n"
        "s = socket.socket(); s.bind(('127.0.0.1', 0)); s.listen(64)\n"
        "print('port', s.getsockname()[1], flush=True)\n"
        "def serve(c):\n"
        "    try:\n"
        "        while True:\n"
        "            data = c.recv(100000)\n"
        "            if not data: break\n"
        "            c.sendall(data[::-1] if data[:1] == b'R' else data)\n"
        "    except OSError: pass\n"
        "    c.close()\n"
        "while True: threading.Thread(target=serve, args=(s.accept()[0],), daemon=True).start()\n")
    server = procs.Process([procs.PYTHON, "-c", code])
    cleanup(server)
    port = int(server.wait_line("port").split()[1])
    run = hostprof(server.pid, "-d", "0")
    for n in range(400):
        data = bytearray(rng.choice(seeds) if n % 4 else rng.randbytes(rng.randrange(1, 30000)))
        for _ in range(rng.randrange(4)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        with socket.create_connection(("127.0.0.1", port), timeout=10) as s:
            at = 0
            while at < len(data):
                step = rng.choice([1, 7, 100, 5000, 60000]) if n % 3 else len(data)
                s.sendall(data[at:at + step])
                at += step
            s.shutdown(socket.SHUT_WR)
            back = 0
            while more := s.recv(65536):
                back += len(more)
            assert back == len(data)
    rss = profiler.peak_rss(run.pids())
    report = run.stop()
    assert rss <= 64 << 20
    seen = report.trust["connections"]
    assert seen["seen"] >= 400
    assert seen["seen"] == (seen["parsed"] + seen["unparsed"] + seen["encrypted"]
                            + seen["undecided"])
    got = profiler.run("report", report.file("capture.hpcap"), "-o", tmp_path / "again")
    assert got.returncode == 0, got
