"""`disk`: what it stands for, and what is said of mistakes."""

from __future__ import annotations

from pathlib import Path

import pytest

from compos.config.load import load
from compos.config.model import Config
from tests.config.reading import errors


def read(folder: Path, text: str) -> Config:
    path = folder / "os.yml"
    path.write_text(text)
    return load([str(path)])


@pytest.mark.parametrize(
    ("section", "command"),
    [
        ("", ["-type", "ext4"]),
        ("filesystem: xfs\n  size: 1g", ["-type", "xfs", "-size", "1073741824"]),
        ("device: /dev/vdb", ["-type", "ext4", "-device", "/dev/vdb"]),
        (
            "encrypt: tpm",
            ["-type", "ext4", "-encrypt", "-pcrs", "7+12", "-recovery", "-ask"],
        ),
        (
            "encrypt: tpm\n  pcrs: [7, 2, 7]\n  otherwise: halt\n  pin: true",
            ["-type", "ext4", "-encrypt", "-pcrs", "2+7+12", "-pin", "-recovery"],
        ),
        (
            "encrypt: tpm\n  strict: true\n  recovery: false",
            ["-type", "ext4", "-encrypt", "-pcrs", "0+1+2+3+4+5+6+7+12", "-fixed"],
        ),
        (
            'tpm: "1.2"\n  pcrs: [4, 7]',
            ["-type", "ext4", "-encrypt", "-pcrs", "4+7+12", "-tpm", "1.2", "-recovery", "-ask"],
        ),
    ],
    ids=["plain", "size", "device", "sealed", "by-value", "strict", "tpm-1.2"],
)
def test_what_it_stands_for(section: str, command: list[str], tmp_path: Path) -> None:
    text = f"disk:\n  mountpoint: /var/lib/data\n  {section}\nonboot: [{{name: a, image: a}}]\n"
    config = read(tmp_path, text)
    entry = config.onboot[0]
    assert [entry.image for entry in config.onboot] == ["compos/data-partition:v1", "a"]
    assert entry.settings.command == ("/usr/bin/data-partition", *command, "/var/lib/data")
    assert entry.settings.on_failure == "halt", "half a system never runs"
    assert entry.settings.unseal is ("-encrypt" in command or None)


def test_a_secure_system_encrypts_unless_told_otherwise(tmp_path: Path) -> None:
    for more, encrypts in (("", True), (", encrypt: none", False), (", encrypt: tpm", True)):
        config = read(tmp_path, f"secure: true\ndisk: {{mountpoint: /var/x{more}}}\n")
        command = config.onboot[0].settings.command
        assert command is not None
        assert ("-encrypt" in command) == encrypts


def test_the_file_systems_driver_is_chosen(tmp_path: Path) -> None:
    kernel = "kernel: {image: k, modules: [auto, xfs]}\n"
    for name, modules in (("xfs", ("auto", "xfs")), ("btrfs", ("auto", "xfs", "btrfs"))):
        text = f"{kernel}disk: {{mountpoint: /var/x, filesystem: {name}}}\n"
        config = read(tmp_path, text)
        assert config.kernel
        assert config.kernel.modules == modules


def test_keys_of_encryption_ask_for_it(tmp_path: Path) -> None:
    config = read(tmp_path, "disk: {mountpoint: /var/x, pin: true}\n")
    command = config.onboot[0].settings.command
    assert command
    assert "-encrypt" in command


def test_a_recovery_key_in_escrow(tmp_path: Path) -> None:
    escrow = "{address: 'https://escrow.example/keys', key: escrow.pem}"
    config = read(tmp_path, f"disk: {{mountpoint: /var/x, escrow: {escrow}}}\n")
    settings = config.onboot[0].settings
    assert settings.command is not None
    assert settings.command[-5:] == (
        *("-recovery", "-escrow", "/etc/data-partition/escrow.pem", "-ask", "/var/x"),
    )
    assert settings.binds_add == ("/etc/data-partition:/etc/data-partition:ro",)
    (file,) = config.files
    assert (file.path, file.source) == ("etc/data-partition/escrow.pem", "escrow.pem")
    (sender,) = config.services
    assert sender.image == "compos/escrow:v1"
    assert sender.settings.command == ("/usr/bin/escrow", "/srv", "https://escrow.example/keys")
    assert (sender.settings.binds_add, sender.settings.restart) == (("/var/x:/srv",), "on-failure")


@pytest.mark.parametrize(
    "section",
    [
        "{mountpoint: /var/x, escrow: {address: 'https://e'}}",
        "{mountpoint: /var/x, escrow: {key: k}}",
        "{mountpoint: /var/x, escrow: {address: 'ftp://e', key: k}}",
        "{mountpoint: /var/x, escrow: {address: 'https://e/a b', key: k}}",
        "{mountpoint: /var/x, recovery: false, escrow: {address: 'https://e', key: k}}",
        "{mountpoint: /var/x, encrypt: none, escrow: {address: 'https://e', key: k}}",
        "{encrypt: tpm}",
        "{mountpoint: /srv}",
        "{mountpoint: /var}",
        "{mountpoint: /var/}",
        "{mountpoint: /var/../etc}",
        "{mountpoint: /var/x, size: none}",
        "{mountpoint: /var/x, size: '0'}",
        "{mountpoint: /var/x, device: sda}",
        "{mountpoint: /var/x, device: /etc/passwd}",
        "{mountpoint: /var/x, filesystem: ntfs}",
        "{mountpoint: /var/x, encrypt: none, pin: true}",
        "{mountpoint: /var/x, encrypt: none, strict: true}",
        "{mountpoint: /var/x, encrypt: none, tpm: '1.2'}",
        "{mountpoint: /var/x, encrypt: tpm, tpm: '1.1'}",
        "{mountpoint: /var/x, encrypt: tpm, pcrs: []}",
        "{mountpoint: /var/x, encrypt: tpm, pcrs: [0, 11]}",
        "{mountpoint: /var/x, encrypt: tpm, pcrs: [24]}",
        "{mountpoint: /var/x, encrypt: tpm, pcrs: [7], strict: true}",
        "{mountpoint: /var/x, encrypt: tpm, recovery: false, otherwise: ask}",
        "{mountpoint: /var/x, encrypt: tpm, password: secret}",
    ],
)
def test_what_it_must_not_say(section: str) -> None:
    (error,) = errors(f"disk: {section}\n")
    assert error.id.startswith("config-")
    assert error.hint
    assert error.place


def test_nothing_runs_before_what_unseals() -> None:
    (error,) = errors("onboot: [{name: a, image: a}, {name: b, image: b, unseal: true}]\n")
    assert error.id == "config-unseal"
    (error,) = errors("services: [{name: a, image: a, unseal: true}]\n")
    assert error.id == "config-place"
