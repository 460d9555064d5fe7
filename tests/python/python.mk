# SPDX-License-Identifier: Apache-2.0
# Python frames: the programs' C over the memory of real interpreters. Run by tests/python/test_*.py.

PYSTACK := $(TO)/pystack
PYSTACK_WALK := $(TO)/tests/python/walk.o

$(TO)/tests/python/pystack.o: TEST_CFLAGS += -Itests/python

# Nothing of user space goes in here, as with tests/hostbpf.
$(PYSTACK_WALK): tests/python/walk.c | $(O)/.flags
	@mkdir -p $(@D)
	$(call msg,CC-SAN,$<)
	$(Q)$(CC) -std=gnu11 -O2 -g -Wall -Wextra -Werror -Wno-unknown-pragmas -Wno-attributes \
		-Wno-unused-parameter -fno-strict-aliasing -fno-omit-frame-pointer \
		-fsanitize=$(TEST_SAN) -fno-sanitize-recover=all -D__TARGET_ARCH_$(ARCH) \
		-Itests/hostbpf/shim -Itests/python -Iinclude -Ibpf -Ibpf/vmlinux \
		-MMD -MP -c -o $@ $<

$(PYSTACK): $(TO)/tests/python/pystack.o $(PYSTACK_WALK) $(TEST_LIB)
	$(call msg,LINK,$@)
	$(Q)$(CC) -fsanitize=$(TEST_SAN) -o $@ $^ $(HP_LIBS)

$(TO)/tests/hostbpf/h_python.o: TEST_CFLAGS += -Itests/python

$(TO)/h_python: $(TO)/tests/hostbpf/h_python.o $(PYSTACK_WALK) $(TEST_LIB)
	$(call msg,LINK,$@)
	$(Q)$(CC) -fsanitize=$(TEST_SAN) -o $@ $^ -lcmocka $(HP_LIBS)

PYSITES := $(TO)/sites
$(PYSITES): $(TO)/tests/python/sites.o $(TEST_LIB)
	$(call msg,LINK,$@)
	$(Q)$(CC) -fsanitize=$(TEST_SAN) -o $@ $^ $(HP_LIBS)

-include $(TO)/tests/python/sites.d $(TO)/tests/python/pystack.d $(PYSTACK_WALK:.o=.d)

check-build: $(PYSTACK) $(PYSITES)
