"""What LinuxKit's init, runc and containerd images have, and ours have, too: a row a path.

Source: the reference of LinuxKit's runtime and packages, sections 1, 4.4, 5, 10 and 16; folders are
those of Alpine's base layout, on which its init image is built. Files whose work the boot plan does
are not there: inittab, 000-issue, 005-volumes.
"""

from __future__ import annotations

import io
import subprocess
import zoneinfo
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import pytest

from compos.compose.plan import BUILT_IN
from compos.image.platform import Platform
from compos.image.store import Store
from compos.package.bricks import bricks_folder
from compos.package.build import Builder
from compos.package.debian.mirror import Mirror
from compos.package.recipe import load_recipe
from compos.tree.flatten import image_tree
from compos.tree.node import DIRECTORY, FILE, SYMLINK, Node

FOLDERS = """
    bin etc etc/init.d etc/modprobe.d etc/shutdown.d etc/ssl etc/ssl/certs etc/sysctl.d home media mnt opt run sbin srv
    usr usr/bin usr/local usr/local/bin usr/local/lib usr/local/share usr/sbin usr/share var
"""
MODES = {**dict.fromkeys(FOLDERS.split(), 0o755), "root": 0o700, "tmp": 0o1777}
FILES = {"init": 0o755, "etc/issue": 0o644, "etc/passwd": 0o644, "etc/group": 0o644}
COMMANDS = """
    bin/rc.init bin/rc.shutdown sbin/halt sbin/init sbin/modprobe sbin/poweroff sbin/reboot sbin/usermode-helper
    usr/bin/service
"""
OTHERS = {
    "runc": "usr/bin/runc etc/init.d/010-onboot etc/shutdown.d/010-onshutdown",
    "containerd": """
        usr/bin/containerd usr/bin/containerd-shim-runc-v2 etc/containerd/config.toml etc/init.d/020-containerd
        etc/localtime
    """,
    "ctr": "usr/bin/ctr",
    "ca-certificates": "etc/ssl/certs/ca-certificates.crt",
}


@pytest.fixture(scope="module")
def init(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Node]:
    """The init brick's files, built: it needs no package."""

    def nobody() -> Mirror:
        raise AssertionError("it asks for packages")

    store = Store(tmp_path_factory.mktemp("store"))
    recipe = load_recipe(bricks_folder() / "init")
    return image_tree(
        store,
        Builder(store, nobody).build(
            recipe, Platform("linux", "amd64"), "docker.io/compos/init:v1"
        ),
    )


def test_folders(init: Mapping[str, Node]) -> None:
    # Those without a mode of their own are made for what lies below them.
    found = {path: node.mode for path, node in init.items() if path and node.kind == DIRECTORY}
    assert found == {path: mode for path, mode in MODES.items() if path in found}
    made = {path for path in MODES if any(name.startswith(f"{path}/") for name in init)}
    assert set(MODES) == made | set(found)


def test_files(init: Mapping[str, Node]) -> None:
    assert {path: node.mode for path, node in init.items() if node.kind == FILE} == FILES


def test_commands(init: Mapping[str, Node]) -> None:
    links = {path: node.link for path, node in init.items() if node.kind == SYMLINK}
    assert set(COMMANDS.split()) | {"usr/bin/slot", "usr/bin/svc"} == set(links)
    for path, target in links.items():
        assert target == "../" * path.count("/") + "init"


@pytest.mark.parametrize("name", OTHERS)
def test_other_images(name: str) -> None:
    recipe = load_recipe(bricks_folder() / name)
    assert recipe.debian is not None
    paths = {entry.path or "" for entry in recipe.files}
    paths.update(path for links in recipe.links.values() for path in links)
    paths.update(recipe.debian.move.get(path, path) for path in recipe.debian.keep or ())
    paths.update(entry.path for entry in recipe.concatenate)
    assert paths == set(OTHERS[name].split())


def test_what_only_linuxkits_init_runs_is_passed_over() -> None:
    for name in ("runc", "containerd"):
        scripts = [
            Path(path)
            for links in load_recipe(bricks_folder() / name).links.values()
            for path in links
        ]
        assert scripts
        for script in scripts:
            assert script.name in (*BUILT_IN, "010-onshutdown")


def test_the_local_time_is_utc() -> None:
    data = (bricks_folder() / "containerd" / "localtime").read_bytes()
    zone = zoneinfo.ZoneInfo.from_file(io.BytesIO(data))
    for moment in (
        datetime(1970, 1, 1, tzinfo=UTC),
        datetime(2026, 7, 1, tzinfo=UTC),
        datetime(2400, 1, 1, tzinfo=UTC),
    ):
        assert moment.astimezone(zone).isoformat() == moment.isoformat()
        assert moment.astimezone(zone).tzname() == "UTC"


def test_busybox_in_init_has_its_programs_where_scripts_name_them(init: Mapping[str, Node]) -> None:
    (links,) = load_recipe(bricks_folder() / "busybox").links.values()
    listed = subprocess.run(
        ["busybox", "--list-full"], capture_output=True, text=True, check=True
    ).stdout.split()
    # Later ones than this machine's have more.
    known = {path.rpartition("/")[2] for path in listed}
    elsewhere = {
        path for path in links if not path.startswith("bin/") and path.rpartition("/")[2] in known
    }
    assert len(elsewhere) > 100
    assert elsewhere <= set(listed)
    assert {"bin/sh", "sbin/ip", "usr/bin/env", "usr/bin/awk", "sbin/mdev"} <= set(links)
    assert not set(links) & {path for path, node in init.items() if node.kind != DIRECTORY}, (
        "init's own commands stay"
    )
