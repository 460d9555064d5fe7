#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# `make test-bare`: do `make demo` and `make test` set themselves up on a bare Debian 12?
#
# Makes a minimal root with debootstrap in a temporary directory, copies the tree into it, and runs
# both commands inside a chroot in its own mount namespace (so no mount is left over), with /proc,
# /sys and /dev of the host. Mirror, keys, proxies and credentials are
# those of this host's apt. Prints the result of each command; exit 1 when one failed.
# Options: --keep leaves the root; arguments replace the commands (default: demo test).
set -euo pipefail
cd "$(dirname "$0")/.."

suite=bookworm
keep=0
if [ "${1:-}" = --keep ]; then
	keep=1
	shift
fi
targets=("${@:-}")
[ -n "${targets[0]}" ] || targets=(demo test)

fail() {
	printf 'test-bare: %s\n' "$*" >&2
	exit 1
}

[ "$(id -u)" = 0 ] || fail "debootstrap and chroot need root: run 'sudo make test-bare'"
command -v debootstrap >/dev/null || tools/install-deps.sh test
command -v debootstrap >/dev/null || fail "debootstrap is not installed and not in the archives"

# The first mirror that apt has for the suite, or for any Debian main archive.
mirror=$(apt-get indextargets --format '$(SITE) $(RELEASE) $(COMPONENT) $(REPO_URI)' \
	'Created-By: Packages' 2>/dev/null |
	awk -v s=$suite '$3 == "main" && $2 == s { print $4; exit }')
[ -n "$mirror" ] || fail "this host's apt has no archive of Debian $suite to install from"

root=$(mktemp -d /var/tmp/hostprof-bare.XXXXXX)
chmod 755 "$root"
cleanup() {
	# The namespaces took their mounts with them; a mount still there must not be deleted through.
	if grep -q " $root/" /proc/mounts; then
		printf 'test-bare: something is still mounted below %s, left as it is\n' "$root" >&2
	elif [ $keep = 1 ]; then
		printf 'test-bare: root kept in %s\n' "$root"
	else
		rm -rf --one-file-system "$root"
	fi
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

eval "$(apt-config shell proxy Acquire::http::Proxy sproxy Acquire::https::Proxy)"
export http_proxy=${proxy:-${http_proxy:-}} https_proxy=${sproxy:-${https_proxy:-}}
[ -n "$http_proxy" ] || unset http_proxy
[ -n "$https_proxy" ] || unset https_proxy

printf 'test-bare: debootstrap %s\n' $suite
options=(--variant=minbase --include=make,ca-certificates)
for keyring in /usr/share/keyrings/debian-archive-keyring.gpg \
	/usr/share/keyrings/debian-archive-keyring.pgp; do
	[ -r $keyring ] && options+=("--keyring=$keyring") && break
done
debootstrap "${options[@]}" $suite "$root" "$mirror" >"$root.log" 2>&1 ||
	{ tail -n 20 "$root.log" >&2; rm -f "$root.log"; fail "debootstrap failed"; }
rm -f "$root.log"

# What this host needs to reach its archives: proxies, credentials, certificates, names. The
# packages' own settings stay those of a bare system.
mkdir -p "$root/etc/apt/apt.conf.d" "$root/etc/apt/auth.conf.d"
apt-config dump | grep -E '^(Acquire::(http|https|ftp|Retries|Check-)|APT::Sandbox::User)' \
	>"$root/etc/apt/apt.conf.d/90host" || true
cp -a /etc/apt/auth.conf.d/. "$root/etc/apt/auth.conf.d/" 2>/dev/null || true
[ ! -r /etc/apt/auth.conf ] || cp -a /etc/apt/auth.conf "$root/etc/apt/"
cp /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/" 2>/dev/null || true
cp -L /etc/resolv.conf /etc/hosts "$root/etc/" 2>/dev/null || true
{
	printf 'deb %s %s main\n' "$mirror" $suite
	apt-get indextargets --format '$(RELEASE) $(COMPONENT) $(REPO_URI)' 'Created-By: Packages' |
		awk -v s=$suite '$2 == "main" && $1 ~ "^" s "-(updates|security)$" {
			print "deb", $3, $1, "main" }' | sort -u
} >"$root/etc/apt/sources.list"

# The tree as git has it, changes and new files included; no build results.
mkdir -p "$root/src"
git ls-files -z --cached --others --exclude-standard |
	while IFS= read -r -d '' f; do [ ! -e "$f" ] || printf '%s\0' "$f"; done |
	tar --null -T - -cf - | tar -xf - -C "$root/src"

cat >"$root/run.sh" <<'EOF2'
set -e
mount --make-rprivate /
root=$1
shift
mount --bind "$root" "$root" # tests that unshare need a root that is a mount point
mount --rbind /proc "$root/proc"
mount --rbind /sys "$root/sys"
mount --rbind /dev "$root/dev"
mount -t tmpfs none "$root/run"
mount -t tmpfs none "$root/tmp"
exec chroot "$root" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root TERM=dumb \
	${CI:+CI="$CI"} make -C /src "$@"
EOF2
mv "$root/run.sh" "$root/root/run.sh"

status=0
for target in "${targets[@]}"; do
	printf '\ntest-bare: make %s in a bare Debian 12\n' "$target"
	begin=$SECONDS
	if unshare --mount sh "$root/root/run.sh" "$root" "$target"; then
		results+=("make $target: passed in $((SECONDS - begin)) s")
	else
		results+=("make $target: FAILED after $((SECONDS - begin)) s")
		status=1
	fi
done
echo
printf 'test-bare: %s\n' "${results[@]}"
exit $status
