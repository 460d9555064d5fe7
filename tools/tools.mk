# SPDX-License-Identifier: Apache-2.0
# Formatting, installing, demo: targets that are neither the product nor its tests.

.PHONY: format
format:
	$(Q)git ls-files '*.c' '*.h' | grep -v vmlinux | xargs clang-format -i

# What a machine can check without building anything; `make check` runs them first.
.PHONY: check-layers check-style check-tools
check: check-layers check-style check-tools

check-layers:
	$(Q)tools/check-layers.sh

check-style:
	$(Q)tools/check-style.sh

check-tools:
	$(Q)tests/unit/check_tools.sh
