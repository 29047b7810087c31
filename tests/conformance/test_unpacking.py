"""Images unpacked: what is dropped, replaced and added, and how layers lie over each other (3.2,
3.3, M7, N1, N2, N4, N16, N21)."""

from __future__ import annotations

import pytest

from tests.conformance.lab import APP, Built, Lab, T
from tests.images import Member

HOSTS = (
    b"127.0.0.1       localhost\n::1     localhost ip6-localhost ip6-loopback\nfe00::0 ip6-localnet\nff00::0 ip6-mcastprefix\n"
    b"ff02::1 ip6-allnodes\nff02::2 ip6-allrouters\n"
)
RESOLV = b"\n# no resolv.conf configured\n"
BASE = "containers/services/web/lower"

EVERYTHING = [
    Member("etc", "dir", 0o700, uid=5, gid=6, mtime=11),
    Member("etc/hosts", mode=0o600, content="mine", uid=7, mtime=12),
    Member("etc/resolv.conf", content="nameserver x", mtime=12),
    Member("etc/mtab", content="own mtab", mtime=12),
    Member("etc/hostname", content="docker"),
    Member("dev", "dir", 0o711, mtime=13),
    Member("dev/console", "char", 0o600, (5, 1)),
    Member("dev/pts", "dir"),
    Member("dev/shm", "dir"),
    Member("dev/shm/kept", content="kept"),
    Member("dev/zero", "char", 0o666, (1, 5), mtime=14),
    Member(".dockerenv", content=""),
    Member("Dockerfile", content="FROM x"),
    Member("sub/Dockerfile", content="kept"),
    Member("sub/.dockerenv", content="kept"),
    Member("sub/etc/hosts", content="kept"),
    Member(
        "bin/suid",
        mode=0o4755,
        content="s",
        uid=1,
        gid=2,
        mtime=1234567890,
        xattrs={"user.k": "v", "security.capability": "c"},
    ),
    Member("link", "symlink", 0o777, "../../etc/passwd", mtime=15),
    Member("hard", "hardlink", 0o644, "bin/suid"),
    Member("fifo", "fifo", 0o640, mtime=16),
    Member("block", "block", 0o660, (8, 1), uid=3, mtime=17),
    Member("big/" + "n" * 200, content="long name"),
    Member("ünï/ço", content="utf-8"),
]


@pytest.fixture(scope="module")
def built(lab: Lab) -> Built:
    lab.image("web", [EVERYTHING])
    lab.image("bare", [[Member("x", content="x")]])
    lab.image("volume", [[Member("etc", "dir", 0o755), Member("data", content="d")]])
    return lab.build(
        "init: [@init, @bare]\nservices: [{name: web, image: @web}, {name: bare, image: @bare}]\nvolumes: [{name: v, image: @volume}, {name: none}]"
    )


@pytest.mark.parametrize("path", [".dockerenv", "Dockerfile", "dev/console", "etc/hostname"])
def test_dropped(built: Built, path: str) -> None:
    assert f"{BASE}/{path}" not in built.tree


@pytest.mark.parametrize(
    "path", ["sub/Dockerfile", "sub/.dockerenv", "sub/etc/hosts", "dev/shm/kept"]
)
def test_dropped_by_exact_name_only(built: Built, path: str) -> None:
    assert built.tree[f"{BASE}/{path}"].text == "kept"


def test_hosts_is_replaced(built: Built) -> None:
    for base in (BASE, "containers/services/bare/lower", "containers/volumes/v/lower"):
        entry = built.tree[f"{base}/etc/hosts"]
        assert (entry.kind, entry.content, entry.mtime) == ("file", HOSTS, T)
    assert len(HOSTS) == 160


def test_resolv_conf_of_containers_is_a_placeholder(built: Built) -> None:
    for name in ("web", "bare"):
        entry = built.tree[f"containers/services/{name}/lower/etc/resolv.conf"]
        assert (entry.kind, entry.content, entry.mtime) == ("file", RESOLV, T)
    assert len(RESOLV) == 29


def test_resolv_conf_of_init_and_volumes_is_a_link(built: Built) -> None:
    """M7."""
    for base in ("", "containers/volumes/v/lower/"):
        entry = built.tree[f"{base}etc/resolv.conf"]
        assert (entry.kind, entry.link, entry.mtime) == (
            "symlink",
            "/run/resolvconf/resolv.conf",
            T,
        )


def test_mtab(built: Built) -> None:
    own = built.tree[f"{BASE}/etc/mtab"]
    assert (own.kind, own.text, own.mtime) == ("file", "own mtab", T)
    for base in ("", "containers/services/bare/lower/", "containers/volumes/v/lower/"):
        made = built.tree[f"{base}etc/mtab"]
        assert (made.kind, made.link, made.mode, made.mtime) == (
            "symlink",
            "/proc/mounts",
            0o755,
            T,
        )


@pytest.mark.parametrize(
    "base", ["containers/services/bare/lower/", "containers/volumes/v/lower/", ""]
)
@pytest.mark.parametrize("path", ["dev", "dev/pts", "dev/shm", "proc", "sys"])
def test_missing_folders_are_made(built: Built, base: str, path: str) -> None:
    entry = built.tree[base + path]
    assert (entry.kind, entry.mode, entry.uid, entry.gid, entry.mtime) == ("dir", 0o755, 0, 0, T)


def test_folders_that_are_there_keep_mode_and_owner(built: Built) -> None:
    """N21: LinuxKit overrides them."""
    etc, dev = built.tree[f"{BASE}/etc"], built.tree[f"{BASE}/dev"]
    assert (etc.mode, etc.uid, etc.gid, etc.mtime) == (0o700, 5, 6, 11)
    assert (dev.mode, dev.mtime) == (0o711, 13)
    assert built.tree["etc"].mode == 0o750


def test_other_members_stay_as_they_are(built: Built) -> None:
    tree = built.tree
    suid = tree[f"{BASE}/bin/suid"]
    assert (suid.kind, suid.mode, suid.uid, suid.gid, suid.mtime, suid.text) == (
        "file",
        0o4755,
        1,
        2,
        1234567890,
        "s",
    )
    assert suid.records["SCHILY.xattr.user.k"] == "v"
    assert suid.records["SCHILY.xattr.security.capability"] == "c"
    assert (tree[f"{BASE}/link"].kind, tree[f"{BASE}/link"].link, tree[f"{BASE}/link"].mtime) == (
        "symlink",
        "../../etc/passwd",
        15,
    )
    assert (tree[f"{BASE}/hard"].kind, tree[f"{BASE}/hard"].link, tree[f"{BASE}/hard"].text) == (
        "hardlink",
        f"{BASE}/bin/suid",
        "s",
    )
    assert (tree[f"{BASE}/fifo"].kind, tree[f"{BASE}/fifo"].mode, tree[f"{BASE}/fifo"].mtime) == (
        "fifo",
        0o640,
        16,
    )
    block = tree[f"{BASE}/block"]
    assert (block.kind, block.device, block.mode, block.uid) == ("block", (8, 1), 0o660, 3)
    assert (tree[f"{BASE}/dev/zero"].kind, tree[f"{BASE}/dev/zero"].device) == ("char", (1, 5))
    assert tree[f"{BASE}/big/{'n' * 200}"].text == "long name"
    assert tree[f"{BASE}/ünï/ço"].text == "utf-8"


def test_a_volume_without_image_has_no_placeholders(built: Built) -> None:
    assert built.below("containers/volumes/none") == {"lower", "tmp", "merged"}


LAYERS = {
    "3.3 the upper layer wins": ([[Member("a", content="1")], [Member("a", mode=0o600, content="2")]], {"a": "2"}, []),
    "3.3 a whiteout": ([[Member("d/a", content="1"), Member("d/b", content="2")], [Member("d/.wh.a")]], {"d/b": "2"}, ["d/a", "d/.wh.a"]),
    "3.3 a whiteout of a folder": ([[Member("d/a", content="1")], [Member(".wh.d")]], {}, ["d", "d/a"]),
    "3.3 a file in place of a folder": ([[Member("d/a", content="1")], [Member("d", content="f")]], {"d": "f"}, ["d/a"]),
    "3.3 a folder in place of a file": ([[Member("d", content="f")], [Member("d", "dir", 0o755), Member("d/a", content="1")]], {"d/a": "1"}, []),
    "3.3 names are cleaned": ([[Member("./a", content="1"), Member("b//c", content="2")]], {"a": "1", "b/c": "2"}, []),
    "N1 an opaque folder": ([[Member("d/a", content="1")], [Member("d", "dir", 0o755), Member("d/.wh..wh..opq"), Member("d/b", content="2")]], {"d/b": "2"}, ["d/a", "d/.wh..wh..opq"]),
    "N2 deleted and made again in one layer": ([[Member("a", content="1")], [Member(".wh.a"), Member("a", content="2")]], {"a": "2"}, []),
    "N2 made and then whited out in one layer": ([[Member("a", content="1")], [Member("a", content="2"), Member(".wh.a")]], {"a": "2"}, []),
    "N2 the last of equal paths": ([[Member("a", content="1"), Member("a", content="2")]], {"a": "2"}, []),
    "3.3 a hard link before its target's layer": ([[Member("a", content="1")], [Member("b", "hardlink", content="a")]], {"a": "1", "b": "1"}, []),
    "3.3 a whiteout, then again in a third layer": ([[Member("a", content="1")], [Member(".wh.a")], [Member("a", content="3")]], {"a": "3"}, []),
}  # fmt: skip


@pytest.mark.parametrize("rule", LAYERS)
@pytest.mark.parametrize("compression", ["gzip", "zstd", "plain"])
def test_layers(lab: Lab, rule: str, compression: str) -> None:
    layers, there, gone = LAYERS[rule]
    lab.image("layered", layers, compression=compression)  # type: ignore[arg-type]
    built = lab.build("services: [{name: a, image: @layered}]", {})
    base = "containers/services/a/lower"
    assert {path: built.tree[f"{base}/{path}"].text for path in there} == there
    assert not [path for path in gone if f"{base}/{path}" in built.tree]


@pytest.mark.parametrize("path", ["etc/hosts", "etc/resolv.conf"])
def test_links_in_place_of_files_that_are_replaced(lab: Lab, path: str) -> None:
    """N4: LinuxKit fails."""
    lab.image("linked", [[*APP, Member(path, "symlink", 0o777, "/run/x")]])
    built = lab.build("services: [{name: a, image: @linked}]")
    assert built.tree[f"containers/services/a/lower/{path}"].kind == "file"


@pytest.mark.parametrize("name", ["../x", "a/../../x", "/../x"])
def test_members_that_leave_the_root(
    lab: Lab, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """N16: refused, or kept inside as a kernel's chroot would."""
    lab.image("hostile", [[Member(name, content="x")]])
    if lab.run("init: [@hostile]") == 0:
        built = lab.build("init: [@hostile]")
        assert not [path for path in built.tree if ".." in path.split("/") or path.startswith("/")]
        assert built.tree["x"].text == "x"
    else:
        assert "error[" in capsys.readouterr().err
