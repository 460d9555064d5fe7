# SPDX-License-Identifier: Apache-2.0
# Stacks of many programs against libdw, and recorded images of them. Run by test_oracle.py.

ORACLE := $(TO)/oracle
ORACLE_OBJ := $(patsubst %,$(TO)/tests/unwind/%.o,oracle libdw image)
$(ORACLE_OBJ): TEST_CFLAGS += -Itests/hostbpf

$(ORACLE): $(ORACLE_OBJ) $(UNWIND_KERNEL) $(UNWIND_PARTS) $(TEST_LIB)
	$(call msg,LINK,$@)
	$(Q)$(CC) -fsanitize=$(TEST_SAN) -o $@ $^ -ldw $(HP_LIBS)

-include $(ORACLE_OBJ:.o=.d)

check-build: $(ORACLE)

# Thousands of stacks of all targets, and how many of them are whole, beside perf: ten minutes or more.
.PHONY: test-unwind-full unwind-images
test-unwind-full:
	$(Q)tools/install-deps.sh build demo test stacks
	$(Q)$(MAKE) --no-print-directory all $(ORACLE)
	$(Q)O=$(O) SNAPSHOTS=$(or $(SNAPSHOTS),200) /usr/bin/python3 tests/unwind/test_oracle.py
	$(Q)O=$(O) /usr/bin/python3 tests/unwind/table.py

# Recorded anew: for another layout of what the programs read.
unwind-images: $(ORACLE)
	$(Q)O=$(O) /usr/bin/python3 tests/unwind/test_oracle.py --record
