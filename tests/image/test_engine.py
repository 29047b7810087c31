"""`--docker`: a Docker engine (of the test's own, on a unix socket) is asked first, and passed over
when it cannot help."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from compos.cli.main import main
from compos.image.store import Store
from tests.conformance.lab import read_tree
from tests.image.engine import Engine, archive
from tests.images import ARM64, Member, make_image
from tests.registry import FakeRegistry

# Every connection is closed, also one that failed.
pytestmark = pytest.mark.filterwarnings(
    "error::ResourceWarning", "error::pytest.PytestUnraisableExceptionWarning"
)


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    one = Engine(tmp_path)
    monkeypatch.setenv("DOCKER_HOST", f"unix://{one.path}")
    yield one
    one.server.shutdown()
    one.server.server_close()


def build(folder: Path, name: str, *flags: str) -> str:
    (folder / "os.yml").write_text(f"init: ['{name}']")
    out = folder / "out.tar"
    assert (
        main(
            [
                "build",
                "--cache",
                str(folder / "store"),
                "--arch",
                "amd64",
                "--o",
                str(out),
                *flags,
                str(folder / "os.yml"),
            ]
        )
        == 0
    )
    tree = read_tree(out)
    assert tree["from"].origin == (name, "init[0]")
    return tree["from"].text


def test_the_engine_wins_over_the_registry(engine: Engine, tmp_path: Path) -> None:
    published = Store(tmp_path / "published")
    make_image(published, "x.example/app:1", [[Member("from", content="registry")]])
    with FakeRegistry() as registry:
        name = registry.load(published, "x.example/app:1", "app", "1")
        engine.images[name] = archive(tmp_path, "engine")
        assert build(tmp_path, name) == "registry"
        assert build(tmp_path, name, "--docker") == "engine"
        assert engine.asked == [
            f"/images/{name.replace(':', '%3A').replace('/', '%2F')}/{what}"
            for what in ("json", "get")
        ]
        # An image of the same id is not exported again; another one is.
        assert build(tmp_path, name, "--docker") == "engine"
        assert [path.rpartition("/")[2] for path in engine.asked] == ["json", "get", "json"]
        engine.images[name] = archive(tmp_path, "newer")
        assert build(tmp_path, name, "--docker") == "newer"
        asked = len(engine.asked)
        assert build(tmp_path, name, "--docker", "--pull") == "registry"
        assert len(engine.asked) == asked


@pytest.mark.parametrize(
    "trouble", ["none", "another machine's", "an error", "nonsense", "no engine", "a TCP host"]
)
def test_the_engine_is_passed_over(
    engine: Engine, tmp_path: Path, trouble: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    published = Store(tmp_path / "published")
    make_image(published, "x.example/app:1", [[Member("from", content="registry")]])
    with FakeRegistry() as registry:
        name = registry.load(published, "x.example/app:1", "app", "1")
        if trouble != "none":
            engine.images[name] = (
                b"nonsense" if trouble == "nonsense" else archive(tmp_path, "engine")
            )
        if trouble == "another machine's":
            engine.architecture = ARM64.architecture
        if trouble == "an error":
            engine.status = 500
        if trouble == "no engine":
            monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
        if trouble == "a TCP host":
            monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:1")
        assert build(tmp_path, name, "--docker") == "registry"


@pytest.mark.parametrize("where", ["the engine", "the store", "the store, without an engine"])
def test_nothing_is_copied_from_an_earlier_build_that_is_at_hand(
    engine: Engine, tmp_path: Path, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "x.example/app:1"
    if where == "the engine":
        engine.images[name] = archive(tmp_path, "engine")
    else:
        make_image(
            Store(tmp_path / "store"), name, [[Member("from", content="store")]], {"Cmd": ["/x"]}
        )
    if "without" in where:
        monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    (tmp_path / "os.yml").write_text(
        f"init: ['{name}']\nfiles: [{{path: etc/os.yml, metadata: yaml}}]\n"
    )
    base = [
        "build",
        "--cache",
        str(tmp_path / "store"),
        "--arch",
        "amd64",
        "--docker",
        str(tmp_path / "os.yml"),
    ]
    first, second = tmp_path / "first.tar", tmp_path / "second.tar"
    assert main([*base, "--o", str(first)]) == 0
    assert main([*base, "--o", str(second), "--input-tar", str(first)]) == 0
    assert second.read_bytes() == first.read_bytes()
    if where == "the engine":
        assert [path.rpartition("/")[2] for path in engine.asked] == ["json", "get", "json"], (
            "asked once a build"
        )
