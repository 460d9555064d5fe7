# SPDX-License-Identifier: Apache-2.0
# Tests that need no root: unit tests and fuzz corpora, always built with ASan and UBSan.

TO := $(O)/test
TEST_SAN := address,undefined
TEST_CFLAGS := -O1 -g $(HP_CFLAGS) -fsanitize=$(TEST_SAN) -fno-sanitize-recover=all
UNIT_SRC := $(sort $(wildcard tests/unit/u_*.c))
FUZZ_SRC := $(sort $(wildcard tests/fuzz/fuzz_*.c))
TEST_OBJ := $(SRC_PURE:%.c=$(TO)/%.o)
TEST_LIB := $(TO)/libhostprof.a
UNIT_BIN := $(UNIT_SRC:tests/unit/%.c=$(TO)/%)
FUZZ_BIN := $(FUZZ_SRC:tests/fuzz/%.c=$(TO)/%)

$(TO)/%.o: %.c | $(O)/.flags
	@mkdir -p $(@D)
	$(call msg,CC-SAN,$<)
	$(Q)$(CC) $(TEST_CFLAGS) -MMD -MP -c -o $@ $<

$(TEST_LIB): $(TEST_OBJ)
	$(Q)rm -f $@ && $(AR) rcs $@ $(TEST_OBJ)

$(UNIT_BIN): $(TO)/%: $(TO)/tests/unit/%.o $(TEST_LIB)
	$(call msg,LINK,$@)
	$(Q)$(CC) -fsanitize=$(TEST_SAN) -o $@ $< $(TEST_LIB) -lcmocka $(HP_LIBS)

# A fuzz target exports LLVMFuzzerTestOneInput; the driver runs its corpus as an ordinary test.
$(FUZZ_BIN): $(TO)/%: $(TO)/tests/fuzz/%.o $(TO)/tests/fuzz/driver.o $(TEST_LIB)
	$(call msg,LINK,$@)
	$(Q)$(CC) -fsanitize=$(TEST_SAN) -o $@ $^ $(HP_LIBS)

-include $(TEST_OBJ:.o=.d) $(UNIT_SRC:%.c=$(TO)/%.d) $(FUZZ_SRC:%.c=$(TO)/%.d) $(TO)/tests/fuzz/driver.d

.PHONY: check-build
check-build: $(UNIT_BIN) $(FUZZ_BIN)
