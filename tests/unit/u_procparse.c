/* SPDX-License-Identifier: Apache-2.0 */
/* base/procparse: texts as kernels write them and texts as targets would like to forge them. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/file.h"
#include "base/procparse.h"

static void t_stat(void **state)
{
	static const char text[] =
		"4321 (a) R 1 (x)) S 77 4321 4321 0 -1 4194304 1500 9 25 3 1234 567 8 9 20 0 12 0 "
		"98765 1073741824 25600 18446744073709551615 1 1 0 0 0 0 0 4096 81922 0 0 0 17 1 0 "
		"0 0 0 0 0 0 0 0 0 0 0 0\n";
	struct proc_stat st;

	(void)state;
	assert_int_equal(proc_parse_stat(SLICE(text), &st), 0);
	assert_string_equal(st.comm, "a) R 1 (x)");
	assert_int_equal(st.pid, 4321);
	assert_int_equal(st.ppid, 77);
	assert_int_equal(st.state, 'S');
	assert_int_equal(st.flags, 4194304);
	assert_int_equal(st.minor_faults, 1500);
	assert_int_equal(st.major_faults, 25);
	assert_int_equal(st.user_ticks, 1234);
	assert_int_equal(st.system_ticks, 567);
	assert_int_equal(st.threads, 12);
	assert_int_equal(st.start_ticks, 98765);
	assert_int_equal(st.vms_bytes, 1 << 30);
	assert_int_equal(st.rss_pages, 25600);
}

static void t_stat_bad(void **state)
{
	static const char *const rows[] = {
		"",
		"1",
		"1 ",
		"1 (",
		"1 (x",
		"1 (x)",
		"1 (x) S",
		"x (y) S 1",
		"1 x S 1",
		"99999999999 (x) S 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1",
		"1 (x) SS 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1",
		"1 (x) S 1 1 1 1 1 1 1 1 1 1 1x 1 1 1 1 1 1 1 1 1 1",
		"1 (x) S 1 1 1 1 1 1 1 1 1 1 99999999999999999999999 1 1 1 1 1 1 1 1 1 1",
	};
	struct proc_stat st;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(rows); i++)
		assert_int_equal(proc_parse_stat(slice_str(rows[i]), &st), -EINVAL);
}

static void t_own_stat(void **state)
{
	_release_(buf) struct buf b = BUF_INIT;
	struct proc_stat st;
	u64 tgid;

	(void)state;
	assert_int_equal(file_read("/proc/self/stat", &b, 4096), 0);
	assert_int_equal(proc_parse_stat(buf_slice(&b), &st), 0);
	assert_int_equal(st.pid, getpid());
	assert_int_equal(st.ppid, getppid());
	assert_int_equal(st.state, 'R');
	assert_int_equal(st.flags & PROC_PF_KTHREAD, 0);
	assert_string_equal(st.comm, "u_procparse");
	assert_true(st.vms_bytes > st.rss_pages * 4096 && st.rss_pages > 0);
	buf_clear(&b);
	assert_int_equal(file_read("/proc/self/status", &b, 1 << 16), 0);
	assert_int_equal(proc_field_u64(buf_slice(&b), "Tgid", &tgid), 0);
	assert_int_equal(tgid, getpid());
}

static void t_fields(void **state)
{
	static const char text[] = "Name:\tTgid: 9\nTgid:\t42\nRead:\nCapEff:\t000001ffffffffff\n"
				   "VmRSS:\t   12345 kB\nNSpid:\t100\t7\nlast: 5";
	struct slice s;
	u64 v;

	(void)state;
	assert_int_equal(proc_field_u64(SLICE(text), "Tgid", &v), 0);
	assert_int_equal(v, 42);
	assert_int_equal(proc_field_hex(SLICE(text), "CapEff", &v), 0);
	assert_int_equal(v, 0x1ffffffffffULL);
	assert_int_equal(proc_field_u64(SLICE(text), "VmRSS", &v), 0);
	assert_int_equal(v, 12345);
	assert_int_equal(proc_field(SLICE(text), "NSpid", &s), 0);
	assert_true(slice_eq(s, SLICE("100\t7")));
	assert_int_equal(proc_field_u64(SLICE(text), "last", &v), 0);
	assert_int_equal(v, 5);
	assert_int_equal(proc_field_u64(SLICE(text), "Read", &v), -EINVAL);
	assert_int_equal(proc_field_u64(SLICE(text), "VmR", &v), -ENOENT);
	assert_int_equal(proc_field_u64(SLICE(text), "gid", &v), -ENOENT);
}

static void t_maps(void **state)
{
	static const struct {
		const char *line, *path;
		u64 start, off, inode;
		bool exec;
	} rows[] = {
		{ "7f12a4600000-7f12a4800000 r-xp 00026000 fe:01 1234567                    "
		  "/usr/lib/x86_64-linux-gnu/libc.so.6",
		  "/usr/lib/x86_64-linux-gnu/libc.so.6", 0x7f12a4600000, 0x26000, 1234567, true },
		{ "7ffd1000-7ffd2000 r-xp 00000000 00:00 0                          [vdso]",
		  "[vdso]", 0x7ffd1000, 0, 0, true },
		{ "55d0c000-55d0d000 rw-p 00000000 00:00 0 ", "", 0x55d0c000, 0, 0, false },
		{ "1000-2000 --xp 0 8:1 5  /a b/c (deleted)", "/a b/c (deleted)", 0x1000, 0, 5,
		  true },
		{ "1000-2000 r--s 10 8:1 5 /x\\012y", "/x\\012y", 0x1000, 0x10, 5, false },
	};
	static const char *const bad[] = {
		"",
		"1000",
		"1000-",
		"1000-2000",
		"2000-1000 r-xp 0 0:0 0",
		"1000-1000 r-xp 0 0:0 0",
		"1000-2000 r-x 0 0:0 0",
		"1000-2000 r-xp",
		"1000-2000 r-xp 0 00 0",
		"fffffffffffffffff-1 r-xp 0 0:0 0",
	};
	struct proc_map m;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		assert_int_equal(proc_parse_map(slice_str(rows[i].line), &m), 0);
		assert_true(slice_eq(m.path, slice_str(rows[i].path)));
		assert_int_equal(m.start, rows[i].start);
		assert_int_equal(m.file_off, rows[i].off);
		assert_int_equal(m.inode, rows[i].inode);
		assert_int_equal(m.exec, rows[i].exec);
	}
	for (i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(proc_parse_map(slice_str(bad[i]), &m), -EINVAL);
}

static void t_own_maps(void **state)
{
	_release_(buf) struct buf b = BUF_INIT;
	u64 here = (u64)(uintptr_t)t_own_maps;
	struct slice text, line;
	struct proc_map m;
	int found = 0;

	(void)state;
	assert_int_equal(file_read("/proc/self/maps", &b, 4 << 20), 0);
	text = buf_slice(&b);
	while (proc_next_line(&text, &line)) {
		assert_int_equal(proc_parse_map(line, &m), 0);
		if (here >= m.start && here < m.end) {
			assert_true(m.exec && m.read && !m.write);
			assert_true(slice_ends(m.path, SLICE("/u_procparse")));
			found++;
		}
	}
	assert_int_equal(found, 1);
}

static void t_tcp(void **state)
{
	static const char v4[] =
		"   0: 0100007F:1F90 00000000:0000 0A 00000000:00000005 00:00000000 "
		"00000000  1000        0 54321 1 ffff8880 100 0 0 10 0";
	static const char v6[] = "  11: 00000000000000000000000001000000:C350 "
				 "0000000000000000FFFF00000100007F:1538 01 00000000:00000000 "
				 "02:000A 00000000     0        0 777 2 ffff 20 4 30 10 -1";
	static const char *const bad[] = {
		"  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt",
		"",
		"0:",
		"0: 0100007F",
		"0: 0100007F:1F90 0:0",
		"0: 0:12345 0:0 0A 0 0 0 0 0 1",
		"0: 0:1 0:0 0A 0 0 0",
	};
	struct proc_tcp t;
	size_t i;

	(void)state;
	assert_int_equal(proc_parse_tcp(SLICE(v4), &t), 0);
	assert_int_equal(t.local_port, 8080);
	assert_int_equal(t.state, PROC_TCP_LISTEN);
	assert_int_equal(t.inode, 54321);
	assert_int_equal(proc_parse_tcp(SLICE(v6), &t), 0);
	assert_int_equal(t.local_port, 50000);
	assert_int_equal(t.peer_port, 5432);
	assert_int_equal(t.state, PROC_TCP_ESTABLISHED);
	assert_int_equal(t.inode, 777);
	for (i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(proc_parse_tcp(slice_str(bad[i]), &t), -EINVAL);
}

static void t_unix(void **state)
{
	static const char *const bad[] = {
		"Num       RefCount Protocol Flags    Type St Inode Path",
		"",
		"ffff 2 0 0 1 3 5",
		"ffff: 2 0 0 1 3",
		"ffff: 2 0 0 1x 3 5",
	};
	struct proc_unix u;
	size_t i;

	(void)state;
	assert_int_equal(proc_parse_unix(SLICE("0000000000000000: 00000002 00000000 00010000 0001 "
					       "01 23456 /run/a b.sock"),
					 &u),
			 0);
	assert_true(u.listening && !u.connected && u.inode == 23456);
	assert_true(slice_eq(u.path, SLICE("/run/a b.sock")));
	assert_int_equal(proc_parse_unix(SLICE("ffff88: 00000003 00000000 00000000 0001 03 9"), &u),
			 0);
	assert_true(!u.listening && u.connected && u.inode == 9 && !u.path.n);
	for (i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(proc_parse_unix(slice_str(bad[i]), &u), -EINVAL);
}

static void t_socket_link(void **state)
{
	u64 inode = 0;

	(void)state;
	assert_int_equal(proc_parse_socket_link(SLICE("socket:[98765]"), &inode), 0);
	assert_int_equal(inode, 98765);
	assert_int_equal(proc_parse_socket_link(SLICE("pipe:[1]"), &inode), -EINVAL);
	assert_int_equal(proc_parse_socket_link(SLICE("socket:[1"), &inode), -EINVAL);
	assert_int_equal(proc_parse_socket_link(SLICE("socket:[]"), &inode), -EINVAL);
	assert_int_equal(proc_parse_socket_link(SLICE("socket:[1]x"), &inode), -EINVAL);
}

/* Arguments are written with spaces; each becomes a NUL. A '~' is a space inside one. */
static struct slice cmdline(const char *text, char *store)
{
	size_t n = strlen(text), i;

	for (i = 0; i <= n; i++)
		store[i] = text[i] == ' ' ? '\0' : text[i] == '~' ? ' ' : text[i];
	return slice_of(store, n ? n + 1 : 0);
}

static void t_cmdline(void **state)
{
	static const struct {
		const char *line, *script;
		bool module;
	} rows[] = {
		{ "/usr/bin/python3 -m uvicorn app:app", "uvicorn", true },
		{ "python3.11 -u -Wignore -X dev -muvicorn app:app", "uvicorn", true },
		{ "python3 -um http.server 80", "http.server", true },
		{ "python3 -W ignore -O /srv/app.py --port 80", "/srv/app.py", false },
		{ "python3 --check-hash-based-pycs always run.py", "run.py", false },
		{ "python3 -c import\tos -m x", "", false },
		{ "python3 -", "", false },
		{ "python3", "", false },
		{ "python3 -m", "", false },
		{ "python3 -- -odd.py", "-odd.py", false },
		{ "node --require ./trace.js --inspect=0 server.js", "server.js", false },
		{ "/usr/bin/node -r dotenv/config dist/main.js", "dist/main.js", false },
		{ "node -e 1", "", false },
		{ "java -Xmx1g -cp a.jar:b.jar -Dx=y com.acme.Main arg", "com.acme.Main", false },
		{ "java -jar /opt/app.jar", "/opt/app.jar", false },
		{ "java -m mod/com.acme.Main", "mod/com.acme.Main", true },
		{ "ruby -I lib bin/puma -p 3000", "bin/puma", false },
		{ "-bash -c ls", "", false },
		{ "/bin/sh -e /start.sh", "/start.sh", false },
		{ "nginx: worker process", "", false },
		{ "/usr/sbin/nginx -g daemon\toff;", "", false },
		{ "", "", false },
	};
	char store[256];
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		struct proc_program p;

		proc_parse_cmdline(cmdline(rows[i].line, store), &p);
		if (!slice_eq(p.script, slice_str(rows[i].script)) || p.module != rows[i].module)
			fail_msg("'%s': '%.*s' %d", rows[i].line, (int)p.script.n,
				 p.script.n ? p.script.p : "", p.module);
	}
}

static void t_app(void **state)
{
	static const char *const rows[][2] = {
		{ "python3 -m uvicorn shop:app --host localhost --port 80", "shop:app" },
		{ "python3 /venv/bin/uvicorn --host localhost shop:app", "shop:app" },
		{ "python3 -m uvicorn --reload shop", "shop" },
		{ "python3 -m uvicorn --log-level=info shop.main:make_app()",
		  "shop.main:make_app()" },
		{ "python3 /bin/gunicorn proj.wsgi --log-level info", "proj.wsgi" },
		{ "python3 /bin/gunicorn -w 4 -k uvicorn.workers.UvicornWorker proj.asgi:app",
		  "proj.asgi:app" },
		{ "python3 /bin/gunicorn --bind unix:shop --preload proj.wsgi", "proj.wsgi" },
		{ "python3 /bin/gunicorn --bind localhost:8000 proj.wsgi", "proj.wsgi" },
		{ "python3 -m uvicorn --new-switch shop:app", "shop:app" },
		{ "python3 -m uvicorn --new-switch shop", "" },
		{ "python3 /bin/celery -A proj worker", "proj" },
		{ "python3 -m flask --app=shop run", "shop" },
		{ "python3 -m flask --app shop run", "shop" },
		{ "python3 -m flask run", "" },
		{ "gunicorn:~master~[shop:app]", "shop:app" },
		{ "gunicorn:~master~[shop:app]~~", "shop:app" },
		{ "gunicorn:~master~[", "" },
		{ "gunicorn:~]", "" },
		{ "gunicorn:~[]", "" },
		{ "python3 -m uvicorn", "" },
		{ "python3 -m uvicorn 127.0.0.1:80", "" },
		{ "python3 -m uvicorn :app", "" },
		{ "python3 -m uvicorn shop:", "" },
		{ "python3 -m uvicorn a:b:c", "" },
		{ "python3 -m uvicorn a..b", "" },
		{ "python3 -m uvicorn a:b(", "" },
		{ "python3 -m uvicorn -A", "" },
		{ "python3 -m uvicorn.main shop:app", "" },
		{ "node uvicorn.js shop:app", "" },
	};
	char store[256];
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		struct proc_program p;

		proc_parse_cmdline(cmdline(rows[i][0], store), &p);
		if (!slice_eq(p.app, slice_str(rows[i][1])))
			fail_msg("'%s': '%.*s'", rows[i][0], (int)p.app.n, p.app.n ? p.app.p : "");
	}
}

static void t_match(void **state)
{
	static const struct {
		const char *glob, *comm, *exe, *line;
		bool want;
	} rows[] = {
		{ "uvicorn", "python3", "/usr/bin/python3.11", "python3 -m uvicorn a:b", true },
		{ "uvi*", "python3", "/usr/bin/python3.11", "python3 /venv/bin/uvicorn a:b", true },
		{ "app", "python3", "/usr/bin/python3.11", "python3 /srv/app.py", true },
		{ "app.py", "python3", "/usr/bin/python3.11", "python3 /srv/app.py", true },
		{ "/srv/*", "python3", "/usr/bin/python3.11", "python3 /srv/app.py", true },
		{ "/usr/bin/py*", "python3", "/usr/bin/python3.11", "python3 /srv/app.py", true },
		{ "python3.1?", "x", "/usr/bin/python3.11", "python3 /srv/app.py", true },
		{ "nginx", "nginx", "/usr/sbin/nginx", "nginx: worker process", true },
		{ "gunicorn", "python3", "/usr/bin/python3.11", "gunicorn: master [app]", true },
		{ "a:b", "python3", "/usr/bin/python3.11", "python3 -m uvicorn a:b", true },
		{ "shop", "python3", "/usr/bin/python3", "python3 /bin/uvicorn shop:app", true },
		{ "shop", "python3", "/usr/bin/python3", "python3 -m uvicorn shop.main:app", true },
		{ "shop.main", "python3", "/x", "python3 -m uvicorn shop.main:app", true },
		{ "main", "python3", "/x", "python3 -m uvicorn shop.main:app", false },
		{ "app", "python3", "/x", "python3 -m uvicorn shop:app", false },
		{ "sho*", "python3", "/x", "python3 -m gunicorn -w 4 shop:app", true },
		{ "shop", "gunicorn", "/x", "gunicorn:~worker~[shop:app]", true },
		{ "8000", "python3", "/x", "python3 -m uvicorn shop:app --port 8000", false },
		{ "info", "python3", "/x", "python3 -m uvicorn shop:app --log-level info", false },
		{ "a:b", "python3", "/x", "python3 run.py a:b", false },
		{ "", "python3", "/x", "python3 -m uvicorn", false },
		{ "uvicor", "python3", "/usr/bin/python3.11", "python3 -m uvicorn a:b", false },
		{ "srv", "python3", "/usr/bin/python3.11", "python3 /srv/app.py", false },
		{ "", "x", "/x", "x", false },
	};
	char store[256];
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(rows); i++)
		if (proc_name_matches(rows[i].glob, rows[i].comm, slice_str(rows[i].exe),
				      cmdline(rows[i].line, store)) != rows[i].want)
			fail_msg("row %zu: '%s' against '%s'", i, rows[i].glob, rows[i].line);
}

#define ID "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static void t_io_uring(void **state)
{
	(void)state;
	assert_true(proc_is_io_uring(SLICE("anon_inode:[io_uring]")));
	assert_false(proc_is_io_uring(SLICE("anon_inode:[io_uring] (deleted)")));
	assert_false(proc_is_io_uring(SLICE("/tmp/anon_inode:[io_uring]")));
	assert_false(proc_is_io_uring(SLICE("anon_inode:[eventpoll]")));
	assert_false(proc_is_io_uring(slice_of(NULL, 0)));
}

static void t_service(void **state)
{
	static const struct {
		const char *cgroup, *line, *want;
	} rows[] = {
		{ "0::/system.slice/shop.service\n", "python3 -m uvicorn a:b", "shop" },
		{ "4:memory:/x.service\n1:name=systemd:/system.slice/shop.service/sub\n", "x",
		  "shop" },
		{ "0::/user.slice/user@1000.service/app.slice/api.service", "x", "api" },
		{ "0::/user.slice/user@1000.service/session", "python3 -m uvicorn a:b", "uvicorn" },
		{ "0::/\n", "python3 /srv/app.py", "app" },
		{ "4:memory:/x.service\n", "/usr/bin/postgres -D x", "postgres" },
		{ "", "nginx: master process /usr/sbin/nginx", "nginx" },
		{ "", "", "exe-name" },
		{ "", "bash /dev/fd/63", "bash" },
		{ "garbage\n:\n::\n0::/.service", "prog", "prog" },
		/* Version 1 alone, as systemd lays it out. */
		{ "11:pids:/system.slice/shop.service\n10:cpu,cpuacct:/system.slice/shop.service\n"
		  "2:memory:/system.slice/shop.service\n1:name=systemd:/system.slice/"
		  "shop.service\n",
		  "x", "shop" },
		/* Both: version 2 without controllers comes last. */
		{ "9:memory:/\n1:name=systemd:/system.slice/shop@2.service\n"
		  "0::/system.slice/shop@2.service\n",
		  "x", "shop@2" },
		/* Without systemd: the hierarchies of controllers name no service. */
		{ "9:name=openrc:/sshd\n4:memory:/api/f7e1\n1:cpu:/\n0::/\n", "/sbin/sshd -D",
		  "sshd" },
		/* Seen from a cgroup namespace beside its own. */
		{ "0::/../../system.slice/shop.service\n", "x", "shop" },
		/* Containers: a unit outside holds the runtime, one inside is a service. */
		{ "0::/system.slice/docker-" ID ".scope\n", "node /app/server.js", "server" },
		{ "1:name=systemd:/docker/" ID "\n", "node /app/server.js", "server" },
		{ "1:name=systemd:/system.slice/containerd.service/kubepods-burstable-pod1.slice:"
		  "cri-containerd:" ID "\n",
		  "node /app/server.js", "server" },
		{ "0::/system.slice/docker.service/docker/" ID "\n", "x", "x" },
		{ "1:name=systemd:/docker/" ID "/system.slice/nginx.service\n", "x", "nginx" },
	};
	char store[256];
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		struct slice got =
			proc_service_name(slice_str(rows[i].cgroup), SLICE("/opt/exe-name"),
					  cmdline(rows[i].line, store));

		if (!slice_eq(got, slice_str(rows[i].want)))
			fail_msg("row %zu: '%.*s'", i, (int)got.n, got.p);
	}
}

static void t_runtime(void **state)
{
	static const char *const rows[][2] = {
		{ "libpython3.11.so.1.0", "python 3.11" },
		{ "libpython3.so", "python" },
		{ "python3.12", "python 3.12" },
		{ "python3", "python" },
		{ "python", "python" },
		{ "python3.11-config", NULL },
		{ "node", "node" },
		{ "nodejs", "node" },
		{ "libnode.so.108", "node" },
		{ "node_exporter", NULL },
		{ "libjvm.so", "java" },
		{ "nginx", "nginx" },
		{ "libruby-3.1.so.3.1", "ruby" },
		{ "php-fpm8.2", "php 8.2" },
		{ "libc.so.6", NULL },
		{ "", NULL },
	};
	char got[32];
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		bool hit = proc_runtime_of(slice_str(rows[i][0]), got, sizeof(got));

		if (hit != (rows[i][1] != NULL) || (hit && strcmp(got, rows[i][1])))
			fail_msg("'%s': %d '%s'", rows[i][0], hit, hit ? got : "");
	}
	assert_string_equal(proc_tls_library(SLICE("libssl.so.3")), "OpenSSL");
	assert_string_equal(proc_tls_library(SLICE("libgnutls.so.30")), "GnuTLS");
	assert_null(proc_tls_library(SLICE("libc.so.6")));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(t_stat),     cmocka_unit_test(t_stat_bad),
		cmocka_unit_test(t_own_stat), cmocka_unit_test(t_fields),
		cmocka_unit_test(t_maps),     cmocka_unit_test(t_own_maps),
		cmocka_unit_test(t_tcp),      cmocka_unit_test(t_socket_link),
		cmocka_unit_test(t_unix),     cmocka_unit_test(t_cmdline),
		cmocka_unit_test(t_app),      cmocka_unit_test(t_match),
		cmocka_unit_test(t_service),  cmocka_unit_test(t_runtime),
		cmocka_unit_test(t_io_uring),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
