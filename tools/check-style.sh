#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# The rules of style that a machine can check: check-style.sh [TREE]. Layout by clang-format 14 (its
# releases disagree, so another one is only named), length of files, licence line, comments in
# slashes, functions without bounds, paths of somebody's machine.
#
# Prints one line a violation and a count; exit 1 when there is one. Warnings do not count.
set -euo pipefail
cd "${1:-$(dirname "$0")/..}"

lines_max=1200
lines_warn=800
banned='strcpy|strcat|sprintf|vsprintf|gets|system|atoi'
private='(^|[^[:alnum:]_.$}/-])/(home|root|wor[k]|Users)/'

bad=0
refuse() {
	printf '%s\n' "$1"
	bad=$((bad + 1))
}

# Sources that people write: not the corpus, golden files or the kernel's trimmed types.
if git rev-parse --is-inside-work-tree >/dev/null 2>&1 && [ -n "$(git ls-files | head -1)" ]; then
	list() { git ls-files -z --cached --others --exclude-standard; }
else
	list() { find . -path ./.output -prune -o -path ./.git -prune -o -type f -printf '%P\0'; }
fi
mapfile -d '' -t files < <(list |
	grep -zE '(^|/)(Makefile|[^/]*\.(c|h|def|mk|sh|py|js|md))$' |
	grep -zvE '^tests/fuzz/corpus/|/golden/|^bpf/vmlinux/|^\.output' | sort -zu)
c_files=()
for f in "${files[@]}"; do
	[ -e "$f" ] || continue
	case $f in *.c | *.h) c_files+=("$f") ;; esac
	n=$(wc -l <"$f")
	if [ "$n" -gt $lines_max ] && [[ $f != *.md ]]; then
		refuse "$f: $n lines, at most $lines_max"
	elif [ "$n" -gt $lines_warn ] && [[ $f != *.md ]]; then
		echo "$f: warning: $n lines, over $lines_warn"
	fi
	[[ $f == *.md ]] || head -n 3 "$f" | grep -q 'SPDX-License-Identifier: ' ||
		refuse "$f: no SPDX line at the top"
	while IFS= read -r hit; do
		refuse "$f:${hit%%:*}: path of one machine: ${hit#*:}"
	done < <(grep -nE "$private" "$f" || true)
done

if [ ${#c_files[@]} -eq 0 ]; then
	echo 'check-style: no C file found, so nothing was checked'
	exit 1
fi

# Walks the C text once; comments and literals do not count as code, nor literals as comments.
while IFS= read -r hit; do
	refuse "$hit"
done < <(awk -v banned="(^|[^[:alnum:]_.>])($banned)[[:space:]]*\\\\(" '
	FNR == 1 { state = "code" }
	{
		code = ""
		n = length($0)
		for (i = 1; i <= n; i++) {
			c = substr($0, i, 1)
			two = substr($0, i, 2)
			if (state == "comment") {
				if (two == "*/") { state = "code"; i++ }
			} else if (state == "code") {
				if (two == "/*") { state = "comment"; i++; code = code " " }
				else if (two == "//") {
					print FILENAME ":" FNR ": comment in slashes"
					break
				} else {
					if (c == "\"" || c == "\047") state = c
					code = code c
				}
			} else if (c == "\\") i++
			else if (c == state) { state = "code"; code = code c }
		}
		# A literal does not reach over a line unless a backslash ends it.
		if (state != "comment" && substr($0, n, 1) != "\\") state = "code"
		if (code ~ banned) print FILENAME ":" FNR ": function without bounds: " $0
	}' "${c_files[@]}")

version=$(clang-format --version 2>/dev/null | sed -nE 's/.*version ([0-9]+).*/\1/p')
if [ "$version" = 14 ]; then
	while IFS= read -r f; do
		refuse "$f: layout differs, run 'make format'"
	done < <(clang-format --dry-run "${c_files[@]}" 2>&1 |
		sed -nE 's/^([^:]+):[0-9]+:[0-9]+: warning: code should be clang-formatted.*/\1/p' | sort -u)
else
	echo "check-style: layout not checked: clang-format 14 is wanted, ${version:-none} is here"
fi

echo "check-style: ${#files[@]} files, $bad refused"
[ "$bad" -eq 0 ]
