# SPDX-License-Identifier: Apache-2.0
"""Names of code that runtimes generate, and of what they bring along: Node, Java, Go."""

import glob
import os
import re
import shutil
import signal
import subprocess

import pytest

from lib import procs

WHOLE = 0.99  # of the CPU stacks

NODE = """
function fibonacci(n) { return n < 2 ? n : fibonacci(n - 1) + fibonacci(n - 2); }
function busyLoop() { let s = 0; for (let i = 0; i < 50; i++) s += fibonacci(20); return s; }
let rounds = 0;
function tick() {
  busyLoop();
  if (++rounds == 20) console.log('warm');
  setImmediate(tick);
}
tick();
"""

# What has run for some time is compiled once and for all; another thread says so, because
# what runs for the first time is compiled anew.
JAVA = """
public class Busy {
    static double sum;
    static int fibonacci(int n) { return n < 2 ? n : fibonacci(n - 1) + fibonacci(n - 2); }
    public static void main(String[] args) {
        Thread says = new Thread(() -> {
            try {
                Thread.sleep(3000);
            } catch (InterruptedException e) {
                return;
            }
            System.out.println("warm");
        });
        says.setDaemon(true);
        says.start();
        for (;;)
            sum += Math.sqrt(fibonacci(20));
    }
}
"""


def need(command):
    path = shutil.which(command)
    if not path:
        pytest.skip(f"{command} is not installed")
    return path


def folded(report):
    """[(frames, samples)], the thread's name first."""
    lines = report.read("cpu.folded").decode().splitlines()
    return [(line.rpartition(" ")[0].split(";"), int(line.rpartition(" ")[2])) for line in lines]


def share(stacks, wanted):
    """Of the samples, those with a frame for which wanted(frame) holds."""
    total = sum(n for _, n in stacks)
    return sum(n for frames, n in stacks if any(wanted(f) for f in frames[1:])) / total


def checked(report, at_least=50):
    stacks = report.trust["stacks"]
    print(stacks, report.trust["notes"])
    assert stacks["total"] >= at_least
    assert stacks["complete"] >= WHOLE * stacks["total"]
    return folded(report)


def start_node(cleanup, tmp_path, *flags):
    script = tmp_path / "busy.js"
    script.write_text(NODE)
    node = procs.Process([need("node"), *flags, script], cwd=tmp_path)
    cleanup(node)
    node.wait_line("warm")
    return node


def perf_map(pid):
    return f"/tmp/perf-{pid}.map"


@pytest.fixture
def remove():
    paths = []
    yield paths.append
    for path in paths:
        if os.path.lexists(path):
            os.unlink(path)


def test_node_with_perf_map(hostprof, cleanup, tmp_path, remove):
    node = start_node(cleanup, tmp_path, "--perf-basic-prof")
    remove(perf_map(node.pid))
    report = hostprof(node.pid, "-d", "2s", "--freq", "199").report()
    stacks = checked(report)
    assert report.trust["stacks"]["jit_ratio"] <= 0.02
    assert share(stacks, lambda f: "busyLoop" in f or "fibonacci" in f) >= 0.8
    # In the order of the calls, innermost last.
    order = [[next((w for w in ("tick", "busyLoop", "fibonacci") if f" {w} " in re.sub(r"[:*~^+]", " ", f)), "")
              for f in frames] for frames, _ in stacks]
    for frames in order:
        named = [w for w in frames if w]
        assert named == sorted(named, key=("tick", "busyLoop", "fibonacci").index)


GENERATED = """
#define _GNU_SOURCE
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

/* push %rbp; mov %rsp,%rbp; mov $1000000,%ecx; 1: dec %ecx; jnz 1b; pop %rbp; ret */
static const unsigned char code[] = { 0x55, 0x48, 0x89, 0xe5, 0xb9, 0x40, 0x42, 0x0f, 0x00,
				      0xff, 0xc9, 0x75, 0xfc, 0x5d, 0xc3 };

int main(void)
{
	void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	memcpy(p, code, sizeof(code));
	mprotect(p, 4096, PROT_READ | PROT_EXEC);
	puts("ready");
	fflush(stdout);
	for (;;)
		((void (*)(void))p)();
}
"""


@pytest.fixture
def generated(cleanup, tmp_path):
    """A program that spends its time in code that it has made."""
    (tmp_path / "generated.c").write_text(GENERATED)
    subprocess.run(["gcc", "-O1", "-fno-omit-frame-pointer", "-o", tmp_path / "generated",
                    tmp_path / "generated.c"], check=True)
    target = procs.Process([tmp_path / "generated"])
    cleanup(target)
    target.wait_line("ready")
    return target


def test_generated_code_without_names(hostprof, generated, remove):
    """Counted, and shown as [jit]; nobody but its own user and root says what a process runs."""
    forged = perf_map(generated.pid)
    remove(forged)
    with open(forged, "w") as f:
        f.write("1000 7ffffffff000 forged\n")
    os.chown(forged, *procs.user_ids("nobody"))
    report = hostprof(generated.pid, "-d", "1s", "--freq", "199").report()
    stacks = checked(report)
    assert share(stacks, lambda f: f == "[jit]") >= WHOLE
    assert report.trust["stacks"]["jit_ratio"] >= WHOLE
    assert any("[jit]" in note for note in report.trust["notes"]), report.trust["notes"]
    assert share(stacks, lambda f: "forged" in f) == 0


def test_whose_perf_map(hostprof, generated, tmp_path, remove):
    """Root's is believed; a link is not followed, and a file with a second name not read."""
    mine, path = tmp_path / "map", perf_map(generated.pid)
    mine.write_text("1000 7ffffffff000 from root\n")
    remove(path)
    for step, make, seen in (("link", lambda: os.symlink(mine, path), False),
                             ("second name", lambda: os.link(mine, path), False),
                             ("root", lambda: shutil.copy(mine, path), True)):
        if os.path.lexists(path):
            os.unlink(path)
        try:
            make()
        except OSError as e:  # /tmp may be another file system
            assert step == "second name", e
            continue
        report = hostprof(generated.pid, "-d", "500ms", "--freq", "199", path=tmp_path / step).report()
        assert (share(folded(report), lambda f: f == "from root") > 0.8) == seen, step


@pytest.mark.parametrize("flags", [(), ("-Xint",)], ids=["compiled", "interpreted"])
def test_java(flags, hostprof, cleanup, tmp_path):
    """Without an agent, without a flag that keeps frame pointers: whole stacks of named methods."""
    (tmp_path / "Busy.java").write_text(JAVA)
    subprocess.run([need("javac"), "-d", tmp_path, tmp_path / "Busy.java"], check=True)
    java = procs.Process([need("java"), *flags, "-cp", tmp_path, "Busy"])
    cleanup(java)
    java.wait_line("warm")
    procs.wait_idle(java.pid, ("C1 Compiler", "C2 Compiler"), 2)
    report = hostprof(java.pid, "-d", "3s", "--freq", "199").report()
    stacks = checked(report, 100)
    assert report.trust["stacks"]["jit_ratio"] <= 0.01
    own = [(frames, n) for frames, n in stacks if "JavaMain" in {f.split(" (")[0] for f in frames}]
    assert share(own, lambda f: f.split(" (")[0] == "Busy.fibonacci") >= 0.95
    # In the order of the calls, innermost last; the interpreter itself does not show.
    for frames, _ in own:
        names = [f if f.startswith("Stub") else f.split(" (")[0] for f in frames]
        named = [name for name in names if name.startswith("Busy.")]
        assert named == sorted(named, key=("Busy.main", "Busy.fibonacci").index), frames
        assert not named or "StubRoutines (1)" in names, frames
        assert "Interpreter" not in names or len(names) - names.index("Interpreter") <= 2, frames


def test_java_with_perf_map(hostprof, cleanup, tmp_path, remove):
    """Written while it is measured, by the virtual machine itself."""
    jcmd = need("jcmd")
    (tmp_path / "Busy.java").write_text(JAVA)
    java = procs.Process([need("java"), "-XX:+PreserveFramePointer", tmp_path / "Busy.java"])
    cleanup(java)
    java.wait_line("warm")
    procs.wait_idle(java.pid, ("C1 Compiler", "C2 Compiler"), 2)
    remove(perf_map(java.pid))
    run = hostprof(java.pid, "-d", "3s", "--freq", "199")
    done = subprocess.run([jcmd, str(java.pid), "Compiler.perfmap"], capture_output=True, text=True)
    assert done.returncode == 0 and glob.glob(perf_map(java.pid)), done
    report = run.report()
    print(report.trust["stacks"], report.trust["notes"])
    # The program's own thread: answering jcmd is work of others.
    own = [(frames, n) for frames, n in folded(report)
           if any(f == "[jit]" or "Busy." in f for f in frames)]
    assert sum(n for _, n in own) >= 30
    assert share(own, lambda f: "Busy.fibonacci" in f) >= 0.8
    assert share(own, lambda f: f.split(" (")[0] == "JavaMain") >= WHOLE


GO = """
package main

import "os"
import "math"

type worker struct{ sum float64 }

//go:noinline
func (w *worker) leaf(n int) {
	var kept [64]float64 // so that it has a frame
	for i := 0; i < n; i++ {
		kept[i%64] += math.Sqrt(float64(i) + kept[(i+1)%64])
	}
	w.sum += kept[n%64]
}

//go:noinline
func middle(w *worker) { w.leaf(100000) }

//go:noinline
func outer(w *worker) {
	for {
		middle(w)
	}
}

func main() {
	os.Stdout.WriteString("ready\\n")
	outer(&worker{})
}
"""


def test_stripped_go(hostprof, cleanup, tmp_path):
    """Names from the table of the runtime, as its own dump of the stack has them."""
    (tmp_path / "busy.go").write_text(GO)
    subprocess.run([need("go"), "build", "-ldflags=-s -w", "-o", "busy", "busy.go"], cwd=tmp_path,
                   check=True, env={**os.environ, "GOFLAGS": "", "GOCACHE": str(tmp_path / "cache")})
    target = procs.Process([tmp_path / "busy"])
    cleanup(target)
    target.wait_line("ready")
    report = hostprof(target.pid, "-d", "2s", "--freq", "199").report()
    stacks = folded(report)
    print(report.trust["stacks"])
    target.kill(signal.SIGQUIT)
    target.wait()
    # "main.outer(...)" and below it a line with the place, innermost first.
    dump = [re.sub(r"\(0x[^()]*\)$|\(\.\.\.\)$|\(\)$", "", line) for line in target.err
            if re.match(r"(main|runtime)\.\S*\(.*\)$", line)]
    chain = [name for name in dump if name.startswith("main.")][:4][::-1]
    print(target.err[:30])
    assert chain == ["main.main", "main.outer", "main.middle", "main.(*worker).leaf"]
    good = sum(n for frames, n in stacks
               if [f.split(" (")[0] for f in frames[1:7]] == ["runtime.goexit", "runtime.main", *chain])
    assert good >= 0.9 * sum(n for _, n in stacks)
    trust = report.trust["stacks"]
    assert trust["complete"] >= 0.9 * trust["total"], trust
    assert share(stacks, lambda f: f.startswith("busy+") or f.startswith("busy@")) == 0


GO_ASSEMBLY = """
package main

import "crypto/sha256"
import "os"

//go:noinline
func sign(b []byte) byte {
	s := sha256.Sum256(b)
	return s[0]
}

func serve(done chan byte) {
	b := make([]byte, 1 << 20)
	for {
		b[0] = sign(b)
	}
}

func main() {
	done := make(chan byte)
	go serve(done)
	os.Stdout.WriteString("ready\\n")
	<-done
}
"""


def test_go_as_built(hostprof, cleanup, tmp_path):
    """Assembler without frame pointers: by the compressed .debug_frame that the linker leaves."""
    (tmp_path / "signer.go").write_text(GO_ASSEMBLY)
    subprocess.run([need("go"), "build", "-o", "signer", "signer.go"], cwd=tmp_path, check=True,
                   env={**os.environ, "GOFLAGS": "", "GOCACHE": str(tmp_path / "cache")})
    sections = subprocess.run(["readelf", "-SW", tmp_path / "signer"], check=True, capture_output=True,
                              text=True).stdout
    assert re.search(r" \.debug_frame .* C ", sections), sections
    target = procs.Process([tmp_path / "signer"])
    cleanup(target)
    target.wait_line("ready")
    report = hostprof(target.pid, "-d", "2s", "--freq", "199").report()
    stacks = folded(report)
    trust = report.trust["stacks"]
    print(trust)
    total = sum(n for _, n in stacks)
    assert total >= 50
    # Its garbage collector has nothing to do; at signals and thread starts a stack may be cut.
    assert trust["complete"] >= 0.98 * trust["total"], trust
    good = 0
    for frames, n in stacks:
        names = [f.split(" (")[0].removesuffix(".abi0") for f in frames[1:]]
        # Between the first two: what the compiler makes of the go statement.
        if names[0] == "runtime.goexit" and "main.serve" in names[:3]:
            good += n * (names[names.index("main.serve") + 1] == "main.sign")
    assert good >= 0.95 * total, stacks[:20]
    assert any("sha256" in frames[-1] for frames, _ in stacks)
