"""What LinuxKit's own tests of `pkg build` look for, each named after its case there, with a Docker
Engine's BuildKit. 050_sbom is `test_builders.py::test_an_sbom_by_buildkits_scanner`; what needs no
builder of 030, 031, 055 and 056 is in `test_arguments.py`."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

from compos.cli.main import main
from compos.errors import PackageError
from compos.image.door import stored_image
from compos.image.platform import Platform
from compos.image.store import Store
from compos.package.builders.container import prepared
from compos.package.builders.request import Container
from tests.engines import Engine
from tests.image.conftest import HTPASSWD, StartRegistry, docker_registry
from tests.image.token_server import token_server

__all__ = ["docker_registry"]

pytestmark = [
    pytest.mark.root,
    pytest.mark.slow,
    pytest.mark.network,
    pytest.mark.xdist_group("docker"),
]

BASE = """
FROM scratch
COPY busybox /bin/busybox
RUN ["/bin/busybox", "--install", "-s", "/bin"]
"""


class Tree:
    """Packages in git, of the organisation `lk`, and a store."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.git("init", "-q")
        self.add("base", BASE)
        shutil.copy("/bin/busybox", folder / "base/busybox")

    def git(self, *arguments: str) -> str:
        names = ("-c", "user.name=a", "-c", "user.email=a@b")
        command = ["git", *names, "-C", str(self.folder), *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    def add(self, name: str, dockerfile: str, more: str = "") -> None:
        (self.folder / name).mkdir()
        (self.folder / name / "build.yml").write_text(f"image: {name}\norg: lk\n{more}")
        (self.folder / name / "Dockerfile").write_text(dockerfile)

    def commit(self) -> None:
        self.git("add", ".")
        self.git("commit", "-qm", "x")

    def tag(self, name: str) -> str:
        return self.git("rev-parse", f"HEAD:{name}")

    def run(self, *arguments: str) -> int:
        return main([*arguments, "--cache", str(self.folder.parent / "store")])

    def build(self, *names: str, flags: tuple[str, ...] = ()) -> int:
        folders = [str(self.folder / name) for name in names]
        return self.run("pkg", "build", "--mirror", "http://127.0.0.1:1", *flags, *folders)

    def files(self, name: str, platform: str = "linux/amd64") -> dict[str, str]:
        """Small files of an image, as `cache export --format filesystem` has them."""
        out = self.folder.parent / "files.tar"
        flags = ("--format", "filesystem", "--platform", platform, "--outfile", str(out))
        assert self.run("cache", "export", *flags, name) == 0
        found = {}
        with tarfile.open(out) as archive:
            for member in archive:
                stream = archive.extractfile(member) if member.isreg() else None
                if stream and member.size < 1000:
                    found[member.name] = stream.read().decode()
        out.unlink()
        return found


@pytest.fixture
def tree(tmp_path: Path, engine_of_trixie: Engine, monkeypatch: pytest.MonkeyPatch) -> Tree:
    for name, value in engine_of_trixie.environment.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "tree").mkdir()
    return Tree(tmp_path / "tree")


def test_arguments_and_chained_builds(tree: Tree, capsys: pytest.CaptureFixture[str]) -> None:
    """030_build_args, 031_fixed_build_args, 040_chained_builds, 041 (arguments in FROM)."""
    tree.commit()
    base = f"lk/base:{tree.tag('base')}"
    tree.add(
        "app",
        "ARG BASE\nFROM ${BASE} AS first\nARG A SOURCE REVISION GOPKGVERSION PKG_HASH PKG_IMAGE\n"
        "RUN echo $A,$SOURCE,$REVISION,$GOPKGVERSION,$PKG_HASH,$PKG_IMAGE >/all\n"
        f"FROM {base}\nCOPY --from=first /all /all\n",
        "gitrepo: https://git.example/x\nbuildArgs: ['A=b c', 'BASE=@lkt:pkg:../base']\n",
    )
    tree.commit()
    assert tree.build("base", "app", flags=("--force",)) == 0, capsys.readouterr().err
    name = f"lk/app:{tree.tag('app')}"
    a, source, revision, version, digest, image = tree.files(name)["all"].strip().split(",")
    head = tree.git("rev-parse", "HEAD")
    assert (a, source, revision) == ("b c", "https://git.example/x", head)
    assert version.startswith("v0.0.0-")
    assert version.endswith(head[:12])
    assert (digest, image) == (tree.tag("app"), "lk/app")
    # What Docker itself sees of the labels, once the engine has the image.
    assert tree.build("app", flags=("--docker", "--platforms", "linux/amd64")) == 0
    names = (f"docker.io/{name}", f"docker.io/{name}-amd64")
    inspected = subprocess.run(
        ["docker", "image", "inspect", *names], check=True, capture_output=True
    )
    for found in json.loads(inspected.stdout):
        labels = found["Config"]["Labels"]
        assert labels["org.opencontainers.image.revision"] == head
        assert labels["org.opencontainers.image.source"] == "https://git.example/x"


def test_releases_in_the_engine(
    tree: Tree, capsys: pytest.CaptureFixture[str], docker_registry: StartRegistry
) -> None:
    """`--docker` with a release (reference 2.5, 2.9): both names, by architecture and without."""

    def ids(*tags: str) -> list[str]:
        names = [f"{host}/lk/small:{tag}" for tag in tags]
        command = ["docker", "image", "inspect", "--format", "{{.Id}}", *names]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        return done.stdout.split()

    host = docker_registry()
    (tree.folder / "small").mkdir()
    recipe = tree.folder / "small/build.yml"
    recipe.write_text(f"image: small\norg: {host}/lk\nfiles: [{{path: a, contents: a}}]\n")
    tree.commit()
    push = ("pkg", "push", "--docker", "--platforms", "linux/amd64,linux/arm64")
    folder = str(tree.folder / "small")
    tags = (tree.tag("small"), "v1")
    assert tree.run(*push, "--release", "v1", folder) == 0, capsys.readouterr().err
    own, amd, arm, release, release_amd, release_arm = ids(
        *(f"{tag}{suffix}" for tag in tags for suffix in ("", "-amd64", "-arm64"))
    )
    assert own == amd == release == release_amd
    assert arm == release_arm
    assert arm != amd
    # One that exists with other contents stays what it is, here, too.
    recipe.write_text(recipe.read_text().replace("contents: a", "contents: b"))
    tree.commit()
    assert tree.run(*push, "--release", "v1", folder) == 0, capsys.readouterr().err
    assert ids("v1", "v1-arm64") == [own, arm]
    assert ids(tree.tag("small")) not in ([own], [arm], [])


def test_both_architectures(tree: Tree, capsys: pytest.CaptureFixture[str]) -> None:
    """042_chained_builds (`--platform` in FROM), 056_build_args/010 (`@lkt:pkgs:`, arm64), 006."""
    tree.add("one", "FROM scratch\nARG TARGETARCH\nCOPY build.yml /of-$TARGETARCH\n")
    tree.commit()
    tree.add(
        "two",
        f"FROM --platform=$TARGETPLATFORM lk/one:{tree.tag('one')}\n"
        "ARG TAG_LK_ONE TAG_LK_BASE\nLABEL tags=${TAG_LK_ONE},${TAG_LK_BASE}\nCOPY build.yml /two\n"
        f"COPY --from=lk/one:{tree.tag('one')} / /again\n",
        "buildArgs: ['TAG_%=@lkt:pkgs:../{one,base}']\n",
    )
    tree.commit()
    flags = ("--platforms", "linux/amd64,linux/arm64")
    assert tree.build("one", "two", flags=flags) == 0, capsys.readouterr().err
    name = f"lk/two:{tree.tag('two')}"
    for architecture in ("amd64", "arm64"):
        files = tree.files(name, f"linux/{architecture}")
        assert {*files} == {f"of-{architecture}", "two", f"again/of-{architecture}"}
    root = tree.folder.parent / "store/index.json"
    assert name in root.read_text()


def test_tags_and_image_names(tree: Tree, capsys: pytest.CaptureFixture[str]) -> None:
    """056_build_args/000 to 002 (the base's name from build.yml, a file, a file over build.yml) and
    057_pkg_tag/000 to 002 (the tag from build.yml, the command line, one over the other)."""
    for name in ("first", "second"):
        tree.add(name, f"FROM scratch\nCOPY build.yml /{name}\n", "tag: v1\n")
    tree.add(
        "app", "ARG IMG\nFROM ${IMG}\n", "tag: '{{.Hash}}-yml'\nbuildArgs: ['IMG=lk/first:v1']\n"
    )
    tree.add("bare", "ARG IMG\nFROM ${IMG}\n")
    tree.commit()
    (tree.folder.parent / "args").write_text("IMG=lk/second:v1\n")
    arguments = ("--build-arg-file", str(tree.folder.parent / "args"))
    assert tree.build("first", "second", "app") == 0, capsys.readouterr().err
    assert tree.build("bare", flags=arguments) == 0
    assert tree.build("app", flags=(*arguments, "--tag", "cli-{{.Hash}}")) == 0
    capsys.readouterr()
    assert tree.run("cache", "ls") == 0
    listed = capsys.readouterr().out
    app, bare = tree.tag("app"), tree.tag("bare")
    for name, file in (
        (f"lk/app:{app}-yml", "first"),
        (f"lk/app:cli-{app}", "second"),
        (f"lk/bare:{bare}", "second"),
    ):
        assert f"docker.io/{name}" in listed
        assert {*tree.files(name)} == {file}


def test_credentials_of_base_images(
    tree: Tree,
    docker_registry: StartRegistry,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """025_auth: without any, by `--registry-creds`, by Docker's configuration."""
    (tmp_path / "htpasswd").write_text(HTPASSWD)
    host = docker_registry(auth={"htpasswd": {"realm": "x", "path": str(tmp_path / "htpasswd")}})
    tree.add("secret", "FROM scratch\nCOPY build.yml /secret\n", "tag: v1\n")
    tree.add("app", f"FROM {host}/lk/secret:v1\n", "tag: v1\n")
    tree.commit()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    token = base64.b64encode(b"tester:secret").decode()
    known = json.dumps({"auths": {host: {"auth": token}}})
    (tmp_path / "auth.json").write_text(known)
    monkeypatch.setenv("REGISTRY_AUTH_FILE", str(tmp_path / "auth.json"))
    target = ("--registry", f"{host}/lk", "--platforms", "linux/amd64")
    assert tree.run("pkg", "push", *target, str(tree.folder / "secret")) == 0
    monkeypatch.delenv("REGISTRY_AUTH_FILE")
    app = str(tree.folder / "app")
    for creds, words in (
        ((), "error[registry-"),
        ((f"{host}=tester:no-secret",), "error[registry-"),
        (("other.example=tester:secret",), "error[registry-"),
        ((f"{host}=tester:",), "registry-credentials"),
        (("tester:secret",), "registry-credentials"),
    ):
        flags = [word for one in creds for word in ("--registry-creds", one)]
        assert tree.run("pkg", "build", *flags, app) == 1
        said = capsys.readouterr().err
        assert words in said
        assert "tester" not in said
    with token_server(tmp_path / "tokens") as tokens:
        by_token = docker_registry(auth=tokens.auth)
        (tree.folder / "app/Dockerfile").write_text(f"FROM {by_token}/lk/secret:v1\n")
        for scope, status in (("", 1), ("repository:lk/secret:pull", 0)):
            token = f"{by_token}={tokens.token(scope)}"
            assert tree.run("pkg", "build", "--registry-creds", token, app) == status
    (tree.folder / "app/Dockerfile").write_text(f"FROM {host}/lk/secret:v1\n")
    assert tree.run("pkg", "build", "--registry-creds", f"{host}=tester:secret", app) == 0
    assert {*tree.files("lk/app:v1")} == {"secret"}
    # The store has the base image by now; only credentials get at it anew.
    assert tree.run("pkg", "build", "--force", "--ignore-cached", app) == 1
    monkeypatch.setenv("REGISTRY_AUTH_FILE", str(tmp_path / "auth.json"))
    assert tree.run("pkg", "build", "--force", "--ignore-cached", app) == 0


def test_what_a_builder_prints(
    tree: Tree, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With `--progress plain`; and the network of a flag over build.yml's. Proxies are those of this
    machine, if there is a network (reference 2.7)."""
    monkeypatch.setenv("http_proxy", "http://user:word-of-pass@127.0.0.1:1")
    tree.add(
        "open",
        f"{BASE}RUN cat /proc/net/dev >/devices && echo $http_proxy >/proxy && echo said-$((1+1))\n",
        "network: true\ntag: v1\n",
    )
    shutil.copy("/bin/busybox", tree.folder / "open/busybox")
    tree.commit()
    assert tree.build("open", flags=("--nonetwork", "--progress", "plain")) == 0
    assert "said-2" in capsys.readouterr().err
    files = tree.files("lk/open:v1")
    assert len(files["devices"].splitlines()) == 3
    assert files["proxy"] == "\n"
    assert tree.build("open", flags=("--force", "--disable-cache", "--progress", "auto")) == 0
    assert "said-2" not in capsys.readouterr().err
    files = tree.files("lk/open:v1")
    assert len(files["devices"].splitlines()) > 3
    assert files["proxy"].strip() == os.environ["http_proxy"]
    store = Store(tree.folder.parent / "store")
    name = "docker.io/lk/open:v1"
    image = stored_image(store, name, store.named(name), Platform.host())
    assert b"word-of-pass" not in store.read(image.config_digest)


STAND_IN = f"""{BASE}
COPY daemon /daemon
COPY buildctl /bin/buildctl
ENTRYPOINT ["/bin/sh", "/daemon"]
"""


def test_a_builder_in_a_container(
    tree: Tree,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """026_buildkit_config: the container is used again for the same configuration, and replaced for
    another. The image is a stand-in, whose daemon answers and builds nothing; the engine that has
    the containers is real."""
    tree.add("daemon", STAND_IN, "tag: v1\n")
    folder = tree.folder / "daemon"
    shutil.copy("/bin/busybox", folder / "busybox")
    (folder / "daemon").write_text("trap exit TERM\nsleep 1000 &\nwait\n")
    (folder / "buildctl").write_text("#!/bin/sh\n")
    (folder / "buildctl").chmod(0o755)
    tree.commit()
    assert tree.build("daemon", flags=("--docker",)) == 0, capsys.readouterr().err
    first, second = (Container("compos-test", f"docker.io/lk/daemon:v{n}") for n in (1, 2))
    docker("image", "tag", first.image, second.image)
    (tmp_path / "ca.pem").write_text("certificate")
    (tmp_path / "one.toml").write_text('[registry."a.example:5000"]\nca = ["ca.pem"]\n')
    (tmp_path / "two.toml").write_text("debug = true\n")
    (tmp_path / "bad.toml").write_text("[")

    def identity(container: Container) -> str:
        assert prepared(container) == "docker-container://compos-test"
        return docker("container", "inspect", "--format", "{{.Id}}", "compos-test")

    try:
        known = identity(first)
        assert identity(first) == known
        docker("container", "stop", "compos-test")
        assert identity(first) == known, "it is started again"
        one = first._replace(config=tmp_path / "one.toml")
        changed = identity(one)
        assert changed != known
        assert identity(one) == changed
        inside = "/etc/buildkit/certs/a.example_5000/ca.pem"
        assert docker("exec", "compos-test", "cat", inside) == "certificate"
        assert inside in docker("exec", "compos-test", "cat", "/etc/buildkit/buildkitd.toml")
        # In a Docker context, whatever the default is.
        host = os.environ["DOCKER_HOST"]
        docker("context", "create", "elsewhere", "--docker", f"host={host}")
        with monkeypatch.context() as patch:
            patch.setenv("DOCKER_HOST", "unix:///nowhere")
            address = prepared(second._replace(config=tmp_path / "two.toml"), "elsewhere")
        assert address == "docker-container://compos-test?context=elsewhere"
        assert "debug" in docker("exec", "compos-test", "cat", "/etc/buildkit/buildkitd.toml")
        other = docker("container", "inspect", "--format", "{{.Id}}", "compos-test")
        again = identity(second._replace(restart=True))
        assert len({known, changed, other, again}) == 4
        for name in ("bad.toml", "none.toml"):
            with pytest.raises(PackageError) as caught:
                prepared(second._replace(config=tmp_path / name))
            assert caught.value.id == "builder-config"
        assert identity(second) == again, "it is left alone"
        flags = ("--builder-name", "compos-test", "--builder-image", second.image)
        assert tree.build("daemon", flags=(*flags, "--force", "--builder", "buildah")) == 1
        assert "does not use a BuildKit daemon" in capsys.readouterr().err
        assert tree.run("pkg", "builder", "du", *flags) == 1, "it is no daemon"
        assert "builder-" in capsys.readouterr().err
        assert identity(second) == again
    finally:
        subprocess.run(["docker", "rm", "--force", "--volumes", "compos-test"], check=False)
        subprocess.run(["docker", "volume", "rm", "compos-test-state"], check=False)
        subprocess.run(["docker", "context", "rm", "elsewhere"], check=False)


def docker(*arguments: str) -> str:
    done = subprocess.run(["docker", *arguments], check=True, capture_output=True, text=True)
    return done.stdout.strip()


def test_the_cache_of_builders(tree: Tree, capsys: pytest.CaptureFixture[str]) -> None:
    """`pkg builder du` and `prune`, in the builder's own words."""
    tree.commit()
    assert tree.build("base") == 0
    capsys.readouterr()
    assert tree.run("pkg", "builder", "du") == 0
    before = capsys.readouterr().out
    assert before.startswith("BuildKit through docker buildx")
    assert "RECLAIMABLE" in before
    assert tree.run("pkg", "builder", "prune") == 0
    capsys.readouterr()
    assert tree.run("pkg", "builder", "du", "--platforms", "linux/amd64,linux/arm64") == 0
    after = capsys.readouterr().out
    assert len(after.splitlines()) < len(before.splitlines())
    assert after.count("BuildKit through") == 1
