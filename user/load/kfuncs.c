/* SPDX-License-Identifier: Apache-2.0 */
/* See kfuncs.h. Reading the kernel's type information takes tens of milliseconds: once for all who ask. */
#include "load/kfuncs.h"

#include <bpf/btf.h>
#include <errno.h>

static struct btf *table;

struct btf *kernel_btf(void)
{
	if (!table)
		table = btf__load_vmlinux_btf();
	return table;
}

int kfunc_id(const char *name)
{
	const struct btf *btf = kernel_btf();
	int id = btf ? btf__find_by_name_kind(btf, name, BTF_KIND_FUNC) : -ENOENT;

	return id < 0 ? -ENOENT : id;
}

int kfunc_nargs(const char *name)
{
	const struct btf *btf = kernel_btf();
	const struct btf_type *func, *proto;
	int id = kfunc_id(name);

	if (id < 0)
		return -ENOENT;
	func = btf__type_by_id(btf, (u32)id);
	proto = func ? btf__type_by_id(btf, func->type) : NULL;
	return proto ? btf_vlen(proto) : -ENOENT;
}

bool kfunc_known(const char *name, u32 nargs)
{
	int n = kfunc_nargs(name);

	return n >= 0 && (!nargs || (u32)n == nargs);
}

void kfuncs_release(void)
{
	btf__free(table);
	table = NULL;
}
