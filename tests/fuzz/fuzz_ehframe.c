/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as call frame information, and as an image. What is built must pass the check of images,
 * whatever the bytes; what passes the check must be safe to look up everywhere.
 *
 * Input: one byte that chooses, then records. Bit 0: .debug_frame instead of .eh_frame; bit 1: a segment's
 * frames, which end at a terminator; bit 2: both sections from the same bytes; bit 3: the rest is an
 * image; bit 4: all of it is linkage tables. The same bytes are the code, too. The corpus is made by tests/fuzz/gen_ehframe.py.
 */
#include <stdlib.h>
#include "base/cleanup.h"
#include "unwind/tableimage.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

#define TEXT 0x401000
#define TEXT_MAX (64u << 10)

#define MUST(x)                                                                                    \
	do {                                                                                       \
		if (!(x))                                                                          \
			abort();                                                                   \
	} while (0)

/* Every row is found at its first byte and at its last. */
static void look_up_all(const struct unwind_image *img)
{
	const struct uw_image *h = unwind_image_head(img);
	const struct uw_row *row = unwind_image_rows(img);
	const struct uw_rule *rules = unwind_image_rules(img);
	u32 page, i;

	for (page = 0; page < h->npages; page++) {
		const struct uw_page *pg = unwind_image_pages(img) + page;
		u64 start = h->vaddr + (u64)page * UW_PAGE_BYTES;

		if (!pg->n)
			MUST(unwind_image_lookup(img, start) == rules);
		for (i = 0; i < pg->n; i++, row++) {
			u64 last = i + 1 < pg->n ? row[1].at - 1u : UW_PAGE_BYTES - 1;

			MUST(unwind_image_lookup(img, start + row->at) == &rules[row->rule]);
			MUST(unwind_image_lookup(img, start + last) == &rules[row->rule]);
		}
	}
	MUST(unwind_image_lookup(img, h->vaddr - 1) == rules);
	MUST(unwind_image_lookup(img, h->vaddr + (u64)h->npages * UW_PAGE_BYTES) == rules);
}

static void as_image(const uint8_t *data, size_t n)
{
	_free_ u8 *p = malloc(n + !n); /* aligned, as an image has to be */
	struct unwind_image img = { .p = p, .n = n };

	MUST(p);
	if (n)
		memcpy(p, data, n);
	if (unwind_image_check(p, n) == 0)
		look_up_all(&img);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct elf_sect whole = { .addr = TEXT, .size = n };
	struct elf e = {
		.src = { .fd = -1, .mem = data, .size = n },
		.machine = EM_X86_64,
		.nloads = 1,
		.loads = { { .vaddr = TEXT, .filesz = n, .memsz = n, .exec = true } },
		.entry = TEXT,
	};
	struct unwind_counts counts;
	struct unwind_image img;
	u8 how;

	if (!n)
		return 0;
	how = data[0];
	if (how & 8) {
		as_image(data + 1, n - 1);
		return 0;
	}
	whole.off = 1;
	whole.addr++;
	whole.size--;
	if (how & 1 || how & 4)
		e.debug_frame = whole;
	if (!(how & 1) || how & 4)
		e.eh_frame = whole;
	if (how & 2 && n > 13)
		e.eh_frame_hdr = TEXT + 1;
	if (how & 16)
		e.plt = e.plt_sec = e.plt_got = whole;
	/* Code enough for functions to lie in, however few bytes there are. */
	if (n < TEXT_MAX)
		e.loads[0].memsz = TEXT_MAX;
	if (unwind_image_build(&img, &e, &counts) < 0)
		return 0;
	MUST(unwind_image_check(img.p, img.n) == 0);
	look_up_all(&img);
	unwind_image_release(&img);
	return 0;
}
