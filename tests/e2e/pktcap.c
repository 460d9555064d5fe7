/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The packet reference of the tests: pktcap PORT FILE writes every packet of one TCP port on loopback
 * with its direction and the kernel's nanosecond stamp. lib/pcap.py builds, starts and reads it.
 *
 * Loopback shows each packet twice: outgoing, when TCP/IP hands it to the device, and incoming, when
 * the device hands it to TCP/IP. Of what the client sends the incoming copy is kept (arrival at the
 * host), of what the server sends the outgoing one (departure); libpcap cannot tell, it only keeps
 * incoming copies. SO_TIMESTAMPNS makes the kernel stamp outgoing packets before it copies them here;
 * incoming ones are stamped on the way in. When this program gets to read them plays no part.
 *
 * Prints "listening", ends on SIGINT with "packets N dropped N".
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BLOCK_BYTES (1 << 20)
#define BLOCKS 96
#define RETIRE_MS 20
#define CLOCK_EVERY_NS 50000000
#define CLOCK_TRIES 20
#define SNAP_MAX 262144

enum {
	RECORD_CLOCK =
		255, /* ts_ns: wall clock; body: its difference to CLOCK_MONOTONIC, ± width */
};

struct record {
	uint64_t ts_ns; /* CLOCK_REALTIME */
	uint32_t len; /* of the body: the frame from its Ethernet header */
	uint8_t type; /* PACKET_HOST, PACKET_OUTGOING or RECORD_CLOCK */
	uint8_t pad[3];
};

struct clock_body {
	int64_t offset_ns;
	uint64_t width_ns;
};

struct capture {
	int fd;
	uint8_t *ring;
	FILE *out;
	uint64_t clock_ns; /* when the last clock record was written */
	unsigned long packets;
};

static volatile sig_atomic_t ended;

static void on_signal(int number)
{
	(void)number;
	ended = 1;
}

static void die(const char *what)
{
	fprintf(stderr, "pktcap: %s: %s\n", what, strerror(errno));
	exit(1);
}

static uint64_t read_clock(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return ts.tv_sec * 1000000000ULL + ts.tv_nsec;
}

static void put(struct capture *c, uint64_t ts_ns, uint8_t type, const void *body, uint32_t len)
{
	struct record r = { .ts_ns = ts_ns, .len = len, .type = type };

	if (fwrite(&r, sizeof(r), 1, c->out) != 1 || fwrite(body, len, 1, c->out) != 1)
		die("write");
}

/* The narrowest of some readings; a wide one had an interruption inside. */
static void put_clock(struct capture *c)
{
	struct clock_body body = { .width_ns = UINT64_MAX };
	uint64_t at = 0;

	for (int i = 0; i < CLOCK_TRIES; i++) {
		uint64_t before = read_clock(CLOCK_MONOTONIC);
		uint64_t real = read_clock(CLOCK_REALTIME);
		uint64_t after = read_clock(CLOCK_MONOTONIC);

		if (after - before >= body.width_ns)
			continue;
		body.width_ns = after - before;
		body.offset_ns = (int64_t)(real - before - body.width_ns / 2);
		at = real;
	}
	c->clock_ns = read_clock(CLOCK_MONOTONIC);
	put(c, at, RECORD_CLOCK, &body, sizeof(body));
}

/*
 * TCP over IPv4, unfragmented, and (incoming to the port or outgoing from it). The kernel runs it
 * before it copies anything.
 */
static void attach_filter(int fd, uint16_t port)
{
	const uint32_t type = SKF_AD_OFF + SKF_AD_PKTTYPE;
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_H | BPF_ABS, 12),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ETH_P_IP, 0, 13),
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 14 + 9),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, IPPROTO_TCP, 0, 11),
		BPF_STMT(BPF_LD | BPF_H | BPF_ABS, 14 + 6),
		BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, 0x1fff, 9, 0),
		BPF_STMT(BPF_LDX | BPF_B | BPF_MSH, 14),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, type),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, PACKET_OUTGOING, 3, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, PACKET_HOST, 0, 5),
		BPF_STMT(BPF_LD | BPF_H | BPF_IND, 14 + 2),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, port, 2, 3),
		BPF_STMT(BPF_LD | BPF_H | BPF_IND, 14),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, port, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SNAP_MAX),
		BPF_STMT(BPF_RET | BPF_K, 0),
	};
	struct sock_fprog prog = { .len = sizeof(code) / sizeof(*code), .filter = code };

	if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &prog, sizeof(prog)))
		die("SO_ATTACH_FILTER");
}

static void open_ring(struct capture *c, uint16_t port)
{
	struct tpacket_req3 req = {
		.tp_block_size = BLOCK_BYTES,
		.tp_block_nr = BLOCKS,
		.tp_frame_size = 2048,
		.tp_frame_nr = BLOCK_BYTES / 2048 * BLOCKS,
		.tp_retire_blk_tov = RETIRE_MS,
	};
	struct sockaddr_ll at = { .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL) };
	int version = TPACKET_V3, on = 1;

	/* Protocol 0: no packets before the filter is in place and bind() says which. */
	c->fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
	if (c->fd < 0)
		die("socket");
	attach_filter(c->fd, port);
	if (setsockopt(c->fd, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof(on)) ||
	    setsockopt(c->fd, SOL_PACKET, PACKET_VERSION, &version, sizeof(version)) ||
	    setsockopt(c->fd, SOL_PACKET, PACKET_RX_RING, &req, sizeof(req)))
		die("PACKET_RX_RING");
	c->ring = mmap(NULL, (size_t)BLOCK_BYTES * BLOCKS, PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_POPULATE, c->fd, 0);
	if (c->ring == MAP_FAILED)
		die("mmap");
	at.sll_ifindex = if_nametoindex("lo");
	if (!at.sll_ifindex || bind(c->fd, (struct sockaddr *)&at, sizeof(at)))
		die("bind");
}

static void take_block(struct capture *c, struct tpacket_block_desc *block)
{
	uint8_t *p = (uint8_t *)block + block->hdr.bh1.offset_to_first_pkt;

	for (uint32_t i = 0; i < block->hdr.bh1.num_pkts; i++) {
		struct tpacket3_hdr *h = (struct tpacket3_hdr *)p;
		struct sockaddr_ll *ll =
			(struct sockaddr_ll *)(p + TPACKET_ALIGN(sizeof(struct tpacket3_hdr)));

		if (h->tp_snaplen != h->tp_len) {
			errno = EMSGSIZE;
			die("a packet was cut");
		}
		c->packets++;
		put(c, h->tp_sec * 1000000000ULL + h->tp_nsec, ll->sll_pkttype, p + h->tp_mac,
		    h->tp_snaplen);
		p += h->tp_next_offset;
	}
}

/* Writes all finished blocks from the given one on; returns the next. */
static uint32_t drain(struct capture *c, uint32_t at)
{
	for (;;) {
		struct tpacket_block_desc *block =
			(struct tpacket_block_desc *)(c->ring + (size_t)at * BLOCK_BYTES);
		uint32_t *status = &block->hdr.bh1.block_status;

		if (!(__atomic_load_n(status, __ATOMIC_ACQUIRE) & TP_STATUS_USER))
			return at;
		take_block(c, block);
		__atomic_store_n(status, TP_STATUS_KERNEL, __ATOMIC_RELEASE);
		at = (at + 1) % BLOCKS;
	}
}

int main(int argc, char **argv)
{
	struct sigaction sa = { .sa_handler = on_signal };
	struct tpacket_stats_v3 stats;
	socklen_t size = sizeof(stats);
	struct capture c = { 0 };
	uint32_t block = 0;
	int after = 0;

	if (argc != 3) {
		fprintf(stderr, "pktcap PORT FILE\n");
		return 2;
	}
	c.out = fopen(argv[2], "wb");
	if (!c.out)
		die(argv[2]);
	setvbuf(c.out, NULL, _IOFBF, 1 << 20);
	sigaction(SIGINT, &sa, NULL);
	sigaction(SIGTERM, &sa, NULL);
	open_ring(&c, (uint16_t)strtoul(argv[1], NULL, 10));
	put_clock(&c);
	printf("listening\n");
	fflush(stdout);
	/* Some turns past the end: the last block is handed over when its time is up. */
	while (!ended || after++ < 5) {
		struct pollfd p = { .fd = c.fd, .events = POLLIN };

		poll(&p, 1, RETIRE_MS);
		block = drain(&c, block);
		if (read_clock(CLOCK_MONOTONIC) - c.clock_ns > CLOCK_EVERY_NS)
			put_clock(&c);
		if (ended)
			usleep(RETIRE_MS * 1000);
	}
	put_clock(&c);
	if (getsockopt(c.fd, SOL_PACKET, PACKET_STATISTICS, &stats, &size))
		die("PACKET_STATISTICS");
	if (fclose(c.out))
		die("close");
	printf("packets %lu dropped %u\n", c.packets, stats.tp_drops);
	return 0;
}
