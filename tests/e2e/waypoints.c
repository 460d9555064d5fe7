/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The other end of what pktcap.c sees: waypoints PORT TID FILE notes when a segment that came to the
 * port entered its socket (tracepoint tcp:tcp_probe) and when the thread entered a call that sends.
 * lib/pcap.py runs it beside pktcap and reads the file.
 *
 * A packet's stamp and its socket lie microseconds apart, unless the CPU stood still in between: a
 * hypervisor took it away, or an interrupt ran. Then no single instant is the packet's time, and the
 * tests need both ends to tell a machine that stalled from a profiler that is wrong.
 *
 * Output, CLOCK_MONOTONIC: "arrive NS CLIENT-PORT BYTES" and "send NS". Prints "watching", ends on
 * SIGINT with "records N lost N".
 */
#include <errno.h>
#include <linux/perf_event.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define RING_BYTES (4 << 20)
#define POLL_MS 50
#define RINGS_MAX 1024
#define EVENTS "/sys/kernel/tracing/events"

struct ring {
	struct perf_event_mmap_page *page;
	bool sends;
};

struct watch {
	struct ring rings[RINGS_MAX];
	int n;
	FILE *out;
	unsigned dport_at, len_at; /* fields of tcp_probe */
	unsigned long records, lost;
};

/* A record of the ring, copied out so that it does not wrap. */
struct sample {
	struct perf_event_header header;
	uint64_t time_ns;
	uint32_t size;
	uint8_t raw[4096];
} __attribute__((packed));

static volatile sig_atomic_t ended;

static void on_signal(int number)
{
	(void)number;
	ended = 1;
}

static void die(const char *what)
{
	fprintf(stderr, "waypoints: %s: %s\n", what, strerror(errno));
	exit(1);
}

/* A file of the event's directory as text. */
static void read_event_file(const char *event, const char *name, char *text, size_t size)
{
	char path[256];
	size_t n;
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s/%s", EVENTS, event, name);
	f = fopen(path, "r");
	if (!f)
		die(path);
	n = fread(text, 1, size - 1, f);
	text[n] = '\0';
	fclose(f);
}

static unsigned field_offset(const char *format, const char *field)
{
	const char *p = strstr(format, field);

	p = p ? strstr(p, "offset:") : NULL;
	if (!p) {
		errno = ENOENT;
		die(field);
	}
	return (unsigned)atoi(p + strlen("offset:"));
}

/* The tracepoint on one CPU (tid -1) or of one thread (cpu -1). */
static void watch_event(struct watch *w, const char *event, const char *filter, int tid, int cpu)
{
	struct perf_event_attr attr = {
		.type = PERF_TYPE_TRACEPOINT,
		.size = sizeof(attr),
		.sample_period = 1,
		.sample_type = PERF_SAMPLE_TIME | PERF_SAMPLE_RAW,
		.use_clockid = 1,
		.clockid = CLOCK_MONOTONIC,
		.disabled = 1,
	};
	struct ring *r = &w->rings[w->n++];
	char id[32];
	int fd;

	read_event_file(event, "id", id, sizeof(id));
	attr.config = (uint64_t)atoi(id);
	fd = (int)syscall(SYS_perf_event_open, &attr, tid, cpu, -1, PERF_FLAG_FD_CLOEXEC);
	if (fd < 0 || ioctl(fd, PERF_EVENT_IOC_SET_FILTER, filter))
		die(event);
	r->sends = tid != -1;
	r->page = mmap(NULL, sysconf(_SC_PAGESIZE) + RING_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED,
		       fd, 0);
	if (r->page == MAP_FAILED || ioctl(fd, PERF_EVENT_IOC_ENABLE, 0))
		die("perf ring");
}

static void ring_copy(const uint8_t *ring, uint64_t at, void *dst, size_t n)
{
	size_t first = RING_BYTES - at % RING_BYTES;

	if (first > n)
		first = n;
	memcpy(dst, ring + at % RING_BYTES, first);
	memcpy((uint8_t *)dst + first, ring, n - first);
}

static void take(struct watch *w, const struct ring *r, const struct sample *s)
{
	uint16_t dport, len;

	if (s->header.type != PERF_RECORD_SAMPLE) {
		w->lost++;
		return;
	}
	w->records++;
	if (r->sends) {
		fprintf(w->out, "send %llu\n", (unsigned long long)s->time_ns);
		return;
	}
	memcpy(&dport, s->raw + w->dport_at, sizeof(dport));
	memcpy(&len, s->raw + w->len_at, sizeof(len));
	fprintf(w->out, "arrive %llu %u %u\n", (unsigned long long)s->time_ns, dport, len);
}

static void drain(struct watch *w, struct ring *r)
{
	const uint8_t *ring = (const uint8_t *)r->page + r->page->data_offset;
	uint64_t head = __atomic_load_n(&r->page->data_head, __ATOMIC_ACQUIRE);
	uint64_t at = r->page->data_tail;
	struct sample s;

	while (at < head) {
		ring_copy(ring, at, &s.header, sizeof(s.header));
		if (s.header.size > sizeof(s)) {
			errno = EMSGSIZE;
			die("record");
		}
		ring_copy(ring, at, &s, s.header.size);
		at += s.header.size;
		take(w, r, &s);
	}
	__atomic_store_n(&r->page->data_tail, at, __ATOMIC_RELEASE);
}

int main(int argc, char **argv)
{
	struct sigaction sa = { .sa_handler = on_signal };
	static struct watch w;
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	char text[4096], filter[128];

	if (argc != 4 || cpus >= RINGS_MAX) {
		fprintf(stderr, "waypoints PORT TID FILE\n");
		return 2;
	}
	w.out = fopen(argv[3], "w");
	if (!w.out)
		die(argv[3]);
	sigaction(SIGINT, &sa, NULL);
	read_event_file("tcp/tcp_probe", "format", text, sizeof(text));
	w.dport_at = field_offset(text, "dport;");
	w.len_at = field_offset(text, "data_len;");
	snprintf(filter, sizeof(filter), "sport == %d && data_len > 0", atoi(argv[1]));
	for (int cpu = 0; cpu < cpus; cpu++)
		watch_event(&w, "tcp/tcp_probe", filter, -1, cpu);
	snprintf(filter, sizeof(filter), "id == %d || id == %d || id == %d || id == %d", SYS_write,
		 SYS_writev, SYS_sendto, SYS_sendmsg);
	watch_event(&w, "raw_syscalls/sys_enter", filter, atoi(argv[2]), -1);
	printf("watching\n");
	fflush(stdout);
	while (!ended) {
		poll(NULL, 0, POLL_MS);
		for (int i = 0; i < w.n; i++)
			drain(&w, &w.rings[i]);
	}
	for (int i = 0; i < w.n; i++)
		drain(&w, &w.rings[i]);
	if (fclose(w.out))
		die("close");
	printf("records %lu lost %lu\n", w.records, w.lost);
	return 0;
}
