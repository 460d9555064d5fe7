# SPDX-License-Identifier: Apache-2.0
# The kernel side as an ordinary program under sanitizers: bpf/ compiled by $(CC) against shim/.

HOSTBPF_SRC := $(sort $(wildcard tests/hostbpf/h_*.c))
HOSTBPF_BIN := $(HOSTBPF_SRC:tests/hostbpf/%.c=$(TO)/%)
HOSTBPF_PARTS := $(TO)/tests/hostbpf/machine.o $(TO)/tests/hostbpf/link.o $(TO)/user/load/verdicts.o
HOSTBPF_KERNEL := $(TO)/tests/hostbpf/kernel.o
UNWIND_WORLD := $(TO)/tests/hostbpf/uwworld.o

$(HOSTBPF_PARTS) $(UNWIND_WORLD) $(HOSTBPF_SRC:%.c=$(TO)/%.o): TEST_CFLAGS += -Itests/hostbpf -Itests

# The probes have no prototypes and speak clang; nothing of user space goes in here.
$(HOSTBPF_KERNEL) $(TO)/tests/hostbpf/uwkernel.o: $(TO)/%.o: %.c | $(O)/.flags
	@mkdir -p $(@D)
	$(call msg,CC-SAN,$<)
	$(Q)$(CC) -std=gnu11 -O2 -g -Wall -Wextra -Werror -Wno-unknown-pragmas -Wno-attributes \
		-Wno-unused-parameter -fno-strict-aliasing -fno-omit-frame-pointer \
		-fsanitize=$(TEST_SAN) -fno-sanitize-recover=all -D__TARGET_ARCH_$(ARCH) \
		-Itests/hostbpf/shim -Itests/hostbpf -Iinclude -Ibpf -Ibpf/vmlinux \
		-MMD -MP -c -o $@ $<

# A program of a known call path, without frame pointers: dynamic, position-independent, and static.
CALLPATH := $(TO)/callpath-pie $(TO)/callpath-static
CALLPATH_FLAGS = -O2 -fomit-frame-pointer -Wall -Wextra -Werror $(if $(filter %-static,$@),-static -no-pie,-pie -fPIE)
$(CALLPATH): tests/workloads/callpath.cc | $(O)/.flags
	@mkdir -p $(@D)
	$(call msg,CXX,$<)
	$(Q)$(CXX) $(CALLPATH_FLAGS) -o $@ $< -lpthread

# Walks of user stacks have a kernel of their own: processes are real there.
UNWIND_KERNEL := $(TO)/tests/hostbpf/uwkernel.o
UNWIND_PARTS := $(UNWIND_WORLD) $(patsubst %,$(TO)/user/load/%.o,procfs procinfo ranges unwindprocs unwindtables)
$(filter %/h_unwind %/h_java,$(HOSTBPF_BIN)): $(TO)/%: $(TO)/tests/hostbpf/%.o $(UNWIND_KERNEL) $(UNWIND_PARTS) \
		$(TEST_LIB) | $(CALLPATH)
	$(call msg,LINK,$@)
	$(Q)$(CC) -fsanitize=$(TEST_SAN) -o $@ $^ -lcmocka $(HP_LIBS)

# Images of stacks that were recorded by tests/unwind/.
UNWIND_IMAGE := $(TO)/tests/unwind/image.o
$(filter %/h_images,$(HOSTBPF_BIN)): $(TO)/tests/hostbpf/h_images.o $(UNWIND_IMAGE) $(UNWIND_KERNEL) $(TEST_LIB)
	$(call msg,LINK,$@)
	$(Q)$(CC) -fsanitize=$(TEST_SAN) -o $@ $^ -lcmocka $(HP_LIBS)

$(filter-out %/h_unwind %/h_java %/h_python %/h_images,$(HOSTBPF_BIN)): $(TO)/%: $(TO)/tests/hostbpf/%.o $(HOSTBPF_PARTS) \
		$(HOSTBPF_KERNEL) $(TEST_LIB)
	$(call msg,LINK,$@)
	$(Q)$(CC) -fsanitize=$(TEST_SAN) -o $@ $^ -lcmocka $(HP_LIBS)

-include $(HOSTBPF_KERNEL:.o=.d) $(UNWIND_KERNEL:.o=.d) $(UNWIND_WORLD:.o=.d) $(HOSTBPF_PARTS:.o=.d) $(HOSTBPF_SRC:%.c=$(TO)/%.d)

check-build: $(HOSTBPF_BIN)
