"""What `cache export` writes, read by a Docker Engine and by containerd."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from compos.cli.main import main
from compos.image.store import Store
from tests.engines import Engine, running
from tests.images import AMD64, Member, make_image

pytestmark = [pytest.mark.root, pytest.mark.slow, pytest.mark.xdist_group("docker")]

NAME = "docker.io/team/app:1"
LAYERS = [[Member("bin/app", mode=0o755, content="app")], [Member("etc/b", content="b")]]


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    with running(tmp_path_factory.mktemp("engine")) as engine:
        yield engine


@pytest.mark.parametrize("compression", ["gzip", "zstd"])
@pytest.mark.parametrize("form", ["oci", "docker"])
def test_engines_take_exports(engine: Engine, tmp_path: Path, form: str, compression: str) -> None:
    """By `docker load` and by `ctr image import`, both with the image's own config."""
    store = Store(tmp_path / "store")
    image = make_image(store, NAME, LAYERS, {"Cmd": ["/bin/app"]}, compression=compression)  # type: ignore[arg-type]
    out, name = tmp_path / "out.tar", f"team/{form}:{compression}"
    flags = ["--format", form, "--name", name, "--platform", str(AMD64), "--outfile", str(out)]
    assert main(["cache", "export", "--cache", str(store.root), *flags, NAME]) == 0

    def run(*command: str | Path) -> str:
        environment = {**os.environ, **engine.environment}
        done = subprocess.run(command, env=environment, check=False, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert f"Loaded image: {name}" in run("docker", "load", "--input", out)
    (found,) = json.loads(run("docker", "image", "inspect", name))
    assert found["Config"]["Cmd"] == ["/bin/app"]
    assert found["RootFS"]["Layers"] == list(image.config.diff_ids)
    socket = engine.socket.parent / "exec/containerd/containerd.sock"
    ctr = ("ctr", "--address", socket, "--namespace", "test", "image")
    run(*ctr, "import", out)
    assert f"docker.io/{name}" in run(*ctr, "list", "--quiet").split()
