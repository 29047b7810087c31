"""The brick update: which bundles of a stick are tried. The stick is a file behind a loop device, in
a mount namespace whose /sys says that it hangs on USB; RAUC and ext4 are the real ones."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from compos.api.keys import new_keys
from tests.bricks.compiler import compile_brick
from tests.compose.systems import World
from tests.machine import unshared
from tests.output.bootable import YAML, filled
from tests.output.test_formats import build

pytestmark = [pytest.mark.root, pytest.mark.slow]

SCRIPT = """
set -e
loop=$(losetup -f --show -r "$1/stick.img")
numbers=$(stat -c '0x%t 0x%T' "$loop")
mount -t tmpfs none /etc
mkdir /etc/update
cp "$1/keys/update.crt" /etc/update/keyring.pem
chmod 644 /etc/update/*
mount -t tmpfs none /run
mount -t tmpfs none /dev
mknod /dev/sdz b $numbers
mknod -m 666 /dev/null c 1 3
mknod -m 666 /dev/urandom c 1 9
mkdir -p "$1/devices/$2/block/sdz" "$1/class"
ln -sfn "$1/devices/$2/block/sdz" "$1/class/sdz"
cd "$1/devices/$2/block/sdz"
echo 7 > diskseq; echo 1000 > size; printf 'PARTNAME=%s\\n' "$3" > uevent
mount --bind "$1/class" /sys/class/block
"$4" $5 && status=0 || status=$?
grep -c /run/update/stick /proc/mounts || true
cd /
umount -l /dev
losetup -d "$loop"
exit $status
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A stick with bundles of several versions, owners and kinds of machines, and rubbish."""
    world = filled(World(tmp_path_factory.mktemp("world")))
    made = world.folder
    made.chmod(0o755)
    bundles = []
    for keys in ("keys", "stranger"):
        new_keys(made / keys)
    given = (
        *(("1.3.0", "acme-gateway", "keys"), ("1.5.0", "acme-gateway", "keys")),
        *(("1.10.0", "acme-gateway", "keys"), ("9.0.0", "acme-gateway", "stranger")),
        ("8.0.0", "acme-other", "keys"),
    )
    for version, kind, keys in given:
        text = f"{YAML}update: {{compatible: {kind}, version: {version}}}\n"
        flags = ("--root", "erofs-verity-appended", "--keys", str(made / keys))
        out = build(world, "-f", "update", *flags, yaml=text)
        bundles.append((out / "os.raucb").rename(made / f"v{version}.raucb"))
    (made / "rubbish.raucb").write_bytes(b"rubbish")
    content = made / "content"
    content.mkdir()
    for path in [*bundles, made / "rubbish.raucb"]:
        path.rename(content / path.name)
    (content / "link.raucb").symlink_to("v1.5.0.raucb")
    line = ["mke2fs", "-q", "-t", "ext4", "-d", str(content), str(made / "stick.img"), "64M"]
    subprocess.run(line, check=True)
    return made


def tried(folder: Path, *, bus: str = "usb1", part: str = "", more: str = "") -> list[str]:
    program = compile_brick("update", driver="stick")
    line = [*unshared("--mount"), "sh", "-c", SCRIPT, "sh", str(folder), bus, part]
    done = subprocess.run(
        [*line, str(program), more], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    *lines, mounts = done.stdout.splitlines()
    assert mounts == "0"
    return lines


def test_the_newest_first_and_no_strangers(folder: Path) -> None:
    names = [f"/run/update/stick/v{version}.raucb" for version in ("1.10.0", "1.5.0", "1.3.0")]
    lines = tried(folder)
    assert lines == ["present", "update: sdz has 3 updates for this machine", *names]
    lines = tried(folder, more="newer")
    assert lines == ["present", "update: sdz has 2 updates for this machine", *names[:2]]


def test_what_is_no_stick(folder: Path) -> None:
    """A disk that stays, and a partition of the disk that the system runs from."""
    assert tried(folder, bus="ata1") == ["nothing"]
    assert tried(folder, part="boot-b") == ["present"]
