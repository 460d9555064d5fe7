# SPDX-License-Identifier: Apache-2.0
# Formatting, installing, demo: targets that are neither the product nor its tests.

.PHONY: format
format:
	$(Q)git ls-files '*.c' '*.h' | grep -v vmlinux | xargs clang-format -i

# What a machine can check without building anything; `make check` runs them too.
.PHONY: check-layers check-style check-tools

check-layers:
	$(Q)tools/check-layers.sh

check-style:
	$(Q)tools/check-style.sh

check-tools:
	$(Q)tests/unit/check_tools.sh

.PHONY: demo install test-bare
demo:
	$(Q)O=$(O) tools/demo/demo.sh

install: all
	$(call msg,INSTALL,$(DESTDIR)$(PREFIX)/bin/hostprof)
	$(Q)install -D -m 755 $(O)/hostprof $(DESTDIR)$(PREFIX)/bin/hostprof

# Both set-up commands in a bare Debian 12, made for it in a temporary directory.
test-bare:
	$(Q)tools/test-bare.sh

# Prints a capture record by record; see tools/hpcap-dump.c. Not installed.
all: $(O)/hpcap-dump
$(O)/hpcap-dump: $(O)/tools/hpcap-dump.o $(LIB)
	$(call msg,LINK,$@)
	$(Q)$(CC) $(CFLAGS) $(HP_LDFLAGS) $(LDFLAGS) -o $@ $^ $(HP_LIBS)
-include $(O)/tools/hpcap-dump.d
