/* SPDX-License-Identifier: Apache-2.0 */
/* See cache.h. */
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include "base/cleanup.h"
#include "sym/cache.h"

static void evict(struct cache *c, struct cache_file *f)
{
	c->bytes -= image_bytes(f->img);
	c->n--;
	image_release(f->img);
	free(f->img);
	f->img = NULL;
	f->used = 0;
}

void cache_release(struct cache *c)
{
	u32 i;

	for (i = 0; i < CACHE_FILES_MAX; i++)
		if (c->files[i].img)
			evict(c, &c->files[i]);
}

const struct image *cache_get(struct cache *c, u32 slot, u32 gen)
{
	struct cache_file *f = &c->files[slot];

	if (!f->img || f->gen != gen)
		return NULL;
	f->used = ++c->clock;
	return f->img;
}

static struct cache_file *oldest(struct cache *c)
{
	struct cache_file *best = NULL;
	u32 i;

	for (i = 0; i < CACHE_FILES_MAX; i++)
		if (c->files[i].img && (!best || c->files[i].used < best->used))
			best = &c->files[i];
	return best;
}

/* Makes room for one more file of that size. */
static struct cache_file *make_room(struct cache *c, size_t bytes)
{
	u32 i;

	if (bytes > CACHE_BYTES_MAX)
		return NULL;
	while (c->n == CACHE_FILES_MAX || c->bytes + bytes > CACHE_BYTES_MAX) {
		evict(c, oldest(c));
		c->evicted++;
	}
	for (i = 0; c->files[i].img; i++)
		;
	return &c->files[i];
}

static struct cache_file *find(struct cache *c, const struct cache_file *key)
{
	u32 i;

	for (i = 0; i < CACHE_FILES_MAX; i++) {
		struct cache_file *f = &c->files[i];

		if (f->img && f->ino == key->ino && f->dev == key->dev && f->size == key->size &&
		    f->mtime_ns == key->mtime_ns)
			return f;
	}
	return NULL;
}

int cache_load(struct cache *c, int fd, struct slice path, const struct debug_opener *debug,
	       u32 *ret_slot)
{
	_free_ struct image *img = NULL;
	struct cache_file key = { 0 }, *f;
	struct elf_src src;
	struct stat st;
	int r;

	if (fstat(fd, &st) < 0)
		return -errno;
	key.dev = st.st_dev;
	key.ino = st.st_ino;
	key.size = (u64)st.st_size;
	key.mtime_ns = (u64)st.st_mtim.tv_sec * NSEC_PER_SEC + (u64)st.st_mtim.tv_nsec;
	f = find(c, &key);
	if (!f) {
		img = calloc(1, sizeof(*img));
		if (!img)
			return -ENOMEM;
		r = elf_src_fd(&src, fd);
		if (r == 0)
			r = image_load(img, &src, path, debug);
		if (r < 0)
			return r;
		f = make_room(c, image_bytes(img));
		if (!f) {
			image_release(img);
			return -EFBIG;
		}
		key.gen = f->gen + 1;
		key.img = take_ptr(img);
		*f = key;
		c->n++;
		c->bytes += image_bytes(f->img);
		c->loaded++;
		c->cut += f->img->table.cut;
	}
	f->used = ++c->clock;
	*ret_slot = (u32)(f - c->files);
	return 0;
}
