/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Parsers of procfs texts that hold numbers: stat, status, io, maps, net/tcp.
 *
 * Input: text that somebody else read. Output: structs. Numbers are read by hand and not with
 * sscanf(), which accepts signs and wraps on overflow; all of these files are the kernel's, but
 * the comm inside stat and the paths inside maps are the target's.
 */
#include <errno.h>
#include <string.h>
#include "base/procparse.h"

/* Takes a number of the given base off the front of *s. */
static bool take_num(struct slice *s, unsigned base, u64 *ret)
{
	size_t i;
	u64 v = 0;

	for (i = 0; i < s->n; i++) {
		unsigned char c = (unsigned char)s->p[i];
		unsigned d = base;

		if (c >= '0' && c <= '9')
			d = c - '0';
		else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
			d = (c | 0x20) - 'a' + 10u;
		if (d >= base)
			break;
		if (__builtin_mul_overflow(v, base, &v) || __builtin_add_overflow(v, d, &v))
			return false;
	}
	if (!i)
		return false;
	*ret = v;
	s->p += i;
	s->n -= i;
	return true;
}

static bool take_char(struct slice *s, char c)
{
	if (!s->n || *s->p != c)
		return false;
	s->p++;
	s->n--;
	return true;
}

static void skip_blanks(struct slice *s)
{
	while (s->n && (*s->p == ' ' || *s->p == '\t')) {
		s->p++;
		s->n--;
	}
}

static bool take_word(struct slice *s, struct slice *ret)
{
	size_t n = 0;

	skip_blanks(s);
	while (n < s->n && s->p[n] != ' ' && s->p[n] != '\t' && s->p[n] != '\n')
		n++;
	*ret = slice_of(s->p, n);
	s->p += n;
	s->n -= n;
	return n > 0;
}

bool proc_next_line(struct slice *text, struct slice *ret)
{
	const char *end;

	if (!text->n)
		return false;
	end = memchr(text->p, '\n', text->n);
	ret->p = text->p;
	ret->n = end ? (size_t)(end - text->p) : text->n;
	text->p += ret->n + (end != NULL);
	text->n -= ret->n + (end != NULL);
	return true;
}

/* Fields by their number in proc(5): pid 1, comm 2, state 3, then numbers. */
int proc_parse_stat(struct slice text, struct proc_stat *ret)
{
	enum {
		PPID = 4,
		FLAGS = 9,
		MINFLT,
		CMINFLT,
		MAJFLT,
		CMAJFLT,
		UTIME,
		STIME
	};
	enum {
		THREADS = 20,
		START = 22,
		VSIZE,
		RSS,
		LAST = RSS
	};
	const char *open, *close;
	u64 field[LAST + 1] = { 0 }, pid;
	struct slice s = text, word;
	size_t n;
	int i;

	memset(ret, 0, sizeof(*ret));
	if (!take_num(&s, 10, &pid) || !take_char(&s, ' ') || !s.n || *s.p != '(')
		return -EINVAL;
	open = s.p + 1;
	close = memrchr(s.p, ')', s.n); /* comm may hold ") R 1" itself */
	if (!close)
		return -EINVAL;
	n = (size_t)(close - open);
	memcpy(ret->comm, open, MIN(n, (size_t)PROC_COMM_LEN));
	s = slice_of(close + 1, (size_t)(text.p + text.n - close - 1));
	if (!take_word(&s, &word) || word.n != 1)
		return -EINVAL;
	ret->state = *word.p;
	for (i = PPID; i <= LAST; i++) {
		if (!take_word(&s, &word))
			return -EINVAL;
		if (*word.p == '-') /* tty and priorities may be negative; none of ours is */
			continue;
		if (!take_num(&word, 10, &field[i]) || word.n)
			return -EINVAL;
	}
	if (pid > UINT32_MAX || field[PPID] > UINT32_MAX)
		return -EINVAL;
	ret->pid = (u32)pid;
	ret->ppid = (u32)field[PPID];
	ret->flags = (u32)field[FLAGS];
	ret->threads = (u32)MIN(field[THREADS], UINT32_MAX);
	ret->minor_faults = field[MINFLT];
	ret->major_faults = field[MAJFLT];
	ret->user_ticks = field[UTIME];
	ret->system_ticks = field[STIME];
	ret->start_ticks = field[START];
	ret->vms_bytes = field[VSIZE];
	ret->rss_pages = field[RSS];
	return 0;
}

int proc_field(struct slice text, const char *key, struct slice *ret)
{
	struct slice line, want = slice_str(key);

	while (proc_next_line(&text, &line)) {
		if (line.n <= want.n || line.p[want.n] != ':' || !slice_starts(line, want))
			continue;
		*ret = slice_trim(slice_of(line.p + want.n + 1, line.n - want.n - 1));
		return 0;
	}
	return -ENOENT;
}

static int proc_field_base(struct slice text, const char *key, unsigned base, u64 *ret)
{
	struct slice s;
	int err = proc_field(text, key, &s);

	if (err)
		return err;
	return take_num(&s, base, ret) ? 0 : -EINVAL;
}

int proc_field_u64(struct slice text, const char *key, u64 *ret)
{
	return proc_field_base(text, key, 10, ret);
}

int proc_field_hex(struct slice text, const char *key, u64 *ret)
{
	return proc_field_base(text, key, 16, ret);
}

int proc_parse_map(struct slice line, struct proc_map *ret)
{
	struct slice s = line, prot;
	u64 major, minor;

	memset(ret, 0, sizeof(*ret));
	if (!take_num(&s, 16, &ret->start) || !take_char(&s, '-') || !take_num(&s, 16, &ret->end) ||
	    !take_word(&s, &prot) || prot.n != 4)
		return -EINVAL;
	ret->read = prot.p[0] == 'r';
	ret->write = prot.p[1] == 'w';
	ret->exec = prot.p[2] == 'x';
	skip_blanks(&s);
	if (!take_num(&s, 16, &ret->file_off) || !take_char(&s, ' ') || !take_num(&s, 16, &major) ||
	    !take_char(&s, ':') || !take_num(&s, 16, &minor) || !take_char(&s, ' ') ||
	    !take_num(&s, 10, &ret->inode) || ret->start >= ret->end)
		return -EINVAL;
	ret->dev_major = (u32)major;
	ret->dev_minor = (u32)minor;
	/* One blank is the separator, more are padding; a path may itself begin with anything else. */
	skip_blanks(&s);
	ret->path = s;
	return 0;
}

/* "  0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000  0 12345 …" */
int proc_parse_tcp(struct slice line, struct proc_tcp *ret)
{
	struct slice s = line, word, addr[2];
	u64 num, port[2], state;
	int i;

	memset(ret, 0, sizeof(*ret));
	skip_blanks(&s);
	if (!take_num(&s, 10, &num) || !take_char(&s, ':'))
		return -EINVAL;
	for (i = 0; i < 2; i++) {
		const char *colon;

		if (!take_word(&s, &addr[i]))
			return -EINVAL;
		colon = memchr(addr[i].p, ':', addr[i].n);
		if (!colon)
			return -EINVAL;
		word = slice_of(colon + 1, (size_t)(addr[i].p + addr[i].n - colon - 1));
		if (!take_num(&word, 16, &port[i]) || word.n || port[i] > UINT16_MAX)
			return -EINVAL;
	}
	skip_blanks(&s);
	if (!take_num(&s, 16, &state) || state > UINT8_MAX)
		return -EINVAL;
	for (i = 0; i < 5; i++) /* queues, timer, retransmits, uid, timeout */
		if (!take_word(&s, &word))
			return -EINVAL;
	skip_blanks(&s);
	if (!take_num(&s, 10, &ret->inode))
		return -EINVAL;
	ret->local_port = (u16)port[0];
	ret->peer_port = (u16)port[1];
	ret->state = (u8)state;
	return 0;
}

/* "ffff8880: 00000002 00000000 00010000 0001 01 12345 /run/x.sock": flag 0x10000 = listening */
int proc_parse_unix(struct slice line, struct proc_unix *ret)
{
	struct slice s = line, word;
	u64 field[6]; /* socket, references, protocol, flags, type, state */
	size_t i;

	memset(ret, 0, sizeof(*ret));
	for (i = 0; i < ARRAY_SIZE(field); i++) {
		if (!take_word(&s, &word) || !take_num(&word, 16, &field[i]))
			return -EINVAL;
		if (i ? word.n != 0 : !slice_eq(word, SLICE(":")))
			return -EINVAL;
	}
	skip_blanks(&s);
	if (!take_num(&s, 10, &ret->inode))
		return -EINVAL;
	ret->listening = field[3] & 0x10000;
	ret->connected = field[5] == 3;
	take_char(&s, ' ');
	ret->path = s;
	return 0;
}

int proc_parse_socket_link(struct slice link, u64 *ret_inode)
{
	const struct slice prefix = SLICE("socket:[");

	if (!slice_starts(link, prefix))
		return -EINVAL;
	link.p += prefix.n;
	link.n -= prefix.n;
	if (!take_num(&link, 10, ret_inode) || !take_char(&link, ']') || link.n)
		return -EINVAL;
	return 0;
}

/* The same in both places, on every version. */
bool proc_is_io_uring(struct slice name)
{
	return slice_eq(name, SLICE("anon_inode:[io_uring]"));
}
