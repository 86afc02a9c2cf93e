# Tapedeck: `make help` lists what there is.
SHELL := /bin/bash
GO ?= go
GOLANGCI_LINT_VERSION ?= v2.15.0
COMMANDS := $(notdir $(wildcard cmd/*))
export CGO_ENABLED ?= 0

.DEFAULT_GOAL := help

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: build
build: ## build all commands into bin/
	@mkdir -p bin
	$(GO) build -trimpath -o bin/ ./cmd/...

.PHONY: run
run: build ## record the sample on a local tape and play it into files, and into the databases that TAPEDECK_REDIS_URL, _MYSQL_DSN, _CLICKHOUSE_DSN name; Ctrl-C stops
	@exec deploy/run.sh

.PHONY: run-full
run-full: build servers ## the same with all tiers: starts a Redis, a MariaDB and a ClickHouse of its own under data/servers
	@CGO_ENABLED=0 $(GO) build -trimpath -o bin/dev/ ./deploy/servers ./internal/testserver/chdb
	@exec bin/dev/servers --dir "$${TAPEDECK_DATA:-./data}/servers" deploy/run.sh

.PHONY: servers
servers: ## install the database servers that the tests start for themselves (Debian, Ubuntu)
	@deploy/install-servers.sh

.PHONY: test
test: build servers ## run all tests against real servers, with the race detector
	@# What takes longest begins first: packages run side by side in this order. Vetting is for make check.
	CGO_ENABLED=1 TAPEDECK_BIN=$(CURDIR)/bin $(GO) test -race -vet=off -timeout 30m ./internal/tier/... $$($(GO) list ./... | grep -v '/tests$$\|/internal/tier/')
	@# The black-box tests hold lags: they get the machine for themselves.
	CGO_ENABLED=1 TAPEDECK_BIN=$(CURDIR)/bin $(GO) test -race -vet=off -timeout 30m ./tests

.PHONY: check
check: ## formatting, vet, lint, and that everything builds for Windows too
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { gofmt -l $$(git ls-files '*.go'); echo "run: gofmt -w ."; exit 1; }
	$(GO) vet ./...
	GOOS=windows $(GO) build ./...
	$(GO) run github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_LINT_VERSION) run ./...

.PHONY: bench
bench: servers ## measure ingest, log and tiers beside the raw engines, in one run
	$(GO) test -run '^$$' -bench . -benchtime 2s ./events ./internal/... ./tests/...

.PHONY: fuzz
fuzz: ## fuzz the decoder and the file readers, a minute each
	@deploy/fuzz.sh

.PHONY: clean
clean: ## remove what build and run made
	rm -rf bin data
