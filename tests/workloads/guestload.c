/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Exact amounts of work for the lab's measurement of instructions (tests/kernels/guest/icount.py), with
 * as little of its own as possible:
 *
 *   guestload requests PORT PATH N   N requests, one after the other, on one kept connection
 *   guestload calls NAME N           N times one system call: getppid, pread, read or pair
 *   guestload spin N                 N instructions: what the clock makes of them
 *
 * The last line is the time on a CPU of this process for that, in ns: instructions, where the
 * machine's clock counts those.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static unsigned long long cpu_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return t.tv_sec * 1000000000ULL + t.tv_nsec;
}

static void die(const char *what)
{
	perror(what);
	exit(1);
}

/* Bytes of the whole answer, 0 when it is not there yet. */
static size_t whole(char *buf, size_t n)
{
	char *end, *length;

	buf[n] = 0;
	end = strstr(buf, "\r\n\r\n");
	length = strcasestr(buf, "content-length:");
	if (!end)
		return 0;
	end += 4;
	if (length && length < end)
		end += strtol(length + 15, NULL, 10);
	return (size_t)(end - buf) <= n ? (size_t)(end - buf) : 0;
}

static void requests(int port, const char *path, long n)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(port) };
	int fd = socket(AF_INET, SOCK_STREAM, 0), on = 1;
	static char buf[1 << 20];
	char request[512];
	int size = snprintf(request, sizeof(request), "GET %s HTTP/1.1\r\nHost: lab\r\n\r\n", path);

	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof(to)))
		die("connect");
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	while (n-- > 0) {
		size_t got = 0;

		if (send(fd, request, size, 0) != size)
			die("send");
		while (!whole(buf, got)) {
			ssize_t r = recv(fd, buf + got, sizeof(buf) - 1 - got, 0);

			if (r <= 0)
				die("recv");
			got += r;
		}
		if (strncmp(buf, "HTTP/1.1 200", 12))
			die(path);
	}
	close(fd);
}

static void calls(const char *name, long n)
{
	int zero = open("/dev/zero", O_RDONLY), pair[2];
	char c[64];

	if (zero < 0 || socketpair(AF_UNIX, SOCK_STREAM, 0, pair))
		die(name);
	while (n-- > 0) {
		if (!strcmp(name, "getppid"))
			getppid();
		else if (!strcmp(name, "pread"))
			pread(zero, c, sizeof(c), 0);
		else if (!strcmp(name, "read"))
			read(zero, c, sizeof(c));
		else if (write(pair[0], c, sizeof(c)) != read(pair[1], c, sizeof(c)))
			die(name);
	}
}

static void spin(long n)
{
	n /= 2;
	__asm__ volatile("1: dec %0\n\tjnz 1b" : "+r"(n) : : "cc");
}

int main(int argc, char **argv)
{
	unsigned long long begin = cpu_ns();

	if (argc == 5 && !strcmp(argv[1], "requests"))
		requests(strtol(argv[2], NULL, 10), argv[3], strtol(argv[4], NULL, 10));
	else if (argc == 4 && !strcmp(argv[1], "calls"))
		calls(argv[2], strtol(argv[3], NULL, 10));
	else if (argc == 3 && !strcmp(argv[1], "spin"))
		spin(strtol(argv[2], NULL, 10));
	else
		return 2;
	printf("%llu\n", cpu_ns() - begin);
	return 0;
}
