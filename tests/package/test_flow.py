"""What `pkg build`, `push`, `manifest` and `remote-tag` do, by LinuxKit's rules
(docs/linuxkit.md#cli-2.5, cli-2.9, cli-2.11), at Debian's docker-registry; skopeo is the judge."""

from __future__ import annotations

import json
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest

from compos.cli.main import main
from compos.image.reference import Reference
from compos.image.registries.push import push_root
from compos.image.registries.registry import Registry
from compos.image.store import Store
from compos.package import publish
from tests.image.conftest import StartRegistry, docker_registry

pytestmark = pytest.mark.slow

__all__ = ["docker_registry"]

RECIPE = """\
image: app
org: HOST/team
arches: [amd64, arm64]
files: [{path: app, contents: TEXT, mode: '0755'}]
"""


def git(folder: Path, *arguments: str) -> str:
    names = ("-c", "user.name=a", "-c", "user.email=a@b")
    command = ["git", *names, "-C", str(folder), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def skopeo(verb: str, *arguments: str) -> str:
    done = subprocess.run(["skopeo", verb, *arguments], capture_output=True, text=True, check=True)
    return done.stdout


class Developer:
    """Somebody with a package in git, a store and a registry."""

    def __init__(self, folder: Path, host: str) -> None:
        self.folder, self.host, self.store = folder, host, "store"
        (folder / "app").mkdir(parents=True)
        self.write("one")
        git(folder, "init", "-q")
        self.commit("one")

    def write(self, text: str) -> None:
        recipe = RECIPE.replace("HOST", self.host).replace("TEXT", text)
        (self.folder / "app/build.yml").write_text(recipe)

    def commit(self, message: str) -> None:
        git(self.folder, "add", ".")
        git(self.folder, "commit", "-qm", message)

    def pkg(self, verb: str, *arguments: str) -> int:
        cache = ("--cache", str(self.folder.parent / self.store))
        return main(["pkg", verb, *cache, *arguments])

    def run(self, verb: str, *flags: str) -> int:
        return self.pkg(verb, *flags, str(self.folder / "app"))

    @property
    def tag(self) -> str:
        return git(self.folder, "rev-parse", "HEAD:app")

    @property
    def name(self) -> str:
        return f"{self.host}/team/app:{self.tag}"

    def raw(self, tag: str) -> dict[str, Any]:
        """What another tool sees at the registry."""
        name = f"docker://{self.host}/team/app:{tag}"
        found: dict[str, Any] = json.loads(skopeo("inspect", "--raw", "--tls-verify=false", name))
        return found

    def tags(self) -> list[str]:
        name = f"docker://{self.host}/team/app"
        listed = json.loads(skopeo("list-tags", "--tls-verify=false", name))["Tags"]
        return sorted(tag.replace(self.tag, "HASH") for tag in listed)

    def here(self) -> bool:
        return Store(self.folder.parent / self.store).resolve(self.name) is not None


def images(index: dict[str, Any]) -> list[str]:
    """The architectures of an index's images."""
    platforms = [one["platform"] for one in index["manifests"]]
    return sorted(one["architecture"] for one in platforms if one["os"] == "linux")


@pytest.fixture
def developer(tmp_path: Path, docker_registry: StartRegistry) -> Developer:
    return Developer(tmp_path / "tree", docker_registry())


@pytest.fixture
def alone(tmp_path: Path) -> Developer:
    """Whose registry does not answer."""
    return Developer(tmp_path / "tree", "127.0.0.1:1")


def test_what_is_built(developer: Developer, capsys: pytest.CaptureFixture[str]) -> None:
    """The table of reference 2.5, in its order."""

    def said(*flags: str) -> str:
        assert developer.run("build", "--platforms", "linux/amd64", *flags) == 0
        *_, last = capsys.readouterr().err.strip().splitlines()
        return "built" if last.endswith(" MB") else " ".join(last.split()[2:])

    assert said() == "built"
    assert said() == "is already in the store"
    assert said("--force") == "built"
    assert developer.run("push") == 0
    developer.store = "another"
    assert said() == "is already at its registry"
    assert not developer.here(), "nothing is pulled"
    assert said("--pull") == "built"
    assert said() == "is already in the store"
    # A platform that the registry does not have; arm64's was pushed.
    developer.store = "third"
    assert developer.run("build", "--platforms", "linux/arm64") == 0
    assert not developer.here()
    # Somebody who works on it has no name that says what is in it.
    assert said("--dev", "--org", f"{developer.host}/team") == "built"
    developer.write("two")
    assert said() == "built"


def test_a_registry_that_does_not_answer(
    alone: Developer, capsys: pytest.CaptureFixture[str]
) -> None:
    """A failed lookup counts as absent; it is tried once a run."""
    (alone.folder / "other").mkdir()
    (alone.folder / "other/build.yml").write_text(
        (alone.folder / "app/build.yml").read_text().replace("image: app", "image: other")
    )
    alone.commit("two")
    assert alone.run("build", str(alone.folder / "other")) == 0
    said = capsys.readouterr().err
    assert said.count("127.0.0.1:1 is not asked for packages") == 1
    assert said.count(" MB") == 2
    assert alone.run("build", "--force", "--pull") == 1
    assert alone.run("push", "--nobuild") == 1


def test_a_push_leaves_other_platforms(developer: Developer) -> None:
    """Two machines push one architecture each (reference 2.8, 2.9): the index has both, and so does
    each tag of an architecture."""
    for store, architecture in (("one", "amd64"), ("two", "arm64")):
        developer.store = store
        assert developer.run("build", "--push", "--platforms", f"linux/{architecture}") == 0
    assert images(developer.raw(developer.tag)) == ["amd64", "arm64"]
    assert developer.tags() == ["HASH", "HASH-amd64", "HASH-arm64"]
    index = developer.raw(developer.tag)
    digests = {one["digest"] for one in index["manifests"]}
    about = [
        one.get("annotations", {}).get("vnd.docker.reference.digest") for one in index["manifests"]
    ]
    assert {one for one in about if one} < digests, "attestations are of images in the index"
    for architecture in ("amd64", "arm64"):
        name = f"docker://{developer.name}-{architecture}"
        found = json.loads(skopeo("inspect", "--config", "--tls-verify=false", name))
        assert found["architecture"] == architecture
    # As another tool checks it: all that the index names is there.
    copied = developer.folder.parent / "copied"
    skopeo(
        "copy",
        "-q",
        "--all",
        "--src-tls-verify=false",
        f"docker://{developer.name}",
        f"dir:{copied}",
    )


def test_two_machines_push_at_the_same_time(
    developer: Developer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While one sends its image, which takes long, the other one pushes."""
    raced: list[bool] = []

    def racing(*arguments: Any, **others: Any) -> None:
        if not raced:
            raced.append(True)
            developer.store = "other"
            assert developer.run("push", "--platforms", "linux/arm64") == 0
        push_root(*arguments, **others)

    monkeypatch.setattr(publish, "push_root", racing)
    assert developer.run("push", "--platforms", "linux/amd64") == 0
    assert raced
    assert images(developer.raw(developer.tag)) == ["amd64", "arm64"]


def test_without_tags_of_architectures(developer: Developer) -> None:
    assert developer.run("push", "--manifest=false") == 0
    assert developer.tags() == ["HASH"]
    # A switch that takes no other word, as in LinuxKit.
    assert developer.run("push", "--manifest", "--docker=false") == 0
    assert developer.tags() == ["HASH", "HASH-amd64", "HASH-arm64"]


def test_releases(developer: Developer, capsys: pytest.CaptureFixture[str]) -> None:
    """The rules of reference 2.9, and of several tags in git (7.2, 17)."""
    assert developer.run("push", "--release", "v1.0") == 0
    assert developer.tags() == [
        "HASH",
        "HASH-amd64",
        "HASH-arm64",
        "v1.0",
        "v1.0-amd64",
        "v1.0-arm64",
    ]
    assert developer.raw("v1.0") == developer.raw(developer.tag)
    first = developer.raw("v1.0")
    developer.write("two")
    developer.commit("two")
    for tag in ("v1.0", "v1.1", "not/a/tag"):
        git(developer.folder, "tag", tag)
    capsys.readouterr()
    assert developer.run("push", "--manifest=false") == 0
    said = capsys.readouterr()
    assert "v1.0 already exists with other contents, and stays" in said.err
    assert "git's tag not/a/tag is no tag of an image" in said.err
    assert developer.raw("v1.0") == first, "a release stays"
    assert developer.raw("v1.1") == developer.raw(developer.tag)
    # CI releases what was built before, from an empty store.
    developer.store = "empty"
    assert developer.run("push", "--nobuild", "--release", "v2") == 0
    assert developer.raw("v2") == developer.raw(developer.tag)
    assert not developer.here()
    # A commit that was never pushed.
    developer.write("three")
    developer.commit("three")
    assert developer.run("push", "--nobuild", "--release", "v3") == 1
    assert "package-release" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--push",), "package-dirty"),
        (("--push", "--hash", "x"), "package-dirty"),
        (("--push", "--nobuild", "--release", "v1"), "package-dirty"),
        (("--hash-commit", "HEAD~0"), "package-hash-commit"),
        (("--push", "--release", "a/b", "--force-dirty"), "package-dirty"),
        (("--force", "--pull"), "--force cannot be combined"),
        (("--force", "--push", "--nobuild"), "--force cannot be combined"),
        (("--platforms", "linux/arm64", "--skip-platforms", "linux/amd64"), "cannot be combined"),
        (("--platforms", "arm64"), "platform-syntax"),
        (("--platforms", "linux/s390x"), "brick-architecture"),
        (("--release", "v1"), "--release and --registry need --push"),
        (("--dockerfile", "../x"), "is not in the package's folder"),
        (("--push=perhaps",), "--push is true or false, not 'perhaps'"),
        (("--manifest=",), "--manifest is true or false, not ''"),
    ],
)
def test_refused(
    alone: Developer, flags: tuple[str, ...], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before anything is built; LinuxKit refuses dirty packages after building them."""
    if "--force-dirty" not in flags:
        alone.write("two")
    if flags[0] == "--dockerfile":
        (alone.folder / "app/build.yml").write_text("image: x\norg: 127.0.0.1:1/x\n")
    assert alone.run("build", *flags) == 1
    assert words in capsys.readouterr().err
    assert Store(alone.folder.parent / "store").entries() == []


def test_names_of_architectures(alone: Developer) -> None:
    """Those that LinuxKit's cache has after `pkg build` (reference 3.1); they move with the
    package's name, whatever builds it, and go with it."""
    where = alone.folder.parent / "store"

    def names() -> dict[str, str]:
        """Digests by what stands behind the package's name."""
        found: dict[str, str] = {}
        for entry in Store(where).entries():
            name = entry.annotations["org.opencontainers.image.ref.name"]
            assert name.startswith(f"{alone.host}/team/app:v1")
            found[name.partition(":v1")[2]] = entry.digest
        return found

    def listed() -> dict[str, str]:
        index = json.loads(Store(where).read(names()[""]))
        return {
            f"-{one['platform']['architecture']}": one["digest"]
            for one in index["manifests"]
            if one["platform"]["os"] == "linux"
        }

    recipe = alone.folder / "app/build.yml"
    recipe.write_text(recipe.read_text() + "tag: v1\n")
    assert alone.run("build", "--platforms", "linux/amd64") == 0
    assert names().keys() == {"", "-amd64"}
    assert alone.run("build", "--platforms", "linux/arm64") == 0
    first = names()
    assert first == {"": first[""], **listed()}
    assert len(first) == 3
    # A system's build makes the package again.
    recipe.write_text(recipe.read_text().replace("one", "two"))
    system = alone.folder / "os.yml"
    system.write_text(f"init: ['{alone.host}/team/app:v1']\n")
    flags = ("--cache", str(where), "--arch", "amd64", "--dir", str(alone.folder))
    packages = ("--packages", str(alone.folder))
    assert main(["build", *flags, *packages, "-f", "tar", str(system)]) == 0
    second = names()
    assert second == {"": second[""], **listed()}
    assert second["-amd64"] != first["-amd64"]
    assert second["-arm64"] == first["-arm64"]
    assert main(["cache", "rm", "--cache", str(where), f"{alone.host}/team/app:v1"]) == 0
    assert names() == {}


def test_skipped_platforms(alone: Developer) -> None:
    assert alone.run("build", "--skip-platforms", "linux/amd64") == 0
    root = Store(alone.folder.parent / "store").named(alone.name)
    index = json.loads(Store(alone.folder.parent / "store").read(root.digest))
    assert images(index) == ["arm64"]


@pytest.mark.parametrize(
    ("org", "pushes"),
    [("", False), ("org: compos\n", False), ("org: someone\n", True), ("org: linuxkit\n", False)],
)
def test_names_without_a_registry(
    alone: Developer, org: str, pushes: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    """Only whoever names an organisation means the public registry."""
    (alone.folder / "app/build.yml").write_text(
        f"image: x\n{org}files: [{{path: a, contents: b}}]\n"
    )
    alone.commit("two")
    assert alone.run("push", "--mirror", "docker.io=http://127.0.0.1:1") == 1
    assert ("package-name" in capsys.readouterr().err) != pushes


def test_an_index_of_tags(developer: Developer, capsys: pytest.CaptureFixture[str]) -> None:
    """`pkg manifest`, and its alias: machines have pushed the tags of architectures only."""
    assert developer.run("manifest") == 1
    assert "package-manifest" in capsys.readouterr().err
    assert developer.run("push", "--platforms", "linux/amd64", "--release", "v1") == 0
    assert developer.run("manifest") == 0
    assert "up to date" in capsys.readouterr().out
    arm = f"{developer.host}/team/app:arm"
    developer.store = "two"
    assert developer.run("build", "--platforms", "linux/arm64") == 0
    flags = ("--tag", "arm", "--platforms", "linux/arm64")
    assert developer.run("push", *flags) == 0
    assert developer.pkg("remote-tag", f"{arm}-arm64", f"{developer.name}-arm64") == 0
    before = developer.raw(developer.tag)
    developer.store = "three"
    capsys.readouterr()
    assert developer.run("index", "--release", "v1") == 0
    assert "v1-arm64, which is left out" in capsys.readouterr().err
    assert images(developer.raw("v1")) == ["amd64"]
    after = developer.raw(developer.tag)
    assert (images(before), images(after)) == (["amd64"], ["amd64", "arm64"])
    assert all(one in after["manifests"] for one in before["manifests"])
    # An image under the name of another architecture.
    assert developer.pkg("remote-tag", f"{arm}-arm64", f"{developer.name}-amd64") == 0
    assert developer.run("index") == 1
    assert "image-platform" in capsys.readouterr().err
    assert developer.raw(developer.tag) == after


def test_an_image_without_an_index(
    developer: Developer, capsys: pytest.CaptureFixture[str]
) -> None:
    """What somebody has pushed for one platform is not lost."""
    assert developer.run("push", "--tag", "other", "--platforms", "linux/amd64") == 0
    source = f"{developer.host}/team/app:other-amd64"
    assert developer.pkg("remote-tag", source, developer.name) == 0
    before = developer.raw(developer.tag)
    for verb in ("push", "manifest"):
        capsys.readouterr()
        assert developer.run(verb) == 1
        assert "registry-plain-image" in capsys.readouterr().err
    assert developer.raw(developer.tag) == before


def test_remote_tags(
    developer: Developer, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Within a repository nothing but a name is sent; elsewhere all platforms are copied."""
    assert developer.run("push") == 0
    fetched: list[str] = []
    really = Registry.download

    def download(self: Registry, reference: Reference, *rest: Any, **others: Any) -> None:
        fetched.append(str(reference))
        really(self, reference, *rest, **others)

    monkeypatch.setattr(Registry, "download", download)
    developer.store = "empty"
    repository = f"{developer.host}/team/app"
    assert developer.pkg("remote-tag", developer.name, f"{repository}:builder") == 0
    assert developer.raw("builder") == developer.raw(developer.tag)
    assert fetched == []
    assert developer.pkg("remote-tag", developer.name, repository, "--release", "ignored") == 0
    assert developer.pkg("remote-tag", repository, f"{developer.host}/copy:1") == 0
    assert fetched
    name = f"docker://{developer.host}/copy:1"
    assert json.loads(skopeo("inspect", "--raw", "--tls-verify=false", name)) == developer.raw(
        "latest"
    )
    capsys.readouterr()
    assert developer.pkg("remote-tag", repository, f"{developer.host}/copy:1") == 0
    assert "up to date" in capsys.readouterr().out
    assert developer.pkg("remote-tag", f"{repository}:none", f"{repository}:x") == 1
    assert "image-not-found" in capsys.readouterr().err


def test_a_dry_run(alone: Developer, capsys: pytest.CaptureFixture[str]) -> None:
    """Commands for a shell, in the same order each time; nothing is built, and no Docker needed."""
    (alone.folder / "docker").mkdir()
    (alone.folder / "docker/Dockerfile").write_text("FROM scratch\n")
    (alone.folder / "docker/build.yml").write_text(
        "image: it\norg: 127.0.0.1:1/team\nnetwork: true\ndisable-cache: true\n"
        "buildArgs: ['A=b c']\nlabels: {x: \"it's\"}\n"
    )
    alone.commit("two")
    flags = ("--dry-run", "--platforms", "linux/amd64,linux/arm64")
    assert alone.run("build", *flags, str(alone.folder / "docker")) == 0
    first, second, *docker = map(shlex.split, capsys.readouterr().out.strip().splitlines())
    assert {first[-1], second[-1], docker[0][-1]} >= {str(alone.folder / "docker")}
    folder = str(alone.folder / "docker")
    commands = [one for one in (first, second, *docker) if one[-1] == folder]
    assert len(commands) == 2
    for architecture, words in zip(("amd64", "arm64"), commands, strict=True):
        tree = git(alone.folder, "rev-parse", "HEAD:docker")
        start = ["docker", "buildx", "build", "--platform", f"linux/{architecture}"]
        name = ["-t", f"127.0.0.1:1/team/it:{tree}-{architecture}", "-f", f"{folder}/Dockerfile"]
        assert words[:9] == [*start, *name]
        assert {"--build-arg=A=b c", "--label=x=it's", "--network=default", "--no-cache"} <= {
            *words
        }
        assert f"--build-arg=PKG_HASH={tree}" in words
    others = [one for one in (first, second, *docker) if one[-1] != folder]
    assert [one[:5] for one in others] == [
        ["compos", "pkg", "build", "--platforms", f"linux/{one}"] for one in ("amd64", "arm64")
    ]
    assert not alone.here()
