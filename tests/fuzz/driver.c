/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs a fuzz target over files and directories given as arguments: the corpus as a plain test.
 *
 * Output: the number of inputs on standard output. No input at all is a failure, so that a moved
 * corpus cannot turn the test into one that passes by doing nothing. Each input is copied into a
 * block of its exact size, so that AddressSanitizer sees the first byte read past it.
 */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/file.h"

#define INPUT_MAX (16u << 20)
#define DEPTH_MAX 8

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static int run_file(const char *path, unsigned long *runs)
{
	_release_(buf) struct buf b = BUF_INIT;
	_free_ uint8_t *exact = NULL;
	int err = file_read(path, &b, INPUT_MAX);

	if (err) {
		fprintf(stderr, "%s: %s\n", path, strerror(-err));
		return err;
	}
	exact = malloc(b.n ? b.n : 1);
	if (!exact)
		return -ENOMEM;
	if (b.n)
		memcpy(exact, b.p, b.n);
	LLVMFuzzerTestOneInput(exact, b.n);
	++*runs;
	return 0;
}

static int run_path(const char *path, int depth, unsigned long *runs)
{
	struct dirent *e;
	struct stat st;
	int err = 0;
	DIR *d;

	if (stat(path, &st)) {
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
		return -errno;
	}
	if (!S_ISDIR(st.st_mode))
		return run_file(path, runs);
	d = depth < DEPTH_MAX ? opendir(path) : NULL;
	if (!d) {
		fprintf(stderr, "%s: cannot list\n", path);
		return -EIO;
	}
	while (!err && (e = readdir(d))) {
		_release_(buf) struct buf child = BUF_INIT;

		if (e->d_name[0] == '.')
			continue;
		buf_addf(&child, "%s/%s", path, e->d_name);
		err = child.oom ? -ENOMEM : run_path(child.p, depth + 1, runs);
	}
	closedir(d);
	return err;
}

int main(int argc, char **argv)
{
	unsigned long runs = 0;
	int i, err = 0;

	for (i = 1; i < argc && !err; i++)
		err = run_path(argv[i], 0, &runs);
	printf("%lu inputs\n", runs);
	return err || !runs;
}
