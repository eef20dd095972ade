# Everything that a newcomer needs: `make demo` shows Sampan at work, `make test` passes the tests.
# Both set up what is missing: system packages (through apt-get, so as root or with sudo) and `.venv`.

# The distribution's own Python, if it is new enough: it starts faster than most that are built by hand.
PYTHON ?= $(shell /usr/bin/python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	&& echo /usr/bin/python3 || echo python3)
SUDO := $(if $(filter 0,$(shell id -u)),,sudo)
BIN := .venv/bin
STAMP := .venv/.stamp
# Two at a time: the tests start real engines, and the smallest machine that we look after has two cores.
WORKERS ?= 2
PYTEST_FLAGS ?=

.PHONY: setup demo test test-vm lint bench long clean

setup: $(STAMP)

$(STAMP): pyproject.toml scripts/packages
	scripts/packages run
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[dev]'
	touch $@

demo: setup
	$(SUDO) scripts/demo

lint: setup
	$(BIN)/ruff check src tests bench scripts
	$(BIN)/ruff format --check src tests bench
	$(BIN)/mypy
	$(BIN)/lint-imports

# What only the tests need: the peers that Sampan is compared with. Their services are not started.
test: lint
	scripts/packages test
	$(SUDO) $(BIN)/pytest -n $(WORKERS) --dist loadgroup -m 'not slow' $(PYTEST_FLAGS)

# What takes longer than a developer wants to wait: faults, fuzzing. `.ci/run` runs it after `make test`.
long: setup
	scripts/packages test
	$(SUDO) $(BIN)/pytest -m slow --timeout 1800 $(PYTEST_FLAGS)

# What depends on the kernel, once more in a virtual machine with Debian's kernel, systemd and only cgroup v2.
test-vm: setup
	scripts/packages vm
	$(SUDO) $(BIN)/python -m tests.vm

bench: setup
	scripts/packages test
	$(SUDO) $(BIN)/python -m bench

clean:
	rm -rf .venv .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis dist build
