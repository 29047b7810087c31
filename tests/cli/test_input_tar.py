"""`build --input-tar`: an earlier tar serves for images that are nowhere else, never wrongly (4.2, N8 to N13)."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from compos.cli.main import main
from compos.image.store import Store
from tests.images import Member, layer_tar, make_image
from tests.registry import FakeRegistry

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
        label = {"Labels": {"org.mobyproject.config": '{"env": ["FROM=label"], "restart": "always"}'}, "Cmd": ["/web"]}
        images: dict[str, tuple[list[Member], dict[str, Any]]] = {
            "kernel": ([Member("kernel", content="KERNEL"), Member("kernel.tar", content=KERNEL_TAR)], {}),
            "init": (
                [
                    Member("init", mode=0o755, content="#!"),
                    Member("etc", "dir", 0o755),
                    Member("etc/motd", content="image's"),
                ],
                {"Labels": {"org.compos.init.plan": "1"}},
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
            "web": ([Member("web", mode=0o755, content="web"), Member("dev/x", "char", content=(1, 3))], label),
            "other": ([Member("other", content="other")], {}),
        }
        for name, (members, config) in images.items():
            make_image(published, f"{name}:1", [members], config)
            registry.load(published, f"docker.io/library/{name}:1", name, "1")

    def build(self, out: str, yaml: str, *flags: str, store: str = "store") -> int:
        path = self.folder / "os.yml"
        path.write_text(yaml.replace("HOST", self.registry.host))
        base = ["build", "--cache", str(self.folder / store), "--no-sbom", "--o", str(self.folder / out)]
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


def flag(site: Site, name: str = "one.tar") -> list[str]:
    return ["--input-tar", str(site.folder / name)]


def test_the_same_yaml_gives_the_same_bytes_without_any_image(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    assert site.build("one.tar", YAML) == 0
    site.offline()
    assert site.build("two.tar", YAML, store="empty") == 1
    assert site.build("two.tar", YAML, *flag(site), store="empty") == 0
    assert site.bytes("two.tar") == site.bytes("one.tar")
    said = capsys.readouterr().err
    for section in ("kernel", "init[0]", "init[1]", "volumes[0]", "onboot[0]", "onboot[1]", "services[0]"):
        assert f"Copy {section} files from input tar: {site.registry.host}/" in said


def test_the_tar_may_be_replaced_by_the_result(site: Site) -> None:
    assert site.build("one.tar", YAML) == 0
    before = site.bytes("one.tar")
    site.offline()
    assert site.build("one.tar", YAML, *flag(site), store="empty") == 0
    assert site.bytes("one.tar") == before


def test_what_the_store_has_is_not_copied(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    assert site.build("one.tar", YAML) == 0
    assert site.build("two.tar", YAML, *flag(site)) == 0
    assert site.bytes("two.tar") == site.bytes("one.tar")
    assert "Copy" not in capsys.readouterr().err


CHANGES = {
    "command line": ("console=ttyS0", "console=ttyS1", {"kernel", "init"}),
    "an init image": ("HOST/more:1", "HOST/other:1", {"kernel", "init"}),
    "a file over an init image": ("path: etc/motd", "path: etc/issue", {"kernel", "init"}),
    "contents of a file": ("contents: hello", "contents: bye", set[str]()),
    "a service's setting": ('binds: ["v:/data"]', 'binds: ["v:/srv"]', {"services[0]"}),
    "the container with the shared root": ("{name: one,", "{name: first,", {"onboot[0]", "onboot[1]", "services[0]"}),
    "a volume's image": ('{name: v, image: "HOST/app:1"}', '{name: v, image: "HOST/other:1"}', {"volume[0]"}),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_has_changed_is_built_anew(site: Site, change: str, capsys: pytest.CaptureFixture[str]) -> None:
    old, new, rebuilt = CHANGES[change]
    changed = YAML.replace(old, new)
    assert changed != YAML
    assert site.build("one.tar", YAML) == 0
    assert site.build("fresh.tar", changed, store="fresh") == 0
    capsys.readouterr()
    assert site.build("two.tar", changed, *flag(site), store="empty") == 0
    assert site.bytes("two.tar") == site.bytes("fresh.tar")
    said = capsys.readouterr().err
    for section in rebuilt:
        assert f"Copy {section}" not in said
    if not rebuilt:
        assert "Copy kernel" in said


def test_ids_that_shift_are_noticed(site: Site) -> None:
    yaml = YAML.replace("readonly: true", "readonly: true, uid: web")
    changed = yaml.replace("onboot: [", 'onboot: [{name: zero, image: "HOST/other:1"}, ')
    assert site.build("one.tar", yaml) == 0
    assert site.build("fresh.tar", changed, store="fresh") == 0
    assert site.build("two.tar", changed, *flag(site), store="empty") == 0
    assert site.bytes("two.tar") == site.bytes("fresh.tar")


def test_a_decompressed_kernel_is_not_copied(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    assert site.build("one.tar", YAML) == 0
    assert site.build("two.tar", YAML, *flag(site), "--decompress-kernel", store="empty") == 1
    assert "kernel-compression" in capsys.readouterr().err


@pytest.mark.parametrize("form", ["yaml", "json"])
def test_both_kinds_of_metadata(site: Site, form: str, capsys: pytest.CaptureFixture[str]) -> None:
    yaml = YAML.replace("metadata: yaml", f"metadata: {form}").replace("console=ttyS0", "a<b&c>d")
    resources = yaml.replace(
        "binds:", "resources: {memory: {kernelTCP: 5}}, uidMappings: [{hostID: 1, containerID: 2, size: 3}], binds:"
    )
    assert site.build("one.tar", resources) == 0
    site.offline()
    assert site.build("two.tar", resources, *flag(site), store="empty") == 0
    assert site.bytes("two.tar") == site.bytes("one.tar")


def test_without_metadata_everything_is_built(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
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
    assert "exclude each other" in capsys.readouterr().err


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
