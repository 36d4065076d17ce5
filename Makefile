# SPDX-License-Identifier: Apache-2.0
# The words one types; meson does the work. `make help` lists them.
SHELL := /bin/bash
.DEFAULT_GOAL := build
BUILD ?= build
S ?= 60
P ?=

.PHONY: build install quickstart test quick e2e security fault hostile-images fuzz bench lint fmt docs vm vm-test e2b-health soak clean help

build: $(BUILD)/build.ninja ## configure if needed, build everything; warnings are errors
	@ninja -C $(BUILD)

$(BUILD)/build.ninja:
	@command -v meson >/dev/null || { echo "meson is not installed; run: tools/install-deps.sh" >&2; exit 1; }
	@meson setup $(BUILD) >/dev/null || { cat $(BUILD)/meson-logs/meson-log.txt >&2; exit 1; }

install: build ## the programs, manual pages and units, below PREFIX (/usr/local)
	@meson configure $(BUILD) --prefix $(or $(PREFIX),/usr/local) && meson install -C $(BUILD) --quiet

quickstart: ## from a fresh Debian to a Python program in a sandbox
	@BUILD=$(BUILD) tools/quickstart.sh

test: ## install the test tools and run every test; the last line is "N passed, N failed"
	@BUILD=$(BUILD) tools/run-tests.sh

quick: build ## unit and architecture tests
	@meson test -C $(BUILD) --no-rebuild --suite unit --suite arch --print-errorlogs

e2e: build ## end-to-end tests; K=name runs those whose name holds it
	@FIREBREAK_BUILD=$(BUILD) tests/e2e/run.sh $(K)

security: build ## attacks that must fail for a named reason; K=name chooses
	@FIREBREAK_BUILD=$(BUILD) tests/security/run.sh $(K)

fault: build ## daemons and programs die, system calls fail; everything heals; K=name chooses
	@FIREBREAK_BUILD=$(BUILD) tests/fault/run.sh $(K)

hostile-images: build ## N=10000 SEED=n: sandboxes from images made to hurt; goes on where it was interrupted
	@FIREBREAK_BUILD=$(BUILD) node tests/lib/hostile_images.mjs $(or $(N),10000) $(SEED)

fuzz: ## T=target S=seconds: one fuzzer, from its corpus (clang)
	@tools/fuzz.sh "$(T)" "$(S)"

bench: build ## speed, side by side with the alternatives
	@tools/install-deps.sh bench
	@FIREBREAK_BUILD=$(BUILD) tests/bench/run.sh

soak: build ## P="leaks storm calls recovery": hours of tests/fault; 100,000 sandboxes, 10,000 kills, each system call
	@BUILD=$(BUILD) tools/soak.sh $(P)

lint: ## clang-tidy, cppcheck, gcc -fanalyzer, shellcheck, codespell
	@tools/install-deps.sh lint
	@tools/lint.sh

fmt: ## clang-format in place
	@git ls-files -z --cached --others --exclude-standard '*.c' '*.h' | xargs -0 -r clang-format -i

docs: ## manual pages from docs/man, checked by mandoc
	@tools/docs.sh $(BUILD)/man

vm: ## C="command": runs it on a copy of this tree in a throw-away machine with its own kernel
	@[ -n "$$VM_COMMAND" ] || { echo 'say what to run: make vm C="command"' >&2; exit 2; }
	@tools/install-deps.sh vm
	@tools/kvm-lab.sh -L . -- bash -c "$$VM_COMMAND"

vm: export VM_COMMAND = $(value C)

vm-test: build ## tests on Debian's own kernel (cgroup v2, older Landlock); FULL=1 runs more attacks
	@tools/install-deps.sh vm
	@BUILD=$(BUILD) tools/vm-test.sh $(if $(FULL),full,short)

e2b-health: ## probe the API (E2B_API_URL, default http://127.0.0.1:7070)
	@tools/health.sh

clean: ## remove what was built here; templates and state stay
	@rm -rf $(BUILD) build-fuzz build-analyzer build-clang build-asan

help: ## this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-15s%s\n", $$1, $$2 }' $(MAKEFILE_LIST)
