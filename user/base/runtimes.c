/* SPDX-License-Identifier: Apache-2.0 */
/* See runtimes.h: the table. A new runtime is a row here and, when its frames are read, its own file. */
#include "base/runtimes.h"

#include <string.h>

#include "base/types.h"

const struct runtime runtimes[] = {
	{
		.name = "python",
		.frames = "the interpreter's own, in place of its loop",
		.names = "code objects: function, file and line",
	},
	{
		.name = "go",
		.frames = "frame pointers",
		.names = ".gopclntab: function, file and line, in stripped files too",
	},
	{
		.name = "node",
		.frames = "frame pointers, which V8 keeps",
		.names = "V8's own objects: function, file and its first line; symbols of builtins",
	},
	{
		.name = "java",
		.frames = "tables made of the code that HotSpot has generated, and the "
			  "interpreter's own",
		.names = "methods, compiled, inlined and interpreted: function, file and line; "
			 "tried with 17",
	},
	{
		.name = "dotnet",
		.frames = "frame pointers",
		.names = "perf map",
		.advice = "start it with DOTNET_PerfMapEnabled=1",
	},
	{
		.name = "erlang",
		.frames = "frame pointers",
		.names = "perf map",
		.advice = "start it with +JPperf true",
		.flag = "+JPfp true",
	},
	/* Interpreters whose frames are not read: what shows is the interpreter's own C code. */
	{ .name = "ruby", .frames = "those of its C code", .names = "symbols of its C code" },
	{ .name = "php", .frames = "those of its C code", .names = "symbols of its C code" },
};

const unsigned nruntimes = ARRAY_SIZE(runtimes);

const struct runtime *runtime_find(const char *text)
{
	unsigned i;

	for (i = 0; i < nruntimes; i++) {
		size_t n = strlen(runtimes[i].name);

		if (!strncmp(text, runtimes[i].name, n) && (!text[n] || text[n] == ' '))
			return &runtimes[i];
	}
	return NULL;
}
