# SPDX-License-Identifier: Apache-2.0
# Espalier: an IPsec gateway whose ESP fast path runs in XDP and AF_XDP. `make help` lists the targets.
SHELL := /bin/bash
.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
.SECONDARY:

PREFIX ?= /usr
SYSCONFDIR ?= /etc
SBINDIR ?= $(PREFIX)/sbin
BINDIR ?= $(PREFIX)/bin
MANDIR ?= $(PREFIX)/share/man
UNITDIR ?= /lib/systemd/system
PYTHON ?= /usr/bin/python3

VERSION := 0.1.0

# Variants: release (default), san (make SAN=1: ASan + UBSan), tsan (ThreadSanitizer: make VARIANT=tsan tests), fuzz (libFuzzer
# instrumentation, by clang).
# Release links as a whole: a packet's way leads through a dozen small files, and 5 ns of its 80 were the calls between
# them. Objects are fat, so that a linker or an ar without the plugin finds code in them too.
VARIANT ?= $(if $(filter 1,$(SAN)),san,release)
B := build/$(VARIANT)
G := build/gen

CC_release := gcc
CC_san := gcc
CC_tsan := gcc
CC_fuzz := clang
CC := $(CC_$(VARIANT))
CLANG ?= clang
BPFTOOL ?= $(firstword $(wildcard /usr/sbin/bpftool) bpftool)

WARN := -Wall -Wextra -Wshadow -Wconversion -Werror
HARDEN := -fstack-protector-strong -fPIE -D_FORTIFY_SOURCE=2 -fcf-protection -Wformat -Wformat-security
FLAGS_release := -O2 -flto=auto -ffat-lto-objects $(HARDEN)
FLAGS_san := -O1 -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=undefined
# It does not know fences; what they order is atomic too, so that nothing is reported for them.
FLAGS_tsan := -O1 -fno-omit-frame-pointer -fsanitize=thread -Wno-tsan
FLAGS_fuzz := -O1 -fno-omit-frame-pointer -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=undefined
LINK_release := -O2 -flto=auto -pie -Wl,-z,relro,-z,now
LINK_san := -fsanitize=address,undefined
LINK_tsan := -fsanitize=thread
LINK_fuzz := -fsanitize=address,undefined

CFLAGS := -std=gnu11 -g -pthread -D_GNU_SOURCE -DESPALIER_VERSION='"$(VERSION)"' -DESPALIER_SYSCONFDIR='"$(SYSCONFDIR)"' \
	-I. -I$(G) $(WARN) $(FLAGS_$(VARIANT)) -MMD -MP
LDFLAGS := -pthread $(LINK_$(VARIANT))
BPF_CFLAGS := -O2 -g -target bpf -mcpu=v3 -I. -I/usr/include/$(shell uname -m)-linux-gnu -Wall -Wextra -Wshadow -Werror -MMD -MP

# ---- rooms: every .c of a room belongs to its library, but for the programs' main.c ------------------------------
SRC_base := $(wildcard agent/base/*.c)
SRC_bpf := $(filter-out %.bpf.c,$(wildcard bpf/*.c))
SRC_agent := $(filter-out agent/main.c,$(wildcard agent/*.c))
SRC_ike := $(filter-out ike/main.c,$(wildcard ike/*.c ike/*/*.c))
SRC_tools := $(filter-out tools/main.c,$(wildcard tools/*.c))
SRC_labtools := $(wildcard tests/lab/*.c)

lib = $(B)/lib$(1).a
obj = $(patsubst %.c,$(B)/%.o,$(1))

LIBS_base := -lcyaml -lyaml -lcrypto
LIBS_bpf := -lbpf -lelf -lz
LIBS_agent := -lxdp -lmnl -lcrypto -lsystemd -lcap
LIBS_ike := -lcrypto -lsystemd -ljansson -lmicrohttpd -lcap
LIBS_tools := -ljansson -lcurl -lmnl

PROGRAMS := $(B)/espalier-agent $(B)/espalier-ike $(B)/espalier
BPF_OBJECTS := $(patsubst bpf/%.bpf.c,$(G)/bpf/%.bpf.o,$(wildcard bpf/*.bpf.c))
SKELETONS := $(patsubst bpf/%.bpf.c,$(G)/bpf/%.skel.h,$(wildcard bpf/*.bpf.c))

UNIT_TESTS := $(patsubst tests/unit/%.c,$(B)/tests/unit/%,$(wildcard tests/unit/test_*.c))
KERNEL_TESTS := $(patsubst tests/kernel/%.c,$(B)/tests/kernel/%,$(wildcard tests/kernel/test_*.c))
HELPERS := $(patsubst tests/lab/%.c,$(B)/tests/lab/%,$(wildcard tests/lab/*.c))
FUZZERS := $(patsubst tests/fuzz/%.c,$(B)/tests/fuzz/%,$(wildcard tests/fuzz/fuzz_*.c))
BENCHES := $(patsubst tools/bench/%.c,$(B)/tools/bench/%,$(wildcard tools/bench/*.c))
SRC_wire := $(filter-out %.bpf.c,$(wildcard tools/bench/wire/*.c))
WIRE_TOOLS := $(patsubst %.c,$(B)/%,$(SRC_wire))
WIRE_SKELETONS := $(patsubst %.bpf.c,$(G)/%.skel.h,$(wildcard tools/bench/wire/*.bpf.c))
MANPAGES := $(patsubst tools/man/%.scd,build/man/%,$(wildcard tools/man/*.scd))

.PHONY: all help deps check check-root check-kernels demo bench fuzz lint install uninstall clean programs tests kernel-tests helpers fuzzers benches man

all: programs man ## build programs, BPF objects and man pages
programs: $(PROGRAMS)
tests: $(UNIT_TESTS) $(KERNEL_TESTS)
kernel-tests: $(KERNEL_TESTS)
helpers: $(HELPERS)
fuzzers: $(FUZZERS)
benches: $(BENCHES) $(WIRE_TOOLS)
man: $(MANPAGES)

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14

deps: ## install missing Debian packages (root; returns at once when nothing is missing)
	@tools/deps

# ---- compile -----------------------------------------------------------------------------------------------------
$(B)/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) -c -o $@ $<
$(call obj,$(SRC_bpf)): | $(SKELETONS)
$(call obj,$(SRC_wire)): | $(WIRE_SKELETONS)

$(G)/%.bpf.o: %.bpf.c
	@mkdir -p $(@D)
	$(CLANG) $(BPF_CFLAGS) -c -o $@ $<
$(G)/%.skel.h: $(G)/%.bpf.o
	$(BPFTOOL) gen skeleton $< name $(subst .,_,$(notdir $*))_bpf > $@

define room_library
$(call lib,$(1)): $(call obj,$(SRC_$(1)))
	@rm -f $$@
	ar rcs $$@ $$^
endef
$(foreach room,base bpf agent ike tools,$(eval $(call room_library,$(room))))

LIBS_ALL := $(call lib,tools) $(call lib,ike) $(call lib,agent) $(call lib,bpf) $(call lib,base)
LIBS_SYS := $(sort $(LIBS_tools) $(LIBS_ike) $(LIBS_agent) $(LIBS_bpf) $(LIBS_base))

$(B)/espalier-agent: $(B)/agent/main.o $(call lib,agent) $(call lib,bpf) $(call lib,base)
	$(CC) $(LDFLAGS) -o $@ $^ $(LIBS_agent) $(LIBS_bpf) $(LIBS_base)
$(B)/espalier-ike: $(B)/ike/main.o $(call lib,ike) $(call lib,bpf) $(call lib,base)
	$(CC) $(LDFLAGS) -o $@ $^ $(LIBS_ike) $(LIBS_bpf) $(LIBS_base)
$(B)/espalier: $(B)/tools/main.o $(call lib,tools) $(call lib,base)
	$(CC) $(LDFLAGS) -o $@ $^ $(LIBS_tools) $(LIBS_base)

$(B)/tests/unit/%: $(B)/tests/unit/%.o $(LIBS_ALL)
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS) -o $@ $< -Wl,--start-group $(LIBS_ALL) -Wl,--end-group $(LIBS_SYS) -lcmocka
$(B)/tests/kernel/%: $(B)/tests/kernel/%.o $(LIBS_ALL)
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS) -o $@ $< -Wl,--start-group $(LIBS_ALL) -Wl,--end-group $(LIBS_SYS) -lcmocka
$(B)/tests/lab/%: $(B)/tests/lab/%.o $(LIBS_ALL)
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS) -o $@ $< -Wl,--start-group $(LIBS_ALL) -Wl,--end-group $(LIBS_SYS)
$(B)/tests/fuzz/%: $(B)/tests/fuzz/%.o $(LIBS_ALL)
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS) -fsanitize=fuzzer -o $@ $< -Wl,--start-group $(LIBS_ALL) -Wl,--end-group $(LIBS_SYS)
$(B)/tools/bench/%: $(B)/tools/bench/%.o $(LIBS_ALL)
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS) -o $@ $< -Wl,--start-group $(LIBS_ALL) -Wl,--end-group $(LIBS_SYS)

build/man/%: tools/man/%.scd
	@mkdir -p $(@D)
	scdoc < $< > $@

# ---- prove -------------------------------------------------------------------------------------------------------
check: deps ## set everything up and run all tests; last line: N passed, N failed, N skipped (ONLY=rung for one)
	@$(MAKE) --no-print-directory -s -j$$(nproc) programs man helpers
	@$(MAKE) --no-print-directory -s -j$$(nproc) SAN=1 programs tests
	@$(MAKE) --no-print-directory -s -j$$(nproc) VARIANT=fuzz fuzzers
	@$(PYTHON) tests/run $(ONLY)

check-root: ## demo and check in a debootstrapped minimal root: SUITE=bookworm (default) or trixie
	@tests/check-root $(or $(SUITE),bookworm)

check-kernels: deps ## the data plane on Debian's kernels under QEMU (KERNELS="6.1 6.12 sid", SELECT=test names)
	@$(MAKE) --no-print-directory -s -j$$(nproc) programs helpers kernel-tests
	@KERNELS='$(KERNELS)' SELECT='$(SELECT)' tests/check-kernels

demo: deps ## show the main job with real traffic (PEER=strongswan, KEEP=1)
	@$(MAKE) --no-print-directory -s -j$$(nproc) programs helpers
	@$(PYTHON) tests/demo.py $(if $(PEER),--peer $(PEER)) $(if $(filter 1,$(KEEP)),--keep)

bench: deps ## benchmarks as a table and build/bench.json (ONLY=pipeline|wire|host|scale|memory)
	@$(MAKE) --no-print-directory -s -j$$(nproc) programs benches helpers
	@$(PYTHON) tools/bench/bench.py $(ONLY)

fuzz: deps ## fuzz every target for SECONDS_EACH (default 60) seconds
	@$(MAKE) --no-print-directory -s -j$$(nproc) VARIANT=fuzz fuzzers
	@$(PYTHON) tests/run fuzz --seconds $(or $(SECONDS_EACH),60)

lint: ## format, include arrows, banned calls, SPDX lines, shell scripts
	@tools/lint

install: all ## honours DESTDIR and PREFIX
	@DESTDIR='$(DESTDIR)' B='$(B)' SBINDIR='$(SBINDIR)' BINDIR='$(BINDIR)' MANDIR='$(MANDIR)' UNITDIR='$(UNITDIR)' \
		SYSCONFDIR='$(SYSCONFDIR)' PREFIX='$(PREFIX)' tools/install install
uninstall: ## remove what install put there; a changed configuration stays
	@DESTDIR='$(DESTDIR)' B='$(B)' SBINDIR='$(SBINDIR)' BINDIR='$(BINDIR)' MANDIR='$(MANDIR)' UNITDIR='$(UNITDIR)' \
		SYSCONFDIR='$(SYSCONFDIR)' PREFIX='$(PREFIX)' tools/install uninstall

clean: ## remove build/
	rm -rf build

-include $(shell find build -name '*.d' 2>/dev/null)
