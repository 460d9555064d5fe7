/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the system calls that can block wait for, by number: an enum hp_wait, or which argument tells.
 * Calls that are not listed wait for something else. Numbers: arch/x86/entry/syscalls/syscall_64.tbl.
 */
#ifndef BPF_WAITCALLS_H
#define BPF_WAITCALLS_H

#include "lib/hp.bpf.h"

enum wait_class {
	CALL_FD0 = HP_WAIT_MAX, /* the file of the first argument */
	CALL_FD1,
	CALL_POLL,
	CALL_FCNTL,
};

#define WAIT_CALLS 512 /* a power of two */

#if defined(__TARGET_ARCH_x86)

static const volatile __u8 wait_calls[WAIT_CALLS] = {
	[0] = CALL_FD0, /* read */
	[1] = CALL_FD0, /* write */
	[2] = HP_WAIT_DISK, /* open */
	[4] = HP_WAIT_DISK, /* stat */
	[6] = HP_WAIT_DISK, /* lstat */
	[7] = CALL_POLL, /* poll */
	[16] = CALL_FD0, /* ioctl */
	[17] = CALL_FD0, /* pread64 */
	[18] = CALL_FD0, /* pwrite64 */
	[19] = CALL_FD0, /* readv */
	[20] = CALL_FD0, /* writev */
	[21] = HP_WAIT_DISK, /* access */
	[23] = HP_WAIT_POLL, /* select */
	[26] = HP_WAIT_DISK, /* msync */
	[34] = HP_WAIT_EVENT, /* pause */
	[35] = HP_WAIT_SLEEP, /* nanosleep */
	[40] = CALL_FD1, /* sendfile */
	[42] = HP_WAIT_SOCKET, /* connect */
	[43] = HP_WAIT_IDLE, /* accept */
	[44] = HP_WAIT_SOCKET, /* sendto */
	[45] = HP_WAIT_SOCKET, /* recvfrom */
	[46] = HP_WAIT_SOCKET, /* sendmsg */
	[47] = HP_WAIT_SOCKET, /* recvmsg */
	[56] = HP_WAIT_CHILD, /* clone */
	[58] = HP_WAIT_CHILD, /* vfork */
	[59] = HP_WAIT_DISK, /* execve */
	[61] = HP_WAIT_CHILD, /* wait4 */
	[65] = HP_WAIT_LOCK, /* semop */
	[69] = HP_WAIT_EVENT, /* msgsnd */
	[70] = HP_WAIT_EVENT, /* msgrcv */
	[72] = CALL_FCNTL, /* fcntl */
	[73] = HP_WAIT_LOCK, /* flock */
	[74] = HP_WAIT_DISK, /* fsync */
	[75] = HP_WAIT_DISK, /* fdatasync */
	[76] = HP_WAIT_DISK, /* truncate */
	[77] = HP_WAIT_DISK, /* ftruncate */
	[78] = HP_WAIT_DISK, /* getdents */
	[82] = HP_WAIT_DISK, /* rename */
	[83] = HP_WAIT_DISK, /* mkdir */
	[84] = HP_WAIT_DISK, /* rmdir */
	[85] = HP_WAIT_DISK, /* creat */
	[86] = HP_WAIT_DISK, /* link */
	[87] = HP_WAIT_DISK, /* unlink */
	[88] = HP_WAIT_DISK, /* symlink */
	[89] = HP_WAIT_DISK, /* readlink */
	[128] = HP_WAIT_EVENT, /* rt_sigtimedwait */
	[130] = HP_WAIT_EVENT, /* rt_sigsuspend */
	[162] = HP_WAIT_DISK, /* sync */
	[187] = HP_WAIT_DISK, /* readahead */
	[202] = HP_WAIT_FUTEX, /* futex */
	[208] = HP_WAIT_DISK, /* io_getevents */
	[209] = HP_WAIT_DISK, /* io_submit */
	[217] = HP_WAIT_DISK, /* getdents64 */
	[220] = HP_WAIT_LOCK, /* semtimedop */
	[221] = HP_WAIT_DISK, /* fadvise64 */
	[230] = HP_WAIT_SLEEP, /* clock_nanosleep */
	[232] = HP_WAIT_IDLE, /* epoll_wait */
	[242] = HP_WAIT_EVENT, /* mq_timedsend */
	[243] = HP_WAIT_EVENT, /* mq_timedreceive */
	[247] = HP_WAIT_CHILD, /* waitid */
	[257] = HP_WAIT_DISK, /* openat */
	[258] = HP_WAIT_DISK, /* mkdirat */
	[262] = HP_WAIT_DISK, /* newfstatat */
	[263] = HP_WAIT_DISK, /* unlinkat */
	[264] = HP_WAIT_DISK, /* renameat */
	[269] = HP_WAIT_DISK, /* faccessat */
	[270] = HP_WAIT_POLL, /* pselect6 */
	[271] = CALL_POLL, /* ppoll */
	[275] = CALL_FD0, /* splice */
	[277] = HP_WAIT_DISK, /* sync_file_range */
	[281] = HP_WAIT_IDLE, /* epoll_pwait */
	[285] = HP_WAIT_DISK, /* fallocate */
	[288] = HP_WAIT_IDLE, /* accept4 */
	[295] = CALL_FD0, /* preadv */
	[296] = CALL_FD0, /* pwritev */
	[299] = HP_WAIT_SOCKET, /* recvmmsg */
	[306] = HP_WAIT_DISK, /* syncfs */
	[307] = HP_WAIT_SOCKET, /* sendmmsg */
	[316] = HP_WAIT_DISK, /* renameat2 */
	[322] = HP_WAIT_DISK, /* execveat */
	[326] = HP_WAIT_DISK, /* copy_file_range */
	[327] = CALL_FD0, /* preadv2 */
	[328] = CALL_FD0, /* pwritev2 */
	[332] = HP_WAIT_DISK, /* statx */
	[333] = HP_WAIT_DISK, /* io_pgetevents */
	[426] = HP_WAIT_RING, /* io_uring_enter */
	[435] = HP_WAIT_CHILD, /* clone3 */
	[437] = HP_WAIT_DISK, /* openat2 */
	[439] = HP_WAIT_DISK, /* faccessat2 */
	[441] = HP_WAIT_IDLE, /* epoll_pwait2 */
	[449] = HP_WAIT_FUTEX, /* futex_waitv */
	[455] = HP_WAIT_FUTEX, /* futex_wait */
};

#endif

#endif
