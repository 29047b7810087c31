"""An image that comes back from Glance boots: `make clouds` runs this, no other target."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import openstack
import pytest

from tests.cloud.openstack_services import keystone_and_glance
from tests.cloud.proxy import Proxy
from tests.guest import COMPOS, Guest

ROOT = Path(__file__).parents[2]


def test_an_image_comes_back_and_boots(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "services").mkdir()
    monkeypatch.setenv("COMPOS_CACHE", str(ROOT / "build/test-store"))
    with Proxy() as proxy, keystone_and_glance(tmp_path / "services", proxy) as environment:
        system = str(ROOT / "examples/minimal.yml")
        line = [*COMPOS, "push", "openstack", "--dir", str(tmp_path), system]
        done = subprocess.run(
            line, capture_output=True, text=True, env={**os.environ, **environment}, check=False
        )
        assert done.returncode == 0, done.stderr
        names = {key.removeprefix("OS_").lower(): value for key, value in environment.items()}
        direct = openstack.connect(load_envvars=False, **names)
        back = tmp_path / "back.qcow2"
        direct.image.download_image(done.stdout.strip(), output=str(back))
    assert back.read_bytes() == (tmp_path / "minimal.qcow2").read_bytes()
    with Guest(back, log=tmp_path / "console") as guest:
        guest.expect("minimal|login|shell|[Ww]elcome", 240)
