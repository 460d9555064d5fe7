#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Enforces the direction of the flow: check-layers.sh [TREE]. A stage under user/ includes only its
# own headers, base/, hp/, and what the table below lists; user/main.c only cmd/ and base/; the
# library only C and its named bought parts; bpf/ and include/ nothing of user space.
#
# Prints one line a violation and a count; exit 1 when there is one.
set -euo pipefail
cd "${1:-$(dirname "$0")/..}"

# Stage, then what it may include besides its own headers, base/ and hp/. A row is a decision: the
# output of the stage before, never its insides.
declare -A may=(
	[base]=''
	[decode]=''
	[sym]=''
	[unwind]='sym/elf.h sym/image.h sym/ehpointer.h sym/gopclntab.h'
	[proto]='session/span.h'
	[session]='proto/proto.h decode/record.h agg/agg.h'
	[ledger]='bind/lineage.h session/span.h'
	[agg]='session/span.h proto/sql.h ledger/ledger.h ledger/phase.h'
	[bind]='session/span.h'
	[rules]='agg/agg.h'
	[out]='agg/agg.h bind/bind.h ledger/phase.h'
	# The last three: the walk of user stacks as ordinary code, stillwalk.c.
	[load]='decode/channel.h decode/record.h decode/stream.h unwind/tableimage.h hostprof.skel.h feat.skel.h
		vmlinux.h lib/hp.bpf.h unwind/native.bpf.h'
	[cmd]='*/*.h'
	[main.c]='cmd/cmd.h'
)

# Bought parts by prefix of the header, and the stages that may know them.
declare -A bought=(
	[bpf/]='load'
	[libelf.h]='load sym'
	[elfutils/]='sym'
	[gelf.h]='load sym'
	[libiberty/]='sym'
	[lzma.h]='sym'
	[zlib.h]='sym out'
	[cjson/]='base out cmd'
	[microhttpd.h]='daemon'
	[curl/]='daemon'
	[sqlite3.h]='daemon'
	[ncurses.h]='cmd'
)

bad=0
checked=0
refuse() {
	printf '%s\n' "$1"
	bad=$((bad + 1))
}

# Whether header $1 matches a pattern in list $2.
listed() {
	local header=$1 pattern
	set -f
	for pattern in $2; do
		# shellcheck disable=SC2053 # the right side is meant as a pattern
		if [[ $header == $pattern ]]; then
			set +f
			return 0
		fi
	done
	set +f
	return 1
}

check_user() {
	local file=$1 line=$2 kind=$3 header=$4 stage part
	stage=${file#user/}
	stage=${stage%%/*}
	if [[ -z ${may[$stage]+set} ]]; then
		refuse "$file:$line: stage '$stage' has no row in tools/check-layers.sh"
	elif [[ $kind == '<' ]]; then
		for part in "${!bought[@]}"; do
			[[ $header == "$part"* ]] || continue
			listed "$stage" "${bought[$part]}" ||
				refuse "$file:$line: <$header> belongs to: ${bought[$part]}"
		done
	elif ! listed "$header" "$stage/* base/* hp/* ${may[$stage]}"; then
		refuse "$file:$line: $stage/ may not include \"$header\""
	elif [[ $stage == base && $header != base/* ]]; then
		refuse "$file:$line: base/ stands on nothing but itself"
	fi
}

check_bpf() {
	local file=$1 line=$2 kind=$3 header=$4
	if [[ $kind == '"' ]]; then
		# A probe may be a program a rung: its .bpf.c brings them together.
		listed "$header" 'lib/*.h unwind/*.h hp/* vmlinux.h' ||
			[[ $file == bpf/probes/*.bpf.c && $header == probes/*.bpf.h ]] ||
			refuse "$file:$line: bpf/ may not include \"$header\""
	else
		listed "$header" 'bpf/*' || refuse "$file:$line: bpf/ may not include <$header>"
	fi
}

include='^[[:space:]]*#[[:space:]]*include[[:space:]]*(["<])([^">]+)[">]'
while IFS=: read -r file line text; do
	[[ $text =~ $include ]] || continue
	kind=${BASH_REMATCH[1]}
	header=${BASH_REMATCH[2]}
	checked=$((checked + 1))
	case $file in
	user/*) check_user "$file" "$line" "$kind" "$header" ;;
	bpf/*) check_bpf "$file" "$line" "$kind" "$header" ;;
	include/hp/*)
		[[ $kind == '"' && -e include/hp/$header ]] ||
			refuse "$file:$line: include/hp/ stands on nothing but itself"
		;;
	esac
done < <(find user bpf include -name '*.[ch]' -not -path 'bpf/vmlinux/*' -print0 | sort -z |
	xargs -0r grep -nE '^[[:space:]]*#[[:space:]]*include' /dev/null)

if [ "$checked" -eq 0 ]; then
	echo 'check-layers: no include found, so nothing was checked'
	exit 1
fi
echo "check-layers: $checked includes, $bad refused"
[ "$bad" -eq 0 ]
