"""Images as files of a build context: skopeo reads them, and nothing is written into the folder."""

from __future__ import annotations

import json
import subprocess
import tarfile
from pathlib import Path

import pytest

from compos.cli.main import main
from compos.image.store import Store
from compos.package.builders import build
from compos.package.builders.request import Built, Request
from compos.package.labels import BUILT_BY
from compos.version import __version__
from tests.images import Member, make_image

RECIPE = "image: app\norg: test\ntag: v1\ndepends: {docker-images: {%s}}\n"


class Package:
    """A package whose builder unpacks the build context into `context`."""

    title = "a stranger"

    def __init__(self, folder: Path) -> None:
        self.context = folder / "context"
        self.folder = folder / "app"
        self.folder.mkdir()
        (self.folder / "Dockerfile").write_text("FROM scratch\nCOPY images /\n")
        self.store = Store(folder / "store")
        self.images = {}
        for name in ("one", "two"):
            image = make_image(self.store, f"x/{name}:v1", [[Member(name, content=name)]])
            root = self.store.named(f"docker.io/x/{name}:v1")
            self.store.tag(f"docker.io/x/{name}@{root.digest}", root)
            self.store.tag(f"docker.io/x/{name}:v1@{root.digest}", root)
            self.images[name] = (root.digest, image.config_digest)

    def obstacle(self) -> str:
        return ""

    def build(self, request: Request) -> Built:
        self.context.mkdir()
        packed = request.scratch / "context.tar"
        with packed.open("wb") as out:
            request.context(out, None)
        subprocess.run(["tar", "-xf", packed, "-C", self.context], check=True)
        labels = {BUILT_BY: f"compos {__version__}"}
        make_image(Store(request.scratch / "image"), "x/y:z", [[]], {"Labels": labels})
        return Built(request.scratch / "image")

    def run(self, depends: str) -> int:
        (self.folder / "build.yml").write_text(RECIPE % depends)
        flags = ("--cache", str(self.store.root), "--platforms", "linux/amd64")
        return main(["pkg", "build", *flags, str(self.folder)])


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Package:
    made = Package(tmp_path)
    monkeypatch.setattr(build, "choose", lambda *_: made)
    return made


def config_of(archive: Path, name: str = "") -> str:
    """The digest of the config of an image in an archive, by skopeo."""
    # Its syntax has no room for a digest in a path.
    plain = archive.parents[2] / "plain.tar"
    plain.unlink(missing_ok=True)
    plain.symlink_to(archive)
    source = f"docker-archive:{plain}{name and ':'}{name}"
    done = subprocess.run(
        ["skopeo", "inspect", "--raw", source], check=True, capture_output=True, text=True
    )
    return str(json.loads(done.stdout)["config"]["digest"])


def test_a_folder_of_archives(package: Package) -> None:
    (one, config_of_one), (two, config_of_two) = package.images.values()
    old = package.folder / "images" / "old.tar"
    old.parent.mkdir()
    old.write_text("of LinuxKit's last build")
    listed = package.folder / "list"
    listed.write_text(f"# a comment\n\nx/one:v1@{one}\nx/two@{two}\n")
    assert package.run("from-file: list, target-dir: ./images/") == 0
    found = package.context / "images"
    assert {path.name for path in found.iterdir()} == {f"one@{one}.tar", f"two@{two}.tar"}
    assert config_of(found / f"one@{one}.tar", "docker.io/x/one:v1") == config_of_one
    assert config_of(found / f"two@{two}.tar") == config_of_two
    assert [path.name for path in old.parent.iterdir()] == ["old.tar"]


def test_one_archive(package: Package) -> None:
    names = [f"x/{name}:v1@{digest}" for name, (digest, _) in package.images.items()]
    assert package.run(f"list: {json.dumps(names)}, target: images/all.tar") == 0
    archive = package.context / "images" / "all.tar"
    for name, (_, config) in package.images.items():
        assert config_of(archive, f"docker.io/x/{name}:v1") == config
    with tarfile.open(archive) as members:
        assert len(members.getnames()) == len(set(members.getnames()))


@pytest.mark.parametrize(
    ("depends", "error"),
    [
        ("list: [x/one:v1], target: a", "recipe-depends"),
        ("list: [x/one:v1]", "recipe-depends"),
        ("from-file: none, target: a", "package-depends"),
        ("from-file: out, target: a", "package-depends"),
        ("from-file: large, target: a", "package-depends"),
        ("list: ['X@sha256:1'], target: a", "recipe-depends"),
        ("list: [], target: ../a", "recipe-source"),
        ("list: [], target: /a", "recipe-source"),
        ("list: [], target: a, target-dir: b", "recipe-depends"),
    ],
)
def test_mistakes(
    depends: str, error: str, package: Package, capsys: pytest.CaptureFixture[str]
) -> None:
    (package.folder / "out").symlink_to("/etc/hostname")
    (package.folder / "large").write_text("#" * 2_000_000)
    assert package.run(depends) == 1
    said = capsys.readouterr().err
    assert f"error[{error}]" in said
    assert str(package.folder / "build.yml") in said or error == "image-reference"
    assert not package.context.exists()
