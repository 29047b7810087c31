"""What is sent into a guest: over what the guest has, it gives what the YAML says. The kernel's
overlayfs lays it there, and the brick's own program unpacks it."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from compos.develop.decision import below
from compos.develop.delta import Archive, files_archive, service_archive
from compos.develop.picture import Picture, same_nodes
from compos.tree.contents import Contents
from tests.bricks.compiler import compile_brick
from tests.develop.pictures import SYSTEM, PictureWorld
from tests.images import Member

PLACE = "/run/compos/dev/7"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> PictureWorld:
    return PictureWorld(tmp_path_factory.mktemp("world"))


def sent(world: PictureWorld, old: Picture, new: Picture) -> tuple[Archive, str]:
    with Contents(world.store.root) as contents:
        return service_archive(old, new, "web", PLACE, same_nodes(contents))


def unpacked(world: PictureWorld, archive: Archive, folder: Path, *options: str) -> None:
    folder.mkdir(exist_ok=True)
    with Contents(world.store.root) as contents:
        data = b"".join(contents.chunks(archive.pieces))
    program = compile_brick("dev", driver="archive")
    subprocess.run([program, folder, *options], input=data, check=True, timeout=60)


def files(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): (
            str(path.readlink())
            if path.is_symlink()
            else path.read_text()
            if path.is_file()
            else "/"
        )
        for path in folder.rglob("*")
    }


IMAGES: Mapping[str, tuple[list[Member], list[Member]]] = {
    "a file": ([Member("a", content="1")], [Member("a", content="2")]),
    "a file that is gone": ([Member("d/a"), Member("d/b")], [Member("d/b")]),
    "a folder that is gone": ([Member("d/e/a"), Member("f")], [Member("f")]),
    "a file for a folder": ([Member("d/e/a")], [Member("d", content="file")]),
    "a folder for a file": ([Member("d", content="file")], [Member("d/e/a", content="x")]),
    "a link for a folder": ([Member("d/e/a")], [Member("d", "symlink", content="f"), Member("f")]),
    "everything": ([Member("a/b"), Member("c")], [Member("x/y", content="z")]),
    "names that sort between a folder and its files": (
        [Member("d/a"), Member("d-a"), Member("d.a")],
        [Member("d-a", content="new"), Member("d/b")],
    ),
}


@pytest.mark.root
@pytest.mark.parametrize("case", IMAGES)
def test_over_the_old_root_it_is_the_new_one(
    world: PictureWorld, tmp_path: Path, case: str
) -> None:
    old_layer, new_layer = IMAGES[case]
    world.image("acme/old:1", [old_layer], {"Entrypoint": ["/a"]})
    world.image("acme/new:1", [new_layer], {"Entrypoint": ["/a"]})
    old = world.picture(SYSTEM.replace("acme/web:1", "acme/old:1"))
    new = world.picture(SYSTEM.replace("acme/web:1", "acme/new:1"))
    archive, lower = sent(world, old, new)
    assert lower == "/containers/services/web/lower"
    # overlayfs takes no layers on another overlayfs, which tests may run on.
    mounted = tmp_path / "mounted"
    mounted.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", mounted], check=True)
    try:
        for name, picture in (("old", old), ("wanted", new)):
            nodes = [*below(picture, picture.services["web"].root)]
            files_of = picture._replace(
                system=picture.system._replace(
                    root=picture.system.root._replace(
                        entries=type(picture.system.root.entries).over(nodes)
                    )
                )
            )
            unpacked(world, files_archive(files_of, dict(nodes)), mounted / name)
        unpacked(world, archive, mounted / "sent")
        (mounted / "seen").mkdir()
        layers = f"lowerdir={mounted}/sent/root:{mounted}/old"
        subprocess.run(
            ["mount", "-t", "overlay", "overlay", "-o", layers, mounted / "seen"], check=True
        )
        assert files(mounted / "seen") == files(mounted / "wanted")
        subprocess.run(["umount", mounted / "seen"], check=True)
    finally:
        subprocess.run(["umount", mounted], check=True)


def test_only_what_is_new_is_sent(world: PictureWorld, tmp_path: Path) -> None:
    old = world.picture()
    archive, _ = sent(world, old, world.picture(SYSTEM.replace("acme/web:1", "acme/web:2")))
    unpacked(world, archive, tmp_path / "sent")
    names = {name for name, text in files(tmp_path / "sent" / "root").items() if text != "/"}
    assert names == {"bin/web", "share/only2/file"}  # a whiteout is a device
    assert "share/same" not in names


def test_a_new_service_lies_over_the_root_that_has_most_of_it(
    world: PictureWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    more = SYSTEM.replace("volumes:", '  - {name: more, image: "acme/web:2"}\nvolumes:')
    with Contents(world.store.root) as contents:
        archive, lower = service_archive(
            world.picture(), world.picture(more), "more", PLACE, same_nodes(contents)
        )
    assert lower == "/containers/services/web/lower"
    unpacked(world, archive, tmp_path / "sent")
    assert not (tmp_path / "sent/root/share/same").exists()
    assert (tmp_path / "sent/root/bin/web").read_text() == "web 2"
    monkeypatch.setattr("compos.develop.delta.MOST", 0)
    world.image("acme/else:1", [[Member("alone", content="1")]], {"Entrypoint": ["/alone"]})
    other = SYSTEM.replace("volumes:", '  - {name: more, image: "acme/else:1"}\nvolumes:')
    with Contents(world.store.root) as contents:
        archive, lower = service_archive(
            world.picture(), world.picture(other), "more", PLACE, same_nodes(contents)
        )
    assert lower == f"{PLACE}/lower"
    unpacked(world, archive, tmp_path / "other")
    assert (tmp_path / "other/lower").is_dir()
    assert files(tmp_path / "other/root")["alone"] == "1"


def test_the_plan_is_the_services_in_its_place(world: PictureWorld, tmp_path: Path) -> None:
    edited = SYSTEM.replace('"acme/web:1"', '"acme/web:1", env: [A=b], readonly: true')
    archive, _ = sent(world, world.picture(), world.picture(edited))
    unpacked(world, archive, tmp_path / "sent")
    lines = (tmp_path / "sent" / "plan").read_text().splitlines()
    assert lines[:3] == [
        "compos-plan\t1",
        "stage\tservices",
        f"container\tweb\t{PLACE}\tservices.linuxkit",
    ]
    assert f"mount\toverlay\t{PLACE}/rootfs\toverlay\tlowerdir={PLACE}/root:" in "\n".join(lines)
    # Where the string stands that init replaces, in the configuration that is sent.
    offset, length = next(map(int, line.split("\t")[1:]) for line in lines if "rootpath" in line)
    config = (tmp_path / "sent" / "config.json").read_bytes()
    assert config[offset : offset + length] == b'"rootfs"'
    # A profile that the guest does not have comes along.
    seccomp = next(line.split("\t")[2] for line in lines if line.startswith("seccomp"))
    assert seccomp.startswith(("/etc/compos/seccomp/", PLACE))


def test_files_of_the_root(world: PictureWorld, tmp_path: Path) -> None:
    (tmp_path / "srv/www").mkdir(parents=True)
    (tmp_path / "srv/www/old.html").write_text("old")
    new = world.picture(SYSTEM.replace("old.html, contents: old", "new.html, contents: new"))
    unpacked(world, files_archive(new, ["srv/www/new.html", "srv/www/old.html"]), tmp_path, "apart")
    assert files(tmp_path / "srv" / "www") == {"new.html": "new"}
