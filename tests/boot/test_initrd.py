"""The root that a kernel unpacks from an initrd is the one that our reader finds in it."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from compos.cli.main import main
from tests import initramfs
from tests.filesystem.trees import KINDS
from tests.guest import Guest

pytestmark = [pytest.mark.boot, pytest.mark.xdist_group("boot")]

SYSTEM = """
kernel:
  image: compos/kernel:v1
  cmdline: "console=ttyS0"
init:
  - compos/init:v1
  - compos/runc:v1
onboot:
  - name: list
    image: compos/busybox:v1
    capabilities: [all]
    binds: ["/:/root"]
    command:
      - /bin/sh
      - -c
      - |
        cd /root && find . -xdev -exec stat -c '=%n|%f|%u|%g|%s|' '{}' +
        echo all listed
files:
  - {path: etc/TRAILER!!!, contents: x}
  - {path: TRAILER!!!, contents: not the end}
  - {path: zz/last, contents: the last}
"""
CHANGED = ("dev", "etc/resolv.conf", "proc", "run", "sys", "tmp", "var")
"""What init makes, changes or mounts over."""


@pytest.mark.parametrize("compression", [pytest.param("gzip", marks=pytest.mark.wide), "zstd"])
def test_the_kernel_unpacks_what_is_in_it(compression: str, tmp_path: Path) -> None:
    (tmp_path / "system.yml").write_text(SYSTEM)
    assert (
        main(
            [
                "build",
                "--compress",
                compression,
                "--dir",
                str(tmp_path),
                str(tmp_path / "system.yml"),
            ]
        )
        == 0
    )
    wanted = initramfs.unpacked((tmp_path / "system-initrd.img").read_bytes())
    with Guest(
        tmp_path / "system", "--state", f"{tmp_path}/state", log=tmp_path / "console.log"
    ) as guest:
        guest.expect("all listed", 200)
        told = guest.text().replace("\r", "")
    types = {kind: bits for bits, kind in KINDS.items()}
    found = {}
    for line in told.splitlines():
        if line.startswith("=./"):
            path, mode, uid, gid, size, _ = line[3:].split("|")
            found[path] = (
                int(mode, 16),
                int(uid),
                int(gid),
                int(size) if stat.S_ISREG(int(mode, 16)) else 0,
            )
    expected = {
        path: (types[seen.kind] | seen.mode, *seen.owner, seen.size)
        for path, seen in wanted.items()
        if path.split("/")[0] not in CHANGED
        and path not in CHANGED
        and not path.startswith("containers/onboot/")
    }
    assert {path: found.get(path) for path in expected} == expected
    assert expected["TRAILER!!!"][3] == len("not the end")
