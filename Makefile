# jobs: build, install and test.
#
#   make, make install     as any PostgreSQL extension; PG_CONFIG picks the server
#   make demo              see it work: two agents, five jobs
#   make test              every suite; T=claim only those whose stem has "claim"
#   make replay TRACE=DIR  run a recorded workload
#   make bench             measure, next to its peers; B=held S=60 C=8 one scenario,
#                          for so many seconds with so many clients
#   make warnings, lint    what the tests cannot see
#   make test-valgrind, test-asan
#                          the suites on servers under a sanitizer; T=claim as above
#   make test-versions     every suite on each supported server, in systems of
#                          their own; V="17 18" only these, V=15-m32 a 32-bit one
#   make deb               a package for Debian, tried in a system of its own; V=17
#   make dist              the sources of the last commit, as .tar.gz and .zip (PGXN)
#   make release-sql       keep the SQL of this version for the tests of updates
#   make fuzz              random JSON; FUZZ_SECONDS=60 for how long
#   make torture           kills, crashes, full disks: MINUTES=30
#   make faults            what happens when it goes wrong at a certain place
#   make setup             the packages that all of these need
#
# demo, test, replay and bench leave the system alone: they install into a temporary
# folder and start a server of their own there. Only bench, run by root, reserves huge
# pages while it runs.

EXTENSION  = jobs
EXTVERSION := $(shell sed -n "s/^default_version *= *'\(.*\)'/\1/p" jobs.control)
MODULE_big = jobs
OBJS       = $(patsubst %.c,%.o,$(sort $(wildcard src/*.c)))

SQL_PARTS  = $(sort $(wildcard sql/[0-9][0-9]_*.sql))
DATA_built = $(EXTENSION)--$(EXTVERSION).sql
DATA       = $(wildcard sql/$(EXTENSION)--*--*.sql)

PG_CPPFLAGS = -DJOBS_VERSION='"$(EXTVERSION)"'
ifneq ($(JOBS_FAULTS),)
PG_CPPFLAGS += -DJOBS_FAULTS
endif
PG_CFLAGS   = -Wall -Wextra -Wno-unused-parameter
SHLIB_LINK  = -ljson-c

# For make installcheck: the suites that can run in an installed server.
ISOLATION      = $(patsubst test/specs/%.spec,%,$(wildcard test/specs/*.spec))
ISOLATION_OPTS = --inputdir=test --outputdir=test/output_iso --load-extension=$(EXTENSION)
TAP_TESTS      = 1
PROVE_TESTS    = test/t/*.pl
EXTRA_CLEAN    = test/output_iso src/.faults

PG_CONFIG ?= pg_config
export PG_CONFIG

# On a new machine there is nothing to include yet: setup and what starts with
# it must work all the same.
PGXS := $(wildcard $(shell $(PG_CONFIG) --pgxs 2>/dev/null))
ifneq ($(PGXS),)
include $(PGXS)
else
all install installcheck clean:
	@echo "$(PG_CONFIG) knows no server headers; make setup installs what is missing" >&2
	@exit 1
endif

$(DATA_built): $(SQL_PARTS) jobs.control
	cat $(SQL_PARTS) > $@

# Objects with places for faults (see src/fault.h) and those without must not mix.
FAULTS := src/.faults
$(shell echo "$(JOBS_FAULTS)" | cmp -s - $(FAULTS) || echo "$(JOBS_FAULTS)" >$(FAULTS))

$(OBJS) $(OBJS:.o=.bc): $(wildcard src/*.h) Makefile $(FAULTS)

# Durability is not what these two are about.
demo test: export EXTRA_CONF = fsync = off

# As root; what it makes is kept in .chroots, or where JOBS_CHROOTS says.
test-versions:
	@test/versions/run $(V)

.PHONY: deb dist release-sql
deb:
	@test/versions/deb $(V)

dist:
	mkdir -p dist
	git archive --prefix=$(EXTENSION)-$(EXTVERSION)/ -o dist/$(EXTENSION)-$(EXTVERSION).tar.gz HEAD
	git archive --prefix=$(EXTENSION)-$(EXTVERSION)/ -o dist/$(EXTENSION)-$(EXTVERSION).zip HEAD

release-sql: setup $(DATA_built)
	@test/upgrade/freeze $(EXTVERSION)

# The parsers' plain-C core, under libFuzzer and the sanitizers.
fuzz:
	@test/fuzz/run

.PHONY: fuzz torture faults setup demo test test-valgrind test-asan test-versions replay bench warnings lint
setup:
	@test/setup

demo: setup
	@test/cluster test/demo/run

test: setup
	@test/cluster test/run '$(T)'

# With places for faults; nothing of that remains in the tree of whoever is root.
torture faults: export JOBS_FAULTS = 1
torture faults: export EXTRA_CONF = fsync = off
torture: setup
	@test/torture/start $(MINUTES)

faults: setup
	@test/cluster test/run faults

# They start servers of their own as test does.
test-valgrind test-asan: export EXTRA_CONF = fsync = off
test-valgrind test-asan: test-%: setup
	@test/setup $*
	@SANITIZER=$* test/cluster test/sanitize '$(T)'

replay: setup
	@test -f '$(TRACE)/jobs.csv' || { echo "usage: make replay TRACE=<folder with jobs.csv and agents.csv>" >&2; exit 2; }
	@test/cluster test/replay/run '$(abspath $(TRACE))'

bench: setup
	@test/bench/run $(B)

warnings: setup
	@test/warnings

lint: setup
	@test/lint
