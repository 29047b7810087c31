"""What becomes of a test whose privilege or tool is missing,
and of tiers that are left out on purpose.

A test says what it needs by markers (`pyproject.toml`): `root`, `boot`, `network`, `slow`; folders
that are all of one kind are marked here. What is left out is reported as skipped, with the reason.
Where `CI` is set, as `make test` does, only `--without` leaves anything out: what is missing fails.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from tests.machine import leave_out

TESTS = Path(__file__).resolve().parent
FOLDERS = {"boot": "boot", "fuzz": "slow"}
"""Folders all of whose tests have a marker."""

REASONS = {
    "boot": "boots a guest",
    "network": "needs Debian's mirror",
    "root": "needs root",
    "slow": "takes several seconds",
}
TOOLS = frozenset(
    (
        "buildah",
        *("busybox", "bzip2", "chattr", "clang-format", "containerd", "cpio", "ctr", "curl"),
        *("debugfs", "depmod", "docker-registry", "dpkg", "dpkg-deb", "dump.erofs"),
        *("dumpimage", "e2fsck", "fsck.erofs", "fsck.fat", "gcc", "git", "gzip", "isoinfo", "lz4"),
        *("lzop", "mcopy", "mdir", "mke2fs", "mkfs.erofs", "mkfs.ext4", "mkfs.vfat", "mkimage"),
        *("mksquashfs", "modprobe", "mtype", "objcopy", "objdump", "openssl", "qemu-img"),
        *("qemu-system-aarch64", "qemu-system-x86_64", "readelf", "runc", "sbsign"),
        *("sbverify", "sfdisk", "sgdisk", "skopeo", "strace", "tar", "unsquashfs", "unxz"),
        *("xorriso", "xz", "zstd"),
    )
)
"""Programs of `tests/packages.txt`."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--without TIER,…`."""
    parser.addoption(
        "--without", default="", metavar="TIERS", help=f"tiers to leave out: {', '.join(REASONS)}"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Debian keeps `fsck` and its like where an ordinary user does not look."""
    os.environ["PATH"] = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"
    if unknown := _left_out(config) - set(REASONS):
        raise pytest.UsageError(f"--without: no such tier: {', '.join(sorted(unknown))}")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark by folder; skip the tiers of `--without`."""
    without = _left_out(config)
    for item in items:
        folder = item.path.relative_to(TESTS).parts[0]
        if folder in FOLDERS:
            item.add_marker(FOLDERS[folder])
        for tier in sorted(without):
            if item.get_closest_marker(tier):
                item.add_marker(pytest.mark.skip(f"{tier}: {REASONS[tier]} (--without {tier})"))


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Root cannot be had otherwise: without it, its tests are left out."""
    if item.get_closest_marker("root") and os.geteuid() != 0:
        leave_out("root: needs root")


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
