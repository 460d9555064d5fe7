/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stacks: threads that work and wait in every way that a C++ program without frame pointers does. Prints
 * "ready" and runs until it is killed. Exceptions thrown through many frames and destructors, handlers
 * of timers' signals on stacks of their own that interrupt anything, callbacks from the C library,
 * regular expressions, frames of odd shapes, locks, sleeps, new threads.
 */
#include <alloca.h>
#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <fcntl.h>
#include <functional>
#include <map>
#include <mutex>
#include <pthread.h>
#include <regex>
#include <stdexcept>
#include <string>
#include <sys/syscall.h>
#include <sys/time.h>
#include <thread>
#include <unistd.h>
#include <vector>

#define KEPT __attribute__((noinline, noipa))

static volatile unsigned long sink;

struct Guard {
	std::string text;
	explicit Guard(int n) : text(static_cast<size_t>(n), 'x') {}
	KEPT ~Guard() { sink = sink + text.size(); }
};

KEPT static int thrower(int n)
{
	Guard guard(n + 20);
	alignas(64) volatile char room[128];

	room[n] = 1;
	if (!n)
		throw std::runtime_error(guard.text);
	return thrower(n - 1) + room[n];
}

KEPT static void rethrows(int n)
{
	try {
		thrower(n);
	} catch (const std::logic_error &) {
		sink = sink + 1;
	} catch (...) {
		Guard guard(n);

		throw;
	}
}

static int less(const void *a, const void *b)
{
	char *room = static_cast<char *>(alloca(16 + *static_cast<const int *>(a) % 64));

	room[3] = 1;
	sink = sink + static_cast<unsigned long>(room[3]);
	return *static_cast<const int *>(a) - *static_cast<const int *>(b);
}

KEPT static void sorts()
{
	int v[300];

	for (int i = 0; i < 300; i++)
		v[i] = i * 7919 % 1009;
	qsort(v, 300, sizeof(*v), less);
	std::vector<int> w(v, v + 300);
	std::function<bool(int, int)> back = [](int a, int b) { return a > b; };
	std::sort(w.begin(), w.end(), back);
	sink = sink + static_cast<unsigned long>(w[0]);
}

KEPT static void matches()
{
	static const std::regex words("([a-z]+)_([0-9]+)");
	const std::string text = "alpha_1 beta_22 gamma_333 delta_4444";

	sink = sink + static_cast<unsigned long>(std::distance(
			      std::sregex_iterator(text.begin(), text.end(), words),
			      std::sregex_iterator()));
}

KEPT static void prints()
{
	char text[200];
	std::map<std::string, double> of;

	for (int i = 0; i < 20; i++) {
		snprintf(text, sizeof(text), "%.17g %s %a", i / 3.0, "text", i / 7.0);
		of[text] = strtod(text, nullptr);
	}
	sink = sink + of.size();
}

KEPT static void reads()
{
	char room[512];
	int fd = open("/proc/self/stat", O_RDONLY);

	if (fd >= 0 && read(fd, room, sizeof(room)) > 0)
		sink = sink + 1;
	close(fd);
}

static void works()
{
	for (int i = 0;; i++) {
		try {
			rethrows(i % 30);
		} catch (const std::exception &e) {
			sink = sink + strlen(e.what());
		}
		sorts();
		matches();
		prints();
		reads();
	}
}

static std::mutex lock;
static std::condition_variable changed;
static unsigned long turns;

static void waits(unsigned long which)
{
	for (;;) {
		std::unique_lock<std::mutex> held(lock);

		changed.wait_for(held, std::chrono::milliseconds(20),
				 [which] { return turns % 2 == which; });
		turns++;
		changed.notify_all();
		held.unlock();
		std::this_thread::sleep_for(std::chrono::milliseconds(1));
	}
}

static void spawns()
{
	for (;;) {
		std::thread other(sorts);

		other.join();
		usleep(500);
	}
}

KEPT static void on_timer(int)
{
	int saved = errno;

	for (int i = 0; i < 30; i++)
		sorts();
	errno = saved;
}

/* By its own CPU time: the handler interrupts whatever it does. */
static void interrupted()
{
	char *other = static_cast<char *>(malloc(262144));
	stack_t alt = {};
	struct sigevent ev = {};
	struct itimerspec every = { { 0, 3000000 }, { 0, 3000000 } };
	timer_t timer;

	alt.ss_sp = other;
	alt.ss_size = 262144;
	sigaltstack(&alt, nullptr);
	ev.sigev_notify = SIGEV_THREAD_ID;
	ev.sigev_signo = SIGUSR1;
	ev._sigev_un._tid = static_cast<int>(syscall(SYS_gettid));
	timer_create(CLOCK_THREAD_CPUTIME_ID, &ev, &timer);
	timer_settime(timer, 0, &every, nullptr);
	works();
}

int main()
{
	struct sigaction sa = {};

	sa.sa_handler = on_timer;
	sa.sa_flags = SA_ONSTACK | SA_RESTART;
	sigaction(SIGUSR1, &sa, nullptr);
	std::thread(waits, 0).detach();
	std::thread(waits, 1).detach();
	std::thread(spawns).detach();
	std::thread(interrupted).detach();
	puts("ready");
	fflush(stdout);
	works();
}
