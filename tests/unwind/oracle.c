/* SPDX-License-Identifier: Apache-2.0 */
/*
 * oracle [--debug FILE] [--record FILE --keep N [--python yes]] COUNT PID…
 *
 * Stops threads of running processes, one at a time, COUNT times in all, and walks each one's stack twice:
 * with the programs' own walk over tables made of the process's files, and with libdw. For each stack that
 * is not equal frame by frame it prints
 *
 *	differ KIND FRAME STOP OURS LIBDW ABOVE WHY
 *
 * (names of the first frame that is not, as each has it, and of the one before it), at last a line of
 * counts. test_oracle.py starts the processes and puts them under load, and says what is to be expected.
 *
 * Equal means: the same addresses, from the innermost to the outermost frame, which both say is the
 * outermost. Where libdw has no call frame information for a frame (code compiled at run time) the
 * stacks are equal up to that frame and with it, and counted as "short": behind it nobody can tell.
 */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "image.h"
#include "libdw.h"
#include "uwworld.h"

#define THREADS_MAX 1024
#define MAPS_BYTES (16U << 20)
#define SHAPES 64

struct process {
	struct uwworld world;
	struct dwstacks *dw;
	u64 files, code; /* hashes of its mappings of programs, and of all code */
	u32 pid;
	bool gone;
};

static struct {
	const char *debug, *record;
	u32 keep;
	bool python;
	struct uwimage image;
	u64 shapes[SHAPES]; /* of the stacks that are in it */
	struct uw_proc proc;
	u64 seed;
	struct {
		u32 snapshots, equal, cut, whole, running, python, deepest;
		u64 frames;
	} n;
} o = { .seed = 88172645463325252ULL };

static u32 rnd(u32 n)
{
	o.seed ^= o.seed << 13;
	o.seed ^= o.seed >> 7;
	o.seed ^= o.seed << 17;
	return (u32)((o.seed >> 20) % n);
}

/* What is mapped, of code. */
static int hash_code(u32 pid, u64 *ret_files, u64 *ret_code)
{
	_release_(buf) struct buf maps = BUF_INIT;
	char path[64], *line, *rest;
	int err;

	snprintf(path, sizeof(path), "/proc/%u/maps", pid);
	err = file_read(path, &maps, MAPS_BYTES);
	if (err)
		return err;
	*ret_files = *ret_code = 1;
	rest = maps.p;
	while ((line = strsep(&rest, "\n"))) {
		const char *perms = strchr(line, ' ');

		if (!perms || perms[3] != 'x')
			continue;
		*ret_code = hash_bytes(line, strlen(line), *ret_code);
		if (strchr(line, '/') || strstr(line, "[vdso]"))
			*ret_files = hash_bytes(line, strlen(line), *ret_files);
	}
	return maps.n ? 0 : -ESRCH;
}

/* Both unwinders know what the process has mapped now. */
static int refresh(struct process *p)
{
	u64 files, code;
	int err = hash_code(p->pid, &files, &code);

	if (err)
		return err;
	if (!p->code)
		err = uwworld_learn(&p->world, p->pid);
	else if (code != p->code)
		err = uwworld_learn_more(&p->world);
	if (!err && files != p->files) {
		dwstacks_free(p->dw);
		p->dw = NULL;
		err = dwstacks_new(&p->dw, p->pid, o.debug);
	}
	p->files = files;
	p->code = code;
	return err;
}

static bool runs(u32 pid, long tid)
{
	_release_(buf) struct buf stat = BUF_INIT;
	const char *end;
	char path[64];

	snprintf(path, sizeof(path), "/proc/%u/task/%ld/stat", pid, tid);
	if (file_read(path, &stat, 4096) || !stat.p)
		return false;
	end = strrchr(stat.p, ')');
	return end && end[1] && end[2] == 'R';
}

/* One of its threads; when `busy`, one that runs, if there is one. 0: the process is gone. */
static pid_t choose(u32 pid, bool busy)
{
	long tids[THREADS_MAX];
	u32 n = 0, at, i;
	struct dirent *e;
	char path[64];
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%u/task", pid);
	dir = opendir(path);
	while (dir && n < THREADS_MAX && (e = readdir(dir)))
		if (*e->d_name != '.')
			tids[n++] = strtol(e->d_name, NULL, 10);
	if (dir)
		closedir(dir);
	if (!n)
		return 0;
	at = rnd(n);
	for (i = 0; busy && i < n; i++)
		if (runs(pid, tids[(at + i) % n]))
			return (pid_t)tids[(at + i) % n];
	return (pid_t)tids[at];
}

static void print_name(struct process *p, u64 addr, bool exact)
{
	struct sym_name name;

	sym_resolve(p->world.sym, p->pid, addr - !exact, &name);
	printf("\t%.*s", (int)name.name.n, name.name.p);
	if (name.quality != SYM_FDE)
		printf("@%.*s+%llx", (int)name.module.n, name.module.p,
		       (unsigned long long)(addr - name.start));
}

/* How many frames from the innermost one on are equal; *ret_cut: as many as can be compared. */
static const char *compare(const struct uwk_stack *ours, const struct dwstack *theirs, u32 *ret_n)
{
	u32 n = 0;

	while (n < ours->n && n < theirs->n && ours->frames[n].addr == theirs->pc[n])
		n++;
	*ret_n = n;
	if (n > theirs->by_cfi)
		return NULL;
	if (n < ours->n && n < theirs->n)
		return "another";
	if (n < theirs->n)
		return "ours-short";
	if (n < ours->n)
		return "libdw-short";
	if (theirs->whole != (ours->stop == UW_STOP_END))
		return "end";
	return NULL;
}

static void say(struct process *p, const char *kind, u32 at, const struct uwk_stack *ours,
		const struct dwstack *theirs)
{
	const struct ev_frame *f = ours->frames;

	printf("differ\t%s\t%u\t%u", kind, at, ours->stop);
	if (at < ours->n)
		print_name(p, f[at].addr, f[at].extra & HP_FRAME_EXACT);
	else
		printf("\t-");
	if (at < theirs->n)
		print_name(p, theirs->pc[at], at < ours->n && f[at].extra & HP_FRAME_EXACT);
	else
		printf("\t-");
	if (at)
		print_name(p, f[at - 1].addr, f[at - 1].extra & HP_FRAME_EXACT);
	else
		printf("\t-");
	printf("\t%s\n", theirs->whole ? "" : theirs->why);
}

/* Kept when no stack from the same instruction through the same functions is there yet. */
static void record(struct process *p, struct uwimage_snapshot *s, u32 agreed)
{
	u64 shape = hash_u64(s->native.frames[0].addr);
	struct sym_name name;
	u32 i;

	for (i = 0; i < s->native.n; i++) {
		const struct ev_frame *f = &s->native.frames[i];

		sym_resolve(p->world.sym, p->pid, f->addr - !(f->extra & HP_FRAME_EXACT), &name);
		shape = hash_u64(shape ^ name.start);
	}
	for (i = 0; i < o.image.n; i++)
		if (o.shapes[i] == shape)
			return;
	s->agreed = agreed;
	o.proc = p->world.proc;
	if (!uwimage_add(&o.image, &p->world.arrays, &o.proc, s))
		o.shapes[o.image.n - 1] = shape;
}

static void compared(struct process *p, struct uwimage_snapshot *s, const struct dwstack *theirs)
{
	const char *kind;
	u32 n;

	kind = compare(&s->native, theirs, &n);
	o.n.snapshots++;
	o.n.equal += !kind;
	o.n.cut += !kind && n > theirs->by_cfi;
	o.n.whole += s->native.stop == UW_STOP_END;
	o.n.running += (long)s->regs[15] == -1;
	o.n.frames += n;
	o.n.deepest = MAX(o.n.deepest, s->native.n);
	if (kind)
		say(p, kind, n, &s->native, theirs);
	else if (o.record && o.image.n < o.keep)
		record(p, s, MIN(n, s->native.n));
}

/* Of a stopped thread. */
static void walk(struct process *p, const struct user_regs_struct *regs)
{
	struct uwworld *w = &p->world;
	struct uw_proc native = w->proc;
	struct uwimage_snapshot s = { 0 };
	struct dwstack theirs;

	memcpy(s.regs, regs, sizeof(s.regs));
	uwimage_memory_init(&s.memory, uwworld_read, &w->pid);
	native.python = 0;
	uwk_walk(&w->arrays, &native, s.regs, uwimage_memory_read, &s.memory, &s.native);
	if (o.python && w->proc.python) {
		uwk_walk(&w->arrays, &w->proc, s.regs, uwimage_memory_read, &s.memory, &s.mixed);
		o.n.python++;
	}
	dwstacks_walk(p->dw, regs, uwimage_memory_peek, &s.memory, &theirs);
	compared(p, &s, &theirs);
	uwimage_memory_release(&s.memory);
}

static void snapshot(struct process *p, bool busy)
{
	struct user_regs_struct regs;
	pid_t tid = choose(p->pid, busy);
	int err;

	if (!tid) {
		p->gone = true;
		return;
	}
	if (uwworld_stop(tid, &regs))
		return;
	err = refresh(p);
	if (!err)
		walk(p, &regs);
	p->gone = err != 0;
	uwworld_go(tid);
}

static bool take_args(int *argc, char ***argv)
{
	while (*argc > 2 && !strncmp((*argv)[1], "--", 2)) {
		const char *name = (*argv)[1], *value = (*argv)[2];

		if (!strcmp(name, "--debug"))
			o.debug = value;
		else if (!strcmp(name, "--record"))
			o.record = value;
		else if (!strcmp(name, "--python"))
			o.python = !strcmp(value, "yes");
		else if (!strcmp(name, "--keep"))
			o.keep = (u32)strtoul(value, NULL, 10);
		else
			return false;
		*argc -= 2;
		*argv += 2;
	}
	/* Numbers of pages are those of one world. */
	return *argc > 2 && o.keep <= SHAPES && (!o.record || *argc == 3);
}

int main(int argc, char **argv)
{
	struct process *p;
	u32 count, n, i, left, tries = 0;

	if (!take_args(&argc, &argv))
		return 2;
	count = (u32)strtoul(argv[1], NULL, 10);
	n = (u32)argc - 2;
	p = calloc(n, sizeof(*p));
	if (!p)
		return 1;
	for (i = 0; i < n; i++)
		p[i].pid = (u32)strtoul(argv[i + 2], NULL, 10);
	for (left = n; left && o.n.snapshots < count && tries < 10 * count; tries++) {
		struct timespec pause = { .tv_nsec = 100000 + rnd(1500000) };

		if (p[tries % n].gone)
			continue;
		snapshot(&p[tries % n], tries / n % 2);
		left -= p[tries % n].gone;
		nanosleep(&pause, NULL);
	}
	if (o.record && o.image.n && uwimage_write(&o.image, &p[0].world.arrays, o.record))
		fprintf(stderr, "oracle: '%s' cannot be written\n", o.record);
	printf("counts\t%u\t%u\t%u\t%u\t%u\t%u\t%u\t%llu\n", o.n.snapshots, o.n.equal, o.n.cut,
	       o.n.whole, o.n.running, o.n.python, o.n.deepest, (unsigned long long)o.n.frames);
	uwimage_release(&o.image);
	for (i = 0; i < n; i++) {
		if (p[i].code)
			uwworld_release(&p[i].world);
		dwstacks_free(p[i].dw);
	}
	free(p);
	return 0;
}
