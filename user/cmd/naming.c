/* SPDX-License-Identifier: Apache-2.0 */
/* See naming.h. */
#include "cmd/naming.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/elffacts.h"
#include "base/file.h"
#include "decode/channel.h"
#include "decode/record.h"
#include "sym/sym.h"
#include "unwind/java.h"
#include "unwind/pynames.h"
#include "unwind/pysites.h"
#include "unwind/tablecache.h"
#include "unwind/unwind.h"
#include "unwind/v8names.h"

#define PARENTS_MAX 65536
#define PARENTS_ASKED 4 /* for one file */

/* Is this what was mapped? A path, and in a copy of a process a range too, may lead to another file. */
static bool is_mapped_file(int fd, const struct sym_mapping *m)
{
	u8 id[20], n;
	struct stat st;

	if (m->build_id_len)
		return !elf_build_id(fd, id, &n) && n == m->build_id_len &&
		       !memcmp(id, m->build_id, n);
	return !fstat(fd, &st) && (u32)st.st_ino == m->inode;
}

/* As those see it who came before the process, which has ended. */
static int open_by_parents(const struct naming *nm, struct chan_request *req,
			   const struct sym_mapping *m)
{
	const u64 *parent = map_find(&nm->parents, req->tgid);
	int fd = -ESRCH, hops;

	for (hops = 0; fd < 0 && parent && hops < PARENTS_ASKED; hops++) {
		req->tgid = (u32)*parent;
		fd = chan_call(nm->chan_fd, req);
		if (fd >= 0 && !is_mapped_file(fd, m)) {
			close(fd);
			fd = -ENOENT;
		}
		parent = map_find(&nm->parents, req->tgid);
	}
	return fd;
}

static int open_mapping(void *arg, u32 tgid, const struct sym_mapping *m)
{
	struct naming *nm = arg;
	struct chan_request req = {
		.type = CHAN_OPEN_MAPPING,
		.tgid = tgid,
		.start = m->start,
		.end = m->end,
		.inode = m->inode,
	};

	int fd;

	if (m->path.n >= sizeof(req.path))
		return -ENAMETOOLONG;
	memcpy(req.path, m->path.p, m->path.n);
	fd = chan_call(nm->chan_fd, &req);
	return fd == -ENOENT || fd == -ESRCH ? open_by_parents(nm, &req, m) : fd;
}

static int open_kallsyms(void *arg)
{
	struct chan_request req = { .type = CHAN_OPEN_KALLSYMS };

	return chan_call(((struct naming *)arg)->chan_fd, &req);
}

static int open_debug(void *arg, u32 tgid, const char *path)
{
	struct chan_request req = { .type = CHAN_OPEN_DEBUG, .tgid = tgid };

	if (strlen(path) >= sizeof(req.path))
		return -ENAMETOOLONG;
	memcpy(req.path, path, strlen(path));
	return chan_call(((struct naming *)arg)->chan_fd, &req);
}

static int open_perf_map(void *arg, u32 tgid)
{
	struct chan_request req = { .type = CHAN_OPEN_PERF_MAP, .tgid = tgid };

	return chan_call(((struct naming *)arg)->chan_fd, &req);
}

static const struct sym_ops sym_ops = {
	.open_mapping = open_mapping,
	.open_kallsyms = open_kallsyms,
	.open_debug = open_debug,
	.open_perf_map = open_perf_map,
};

static struct chan_request unwind_chan(u32 type, const struct unwind_request *m)
{
	struct chan_request req = {
		.type = type,
		.tgid = m->tgid,
		.start = m->start,
		.end = m->end,
		.inode = m->inode,
		.bias = m->bias,
		.table = m->table,
		.flags = m->flags,
		.word = m->word,
	};

	if (m->path.n < sizeof(req.path))
		memcpy(req.path, m->path.p ? m->path.p : "", m->path.n);
	return req;
}

static int unwind_open(void *arg, const struct unwind_request *m)
{
	const struct chan_request req = unwind_chan(CHAN_OPEN_MAPPING, m);

	return chan_call(((struct naming *)arg)->chan_fd, &req);
}

static int unwind_send(void *arg, int fd)
{
	const struct chan_request req = { .type = CHAN_UNWIND_TABLE };

	return chan_ask(((struct naming *)arg)->chan_fd, &req, fd);
}

static int unwind_bind(void *arg, const struct unwind_request *m)
{
	const struct chan_request req = unwind_chan(CHAN_UNWIND_MAP, m);

	return chan_ask(((struct naming *)arg)->chan_fd, &req, -1);
}

static void unwind_python(void *arg, u32 tgid, const struct py_runtime *rt,
			  const struct py_layout *layout)
{
	struct chan_request req = { .type = CHAN_PYTHON, .tgid = tgid };
	struct naming *nm = arg;

	req.python = *rt;
	if (chan_ask(nm->chan_fd, &req, -1) > 0)
		pynames_process(nm->pynames, tgid, layout);
}

static void unwind_sites(void *arg, const struct unwind_request *m, const struct py_sites *sites)
{
	struct chan_request req = unwind_chan(CHAN_PROBE, m);
	u32 i;

	for (i = 0; i < PY_SITES; i++)
		if (!sites->stepped[i])
			req.sites[i] = sites->off[i];
	chan_send(((struct naming *)arg)->chan_fd, &req);
}

static void unwind_v8(void *arg, u32 tgid, const struct v8_layout *layout)
{
	const struct chan_request req = { .type = CHAN_CODE,
					  .tgid = tgid,
					  .word = (s8)(layout->fp_function / V8_WORD),
					  .through = (u8)(layout->function_shared / V8_WORD) };
	struct naming *nm = arg;

	if (chan_ask(nm->chan_fd, &req, -1) > 0)
		v8names_process(nm->v8names, tgid, layout);
}

static void unwind_java(void *arg, u32 tgid, const struct jvm_file *f, u64 bias)
{
	java_process(((struct naming *)arg)->java, tgid, f, bias);
}

static const struct unwind_ops unwind_ops = {
	.open = unwind_open,
	.send = unwind_send,
	.bind = unwind_bind,
	.python = unwind_python,
	.sites = unwind_sites,
	.v8 = unwind_v8,
	.java = unwind_java,
};

static int read_memory(void *arg, u32 tgid, u64 addr, void *buf, size_t n)
{
	return chan_read(((struct naming *)arg)->chan_fd, tgid, addr, buf, n);
}

static void put_code(void *arg, struct ev_code *rec)
{
	struct naming *nm = arg;

	rec->hdr.ts_ns = nm->now_ns;
	nm->ops->put(nm->arg, &rec->hdr);
}

static void put_symbol(struct naming *nm, u32 tgid, u64 start, u64 end, struct slice name,
		       struct slice module)
{
	union {
		struct ev_symbol ev;
		char bytes[sizeof(struct ev_symbol) + SYM_NAME_MAX + SYM_MODULE_MAX + 8];
	} rec;
	size_t size;

	name.n = MIN(name.n, (size_t)SYM_NAME_MAX);
	module.n = MIN(module.n, (size_t)SYM_MODULE_MAX);
	memset(&rec, 0, sizeof(rec));
	size = sizeof(rec.ev) + name.n + module.n;
	rec.ev.hdr.size = (size + 7) & ~7UL;
	rec.ev.hdr.kind = EV_SYMBOL;
	rec.ev.hdr.tgid = tgid;
	rec.ev.hdr.ts_ns = nm->now_ns;
	rec.ev.start = start;
	rec.ev.end = end;
	rec.ev.name_len = name.n;
	rec.ev.module_len = module.n;
	memcpy(rec.bytes + sizeof(rec.ev), name.p, name.n);
	memcpy(rec.bytes + sizeof(rec.ev) + name.n, module.p, module.n);
	nm->ops->put(nm->arg, &rec.ev.hdr);
}

static void java_symbol(void *arg, u32 tgid, u64 start, u64 end, struct slice name)
{
	put_symbol(arg, tgid, start, end, name, SLICE("[jit]"));
}

static void java_lines(void *arg, struct ev_lines *rec)
{
	struct naming *nm = arg;

	rec->hdr.ts_ns = nm->now_ns;
	nm->ops->put(nm->arg, &rec->hdr);
}

static const struct java_ops java_ops = {
	.read = read_memory,
	.send = unwind_send,
	.bind = unwind_bind,
	.symbol = java_symbol,
	.lines = java_lines,
	.code = put_code,
};

static const struct v8names_ops v8names_ops = { .read = read_memory, .put = put_code };

static void tell_worker(void *arg, u32 tgid, u64 code, const struct py_worker *how)
{
	const struct chan_request req = { .type = CHAN_PY_WORKER,
					  .tgid = tgid,
					  .start = code,
					  .bias = how->local,
					  .flags = how->kind };

	chan_send(((struct naming *)arg)->chan_fd, &req);
}

static const struct pynames_ops pynames_ops = {
	.read = read_memory,
	.put = put_code,
	.worker = tell_worker,
};

/* nframes struct ev_frame at `frames`. */
static void name_frames(struct naming *nm, u32 tgid, void *frames, u32 nframes)
{
	pynames_sample(nm->pynames, tgid, frames, nframes);
	v8names_sample(nm->v8names, tgid, frames, nframes, nm->now_ns);
	java_sample(nm->java, tgid, frames, nframes);
}

static void name_wait(struct naming *nm, struct ev_wait *ev)
{
	struct ev_frame *f = (void *)(ev + 1);

	name_frames(nm, ev->hdr.tgid, f, ev->nframes);
	if (ev->nwaker)
		name_frames(nm, ev->waker_tgid, f + ev->nframes, ev->nwaker);
}

static void note_hidden(struct naming *nm)
{
	_release_(buf) struct buf kptr = BUF_INIT;

	if (!file_read("/proc/sys/kernel/kptr_restrict", &kptr, 16) && kptr.n && *kptr.p == '2')
		nm->ops->note(nm->arg,
			      "kernel functions have no names: kernel.kptr_restrict is 2 and hides "
			      "them from everybody");
	else
		nm->ops->note(
			nm->arg,
			"kernel functions have no names: they take CAP_SYSLOG, which hostprof "
			"did not have");
}

static void name_address(void *arg, const struct agg_addr *at)
{
	struct naming *nm = arg;
	struct sym_name name;
	int err;

	err = sym_resolve(nm->sym, at->tgid, at->addr, &name);
	if (err == -EPERM && !at->tgid && !nm->kallsyms_hidden) {
		nm->kallsyms_hidden = true;
		note_hidden(nm);
	}
	if (name.quality == SYM_MODULE || name.quality == SYM_NONE)
		return; /* the aggregates name it module+offset, and count it as unnamed */
	put_symbol(nm, at->tgid, name.start, name.end, name.name, name.module);
}

static void line_address(void *arg, const struct agg_addr *at)
{
	struct naming *nm = arg;
	union {
		struct ev_lines ev;
		char bytes[sizeof(struct ev_lines) +
			   SYM_LINES_MAX * (sizeof(struct ev_line) + 2 * SYM_NAME_MAX) + 8];
	} rec;
	struct sym_line lines[SYM_LINES_MAX];
	u32 i, n = sym_lines(nm->sym, at->tgid, at->addr, lines);
	struct ev_line *line = (struct ev_line *)(&rec.ev + 1);
	char *p = (char *)(line + n);
	size_t size;

	if (!n)
		return;
	rec.ev = (struct ev_lines){ .addr = at->addr, .n = n };
	for (i = 0; i < n; i++) {
		line[i] = (struct ev_line){ .line = lines[i].line,
					    .name_len = lines[i].name.n,
					    .file_len = lines[i].file.n };
		p = mempcpy(p, lines[i].name.n ? lines[i].name.p : "", lines[i].name.n);
		p = mempcpy(p, lines[i].file.n ? lines[i].file.p : "", lines[i].file.n);
	}
	memset(p, 0, 8);
	size = (size_t)(p - rec.bytes);
	rec.ev.hdr = (struct ev_hdr){
		.size = (size + 7) & ~7UL, .kind = EV_LINES, .tgid = at->tgid, .ts_ns = nm->now_ns
	};
	nm->ops->put(nm->arg, &rec.ev.hdr);
}

void naming_addresses(struct naming *nm, struct agg *agg)
{
	if (!nm->sym)
		return;
	sym_refresh(nm->sym);
	agg_unnamed(agg, name_address, nm);
	agg_unlined(agg, line_address, nm);
}

void naming_work(struct naming *nm, const struct stream *stream)
{
	u64 begun;

	while (nm->unwind) {
		begun = clock_mono_ns();
		if (!unwind_busy(nm->unwind) && !java_busy(nm->java, begun))
			return;
		if (stream_ready(stream) && begun < nm->unwound_ns + nm->unwind_ns)
			return;
		if (unwind_busy(nm->unwind))
			unwind_work(nm->unwind);
		else
			java_work(nm->java);
		nm->unwound_ns = clock_mono_ns();
		nm->unwind_ns = nm->unwound_ns - begun;
	}
}

void naming_losses(const struct naming *nm, struct ev_loss *ev)
{
	__u64 *lost = (__u64 *)(ev + 1);

	if (nm->pynames && ev->n > DROP_PYTHON_CODE) {
		struct pynames_stats python;

		pynames_get_stats(nm->pynames, &python);
		lost[DROP_PYTHON_CODE] += python.failed + python.refused;
	}
	if (nm->v8names && ev->n > DROP_V8_FUNCTION) {
		struct v8names_stats v8;

		v8names_get_stats(nm->v8names, &v8);
		lost[DROP_V8_FUNCTION] += v8.failed + v8.refused;
	}
}

/* Names of its code are gone with the process: they have been asked for before. */
static void forget(struct naming *nm, const struct ev_proc *ev)
{
	u32 tgid = ev->hdr.tgid;

	if (ev->what == HP_PROC_FORK) {
		map_put(&nm->parents, tgid, ev->parent_tgid);
		return;
	}
	if (ev->what == HP_PROC_EXEC)
		sym_forget(nm->sym, tgid);
	unwind_forget(nm->unwind, tgid);
	pynames_forget(nm->pynames, tgid);
	v8names_forget(nm->v8names, tgid);
	java_forget(nm->java, tgid);
}

void naming_record(struct naming *nm, struct ev_hdr *rec)
{
	struct ev_mapping *m = (struct ev_mapping *)rec;
	struct ev_target *target = (struct ev_target *)rec;
	struct ev_sample *sample = (struct ev_sample *)rec;
	struct ev_site *site = (struct ev_site *)rec;

	if (!nm->unwind)
		return;
	nm->now_ns = MAX(nm->now_ns, rec->ts_ns);
	switch (rec->kind) {
	case EV_MAPPING:
		sym_add_mapping(nm->sym, m, slice_of(m + 1, m->path_len));
		unwind_mapping(nm->unwind, m, slice_of(m + 1, m->path_len));
		break;
	case EV_TARGET:
		if (!map_find(&nm->parents, rec->tgid) && target->root_tgid != rec->tgid)
			map_put(&nm->parents, rec->tgid, target->root_tgid);
		break;
	case EV_PROC:
		forget(nm, (struct ev_proc *)rec);
		break;
	case EV_SAMPLE:
		unwind_sample(nm->unwind, sample);
		name_frames(nm, rec->tgid, sample + 1, sample->nframes);
		break;
	case EV_WAIT:
		name_wait(nm, (struct ev_wait *)rec);
		break;
	case EV_SITE:
		name_frames(nm, rec->tgid, site + 1, site->nframes);
		break;
	}
}

int naming_begin(struct naming *nm, const struct naming_ops *ops, void *arg, int chan_fd)
{
	int err;

	*nm = (struct naming){ .ops = ops, .arg = arg, .chan_fd = chan_fd };
	map_init(&nm->parents, PARENTS_MAX);
	err = sym_new(&nm->sym, &sym_ops, nm);
	if (!err)
		err = pynames_new(&nm->pynames, &pynames_ops, nm);
	if (!err)
		err = v8names_new(&nm->v8names, &v8names_ops, nm);
	if (!err)
		err = java_new(&nm->java, &java_ops, nm);
	if (!err)
		err = unwind_new(&nm->unwind, &unwind_ops, nm, geteuid() ? NULL : UNWIND_CACHE_DIR);
	return err;
}

void naming_release(struct naming *nm)
{
	sym_free(nm->sym);
	map_release(&nm->parents);
	unwind_free(nm->unwind);
	pynames_free(nm->pynames);
	v8names_free(nm->v8names);
	java_free(nm->java);
	memset(nm, 0, sizeof(*nm));
}
