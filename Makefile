# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# "make demo" shows what the collection does, "make test" is what has to pass. Both set up what they need. ARGS goes to
# the program behind a target, for example:  make unit ARGS="-k label"

PYTHON = $(firstword $(wildcard /usr/bin/python3) python3)
DEV = STAGE=$@ "$(PYTHON)" tests/utils/dev.py
PYTEST = python -m pytest $(PYTEST_ARGS)
# Tests that share a cluster stay in one process.
SERVERS = -n 2 --dist loadscope

.NOTPARALLEL:
.PHONY: help demo test test-all setup setup-all unit integration interop faults lint sanity units-all bench lock clean

help:
	@echo 'make demo         a backup and a restore on this machine, from nothing, in a few minutes'
	@echo 'make test         everything that has to pass: unit, lint, sanity, integration, interop, faults'
	@echo 'make test-all     the same with the slow sweeps over more versions and sizes'
	@echo 'make unit | lint | sanity | integration | interop | faults      one part of it'
	@echo 'make bench        the measurements'
	@echo 'make setup        only the set-up;  make clean  removes all of it again'

demo:
	@$(DEV) demo $(ARGS)

# The fastest bad news comes first.
test: unit lint sanity integration interop faults

test-all:
	@$(MAKE) --no-print-directory setup-all
	@$(MAKE) --no-print-directory test units-all PYTEST_ARGS="-m ''"

setup:
	@$(DEV) setup test

setup-all:
	@$(DEV) setup all

unit:
	@$(DEV) run test $(PYTEST) -n 2 tests/unit $(ARGS)
	@$(DEV) as-root python -m pytest -m root -p no:cacheprovider tests/unit $(ARGS)

integration interop faults:
	@$(DEV) run test $(PYTEST) $(SERVERS) tests/$@ $(ARGS)
	@$(DEV) as-root python -m pytest -m root -p no:cacheprovider tests/$@ $(ARGS)

lint:
	@$(DEV) run test sh tests/utils/lint.sh

sanity:
	@$(DEV) sanity $(ARGS)

# The unit tests on every Python version that this machine has.
units-all:
	@$(DEV) units $(ARGS)

bench:
	@$(DEV) run test python benchmarks/run.py $(ARGS)

# After a change of a range: the exact versions that the tests use.
lock:
	@$(DEV) lock

clean:
	@$(DEV) clean
