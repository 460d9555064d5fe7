/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The other end of what pktcap.c sees: waypoints PORT TID FILE notes when TCP took up a segment that
 * came to the port (tracepoint tcp:tcp_probe), when it told the socket's reader (sock:sk_data_ready,
 * Linux 6.3) and when the thread entered a call that sends. lib/pcap.py runs it beside pktcap.
 *
 * A packet's stamp and its reader's wake-up lie microseconds apart, unless the CPU stood still in
 * between: a hypervisor took it away, or an interrupt ran. Then no single instant is the packet's
 * time, and the tests need both ends to tell a machine that stalled from a profiler that is wrong.
 *
 * Output, CLOCK_MONOTONIC: "arrive NS SOCKET CLIENT-PORT BYTES", "ready NS SOCKET" and "send NS".
 * Prints "watching", ends on SIGINT with "records N lost N".
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

enum point {
	ARRIVE,
	READY,
	SEND,
};

struct ring {
	struct perf_event_mmap_page *page;
	enum point point;
};

struct watch {
	struct ring rings[RINGS_MAX];
	int n;
	FILE *out;
	unsigned dport_at, len_at, sk_at; /* fields of tcp_probe; sk_at 0: not there */
	unsigned ready_sk_at; /* of sk_data_ready */
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

/* A file of the event's directory as text; false when there is none. */
static bool read_event_file(const char *event, const char *name, char *text, size_t size)
{
	char path[256];
	size_t n;
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s/%s", EVENTS, event, name);
	f = fopen(path, "r");
	if (!f)
		return false;
	n = fread(text, 1, size - 1, f);
	text[n] = '\0';
	fclose(f);
	return true;
}

/* Where a field lies in the event's raw data; 0 when the kernel has no such event or field. */
static unsigned field_at(const char *event, const char *field)
{
	char text[4096];
	const char *p;

	if (!read_event_file(event, "format", text, sizeof(text)))
		return 0;
	p = strstr(text, field);
	p = p ? strstr(p, "offset:") : NULL;
	return p ? (unsigned)strtoul(p + strlen("offset:"), NULL, 10) : 0;
}

/* The tracepoint on one CPU (tid -1) or of one thread (cpu -1). */
static void watch_event(struct watch *w, enum point point, const char *event, const char *filter,
			int tid, int cpu)
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

	if (!read_event_file(event, "id", id, sizeof(id)))
		die(event);
	attr.config = strtoull(id, NULL, 10);
	fd = (int)syscall(SYS_perf_event_open, &attr, tid, cpu, -1, PERF_FLAG_FD_CLOEXEC);
	if (fd < 0 || ioctl(fd, PERF_EVENT_IOC_SET_FILTER, filter))
		die(event);
	r->point = point;
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
	unsigned long long ns = s->time_ns, sk = 0;
	uint16_t dport, len;

	if (s->header.type != PERF_RECORD_SAMPLE) {
		w->lost++;
		return;
	}
	w->records++;
	switch (r->point) {
	case ARRIVE:
		memcpy(&dport, s->raw + w->dport_at, sizeof(dport));
		memcpy(&len, s->raw + w->len_at, sizeof(len));
		if (w->sk_at)
			memcpy(&sk, s->raw + w->sk_at, sizeof(sk));
		fprintf(w->out, "arrive %llu %llx %u %u\n", ns, sk, dport, len);
		break;
	case READY:
		memcpy(&sk, s->raw + w->ready_sk_at, sizeof(sk));
		fprintf(w->out, "ready %llu %llx\n", ns, sk);
		break;
	case SEND:
		fprintf(w->out, "send %llu\n", ns);
		break;
	}
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
	char filter[128];

	if (argc != 4 || cpus * 2 >= RINGS_MAX) {
		fprintf(stderr, "waypoints PORT TID FILE\n");
		return 2;
	}
	w.out = fopen(argv[3], "w");
	if (!w.out)
		die(argv[3]);
	sigaction(SIGINT, &sa, NULL);
	w.dport_at = field_at("tcp/tcp_probe", "dport;");
	w.len_at = field_at("tcp/tcp_probe", "data_len;");
	w.sk_at = field_at("tcp/tcp_probe", "skaddr;");
	w.ready_sk_at = field_at("sock/sk_data_ready", "skaddr;");
	if (!w.dport_at || !w.len_at)
		die("tcp/tcp_probe");
	snprintf(filter, sizeof(filter), "sport == %d && data_len > 0",
		 (int)strtol(argv[1], NULL, 10));
	for (int cpu = 0; cpu < cpus; cpu++) {
		watch_event(&w, ARRIVE, "tcp/tcp_probe", filter, -1, cpu);
		if (w.sk_at && w.ready_sk_at)
			watch_event(&w, READY, "sock/sk_data_ready", "family == 2", -1, cpu);
	}
	snprintf(filter, sizeof(filter), "id == %d || id == %d || id == %d || id == %d", SYS_write,
		 SYS_writev, SYS_sendto, SYS_sendmsg);
	watch_event(&w, SEND, "raw_syscalls/sys_enter", filter, (int)strtol(argv[2], NULL, 10), -1);
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
