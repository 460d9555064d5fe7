/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pystack PID: finds the interpreter of a process as hostprof does, then for every line on standard
 * input prints the Python stacks of all its threads, which have to be stopped:
 *
 *	thread THREAD frames N loops N lost N
 *	NAME <tab> FILE <tab> LINE <tab> FIRST-LINE
 *
 * and "end". test_frames.py compares it with what the interpreter says of itself. Thread pointers are
 * taken by ptrace, which only this test may: in the kernel they are in the task.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/types.h"
#include "unwind/pycode.h"
#include "unwind/python.h"
#include "walk.h"

#define LINE_BYTES (64 * 1024)

static u32 target;

static int read_process(void *arg, u64 addr, void *buf, size_t n)
{
	struct iovec to = { buf, n }, from = { (void *)addr, n };

	(void)arg;
	return process_vm_readv((pid_t)target, &to, 1, &from, 1, 0) == (ssize_t)n ? 0 : -EFAULT;
}

long pywalk_read_user(__u32 tgid, void *dst, __u32 n, __u64 src)
{
	int err = read_process(NULL, src, dst, n);

	(void)tgid;
	if (err)
		memset(dst, 0, n); /* as the kernel does */
	return err;
}

/* The first mapping whose file holds an interpreter. */
static int find_interpreter(struct py_file *ret, struct py_runtime *ret_rt)
{
	char path[64], line[LINE_BYTES];
	_fclose_ FILE *maps = NULL;

	snprintf(path, sizeof(path), "/proc/%u/maps", target);
	maps = fopen(path, "re");
	if (!maps)
		return -errno;
	while (fgets(line, sizeof(line), maps)) {
		u64 start, end, off, vaddr;
		char perms[5], *file = strchr(line, '/');
		struct elf_src src;
		_close_ int fd = -1;
		struct elf elf;

		if (!file ||
		    sscanf(line, "%" SCNx64 "-%" SCNx64 " %4s %" SCNx64, &start, &end, perms,
			   &off) != 4 ||
		    perms[2] != 'x')
			continue;
		file[strcspn(file, "\n")] = '\0';
		fd = open(file, O_RDONLY | O_CLOEXEC);
		if (fd < 0 || elf_src_fd(&src, fd) || py_file_read(&src, slice_str(file), ret))
			continue;
		if (elf_open(&elf, &src) || elf_off_to_vaddr(&elf, off, &vaddr, NULL))
			continue;
		py_file_place(ret, start - vaddr, ret_rt);
		printf("python %x %s loop %" PRIx64 "+%" PRIu64 " cold %" PRIu64 "\n", ret->hex,
		       file, (u64)ret->loop[0].start, (u64)(ret->loop[0].end - ret->loop[0].start),
		       (u64)(ret->loop[1].end - ret->loop[1].start));
		return 0;
	}
	return -ENOENT;
}

static void print_frame(const struct py_file *f, const struct ev_frame *frame)
{
	u32 check = frame->check[0] | frame->check[1] << 8 | (u32)frame->check[2] << 16;
	struct pycode code;
	int err = pycode_get(&f->layout, frame->addr, read_process, NULL, &code);

	if (err || code.check != check)
		printf("?%d check %x\t\t0\t0\n", err, check);
	else if (!code.hidden)
		printf("%s\t%s\t%u\t%u\n", code.name.p ? code.name.p : "",
		       code.file.p ? code.file.p : "", pycode_line(&code, frame->extra),
		       code.first_line);
	pycode_release(&code);
}

static void print_thread(const struct py_file *f, u64 thread)
{
	static struct ev_frame frames[WALK_FRAMES];
	u32 i, n, loops;
	__u64 lost;

	n = pywalk_thread(thread, frames, &loops, &lost);
	printf("thread %" PRIu64 " frames %u loops %u lost %" PRIu64 "\n", thread, n, loops,
	       (u64)lost);
	for (i = 0; i < n; i++)
		print_frame(f, &frames[i]);
}

/* The fs base of a stopped thread; 0 = it is gone. */
static u64 thread_pointer(long tid)
{
	struct user_regs_struct regs = { 0 };
	int status;

	if (ptrace(PTRACE_SEIZE, (pid_t)tid, 0, 0))
		return 0;
	if (waitpid((pid_t)tid, &status, __WALL) == tid && WIFSTOPPED(status))
		ptrace(PTRACE_GETREGS, (pid_t)tid, 0, &regs);
	ptrace(PTRACE_DETACH, (pid_t)tid, 0, 0);
	return regs.fs_base;
}

static void print_threads(const struct py_file *f)
{
	char path[64];
	struct dirent *e;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%u/task", target);
	dir = opendir(path);
	while (dir && (e = readdir(dir))) {
		u64 thread = *e->d_name == '.' ? 0 : thread_pointer(strtol(e->d_name, NULL, 10));

		if (thread)
			print_thread(f, thread);
	}
	if (dir)
		closedir(dir);
}

int main(int argc, char **argv)
{
	struct py_runtime rt;
	char line[LINE_BYTES];
	struct py_file file;
	int err;

	if (argc != 2)
		return 2;
	target = (u32)strtoul(argv[1], NULL, 10);
	err = find_interpreter(&file, &rt);
	if (err) {
		printf("none %s %x\n", strerror(-err), file.hex);
		return 1;
	}
	pywalk_process(target, &rt);
	fflush(stdout);
	while (fgets(line, sizeof(line), stdin)) {
		print_threads(&file);
		puts("end");
		fflush(stdout);
	}
	return 0;
}
