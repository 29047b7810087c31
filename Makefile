# compos: what a developer needs. `make demo` and `make test` set everything up on a fresh Debian machine.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DOCS_VENV := build/docs-venv
PROGRAM_SOURCES := $(wildcard bricks/*/src/*.[ch] bricks/*/src/*/*.[ch] src/compos/boot/loader/*.S) hatch_build.py

# Node may be there from another source than Debian, whose npm would conflict with it.
CLOUD_PACKAGES := python3-keystone python3-glance $(shell command -v npm >/dev/null || echo nodejs npm)
AZURITE := mkdir -p build/azurite && npm install --prefix build/azurite --no-audit --no-fund --loglevel=error azurite@3.37.0
AZURE_CLI := test -x build/az/bin/az || { $(PYTHON) -m venv build/az && build/az/bin/pip install -q azure-cli==2.91.0; }
DEMO_PACKAGES := qemu-system-x86
TEST_PACKAGES := $(DEMO_PACKAGES) $(shell sed 's/\#.*//' tests/packages.txt)

.PHONY: demo appliance check test wide fuzz power-cuts sealed-boots encrypted-roots slots updates installs dev-edits clouds report-browser policies graph-kills publish bricks linuxkit-examples linuxkit-tests packages lint format bench bench-formats bench-boot bench-testing bench-secure bench-remote-cache bench-clouds bench-update fleet bench-dev matrix docs dist lock clean

demo: $(VENV)/ready   ## build examples/web.yml, boot it, fetch its page
	@scripts/install-packages $(DEMO_PACKAGES)
	@$(BIN)/python examples/demo.py

appliance: $(VENV)/ready ## a machine that updates itself: builds two versions, boots one, waits for the other (a few minutes)
	@scripts/install-packages $(DEMO_PACKAGES) ovmf
	@$(BIN)/python examples/appliance/appliance.py

check: $(VENV)/ready  ## lint, types and the tests that need no root, guest, mirror, whole build or much time
	@$(BIN)/python -m pytest -q -n 2 --dist loadgroup --in-memory --without boot,build,network,root,slow

test: $(VENV)/ready   ## lint, types, layering contract and all tests but those of `make wide`
	@scripts/install-packages $(TEST_PACKAGES)
	@CI=1 $(BIN)/python -m pytest -n 3 --dist loadgroup --without wide

wide: $(VENV)/ready   ## the tests that `make test` leaves out: longer ones, of which it runs shorter kin (twenty minutes)
	@scripts/install-packages $(TEST_PACKAGES)
	@CI=1 $(BIN)/python -m pytest -n 2 --dist loadgroup -m wide

fuzz: $(VENV)/ready   ## the nightly run: random inputs, a thousand killed builds (an hour)
	@scripts/install-packages $(TEST_PACKAGES)
	@$(BIN)/python -m tests.fuzz --seconds 120 --keep build/findings
	@COMPOS_TEST_KILLS=1000 COMPOS_TEST_ROUND_TRIPS=12 $(BIN)/python -m pytest -q --hypothesis-profile default \
	  $(shell grep -rl "^from hypothesis" tests --include 'test_*.py') tests/output/test_faults.py tests/image/test_push_killed.py

power-cuts: $(VENV)/ready ## cut the power of disks at every moment of a format, an extension, an encryption (a quarter of an hour)
	@scripts/install-packages $(TEST_PACKAGES)
	@CI=1 COMPOS_POWER_CUTS=1 $(BIN)/python -m pytest -q -n 2 --dist load -rP --in-memory \
	  -o faulthandler_timeout=7200 \
	  tests/boot/test_power_cuts.py tests/boot/test_disk_faults.py tests/boot/partition_cuts.py

sealed-boots: $(VENV)/ready ## what opens a sealed data partition and what does not, what starts and attests of a tampered system, a boot a case (three quarters of an hour)
	@scripts/install-packages $(TEST_PACKAGES)
	@CI=1 $(BIN)/python -m pytest -q -n 0 tests/boot/sealed_boots.py tests/boot/sealed_tpm12_boots.py tests/boot/tampered_boots.py tests/boot/attested_boots.py tests/boot/appliance_walk.py

encrypted-roots: $(VENV)/ready ## an installer encrypts the roots of slots; what opens them, what does not, updates through the encryption (half an hour)
	@scripts/install-packages $(TEST_PACKAGES)
	@CI=1 $(BIN)/python -m pytest -q -n 0 tests/boot/encrypted_roots.py

slots: $(VENV)/ready ## what becomes of new versions in the second slot: each way to fail, power cuts, one that stays, under UEFI and BIOS (half an hour)
	@scripts/install-packages $(TEST_PACKAGES)
	@CI=1 $(BIN)/python -m pytest -q -n 0 tests/boot/slot_trials.py

installs: $(VENV)/ready ## cut the power while an installer writes a disk; install from the network, and a secure system with its keys (half an hour)
	@scripts/install-packages $(TEST_PACKAGES)
	@CI=1 $(BIN)/python -m pytest -q -n 0 -rP --in-memory -o faulthandler_timeout=0 tests/boot/install_cuts.py tests/boot/install_boots.py

updates: $(VENV)/ready ## update a guest from each source, refuse what must be refused, go back; a sealed one, too; writes the table of docs/update-bundles.md (half an hour)
	@scripts/install-packages $(TEST_PACKAGES)
	@CI=1 $(BIN)/python -m pytest -q -n 0 -o faulthandler_timeout=0 tests/boot/update_sources.py tests/boot/update_kexec.py

slot-cuts: $(VENV)/ready ## cut the power at 200 random moments of an update, under a BIOS and UEFI: one of two versions starts, whole (half an hour)
	@scripts/install-packages $(TEST_PACKAGES)
	@CI=1 $(BIN)/python -m pytest -q -n 0 -o faulthandler_timeout=0 tests/boot/slot_cuts.py tests/boot/slot_cuts_uefi.py

dev-edits: $(VENV)/ready ## 200 edits under compos dev leave no process, file, mount or memory behind; disks, arm64, guests that halt (twenty minutes)
	@scripts/install-packages $(TEST_PACKAGES)
	@CI=1 COMPOS_DEV_EDITS=200 $(BIN)/python -m pytest -q -n 0 -o faulthandler_timeout=0 tests/boot/test_dev.py tests/boot/dev_boots.py

clouds: $(VENV)/ready ## push to emulators and real services of clouds, and run machines there, with every call failing in every way (half an hour)
	@scripts/install-packages $(TEST_PACKAGES) $(CLOUD_PACKAGES)
	@$(AZURITE)
	@CI=1 COMPOS_CLOUDS=1 $(BIN)/python -m pytest -q -n 0 tests/cloud tests/cloud/glance_boots.py

report-browser: $(VENV)/ready ## try the page that compos report writes in Chromium (half a minute)
	@scripts/install-packages chromium
	@CI=1 $(BIN)/python -m pytest -q -n 0 tests/report/page_in_browser.py

policies: $(VENV)/ready ## compare verdicts about policies with skopeo's, for tags and digests, signed and not (a minute)
	@scripts/install-packages $(TEST_PACKAGES)
	@CI=1 COMPOS_ALL_POLICIES=1 $(BIN)/python -m pytest -q -n 0 tests/trust/test_skopeo.py

graph-kills: $(VENV)/ready ## kill processes that build, push and pull packages in one store, a hundred times (half an hour)
	@scripts/install-packages $(TEST_PACKAGES)
	@CI=1 COMPOS_TEST_GRAPH_KILLS=100 $(BIN)/python -m pytest -q -n 2 tests/package/graph/test_builds.py tests/package/graph/test_registry_kills.py

bricks: $(VENV)/ready ## a table of all bricks: size, packages, security updates, test; writes docs/brick-table.md
	@$(BIN)/python -m scripts.bricks

publish: $(VENV)/ready ## push all bricks for all architectures: REGISTRY=HOST/PATH [KEY=private key in PEM]
	@test -n "$(REGISTRY)" || { echo "usage: make publish REGISTRY=HOST[:PORT]/PATH [KEY=FILE]" >&2; exit 2; }
	@$(BIN)/python hatch_build.py amd64 arm64 riscv64 >/dev/null
	@$(BIN)/compos pkg outdated --rebuild $(dir $(wildcard bricks/*/build.yml))
	@$(BIN)/compos pkg push --registry $(REGISTRY) $(if $(KEY),--sign-key $(KEY)) $(dir $(wildcard bricks/*/build.yml))

linuxkit-examples: $(VENV)/ready ## build and boot the examples of a checkout of LinuxKit, and write docs/linuxkit-examples.md: LINUXKIT=FOLDER (half an hour)
	@test -d "$(LINUXKIT)/examples" || { echo "usage: make linuxkit-examples LINUXKIT=FOLDER" >&2; exit 2; }
	@scripts/install-packages $(DEMO_PACKAGES)
	@$(BIN)/python -m scripts.linuxkit_examples $(LINUXKIT)

linuxkit-tests: $(VENV)/ready ## build and boot the test cases of a checkout of LinuxKit, and write docs/linuxkit-tests.md: LINUXKIT=FOLDER (half an hour)
	@test -d "$(LINUXKIT)/test/cases" || { echo "usage: make linuxkit-tests LINUXKIT=FOLDER" >&2; exit 2; }
	@scripts/install-packages $(TEST_PACKAGES)
	@$(BIN)/python -m scripts.linuxkit_tests $(LINUXKIT)

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

bench-remote-cache: $(VENV)/ready ## measure what a remote cache saves (a quarter of an hour)
	@mkdir -p build && $(BIN)/python bench/remote_cache.py

bench-clouds: $(VENV)/ready ## measure what pushes send, beside the providers' own tools (a quarter of an hour; npm, and 700 MB for azure-cli)
	@scripts/install-packages $(TEST_PACKAGES) $(CLOUD_PACKAGES) python3-openstackclient
	@$(AZURITE)
	@$(AZURE_CLI)
	@$(BIN)/python bench/cloud.py

bench-testing: $(VENV)/ready ## measure ten expectations of a system beside pytest with pexpect (ten minutes)
	@scripts/install-packages $(DEMO_PACKAGES) curl
	@$(BIN)/python bench/testing.py

bench-secure: $(VENV)/ready ## measure what verity, the TPM and encryption cost (ten minutes)
	@scripts/install-packages $(TEST_PACKAGES)
	@$(BIN)/python bench/secure.py

bench-boot: $(VENV)/ready ## measure from power-on to the first page (five minutes)
	@scripts/install-packages $(DEMO_PACKAGES)
	@$(BIN)/python bench/boot.py

bench-update: $(VENV)/ready ## measure what an update sends, writes and takes, and write docs/benchmarks-updates.md (ten minutes)
	@scripts/install-packages $(TEST_PACKAGES)
	@$(BIN)/python bench/update.py

fleet: $(VENV)/ready  ## simulate how 100,000 machines take an update, and write docs/fleet.md (half a minute)
	@$(BIN)/python -m scripts.fleet

bench-dev: $(VENV)/ready ## measure from a save to its effect in the guest of compos dev, and write docs/benchmarks-dev.md (five minutes)
	@scripts/install-packages $(DEMO_PACKAGES)
	@$(BIN)/python bench/dev.py

matrix: $(VENV)/ready ## boot every format on every firmware and medium, and write docs/boot-matrix.md; the main examples on arm64, UEFI HTTP boot, libvirt (half an hour)
	@scripts/install-packages $(TEST_PACKAGES) qemu-system-misc opensbi libvirt-daemon-driver-qemu
	@$(BIN)/python docs/boot_matrix.py
	@$(BIN)/python -m pytest -q tests/boot/examples_arm64.py tests/boot/kernel_packages.py tests/boot/netboot_uefi.py \
	  tests/boot/libvirt_guest.py

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
