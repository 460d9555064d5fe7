/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The report directory: filled under a temporary name, renamed when it is whole.
 *
 * A new directory is made as ".NAME.XXXXXX" beside its final name and renamed over it. With force
 * and an existing directory the temporary one is made inside, so that the renames stay on one file
 * system even when the directory is a mount point; then each file replaces its namesake atomically,
 * and foreign files stay.
 *
 * hostprof often runs as root in a directory that somebody else can write to: everything after the
 * first open goes through directory descriptors, files are created exclusively, links are never
 * followed, and ownership changes only through descriptors of files made here.
 */
#include "out/outs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include "base/cleanup.h"
#include "base/file.h"

#define TMP_TRIES 100

static int fail(struct outs *o, int err, const char *what, const char *path, const char *fix)
{
	snprintf(o->err, sizeof(o->err), "%s %s: %s; %s", what, path, strerror(-err), fix);
	return err;
}

static const char *fix_for(int err)
{
	switch (-err) {
	case ENOSPC:
	case EDQUOT:
		return "free some space or choose another place with -o";
	case EFBIG:
		return "raise the file size limit (ulimit -f) or choose fewer formats";
	default:
		return "choose another place with -o";
	}
}

/* sudo's user owns the result, not root. Both must be plain numbers or neither counts. */
static void owner_from_sudo(struct outs *o)
{
	const char *uid = getenv("SUDO_UID"), *gid = getenv("SUDO_GID");
	unsigned long u, g;
	char *end_u, *end_g;

	o->uid = (uid_t)-1;
	o->gid = (gid_t)-1;
	if (geteuid() != 0 || !uid || !gid || *uid < '0' || *uid > '9' || *gid < '0' || *gid > '9')
		return;
	u = strtoul(uid, &end_u, 10);
	g = strtoul(gid, &end_g, 10);
	if (*end_u || *end_g || u >= UINT_MAX || g >= UINT_MAX)
		return;
	o->uid = (uid_t)u;
	o->gid = (gid_t)g;
}

/* Makes a directory that only we can enter, under a name that nobody has. */
static int make_tmp(struct outs *o, const char *parent, const char *base)
{
	_free_ char *path = NULL;
	int i, err, plen = (int)strlen(parent);

	for (i = 0; i < TMP_TRIES; i++) {
		free(take_ptr(path));
		if (asprintf(&path, "%s%s.%.200s.%x%05lx", parent,
			     plen && parent[plen - 1] == '/' ? "" : "/", base, (unsigned)getpid(),
			     (unsigned long)(clock_mono_ns() + i) & 0xfffff) < 0) {
			path = NULL;
			return -ENOMEM;
		}
		o->tmp_name = strrchr(path, '/') + 1;
		if (mkdirat(o->parent_fd, o->tmp_name, 0700) == 0)
			break;
		if (errno != EEXIST)
			return -errno;
	}
	if (i == TMP_TRIES)
		return -EEXIST;
	o->tmp_fd =
		openat(o->parent_fd, o->tmp_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (o->tmp_fd < 0) {
		err = -errno;
		unlinkat(o->parent_fd, o->tmp_name, AT_REMOVEDIR);
		return err;
	}
	o->tmp = take_ptr(path);
	return 0;
}

int outs_begin(struct outs *o, const char *dir, bool force)
{
	_free_ char *parent = NULL;
	size_t n = strlen(dir);
	struct stat st;
	char *slash;
	int err;

	*o = (struct outs){ .parent_fd = -1, .tmp_fd = -1 };
	owner_from_sudo(o);
	while (n > 1 && dir[n - 1] == '/')
		n--;
	if (!n)
		return fail(o, -ENOENT, "cannot use output directory", "\"\"", "name one with -o");
	o->dir = strndup(dir, n);
	parent = strndup(dir, n);
	if (!o->dir || !parent)
		return fail(o, -ENOMEM, "cannot create", "output directory", fix_for(-ENOMEM));

	if (stat(o->dir, &st) == 0) {
		if (!S_ISDIR(st.st_mode))
			return fail(o, -ENOTDIR, "cannot use output directory", o->dir,
				    "choose another name with -o");
		if (!force) {
			snprintf(o->err, sizeof(o->err),
				 "output directory %s exists; choose another with -o or replace "
				 "its report with --force",
				 o->dir);
			return -EEXIST;
		}
	} else if (errno != ENOENT) {
		return fail(o, -errno, "cannot use output directory", o->dir, fix_for(0));
	} else {
		slash = strrchr(parent, '/');
		o->name = slash ? o->dir + (slash - parent) + 1 : o->dir;
		if (!slash)
			memcpy(parent, ".", 2); /* at least one character was there */
		else
			slash[slash == parent] = 0;
	}
	o->parent_fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (o->parent_fd < 0)
		return fail(o, -errno, "cannot create output directory in", parent, fix_for(0));
	err = make_tmp(o, parent, o->name ? o->name : "hostprof");
	if (err)
		return fail(o, err, "cannot create output directory in", parent, fix_for(err));
	return 0;
}

static int write_file(struct outs *o, const char *name, const struct buf *data)
{
	_close_ int fd = -1;
	int err;

	fd = openat(o->tmp_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	err = data->n ? fd_write_all(fd, data->p, data->n) : 0;
	if (err)
		return err;
	/* Some file systems report a full disk only here. */
	return close(take_fd(fd)) ? -errno : 0;
}

int outs_add(struct outs *o, const char *name, const struct buf *data)
{
	int err = write_file(o, name, data);

	return err ? fail(o, err, "cannot write", name, fix_for(err)) : 0;
}

int outs_write(struct outs *o, const struct agg *agg, u32 formats, const struct out_opts *opts)
{
	_release_(buf) struct buf out = BUF_INIT;
	u32 i;
	int err;

	for (i = 0; i < OUT_FORMATS; i++) {
		const struct output *output = &outputs[i];

		if (!(formats & OUT_BIT(i)) || !output->write ||
		    (output->wanted && !output->wanted(agg_report(agg))))
			continue;
		buf_clear(&out);
		err = output->write(agg, &out, opts);
		if (!err && out.oom)
			err = -ENOMEM;
		err = err ? fail(o, err, "cannot write", output->file, fix_for(err))
			  : outs_add(o, output->file, &out);
		if (err)
			return err;
	}
	return 0;
}

/* Calls fn for every file in tmp until one fails. */
static int each_file(struct outs *o, int (*fn)(struct outs *o, const char *name))
{
	int fd = openat(o->tmp_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), err = 0;
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	struct dirent *e;

	if (!dir) {
		err = -errno;
		if (fd >= 0)
			close(fd);
		return err;
	}
	while (!err && (e = readdir(dir)))
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
			err = fn(o, e->d_name);
	closedir(dir);
	return err;
}

static int file_own(struct outs *o, const char *name)
{
	_close_ int fd = openat(o->tmp_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

	if (fd < 0 || fchmod(fd, 0600) || (o->uid != (uid_t)-1 && fchown(fd, o->uid, o->gid)))
		return fail(o, -errno, "cannot set the owner of", name, fix_for(0));
	return 0;
}

static int file_move(struct outs *o, const char *name)
{
	if (renameat(o->tmp_fd, name, o->parent_fd, name))
		return fail(o, -errno, "cannot replace", name, fix_for(0));
	return 0;
}

static int file_remove(struct outs *o, const char *name)
{
	unlinkat(o->tmp_fd, name, 0);
	return 0;
}

static bool has_file(int dirfd, const char *name)
{
	struct stat st;

	return fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

/*
 * After a new recording, files of an older one that this run did not write would be read as part of
 * this report: they go. Making a report again from its own capture only adds to what is there.
 */
static int replace_files(struct outs *o)
{
	bool stale[OUT_FORMATS], recorded = has_file(o->tmp_fd, OUT_CAPTURE_FILE);
	u32 i;
	int err;

	for (i = 0; i < OUT_FORMATS; i++)
		stale[i] = recorded && !has_file(o->tmp_fd, outputs[i].file);
	err = each_file(o, file_move);
	if (err)
		return err;
	for (i = 0; i < OUT_FORMATS; i++)
		if (stale[i])
			unlinkat(o->parent_fd, outputs[i].file, 0);
	unlinkat(o->parent_fd, o->tmp_name, AT_REMOVEDIR);
	return 0;
}

static int rename_whole(struct outs *o)
{
	if (!renameat2(o->parent_fd, o->tmp_name, o->parent_fd, o->name, RENAME_NOREPLACE))
		return 0;
	/* Not every file system has the flag; a plain rename never replaces a directory with files. */
	if (errno == EINVAL && !renameat(o->parent_fd, o->tmp_name, o->parent_fd, o->name))
		return 0;
	if (errno == EEXIST || errno == ENOTEMPTY) {
		snprintf(o->err, sizeof(o->err),
			 "output directory %s was made by somebody else meanwhile; choose another "
			 "with -o",
			 o->dir);
		return -EEXIST;
	}
	return fail(o, -errno, "cannot create output directory", o->dir, fix_for(-errno));
}

int outs_commit(struct outs *o)
{
	int err = each_file(o, file_own);

	if (err)
		return err;
	if (o->name) {
		if (o->uid != (uid_t)-1 && fchown(o->tmp_fd, o->uid, o->gid))
			return fail(o, -errno, "cannot set the owner of", o->dir, fix_for(0));
		err = rename_whole(o);
	} else {
		err = replace_files(o);
	}
	if (err)
		return err;
	free(take_ptr(o->tmp));
	outs_abort(o);
	return 0;
}

void outs_abort(struct outs *o)
{
	if (o->tmp) {
		each_file(o, file_remove);
		unlinkat(o->parent_fd, o->tmp_name, AT_REMOVEDIR);
	}
	/* begin() sets both; a zeroed struct that never began has no dir. */
	if (o->dir) {
		cleanup_close(&o->tmp_fd);
		cleanup_close(&o->parent_fd);
	}
	free(o->tmp);
	free(o->dir);
	o->tmp = o->dir = NULL;
	o->tmp_name = o->name = NULL;
	o->tmp_fd = o->parent_fd = -1;
}

int outs_write_dir(const struct agg *agg, const char *dir, bool force, u32 formats,
		   const struct out_opts *opts, char *err, size_t err_size)
{
	_release_(outs) struct outs o;
	int rc = outs_begin(&o, dir, force);

	if (!rc)
		rc = outs_write(&o, agg, formats, opts);
	if (!rc)
		rc = outs_commit(&o);
	if (rc && err)
		snprintf(err, err_size, "%s", o.err);
	return rc;
}
