/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See caps.h. By the system calls themselves (capget(2), capset(2), prctl(2)): a library for three
 * numbers would be one more thing to install. Input: the kernel's sets of this thread; hostprof has
 * one thread wherever these are called. Output: sets, words, and fewer capabilities.
 */
#include "base/caps.h"

#include <errno.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/buf.h"

#define SPLIT_FROM_ADMIN (CAP_BIT(BPF) | CAP_BIT(PERFMON) | CAP_BIT(CHECKPOINT_RESTORE))

static const struct {
	int nr;
	const char *name;
} names[] = {
	{ CAP_BPF, "CAP_BPF" },
	{ CAP_PERFMON, "CAP_PERFMON" },
	{ CAP_SYS_PTRACE, "CAP_SYS_PTRACE" },
	{ CAP_DAC_READ_SEARCH, "CAP_DAC_READ_SEARCH" },
	{ CAP_CHECKPOINT_RESTORE, "CAP_CHECKPOINT_RESTORE" },
	{ CAP_SYSLOG, "CAP_SYSLOG" },
	{ CAP_SYS_ADMIN, "CAP_SYS_ADMIN" },
};

u64 caps_effective(void)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2] = { 0 };

	if (syscall(SYS_capget, &head, data))
		return 0;
	return data[0].effective | (u64)data[1].effective << 32;
}

u64 caps_lacking(u64 have, u64 wanted)
{
	if (have & CAP_BIT(SYS_ADMIN))
		have |= SPLIT_FROM_ADMIN;
	return wanted & ~have;
}

void caps_name(u64 set, struct buf *out)
{
	const char *between = "";
	size_t i;

	for (i = 0; i < ARRAY_SIZE(names); i++) {
		if (!(set >> names[i].nr & 1))
			continue;
		set &= ~(1ULL << names[i].nr);
		buf_addf(out, "%s%s", between, names[i].name);
		between = set & (set - 1) ? ", " : " and ";
	}
}

int caps_drop(void)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct none[2] = { 0 };

	if (!geteuid())
		return 0;
	/* The ambient set goes with the permitted one. */
	return syscall(SYS_capset, &head, none) ? -errno : 0;
}
