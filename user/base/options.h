/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Command-line options as tables: one row an option, one parser and one help text for all commands.
 *
 * Options may stand before, between and after positional arguments; `--` ends them. Long names are
 * taken whole (an abbreviation would change its meaning with the next option that is added). An
 * option that takes a value may be given once, unless its row says repeats; two options that write the same field
 * (--children --no-children) contradict each other.
 * Nothing is printed here: errors are texts, ready for log_err().
 */
#ifndef BASE_OPTIONS_H
#define BASE_OPTIONS_H

#include "base/buf.h"

#define OPT_ERR_MAX 320
#define OPT_ROWS_MAX 64

struct opt;

/* Stores text (NULL for a flag) at field; 0, or -EINVAL with one line in err. */
typedef int (*opt_parse_fn)(const struct opt *o, void *field, const char *text, char *err);

struct opt {
	const char *name; /* long, without dashes; NULL ends the table */
	char letter; /* 0 = none */
	const char *arg; /* what help calls the value; NULL = takes none */
	const char *help;
	opt_parse_fn parse;
	size_t offset; /* of the field in the command's options */
	u64 min; /* of numbers, both inclusive */
	u64 max;
	bool repeats; /* may be given again: the parse function adds to the field */
	const char *fix; /* numbers out of range: what to do, NULL = name the range */
};

/* Parse functions and the type of their field. */
int opt_true(const struct opt *o, void *field, const char *text, char *err); /* bool */
int opt_false(const struct opt *o, void *field, const char *text, char *err); /* bool */
/* const char *, not empty */
int opt_text(const struct opt *o, void *field, const char *text, char *err);
int opt_u32(const struct opt *o, void *field, const char *text, char *err); /* u32 */
int opt_duration(const struct opt *o, void *field, const char *text, char *err); /* u64 ns */
int opt_bytes(const struct opt *o, void *field, const char *text, char *err); /* u64 */

/* Decimal digits only, min..max. -EINVAL else. */
int parse_uint(const char *s, u64 min, u64 max, u64 *ret);

enum opt_outcome {
	OPT_GO = 0,
	OPT_HELP = 1, /* -h, --help */
	OPT_VERSION = 2,
};

/*
 * argv[0] is skipped. Positional arguments are moved to argv[1..*ret_npos], in order. Returns enum
 * opt_outcome or -EINVAL with err filled (OPT_ERR_MAX bytes).
 */
int options_parse(const struct opt *opts, void *store, int argc, char **argv, int *ret_npos,
		  char *err);
/* One line a row, -h and --version last. */
void options_help(const struct opt *opts, struct buf *out);
/* The candidate nearest to word, for "did you mean"; NULL when none is near. */
const char *options_nearest(const char *word, const char *const *names, size_t n);

#endif
