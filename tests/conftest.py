"""What becomes of a test whose privilege or tool is missing,
and of tiers that are left out on purpose.

A test says what it needs by markers (`pyproject.toml`): `root`, `boot`, `build`, `network`, `slow`, `wide`;
folders that are all of one kind are marked here. What is missing is reported as skipped, and the
summary counts what was left out, with the reasons.
Where `CI` is set, as `make test` does, only `--without` leaves anything out: what is missing fails.
"""

from __future__ import annotations

import gc
import os
import shutil
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Generator, Iterator
from contextlib import suppress
from importlib import import_module
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from _pytest.assertion import util as assertion
from hypothesis import HealthCheck, settings

from tests.machine import leave_out, mount_privately

# No example fails because the machine is busy. Hypothesis's own profile for CI, which fixes the
# seeds, has the same.
settings.register_profile("default", deadline=None, suppress_health_check=[HealthCheck.too_slow])
if settings.get_current_profile_name() == "default":
    settings.load_profile("default")

# Each worker and each program that a test starts would compile every module again.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# What the user has set for builds says nothing about tests.
os.environ["COMPOS_SETTINGS"] = ""

TESTS = Path(__file__).resolve().parent
FOLDERS = {"boot": "boot", "cli": "build", "fuzz": "slow", "output": "build", "report": "build"}
"""Folders all of whose tests have a marker."""

SHARED_WITH_OTHERS = frozenset(("boot", "network"))
"""Tests with a guest, an engine or the mirror, which run once more where they fail: their programs
have races of their own, and a machine of a CI is busy. The summary names each as RERUN."""

LEFT_OUT = pytest.StashKey[dict[str, int]]()
"""The number of tests that were left out, by their tier."""

REASONS = {
    "boot": "boots a guest",
    "build": "builds systems, or starts compos for each case",
    "network": "needs Debian's mirror",
    "root": "needs root",
    "slow": "takes a second or more",
    "wide": "shows in minutes what shorter tests show in part",
}
TOOLS = frozenset(
    (
        *("addpart", "blkid", "btrfs", "buildah", "cryptsetup"),
        *("busybox", "bzip2", "chattr", "clang-format", "containerd", "cpio", "ctr", "curl"),
        *(
            "debugfs",
            "depmod",
            "docker",
            "docker-registry",
            "dockerd",
            "dpkg",
            "dpkg-deb",
            "dump.erofs",
        ),
        *("dot", "dumpimage", "e2fsck", "fsck.erofs", "fsck.fat", "gcc", "git", "gzip", "isoinfo"),
        *("iucode_tool", "jq", "lz4", "rpm2cpio", "rpmbuild"),
        *("lzop", "mcopy", "mdir", "mke2fs", "mkfs.erofs", "mkfs.ext4", "mkfs.vfat", "mkimage"),
        *("mkfs.btrfs", "mkfs.xfs", "mksquashfs", "modprobe", "mtype", "objcopy", "objdump"),
        *("openssl", "pkcs11-tool", "qemu-img", "softhsm2-util"),
        *("qemu-system-aarch64", "qemu-system-x86_64", "readelf", "runc", "sbsign"),
        *("sbverify", "sfdisk", "sgdisk", "skopeo", "ssh", "ssh-keygen", "strace", "swtpm"),
        *("sig-list-to-certs", "systemd-dissect", "systemd-id128", "veritysetup"),
        *("tar", "unsquashfs", "unxz", "vmware-rpctool", "xfs_repair", "xorriso", "xz", "zstd"),
    )
)
"""Programs of `tests/packages.txt`."""


LONGEST = "test_types"
"""Of `make check`, by far."""

MAX_COMPARED = 64 << 10
"""Bytes that pytest may describe where two values differ; it takes hours for those of an image."""

MEMORY = Path("/dev/shm")
MIN_MEMORY = 2 << 30
"""Bytes that have to be free where `--in-memory` is to be followed; `make check` takes 0.4 GB."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--without TIER,…` and `--in-memory`."""
    parser.addoption(
        "--without", default="", metavar="TIERS", help=f"tiers to leave out: {', '.join(REASONS)}"
    )
    parser.addoption(
        "--in-memory",
        action="store_true",
        help=f"tests' folders are on {MEMORY} if it has room: a quarter less processor time, "
        "and no waiting for a disk",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Debian keeps `fsck` and its like where an ordinary user does not look."""
    os.environ["PATH"] = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"
    if unknown := _left_out(config) - set(REASONS):
        raise pytest.UsageError(f"--without: no such tier: {', '.join(sorted(unknown))}")
    if config.getoption("--in-memory") and _has_room(MEMORY):
        # For pytest's own folders and for those of programs that tests start.
        os.environ["TMPDIR"] = os.environ["PYTEST_DEBUG_TEMPROOT"] = str(MEMORY)
        tempfile.tempdir = None


@pytest.fixture(scope="session", autouse=True)
def _folder_of_guests() -> Iterator[None]:
    """Guests of tests are not the user's. The path is short, because sockets lie in it."""
    with tempfile.TemporaryDirectory(prefix="compos-", ignore_cleanup_errors=True) as folder:
        os.environ["COMPOS_RUNTIME"] = folder
        yield


def _has_room(folder: Path) -> bool:
    return (
        os.access(folder, os.W_OK)
        and os.path.ismount(folder)
        and shutil.disk_usage(folder).free >= MIN_MEMORY
    )


def pytest_sessionstart(session: pytest.Session) -> None:
    """Nothing is garbage while tests are collected. What tests mount is seen by nobody else."""
    gc.disable()
    mount_privately()
    _import_share(session.config)


def _import_share(config: pytest.Config) -> None:
    """Pytest compiles a test module when that is first imported, which takes as long as all the
    rest of collecting: a worker begins with its share, and finds the others' in the cache."""
    worker = getattr(config, "workerinput", None)
    if worker is None or config.args != [TESTS.name]:
        return
    number, workers = int(worker["workerid"].removeprefix("gw")), worker["workercount"]
    for path in sorted(TESTS.rglob("test_*.py"))[number::workers]:
        # What is wrong with one is reported when it is collected.
        with suppress(Exception, pytest.skip.Exception):
            import_module(".".join(path.relative_to(TESTS.parent).with_suffix("").parts))


def pytest_collection_finish() -> None:
    """Thousands of tests need not be searched for garbage again and again."""
    gc.freeze()
    gc.enable()


@pytest.fixture(scope="session", autouse=True)
def _no_sync() -> Iterator[None]:
    """Only a loss of power would show whether something was synced: tests do not wait for the
    disk. Programs that tests start do."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: None)
        yield


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark by folder; deselect the tiers of `--without`; begin with what takes longest, for beside
    it there is enough for the other workers."""
    without = _left_out(config)
    kept, others = list[pytest.Item](), Counter[str]()
    for item in items:
        folder = item.path.relative_to(TESTS).parts[0]
        if folder in FOLDERS:
            item.add_marker(FOLDERS[folder])
        markers = {mark.name for mark in item.iter_markers()}
        if markers & SHARED_WITH_OTHERS:
            item.add_marker(pytest.mark.flaky(reruns=1))
        if tiers := sorted(markers & without):
            others[tiers[0]] += 1
        else:
            kept.append(item)
    items[:] = sorted(kept, key=lambda item: item.name != LONGEST)
    config.stash[LEFT_OUT] = dict(others)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """What a worker of pytest-xdist left out, all have left out."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["left_out"] = session.config.stash.get(LEFT_OUT, {})


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """A worker of pytest-xdist has ended."""
    node.config.stash[LEFT_OUT] = getattr(node, "workeroutput", {}).get("left_out", {})


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Nothing is left out silently."""
    for tier, number in sorted(config.stash.get(LEFT_OUT, {}).items()):
        terminalreporter.line(f"LEFT OUT [{number}] {tier}: {REASONS[tier]} (--without {tier})")


@pytest.fixture(scope="session", autouse=True)
def _runtime_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Without it, skopeo looks for credentials in a folder of root's, which others may not read."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_RUNTIME_DIR", str(tmp_path_factory.mktemp("runtime")))
        yield


@pytest.fixture
def default_signals() -> Iterator[None]:
    """Signals as programs find them that are started by hand. A shell's background jobs inherit
    that SIGINT is ignored, and those of nohup SIGHUP."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGHUP)}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Root cannot be had otherwise: without it, its tests are left out."""
    if item.get_closest_marker("root") and os.geteuid() != 0:
        leave_out("root: needs root")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call() -> Generator[None]:
    """Where long bytes differ, say at which offset, and no more."""
    describe = assertion._reprcompare

    def compare(op: str, left: object, right: object) -> str | None:
        if (
            op == "=="
            and isinstance(left, bytes)
            and isinstance(right, bytes)
            and max(len(left), len(right)) > MAX_COMPARED
        ):
            return difference(left, right)
        return describe(op, left, right) if describe else None

    assertion._reprcompare = compare
    return (yield)


def difference(left: bytes, right: bytes) -> str:
    """Where two values that are not equal begin to differ."""
    step = 1 << 16
    for start in count(0, step):
        ours, theirs = left[start : start + step], right[start : start + step]
        if ours != theirs:
            at = next(i for i in count() if ours[i : i + 1] != theirs[i : i + 1])
            break
    return (
        f"{len(left)} and {len(right)} bytes differ from offset {start + at} on: "
        f"{ours[at : at + 16]!r} == {theirs[at : at + 16]!r}"
    )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[Any]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A test that failed because there is no such program was left out, rather, unless in CI."""
    report = yield
    tool = _missing_tool(call.excinfo.value) if call.excinfo else ""
    if tool and not os.environ.get("CI"):
        report.outcome = "skipped"
        reason = f"Skipped: tools: {tool} is not installed (make packages)"
        report.longrepr = (str(item.path), item.location[1] or 0, reason)
    return report


def _missing_tool(error: BaseException) -> str:
    """The program of `TOOLS` that `error` says could not be started, if it is not installed."""
    name = str(error.filename) if isinstance(error, FileNotFoundError) else ""
    return name if name in TOOLS and shutil.which(name) is None else ""


def _left_out(config: pytest.Config) -> set[str]:
    return {tier for tier in config.getoption("--without").split(",") if tier}
