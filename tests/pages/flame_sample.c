/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writes a flame graph of known shape to standard output, for the page tests:
 * 1,000 samples; serve() 600 of them with recursive needle() in 250, parse() 400 with a hostile name
 * in 100, and 200 leaves of one sample each under parse(), too narrow to be drawn at first.
 */
#include <stdio.h>
#include "base/cleanup.h"
#include "out/flame.h"

#define LEAVES 200

int main(void)
{
	static char names[LEAVES][16];
	static struct agg_node nodes[16 + LEAVES] = {
		{ .text = "all", .total = 1000 },
		{ .text = "uvicorn", .depth = 1, .parent = 0, .total = 1000 },
		{ .text = "serve (app.py)",
		  .depth = 2,
		  .parent = 1,
		  .kind = HP_FRAME_PYTHON,
		  .total = 600,
		  .self = 350 },
		{ .text = "needle",
		  .depth = 3,
		  .parent = 2,
		  .kind = HP_FRAME_NATIVE,
		  .total = 250,
		  .self = 50 },
		{ .text = "needle",
		  .depth = 4,
		  .parent = 3,
		  .kind = HP_FRAME_NATIVE,
		  .total = 200,
		  .self = 0 },
		{ .text = "sys_write_[k]",
		  .depth = 5,
		  .parent = 4,
		  .kind = HP_FRAME_KERNEL,
		  .total = 200,
		  .self = 200 },
		{ .text = "parse",
		  .depth = 2,
		  .parent = 1,
		  .kind = HP_FRAME_NATIVE,
		  .total = 400,
		  .self = 100 },
		{ .text = "</script><script>document.title='owned'</script>",
		  .depth = 3,
		  .parent = 6,
		  .kind = HP_FRAME_NATIVE,
		  .total = 100,
		  .self = 100 },
	};
	static const struct flame_head head = { "CPU flame graph: sample (pid 1)", "1,000 samples",
						"samples" };
	_release_(buf) struct buf out = BUF_INIT;
	u32 n = 8, i;

	for (i = 0; i < LEAVES; i++) {
		snprintf(names[i], sizeof(names[i]), "leaf_%03u", i);
		nodes[n++] = (struct agg_node){ .text = names[i],
						.depth = 3,
						.parent = 6,
						.kind = HP_FRAME_NATIVE,
						.total = 1,
						.self = 1 };
	}
	if (flame_svg(nodes, n, &head, &out))
		return 1;
	return fwrite(out.p, 1, out.n, stdout) != out.n;
}
