#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Prints the path of a bpftool that runs. Called once by the Makefile.
#
# On Ubuntu /usr/sbin/bpftool only forwards to the one of the running kernel and fails when that is
# not installed (another kernel, a container); any version's own binary generates the same skeleton.
for tool in "$(command -v bpftool)" /usr/sbin/bpftool /usr/lib/linux-tools/*/bpftool \
	/usr/lib/linux-tools-*/bpftool; do
	if [ -x "$tool" ] && "$tool" version >/dev/null 2>&1; then
		echo "$tool"
		exit 0
	fi
done
echo bpftool
