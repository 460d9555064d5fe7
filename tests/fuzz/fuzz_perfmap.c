/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as a perf map that grows: the first byte says where the input is cut in two, both parts are
 * read one after the other. Whatever they hold, entries are sorted and disjoint, and a reading of the
 * whole at once finds the same names.
 */
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>
#include "base/file.h"
#include "sym/perfmap.h"
#include "sym/sym.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

#define MUST(x)                                                                                    \
	do {                                                                                       \
		if (!(x))                                                                          \
			abort();                                                                   \
	} while (0)

static void check(const struct perfmap *m)
{
	char name[SYM_NAME_MAX + 1];
	u64 lo, hi;
	u32 i;

	for (i = 0; i < m->n; i++) {
		const struct perfmap_entry *e = &m->entries[i];

		MUST(e->start < e->end);
		MUST(!i || m->entries[i - 1].end <= e->start);
		MUST(perfmap_find(m, e->start, &lo, &hi) == e);
		MUST(perfmap_find(m, e->end - 1, &lo, &hi) == e);
		MUST(lo == e->start && hi == e->end);
		MUST(perfmap_name(m, e, name, sizeof(name)) <= SYM_NAME_MAX);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct perfmap parts, whole;
	size_t cut;
	u32 i;
	int fd;

	if (!n)
		return 0;
	cut = (n - 1) * data[0] / 255;
	fd = memfd_create("perf.map", MFD_CLOEXEC);
	MUST(fd >= 0);
	perfmap_init(&parts);
	perfmap_init(&whole);
	MUST(!fd_write_all(fd, data + 1, cut));
	MUST(!perfmap_update(&parts, dup(fd)));
	check(&parts);
	MUST(!fd_write_all(fd, data + 1 + cut, n - 1 - cut));
	MUST(!perfmap_update(&parts, dup(fd)));
	MUST(!perfmap_update(&whole, fd));
	check(&whole);
	MUST(parts.n == whole.n);
	for (i = 0; i < whole.n; i++)
		MUST(!memcmp(&parts.entries[i], &whole.entries[i], sizeof(*whole.entries)));
	perfmap_release(&parts);
	perfmap_release(&whole);
	return 0;
}
