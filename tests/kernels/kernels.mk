# SPDX-License-Identifier: Apache-2.0
# The probes on stock kernels in QEMU. The guest's binaries are built as users have them: sanitizers
# cost too much under emulation, and the same tests run with them on the host.

GUEST_BIN := $(BPFT_SRC:tests/bpf/%.c=$(O)/guest/%)
GUEST_LOAD := $(patsubst %.c,$(O)/%.o,$(wildcard user/load/*.c))
GUEST_PARTS := $(O)/tests/bpf/lab.o $(GUEST_LOAD)

$(BPFT_SRC:%.c=$(O)/%.o) $(O)/tests/bpf/lab.o: HP_CFLAGS += -Itests/bpf

$(GUEST_BIN): $(O)/guest/%: $(O)/tests/bpf/%.o $(GUEST_PARTS) $(LIB)
	@mkdir -p $(@D)
	$(call msg,LINK,$@)
	$(Q)$(CC) $(CFLAGS) -o $@ $^ -lcmocka $(HP_LIBS)

$(O)/guest/b_uring: HP_LIBS += -luring

-include $(O)/tests/bpf/lab.d $(BPFT_SRC:%.c=$(O)/%.d)

$(O)/tests/cost/cost.o: | $(SKEL)
$(O)/guest/b_cost: $(O)/tests/cost/cost.o $(GUEST_LOAD) $(LIB)
	@mkdir -p $(@D)
	$(call msg,LINK,$@)
	$(Q)$(CC) $(CFLAGS) -o $@ $^ -lcmocka $(HP_LIBS)
-include $(O)/tests/cost/cost.d

$(O)/guest/guestload: tests/workloads/guestload.c | $(O)/.flags
	@mkdir -p $(@D)
	$(call msg,CC,$<)
	$(Q)$(CC) $(CFLAGS) $(HP_CFLAGS) -Wno-unused-result -o $@ $<

$(O)/guest/uring_http: tests/workloads/uring_http.c | $(O)/.flags
	@mkdir -p $(@D)
	$(call msg,CC,$<)
	$(Q)$(CC) $(CFLAGS) $(HP_CFLAGS) -o $@ $< -luring

GUEST_CALLPATH := $(O)/guest/callpath-pie $(O)/guest/callpath-static
$(GUEST_CALLPATH): tests/workloads/callpath.cc | $(O)/.flags
	@mkdir -p $(@D)
	$(call msg,CXX,$<)
	$(Q)$(CXX) $(CALLPATH_FLAGS) -o $@ $< -lpthread

.PHONY: guest-build test-kernels test-kernels-full bench-rungs
guest-build: $(O)/hostprof $(GUEST_BIN) $(O)/guest/b_cost $(O)/guest/guestload \
	$(O)/guest/uring_http $(GUEST_CALLPATH)

# The part that `make test` has time for, and everything.
test-kernels test-kernels-full:
	$(Q)tools/install-deps.sh build demo test
	$(Q)$(MAKE) --no-print-directory guest-build
	$(Q)/usr/bin/python3 tests/kernels/run.py --output $(O) $(if $(filter %-full,$@),--full) $(KERNELS)

# What each rung costs, in instructions.
bench-rungs: guest-build
	$(Q)/usr/bin/python3 tests/kernels/icount.py --output $(O)
