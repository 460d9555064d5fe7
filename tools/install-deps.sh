#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Installs what building, the demo and the tests need: install-deps.sh [--check] [build|demo|test|stacks]…
#
# Called by `make demo` and `make test` before anything else. On Debian 12 and 13 and Ubuntu 24.04
# it installs the missing packages; elsewhere it lists the missing commands, headers and Python
# modules. When nothing is missing it asks dpkg once and makes no apt call.
#
# No service is started or changed: packages go in under a policy-rc.d that denies starts and with
# create_main_cluster = false. Both are put back whatever happens, and a run that was killed is
# cleaned up by the next one (the originals lie beside the files with the suffix in $saved).
set -euo pipefail

policy=/usr/sbin/policy-rc.d
cluster=/etc/postgresql-common/createcluster.conf
saved=.hostprof-saved
mark='hostprof install-deps: remove this file if no installation is running'

# One line a package: name, or name@glob when any file that matches the glob does as well.
# A trailing ? marks what some systems do not carry; the tests that want it say so and are skipped.
packages_build='gcc libc6-dev make clang binutils libbpf-dev libelf-dev zlib1g-dev libcjson-dev
	liblzma-dev libiberty-dev libdw-dev'
packages_demo='procps util-linux postgresql@/usr/lib/postgresql/*/bin/initdb python3-fastapi
	python3-uvicorn python3-uvloop python3-httptools python3-asyncpg python3-psycopg2'
packages_test='libcmocka-dev g++ gdb liburing-dev libpg-query-dev? clang-format git python3-pytest python3-psycopg
	python3-sqlalchemy gunicorn openssl nginx wrk tcpdump bpftrace iproute2 debootstrap?'

# More programs to walk stacks of: for `make test-unwind-full` alone.
packages_stacks='redis-server? redis-tools? nodejs? default-jdk-headless? rustc? golang-go? linux-perf?'

commands_build='gcc make clang bpftool ld'
headers_build='bpf/libbpf.h libelf.h elfutils/libdw.h zlib.h cjson/cJSON.h lzma.h libiberty/demangle.h'
commands_demo='python3 ps setpriv'
modules_demo='fastapi uvicorn uvloop httptools asyncpg psycopg2'
commands_test='g++ gdb clang-format nginx wrk tcpdump bpftrace ip psql gunicorn unshare git'
headers_test='cmocka.h liburing.h pg_query.h'
modules_test='pytest psycopg sqlalchemy'

say() { printf '%s\n' "install-deps: $*" >&2; }
die() { say "$*"; exit 1; }

check_only=0
groups=()
for arg; do
	case $arg in
	--check) check_only=1 ;;
	build | demo | test | stacks) groups+=("$arg") ;;
	*)
		echo "usage: install-deps.sh [--check] [build|demo|test|stacks]…" >&2
		exit 2
		;;
	esac
done
[ ${#groups[@]} -gt 0 ] || groups=(build demo test)

os_id=unknown os_version=
if [ -r /etc/os-release ]; then
	os_id=$(. /etc/os-release && echo "${ID:-unknown}")
	os_version=$(. /etc/os-release && echo "${VERSION_ID:-}")
fi

# Names what a group still lacks on a system whose packages we do not know.
list_missing() {
	local group list item missing=()
	for group in "${groups[@]}"; do
		list=commands_$group
		for item in ${!list-}; do
			PATH=$PATH:/usr/sbin:/sbin command -v "$item" >/dev/null ||
				missing+=("command $item")
		done
		list=headers_$group
		for item in ${!list-}; do
			[ -e "/usr/include/$item" ] || [ -e "/usr/local/include/$item" ] ||
				compgen -G "/usr/include/*-linux-gnu/$item" >/dev/null ||
				missing+=("header $item")
		done
		list=modules_$group
		for item in ${!list-}; do
			/usr/bin/python3 -c "import importlib.util as u, sys
sys.exit(u.find_spec('$item') is None)" 2>/dev/null || missing+=("Python module $item")
		done
	done
	if [[ " ${groups[*]} " == *' demo '* ]] &&
		! compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null &&
		! command -v initdb >/dev/null; then
		missing+=("command initdb (PostgreSQL server)")
	fi
	[ ${#missing[@]} -gt 0 ] || return 0
	say "packages for $os_id $os_version are not known here; missing:"
	printf '  %s\n' "${missing[@]}" >&2
	return 1
}

case $os_id:$os_version in
debian:12 | debian:13)
	packages_build+=' bpftool'
	packages_test+=' chromium chromium-driver python3-selenium' # Ubuntu has it as a snap only
	packages_test+=' golang-go' # go tool pprof, and a runtime to look at, as the next ones
	packages_test+=' nodejs@/usr/bin/node default-jdk-headless@/usr/lib/jvm/*/bin/jcmd'
	packages_test+=' qemu-system-x86 busybox-static debian-archive-keyring' # stock kernels
	;;
ubuntu:24.04)
	# The bpftool of linux-tools-common only forwards to the one of the running kernel.
	packages_build+=' linux-tools-common linux-tools-generic'
	;;
*)
	list_missing
	exit
	;;
esac

set -f # the globs in the lists are for compgen alone
wanted=()
for group in "${groups[@]}"; do
	list=packages_$group
	wanted+=(${!list})
done

# Fills missing[] and optional[] from one dpkg-query call.
find_missing() {
	local name glob opt have
	have=" $(dpkg-query -W -f='${db:Status-Status} ${Package}\n' 2>/dev/null |
		sed -n 's/^installed //p' | tr '\n' ' ')"
	missing=() optional=()
	for name in "${wanted[@]}"; do
		opt=0 glob=
		case $name in
		*\?) opt=1 name=${name%\?} ;;
		*@*) glob=${name#*@} name=${name%%@*} ;;
		esac
		[[ $have == *" $name "* ]] && continue
		[ -n "$glob" ] && compgen -G "$glob" >/dev/null && continue
		if [ $opt = 1 ]; then optional+=("$name"); else missing+=("$name"); fi
	done
}

find_missing

drop_unavailable() {
	local name kept=()
	for name in "${optional[@]}"; do
		if has_candidate "$name"; then
			kept+=("$name")
		else
			say "$name is not in this system's archives: tests that need it are skipped"
		fi
	done
	optional=("${kept[@]}")
}

has_candidate() {
	[[ $(apt-cache policy "$1" 2>/dev/null) == *$'\n  Candidate: '[!\(]* ]]
}

[ ${#missing[@]} -gt 0 ] || [ ${#optional[@]} -gt 0 ] || exit 0
if [ $check_only = 1 ] || [ "$(id -u)" != 0 ]; then
	[ ${#missing[@]} -gt 0 ] || exit 0
	say "missing packages: ${missing[*]} ${optional[*]}"
	[ $check_only = 1 ] && exit 1
	die "not root: run 'sudo $0 ${groups[*]}' or install them by other means"
fi

# One installation at a time; the lock dies with the process.
mkdir -p /run/lock
exec 9>/run/lock/hostprof-install-deps
flock 9

put_back() {
	local f
	for f in "$policy" "$cluster"; do
		if [ -e "$f$saved" ] || [ -L "$f$saved" ]; then
			mv -fT "$f$saved" "$f"
		fi
	done
	if [ -f "$policy" ] && grep -qsF "$mark" "$policy"; then
		rm -f "$policy"
	fi
}

trap put_back EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM
put_back # what a killed run left behind
find_missing

export DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1 LC_ALL=C.UTF-8
apt_install() {
	apt-get install -y -q --no-install-recommends -o Dpkg::Use-Pty=0 \
		-o DPkg::Lock::Timeout=300 "$@" </dev/null >&2
}

# Lists may be absent or too old: fetched when a name has no candidate, or after a failed attempt.
fresh=0
refresh() {
	[ $fresh = 0 ] || return 1
	fresh=1
	apt-get update -q -o DPkg::Lock::Timeout=300 </dev/null >&2
}

for name in "${missing[@]}"; do
	has_candidate "$name" || { refresh || true; break; }
done
drop_unavailable
[ ${#missing[@]} -gt 0 ] || [ ${#optional[@]} -gt 0 ] || exit 0
for name in "${missing[@]}"; do
	has_candidate "$name" || die "no package $name: is the archive of $os_id $os_version enabled?"
done

if [ -e "$policy" ] || [ -L "$policy" ]; then
	mv -fT "$policy" "$policy$saved"
fi
printf '#!/bin/sh\n# %s\nexit 101\n' "$mark" >"$policy"
chmod 755 "$policy"

install_all() {
	say "installing $*"
	apt_install "$@" || { refresh && apt_install "$@"; } || die "apt-get could not install $*"
}

# postgresql-common goes first and alone: it brings createcluster.conf and creates nothing.
if [[ " ${missing[*]} " == *' postgresql '* ]]; then
	[ "$(dpkg-query -W -f='${db:Status-Status}' postgresql-common 2>/dev/null)" = installed ] ||
		install_all postgresql-common
	cp -a "$cluster" "$cluster$saved"
	printf '\ncreate_main_cluster = false\n' >>"$cluster"
fi

new_nginx=0
[[ " ${missing[*]} " == *' nginx '* ]] && new_nginx=1
install_all "${missing[@]}" "${optional[@]}"
# A web server that nobody asked for must not come up at the next boot either.
[ $new_nginx = 0 ] || update-rc.d nginx disable >/dev/null 2>&1 || true
say "installed"
