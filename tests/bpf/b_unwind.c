/* SPDX-License-Identifier: Apache-2.0 */
/*
 * User stacks, walked in the kernel by unwind tables, of a program whose call path is known wherever it is
 * sampled (tests/workloads/callpath.cc, compiled without frame pointers): nearly every sample must have
 * exactly that path, to the thread's first function. Reaching it by a wrong way does not count.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "load/load.h"
#include "load/procfs.h"
#include "load/unwinder.h"
#include "sym/sym.h"
#include "unwind/unwind.h"

#define SAMPLES 1000
#define HZ 997
#define LIMIT_NS (120 * NSEC_PER_SEC) /* an emulated processor is slow */

static char where[4096]; /* directory of this program and of the workloads */

struct world {
	pid_t pid;
	FILE *said; /* by the workload */
	char path[1024];
	struct probes *p;
	struct unwinder *kernel;
	struct unwind *manager;
	struct sym *sym;
	struct {
		struct ev_sample ev;
		struct ev_frame f[HP_STACK_MAX + UW_ENTRIES_MAX];
	} * v;
	u32 n;
};

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

static int open_for_tables(void *arg, const struct unwind_request *m)
{
	(void)arg;
	return procfs_open_mapping(m->tgid, m->start, m->end, m->path, m->inode);
}

static int send_table(void *arg, int fd)
{
	return unwinder_table(((struct world *)arg)->kernel, fd);
}

static int bind_mapping(void *arg, const struct unwind_request *m)
{
	const struct chan_request req = {
		.type = CHAN_UNWIND_MAP,
		.tgid = m->tgid,
		.start = m->start,
		.end = m->end,
		.inode = m->inode,
		.bias = m->bias,
		.table = m->table,
		.flags = m->flags,
		.word = m->word,
	};

	return unwinder_bind(((struct world *)arg)->kernel, &req);
}

static const struct unwind_ops unwind_ops = { .open = open_for_tables,
					      .send = send_table,
					      .bind = bind_mapping };

static int on_mapping(void *arg, const struct ev_mapping *m, struct slice path)
{
	struct world *w = arg;

	unwinder_mapping(w->kernel, m, path);
	unwind_mapping(w->manager, m, path);
	return sym_add_mapping(w->sym, m, path);
}

static int on_record(void *arg, const void *rec, size_t size)
{
	const struct ev_hdr *hdr = rec;
	struct world *w = arg;

	if (hdr->kind == EV_SAMPLE && w->n < SAMPLES) {
		assert_true(size <= sizeof(w->v[0]));
		memcpy(&w->v[w->n++], rec, hdr->size);
	}
	return 0;
}

static void start(struct world *w, const char *program, const char *kind)
{
	char file[4200];
	int fds[2];

	snprintf(file, sizeof(file), "%s/%s", where, program);
	assert_int_equal(pipe(fds), 0);
	w->pid = fork();
	assert_true(w->pid >= 0);
	if (!w->pid) {
		dup2(fds[1], 1);
		execl(file, program, kind, NULL);
		_exit(127);
	}
	close(fds[1]);
	w->said = fdopen(fds[0], "r");
	assert_non_null(fgets(w->path, sizeof(w->path), w->said));
	w->path[strcspn(w->path, "\n")] = '\0';
}

static void sample(struct world *w)
{
	const struct probes_opts opts = { .sample_hz = HZ };
	u64 end = clock_mono_ns() + LIMIT_NS;
	const struct timespec wait = { .tv_nsec = 20 * NSEC_PER_MSEC };
	struct probes_error err;

	w->v = calloc(SAMPLES, sizeof(*w->v));
	assert_non_null(w->v);
	assert_int_equal(probes_open(&w->p, &opts, &err), 0);
	w->kernel = probes_unwinder(w->p);
	assert_non_null(w->kernel);
	assert_int_equal(sym_new(&w->sym, &sym_ops, w), 0);
	assert_int_equal(unwind_new(&w->manager, &unwind_ops, w, NULL), 0);
	assert_int_equal(procfs_exec_mappings((u32)w->pid, 0, on_mapping, w), 0);
	assert_true(unwinder_pending(w->kernel) > 0);
	while (unwind_busy(w->manager))
		unwind_work(w->manager);
	assert_int_equal(unwinder_pending(w->kernel), 0);
	unwinder_publish(w->kernel, true);
	assert_int_equal(probes_add_target(w->p, (u32)w->pid, 0), 0);
	assert_int_equal(probes_attach(w->p, &err), 0);
	while (w->n < SAMPLES && clock_mono_ns() < end) {
		nanosleep(&wait, NULL);
		assert_true(probes_drain(w->p, on_record, w) >= 0);
	}
	probes_detach(w->p);
}

static void stop(struct world *w)
{
	kill(w->pid, SIGKILL);
	waitpid(w->pid, NULL, 0);
	fclose(w->said);
	unwind_free(w->manager);
	sym_free(w->sym);
	probes_free(w->p);
	free(w->v);
}

/* The C library's and the compiler's: which ones there are is their affair. */
static bool is_runtime(struct slice name)
{
	static const char *const starts[] = { "__",	"_start",   "start_thread",
					      "clone3", "_Unwind_", "_dl_" };
	u32 i;

	for (i = 0; i < ARRAY_SIZE(starts); i++)
		if (slice_starts(name, slice_str(starts[i])))
			return true;
	return memchr(name.p, '@', name.n);
}

/* Names of the user frames, outermost first, without those of the runtime. */
static void names_of(struct world *w, u32 at, struct buf *out, struct buf *first)
{
	const struct ev_frame *f = w->v[at].f;
	struct sym_name name;
	u32 i;

	buf_clear(out);
	buf_clear(first);
	for (i = w->v[at].ev.nframes; i-- > 0;) {
		if (f[i].kind != HP_FRAME_NATIVE)
			continue;
		sym_resolve(w->sym, (u32)w->pid, f[i].addr - !(f[i].extra & HP_FRAME_EXACT), &name);
		if (!first->n)
			buf_add(first, name.name.p, name.name.n);
		if (is_runtime(name.name))
			continue;
		if (out->n)
			buf_addch(out, ' ');
		/* The part of a function that seldom runs. */
		if (slice_ends(name.name, SLICE(".cold")))
			name.name.n -= 5;
		buf_add(out, name.name.p, name.name.n);
	}
	buf_addch(out, '\0');
	buf_addch(first, '\0');
	assert_false(out->oom || first->oom);
}

/* The path, or where it has got to so far. */
static bool is_prefix(const char *path, const char *names)
{
	size_t n = strlen(names);

	return n && !strncmp(path, names, n) && (path[n] == ' ' || !path[n]);
}

static void remove_word(char *text, const char *word)
{
	char *p = strstr(text, word);

	if (p)
		memmove(p, p + strlen(word), strlen(p + strlen(word)) + 1);
}

static void known(const char *program, const char *kind, const char *first_name)
{
	_release_(buf) struct buf names = BUF_INIT, first = BUF_INIT;
	u32 i, right = 0, whole = 0, deepest = 0, shown = 0;
	struct world w = { 0 };

	start(&w, program, kind);
	remove_word(w.path, "__restore_rt ");
	sample(&w);
	assert_true(w.n >= SAMPLES / 4);
	for (i = 0; i < w.n; i++) {
		bool ok;

		assert_int_equal(w.v[i].ev.unwind, HP_UNWIND_TABLES);
		names_of(&w, i, &names, &first);
		ok = w.v[i].ev.stop == UW_STOP_END && is_prefix(w.path, names.p) &&
		     (!first_name || !strcmp(first.p, first_name));
		whole += w.v[i].ev.stop == UW_STOP_END;
		right += ok;
		deepest += !strcmp(names.p, w.path);
		if (!ok && shown++ < 5)
			print_message("%s %s: stop %u, from %s: %s\n", program, kind,
				      w.v[i].ev.stop, first.p, names.p);
	}
	print_message("%s %s: %u samples, %u whole, %u right, %u in the innermost function\n",
		      program, kind, w.n, whole, right, deepest);
	stop(&w);
	assert_true(right * 1000ULL >= w.n * 999ULL);
	assert_true(deepest * 10 >= w.n * 9);
}

#define KNOWN(name, kind, first)                                                                   \
	static void name(void **state)                                                             \
	{                                                                                          \
		(void)state;                                                                       \
		known("callpath-pie", kind, first);                                                \
		known("callpath-static", kind, first);                                             \
	}

KNOWN(t_deep, "deep", "_start")
KNOWN(t_signal, "trap", "_start")
KNOWN(t_exception, "throw", "_start")
KNOWN(t_in_kernel, "calls", "_start")
KNOWN(t_thread, "thread", NULL)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(t_deep),      cmocka_unit_test(t_signal),
		cmocka_unit_test(t_exception), cmocka_unit_test(t_in_kernel),
		cmocka_unit_test(t_thread),
	};

	(void)argc;
	snprintf(where, sizeof(where), "%s", dirname(argv[0]));
	return cmocka_run_group_tests_name("b_unwind", tests, NULL, NULL);
}
