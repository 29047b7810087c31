"""Bricks published at Debian's docker-registry, and taken from there: what is pushed, what is not
pushed again, and which of it is believed. cosign is the judge of signatures."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from compos.cli.main import main
from compos.errors import ConnectionBroken
from compos.image.digest import digest_of
from compos.image.names import ORIGIN, SIGNER
from compos.image.reference import HUB
from compos.image.registries.registry import Registry
from compos.image.registries.session import Session
from compos.image.store import Store
from compos.package import bricks
from tests.image.conftest import StartRegistry, docker_registry
from tests.registry import FakeRegistry, Fault
from tests.trust.cosign import Cosign
from tests.trust.pairs import KINDS, key_pair, require_cryptography

pytestmark = pytest.mark.slow

__all__ = ["docker_registry"]

RECIPE = """
image: NAME
org: compos
tag: v1
arches: [amd64, arm64, riscv64]
files: [{path: etc/NAME, contents: NAME for everybody, mode: "0644"}]
"""
SYSTEM = "init: [compos/one:v1]\n"


class Publisher:
    """Somebody who has two bricks, `one` and `two`, and a registry."""

    def __init__(self, folder: Path, host: str) -> None:
        self.folder = folder
        self.registry = f"{host}/team/bricks"
        self.folders = [folder / "bricks" / name for name in ("one", "two")]
        for brick in self.folders:
            brick.mkdir(parents=True)
            (brick / "build.yml").write_text(RECIPE.replace("NAME", brick.name))
        (folder / "os.yml").write_text(SYSTEM)

    def push(self, *options: str, store: str = "publisher", folders: list[Path] = []) -> int:  # noqa: B006
        cache = ("--cache", str(self.folder / store), "--registry", self.registry)
        return main(["pkg", "push", *cache, *options, *map(str, folders or self.folders)])

    def build(self, *options: str, store: str = "newcomer") -> int:
        """As a newcomer does, to whom no Debian mirror answers."""
        where = ("--cache", str(self.folder / store), "--dir", str(self.folder), "-f", "tar")
        refuses = ("--debian-mirror", "http://127.0.0.1:1/debian")
        return main(["build", *where, *refuses, *options, str(self.folder / "os.yml")])

    def raw(self, name: str) -> dict[str, Any]:
        """What another tool sees of a published brick."""
        command = ["skopeo", "inspect", "--raw", "--tls-verify=false"]
        done = subprocess.run(
            [*command, f"docker://{self.registry}/{name}"], capture_output=True, check=True
        )
        document: dict[str, Any] = json.loads(done.stdout)
        return document


@pytest.fixture
def publisher(
    tmp_path: Path, docker_registry: StartRegistry, monkeypatch: pytest.MonkeyPatch
) -> Publisher:
    monkeypatch.setattr(bricks, "bricks_folder", lambda: tmp_path / "none")
    return Publisher(tmp_path, docker_registry())


@pytest.fixture
def requests(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """Methods and addresses of all requests to registries."""
    made: list[tuple[str, str]] = []
    really = Session.request

    def request(self: Session, method: str, url: str, **others: Any) -> Any:
        made.append((method, url))
        return really(self, method, url, **others)

    monkeypatch.setattr(Session, "request", request)
    return made


def written(requests: list[tuple[str, str]]) -> list[tuple[str, str]]:
    return [one for one in requests if one[0] not in ("GET", "HEAD")]


def test_every_architecture_and_its_sbom(publisher: Publisher) -> None:
    assert publisher.push() == 0
    index = publisher.raw("one:v1")
    images = {
        one["digest"]: one["platform"]["architecture"]
        for one in index["manifests"]
        if one["platform"]["os"] == "linux"
    }
    assert sorted(images.values()) == ["amd64", "arm64", "riscv64"]
    about = [
        one["annotations"]["vnd.docker.reference.digest"]
        for one in index["manifests"]
        if one["platform"]["os"] == "unknown"
    ]
    assert sorted(about) == sorted(images)


def test_layers_are_compressed_on_the_way(publisher: Publisher) -> None:
    """What zstd unpacks has the digest that the image's config says; the store's is as it was."""
    assert publisher.push() == 0
    copied = publisher.folder / "copied"
    source = f"docker://{publisher.registry}/one:v1"
    subprocess.run(
        ["skopeo", "copy", "-q", "--src-tls-verify=false", source, f"dir:{copied}"], check=True
    )
    manifest = json.loads((copied / "manifest.json").read_text())
    (layer,) = manifest["layers"]
    assert layer["mediaType"] == "application/vnd.oci.image.layer.v1.tar+zstd"
    config = json.loads((copied / manifest["config"]["digest"].removeprefix("sha256:")).read_text())
    packed = copied / layer["digest"].removeprefix("sha256:")
    tar = subprocess.run(["zstd", "-dcq", packed], capture_output=True, check=True).stdout
    assert [digest_of(tar)] == config["rootfs"]["diff_ids"]
    assert Store(publisher.folder / "publisher").has(digest_of(tar))


def test_layers_are_compressed_once(publisher: Publisher) -> None:
    """What a registry has is not compressed again to learn that; what another one lacks is, if it
    has gone."""
    assert publisher.push() == 0
    store = Store(publisher.folder / "publisher")
    first = publisher.raw("one:v1")

    def packed() -> list[Path]:
        magic = b"\x28\xb5\x2f\xfd"
        return [
            path
            for path in (store.root / "blobs/sha256").iterdir()
            if path.read_bytes()[:4] == magic
        ]

    assert len(packed()) == 2
    for path in packed():
        path.unlink()
    assert publisher.push() == 0
    assert packed() == []
    publisher.registry += "/elsewhere"
    assert publisher.push() == 0
    assert len(packed()) == 2
    assert publisher.raw("one:v1") == first
    # A note that says something else is dropped.
    for note in (store.root / "derived/travel").iterdir():
        note.write_text('["sha256:0", 7]')
    assert publisher.push() == 0
    assert publisher.raw("one:v1") == first


def test_only_these_platforms(publisher: Publisher) -> None:
    """Even if the store has others."""
    assert publisher.push() == 0
    publisher.registry += "/arm"
    assert publisher.push("--platforms", "linux/arm64") == 0
    listed = [one["platform"]["architecture"] for one in publisher.raw("one:v1")["manifests"]]
    assert sorted(listed) == ["arm64", "unknown"]


def test_nothing_is_pushed_twice(
    publisher: Publisher,
    requests: list[tuple[str, str]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    require_cryptography()
    private, _ = key_pair(publisher.folder)
    assert publisher.push("--sign-key", str(private)) == 0
    first = capsys.readouterr().out
    assert first.count("pushed and signed") == 2
    assert written(requests)
    requests.clear()
    assert publisher.push("--sign-key", str(private)) == 0
    assert capsys.readouterr().out == first.replace("pushed and signed", "up to date")
    assert written(requests) == []
    # From another store, all digests are the same: nothing is new there.
    assert publisher.push("--sign-key", str(private), store="another") == 0
    assert written(requests) == []


def test_it_goes_on_where_it_stopped(
    publisher: Publisher, requests: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = Session.request

    def breaks(self: Session, method: str, url: str, **others: Any) -> Any:
        manifests = [one for one in written(requests) if "/manifests/" in one[1]]
        if method == "PUT" and "/manifests/" in url and len(manifests) > 2:
            raise ConnectionBroken("network-broken", "the line is dead")
        return counts(self, method, url, **others)

    with monkeypatch.context() as patch:
        patch.setattr(Session, "request", breaks)
        patch.setattr(Registry, "patiently", lambda _, work: work())
        assert publisher.push() == 1
    begun = {url for method, url in requests if method == "PUT"}
    requests.clear()
    assert publisher.push() == 0
    again = {url for method, url in requests if method == "PUT"}
    assert any("/manifests/" in url for url in begun)
    assert not begun & again
    # An upload's address is new each time, but for the digest at its end.
    assert not {url.partition("digest=")[2] for url in begun if "digest=" in url} & {
        url.partition("digest=")[2] for url in again if "digest=" in url
    }
    assert publisher.raw("two:v1")["manifests"]


def test_a_newcomer_needs_no_debian_mirror(
    publisher: Publisher, capsys: pytest.CaptureFixture[str]
) -> None:
    require_cryptography()
    private, public = key_pair(publisher.folder)
    assert publisher.push("--sign-key", str(private)) == 0
    assert publisher.build("--bricks", publisher.registry, "--bricks-key", str(public)) == 0
    (entry,) = Store(publisher.folder / "newcomer").entries()
    assert entry.annotations[ORIGIN].startswith("registry 127.0.0.1:")
    assert len(entry.annotations[SIGNER]) == 64
    with subprocess.Popen(
        ["tar", "-xOf", str(publisher.folder / "os.tar"), "etc/one"], stdout=subprocess.PIPE
    ) as tar:
        assert tar.communicate()[0] == b"one for everybody"


@pytest.mark.parametrize("how", ["flag", "variable", "YAML"])
def test_ways_to_name_the_registry(
    publisher: Publisher, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert publisher.push() == 0
    if how == "variable":
        monkeypatch.setenv("COMPOS_BRICKS", publisher.registry)
    if how == "YAML":
        (publisher.folder / "os.yml").write_text(f"bricks: {publisher.registry}\n{SYSTEM}")
    assert publisher.build(*(["--bricks", publisher.registry] if how == "flag" else [])) == 0


def renamed(publisher: Publisher) -> None:
    """What the publisher signed as `two`, under the name `one`."""
    digest = subprocess.run(
        [
            "skopeo",
            "inspect",
            "--raw",
            "--tls-verify=false",
            f"docker://{publisher.registry}/two:v1",
        ],
        capture_output=True,
        check=True,
    ).stdout
    tag = f"{digest_of(digest).replace(':', '-')}.sig"
    for version in ("v1", tag):
        source, target = (
            f"docker://{publisher.registry}/{name}:{version}" for name in ("two", "one")
        )
        command = ["skopeo", "copy", "-q", "--all", "--preserve-digests"]
        insecure = ["--src-tls-verify=false", "--dest-tls-verify=false"]
        subprocess.run([*command, *insecure, source, target], check=True)


def another_key(publisher: Publisher) -> None:
    """Signed by somebody else."""
    (publisher.folder / "thief").mkdir()
    private, _ = key_pair(publisher.folder / "thief")
    publisher.registry += "/stolen"
    assert publisher.push("--sign-key", str(private), store="publisher") == 0


def unsigned(publisher: Publisher) -> None:
    publisher.registry += "/unsigned"
    assert publisher.push() == 0


@pytest.mark.parametrize("attack", [renamed, another_key, unsigned])
def test_what_the_key_did_not_sign_is_refused(
    publisher: Publisher,
    attack: Callable[[Publisher], None],
    requests: list[tuple[str, str]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    require_cryptography()
    private, public = key_pair(publisher.folder)
    assert publisher.push("--sign-key", str(private)) == 0
    attack(publisher)
    capsys.readouterr()
    requests.clear()
    assert publisher.build("--bricks", publisher.registry, "--bricks-key", str(public)) == 1
    said = capsys.readouterr().err
    assert "error[image-signature]" in said
    assert "building it" not in said, "nobody is sent to another source in silence"
    assert not list(publisher.folder.glob("os*.tar"))
    layer = sum("/blobs/" in url for _, url in requests)
    assert layer <= 1, "of an image that is not trusted, only signatures are fetched"


def test_a_stored_brick_was_checked_with_the_same_key(
    publisher: Publisher, capsys: pytest.CaptureFixture[str]
) -> None:
    require_cryptography()
    _, public = key_pair(publisher.folder)
    assert publisher.push() == 0
    assert publisher.build("--bricks", publisher.registry) == 0
    assert publisher.build("--bricks", publisher.registry, "--bricks-key", str(public)) == 1
    assert "error[image-signature]" in capsys.readouterr().err
    # What was built here needs no signature.
    assert publisher.build("--bricks-key", str(public), store="publisher") == 0


def test_what_the_registry_lacks_is_built(
    publisher: Publisher, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bricks, "bricks_folder", lambda: publisher.folder / "bricks")
    assert publisher.push(folders=publisher.folders[1:]) == 0
    assert publisher.build("--bricks", publisher.registry) == 0
    said = capsys.readouterr().err
    assert f"{publisher.registry} does not have {HUB}/compos/one:v1; building it" in said
    # Whoever cannot be asked has not said that there is none.
    gone = "127.0.0.1:1/team/bricks"
    assert publisher.build("--bricks", gone, store="other") == 1
    assert "error[network-connect]" in capsys.readouterr().err
    with FakeRegistry() as registry:
        registry.misbehave(Fault("status", on="/manifests/", value=403))
        assert publisher.build("--bricks", registry.host, store="other") == 1
    assert "error[registry-denied]" in capsys.readouterr().err


def test_a_yamls_registry_grants_no_powers_in_silence(
    publisher: Publisher, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = publisher.folders[0] / "build.yml"
    recipe.write_text(f"{recipe.read_text()}config: {{pid: host, capabilities: [all]}}\n")
    assert publisher.push() == 0
    monkeypatch.setattr(bricks, "bricks_folder", lambda: publisher.folder / "bricks")
    system = publisher.folder / "os.yml"
    container = "onboot: [{name: one, image: 'compos/one:v1'}]\n"
    system.write_text(container)
    assert publisher.build("--bricks", publisher.registry, "--no-label-powers") == 0
    recipe.write_text(RECIPE.replace("NAME", "one"))
    system.write_text(f"bricks: {publisher.registry}\n{container}")
    assert publisher.build("--no-label-powers") == 1
    assert "compos/one:v1" in capsys.readouterr().err


@pytest.mark.parametrize(
    "text", ["https://r.example/x", "bricks", "r.example/X", "u:p@r.example/x"]
)
def test_what_is_no_registry(
    publisher: Publisher, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert publisher.build("--bricks", text) == 1
    assert "error[bricks-registry]" in capsys.readouterr().err
    (publisher.folder / "os.yml").write_text(f"bricks: {text}\n{SYSTEM}")
    assert publisher.build() == 1
    assert "error[config-bricks]" in capsys.readouterr().err


def test_without_the_extra(
    publisher: Publisher, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A key is never ignored."""
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives.serialization", None)
    (publisher.folder / "key.pem").write_text("whatever")
    key = str(publisher.folder / "key.pem")
    assert publisher.build("--bricks", publisher.registry, "--bricks-key", key) == 1
    assert publisher.push("--sign-key", key) == 1
    assert capsys.readouterr().err.count("error[signature-support]") == 2


def test_a_package_of_ones_own(publisher: Publisher, capsys: pytest.CaptureFixture[str]) -> None:
    """Without --registry it is pushed under its own name, as LinuxKit's."""
    recipe = publisher.folders[0] / "build.yml"
    recipe.write_text(recipe.read_text().replace("org: compos", f"org: {publisher.registry}"))
    store = str(publisher.folder / "publisher")
    assert main(["pkg", "push", "--cache", store, str(publisher.folders[0])]) == 0
    assert capsys.readouterr().out.startswith(f"{publisher.registry}/one:v1 sha256:")
    assert main(["pkg", "push", "--cache", store, str(publisher.folders[1])]) == 1
    assert "error[package-name]" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.network
@pytest.mark.xdist_group("debian-mirror")
def test_cosign_agrees(publisher: Publisher, tmp_path: Path) -> None:
    """It accepts our signatures with each kind of key, and we accept its own."""
    require_cryptography()
    cosign = Cosign(tmp_path)
    for kind in KINDS:
        private, public = key_pair(tmp_path, kind)
        assert publisher.push("--sign-key", str(private)) == 0
        for name in ("one", "two"):
            verify(cosign, public, f"{publisher.registry}/{name}:v1")
    _, stranger = key_pair(tmp_path / "bricks")
    with pytest.raises(subprocess.CalledProcessError):
        verify(cosign, stranger, f"{publisher.registry}/one:v1")
    key, public = cosign.key_pair()
    offline = ("-y", "--tlog-upload=false", "--key", str(key))
    cosign.registry("sign", *offline, f"{publisher.registry}/one:v1")
    assert publisher.build("--bricks", publisher.registry, "--bricks-key", str(public)) == 0


def verify(cosign: Cosign, key: Path, image: str) -> None:
    """Raises `CalledProcessError` for what the owner of `key` did not sign."""
    cosign.registry("verify", "--key", str(key), "--private-infrastructure", "-a", "tag=v1", image)
