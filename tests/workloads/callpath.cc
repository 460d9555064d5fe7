/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A program whose call path is known wherever it is sampled: callpath KIND runs it until it is killed, and
 * prints the path's functions, outermost first, on one line before. Nearly all of its time is spent in the
 * innermost one. Compiled without frame pointers; every frame has another shape. See b_unwind.c.
 */
#include <alloca.h>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <pthread.h>
#include <stdexcept>
#include <sys/syscall.h>
#include <unistd.h>

#define KEPT extern "C" __attribute__((noinline, noclone, noipa, used))

static volatile unsigned long sink;

KEPT void spin(unsigned long n)
{
	for (unsigned long i = 0; i < n; i++)
		sink = sink + i;
}

/* No tail calls: the caller's frame would be gone. */
#define STEP(name, next)                                                                           \
	KEPT void name(unsigned long n)                                                            \
	{                                                                                          \
		next(n);                                                                           \
		sink = sink + 1;                                                                   \
	}

STEP(deep_20, spin)
STEP(deep_19, deep_20)
STEP(deep_18, deep_19)
STEP(deep_17, deep_18)
STEP(deep_16, deep_17)
STEP(deep_15, deep_16)
STEP(deep_14, deep_15)
STEP(deep_13, deep_14)
STEP(deep_12, deep_13)
STEP(deep_11, deep_12)

/* Many saved registers. */
KEPT void deep_10(unsigned long n)
{
	unsigned long v[6];

	for (int i = 0; i < 6; i++)
		v[i] = sink + i;
	deep_11(n);
	for (int i = 0; i < 6; i++)
		sink = sink + v[i];
}

/* A large frame. */
KEPT void deep_9(unsigned long n)
{
	volatile char room[70000];

	room[n % sizeof(room)] = 1;
	deep_10(n);
	sink = sink + room[0];
}

/* A frame of a size that only the run knows: its CFA hangs on rbp. */
KEPT void deep_8(unsigned long n)
{
	char *room = static_cast<char *>(alloca(64 + sink % 1000));

	memset(room, 1, 64);
	deep_9(n);
	sink = sink + room[n % 64];
}

/* A frame that is aligned by hand: its CFA is in memory, or hangs on another register. */
KEPT void deep_7(unsigned long n)
{
	alignas(64) volatile char room[256];

	room[n % sizeof(room)] = 1;
	deep_8(n);
	sink = sink + room[0];
}

/* Arguments on the stack: it moves between calls. */
KEPT void many(unsigned long n, long a, long b, long c, long d, long e, long f, long g, long h)
{
	deep_7(n);
	sink = sink + a + b + c + d + e + f + g + h;
}

KEPT void deep_6(unsigned long n)
{
	many(n, 1, 2, 3, 4, 5, 6, 7, 8);
	many(0, sink, 2, 3, 4, 5, 6, 7, 8);
}

STEP(deep_5, deep_6)
STEP(deep_4, deep_5)
STEP(deep_3, deep_4)
STEP(deep_2, deep_3)
STEP(deep_1, deep_2)

/* By a trap and not by raise(): the path through the C library's raise() is its own affair. */
KEPT void on_trap(int)
{
	deep_18(20000000);
	sink = sink + 1;
}

KEPT void trapped(unsigned long)
{
	asm volatile("int3");
	sink = sink + 1;
}

KEPT void thrown(unsigned long n)
{
	try {
		if (n)
			throw std::runtime_error("known");
	} catch (const std::exception &e) {
		deep_15(20 * n + (e.what()[0] == 0)); /* raising takes its time, too */
		sink = sink + 1;
	}
}

/* In the kernel most of the time. */
KEPT void calls(unsigned long n)
{
	char room[256];

	for (unsigned long i = 0; i < n / 10000; i++)
		sink = sink + static_cast<unsigned long>(syscall(SYS_getcwd, room, sizeof(room)));
}

STEP(called, calls)

static const struct {
	const char *name;
	void (*fn)(unsigned long);
	const char *path;
} kinds[] = {
	{ "deep", deep_1,
	  "main deep_1 deep_2 deep_3 deep_4 deep_5 deep_6 many deep_7 deep_8 deep_9 deep_10 "
	  "deep_11 "
	  "deep_12 deep_13 deep_14 deep_15 deep_16 deep_17 deep_18 deep_19 deep_20 spin" },
	{ "trap", trapped, "main trapped __restore_rt on_trap deep_18 deep_19 deep_20 spin" },
	{ "throw", thrown, "main thrown deep_15 deep_16 deep_17 deep_18 deep_19 deep_20 spin" },
	{ "calls", called, "main called calls syscall" },
	{ "thread", deep_17, "on_thread deep_17 deep_18 deep_19 deep_20 spin" },
};

static void forever(void (*fn)(unsigned long))
{
	for (;;)
		fn(20000000);
}

static void (*of_thread)(unsigned long);

KEPT void *on_thread(void *)
{
	for (;;)
		of_thread(20000000);
	return nullptr;
}

int main(int argc, char **argv)
{
	static char other[65536];
	stack_t alt = {};
	struct sigaction sa = {};

	setvbuf(stdout, nullptr, _IOLBF, 0);
	alt.ss_sp = other;
	alt.ss_size = sizeof(other);
	sigaltstack(&alt, nullptr);
	sa.sa_handler = on_trap;
	sa.sa_flags = SA_ONSTACK;
	sigaction(SIGTRAP, &sa, nullptr);
	for (const auto &k : kinds) {
		if (argc < 2 || strcmp(argv[1], k.name))
			continue;
		puts(k.path);
		if (!strcmp(k.name, "thread")) {
			pthread_t id;

			of_thread = k.fn;
			pthread_create(&id, nullptr, on_thread, nullptr);
			for (;;)
				pause();
		}
		forever(k.fn);
	}
	return 2;
}
