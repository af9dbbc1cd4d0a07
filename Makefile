# pcache: one Makefile, no generated build files. `make help` lists the targets.
#
# Every folder under src/ is a static archive of its own; a unit test links only the archives that
# its module's floor allows (DEPS_*), so a call to a higher floor or a sibling does not link.

B       ?= build
CC      ?= cc
OPT     ?= -O2 -g
# What is written in a test runs once: to optimize it would take half of the time of a build. Some
# warnings of gcc are right only after it.
TEST_OPT = $(patsubst -O2,-Og,$(OPT)) \
           $(if $(findstring clang,$(CC)),,-Wno-format-truncation -Wno-maybe-uninitialized \
           -Wno-restrict)
SAN     ?=
VERSION := 1.0.0
COMMIT  := $(shell git rev-parse --short HEAD 2>/dev/null || echo unknown)
WARN    := -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes \
           -Wvla -Wformat=2 -Wundef -Werror
CFLAGS  += -std=c11 $(OPT) $(WARN) -fstack-protector-strong -fno-omit-frame-pointer $(SAN) \
           -Iinclude -MMD -MP -pthread
LDFLAGS += $(SAN) -pthread
# Debian 12 calls the library msgpackc, later releases msgpack-c: pkg-config knows.
# Evaluated when something is linked, not when this file is read: on a fresh machine pkg-config
# itself comes with `make deps`.
MSGPACK    = $(shell pkg-config --libs msgpack-c 2>/dev/null || \
               pkg-config --libs msgpack 2>/dev/null || echo -lmsgpackc)
LIBS_CORE  = -lsodium $(MSGPACK)
LIBS_EDGE  = -levent -levent_pthreads -ljansson -linih $(LIBS_CORE)
LIBS_TOOLS = -ljansson -linih -lsodium
# evhttp takes and gives back some thirty pieces of memory for each request, more at a time than the
# C library keeps at hand: with mimalloc a write takes a sixth to a third less processor time. Sanitizers
# bring their own. MALLOC= builds without.
MALLOC     = $(if $(SAN),,-lmimalloc)

# ---- modules, floor by floor: where each lives and what it may call
MODULES     := base raft swim store wire node os json feed wal snap branch bus gossip http config
CORE        := raft swim store base
DIR_base    := src/base
DIR_raft    := src/core/raft
DIR_swim    := src/core/swim
DIR_store   := src/core/store
DIR_wire    := src/wire
DIR_node    := src/node
DIR_os      := src/edge/os
DIR_json    := src/edge/json
DIR_feed    := src/edge/feed
DIR_wal     := src/edge/wal
DIR_snap    := src/edge/snap
DIR_branch  := src/edge/branch
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
DEPS_json   := wire $(CORE)
DEPS_feed   := json os wire $(CORE)
DEPS_wal    := os wire $(CORE)
DEPS_snap   := os wire $(CORE)
DEPS_branch := json os wire $(CORE)
DEPS_bus    := os node wire $(CORE)
DEPS_gossip := os node wire $(CORE)
DEPS_http   := os node wire $(CORE)
DEPS_config := os base
EDGE        := os json feed wal snap branch bus gossip http config

objects  = $(patsubst src/%.c,$(B)/obj/%.o,$(wildcard $(DIR_$(1))/*.c))
archive  = $(B)/lib/libpc_$(1).a
archives = $(foreach m,$(1),$(call archive,$(m)))

# A program is built once its main exists: an unfinished one never breaks `make all`.
PROGRAMS := $(if $(wildcard src/pcached/main.c),$(B)/pcached) \
            $(if $(wildcard tools/pcadmin/main.c),$(B)/pcadmin) \
            $(if $(wildcard tools/pclog/*.c),$(B)/pclog) \
            $(if $(wildcard tests/sim/pcsim.c),$(B)/pcsim) \
            $(if $(wildcard tests/lincheck/main.c),$(B)/lincheck) \
            $(if $(wildcard tests/chaosclient/main.c),$(B)/chaos-client)

.PHONY: all
all: $(PROGRAMS) ## build pcached, pcadmin, pclog and pcsim into build/ (B=DIR: elsewhere)

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(firstword $(MAKEFILE_LIST)) | sed -E 's/:.*## /\t/' | expand -t 16

.PHONY: deps
deps: ## install the compiler and libraries that are missing (apt-get; sudo only when not root)
	@tools/dev/deps
	@mkdir -p $(B) && touch $(B)/.deps-ok
# Once per build directory, before the first object: instant when nothing is missing.
$(B)/.deps-ok:
	@tools/dev/deps
	@mkdir -p $(@D) && touch $@

# ---- compiling
# What of the next versions of the protocol this build speaks: src/base/protocol.c. A build with
# another number belongs into a directory of its own.
NEXT ?= 0
$(B)/obj/base/protocol.o: CFLAGS += -DPC_PROTOCOL_NEXT=$(NEXT)
$(B)/obj/%.o: src/%.c | $(B)/.deps-ok
	@mkdir -p $(@D)
	@echo "  CC    $<"
	@$(CC) $(CFLAGS) -DPC_VERSION='"$(VERSION)"' -DPC_COMMIT='"$(COMMIT)"' -c -o $@ $<
$(B)/obj/tools/%.o: tools/%.c | $(B)/.deps-ok
	@mkdir -p $(@D)
	@echo "  CC    $<"
	@$(CC) $(CFLAGS) -Isrc -Itools -DPC_VERSION='"$(VERSION)"' -c -o $@ $<
$(B)/obj/tests/%.o: tests/%.c | $(B)/.deps-ok
	@mkdir -p $(@D)
	@echo "  CC    $<"
	@$(CC) $(CFLAGS) -Itests -Isrc -Itools -c -o $@ $<
$(B)/obj/tests/unit/%.o $(B)/obj/tests/integration/%.o $(B)/obj/tests/fuzz/%.o: OPT := $(TEST_OPT)

define module_rules
$(call archive,$(1)): $(call objects,$(1))
	@mkdir -p $$(@D)
	@rm -f $$@
	@ar rcs $$@ $$^
endef
$(foreach m,$(MODULES),$(eval $(call module_rules,$(m))))

# ---- programs
tool_objects = $(patsubst %.c,$(B)/obj/%.o,$(wildcard tools/$(1)/*.c))
TOOLS        := pcadmin pclog
DEPS_pcadmin := config branch json snap wal os wire $(CORE)
DEPS_pclog   := json snap wal os wire $(CORE)
$(B)/pcached: $(patsubst src/%.c,$(B)/obj/%.o,$(wildcard src/pcached/*.c)) \
    $(call archives,config http gossip bus feed branch json snap wal os node wire $(CORE))
	@echo "  LINK  $@"
	@$(CC) $(LDFLAGS) -o $@ $^ $(MALLOC) $(LIBS_EDGE)
# The next versions as far as their neighbours can tell, for the test of upgrades: the same objects
# with another word on what protocols are spoken.
NEXT_PROGRAMS := $(B)/pcached-next1 $(B)/pcached-next2
$(B)/obj/next/protocol-1.o $(B)/obj/next/protocol-2.o: \
    $(B)/obj/next/protocol-%.o: src/base/protocol.c | $(B)/.deps-ok
	@mkdir -p $(@D)
	@echo "  CC    $< (NEXT=$*)"
	@$(CC) $(CFLAGS) -DPC_PROTOCOL_NEXT=$* -c -o $@ $<
$(NEXT_PROGRAMS): $(B)/pcached-next%: $(B)/obj/next/protocol-%.o \
    $(patsubst src/%.c,$(B)/obj/%.o,$(wildcard src/pcached/*.c)) \
    $(call archives,config http gossip bus feed branch json snap wal os node wire $(CORE))
	@echo "  LINK  $@"
	@$(CC) $(LDFLAGS) -o $@ $^ $(MALLOC) $(LIBS_EDGE)
# It makes data directories, and looks into snapshots: with the daemon's own code.
NEEDS_pcadmin := $(addprefix $(B)/obj/pcached/,identity_file.o history.o data_file.o) \
    $(addprefix $(B)/obj/tools/pclog/,lock.o json.o)
$(B)/pcadmin: $(call tool_objects,pcadmin) $(NEEDS_pcadmin) $(call archives,$(DEPS_pcadmin))
	@echo "  LINK  $@"
	@$(CC) $(LDFLAGS) -o $@ $^ $(LIBS_TOOLS) $(MSGPACK)
$(B)/pclog: $(call tool_objects,pclog) $(call archives,$(DEPS_pclog))
	@echo "  LINK  $@"
	@$(CC) $(LDFLAGS) -o $@ $^ $(LIBS_TOOLS) $(MSGPACK)
SIM_LIB := $(patsubst %.c,$(B)/obj/%.o,$(filter-out tests/sim/pcsim.c tests/sim/test_%.c,\
    $(wildcard tests/sim/*.c)) $(wildcard tests/support/sim_*.c))
# Besides the core and the log it runs what decides on identities, and the seal of datagrams.
SIM_LIB += $(addprefix $(B)/obj/pcached/,identity.o identity_file.o data_file.o history.o lives.o)
$(B)/pcsim: $(B)/obj/tests/sim/pcsim.o $(SIM_LIB) \
    $(call archives,gossip snap branch wal node os wire $(CORE))
	@echo "  LINK  $@"
	@$(CC) $(LDFLAGS) -o $@ $^ $(LIBS_CORE)

# Histories of clients under faults: who records them, and who judges them.
LINCHECK_LIB := $(patsubst %.c,$(B)/obj/%.o,$(filter-out %/main.c,$(wildcard tests/lincheck/*.c)))
CHAOSCLIENT_LIB := $(patsubst %.c,$(B)/obj/%.o,$(filter-out %/main.c,\
    $(wildcard tests/chaosclient/*.c))) $(B)/obj/tests/integration/kit/client.o \
    $(B)/obj/tests/integration/kit/clock.o
$(B)/lincheck: $(B)/obj/tests/lincheck/main.o $(LINCHECK_LIB) $(call archives,base)
	@echo "  LINK  $@"
	@$(CC) $(LDFLAGS) -o $@ $^
$(B)/chaos-client: $(B)/obj/tests/chaosclient/main.o $(CHAOSCLIENT_LIB) $(LINCHECK_LIB) \
    $(call archives,base)
	@echo "  LINK  $@"
	@$(CC) $(LDFLAGS) -o $@ $^

# ---- unit tests: tests/unit/<module>/test_*.c, one program each
SUPPORT := $(patsubst %.c,$(B)/obj/%.o,$(wildcard tests/support/*.c))
# Objects of fake_*.c come before the archives: what they define is not taken from there.
fakes = $(patsubst %.c,$(B)/obj/%.o,$(wildcard tests/unit/$(1)/fake_*.c))
define unit_rules
$(B)/unit/$(1)/%: $(B)/obj/tests/unit/$(1)/%.o $$(SUPPORT) $$(call fakes,$(1)) \
    $$(call archives,$(1) $$(DEPS_$(1)))
	@mkdir -p $$(@D)
	@echo "  LINK  $$@"
	@$$(CC) $$(LDFLAGS) -o $$@ $$^ -lcmocka $$(if $$(filter $(1),$$(EDGE)),$$(LIBS_EDGE),$$(LIBS_CORE))
endef
$(foreach m,$(MODULES),$(eval $(call unit_rules,$(m))))
# This test stands between the store and the allocator, to let any one allocation fail.
$(B)/unit/store/test_store_nomem: LDFLAGS += -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc
$(B)/unit/sim/%: $(B)/obj/tests/sim/%.o $(SIM_LIB) $(SUPPORT) \
    $(call archives,gossip snap branch wal node os wire $(CORE))
	@mkdir -p $(@D)
	@echo "  LINK  $@"
	@$(CC) $(LDFLAGS) -o $@ $^ -lcmocka $(LIBS_CORE)

# Tests of a tool link its objects, all but main.
define tool_unit_rules
$(B)/unit/$(1)/%: $(B)/obj/tests/unit/$(1)/%.o $$(SUPPORT) \
    $$(filter-out %/main.o,$$(call tool_objects,$(1))) $$(NEEDS_$(1)) \
    $$(call archives,$$(DEPS_$(1)))
	@mkdir -p $$(@D)
	@echo "  LINK  $$@"
	@$$(CC) $$(LDFLAGS) -o $$@ $$^ -lcmocka $$(LIBS_TOOLS) $$(MSGPACK)
endef
$(foreach t,$(TOOLS),$(eval $(call tool_unit_rules,$(t))))

$(B)/unit/lincheck/%: $(B)/obj/tests/unit/lincheck/%.o $(SUPPORT) \
    $(patsubst %.c,$(B)/obj/%.o,$(wildcard tests/unit/lincheck/gen_*.c)) $(LINCHECK_LIB) \
    $(call archives,base)
	@mkdir -p $(@D)
	@echo "  LINK  $@"
	@$(CC) $(LDFLAGS) -o $@ $^ -lcmocka
$(B)/unit/chaosclient/%: $(B)/obj/tests/unit/chaosclient/%.o $(call fakes,chaosclient) \
    $(SUPPORT) $(CHAOSCLIENT_LIB) $(LINCHECK_LIB) $(call archives,base)
	@mkdir -p $(@D)
	@echo "  LINK  $@"
	@$(CC) $(LDFLAGS) -o $@ $^ -lcmocka

# T is matched against "<module>/test_<subject>".
ALL_UNIT_TESTS := $(patsubst tests/unit/%.c,%,$(wildcard tests/unit/*/test_*.c)) \
    $(patsubst tests/%.c,%,$(wildcard tests/sim/test_*.c tests/swim/test_*.c tests/fuzz/fuzz_*.c))
PICKED_TESTS   := $(if $(T),$(foreach t,$(ALL_UNIT_TESTS),$(if $(findstring $(T),$(t)),$(t))),\
    $(ALL_UNIT_TESTS))
UNIT_TESTS     := $(addprefix $(B)/unit/,$(PICKED_TESTS))
.PRECIOUS: $(B)/obj/tests/%.o

.PHONY: test
test: ## all that needs no root: tidy floors unit sim (also under sanitizers) integration
	@B=$(B) MAKE="$(MAKE)" tests/run-all

.PHONY: unit unit-programs
unit: $(UNIT_TESTS) ## unit and scenario tests; T=<file part> picks programs, F=<pattern> tests
	@tests/run-unit $(B)/unit "$(F)" $(PICKED_TESTS)
unit-programs: $(UNIT_TESTS)

# ---- the simulator, real processes, figures
FROM  ?= 1
COUNT ?= 500
PROCESSORS = $(shell nproc 2>/dev/null || echo 2)
.PHONY: sim
sim: $(B)/pcsim ## simulated clusters: FROM=1 COUNT=500 seeds, or one with SEED=<n>
	@$(B)/pcsim $(if $(SEED),--seed $(SEED),--from $(FROM) --count $(COUNT) --jobs $(PROCESSORS))

.PHONY: sim-scripts
sim-scripts: $(B)/unit/raft/test_raft_scripts ## histories of tests/sim/scripts: S=<name> picks, REWRITE=1 renews
	@SCRIPT="$(S)" REWRITE="$(REWRITE)" tests/run-unit $(B)/unit "" raft/test_raft_scripts

# Tests of tests/integration are scripts, or programs: a test_<subject>.c each, on what tests/
# integration/kit offers (processes, clients, load).
INTEGRATION_KIT := $(patsubst %.c,$(B)/obj/%.o,$(wildcard tests/integration/kit/*.c)) \
    $(B)/obj/tests/support/test.o
$(B)/integration/%: $(B)/obj/tests/integration/%.o $(INTEGRATION_KIT) $(call archives,os base)
	@mkdir -p $(@D)
	@echo "  LINK  $@"
	@$(CC) $(LDFLAGS) -o $@ $^ -lcmocka $(LIBS_EDGE)
INTEGRATION_TESTS := $(patsubst tests/integration/%.c,$(B)/integration/%,\
    $(wildcard tests/integration/test_*.c))
.PHONY: integration
integration: all $(NEXT_PROGRAMS) $(INTEGRATION_TESTS) ## tests with real processes; T=<file part> picks
	@tests/run-integration $(B) "$(T)"

# ---- fuzzing: tests/fuzz/fuzz_<noun>.c. Each is built twice: with replay.c as a unit test that runs
# over tests/fuzz/corpus/<noun>/, by any compiler; and by clang with libFuzzer, in $(B)-fuzz.
CLANG        ?= clang
SECS         ?= 60
FUZZ_TARGETS := $(patsubst tests/fuzz/fuzz_%.c,%,$(wildcard tests/fuzz/fuzz_*.c))
FUZZ_PICKED  := $(if $(X),$(filter $(X),$(FUZZ_TARGETS)),$(FUZZ_TARGETS))
FUZZ_DIR     := $(B)-fuzz
# Inputs of these are programs of operations, and MessagePack: they have mutators of their own.
FUZZ_OPS     := raft raft_net swim store vote wal_log wal_segment node repair
FUZZ_MPACK   := mpack wire_msg wire_entry chunk
FUZZ_KIT     := $(addprefix $(B)/obj/tests/fuzz/kit/,fuzz.o raft_craft.o raft_disk.o)
FUZZ_MODULES := $(call archives,config http gossip bus feed branch json snap wal os node wire $(CORE))
fuzz_mutator  = $(if $(filter $(1),$(FUZZ_OPS)),$(B)/obj/tests/fuzz/kit/mutate_ops.o)\
                $(if $(filter $(1),$(FUZZ_MPACK)),$(B)/obj/tests/fuzz/kit/mutate_mpack.o)
fuzz_needs    = $(if $(filter $(1),identity),$(addprefix $(B)/obj/pcached/,\
                identity.o identity_file.o identity_lock.o data_file.o history.o lives.o))\
                $(if $(filter $(1),lincheck),$(LINCHECK_LIB))
define fuzz_rules
$(B)/unit/fuzz/fuzz_$(1): $(B)/obj/tests/fuzz/fuzz_$(1).o $(B)/obj/tests/fuzz/kit/replay.o \
    $$(FUZZ_KIT) $$(SUPPORT) $$(call fuzz_needs,$(1)) $$(FUZZ_MODULES)
	@mkdir -p $$(@D)
	@echo "  LINK  $$@"
	@$$(CC) $$(LDFLAGS) -o $$@ $$^ -lcmocka $$(LIBS_EDGE)
$(B)/fuzz/fuzz_$(1): $(B)/obj/tests/fuzz/fuzz_$(1).o $$(call fuzz_mutator,$(1)) \
    $$(FUZZ_KIT) $$(SUPPORT) $$(call fuzz_needs,$(1)) $$(FUZZ_MODULES)
	@mkdir -p $$(@D)
	@echo "  LINK  $$@"
	@$$(CC) $$(LDFLAGS) -fsanitize=fuzzer -o $$@ $$^ -lcmocka $$(LIBS_EDGE)
endef
$(foreach t,$(FUZZ_TARGETS),$(eval $(call fuzz_rules,$(t))))
$(B)/fuzz/seeds: $(B)/obj/tests/fuzz/seeds.o $(SUPPORT) $(FUZZ_KIT) $(FUZZ_MODULES)
	@mkdir -p $(@D)
	@echo "  LINK  $@"
	@$(CC) $(LDFLAGS) -o $@ $^ -lcmocka $(LIBS_EDGE)

.PHONY: fuzz fuzz-all fuzz-merge fuzz-programs fuzz-needs
fuzz-needs:
	@command -v $(CLANG) >/dev/null || { echo "fuzzing needs clang with libFuzzer:" \
	    "\`tools/dev/deps fuzz\` installs it, CLANG=clang-19 names another one" >&2; exit 1; }
	@$(if $(FUZZ_PICKED),,echo "no such target: $(X); there are: $(FUZZ_TARGETS)" >&2; exit 1)
fuzz-programs: $(addprefix $(B)/fuzz/fuzz_,$(FUZZ_PICKED)) $(B)/fuzz/seeds
# What clang compiles goes to a build directory of its own.
FUZZ_BUILD = +@$(MAKE) --no-print-directory B=$(FUZZ_DIR) CC=$(CLANG) OPT='-O1 -g' \
    SAN='-fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=undefined' fuzz-programs
fuzz: fuzz-needs ## fuzz with clang: X=raft SECS=60 (X: names of tests/fuzz/fuzz_*.c; none = all)
	$(FUZZ_BUILD)
	@tests/fuzz/run fuzz $(FUZZ_DIR) $(SECS) $(FUZZ_PICKED)
fuzz-all: fuzz ## every fuzz target for SECS=60 each, as a table
fuzz-merge: fuzz-needs ## take what fuzzing found new into tests/fuzz/corpus, minimised; X picks
	$(FUZZ_BUILD)
	@tests/fuzz/run merge $(FUZZ_DIR) $(SECS) $(FUZZ_PICKED)

# ---- SWIM by the numbers: tests/swim. The simulation has no socket; the members of swim-bench do.
SWIMSIM_LIB := $(patsubst %.c,$(B)/obj/%.o,$(wildcard tests/swim/sim_*.c))
$(B)/swimsim: $(B)/obj/tests/swim/swimsim.o $(SWIMSIM_LIB) $(call archives,wire $(CORE))
	@mkdir -p $(@D)
	@echo "  LINK  $@"
	@$(CC) $(LDFLAGS) -o $@ $^ $(LIBS_CORE)
$(B)/unit/swim/test_swimsim: $(B)/obj/tests/swim/test_swimsim.o $(SWIMSIM_LIB) $(SUPPORT) \
    $(call archives,wire $(CORE))
	@mkdir -p $(@D)
	@echo "  LINK  $@"
	@$(CC) $(LDFLAGS) -o $@ $^ -lcmocka $(LIBS_CORE)
.PHONY: swim-sim
swim-sim: $(B)/swimsim ## SWIM from 3 to 1000 members, simulated: detection, false deaths, cost; A=<options>
	@$(B)/swimsim $(A)

$(B)/swim_node: $(B)/obj/tests/swim/swim_node.o $(call archives,gossip os wire $(CORE))
	@mkdir -p $(@D)
	@echo "  LINK  $@"
	@$(CC) $(LDFLAGS) -o $@ $^ $(LIBS_EDGE)
$(B)/swim_bench: $(B)/obj/tests/swim/swim_bench.o $(call archives,base)
	@mkdir -p $(@D)
	@echo "  LINK  $@"
	@$(CC) $(LDFLAGS) -o $@ $^
.PHONY: swim-bench
swim-bench: $(B)/swim_node $(B)/swim_bench ## 3, 32 and 64 real members beside serf: N="3 32" picks, KILLS=5
	@PCACHE_BIN=$(B) tests/swim/bench $(N)

# Programs of tests/bench may use everything below pcached.
$(B)/bench/%: $(B)/obj/tests/bench/%.o \
    $(call archives,config http gossip bus feed branch json snap wal os node wire $(CORE))
	@mkdir -p $(@D)
	@echo "  LINK  $@"
	@$(CC) $(LDFLAGS) -o $@ $^ $(LIBS_EDGE)
$(B)/bench/bench_store: $(B)/obj/tests/bench/bench_store.o $(call archives,store base)
	@mkdir -p $(@D)
	@echo "  LINK  $@"
	@$(CC) $(LDFLAGS) -o $@ $^ $(LIBS_CORE)
# Rates and stalls of the store depend on the allocator: this one measures with the daemon's.
$(B)/bench/bench_snapshot: LIBS_EDGE += $(MALLOC)
BENCHES := $(patsubst tests/bench/%.c,$(B)/bench/%,$(wildcard tests/bench/bench_*.c))
.PHONY: bench
bench: all $(BENCHES) ## figures, never asserted; X=<part> picks (B is the build directory)
	@PCACHE_BIN=$(B) tests/bench/run "$(X)"

.PHONY: cluster
cluster: all ## three nodes on 127.0.0.1:8001-8003 and a balancer on 5000, until Ctrl-C
	@PCACHE_BIN=$(B) tools/cluster run

# Not part of `make test`: it needs root or a container engine that runs.
.PHONY: docker-test
docker-test: $(B)/integration/recorder ## experiments with containers, for real; X=<names> picks
	@PCACHE_BIN=$(B) PCACHE_SPARES= docker/experiments $(X)

# Programs of tests/chaos. The library is preloaded into programs as they are: no sanitizer in it.
# Delaying packets takes a library that not every system has.
CHAOS_QUEUE = $(wildcard /usr/include/libnetfilter_queue/libnetfilter_queue.h)
CHAOS_PROGRAMS = $(addprefix $(B)/chaos/,powercut crowd faultfs.so $(if $(CHAOS_QUEUE),jitter))
$(B)/chaos/%: $(B)/obj/tests/chaos/%.o
	@mkdir -p $(@D)
	@echo "  LINK  $@"
	@$(CC) $(LDFLAGS) -o $@ $^
$(B)/chaos/jitter: LDFLAGS += -Wl,--no-as-needed -lnetfilter_queue
$(B)/chaos/faultfs.so: tests/chaos/faultfs.c
	@mkdir -p $(@D)
	@echo "  LINK  $@"
	@$(CC) -std=c11 $(OPT) $(WARN) -fPIC -shared -pthread -o $@ $< -ldl
.PHONY: chaos chaos-short chaos-programs
chaos-programs: all $(CHAOS_PROGRAMS)
chaos: ## real nodes under real faults, as root: C=<names> picks, CHAOS_SECS=15 of trouble each
	@tools/dev/deps chaos || echo "chaos: going on with what is here"
	@$(MAKE) --no-print-directory chaos-programs
	@PCACHE_BIN=$(B) tests/chaos/run $(C)
chaos-short: ## the part of it that CI runs
	@$(MAKE) --no-print-directory chaos C=short

# ---- do the tests notice? Mistakes planted one at a time, see tests/mutants/run
SEEDS ?= 300
.PHONY: mutants
mutants: ## plant every known mistake and see it caught: M=<name pattern> picks, SEEDS=300
	@B=$(B) SEEDS=$(SEEDS) tests/mutants/run $(if $(M),'$(M)')

# ---- programs that watch ours at work, each with a build directory of its own. The ordinary build
# judges warnings; code that is compiled to be watched gives false ones.
TSAN_TESTS := base/test_blob_threads $(filter os/% wal/test_wal_thread% snap/test_snap_thread% \
    branch/test_branch_thread feed/test_feed,\
    $(ALL_UNIT_TESTS))
TSAN_BUILD := B="$(B)-tsan" OPT='-Og -g1' SAN='-fsanitize=thread -Wno-error' MALLOC=
.PHONY: tsan tsan-unit tsan-programs
tsan-programs:
	@$(MAKE) --no-print-directory $(TSAN_BUILD) $(addprefix $(B)-tsan/unit/,$(TSAN_TESTS))
tsan-unit: tsan-programs ## what threads share, under the thread sanitizer: its unit tests (part of `make test`)
	@tests/run-tsan $(B)-tsan $(TSAN_TESTS)
tsan: ## the same, and three nodes under load: kill -9, restart, drain
	@$(MAKE) --no-print-directory $(TSAN_BUILD) $(addprefix $(B)-tsan/,pcached \
	    integration/short_life $(addprefix unit/,$(TSAN_TESTS)))
	@tests/run-tsan $(B)-tsan $(TSAN_TESTS) life

# Without wire/test_wire_msg, whose largest messages, cut at each byte, would take it minutes.
VALGRIND_TESTS := $(filter-out wire/test_wire_msg,$(filter wire/% os/% gossip/% config/% \
    wal/test_wal_thread%,$(ALL_UNIT_TESTS))) store/test_store_commands wal/test_wal \
    wal/test_wal_formats http/test_head http/test_calls
VALGRIND_BUILD := B="$(B)-valgrind" OPT='-O1 -g' SAN= MALLOC=
.PHONY: valgrind
valgrind: ## three nodes under load and some unit tests under valgrind: errors, leaks at exit
	@tools/dev/deps valgrind
	@$(MAKE) --no-print-directory $(VALGRIND_BUILD) $(addprefix $(B)-valgrind/,pcached \
	    integration/short_life $(addprefix unit/,$(VALGRIND_TESTS)))
	@tests/run-valgrind $(B)-valgrind $(VALGRIND_TESTS) life

# What earlier runs counted is forgotten first.
COVERAGE_SEEDS ?= 300
COVERAGE_BUILD := B="$(B)-cov" OPT='-O0 -g' SAN='--coverage -Wno-error' MALLOC=
COVERAGE_OF    := $(foreach m,$(MODULES),$(m)=$(DIR_$(m))) pcached=src/pcached
.PHONY: coverage
coverage: ## lines and branches run by unit tests, seeds and real nodes; what of src/core is not
	@$(MAKE) --no-print-directory $(COVERAGE_BUILD) unit-programs \
	    $(addprefix $(B)-cov/,pcsim pcached integration/short_life)
	@find $(B)-cov -name '*.gcda' -delete
	@$(MAKE) --no-print-directory $(COVERAGE_BUILD) unit
	@$(B)-cov/pcsim --from 1 --count $(COVERAGE_SEEDS)
	@PCACHE_BIN=$(abspath $(B)-cov) $(B)-cov/integration/short_life | grep '^ok - '
	@tools/dev/coverage $(B)-cov $(COVERAGE_OF)

# ---- the rules of the house, as programs
.PHONY: tidy
tidy: ## line, function and file length, banned calls, undocumented declarations, stale mutants
	@tools/dev/tidy
	@tests/mutants/run --check

EMPTY  :=
SPACE  := $(EMPTY) $(EMPTY)
COMMA  := ,
FLOORS := base raft swim store wire node
.PHONY: floors
floors: $(call archives,$(FLOORS)) ## no include, call or mutable static that its floor forbids
	@tools/dev/floors $(B) $(foreach m,$(MODULES),$(m)=$(DIR_$(m)):$(subst $(SPACE),$(COMMA),$(DEPS_$(m))))

.PHONY: format
format: ## clang-format every C file in place
	@find src include tests tools -name '*.[ch]' -exec clang-format -i {} +

.PHONY: clean
clean: ## remove what was built
	@rm -rf $(B) $(B)-san $(B)-fuzz $(B)-tsan $(B)-valgrind $(B)-cov

-include $(shell find $(B)/obj -name '*.d' 2>/dev/null)
