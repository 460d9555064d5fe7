/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is where in the heap of a V8 (Node, and what else embeds it), by what the binary says of itself:
 * V8 exports constants for debuggers that look at dead processes, `v8dbg_…` (its own
 * tools/gen-postmortem-metadata.py makes them). So no table of versions is needed, and a version whose
 * objects are laid out otherwise says so or has no such symbols.
 */
#ifndef UNWIND_V8_H
#define UNWIND_V8_H

#include "sym/elf.h"

#define V8_FIELD_MAX 1024 /* offsets of fields are below */
#define V8_WORD 8 /* a tagged value; with compressed pointers 4, which is not read */

/* Offsets are from an object's beginning; a pointer to it is one more than its address. */
struct v8_layout {
	s32 fp_function; /* of a JavaScript frame, from its frame pointer: the JSFunction */
	s32 fp_context; /* and the word above it, which in frames of other code is a number */
	s32 map_type;
	s32 function_shared;
	s32 shared_name; /* name, or ScopeInfo */
	s32 shared_script;
	s32 script_name;
	s32 script_source;
	s32 script_type; /* lies three words behind line_offset, when the order is the known one */
	s32 string_length;
	s32 one_byte_chars;
	s32 two_byte_chars;
	s32 cons_first;
	s32 cons_second;
	s32 sliced_parent;
	s32 sliced_offset;
	s32 thin_actual;
	s32 external_resource; /* then comes where the characters are */
	s32 scope_locals; /* ScopeInfo: index of the number of local variables, */
	s32 scope_vars; /* and of the first one */
	s32 smi_shift;
	/* Instance types, */
	s32 type_shared;
	s32 type_scope;
	s32 type_script;
	s32 type_oddball;
	s32 type_map;
	s32 first_nonstring;
	/* and bits of a string's. */
	s32 shape_mask;
	s32 shape_seq;
	s32 shape_cons;
	s32 shape_external;
	s32 shape_sliced;
	s32 shape_thin;
	s32 one_byte_mask;
	s32 one_byte;
};

/*
 * Of the file, by its .dynsym or .symtab. 0; -ENOENT there is no V8 in it; -ENOTSUP it is laid out in a way
 * that is not read; -ENOMEM, or errors of elf_open().
 */
int v8_file_read(const struct elf *e, struct v8_layout *ret);

#endif
