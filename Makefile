# Every target sets up what it needs and no more. `make help` lists them; CONTRIBUTING.md says how they are used.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
# Every file that is installed has a hash beside its pin, and is a wheel: building one would bring what nobody pinned.
# Where one is missing for a machine, `make WHEELS= TARGET` builds it.
WHEELS := --only-binary :all:
LOCKED := $(PIP) --require-hashes $(WHEELS)
PINS := requirements.txt requirements/build.txt requirements/check.txt requirements/locking.txt requirements/extras.txt \
	tests/requirements.txt tests/third_parties.txt tests/engines.txt tests/deployment.txt benchmarks/requirements.txt
# Most tests wait for processes, so three at a time on two cores pay; a file's tests stay together, for their fixtures.
PARALLEL := -n 3 --dist loadfile
# What the queue, the sinks and the journals ask of a Redis: streams, fences, the append-only file, refusals.
ENGINE_TESTS := tests/integration/replay/queue tests/integration/price tests/integration/control tests/integration/clients/resilience \
	tests/integration/runtime/test_redis_and_postgres_page.py \
	tests/unit/runtime/test_embedded.py tests/unit/runtime/test_redis_data.py tests/unit/runtime/test_preflight.py
KERNELS := $(patsubst fastpath/%.pyx,fastpath.%,$(wildcard fastpath/*.pyx))
KERNEL_FILES := $(wildcard fastpath/*.pyx fastpath/*.pxd fastpath/*.hpp) setup.py

# Nothing is imported from the current folder, where an archive may have been unpacked: our packages are found as installed.
export PYTHONSAFEPATH := 1

.DEFAULT_GOAL := help
.PHONY: help run run-orders run-power serve coverage-gate test test-quick test-long test-engines test-deployment test-image test-nightly coverage build-ext check lint types check-protos protos settings dashboards lock dist sbom audit audit-refresh bench fuzz sanitize sample-data clean metrics

help: ## List the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | awk -F'\t' '{printf "  make %-14s %s\n", $$1, $$2}'

$(VENV)/.installed: pyproject.toml requirements.lock requirements/build.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "midstream needs Python 3.11 or newer; this is %s. Try: make PYTHON=python3.12 run" % sys.version.split()[0])'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing the dependencies into $(VENV) ..."
	@$(LOCKED) -r requirements.lock -r requirements/build.lock
	@touch $@

# Without the kernels: installing would compile all of them again, whatever changed.
$(VENV)/.linked: $(VENV)/.installed
	@FASTPATH_SKIP=1 $(PIP) --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.built: $(VENV)/.linked $(KERNEL_FILES)
	@echo "building the extension ..."
	@$(BIN)/python setup.py -q build_ext --inplace >$(VENV)/build.log 2>&1 || (tail -30 $(VENV)/build.log; exit 1)
	@touch $@

# Enough for every check and for most tests.
$(VENV)/.tools: $(VENV)/.installed requirements/check.lock tests/requirements.lock
	@echo "installing the tools of a developer ..."
	@$(LOCKED) -r requirements/check.lock -r tests/requirements.lock
	@touch $@

# The third parties that judge ours: what takes long to install.
$(VENV)/.tested: $(VENV)/.tools requirements/extras.lock tests/third_parties.lock
	@echo "installing the third parties that tests ask ..."
	@$(LOCKED) -r requirements/extras.lock -r tests/third_parties.lock
	@touch $@

$(VENV)/.deployed: $(VENV)/.tested tests/deployment.lock
	@echo "installing what judges deployments ..."
	@$(LOCKED) -r tests/deployment.lock
	@touch $@

$(VENV)/.engines: $(VENV)/.tools tests/engines.lock
	@echo "installing a Redis 8 for tests ..."
	@$(LOCKED) --no-deps -r tests/engines.lock
	@touch $@

build-ext: $(VENV)/.built ## Build the Cython kernels in place and leave .venv/bin/midstream runnable

run: $(VENV)/.built ## Replay the sample data, switch to live and back, print a summary
	@$(BIN)/python -m services.cli demo

serve: $(VENV)/.built ## Keep every server up, with the embedded Redis
	@$(BIN)/midstream serve

run-orders: $(VENV)/.built ## Place orders against the simulated exchanges: REST on 8080, gRPC on 50055
	@MIDSTREAM_TRADING=$${MIDSTREAM_TRADING:-simulator} $(BIN)/midstream serve sim-binance sim-bybit sim-bitmex price orders

run-power: $(VENV)/.built ## The power desk with its simulated world: dashboard on http://127.0.0.1:8081
	@$(BIN)/midstream serve sim-power-exchange sim-market-data power-listener power-etl reporting

test: $(VENV)/.built $(VENV)/$(if $(T),.tools,.tested) ## Run the default test suite, or with T=tests/unit/cli one part of it
	@$(BIN)/python -m pytest $(or $(T),$(PARALLEL))

test-quick: $(VENV)/.built $(VENV)/.tools ## Run a tenth of the suite, from every part of it
	@$(BIN)/python -m pytest $(PARALLEL) -m 'quick and not long and not nightly'

test-long: $(VENV)/.built $(VENV)/.tested ## Run the tests that need minutes
	@$(BIN)/python -m pytest $(PARALLEL) -m 'long and not nightly'

test-engines: $(VENV)/.built $(VENV)/.engines ## Run the tests that ask much of a Redis on Redis 8 and on the one on PATH
	@engines=$$($(BIN)/python -m tests.support.engines) || exit 1; for engine in $$engines; do \
		MIDSTREAM_TEST_REDIS=$$engine $(BIN)/python -m pytest $(PARALLEL) $(ENGINE_TESTS) || exit 1; \
	done

test-deployment: $(VENV)/.built $(VENV)/.deployed ## Hold deploy/, compose.yaml and the image against the code and their own linters
	@$(BIN)/python -m pytest $(PARALLEL) tests/deployment

test-image: $(VENV)/.built $(VENV)/.tools ## Build the image without a daemon, look through it and run it hardened; needs root and apt
	@.ci/image

test-nightly: $(VENV)/.built $(VENV)/.tested ## Run what takes a whole machine or other people's tools, one test at a time
	@$(BIN)/python -m pytest -m nightly

# From 3.12 on the interpreter itself tells which lines ran, for a third less time; before, the tracer has to know of greenlets.
coverage: $(VENV)/.built $(VENV)/.tested ## Run the default test suite, child processes and all, and hold its coverage to the README's
	@rm -rf build/coverage && mkdir -p build/coverage
	@if $(BIN)/python -c 'import sys; sys.exit(sys.version_info < (3, 12))'; then \
		COVERAGE_CORE=sysmon $(BIN)/python -m coverage run --concurrency=thread -m pytest $(PARALLEL); \
	else $(BIN)/python -m coverage run -m pytest $(PARALLEL); fi
	@$(MAKE) --no-print-directory coverage-gate

coverage-gate: ## Hold the coverage that was measured to the README's
	@$(BIN)/python -m coverage combine --quiet
	@$(BIN)/python -m coverage json --quiet -o build/coverage/report.json
	@$(BIN)/python -m tests.coverage_gate build/coverage/report.json

check: lint types check-protos ## Check style, types, stubs and generated code: what needs no test

lint: $(VENV)/.tools ## Check style
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .

types: $(VENV)/.built $(VENV)/.tools ## Check types and the stubs of the kernels
	@$(BIN)/mypy && $(BIN)/python -m mypy.stubtest --ignore-unused-allowlist --allowlist tests/stubtest_allowlist.txt $(KERNELS)

protos: $(VENV)/.tools ## Generate the Python code of the protos, and their descriptor set
	@$(BIN)/python -m grpc_tools.protoc -I . --python_out=. --pyi_out=. $$(ls protos/*/v1/*.proto)
	@$(BIN)/python -m grpc_tools.protoc -I . --grpc_python_out=. --mypy_grpc_out=. \
		--plugin=protoc-gen-mypy_grpc=$(BIN)/protoc-gen-mypy_grpc $$(grep -l '^service ' protos/*/v1/*.proto)
	@# With the comments, which the generated code leaves out: reflection serves them.
	@$(BIN)/python -m grpc_tools.protoc -I . --include_imports --include_source_info \
		--descriptor_set_out=protos/midstream.binpb $$(ls protos/*/v1/*.proto)

settings: $(VENV)/.built ## Write docs/settings.md and the list of names from the settings' models
	@$(BIN)/python -m services.cli.settings_command

dashboards: $(VENV)/.deployed ## Write deploy/monitoring/grafana/dashboards from the code beside them
	@$(BIN)/python -m deploy.monitoring.grafana.build

metrics: $(VENV)/.built ## Write docs/metrics.md from what the servers declare
	@$(BIN)/python -m services.cli.metrics_page

lock: $(VENV)/.installed ## Write the hashes of every pinned file beside the pins; asks the package index
	@$(LOCKED) -r requirements/locking.lock
	@for pins in $(PINS); do \
		$(BIN)/uv pip compile --quiet --no-config --no-deps --no-annotate --no-header --generate-hashes \
			$$pins -o $(VENV)/lock.txt --upgrade >/dev/null && \
		{ echo "# Made from $$pins by 'make lock', which knows the hash of every file of each pin."; cat $(VENV)/lock.txt; } \
			>$$pins.new && mv $$pins.new $${pins%.txt}.lock || exit 1; \
	done

sbom: $(VENV)/.installed $(VENV)/.tools ## Write build/midstream.cdx.json: what comes from others, with hashes and licences
	@$(BIN)/python -m supply.sbom

audit: $(VENV)/.tools ## Hold every pin against the list of advisories in the tree; STRICT=1 wants all packages covered
	@$(BIN)/python -m supply.audit $(if $(STRICT),--strict)

audit-refresh: $(VENV)/.tools ## Write that list anew; asks an OSV server, URL= another one
	@$(BIN)/python -m supply.refresh $(if $(URL),--url $(URL))

check-protos: protos ## Fail when the committed generated code is not what the protos give
	@git diff --exit-code -- protos || (echo "the generated code differs: run 'make protos' and commit"; exit 1)
	@test -z "$$(git ls-files --others --exclude-standard -- protos)"

bench: $(VENV)/.built ## Measure against the alternatives and print ratios
	@$(LOCKED) -r benchmarks/requirements.lock
	@$(BIN)/python -m benchmarks

fuzz: $(VENV)/.built $(VENV)/.tools ## Give 100,000 mutated inputs to every reader, or N=; SEED= makes them again
	@$(BIN)/python -m tests.support.fuzz $(if $(N),--inputs $(N)) $(if $(SEED),--seed $(SEED))

sanitize: $(VENV)/.tools ## Run the kernels' tests and 100,000 mutated inputs under AddressSanitizer and UndefinedBehaviorSanitizer
	@tests/sanitize.sh $(abspath $(BIN))/python $(PARALLEL)

sample-data: $(VENV)/.built ## Generate data/*.csv and data/sample_output again
	@$(BIN)/python data/generate.py

dist: $(VENV)/.installed ## Build the source archive and, from it, the wheel: dist/
	@rm -rf dist
	@FASTPATH_SKIP=1 $(BIN)/python -c 'from setuptools import build_meta; build_meta.build_sdist("dist")' >/dev/null
	@$(BIN)/python -m pip wheel --quiet --disable-pip-version-check --no-deps --no-build-isolation --wheel-dir dist dist/*.tar.gz
	@ls -l dist

clean: ## Remove everything that was built
	rm -rf build dist *.egg-info $(VENV) fastpath/*.so
