/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The report directory: whole or not there, private, and careful with what was there before. A full
 * disk is tried for real where the test may mount (root), a file size limit everywhere.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/file.h"
#include "out/outs.h"
#include "out_sample.h"

struct place {
	char dir[64]; /* a temporary directory of the test's own */
	char out[96]; /* the report directory in it */
	struct agg *agg;
};

static const struct out_opts opts = { .dir = "out" };

static int setup(void **state)
{
	struct place *p = calloc(1, sizeof(*p));

	unsetenv("SUDO_UID");
	unsetenv("SUDO_GID");
	snprintf(p->dir, sizeof(p->dir), "/tmp/u_out_dir.XXXXXX");
	if (!mkdtemp(p->dir))
		return -1;
	snprintf(p->out, sizeof(p->out), "%s/out", p->dir);
	p->agg = sample_agg(false);
	*state = p;
	return p->agg ? 0 : -1;
}

static void remove_tree(const char *path)
{
	DIR *dir = opendir(path);
	struct dirent *e;
	char sub[512];

	while (dir && (e = readdir(dir))) {
		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
			continue;
		snprintf(sub, sizeof(sub), "%s/%s", path, e->d_name);
		if (e->d_type == DT_DIR)
			remove_tree(sub);
		else
			unlink(sub);
	}
	if (dir)
		closedir(dir);
	rmdir(path);
}

static int teardown(void **state)
{
	struct place *p = *state;

	agg_free(p->agg);
	remove_tree(p->dir);
	free(p);
	return 0;
}

static u32 entries(const char *path)
{
	DIR *dir = opendir(path);
	struct dirent *e;
	u32 n = 0;

	assert_non_null(dir);
	while ((e = readdir(dir)))
		n += strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0;
	closedir(dir);
	return n;
}

static mode_t mode_of(const struct place *p, const char *name)
{
	struct stat st;
	char path[256];

	snprintf(path, sizeof(path), "%s/%s", p->out, name);
	return stat(path, &st) ? 0 : st.st_mode & 07777;
}

static void put(const char *dir, const char *name, const char *text)
{
	char path[512];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "w");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static bool holds(const struct place *p, const char *name, const char *text)
{
	struct buf b = BUF_INIT;
	char path[512];
	bool same;

	snprintf(path, sizeof(path), "%s/%s", p->out, name);
	if (file_read(path, &b, 1 << 20))
		return false;
	same = b.n == strlen(text) && !memcmp(b.p, text, b.n);
	buf_release(&b);
	return same;
}

static void new_directory(void **state)
{
	struct place *p = *state;
	struct outs o;
	u32 all = outs_default_formats(), files = 1, i;

	for (i = 0; i < OUT_FORMATS; i++)
		files += all & OUT_BIT(i) &&
			 (!outputs[i].wanted || outputs[i].wanted(agg_report(p->agg)));

	assert_int_equal(outs_begin(&o, p->out, false), 0);
	/* The capture grows in the temporary directory meanwhile. */
	put(o.tmp, OUT_CAPTURE_FILE, "capture");
	assert_int_equal(access(p->out, F_OK), -1);
	assert_int_equal(outs_write(&o, p->agg, all, &opts), 0);
	assert_int_equal(access(p->out, F_OK), -1);
	assert_int_equal(outs_commit(&o), 0);
	assert_int_equal(entries(p->dir), 1);
	assert_int_equal(entries(p->out), files);
	assert_int_equal(mode_of(p, "."), 0700);
	assert_int_equal(mode_of(p, "summary.json"), 0600);
	assert_int_equal(mode_of(p, "cpu.svg"), 0600);
	assert_int_equal(mode_of(p, OUT_CAPTURE_FILE), 0600);
	outs_abort(&o); /* harmless after commit */
	assert_int_equal(entries(p->out), files);
}

static void abort_leaves_nothing(void **state)
{
	struct place *p = *state;
	struct outs o;

	assert_int_equal(outs_begin(&o, p->out, false), 0);
	put(o.tmp, OUT_CAPTURE_FILE, "capture");
	assert_int_equal(outs_write(&o, p->agg, OUT_BIT(OUT_MD), &opts), 0);
	outs_abort(&o);
	assert_int_equal(entries(p->dir), 0);
}

static void existing_is_refused(void **state)
{
	struct place *p = *state;
	struct outs o;

	assert_int_equal(mkdir(p->out, 0755), 0);
	assert_int_equal(outs_begin(&o, p->out, false), -EEXIST);
	assert_non_null(strstr(o.err, "exists; choose another with -o or"));
	assert_non_null(strstr(o.err, "--force"));
	outs_abort(&o);
	put(p->dir, "file", "x");
	snprintf(p->out, sizeof(p->out), "%s/file", p->dir);
	assert_int_equal(outs_begin(&o, p->out, true), -ENOTDIR);
	outs_abort(&o);
}

/* Made by somebody else between begin and commit. */
static void existing_at_commit(void **state)
{
	struct place *p = *state;
	struct outs o;

	assert_int_equal(outs_begin(&o, p->out, false), 0);
	assert_int_equal(outs_write(&o, p->agg, OUT_BIT(OUT_MD), &opts), 0);
	assert_int_equal(mkdir(p->out, 0755), 0);
	put(p->out, "theirs", "x");
	assert_int_equal(outs_commit(&o), -EEXIST);
	assert_non_null(strstr(o.err, "meanwhile"));
	outs_abort(&o);
	assert_int_equal(entries(p->out), 1);
	assert_int_equal(entries(p->dir), 1);
}

static void force_replaces_ours_only(void **state)
{
	struct place *p = *state;
	struct outs o;
	char path[256];

	assert_int_equal(mkdir(p->out, 0755), 0);
	put(p->out, "summary.json", "old");
	put(p->out, "cpu.svg", "old");
	put(p->out, "notes.txt", "mine");
	put(p->dir, "elsewhere", "mine");
	/* A link under one of our names is replaced, not followed. */
	snprintf(path, sizeof(path), "%s/PERFORMANCE_REPORT.md", p->out);
	assert_int_equal(symlink("../elsewhere", path), 0);
	assert_int_equal(outs_begin(&o, p->out, true), 0);
	put(o.tmp, OUT_CAPTURE_FILE, "new");
	assert_int_equal(outs_write(&o, p->agg, OUT_BIT(OUT_MD) | OUT_BIT(OUT_JSON), &opts), 0);
	assert_true(holds(p, "summary.json", "old"));
	assert_int_equal(outs_commit(&o), 0);
	assert_false(holds(p, "summary.json", "old"));
	assert_true(holds(p, "notes.txt", "mine"));
	assert_true(holds(p, OUT_CAPTURE_FILE, "new"));
	assert_true(holds(p, "../elsewhere", "mine"));
	/* A picture of the older recording would not fit to the new figures. */
	assert_int_equal(mode_of(p, "cpu.svg"), 0);
	assert_int_equal(entries(p->out), 4);
}

/* `report DIR -o DIR --force --format md`: the capture and the other files are of the same run. */
static void force_without_recording_keeps_all(void **state)
{
	struct place *p = *state;
	char err[256];

	assert_int_equal(mkdir(p->out, 0700), 0);
	put(p->out, OUT_CAPTURE_FILE, "capture");
	put(p->out, "summary.json", "same");
	assert_int_equal(
		outs_write_dir(p->agg, p->out, true, OUT_BIT(OUT_MD), &opts, err, sizeof(err)), 0);
	assert_true(holds(p, OUT_CAPTURE_FILE, "capture"));
	assert_true(holds(p, "summary.json", "same"));
	assert_int_equal(entries(p->out), 3);
}

static void names_of_all_kinds(void **state)
{
	struct place *p = *state;
	char err[256], path[300];
	int here = open(".", O_RDONLY | O_DIRECTORY);

	snprintf(path, sizeof(path), "%s///", p->out);
	assert_int_equal(
		outs_write_dir(p->agg, path, false, OUT_BIT(OUT_MD), &opts, err, sizeof(err)), 0);
	assert_int_equal(entries(p->out), 1);
	assert_int_equal(chdir(p->dir), 0);
	assert_int_equal(
		outs_write_dir(p->agg, "relative", false, OUT_BIT(OUT_MD), &opts, err, sizeof(err)),
		0);
	assert_int_equal(access("relative/PERFORMANCE_REPORT.md", R_OK), 0);
	assert_int_equal(fchdir(here), 0);
	close(here);
	assert_int_equal(
		outs_write_dir(p->agg, "", false, OUT_BIT(OUT_MD), &opts, err, sizeof(err)),
		-ENOENT);
	snprintf(path, sizeof(path), "%s/no/such/place", p->dir);
	assert_int_equal(
		outs_write_dir(p->agg, path, false, OUT_BIT(OUT_MD), &opts, err, sizeof(err)),
		-ENOENT);
	assert_non_null(strstr(err, "choose another place with -o"));
	memset(path, 'x', 290);
	path[290] = 0;
	assert_int_equal(
		outs_write_dir(p->agg, path, false, OUT_BIT(OUT_MD), &opts, err, sizeof(err)),
		-ENAMETOOLONG);
}

/* Runs fn in a child; its exit status is what fn returned. */
static int in_child(int (*fn)(struct place *p), struct place *p)
{
	int status;
	pid_t pid = fork();

	if (!pid)
		_exit(fn(p));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static int unwritable_child(struct place *p)
{
	char err[256] = "";

	if (geteuid() == 0 && (setgid(65534) || setuid(65534)))
		return 10;
	if (outs_write_dir(p->agg, p->out, false, OUT_BIT(OUT_MD), &opts, err, sizeof(err)) !=
	    -EACCES)
		return 11;
	return strstr(err, "Permission denied; choose another place with -o") ? 0 : 12;
}

static void unwritable_parent(void **state)
{
	struct place *p = *state;

	assert_int_equal(chmod(p->dir, 0555), 0);
	assert_int_equal(in_child(unwritable_child, p), 0);
	assert_int_equal(chmod(p->dir, 0755), 0);
	assert_int_equal(entries(p->dir), 0);
}

static int limited_child(struct place *p)
{
	struct rlimit limit = { 2048, 2048 };
	char err[256] = "";

	signal(SIGXFSZ, SIG_IGN);
	if (setrlimit(RLIMIT_FSIZE, &limit))
		return 10;
	if (outs_write_dir(p->agg, p->out, false, outs_default_formats(), &opts, err,
			   sizeof(err)) != -EFBIG)
		return 11;
	return strstr(err, "cannot write PERFORMANCE_REPORT.md: File too large; raise") ? 0 : 12;
}

static void file_size_limit(void **state)
{
	struct place *p = *state;

	assert_int_equal(in_child(limited_child, p), 0);
	assert_int_equal(entries(p->dir), 0);
}

static int full_disk_child(struct place *p)
{
	char err[256] = "";
	int rc;

	if (unshare(CLONE_NEWNS) || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	    mount("none", p->dir, "tmpfs", 0, "size=16k"))
		return 77;
	rc = outs_write_dir(p->agg, p->out, false, outs_default_formats(), &opts, err, sizeof(err));
	if (rc != -ENOSPC)
		return 11;
	if (!strstr(err, "No space left on device; free some space"))
		return 12;
	/* Nothing half-written, the space is free again. */
	if (entries(p->dir))
		return 13;
	return outs_write_dir(p->agg, p->out, false, OUT_BIT(OUT_FOLDED), &opts, err, sizeof(err))
		       ? 14
		       : 0;
}

static void full_disk(void **state)
{
	struct place *p = *state;
	int rc = in_child(full_disk_child, p);

	if (rc == 77) {
		print_message("full_disk: needs the right to mount (root)\n");
		skip();
	}
	assert_int_equal(rc, 0);
}

/* With sudo the files belong to who called it. */
static void sudo_owner(void **state)
{
	struct place *p = *state;
	char err[256], path[256];
	struct stat st;

	if (geteuid() != 0) {
		print_message("sudo_owner: needs root\n");
		skip();
	}
	setenv("SUDO_UID", "12345", 1);
	setenv("SUDO_GID", "23456", 1);
	assert_int_equal(
		outs_write_dir(p->agg, p->out, false, OUT_BIT(OUT_MD), &opts, err, sizeof(err)), 0);
	assert_int_equal(stat(p->out, &st), 0);
	assert_int_equal(st.st_uid, 12345);
	snprintf(path, sizeof(path), "%s/PERFORMANCE_REPORT.md", p->out);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_uid, 12345);
	assert_int_equal(st.st_gid, 23456);
	/* Nonsense counts as not set. */
	setenv("SUDO_UID", "-1", 1);
	snprintf(p->out, sizeof(p->out), "%s/second", p->dir);
	assert_int_equal(
		outs_write_dir(p->agg, p->out, false, OUT_BIT(OUT_MD), &opts, err, sizeof(err)), 0);
	assert_int_equal(stat(p->out, &st), 0);
	assert_int_equal(st.st_uid, 0);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(new_directory),
		T(abort_leaves_nothing),
		T(existing_is_refused),
		T(existing_at_commit),
		T(force_replaces_ours_only),
		T(force_without_recording_keeps_all),
		T(names_of_all_kinds),
		T(unwritable_parent),
		T(file_size_limit),
		T(full_disk),
		T(sudo_owner),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
