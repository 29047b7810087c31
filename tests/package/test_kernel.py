"""Kernel images out of a kernel's package: what is in them, and what cannot be one."""

from __future__ import annotations

import gzip
import io
import lzma
import tarfile
from contextlib import suppress
from pathlib import Path

import pytest

from compos.compose.depmod import MAX_MODULE
from compos.compose.kernel_facts import KernelFacts, embedded_config, kernel_facts
from compos.compose.kernel_image import KernelImageError
from compos.errors import PackageError
from compos.image.store import Store
from compos.package.kernel import kernel_tree
from compos.tree.contents import Contents
from compos.tree.node import Node, Tree, file, symlink
from compos.zstd import zstd
from tests.package.kernels import BASE, CONFIG, KERNEL, bzimage, image, module, zboot


def made(folder: Path, packages: Tree, **options: object) -> tuple[Store, Tree]:
    store = Store(folder / "store")
    options = {"architecture": "amd64", **options}
    return store, kernel_tree(store, packages, "brick", **options)  # type: ignore[arg-type]


def members(store: Store, tree: Tree) -> dict[str, bytes]:
    with Contents(store.root) as contents:
        data = b"".join(contents.chunks(tree["kernel.tar"].content))
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        files = [member for member in archive if member.isfile()]
        return {member.name: archive.extractfile(member).read() for member in files}  # type: ignore[union-attr]


def test_modules_lose_their_compression(tmp_path: Path) -> None:
    plain = {name: module(body=name.encode()) for name in "abcd"}
    modules = {
        f"{BASE}/kernel/a.ko": file(plain["a"], 0o644, 0),
        f"{BASE}/kernel/b.ko.xz": file(lzma.compress(plain["b"]), 0o644, 0),
        f"{BASE}/kernel/c.ko.gz": file(gzip.compress(plain["c"]), 0o644, 0),
        f"{BASE}/kernel/d.ko.zst": file(zstd.compress(plain["d"]), 0o644, 0),
        f"{BASE}/modules.order": file(b"kernel/c.ko.gz\nkernel/b.ko.xz\n", 0o644, 0),
        "usr/lib/linux-image-6.12/vendor/board.dtb": file(b"tree", 0o644, 0),
    }
    store, tree = made(tmp_path, {**KERNEL, **modules})
    found = members(store, tree)
    for name in "abcd":
        assert found[f"lib/modules/6.12/kernel/{name}.ko"] == plain[name]
    assert found["lib/modules/6.12/modules.order"] == b"kernel/c.ko\nkernel/b.ko\n"
    assert found["boot/dtb/vendor/board.dtb"] == b"tree"
    assert tree["kernel"].mode == 0o644


def test_fedoras_and_archs_place(tmp_path: Path) -> None:
    """The kernel and much else stand with the modules; only modules go into their tar."""
    beside = {
        f"{BASE}/vmlinuz": file(bzimage(), 0o644, 0),
        f"{BASE}/vmlinuz.sig": file(b"signature", 0o644, 0),
        "boot/vmlinuz-6.12": symlink("../usr/lib/modules/6.12/vmlinuz", 0),
        f"{BASE}/config": file(CONFIG.encode(), 0o644, 0),
        f"{BASE}/System.map": file(b"map", 0o644, 0),
        f"{BASE}/dtb/vendor/board.dtb": file(b"tree", 0o644, 0),
        f"{BASE}/modules.builtin": KERNEL[f"{BASE}/modules.builtin"],
        f"{BASE}/modules.dep": file(b"stale", 0o644, 0),
        f"{BASE}/kernel/a.ko": file(module(), 0o644, 0),
        f"{BASE}/build": symlink("/usr/src/kernels/6.12", 0),
    }
    store, tree = made(tmp_path, beside)
    found = members(store, tree)
    assert {path for path in found if "/modules." not in path} == {
        "boot/dtb/vendor/board.dtb",
        "lib/modules/6.12/kernel/a.ko",
    }
    assert found["lib/modules/6.12/modules.dep"] == b"kernel/a.ko:\n"


def test_of_several_kernels_the_one_with_modules(tmp_path: Path) -> None:
    kernels = {
        "boot/vmlinuz-6.12": file(bzimage(), 0o644, 0),
        "boot/vmlinuz-7.0": file(bzimage("7.0"), 0o644, 0),
    }
    store, tree = made(tmp_path, {**KERNEL, **kernels})
    with Contents(store.root) as contents:
        assert b"".join(contents.chunks(tree["kernel"].content)) == bzimage()


def test_modules_are_added(tmp_path: Path) -> None:
    own = {
        f"{BASE}/kernel/lib.ko": file(module(), 0o644, 0),
        f"{BASE}/kernel/old-driver.ko": file(module("depends=lib", body=b"old"), 0o644, 0),
    }
    new = module("depends=lib,built_in", body=b"new")
    extra = {"old_driver.ko.xz": file(lzma.compress(new), 0o644, 0)}
    store, tree = made(tmp_path, {**KERNEL, **own}, extra=extra)
    found = members(store, tree)
    assert found["lib/modules/6.12/updates/old_driver.ko"] == new
    assert "lib/modules/6.12/kernel/old-driver.ko" not in found, "one module of a name"
    assert found["lib/modules/6.12/modules.dep"].splitlines() == [
        b"kernel/lib.ko:",
        b"updates/old_driver.ko: kernel/lib.ko",
    ]


@pytest.mark.parametrize(
    ("name", "content", "id", "message"),
    [
        ("a.ko", module(vermagic="6.12 SMP mod_unload "), "brick-module", "vermagic is '6.12 SMP"),
        ("a.ko", module(vermagic="6.11 SMP "), "brick-module", "built for the kernel 6.11"),
        ("a.ko", module("depends=lib,gone"), "brick-module", "depends on gone"),
        ("a.ko", b"text", "brick-module", "not a 64-bit little-endian ELF file"),
        ("a.o", module(), "brick-module", "ends in .ko"),
        ("a.ko", module(architecture="arm64"), "brick-kernel-architecture", "is for arm64"),
    ],
    ids=["vermagic", "version", "depends", "text", "name", "architecture"],
)
def test_modules_that_the_kernel_would_refuse(
    tmp_path: Path, name: str, content: bytes, id: str, message: str
) -> None:
    own = {f"{BASE}/kernel/lib.ko": file(module(), 0o644, 0)}
    with pytest.raises(PackageError) as caught:
        made(tmp_path, {**KERNEL, **own}, extra={name: file(content, 0o644, 0)})
    assert caught.value.id == id
    assert message in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize(
    ("path", "node"),
    [
        ("boot/vmlinuz-6.12", symlink("/etc/passwd", 0)),
        ("boot/vmlinuz-6.12", file(b"no kernel", 0o644, 0)),
        ("boot/vmlinuz-6.12", Node("f", 0o644, size=1 << 40, content=())),
        (f"{BASE}/a.ko.xz", file(lzma.compress(b"b" * 1000)[:-20], 0o644, 0)),
        (f"{BASE}/a.ko.gz", file(gzip.compress(b"b" * 1000)[:-20], 0o644, 0)),
        (f"{BASE}/a.ko.zst", file(zstd.compress(b"b" * 1000)[:-3], 0o644, 0)),
        (f"{BASE}/a.ko", Node("f", 0o644, size=1 << 40, content=())),
        (f"{BASE}/\udcff.ko", file(module(), 0o644, 0)),
        (f"{BASE}/modules.builtin.modinfo", Node("f", 0o644, size=1 << 40, content=())),
    ],
)
def test_what_cannot_be_a_kernel(tmp_path: Path, path: str, node: Node) -> None:
    with pytest.raises(PackageError) as caught:
        made(tmp_path, {**KERNEL, path: node})
    assert caught.value.id == "brick-kernel"


@pytest.mark.slow
def test_a_module_that_unpacks_to_more_than_a_module_has(tmp_path: Path) -> None:
    bomb = file(lzma.compress(bytes(MAX_MODULE + 1), preset=0), 0o644, 0)
    with pytest.raises(PackageError) as caught:
        made(tmp_path, {**KERNEL, f"{BASE}/a.ko.xz": bomb})
    assert caught.value.id == "brick-kernel"


@pytest.mark.parametrize("missing", KERNEL)
def test_what_is_missing(tmp_path: Path, missing: str) -> None:
    rest = {path: node for path, node in KERNEL.items() if path != missing}
    with pytest.raises(PackageError) as caught:
        made(tmp_path, rest)
    assert caught.value.id == "brick-kernel"
    assert caught.value.hint


@pytest.mark.parametrize(
    ("path", "content", "id", "message"),
    [
        (
            "boot/vmlinuz-6.12",
            bzimage("6.11-other"),
            "brick-kernel-version",
            "the kernel is 6.11-other, but the modules are those of 6.12",
        ),
        ("boot/vmlinuz-6.12", image("arm64"), "brick-kernel-architecture", "is for arm64"),
        (
            f"{BASE}/kernel/a.ko",
            module(vermagic="6.11 SMP "),
            "brick-module",
            "built for the kernel 6.11, but the kernel is 6.12",
        ),
        (
            f"{BASE}/kernel/a.ko",
            module(architecture="riscv64"),
            "brick-kernel-architecture",
            "is for riscv64",
        ),
        (
            "boot/config-6.12",
            CONFIG.replace("SIGNALFD=y", "SIGNALFD=m").replace("OVERLAY_FS=m", "").encode(),
            "brick-kernel-config",
            "CONFIG_OVERLAY_FS (writable containers), CONFIG_SIGNALFD (init)",
        ),
    ],
    ids=["version", "architecture", "module-version", "module-architecture", "config"],
)
def test_parts_that_do_not_fit(
    tmp_path: Path, path: str, content: bytes, id: str, message: str
) -> None:
    with pytest.raises(PackageError) as caught:
        made(tmp_path, {**KERNEL, path: file(content, 0o644, 0)})
    assert caught.value.id == id
    assert message in caught.value.message
    assert caught.value.hint


def test_the_configuration_inside_the_kernel(tmp_path: Path) -> None:
    poor = b"IKCFG_ST" + gzip.compress(b"CONFIG_TMPFS=y\n") + b"IKCFG_ED"
    assert embedded_config(image("arm64", config=poor)) == b"CONFIG_TMPFS=y\n"
    kernel = {"boot/vmlinuz-6.12": file(image("arm64", config=poor), 0o644, 0)}
    with pytest.raises(PackageError) as caught:
        made(tmp_path, {**KERNEL, **kernel}, architecture="arm64")
    assert caught.value.id == "brick-kernel-config"


@pytest.mark.parametrize("data", [bzimage(), image("arm64"), module()])
def test_a_kernel_that_ends_early(data: bytes) -> None:
    for end in range(len(data)):
        with suppress(KernelImageError):
            assert kernel_facts(data[:end]).architecture


@pytest.mark.parametrize(
    ("data", "architecture"),
    [
        (bzimage("6.12-x"), "amd64"),
        (image("arm64", "6.12-x"), "arm64"),
        (gzip.compress(image("riscv64", "6.12-x")), "riscv64"),
        (module(body=b"Linux version 6.12-x (b"), "amd64"),
        (zboot(gzip.compress(image("arm64", "6.12-x")), 0xAA64), "arm64"),
        (zboot(zstd.compress(b"?" * 64 + b"Linux version 6.12-x (b"), 0x5064), "riscv64"),
        (zboot(gzip.compress(b"?" * 64 + b"Linux version 6.12-x (b"), 0x1C2), ""),
    ],
    ids=["bzImage", "Image", "Image.gz", "vmlinux", "zboot", "zboot-riscv64", "zboot-arm"],
)
def test_what_a_kernel_says_of_itself(data: bytes, architecture: str) -> None:
    assert kernel_facts(data) == KernelFacts("6.12-x", architecture)
