# pcache: one Makefile, no generated build files. `make help` lists the targets.
#
# Every folder under src/ is a static archive of its own; a unit test links only the archives that
# its module's floor allows (DEPS_*), so a call to a higher floor or a sibling does not link.

B       ?= build
CC      ?= cc
OPT     ?= -O2 -g
SAN     ?=
VERSION := 1.0.0
COMMIT  := $(shell git rev-parse --short HEAD 2>/dev/null || echo unknown)
WARN    := -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes \
           -Wvla -Wformat=2 -Wundef -Werror
CFLAGS  += -std=c11 $(OPT) $(WARN) -fstack-protector-strong -fno-omit-frame-pointer $(SAN) \
           -Iinclude -MMD -MP -pthread
LDFLAGS += $(SAN) -pthread
# Debian 12 calls the library msgpackc, later releases msgpack-c: pkg-config knows.
MSGPACK := $(shell pkg-config --libs msgpack-c 2>/dev/null || pkg-config --libs msgpack 2>/dev/null || \
           echo -lmsgpackc)
LIBS_CORE := -lsodium $(MSGPACK)
LIBS_EDGE := -levent -levent_pthreads -ljansson -linih $(LIBS_CORE)

# ---- modules, floor by floor: where each lives and what it may call
MODULES     := base raft swim store wire node os wal bus gossip http config
CORE        := raft swim store base
DIR_base    := src/base
DIR_raft    := src/core/raft
DIR_swim    := src/core/swim
DIR_store   := src/core/store
DIR_wire    := src/wire
DIR_node    := src/node
DIR_os      := src/edge/os
DIR_wal     := src/edge/wal
DIR_bus     := src/edge/bus
DIR_gossip  := src/edge/gossip
DIR_http    := src/edge/http
DIR_config  := src/pcached/config
DEPS_raft   := base
DEPS_swim   := base
DEPS_store  := base
DEPS_wire   := $(CORE)
DEPS_node   := wire $(CORE)
DEPS_os     := base
DEPS_wal    := os wire $(CORE)
DEPS_bus    := os node wire $(CORE)
DEPS_gossip := os node wire $(CORE)
DEPS_http   := os node wire $(CORE)
DEPS_config := os base
EDGE        := os wal bus gossip http config

objects  = $(patsubst src/%.c,$(B)/obj/%.o,$(wildcard $(DIR_$(1))/*.c))
archive  = $(B)/lib/libpc_$(1).a
archives = $(foreach m,$(1),$(call archive,$(m)))

PROGRAMS := $(B)/pcached $(B)/pcadmin $(B)/pclog $(B)/pcsim

.PHONY: all
all: $(PROGRAMS) ## build pcached, pcadmin, pclog and pcsim

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

# ---- compiling
$(B)/obj/%.o: src/%.c
	@mkdir -p $(@D)
	@echo "  CC    $<"
	@$(CC) $(CFLAGS) -DPC_VERSION='"$(VERSION)"' -DPC_COMMIT='"$(COMMIT)"' -c -o $@ $<
$(B)/obj/tools/%.o: tools/%.c
	@mkdir -p $(@D)
	@echo "  CC    $<"
	@$(CC) $(CFLAGS) -DPC_VERSION='"$(VERSION)"' -c -o $@ $<
$(B)/obj/tests/%.o: tests/%.c
	@mkdir -p $(@D)
	@echo "  CC    $<"
	@$(CC) $(CFLAGS) -Itests -Isrc -c -o $@ $<

define module_rules
$(call archive,$(1)): $(call objects,$(1))
	@mkdir -p $$(@D)
	@rm -f $$@
	@ar rcs $$@ $$^
endef
$(foreach m,$(MODULES),$(eval $(call module_rules,$(m))))

# ---- programs
tool_objects = $(patsubst %.c,$(B)/obj/%.o,$(wildcard tools/$(1)/*.c))
$(B)/pcached: $(patsubst src/%.c,$(B)/obj/%.o,$(wildcard src/pcached/*.c)) \
    $(call archives,config http gossip bus wal os node wire $(CORE))
	@echo "  LINK  $@"
	@$(CC) $(LDFLAGS) -o $@ $^ $(LIBS_EDGE)
$(B)/pcadmin: $(call tool_objects,pcadmin) $(call archives,os base)
	@echo "  LINK  $@"
	@$(CC) $(LDFLAGS) -o $@ $^ $(LIBS_EDGE)
$(B)/pclog: $(call tool_objects,pclog) $(call archives,wal os wire $(CORE))
	@echo "  LINK  $@"
	@$(CC) $(LDFLAGS) -o $@ $^ $(LIBS_CORE)
SIM_LIB := $(patsubst %.c,$(B)/obj/%.o,$(filter-out tests/sim/pcsim.c tests/sim/test_%.c,\
    $(wildcard tests/sim/*.c)) tests/support/sim_fs.c)
$(B)/pcsim: $(B)/obj/tests/sim/pcsim.o $(SIM_LIB) $(call archives,wal node os wire $(CORE))
	@echo "  LINK  $@"
	@$(CC) $(LDFLAGS) -o $@ $^ $(LIBS_CORE)

# ---- unit tests: tests/unit/<module>/test_*.c, one program each
SUPPORT := $(patsubst %.c,$(B)/obj/%.o,$(wildcard tests/support/*.c))
define unit_rules
$(B)/unit/$(1)/%: $(B)/obj/tests/unit/$(1)/%.o $$(SUPPORT) $$(call archives,$(1) $$(DEPS_$(1)))
	@mkdir -p $$(@D)
	@echo "  LINK  $$@"
	@$$(CC) $$(LDFLAGS) -o $$@ $$^ -lcmocka $$(if $$(filter $(1),$$(EDGE)),$$(LIBS_EDGE),$$(LIBS_CORE))
endef
$(foreach m,$(MODULES),$(eval $(call unit_rules,$(m))))
$(B)/unit/sim/%: $(B)/obj/tests/sim/%.o $(SIM_LIB) $(SUPPORT) $(call archives,wal node os wire $(CORE))
	@mkdir -p $(@D)
	@echo "  LINK  $@"
	@$(CC) $(LDFLAGS) -o $@ $^ -lcmocka $(LIBS_CORE)

ALL_UNIT_TESTS := $(patsubst tests/unit/%.c,$(B)/unit/%,$(wildcard tests/unit/*/test_*.c)) \
    $(patsubst tests/sim/%.c,$(B)/unit/sim/%,$(wildcard tests/sim/test_*.c))
UNIT_TESTS := $(if $(T),$(foreach t,$(ALL_UNIT_TESTS),$(if $(findstring $(T),$(t)),$(t))),$(ALL_UNIT_TESTS))
.PRECIOUS: $(B)/obj/tests/%.o

.PHONY: unit
unit: $(UNIT_TESTS) ## unit and scenario tests; T=<file part> picks programs, F=<pattern> tests
	@tests/run-unit $(B)/unit "$(T)" "$(F)"

-include $(shell find $(B)/obj -name '*.d' 2>/dev/null)
