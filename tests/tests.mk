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

# Helpers of the SQL tests: fingerprints on a pipe, and the comparison with PostgreSQL's own parser.
SQL_TOOL := $(TO)/sqlfp
ifneq ($(wildcard /usr/include/pg_query.h),)
SQL_TOOL += $(TO)/compare_pg_query
$(TO)/compare_pg_query: HP_LIBS += -lpg_query
$(TO)/compare_pg_query: $(TO)/tests/sql/corpus.o
endif

$(SQL_TOOL): $(TO)/%: $(TO)/tests/sql/%.o $(TEST_LIB)
	$(call msg,LINK,$@)
	$(Q)$(CC) -fsanitize=$(TEST_SAN) -o $@ $(filter %.o,$^) $(TEST_LIB) $(HP_LIBS)

-include $(SQL_TOOL:$(TO)/%=$(TO)/tests/sql/%.d) $(TO)/tests/sql/corpus.d

check-build: $(SQL_TOOL)

include tests/hostbpf/hostbpf.mk
include tests/bpf/bpf.mk
include tests/kernels/kernels.mk
include tests/python/python.mk
include tests/unwind/unwind.mk

# Everything that needs no root, in less than a minute.
.PHONY: check test bench
check: check-build $(O)/hostprof
	$(Q)O=$(O) tests/run.sh check $(UNIT_BIN) $(HOSTBPF_BIN) $(FUZZ_BIN)

# Everything, set-up included. Only the script knows the order: nothing can be built before the
# compilers are there.
test:
	$(Q)O=$(O) tests/run.sh test

# What run.sh hands to itself once the tools are there.
.PHONY: test-all
test-all: all check-build bpf-build guest-build
	$(Q)O=$(O) tests/run.sh all $(UNIT_BIN) $(HOSTBPF_BIN) $(FUZZ_BIN)

$(O)/bench-tables: $(O)/tests/bench/tables.o $(LIB)
	$(call msg,LINK,$@)
	$(Q)$(CC) $(CFLAGS) $(HP_LDFLAGS) $(LDFLAGS) -o $@ $^ $(HP_LIBS)

-include $(O)/tests/bench/tables.d

$(O)/bench-symbols: $(O)/tests/bench/symbols.o $(LIB)
	$(call msg,LINK,$@)
	$(Q)$(CC) $(CFLAGS) $(HP_LDFLAGS) $(LDFLAGS) -o $@ $^ $(HP_LIBS)

-include $(O)/tests/bench/symbols.d

$(O)/bench-pages: $(O)/tests/pages/page_tool.o $(LIB)
	$(call msg,LINK,$@)
	$(Q)$(CC) $(CFLAGS) $(HP_LDFLAGS) $(LDFLAGS) -o $@ $^ $(HP_LIBS)

-include $(O)/tests/pages/page_tool.d

# The flame page alone, at the size that it is made for.
.PHONY: bench-pages
bench-pages: $(O)/bench-pages
	$(Q)O=$(O) /usr/bin/python3 tests/bench/pages.py

bench:
	$(Q)tools/install-deps.sh build demo test
	$(Q)$(MAKE) --no-print-directory all $(O)/bench-tables $(O)/bench-symbols $(O)/bench-pages
	$(Q)$(O)/bench-tables
	$(Q)$(O)/bench-symbols
	$(Q)O=$(O) /usr/bin/python3 tests/bench/pages.py
	$(Q)O=$(O) /usr/bin/python3 tests/bench/stacks.py
	$(Q)O=$(O) /usr/bin/python3 tests/bench/bench.py $(BENCH)
