"""Installers: what their program writes from the payload is what the format `raw` writes for a disk
of that size; and what it does not touch."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from compos.api.keys import new_keys
from hatch_build import compile_program
from tests.compose.systems import World
from tests.output.bootable import YAML, filled
from tests.output.test_build import unpacked as unpacked_initrd
from tests.output.test_formats import build

pytestmark = pytest.mark.slow

MIB = 1 << 20
ZSTD = b"\x28\xb5\x2f\xfd"
"""The magic number."""
SLOTS = YAML + "slots: {boot: 8m, system: 4m}\n"
INSTALL = "install: {disk: smallest, min_size: 40m, unattended: true, then: poweroff}\n"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return filled(World(tmp_path_factory.mktemp("world")))


def unpacked(iso: Path, folder: Path) -> Path:
    """The installer's root."""
    data = iso.read_bytes()
    folder.mkdir(exist_ok=True)
    (at,) = (found.start() for found in re.finditer(b"hsqs", data) if found.start() % 2048 == 0)
    out = folder / "root"
    command = ["unsquashfs", "-no-progress", "-offset", str(at), "-d", str(out), str(iso)]
    subprocess.run(command, check=True, capture_output=True)
    return out


@pytest.fixture(scope="module")
def root(world: World) -> Path:
    made = build(world, "-f", "installer", "--root", "erofs-verity", yaml=YAML + INSTALL)
    return unpacked(made / "os-installer.iso", world.folder)


def copied(root: Path, folder: Path) -> Path:
    """What its program reads of the root."""
    for name in ("payload", "etc/install"):
        shutil.copytree(root / name, folder / "bad" / name)
    return folder / "bad"


def install(root: Path, *words: str | Path, cmdline: str = "") -> subprocess.CompletedProcess[str]:
    """The brick's program on a file."""
    program = compile_program("installer", "amd64")
    line = root.parent / "cmdline"
    line.write_text(cmdline)
    options = ["-payload", root / "payload", "-rules", root / "etc/install/rules", "-cmdline", line]
    command = [str(word) for word in (program, *options, *words)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def disk(folder: Path, size: int) -> Path:
    path = folder / "disk"
    path.write_bytes(b"")
    os.truncate(path, size)
    return path


@pytest.mark.parametrize("yaml", [YAML, SLOTS], ids=["plain", "slots"])
@pytest.mark.parametrize("kind", ["initrd", "erofs-verity"])
def test_it_writes_what_the_disk_formats_write(
    yaml: str, kind: str, world: World, tmp_path: Path
) -> None:
    options = ("--root", kind)
    made = build(world, "-f", "installer", *options, yaml=yaml) / "os-installer.iso"
    root = unpacked(made, tmp_path)
    for size in (64, 200):
        target = disk(tmp_path, size * MIB)
        done = install(root, target)
        assert done.returncode == 0, done.stderr
        wanted = build(world, "-f", "raw", "--size", f"{size}M", *options, yaml=yaml) / "os.img"
        assert subprocess.run(["cmp", target, wanted], check=False).returncode == 0
        told = subprocess.run(["sfdisk", "--verify", target], capture_output=True, check=False)
        assert told.returncode == 0, told


def test_a_disk_of_any_number_of_sectors(root: Path, tmp_path: Path) -> None:
    target = disk(tmp_path, 77 * MIB + 512 * 3)
    assert install(root, target).returncode == 0
    told = subprocess.run(
        ["sgdisk", "--verify", target], capture_output=True, text=True, check=True
    )
    assert "No problems found" in told.stdout


def test_what_was_between_is_gone(root: Path, tmp_path: Path) -> None:
    """A disk that is erased has nothing of an older system where the new one has nothing."""
    clean, used = tmp_path / "clean", disk(tmp_path, 64 * MIB)
    shutil.copyfile(used, clean)
    assert install(root, clean).returncode == 0
    used.write_bytes(b"old" * (64 * MIB // 3) + b"o")
    done = install(root, used, cmdline=f"quiet compos.install.erase={used}\n")
    assert done.returncode == 0, done.stderr
    end = 16 * MIB
    assert used.read_bytes()[:end] == clean.read_bytes()[:end]


def occupied(kind: str, path: Path) -> None:
    commands = {
        "MBR": ["sfdisk", "--quiet", str(path)],
        "GPT": ["sfdisk", "--quiet", str(path)],
        "ext4": ["mkfs.ext4", "-q", "-F", str(path)],
        "LUKS2": ["cryptsetup", "-q", "luksFormat", "--pbkdf-memory=32", "--pbkdf-parallel=1"],
        "LVM": ["pvcreate", "-q", "--devices", str(path), str(path)],
    }
    tables = {"MBR": "label: dos\nsize=8M\n", "GPT": "label: gpt\nsize=8M\n"}
    if kind == "data of an unknown kind":
        with path.open("r+b") as stream:
            stream.seek(-5000, os.SEEK_END)
            stream.write(b"somebody's")
    elif kind == "LUKS2":
        key = ["--pbkdf-force-iterations=4", str(path), "-"]
        subprocess.run([*commands[kind], *key], input=b"secret", check=True)
    else:
        command = commands[kind]
        subprocess.run(command, input=tables.get(kind, "").encode(), check=True)


@pytest.mark.parametrize("kind", ["MBR", "GPT", "ext4", "LUKS2", "data of an unknown kind"])
def test_a_disk_with_data_is_left_alone(kind: str, root: Path, tmp_path: Path) -> None:
    target = disk(tmp_path, 64 * MIB)
    occupied(kind, target)
    before = hashlib.sha256(target.read_bytes()).digest()
    done = install(root, target)
    assert done.returncode == 1
    assert kind in done.stderr
    assert "nothing is changed" in done.stderr
    assert hashlib.sha256(target.read_bytes()).digest() == before


def test_a_disk_that_is_too_small(root: Path, tmp_path: Path) -> None:
    target = disk(tmp_path, 39 * MIB)
    done = install(root, target)
    assert done.returncode == 1
    assert "too small: 40 MiB are needed" in done.stderr
    assert not any(target.read_bytes())


def test_a_damaged_medium(root: Path, tmp_path: Path) -> None:
    """The disk says that it is unfinished, and the next installation takes it."""
    bad = copied(root, tmp_path)
    data = bad / "payload/data"
    with data.open("r+b") as stream:
        stream.seek(data.stat().st_size - 5000)
        byte = stream.read(1)
        stream.seek(-1, os.SEEK_CUR)
        stream.write(bytes((byte[0] ^ 1,)))
    target, wanted = disk(tmp_path, 64 * MIB), tmp_path / "wanted"
    shutil.copyfile(target, wanted)
    done = install(bad, target)
    assert done.returncode == 1
    assert "the installer's medium is damaged" in done.stderr
    assert target.read_bytes()[450] == 0xDA
    assert install(root, target).returncode == 0
    assert install(root, wanted).returncode == 0
    assert target.read_bytes() == wanted.read_bytes()


@pytest.mark.parametrize(
    ("was", "becomes"),
    [
        ("compos-disk\t1", "compos-disk\t2"),
        ("\npart\t0\t", "\npart\t512\t"),
        ("\npart\t0\t", "\npart\t0\t-"),
        ("\npart\t0\t", "\npart\t0\t1\n"),
        ("\nsize\t", "\nsize\t1\nsized\t"),
    ],
)
def test_lists_of_parts_that_are_refused(
    was: str, becomes: str, root: Path, tmp_path: Path
) -> None:
    bad = copied(root, tmp_path)
    parts = bad / "payload/parts"
    parts.write_text(parts.read_text().replace(was, becomes, 1))
    target = disk(tmp_path, 64 * MIB)
    done = install(bad, target)
    assert done.returncode == 1
    assert "its list of parts is" in done.stderr
    assert not any(target.read_bytes())


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("compos.install=now", "neither auto nor ask"),
        ("compos.install.then=sleep", "none of wait, poweroff, reboot"),
        ("compos.install.disc=sda", "disc is no rule"),
        (f"compos.install.disk={'x' * 300}", "longer than 255 characters"),
    ],
)
def test_command_lines_that_are_refused(
    line: str, message: str, root: Path, tmp_path: Path
) -> None:
    done = install(root, disk(tmp_path, 64 * MIB), cmdline=line)
    assert done.returncode == 1
    assert message in done.stderr


def test_from_the_network(root: Path, world: World, tmp_path: Path) -> None:
    """The same files, in an initrd; the program starts with the same kernel and initrd."""
    options = ("-f", "installer-netboot", "--root", "erofs-verity")
    made = build(world, *options, yaml=YAML + INSTALL)
    names = {path.name for path in made.iterdir()}
    assert names == {f"os-installer{end}" for end in (".efi", "-kernel", "-initrd.img", "-cmdline")}
    initrd = (made / "os-installer-initrd.img").read_bytes()
    # The world's microcode stands in front.
    files = unpacked_initrd(initrd[initrd.index(ZSTD) :], tmp_path / "initrd")
    for name in ("payload/parts", "payload/data", "etc/install/rules"):
        assert files[name][1] == (root / name).read_bytes()
    assert initrd in (made / "os-installer.efi").read_bytes()


def test_another_name_is_in_another_installer(root: Path, world: World, tmp_path: Path) -> None:
    made = build(world, "-f", "installer", "--root", "erofs-verity", yaml=YAML + INSTALL)
    assert "name\tos\n" in (root / "payload/parts").read_text()
    options = ("-f", "installer", "--root", "erofs-verity", "--name", "gateway")
    made = build(world, *options, yaml=YAML + INSTALL) / "gateway-installer.iso"
    assert "name\tgateway\n" in (unpacked(made, tmp_path) / "payload/parts").read_text()


@pytest.fixture(scope="module")
def encrypted(world: World) -> Path:
    """The root of an installer that encrypts roots."""
    keys = world.folder / "keys"
    new_keys(keys)
    yaml = YAML + "slots: {boot: 8m, system: 4m, encrypt: tpm, recovery: false}\n"
    options = ("-f", "installer", "--root", "erofs-verity", "--keys", str(keys))
    (world.folder / "encrypted").mkdir()
    made = build(world, *options, yaml=yaml)
    return unpacked(made / "os-installer.iso", world.folder / "encrypted")


def test_partitions_that_are_encrypted(encrypted: Path) -> None:
    """Both have a line; the parts are as they are on a disk that is not encrypted."""
    lines = [line.split("\t") for line in (encrypted / "payload/parts").read_text().splitlines()]
    starts = [20 * MIB, 24 * MIB]
    assert [line[1:] for line in lines if line[0] == "volume"] == [
        [str(start), str(4 * MIB), name, "no"]
        for start, name in zip(starts, ("system-a", "system-b"), strict=True)
    ]
    assert str(starts[0]) in [line[1] for line in lines if line[0] == "part"]


def test_nothing_is_encrypted_for_another_machine(encrypted: Path, tmp_path: Path) -> None:
    target = disk(tmp_path, 64 * MIB)
    done = install(encrypted, target)
    assert done.returncode == 1
    assert "only on the machine that the installer has started" in done.stderr
    assert not any(target.read_bytes())


@pytest.mark.parametrize(
    ("was", "becomes"),
    [
        ("\tsystem-a\t", "\t../../a\t"),
        ("\tsystem-a\t", f"\t{'a' * 32}\t"),
        ("\tsystem-a\tno", "\tsystem-a"),
        (f"volume\t{20 * MIB}\t{4 * MIB}", f"volume\t{20 * MIB}\t{MIB}"),
        (f"volume\t{20 * MIB}\t{4 * MIB}", f"volume\t{20 * MIB}\t{1 << 40}"),
        (f"volume\t{20 * MIB}\t{4 * MIB}", f"volume\t{20 * MIB}\t{MIB + 4096}"),
        (f"volume\t{20 * MIB}\t", f"volume\t{20 * MIB + 4096}\t"),
        (f"volume\t{20 * MIB}\t", "volume\t0\t"),
        (f"volume\t{24 * MIB}\t", f"volume\t{24 * MIB}\t{MIB * 2}\tb\tno\nvolume\t{26 * MIB}\t"),
    ],
)
def test_lists_of_volumes_that_are_refused(
    was: str, becomes: str, encrypted: Path, tmp_path: Path
) -> None:
    bad = copied(encrypted, tmp_path)
    parts = bad / "payload/parts"
    text = parts.read_text()
    assert was in text
    parts.write_text(text.replace(was, becomes, 1))
    target = disk(tmp_path, 64 * MIB)
    done = install(bad, target)
    assert done.returncode == 1
    assert "its list of volumes is damaged" in done.stderr
    assert not any(target.read_bytes())


def test_its_rules(root: Path) -> None:
    assert (root / "etc/install/rules").read_text().splitlines() == [
        "disk\tsmallest",
        f"min-size\t{40 * MIB}",
        "unattended\tyes",
        "then\tpoweroff",
    ]
