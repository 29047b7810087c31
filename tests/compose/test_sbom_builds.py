"""The bill of materials of a build: flags, the tar, what is built again."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.attested import document, make_attested
from tests.compose.bill import INIT, names, problems
from tests.compose.systems import World
from tests.images import AMD64, ARM64

# One worker imports jsonschema, which compiles grammars for a second.
pytestmark = pytest.mark.xdist_group("jsonschema")


def test_a_tar_has_it_without_records(world: World, tmp_path: Path) -> None:
    from compos.cli.main import main

    make_attested(world.store, "acme/one:2", {AMD64: [document("a")], ARM64: [document("b")]})
    (tmp_path / "os.yml").write_text("init: ['acme/one:2']\n")
    arguments = ["build", "-q", *world.flags, "--o", str(tmp_path / "x.tar")]
    assert main([*arguments, str(tmp_path / "os.yml")]) == 0
    with tarfile.open(tmp_path / "x.tar") as archive:
        member = archive.getmember("sbom.spdx.json")
        stream = archive.extractfile(member)
        assert stream is not None
        value = json.load(io.BytesIO(stream.read()))
    assert (member.mode, member.uid, member.gid, member.mtime, member.pax_headers) == (
        0o644,
        0,
        0,
        1492533000,
        {},
    )
    assert names(value) == ["a"]


@pytest.mark.parametrize(
    ("flags", "name"),
    [
        ([], "sbom.spdx.json"),
        (["--sbom-format", "cyclonedx"], "sbom.cdx.json"),
        (["--sbom-output", "usr/x.json"], "usr/x.json"),
        (["--sbom-output", "/y", "--sbom-format", "cyclonedx"], "y"),
        (["--no-sbom"], None),
        (["--no-sbom", "--sbom-output", ""], None),
    ],
)
def test_flags(world: World, tmp_path: Path, flags: Sequence[str], name: str | None) -> None:
    found = built(world, tmp_path, *flags)
    assert [path for path in found if path.endswith(".json") or path == "y"] == (
        [name] if name else []
    )


def built(world: World, folder: Path, *flags: str) -> dict[str, bytes]:
    from compos.cli.main import main

    (folder / "os.yml").write_text(INIT)
    arguments = ["build", "-q", *world.flags, "--o", str(folder / "x.tar")]
    assert main([*arguments, *flags, str(folder / "os.yml")]) == 0
    with tarfile.open(folder / "x.tar") as archive:
        return {
            member.name: stream.read()
            for member in archive
            if member.isreg() and (stream := archive.extractfile(member))
        }


def test_the_time_is_asked_for(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def created(*flags: str) -> str:
        text: str = json.loads(built(world, tmp_path, *flags)["sbom.spdx.json"])["creationInfo"][
            "created"
        ]
        return text

    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    assert created() == "2017-04-18T16:30:00Z"
    assert created("--sbom-current-time") == "2023-11-14T22:13:20Z"
    monkeypatch.delenv("SOURCE_DATE_EPOCH")
    assert created("--sbom-current-time") > "2024"


def test_usage(
    world: World,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from compos.cli.main import main

    (tmp_path / "os.yml").write_text(INIT)
    assert main(["build", "--sbom-output", "", str(tmp_path / "os.yml")]) == 1
    assert "--no-sbom" in capsys.readouterr().err
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "yesterday")
    cache = [*world.flags, "--dir", str(tmp_path)]
    assert main(["build", *cache, "--sbom-current-time", str(tmp_path / "os.yml")]) == 1
    assert "SOURCE_DATE_EPOCH" in capsys.readouterr().err


def test_an_unchanged_system_is_not_composed_again(world: World, tmp_path: Path) -> None:
    """The SBOM is an input as any other: its loss and its return are noticed, its presence costs a
    look."""
    image = make_attested(world.store, "acme/init:1", {AMD64: [document("a")]})
    results = world.store.root / "derived/result"
    first = built(world, tmp_path)
    assert built(world, tmp_path) == first
    assert len(list(results.iterdir())) == 1
    (manifest,) = image.attestations
    data = world.store.read(manifest.digest)
    world.store.path(manifest.digest).unlink()
    without = built(world, tmp_path)
    assert "packages" not in json.loads(without["sbom.spdx.json"])
    assert len(list(results.iterdir())) == 2
    world.store.put(data, manifest.media_type)
    assert built(world, tmp_path) == first
    assert len(list(results.iterdir())) == 2


def test_sections_of_an_earlier_build_are_not_in_it(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """And an SBOM that was in the tar does not stop init from being copied: this build writes one
    there, too."""
    from compos.cli.main import main

    world.images["acme/init:2"] = make_attested(
        world.store, "acme/init:2", {AMD64: [document("init")]}
    )
    make_attested(
        world.store,
        "acme/app:2",
        {AMD64: [document("app")]},
        layers=[[("app", "file", 0o755, b"")]],
    )
    (tmp_path / "os.yml").write_text(
        "init: ['acme/init:2']\nservices: [{name: web, image: 'acme/app:2'}]\n"
        "files: [{path: etc/os.yml, metadata: yaml}]\n"
    )
    common = [*world.flags]

    def build(out: str, *flags: str) -> dict[str, Any]:
        assert (
            main(["build", *common, "--o", str(tmp_path / out), *flags, str(tmp_path / "os.yml")])
            == 0
        )
        with tarfile.open(tmp_path / out) as archive:
            stream = archive.extractfile("sbom.spdx.json")
            assert stream is not None
            value: dict[str, Any] = json.load(stream)
            return value

    assert names(build("one.tar", "--sbom-output", "/sbom.spdx.json")) == ["init", "app"]
    world.store.untag("docker.io/acme/init:2")
    capsys.readouterr()
    again = build(
        "two.tar", "--sbom-output", "/sbom.spdx.json", "--input-tar", str(tmp_path / "one.tar")
    )
    said = capsys.readouterr().err
    assert "Copy init[0] files" in said
    assert "The SBOM does not cover" in said
    assert names(again) == ["app"]
    assert problems(again) == []
