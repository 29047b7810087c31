"""`build --input-tar`: an earlier tar serves for images that are nowhere else, never wrongly (4.2,
N8 to N13)."""

from __future__ import annotations

import io
import re
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from compos.cli.main import main
from compos.image.store import Store
from tests.images import Member, layer_tar, make_image
from tests.registry import FakeRegistry

pytestmark = pytest.mark.slow

KERNEL_TAR = layer_tar([Member("lib", "dir", 0o755), Member("lib/modules/m.ko", content="module")])
YAML = """
kernel: {image: "HOST/kernel:1", cmdline: console=ttyS0}
init: ["HOST/init:1", "HOST/more:1"]
volumes: [{name: v, image: "HOST/app:1"}, {name: empty}]
onboot: [{name: one, image: "HOST/app:1"}, {name: two, image: "HOST/app:1", readonly: true}]
services: [{name: web, image: "HOST/web:1", binds: ["v:/data"]}]
files:
  - {path: etc/motd, contents: hello, mode: "0644"}
  - {path: etc/os.yml, metadata: yaml, mode: "0644"}
"""


class Site:
    """A registry with a few images, and builds of YAML files that name them."""

    def __init__(self, folder: Path, registry: FakeRegistry) -> None:
        self.folder = folder
        self.registry = registry
        published = Store(folder / "published")
        label = {
            "Labels": {"org.mobyproject.config": '{"env": ["FROM=label"], "restart": "always"}'},
            "Cmd": ["/web"],
        }
        images: dict[str, tuple[list[Member], dict[str, Any]]] = {
            "kernel": (
                [Member("kernel", content="KERNEL"), Member("kernel.tar", content=KERNEL_TAR)],
                {},
            ),
            "init": (
                [
                    Member("init", mode=0o755, content="#!"),
                    Member("etc", "dir", 0o755),
                    Member("etc/motd", content="image's"),
                ],
                {"Labels": {"org.compos.init.plan": "1", "org.compos.init.seccomp": "1"}},
            ),
            "more": (
                [
                    Member("etc/more", content="x"),
                    Member("bin/a", mode=0o4755, content="a"),
                    Member("bin/b", "hardlink", content="bin/a"),
                ],
                {},
            ),
            "app": ([Member("app", mode=0o755, content="app", xattrs={"user.x": "y"})], {}),
            "web": (
                [Member("web", mode=0o755, content="web"), Member("dev/x", "char", content=(1, 3))],
                label,
            ),
            "other": ([Member("other", content="other")], {}),
            "newer": (
                [Member("kernel", content="NEWER"), Member("kernel.tar", content=KERNEL_TAR)],
                {},
            ),
            "initial": (
                [Member("init", mode=0o755, content="#!!"), Member("etc", "dir", 0o700)],
                {"Labels": {"org.compos.init.plan": "1"}},
            ),
        }
        for name, (members, config) in images.items():
            make_image(published, f"{name}:1", [members], config)
            registry.load(published, f"docker.io/library/{name}:1", name, "1")

    def build(self, out: str, yaml: str, *flags: str, store: str = "store") -> int:
        path = self.folder / "os.yml"
        path.write_text(yaml.replace("HOST", self.registry.host))
        base = [
            "build",
            "--cache",
            str(self.folder / store),
            "--no-sbom",
            "--o",
            str(self.folder / out),
        ]
        return main([*base, *flags, str(path)])

    def offline(self) -> None:
        self.registry.documents.clear()
        self.registry.blobs.clear()

    def bytes(self, out: str) -> bytes:
        return (self.folder / out).read_bytes()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with FakeRegistry() as registry:
        yield Site(tmp_path, registry)


def copied(said: str) -> set[str]:
    """The sections that were reported as copied, and were."""
    return set(re.findall(r"^Copy (\S+) files from input tar: \S+$", said, re.MULTILINE))


def reported(said: str) -> set[str]:
    """The sections of which scripts are told that they were copied."""
    return set(re.findall(r"^Copy (\S+) files from input tar: \S+", said, re.MULTILINE))


def flag(site: Site, name: str = "one.tar") -> list[str]:
    return ["--input-tar", str(site.folder / name)]


def test_the_same_yaml_gives_the_same_bytes_without_any_image(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    assert site.build("one.tar", YAML) == 0
    site.offline()
    assert site.build("two.tar", YAML, store="empty") == 1
    assert site.build("two.tar", YAML, *flag(site), store="empty") == 0
    assert site.bytes("two.tar") == site.bytes("one.tar")
    said = capsys.readouterr().err
    assert copied(said) == ALL
    assert f"Copy init[1] files from input tar: {site.registry.host}/more:1" in said


def test_the_result_does_not_replace_the_tar(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    """As in LinuxKit, which has cut the file to nothing by then."""
    assert site.build("one.tar", YAML) == 0
    before = site.bytes("one.tar")
    (site.folder / "link.tar").symlink_to("one.tar")
    for name in ("one.tar", "link.tar"):
        assert site.build("one.tar", YAML, *flag(site, name), store="empty") == 1
        assert "--input-tar and --o name the same file" in capsys.readouterr().err
    assert site.bytes("one.tar") == before


def test_what_the_store_has_is_not_copied_and_reported_all_the_same(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    """Scripts look for LinuxKit's lines; what they say is true to the byte."""
    assert site.build("one.tar", YAML) == 0
    for name in ("two.tar", "three.tar"):
        assert site.build(name, YAML, *flag(site)) == 0
        assert site.bytes(name) == site.bytes("one.tar")
        said = capsys.readouterr().err
        assert (copied(said), reported(said)) == (set(), ALL)
        assert said.count("(the same; taken from the store)") == len(ALL)
    changed = YAML.replace("HOST/more:1", "HOST/other:1").replace("console=ttyS0", "console=ttyS1")
    assert site.build("two.tar", changed, *flag(site)) == 0
    assert reported(capsys.readouterr().err) == ALL - {"init[1]"}


def test_a_name_that_means_something_else_by_now_is_not_the_same(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    assert site.build("one.tar", YAML) == 0
    site.registry.documents["web", "1"] = site.registry.documents["other", "1"]
    assert site.build("two.tar", YAML, "--cache", str(site.folder / "fresh")) == 0
    capsys.readouterr()
    assert site.build("two.tar", YAML, *flag(site), store="fresh") == 0
    assert reported(capsys.readouterr().err) == ALL - {"services[0]"}


ALL = {"kernel", "init[0]", "init[1]", "volumes[0]", "onboot[0]", "onboot[1]", "services[0]"}
CHANGES = {
    "command line": ("console=ttyS0", "console=ttyS1", set[str]()),
    "the kernel": ("HOST/kernel:1", "HOST/newer:1", {"kernel"}),
    "the kernel's file": ("cmdline:", "binary: kernel, cmdline:", {"kernel"}),
    "the lower init image": ('["HOST/init:1"', '["HOST/initial:1"', {"kernel", "init[0]"}),
    "the upper init image": ("HOST/more:1", "HOST/other:1", {"kernel", "init[0]", "init[1]"}),
    "one init image less": (', "HOST/more:1"]', "]", {"kernel", "init[0]", "init[1]"}),
    "a file over an init image": (
        "path: etc/motd",
        "path: etc/issue",
        {"kernel", "init[0]", "init[1]"},
    ),
    "contents of a file": ("contents: hello", "contents: bye", set[str]()),
    "the confinement of all": (
        "\nkernel:",
        "\nconfinement: linuxkit\nkernel:",
        {"onboot[0]", "onboot[1]", "services[0]"},
    ),
    "a service's setting": ('binds: ["v:/data"]', 'binds: ["v:/srv"]', {"services[0]"}),
    "the container with the shared root": (
        "{name: one,",
        "{name: first,",
        {"onboot[0]", "onboot[1]", "services[0]"},
    ),
    "a volume's image": (
        '{name: v, image: "HOST/app:1"}',
        '{name: v, image: "HOST/other:1"}',
        {"volumes[0]"},
    ),
}
"""What changes, and the sections that are not copied then."""


@pytest.mark.parametrize("change", CHANGES)
def test_what_has_changed_is_built_anew(
    site: Site, change: str, capsys: pytest.CaptureFixture[str]
) -> None:
    old, new, rebuilt = CHANGES[change]
    changed = YAML.replace(old, new)
    assert changed != YAML
    assert site.build("one.tar", YAML) == 0
    assert site.build("fresh.tar", changed, store="fresh") == 0
    capsys.readouterr()
    assert site.build("two.tar", changed, *flag(site), store="empty") == 0
    assert site.bytes("two.tar") == site.bytes("fresh.tar")
    assert copied(capsys.readouterr().err) == ALL - rebuilt


@pytest.mark.parametrize("now", ["binds: ['/etc/motd:/app']", "binds: ['/etc/motd:/motd']"])
def test_a_root_that_others_share_moves(
    site: Site, now: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A read-only root is overlaid where a bind has no place in it."""
    before, after = (
        YAML.replace(
            '{name: one, image: "HOST/app:1"}', f'{{name: one, image: "HOST/app:1", {one}}}'
        )
        for one in ("readonly: true, binds: ['/etc/more:/more']", f"readonly: true, {now}")
    )
    assert site.build("one.tar", before) == 0
    capsys.readouterr()
    assert site.build("same.tar", before, *flag(site), store="none") == 0
    assert site.bytes("same.tar") == site.bytes("one.tar")
    assert copied(capsys.readouterr().err) == ALL
    assert site.build("fresh.tar", after, store="fresh") == 0
    assert site.build("two.tar", after, *flag(site), store="empty") == 0
    assert site.bytes("two.tar") == site.bytes("fresh.tar")


def test_a_profile_that_somebody_has_changed_is_not_taken(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    assert site.build("one.tar", YAML) == 0
    with tarfile.open(site.folder / "one.tar") as archive:
        (name,) = [one for one in archive.getnames() if one.startswith("etc/compos/seccomp/")]
    for number, origin in enumerate(("compos.plan", f"{site.registry.host}/x:1")):
        changed = changed_tar(
            site, (name, FILE, "", b'{"defaultAction": "SCMP_ACT_ALLOW"}', "init"), origin=origin
        )
        assert site.build("two.tar", YAML, *changed, store=f"empty{number}") == 0
        assert not copied(capsys.readouterr().err) & {"onboot[0]", "onboot[1]", "services[0]"}


def test_ids_that_shift_are_noticed(site: Site) -> None:
    yaml = YAML.replace("readonly: true", "readonly: true, uid: web")
    changed = yaml.replace("onboot: [", 'onboot: [{name: zero, image: "HOST/other:1"}, ')
    assert site.build("one.tar", yaml) == 0
    assert site.build("fresh.tar", changed, store="fresh") == 0
    assert site.build("two.tar", changed, *flag(site), store="empty") == 0
    assert site.bytes("two.tar") == site.bytes("fresh.tar")


def test_a_decompressed_kernel_is_not_copied(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    assert site.build("one.tar", YAML) == 0
    assert site.build("two.tar", YAML, *flag(site), "--decompress-kernel", store="empty") == 1
    assert "kernel-compression" in capsys.readouterr().err


@pytest.mark.parametrize("form", ["yaml", "json"])
def test_both_kinds_of_metadata(site: Site, form: str, capsys: pytest.CaptureFixture[str]) -> None:
    yaml = YAML.replace("metadata: yaml", f"metadata: {form}").replace("console=ttyS0", "a<b&c>d")
    resources = yaml.replace(
        "binds:",
        "resources: {memory: {kernelTCP: 5}}, uidMappings: [{hostID: 1, containerID: 2, size: 3}], binds:",
    )
    assert site.build("one.tar", resources) == 0
    site.offline()
    assert site.build("two.tar", resources, *flag(site), store="empty") == 0
    assert site.bytes("two.tar") == site.bytes("one.tar")


def test_without_metadata_everything_is_built(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    yaml = YAML.replace("metadata: yaml", "contents: x")
    assert site.build("one.tar", yaml) == 0
    assert site.build("two.tar", yaml, *flag(site), store="empty") == 0
    assert site.bytes("two.tar") == site.bytes("one.tar")
    assert "metadata: yaml" in capsys.readouterr().err


def test_tars_that_are_none(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    (site.folder / "bad.tar").write_bytes(b"no tar" * 1000)
    for name in ("bad.tar", "none.tar"):
        assert site.build("two.tar", YAML, *flag(site, name)) == 1
        assert "error[input-tar]" in capsys.readouterr().err
    assert not (site.folder / "two.tar").exists()
    assert site.build("two.tar", YAML, *flag(site), "--pull") == 1
    assert "cannot be combined" in capsys.readouterr().err


def test_a_foreign_tar_with_every_path_many_times(site: Site) -> None:
    """As LinuxKit writes them: parents again and again, the last one counts."""
    assert site.build("one.tar", YAML) == 0
    with (
        tarfile.open(site.folder / "one.tar") as source,
        tarfile.open(site.folder / "many.tar", "w", format=tarfile.PAX_FORMAT) as out,
    ):
        members = list(source)
        for member in [*(one for one in members if one.isdir()), *members]:
            out.addfile(member, source.extractfile(member) if member.isreg() else None)
    site.offline()
    assert site.build("two.tar", YAML, *flag(site, "many.tar"), store="empty") == 0
    assert site.bytes("two.tar") == site.bytes("one.tar")


def changed_tar(
    site: Site, *added: tuple[str, bytes, str, bytes | None, str], origin: str = ""
) -> list[str]:
    """The first build's tar with further members (name, type, link, contents, location) behind its
    own; the flag for it."""
    with (
        tarfile.open(site.folder / "one.tar") as source,
        tarfile.open(site.folder / "changed.tar", "w", format=tarfile.PAX_FORMAT) as out,
    ):
        for member in source:
            if not any(name == member.name for name, *_ in added):
                out.addfile(member, source.extractfile(member) if member.isreg() else None)
        for name, kind, link, data, location in added:
            info = tarfile.TarInfo(name)
            info.type, info.linkname, info.mode, info.size = kind, link, 0o755, len(data or b"")
            if location:
                info.pax_headers = {
                    "LINUXKIT.location": location,
                    "LINUXKIT.source": origin or f"{site.registry.host}/x:1",
                }
            out.addfile(info, io.BytesIO(data or b""))
    return flag(site, "changed.tar")


FILE, LINK, SYMLINK, DIRECTORY = tarfile.REGTYPE, tarfile.LNKTYPE, tarfile.SYMTYPE, tarfile.DIRTYPE
WEB = "containers/services/web"
HOSTILE: dict[str, list[tuple[str, bytes, str, bytes | None, str]]] = {
    "a service's file at the root": [("init", FILE, "", b"FOREIGN", "services[0]")],
    "a service's folder at the root": [("etc", DIRECTORY, "", None, "services[0]")],
    "a service's link above its folder": [
        ("containers/services", SYMLINK, "/etc", None, "services[0]")
    ],
    "in another service's folder": [("containers/services/other/x", FILE, "", b"1", "services[0]")],
    "a name that begins alike": [(f"{WEB}2/x", FILE, "", b"1", "services[0]")],
    "a volume's file in a container": [(f"{WEB}/x", FILE, "", b"1", "volume[0]")],
    "an init image's file in a container": [(f"{WEB}/x", FILE, "", b"1", "init[0]")],
    "links in a circle": [
        ("x", LINK, "a", None, ""),
        ("a", LINK, "b", None, ""),
        ("b", LINK, "a", None, ""),
    ],
    "a link to itself": [("x", LINK, "x", None, "")],
    "a link to nothing": [("x", LINK, "nothing", None, "")],
    "a link to a folder": [("x", LINK, "etc", None, "")],
    "a document that is too large": [("etc/os.yml", FILE, "", bytes((16 << 20) + 1), "")],
}


@pytest.mark.parametrize("case", HOSTILE)
def test_tars_that_no_build_writes(
    site: Site, case: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert site.build("one.tar", YAML) == 0
    assert site.build("two.tar", YAML, *changed_tar(site, *HOSTILE[case]), store="empty") == 1
    said = capsys.readouterr().err
    assert "error[input-tar]" in said, said
    assert not (site.folder / "two.tar").exists()


DOCUMENTS: dict[str, tuple[str, bytes]] = {
    "nested": ("config", b"[" * 100_000),
    "not an object": ("config", b"[]"),
    "another layout": ("config", b'{"root": {"path": "rootfs"}, "mounts": [], "linux": {}}'),
    "mounts of numbers": (
        "config",
        b'{\n    "root": {\n        "path": "rootfs"\n    },\n    "mounts": [\n        1\n    ]\n}',
    ),
    "no runtime": ("runtime", b"{}"),
    "a root elsewhere": (
        "runtime",
        (
            b'{"cgroups":[],"mounts":[{"destination":"/containers/services/web/rootfs","source":"/","options":["bind"]}],'
            b'"mkdir":[],"interfaces":[],"bindNS":{},"namespace":""}'
        ),
    ),
}


@pytest.mark.parametrize("case", DOCUMENTS)
def test_a_container_whose_documents_are_not_ours_is_not_copied(
    site: Site, case: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert site.build("one.tar", YAML) == 0
    name, data = DOCUMENTS[case]
    changed = changed_tar(site, (f"{WEB}/{name}.json", FILE, "", data, "services[0]"))
    assert site.build("two.tar", YAML, *changed, store="empty") == 0
    assert copied(capsys.readouterr().err) == ALL - {"services[0]"}
    assert site.bytes("two.tar") == site.bytes("one.tar")


def test_a_link_across_sections_is_a_file_of_its_own(site: Site) -> None:
    """Or a container would share a file with the system that it runs in."""
    assert site.build("one.tar", YAML) == 0
    changed = changed_tar(site, (f"{WEB}/lower/linked", LINK, "init", None, "services[0]"))
    assert site.build("two.tar", YAML, *changed, store="empty") == 0
    with tarfile.open(site.folder / "two.tar") as made:
        member = made.getmember(f"{WEB}/lower/linked")
        assert (member.isreg(), member.size) == (True, 2)


def test_what_is_at_hand_above_what_is_not_is_copied_too(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    """A name may mean something else by now: the parts of the base are those of one build."""
    assert site.build("one.tar", YAML) == 0
    only = 'init: ["HOST/more:1"]\n'
    assert site.build("other.tar", only, store="half") == 0
    site.offline()
    capsys.readouterr()
    assert site.build("two.tar", YAML, *flag(site), store="half") == 0
    assert copied(capsys.readouterr().err) == ALL
    assert site.bytes("two.tar") == site.bytes("one.tar")
