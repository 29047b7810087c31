# compos: what a developer needs. `make demo` and `make test` set everything up on a fresh Debian machine.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DOCS_VENV := build/docs-venv
PROGRAM_SOURCES := $(wildcard bricks/*/src/*.[ch] bricks/*/src/*/*.[ch] src/compos/boot/loader/*.S) hatch_build.py

DEMO_PACKAGES := qemu-system-x86
TEST_PACKAGES := $(DEMO_PACKAGES) $(shell sed 's/\#.*//' tests/packages.txt)

.PHONY: demo check test fuzz power-cuts packages lint format bench bench-formats bench-boot matrix docs dist lock clean

demo: $(VENV)/ready   ## build examples/web.yml, boot it, fetch its page
	@scripts/install-packages $(DEMO_PACKAGES)
	@$(BIN)/python examples/demo.py

check: $(VENV)/ready  ## lint, types and the tests that need no root, guest, mirror or much time
	@$(BIN)/python -m pytest -q -n 2 --dist loadgroup --in-memory --without boot,network,root,slow

test: $(VENV)/ready   ## lint, types, layering contract and all tests
	@scripts/install-packages $(TEST_PACKAGES)
	@CI=1 $(BIN)/python -m pytest -n 2 --dist loadgroup

fuzz: $(VENV)/ready   ## the nightly run: random inputs, a thousand killed builds (an hour)
	@scripts/install-packages $(TEST_PACKAGES)
	@$(BIN)/python -m tests.fuzz --seconds 120 --keep build/findings
	@COMPOS_TEST_KILLS=1000 $(BIN)/python -m pytest -q --hypothesis-profile default \
	  $(shell grep -rl "^from hypothesis" tests --include 'test_*.py') tests/output/test_faults.py

power-cuts: $(VENV)/ready ## cut the power of guests at 50 moments while they format, extend and encrypt disks (two hours)
	@scripts/install-packages $(TEST_PACKAGES)
	@COMPOS_POWER_CUTS=50 $(BIN)/python -m pytest -q tests/boot/test_disk_bricks.py -k power_cut

packages:             ## install the Debian packages that tests use
	@scripts/install-packages $(TEST_PACKAGES)

lint: $(VENV)/ready   ## run only the linters (they also run as tests)
	@$(BIN)/python -m pytest -q tests/test_project.py

format: $(VENV)/ready
	@$(BIN)/ruff check --fix src tests bench docs examples hatch_build.py
	@$(BIN)/ruff format src tests bench docs examples hatch_build.py
	@clang-format -i bricks/*/src/*.[ch] bricks/*/src/*/*.[ch] tests/bricks/*/*.c

bench: $(VENV)/ready  ## measure builds against cp and the C tools, and write docs/benchmarks.md (ten minutes; needs 10 GB)
	@scripts/install-packages docker-registry skopeo zstd pigz
	@mkdir -p build && $(BIN)/python bench/build.py

bench-formats: $(VENV)/ready ## measure the writers of file systems and disks against the C tools
	@scripts/install-packages $(TEST_PACKAGES)
	@mkdir -p build && $(BIN)/python bench/formats.py

bench-boot: $(VENV)/ready ## measure from power-on to the first page (five minutes)
	@scripts/install-packages $(DEMO_PACKAGES)
	@$(BIN)/python bench/boot.py

matrix: $(VENV)/ready ## boot every format on every firmware and medium, and write docs/boot-matrix.md (a quarter of an hour)
	@scripts/install-packages $(TEST_PACKAGES)
	@$(BIN)/python docs/boot_matrix.py

docs: $(DOCS_VENV)/ready ## the documentation as a site: build/site/index.html
	@$(DOCS_VENV)/bin/python -m scripts.documentation

dist: $(VENV)/ready   ## the wheel, the source distribution and compos.pyz, each built twice and tested (docs/releasing.md)
	@scripts/install-packages git python3-venv $(DEMO_PACKAGES)
	@mkdir -p build && $(BIN)/python -m scripts.dist

lock:                 ## pin what compos and its developers need; `scripts/lock --upgrade` moves to newer versions
	@PYTHON=$(PYTHON) scripts/lock

clean:
	rm -rf $(VENV) build dist bricks/*/bin src/compos/_version.py src/compos/boot/loader/*.bin src/compos/boot/loader/*.stamp .mypy_cache .ruff_cache .pytest_cache

# The virtual environment, with compos installed from this folder (this compiles init: 35 s the first time).
$(VENV)/ready: pyproject.toml requirements-dev.lock $(PROGRAM_SOURCES)
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || scripts/install-packages python3-venv
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing compos and its tools into $(VENV)"
	@$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements-dev.lock
	@$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

# What makes the site needs nothing of compos, and has an environment of its own.
$(DOCS_VENV)/ready: requirements-docs.lock
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || scripts/install-packages python3-venv
	@$(PYTHON) -m venv --clear $(DOCS_VENV)
	@$(DOCS_VENV)/bin/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements-docs.lock
	@touch $@
