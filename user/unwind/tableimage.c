/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See tableimage.h: images as bytes. The check is the only door for images that come from a file or
 * another process; a builder's image passes it too, which the tests ask of every one.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include "base/cleanup.h"
#include "base/file.h"
#include "unwind/tableimage.h"

_Static_assert(sizeof(struct uw_image) % 8 == 0, "pages are aligned");
_Static_assert(sizeof(struct uw_page) == 8 && sizeof(struct uw_row) == 4, "rows are aligned");
_Static_assert(sizeof(struct uw_rule) == 16, "rules are aligned");

void unwind_image_release(struct unwind_image *img)
{
	free(img->p);
	*img = (struct unwind_image){ 0 };
}

static bool head_ok(const struct uw_image *h, size_t n)
{
	u64 want;

	if (h->magic != UW_IMAGE_MAGIC || h->npages > UW_IMAGE_PAGES_MAX ||
	    h->nrows > UW_IMAGE_ROWS_MAX || !h->nrules || h->nrules > UW_IMAGE_RULES_MAX ||
	    h->build_id_len > sizeof(h->build_id) || h->pad0[0] || h->pad0[1] || h->pad0[2])
		return false;
	if (h->vaddr % UW_PAGE_BYTES ||
	    h->vaddr > UINT64_MAX - (u64)UW_IMAGE_PAGES_MAX * UW_PAGE_BYTES)
		return false;
	want = sizeof(*h) + (u64)h->npages * sizeof(struct uw_page) +
	       (((u64)h->nrows + 1) & ~1ULL) * sizeof(struct uw_row) +
	       (u64)h->nrules * sizeof(struct uw_rule);
	return want == n;
}

static bool page_ok(const struct uw_row *row, u32 n, u32 nrules)
{
	u32 i;

	for (i = 0; i < n; i++) {
		if (row[i].rule >= nrules || row[i].at >= UW_PAGE_BYTES)
			return false;
		if (i ? row[i].at <= row[i - 1].at : row[i].at != 0)
			return false;
	}
	return true;
}

static bool rule_ok(const struct uw_rule *r)
{
	return r->cfa <= UW_CFA_HEAP && r->rbp <= UW_RBP_UNKNOWN && r->ra <= UW_RA_REG &&
	       r->reg < CFI_RA;
}

int unwind_image_check(const void *p, size_t n)
{
	const struct unwind_image img = { .p = (u8 *)p, .n = n };
	static const struct uw_rule none;
	const struct uw_image *h = p;
	const struct uw_page *pages;
	const struct uw_rule *rules;
	u32 i, rows = 0;

	if ((uintptr_t)p % 8 || n < sizeof(*h) || !head_ok(h, n))
		return -EINVAL;
	pages = unwind_image_pages(&img);
	/* Pages own the rows in order, each row once. */
	for (i = 0; i < h->npages; i++) {
		if (pages[i].first != rows || pages[i].n > UW_PAGE_ROWS_MAX ||
		    pages[i].n > h->nrows - rows ||
		    !page_ok(unwind_image_rows(&img) + rows, pages[i].n, h->nrules))
			return -EINVAL;
		rows += pages[i].n;
	}
	if (rows != h->nrows)
		return -EINVAL;
	rules = unwind_image_rules(&img);
	if (memcmp(&rules[UW_RULE_NONE], &none, sizeof(none)) != 0)
		return -EINVAL;
	for (i = 0; i < h->nrules; i++)
		if (!rule_ok(&rules[i]))
			return -EINVAL;
	return 0;
}

int unwind_image_read(struct unwind_image *ret, int fd, u64 off, u64 n)
{
	struct elf_src src = { .fd = fd, .size = UINT64_MAX };
	_free_ u8 *p = NULL;
	struct uw_image h;
	int r;

	if (n < sizeof(h))
		return -EINVAL;
	r = elf_read(&src, off, &h, sizeof(h));
	if (r < 0)
		return r;
	/* Before the size is believed. */
	if (!head_ok(&h, n))
		return -EINVAL;
	p = malloc(n);
	if (!p)
		return -ENOMEM;
	r = elf_read(&src, off, p, n);
	if (r == 0)
		r = unwind_image_check(p, n);
	if (r < 0)
		return r;
	*ret = (struct unwind_image){ .p = take_ptr(p), .n = n };
	return 0;
}

int unwind_image_memfd(const struct unwind_image *img)
{
	_close_ int fd = memfd_create("unwind-table", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	int r;

	if (fd < 0)
		return -errno;
	r = fd_write_all(fd, img->p, img->n);
	if (r < 0)
		return r;
	if (fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) < 0)
		return -errno;
	return take_fd(fd);
}

const struct uw_rule *unwind_image_lookup(const struct unwind_image *img, u64 vaddr)
{
	const struct uw_image *h = unwind_image_head(img);
	const struct uw_rule *rules = unwind_image_rules(img);
	u64 off = vaddr - h->vaddr;
	const struct uw_page *page;
	const struct uw_row *row;
	u32 lo = 0, hi;

	if (vaddr < h->vaddr || off >> UW_PAGE_SHIFT >= h->npages)
		return &rules[UW_RULE_NONE];
	page = unwind_image_pages(img) + (off >> UW_PAGE_SHIFT);
	if (!page->n)
		return &rules[UW_RULE_NONE];
	row = unwind_image_rows(img) + page->first;
	off %= UW_PAGE_BYTES;
	/* The last row at or before off: the first one is at 0. */
	hi = page->n;
	while (hi - lo > 1) {
		u32 mid = lo + (hi - lo) / 2;

		if (row[mid].at <= off)
			lo = mid;
		else
			hi = mid;
	}
	return &rules[row[lo].rule];
}
