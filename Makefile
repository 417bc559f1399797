# One entry point for every chore. Each target is a line or two; what is longer is a script of its own.

SHELL := /usr/bin/env bash
.SHELLFLAGS := -euo pipefail -c
MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := help

##@ Try it

.PHONY: demo demo-up demo-shell demo-down
demo: ## The main job on a real control plane and two real JVM bases, step by step; cleans up after itself
	@tests/demo/demo
demo-up: ## The same cluster, bases and operator, left running in the background (DEMO_HOURS=4)
	@tests/demo/up
demo-shell: ## A shell beside it in which kubectl and kubectl module just work
	@tests/demo/shell
demo-down: ## Ends it
	@tests/demo/down

##@ Build

.PHONY: build generate control-plane samples release image clean
build: ## The operator and kubectl-module, as they are released, in target/release
	@tests/prerequisites build
	cargo build --release --locked --bin module-controller --bin kubectl-module
generate: ## What is generated from the types: the CRDs in crds/, and docs/api.md
	cargo run --locked --quiet --bin crdgen
	cargo run --locked --quiet --bin crdgen -- --reference docs/api.md
control-plane: ## The Kubernetes that tests and demo run against (about 8 min the first time)
	@tests/control-plane/build
samples: ## The Java base and the modules (about 2 min the first time)
	@samples/java/build
release: ## Static binaries for amd64 and arm64, chart, manifests, SBOM and licences, in target/release-VERSION (ARCH=amd64 for one)
	@release/build $(ARCH)
image: ## Images of them from scratch, as OCI archives, by buildah and without a registry (ARCH=amd64 for one)
	@release/image $(ARCH)
clean: ## Deletes target/; the control plane in the cache folder stays
	cargo clean

##@ Check

.PHONY: fmt lint test test-long test-unit test-cluster test-jvm coverage deny bench
fmt: ## Formats all Rust code
	cargo fmt --all
lint: ## Format and lints, with warnings denied
	@tests/run format clippy
test: ## Everything: format, lints, unit, property, contract, scenario, conformance and JVM tests
	@tests/run
test-long: ## New random cases for all property tests (PROPTEST_CASES=2000), and releases in the small gone through deeper (MODEL_DEPTH=2)
	PROPTEST_CASES=$${PROPTEST_CASES:-2000} cargo test --locked --lib -- --skip model_tests
	MODEL_DEPTH=$${MODEL_DEPTH:-2} cargo test --locked --lib -- model_tests --show-output
test-unit: ## What needs no cluster
	@tests/run unit
test-cluster: ## Contract, scenarios, virtual nodes, take-over of V1, rights and the documents, on a real control plane with simulated bases
	@tests/run contract scenarios vnode migration rights docs
test-jvm: ## What needs JVM bases: conformance of the simulated agent, and the main job
	@tests/run conformance jvm
coverage: ## Lines and regions that unit, contract, scenario, vnode and migration tests reach; fails below 80 % and 60 %
	@tests/coverage
deny: ## Licences, sources and duplicates of all dependencies, and known weaknesses where their list can be had
	@tests/deny
bench: ## Figures: 1,000 modules on 50 bases; 10,000 vPods on 1,000 virtual nodes, beside kwok (about 25 min)
	@benches/run

.PHONY: help
help: ## This list
	@awk 'BEGIN { FS = ":.*## " } \
	  /^##@ / { printf "\n%s\n", substr($$0, 5) } \
	  /^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
