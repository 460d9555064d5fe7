/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Unwind tables of a file: made from its call frame information, checked when they come from elsewhere,
 * looked up. The bytes are those of include/hp/unwind.h, so an image goes to the collector and to disk
 * as it is.
 *
 * What a table says, and where it knows better than the file:
 *   - An address outside every FDE has UW_RULE_NONE, to the byte: padding between functions too.
 *   - An FDE ends where the next one starts, as it does for a run-time unwinder that searches starts.
 *     Of FDEs with one start the first in the file counts. .debug_frame adds only functions that no FDE
 *     of .eh_frame touches.
 *   - Go's outermost functions are UW_CFA_END (sym/gopclntab.h).
 *   - "Return address undefined" is UW_CFA_END. glibc says it in _start, and at the first instruction
 *     of a new thread in clone() and clone3(), so walks end there. Its own gap in clone() has
 *     UW_CFA_CLONE. Entry points without call frame information (ld.so's, musl's) are UW_CFA_END too,
 *     up to the next FDE or 64 bytes. Where the first function of a thread is neither (Go, musl's
 *     clone), nothing in the file tells, and walks end with UW_STOP_NO_ROW.
 *   - A restorer of signal frames is known by its CIE's 'S', or where it has no FDE by its bytes
 *     (musl, Go). Its row starts a byte early, because return addresses are looked up at pc - 1.
 *   - Linkage tables (.plt, .plt.sec, .plt.got) have the rules that ld writes for them where another
 *     linker wrote none (lld, mold), if their instructions are those.
 *   - Go's functions have the rules of Go's own table (tablego.h) where .eh_frame has none.
 *   - 4 KiB and more without an FDE that begin functions with a frame pointer again and again are
 *     UW_CFA_FP: V8's builtins in node, Go before 1.17. What else has no FDE (constants between OpenSSL's
 *     functions, padding) stays UW_RULE_NONE.
 *   - A program that cannot be run on, and frames that no rule can hold, are UW_RULE_NONE and counted.
 *     Never a rule that is nearly right.
 *
 * Bounds: 1 GiB of code, the first 256 MiB of frames, 2,097,152 FDEs, 8,388,608 rows, 4,096 rules; what
 * is over is left out and counted as cut. At most about a second of work whatever the bytes. Memory
 * while building: 8 bytes a row and 32 an FDE beside the image, 170 MB at the bounds; node (98.9 MB)
 * takes 6 MB in all. Nothing of the file is held but three windows of 64 KiB.
 */
#ifndef UNWIND_TABLEIMAGE_H
#define UNWIND_TABLEIMAGE_H

#include "unwind/ehframe.h"

struct unwind_image {
	u8 *p; /* struct uw_image and what follows it */
	size_t n;
};

struct unwind_counts {
	struct ehframe_counts frames;
	u32 rows; /* given by programs, before equal neighbours were merged */
	u32 outside; /* FDEs that are not in executable segments: of code that the linker dropped */
	u32 overlaps; /* FDEs that were cut short or left out for another one */
	u32 bad_programs; /* FDEs whose program could not be run to its end */
	u32 unfit[CFI_FITS_MAX]; /* rows, by what no rule can say of them; [CFI_FITS] stays 0 */
	u32 signals; /* restorers without an FDE */
	u32 clones; /* gaps of clone() */
	u32 entries; /* entry points without an FDE */
	u32 plts; /* pieces of linkage tables without an FDE */
	u32 go; /* functions by Go's own table */
	u32 pointed; /* stretches of code that keeps frame pointers */
	u32 cut; /* 1: something was left out for the bounds */
	u32 pad0;
};

/*
 * Makes the table of a file. -ENOTSUP not x86-64, -ENOENT no executable segment, -ENOMEM, or -errno when
 * the file cannot be read. A file without call frame information has a table without it, not an error.
 * The caller releases *ret. counts is filled, not added to.
 */
int unwind_image_build(struct unwind_image *ret, const struct elf *e, struct unwind_counts *counts);
void unwind_image_release(struct unwind_image *img);

/*
 * Whether n bytes from anybody are an image that can be used without a further check: 0 or -EINVAL.
 * p must be aligned to 8 bytes.
 */
int unwind_image_check(const void *p, size_t n);
/* n bytes from off of a descriptor, read and checked. -EINVAL, -ENODATA, -ENOMEM, -errno. */
int unwind_image_read(struct unwind_image *ret, int fd, u64 off, u64 n);
/* A sealed memfd with the image: size and content cannot change any more. Or -errno. */
int unwind_image_memfd(const struct unwind_image *img);

/*
 * The rule for code at vaddr (the file's own addresses; pc - 1 for return addresses). Never NULL:
 * UW_RULE_NONE where nothing is known. img was built or checked.
 */
const struct uw_rule *unwind_image_lookup(const struct unwind_image *img, u64 vaddr);

static inline const struct uw_image *unwind_image_head(const struct unwind_image *img)
{
	return (const struct uw_image *)img->p;
}

static inline const struct uw_page *unwind_image_pages(const struct unwind_image *img)
{
	return (const struct uw_page *)(img->p + sizeof(struct uw_image));
}

static inline const struct uw_row *unwind_image_rows(const struct unwind_image *img)
{
	return (const struct uw_row *)(unwind_image_pages(img) + unwind_image_head(img)->npages);
}

static inline const struct uw_rule *unwind_image_rules(const struct unwind_image *img)
{
	return (const struct uw_rule *)(unwind_image_rows(img) +
					((unwind_image_head(img)->nrows + 1) & ~1u));
}

#endif
