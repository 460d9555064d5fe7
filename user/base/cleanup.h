/* SPDX-License-Identifier: Apache-2.0 */
/* Scope-bound ownership. Destructors take NULL and half-built objects; take_ptr() hands over. */
#ifndef BASE_CLEANUP_H
#define BASE_CLEANUP_H

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static inline void cleanup_free(void *p)
{
	free(*(void **)p);
}

static inline void cleanup_close(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

static inline void cleanup_fclose(FILE **f)
{
	if (*f)
		fclose(*f);
}

#define _free_ __attribute__((cleanup(cleanup_free)))
#define _close_ __attribute__((cleanup(cleanup_close)))
#define _fclose_ __attribute__((cleanup(cleanup_fclose)))
/* _release_(buf): calls buf_release(&x) at the end of the scope. */
#define _release_(type) __attribute__((cleanup(type##_release)))

#define take_ptr(p)                                                                                \
	({                                                                                         \
		typeof(p) t_ = (p);                                                                \
		(p) = NULL;                                                                        \
		t_;                                                                                \
	})
#define take_fd(fd)                                                                                \
	({                                                                                         \
		int t_ = (fd);                                                                     \
		(fd) = -1;                                                                         \
		t_;                                                                                \
	})

#endif
