#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# The checkers must find what they are for: small trees with one violation each, and one without.
set -euo pipefail
top=$(cd "$(dirname "$0")/../.." && pwd)
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
failed=0

spdx='/* SPDX-License-Identifier: Apache-2.0 */'

# expect CHECKER STATUS TEXT: runs it over the tree; TEXT must be in what it prints.
expect() {
	local out status=0
	out=$("$top/tools/$1" "$tree" 2>&1) || status=$?
	if [ "$status" -ne "$2" ] || ! grep -qF -- "$3" <<<"$out"; then
		printf 'FAILED: %s: wanted status %s and "%s", got %s:\n%s\n' "$1" "$2" "$3" "$status" "$out"
		failed=1
	fi
	fresh
}

fresh() {
	rm -rf "${tree:?}"/*
	mkdir -p "$tree"/user/{sym,base,agg,new} "$tree"/{bpf,include/hp}
	cp "$top/.clang-format" "$tree"
}

# put FILE LINE…
put() {
	local file=$1
	shift
	printf '%s\n' "$spdx" "$@" >"$tree/$file"
}

fresh
put user/sym/a.c '#include <stdio.h>' '#include "sym/a.h"' '#include "base/b.h"' '#include "hp/abi.h"'
expect check-layers.sh 0 '4 includes, 0 refused'
put user/sym/a.c '#include "agg/agg.h"'
expect check-layers.sh 1 'user/sym/a.c:2: sym/ may not include "agg/agg.h"'
put user/agg/a.c '  #  include "proto/proto.h"'
expect check-layers.sh 1 'agg/ may not include "proto/proto.h"'
put user/agg/a.c '#include "proto/sql.h"'
expect check-layers.sh 0 '1 includes, 0 refused'
put user/sym/a.c '#include <bpf/libbpf.h>'
expect check-layers.sh 1 '<bpf/libbpf.h> belongs to: load'
put user/base/a.h '#include "hp/events.h"'
expect check-layers.sh 1 'base/ stands on nothing but itself'
put user/new/a.c '#include "base/b.h"'
expect check-layers.sh 1 "stage 'new' has no row"
put bpf/a.bpf.c '#include "base/b.h"'
expect check-layers.sh 1 'bpf/ may not include "base/b.h"'
put include/hp/a.h '#include <stdint.h>'
expect check-layers.sh 1 'include/hp/ stands on nothing but itself'
expect check-layers.sh 1 'nothing was checked'

put user/sym/a.c '/* strcpy(a, b) // is fine here' ' * and here: sprintf( */' \
	'static const char *s = "http://x system(y) \" // z";' "static char c = '\"';" \
	'int my_system(int x);'
expect check-style.sh 0 '0 refused'
put user/sym/a.c 'int x; // comment'
expect check-style.sh 1 'user/sym/a.c:2: comment in slashes'
for f in strcpy strcat sprintf vsprintf gets system atoi; do
	put user/sym/a.c "void f(void) { $f (0); }"
	expect check-style.sh 1 'user/sym/a.c:2: function without bounds'
done
put user/sym/a.c 'const char *p = "x"; /* see'  ' */ int y = atoi("7");'
expect check-style.sh 1 'user/sym/a.c:3: function without bounds'
echo 'int x;' >"$tree/user/sym/a.c"
expect check-style.sh 1 'user/sym/a.c: no SPDX line'
mapfile -t long < <(seq -f 'int x%.0f;' 1200)
put user/sym/a.c "${long[@]:0:900}"
expect check-style.sh 0 'user/sym/a.c: warning: 901 lines'
put user/sym/a.c "${long[@]}"
expect check-style.sh 1 'user/sym/a.c: 1201 lines, at most 1200'
put user/sym/a.c 'const char *p = "/ro''ot/x";'
expect check-style.sh 1 'path of one machine'
expect check-style.sh 1 'nothing was checked'
if clang-format --version 2>/dev/null | grep -q 'version 14'; then
	put user/sym/a.c 'int   x;'
	expect check-style.sh 1 "layout differs"
fi

[ "$failed" -eq 0 ] && echo 'check-tools: the checkers find what they are for'
exit "$failed"
