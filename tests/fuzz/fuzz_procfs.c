/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Procfs texts are partly the target's own words (comm, paths, command line). The first byte picks
 * the parser; what comes back must lie inside the input.
 */
#include <stdlib.h>
#include <string.h>
#include "base/procparse.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void inside(struct slice part, struct slice whole)
{
	if (part.n && (part.p < whole.p || part.p + part.n > whole.p + whole.n))
		abort();
}

static void fuzz_lines(struct slice text, uint8_t which)
{
	struct slice rest = text, line;
	struct proc_tcp tcp;
	struct proc_unix un;
	struct proc_map map;
	u64 inode;

	while (proc_next_line(&rest, &line)) {
		inside(line, text);
		if (which == 1 && !proc_parse_map(line, &map)) {
			if (map.start >= map.end)
				abort();
			inside(map.path, line);
		}
		if (which == 2)
			proc_parse_tcp(line, &tcp);
		if (which == 2 && !proc_parse_unix(line, &un))
			inside(un.path, line);
		if (which == 3)
			proc_parse_socket_link(line, &inode);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct slice text = slice_of(data + 1, n - 1);
	struct proc_program prog;
	struct proc_stat stat;
	struct slice value;
	char runtime[32];
	u64 num;

	if (!n)
		return 0;
	switch (*data % 8) {
	case 0:
		if (!proc_parse_stat(text, &stat) && strlen(stat.comm) > PROC_COMM_LEN)
			abort();
		break;
	case 1:
	case 2:
	case 3:
		fuzz_lines(text, *data % 8);
		break;
	case 4:
		if (!proc_field(text, "Tgid", &value))
			inside(value, text);
		proc_field_u64(text, "VmRSS", &num);
		proc_field_hex(text, "CapEff", &num);
		break;
	case 5:
		proc_parse_cmdline(text, &prog);
		inside(prog.argv0, text);
		inside(prog.script, text);
		proc_name_matches("uvi*", "comm", SLICE("/usr/bin/python3"), text);
		break;
	case 6:
		inside(proc_service_name(text, (struct slice){ 0 }, (struct slice){ 0 }), text);
		inside(proc_service_name((struct slice){ 0 }, (struct slice){ 0 }, text), text);
		break;
	case 7:
		proc_runtime_of(text, runtime, sizeof(runtime));
		proc_tls_library(text);
		break;
	}
	return 0;
}
