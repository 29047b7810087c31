"""Where things lie: sections in their order, bundles, shared roots, volumes, records, times (3.1,
3.4 to 3.6, M6, M8, M10)."""

from __future__ import annotations

import tarfile
from typing import Literal

import pytest

from tests.conformance.lab import APP, Built, Lab, T
from tests.images import Member

YAML = """
kernel: {image: @kernel, cmdline: "a  b "}
init: [@init, @app]
volumes: [{name: data, image: @app}, {name: empty}, {name: fixed, image: @app, readonly: true}]
onboot:
  - {name: one, image: @app}
  - {name: two, image: @app, readonly: true}
  - {name: three, image: @other, readonly: true}
  - {name: three, image: @other}
onshutdown: [{name: bye, image: @other}]
services: [{name: web, image: @app}, {name: alone, image: @alone, readonly: true}]
files: [{path: a/b, contents: x}, {path: c, symlink: a}]
"""


@pytest.fixture(scope="module")
def built(lab: Lab) -> Built:
    lab.image("other", [[Member("other", content="o")]])
    lab.image("alone", [[Member("alone", content="a")]])
    return lab.build(YAML)


def refs(lab: Lab) -> dict[str, str]:
    return lab.names


@pytest.mark.parametrize(
    ("path", "image", "location"),
    [
        ("boot", "kernel", "kernel"),
        ("boot/kernel", "kernel", "kernel"),
        ("boot/cmdline", "kernel", "kernel"),
        ("lib/modules/m.ko", "kernel", "kernel"),
        ("init", "init", "init[0]"),
        ("bin/app", "app", "init[1]"),
        ("containers/volumes/data/lower/bin/app", "app", "volume[0]"),
        ("containers/onboot/000-one/lower/bin/app", "app", "onboot[0]"),
        ("containers/onboot/001-two/config.json", "app", "onboot[1]"),
        ("containers/onboot/002-three/rootfs/other", "other", "onboot[2]"),
        ("containers/onshutdown/000-bye/runtime.json", "other", "onshutdown[0]"),
        ("containers/services/web/config.json", "app", "services[0]"),
        ("containers/services/alone/rootfs/alone", "alone", "services[1]"),
    ],
)
def test_records(lab: Lab, built: Built, path: str, image: str, location: str) -> None:
    """3.1: where each member comes from."""
    assert built.tree[path].origin == (lab.names[image], location)


def test_records_of_what_has_no_image(built: Built) -> None:
    assert built.tree["a/b"].origin == ("linuxkit.files", "files[0]")
    assert built.tree["a"].origin == ("linuxkit.files", "files[0]")
    assert built.tree["c"].origin == ("linuxkit.files", "files[1]")
    assert built.tree["containers/volumes/empty/lower"].origin == ("empty", "volume[1]")
    for path in built.tree:
        assert all(built.tree[path].origin) or path == ".", path


BUNDLES = {
    "writable, first": (
        "onboot/000-one",
        {"lower", "config.json", "runtime.json", "tmp", "rootfs"},
        "lower",
        True,
    ),
    "read-only, shared": ("onboot/001-two", {"config.json", "runtime.json", "rootfs"}, "", False),
    "read-only, first": (
        "onboot/002-three",
        {"config.json", "runtime.json", "rootfs"},
        "rootfs",
        True,
    ),
    "writable, shared with a read-only one": (
        "onboot/003-three",
        {"config.json", "runtime.json", "tmp", "rootfs"},
        "",
        False,
    ),
    "over sections": (
        "onshutdown/000-bye",
        {"config.json", "runtime.json", "tmp", "rootfs"},
        "",
        False,
    ),
    "services have no number": (
        "services/web",
        {"config.json", "runtime.json", "tmp", "rootfs"},
        "",
        False,
    ),
    "read-only service": (
        "services/alone",
        {"config.json", "runtime.json", "rootfs"},
        "rootfs",
        True,
    ),
}


@pytest.mark.parametrize("rule", BUNDLES)
def test_bundles(built: Built, rule: str) -> None:
    path, members, root, unpacked = BUNDLES[rule]
    base = f"containers/{path}"
    top = {name for name in built.below(base) if "/" not in name}
    assert top == members
    for name in ("config.json", "runtime.json"):
        entry = built.tree[f"{base}/{name}"]
        assert (entry.kind, entry.mode, entry.uid, entry.gid, entry.mtime) == (
            "file",
            0o644,
            0,
            0,
            T,
        )
    for name in members - {"config.json", "runtime.json"}:
        entry = built.tree[f"{base}/{name}"]
        assert (entry.kind, entry.mode, entry.mtime) == ("dir", 0o755, T)
    inside = {name for name in built.below(base) if "/" in name}
    assert bool(inside) == unpacked
    assert all(name.startswith(f"{root}/") for name in inside)


ROOTS = {
    "onboot/000-one": ("containers/onboot/000-one/lower", True),
    "onboot/001-two": ("containers/onboot/000-one/lower", False),
    "onboot/002-three": ("containers/onboot/002-three/rootfs", False),
    "onboot/003-three": ("containers/onboot/002-three/rootfs", True),
    "onshutdown/000-bye": ("containers/onboot/002-three/rootfs", True),
    "services/web": ("containers/onboot/000-one/lower", True),
    "services/alone": ("containers/services/alone/rootfs", False),
}


@pytest.mark.parametrize("container", ROOTS)
def test_mounts_of_the_root(built: Built, container: str) -> None:
    """3.5, M8."""
    root, writable = ROOTS[container]
    base = f"/containers/{container}"
    overlay = [f"lowerdir=/{root}", f"upperdir={base}/tmp/upper", f"workdir={base}/tmp/work"]
    expected = [
        {"destination": f"{base}/tmp", "type": "tmpfs", "source": "tmpfs"},
        {"destination": f"{base}/tmp", "options": ["remount", "private"]},
        {
            "destination": f"{base}/rootfs",
            "type": "overlay",
            "source": "overlay",
            "options": overlay,
        },
    ]
    if not writable:
        expected = [{"destination": f"{base}/rootfs", "source": f"/{root}", "options": ["bind"]}]
    assert built.json(f"{base[1:]}/runtime.json")["mounts"] == expected


def test_ancestors(built: Built) -> None:
    for path in (
        "containers",
        "containers/services",
        "containers/onboot",
        "containers/volumes",
        "containers/services/web",
    ):
        entry = built.tree[path]
        assert (entry.kind, entry.mode, entry.uid, entry.gid, entry.mtime) == (
            "dir",
            0o755,
            0,
            0,
            T,
        ), path


def test_volumes(built: Built) -> None:
    """3.6."""
    assert built.below("containers/volumes/empty") == {"lower", "tmp", "merged"}
    for name in ("data", "fixed"):
        top = {path for path in built.below(f"containers/volumes/{name}") if "/" not in path}
        assert top >= {"lower", "merged"}
        assert built.tree[f"containers/volumes/{name}/lower/bin/app"].text == "app"
        assert built.tree[f"containers/volumes/{name}/lower/dev"].kind == "dir"


@pytest.mark.parametrize(
    ("kernel", "files"),
    [
        ("", {"boot/kernel": "KERNEL", "boot/cmdline": "", "lib/modules/m.ko": "module"}),
        (
            "cmdline: 'x y'",
            {"boot/kernel": "KERNEL", "boot/cmdline": "x y", "lib/modules/m.ko": "module"},
        ),
        (
            "binary: deep/vmlinuz",
            {"boot/kernel": "DEEP", "boot/cmdline": "", "lib/modules/m.ko": "module"},
        ),
        ("binary: ''", {"boot/kernel": "KERNEL", "boot/cmdline": "", "lib/modules/m.ko": "module"}),
        ("tar: none", {"boot/kernel": "KERNEL", "boot/cmdline": ""}),
        ("tar: ''", {"boot/kernel": "KERNEL", "boot/cmdline": ""}),
        ("tar: other.tar", {"boot/kernel": "KERNEL", "boot/cmdline": "", "other": "o"}),
        (
            "tar: none, ucode: ucode.bin",
            {"boot/kernel": "KERNEL", "boot/cmdline": "", "boot/ucode.cpio": "UCODE"},
        ),
        ("tar: none, ucode: missing", {"boot/kernel": "KERNEL", "boot/cmdline": ""}),
    ],
)
def test_kernel(lab: Lab, kernel: str, files: dict[str, str]) -> None:
    """1.2, 3.4.1."""
    built = lab.build(f"kernel: {{image: @kernel, {kernel}}}")
    assert {path: entry.text for path, entry in built.tree.items() if entry.kind == "file"} == files
    assert (built.tree["boot"].mode, built.tree["boot/cmdline"].mode) == (0o755, 0o644)
    mode = 0o755 if "deep" in kernel else 0o640
    assert (built.tree["boot/kernel"].mode, built.tree["boot/kernel"].mtime) == (mode, T)
    if "boot/ucode.cpio" in files:
        assert (built.tree["boot/ucode.cpio"].mode, built.tree["boot/ucode.cpio"].mtime) == (
            0o600,
            T,
        )
    if "lib/modules/m.ko" in files:
        assert built.tree["lib/modules/m.ko"].mtime == 5


@pytest.mark.parametrize(
    "yaml", ["kernel: {cmdline: x}", "{}", "null", "kernel: {tar: a, binary: b, ucode: c}"]
)
def test_without_a_kernel_image_there_is_no_boot(lab: Lab, yaml: str) -> None:
    """1.1."""
    assert lab.build(yaml).tree == {}


@pytest.mark.parametrize(
    ("layers", "kernel", "error"),
    [
        ([[Member("x", content="x")]], "", "kernel-missing"),
        ([[Member("kernel", content="k")]], "", "kernel-tar-missing"),
        (
            [
                [
                    Member("kernel", content="k"),
                    Member("kernel.tar", content=b"\x1f\x8b\x08" + bytes(1000)),
                ]
            ],
            "",
            "kernel-tar-damaged",
        ),
        ([[Member("kernel", "dir", 0o755)]], "tar: none", "kernel-missing"),
    ],
)
def test_kernels_that_are_none(
    lab: Lab,
    layers: list[list[Member]],
    kernel: str,
    error: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    lab.image("bad", layers)
    assert lab.run(f"kernel: {{image: @bad, {kernel}}}") == 1
    assert f"error[{error}]" in capsys.readouterr().err


def test_a_file_of_no_bytes_is_a_tar_without_modules(lab: Lab) -> None:
    """As LinuxKit and GNU tar read one."""
    lab.image("bare", [[Member("kernel", content="K"), Member("kernel.tar")]])
    built = lab.build("kernel: {image: @bare}")
    assert {path: entry.text for path, entry in built.tree.items() if entry.kind == "file"} == {
        "boot/kernel": "K",
        "boot/cmdline": "",
    }


@pytest.mark.parametrize("kind", ["symlink", "hardlink"])
def test_a_kernel_that_is_a_link(lab: Lab, kind: Literal["symlink", "hardlink"]) -> None:
    """N20: LinuxKit writes an empty kernel."""
    link = Member("kernel", kind, content="vmlinuz-6")
    lab.image("links", [[Member("vmlinuz-6", content="REAL"), link]])
    assert lab.build("kernel: {image: @links, tar: none}").tree["boot/kernel"].text == "REAL"


def test_later_sections_lie_over_earlier_ones(lab: Lab) -> None:
    """3.4: kernel, init, volumes, onboot, onshutdown, services, files, whatever their order in the
    file."""
    lab.image(
        "first", [[Member("same", content="first"), Member("lib/modules/m.ko", content="init's")]]
    )
    lab.image("second", [[Member("same", content="second"), Member("etc/x", content="second")]])
    built = lab.build(
        "files: [{path: etc/x, contents: file, mode: '0644'}]\ninit: [@first, @second]\nkernel: {image: @kernel}\n"
    )
    assert built.tree["same"].text == "second"
    assert built.tree["lib/modules/m.ko"].text == "init's"
    assert built.tree["etc/x"].text == "file"


def test_apk_databases_are_merged(lab: Lab) -> None:
    """M10, 3.4.2."""
    path = "lib/apk/db/installed"
    lab.image("apk1", [[Member(path, mode=0o600, content="P:one\n", uid=4, mtime=9)]])
    lab.image("apk2", [[Member(path, mode=0o600, content="P:two\n\n")]])
    alone = lab.build("init: [@apk1, @init]").tree[path]
    assert (alone.text, alone.mode, alone.origin) == (
        "P:one\n",
        0o600,
        (lab.names["apk1"], "init[0]"),
    )
    merged = lab.build("init: [@apk1, @init, @apk2]").tree[path]
    assert merged.text == "P:one\n\n\nP:two\n\n\n\n"
    assert (merged.kind, merged.mode, merged.uid, merged.gid, merged.mtime) == (
        "file",
        0o644,
        0,
        0,
        0,
    )
    assert merged.origin == ("LINUXKIT.apkinit", "init")


def test_merged_files(lab: Lab) -> None:
    """2.2, N6."""
    built = lab.build(
        "kernel: {image: @kernel, cmdline: one, tar: none}\ninit: [@init]\nvolumes: [{name: v}]\nservices: [{name: a, image: @app}]",
        {
            "two.yml": "kernel: {cmdline: two}\ninit: [@app]\nservices: [{name: b, image: @app, binds: ['v:/v', 'w:/w']}]\nvolumes: [{name: w}]",
            "three.yml": "kernel: {cmdline: '', tar: ''}",
        },
    )
    assert built.tree["boot/cmdline"].text == "two"
    assert {
        "init",
        "bin/app",
        "containers/services/a/lower/bin/app",
        "containers/services/b/config.json",
    } <= set(built.tree)
    assert built.tree["containers/services/b/config.json"].origin[1] == "services[1]"
    mounts = {
        one["destination"]: one for one in built.json("containers/services/b/config.json")["mounts"]
    }
    assert mounts["/v"]["source"] == "/containers/volumes/v/merged"
    assert mounts["/w"]["source"] == "/containers/volumes/w/merged"


def test_the_archive_is_pax_and_ends_in_two_blocks(lab: Lab, built: Built) -> None:
    lab.build(YAML)
    data = (lab.folder / "out.tar").read_bytes()
    assert data.endswith(bytes(1024))
    assert len(data) % 512 == 0
    with tarfile.open(lab.folder / "out.tar") as archive:
        names = archive.getnames()
    assert len(names) == len(set(names))
    assert not [name for name in names if name.startswith(("/", "./")) or name.endswith("/")]


def test_same_image_in_init_and_volume_is_unpacked_each_time(built: Built) -> None:
    assert (
        built.tree["bin/app"].text
        == built.tree["containers/volumes/data/lower/bin/app"].text
        == "app"
    )


def test_image_members_with_the_same_name_in_several_inits_keep_hard_links(lab: Lab) -> None:
    lab.image("hard", [[*APP, Member("bin/again", "hardlink", content="bin/app")]])
    built = lab.build("init: [@hard, @hard]\nservices: [{name: s, image: @hard}]")
    assert built.tree["bin/again"].content == built.tree["bin/app"].content == b"app"
