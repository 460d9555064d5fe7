/* SPDX-License-Identifier: Apache-2.0 */
/* See uwworld.h. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include "base/file.h"
#include "load/procfs.h"
#include "unwind/v8.h"
#include "uwworld.h"

#define ROWS (1U << 20)
#define PAGES (1U << 16)
#define MAPS 4096U

static int put_proc(void *arg, u32 tgid, const struct uw_proc *proc)
{
	struct uwworld *w = arg;

	(void)tgid;
	if (proc)
		w->proc = *proc;
	w->puts += proc != NULL;
	w->deleted += proc == NULL;
	return 0;
}

int uwworld_init(struct uwworld *w, u32 rows, u32 pages, u32 maps)
{
	struct uwk_arrays *k = &w->arrays;
	struct unwind_arrays a;
	int err;

	memset(w, 0, sizeof(*w));
	*k = (struct uwk_arrays){
		.rules = calloc(UW_RULES_MAX, sizeof(*k->rules)),
		.rows = calloc(rows, sizeof(*k->rows)),
		.pages = calloc(pages, sizeof(*k->pages)),
		.maps = calloc(maps, sizeof(*k->maps)),
		.nrules = UW_RULES_MAX,
		.nrows = rows,
		.npages = pages,
		.nmaps = maps,
	};
	if (!k->rules || !k->rows || !k->pages || !k->maps)
		return -ENOMEM;
	a = (struct unwind_arrays){ k->rules,  k->rows,	 k->pages,  k->maps,
				    k->nrules, k->nrows, k->npages, k->nmaps };
	err = unwind_tables_init(&w->tables, &a);
	return err ? err : unwind_procs_init(&w->procs, &w->tables, put_proc, w);
}

void uwworld_release(struct uwworld *w)
{
	unwind_free(w->manager);
	java_free(w->java);
	sym_free(w->sym);
	unwind_procs_release(&w->procs);
	unwind_tables_release(&w->tables);
	free(w->arrays.rules);
	free(w->arrays.rows);
	free(w->arrays.pages);
	free(w->arrays.maps);
}

static int open_mapped(void *arg, const struct unwind_request *m)
{
	(void)arg;
	return procfs_open_mapping(m->tgid, m->start, m->end, m->path, m->inode);
}

static int send_table(void *arg, int fd)
{
	return unwind_tables_add(&((struct uwworld *)arg)->tables, fd, clock_mono_ns());
}

static int bind_mapping(void *arg, const struct unwind_request *r)
{
	struct uwworld *w = arg;
	const struct unwind_mapping m = { .start = r->start,
					  .end = r->end,
					  .inode = r->inode,
					  .bias = r->bias,
					  .table = r->table,
					  .flags = (u8)r->flags,
					  .word = r->word,
					  .kind = r->table ? UW_MAP_TABLE : UW_MAP_FP };
	int err = unwind_procs_bind(&w->procs, r->tgid, &m, clock_mono_ns());

	return err ? err : 1;
}

static void is_python(void *arg, u32 tgid, const struct py_runtime *rt,
		      const struct py_layout *layout)
{
	struct uwworld *w = arg;

	(void)layout;
	w->arrays.python = *rt;
	unwind_procs_python(&w->procs, tgid, 1);
}

static void is_v8(void *arg, u32 tgid, const struct v8_layout *layout)
{
	struct uwworld *w = arg;

	unwind_procs_code(&w->procs, tgid, (s8)(layout->fp_function / V8_WORD),
			  (u8)(layout->function_shared / V8_WORD));
}

static int read_exactly(void *arg, u32 tgid, u64 addr, void *buf, size_t n)
{
	(void)tgid;
	return uwworld_read(&((struct uwworld *)arg)->pid, addr, buf, (__u32)n);
}

static void no_symbol(void *arg, u32 tgid, u64 start, u64 end, struct slice name)
{
	(void)arg, (void)tgid, (void)start, (void)end, (void)name;
}

static void no_lines(void *arg, struct ev_lines *rec)
{
	(void)arg, (void)rec;
}

static void no_code(void *arg, struct ev_code *rec)
{
	(void)arg, (void)rec;
}

static const struct java_ops java_ops = { .read = read_exactly,
					  .send = send_table,
					  .bind = bind_mapping,
					  .symbol = no_symbol,
					  .lines = no_lines,
					  .code = no_code };

static void is_java(void *arg, u32 tgid, const struct jvm_file *f, u64 bias)
{
	java_process(((struct uwworld *)arg)->java, tgid, f, bias);
}

static const struct unwind_ops unwind_ops = { .java = is_java,
					      .python = is_python,
					      .v8 = is_v8,
					      .open = open_mapped,
					      .send = send_table,
					      .bind = bind_mapping };

static int open_for_sym(void *arg, u32 tgid, const struct sym_mapping *m)
{
	(void)arg;
	return procfs_open_mapping(tgid, m->start, m->end, m->path, m->inode);
}

static int no_kallsyms(void *arg)
{
	(void)arg;
	return -ENOENT;
}

static const struct sym_ops sym_ops = { .open_mapping = open_for_sym,
					.open_kallsyms = no_kallsyms };

/* As user/load/unwinder.c tells code of files from other code. */
static bool has_file(struct slice path)
{
	return path.n && (*path.p == '/' || slice_eq(path, SLICE("[vdso]"))) &&
	       !slice_starts(path, SLICE("//anon"));
}

static int on_mapping(void *arg, const struct ev_mapping *ev, struct slice path)
{
	struct uwworld *w = arg;
	const struct unwind_mapping m = {
		.start = ev->start,
		.end = ev->end,
		.off = ev->file_off,
		.inode = ev->inode,
		.kind = has_file(path) ? UW_MAP_PENDING : UW_MAP_FP,
	};
	int err = unwind_procs_map(&w->procs, ev->hdr.tgid, &m, clock_mono_ns());

	if (err)
		return err;
	unwind_mapping(w->manager, ev, path);
	sym_add_mapping(w->sym, ev, path);
	return 0;
}

int uwworld_learn_more(struct uwworld *w)
{
	int err = procfs_exec_mappings(w->pid, 0, on_mapping, w);

	if (err)
		return err;
	while (unwind_busy(w->manager))
		unwind_work(w->manager);
	while (java_busy(w->java, clock_mono_ns()))
		java_work(w->java);
	unwind_procs_publish(&w->procs, clock_mono_ns(), true);
	return w->proc.n ? 0 : -ESRCH;
}

int uwworld_learn(struct uwworld *w, u32 pid)
{
	int err = uwworld_init(w, ROWS, PAGES, MAPS);

	w->pid = pid;
	if (!err)
		err = unwind_new(&w->manager, &unwind_ops, w, NULL);
	if (!err)
		err = java_new(&w->java, &java_ops, w);
	if (!err)
		err = sym_new(&w->sym, &sym_ops, w);
	return err ? err : uwworld_learn_more(w);
}

int uwworld_stop(pid_t tid, struct user_regs_struct *ret)
{
	int status;

	if (ptrace(PTRACE_SEIZE, tid, NULL, NULL) || ptrace(PTRACE_INTERRUPT, tid, NULL, NULL))
		return -ESRCH;
	/* What it was about to be told otherwise is passed on. */
	do
		if (waitpid(tid, &status, __WALL) != tid || !WIFSTOPPED(status))
			return -ESRCH;
	while (status >> 16 != PTRACE_EVENT_STOP &&
	       !ptrace(PTRACE_CONT, tid, NULL, (void *)(long)WSTOPSIG(status)));
	if (ptrace(PTRACE_GETREGS, tid, NULL, ret))
		return -ESRCH;
	return 0;
}

void uwworld_go(pid_t tid)
{
	ptrace(PTRACE_DETACH, tid, NULL, NULL);
}

int uwworld_read(void *arg, __u64 at, void *dst, __u32 n)
{
	struct iovec to = { dst, n }, from = { (void *)(uintptr_t)at, n };

	return process_vm_readv((pid_t) * (u32 *)arg, &to, 1, &from, 1, 0) == (ssize_t)n ? 0
											 : -EFAULT;
}

void uwworld_walk(struct uwworld *w, const struct user_regs_struct *regs, bool python,
		  struct uwk_stack *ret)
{
	struct uw_proc proc = w->proc;

	if (!python)
		proc.python = 0;
	uwk_walk(&w->arrays, &proc, (const unsigned long *)regs, uwworld_read, &w->pid, ret);
}
