"""What changes between two systems: none between a YAML and what was built of it, whatever the
format; and each kind of change where it is made. GNU tar and cpio make the other archives."""

from __future__ import annotations

import hashlib
import json
import os
import random
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import pytest

from compos.api.last_build import last_build
from compos.api.outputs import facts_of_output
from compos.cli.main import main
from compos.errors import ComposError, OutputError
from compos.report.archives import initramfs_files, tar_files
from compos.report.facts import FileFact, described, flattened, part_of
from tests.compose.systems import World
from tests.images import Member, layer_tar, make_image
from tests.output.bootable import YAML, bzimage, filled

SYSTEM = YAML.replace(", ucode: ucode.cpio", "")
FORMATS = {
    "tar": "os.tar",
    "kernel+initrd": "os",
    "uki": "os.efi",
    "raw-efi": "os-efi.img",
    "qcow2-efi": "os-efi.qcow2",
    "raw-bios": "os-bios.img",
    "kernel+squashfs": "os-squashfs.img",
    "kernel+erofs": "os-erofs.img",
    "iso-bios": "os.iso",
    "iso-efi": "os-efi.iso",
    "vhdx": "os.vhdx",
    "dynamic-vhd": "os.vhd",
    "vmdk": "os.vmdk",
    "ova": "os.ova",
    "gcp": "os.img.tar.gz",
}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> World:
    """A system in every format that can be read again."""
    world = filled(World(tmp_path_factory.mktemp("built")))
    (world.folder / "os.yml").write_text(SYSTEM)
    for formats in ("tar", ",".join(name for name in FORMATS if name != "tar")):
        build(world, "os.yml", formats)
    return world


def build(world: World, source: str, formats: str) -> None:
    line = ["build", *world.flags, "--dir", str(world.folder), "-f", formats]
    assert main([*line, str(world.folder / source)]) == 0


def differs(world: World, *arguments: str) -> tuple[int, dict[str, Any]]:
    """The exit status with --exit-code, and the document."""
    from click.testing import CliRunner

    from compos.cli.main import cli

    line = ["diff", "--json", "--exit-code", *world.flags]
    paths = [str(world.folder / one) for one in arguments]
    done = CliRunner().invoke(cli, [*line, *paths], standalone_mode=False, catch_exceptions=False)
    return done.return_value, json.loads(done.stdout)


@pytest.mark.parametrize("format", FORMATS)
def test_a_yaml_and_its_output_are_the_same(built: World, format: str) -> None:
    status, found = differs(built, "os.yml", FORMATS[format])
    notes = found.pop("notes")
    assert (status, {name for name in found if found[name]}) == (0, set()), found
    assert all("boot/" in note for note in notes)


@pytest.mark.parametrize("format", FORMATS)
def test_the_last_build_is_found(built: World, format: str) -> None:
    found = last_build(built.folder / "os", (format,))
    assert found
    name = FORMATS[format] if format != "kernel+initrd" else "os-initrd.img"
    assert (found.output.name, found.formats) == (name, (format,))


def test_an_initrd_alone_has_no_kernel(built: World) -> None:
    status, found = differs(built, "os.yml", "os-initrd.img")
    assert (status, found["files"]) == (0, [])
    assert any("boot/" in note for note in found["notes"])


def test_every_kind_of_change(built: World) -> None:
    text = SYSTEM.replace("ttyS0", "ttyS1").replace("mode: '0644'", "mode: '0600', uid: 7")
    text = text.replace("acme/app:1'}", "acme/app:1', capabilities: [CAP_SYS_ADMIN]}")
    text += "  - {path: new, contents: more}\n"
    (built.folder / "new.yml").write_text(text)
    status, found = differs(built, "os.yml", "new.yml")
    assert status == 2
    files = {one["path"]: one for one in found["files"]}
    assert files["etc/motd"]["what"] == ["mode 0644 → 0600", "owner 0:0 → 7:0"]
    assert files["new"] == {"path": "new", "before": None, "after": 4, "what": []}
    assert files["boot/cmdline"]["what"] == ["contents"]
    settings = {one["name"]: (one["before"], one["after"]) for one in found["settings"]}
    assert settings["kernel.cmdline"] == (
        'console=ttyS0 quote="a b"',
        'console=ttyS1 quote="a b"',
    )
    assert settings["services[web].capabilities[0]"] == (None, "CAP_SYS_ADMIN")
    powers = {one["name"]: (one["before"], one["after"]) for one in found["powers"]}
    assert powers["services[web]: capabilities"] == (None, "CAP_SYS_ADMIN")
    assert powers["services[web]: masked paths"] == ("11", "0")
    sizes = {one["part"]: one["after"] - one["before"] for one in found["sizes"]}
    assert sizes["files"] == 4
    build(built, "new.yml", "tar")
    status, outputs = differs(built, "os.tar", "new.tar")
    assert status == 2
    assert outputs["powers"] == found["powers"]
    assert outputs["files"] == found["files"]
    assert {one["name"] for one in outputs["settings"]} == {"kernel.cmdline"}


def test_packages(tmp_path: Path) -> None:
    """Of the SBOM, in both of its forms."""

    def spdx(version: str) -> bytes:
        purl = f"pkg:deb/debian/zlib@{version}"
        reference = {"referenceType": "purl", "referenceLocator": purl}
        packages = [
            {"SPDXID": "i", "name": "acme/app", "primaryPackagePurpose": "CONTAINER"},
            {"SPDXID": "p", "name": "zlib", "versionInfo": version, "externalRefs": [reference]},
        ]
        relation = {
            "spdxElementId": "i",
            "relationshipType": "CONTAINS",
            "relatedSpdxElement": "p",
        }
        document = {"spdxVersion": "SPDX-2.3", "packages": packages, "relationships": [relation]}
        return json.dumps(document).encode()

    parts = [
        {"type": "library", "name": "zlib", "version": "2", "purl": "pkg:deb/debian/zlib@2"},
        {"type": "container", "name": "acme/app"},
    ]
    cyclonedx = json.dumps({"bomFormat": "CycloneDX", "components": parts}).encode()
    one = described("one", {}, {"sbom.spdx.json": spdx("1")})
    assert one.packages == (("deb", "zlib", "1", ("acme/app",)),)
    two = described("two", {}, {"sbom.cdx.json": cyclonedx})
    assert [package[:3] for package in two.packages] == [("deb", "zlib", "2")]


@pytest.mark.parametrize(
    "document",
    [b"", b"[]", b"{", b"nul", b'{"spdxVersion": 1, "packages": {}}', b'{"components": [1, {}]}',
     b'{"process": [], "linux": 7, "mounts": [3], "root": []}', b"[" * 100_000],
)  # fmt: skip
def test_documents_that_say_nothing(document: bytes) -> None:
    paths = ("sbom.spdx.json", "containers/services/a/config.json", "etc/compos/plan")
    facts = described("x", {}, dict.fromkeys(paths, document))
    assert facts.packages == ()


def test_the_part_that_a_path_belongs_to() -> None:
    assert part_of("containers/onboot/000-one/rootfs/a") == "onboot[one]"
    assert part_of("containers/services/web/config.json") == "services[web]"
    assert part_of("lib/modules/6.1/x.ko") == "kernel"
    assert part_of("etc/motd") == "root"


def test_values_are_named_by_their_entries() -> None:
    document = {"services": [{"name": "a", "binds": ["x", "y"]}], "init": [], "secure": True}
    assert flattened(json.dumps(document)) == {
        "services[a].name": "a",
        "services[a].binds[0]": "x",
        "services[a].binds[1]": "y",
        "init": "[]",
        "secure": "true",
    }


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Files of every kind."""
    root = tmp_path / "root"
    (root / "etc").mkdir(parents=True)
    (root / "etc/a").write_text("contents")
    (root / "etc/b").hardlink_to(root / "etc/a")
    (root / "etc/link").symlink_to("a")
    (root / "etc/run").write_text("#!")
    (root / "etc/run").chmod(0o4755)
    return root


def cpio(folder: Path) -> bytes:
    names = subprocess.run(["find", "."], cwd=folder, capture_output=True, check=True).stdout
    line = ["cpio", "-o", "-H", "newc", "--quiet"]
    return subprocess.run(line, cwd=folder, input=names, capture_output=True, check=True).stdout


def test_archives_of_gnu_cpio_and_tar(folder: Path, tmp_path: Path) -> None:
    subprocess.run(["tar", "-cf", tmp_path / "a.tar", "-C", folder, "."], check=True)
    tar = tar_files(tmp_path / "a.tar").facts
    initrd = initramfs_files(iter([cpio(folder)])).facts
    without = {path: fact._replace(xattrs=None) for path, fact in tar.items()}
    assert without == initrd
    assert initrd["etc/a"].digest == initrd["etc/b"].digest != ""
    assert (initrd["etc/link"].kind, initrd["etc/link"].link) == ("l", "a")
    assert initrd["etc/run"].mode == 0o4755


@pytest.mark.parametrize("name", ["../../etc/a", "/etc/a"])
def test_nothing_leads_out_of_the_root(tmp_path: Path, name: str) -> None:
    (tmp_path / "a.tar").write_bytes(layer_tar([Member(name, content="x")]))
    assert [*tar_files(tmp_path / "a.tar").facts] == ["etc/a"]


def header(**fields: int) -> bytes:
    names = ("ino", "mode", "uid", "gid", "nlink", "mtime", "size", "a", "b", "c", "d", "name")
    values = {"mode": 0o100644, "nlink": 1, "name": 2, **fields}
    return b"070701" + b"".join(b"%08x" % values.get(name, 0) for name in (*names, "check"))


@pytest.mark.parametrize(
    "data",
    [
        header(name=0) + b"a\0",
        header(name=5000) + b"a" * 5000,
        header(size=1 << 31) + b"a\0",
        header(mode=0) + b"a\0",
        header(mode=0o120777, size=5000) + b"a\0" + b"t" * 5000,
        header(mode=0o120777) + b"a\0",
        header()[:-20],
        header().replace(b"00000001", b"-0000001") + b"a\0",
        b"rubbish",
    ],
)
def test_damaged_initramfs(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "x-initrd.img").write_bytes(data)
    with pytest.raises(OutputError, match="output-unreadable"):
        facts_of_output(tmp_path / "x")


@pytest.mark.parametrize("format", FORMATS)
def test_noise_in_an_output_is_an_error_or_is_read(
    built: World, tmp_path: Path, format: str
) -> None:
    """Never anything but an error with an id."""
    name = FORMATS[format] if format != "kernel+initrd" else "os-initrd.img"
    data = (built.folder / name).read_bytes()[: 8 << 20]
    noise = random.Random(19)
    path = tmp_path / name
    for number in range(12):
        damaged = bytearray(data)
        if number % 2:
            del damaged[noise.randrange(len(damaged)) :]
        else:
            for _ in range(20):
                damaged[noise.randrange(4096)] = noise.randrange(256)
        path.write_bytes(damaged)
        try:
            facts_of_output(path)
        except ComposError as error:
            found = error.id
        else:
            found = ""
        assert found in ("", "output-unreadable")


def test_what_is_no_output(tmp_path: Path, built: World) -> None:
    (tmp_path / "kernel").write_bytes(bzimage())
    with pytest.raises(OutputError, match="without an initrd"):
        facts_of_output(tmp_path / "kernel")
    with pytest.raises(OutputError, match="output-missing"):
        facts_of_output(tmp_path / "none")


@pytest.mark.slow
@pytest.mark.parametrize("format", ["raw-efi", "raw-bios", "qcow2-efi", "iso-bios", "iso-efi"])
def test_a_disk_with_its_root_on_a_partition(built: World, tmp_path: Path, format: str) -> None:
    roots = ["squashfs", "erofs", "ext4"]
    if "bios" not in format:
        roots += ["erofs-verity", "squashfs-verity"]
    for root in roots:
        line = ["build", *built.flags, "--dir", str(tmp_path), "-f", format, "--root", root]
        assert main([*line, str(built.folder / "os.yml")]) == 0
        status, found = differs(built, "os.yml", str(tmp_path / FORMATS[format]))
        changed = {one["path"] for one in found["files"]}
        # Its initrd has to know where the root is.
        assert changed <= {"boot/cmdline"}, (root, status, found)


@pytest.fixture
def varied(folder: Path) -> Path:
    """Files of all sizes around a block's, holes, many names, a pipe."""
    noise = random.Random(7)
    for size in (0, 1, 4095, 4096, 4097, 131072, 131073, 1 << 20, 3_000_001):
        (folder / f"size-{size}").write_bytes(noise.randbytes(size // 2) + bytes(size - size // 2))
    with (folder / "sparse").open("wb") as stream:
        stream.truncate(5 << 20)
        stream.seek(2 << 20)
        stream.write(b"in the middle")
    (folder / "many").mkdir()
    for number in range(700):
        (folder / "many" / f"{number:03}-{'n' * (number % 200)}").touch()
    os.mkfifo(folder / "pipe")
    return folder


def require_same(image: Path, folder: Path, devices: set[str]) -> dict[str, FileFact]:
    """The image has what is in the folder, all of it root's, and these devices."""
    found = facts_of_output(image).files
    for path, fact in found.items():
        if path in devices:
            continue
        real = folder / path
        assert fact.mode == real.lstat().st_mode & 0o7777, path
        assert (fact.uid, fact.gid) == (0, 0)
        if real.is_file() and not real.is_symlink():
            assert fact.size == real.stat().st_size
            assert fact.digest == hashlib.sha256(real.read_bytes()).hexdigest(), path
        assert fact.link == (str(real.readlink()) if real.is_symlink() else "")
    expected = {str(path.relative_to(folder)) for path in folder.rglob("*")}
    assert {*found} == expected | devices
    return dict(found)


@pytest.mark.parametrize(
    "options",
    [
        ["-comp", "gzip"], ["-comp", "xz"], ["-comp", "zstd"],
        ["-noI", "-noD", "-noF"], ["-no-fragments", "-b", "4096"],
        ["-always-use-fragments", "-b", "1M"], ["-noI", "-comp", "zstd", "-nopad"],
    ],
    ids=" ".join,
)  # fmt: skip
def test_what_mksquashfs_makes(varied: Path, tmp_path: Path, options: list[str]) -> None:
    image = tmp_path / "image"
    line = ["mksquashfs", str(varied), str(image), "-quiet", "-no-progress", "-all-root"]
    line += ["-p", "null c 666 0 0 1 3", "-p", "disk b 640 3 4 8 1000", *options]
    subprocess.run(line, check=True, capture_output=True)
    found = require_same(image, varied, {"null", "disk"})
    assert (found["null"].kind, found["null"].device, found["null"].mode) == ("c", (1, 3), 0o666)
    assert (found["disk"].mode, found["disk"].device) == (0o640, (8, 1000))


@pytest.mark.parametrize(
    "options",
    [
        [], ["-Eforce-inode-compact"], ["-Eforce-inode-extended"], ["-Enoinline_data"],
        ["--chunksize=4096"], ["--chunksize=65536"], ["-Eforce-chunk-indexes", "--chunksize=4096"],
        ["-x-1"],
    ],
    ids=lambda options: " ".join(options) or "plain",
)  # fmt: skip
def test_what_mkfs_erofs_makes(varied: Path, options: list[str]) -> None:
    # On a tmpfs mkfs.erofs 1.5 cannot make chunks.
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        image = Path(folder) / "image"
        line = ["mkfs.erofs", "--all-root", *options, str(image), str(varied)]
        subprocess.run(line, check=True, capture_output=True)
        require_same(image, varied, set())


@pytest.mark.slow
def test_an_erofs_that_is_compressed_otherwise(varied: Path, tmp_path: Path) -> None:
    line = ["mkfs.erofs", "-zlz4hc", str(tmp_path / "image"), str(varied)]
    subprocess.run(line, check=True, capture_output=True)
    with pytest.raises(OutputError, match="not read"):
        facts_of_output(tmp_path / "image")


def test_on_a_terminal(built: World, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Names that would move the cursor are shown as escapes; long sections are cut."""
    evil = [Member(f"{number:03}\x1b[31m", content="x") for number in range(50)]
    make_image(built.store, "acme/evil:1", [evil])
    text = SYSTEM.replace("acme/init:1'", "acme/init:1', 'acme/evil:1'")
    (tmp_path / "evil.yml").write_text(text)
    capsys.readouterr()
    line = ["diff", *built.flags, str(built.folder / "os.yml"), str(tmp_path / "evil.yml")]
    assert main(line) == 0
    printed = capsys.readouterr().out
    assert "\x1b" not in printed.replace("\x1b[0m", "").replace("\x1b[1m", "")
    assert "+ 000\\x1b[31m  1" in printed
    assert "more (--all)" in printed
    assert main([*line, "--all"]) == 0
    assert "049\\x1b[31m" in capsys.readouterr().out
    assert main(["diff", *built.flags, *[str(built.folder / "os.yml")] * 2]) == 0
    assert capsys.readouterr().out == "no difference\n"
