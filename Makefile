# kappa: everything that is built, tested and run. `make help` lists the targets.

GO      ?= go
VERSION := $(shell git describe --always --dirty 2>/dev/null || echo unknown)
LDFLAGS := -s -w -X main.version=$(VERSION)
# Packages whose code runs concurrently enough to be worth the race detector's
# time; the others are tables of pure functions.
RACE    := ./bridge/... ./drain/... ./deploy/... ./load/... ./internal/... ./sandbox/pubsub/... ./sandbox/dataflow/... ./pipeline/...
CMDS    := kappa kappa-pipeline kappa-sandbox kappa-truth

.DEFAULT_GOAL := help

.PHONY: help
help: ## List the targets
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: build
build: ## Build the programs into bin/
	@command -v c++ >/dev/null 2>&1 || command -v g++ >/dev/null 2>&1 || { echo "make build: no C++ compiler (c++ or g++) found; kappa-sandbox links DuckDB and needs one" >&2; exit 1; }
	@mkdir -p bin
	$(GO) build -ldflags '$(LDFLAGS)' -o bin/ $(addprefix ./cmd/,$(CMDS))

.PHONY: dist
dist: ## Build the static kappa that is shipped, without cgo, into bin/dist/
	@mkdir -p bin/dist
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/dist/ ./cmd/kappa

.PHONY: demo
demo: build ## Build, then run the whole migration on real flights (ARGS="--batch-cutoff 90m" …)
	bin/kappa demo $(ARGS)

# Without vet, which `make lint` runs over everything (go test would vet all that is
# imported a second time), and without what only debuggers need of a test binary:
# two dozen of them link DuckDB.
GOTEST := $(GO) test -vet=off -ldflags '-s -w'
# Tests with one of these need what the default tests do without.
TAGS   := demo,kafka,bigquery

.PHONY: test
test: build ## Run the default tests: nothing but loopback and the Go module proxy
	KAPPA_BIN_DIR=$(CURDIR)/bin $(GOTEST) -timeout 14m ./...

.PHONY: test-race
test-race: build ## Run the concurrent packages under the race detector
	KAPPA_BIN_DIR=$(CURDIR)/bin $(GOTEST) -race -timeout 25m $(RACE)
	$(GOTEST) -race -timeout 10m ./compare -run 'Reads|Reading|Transitions|SecondLook|Scenarios' # what a run does at once

.PHONY: test-demo
test-demo: build ## Run the demo with the defaults and with other inputs, and check its numbers and its limits
	$(GOTEST) -tags demo -count 1 -timeout 40m ./test/demo

.PHONY: test-rules
test-rules: ## Break every rule on purpose, in a copy of the code, and see its test go red (RULES=P3,D4)
	$(GO) run ./test/rules $(if $(RULES),--rule $(RULES))

.PHONY: soak-redeploy
soak-redeploy: ## Redeploy, crash, cancel, backfill and reshard by thousands of random schedules (SCHEDULES=5000)
	KAPPA_SOAK=$(or $(SCHEDULES),5000) $(GO) test -run TestRedeploys -count 1 -timeout 0 -v ./pipeline

.PHONY: test-kafka
test-kafka: build ## Run the bridge against a real Apache Kafka, resolved from Maven Central, started and stopped here (needs java and mvn)
	KAPPA_BIN_DIR=$(CURDIR)/bin $(GOTEST) -tags kafka -count 1 -p 1 -parallel 4 -timeout 12m ./internal/apachekafka ./test/kafka
	$(GOTEST) -tags kafka -count 1 -p 1 -timeout 5m -run ARealBroker ./bridge/verify ./bridge/inspect

.PHONY: soak-bridge
soak-bridge: build ## Run bridges under faults, with an oracle that knows every id (DURATION=3h SEED=7 BROKER=kafka); writes out/soak/bridge.json
	$(GO) run ./test/soak --kappa bin/kappa --duration $(or $(DURATION),150s) $(if $(SEED),--seed $(SEED)) $(if $(BROKER),--broker $(BROKER)) $(ARGS)

.PHONY: soak-rollout
soak-rollout: build ## Update eight jobs in the sandbox while events flow, and count every event (ARGS="--rate 2400 --logs logs"); writes out/soak/rollout.json
	$(GO) run ./test/rollout --bin bin $(ARGS)

.PHONY: bench-launch
bench-launch: ## Measure how long after DRAINED the next generation is launched
	$(GO) test -run '^$$' -bench DrainToLaunch -benchtime 3x -timeout 5m ./deploy

.PHONY: bench-bridge
bench-bridge: ## Measure the bridge beside raw clients, as ratios (ARGS=--quick, --full, --broker kafka); writes out/bench/bridge.json
	$(GO) run ./bench/bridge $(ARGS)

.PHONY: bench-compare
bench-compare: ## Reconcile ten million keys a side in the sandbox, beside raw DuckDB; writes out/bench/compare.json (ARGS=--quick: a tenth, counts and memory only)
	$(GO) run ./bench/compare $(ARGS)

.PHONY: test-report
test-report: ## Render the pages of comparisons in a real Chromium, light and dark, narrow and wide, and check them with axe-core (needs chromium, node, npm); screenshots in out/report/
	test/report/run.sh

# The statements that kappa sends, as test-sql and test-bigquery are given them.
STATEMENTS := $(CURDIR)/out/statements.json

.PHONY: statements
statements: # Record every SQL statement that kappa sends to BigQuery; fails if it can write SQL that is in none of them
	@command -v c++ >/dev/null 2>&1 || command -v g++ >/dev/null 2>&1 || { echo "make statements: no C++ compiler (c++ or g++) found; the sandbox's BigQuery links DuckDB and needs one" >&2; exit 3; }
	@mkdir -p out
	KAPPA_STATEMENTS=$(STATEMENTS) $(GOTEST) -count 1 -timeout 10m -coverpkg ./compare -coverprofile out/statements.cover ./test/statements

.PHONY: test-sql
test-sql: ## Hold every SQL statement that kappa sends against Google's analyser, grade what it reads, and run what the sandbox lacks a type for (compiles the analyser: minutes the first time)
	@cd test/analyser && $(GO) list -deps -test . >/dev/null || { echo "make test-sql: the modules of test/analyser could not be fetched; they come from the Go module proxy" >&2; exit 3; }
	$(MAKE) statements
	cd test/analyser && KAPPA_STATEMENTS=$(STATEMENTS) $(GOTEST) -count 1 -timeout 10m . # vet would take as long again over the analyser as compiling it

.PHONY: test-bigquery
test-bigquery: ## Run every SQL statement, and whole comparisons, on an independent BigQuery emulator as well, installed from PyPI, and compare the results (needs python3)
	test/bigquery/install.sh out/bqemulator
	$(MAKE) statements
	CGO_ENABLED=0 $(GO) build -o out/kappa ./cmd/kappa
	KAPPA_STATEMENTS=$(STATEMENTS) KAPPA_BQEMULATOR=$(CURDIR)/out/bqemulator KAPPA_BIN=$(CURDIR)/out/kappa $(GOTEST) -tags bigquery -count 1 -timeout 20m ./test/bigquery

.PHONY: accuracy
accuracy: build ## Put flaws into real flights by chance and measure how well their causes are found; writes docs/accuracy.md and out/accuracy.json (ARGS=--quick: fewer keys, no page; ARGS="--seed 7 --input flights.parquet")
	$(GO) run ./test/accuracy --bin bin --page docs/accuracy.md $(ARGS)

.PHONY: fuzz
fuzz: ## Fuzz every parser for a short while each (FUZZTIME=20s)
	GO='$(GO)' FUZZTIME='$(or $(FUZZTIME),20s)' test/fuzz.sh

.PHONY: lint
lint: ## gofmt, go vet, staticcheck
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { echo "not formatted:"; gofmt -l $$(git ls-files '*.go'); exit 1; }
	$(GO) vet -tags $(TAGS) ./...
	$(GO) tool -modfile=tools/go.mod staticcheck -tags $(TAGS) ./...

.PHONY: tidy
tidy: ## Check that go.mod and go.sum are tidy
	$(GO) mod tidy -diff
	$(GO) mod verify
	cd test/analyser && $(GO) mod tidy -diff

.PHONY: docs
docs: ## Write the generated parts of docs/
	$(GO) run ./internal/cli/gendocs docs

.PHONY: bench
bench: ## Run the benchmarks of the hot paths
	$(GO) test -run '^$$' -bench . -benchmem ./bridge/... ./pipeline/... ./sandbox/pubsub/... ./sandbox/bigquery/...

.PHONY: verify
verify: ## What CI runs, in its order
	.ci/run

.PHONY: clean
clean: ## Remove what was built and what the demo wrote
	rm -rf bin out
