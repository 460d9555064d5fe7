/* SPDX-License-Identifier: Apache-2.0 */
/* See hooks.h. Perf events are opened here, one a CPU. */
#include "load/hooks.h"

#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/perf_event.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"

static int keep(struct hooks *h, struct bpf_link *link)
{
	if (!link)
		return -errno;
	if (h->n == HOOKS_MAX) {
		bpf_link__destroy(link);
		return -E2BIG;
	}
	h->links[h->n++] = link;
	return 0;
}

int hooks_auto(struct hooks *h, struct bpf_program *prog)
{
	return keep(h, bpf_program__attach(prog));
}

int hooks_kprobe(struct hooks *h, struct bpf_program *prog, const char *func, bool at_return)
{
	return keep(h, bpf_program__attach_kprobe(prog, at_return, func));
}

int hooks_uprobe(struct hooks *h, struct bpf_program *prog, u32 tgid, int fd, u64 off)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return keep(h, bpf_program__attach_uprobe(prog, false, (pid_t)tgid, path, off));
}

static int perf_open(u32 hz, bool hw, int cpu)
{
	struct perf_event_attr attr = {
		.size = sizeof(attr),
		.type = hw ? PERF_TYPE_HARDWARE : PERF_TYPE_SOFTWARE,
		.config = hw ? (u64)PERF_COUNT_HW_CPU_CYCLES : (u64)PERF_COUNT_SW_CPU_CLOCK,
		.freq = 1,
		.sample_freq = hz,
	};
	int fd = (int)syscall(SYS_perf_event_open, &attr, -1, cpu, -1, PERF_FLAG_FD_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

int hooks_sample(struct hooks *h, struct bpf_program *prog, u32 hz, bool hw, u32 ncpus)
{
	u32 cpu;

	h->samplers = calloc(ncpus, sizeof(*h->samplers));
	if (!h->samplers)
		return -ENOMEM;
	for (cpu = 0; cpu < ncpus; cpu++) {
		int fd = perf_open(hz, hw, (int)cpu), err;

		if (fd == -ENODEV)
			continue; /* offline */
		if (fd < 0)
			return fd;
		/* The link owns the descriptor once attached. */
		h->samplers[h->nsamplers] = bpf_program__attach_perf_event(prog, fd);
		if (!h->samplers[h->nsamplers]) {
			err = -errno;
			close(fd);
			return err;
		}
		h->nsamplers++;
	}
	return h->nsamplers ? 0 : -ENODEV;
}

void hooks_release(struct hooks *h)
{
	sysprobes_detach(&h->sys);
	while (h->n)
		bpf_link__destroy(h->links[--h->n]);
	while (h->nsamplers)
		bpf_link__destroy(h->samplers[--h->nsamplers]);
	free(h->samplers);
	h->samplers = NULL;
}
