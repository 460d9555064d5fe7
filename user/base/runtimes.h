/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runtimes and what is known of the code they run: one row each in runtimes.c. A runtime is known by the
 * name that proc_runtime_of() and the analysis of executables give it ("node", "java 17").
 *
 * `frames` and `names` say how stacks through its code are walked and what names it, for doctor and
 * the report; a runtime whose interpreter is not read yet has a row that says so.
 */
#ifndef BASE_RUNTIMES_H
#define BASE_RUNTIMES_H

struct runtime {
	const char *name; /* what its texts begin with */
	const char *frames;
	const char *names;
	const char *advice; /* what makes it name generated code; NULL = nothing does, or has to */
	const char *flag; /* without which stacks through its code are not whole; NULL = none */
};

/* NULL = none of these: a program without generated code. */
const struct runtime *runtime_find(const char *text);

extern const struct runtime runtimes[];
extern const unsigned nruntimes;

#endif
