# Everything that one does with this repository. `make` lists it.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

# Tools have a module file of their own, so that the product's lists what the product needs.
TOOL := go tool -modfile=$(CURDIR)/.ci/tools/go.mod
# Up to three tests that fail are run again, alone: on a busy machine, a process may get no turn for longer than a test allows.
# How they failed stays in the output. A data race is never run again.
GOTEST := $(TOOL) gotestsum --format pkgname-and-test-fails --rerun-fails=1 --rerun-fails-max-failures=3 \
	--rerun-fails-abort-on-data-race
# Modules besides this one.
MODULES := clients/go clients/guards
# SDKs in other languages whose tools are here; scripts/setup says so loudly where they are not.
SDKS = $(shell scripts/setup languages)

# The race detector needs a C compiler; scripts/setup says so loudly where there is none.
RACE = $(shell command -v "$${CC:-cc}" >/dev/null && echo -race)
# Most tests wait more than they work: more of them at once than there are processors.
ATONCE = -parallel 4
# A Redis that all packages share serves them one after another.
PACKAGES = $(if $(TEST_REDIS_ADDR),-p 1)

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: run
run: ## serve on 127.0.0.1:5000 with a private Redis that ends with it
	go run ./service/cmd/lockd -dev

.PHONY: build
build: ## the programs: bin/lockd, bin/lockctl
	CGO_ENABLED=0 go build -trimpath -o bin/lockd ./service/cmd/lockd
	CGO_ENABLED=0 go build -trimpath -o bin/lockctl ./clients/cli

.PHONY: conformance
conformance: ## what every client must do, against real nodes (ARGS='-run deadlock -v', -slow: the longest too)
	go run ./clients/conformance -client go $(patsubst %,-client %,$(SDKS) $(if $(filter python,$(SDKS)),python:asyncio)) $(ARGS)

.PHONY: sdks
sdks: $(SDKS:%=sdk-%) packages ## linters, types and tests of the SDKs in other languages, their packages and the READMEs' snippets

.PHONY: $(SDKS:%=sdk-%)
$(SDKS:%=sdk-%): sdk-%:
	scripts/sdk $* test

.PHONY: $(MODULES:%=module-%)
$(MODULES:%=module-%): module-%:
	cd $* && $(GOTEST) --packages ./... -- $(RACE) $(ATONCE) -timeout 20m

.PHONY: packages
packages:
	for sdk in $(SDKS); do scripts/sdk $$sdk package; done

.PHONY: checks
checks: packages lint

# What mostly waits goes beside what mostly works.
.PHONY: test
test: setup ## every test, with the race detector, and the linters; installs what it needs
	$(GOTEST) --packages ./... -- $(RACE) $(PACKAGES) $(ATONCE) -timeout 20m
	$(MAKE) --no-print-directory -j4 --output-sync $(MODULES:%=module-%) $(SDKS:%=sdk-%)
	$(MAKE) --no-print-directory -j2 --output-sync checks conformance ARGS=-again

.PHONY: race
race: setup ## the tests of packages PKG (all), RUNS (3) times over with the race detector, in random order
	go test -race $(PACKAGES) -shuffle on -count $(or $(RUNS),3) -timeout 60m $(or $(PKG),./...)

.PHONY: lint
lint: ## vet, linters, formatting, import rules
	$(TOOL) golangci-lint run
	for m in $(MODULES); do (cd $$m && $(TOOL) golangci-lint run -c $(CURDIR)/.golangci.yml); done

.PHONY: fmt
fmt: ## format the code
	$(TOOL) golangci-lint fmt
	for m in $(MODULES); do (cd $$m && $(TOOL) golangci-lint fmt -c $(CURDIR)/.golangci.yml); done

.PHONY: vuln
vuln: ## known vulnerabilities in what we import (VULN_DB: the address of another database)
	@scripts/vuln

.PHONY: bench
bench: setup ## speed and size in one sitting, as ratios (ONLY=cold,hot: some of it; ONLY=scale: what grows)
	go run ./scripts/bench $(if $(ONLY),-only $(ONLY))

.PHONY: faults
faults: setup ## nodes, Redis, Sentinels and networks are hurt, and the promises checked: minutes (ARGS='-only failover -seed 7')
	go run ./scripts/faults $(ARGS)

.PHONY: faults-long
faults-long: setup ## the same until HISTORIES (10000) are checked, FLEETS (4) at once: an hour, at most FOR (24h)
	go run ./scripts/faults -rounds 10 -fleets $(or $(FLEETS),4) -histories $(or $(HISTORIES),10000) -for $(or $(FOR),24h) $(ARGS)

.PHONY: microbench
microbench: setup ## the benchmarks of packages PKG (all), with allocations
	go test -run '^$$' -bench . -benchmem -p 1 $(or $(PKG),./...)

.PHONY: fuzz
fuzz: setup ## every fuzz target, FUZZTIME (20s) each
	@scripts/fuzz

.PHONY: loadtest
loadtest: ## 50 clients, 1000 operations against the server that runs on port 5000
	go run ./scripts/loadtest -concurrent 50 -operations 1000

.PHONY: setup
setup: ## install what the tests need and is not here
	@scripts/setup
