/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See tablecache.h. An entry is a head of fixed size and the image behind it. Its mtime is when it was
 * last used, which is all that eviction looks at.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/map.h"
#include "unwind/tablecache.h"

#define ENTRY_MAGIC                                                                                \
	0x3763777568707368ULL /* changes with struct entry_head or the meaning of an image */
#define ENTRY_SUFFIX ".unwind"
#define TEMP_PREFIX "new-"
#define TEMP_AGE_S 600 /* a file under construction that is older was left by one that died */
#define ENTRIES_MAX 16384
#define NAME_MAX_LEN 80
#define SETTLED_NS (2 * NSEC_PER_SEC)

struct identity {
	u64 dev;
	u64 ino;
	u64 size;
	u64 mtime_ns;
	u64 ctime_ns;
};

struct entry_head {
	u64 magic;
	u64 checksum; /* of what follows in the head, and of the image */
	struct identity id;
	struct unwind_counts counts;
};

_Static_assert(sizeof(struct entry_head) % 8 == 0, "no padding that nobody set");
_Static_assert(sizeof(struct entry_head) ==
		       16 + sizeof(struct identity) + sizeof(struct unwind_counts),
	       "no padding that nobody set");

static u64 checksum(const struct entry_head *h, const struct unwind_image *img)
{
	u64 sum = hash_bytes(&h->id, sizeof(*h) - offsetof(struct entry_head, id), ENTRY_MAGIC);

	return hash_bytes(img->p, img->n, sum);
}

static u64 time_ns(const struct timespec *t)
{
	return (u64)t->tv_sec * NSEC_PER_SEC + (u64)t->tv_nsec;
}

/* Which file it is; false when that cannot be said for certain, now or later. */
static bool identify(const struct elf *e, struct identity *ret)
{
	struct stat st;
	u64 now = clock_unix_ns(), last;

	if (e->src.fd < 0 || fstat(e->src.fd, &st) < 0)
		return false;
	*ret = (struct identity){
		.dev = st.st_dev,
		.ino = st.st_ino,
		.size = (u64)st.st_size,
		.mtime_ns = time_ns(&st.st_mtim),
		.ctime_ns = time_ns(&st.st_ctim),
	};
	last = MAX(ret->mtime_ns, ret->ctime_ns);
	return last < now && now - last > SETTLED_NS;
}

static void entry_name(char name[NAME_MAX_LEN], const struct elf *e, const struct identity *id)
{
	size_t n = 0;
	u8 i;

	for (i = 0; i < e->build_id_len; i++)
		n += (size_t)snprintf(name + n, NAME_MAX_LEN - n, "%02x", e->build_id[i]);
	snprintf(name + n, NAME_MAX_LEN - n, "%s%016jx" ENTRY_SUFFIX, n ? "-" : "none-",
		 (uintmax_t)hash_bytes(id, sizeof(*id), 0));
}

int unwind_cache_open(struct unwind_cache *c, const char *dir, u64 max_bytes)
{
	_close_ int fd = -1;
	struct stat st;

	if (mkdir(dir, 0700) < 0 && errno != EEXIST)
		return -errno;
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	if (st.st_uid != geteuid() || st.st_mode & (S_IWGRP | S_IWOTH))
		return -EPERM;
	*c = (struct unwind_cache){ .dir = take_fd(fd), .max_bytes = max_bytes };
	return 0;
}

void unwind_cache_release(struct unwind_cache *c)
{
	if (c->dir >= 0)
		close(c->dir);
	c->dir = -1;
}

static int read_entry(int fd, const struct elf *e, const struct identity *id,
		      struct unwind_image *ret, struct unwind_counts *counts)
{
	struct elf_src src;
	struct entry_head h;
	struct unwind_image img;
	struct stat st;
	int r;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode) || st.st_uid != geteuid() || st.st_mode & (S_IWGRP | S_IWOTH))
		return -EINVAL;
	r = elf_src_fd(&src, fd);
	if (r == 0)
		r = elf_read(&src, 0, &h, sizeof(h));
	if (r < 0)
		return r;
	if (h.magic != ENTRY_MAGIC || memcmp(&h.id, id, sizeof(*id)) != 0)
		return -EINVAL;
	r = unwind_image_read(&img, fd, sizeof(h), src.size - sizeof(h));
	if (r < 0)
		return r;
	if (checksum(&h, &img) != h.checksum ||
	    unwind_image_head(&img)->build_id_len != e->build_id_len ||
	    memcmp(unwind_image_head(&img)->build_id, e->build_id, e->build_id_len) != 0) {
		unwind_image_release(&img);
		return -EINVAL;
	}
	*ret = img;
	*counts = h.counts;
	return 0;
}

static bool find_entry(struct unwind_cache *c, const char *name, const struct elf *e,
		       const struct identity *id, struct unwind_image *ret,
		       struct unwind_counts *counts)
{
	_close_ int fd = openat(c->dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	int r;

	if (fd < 0 && errno == ENOENT)
		return false;
	r = fd < 0 ? -errno : read_entry(fd, e, id, ret, counts);
	if (r == -ENOMEM)
		return false;
	if (r < 0) {
		c->refused++;
		unlinkat(c->dir, name, 0);
		return false;
	}
	futimens(fd, NULL);
	return true;
}

struct old_entry {
	char name[NAME_MAX_LEN];
	u64 used_ns;
	u64 bytes;
};

static int older_first(const void *a, const void *b)
{
	const struct old_entry *x = a, *y = b;

	return x->used_ns < y->used_ns ? -1 : x->used_ns > y->used_ns;
}

/* All entries. Those over the bound go at once, and what a killed process left. */
static size_t list_entries(struct unwind_cache *c, struct old_entry *list)
{
	int fd = openat(c->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	u64 now = clock_unix_ns();
	const struct dirent *de;
	size_t n = 0;

	if (!d && fd >= 0)
		close(fd);
	while (d && (de = readdir(d))) {
		struct slice name = slice_str(de->d_name);
		bool temp = slice_starts(name, SLICE(TEMP_PREFIX));
		struct stat st;
		u64 used;

		if ((!temp && !slice_ends(name, SLICE(ENTRY_SUFFIX))) || name.n >= NAME_MAX_LEN ||
		    fstatat(c->dir, de->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		used = time_ns(&st.st_mtim);
		if (temp ? used + TEMP_AGE_S * NSEC_PER_SEC < now : n == ENTRIES_MAX) {
			unlinkat(c->dir, de->d_name, 0);
			c->evicted += !temp;
		} else if (!temp) {
			memcpy(list[n].name, name.p, name.n + 1);
			list[n].used_ns = used;
			list[n++].bytes = (u64)st.st_size;
		}
	}
	if (d)
		closedir(d);
	return n;
}

static int make_room(struct unwind_cache *c, u64 bytes)
{
	_free_ struct old_entry *list = NULL;
	u64 sum = bytes;
	size_t i, n;

	if (bytes > c->max_bytes)
		return -EFBIG;
	list = malloc(ENTRIES_MAX * sizeof(*list));
	if (!list)
		return -ENOMEM;
	n = list_entries(c, list);
	for (i = 0; i < n; i++)
		sum += list[i].bytes;
	qsort(list, n, sizeof(*list), older_first);
	for (i = 0; i < n && sum > c->max_bytes; i++) {
		if (unlinkat(c->dir, list[i].name, 0) < 0 && errno != ENOENT)
			return -errno;
		sum -= list[i].bytes;
		c->evicted++;
	}
	return 0;
}

static int write_entry(struct unwind_cache *c, const char *name, const struct identity *id,
		       const struct unwind_image *img, const struct unwind_counts *counts)
{
	struct entry_head h = {
		.magic = ENTRY_MAGIC,
		.id = *id,
		.counts = *counts,
	};
	char temp[NAME_MAX_LEN];
	_close_ int fd = -1;
	int r = make_room(c, sizeof(h) + img->n);

	if (r < 0)
		return r;
	h.checksum = checksum(&h, img);
	snprintf(temp, sizeof(temp), TEMP_PREFIX "%d", (int)getpid());
	fd = openat(c->dir, temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	r = fd_write_all(fd, &h, sizeof(h));
	if (r == 0)
		r = fd_write_all(fd, img->p, img->n);
	if (r == 0 && renameat(c->dir, temp, c->dir, name) < 0)
		r = -errno;
	if (r < 0)
		unlinkat(c->dir, temp, 0);
	return r;
}

int unwind_cache_get(struct unwind_cache *c, const struct elf *e, struct unwind_image *ret,
		     struct unwind_counts *counts)
{
	struct identity id, after;
	char name[NAME_MAX_LEN];
	int r;

	if (!c || !identify(e, &id))
		return unwind_image_build(ret, e, counts);
	entry_name(name, e, &id);
	if (find_entry(c, name, e, &id, ret, counts)) {
		c->hits++;
		return 0;
	}
	c->misses++;
	r = unwind_image_build(ret, e, counts);
	if (r < 0)
		return r;
	/* Not of a file that changed while it was read. */
	if (!identify(e, &after) || memcmp(&id, &after, sizeof(id)) != 0 ||
	    write_entry(c, name, &id, ret, counts) < 0)
		c->unsaved++;
	return 0;
}
