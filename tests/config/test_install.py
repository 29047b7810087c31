"""`install`: what the installer's program is told, and what is said of mistakes."""

from __future__ import annotations

from pathlib import Path

import pytest

from compos.config.install_keys import install_rules
from compos.config.load import load
from tests.config.reading import errors


@pytest.mark.parametrize(
    ("yaml", "rules"),
    [
        ("{}", []),
        ("{disk: largest, removable: true}", ["disk\tlargest", "removable\tyes"]),
        ("{disk: 'serial:WD 17', min_size: 1g}", ["disk\tserial:WD 17", "min-size\t1073741824"]),
        (
            "{erase: /dev/disk/by-id/ata-X_17, unattended: true, then: reboot}",
            ["unattended\tyes", "erase\t/dev/disk/by-id/ata-X_17", "then\treboot"],
        ),
    ],
)
def test_rules(yaml: str, rules: list[str], tmp_path: Path) -> None:
    path = tmp_path / "os.yml"
    path.write_text(f"kernel: {{image: k}}\ninstall: {yaml}\n")
    install = load([str(path)]).install
    assert install
    assert install_rules(install).splitlines() == rules


@pytest.mark.parametrize(
    ("yaml", "message"),
    [
        ("{disk: sda}", "names no disk"),
        ("{disk: 'serial:'}", "names no disk"),
        ("{disk: 'serial: 7'}", "names no disk"),
        ('{disk: "serial:7\\n8"}', "names no disk"),
        (f"{{disk: 'serial:{'7' * 300}'}}", "names no disk"),
        ("{erase: smallest}", "names no disk"),
        ("{min_size: many}", "is not a size"),
        ("{then: sleep}", "sleep"),
        ("{unattended: true}", "no disk is chosen"),
        ("{disc: smallest}", "disc"),
    ],
)
def test_mistakes(yaml: str, message: str) -> None:
    found = errors(f"kernel: {{image: k}}\ninstall: {yaml}\n")
    assert any(message in str(one) for one in found)
