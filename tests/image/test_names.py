"""Names of our bricks stand for our bricks, whatever door a stranger's image comes through; and
each image has an origin."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from compos.cli.main import main
from compos.image.model import MANIFEST
from compos.image.names import ORIGIN
from compos.image.reference import Reference, is_reserved
from compos.image.store import REF_NAME, Store
from tests.image.documents import DOCUMENTS, Made
from tests.image.engine import Engine, archive
from tests.registry import FakeRegistry


@pytest.fixture(autouse=True)
def _nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store of the test's own, and no Debian mirror: a brick that is built after all ends in an
    error by name."""
    monkeypatch.setenv("COMPOS_CACHE", str(tmp_path / "store"))
    monkeypatch.setenv("COMPOS_DEBIAN_MIRROR", "http://127.0.0.1:9/none")
    monkeypatch.delenv("LINUXKIT_MIRROR", raising=False)


@pytest.mark.parametrize(
    ("name", "reserved"),
    [
        ("compos/init:v1", True),
        ("compos/init", True),
        ("compos/typo:v1", True),
        ("compos/nginx:v2", True),
        ("docker.io/compos/init:v1", True),
        ("index.docker.io/compos/init:v1", True),
        ("registry-1.docker.io/compos/init:v1", True),
        (f"compos/init@sha256:{'ab' * 32}", True),
        # The first part of three is read as a host; one that cannot be a host belongs to the public
        # hub.
        ("compos/a/b:1", True),
        ("registry.example/compos/init:v1", False),
        ("localhost/compos/init:v1", False),
        ("composer/init:v1", False),
        ("compos-x/init:v1", False),
        ("library/compos:1", False),
        ("compos", False),
    ],
)
def test_which_names_are_ours(name: str, reserved: bool) -> None:
    assert is_reserved(Reference.parse(name)) is reserved


def named(name: str, folder: Path) -> Made:
    """An image whose index and archive call it `name`."""
    text = json.dumps(DOCUMENTS).replace("x.example/app:1", name)
    return Made({key: json.dumps(value) for key, value in json.loads(text).items()})


def imported(name: str, folder: Path, *flags: str) -> int:
    return main(["cache", "import", *flags, str(named(name, folder).layout(folder / "layout"))])


def imported_saved(name: str, folder: Path, *flags: str) -> int:
    return main(["cache", "import", *flags, str(named(name, folder).archive(folder / "saved.tar"))])


def pulled(name: str, folder: Path, *flags: str) -> int:
    with FakeRegistry() as registry:
        published(registry, name)
        return main(["cache", "pull", *flags, "--mirror", f"docker.io={registry.url}", name])


def published(registry: FakeRegistry, name: str) -> None:
    made = named(name, Path())
    made.publish(registry)
    reference = Reference.parse(name)
    for (_, version), document in [*registry.documents.items()]:
        registry.documents[
            reference.origin[1], reference.version if version == "1" else version
        ] = document


DOORS = {"an archive": imported, "docker save": imported_saved, "cache pull": pulled}
FOREIGN = ["compos/typo:v1", "compos/init:v99", "docker.io/compos/typo:v1", "compos/a/b:1"]


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("name", FOREIGN)
def test_nobody_fills_our_names(
    tmp_path: Path, door: str, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert DOORS[door](name, tmp_path) == 1
    said = capsys.readouterr().err
    assert "error[name-reserved]" in said or "error[brick-unknown]" in said, said
    assert "hint: " in said
    assert Store(tmp_path / "store").entries() == []


@pytest.mark.parametrize("door", DOORS)
def test_who_asks_for_it_gets_it(
    tmp_path: Path, door: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """And a build then uses it: whoever set the flag said so."""
    assert DOORS[door]("compos/typo:v1", tmp_path, "--allow-brick-names") == 0
    (tmp_path / "os.yml").write_text("init: ['compos/typo:v1']\n")
    command = [
        "build",
        "--arch",
        "amd64",
        "--no-sbom",
        "--o",
        str(tmp_path / "os.tar"),
        str(tmp_path / "os.yml"),
    ]
    assert main(command) == 0
    capsys.readouterr()
    assert main(["cache", "ls"]) == 0
    assert capsys.readouterr().out.splitlines()[1].split()[2] == (
        "registry" if door == "cache pull" else "archive"
    )


Builds = Callable[[Path, FakeRegistry], list[str]]


def build(folder: Path, text: str, *flags: str) -> list[str]:
    (folder / "os.yml").write_text(text)
    return [
        "build",
        "--arch",
        "amd64",
        "--no-sbom",
        *flags,
        "--o",
        str(folder / "os.tar"),
        str(folder / "os.yml"),
    ]


BUILDS: dict[str, Builds] = {
    "an image": lambda folder, registry: build(folder, "init: ['NAME']"),
    "an image with --pull": lambda folder, registry: build(folder, "init: ['NAME']", "--pull"),
    "a volume": lambda folder, registry: build(
        folder, "volumes: [{name: v, image: 'NAME', format: oci}]"
    ),
    "a volume with --pull": lambda folder, registry: build(
        folder, "volumes: [{name: v, image: 'NAME', format: oci}]", "--pull"
    ),
    "a mirror for everything": lambda folder, registry: build(
        folder, "init: ['NAME']", "--mirror", registry.url
    ),
}


@pytest.mark.parametrize("how", BUILDS)
@pytest.mark.parametrize(
    "name", ["compos/typo:v1", "compos/init:v99", "compos/a/b:1", "index.docker.io/compos/typo:v1"]
)
def test_builds_never_ask_the_hub_for_them(
    tmp_path: Path,
    how: str,
    name: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with FakeRegistry() as registry:
        monkeypatch.setenv("LINUXKIT_MIRROR", f"docker.io={registry.url}")
        published(registry, name)
        command = BUILDS[how](tmp_path, registry)
        (tmp_path / "os.yml").write_text((tmp_path / "os.yml").read_text().replace("NAME", name))
        assert main(command) == 1
        assert registry.requests == []
    said = capsys.readouterr().err
    assert "error[brick-unknown]" in said, said
    assert name in said


def test_a_registry_of_bricks_is_asked(tmp_path: Path) -> None:
    with FakeRegistry() as registry:
        published(registry, "compos/typo:v1")
        assert (
            main(build(tmp_path, "init: ['compos/typo:v1']", "--bricks", f"{registry.host}/compos"))
            == 0
        )
        assert registry.requests
        (entry,) = Store(tmp_path / "store").entries()
        assert entry.annotations[ORIGIN] == f"registry {registry.host}"


def test_what_another_tool_put_into_the_store_is_no_brick(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """LinuxKit and skopeo write the same index.json."""
    named("docker.io/compos/typo:v1", tmp_path).store(Store(tmp_path / "store"))
    assert main(build(tmp_path, "init: ['compos/typo:v1']")) == 1
    assert "error[brick-unknown]" in capsys.readouterr().err


@pytest.mark.parametrize("annotation", [ORIGIN, "org.compos.brick.recipe.amd64"])
def test_an_archive_does_not_say_where_it_comes_from(
    tmp_path: Path, annotation: str, capsys: pytest.CaptureFixture[str]
) -> None:
    made = named("x.example/app:1", tmp_path)
    layout = made.layout(tmp_path / "layout")
    index = json.loads((layout / "index.json").read_text())
    for entry in index["manifests"]:
        entry["annotations"][annotation] = "built here"
    (layout / "index.json").write_text(json.dumps(index))
    assert main(["cache", "import", str(layout)]) == 0
    (entry,) = Store(tmp_path / "store").entries()
    assert entry.annotations == {REF_NAME: "x.example/app:1", ORIGIN: "archive layout"}


def test_the_engine_has_no_bricks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Engine(tmp_path)
    monkeypatch.setenv("DOCKER_HOST", f"unix://{engine.path}")
    engine.images["docker.io/compos/typo:v1"] = archive(tmp_path, "engine")
    assert main(build(tmp_path, "init: ['compos/typo:v1']", "--docker")) == 1
    assert engine.asked == []
    engine.server.shutdown()
    engine.server.server_close()


def test_a_name_that_changes_hands_is_reported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a").mkdir()
    assert imported("x.example/app:1", tmp_path / "a") == 0
    (was,) = Store(tmp_path / "store").entries()
    capsys.readouterr()
    (tmp_path / "b").mkdir()
    assert imported_saved("x.example/app:1", tmp_path / "b") == 0
    said = capsys.readouterr().err
    assert was.digest in said
    assert "x.example/app:1" in said
    assert was.media_type == MANIFEST


def test_origins_in_the_list(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with FakeRegistry() as registry:
        assert main(["cache", "pull", named("x.example/app:1", tmp_path).publish(registry)]) == 0
        host = registry.host
    assert imported("x.example/app:1", tmp_path) == 0
    local = f"docker-archive:{named('y.example/app:1', tmp_path).archive(tmp_path / 'saved.tar')}"
    assert main(build(tmp_path, f"init: ['{local}']")) == 0
    capsys.readouterr()
    assert main(["cache", "ls"]) == 0
    origins = {
        line.split()[0]: " ".join(line.split()[2:])
        for line in capsys.readouterr().out.splitlines()[1:]
    }
    assert origins == {
        f"{host}/app:1": f"registry {host}",
        f"{host}/app:1-amd64": f"registry {host}",
        "x.example/app:1": "archive layout",
        local: "archive saved.tar",
    }
