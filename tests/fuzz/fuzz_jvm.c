/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any changes to the memory of a HotSpot process (tests/unit/jvm_image.h): the bytes are changes one behind
 * the other, each a place, a length up to 8 and so many bytes. Whatever comes of it, the work ends, the
 * tables are such as the collector takes, and names are texts.
 */
#include <stdlib.h>
#include "../unit/jvm_image.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

#define MUST(x)                                                                                    \
	do {                                                                                       \
		if (!(x))                                                                          \
			abort();                                                                   \
	} while (0)

static struct jvm_image image;
static struct jvm_mem mem = { .read = jvm_image_read, .arg = &image };

static size_t change(const uint8_t *data, size_t n)
{
	u32 at = data[0] | data[1] << 8 | (u32)data[2] << 16, some = data[3] % 8 + 1;

	if (n < 4 + some)
		return 0;
	at %= JVM_BYTES - 8;
	memcpy(image.p + at, data + 4, some);
	return 4 + some;
}

static void check_names(const struct jvm_layout *l, struct jvm_heaps *heaps)
{
	static struct jvm_method_text text[HP_LINES_MAX];
	char name[JVM_METHOD_TEXT];
	u32 i, j, k, n;

	for (i = 0; i < heaps->n; i++)
		for (j = 0; j < heaps->v[i].n; j++) {
			struct jvm_blob *b = &heaps->v[i].blobs[j];

			if (jvm_blob_name(l, &mem, b, name, sizeof(name)))
				MUST(*name && strlen(name) < sizeof(name));
			n = jvm_scopes(l, &mem, b, b->begin + 6, text, HP_LINES_MAX);
			MUST(n <= HP_LINES_MAX);
			for (k = 0; k < n; k++)
				MUST(*text[k].name && text[k].line <= 65536);
			jvm_blob_check(&heaps->v[i], b, l, &mem, 2);
		}
	for (i = 0; i < 2; i++)
		if (jvm_method_text(l, &mem, JVM_AT + AT_METHODS + i * 0x400,
				    (u32)JVM_AT + AT_METHODS + 0x60 + 48, &text[0]))
			MUST(strchr(text[0].name, '.'));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct unwind_image img = { 0 };
	struct jvm_heaps heaps = { 0 };
	struct jvm_layout layout;
	u32 i, j, looks;
	size_t some;
	int r = 0;

	jvm_image_make(&image);
	jvm_mem_begin(&mem, 1);
	/* The first half is there from the beginning, the other comes between two looks. */
	for (looks = 0; looks < 2; looks++) {
		size_t half = looks ? n : n / 2;

		for (; half > 4 && (some = change(data, half)); half -= some, n -= some)
			data += some;
		jvm_mem_begin(&mem, 1);
		if (!looks && jvm_layout_read(&image.file, JVM_AT, &mem, &layout))
			return 0;
		for (i = 0; i < 100000 && !(r = jvm_heaps_look(&heaps, &layout, &mem, 64, looks));
		     i++)
			;
		MUST(r);
		for (j = 0; j < heaps.n; j++)
			if (!jvm_heap_image(&heaps.v[j], &img)) {
				MUST(!unwind_image_check(img.p, img.n));
				unwind_image_release(&img);
			}
		check_names(&layout, &heaps);
	}
	jvm_heaps_release(&heaps);
	return 0;
}
