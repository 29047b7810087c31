"""Kinds of roots: each is whole, and what nobody has described is refused by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from compos.cli.main import main
from compos.errors import OutputError
from compos.output import root_filesystem
from compos.output.formats import FORMATS, tools
from compos.output.job import INIT
from compos.output.roots import ROOTS, root_named
from tests.compose.systems import World


@pytest.mark.parametrize("name", ROOTS)
def test_a_kind_on_the_medium_has_a_writer_and_drivers(name: str) -> None:
    kind = ROOTS[name]
    assert kind.name == name
    assert (name in root_filesystem._WRITERS) is kind.on_medium is bool(kind.drivers)


def test_an_unknown_kind_is_no_squashfs() -> None:
    with pytest.raises(OutputError, match="root-unknown") as caught:
        root_named("erofs-lz4")
    assert "erofs-zstd" in str(caught.value.hint)


def test_the_images_are_called_as_run_looks_for_them() -> None:
    from compos.run.boot import ROOT_IMAGES

    assert {f"-{name}" for name in ROOT_IMAGES} == {
        kind.image for kind in ROOTS.values() if kind.image
    }


@pytest.mark.parametrize(
    ("formats", "root", "needed"),
    [
        (("raw-efi",), "auto", True),
        (("raw-efi",), "initrd", False),
        (("raw-efi",), "erofs", True),
        (("raw-efi", "kernel+initrd"), "initrd", False),
        (("kernel+squashfs",), "initrd", True),
        (("kernel+iso", "raw-efi"), "initrd", True),
        (("firecracker",), "initrd", True),
    ],
)
def test_the_finder_is_needed_where_a_root_must_be_found(
    formats: tuple[str, ...], root: str, needed: bool
) -> None:
    assert (INIT in tools([FORMATS[name] for name in formats], root)) is needed


def test_the_flag_offers_them_all(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    world = World(tmp_path)
    (tmp_path / "os.yml").write_text("kernel: {image: 'acme/kernel:1'}\n")
    arguments = ["build", "--cache", str(world.store.root), "--root", "none"]
    assert main([*arguments, str(tmp_path / "os.yml")]) == 1
    said = capsys.readouterr().err
    assert all(name in said for name in ("auto", *ROOTS))
