/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PostgreSQL parser over any bytes in any cut, with holes and losses; input is a trace as
 * tests/unit/pgsql_trace.h describes it. Checked for every input:
 *   masking: feeding the masked bytes again gives the same spans and the same bytes;
 *   --show-literals: nothing is overwritten;
 *   cuts: without holes and from a connection's start, feeding byte by byte changes nothing.
 * The spans themselves are checked by the sink.
 */
#include "../unit/pgsql_trace.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* Runs the trace and leaves the masked bytes in it. The spans are added to out. */
static void run(u8 *p, size_t n, enum cut cut, u32 more_flags, struct buf *out)
{
	struct pgt t;

	pgt_open(&t, p[0] | more_flags);
	t.with_times = true;
	t.write_back = true;
	pgt_trace(&t, p, n, cut, 1);
	buf_add_slice(out, buf_slice(&t.out));
	pgt_close(&t);
}

static bool has_holes(const u8 *p, size_t n)
{
	size_t at = 1;

	while (n - at >= 5) {
		u32 len = p[at + 1] | p[at + 2] << 8 | p[at + 3] << 16 | (u32)p[at + 4] << 24;

		if (p[at] & REC_HOLE)
			return true;
		at += 5;
		if (len > n - at)
			break;
		at += len;
	}
	return false;
}

static void run_detect(const u8 *p, size_t n)
{
	size_t k = MIN(n, (size_t)4096), i;
	struct pgt t;

	pgt_open(&t, p[0]);
	for (i = 0; i < 4; i++) {
		_free_ u8 *exact = malloc(k ? k : 1);

		if (!exact)
			abort();
		memcpy(exact, p + n - k, k);
		proto_pgsql.detect(&t.ctx, i & 1, exact, k, i & 2 ? k : k + 1000);
		k /= 2;
	}
	pgt_close(&t);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	_release_(buf) struct buf first = BUF_INIT, again = BUF_INIT, bytes = BUF_INIT;
	_free_ u8 *a = NULL, *b = NULL;

	if (n < 2 || n > (1 << 20))
		return 0;
	a = malloc(n);
	b = malloc(n);
	if (!a || !b)
		return 0;
	memcpy(a, data, n);
	run(a, n, CUT_WHOLE, 0, &first);
	if ((data[0] & TRACE_SHOW_LITERALS) && memcmp(a, data, n))
		abort();
	memcpy(b, a, n);
	run(b, n, CUT_WHOLE, 0, &again);
	if (memcmp(a, b, n) || !slice_eq(buf_slice(&first), buf_slice(&again)))
		abort();
	if (!(data[0] & TRACE_MID_STREAM) && !has_holes(data, n)) {
		memcpy(b, data, n);
		run(b, n, CUT_BYTES, 0, &bytes);
		if (memcmp(a, b, n) || !slice_eq(buf_slice(&first), buf_slice(&bytes)))
			abort();
	}
	run_detect(data, n);
	return 0;
}
