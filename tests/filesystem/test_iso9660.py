"""ISO 9660 with Rock Ridge, Joliet and El Torito, against xorriso and isoinfo."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from compos.filesystem.iso9660 import BootImage, IsoLayout
from compos.tree.contents import Contents
from compos.tree.node import BLOCK, CHARACTER, DIRECTORY, FILE, SYMLINK, Hole, Node, directory, file
from tests.filesystem.trees import Seen, described, sample, trees, walked

SECOND = 10**9
Entries = list[tuple[str, Node]]


def write(layout: IsoLayout, path: Path, store: Path, **more: bytes) -> Path:
    with path.open("wb") as out, Contents(store) as contents:
        size = contents.copy(layout.pieces(filled=more), out.fileno(), sparse=True)
    assert size == layout.size == path.stat().st_size
    return path


def xorriso(*arguments: str) -> str:
    # What lies below /dev, as a test's folder may, it takes for a drive, unless it is told.
    done = subprocess.run(
        ["xorriso", "-abort_on", "WARNING", *arguments],
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def extracted(image: Path, folder: Path) -> dict[str, Seen]:
    """What xorriso finds, laid down in a folder."""
    xorriso("-osirrox", "on:device_files", "-indev", f"stdio:{image}", "-extract", "/", str(folder))
    return alike(walked(folder, tick=SECOND, xattrs=False))


def expected(entries: Entries, store: Path) -> dict[str, Seen]:
    return alike(described(entries, store, tick=SECOND, xattrs=False))


def common(entries: Entries) -> Entries:
    """`entries` without what xorriso does not restore: devices, and links with a part of over 255
    bytes. Linux reads names of 253 bytes."""
    return sorted(
        ("/".join(name[:253] for name in path.split("/")), node._replace(link=node.link[:200]))
        for path, node in entries
        if node.kind not in (BLOCK, CHARACTER) or path == "dev/null"
    )


def alike(found: dict[str, Seen]) -> dict[str, Seen]:
    """Without hard links, which the format has not, and links' times and owners, which xorriso does
    not restore."""
    plain = {path: seen._replace(links=frozenset()) for path, seen in found.items()}
    return {
        path: seen._replace(mtime=0, owner=(0, 0)) if seen.kind == SYMLINK else seen
        for path, seen in plain.items()
    }


@pytest.mark.root
def test_one_of_everything(tmp_path: Path) -> None:
    entries = common(sample(tmp_path))
    image = write(IsoLayout(entries, volume="COMPOS"), tmp_path / "x.iso", tmp_path)
    assert extracted(image, tmp_path / "out") == expected(entries, tmp_path)
    told = subprocess.run(
        ["isoinfo", "-d", "-i", image], capture_output=True, text=True, check=True
    ).stdout
    assert "Volume id: COMPOS" in told
    assert "Joliet with UCS level 3 found" in told
    assert "Rock Ridge signatures" in told
    joliet = subprocess.run(
        ["isoinfo", "-J", "-f", "-i", image], capture_output=True, check=True
    ).stdout
    assert b"_/" + b"n" * 100 in joliet
    assert b"/bin-more" in joliet
    assert b"long-link" not in joliet
    plain = subprocess.run(
        ["isoinfo", "-f", "-i", image], capture_output=True, text=True, check=True
    ).stdout
    assert "/BIN/BUSY.;1" in plain


@pytest.mark.root
@settings(
    max_examples=30, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck)
)
@given(st.data())
def test_generated(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    store = tmp_path_factory.mktemp("iso")
    entries = common(data.draw(trees(store)))
    image = write(IsoLayout(entries, volume="X"), store / "x.iso", store)
    assert extracted(image, store / "out") == expected(entries, store)


@pytest.mark.root
def test_long_links_and_deep_folders(tmp_path: Path) -> None:
    entries: Entries = [("/".join("d" * depth), directory(0o755, SECOND)) for depth in range(1, 40)]
    links = [
        "/",
        "..",
        "../../x/y",
        "/" + "/".join(["part" * 20] * 12),
        "a" * 255 + "/" + "b" * 255,
        ".",
    ]
    entries += [
        (f"link{number}", Node(SYMLINK, 0o777, mtime=SECOND, link=link))
        for number, link in enumerate(links)
    ]
    image = write(IsoLayout(sorted(entries), volume="X"), tmp_path / "x.iso", tmp_path)
    assert extracted(image, tmp_path / "out") == expected(entries, tmp_path)


@pytest.mark.slow
def test_wide_and_large(tmp_path: Path) -> None:
    entries: Entries = [("many", directory(0o755, SECOND))]
    entries += [
        (f"many/{'same beginning ' * 3}{number:06}", file(b"", 0o644, SECOND))
        for number in range(20_000)
    ]
    # Two extents: the second one begins behind the first one's 4 GiB - 2 KiB.
    entries.append(
        (
            "sparse",
            Node(FILE, 0o644, mtime=SECOND, size=5 << 30, content=(Hole((5 << 30) - 3), b"end")),
        )
    )
    image = write(IsoLayout(entries, volume="X"), tmp_path / "x.iso", tmp_path)
    assert image.stat().st_blocks * 512 < 20 << 20, "holes take no space"
    listing = subprocess.run(
        ["xorriso", "-indev", f"stdio:{image}", "-find", "/", "-exec", "lsdl"],
        capture_output=True,
        text=True,
        check=True,
    )
    lines = listing.stdout.splitlines()
    assert len(lines) == 20_003
    assert f" {5 << 30} " in next(line for line in lines if "sparse" in line)
    xorriso(
        "-osirrox",
        "on",
        "-indev",
        f"stdio:{image}",
        "-extract",
        "/sparse",
        str(tmp_path / "sparse"),
    )
    with (tmp_path / "sparse").open("rb") as stream:
        stream.seek((5 << 30) - 5)
        assert stream.read() == b"\0\0end"
    (tmp_path / "sparse").unlink()


def test_boot_catalogue(tmp_path: Path) -> None:
    loader = file(b"B" * 2048, 0o644, SECOND)
    esp = file(b"E" * 40_960, 0o644, SECOND)
    entries = [
        ("boot", Node(DIRECTORY, 0o755, mtime=SECOND)),
        ("boot/loader", loader),
        ("esp.img", esp),
    ]
    boot = [BootImage(0x00, "boot/loader", 4), BootImage(0xEF, "esp.img", 0)]
    layout = IsoLayout(entries, volume="X", boot=boot)
    image = tmp_path / "x.iso"
    with image.open("wb") as out, Contents(tmp_path) as contents:
        contents.copy(layout.pieces(filled={"boot/loader": b"L" * 2048}), out.fileno())
    told = subprocess.run(
        ["xorriso", "-indev", f"stdio:{image}", "-report_el_torito", "plain"],
        capture_output=True,
        text=True,
        check=True,
    )
    lines = [
        line.split() for line in told.stdout.splitlines() if line.startswith("El Torito boot img")
    ]
    assert [line[6] for line in lines] == ["BIOS", "UEFI"]
    assert [line[7:10] for line in lines] == [["y", "none", "0x0000"], ["y", "none", "0x0000"]]
    assert int(lines[0][-1]) * 2048 == layout.starts["boot/loader"]
    assert int(lines[1][-1]) * 2048 == layout.starts["esp.img"]
    assert image.read_bytes()[layout.starts["boot/loader"] :][:2048] == b"L" * 2048


def test_the_same_twice_and_known_bytes(tmp_path: Path) -> None:
    entries = common(sample(tmp_path))
    one, two = (
        write(IsoLayout(entries, volume="COMPOS"), tmp_path / name, tmp_path).read_bytes()
        for name in "ab"
    )
    assert one == two
    assert one[16 * 2048 :][:8] == b"\x01CD001\x01\x00"
    assert one[16 * 2048 + 40 :][:32] == b"COMPOS".ljust(32)
    assert one[16 * 2048 + 813 :][:17] == b"2017041816300000\0"
    assert one[17 * 2048 :][:7] == b"\x02CD001\x01"
    assert one[17 * 2048 + 88 :][:3] == b"%/E"
