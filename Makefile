# SPDX-License-Identifier: Apache-2.0
# The few things one does here. What is built lands in .venv, as it would on a system: .venv/bin/hprobe is the product.
PYTHON  ?= $(shell test -x /usr/bin/python3 && echo /usr/bin/python3 || echo python3)
PREFIX  ?= /usr/local
DESTDIR ?=
SECONDS ?= 600
HOURS   ?= 1

MAKEFLAGS += --no-print-directory
BIN     := $(CURDIR)/.venv/bin
export PATH := $(BIN):$(PATH)

# Folders are among them, since deleting a file changes its folder.
SOURCES := meson.build meson.options $(shell find bin libtelemetry telemd probes hub etc systemd docs/man \
	-name __pycache__ -prune -o \( -type f -o -type d \) -print 2>/dev/null)
PACKAGES := libtelemetry/python/libtelemetry telemd probes/telemetry_probes hub/telemhub
PYTHON_FOLDERS := libtelemetry/python telemd probes hub tests scripts packaging demo bench examples

.PHONY: help deps deps-check build test lint format demo bench fuzz proof mutants pins install uninstall deb security-table texts clean

help:
	@echo 'make demo       see it work: hub, daemon and records of this machine, until Ctrl-C'
	@echo 'make test       the whole suite'
	@echo 'make lint       ruff, mypy --strict, C with -Werror by gcc and clang'
	@echo 'make bench      the table of speeds and sizes, measured here'
	@echo 'make fuzz       fuzz the wire codec for SECONDS=$(SECONDS)'
	@echo 'make proof      simulate faults for HOURS=$(HOURS), with seeds that were not tried before'
	@echo 'make build      compile, install into .venv'
	@echo 'make deps       install what is missing (the others do it by themselves)'
	@echo 'make install    to PREFIX=$(PREFIX), below DESTDIR=$(DESTDIR)'
	@echo 'make uninstall  take that away again'
	@echo 'make deb        Debian packages, into dist/'
	@echo 'make security-table  how open the units are, measured anew for docs/security.md'
	@echo 'make texts      completion of shells, the example configuration and the list of metrics, from the code'
	@echo 'make format     let ruff lay out the Python files'
	@echo 'make mutants    MODULE=ratelimit: does a test fail for every small change of telemd/ratelimit.py?'
	@echo 'make pins       pin requirements/*.in anew'
	@echo 'make clean      remove all that was built, and .venv'

deps:
	@scripts/deps build '$(PYTHON)'

deps-check:
	@scripts/deps check '$(PYTHON)'

build: deps
	@flock -o .venv/.lock $(MAKE) --silent build/installed.txt

# A prefix of its own makes .venv a small system; lib, not lib/<arch>, because that is where Python's venv keeps things.
build/build.ninja: meson.options $(wildcard meson.build */meson.build)
	@echo 'build: configuring'
	@meson setup $(if $(wildcard $@),--reconfigure) build --prefix='$(CURDIR)/.venv' --libdir=lib >build.log 2>&1 \
		|| { cat build.log; exit 1; }
	@mv build.log build/ && touch $@

build/installed.txt: build/build.ninja $(SOURCES) scripts/install.py
	@echo 'build: compiling and installing into .venv'
	@ninja -C build --quiet >build/ninja.log 2>&1; status=$$?; grep -v -e '^generating <' -e '^ninja: no work' build/ninja.log; exit $$status
	@$(BIN)/python scripts/install.py install build --only-changed

test: deps-check build
	@$(BIN)/pytest

lint: deps-check build
	@scripts/lint $(PYTHON_FOLDERS)

format: deps
	@ruff format --quiet $(wildcard $(PYTHON_FOLDERS))
	@ruff check --quiet --fix $(wildcard $(PYTHON_FOLDERS))

demo: build
	@$(BIN)/python demo/run.py

bench: build
	@$(BIN)/python bench/run.py

fuzz: deps-check
	@tests/fuzz/run.sh $(SECONDS)

proof: build
	@$(BIN)/python tests/simulation/proof.py --hours '$(HOURS)'

mutants: deps-check build
	@scripts/mutants '$(MODULE)'

pins: deps
	@scripts/pins '$(PYTHON)'

install: deps
	@$(BIN)/python scripts/install.py configure build-install --prefix '$(PREFIX)' --python '$(PYTHON)'
	@ninja -C build-install --quiet >/dev/null
	@$(BIN)/python scripts/install.py install build-install $(if $(DESTDIR),--destdir '$(DESTDIR)')
	@echo 'install: done, below $(DESTDIR)$(PREFIX)'

uninstall:
	@$(BIN)/python scripts/install.py uninstall build-install

deb: deps
	@$(BIN)/python packaging/deb.py dist

# What is written from tables in the code, and kept in the tree so that it can be read there.
texts: build
	@for shell in bash zsh fish; do $(BIN)/python -I -m telemd.ctl.completiontext $$shell >etc/completion/telemctl.$$shell; \
		$(BIN)/python -I -m telemetry_probes.completiontext $$shell >etc/completion/probes.$$shell; \
		$(BIN)/python -I -m telemetry_probes.metrics.completiontext $$shell >etc/completion/metricprobe.$$shell; done
	@$(BIN)/python -I -m telemd.configtext conf >etc/telemetrics.conf
	@$(BIN)/python -I -m telemetry_probes.metrics.reference docs/metrics.md

security-table: deps
	@$(BIN)/python scripts/securitytable.py

clean:
	@rm -rf build build-* .venv .mypy_cache .ruff_cache .pytest_cache
	@find . -name __pycache__ -prune -exec rm -rf {} +
