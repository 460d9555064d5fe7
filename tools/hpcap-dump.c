/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For whoever works on hostprof: prints a capture, a line a record, fields as name=value.
 *
 *     hpcap-dump [-b] CAPTURE       -b: the carried bytes, too
 *
 * Reads through user/decode as the report does, so what it prints is what a replay sees. Not installed.
 * Exit status: 0 whole, 1 cut short or damaged (what is whole was printed), 2 usage.
 */
#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "decode/capture.h"
#include "decode/record.h"
#include "decode/stream.h"

static bool with_bytes;

static const char *const drop_keys[] = {
#define DROP(name, key, text) key,
#include "hp/drops.def"
#undef DROP
};

static void text(const char *name, const void *p, size_t n)
{
	const u8 *c = p;

	printf(" %s=\"", name);
	for (; n--; c++)
		if (*c == '"' || *c == '\\')
			printf("\\%c", *c);
		else if (isprint(*c))
			putchar(*c);
		else
			printf("\\x%02x", *c);
	putchar('"');
}

static void number(const char *name, unsigned long long v)
{
	if (v)
		printf(" %s=%llu", name, v);
}

static const char *dir_name(u8 dir)
{
	return dir == HP_SEND ? "send" : "recv";
}

static void conn_open(const struct ev_conn_open *ev)
{
	static const char *const roles[] = { "unknown", "server", "client" };
	static const char *const origins[] = { "?", "accept", "connect", "seed", "lazy" };
	char local[INET6_ADDRSTRLEN] = "", peer[INET6_ADDRSTRLEN] = "";

	printf(" conn=%llx role=%s origin=%s", (unsigned long long)ev->conn_id,
	       ev->role < 3 ? roles[ev->role] : "?", ev->origin < 5 ? origins[ev->origin] : "?");
	if (ev->family == AF_UNIX) {
		text("path", ev->path, strnlen(ev->path, sizeof(ev->path)));
	} else {
		inet_ntop(ev->family, ev->local_addr, local, sizeof(local));
		inet_ntop(ev->family, ev->peer_addr, peer, sizeof(peer));
		printf(" local=%s:%u peer=%s:%u", local, ev->local_port, peer, ev->peer_port);
	}
	printf(" netns=%u inode=%u", ev->netns, ev->inode);
	number("established", ev->established_ns);
}

static void conn_state(const struct ev_conn_state *ev)
{
	static const char *const whats[] = { "?",	"established", "failed", "eof",
					     "shut_wr", "error",       "unread" };

	printf(" conn=%llx what=%s", (unsigned long long)ev->conn_id,
	       ev->what < 7 ? whats[ev->what] : "?");
	number("err", ev->err);
	number("local_port", ev->local_port);
}

static void data(struct ev_data *ev)
{
	size_t at = 0;
	u32 i;

	printf(" conn=%llx dir=%s pos=%llu len=%u", (unsigned long long)ev->conn_id,
	       dir_name(ev->dir), (unsigned long long)ev->pos, ev->len);
	number("enter", ev->enter_ns);
	number("wire", ev->wire_ns);
	number("flags", ev->flags);
	number("token", ev->token);
	for (i = 0; i < ev->nsegs; i++) {
		u8 *bytes;
		struct ev_seg *seg = record_seg(ev, &at, &bytes);

		printf(" run=%u+%u", seg->off, seg->len);
		number("frames_before", seg->frames_before);
		if (with_bytes)
			text("bytes", bytes, seg->len);
	}
	number("frames_after", ev->frames_after);
}

static void cont(const struct ev_cont *ev)
{
	printf(" conn=%llx dir=%s pos=%llu len=%llu calls=%u last=%u",
	       (unsigned long long)ev->conn_id, dir_name(ev->dir), (unsigned long long)ev->pos,
	       (unsigned long long)ev->len, ev->calls, ev->last_len);
	number("frames", ev->frames);
	number("first", ev->first_ns);
	number("enter", ev->enter_ns);
	number("wire", ev->wire_ns);
	number("flags", ev->flags);
	number("tail", ev->tail_len);
	if (with_bytes)
		text("bytes", ev->tail, ev->tail_len);
}

static void proc(const struct ev_proc *ev)
{
	static const char *const whats[] = { "?", "fork", "exec", "exit" };

	printf(" what=%s", ev->what < 4 ? whats[ev->what] : "?");
	number("parent", ev->parent_tgid);
	number("code", ev->exit_code);
	text("comm", ev->comm, strnlen(ev->comm, sizeof(ev->comm)));
}

static void loss(const struct ev_loss *ev)
{
	const u64 *v = (const u64 *)(ev + 1);
	u32 i;

	printf(" events=%llu", (unsigned long long)ev->events);
	for (i = 0; i < ev->n && i < ARRAY_SIZE(drop_keys); i++)
		number(drop_keys[i], v[i]);
}

static void cost(const struct ev_cost *ev)
{
	number("bpf_ns", ev->bpf_ns);
	number("bpf_runs", ev->bpf_runs);
	number("collector_ns", ev->collector_cpu_ns);
	number("analyst_ns", ev->analyst_cpu_ns);
	number("rss", ev->agent_rss_bytes);
	number("target_ns", ev->target_cpu_ns);
}

static void resource(const struct ev_resource *ev)
{
	printf(" rss=%llu cpu_ns=%llu threads=%u fds=%u processes=%u",
	       (unsigned long long)ev->rss_bytes, (unsigned long long)ev->cpu_total_ns, ev->threads,
	       ev->fds, ev->processes);
}

static void line(struct ev_hdr *rec)
{
	printf("%llu %s target=%u", (unsigned long long)rec->ts_ns, record_name(rec->kind),
	       rec->target);
	number("tgid", rec->tgid);
	number("tid", rec->tid);
	switch (rec->kind) {
	case EV_CONN_OPEN:
		conn_open((const struct ev_conn_open *)rec);
		break;
	case EV_CONN_STATE:
		conn_state((const struct ev_conn_state *)rec);
		break;
	case EV_CONN_CLOSE:
	case EV_CONN_BYTES: {
		const struct ev_conn_close *ev = (const struct ev_conn_close *)rec;

		printf(" conn=%llx recv=%llu send=%llu", (unsigned long long)ev->conn_id,
		       (unsigned long long)ev->bytes[HP_RECV],
		       (unsigned long long)ev->bytes[HP_SEND]);
		break;
	}
	case EV_DATA:
		data((struct ev_data *)rec);
		break;
	case EV_TASK: {
		const struct ev_task *ev = (const struct ev_task *)rec;

		printf(" token=%x parent=%x code=%llx created=%llu", ev->token, ev->parent,
		       (unsigned long long)ev->code, (unsigned long long)ev->created_ns);
		break;
	}
	case EV_STEP: {
		const struct ev_step *ev = (const struct ev_step *)rec;

		printf(" token=%x reason=%u blocked=%llu runqueue=%llu%s", ev->token, ev->reason,
		       (unsigned long long)ev->blocked_ns, (unsigned long long)ev->runqueue_ns,
		       ev->flags & HP_STEP_SAMPLED ? " sampled" : "");
		break;
	}
	case EV_SITE: {
		const struct ev_site *ev = (const struct ev_site *)rec;

		printf(" conn=%llx pos=%llu len=%u weight=%u frames=%u",
		       (unsigned long long)ev->conn_id, (unsigned long long)ev->pos, ev->len,
		       ev->weight, ev->nframes);
		break;
	}
	case EV_CONT:
		cont((const struct ev_cont *)rec);
		break;
	case EV_SAMPLE: {
		const struct ev_sample *ev = (const struct ev_sample *)rec;

		printf(" cpu=%u frames=%u%s", ev->cpu, ev->nframes,
		       ev->stop == UW_STOP_DEPTH ? " truncated" : "");
		text("comm", ev->comm, strnlen(ev->comm, sizeof(ev->comm)));
		break;
	}
	case EV_PROC:
		proc((const struct ev_proc *)rec);
		break;
	case EV_TARGET: {
		const struct ev_target *ev = (const struct ev_target *)rec;

		text("cmdline", ev + 1, ev->cmdline_len);
		break;
	}
	case EV_MAPPING: {
		const struct ev_mapping *ev = (const struct ev_mapping *)rec;

		printf(" at=%llx-%llx", (unsigned long long)ev->start, (unsigned long long)ev->end);
		text("path", ev + 1, ev->path_len);
		break;
	}
	case EV_RESOURCE:
		resource((const struct ev_resource *)rec);
		break;
	case EV_LOSS:
		loss((const struct ev_loss *)rec);
		break;
	case EV_WINDOW: {
		const struct ev_window *ev = (const struct ev_window *)rec;

		printf(" what=%u hz=%u cpus=%u", ev->what, ev->sample_hz, ev->ncpus);
		break;
	}
	case EV_SYMBOL: {
		const struct ev_symbol *ev = (const struct ev_symbol *)rec;

		printf(" at=%llx-%llx", (unsigned long long)ev->start, (unsigned long long)ev->end);
		text("name", ev + 1, ev->name_len);
		break;
	}
	case EV_LINES: {
		const struct ev_lines *ev = (const struct ev_lines *)rec;
		const struct ev_line *l = (const struct ev_line *)(ev + 1);
		const char *p = (const char *)(l + ev->n);
		u32 i;

		printf(" addr=%llx", (unsigned long long)ev->addr);
		for (i = 0; i < ev->n; i++) {
			text("name", p, l[i].name_len);
			text("file", p + l[i].name_len, l[i].file_len);
			printf(" line=%u", l[i].line);
			p += l[i].name_len + l[i].file_len;
		}
		break;
	}
	case EV_CODE: {
		const struct ev_code *ev = (const struct ev_code *)rec;

		printf(" code=%llx+%u check=%06x line=%u first=%u", (unsigned long long)ev->addr,
		       ev->extra, ev->check, ev->line, ev->first_line);
		text("name", ev + 1, ev->name_len);
		text("file", (const char *)(ev + 1) + ev->name_len, ev->file_len);
		break;
	}
	case EV_COST:
		cost((const struct ev_cost *)rec);
		break;
	case EV_NOTE:
		text("text", (const struct ev_note *)rec + 1, ((const struct ev_note *)rec)->len);
		break;
	case EV_CONFIG:
		text("text", (const struct ev_config *)rec + 1,
		     ((const struct ev_config *)rec)->len);
		break;
	}
	putchar('\n');
}

static int dump(const char *path)
{
	_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct capture_header h;
	struct stream s;
	struct ev_hdr *rec;
	int err;

	if (fd < 0) {
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
		return 1;
	}
	err = capture_read_header(fd, &h);
	if (!err)
		err = stream_init(&s, fd);
	if (err) {
		fprintf(stderr, "%s: no capture of this version: %s\n", path, strerror(-err));
		return 1;
	}
	while ((err = stream_next(&s, &rec)) > 0)
		line(rec);
	if (err || s.bad)
		fprintf(stderr, "%s: %llu bad records; %s\n", path, (unsigned long long)s.bad,
			err ? strerror(-err) : "the rest is whole");
	err = err || s.bad;
	stream_release(&s);
	return err;
}

int main(int argc, char **argv)
{
	int c;

	while ((c = getopt(argc, argv, "b")) != -1) {
		if (c != 'b')
			return 2;
		with_bytes = true;
	}
	if (optind + 1 != argc) {
		fprintf(stderr, "usage: hpcap-dump [-b] CAPTURE\n");
		return 2;
	}
	return dump(argv[optind]);
}
