/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What HotSpot's methods and stubs are called: "package.Class.method", as its own dumps have it, and the
 * name of the stub. Read from the process's memory, hostile: a method that does not look like one in every
 * step from Method to Symbol has no name.
 */
#ifndef UNWIND_JVMNAMES_H
#define UNWIND_JVMNAMES_H

#include "unwind/jvmheap.h"

#define JVM_CLASS_TEXT 384
#define JVM_METHOD_TEXT 512 /* class and method, or a file */

struct jvm_method_text {
	char name[JVM_METHOD_TEXT];
	char file[JVM_METHOD_TEXT];
	u32 line; /* 0 = not known */
};

/*
 * What the code at an address of a compiled method is of: methods that were inlined there, innermost
 * first, at last the method itself. How many; 0: nobody says.
 */
u32 jvm_scopes(const struct jvm_layout *l, struct jvm_mem *m, const struct jvm_blob *b, u64 addr,
	       struct jvm_method_text *ret, u32 max);
/* The compiled method's or the stub's name. False: it has none. */
bool jvm_blob_name(const struct jvm_layout *l, struct jvm_mem *m, const struct jvm_blob *b,
		   char *text, size_t size);
/* Of an interpreted method; bcp: low half of the address of what it runs, 0 = not known. */
bool jvm_method_text(const struct jvm_layout *l, struct jvm_mem *m, u64 method, u32 bcp,
		     struct jvm_method_text *ret);

#endif
