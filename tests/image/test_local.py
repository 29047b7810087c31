"""Images in folders and files of this machine: what skopeo writes is read, what is damaged or
hostile is refused by name."""

from __future__ import annotations

import gzip
import io
import json
import os
import shutil
import subprocess
import tarfile
from collections.abc import Callable
from io import BufferedReader
from pathlib import Path
from typing import Any

import pytest

from compos.errors import ComposError, ImageError
from compos.image.archives.archive import Archive, opened
from compos.image.archives.docker_archive import import_docker
from compos.image.digest import digest_of
from compos.image.platform import Platform
from compos.image.registries.registry import Registry
from compos.image.source import Images
from compos.image.store import Store
from compos.tree.contents import Contents
from compos.tree.flatten import image_tree
from tests.image.documents import DOCUMENTS, Made
from tests.images import AMD64, ARM64, Member, layer_tar, make_image, make_index, put_image
from tests.sources import Maker

ONE = [Member("bin", "dir", 0o755), Member("bin/app", mode=0o755, content="one")]
TWO = [Member("bin/.wh.app"), Member("etc/two", content="two")]
SETTINGS = {"Cmd": ["/bin/app"], "Env": ["A=1"]}


class NoNetwork(Registry):
    """Asked for nothing."""

    def manifest(self, *arguments: object) -> object:  # type: ignore[override]
        raise AssertionError(arguments)

    download = manifest  # type: ignore[assignment]


def images(folder: Path) -> Images:
    store = Store(folder)
    maker = Maker(store, lambda text: pytest.fail(f"asked for {text}"))
    return Images(store, registry=NoNetwork(), makers=[maker])


def contents(store: Store, images: Images, name: str, platform: Platform = AMD64) -> dict[str, str]:
    tree = image_tree(store, images.image(name, platform))
    with Contents(store.root) as reader:
        return {
            path: b"".join(reader.chunks(node.content)).decode()
            for path, node in tree.items()
            if node.kind == "f"
        }


@pytest.fixture
def layout(tmp_path: Path) -> Path:
    """An OCI layout with one image, as skopeo writes it; its layers are gzip."""
    store = Store(tmp_path / "made")
    make_image(store, "a.example/team/web:v1", [ONE, TWO], SETTINGS)
    target = tmp_path / "layout"
    skopeo(f"oci:{tmp_path}/made:a.example/team/web:v1", f"oci:{target}:v1")
    return target


def skopeo(source: str, target: str, *flags: str) -> None:
    subprocess.run(["skopeo", "copy", *flags, source, target], check=True, capture_output=True)


def test_a_layout(layout: Path, tmp_path: Path) -> None:
    found = images(tmp_path / "store")
    for name in (f"oci:{layout}", f"oci:{layout}:v1"):
        assert contents(Store(tmp_path / "store"), found, name) == {"etc/two": "two"}
        image = found.image(name, AMD64)
        assert (image.config.cmd, image.config.env) == (("/bin/app",), ("A=1",))
        assert image.name == f"oci:layout@{image.digest}"


def test_the_name_does_not_depend_on_the_folder(layout: Path, tmp_path: Path) -> None:
    other = tmp_path / "deep/er/layout"
    shutil.copytree(layout, other)
    names = {
        images(tmp_path / "store").image(f"oci:{path}", AMD64).name for path in (layout, other)
    }
    assert len(names) == 1


def test_names_in_a_layout_are_taken_over(tmp_path: Path) -> None:
    make_image(Store(tmp_path / "made"), "a.example/team/web:v1", [ONE])
    image = images(tmp_path / "store").image(f"oci:{tmp_path}/made", AMD64)
    assert image.name == f"a.example/team/web:v1@{image.digest}"


@pytest.mark.parametrize("form", ["oci-archive", "docker-archive"])
@pytest.mark.parametrize("packed", [False, True])
def test_archives(layout: Path, tmp_path: Path, form: str, packed: bool) -> None:
    path = tmp_path / "image.tar"
    skopeo(f"oci:{layout}:v1", f"{form}:{path}:a.example/team/web:v1")
    if packed:
        path.write_bytes(gzip.compress(path.read_bytes()))
    store = Store(tmp_path / "store")
    for name in (f"{form}:{path}", f"{form}:{path}:a.example/team/web:v1"):
        assert contents(store, images(tmp_path / "store"), name) == {"etc/two": "two"}
        assert (
            images(tmp_path / "store")
            .image(name, AMD64)
            .name.startswith("a.example/team/web:v1@sha256:")
        )


def test_layers_of_docker_archives_stay_plain(layout: Path, tmp_path: Path) -> None:
    path = tmp_path / "image.tar"
    skopeo(f"oci:{layout}:v1", f"docker-archive:{path}:web:v1")
    image = images(tmp_path / "store").image(f"docker-archive:{path}", AMD64)
    assert [layer.digest for layer in image.layers] == list(image.config.diff_ids)


def test_an_archive_is_read_again_when_it_changes(
    layout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "image.tar"
    skopeo(f"oci:{layout}:v1", f"docker-archive:{path}:web:v1")
    first = images(tmp_path / "store").image(f"docker-archive:{path}", AMD64)
    opened: list[object] = []
    original = tarfile.open

    def spy(*arguments: Any, **named: Any) -> Any:
        opened.append(arguments)
        return original(*arguments, **named)

    monkeypatch.setattr(tarfile, "open", spy)
    assert images(tmp_path / "store").image(f"docker-archive:{path}", AMD64) == first
    assert opened == []
    make_image(Store(tmp_path / "made"), "a.example/team/web:v2", [ONE])
    path.unlink()
    skopeo(f"oci:{tmp_path}/made:a.example/team/web:v2", f"docker-archive:{path}:web:v1")
    assert images(tmp_path / "store").image(f"docker-archive:{path}", AMD64).digest != first.digest


def test_platforms_and_nested_indexes(tmp_path: Path) -> None:
    store = Store(tmp_path / "made")
    children = {
        platform: put_image(
            store, layers=[[Member("arch", content=str(platform))]], platform=platform
        )[0]
        for platform in (AMD64, ARM64)
    }
    make_index(store, "a.example/many:1", children)
    found = images(tmp_path / "store")
    for platform in (AMD64, ARM64):
        assert contents(Store(tmp_path / "store"), found, f"oci:{store.root}", platform) == {
            "arch": str(platform)
        }
    with pytest.raises(ImageError) as caught:
        found.image(f"oci:{store.root}", Platform("linux", "riscv64"))
    assert caught.value.id == "image-platform"


def test_several_images_need_a_name(tmp_path: Path) -> None:
    store = Store(tmp_path / "made")
    for number in (1, 2):
        make_image(store, f"a.example/xy:{number}", [[Member("n", content=str(number))]])
    found = images(tmp_path / "store")
    with pytest.raises(ImageError) as caught:
        found.image(f"oci:{store.root}", AMD64)
    assert caught.value.id == "archive-image"
    assert "a.example/xy:1, a.example/xy:2" in (caught.value.hint or "")
    assert contents(Store(tmp_path / "store"), found, f"oci:{store.root}:a.example/xy:2") == {
        "n": "2"
    }
    digest = store.resolve("a.example/xy:1")
    assert digest is not None
    assert contents(Store(tmp_path / "store"), found, f"oci:{store.root}@{digest.digest}") == {
        "n": "1"
    }


def archive_of(path: Path, members: dict[str, bytes | str]) -> None:
    """A tar of files; texts are targets of symbolic links."""
    with tarfile.open(path, "w") as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            if isinstance(data, str):
                info.type, info.linkname = tarfile.SYMTYPE, data
                archive.addfile(info)
            else:
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))


def saved(layers: list[bytes], **changes: object) -> dict[str, bytes | str]:
    """The members of a `docker save` archive."""
    config = {
        "architecture": "amd64",
        "os": "linux",
        "config": {},
        "rootfs": {"type": "layers", "diff_ids": [digest_of(one) for one in layers]},
    }
    settings = json.dumps(config).encode()
    name = f"{digest_of(settings).removeprefix('sha256:')}.json"
    names = [f"{number}/layer.tar" for number in range(len(layers))]
    entry = {"Config": name, "RepoTags": ["web:v1"], "Layers": names, **changes}
    return {
        **dict(zip(names, layers, strict=True)),
        name: settings,
        "manifest.json": json.dumps([entry]).encode(),
    }


def test_shared_layers_are_links(tmp_path: Path) -> None:
    """As old versions of docker write them."""
    tar = layer_tar([Member("x", content="x")])
    members: dict[str, bytes | str] = saved([tar, tar])
    members["1/layer.tar"] = "../0/layer.tar"
    archive_of(tmp_path / "a.tar", members)
    assert contents(
        Store(tmp_path / "s"), images(tmp_path / "s"), f"docker-archive:{tmp_path}/a.tar"
    ) == {"x": "x"}


class Listed:
    """An archive that lists what is read of it."""

    def __init__(self, archive: Archive) -> None:
        self.has, self.document, self.position = archive.has, archive.document, archive.position
        self._archive = archive
        self.read: list[str] = []

    def stream(self, name: str) -> BufferedReader:
        self.read.append(name)
        return self._archive.stream(name)


def test_layers_are_read_once_and_as_they_lie(tmp_path: Path) -> None:
    """Going back in a compressed archive means to decompress it once more."""
    members = saved([layer_tar([Member(f"f{number}", content="x")]) for number in range(3)])
    archive_of(tmp_path / "a.tar", dict(reversed(members.items())))
    with opened(tmp_path / "a.tar") as archive:
        listed = Listed(archive)
        import_docker(Store(tmp_path / "s"), listed, AMD64, "")
    assert listed.read == ["2/layer.tar", "1/layer.tar", "0/layer.tar"]
    found = contents(
        Store(tmp_path / "t"), images(tmp_path / "t"), f"docker-archive:{tmp_path}/a.tar"
    )
    assert found == {"f0": "x", "f1": "x", "f2": "x"}


TAR = layer_tar([Member("x", content="x")])


def broken(change: Callable[[dict[str, bytes | str]], object]) -> Callable[[Path], str]:
    def make(folder: Path) -> str:
        members = saved([TAR])
        change(members)
        archive_of(folder / "a.tar", members)
        return f"docker-archive:{folder}/a.tar"

    return make


def cut(folder: Path) -> str:
    archive_of(folder / "a.tar", saved([bytes(100_000)]))
    data = (folder / "a.tar").read_bytes()
    (folder / "a.tar").write_bytes(data[:50_000])
    return f"docker-archive:{folder}/a.tar"


def linked(folder: Path) -> str:
    """A blob that is a link out of the folder."""
    store = Store(folder / "made")
    image = make_image(store, "x.example/ab:1", [ONE])
    blob = store.path(image.layers[0].digest)
    shutil.copy(blob, folder / "elsewhere")
    blob.unlink()
    blob.symlink_to(folder / "elsewhere")
    return f"oci:{store.root}"


def fifo(folder: Path) -> str:
    store = Store(folder / "made")
    image = make_image(store, "x.example/ab:1", [ONE])
    store.path(image.layers[0].digest).unlink()
    os.mkfifo(store.path(image.layers[0].digest))
    return f"oci:{store.root}"


def damaged_blob(folder: Path) -> str:
    store = Store(folder / "made")
    image = make_image(store, "x.example/ab:1", [ONE])
    path = store.path(image.layers[0].digest)
    path.write_bytes(path.read_bytes()[::-1])
    return f"oci:{store.root}"


def foreign(folder: Path) -> str:
    (folder / "index.json").write_text('{"schemaVersion": 2, "manifests": 5}')
    return f"oci:{folder}"


def headed(kind: bytes, size: int) -> Callable[[Path], str]:
    """A small archive whose first member says that it has `size` bytes, and is zeros behind
    that."""

    def make(folder: Path) -> str:
        info = tarfile.TarInfo("x")
        info.type, info.size = kind, abs(size)
        header = bytearray(info.tobuf(tarfile.GNU_FORMAT))
        header[124:136] = size.to_bytes(12, "big", signed=True) if size < 0 else header[124:136]
        header[148:156] = b" " * 8
        header[148:156] = b"%06o\0 " % sum(header)
        with gzip.open(folder / "a.tar", "wb", 1) as stream:
            stream.write(header)
            for _ in range(max(size, 0) >> 20):
                stream.write(bytes(1 << 20))
        return f"docker-archive:{folder}/a.tar"

    return make


def sparse(folder: Path) -> str:
    """A layer of ten bytes and a hole of 1 EiB, as GNU tar writes such files."""
    members = saved([TAR])
    with tarfile.open(folder / "a.tar", "w", format=tarfile.PAX_FORMAT) as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            content = b"0123456789" if name == "0/layer.tar" else data
            assert isinstance(content, bytes)
            info.size = len(content)
            if name == "0/layer.tar":
                info.pax_headers = {
                    "GNU.sparse.map": f"0,5,{(1 << 60) - 5},5",
                    "GNU.sparse.size": str(1 << 60),
                    "GNU.sparse.numblocks": "2",
                    "GNU.sparse.name": name,
                }
            archive.addfile(info, io.BytesIO(content))
    return f"docker-archive:{folder}/a.tar"


def many(folder: Path) -> str:
    block = tarfile.TarInfo("x").tobuf()
    with gzip.open(folder / "a.tar", "wb", 1) as stream:
        for _ in range(101):
            stream.write(block * 1000)
    return f"docker-archive:{folder}/a.tar"


def sized(folder: Path) -> str:
    """A layer that is longer than its manifest says."""
    made = Made({name: json.dumps(value) for name, value in DOCUMENTS.items()})
    layout = made.layout(folder / "layout")
    blob = layout / "blobs/sha256" / made.digest("layer").removeprefix("sha256:")
    blob.write_bytes(blob.read_bytes() + b"x")
    return f"oci:{layout}"


WRONG: dict[str, tuple[Callable[[Path], str], str]] = {
    "no such file": (lambda folder: f"oci-archive:{folder}/none.tar", "archive-missing"),
    "no such folder": (lambda folder: f"oci:{folder}/none", "archive-missing"),
    "an empty folder": (lambda folder: f"oci:{folder}", "archive-incomplete"),
    "no tar": (lambda folder: f"docker-archive:{(folder / 'x').write_text('x' * 5000) and folder / 'x'}", "archive-damaged"),
    "no manifest.json": (broken(lambda members: members.pop("manifest.json")), "archive-incomplete"),
    "manifest.json of another kind": (broken(lambda members: members.update({"manifest.json": b"{}"})), "archive-image"),
    "manifest.json is nonsense": (broken(lambda members: members.update({"manifest.json": b"[5]"})), "archive-damaged"),
    "layers that are none": (broken(lambda members: members.update(saved([TAR], Layers="x"))), "archive-damaged"),
    "fewer layers than the config says": (broken(lambda members: members.update(saved([TAR], Layers=[]))), "archive-damaged"),
    "a layer is missing": (broken(lambda members: members.pop("0/layer.tar")), "archive-incomplete"),
    "a layer that is another one": (broken(lambda members: members.update({"0/layer.tar": bytes(1024)})), "digest-mismatch"),
    "a layer outside": (broken(lambda members: members.update(saved([TAR], Layers=["../../etc/x"]))), "archive-incomplete"),
    "a link in a circle": (broken(lambda members: members.update({"0/layer.tar": "layer.tar"})), "archive-incomplete"),
    "a link outside": (broken(lambda members: members.update({"0/layer.tar": "/etc/passwd"})), "archive-incomplete"),
    "cut short": (cut, "archive-damaged"),
    "a blob that is a link out of the folder": (linked, "archive-incomplete"),
    "a blob that is a FIFO": (fifo, "archive-incomplete"),
    "a damaged blob": (damaged_blob, "digest-mismatch"),
    "a PAX header that fills the memory": (headed(tarfile.XHDTYPE, 64 << 20), "archive-damaged"),
    "a long name that fills the memory": (headed(tarfile.GNUTYPE_LONGNAME, 64 << 20), "archive-damaged"),
    "a size below zero": (headed(tarfile.REGTYPE, -512), "archive-damaged"),
    "a header's size below zero": (headed(tarfile.XHDTYPE, -512), "archive-damaged"),
    "a hole of 1 EiB": (sparse, "archive-damaged"),
    "more files than an image has": (many, "archive-damaged"),
    "a layer of another size": (sized, "digest-mismatch"),
    "an index of another kind": (foreign, "image-malformed"),
}  # fmt: skip


MANY = "more files than an image has"


@pytest.mark.parametrize(
    "case", [pytest.param(one, marks=[pytest.mark.slow] * (one == MANY)) for one in WRONG]
)
def test_refused(tmp_path: Path, case: str) -> None:
    (tmp_path / "in").mkdir()
    make, error = WRONG[case]
    name = make(tmp_path / "in")
    with pytest.raises(ComposError) as caught:
        images(tmp_path / "store").image(name, AMD64)
    assert caught.value.id == error
    assert caught.value.hint
    assert name.partition(":")[0] in str(caught.value.place) or str(tmp_path) in str(
        caught.value.place
    )


def test_a_docker_archive_for_another_machine(tmp_path: Path) -> None:
    archive_of(tmp_path / "a.tar", saved([TAR]))
    with pytest.raises(ImageError) as caught:
        images(tmp_path / "store").image(f"docker-archive:{tmp_path}/a.tar", ARM64)
    assert caught.value.id == "image-platform"


def test_what_a_layout_attests_comes_along(tmp_path: Path) -> None:
    from compos.image.attestation import put_attestation, spdx_documents

    store = Store(tmp_path / "made")
    manifest = put_image(store, layers=[ONE])[0]
    attestation = put_attestation(store, "x", manifest, AMD64, {"spdxVersion": "SPDX-2.3"})
    children = [{**manifest.to_json(), "platform": AMD64.to_json()}, attestation.to_json()]
    index = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": children,
    }
    store.tag(
        "a.example/team/app:1",
        store.put(json.dumps(index).encode(), "application/vnd.oci.image.index.v1+json"),
    )
    image = images(tmp_path / "store").image(f"oci:{store.root}", AMD64)
    assert list(spdx_documents(Store(tmp_path / "store"), image)) == [{"spdxVersion": "SPDX-2.3"}]
    assert image.name == f"a.example/team/app:1@{manifest.digest}"
