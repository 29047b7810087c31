"""`slots`: what the kernel is told, and what is said of mistakes."""

from __future__ import annotations

from pathlib import Path

import pytest

from compos.config.load import load
from compos.config.model import Kernel
from compos.config.slot_keys import slot_sizes
from tests.config.reading import errors


def kernel_of(folder: Path, kernel: str, slots: str) -> Kernel:
    path = folder / "os.yml"
    path.write_text(f"kernel: {{image: k, {kernel}}}\nslots: {slots}\n")
    made = load([str(path)]).kernel
    assert made
    return made


@pytest.mark.parametrize(
    ("kernel", "slots", "cmdline"),
    [
        ("", "{}", "compos.slots=300 panic=10 compos.watchdog=60"),
        (
            "cmdline: 'a=\"b  c\"'",
            "{timeout: 90s}",
            'a="b  c" compos.slots=90 panic=10 compos.watchdog=60',
        ),
        ("cmdline: panic=1 quiet", "{}", "panic=1 quiet compos.slots=300 compos.watchdog=60"),
        ("cmdline: compos.watchdog=5", "{}", "compos.watchdog=5 compos.slots=300 panic=10"),
        ("cmdline: compos.slots=20", "{}", "compos.slots=20 panic=10 compos.watchdog=60"),
    ],
)
def test_the_command_line(kernel: str, slots: str, cmdline: str, tmp_path: Path) -> None:
    assert kernel_of(tmp_path, kernel, slots).cmdline == cmdline


def test_drivers_are_added_to_a_choice_of_drivers(tmp_path: Path) -> None:
    assert kernel_of(tmp_path, "", "{}").modules is None
    found = kernel_of(tmp_path, "modules: [auto, efivarfs]", "{}").modules
    assert found
    assert found[:3] == ("auto", "efivarfs", "efi_pstore")
    assert found[-1] == "softdog"
    mine = kernel_of(tmp_path, "modules: [auto, softdog]", "{}").modules
    assert mine
    assert mine.count("softdog") == 1


def test_the_version_of_updates_is_in_the_system(tmp_path: Path) -> None:
    path = tmp_path / "os.yml"
    text = "kernel: {image: k}\nslots: {}\nupdate: {compatible: a, version: 1.2.0}\n"
    path.write_text(text)
    (file,) = load([str(path)]).files
    assert (file.path, file.contents) == ("etc/compos/version", "1.2.0\n")
    path.write_text(text + "files: [{path: etc/compos/version, contents: mine}]\n")
    assert [one.contents for one in load([str(path)]).files] == ["mine"]


def test_sizes(tmp_path: Path) -> None:
    path = tmp_path / "os.yml"
    path.write_text("kernel: {image: k}\nslots: {boot: 64m}\n")
    slots = load([str(path)]).slots
    assert slots
    assert slot_sizes(slots) == (64 << 20, 0)


@pytest.mark.parametrize(
    ("slots", "message"),
    [
        ("{boot: 12x}", "is not a size"),
        ("{system: 0m}", "is not a size"),
        ("{timeout: 1s}", "cannot be given"),
        ("{timeout: 25h}", "cannot be given"),
        ("{timeout: soon}", "soon"),
        ("{encrypt: luks}", "luks"),
        ("{recovery: false}", "no effect on roots that are not encrypted"),
        ("{otherwise: halt, encrypt: none}", "no effect on roots that are not encrypted"),
        ("{encrypt: tpm, recovery: false, otherwise: ask}", "no recovery key to ask for"),
        ("{slots: 3}", "slots"),
        ("2", "slots"),
    ],
)
def test_mistakes(slots: str, message: str) -> None:
    found = errors(f"kernel: {{image: k}}\nslots: {slots}\n")
    assert any(message in str(one) for one in found)
