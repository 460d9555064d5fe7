# SPDX-License-Identifier: Apache-2.0
# The probes on the running kernel; needs root. tests/run.sh starts them with the end-to-end tests.

BPFT_SRC := $(sort $(wildcard tests/bpf/b_*.c))
BPFT_BIN := $(BPFT_SRC:tests/bpf/%.c=$(TO)/%)
BPFT_LOAD := $(patsubst %.c,$(TO)/%.o,$(wildcard user/load/*.c))
BPFT_PARTS := $(TO)/tests/bpf/lab.o $(BPFT_LOAD)

$(BPFT_LOAD): | $(SKEL)
$(BPFT_SRC:%.c=$(TO)/%.o) $(TO)/tests/bpf/lab.o: TEST_CFLAGS += -Itests/bpf

$(BPFT_BIN): $(TO)/%: $(TO)/tests/bpf/%.o $(BPFT_PARTS) $(TEST_LIB)
	$(call msg,LINK,$@)
	$(Q)$(CC) -fsanitize=$(TEST_SAN) -o $@ $^ -lcmocka $(HP_LIBS)

-include $(BPFT_PARTS:.o=.d) $(BPFT_SRC:%.c=$(TO)/%.d)

$(TO)/b_uring: HP_LIBS += -luring

# A server on io_uring, for the tests of both kinds and for guests: as users build theirs.
URING_HTTP := $(TO)/uring_http
$(URING_HTTP): tests/workloads/uring_http.c | $(O)/.flags
	@mkdir -p $(@D)
	$(call msg,CC,$<)
	$(Q)$(CC) $(CFLAGS) $(HP_CFLAGS) -o $@ $< -luring

# Threads that wait in known ways.
WAITS := $(TO)/waits
$(WAITS): tests/workloads/waits.c tests/workloads/waits.h | $(O)/.flags
	@mkdir -p $(@D)
	$(call msg,CC,$<)
	$(Q)$(CC) $(CFLAGS) $(HP_CFLAGS) -o $@ $<

# A thread whose functions have known shares of its time.
SHARES := $(TO)/shares
$(SHARES): tests/workloads/shares.c | $(O)/.flags
	@mkdir -p $(@D)
	$(call msg,CC,$<)
	$(Q)$(CC) $(CFLAGS) $(HP_CFLAGS) -o $@ $<

# What the verifier goes through, against a baseline.
BPFT_COST := $(TO)/b_cost
$(TO)/tests/cost/cost.o: | $(SKEL)
$(BPFT_COST): $(TO)/tests/cost/cost.o $(BPFT_LOAD) $(TEST_LIB)
	$(call msg,LINK,$@)
	$(Q)$(CC) -fsanitize=$(TEST_SAN) -o $@ $^ -lcmocka $(HP_LIBS)
-include $(TO)/tests/cost/cost.d

.PHONY: bpf-build
bpf-build: $(BPFT_BIN) $(BPFT_COST) $(URING_HTTP) $(WAITS) $(SHARES) $(CALLPATH)
