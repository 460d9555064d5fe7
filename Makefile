# SPDX-License-Identifier: Apache-2.0
# hostprof: `make` builds, `make demo` shows it at work, `make test` proves it. V=1 prints commands.

MAKEFLAGS += --no-builtin-rules
.SUFFIXES:
.DELETE_ON_ERROR:
.SECONDARY:

O ?= .output
V ?= 0
PREFIX ?= /usr/local
DESTDIR ?=
SAN ?=
WERROR ?= 1

ifeq ($(V),1)
Q :=
msg = @:
else
Q := @
msg = @printf '  %-8s %s\n' $(1) $(2)
endif

CC ?= cc
ifeq ($(origin CC),default)
CC := gcc
endif
CXX ?= g++
ifeq ($(origin CXX),default)
CXX := g++
endif
CLANG ?= clang
BPFTOOL ?= $(shell tools/find-bpftool.sh)
LLVM_STRIP ?= llvm-strip
ARCH := $(shell uname -m | sed -e 's/x86_64/x86/' -e 's/aarch64/arm64/')
VERSION := 0.1.0

CFLAGS ?= -O2 -g
HP_CFLAGS := -std=gnu11 -D_GNU_SOURCE -DHOSTPROF_VERSION='"$(VERSION)"' -Iinclude -Iuser -I$(O) \
	-Wall -Wextra -Wmissing-prototypes -Wstrict-prototypes -Wvla -Wshadow -Wwrite-strings \
	-fno-strict-aliasing -fno-omit-frame-pointer
ifeq ($(WERROR),1)
HP_CFLAGS += -Werror
endif
ifneq ($(SAN),)
HP_CFLAGS += -fsanitize=$(SAN) -fno-sanitize-recover=all
HP_LDFLAGS += -fsanitize=$(SAN)
endif
HP_LIBS := -lbpf -ldw -lelf -lz -lcjson -llzma -l:libiberty.a -lm -lpthread

BPF_CFLAGS := -O2 -g -target bpf -mcpu=v3 -D__TARGET_ARCH_$(ARCH) -Iinclude -Ibpf -Ibpf/vmlinux \
	-Wall -Wextra -Wno-unused-parameter -Wno-missing-declarations
ifeq ($(WERROR),1)
BPF_CFLAGS += -Werror
endif

# Everything but main.c, the BPF loader and the commands builds without a kernel: tests link that part.
PURE_DIRS := base decode sym unwind proto session bind ledger agg out
SRC_PURE := $(sort $(foreach d,$(PURE_DIRS),$(wildcard user/$(d)/*.c)))
SRC_HOST := $(sort user/main.c $(wildcard user/cmd/*.c) $(wildcard user/load/*.c))
BPF_SRC := $(sort $(wildcard bpf/probes/*.bpf.c))

OBJ_PURE := $(SRC_PURE:%.c=$(O)/%.o)
OBJ_HOST := $(SRC_HOST:%.c=$(O)/%.o)
BPF_OBJ := $(BPF_SRC:%.c=$(O)/%.o)
FEAT_OBJ := $(O)/bpf/feat.bpf.o
SKEL := $(O)/hostprof.skel.h $(O)/feat.skel.h
LIB := $(O)/libhostprof.a

.PHONY: all
all: $(O)/hostprof

$(O)/hostprof: $(OBJ_HOST) $(LIB)
	$(call msg,LINK,$@)
	$(Q)$(CC) $(CFLAGS) $(HP_LDFLAGS) $(LDFLAGS) -o $@ $(OBJ_HOST) $(LIB) $(HP_LIBS)

# The walk of user stacks as ordinary code: it speaks clang, and has no prototypes.
NATIVE_CFLAGS := -Iuser/load/native -Ibpf -Ibpf/vmlinux -D__TARGET_ARCH_$(ARCH) -Wno-unknown-pragmas \
	-Wno-attributes -Wno-unused-parameter -Wno-missing-prototypes -Wno-shadow -Wno-sign-compare
%/user/load/stillwalk.o: private HP_CFLAGS += $(NATIVE_CFLAGS)
%/user/load/stillwalk.o: private TEST_CFLAGS += $(NATIVE_CFLAGS)

$(LIB): $(OBJ_PURE)
	$(call msg,AR,$@)
	$(Q)rm -f $@ && $(AR) rcs $@ $(OBJ_PURE)

$(O)/%.o: %.c $(O)/.flags
	@mkdir -p $(@D)
	$(call msg,CC,$<)
	$(Q)$(CC) $(CFLAGS) $(HP_CFLAGS) -MMD -MP -c -o $@ $<

# Only the loader sees the skeleton.
$(OBJ_HOST): | $(SKEL)

$(O)/%.bpf.o: %.bpf.c $(O)/.flags
	@mkdir -p $(@D)
	$(call msg,BPF,$<)
	$(Q)$(CLANG) $(BPF_CFLAGS) -MMD -MP -MT $@ -MF $(@:.o=.d) -c -o $@ $<

$(O)/hostprof.bpf.o: $(BPF_OBJ)
	$(call msg,BPFLINK,$@)
	$(Q)$(BPFTOOL) gen object $@ $(BPF_OBJ)

# The feature probes' program is an object of its own: it must load where the others do not.
$(O)/hostprof.skel.h: $(O)/hostprof.bpf.o
$(O)/feat.skel.h: $(FEAT_OBJ)
$(SKEL): $(O)/%.skel.h:
	$(call msg,SKEL,$@)
	$(Q)$(BPFTOOL) gen skeleton $< name $*_bpf > $@.tmp && mv $@.tmp $@

# A change of flags rebuilds; the file is touched only when they differ.
$(O)/.flags: FORCE
	@mkdir -p $(O)
	@echo '$(CC) $(CFLAGS) $(HP_CFLAGS) $(BPF_CFLAGS)' | cmp -s - $@ || \
		echo '$(CC) $(CFLAGS) $(HP_CFLAGS) $(BPF_CFLAGS)' > $@
FORCE:

-include $(OBJ_PURE:.o=.d) $(OBJ_HOST:.o=.d) $(BPF_OBJ:.o=.d) $(FEAT_OBJ:.o=.d)

include tests/tests.mk
include tools/tools.mk

# Pages' parts are embedded with .incbin, which no dependency file tells of.
$(O)/user/out/flame.o $(TO)/user/out/flame.o: user/out/flame.js
$(O)/user/out/flamepage.o $(TO)/user/out/flamepage.o: $(wildcard user/out/flamepage.js user/out/flamepage.css user/out/flamepage.html)

.PHONY: clean
clean:
	$(Q)rm -rf $(O)
