/* SPDX-License-Identifier: Apache-2.0 */
/* See libdw.h. Registers are numbered as in the System V ABI for AMD64, figure 3.36. */
#include <elfutils/libdw.h>
#include <elfutils/libdwfl.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libdw.h"

#define DW_REGS 17

struct dwstacks {
	Dwfl *dwfl;
	char *debug;
	char *exe; /* the program's name, which `debug` belongs to */
	u32 pid;
	/* of the walk under way */
	const struct user_regs_struct *regs;
	uwk_read_fn *read;
	void *arg;
	struct dwstack *out;
	bool ended, cut; /* see after_go() */
};

/* What find_debug() below has to go by: libdw hands it no argument of the caller's. */
static struct dwstacks *making;

static int find_debug(Dwfl_Module *mod, void **user, const char *name, Dwarf_Addr base,
		      const char *file, const char *link, GElf_Word crc, char **ret)
{
	struct dwstacks *d = making;

	(void)mod;
	(void)user;
	(void)name;
	(void)base;
	(void)link;
	(void)crc;
	if (!d || !d->debug || !file || strcmp(file, d->exe))
		return -1;
	*ret = NULL;
	return open(d->debug, O_RDONLY | O_CLOEXEC);
}

static const Dwfl_Callbacks callbacks = {
	.find_elf = dwfl_linux_proc_find_elf,
	.find_debuginfo = find_debug,
};

static pid_t next_thread(Dwfl *dwfl, void *arg, void **ret)
{
	pid_t first = *ret ? 0 : dwfl_pid(dwfl);

	*ret = arg;
	return first;
}

static bool get_thread(Dwfl *dwfl, pid_t tid, void *arg, void **ret)
{
	(void)dwfl;
	(void)tid;
	*ret = arg;
	return true;
}

static bool memory_read(Dwfl *dwfl, Dwarf_Addr at, Dwarf_Word *ret, void *arg)
{
	struct dwstacks *d = arg;

	(void)dwfl;
	return !d->read(d->arg, at, ret, sizeof(*ret));
}

static bool set_registers(Dwfl_Thread *thread, void *arg)
{
	const struct user_regs_struct *r = ((struct dwstacks *)arg)->regs;
	const Dwarf_Word v[DW_REGS] = { r->rax, r->rdx, r->rcx, r->rbx, r->rsi, r->rdi,
					r->rbp, r->rsp, r->r8,	r->r9,	r->r10, r->r11,
					r->r12, r->r13, r->r14, r->r15, r->rip };

	return dwfl_thread_state_registers(thread, 0, DW_REGS, v);
}

static const Dwfl_Thread_Callbacks threads = {
	.next_thread = next_thread,
	.get_thread = get_thread,
	.memory_read = memory_read,
	.set_initial_registers = set_registers,
};

static int make(struct dwstacks *d)
{
	char link[64], path[4096];
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/%u/exe", d->pid);
	n = readlink(link, path, sizeof(path) - 1);
	if (n < 0)
		return -ESRCH;
	path[n] = '\0';
	d->exe = strdup(path);
	d->dwfl = dwfl_begin(&callbacks);
	if (!d->exe || !d->dwfl)
		return -ENOMEM;
	dwfl_report_begin(d->dwfl);
	if (dwfl_linux_proc_report(d->dwfl, (pid_t)d->pid) ||
	    dwfl_report_end(d->dwfl, NULL, NULL) ||
	    !dwfl_attach_state(d->dwfl, NULL, (pid_t)d->pid, &threads, d))
		return -ESRCH;
	return 0;
}

int dwstacks_new(struct dwstacks **ret, u32 pid, const char *debug)
{
	struct dwstacks *d = calloc(1, sizeof(*d));
	int err;

	if (!d)
		return -ENOMEM;
	d->pid = pid;
	d->debug = debug ? strdup(debug) : NULL;
	making = d;
	err = make(d);
	if (err) {
		dwstacks_free(d);
		return err;
	}
	*ret = d;
	return 0;
}

void dwstacks_free(struct dwstacks *d)
{
	if (!d)
		return;
	if (d->dwfl)
		dwfl_end(d->dwfl);
	free(d->debug);
	free(d->exe);
	free(d);
}

static bool covers(Dwarf_CFI *cfi, Dwarf_Addr at)
{
	Dwarf_Frame *frame = NULL;

	if (!cfi || dwarf_cfi_addrframe(cfi, at, &frame))
		return false;
	free(frame);
	return true;
}

static bool has_cfi(Dwfl *dwfl, u64 pc)
{
	Dwfl_Module *mod = dwfl_addrmodule(dwfl, pc);
	Dwarf_Addr eh_bias = 0, bias = 0;
	Dwarf_CFI *eh, *debug;

	if (!mod)
		return false;
	eh = dwfl_module_eh_cfi(mod, &eh_bias);
	debug = dwfl_module_dwarf_cfi(mod, &bias);
	return covers(eh, pc - eh_bias) || covers(debug, pc - bias);
}

/* Go's own debug information says of no function that it is the outermost, or switches stacks. */
static bool is_one_of(const char *name, const char *const *list, u32 n)
{
	u32 i;

	for (i = 0; name && i < n; i++) {
		size_t len = strlen(list[i]);

		/* Behind a dot is which way of passing arguments it has. */
		if (!strncmp(name, list[i], len) && (!name[len] || name[len] == '.'))
			return true;
	}
	return false;
}

static const char *const go_first[] = { "runtime.goexit", "runtime.mstart", "runtime.rt0_go",
					"_rt0_amd64_linux", "runtime.mcall" };
static const char *const go_switch[] = { "runtime.systemstack", "runtime.mcall",
					 "runtime.morestack",	"runtime.asmcgocall",
					 "runtime.gogo",	"runtime.nanotime1",
					 "runtime.walltime",	"time.now",
					 "runtime.sigtramp",	"runtime.sigreturn" };

/* By the names in d->debug, what is not known of a Go program's frames is left out. */
static int after_go(struct dwstacks *d, const char *name)
{
	struct dwstack *out = d->out;

	if (is_one_of(name, go_switch, ARRAY_SIZE(go_switch)) && out->by_cfi == out->n) {
		out->by_cfi--;
		d->cut = true;
	}
	if (!is_one_of(name, go_first, ARRAY_SIZE(go_first)))
		return DWARF_CB_OK;
	d->ended = true;
	return DWARF_CB_ABORT;
}

static int on_frame(Dwfl_Frame *frame, void *arg)
{
	struct dwstacks *d = arg;
	struct dwstack *out = d->out;
	Dwfl_Module *mod;
	Dwarf_Addr pc, at;
	bool exact;

	if (!dwfl_frame_pc(frame, &pc, &exact) || out->n == ARRAY_SIZE(out->pc))
		return DWARF_CB_ABORT;
	at = pc;
	if (!exact)
		at--;
	if (out->by_cfi == out->n && !d->cut && has_cfi(d->dwfl, at))
		out->by_cfi++;
	out->pc[out->n++] = pc;
	if (!d->debug || !(mod = dwfl_addrmodule(d->dwfl, at)))
		return DWARF_CB_OK;
	return after_go(d, dwfl_module_addrname(mod, at));
}

void dwstacks_walk(struct dwstacks *d, const struct user_regs_struct *regs, uwk_read_fn *read,
		   void *arg, struct dwstack *ret)
{
	memset(ret, 0, sizeof(*ret));
	making = d;
	d->regs = regs;
	d->read = read;
	d->arg = arg;
	d->out = ret;
	d->ended = d->cut = false;
	ret->whole = !dwfl_getthread_frames(d->dwfl, (pid_t)d->pid, on_frame, d) || d->ended;
	if (!ret->whole)
		ret->why = dwfl_errmsg(-1);
}
