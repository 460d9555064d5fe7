# SPDX-License-Identifier: Apache-2.0
# Formatting, installing, demo: targets that are neither the product nor its tests.

.PHONY: format
format:
	$(Q)git ls-files '*.c' '*.h' | grep -v vmlinux | xargs clang-format -i
