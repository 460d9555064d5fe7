/* SPDX-License-Identifier: Apache-2.0 */
/*
 * doctor's own: the list of checks that its parts fill and its last part prints. Parts run in the
 * order of this file.
 */
#ifndef CMD_DOCTOR_H
#define CMD_DOCTOR_H

#include <sys/utsname.h>

#include "base/buf.h"
#include "base/exit.h"
#include "load/inspect.h"
#include "load/probes.h"

#define CHECKS_MAX 96
#define SUDO "run with sudo" /* fixes that begin so are summed up in one line */

enum verdict {
	OK,
	WARN,
	FAIL,
	ABSENT, /* and not needed; for scripts as OK */
	INFO, /* to be known, nothing to be done; for scripts as OK */
};

struct check {
	const char *group; /* kernel, probes, privileges, target */
	const char *key;
	const char *name;
	const struct feat_row *feat; /* NULL = none */
	const struct probe_row *probe; /* NULL = none; the next two are its */
	const char *lost; /* NULL = nothing */
	u32 rungs; /* bit per rung that could be taken */
	enum verdict verdict;
	char detail[512];
	char fix[320]; /* "" when there is nothing to fix */
};

struct doctor {
	struct check checks[CHECKS_MAX];
	size_t n;
	u64 caps;
	struct ladder ladder; /* as attach would choose with all options */
	struct inspection target;
	bool has_target;
	enum exit_status target_status;
};

struct check *doctor_add(struct doctor *d, const char *group, const char *key, const char *name,
			 enum verdict verdict, const char *fix);
#define DETAIL(c, ...) snprintf((c)->detail, sizeof((c)->detail), __VA_ARGS__)

void doctor_target(struct doctor *d, const struct target_sel *sel);
/* NULL, or what is to be known of this version of the runtime: "untested", "not supported". */
const char *doctor_runtime_note(const struct inspection *t);
void doctor_probes(struct doctor *d);
void doctor_kernel(struct doctor *d); /* by the ladder that doctor_probes() chose */
void doctor_rights(struct doctor *d);

/* The rung that does p's work, and whose it is: another row may cover it. NULL = none. */
const struct rung *doctor_rung(const struct ladder *l, enum probe p, enum probe *ret_of);

size_t doctor_failed(const struct doctor *d);
/* verbose: with the kernel change behind each feature. */
void doctor_print_text(const struct doctor *d, const struct utsname *un, bool color, bool verbose,
		       struct buf *out);
void doctor_print_json(const struct doctor *d, const struct utsname *un, int status,
		       struct buf *out);

#endif
