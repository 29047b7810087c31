"""With the real mirror: a lock and two machines that share nothing but it."""

from __future__ import annotations

from pathlib import Path

import pytest

from compos.cli.main import main
from compos.package.lock.document import read_lock

pytestmark = [pytest.mark.network, pytest.mark.slow, pytest.mark.xdist_group("debian-mirror")]

RECIPE = """
image: shell
org: test
tag: v1
debian: {packages: [busybox-static], keep: [usr/bin/busybox]}
"""


def test_the_same_bytes_in_empty_stores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    outputs = []
    for name, home, zone in (("one", "a", "UTC"), ("two/deeper", "b", "Asia/Tokyo")):
        folder = tmp_path / name
        (folder / "shell").mkdir(parents=True)
        (folder / "shell/build.yml").write_text(RECIPE)
        (folder / "os.yml").write_text("init: ['@pkg:shell']\n")
        monkeypatch.setenv("HOME", str(tmp_path / home))
        monkeypatch.setenv("TZ", zone)
        store = folder / "store"
        lock = tmp_path / "os.lock"
        flags = ("--cache", str(store), "--lock", str(lock))
        if not lock.exists():
            assert main(["lock", *flags, str(folder / "os.yml")]) == 0
        output = folder / "os.tar"
        assert main(["build", *flags, "--o", str(output), str(folder / "os.yml")]) == 0
        outputs.append(output.read_bytes())
        assert (store / "debian/packages").is_dir()
        # The second machine needs no index.
        assert (store / "debian/releases").exists() is (name == "one")
    is_same = outputs[0] == outputs[1]
    assert is_same
    (busybox,) = (one for one in read_lock(lock).packages if one.name == "busybox-static")
    assert busybox.filename.startswith("pool/")
