"""Kernel modules by the text index: what is loaded, in which order, once."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.bricks.drivers import Run

DEPENDENCIES = """\
kernel/fs/overlayfs/overlay.ko:
kernel/net/virtio_net.ko.xz: kernel/net/net-failover.ko kernel/net/failover.ko
kernel/net/net-failover.ko: kernel/net/failover.ko
kernel/net/failover.ko:
kernel/loop_a.ko: kernel/loop_b.ko
kernel/loop_b.ko: kernel/loop_a.ko
kernel/broken.ko:
kernel/soft.ko:
kernel/one.ko:
kernel/two.ko:
no colon
"""

ALIASES = """\
# Aliases extracted from modules themselves.
alias fs-overlay overlay
alias virtio:d00000001v* virtio_net
alias pci:v00008086d00001234sv*sd*bc0[1-3]sc*i* one
alias pci:v00008086d00001234sv*sd*bc*sc*i* two
alias acpi*:LNXPWRBN:* one
alias char-major-10-* vfat
alias fs-broken broken
alias gone nowhere
alias short
"""

SOFT = """\
softdep soft pre: one missing post: two
softdep other pre: overlay
"""

LOADS = {
    "overlay": "insert {}/kernel/fs/overlayfs/overlay.ko\noverlay: 1\n",
    "fs-overlay": "insert {}/kernel/fs/overlayfs/overlay.ko\nfs-overlay: 1\n",
    "virtio-net": "insert {}/kernel/net/failover.ko\ninsert {}/kernel/net/net-failover.ko\n"
    "insert {}/kernel/net/virtio_net.ko.xz\nvirtio-net: 1\n",
    "virtio:d00000001v00001AF4": "insert {}/kernel/net/failover.ko\ninsert {}/kernel/net/net-failover.ko\n"
    "insert {}/kernel/net/virtio_net.ko.xz\nvirtio:d00000001v00001AF4: 1\n",
    "pci:v00008086d00001234sv1sd2bc02sc3i4": "insert {}/kernel/one.ko\ninsert {}/kernel/two.ko\n"
    "pci:v00008086d00001234sv1sd2bc02sc3i4: 2\n",
    "pci:v00008086d00001234sv1sd2bc04sc3i4": "insert {}/kernel/two.ko\npci:v00008086d00001234sv1sd2bc04sc3i4: 1\n",
    "acpi:LNXPWRBN:": "insert {}/kernel/one.ko\nacpi:LNXPWRBN:: 1\n",
    "loop-a": "insert {}/kernel/loop_b.ko\ninsert {}/kernel/loop_a.ko\nloop-a: 1\n",
    "vfat": "vfat: 1\n",
    "char-major-10-1": "char-major-10-1: 1\n",
    "soft": "insert {}/kernel/one.ko\ninsert {}/kernel/soft.ko\ninsert {}/kernel/two.ko\nsoft: 1\n",
    "over": "over: 0\n",
    "overlay2": "overlay2: 0\n",
    "": ": 0\n",
    "broken": "insert {}/kernel/broken.ko\nbroken: -1 module broken: Invalid argument\n",
    "fs-broken": "insert {}/kernel/broken.ko\nfs-broken: -1 module broken: Invalid argument\n",
    "gone": "gone: -1 module nowhere: not among the kernel's modules\n",
}


@pytest.fixture
def modules(tmp_path: Path) -> Path:
    for name, text in (("dep", DEPENDENCIES), ("alias", ALIASES), ("softdep", SOFT)):
        (tmp_path / f"modules.{name}").write_text(text)
    (tmp_path / "modules.builtin").write_text("kernel/fs/fat/fat.ko\nkernel/fs/fat/vfat.ko\n")
    return tmp_path


@pytest.mark.parametrize("name", LOADS)
def test_a_module_is_loaded_after_what_it_needs(name: str, run: Run, modules: Path) -> None:
    assert run("modules", modules, name) == LOADS[name].replace("{}", str(modules))


def test_a_module_is_loaded_once(run: Run, modules: Path) -> None:
    output = run("modules", modules, "failover", "virtio_net", "virtio_net")
    assert output.count("insert") == 3


CMDLINES = {
    "quiet": "",
    "virtio_net.napi_tx=0": "napi_tx=0",
    "virtio-net.napi_tx=0 virtio_net.csum": "napi_tx=0 csum",
    'virtio_net.name="a b" x': 'name="a b"',
    "net_failover.x=1 virtio.x=2 virtio_net2.x=3 xvirtio_net.x=4 a=virtio_net.x=5": "",
    "virtio_net.a=b.c=d\tvirtio_net.e=1\n": "a=b.c=d e=1",
    "virtio_net.x=1 -- virtio_net.y=2": "x=1",
    'virtio_net.x="open virtio_net.y=2': 'x="open virtio_net.y=2',
    "virtio_net. virtio_net": "",
    "x" * 200 + ".y=1 virtio_net.z=" + "z" * 3000: "z=" + "z" * 3000,
}
"""Command lines of the kernel, and what of it is for virtio_net."""


@pytest.mark.parametrize("number", range(len(CMDLINES)))
def test_parameters_come_from_the_command_line(
    number: int, run: Run, modules: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As modprobe(8) takes them; the kernel does that for built-in modules only."""
    cmdline = [*CMDLINES][number]
    monkeypatch.setenv("CMDLINE", cmdline)
    last = run("modules", modules, "virtio_net").splitlines()[-2]
    assert last.partition("virtio_net.ko.xz")[2].strip() == CMDLINES[cmdline]


def test_only_the_dependencies_are_required(run: Run, modules: Path) -> None:
    for name in ("alias", "softdep", "builtin"):
        (modules / f"modules.{name}").unlink()
    assert run("modules", modules, "one", "fs-overlay").endswith("one: 1\nfs-overlay: 0\n")
    (modules / "modules.dep").unlink()
    assert run("modules", modules, "one", status=1) == "no modules\n"


def test_broken_indexes_break_nothing(run: Run, modules: Path) -> None:
    chance = random.Random(4)
    for _ in range(20):
        for name in ("dep", "alias", "softdep", "builtin"):
            noise = bytes(chance.choice(b"ab: \t\n*?[]/.-_koalisftdep\0\xff") for _ in range(3000))
            (modules / f"modules.{name}").write_bytes(noise)
        run("modules", modules, "a", "b", "pci:v1", "[", "ab-*", "\\")
