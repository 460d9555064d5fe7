/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See waits.h. As a program: waits DIR MILLISECONDS SPINNERS waits for a line on standard input, runs,
 * prints one JSON object a thread and waits for another line, or the end, to leave.
 */
#include "waits.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define STEP_MS 5
#define BLOCK 65536
#define FILE_BLOCKS 256

const char *const waits_names[WAITS_KINDS] = { "w_sleep", "w_pipe",  "w_futex", "w_socket",
					       "w_poll",  "w_epoll", "w_event", "w_disk",
					       "w_fault", "w_spin" };

struct world {
	const char *dir;
	uint64_t end_ns;
	int pipe[2], pair[2], polled[2], epoll, watched, event;
	int file;
	char *mapped;
	uint32_t futex;
	bool stop;
};

struct job {
	struct world *w;
	struct waits_thread *t;
	bool failed;
};

static uint64_t clock_ns(clockid_t id)
{
	struct timespec now;

	clock_gettime(id, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static void pause_ms(unsigned ms)
{
	const struct timespec t = { ms / 1000, (long)(ms % 1000) * 1000000 };

	clock_nanosleep(CLOCK_MONOTONIC, 0, &t, NULL);
}

static uint64_t schedstat_wait(int tid)
{
	unsigned long long run = 0, wait = 0;
	char path[64];
	FILE *f;

	snprintf(path, sizeof(path), "/proc/self/task/%d/schedstat", tid);
	f = fopen(path, "r");
	if (!f)
		return 0;
	if (fscanf(f, "%llu %llu", &run, &wait) != 2)
		wait = 0;
	fclose(f);
	return wait;
}

/* One call that waits. False: something is wrong. */
static bool wait_once(struct world *w, int kind, unsigned i)
{
	static _Alignas(4096) char block[BLOCK];
	struct epoll_event ev;
	struct pollfd p;
	uint64_t n;
	char c;

	switch (kind) {
	case WAITS_SLEEP:
		pause_ms(STEP_MS);
		return true;
	case WAITS_PIPE:
		return read(w->pipe[0], &c, 1) == 1;
	case WAITS_FUTEX:
		return !syscall(SYS_futex, &w->futex, FUTEX_WAIT,
				__atomic_load_n(&w->futex, __ATOMIC_ACQUIRE), NULL, NULL, 0) ||
		       errno == EAGAIN;
	case WAITS_SOCKET:
		return recv(w->pair[0], &c, 1, 0) == 1;
	case WAITS_POLL_ONE:
		p = (struct pollfd){ .fd = w->polled[0], .events = POLLIN };
		return poll(&p, 1, 1000) == 1 && recv(w->polled[0], &c, 1, 0) == 1;
	case WAITS_EPOLL:
		return epoll_wait(w->epoll, &ev, 1, 1000) == 1 &&
		       read(w->watched, &n, sizeof(n)) == sizeof(n);
	case WAITS_EVENTFD:
		return read(w->event, &n, sizeof(n)) == sizeof(n);
	case WAITS_DISK:
		return pread(w->file, block, BLOCK, (off_t)(i % FILE_BLOCKS) * BLOCK) == BLOCK;
	case WAITS_FAULT:
		c = *(volatile char *)(w->mapped + (size_t)(i % FILE_BLOCKS) * BLOCK);
		(void)c;
		return true;
	default:
		return true;
	}
}

static void spin(const struct world *w)
{
	while (clock_ns(CLOCK_MONOTONIC) < w->end_ns)
		;
}

static void *thread_main(void *arg)
{
	struct job *job = arg;
	struct waits_thread *t = job->t;
	uint64_t wall = clock_ns(CLOCK_MONOTONIC), cpu = clock_ns(CLOCK_THREAD_CPUTIME_ID);

	t->tid = (int)syscall(SYS_gettid);
	prctl(PR_SET_NAME, t->name);
	if (t->kind == WAITS_SPIN)
		spin(job->w);
	while (t->kind != WAITS_SPIN && clock_ns(CLOCK_MONOTONIC) < job->w->end_ns) {
		uint64_t at = clock_ns(CLOCK_MONOTONIC), on = clock_ns(CLOCK_THREAD_CPUTIME_ID);

		if (!wait_once(job->w, t->kind, (unsigned)t->waits)) {
			fprintf(stderr, "%s: %s\n", t->name, strerror(errno));
			job->failed = true;
			break;
		}
		at = clock_ns(CLOCK_MONOTONIC) - at;
		t->waited_ns += (int64_t)(at - (clock_ns(CLOCK_THREAD_CPUTIME_ID) - on));
		t->waits++;
		/* Once round: what is in memory by now makes nobody wait. */
		if (t->kind == WAITS_FAULT && t->waits == FILE_BLOCKS)
			break;
	}
	t->runqueue_ns = schedstat_wait(t->tid);
	t->cpu_ns = clock_ns(CLOCK_THREAD_CPUTIME_ID) - cpu;
	t->wall_ns = clock_ns(CLOCK_MONOTONIC) - wall;
	return NULL;
}

/* Wakes everybody every few milliseconds; a bit longer than they need, so that none stays behind. */
static void *waker_main(void *arg)
{
	const uint64_t one = 1;
	struct world *w = arg;
	bool ok = true;

	prctl(PR_SET_NAME, "w_waker");
	while (ok && !__atomic_load_n(&w->stop, __ATOMIC_ACQUIRE)) {
		pause_ms(STEP_MS);
		ok = write(w->pipe[1], "p", 1) == 1 && send(w->pair[1], "s", 1, 0) == 1 &&
		     send(w->polled[1], "s", 1, 0) == 1 &&
		     write(w->watched, &one, sizeof(one)) == sizeof(one) &&
		     write(w->event, &one, sizeof(one)) == sizeof(one);
		__atomic_fetch_add(&w->futex, 1, __ATOMIC_RELEASE);
		syscall(SYS_futex, &w->futex, FUTEX_WAKE, 1, NULL, NULL, 0);
	}
	return ok ? NULL : arg;
}

static bool make_file(struct world *w)
{
	static char block[BLOCK];
	char path[4096];
	int i, fd;

	snprintf(path, sizeof(path), "%s/waits.%d", w->dir, (int)getpid());
	fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0)
		return false;
	for (i = 0; i < 2 * FILE_BLOCKS; i++)
		if (write(fd, block, BLOCK) != BLOCK)
			return false;
	w->file = open(path, O_RDONLY | O_DIRECT | O_CLOEXEC);
	/* On a file system in memory nobody waits for a disk. */
	if (w->file < 0 && errno == EINVAL)
		w->file = open(path, O_RDONLY | O_CLOEXEC);
	unlink(path);
	if (w->file < 0 || fsync(fd) || posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED))
		return false;
	/* The second half: the first one is read past the cache. */
	w->mapped = mmap(NULL, (size_t)FILE_BLOCKS * BLOCK, PROT_READ, MAP_SHARED, fd,
			 (off_t)FILE_BLOCKS * BLOCK);
	close(fd);
	return w->mapped != MAP_FAILED &&
	       !madvise(w->mapped, (size_t)FILE_BLOCKS * BLOCK, MADV_RANDOM);
}

static bool make_world(struct world *w)
{
	struct epoll_event ev = { .events = EPOLLIN };

	w->epoll = epoll_create1(EPOLL_CLOEXEC);
	w->watched = eventfd(0, EFD_CLOEXEC);
	w->event = eventfd(0, EFD_CLOEXEC);
	return !pipe2(w->pipe, O_CLOEXEC) && !socketpair(AF_UNIX, SOCK_STREAM, 0, w->pair) &&
	       !socketpair(AF_UNIX, SOCK_STREAM, 0, w->polled) && w->epoll >= 0 &&
	       w->watched >= 0 && w->event >= 0 &&
	       !epoll_ctl(w->epoll, EPOLL_CTL_ADD, w->watched, &ev) && make_file(w);
}

int waits_run(const char *dir, unsigned ms, int spinners, struct waits_thread *ret)
{
	static struct job jobs[WAITS_THREADS_MAX];
	pthread_t threads[WAITS_THREADS_MAX], waker;
	struct world w = { .dir = dir };
	int i, n = WAITS_SPIN + spinners;
	bool ok = true;
	void *bad;

	if (n > WAITS_THREADS_MAX || !make_world(&w)) {
		perror("waits");
		return 0;
	}
	w.end_ns = clock_ns(CLOCK_MONOTONIC) + (uint64_t)ms * 1000000;
	if (pthread_create(&waker, NULL, waker_main, &w))
		return 0;
	for (i = 0; i < n; i++) {
		ret[i] = (struct waits_thread){ .kind = i < WAITS_SPIN ? i : WAITS_SPIN };
		snprintf(ret[i].name, sizeof(ret[i].name), "%s", waits_names[ret[i].kind]);
		jobs[i] = (struct job){ .w = &w, .t = &ret[i] };
		ok &= !pthread_create(&threads[i], NULL, thread_main, &jobs[i]);
	}
	for (i = 0; ok && i < n; i++) {
		pthread_join(threads[i], NULL);
		ok &= !jobs[i].failed;
	}
	__atomic_store_n(&w.stop, true, __ATOMIC_RELEASE);
	pthread_join(waker, &bad);
	return ok && !bad ? n : 0;
}

#ifndef WAITS_PART
int main(int argc, char **argv)
{
	static struct waits_thread t[WAITS_THREADS_MAX];
	char line[16];
	int i, n;

	if (argc != 4 || !fgets(line, sizeof(line), stdin))
		return 2;
	n = waits_run(argv[1], (unsigned)strtoul(argv[2], NULL, 10),
		      (int)strtoul(argv[3], NULL, 10), t);
	for (i = 0; i < n; i++)
		printf("{\"name\":\"%s\",\"tid\":%d,\"waits\":%llu,\"waited_ns\":%lld,"
		       "\"wall_ns\":%llu,\"cpu_ns\":%llu,\"runqueue_ns\":%llu}\n",
		       t[i].name, t[i].tid, (unsigned long long)t[i].waits,
		       (long long)t[i].waited_ns, (unsigned long long)t[i].wall_ns,
		       (unsigned long long)t[i].cpu_ns, (unsigned long long)t[i].runqueue_ns);
	fflush(stdout);
	if (!fgets(line, sizeof(line), stdin))
		return n ? 0 : 1;
	return n ? 0 : 1;
}
#endif
