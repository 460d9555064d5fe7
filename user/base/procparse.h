/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Texts of procfs, parsed without touching procfs. A target chooses its own names, paths and
 * arguments, so every text is hostile: a field that is missing or absurd gives -EINVAL, never a
 * guess. Slices point into the text that was passed.
 */
#ifndef BASE_PROCPARSE_H
#define BASE_PROCPARSE_H

#include "base/slice.h"

#define PROC_COMM_LEN 16
#define PROC_PF_KTHREAD 0x00200000 /* the kernel's task flag in field 9 of stat */
#define PROC_ARGS_MAX 64 /* arguments looked at */

/* /proc/PID/stat */
struct proc_stat {
	char comm[PROC_COMM_LEN + 1]; /* may hold any byte but NUL, brackets and spaces too */
	char state;
	u32 pid;
	u32 ppid;
	u32 flags;
	u32 threads;
	u64 minor_faults;
	u64 major_faults;
	u64 user_ticks;
	u64 system_ticks;
	u64 start_ticks; /* after boot */
	u64 vms_bytes;
	u64 rss_pages;
};

int proc_parse_stat(struct slice text, struct proc_stat *ret);

/* "Key:  value" lines of status, io, meminfo; -ENOENT when the key is not there. */
int proc_field(struct slice text, const char *key, struct slice *ret);
int proc_field_u64(struct slice text, const char *key, u64 *ret); /* the first number of it */
int proc_field_hex(struct slice text, const char *key, u64 *ret);

/* One line of /proc/PID/maps. */
struct proc_map {
	u64 start;
	u64 end;
	u64 file_off;
	u64 inode;
	u32 dev_major;
	u32 dev_minor;
	bool read, write, exec;
	struct slice path; /* "" = anonymous; octal escapes are left as they are */
};

int proc_parse_map(struct slice line, struct proc_map *ret);
/* Takes the next line off *text (without its newline); false at the end. */
bool proc_next_line(struct slice *text, struct slice *ret);

#define PROC_TCP_ESTABLISHED 1
#define PROC_TCP_LISTEN 10

/* One line of /proc/PID/net/tcp or tcp6; the heading gives -EINVAL. */
struct proc_tcp {
	u64 inode;
	u16 local_port;
	u16 peer_port;
	u8 state;
};

int proc_parse_tcp(struct slice line, struct proc_tcp *ret);

/* One line of /proc/PID/net/unix; the heading gives -EINVAL. */
struct proc_unix {
	u64 inode;
	bool listening;
	bool connected;
	struct slice path; /* "" = unnamed; '@' first = abstract */
};

int proc_parse_unix(struct slice line, struct proc_unix *ret);
int proc_parse_socket_link(struct slice link, u64 *ret_inode); /* "socket:[123]" */
/* Whether a link in fd, or a path in maps, is an io_uring's. */
bool proc_is_io_uring(struct slice name);

/* The part of a path behind the last '/'. */
struct slice proc_basename(struct slice path);

/* What a command line runs. */
struct proc_program {
	struct slice argv0;
	struct slice script; /* interpreters: script path, module or jar; empty = none */
	bool module; /* script is a module name (python -m, java -m) */
	struct slice app; /* Python servers: what they serve, "shop:app"; empty = none */
};

/* cmdline as in procfs: arguments with a NUL behind each. */
void proc_parse_cmdline(struct slice cmdline, struct proc_program *ret);

/*
 * Whether glob (fnmatch) names the process: its comm, argv[0] (or the title before ':' that servers
 * put there), executable, script or module, each as base name and without extension; of a Python
 * server also the application that it is told to serve, whole, without ":attribute" and by package.
 * A glob with a '/' is held against the whole paths instead.
 */
bool proc_name_matches(const char *glob, const char *comm, struct slice exe, struct slice cmdline);

/*
 * A name for reports: the systemd unit in /proc/PID/cgroup's text, else the script or module, else
 * the program. Never empty unless all three are.
 */
struct slice proc_service_name(struct slice cgroup, struct slice exe, struct slice cmdline);

/* "python 3.11", "node", "java", … by the base name of an executable or mapped library. */
bool proc_runtime_of(struct slice base, char *ret, size_t n);
/* A library that speaks TLS; its short name, NULL = none. */
const char *proc_tls_library(struct slice base);

#endif
