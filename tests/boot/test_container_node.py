"""The example of a node for pods: containerd's CRI plugin, an image that came with the system, pods
in a network of their own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.boot.host_servers import PAGE, web_server
from tests.guest import Guest

pytestmark = [pytest.mark.boot, pytest.mark.xdist_group("boot")]

IMAGE = "docker.io/compos/busybox:v1"
SERVE = "mkdir /www; echo from the first pod > /www/index.html; httpd -f -h /www"


@pytest.mark.wide
def test_pods_have_a_network(built: Callable[[str], Path], tmp_path: Path) -> None:
    options = ("--mem", "1536", "--state", f"{tmp_path}/state")
    with (
        web_server() as port,
        Guest(built("container-node"), *options, log=tmp_path / "console.log") as guest,
    ):
        guest.prompt(240)
        guest.run("alias ctr='nsenter -t 1 -m /usr/bin/ctr -n k8s.io'")
        guest.run("tar -C /images -cf /tmp/image.tar . && ctr images import /tmp/image.tar", 120)
        # Only the CRI plugin marks images so.
        assert "io.cri-containerd.image=managed" in guest.run(f"ctr images ls name=={IMAGE}")
        guest.run(f"ctr run -d --cni {IMAGE} first /bin/sh -c '{SERVE}'", 120)
        pod = f"ctr run --rm --cni {IMAGE} second /bin/wget -T 10 -qO-"
        assert "from the first pod" in guest.run(f"{pod} http://10.88.0.2/", 120)
        assert PAGE in guest.run(f"{pod} http://10.0.2.2:{port}/", 120), "through the node"
        assert guest.power_off() == 0
