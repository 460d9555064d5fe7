/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Children that end while somebody asks for their files: what fails for them must not be taken for a
 * property of the file, which their parent has mapped, too.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/slice.h"
#include "base/types.h"
#include "hp/events.h"
#include "unwind/unwind.h"

#define PARENT 10
#define CHILD 11

struct asked {
	u32 gone; /* this process has no files to show */
	u32 opened, sent;
	int bind_says;
	struct unwind_request bound; /* last */
};

static int open_file(void *arg, const struct unwind_request *m)
{
	struct asked *a = arg;

	a->opened++;
	return m->tgid == a->gone ? -ENOENT : open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
}

static int send_table(void *arg, int fd)
{
	(void)fd;
	return (int)++((struct asked *)arg)->sent;
}

static int bind_mapping(void *arg, const struct unwind_request *m)
{
	struct asked *a = arg;

	a->bound = *m;
	return a->bind_says;
}

static const struct unwind_ops ops = { .open = open_file,
				       .send = send_table,
				       .bind = bind_mapping };

/* Of this program's first executable segment, as far as the file's own addresses go. */
static void map_file(struct unwind *u, u32 tgid)
{
	struct ev_mapping m = { .hdr = { .tgid = tgid }, .inode = 5, .build_id_len = 20 };
	extern const char __executable_start, etext;

	m.start = (u64)(uintptr_t)&__executable_start;
	m.end = (u64)(uintptr_t)&etext;
	unwind_mapping(u, &m, SLICE("/bin/server"));
}

static void test_first_to_map_it_has_gone(void **state)
{
	struct asked a = { .gone = CHILD, .bind_says = 1 };
	struct unwind *u;

	(void)state;
	assert_int_equal(unwind_new(&u, &ops, &a, NULL), 0);
	map_file(u, CHILD);
	map_file(u, PARENT);
	unwind_work(u);
	assert_int_equal(a.sent, 0);
	assert_true(unwind_busy(u));
	unwind_work(u);
	assert_int_equal(a.sent, 1);
	assert_int_equal(a.bound.tgid, PARENT);
	assert_false(unwind_busy(u));
	unwind_free(u);
}

static void test_later_one_has_gone(void **state)
{
	struct asked a = { .bind_says = 1 };
	struct unwind *u;

	(void)state;
	assert_int_equal(unwind_new(&u, &ops, &a, NULL), 0);
	map_file(u, PARENT);
	unwind_work(u);
	assert_int_equal(a.sent, 1);
	a.gone = CHILD;
	a.bind_says = -ENOENT;
	map_file(u, CHILD);
	assert_false(unwind_busy(u));
	assert_int_equal(a.opened, 1);
	/* Its table, which the kernel had no room for any more, is made again. */
	a.bind_says = -ESTALE;
	map_file(u, PARENT);
	assert_true(unwind_busy(u));
	a.bind_says = 1;
	unwind_work(u);
	assert_int_equal(a.sent, 2);
	unwind_free(u);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_first_to_map_it_has_gone),
		cmocka_unit_test(test_later_one_has_gone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
